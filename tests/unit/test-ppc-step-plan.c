/*
 * The step plan: what is trapped, set and put back
 *
 * Expected values are from the Power ISA, Version 3.1B, Book III.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

#define SF PPC_STEP_MSR_SF
#define ME PPC_STEP_MSR_ME
#define EE PPC_STEP_MSR_EE
#define PR PPC_STEP_MSR_PR
#define SE PPC_STEP_MSR_SE
#define BE PPC_STEP_MSR_BE
#define IR PPC_STEP_MSR_IR
#define DR PPC_STEP_MSR_DR
#define RI PPC_STEP_MSR_RI
#define LE PPC_STEP_MSR_LE

#define NOP     0x60000000
#define LWZ     0x80610000      /* lwz r3,0(r1) */
#define LFD     0xc8210000
#define SC      0x44000002
#define SC1     0x44000022
#define SCV3    0x44000061
#define RFID    0x4c000024
#define RFSCV   0x4c0000a4
#define MFMSR5  0x7ca000a6
#define MTMSR5  0x7ca00124
#define MTMSRD5 0x7ca00164
#define MTMSRD5_1 0x7ca10164
#define MTSRR0_5  0x7cba03a6
#define MFSRR1_5  0x7cbb02a6
#define B_16    0x48000010
#define BL_M8   0x4bfffff9

static PPCStepRegs regs_at(uint64_t pc, uint64_t msr, uint8_t ail)
{
    PPCStepRegs r = {
        .pc = pc, .msr = msr, .lpcr_ail = ail, .srr0 = 0x1111, .srr1 = 0x2222,
        .lr = 0x3330, .ctr = 0x4440, .msr_mask = ~0ULL, .isa300 = true,
    };

    return r;
}

static PPCStepPlan plan_for(uint32_t insn, const PPCStepRegs *regs, bool noirq)
{
    uint32_t words[2] = { insn, 0 };
    PPCStepPlan plan;

    g_assert_null(ppc_step_plan_make(&plan, regs, words, noirq));
    return plan;
}

static bool traps_at(const PPCStepPlan *plan, uint8_t ail, uint64_t pc)
{
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr = ppc_step_plan_traps(plan, ail, traps);

    for (unsigned i = 0; i < nr; i++) {
        g_assert_cmphex(traps[i].pc, !=, plan->before.pc);
        if (traps[i].pc == pc) {
            return true;
        }
    }
    return false;
}

/*
 * Where interrupts go: AIL counts with IR and DR both on, and for neither
 * system reset nor machine check (Book III, 2.2, LPCR[AIL])
 */
static void test_vectors(void)
{
    static const struct {
        uint64_t msr;
        uint8_t ail;
        bool high;
    } modes[] = {
        { SF, 0, false }, { SF, 3, false },
        { SF | IR, 3, false }, { SF | DR, 3, false },
        { SF | IR | DR, 0, false }, { SF | IR | DR, 3, true },
        { SF | IR | DR | PR, 3, true }, { SF | IR | DR | PR, 0, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        PPCStepRegs r = regs_at(0x100000, modes[i].msr, modes[i].ail);
        PPCStepPlan p = plan_for(LFD, &r, true);
        static const uint32_t vectors[] = {
            0x300, 0x380, 0x400, 0x480, 0x600, 0x700, 0x800, 0xd00, 0xf60
        };

        for (unsigned v = 0; v < G_N_ELEMENTS(vectors); v++) {
            uint64_t high = 0xc000000000004000 + vectors[v];

            g_assert_true(traps_at(&p, modes[i].ail,
                                   modes[i].high ? high : vectors[v]));
            g_assert_false(traps_at(&p, modes[i].ail,
                                    modes[i].high ? vectors[v] : high));
        }
        g_assert_true(traps_at(&p, modes[i].ail, 0x100));
        g_assert_true(traps_at(&p, modes[i].ail, 0x200));
        g_assert_true(traps_at(&p, modes[i].ail, 0x100004));
    }
}

static void test_noirq(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | EE | RI, 0);
    PPCStepPlan with = plan_for(NOP, &r, true);
    PPCStepPlan without = plan_for(NOP, &r, false);

    g_assert_cmphex(ppc_step_plan_enter_msr(&with), ==, SF | SE | RI);
    g_assert_cmphex(ppc_step_plan_enter_msr(&without), ==, SF | EE | SE | RI);
    g_assert_false(traps_at(&with, 0, 0x900));
    g_assert_true(traps_at(&without, 0, 0x900));
    g_assert_true(traps_at(&without, 0, 0x500));
    g_assert_true(traps_at(&without, 0, 0xa00));
    g_assert_false(with.hold_dec);

    /* rfid and hrfid set EE with PR (4.3.1): another way is needed there */
    r = regs_at(0x100000, SF | EE | PR | IR | DR, 0);
    with = plan_for(NOP, &r, true);
    g_assert_cmphex(ppc_step_plan_enter_msr(&with), ==, r.msr | SE);
    g_assert_true(with.hold_dec);
    g_assert_true(traps_at(&with, 0, 0x500));
    g_assert_true(traps_at(&with, 0, 0x900));
    without = plan_for(NOP, &r, false);
    g_assert_false(without.hold_dec);
}

