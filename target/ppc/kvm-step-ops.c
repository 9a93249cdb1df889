/*
 * What a step session asks of a Book III processor under KVM HV
 *
 * What a step is to do is decided in step-plan.c, when in step-session.c.  Here
 * that becomes addresses in guest memory and registers of the vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "exec/target_page.h"
#include "system/kvm.h"
#include "kvm-breakpoints.h"
#include "kvm-regs.h"
#include "kvm-step-internal.h"
#include "trace.h"

#define HCALL 0x44000022

static bool follows_hcall(uint64_t phys, bool le)
{
    uint32_t word;

    if (!(phys & ~TARGET_PAGE_MASK) ||
        kvmppc_memory_read(phys - 4, &word, sizeof(word))) {
        return false;
    }
    breakpoint_set_restore(kvmppc_breakpoints, phys - 4, &word, sizeof(word));
    return (le ? le32_to_cpu(word) : be32_to_cpu(word)) == HCALL;
}

/*
 * The instruction and the word behind it.  Returns: 1 if they were read, 0 if
 * the address is not mapped, a negative errno if it is and can't be read.
 */
static int fetch(PPCStep *step, const PPCStepRegs *regs, StepPlan *plan,
                 uint32_t words[2])
{
    bool le = regs->msr & PPC_STEP_MSR_LE;
    uint64_t phys;

    if (!kvmppc_xlate(step->cpu, regs->pc, MMU_INST_FETCH,
                      kvmppc_fetch_mode(regs), &phys)) {
        return 0;
    }
    plan->has_insn = true;
    plan->insn_addr = phys;
    step->follows_hcall = follows_hcall(phys, le);
    words[1] = 0;
    for (int i = 0; i < 2; i++) {
        uint32_t word;
        int ret = kvmppc_memory_read(phys + 4 * i, &word, sizeof(word));

        if (ret) {
            plan->reason = "can't read the instruction";
            plan->reason_addr = regs->pc;
            return ret;
        }
        breakpoint_set_restore(kvmppc_breakpoints, phys + 4 * i, &word,
                               sizeof(word));
        words[i] = le ? le32_to_cpu(word) : be32_to_cpu(word);
        /* A prefixed instruction does not cross a 64-byte boundary */
        if (!ppc_step_is_prefix(words[0])) {
            break;
        }
    }
    return 1;
}

static bool get_tar(PPCStep *step, PPCStepRegs *regs, const uint32_t *words)
{
    PPCStepInsn insn;

    ppc_step_decode(words[0], words[1], &insn);
    if (insn.cls != PPC_STEP_BRANCH || insn.branch != PPC_STEP_BRANCH_TAR ||
        CPU(step->cpu)->vcpu_dirty) {
        return true;
    }
    return !kvm_get_one_reg(CPU(step->cpu), KVM_REG_PPC_TAR, &regs->tar);
}

/* Does the instruction itself read or write the trap at @trap? */
static bool touches(PPCStep *step, uint64_t trap)
{
    const PPCStepInsn *insn = &step->plan.insn;
    const PPCStepRegs *regs = &step->plan.before;
    uint64_t ea, phys;

    if (!step->plan.have_insn || !insn->mem) {
        return false;
    }
    ea = ppc_step_mem_ea(insn, regs->pc, regs->gpr,
                         regs->msr & PPC_STEP_MSR_SF);
    for (unsigned i = 0; i < insn->mem_size; i++) {
        /* Translation keeps the offset in the page: most are ruled out here */
        if (((ea + i) ^ trap) & 0xffc) {
            continue;
        }
        if (kvmppc_xlate(step->cpu, ea + i, MMU_DATA_LOAD,
                         kvmppc_data_mode(regs), &phys) &&
            (phys & ~3ULL) == trap) {
            return true;
        }
    }
    return false;
}

