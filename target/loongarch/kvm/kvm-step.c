/*
 * Breakpoints and single-stepping for KVM on LoongArch
 *
 * When a step begins and ends, and what becomes of it when the virtual machine
 * stops or is reset, or the debugger leaves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "accel/step-session.h"
#include "hw/core/boards.h"
#include "migration/misc.h"
#include "system/cpus.h"
#include "system/kvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "kvm-regs.h"
#include "kvm-step.h"
#include "kvm-step-internal.h"
#include "trace.h"

/* By cpu_index; never moves */
static KvmLoongArchStep **steps;
static bool active;

KvmLoongArchStep *kvm_loongarch_get_step(CPUState *cs)
{
    return qatomic_load_acquire(&steps[cs->cpu_index]);
}

void kvm_loongarch_step_init(CPUState *cs, uint32_t trap)
{
    KvmLoongArchStep *step;

    kvm_loongarch_regs_init();
    kvm_loongarch_step_set_trap(trap);
    if (!steps) {
        steps = g_new0(KvmLoongArchStep *, current_machine->smp.max_cpus);
        kvm_loongarch_step_over_init();
    }
    step = kvm_loongarch_get_step(cs);
    if (!step) {
        step = g_new0(KvmLoongArchStep, 1);
        step_session_init(&step->session, &kvm_loongarch_step_ops, step,
                          kvm_loongarch_step_traps());
    }
    /* A vCPU that is plugged again is another one in the same place */
    step->cs = cs;
    /* begin_alone() looks at it without the BQL */
    qatomic_store_release(&steps[cs->cpu_index], step);
}

/* It has no cpu_index any more */
static KvmLoongArchStep *find_step(CPUState *cs)
{
    for (unsigned i = 0; steps && i < current_machine->smp.max_cpus; i++) {
        if (steps[i] && steps[i]->cs == cs) {
            return steps[i];
        }
    }
    return NULL;
}

void kvm_loongarch_step_destroy(CPUState *cs)
{
    KvmLoongArchStep *step = find_step(cs);

    if (!step) {
        return;
    }
    step_session_abandon(&step->session);
    step_session_take(&step->session);
    step->over_queued = false;
    step->over_failed = false;
    step->alone = false;
    step->cs = NULL;
}

static void do_begin(CPUState *cs, run_on_cpu_data data)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);
    int *ret = data.host_ptr;

    if (cs->halted) {
        /* It does not run: see cpu_end_idle_step() */
        *ret = 0;
        return;
    }
    if (runstate_check(RUN_STATE_FINISH_MIGRATE)) {
        /* The last of memory has been sent, or will be: see before_last_sync */
        kvm_loongarch_regs_get_pc(cs, &step->session.plan.reason_addr);
        step->session.plan.reason = "the virtual machine is being migrated";
        *ret = -EAGAIN;
        return;
    }
    if (step->session.phase == STEP_DONE) {
        *ret = step_session_again(&step->session);
    } else {
        *ret = step_session_begin(&step->session);
    }
    if (*ret == -EBUSY) {
        /* Not together with another: before it, when the VM runs */
        step->alone = true;
        *ret = 0;
        if (runstate_is_running()) {
            kvm_loongarch_step_over_queue(step);
        }
    }
}

void kvm_loongarch_step_report_refused(CPUState *cs, const StepSession *s)
{
    error_report("can't step CPU %d at 0x%" PRIx64 ": %s", cs->cpu_index,
                 s->plan.reason_addr, s->plan.reason);
}

static int begin(CPUState *cs)
{
    int ret;

    run_on_cpu(cs, do_begin, RUN_ON_CPU_HOST_PTR(&ret));
    if (ret) {
        kvm_loongarch_step_report_refused(cs,
                                          &kvm_loongarch_get_step(cs)->session);
    }
    return ret;
}

void kvm_loongarch_step_report_unfinished(CPUState *cs, int ret)
{
    if (ret < 0) {
        error_report("can't end the step of CPU %d: %s", cs->cpu_index,
                     strerror(-ret));
    }
}

static void do_cancel(CPUState *cs, run_on_cpu_data data)
{
    StepSession *s = &kvm_loongarch_get_step(cs)->session;

    kvm_loongarch_step_report_unfinished(cs, step_session_cancel(s));
    if (!runstate_is_running()) {
        step_session_suspend(s);
    }
}

