/*
 * What to do for a step of A64 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_STEP_PLAN_H
#define TARGET_ARM_STEP_PLAN_H

/* Pure, as step-decode.h is */

/* Instructions behind the load-exclusive, the store-exclusive included */
#define ARM_STEP_SEQUENCE_MAX 16
/* Behind the store-exclusive, and where branches leave the sequence */
#define ARM_STEP_ENDS_MAX 3

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
 * @nr: how many there are, up to ARM_STEP_SEQUENCE_MAX + 1
 * @pc: address of the first one
 * @seq: filled in, if so
 *
 * A load-exclusive and the first store-exclusive of the same size behind it,
 * with at most ARM_STEP_SEQUENCE_MAX - 1 instructions in between, and among
 * these no branch back or to a register, no other load-exclusive, nothing that
 * raises an exception, returns from one, waits, or gives the monitor up
 * ("Load-Exclusive and Store-Exclusive instruction usage restrictions").
 *
 * Returns: NULL, or why it cannot, to be shown to a user
 */
const char *arm_step_find_sequence(const uint32_t *words, unsigned nr,
                                   uint64_t pc, ArmStepSequence *seq);

/**
 * arm_step_is_end() - is the sequence left at @addr?
 */
bool arm_step_is_end(const ArmStepSequence *seq, uint64_t addr);

#endif /* TARGET_ARM_STEP_PLAN_H */