static int place_trap(PPCStep *step, const PPCStepTrapAt *at, StepPlan *plan)
{
    KvmPpcXlateMode kernel = { .relocated = at->ir };
    KvmPpcXlateMode mode = at->kind == PPC_STEP_TRAP_NEXT ?
                     kvmppc_fetch_mode(&step->plan.before) : kernel;
    StepTrap *trap = &plan->traps[plan->nr_traps];

    if (!kvmppc_xlate(step->cpu, at->pc, MMU_INST_FETCH, mode, &trap->addr)) {
        /* Fetching what is there will raise an interrupt: trapped */
        if (step->plan.trace && (at->kind == PPC_STEP_TRAP_NEXT ||
                                 at->vector == PPC_STEP_VECTOR_SCV)) {
            return 0;
        }
        plan->reason = "an address where the step may end is not mapped";
        plan->reason_addr = at->pc;
        return -EFAULT;
    }
    if (touches(step, trap->addr)) {
        /* A trap that the instruction would read or lose is left out */
        if (at->kind == PPC_STEP_TRAP_TRACE) {
            plan->reason = "the instruction accesses the Trace vector";
            plan->reason_addr = at->pc;
            return -EAGAIN;
        }
        if (at->kind == PPC_STEP_TRAP_NEXT && !step->plan.trace) {
            plan->reason = "the instruction accesses the next one and the "
                           "Trace vector";
            plan->reason_addr = at->pc;
            return -ENOTSUP;
        }
        return 0;
    }
    trap->pc = at->pc;
    plan->nr_traps++;
    return 0;
}

static int step_place(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr;
    int ret;

    QEMU_BUILD_BUG_ON(PPC_STEP_TRAPS_MAX > STEP_TRAPS_MAX);
    step->ail = kvmppc_regs_ail(CPU(step->cpu));
again:
    plan->nr_traps = 0;
    nr = ppc_step_plan_traps(&step->plan, step->ail, traps);
    for (unsigned i = 0; i < nr; i++) {
        ret = place_trap(step, &traps[i], plan);
        if (ret == -EAGAIN && ppc_step_plan_untraced(&step->plan)) {
            goto again;
        }
        if (ret) {
            return ret;
        }
    }
    return 0;
}

static bool has_trap_at(const StepPlan *plan, uint64_t addr)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        if (plan->traps[i].addr == addr) {
            return true;
        }
    }
    return false;
}

/*
 * Of two vCPUs stepped at the same time neither may need a trap on the
 * instruction of the other, which is not trapped while that one runs it.
 * One that steps over a foreign trap runs alone: see force_traps().
 */
static int check_others(PPCStep *step, StepPlan *plan)
{
    CPUState *cs;

    if (step->stepping_over) {
        return 0;
    }
    CPU_FOREACH(cs) {
        PPCStep *other = kvmppc_get_step(cs);
        StepPlan *theirs;

        if (!other || other == step || other->stepping_over ||
            !other->session.armed) {
            continue;
        }
        theirs = &other->session.plan;
        if ((theirs->has_insn && has_trap_at(plan, theirs->insn_addr)) ||
            (plan->has_insn && has_trap_at(theirs, plan->insn_addr))) {
            plan->reason = "another vCPU is being stepped there";
            return -EBUSY;
        }
    }
    return 0;
}

/*
 * A load-and-reserve, with all up to its store-conditional.  Returns: false if
 * it has to be stepped by itself.
 */
static bool place_sequence(PPCStep *step, StepPlan *plan)
{
    static uint64_t told;
    uint32_t words[STEP_SEQUENCE_WORDS_MAX];
    PPCStepPlan alone = step->plan;
    const PPCStepRegs *regs = &alone.before;
    const char *reason;

    if (regs->msr & (PPC_STEP_MSR_SE | PPC_STEP_MSR_BE)) {
        /* The guest wants to see each of them */
        return false;
    }
    reason = ppc_step_plan_sequence(&step->plan, words,
                                    kvmppc_fetch(step->cpu, regs, words,
                                                 G_N_ELEMENTS(words)));
    if (!reason) {
        if (!step_place(step, plan) && !check_others(step, plan)) {
            return true;
        }
        reason = plan->reason;
        step->plan = alone;
    }
    if (told != regs->pc) {
        told = regs->pc;
        warn_report("the load-and-reserve at 0x%" PRIx64 " is stepped by "
                    "itself, which loses the reservation: %s", regs->pc,
                    reason);
    }
    return false;
}

