/*
 * How to step one instruction on a Book III processor: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_STEP_PLAN_H
#define TARGET_PPC_STEP_PLAN_H

#include "accel/step-sequence.h"
#include "step-decode.h"

/*
 * Pure, as step-decode.h is: registers in, registers and addresses out.
 * Section numbers are those of the Power ISA, Version 3.1B, Book III.
 *
 * An instruction is stepped in one of these ways:
 *
 * - By the Trace interrupt (7.5.15).  MSR[SE] is set for this one instruction,
 *   and the Trace vector is trapped.  The interrupt overwrites SRR0 and SRR1,
 *   which are put back afterwards, with the MSR that SRR1 holds.
 * - By a trap at the address where it completes.  That is there in addition:
 *   an instruction that the hypervisor emulates (a load from MMIO, say) is not
 *   traced.  It stands alone for a hypercall, and where the instruction is the
 *   first one of the Trace handler, so that the vector can't be trapped.
 * - By doing in registers what it does.  So are treated the instructions that
 *   would see or lose MSR[SE], SRR0 or SRR1.
 *
 * The vectors of all interrupts that the instruction may raise are trapped
 * too, which ends the step at the guest's handler.
 *
 * - A load-and-reserve runs together with what follows up to its
 *   store-conditional, with traps where the sequence is left: an interrupt in
 *   between would lose the reservation each time.
 *
 * While an instruction runs with MSR[EE] cleared, no asynchronous interrupt
 * but system reset and machine check is delivered, and none is lost: they stay
 * pending until the guest has EE again.  In problem state EE can't be cleared.
 * There the vectors of asynchronous interrupts are trapped too, and one that
 * is taken is undone: the caller holds back its cause, and steps again.
 */

/* The parts of MSR that matter here (4.2.1), as masks */
#define PPC_STEP_MSR_SF  (1ULL << 63)
#define PPC_STEP_MSR_HV  (1ULL << 60)
#define PPC_STEP_MSR_TS  (3ULL << 33)
#define PPC_STEP_MSR_TS_T (2ULL << 33)
#define PPC_STEP_MSR_S   (1ULL << 22)
#define PPC_STEP_MSR_EE  (1ULL << 15)
#define PPC_STEP_MSR_PR  (1ULL << 14)
#define PPC_STEP_MSR_ME  (1ULL << 12)
#define PPC_STEP_MSR_SE  (1ULL << 10)
#define PPC_STEP_MSR_BE  (1ULL << 9)
#define PPC_STEP_MSR_IR  (1ULL << 5)
#define PPC_STEP_MSR_DR  (1ULL << 4)
#define PPC_STEP_MSR_RI  (1ULL << 1)
#define PPC_STEP_MSR_LE  (1ULL << 0)

/* SRR1 bits 33:36 and 42:47: what an interrupt says of itself (7.2.1) */
#define PPC_STEP_SRR1_INFO 0x783f0000ULL
/* Of the Trace interrupt: always, and after a prefixed instruction (7.5.15) */
#define PPC_STEP_SRR1_TRACE  0x40000000ULL
#define PPC_STEP_SRR1_PREFIX 0x20000000ULL

/**
 * PPCStepRegs: the registers that a step can depend on
 * @lpcr_ail: LPCR[AIL], 0 or 3
 * @lpcr_ile: LPCR[ILE]
 * @msr_mask: the MSR bits that this processor has
 * @isa300: it has rfscv (Power ISA 3.0 or later)
 * @fwnmi: where the hypervisor delivers a system reset and a machine check, in
 *     real mode, if not at their vectors; 0 if it does
 */
typedef struct PPCStepRegs {
    uint64_t gpr[32];
    uint64_t pc;
    uint64_t msr;
    uint64_t srr0;
    uint64_t srr1;
    uint64_t lr;
    uint64_t ctr;
    uint64_t tar;
    uint32_t cr;
    uint8_t lpcr_ail;
    bool lpcr_ile;
    uint64_t msr_mask;
    bool isa300;
    uint64_t fwnmi[2];
} PPCStepRegs;

/**
 * PPCStepTrapKind: what ends the step at an address
 * @PPC_STEP_TRAP_NEXT: the instruction has completed
 * @PPC_STEP_TRAP_TRACE: it has completed, and was traced
 * @PPC_STEP_TRAP_INTERRUPT: another interrupt was taken
 */
typedef enum PPCStepTrapKind {
    PPC_STEP_TRAP_NEXT,
    PPC_STEP_TRAP_TRACE,
    PPC_STEP_TRAP_INTERRUPT,
} PPCStepTrapKind;

/**
 * PPCStepTrapAt: an address to trap
 * @pc: the address as the processor sees it when it gets there
 * @kind: what it means to get there
 * @vector: the interrupt's offset, such as 0xd00; 0 for PPC_STEP_TRAP_NEXT
 * @ir: the address is translated: for PPC_STEP_TRAP_NEXT in the mode of the
 *     instruction, otherwise in privileged state
 */
typedef struct PPCStepTrapAt {
    uint64_t pc;
    PPCStepTrapKind kind;
    uint32_t vector;
    bool ir;
} PPCStepTrapAt;

