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
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "system/address-spaces.h"
#include "system/cpus.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/memory.h"
#include "system/runstate.h"
#include "kvm-regs.h"
#include "kvm-step-internal.h"
#include "trace.h"

/*
 * One vCPU may have to run while no other is in the guest.  start_exclusive()
 * is not for that: it waits for vCPUs that are in QEMU too, and those may wait
 * for this one.  Neither is accel_ioctl_inhibit_begin(): it keeps every vCPU
 * from KVM_RUN that does not hold the BQL, and this one can't hold it while the
 * guest runs.
 */
static QemuMutex run_lock;
static QemuCond run_cond;
static KvmLoongArchStep *alone;

void kvm_loongarch_step_over_init(void)
{
    qemu_mutex_init(&run_lock);
    qemu_cond_init(&run_cond);
}

void kvm_loongarch_step_over_enter(KvmLoongArchStep *step)
{
    qemu_mutex_lock(&run_lock);
    while (alone && alone != step) {
        qemu_cond_wait(&run_cond, &run_lock);
    }
    step->in_guest = true;
    qemu_mutex_unlock(&run_lock);
}

void kvm_loongarch_step_over_leave(KvmLoongArchStep *step)
{
    if (step->in_guest) {
        qemu_mutex_lock(&run_lock);
        step->in_guest = false;
        qemu_cond_broadcast(&run_cond);
        qemu_mutex_unlock(&run_lock);
    }
}

/* With the BQL, which is given back in between */
static void begin_alone(KvmLoongArchStep *step)
{
    CPUState *cs;

    bql_unlock();
    qemu_mutex_lock(&run_lock);
    while (alone) {
        qemu_cond_wait(&run_cond, &run_lock);
    }
    alone = step;
    CPU_FOREACH(cs) {
        KvmLoongArchStep *other = kvm_loongarch_get_step(cs);

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

static bool over_trap(KvmLoongArchStep *step)
{
    uint64_t pc;
    int ret;

    if (kvm_loongarch_regs_get_pc(step->cs, &pc)) {
        return false;
    }
    ret = step_session_trap(&step->session, pc);
    return ret == STEP_TRAP_DONE || ret == STEP_TRAP_AGAIN;
}

static bool over_exit(KvmLoongArchStep *step)
{
    CPUState *cs = step->cs;
    struct kvm_run *run = cs->kvm_run;
    int ret = 0;

    switch (run->exit_reason) {
    case KVM_EXIT_DEBUG:
        return over_trap(step);
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
static bool over_run(KvmLoongArchStep *step)
{
    CPUState *cs = step->cs;
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
    BreakpointSet *traps = kvm_loongarch_step_traps();

    for (unsigned i = 0; i < plan->nr_traps; i++) {
        breakpoint_set_force(traps, plan->traps[i].addr, force);
    }
    breakpoint_set_apply(traps);
}

/* The most exits that an instruction, or a sequence, may take */
#define STEP_OVER_EXITS 64

/* Returns: 0, or a negative errno if the instruction can't be stepped */
static int step_over(KvmLoongArchStep *step)
{
    CPUState *cs = step->cs;
    StepSession *s = &step->session;
    StepPlan plan;
    int ret;

    step->stepping_over = true;
    ret = step_session_begin(s) ?: step_session_emulate(s);
    if (s->phase == STEP_ARMED) {
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
    kvm_loongarch_step_report_unfinished(cs, step_session_cancel(s));
    trace_kvm_loongarch_step_over(cs->cpu_index, step_session_take(s));
    step->stepping_over = false;
    return ret;
}

static bool stands_on_foreign_trap(KvmLoongArchStep *step)
{
    return kvm_loongarch_trap_owner(step->cs) == KVM_LOONGARCH_TRAP_OTHER;
}

static bool wants_step_over(KvmLoongArchStep *step)
{
    return kvm_loongarch_step_active() && runstate_is_running() &&
           step->session.phase == STEP_IDLE && !step->cs->halted &&
           (step->alone || stands_on_foreign_trap(step));
}

static void do_step_over(CPUState *cs, run_on_cpu_data data)
{
    KvmLoongArchStep *step = data.host_ptr;
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
        kvm_loongarch_step_report_refused(cs, &step->session);
    }
}

void kvm_loongarch_step_over_queue(KvmLoongArchStep *step)
{
    if (!step->over_queued) {
        step->over_queued = true;
        async_run_on_cpu(step->cs, do_step_over, RUN_ON_CPU_HOST_PTR(step));
    }
}

bool kvm_loongarch_step_over_exit(KvmLoongArchStep *step)
{
    CPUState *cs = step->cs;
    int ret;

    switch (kvm_loongarch_trap_owner(cs)) {
    case KVM_LOONGARCH_TRAP_USER:
        return true;
    case KVM_LOONGARCH_TRAP_OTHER:
        kvm_loongarch_step_over_queue(step);
        return false;
    case KVM_LOONGARCH_TRAP_GONE:
        return false;
    case KVM_LOONGARCH_TRAP_GUEST:
        ret = kvm_loongarch_regs_skip(cs);
        break;
    default:
        ret = -EFAULT;
        break;
    }
    if (ret) {
        /* Running on would meet it again, for ever */
        error_report("CPU %d has met a trap, and it can't be found out whose: "
                     "%s", cs->cpu_index, strerror(-ret));
    }
    return ret;
}