static int step_plan(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    CPUState *cs = CPU(step->cpu);
    PPCStepRegs regs;
    uint32_t words[2];
    int ret = kvmppc_step_regs_get(CPU(step->cpu), &regs);

    if (ret) {
        plan->reason = "can't read the registers";
        return ret;
    }
    plan->reason_addr = regs.pc;
    kvmppc_regs_read_mmu(cs);
    ret = fetch(step, &regs, plan, words);
    if (ret < 0) {
        return ret;
    }
    if (ret && !get_tar(step, &regs, words)) {
        plan->reason = "can't read TAR";
        return -EIO;
    }
    plan->reason = ppc_step_plan_make(&step->plan, &regs, ret ? words : NULL,
                                      (step->stepping_over && !step->alone) ||
                                      cs->singlestep_flags & SSTEP_NOIRQ);
    if (plan->reason) {
        return -ENOTSUP;
    }
    plan->run = step->plan.run;
    trace_kvm_ppc_step_plan(cs->cpu_index, regs.pc, ret ? words[0] : 0,
                            step->plan.insn.cls, plan->run, step->plan.trace);
    if (!plan->run) {
        return 0;
    }
    if (step->plan.insn.cls == PPC_STEP_LARX && place_sequence(step, plan)) {
        return 0;
    }
    ret = step_place(step, plan);
    return ret ? ret : check_others(step, plan);
}

static int step_enter(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs = plan->run ? step->plan.before : step->plan.after;
    int ret;

    if (plan->run) {
        regs.msr = ppc_step_plan_enter_msr(&step->plan);
    }
    ret = kvmppc_step_regs_put(CPU(step->cpu), &regs, plan->run);
    if (ret) {
        plan->reason = "can't write the registers";
    }
    return ret;
}

/*
 * The plan's effect on the registers is undone in a copy of them, so that
 * after an error nothing has changed.
 */
static int step_finish(void *vcpu, StepPlan *plan, uint64_t pc)
{
    PPCStep *step = vcpu;
    CPUState *cs = CPU(step->cpu);
    PPCStepRegs regs;
    uint32_t undone;
    PPCStepEnd end;
    int ret = kvmppc_step_regs_get(CPU(step->cpu), &regs);

    if (ret) {
        return ret;
    }
    end = ppc_step_plan_finish(&step->plan, step->ail, &regs, &undone);
    if (undone && kvmppc_irq_hold(cs, &step->held, undone)) {
        /* It can't be held back, and ends the step at its vector */
        kvmppc_step_regs_get(CPU(step->cpu), &regs);
        step->plan.noirq = false;
        end = ppc_step_plan_finish(&step->plan, step->ail, &regs, &undone);
    }
    trace_kvm_ppc_step_finish(cs->cpu_index, pc, regs.pc, regs.msr, undone);
    ret = kvmppc_step_regs_put(CPU(step->cpu), &regs, false);
    if (ret) {
        return ret;
    }
    if (end == PPC_STEP_END_DONE) {
        kvmppc_step_release_held(step);
    }
    return end == PPC_STEP_END_AGAIN;
}

void kvmppc_step_release_held(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    int ret = kvmppc_irq_release(cs, &step->held);

    if (ret && !step->held.told) {
        error_report("can't let an interrupt of CPU %d come that a step has "
                     "held back: %s; to be tried again", cs->cpu_index,
                     strerror(-ret));
    }
    step->held.told = ret != 0;
}

static int step_undo(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs;
    int ret = kvmppc_step_regs_get(CPU(step->cpu), &regs);

    if (ret) {
        return ret;
    }
    ppc_step_plan_undo(&step->plan, &regs);
    trace_kvm_ppc_step_undo(CPU(step->cpu)->cpu_index, regs.pc);
    ret = kvmppc_step_regs_put(CPU(step->cpu), &regs, false);
    if (!ret) {
        kvmppc_step_release_held(step);
    }
    return ret;
}

int kvmppc_step_get_pc(void *vcpu, uint64_t *pc)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs;
    int ret = kvmppc_step_regs_get(CPU(step->cpu), &regs);

    *pc = regs.pc;
    return ret;
}

const StepOps kvmppc_step_ops = {
    .plan = step_plan,
    .place = step_place,
    .enter = step_enter,
    .finish = step_finish,
    .undo = step_undo,
    .get_pc = kvmppc_step_get_pc,
};