static bool take(KvmLoongArchStep *step)
{
    step->alone = false;
    step->over_failed = false;
    return step_session_take(&step->session);
}

static void step_reset(void *opaque)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        step_session_abandon(&kvm_loongarch_get_step(cs)->session);
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
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);
    StepSession *s = &step->session;

    step_session_cancel(s);
    if (s->phase != STEP_ARMED) {
        take(step);
    } else if (step_session_resume(s)) {
        kvm_loongarch_step_report_refused(cs, s);
    }
}

static void stop_step(CPUState *cs, bool silent)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);

    run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
    step_session_settle(&step->session);
    if (!silent) {
        take(step);
        cs->singlestep_flags = 0;
    }
}

static void start_step(CPUState *cs)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);

    if (step->session.phase == STEP_ARMED && !step->session.armed) {
        run_on_cpu(cs, do_retry, RUN_ON_CPU_NULL);
    }
    if (step->alone) {
        kvm_loongarch_step_over_queue(step);
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

    CPU_FOREACH(cs) {
        if (running) {
            start_step(cs);
        } else {
            stop_step(cs, stop_is_silent(state));
        }
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

int kvm_loongarch_step_before_get(CPUState *cs)
{
    KvmLoongArchStep *step = steps ? kvm_loongarch_get_step(cs) : NULL;
    StepSession *s;
    int ret;

    if (!step) {
        return 0;
    }
    s = &step->session;
    if (s->phase == STEP_ARMED && !s->armed) {
        ret = step_session_cancel(s);
        if (ret) {
            return ret;
        }
        take(step);
    }
    return kvm_loongarch_regs_before_get(cs);
}

int kvm_loongarch_step_want_traps(void)
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

bool kvm_loongarch_step_active(void)
{
    return active;
}

void kvm_loongarch_step_release(void)
{
    active = false;
}

bool kvm_arch_can_singlestep(CPUState *cs)
{
    /* KVM_SET_GUEST_DEBUG takes KVM_GUESTDBG_SINGLESTEP, and ignores it */
    return false;
}

int kvm_arch_singlestep_flags(KVMState *s)
{
    return SSTEP_NOIRQ;
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);
    int ret;

    if (!enable) {
        run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
        take(step);
        return 0;
    }
    if (step->session.phase == STEP_ARMED ||
        step->session.phase == STEP_PLANNED) {
        return 0;
    }
    ret = kvm_loongarch_step_want_traps();
    return ret ? ret : begin(cs);
}

bool kvm_arch_singlestep_done(CPUState *cs)
{
    KvmLoongArchStep *step;
    StepSession *s;

    if (!active) {
        return false;
    }
    step = kvm_loongarch_get_step(cs);
    if (step->over_failed) {
        /* To be stopped, as by a breakpoint */
        step->over_failed = false;
        return true;
    }
    s = &step->session;
    if (step_session_emulate(s)) {
        kvm_loongarch_step_report_refused(cs, s);
    }
    /* It is taken when the virtual machine has stopped for it */
    return s->phase == STEP_DONE;
}

void kvm_loongarch_step_pre_run(CPUState *cs)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);
    const LoongArchStepPlan *plan = &step->plan;

    if (active) {
        kvm_loongarch_step_over_enter(step);
    }
    kvm_loongarch_regs_pre_run(cs, step->session.phase == STEP_ARMED &&
                                   plan->have_insn && !plan->insn.context);
}

void kvm_loongarch_step_post_run(CPUState *cs)
{
    kvm_loongarch_step_over_leave(kvm_loongarch_get_step(cs));
}

bool kvm_loongarch_step_debug_exit(CPUState *cs)
{
    KvmLoongArchStep *step = kvm_loongarch_get_step(cs);
    bool stop = true;
    uint64_t pc = 0;
    int ret = kvm_loongarch_regs_get_pc(cs, &pc);

    if (!ret) {
        ret = step_session_trap(&step->session, pc);
    }
    if (ret < 0) {
        kvm_loongarch_step_report_unfinished(cs, ret);
    } else if (ret == STEP_TRAP_AGAIN) {
        stop = false;
    } else if (ret == STEP_TRAP_OTHER) {
        stop = kvm_loongarch_step_over_exit(step);
    }
    trace_kvm_loongarch_step_debug_exit(cs->cpu_index, pc, stop);
    return stop;
}
