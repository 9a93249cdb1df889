/*
 * Breakpoints and single-stepping for KVM on Book III processors
 *
 * What to do is decided in step-plan.c; when, in step-session.c.  Here are the
 * registers, the memory and the occasions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "accel/step-session.h"
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "hw/core/boards.h"
#include "system/cpus.h"
#include "system/dma.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "helper_regs.h"
#include "internal.h"
#include "kvm_ppc.h"
#include "kvm-irq-hold.h"
#include "kvm-points.h"
#include "kvm-regs.h"
#include "kvm-step.h"
#include "step-plan.h"
#include "trace.h"

typedef struct PPCStep {
    StepSession session;
    PowerPCCPU *cpu;
    PPCStepPlan plan;
    KvmPpcHeld held;            /* interrupts, during a step */
    QEMUTimer *overdue;
    bool follows_hcall;         /* and may be waiting for an interrupt */
    bool carry_queued;          /* see carry() */
    bool carry_point;           /* over what a point matched in vain */
    bool carrying;
    bool alone;                 /* to be stepped while no other vCPU runs */
    bool overdue_end;           /* the step was given up waiting for */
    bool in_guest;              /* see run_lock */
} PPCStep;

static BreakpointSet *breakpoints;
static GHashTable *user_addresses;      /* gdb's address -> where it is */
static PPCStep **steps;                 /* by cpu_index; never moves */
static uint32_t trap_word;
static bool active;

/*
 * One vCPU may have to run while no other is in the guest.  start_exclusive()
 * is not for that: it waits for vCPUs that are in QEMU too, and those wait for
 * this one if their hypercall is to be done on all vCPUs (H_SET_MODE).
 */
static QemuMutex run_lock;
static QemuCond run_cond;
static PPCStep *alone;

/* Guest memory, by guest physical address */

static int memory_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    MemTxResult r = address_space_read(&address_space_memory, addr,
                                       MEMTXATTRS_UNSPECIFIED, buf, len);

    return r == MEMTX_OK ? 0 : -EFAULT;
}

static int memory_write(void *opaque, uint64_t addr, const void *buf,
                        size_t len)
{
    /* Firmware in ROM can be stepped, too */
    MemTxResult r = address_space_write_rom(&address_space_memory, addr,
                                            MEMTXATTRS_UNSPECIFIED, buf, len);

    if (r != MEMTX_OK) {
        return -EFAULT;
    }
    address_space_flush_icache_range(&address_space_memory, addr, len);
    return 0;
}

static const BreakpointMemory guest_memory = {
    .read = memory_read,
    .write = memory_write,
};

/*
 * Translation, for the mode that is meant and not the one the vCPU is in: a
 * vector is met with other IR, DR and PR than the instruction before it.
 */

typedef struct XlateMode {
    bool relocated;
    bool problem_state;
} XlateMode;

static bool translate(PowerPCCPU *cpu, vaddr addr, MMUAccessType access,
                      XlateMode mode, uint64_t *phys)
{
    /* As mmu-books.h has it; a guest under KVM is never in HV state */
    int mmu_idx = (mode.problem_state ? 0 : 1) | (mode.relocated ? 0 : 2);
    hwaddr raddr;
    int psize, prot;

    if (!ppc_xlate(cpu, addr, access, &raddr, &psize, &prot, mmu_idx, false)) {
        return false;
    }
    *phys = raddr;
    return true;
}

