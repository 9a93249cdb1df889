/*
 * Breakpoints and single-stepping for KVM on Book III processors
 *
 * When a step begins and ends, and what becomes of it when the virtual machine
 * stops or is reset, or the debugger leaves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "accel/step-session.h"
#include "hw/core/boards.h"
#include "migration/misc.h"
#include "system/cpus.h"
#include "system/kvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "kvm_ppc.h"
#include "kvm-breakpoints.h"
#include "kvm-hw-breakpoints.h"
#include "kvm-irq-hold.h"
#include "kvm-regs.h"
#include "kvm-step.h"
#include "kvm-step-internal.h"
#include "trace.h"

/* By cpu_index; never moves.  NULL where KVM steps by itself (PR, Book E) */
static PPCStep **steps;
static bool active;

PPCStep *kvmppc_get_step(CPUState *cs)
{
    return qatomic_load_acquire(&steps[cs->cpu_index]);
}

static void step_overdue(void *opaque);

void kvmppc_step_init(CPUState *cs, uint32_t trap)
{
    PPCStep *step;

    kvmppc_regs_init();
    kvmppc_breakpoints_init(trap);
    if (!steps) {
        steps = g_new0(PPCStep *, current_machine->smp.max_cpus);
        kvmppc_step_over_init();
    }
    step = kvmppc_get_step(cs);
    if (!step) {
        step = g_new0(PPCStep, 1);
        step->overdue = timer_new_ms(QEMU_CLOCK_REALTIME, step_overdue, step);
        step_session_init(&step->session, &kvmppc_step_ops, step,
                          kvmppc_breakpoints);
    }
    /* A vCPU that is plugged again is another one in the same place */
    step->cpu = POWERPC_CPU(cs);
    step->cpu->kvm_held = &step->held;
    /* begin_alone() looks at it without the BQL */
    qatomic_store_release(&steps[cs->cpu_index], step);
}

