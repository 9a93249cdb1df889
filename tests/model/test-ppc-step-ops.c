/*
 * Where a step finds its instruction, and puts its traps
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "kvm-breakpoints.h"
#include "kvm-regs.h"
#include "kvm-step-internal.h"

#define MODEL_MEMORY 0x20000
#include "model-memory.h"

#define PC      0x10100
#define NOP     0x60000000
#define HCALL   0x44000022
#define STD_3_4 0xf8640000      /* std r3,0(r4) */

static uint64_t hole;           /* a page that is not mapped */
static PPCStepRegs vcpu;
static PPCStep step;

CPUState model_cpu;
BreakpointSet *kvmppc_breakpoints;

int kvmppc_memory_read(uint64_t phys, void *buf, size_t len)
{
    return read_memory(NULL, phys, buf, len);
}

bool kvmppc_xlate(PowerPCCPU *cpu, vaddr addr, MMUAccessType access,
                  KvmPpcXlateMode mode, uint64_t *phys)
{
    *phys = addr & 0xffffff;
    return (addr & TARGET_PAGE_MASK) != hole && *phys < sizeof(memory);
}

KvmPpcXlateMode kvmppc_fetch_mode(const PPCStepRegs *regs)
{
    return (KvmPpcXlateMode) {};
}

KvmPpcXlateMode kvmppc_data_mode(const PPCStepRegs *regs)
{
    return (KvmPpcXlateMode) {};
}

unsigned kvmppc_fetch(PowerPCCPU *cpu, const PPCStepRegs *regs,
                      uint32_t *words, unsigned max)
{
    return 0;
}

uint8_t kvmppc_regs_ail(CPUState *cs)
{
    return vcpu.lpcr_ail;
}

void kvmppc_regs_read_mmu(CPUState *cs)
{
}

int kvmppc_step_regs_get(CPUState *cs, PPCStepRegs *regs)
{
    *regs = vcpu;
    return 0;
}

int kvmppc_step_regs_put(CPUState *cs, const PPCStepRegs *regs, bool now)
{
    vcpu = *regs;
    return 0;
}

int kvm_get_one_reg(CPUState *cs, uint64_t id, void *value)
{
    return 0;
}

int kvmppc_irq_hold(CPUState *cs, KvmPpcHeld *held, uint32_t vector)
{
    return 0;
}

static int release_error;

int kvmppc_irq_release(CPUState *cs, KvmPpcHeld *held)
{
    return release_error;
}

PPCStep *kvmppc_get_step(CPUState *cs)
{
    return &step;
}

static void poke(uint64_t addr, uint32_t insn)
{
    insn = GUINT32_TO_BE(insn);
    memcpy(memory + addr, &insn, sizeof(insn));
}

static void setup(void)
{
    breakpoint_set_free(kvmppc_breakpoints);
    memset(memory, 0, sizeof(memory));
    poke(PC, NOP);
    kvmppc_breakpoints = breakpoint_set_new(&memory_ops, NULL);
    memset(&step, 0, sizeof(step));
    step.cpu = &model_cpu;
    step_session_init(&step.session, &kvmppc_step_ops, &step,
                      kvmppc_breakpoints);
    vcpu = (PPCStepRegs) {
        .pc = PC, .msr = PPC_STEP_MSR_SF | PPC_STEP_MSR_EE, .msr_mask = ~0ULL,
        .isa300 = true,
    };
    hole = ~0ULL;
}

/* Behind a hypercall a vCPU may wait; a breakpoint on that does not hide it */
static void test_behind_hypercall(void)
{
    for (int with = 0; with < 2; with++) {
        setup();
        poke(PC - 4, HCALL);
        if (with) {
            breakpoint_set_add(kvmppc_breakpoints, PC - 4,
                               BREAKPOINT_OWNER_USER);
            breakpoint_set_apply(kvmppc_breakpoints);
        }
        g_assert_cmpint(step_session_begin(&step.session), ==, 0);
        g_assert_true(step.follows_hcall);
    }
}

/* What can't be fetched meanwhile may be scv, whose vector need not be mapped */
static void test_unmapped(void)
{
    setup();
    hole = PC & TARGET_PAGE_MASK;
    g_assert_cmpint(step_session_begin(&step.session), ==, 0);
    g_assert_true(step_session_traps_at(&step.session, 0xc00));
    g_assert_true(step_session_traps_at(&step.session, PPC_STEP_VECTOR_SCV));
    g_assert_cmpint(step_session_cancel(&step.session), ==, 0);

    vcpu.pc = 0x30000;
    hole = PPC_STEP_VECTOR_SCV & TARGET_PAGE_MASK;
    g_assert_cmpint(step_session_begin(&step.session), ==, 0);
    g_assert_false(step_session_traps_at(&step.session, PPC_STEP_VECTOR_SCV));
}

/* In a transaction the Trace vector alone tells where it went: said if it can't */
static void test_transaction(void)
{
    setup();
    poke(PC, STD_3_4);
    vcpu.gpr[4] = 0xd00;
    g_assert_cmpint(step_session_begin(&step.session), ==, 0);
    g_assert_false(step_session_traps_at(&step.session, 0xd00));
    g_assert_cmpint(step_session_cancel(&step.session), ==, 0);

    vcpu.msr |= PPC_STEP_MSR_TS_T;
    g_assert_cmpint(step_session_begin(&step.session), <, 0);
    g_assert_nonnull(step.session.plan.reason);
}

/* KVM does not let come what was held back: the step ends all the same */
static void test_held(void)
{
    StepPlan plan = {};

    setup();
    release_error = -EIO;
    g_assert_cmpint(kvmppc_step_ops.undo(&step, &plan), ==, 0);
    g_assert_true(step.held.told);
    release_error = 0;
    kvmppc_step_release_held(&step);
    g_assert_false(step.held.told);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step-ops/behind-hypercall", test_behind_hypercall);
    g_test_add_func("/step-ops/unmapped", test_unmapped);
    g_test_add_func("/step-ops/transaction", test_transaction);
    g_test_add_func("/step-ops/held", test_held);
    return g_test_run();
}
