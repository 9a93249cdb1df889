/*
 * How to step one LoongArch instruction: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_LOONGARCH_STEP_PLAN_H
#define TARGET_LOONGARCH_STEP_PLAN_H

#include "accel/step-sequence.h"
#include "step-decode.h"

/*
 * Pure, as step-decode.h is: registers in, registers and addresses out.
 *
 * KVM has no step for a LoongArch guest, and the processor none that a guest
 * would not see.  An instruction is stepped in one of these ways:
 *
 * - By a trap at the address where it completes, and at the entries of all
 *   exceptions that it may raise: the step then ends at the guest's handler.
 * - By doing in registers what it does.  So are treated branches, whose target
 *   may be their own address, or not be mapped; what would see or change the
 *   interrupt enable; what changes translation under the next instruction; what
 *   waits; and the guest's own use of the instruction that traps are made of.
 * - A load-linked runs together with what follows up to its store-conditional,
 *   with traps where the sequence is left: a trap in between would break the
 *   link each time.
 *
 * Interrupts are held back by CRMD.IE, which counts in each privilege level.
 * None is lost: they stay pending until the guest has IE again.  An exception
 * copies IE to PRMD.PIE, a TLB refill to TLBRPRMD.PIE, where it is put right.
 *
 * A machine error is the host's: KVM gives a guest none.  So there is no trap
 * at MERRENTRY.
 */

#define LOONGARCH_STEP_CRMD_PLV     3ull
#define LOONGARCH_STEP_CRMD_IE      (1ull << 2)
#define LOONGARCH_STEP_CRMD_DA      (1ull << 3)
#define LOONGARCH_STEP_CRMD_PG      (1ull << 4)
#define LOONGARCH_STEP_CRMD_WE      (1ull << 9)
/* All that CRMD has; the other bits are read as 0 */
#define LOONGARCH_STEP_CRMD_MASK    0x3ffull

/* Of PRMD and TLBRPRMD; it is in the same place */
#define LOONGARCH_STEP_PRMD_PIE     LOONGARCH_STEP_CRMD_IE
#define LOONGARCH_STEP_TLBRERA_ISTLBR 1ull
#define LOONGARCH_STEP_LLBCTL_WCLLB (1ull << 1)
#define LOONGARCH_STEP_LLBCTL_KLO   (1ull << 2)
#define LOONGARCH_STEP_EUEN_FPE     (1ull << 0)
#define LOONGARCH_STEP_EUEN_BTE     (1ull << 3)

/**
 * LoongArchStepRegs: the registers that a step can depend on
 * @gpr: general registers; 0 is 0
 * @crmd: and what follows: CSRs of these names
 * @ecfg: LIE, the enabled interrupts, and VS, the distance of entries
 * @prmd: this and the next four matter for ertn only, until the step ends
 * @fcc: matters for bceqz and bcnez only: bits 0 to 7 for FCC0 to FCC7
 * @scr: matters for jiscr0 and jiscr1 only
 * @va32: addresses have 32 bits
 */
typedef struct LoongArchStepRegs {
    uint64_t gpr[32];
    uint64_t pc;
    uint64_t crmd;
    uint64_t euen;
    uint64_t ecfg;
    uint64_t eentry;
    uint64_t tlbrentry;
    uint64_t pgdl;
    uint64_t pgdh;
    uint64_t dmw[4];
    uint64_t prmd;
    uint64_t era;
    uint64_t tlbrprmd;
    uint64_t tlbrera;
    uint64_t llbctl;
    uint8_t fcc;
    uint64_t scr[2];
    bool va32;
} LoongArchStepRegs;

/**
 * LoongArchStepMode: how an address is translated
 * @paged: by direct mapping windows and page tables (CRMD.PG); false if it is
 *     physical (CRMD.DA)
 * @plv: the privilege level
 */
typedef struct LoongArchStepMode {
    bool paged;
    uint8_t plv;
} LoongArchStepMode;

/**
 * loongarch_step_mode() - how instructions are fetched, and data is accessed
 * @crmd: CRMD
 */
LoongArchStepMode loongarch_step_mode(uint64_t crmd);

/**
 * LoongArchStepTrapKind: what ends the step at an address
 * @LOONGARCH_STEP_TRAP_NEXT: the instruction has completed
 * @LOONGARCH_STEP_TRAP_EXCEPTION: an exception was taken, or an interrupt
 * @LOONGARCH_STEP_TRAP_REFILL: a TLB refill exception was taken
 */
