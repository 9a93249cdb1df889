/*
 * A vCPU that meets another's trap: stepped over it, or stopped, and said why
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "kvm-breakpoints.h"
#include "kvm-hw-breakpoints.h"
#include "kvm-step-internal.h"

#define MODEL_MEMORY 0x2000
#include "model-memory.h"

#define FOREIGN 0x1000          /* where the vCPU meets it */

static uint64_t pc;
static int plan_fails, enter_fails;
static bool may_wait;
static unsigned runs, reports;
static struct kvm_run run;
static PPCStep step;
static void (*queued)(CPUState *, run_on_cpu_data);

CPUState model_cpu = { .kvm_run = &run };
BreakpointSet *kvmppc_breakpoints;
int address_space_memory;

KvmPpcTrapOwner kvmppc_trap_owner(CPUState *cs)
{
    return pc == FOREIGN && memory[FOREIGN] ? KVMPPC_TRAP_OTHER :
                                              KVMPPC_TRAP_UNKNOWN;
}

/* The architecture: instructions of 4 bytes, one after the other */

static int plan_step(void *vcpu, StepPlan *plan)
{
    *plan = (StepPlan) {
        .run = !enter_fails, .nr_traps = 1, .has_insn = true, .insn_addr = pc,
        .traps = { { pc + 4, pc + 4 } }, .reason = "it is a test",
    };
    return plan_fails;
}

static int place_step(void *vcpu, StepPlan *plan)
{
    return 0;
}

static int enter_step(void *vcpu, StepPlan *plan)
{
    return enter_fails;
}

static int finish_step(void *vcpu, StepPlan *plan, uint64_t at)
{
    return 0;
}

static int undo_step(void *vcpu, StepPlan *plan)
{
    return 0;
}

static int get_pc(void *vcpu, uint64_t *at)
{
    *at = pc;
    return 0;
}

static const StepOps ops = {
    .plan = plan_step, .place = place_step, .enter = enter_step,
    .finish = finish_step, .undo = undo_step, .get_pc = get_pc,
};

/* KVM and QEMU */

int kvm_vcpu_ioctl(CPUState *cs, int type, ...)
{
    g_assert_cmpint(type, ==, KVM_RUN);
    g_assert_cmpint(memory[pc], ==, 0);
    runs++;
    pc += 4;
    run.exit_reason = KVM_EXIT_DEBUG;
    run.debug.arch.address = pc;
    return 0;
}

void async_run_on_cpu(CPUState *cs, void (*func)(CPUState *, run_on_cpu_data),
                      run_on_cpu_data data)
{
    g_assert_true(data.host_ptr == &step);
    queued = func;
}

PPCStep *kvmppc_get_step(CPUState *cs)
{
    return &step;
}

bool kvmppc_step_active(void)
{
    return true;
}

bool runstate_is_running(void)
{
    return true;
}

bool kvmppc_step_may_wait(PPCStep *s)
{
    return may_wait;
}

void kvmppc_step_report_refused(CPUState *cs, const StepSession *s)
{
    g_assert_cmpstr(s->plan.reason, ==, "it is a test");
    reports++;
}

void kvmppc_step_report_unfinished(CPUState *cs, int ret)
{
    g_assert_cmpint(ret, ==, 0);
}

KvmPpcMatch kvmppc_hw_breakpoints_undo(CPUState *cs)
{
    return KVMPPC_MATCH_NONE;
}

void kvmppc_hw_breakpoints_suspend(CPUState *cs, bool suspend)
{
    g_assert_not_reached();
}

void qemu_cpu_kick(CPUState *cs)
{
    g_assert_not_reached();
}

int address_space_rw(void *as, hwaddr addr, int attrs, void *buf, hwaddr len,
                     bool is_write)
{
    g_assert_not_reached();
}

int kvm_arch_put_registers(CPUState *cs, int level, void *errp)
{
    g_assert_not_reached();
}

int kvm_arch_handle_exit(CPUState *cs, struct kvm_run *r)
{
    g_assert_not_reached();
}

void kvm_arch_pre_run(CPUState *cs, struct kvm_run *r)
{
    kvmppc_step_over_enter(&step);
}