/* sc 0, sc 1 and scv (Book III, 4.3.1) */
static void test_system_calls(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | IR | DR | PR | EE, 3);
    PPCStepPlan p = plan_for(SC, &r, true);
    PPCStepRegs at;

    g_assert_true(p.run);
    g_assert_false(p.trace);
    g_assert_true(traps_at(&p, 3, 0xc000000000004c00));
    g_assert_false(traps_at(&p, 3, 0x100004));
    at = regs_at(0xc000000000004c00, SF | IR | DR, 3);
    at.srr0 = 0x100004;
    at.srr1 = SF | IR | DR | PR | EE;
    ppc_step_plan_finish(&p, 3, &at);
    g_assert_cmphex(at.srr1, ==, SF | IR | DR | PR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR);
    g_assert_cmphex(at.srr0, ==, 0x100004);

    p = plan_for(SCV3, &r, true);
    g_assert_true(traps_at(&p, 3, 0xc000000000003060));
    g_assert_true(traps_at(&p, 0, 0x17060));
    at = regs_at(0xc000000000003060, SF | IR | DR | EE, 3);
    at.ctr = SF | IR | DR | PR | EE;
    at.lr = 0x100004;
    ppc_step_plan_finish(&p, 3, &at);
    g_assert_cmphex(at.ctr, ==, SF | IR | DR | PR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.srr1, ==, 0x2222);

    /* privileged: EE was hidden, and CTR has what was MSR */
    r = regs_at(0x100000, SF | IR | DR | EE, 3);
    p = plan_for(SCV3, &r, true);
    at = regs_at(0xc000000000003060, SF | IR | DR, 3);
    at.ctr = SF | IR | DR;
    ppc_step_plan_finish(&p, 3, &at);
    g_assert_cmphex(at.ctr, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR | EE);
    p = plan_for(SC, &r, true);
    at = regs_at(0xc000000000004c00, SF | IR | DR, 3);
    at.srr1 = SF | IR | DR;
    ppc_step_plan_finish(&p, 3, &at);
    g_assert_cmphex(at.srr1, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR);

    r = regs_at(0x100000, SF | EE, 0);
    p = plan_for(SC1, &r, true);
    g_assert_false(p.trace);
    g_assert_true(p.mask_ee);
    g_assert_true(traps_at(&p, 0, 0x100004));
    g_assert_false(traps_at(&p, 0, 0xd00));
    at = regs_at(0x100004, SF, 0);
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.msr, ==, SF | EE);

    /* H_CEDE turns EE on, and waits for the interrupt that NOIRQ holds back */
    r.gpr[3] = 0xe0;
    r.msr = SF;
    p = plan_for(SC1, &r, true);
    g_assert_false(p.mask_ee);
    g_assert_true(traps_at(&p, 0, 0x900));
    at = regs_at(0x100004, SF | EE, 0);
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.msr, ==, SF | EE);
}

