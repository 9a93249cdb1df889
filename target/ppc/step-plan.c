/*
 * How to step one instruction on a Book III processor: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

#define VECTOR_TRACE 0xd00

/* H_CEDE sets MSR[EE] and waits for an interrupt (LoPAR, H_CEDE) */
#define H_CEDE 0xe0

/* ISA 3.1B, 7.5.27: scv vectors with AIL = 3 */
#define SCV_BASE_AIL  0xc000000000003000ULL

static bool is_cede(const PPCStepPlan *plan)
{
    return plan->insn.cls == PPC_STEP_HCALL && plan->before.gpr[3] == H_CEDE;
}

static bool privileged(const PPCStepRegs *regs)
{
    return !(regs->msr & PPC_STEP_MSR_PR);
}

static uint8_t effective_ail(uint64_t msr, uint8_t ail)
{
    /* Only with both relocations on; otherwise as AIL = 0 (2.2, LPCR) */
    bool relocated = (msr & PPC_STEP_MSR_IR) && (msr & PPC_STEP_MSR_DR);

    return relocated ? ail : 0;
}

static uint64_t vector_address(uint32_t vector, uint8_t ail)
{
    /* System reset and machine check are always taken in real mode */
    return ail == 3 && vector >= 0x300 ? PPC_STEP_AIL_BASE + vector : vector;
}

/* Bits of MSR that follow from others being set (4.3.1, 5.4.4) */
static uint64_t implied_msr(uint64_t source)
{
    return source & PPC_STEP_MSR_PR ?
        PPC_STEP_MSR_EE | PPC_STEP_MSR_IR | PPC_STEP_MSR_DR : 0;
}

/* Replace the bits of MSR that @mask names by those of @source */
static void load_msr(PPCStepRegs *regs, uint64_t source, uint64_t mask)
{
    source |= implied_msr(source & mask);
    regs->msr = (regs->msr & ~mask) | (source & mask & regs->msr_mask);
}

static void return_from(PPCStepRegs *regs, uint64_t pc, uint64_t msr)
{
    /* HV and S can't be gained, ME is the hypervisor's (4.3.1) */
    load_msr(regs, msr, ~(PPC_STEP_MSR_HV | PPC_STEP_MSR_S | PPC_STEP_MSR_ME));
    regs->pc = pc & ~3ULL;
    if (!(regs->msr & PPC_STEP_MSR_SF)) {
        regs->pc = (uint32_t)regs->pc;
    }
}

static uint64_t mtmsr_mask(const PPCStepInsn *insn)
{
    if (insn->l & 1) {
        return PPC_STEP_MSR_EE | PPC_STEP_MSR_RI;
    }
    /* 5.4.4: HV, S, ME and LE stay; mtmsr leaves the upper half alone too */
    return (insn->cls == PPC_STEP_MTMSR ? 0xffffffffULL : ~0ULL) &
           ~(PPC_STEP_MSR_HV | PPC_STEP_MSR_S | PPC_STEP_MSR_ME |
             PPC_STEP_MSR_LE);
}

/*
 * The guest traces itself, and its interrupt has to be made (7.5.15).  Not of
 * it: SRR1[35:36] of a load or store, SIAR and SDAR.
 */
static void take_trace_interrupt(const PPCStepInsn *insn, PPCStepRegs *regs)
{
    uint8_t ail = effective_ail(regs->msr, regs->lpcr_ail);
    uint64_t keep = PPC_STEP_MSR_HV | PPC_STEP_MSR_S | PPC_STEP_MSR_ME;

    regs->srr0 = regs->pc;
    regs->srr1 = (regs->msr & ~PPC_STEP_SRR1_INFO) | PPC_STEP_SRR1_TRACE |
                 (insn->length == 8 ? PPC_STEP_SRR1_PREFIX : 0);
    regs->pc = vector_address(VECTOR_TRACE, ail);
    regs->msr = (regs->msr & keep) | PPC_STEP_MSR_SF |
                (regs->lpcr_ile ? PPC_STEP_MSR_LE : 0) |
                (ail ? PPC_STEP_MSR_IR | PPC_STEP_MSR_DR : 0);
}

/*
 * Do what the instruction does to @regs.  Returns: false for one that the
 * processor has to run.
 */