static XlateMode fetch_mode(const PPCStepRegs *regs)
{
    return (XlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_IR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

static XlateMode data_mode(const PPCStepRegs *regs)
{
    return (XlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_DR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

/*
 * Registers.  If QEMU's copy is the valid one it is used, and KVM gets it on
 * the next entry anyway; otherwise one ioctl has all that a step needs.
 */

static void regs_from_env(CPUPPCState *env, PPCStepRegs *regs)
{
    for (int i = 0; i < 32; i++) {
        regs->gpr[i] = env->gpr[i];
    }
    regs->pc = env->nip;
    regs->msr = env->msr;
    regs->srr0 = env->spr[SPR_SRR0];
    regs->srr1 = env->spr[SPR_SRR1];
    regs->lr = env->lr;
    regs->ctr = env->ctr;
    regs->cr = ppc_get_cr(env);
    regs->tar = env->spr[SPR_TAR];
}

static int regs_from_kvm(PPCStep *step, PPCStepRegs *regs)
{
    const struct kvm_regs *kvm;
    int ret = kvmppc_regs_read(CPU(step->cpu), &kvm);

    if (ret < 0) {
        return ret;
    }
    memcpy(regs->gpr, kvm->gpr, sizeof(regs->gpr));
    regs->pc = kvm->pc;
    regs->msr = kvm->msr;
    regs->srr0 = kvm->srr0;
    regs->srr1 = kvm->srr1;
    regs->lr = kvm->lr;
    regs->ctr = kvm->ctr;
    regs->cr = kvm->cr;
    return 0;
}

static uint8_t current_ail(PPCStep *step)
{
    return (step->cpu->env.spr[SPR_LPCR] & LPCR_AIL) >> LPCR_AIL_SHIFT;
}

static int regs_get(PPCStep *step, PPCStepRegs *regs)
{
    CPUPPCState *env = &step->cpu->env;
    int ret = 0;

    memset(regs, 0, sizeof(*regs));
    if (CPU(step->cpu)->vcpu_dirty) {
        regs_from_env(env, regs);
    } else {
        ret = regs_from_kvm(step, regs);
    }
    regs->lpcr_ail = current_ail(step);
    regs->lpcr_ile = env->spr[SPR_LPCR] & LPCR_ILE;
    regs->msr_mask = env->msr_mask;
    regs->isa300 = env->insns_flags2 & PPC2_ISA300;
    return ret;
}

static void regs_to_env(CPUPPCState *env, const PPCStepRegs *regs)
{
    for (int i = 0; i < 32; i++) {
        env->gpr[i] = regs->gpr[i];
    }
    env->nip = regs->pc;
    env->msr = regs->msr;
    hreg_compute_hflags(env);
    env->spr[SPR_SRR0] = regs->srr0;
    env->spr[SPR_SRR1] = regs->srr1;
    env->lr = regs->lr;
    env->ctr = regs->ctr;
}

/* @now: find out now if it fails */
static int regs_put(PPCStep *step, const PPCStepRegs *regs, bool now)
{
    CPUState *cs = CPU(step->cpu);
    const struct kvm_regs *old;
    struct kvm_regs kvm;
    int ret;

    if (cs->vcpu_dirty) {
        regs_to_env(&step->cpu->env, regs);
        return 0;
    }
    ret = kvmppc_regs_read(cs, &old);
    if (ret) {
        return ret;
    }
    kvm = *old;
    memcpy(kvm.gpr, regs->gpr, sizeof(regs->gpr));
    kvm.pc = regs->pc;
    kvm.msr = regs->msr;
    kvm.srr0 = regs->srr0;
    kvm.srr1 = regs->srr1;
    kvm.lr = regs->lr;
    kvm.ctr = regs->ctr;
    return kvmppc_regs_write(cs, &kvm, now);
}

/* NULL while a vCPU that is being plugged has not been initialised */
static PPCStep *get_step(CPUState *cs)
{
    return qatomic_load_acquire(&steps[cs->cpu_index]);
}

/* The session's view of this architecture */

#define HCALL 0x44000022

static bool follows_hcall(uint64_t phys, bool le)
{
    uint32_t word;

    return phys & ~TARGET_PAGE_MASK &&
           !memory_read(NULL, phys - 4, &word, sizeof(word)) &&
           (le ? le32_to_cpu(word) : be32_to_cpu(word)) == HCALL;
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

    if (!translate(step->cpu, regs->pc, MMU_INST_FETCH, fetch_mode(regs),
                   &phys)) {
        return 0;
    }
    plan->has_insn = true;
    plan->insn_addr = phys;
    step->follows_hcall = follows_hcall(phys, le);
    words[1] = 0;
    for (int i = 0; i < 2; i++) {
        uint32_t word;
        int ret = memory_read(NULL, phys + 4 * i, &word, sizeof(word));

        if (ret) {
            plan->reason = "can't read the instruction";
            plan->reason_addr = regs->pc;
            return ret;
        }
        breakpoint_set_restore(breakpoints, phys + 4 * i, &word, sizeof(word));
        words[i] = le ? le32_to_cpu(word) : be32_to_cpu(word);
        /* A prefixed instruction does not cross a 64-byte boundary */
        if (!ppc_step_is_prefix(words[0])) {
            break;
        }
    }
    return 1;
}

/* Returns: how many words from the instruction on can be read, up to @max */
static unsigned fetch_more(PPCStep *step, const PPCStepRegs *regs,
                           uint32_t *words, unsigned max)
{
    bool le = regs->msr & PPC_STEP_MSR_LE;

    for (unsigned i = 0; i < max; i++) {
        uint64_t phys;
        uint32_t word;

        if (!translate(step->cpu, regs->pc + 4 * i, MMU_INST_FETCH,
                       fetch_mode(regs), &phys) ||
            memory_read(NULL, phys, &word, sizeof(word))) {
            return i;
        }
        breakpoint_set_restore(breakpoints, phys, &word, sizeof(word));
        words[i] = le ? le32_to_cpu(word) : be32_to_cpu(word);
    }
    return max;
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
        if (translate(step->cpu, ea + i, MMU_DATA_LOAD, data_mode(regs),
                      &phys) && (phys & ~3ULL) == trap) {
            return true;
        }
    }
    return false;
}

static int place_trap(PPCStep *step, const PPCStepTrapAt *at, StepPlan *plan)
{
    XlateMode kernel = { .relocated = at->ir };
    XlateMode mode = at->kind == PPC_STEP_TRAP_NEXT ?
                     fetch_mode(&step->plan.before) : kernel;
    StepTrap *trap = &plan->traps[plan->nr_traps];

    if (!translate(step->cpu, at->pc, MMU_INST_FETCH, mode, &trap->addr)) {
        /* Fetching the next instruction will raise an interrupt: trapped */
        if (at->kind == PPC_STEP_TRAP_NEXT && step->plan.trace) {
            return 0;
        }
        plan->reason = "an address where the step may end is not mapped";
        plan->reason_addr = at->pc;
        return -EFAULT;
    }
    if (touches(step, trap->addr)) {
        /* A trap that the instruction would read or lose is left out */
        if (at->kind == PPC_STEP_TRAP_TRACE) {
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
again:
    plan->nr_traps = 0;
    nr = ppc_step_plan_traps(&step->plan, current_ail(step), traps);
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
 * One that is carried over a trap runs alone: see force_traps().
 */
static int check_others(PPCStep *step, StepPlan *plan)
{
    CPUState *cs;

    if (step->carrying) {
        return 0;
    }
    CPU_FOREACH(cs) {
        PPCStep *other = get_step(cs);
        StepPlan *theirs;

        if (!other || other == step || other->carrying ||
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
    uint32_t words[PPC_STEP_SEQUENCE_MAX];
    PPCStepPlan alone = step->plan;
    const PPCStepRegs *regs = &alone.before;
    const char *reason;

    if (regs->msr & (PPC_STEP_MSR_SE | PPC_STEP_MSR_BE)) {
        /* The guest wants to see each of them */
        return false;
    }
    reason = ppc_step_plan_sequence(&step->plan, words,
                                    fetch_more(step, regs, words,
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
    int ret = regs_get(step, &regs);

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
                                      (step->carrying && !step->alone) ||
                                      cs->singlestep_flags & SSTEP_NOIRQ);
    if (plan->reason) {
        return -ENOTSUP;
    }
    plan->run = step->plan.run;
    trace_kvm_step_plan(cs->cpu_index, regs.pc, ret ? words[0] : 0,
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
    ret = regs_put(step, &regs, plan->run);
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
    int ret = regs_get(step, &regs);

    if (ret) {
        return ret;
    }
    end = ppc_step_plan_finish(&step->plan, regs.lpcr_ail, &regs, &undone);
    if (undone && kvmppc_irq_hold(cs, &step->held, undone)) {
        /* It can't be held back, and ends the step at its vector */
        regs_get(step, &regs);
        step->plan.noirq = false;
        end = ppc_step_plan_finish(&step->plan, regs.lpcr_ail, &regs, &undone);
    }
    trace_kvm_step_finish(cs->cpu_index, pc, regs.pc, regs.msr, undone);
    if (end == PPC_STEP_END_DONE) {
        ret = kvmppc_irq_release(cs, &step->held);
    }
    if (!ret) {
        ret = regs_put(step, &regs, false);
    }
    return ret ? ret : end == PPC_STEP_END_AGAIN;
}

static int step_undo(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs;
    int ret = regs_get(step, &regs);

    if (!ret) {
        ret = kvmppc_irq_release(CPU(step->cpu), &step->held);
    }
    if (ret) {
        return ret;
    }
    ppc_step_plan_undo(&step->plan, &regs);
    trace_kvm_step_undo(CPU(step->cpu)->cpu_index, regs.pc);
    return regs_put(step, &regs, false);
}

static int step_get_pc(void *vcpu, uint64_t *pc)
{
    PPCStepRegs regs;
    int ret = regs_get(vcpu, &regs);

    *pc = regs.pc;
    return ret;
}

static const StepOps step_ops = {
    .plan = step_plan,
    .place = step_place,
    .enter = step_enter,
    .finish = step_finish,
    .undo = step_undo,
    .get_pc = step_get_pc,
};

/* The occasions */

static void step_overdue(void *opaque);
static void queue_carry(PPCStep *step);
static void do_leave_point(CPUState *cs, run_on_cpu_data data);

void kvmppc_step_init(CPUState *cs, uint32_t trap)
{
    PPCStep *step;

    kvmppc_regs_init();
    if (!breakpoints) {
        trap_word = trap;
        breakpoints = breakpoint_set_new(&guest_memory, NULL, &trap,
                                         sizeof(trap));
        kvmppc_points_init(breakpoints);
        user_addresses = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                               g_free, g_free);
        steps = g_new0(PPCStep *, current_machine->smp.max_cpus);
        qemu_mutex_init(&run_lock);
        qemu_cond_init(&run_cond);
    }
    step = get_step(cs);
    if (!step) {
        step = g_new0(PPCStep, 1);
        step->overdue = timer_new_ms(QEMU_CLOCK_REALTIME, step_overdue, step);
        step_session_init(&step->session, &step_ops, step, breakpoints);
    }
    /* A vCPU that is plugged again is another one in the same place */
    step->cpu = POWERPC_CPU(cs);
    /* begin_alone() looks at it without the BQL */
    qatomic_store_release(&steps[cs->cpu_index], step);
}

/* It has no cpu_index any more */
static PPCStep *find_step(CPUState *cs)
{
    for (unsigned i = 0; i < current_machine->smp.max_cpus; i++) {
        if (steps[i] && CPU(steps[i]->cpu) == cs) {
            return steps[i];
        }
    }
    return NULL;
}

void kvmppc_step_destroy(CPUState *cs)
{
    PPCStep *step = find_step(cs);

    if (!step) {
        return;
    }
    timer_del(step->overdue);
    step_session_abandon(&step->session);
    step_session_take(&step->session);
    memset(&step->held, 0, sizeof(step->held));
    step->carry_queued = false;
    step->carry_point = false;
    step->alone = false;
    step->overdue_end = false;
    step->cpu = NULL;
}

/*
 * A vCPU that has ceded itself waits in KVM, for ever perhaps, and there is no
 * asking whether it does.  It stands behind its hypercall, which has enabled
 * interrupts and returned H_SUCCESS; steps from there, or of a hypercall, are
 * given this time.
 */
#define STEP_OVERDUE_MS 200

static bool may_wait(PPCStep *step)
{
    const PPCStepRegs *regs = &step->plan.before;

    return step->plan.insn.cls == PPC_STEP_HCALL ||
           (step->follows_hcall && regs->msr & PPC_STEP_MSR_EE &&
            regs->gpr[3] == 0);
}

static void give_time(PPCStep *step)
{
    timer_mod(step->overdue, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                             STEP_OVERDUE_MS);
}

static void do_begin(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = get_step(cs);
    int *ret = data.host_ptr;

    if (cs->halted) {
        /* It does not run: see cpu_end_idle_step() */
        *ret = 0;
        return;
    }
    timer_del(step->overdue);
    if (step->session.phase == STEP_DONE) {
        *ret = step_session_again(&step->session);
    } else {
        *ret = step_session_begin(&step->session);
    }
    if (*ret == -EBUSY && !may_wait(step)) {
        /* Not together with another: before it, when the VM runs */
        step->alone = true;
        *ret = 0;
        if (runstate_is_running()) {
            queue_carry(step);
        }
    }
    if (step->session.phase == STEP_ARMED && may_wait(step)) {
        give_time(step);
    }
}

static void report_refused(CPUState *cs, const StepSession *s)
{
    error_report("can't step CPU %d at 0x%" PRIx64 ": %s", cs->cpu_index,
                 s->plan.reason_addr, s->plan.reason);
}

static int begin(CPUState *cs)
{
    int ret;

    run_on_cpu(cs, do_begin, RUN_ON_CPU_HOST_PTR(&ret));
    if (ret) {
        report_refused(cs, &get_step(cs)->session);
    }
    return ret;
}

static void report_unfinished(CPUState *cs, int ret)
{
    if (ret < 0) {
        error_report("can't end the step of CPU %d: %s", cs->cpu_index,
                     strerror(-ret));
    }
}

static void do_cancel(CPUState *cs, run_on_cpu_data data)
{
    report_unfinished(cs, step_session_cancel(&get_step(cs)->session));
}

static void do_set_points(CPUState *cs, run_on_cpu_data data)
{
    kvmppc_points_suspend(cs, false);
}

static void do_end(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = get_step(cs);
    StepSession *s = &step->session;
    uint64_t pc;

    if (s->phase != STEP_ARMED) {
        return;
    }
    if (step->plan.insn.cls == PPC_STEP_HCALL &&
        (step_get_pc(step, &pc) || pc == step->plan.before.pc)) {
        /* The vCPU has not come to it yet: a busy host */
        give_time(step);
        return;
    }
    report_unfinished(cs, step_session_end(s));
    step->overdue_end = s->phase == STEP_DONE;
}

static void step_overdue(void *opaque)
{
    PPCStep *step = opaque;
    CPUState *cs = CPU(step->cpu);

    if (step->session.phase == STEP_ARMED) {
        run_on_cpu(cs, do_end, RUN_ON_CPU_NULL);
    }
}

static bool take(PPCStep *step)
{
    step->alone = false;
    step->overdue_end = false;
    timer_del(step->overdue);
    return step_session_take(&step->session);
}

static void step_reset(void *opaque)
{
    CPUState *cs;

    kvmppc_points_reset();
    CPU_FOREACH(cs) {
        PPCStep *step = get_step(cs);

        step_session_abandon(&step->session);
        /* What interrupts were held is no business of later steps */
        memset(&step->held, 0, sizeof(step->held));
    }
}

/* gdb is not told of these: the step goes on when the VM does */
static bool stop_is_silent(RunState state)
{
    return state == RUN_STATE_SAVE_VM || state == RUN_STATE_RESTORE_VM;
}

/*
 * No step is in flight while the virtual machine is stopped: memory has no
 * trap, registers are the guest's own, and so is what migration sends.
 */
static void step_vm_state(void *opaque, bool running, RunState state)
{
    CPUState *cs;

    if (running) {
        kvmppc_points_run(true);
    }
    CPU_FOREACH(cs) {
        PPCStep *step = get_step(cs);

        if (running) {
            if (step->alone) {
                queue_carry(step);
            } else if (cpu_single_stepping(cs) &&
                       step->session.phase == STEP_IDLE) {
                begin(cs);
            }
            continue;
        }
        run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
        run_on_cpu(cs, do_leave_point, RUN_ON_CPU_NULL);
        step_session_settle(&step->session);
        if (!stop_is_silent(state)) {
            take(step);
            cs->singlestep_flags = 0;
        }
    }
    if (!running) {
        kvmppc_points_run(false);
    }
}

static int activate(void)
{
    static bool registered;
    CPUState *cs;

    if (active) {
        return 0;
    }
    active = true;
    if (!registered) {
        registered = true;
        qemu_add_vm_change_state_handler(step_vm_state, NULL);
        qemu_register_reset(step_reset, NULL);
    }
    CPU_FOREACH(cs) {
        int ret = kvm_update_guest_debug(cs, 0);

        if (ret) {
            active = false;
            error_report("KVM can't debug CPU %d: %s", cs->cpu_index,
                         strerror(-ret));
            return ret;
        }
    }
    return 0;
}

bool kvmppc_step_active(void)
{
    return active;
}

void kvmppc_step_release(void)
{
    CPUState *cs;

    if (active) {
        CPU_FOREACH(cs) {
            run_on_cpu(cs, do_leave_point, RUN_ON_CPU_NULL);
        }
    }
    kvmppc_points_remove_all();
    active = false;
}

int kvmppc_step_want_traps(void)
{
    return activate();
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    PPCStep *step = get_step(cs);
    int ret;

    if (!enable) {
        run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
        take(step);
        if (runstate_is_running() && kvmppc_points_any()) {
            /* It runs on, and now those that a step does without count */
            run_on_cpu(cs, do_set_points, RUN_ON_CPU_NULL);
        }
        return 0;
    }
    if (step->session.phase == STEP_ARMED ||
        step->session.phase == STEP_PLANNED) {
        return 0;
    }
    if (step->overdue_end) {
        /* It still waits: to step on would be to wait for ever */
        return -EAGAIN;
    }
    ret = activate();
    return ret ? ret : begin(cs);
}

bool kvm_arch_singlestep_done(CPUState *cs)
{
    StepSession *s = &get_step(cs)->session;

    if (!active) {
        return false;
    }
    if (step_session_emulate(s)) {
        report_refused(cs, s);
    }
    /* It is taken when the virtual machine has stopped for it */
    return s->phase == STEP_DONE;
}

void kvmppc_step_pre_run(CPUState *cs)
{
    PPCStep *step = get_step(cs);
    bool steps_over = step->session.phase == STEP_ARMED &&
                      step->plan.have_insn;

    kvmppc_points_check(cs);
    if (active) {
        qemu_mutex_lock(&run_lock);
        while (alone && alone != step) {
            qemu_cond_wait(&run_cond, &run_lock);
        }
        step->in_guest = true;
        qemu_mutex_unlock(&run_lock);
    }
    kvmppc_regs_pre_run(cs, steps_over && !step->plan.insn.context);
}

void kvmppc_step_post_run(CPUState *cs)
{
    PPCStep *step = get_step(cs);

    if (step->in_guest) {
        qemu_mutex_lock(&run_lock);
        step->in_guest = false;
        qemu_cond_broadcast(&run_cond);
        qemu_mutex_unlock(&run_lock);
    }
}

bool kvmppc_step_holds_external(CPUState *cs)
{
    return get_step(cs)->held.external;
}

static void lpcr_changed(CPUState *cs, run_on_cpu_data data)
{
    StepSession *s = &get_step(cs)->session;
    int ret = step_session_move(s);

    if (ret) {
        error_report("the step of CPU %d may not end: 0x%" PRIx64 ": %s",
                     cs->cpu_index, s->plan.reason_addr, s->plan.reason);
    }
}

void kvmppc_step_lpcr_changed(void)
{
    CPUState *cs;

    kvmppc_points_moved();
    CPU_FOREACH(cs) {
        if (active) {
            run_on_cpu(cs, lpcr_changed, RUN_ON_CPU_NULL);
        }
    }
}

/* gdb's breakpoints */

/*
 * Where a breakpoint belongs.  gdb sets one in the kernel while a process runs
 * and the other way round, where the vCPU's own mode has no access.
 */
static bool find_place(PowerPCCPU *cpu, vaddr addr, uint64_t *phys)
{
    uint64_t msr = cpu->env.msr;
    XlateMode other = {
        .relocated = msr & PPC_STEP_MSR_IR,
        .problem_state = !(msr & PPC_STEP_MSR_PR),
    };
    TranslateForDebugResult found;

    if (cpu_translate_for_debug(CPU(cpu), addr, &found)) {
        *phys = found.physaddr;
        return true;
    }
    return translate(cpu, addr, MMU_INST_FETCH, other, phys);
}

int kvmppc_breakpoint_insert(CPUState *cs, vaddr addr)
{
    uint64_t phys;
    int ret;

    /* A vCPU that comes there by another address is stepped over the trap */
    ret = activate();
    if (ret) {
        return ret;
    }
    if (!find_place(POWERPC_CPU(cs), addr, &phys)) {
        return -EFAULT;
    }
    breakpoint_set_add(breakpoints, phys, BREAKPOINT_OWNER_USER);
    ret = breakpoint_set_apply(breakpoints);
    if (breakpoint_set_state(breakpoints, phys) != BREAKPOINT_SET) {
        breakpoint_set_del(breakpoints, phys, BREAKPOINT_OWNER_USER);
        breakpoint_set_apply(breakpoints);
        return ret ? ret : -EFAULT;
    }
    g_hash_table_replace(user_addresses, g_memdup2(&addr, sizeof(addr)),
                         g_memdup2(&phys, sizeof(phys)));
    return 0;
}

int kvmppc_breakpoint_remove(vaddr addr)
{
    uint64_t *phys = g_hash_table_lookup(user_addresses, &addr);

    if (!phys) {
        return -ENOENT;
    }
    breakpoint_set_del(breakpoints, *phys, BREAKPOINT_OWNER_USER);
    /* What can't be taken out now is tried again with the next change */
    breakpoint_set_apply(breakpoints);
    g_hash_table_remove(user_addresses, &addr);
    return 0;
}

/* Within a page */
static int debug_access(CPUState *cs, vaddr addr, void *buf, size_t len,
                        bool is_write, bool physical)
{
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    hwaddr phys = addr;

    if (!physical) {
        TranslateForDebugResult found;

        cpu_synchronize_mmu(cs);
        if (!cpu_translate_for_debug(cs, addr, &found)) {
            return -1;
        }
        phys = found.physaddr;
        attrs = found.attrs;
    }
    if (is_write) {
        g_autofree void *bytes = g_memdup2(buf, len);

        breakpoint_set_store(breakpoints, phys, bytes, len);
        if (address_space_write(&address_space_memory, phys, attrs, bytes,
                                len)) {
            return -1;
        }
        address_space_flush_icache_range(&address_space_memory, phys, len);
        return 0;
    }
    if (address_space_read(&address_space_memory, phys, attrs, buf, len)) {
        return -1;
    }
    breakpoint_set_restore(breakpoints, phys, buf, len);
    return 0;
}

int kvmppc_memory_rw_debug(CPUState *cs, vaddr addr, void *buf, size_t len,
                           bool is_write, bool physical)
{
    while (len) {
        size_t part = MIN(len, TARGET_PAGE_SIZE - (addr & ~TARGET_PAGE_MASK));

        if (debug_access(cs, addr, buf, part, is_write, physical)) {
            return -1;
        }
        addr += part;
        buf += part;
        len -= part;
    }
    return 0;
}

/*
 * Carrying over.  A vCPU that is not stepped itself may run into a trap that is
 * there for another, or into a user's breakpoint at an address that is not the
 * one the user gave.  It is stepped over it while no other vCPU runs.  Sending
 * it back into the guest until the trap is gone would starve it: the traps of
 * one step follow those of another.
 */

static bool carry_exit(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    struct kvm_run *run = cs->kvm_run;
    int ret = 0;

    switch (run->exit_reason) {
    case KVM_EXIT_DEBUG:
        ret = step_session_trap(&step->session, run->debug.arch.address);
        return ret == STEP_TRAP_DONE || ret == STEP_TRAP_AGAIN;
    case KVM_EXIT_MMIO:
        address_space_rw(&address_space_memory, run->mmio.phys_addr,
                         MEMTXATTRS_UNSPECIFIED, run->mmio.data,
                         run->mmio.len, run->mmio.is_write);
        return true;
    default:
        bql_unlock();
        ret = kvm_arch_handle_exit(cs, run);
        bql_lock();
        return ret == 0;
    }
}

/* Returns: false if it makes no sense to run on */
static bool carry_run(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    int ret;

    if (cs->vcpu_dirty) {
        if (kvm_arch_put_registers(cs, KVM_PUT_RUNTIME_STATE, NULL)) {
            return false;
        }
        cs->vcpu_dirty = false;
    }
    bql_unlock();
    qatomic_set(&cs->kvm_run->immediate_exit, 0);
    kvm_arch_pre_run(cs, cs->kvm_run);
    ret = kvm_vcpu_ioctl(cs, KVM_RUN, 0);
    kvm_arch_post_run(cs, cs->kvm_run);
    bql_lock();
    if (ret == -EINTR || ret == -EAGAIN) {
        return true;
    }
    return ret == 0 && carry_exit(step);
}

/*
 * The instructions that other vCPUs are to run have no trap, which this one may
 * need there.  None of them runs now.
 */
static void force_traps(const StepPlan *plan, bool force)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        breakpoint_set_force(breakpoints, plan->traps[i].addr, force);
    }
    breakpoint_set_apply(breakpoints);
}

/* With the BQL, which is given back in between */
static void begin_alone(PPCStep *step)
{
    CPUState *cs;

    bql_unlock();
    qemu_mutex_lock(&run_lock);
    while (alone) {
        qemu_cond_wait(&run_cond, &run_lock);
    }
    alone = step;
    CPU_FOREACH(cs) {
        PPCStep *other = get_step(cs);

        while (other && other->in_guest) {
            qemu_cpu_kick(cs);
            qemu_cond_wait(&run_cond, &run_lock);
        }
    }
    qemu_mutex_unlock(&run_lock);
    bql_lock();
}

static void end_alone(void)
{
    qemu_mutex_lock(&run_lock);
    alone = NULL;
    qemu_cond_broadcast(&run_cond);
    qemu_mutex_unlock(&run_lock);
}

/* The most exits that an instruction may take; a lswx from MMIO takes 32 */
#define CARRY_EXITS 64

static bool stands_on_trap(PPCStep *step);

static void carry_over(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    StepSession *s = &step->session;
    StepPlan plan;

    step->carrying = true;
    if (step->carry_point) {
        kvmppc_points_suspend(cs, true);
    }
    step_session_begin(s);
    step_session_emulate(s);
    /* A hypercall may wait, and all with it: its trap has to go first */
    if (s->phase == STEP_ARMED && !may_wait(step)) {
        plan = s->plan;
        force_traps(&plan, true);
        for (int i = 0; s->phase == STEP_ARMED && i < CARRY_EXITS; i++) {
            if (!carry_run(step)) {
                break;
            }
        }
        force_traps(&plan, false);
        /*
         * A kick that came meanwhile has been dropped, and another one does
         * nothing until this thread has looked for work.
         */
        qatomic_set(&cs->kvm_run->immediate_exit, 1);
    }
    report_unfinished(cs, step_session_cancel(s));
    trace_kvm_step_carried(cs->cpu_index, step_session_take(s));
    if (step->carry_point) {
        kvmppc_points_suspend(cs, false);
        step->carry_point = false;
    }
    step->carrying = false;
}

static bool wants_carrying(PPCStep *step)
{
    return active && runstate_is_running() &&
           step->session.phase == STEP_IDLE &&
           !CPU(step->cpu)->halted &&
           (step->alone || step->carry_point || stands_on_trap(step));
}

static void carry(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = data.host_ptr;

    step->carry_queued = false;
    if (!wants_carrying(step)) {
        return;
    }
    begin_alone(step);
    /* The virtual machine may have stopped meanwhile */
    if (wants_carrying(step)) {
        carry_over(step);
        if (step->alone) {
            /* This was what gdb waits for */
            step_session_end(&step->session);
            step->alone = false;
        }
    }
    end_alone();
}

static void queue_carry(PPCStep *step)
{
    if (!step->carry_queued) {
        step->carry_queued = true;
        async_run_on_cpu(CPU(step->cpu), carry, RUN_ON_CPU_HOST_PTR(step));
    }
}

/* What a trap is that does not end a step of the vCPU itself */
typedef enum TrapOwner {
    TRAP_UNKNOWN,       /* the guest's own, or its place can't be read */
    TRAP_USER,
    TRAP_OTHER,         /* here for somebody else */
    TRAP_GONE,          /* no longer in memory */
} TrapOwner;

static TrapOwner trap_owner(PPCStep *step)
{
    PPCStepRegs regs;
    uint64_t phys;
    uint32_t word;

    if (regs_get(step, &regs)) {
        return TRAP_UNKNOWN;
    }
    kvmppc_regs_read_mmu(CPU(step->cpu));
    if (!translate(step->cpu, regs.pc, MMU_INST_FETCH, fetch_mode(&regs),
                   &phys) ||
        memory_read(NULL, phys, &word, sizeof(word))) {
        return TRAP_UNKNOWN;
    }
    if (word != trap_word) {
        return TRAP_GONE;
    }
    if (!breakpoint_set_refs(breakpoints, phys, BREAKPOINT_OWNER_USER)) {
        return breakpoint_set_refs(breakpoints, phys, BREAKPOINT_OWNER_STEP) ?
               TRAP_OTHER : TRAP_UNKNOWN;
    }
    return g_hash_table_contains(user_addresses, &regs.pc) ? TRAP_USER :
                                                             TRAP_OTHER;
}

static bool stands_on_trap(PPCStep *step)
{
    return trap_owner(step) == TRAP_OTHER;
}

/*
 * Hardware points.  @regs are those at a vector; afterwards, if a register
 * matched, those at the instruction.
 */
static KvmPpcMatch undo_match(PPCStep *step, PPCStepRegs *regs)
{
    PPCStepRegs at = *regs;
    StepPlan where = {};
    PPCStepInsn insn = {};
    uint32_t words[2];
    KvmPpcMatch match;
    uint64_t ea = 0;

    at.pc = regs->srr0;
    at.msr = regs->srr1 & ~PPC_STEP_SRR1_INFO;
    if (fetch(step, &at, &where, words) > 0) {
        ppc_step_decode(words[0], words[1], &insn);
    }
    if (insn.mem) {
        ea = ppc_step_mem_ea(&insn, at.pc, at.gpr, at.msr & PPC_STEP_MSR_SF);
    }
    match = kvmppc_points_match(CPU(step->cpu), regs->pc & 0xfff, regs->srr1,
                                ea, insn.mem ? insn.mem_size : 0);
    if (match != KVMPPC_MATCH_NONE) {
        *regs = at;
    }
    return match;
}

static KvmPpcMatch match_point(PPCStep *step)
{
    PPCStepRegs regs;
    KvmPpcMatch match;

    if (!kvmppc_points_any() || regs_get(step, &regs) ||
        !kvmppc_points_trap_at(regs.pc)) {
        return KVMPPC_MATCH_NONE;
    }
    match = undo_match(step, &regs);
    return match == KVMPPC_MATCH_NONE || regs_put(step, &regs, true) ?
        KVMPPC_MATCH_NONE : match;
}

/* A step has ended at a vector: because of a watchpoint? */
static void match_stepped(PPCStep *step)
{
    PPCStepRegs regs;

    if (kvmppc_points_any() && !regs_get(step, &regs) &&
        kvmppc_points_trap_at(regs.pc) &&
        undo_match(step, &regs) == KVMPPC_MATCH_HIT) {
        regs.srr0 = step->plan.before.srr0;
        regs.srr1 = step->plan.before.srr1;
        regs_put(step, &regs, false);
    }
}

/*
 * The points are about to be taken back.  A vCPU that has met one, and not run
 * into the trap yet, would take an interrupt that is not the guest's.
 */
static void do_leave_point(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = get_step(cs);
    CPUWatchpoint *told = cs->watchpoint_hit;

    step->carry_point = false;
    if (!kvmppc_points_any() || step->session.phase == STEP_ARMED) {
        return;
    }
    kvmppc_regs_read_mmu(cs);
    if (step->session.phase == STEP_DONE) {
        match_stepped(step);
    } else {
        match_point(step);
    }
    /* It is met again, or this is not the stop that it makes */
    cs->watchpoint_hit = told;
}

static KvmPpcStepExit exit_elsewhere(PPCStep *step)
{
    switch (trap_owner(step)) {
    case TRAP_USER:
        return KVMPPC_STEP_EXIT_STOP;
    case TRAP_OTHER:
        switch (match_point(step)) {
        case KVMPPC_MATCH_HIT:
            return KVMPPC_STEP_EXIT_STOP;
        case KVMPPC_MATCH_NEAR:
            step->carry_point = true;
            break;
        default:
            break;
        }
        queue_carry(step);
        return KVMPPC_STEP_EXIT_RESUME;
    case TRAP_GONE:
        return KVMPPC_STEP_EXIT_RESUME;
    default:
        return KVMPPC_STEP_EXIT_UNKNOWN;
    }
}

KvmPpcStepExit kvmppc_step_debug_exit(PowerPCCPU *cpu, vaddr pc)
{
    CPUState *cs = CPU(cpu);
    PPCStep *step = get_step(cs);
    KvmPpcStepExit what = KVMPPC_STEP_EXIT_STOP;
    int ret = step_session_trap(&step->session, pc);

    if (ret < 0) {
        report_unfinished(cs, ret);
    } else if (ret == STEP_TRAP_DONE) {
        if (step->session.plan.reason) {
            error_report("the step of CPU %d at 0x%" PRIx64 " has not run "
                         "it: %s", cs->cpu_index,
                         step->session.plan.reason_addr,
                         step->session.plan.reason);
            report_unfinished(cs, kvmppc_irq_release(cs, &step->held));
        }
        match_stepped(step);
    } else if (ret == STEP_TRAP_AGAIN) {
        what = KVMPPC_STEP_EXIT_RESUME;
    } else {
        what = exit_elsewhere(step);
    }
    trace_kvm_step_debug_exit(cs->cpu_index, pc, what);
    return what;
}