/* Instructions that see or change MSR, SRR0 or SRR1 are not run */
static void test_emulated(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | ME | EE | RI | LE, 0);
    PPCStepPlan p = plan_for(MFMSR5, &r, true);

    g_assert_false(p.run);
    g_assert_cmphex(p.after.gpr[5], ==, SF | ME | EE | RI | LE);
    g_assert_cmphex(p.after.pc, ==, 0x100004);

    p = plan_for(MFSRR1_5, &r, true);
    g_assert_cmphex(p.after.gpr[5], ==, 0x2222);
    r.gpr[5] = 0xabcd;
    p = plan_for(MTSRR0_5, &r, true);
    g_assert_cmphex(p.after.srr0, ==, 0xabcd);
    g_assert_cmphex(p.after.srr1, ==, 0x2222);

    /* L = 1 changes EE and RI alone */
    r.gpr[5] = PR | IR | DR;
    p = plan_for(MTMSRD5_1, &r, true);
    g_assert_cmphex(p.after.msr, ==, SF | ME | LE);
    /* L = 0 leaves HV, S, ME and LE; PR brings EE, IR and DR */
    p = plan_for(MTMSRD5, &r, true);
    g_assert_cmphex(p.after.msr, ==, ME | LE | PR | EE | IR | DR);
    r.gpr[5] = ~0ULL & ~PPC_STEP_MSR_TS & ~ME & ~LE;
    p = plan_for(MTMSRD5, &r, true);
    g_assert_cmphex(p.after.msr & (PPC_STEP_MSR_HV | PPC_STEP_MSR_S), ==, 0);
    g_assert_cmphex(p.after.msr & (ME | LE), ==, ME | LE);
    /* mtmsr leaves the upper half */
    r.gpr[5] = IR;
    p = plan_for(MTMSR5, &r, true);
    g_assert_cmphex(p.after.msr, ==, SF | ME | LE | IR);
}

static void test_rfid(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | ME, 0);
    PPCStepPlan p;

    r.srr0 = 0x12345677;
    r.srr1 = SF | PR | LE | PPC_STEP_MSR_HV;
    p = plan_for(RFID, &r, true);
    g_assert_false(p.run);
    g_assert_cmphex(p.after.pc, ==, 0x12345674);
    g_assert_cmphex(p.after.msr, ==, SF | ME | PR | EE | IR | DR | LE);
    /* to 32-bit mode */
    r.srr0 = 0xffffffff12345678;
    r.srr1 = 0;
    p = plan_for(RFID, &r, true);
    g_assert_cmphex(p.after.pc, ==, 0x12345678);
    /* to a task that the guest traces: not traced itself */
    r.srr0 = 0x5000;
    r.srr1 = SF | SE;
    p = plan_for(RFID, &r, true);
    g_assert_cmphex(p.after.pc, ==, 0x5000);
    g_assert_cmphex(p.after.msr, ==, SF | ME | SE);

    p = plan_for(RFSCV, &r, true);
    g_assert_cmphex(p.after.pc, ==, 0x3330);
    r.isa300 = false;
    p = plan_for(RFSCV, &r, true);
    g_assert_true(p.run);
}

/* In problem state they are privileged, and the processor shall say so */
static void test_problem_state(void)
{
    static const uint32_t insns[] = {
        RFID, MFMSR5, MTMSR5, MTMSRD5, MTSRR0_5, MFSRR1_5
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(insns); i++) {
        PPCStepRegs r = regs_at(0x100000, SF | PR | IR | DR | EE, 0);
        PPCStepPlan p = plan_for(insns[i], &r, true);

        g_assert_true(p.run);
        g_assert_true(traps_at(&p, 0, 0x700));
    }
}

/* The Trace interrupt is undone (7.5.15) */
static void test_trace_undone(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | ME | EE | RI, 0);
    PPCStepPlan p = plan_for(NOP, &r, true);
    PPCStepRegs at = regs_at(0xd00, SF | ME, 0);

    at.srr0 = 0x100004;
    at.srr1 = SF | ME | SE | RI | 0x783f0000;
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x100004);
    g_assert_cmphex(at.msr, ==, SF | ME | EE | RI);
    g_assert_cmphex(at.srr0, ==, 0x1111);
    g_assert_cmphex(at.srr1, ==, 0x2222);
}

/* Another interrupt is the guest's, but for our SE and EE in SRR1 */
static void test_fault(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | ME | EE | RI, 0);
    PPCStepPlan p = plan_for(LWZ, &r, true);
    PPCStepRegs at = regs_at(0x300, SF | ME, 0);

    at.srr0 = 0x100000;
    at.srr1 = SF | ME | SE | RI;
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x300);
    g_assert_cmphex(at.srr0, ==, 0x100000);
    g_assert_cmphex(at.srr1, ==, SF | ME | EE | RI);
}