static bool emulate(const PPCStepInsn *insn, PPCStepRegs *regs)
{
    switch (insn->cls) {
    case PPC_STEP_MFMSR:
        regs->gpr[insn->reg] = regs->msr;
        break;
    case PPC_STEP_MFSRR:
        regs->gpr[insn->reg] = insn->spr == 26 ? regs->srr0 : regs->srr1;
        break;
    case PPC_STEP_MTSRR:
        *(insn->spr == 26 ? &regs->srr0 : &regs->srr1) = regs->gpr[insn->reg];
        break;
    case PPC_STEP_MTMSR:
    case PPC_STEP_MTMSRD:
        load_msr(regs, regs->gpr[insn->reg], mtmsr_mask(insn));
        break;
    case PPC_STEP_RFID:
        return_from(regs, regs->srr0, regs->srr1);
        return true;
    case PPC_STEP_RFSCV:
        if (!regs->isa300) {
            return false;
        }
        return_from(regs, regs->lr, regs->ctr);
        return true;
    default:
        return false;
    }
    regs->pc += 4;
    if (!(regs->msr & PPC_STEP_MSR_SF)) {
        regs->pc = (uint32_t)regs->pc;
    }
    return true;
}

/* The first instruction of the Trace handler, and a branch */
static bool emulate_branch(PPCStepPlan *plan)
{
    if (plan->insn.cls != PPC_STEP_BRANCH) {
        return false;
    }
    plan->after.pc = plan->next;
    if (!(plan->insn.bo & 4)) {
        plan->after.ctr--;
    }
    if (plan->insn.link) {
        plan->after.lr = plan->before.pc + 4;
    }
    return true;
}

static bool transactional(const PPCStepRegs *regs)
{
    return (regs->msr & PPC_STEP_MSR_TS) == PPC_STEP_MSR_TS_T;
}

static const char in_transaction[] =
    "can't step this instruction in a memory transaction";

static const char *refuse(const PPCStepPlan *plan)
{
    const PPCStepRegs *regs = &plan->before;
    uint64_t ts = regs->msr;

    if (plan->insn.cls == PPC_STEP_RFID) {
        ts |= regs->srr1;
    } else if (plan->insn.cls == PPC_STEP_RFSCV) {
        ts |= regs->ctr;
    } else if (plan->insn.cls == PPC_STEP_MTMSRD) {
        ts |= regs->gpr[plan->insn.reg];
    } else if (plan->insn.cls != PPC_STEP_MTMSR) {
        return NULL;
    }
    return ts & PPC_STEP_MSR_TS & regs->msr_mask ? in_transaction : NULL;
}

static bool is_traceable(const PPCStepPlan *plan)
{
    switch (plan->insn.cls) {
    case PPC_STEP_SC:
    case PPC_STEP_HCALL:
    case PPC_STEP_SCV:
        return false;
    default:
        return true;
    }
}

bool ppc_step_plan_untraced(PPCStepPlan *plan)
{
    plan->trace = false;
    plan->hide_trace = true;
    return plan->have_next && plan->next != plan->before.pc &&
           !transactional(&plan->before);
}

static void plan_run(PPCStepPlan *plan, bool noirq)
{
    const PPCStepRegs *regs = &plan->before;
    uint64_t trace = vector_address(VECTOR_TRACE,
                                    effective_ail(regs->msr, regs->lpcr_ail));

    plan->run = true;
    /* rfid and hrfid set EE together with PR: there is no masking it there */
    plan->mask_ee = noirq && privileged(regs) &&
                    (!is_cede(plan) || regs->msr & PPC_STEP_MSR_EE);
    plan->noirq = noirq;
    plan->trace = is_traceable(plan);
    if (plan->have_next && regs->pc == trace && plan->trace) {
        /* The vector can't be trapped: it is what has to run */
        ppc_step_plan_untraced(plan);
        plan->run = !emulate_branch(plan);
    }
}

static uint64_t wrap(const PPCStepPlan *plan, uint64_t pc)
{
    return plan->before.msr & PPC_STEP_MSR_SF ? pc : (uint32_t)pc;
}

static bool inside(const PPCStepPlan *plan, uint64_t pc)
{
    return wrap(plan, pc - plan->before.pc) <
           wrap(plan, plan->next - plan->before.pc);
}

static bool has_trap_inside(const PPCStepPlan *plan)
{
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr = ppc_step_plan_traps(plan, plan->before.lpcr_ail, traps);

    for (unsigned i = 0; i < nr; i++) {
        if (inside(plan, traps[i].pc)) {
            return true;
        }
    }
    return false;
}

typedef struct SequenceWords {
    const PPCStepInsn *first;
    const uint32_t *words;
    unsigned nr;
    uint32_t interrupts;    /* that those described so far may raise */
} SequenceWords;