typedef enum LoongArchStepTrapKind {
    LOONGARCH_STEP_TRAP_NEXT,
    LOONGARCH_STEP_TRAP_EXCEPTION,
    LOONGARCH_STEP_TRAP_REFILL,
} LoongArchStepTrapKind;

/**
 * LoongArchStepTrapAt: an address to trap
 * @pc: the address as the processor sees it when it gets there
 * @kind: what it means to get there
 * @mode: how the address is translated when the processor gets there
 */
typedef struct LoongArchStepTrapAt {
    uint64_t pc;
    LoongArchStepTrapKind kind;
    LoongArchStepMode mode;
} LoongArchStepTrapAt;

/* Codes 1 to 24, as many interrupts as ECFG.LIE has bits, a refill, the ends */
#define LOONGARCH_STEP_TRAPS_MAX 46

/**
 * LoongArchStepPlan: how to take this step
 * @insn: the instruction, meaningless unless @have_insn
 * @have_insn: false if its address is not mapped: the step will end at the
 *     handler of that exception, unless it is mapped meanwhile
 * @before: the registers before it
 * @run: let the processor run it; false: @after holds the result
 * @after: the registers after an instruction that is done in registers
 * @mask_ie: CRMD.IE is cleared for it
 * @have_next: @next is known
 * @next: where it completes
 * @sequence: from a load-linked, which @insn is, to the instruction before
 *     @next, its store-conditional
 * @nr_exits: how many of @exits are used
 * @exits: where else a sequence is left, by branches
 */
typedef struct LoongArchStepPlan {
    LoongArchStepInsn insn;
    bool have_insn;
    LoongArchStepRegs before;
    bool run;
    LoongArchStepRegs after;
    bool mask_ie;
    bool have_next;
    uint64_t next;
    bool sequence;
    unsigned nr_exits;
    uint64_t exits[STEP_SEQUENCE_EXITS_MAX];
} LoongArchStepPlan;

/**
 * loongarch_step_plan_make() - decide how to step
 * @plan: filled in completely
 * @regs: the registers now
 * @word: the instruction; NULL if its address is not mapped
 * @trap: the instruction that traps are made of; KVM takes it for one that does
 *     nothing but set register 4 to -1 if no debugger wants it
 * @noirq: hold back interrupts
 */
void loongarch_step_plan_make(LoongArchStepPlan *plan,
                              const LoongArchStepRegs *regs,
                              const uint32_t *word, uint32_t trap, bool noirq);

/**
 * loongarch_step_plan_sequence() - step to behind the store-conditional
 * @plan: a plan for a load-linked with @run set, changed on success
 * @words: the instruction and those behind it
 * @nr: how many there are, at most STEP_SEQUENCE_WORDS_MAX
 *
 * The sequence has one load-linked and ends at the first store-conditional.
 * That has the same size; ll.d goes with sc.q, too.  Its branches are forward.
 *
 * Returns: NULL, or a static string that says why this is no such sequence:
 * the plan is then still good for the one instruction.
 */
const char *loongarch_step_plan_sequence(LoongArchStepPlan *plan,
                                         const uint32_t *words, unsigned nr);

/**
 * loongarch_step_plan_traps() - the addresses to trap
 * @plan: a plan with @run set
 * @traps: room for LOONGARCH_STEP_TRAPS_MAX of them
 *
 * Each address is there once for each kind, and that of the instruction itself
 * never.  Where the instruction completes comes first, if that is known.
 *
 * Returns: how many there are
 */
unsigned loongarch_step_plan_traps(const LoongArchStepPlan *plan,
                                   LoongArchStepTrapAt *traps);

/**
 * loongarch_step_plan_enter_crmd() - CRMD for a plan with @run set
 */
uint64_t loongarch_step_plan_enter_crmd(const LoongArchStepPlan *plan);

/**
 * loongarch_step_plan_kind() - what it means that the step has ended at @pc
 *
 * If the instruction completes at an entry, it is taken to have completed.
 */
LoongArchStepTrapKind loongarch_step_plan_kind(const LoongArchStepPlan *plan,
                                               uint64_t pc);

/**
 * loongarch_step_plan_finish() - give the guest its interrupt enable back
 * @value: CRMD, if the instruction has completed or has not run; PRMD where an
 *     exception was taken, TLBRPRMD where it was a refill: IE and PIE are the
 *     same bit
 *
 * Returns: what the guest would have there
 */
uint64_t loongarch_step_plan_finish(const LoongArchStepPlan *plan,
                                    uint64_t value);

#endif /* TARGET_LOONGARCH_STEP_PLAN_H */