void kvm_arch_post_run(CPUState *cs, struct kvm_run *r)
{
    kvmppc_step_over_leave(&step);
}

/* Tests */

static void setup(void)
{
    breakpoint_set_free(kvmppc_breakpoints);
    memset(memory, 0, sizeof(memory));
    kvmppc_breakpoints = breakpoint_set_new(&memory_ops, NULL);
    breakpoint_set_add(kvmppc_breakpoints, FOREIGN, BREAKPOINT_OWNER_STEP);
    breakpoint_set_apply(kvmppc_breakpoints);
    memset(&step, 0, sizeof(step));
    step.cpu = &model_cpu;
    step_session_init(&step.session, &ops, &step, kvmppc_breakpoints);
    kvmppc_step_over_init();
    pc = FOREIGN;
    plan_fails = enter_fails = 0;
    may_wait = false;
    runs = reports = 0;
}

/* The vCPU exits for the trap, and does what it has been given to do */
static void meet_trap(void)
{
    g_assert_cmpint(kvmppc_step_over_exit(&step), ==, KVMPPC_STEP_EXIT_RESUME);
    g_assert_nonnull(queued);
    queued(&model_cpu, RUN_ON_CPU_HOST_PTR(&step));
    queued = NULL;
    g_assert_cmpint(step.session.phase, ==, STEP_IDLE);
    g_assert_cmpint(memory[FOREIGN], ==, 1);
    g_assert_cmpint(memory[FOREIGN + 4], ==, 0);
}

static void test_over(void)
{
    setup();
    meet_trap();
    g_assert_cmphex(pc, ==, FOREIGN + 4);
    g_assert_cmpuint(runs, ==, 1);
    g_assert_cmpuint(reports, ==, 0);
    g_assert_false(step.over_failed);
}

/* What can't be stepped is reported, and the vCPU stopped: not met for ever */
static void test_refused(void)
{
    setup();
    plan_fails = -ENOTSUP;
    meet_trap();
    g_assert_cmphex(pc, ==, FOREIGN);
    g_assert_cmpuint(runs, ==, 0);
    g_assert_cmpuint(reports, ==, 1);
    g_assert_true(step.over_failed);
}

static void test_not_written(void)
{
    setup();
    enter_fails = -EIO;
    meet_trap();
    g_assert_cmpuint(reports, ==, 1);
    g_assert_true(step.over_failed);
}

/*
 * A hypercall is not run while all others wait.  Another's step ends; a user's
 * breakpoint, which that vCPU meets by another address, stays.
 */
static void test_hypercall(void)
{
    for (int users = 0; users < 2; users++) {
        setup();
        may_wait = true;
        if (users) {
            breakpoint_set_add(kvmppc_breakpoints, FOREIGN,
                               BREAKPOINT_OWNER_USER);
        }
        meet_trap();
        g_assert_cmphex(pc, ==, FOREIGN);
        g_assert_cmpuint(runs, ==, 0);
        g_assert_cmpuint(reports, ==, 0);
        g_assert_cmpint(step.over_failed, ==, users);
    }
}

/* The debugger's own step, alone: it waits for the end, and is told why it is none */
static void test_alone(void)
{
    for (int fails = 0; fails < 2; fails++) {
        setup();
        plan_fails = fails ? -ENOTSUP : 0;
        step.alone = true;
        kvmppc_step_over_queue(&step);
        queued(&model_cpu, RUN_ON_CPU_HOST_PTR(&step));
        g_assert_cmpint(step.session.phase, ==, STEP_DONE);
        g_assert_false(step.alone);
        g_assert_false(step.over_failed);
        g_assert_cmpuint(reports, ==, fails);
        g_assert_cmphex(pc, ==, fails ? FOREIGN : FOREIGN + 4);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step-over/over", test_over);
    g_test_add_func("/step-over/refused", test_refused);
    g_test_add_func("/step-over/not-written", test_not_written);
    g_test_add_func("/step-over/hypercall", test_hypercall);
    g_test_add_func("/step-over/alone", test_alone);
    return g_test_run();
}