/* The guest traces itself: by SE, by BE, and through an emulated mfmsr */
static void test_guest_traces(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | ME | SE, 0);
    PPCStepPlan p = plan_for(NOP, &r, true);
    PPCStepRegs at = regs_at(0xd00, SF | ME, 0);

    at.srr0 = 0x100004;
    at.srr1 = SF | ME | SE;
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0xd00);
    g_assert_cmphex(at.srr0, ==, 0x100004);
    g_assert_cmphex(at.srr1, ==, SF | ME | SE);

    p = plan_for(MFMSR5, &r, true);
    g_assert_cmphex(p.after.gpr[5], ==, SF | ME | SE);
    g_assert_cmphex(p.after.pc, ==, 0xd00);
    g_assert_cmphex(p.after.srr0, ==, 0x100004);
    g_assert_cmphex(p.after.srr1, ==, SF | ME | SE);
    g_assert_cmphex(p.after.msr, ==, SF | ME);

    r.msr = SF | ME | BE;
    p = plan_for(NOP, &r, true);
    at = regs_at(0xd00, SF | ME, 0);
    at.srr0 = 0x100004;
    at.srr1 = SF | ME | SE | BE;
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x100004);
    g_assert_cmphex(at.msr, ==, SF | ME | BE);
    p = plan_for(B_16, &r, true);
    at = regs_at(0xd00, SF | ME, 0);
    at.srr0 = 0x100010;
    at.srr1 = SF | ME | SE | BE;
    ppc_step_plan_finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0xd00);
    g_assert_cmphex(at.srr1, ==, SF | ME | BE);
}

/* The Trace handler's own first instruction, a branch included */
static void test_trace_handler(void)
{
    PPCStepRegs r = regs_at(0xd00, SF | ME, 0);
    PPCStepPlan p = plan_for(NOP, &r, true);

    g_assert_true(p.run);
    g_assert_false(p.trace);
    g_assert_true(traps_at(&p, 0, 0xd04));
    g_assert_cmphex(ppc_step_plan_enter_msr(&p), ==, SF | ME);
    p = plan_for(BL_M8, &r, true);
    g_assert_false(p.run);
    g_assert_cmphex(p.after.pc, ==, 0xcf8);
    g_assert_cmphex(p.after.lr, ==, 0xd04);
    /* with AIL = 3 the handler is elsewhere, and 0xd00 a place like others */
    r = regs_at(0xd00, SF | ME | IR | DR, 3);
    p = plan_for(NOP, &r, true);
    g_assert_true(p.trace);
}

/* Not mapped: the step ends in the instruction storage interrupt */
static void test_unmapped(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | IR | DR | PR | EE, 3);
    PPCStepPlan p;

    g_assert_null(ppc_step_plan_make(&p, &r, NULL, true));
    g_assert_true(p.run);
    g_assert_false(p.have_next);
    g_assert_true(traps_at(&p, 3, 0xc000000000004400));
    g_assert_true(traps_at(&p, 3, 0xc000000000004480));
}

static void test_refused(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | PPC_STEP_MSR_TS, 0);
    uint32_t words[2] = { RFID, 0 };
    PPCStepPlan p;

    g_assert_nonnull(ppc_step_plan_make(&p, &r, words, true));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step-plan/vectors", test_vectors);
    g_test_add_func("/step-plan/noirq", test_noirq);
    g_test_add_func("/step-plan/system-calls", test_system_calls);
    g_test_add_func("/step-plan/emulated", test_emulated);
    g_test_add_func("/step-plan/rfid", test_rfid);
    g_test_add_func("/step-plan/problem-state", test_problem_state);
    g_test_add_func("/step-plan/trace-undone", test_trace_undone);
    g_test_add_func("/step-plan/fault", test_fault);
    g_test_add_func("/step-plan/guest-traces", test_guest_traces);
    g_test_add_func("/step-plan/trace-handler", test_trace_handler);
    g_test_add_func("/step-plan/unmapped", test_unmapped);
    g_test_add_func("/step-plan/refused", test_refused);
    return g_test_run();
}