static const char *describe(void *opaque, unsigned offset,
                            StepSequenceInsn *described)
{
    SequenceWords *w = opaque;
    unsigned i = offset / 4;
    PPCStepInsn insn;

    ppc_step_decode(w->words[i], i + 1 < w->nr ? w->words[i + 1] : 0, &insn);
    w->interrupts |= insn.interrupts;
    described->length = insn.length;
    described->disp = insn.disp;
    switch (insn.cls) {
    case PPC_STEP_PLAIN:
        described->kind = STEP_SEQUENCE_PLAIN;
        return insn.context ? "it changes translation" : NULL;
    case PPC_STEP_BRANCH:
        described->kind = STEP_SEQUENCE_BRANCH;
        return (insn.bo & 0x14) == 0x14 || insn.link ||
               insn.branch != PPC_STEP_BRANCH_REL ?
               "it has more than conditional branches" : NULL;
    case PPC_STEP_LARX:
        return "it has another load-and-reserve";
    case PPC_STEP_STCX:
        described->kind = STEP_SEQUENCE_STORE;
        return insn.mem_size != w->first->mem_size ?
               "its store-conditional has another size" : NULL;
    default:
        return "it has an instruction that may end it";
    }
}

const char *ppc_step_plan_sequence(PPCStepPlan *plan, const uint32_t *words,
                                   unsigned nr)
{
    SequenceWords w = { .first = &plan->insn, .words = words, .nr = nr };
    PPCStepPlan changed = *plan;
    uint64_t pc = plan->before.pc;
    StepSequence seq;
    const char *reason;

    if (plan->before.msr & (PPC_STEP_MSR_SE | PPC_STEP_MSR_BE)) {
        return "the guest traces itself";
    }
    if (transactional(&plan->before)) {
        return "it is in a memory transaction";
    }
    reason = step_sequence_find(&seq, plan->insn.length, 4 * nr, describe, &w);
    if (reason) {
        return reason;
    }
    changed.insn.interrupts |= w.interrupts;
    changed.sequence = true;
    changed.trace = false;
    changed.hide_trace = true;
    changed.next = wrap(plan, pc + seq.end);
    changed.nr_exits = seq.nr_exits;
    for (unsigned i = 0; i < seq.nr_exits; i++) {
        changed.exits[i] = wrap(plan, pc + seq.exits[i]);
    }
    if (has_trap_inside(&changed)) {
        return "it runs over a vector";
    }
    *plan = changed;
    return NULL;
}

const char *ppc_step_plan_make(PPCStepPlan *plan, const PPCStepRegs *regs,
                               const uint32_t *words, bool noirq)
{
    PPCStepBranchRegs branch = {
        .pc = regs->pc, .lr = regs->lr, .ctr = regs->ctr, .tar = regs->tar,
        .cr = regs->cr, .sf = regs->msr & PPC_STEP_MSR_SF,
    };
    const char *reason;

    memset(plan, 0, sizeof(*plan));
    plan->before = *regs;
    plan->after = *regs;
    if (!words) {
        plan->insn.interrupts = PPC_STEP_INT_ALL;
        plan_run(plan, noirq);
        return NULL;
    }

    plan->have_insn = true;
    ppc_step_decode(words[0], words[1], &plan->insn);
    switch (plan->insn.cls) {
    case PPC_STEP_SC:
    case PPC_STEP_SCV:
    case PPC_STEP_RFEBB:
        break;
    default:
        plan->have_next = true;
        plan->next = ppc_step_successor(&plan->insn, &branch);
    }

    reason = privileged(regs) ? refuse(plan) : NULL;
    if (reason) {
        return reason;
    }
    if (!privileged(regs) || !emulate(&plan->insn, &plan->after)) {
        plan_run(plan, noirq);
        /*
         * It does not run: the transaction failed when the vCPU stopped.  The
         * failure handler comes next, which the Trace interrupt alone finds.
         */
        if (plan->run && !plan->trace && transactional(regs)) {
            return in_transaction;
        }
    } else if (regs->msr & PPC_STEP_MSR_SE &&
               plan->insn.cls != PPC_STEP_RFID &&
               plan->insn.cls != PPC_STEP_RFSCV) {
        take_trace_interrupt(&plan->insn, &plan->after);
    }
    return NULL;
}

