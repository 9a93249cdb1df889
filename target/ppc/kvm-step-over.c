/*
 * Step a vCPU over a trap that is in memory for somebody else
 *
 * A vCPU that is not stepped itself may run into a trap that is there for
 * another, or into a user's breakpoint at an address that is not the one the
 * user gave.  It is stepped over it while no other vCPU runs.  Sending it back
 * into the guest until the trap is gone would starve it: the traps of one step
 * follow those of another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/main-loop.h"
#include "system/address-spaces.h"
#include "system/cpus.h"
#include "system/kvm.h"
#include "system/memory.h"
#include "system/runstate.h"
#include "kvm-breakpoints.h"
#include "kvm-hw-breakpoints.h"
#include "kvm-step-internal.h"
#include "trace.h"

/*
 * One vCPU may have to run while no other is in the guest.  start_exclusive()
 * is not for that: it waits for vCPUs that are in QEMU too, and those wait for
 * this one if their hypercall is to be done on all vCPUs (H_SET_MODE).  Neither
 * is accel_ioctl_inhibit_begin(): it keeps every vCPU from KVM_RUN that does
 * not hold the BQL, and this one can't hold it while the guest runs.
 */
static QemuMutex run_lock;
static QemuCond run_cond;
static PPCStep *alone;

void kvmppc_step_over_init(void)
{
    qemu_mutex_init(&run_lock);
    qemu_cond_init(&run_cond);
}

void kvmppc_step_over_enter(PPCStep *step)
{
    qemu_mutex_lock(&run_lock);
    while (alone && alone != step) {
        qemu_cond_wait(&run_cond, &run_lock);
    }
    step->in_guest = true;
    qemu_mutex_unlock(&run_lock);
}

void kvmppc_step_over_leave(PPCStep *step)
{
    if (step->in_guest) {
        qemu_mutex_lock(&run_lock);
        step->in_guest = false;
        qemu_cond_broadcast(&run_cond);
        qemu_mutex_unlock(&run_lock);
    }
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
        PPCStep *other = kvmppc_get_step(cs);

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

static bool over_exit(PPCStep *step)
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
static bool over_run(PPCStep *step)
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
    return ret == 0 && over_exit(step);
}

/*
 * The instructions that other vCPUs are to run have no trap, which this one may
 * need there.  None of them runs now.
 */
static void force_traps(const StepPlan *plan, bool force)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        breakpoint_set_force(kvmppc_breakpoints, plan->traps[i].addr, force);
    }
    breakpoint_set_apply(kvmppc_breakpoints);
}

/* The most exits that an instruction may take; a lswx from MMIO takes 32 */
#define STEP_OVER_EXITS 64

/* Returns: 0, or a negative errno if the instruction can't be stepped */
static int step_over(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    StepSession *s = &step->session;
    StepPlan plan;
    int ret;

    step->stepping_over = true;
    if (step->over_match) {
        kvmppc_hw_breakpoints_suspend(cs, true);
    }
    ret = step_session_begin(s) ?: step_session_emulate(s);
    if (s->phase == STEP_ARMED && kvmppc_step_may_wait(step)) {
        /*
         * All would wait with it: its trap has to go first.  A user's, met by
         * another address than the one that was given, does not go.
         */
        step->over_failed = breakpoint_set_refs(kvmppc_breakpoints,
                                                s->plan.insn_addr,
                                                BREAKPOINT_OWNER_USER);
    } else if (s->phase == STEP_ARMED) {
        plan = s->plan;
        force_traps(&plan, true);
        for (int i = 0; s->phase == STEP_ARMED && i < STEP_OVER_EXITS; i++) {
            if (!over_run(step)) {
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
    kvmppc_step_report_unfinished(cs, step_session_cancel(s));
    trace_kvm_ppc_step_over(cs->cpu_index, step_session_take(s));
    if (step->over_match) {
        kvmppc_hw_breakpoints_suspend(cs, false);
        step->over_match = false;
    }
    step->stepping_over = false;
    return ret;
}

static bool stands_on_foreign_trap(PPCStep *step)
{
    return kvmppc_trap_owner(CPU(step->cpu)) == KVMPPC_TRAP_OTHER;
}

static bool wants_step_over(PPCStep *step)
{
    return kvmppc_step_active() && runstate_is_running() &&
           step->session.phase == STEP_IDLE &&
           !CPU(step->cpu)->halted &&
           (step->alone || step->over_match || stands_on_foreign_trap(step));
}

static void do_step_over(CPUState *cs, run_on_cpu_data data)
{
    PPCStep *step = data.host_ptr;
    int ret = 0;

    step->over_queued = false;
    if (!wants_step_over(step)) {
        return;
    }
    begin_alone(step);
    /* The virtual machine may have stopped meanwhile */
    if (wants_step_over(step)) {
        ret = step_over(step);
        if (step->alone) {
            /* This was what gdb waits for */
            step_session_end(&step->session);
            step->alone = false;
        } else if (ret) {
            /* It would come back here for ever; a stop takes the trap out */
            step->over_failed = true;
        }
    }
    end_alone();
    if (ret) {
        kvmppc_step_report_refused(cs, &step->session);
    }
}

void kvmppc_step_over_queue(PPCStep *step)
{
    if (!step->over_queued) {
        step->over_queued = true;
        async_run_on_cpu(CPU(step->cpu), do_step_over,
                         RUN_ON_CPU_HOST_PTR(step));
    }
}

KvmPpcStepExit kvmppc_step_over_exit(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);

    switch (kvmppc_trap_owner(cs)) {
    case KVMPPC_TRAP_USER:
        return KVMPPC_STEP_EXIT_STOP;
    case KVMPPC_TRAP_OTHER:
        switch (kvmppc_hw_breakpoints_undo(cs)) {
        case KVMPPC_MATCH_HIT:
            return KVMPPC_STEP_EXIT_STOP;
        case KVMPPC_MATCH_NEAR:
            step->over_match = true;
            break;
        default:
            break;
        }
        kvmppc_step_over_queue(step);
        return KVMPPC_STEP_EXIT_RESUME;
    case KVMPPC_TRAP_GONE:
        return KVMPPC_STEP_EXIT_RESUME;
    default:
        return KVMPPC_STEP_EXIT_UNKNOWN;
    }
}