/* Where interrupts go with AIL = 3, plus the vector (7.2.1) */
#define PPC_STEP_AIL_BASE 0xc000000000004000ULL

/* scv, level 0 (7.5.27) */
#define PPC_STEP_VECTOR_SCV 0x17000

#define PPC_STEP_TRAPS_MAX 28

/**
 * PPCStepPlan: how to take this step
 * @insn: the instruction, meaningless unless @have_insn
 * @have_insn: false if its address is not mapped: the step will end with an
 *     instruction storage or segment interrupt, unless it is mapped meanwhile.
 *     Then a hypercall, or scv with a level other than 0, runs one more
 * @before: the registers before it
 * @run: let the processor run it; false: @after holds the result
 * @after: the registers after an emulated instruction
 * @trace: MSR[SE] is set for it
 * @hide_trace: MSR[SE] and MSR[BE] are cleared for it, the guest's own
 *     included: the Trace vector can't be trapped
 * @mask_ee: MSR[EE] is cleared for it
 * @noirq: asynchronous interrupts are held back
 * @next: where it completes, meaningless unless @have_next
 * @sequence: from a load-and-reserve, which @insn is, to the instruction
 *     before @next, its store-conditional
 * @nr_exits: how many of @exits are used
 * @exits: where else a sequence is left, by branches
 */
typedef struct PPCStepPlan {
    PPCStepInsn insn;
    bool have_insn;
    PPCStepRegs before;
    bool run;
    PPCStepRegs after;
    bool trace;
    bool hide_trace;
    bool mask_ee;
    bool noirq;
    bool have_next;
    uint64_t next;
    bool sequence;
    unsigned nr_exits;
    uint64_t exits[STEP_SEQUENCE_EXITS_MAX];
} PPCStepPlan;

/**
 * ppc_step_plan_make() - decide how to step
 * @plan: filled in completely
 * @regs: the registers now
 * @words: the instruction and the word behind it, in the byte order of
 *     MSR[LE]; the second may be 0 unless the first is a prefix.  NULL if the
 *     address is not mapped.
 * @noirq: hold back asynchronous interrupts
 *
 * Returns: NULL, or a static string that says why the instruction can't be
 * stepped.
 */
const char *ppc_step_plan_make(PPCStepPlan *plan, const PPCStepRegs *regs,
                               const uint32_t *words, bool noirq);

/**
 * ppc_step_plan_untraced() - step without the Trace interrupt
 *
 * For an instruction whose own data would be a trap at the Trace vector.
 *
 * Returns: false if the plan has no other way to see the instruction complete.
 */
bool ppc_step_plan_untraced(PPCStepPlan *plan);

/**
 * ppc_step_plan_sequence() - step to behind the store-conditional
 * @plan: a plan for a load-and-reserve with @run set, changed on success
 * @words: the instruction and those behind it, in the byte order of MSR[LE]
 * @nr: how many there are, at most STEP_SEQUENCE_WORDS_MAX
 *
 * The sequence has one load-and-reserve, ends at the first store-conditional
 * (Book II, 4.6.2), which has the same size, and has no branches but
 * conditional ones forward.
 *
 * Returns: NULL, or a static string that says why this is no such sequence:
 * the plan is then still good for the one instruction.
 */
const char *ppc_step_plan_sequence(PPCStepPlan *plan, const uint32_t *words,
                                   unsigned nr);

/**
 * ppc_step_plan_traps() - the addresses to trap
 * @plan: a plan with @run set
 * @ail: LPCR[AIL] as it is now
 * @traps: room for PPC_STEP_TRAPS_MAX of them
 *
 * The address of the instruction itself is never among them.
 *
 * Returns: how many there are
 */
unsigned ppc_step_plan_traps(const PPCStepPlan *plan, uint8_t ail,
                             PPCStepTrapAt *traps);

/**
 * ppc_step_plan_enter_msr() - the MSR to run the instruction with
 */
uint64_t ppc_step_plan_enter_msr(const PPCStepPlan *plan);

/**
 * PPCStepEnd: what has become of a step
 * @PPC_STEP_END_DONE: it is over
 * @PPC_STEP_END_AGAIN: an asynchronous interrupt came before the instruction,
 *     and has been undone: hold it back and step again
 */
typedef enum PPCStepEnd {
    PPC_STEP_END_DONE,
    PPC_STEP_END_AGAIN,
} PPCStepEnd;

/**
 * ppc_step_plan_finish() - put the registers right
 * @plan: the plan
 * @ail: LPCR[AIL] as it is now
 * @regs: at one of the traps on entry, what the guest would have on return;
 *     only pc, msr, srr0, srr1 and ctr are looked at and changed
 * @undone: set to the vector of an asynchronous interrupt that was taken and
 *     undone, otherwise to 0.  One that is no longer pending once it has been
 *     taken is to be made pending again.
 */
PPCStepEnd ppc_step_plan_finish(const PPCStepPlan *plan, uint8_t ail,
                                PPCStepRegs *regs, uint32_t *undone);

/**
 * ppc_step_plan_undo() - put the registers back, nothing having run
 * @regs: as for ppc_step_plan_finish()
 */
void ppc_step_plan_undo(const PPCStepPlan *plan, PPCStepRegs *regs);

#endif /* TARGET_PPC_STEP_PLAN_H */
