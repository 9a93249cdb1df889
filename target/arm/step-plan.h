/*
 * What to do for a step of A64 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_STEP_PLAN_H
#define TARGET_ARM_STEP_PLAN_H

#include "accel/step-sequence.h"

/* Pure, as step-decode.h is */

/* Behind the store-exclusive, and where branches leave the sequence */
#define ARM_STEP_ENDS_MAX (STEP_SEQUENCE_EXITS_MAX + 1)

/**
 * ArmStepSequence: from a load-exclusive to its store-exclusive
 * @last: address of the store-exclusive
 * @ends: where it is left: behind the store-exclusive, the targets of branches
 * @nr_ends: how many there are
 */
typedef struct ArmStepSequence {
    uint64_t last;
    uint64_t ends[ARM_STEP_ENDS_MAX];
    unsigned nr_ends;
} ArmStepSequence;

/**
 * arm_step_find_sequence() - can it be stepped as a whole?
 * @words: the instructions, of which the first is a load-exclusive
 * @nr: how many there are, up to STEP_SEQUENCE_WORDS_MAX
 * @pc: address of the first one
 * @seq: filled in, if so
 *
 * A load-exclusive and the first store-exclusive behind it, of the same
 * size, and among the instructions in between no loop, no branch to a register,
 * no other load-exclusive, nothing that raises an exception, returns from one,
 * waits, or gives the monitor up ("Load-Exclusive and Store-Exclusive
 * instruction usage restrictions").
 *
 * Returns: NULL, or why it cannot, to be shown to a user
 */
const char *arm_step_find_sequence(const uint32_t *words, unsigned nr,
                                   uint64_t pc, ArmStepSequence *seq);

/**
 * arm_step_has_store() - is there any store-exclusive in these words?
 * @words: as for arm_step_find_sequence()
 *
 * If not, the load-exclusive is likely to be there for the event that another
 * processor's store to its address is (wfe), and nothing is lost by stepping.
 */
bool arm_step_has_store(const uint32_t *words, unsigned nr);

/* The next instruction, the vectors of an exception and of an interrupt */
#define ARM_STEP_PLACES_MAX 3

/**
 * ArmStepPlaces: what a step's end depends on
 * @pc: address of the instruction
 * @pstate: PSTATE before it, as in SPSR_EL1
 * @vbar: VBAR_EL1
 * @has_next: is it known where the instruction completes?
 * @next: that address: arm_step_successor() without a pointer authentication
 *     code; ELR_EL1 for an exception return to AArch64 state
 * @irqs: an interrupt may be taken before the instruction
 */
typedef struct ArmStepPlaces {
    uint64_t pc;
    uint64_t pstate;
    uint64_t vbar;
    bool has_next;
    uint64_t next;
    bool irqs;
} ArmStepPlaces;

/**
 * arm_step_vector() - where a synchronous exception to EL1 is taken
 * @vbar: VBAR_EL1
 * @pstate: PSTATE, as in SPSR_EL1
 *
 * That of an IRQ is 0x80 behind it ("Exception vectors").
 */
uint64_t arm_step_vector(uint64_t vbar, uint64_t pstate);

/**
 * arm_step_places() - where a step can end, if SErrors and FIQs are masked
 * @regs: what that depends on
 * @places: filled in, the most likely one first
 *
 * Without @regs->pc itself: an instruction that branches to itself may be run
 * twice, and nobody can tell.
 *
 * Returns: how many there are
 */
unsigned arm_step_places(const ArmStepPlaces *regs,
                         uint64_t places[ARM_STEP_PLACES_MAX]);

/**
 * arm_step_strip() - an address without its pointer authentication code
 * @addr: what was branched to
 * @tcr: TCR_EL1
 *
 * Bit 55 tells which of the translation tables it belongs to, and is what the
 * code and a tag are replaced by (AArch64.AuthIA()).
 */
uint64_t arm_step_strip(uint64_t addr, uint64_t tcr);

#endif /* TARGET_ARM_STEP_PLAN_H */