static const struct {
    uint8_t interrupt;
    uint16_t vector;
} synchronous[] = {
    { PPC_STEP_INT_DATA,     0x300 },
    { PPC_STEP_INT_DATA,     0x380 },
    { PPC_STEP_INT_FETCH,    0x400 },
    { PPC_STEP_INT_FETCH,    0x480 },
    { PPC_STEP_INT_DATA,     0x600 },
    { PPC_STEP_INT_PROGRAM,  0x700 },
    { PPC_STEP_INT_FP,       0x800 },
    { PPC_STEP_INT_VEC,      0xf20 },
    { PPC_STEP_INT_VSX,      0xf40 },
    { PPC_STEP_INT_FACILITY, 0xf60 },
};

/*
 * External, decrementer, doorbell, performance monitor (7.4).  The last one
 * can't be held back.
 */
#define VECTOR_PERFMON 0xf00
static const uint16_t asynchronous[] = { 0x500, 0x900, 0xa00, VECTOR_PERFMON };

static bool can_undo(uint32_t vector)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(asynchronous); i++) {
        if (vector == asynchronous[i]) {
            return vector != VECTOR_PERFMON;
        }
    }
    return false;
}

typedef struct TrapList {
    PPCStepTrapAt *traps;
    unsigned nr;
    uint64_t not_here;
    uint8_t ail;
} TrapList;

static void add_trap(TrapList *list, uint64_t pc, PPCStepTrapKind kind,
                     uint32_t vector, bool ir)
{
    if (pc != list->not_here) {
        g_assert(list->nr < PPC_STEP_TRAPS_MAX);
        list->traps[list->nr++] = (PPCStepTrapAt) { pc, kind, vector, ir };
    }
}

static void add_vector(TrapList *list, uint32_t vector)
{
    uint64_t pc = vector_address(vector, list->ail);

    add_trap(list, pc, vector == VECTOR_TRACE ? PPC_STEP_TRAP_TRACE :
             PPC_STEP_TRAP_INTERRUPT, vector, pc != vector);
}

unsigned ppc_step_plan_traps(const PPCStepPlan *plan, uint8_t ail,
                             PPCStepTrapAt *traps)
{
    const PPCStepInsn *insn = &plan->insn;
    TrapList list = {
        .traps = traps,
        .not_here = plan->before.pc,
        .ail = effective_ail(plan->before.msr, ail),
    };

    if (plan->trace) {
        add_vector(&list, VECTOR_TRACE);
    }
    if (plan->have_next) {
        add_trap(&list, plan->next, PPC_STEP_TRAP_NEXT, 0,
                 plan->before.msr & PPC_STEP_MSR_IR);
    }
    for (unsigned i = 0; i < plan->nr_exits; i++) {
        add_trap(&list, plan->exits[i], PPC_STEP_TRAP_NEXT, 0,
                 plan->before.msr & PPC_STEP_MSR_IR);
    }
    add_vector(&list, 0x100);
    add_vector(&list, 0x200);
    for (unsigned i = 0; i < G_N_ELEMENTS(plan->before.fwnmi); i++) {
        if (plan->before.fwnmi[i]) {
            add_trap(&list, plan->before.fwnmi[i], PPC_STEP_TRAP_INTERRUPT,
                     i ? 0x200 : 0x100, false);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(synchronous); i++) {
        if (insn->interrupts & synchronous[i].interrupt) {
            add_vector(&list, synchronous[i].vector);
        }
    }
    /* H_CEDE sets EE */
    if (!plan->mask_ee || is_cede(plan)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(asynchronous); i++) {
            add_vector(&list, asynchronous[i]);
        }
    }
    if (insn->cls == PPC_STEP_SC || insn->cls == PPC_STEP_HCALL ||
        !plan->have_insn) {
        /* From problem state a hypercall comes back as a system call */
        add_vector(&list, 0xc00);
    }
    if (insn->cls == PPC_STEP_SCV ||
        (!plan->have_insn && plan->before.isa300)) {
        /* Of an unknown instruction: level 0, the only one that Linux has */
        uint64_t base = list.ail == 3 ? SCV_BASE_AIL : PPC_STEP_VECTOR_SCV;

        add_trap(&list, base + insn->l * 0x20, PPC_STEP_TRAP_INTERRUPT,
                 PPC_STEP_VECTOR_SCV, list.ail == 3);
    }
    return list.nr;
}

uint64_t ppc_step_plan_enter_msr(const PPCStepPlan *plan)
{
    uint64_t msr = plan->before.msr;

    if (plan->trace) {
        msr |= PPC_STEP_MSR_SE;
    }
    if (plan->hide_trace) {
        msr &= ~(PPC_STEP_MSR_SE | PPC_STEP_MSR_BE);
    }
    if (plan->mask_ee) {
        msr &= ~PPC_STEP_MSR_EE;
    }
    return msr;
}