/* It has no cpu_index any more */
static PPCStep *find_step(CPUState *cs)
{
    for (unsigned i = 0; steps && i < current_machine->smp.max_cpus; i++) {
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
    step->over_queued = false;
    step->over_match = false;
    step->over_failed = false;
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

bool kvmppc_step_may_wait(PPCStep *step)
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
    PPCStep *step = kvmppc_get_step(cs);
    int *ret = data.host_ptr;

    if (cs->halted) {
        /* It does not run: see cpu_end_idle_step() */
        *ret = 0;
        return;
    }
    if (runstate_check(RUN_STATE_FINISH_MIGRATE)) {
        /* The last of memory has been sent, or will be: see before_last_sync */
        kvmppc_step_get_pc(step, &step->session.plan.reason_addr);
        step->session.plan.reason = "the virtual machine is being migrated";
        *ret = -EAGAIN;
        return;
    }
    timer_del(step->overdue);
    if (step->session.phase == STEP_DONE) {
        *ret = step_session_again(&step->session);
    } else {
        *ret = step_session_begin(&step->session);
    }
    if (*ret == -EBUSY && !kvmppc_step_may_wait(step)) {
        /* Not together with another: before it, when the VM runs */
        step->alone = true;
        *ret = 0;
        if (runstate_is_running()) {
            kvmppc_step_over_queue(step);
        }
    }
    if (step->session.phase == STEP_ARMED && kvmppc_step_may_wait(step)) {
        give_time(step);
    }
}

void kvmppc_step_report_refused(CPUState *cs, const StepSession *s)
{
    error_report("can't step CPU %d at 0x%" PRIx64 ": %s", cs->cpu_index,
                 s->plan.reason_addr, s->plan.reason);
}

static int begin(CPUState *cs)
{
    int ret;

    run_on_cpu(cs, do_begin, RUN_ON_CPU_HOST_PTR(&ret));
    if (ret) {
        kvmppc_step_report_refused(cs, &kvmppc_get_step(cs)->session);
    }
    return ret;
}

void kvmppc_step_report_unfinished(CPUState *cs, int ret)
{
    if (ret < 0) {
        error_report("can't end the step of CPU %d: %s", cs->cpu_index,
                     strerror(-ret));
    }
}

static void do_cancel(CPUState *cs, run_on_cpu_data data)
{
    StepSession *s = &kvmppc_get_step(cs)->session;

    kvmppc_step_report_unfinished(cs, step_session_cancel(s));
    if (!runstate_is_running()) {
        step_session_suspend(s);
    }
}

static void do_set_hw_breakpoints(CPUState *cs, run_on_cpu_data data)
{
    kvmppc_hw_breakpoints_suspend(cs, false);
}

static void do_leave_hw_breakpoint(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = kvmppc_get_step(cs);
    StepPhase phase = step->session.phase;

    step->over_match = false;
    if (phase != STEP_ARMED) {
        kvmppc_hw_breakpoints_leave(cs, phase == STEP_DONE ?
                                    &step->plan.before : NULL);
    }
}

static void do_end(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = kvmppc_get_step(cs);
    StepSession *s = &step->session;
    uint64_t pc;

    if (s->phase != STEP_ARMED) {
        return;
    }
    if (step->plan.insn.cls == PPC_STEP_HCALL &&
        (kvmppc_step_get_pc(step, &pc) || pc == step->plan.before.pc)) {
        /* The vCPU has not come to it yet: a busy host */
        give_time(step);
        return;
    }
    kvmppc_step_report_unfinished(cs, step_session_end(s));
    step->overdue_end = s->phase == STEP_DONE;
    if (!step->overdue_end) {
        give_time(step);
    }
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
    step->over_failed = false;
    step->overdue_end = false;
    timer_del(step->overdue);
    return step_session_take(&step->session);
}

static void step_reset(void *opaque)
{
    CPUState *cs;

    kvmppc_hw_breakpoints_reset();
    CPU_FOREACH(cs) {
        PPCStep *step = kvmppc_get_step(cs);

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

/* What KVM has refused when the virtual machine stopped */
static void do_retry(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = kvmppc_get_step(cs);
    StepSession *s = &step->session;

    if (s->phase == STEP_ARMED) {
        step_session_cancel(s);
        if (s->phase != STEP_ARMED) {
            take(step);
        } else if (step_session_resume(s)) {
            kvmppc_step_report_refused(cs, s);
        }
    } else {
        kvmppc_step_release_held(step);
    }
}

static void stop_step(CPUState *cs, bool silent)
{
    PPCStep *step = kvmppc_get_step(cs);

    run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
    run_on_cpu(cs, do_leave_hw_breakpoint, RUN_ON_CPU_NULL);
    step_session_settle(&step->session);
    if (!silent) {
        take(step);
        cs->singlestep_flags = 0;
    }
}

static void start_step(CPUState *cs)
{
    PPCStep *step = kvmppc_get_step(cs);

    if (step->session.phase == STEP_ARMED ? !step->session.armed :
                                            kvmppc_irq_held(&step->held)) {
        run_on_cpu(cs, do_retry, RUN_ON_CPU_NULL);
    }
    if (step->alone) {
        kvmppc_step_over_queue(step);
    } else if (cpu_single_stepping(cs) && step->session.phase == STEP_IDLE) {
        begin(cs);
    }
}

/*
 * No step is in flight while the virtual machine is stopped: memory has no
 * trap, registers are the guest's own, and so is what migration sends.
 */
static void step_vm_state(void *opaque, bool running, RunState state)
{
    CPUState *cs;

    if (running) {
        kvmppc_hw_breakpoints_run(true);
    }
    CPU_FOREACH(cs) {
        if (running) {
            start_step(cs);
        } else {
            stop_step(cs, stop_is_silent(state));
        }
    }
    if (!running) {
        kvmppc_hw_breakpoints_run(false);
    }
}

/*
 * A virtual machine that is stopped already is migrated without a stop.  Steps
 * may have been set up in it, for it to be resumed, when its memory is about
 * to be sent.
 */
static int before_last_sync(NotifierWithReturn *n, void *data, Error **errp)
{
    PrecopyNotifyData *pnd = data;
    CPUState *cs;

    if (pnd->reason == PRECOPY_NOTIFY_BEFORE_BITMAP_SYNC &&
        runstate_check(RUN_STATE_FINISH_MIGRATE)) {
        CPU_FOREACH(cs) {
            stop_step(cs, false);
        }
    }
    return 0;
}

static void register_handlers(void)
{
    static NotifierWithReturn precopy = { .notify = before_last_sync };
    static bool registered;

    if (!registered) {
        registered = true;
        qemu_add_vm_change_state_handler(step_vm_state, NULL);
        qemu_register_reset(step_reset, NULL);
        precopy_add_notifier(&precopy);
    }
}

bool kvmppc_step_pre_save(PowerPCCPU *cpu)
{
    CPUState *cs = CPU(cpu);
    PPCStep *step = steps ? kvmppc_get_step(cs) : NULL;

    if (!step || step->session.phase != STEP_ARMED) {
        return true;
    }
    /* QEMU has the registers by now */
    run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
    if (step->session.phase == STEP_ARMED) {
        return false;
    }
    take(step);
    return true;
}

void kvmppc_step_held_loaded(void)
{
    register_handlers();
}

static int activate(void)
{
    CPUState *cs;

    if (active) {
        return 0;
    }
    active = true;
    register_handlers();
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

    if (!steps) {
        return;
    }
    if (active) {
        CPU_FOREACH(cs) {
            run_on_cpu(cs, do_leave_hw_breakpoint, RUN_ON_CPU_NULL);
        }
    }
    kvmppc_hw_breakpoints_remove_all();
    active = false;
}

int kvmppc_step_want_traps(void)
{
    return activate();
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    PPCStep *step = kvmppc_get_step(cs);
    int ret;

    if (!enable) {
        run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
        take(step);
        if (runstate_is_running() && kvmppc_hw_breakpoints_any()) {
            /* It runs on, and now those that a step does without count */
            run_on_cpu(cs, do_set_hw_breakpoints, RUN_ON_CPU_NULL);
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
    PPCStep *step;
    StepSession *s;

    if (!active) {
        return false;
    }
    step = kvmppc_get_step(cs);
    if (step->over_failed) {
        /* To be stopped, as by a breakpoint */
        step->over_failed = false;
        return true;
    }
    s = &step->session;
    if (step_session_emulate(s)) {
        kvmppc_step_report_refused(cs, s);
    }
    /* It is taken when the virtual machine has stopped for it */
    return s->phase == STEP_DONE;
}

void kvmppc_step_pre_run(CPUState *cs)
{
    PPCStep *step;
    bool steps_over;

    if (!steps) {
        return;
    }
    step = kvmppc_get_step(cs);
    steps_over = step->session.phase == STEP_ARMED && step->plan.have_insn;
    kvmppc_hw_breakpoints_check(cs);
    if (active) {
        kvmppc_step_over_enter(step);
    }
    kvmppc_regs_pre_run(cs, steps_over && !step->plan.insn.context);
}

void kvmppc_step_post_run(CPUState *cs)
{
    if (steps) {
        kvmppc_step_over_leave(kvmppc_get_step(cs));
    }
}

bool kvmppc_step_holds_external(CPUState *cs)
{
    return steps && kvmppc_get_step(cs)->held.external;
}

/* Has it been interrupted, and not run into the trap at the vector yet? */
static bool stands_on_vector(PPCStep *step)
{
    const PPCStepPlan *plan = &step->plan;
    uint64_t pc;

    if (kvmppc_step_get_pc(step, &pc) ||
        !step_session_traps_at(&step->session, pc) ||
        (plan->have_next && pc == plan->next)) {
        return false;
    }
    for (unsigned i = 0; i < plan->nr_exits; i++) {
        if (plan->exits[i] == pc) {
            return false;
        }
    }
    return true;
}

void kvmppc_step_lpcr_changed(CPUState *cs)
{
    PPCStep *step;
    StepSession *s;
    uint8_t ail;

    if (!steps) {
        return;
    }
    kvmppc_hw_breakpoints_moved();
    if (!active) {
        return;
    }
    step = kvmppc_get_step(cs);
    s = &step->session;
    ail = step->ail;
    if (!stands_on_vector(step) && step_session_move(s)) {
        step->ail = ail;
        error_report("the step of CPU %d may not end: 0x%" PRIx64 ": %s",
                     cs->cpu_index, s->plan.reason_addr, s->plan.reason);
    }
}

KvmPpcStepExit kvmppc_step_debug_exit(PowerPCCPU *cpu, vaddr pc)
{
    CPUState *cs = CPU(cpu);
    PPCStep *step = kvmppc_get_step(cs);
    KvmPpcStepExit what = KVMPPC_STEP_EXIT_STOP;
    int ret = step_session_trap(&step->session, pc);

    if (ret < 0) {
        kvmppc_step_report_unfinished(cs, ret);
    } else if (ret == STEP_TRAP_DONE) {
        if (step->session.plan.reason) {
            error_report("the step of CPU %d at 0x%" PRIx64 " has not run "
                         "it: %s", cs->cpu_index,
                         step->session.plan.reason_addr,
                         step->session.plan.reason);
            kvmppc_step_release_held(step);
        }
        kvmppc_hw_breakpoints_undo_stepped(cs, &step->plan.before);
    } else if (ret == STEP_TRAP_AGAIN) {
        what = KVMPPC_STEP_EXIT_RESUME;
    } else {
        what = kvmppc_step_over_exit(step);
    }
    trace_kvm_ppc_step_debug_exit(cs->cpu_index, pc, what);
    return what;
}