/* Give the guest's own bits back to an MSR or an image of it */
static uint64_t guest_bits(const PPCStepPlan *plan, uint64_t msr)
{
    uint64_t changed =
        (plan->trace ? PPC_STEP_MSR_SE : 0) |
        (plan->hide_trace ? PPC_STEP_MSR_SE | PPC_STEP_MSR_BE : 0) |
        (plan->mask_ee ? PPC_STEP_MSR_EE : 0);

    return (msr & ~changed) | (plan->before.msr & changed);
}

static bool guest_wants_trace(const PPCStepPlan *plan)
{
    return plan->before.msr & PPC_STEP_MSR_SE ||
           (plan->before.msr & PPC_STEP_MSR_BE &&
            plan->insn.cls == PPC_STEP_BRANCH);
}

/* It has completed, and no interrupt was taken */
static void finish_next(const PPCStepPlan *plan, PPCStepRegs *regs)
{
    regs->msr = guest_bits(plan, regs->msr);
    if (plan->hide_trace && guest_wants_trace(plan)) {
        take_trace_interrupt(&plan->insn, regs);
    }
}

static void finish_trace(const PPCStepPlan *plan, PPCStepRegs *regs)
{
    uint64_t msr = guest_bits(plan, regs->srr1);

    if (guest_wants_trace(plan)) {
        regs->srr1 = msr;
        return;
    }
    /* The information bits are reserved in MSR, and zero */
    regs->pc = regs->srr0;
    regs->msr = msr & ~PPC_STEP_SRR1_INFO;
    regs->srr0 = plan->before.srr0;
    regs->srr1 = plan->before.srr1;
}

static void finish_interrupt(const PPCStepPlan *plan, uint32_t vector,
                             PPCStepRegs *regs)
{
    if (vector == PPC_STEP_VECTOR_SCV) {
        /* scv saves MSR in CTR, and leaves EE alone (4.3.1) */
        regs->ctr = guest_bits(plan, regs->ctr);
        regs->msr = guest_bits(plan, regs->msr);
    } else {
        regs->srr1 = guest_bits(plan, regs->srr1);
    }
}

/*
 * No instruction has taken this interrupt, which comes between two of them:
 * back to where it came.
 */
static PPCStepEnd undo_interrupt(const PPCStepPlan *plan, PPCStepRegs *regs)
{
    regs->pc = regs->srr0;
    regs->msr = guest_bits(plan, regs->srr1) & ~PPC_STEP_SRR1_INFO;
    regs->srr0 = plan->before.srr0;
    regs->srr1 = plan->before.srr1;
    return regs->pc == plan->before.pc ? PPC_STEP_END_AGAIN :
                                         PPC_STEP_END_DONE;
}

static PPCStepEnd finish_at(const PPCStepPlan *plan, const PPCStepTrapAt *at,
                            PPCStepRegs *regs, uint32_t *undone)
{
    switch (at->kind) {
    case PPC_STEP_TRAP_NEXT:
        finish_next(plan, regs);
        break;
    case PPC_STEP_TRAP_TRACE:
        finish_trace(plan, regs);
        break;
    case PPC_STEP_TRAP_INTERRUPT:
        if (plan->noirq && can_undo(at->vector)) {
            *undone = at->vector;
            return undo_interrupt(plan, regs);
        }
        finish_interrupt(plan, at->vector, regs);
        break;
    }
    return PPC_STEP_END_DONE;
}

PPCStepEnd ppc_step_plan_finish(const PPCStepPlan *plan, uint8_t ail,
                                PPCStepRegs *regs, uint32_t *undone)
{
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr = ppc_step_plan_traps(plan, ail, traps);
    /*
     * An instruction may complete at the address of a vector.  Interrupts
     * clear SE, so with SE still set none was taken.
     */
    bool no_interrupt = plan->trace && regs->msr & PPC_STEP_MSR_SE;

    *undone = 0;
    for (unsigned i = 0; i < nr; i++) {
        if (traps[i].pc == regs->pc &&
            (!plan->trace ||
             no_interrupt == (traps[i].kind == PPC_STEP_TRAP_NEXT))) {
            return finish_at(plan, &traps[i], regs, undone);
        }
    }
    ppc_step_plan_undo(plan, regs);
    return PPC_STEP_END_DONE;
}

void ppc_step_plan_undo(const PPCStepPlan *plan, PPCStepRegs *regs)
{
    regs->msr = guest_bits(plan, regs->msr);
}
