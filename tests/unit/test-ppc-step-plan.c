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
#define SRR1_TRACE  (1ULL << (63 - 33))
#define SRR1_PREFIX (1ULL << (63 - 34))

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
#define BDNZ_16 0x42000010

#define LWARX   0x7ca01828      /* lwarx r5,0,r3 */
#define STWCX   0x7cc0192d      /* stwcx. r6,0,r3 */
#define CMPW    0x7c053000
#define BNE(d)  (0x40820000u | ((d) & 0xfffc))
#define PC      0x100000

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

/* A trap that ends the step without an asynchronous interrupt being undone */
static void finish(const PPCStepPlan *plan, uint8_t ail, PPCStepRegs *regs)
{
    uint32_t undone = 0xdead;

    g_assert_cmpint(ppc_step_plan_finish(plan, ail, regs, &undone), ==,
                    PPC_STEP_END_DONE);
    g_assert_cmphex(undone, ==, 0);
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
    g_assert_true(with.noirq);
    g_assert_false(without.noirq);

    /* rfid and hrfid set EE with PR (4.3.1): another way is needed there */
    r = regs_at(0x100000, SF | EE | PR | IR | DR, 0);
    with = plan_for(NOP, &r, true);
    g_assert_cmphex(ppc_step_plan_enter_msr(&with), ==, r.msr | SE);
    g_assert_true(with.noirq);
    g_assert_false(with.mask_ee);
    g_assert_true(traps_at(&with, 0, 0x500));
    g_assert_true(traps_at(&with, 0, 0x900));
    g_assert_true(traps_at(&with, 0, 0xa00));
    g_assert_true(traps_at(&with, 0, 0xf00));
    without = plan_for(NOP, &r, false);
    g_assert_false(without.noirq);
}

/* The registers at @vector, coming from @srr0 with @msr (7.2.1, 7.4) */
static PPCStepRegs regs_in(uint32_t vector, uint8_t ail, uint64_t srr0,
                           uint64_t msr)
{
    bool high = ail == 3 && msr & IR && msr & DR;
    PPCStepRegs r = regs_at(vector + (high ? 0xc000000000004000 : 0),
                            SF | ME | (high ? IR | DR : 0), ail);

    r.srr0 = srr0;
    r.srr1 = msr;
    return r;
}

/* All that an interrupt changes is as it was, or says where it came */
static void assert_undone(const PPCStepPlan *plan, PPCStepRegs at,
                          uint32_t vector, uint64_t pc, uint64_t msr)
{
    uint32_t undone = 0;
    PPCStepEnd end = ppc_step_plan_finish(plan, at.lpcr_ail, &at, &undone);

    g_assert_cmpint(end, ==, pc == plan->before.pc ? PPC_STEP_END_AGAIN :
                                                     PPC_STEP_END_DONE);
    g_assert_cmphex(undone, ==, vector);
    g_assert_cmphex(at.pc, ==, pc);
    g_assert_cmphex(at.msr, ==, msr);
    g_assert_cmphex(at.srr0, ==, 0x1111);
    g_assert_cmphex(at.srr1, ==, 0x2222);
    g_assert_cmphex(at.ctr, ==, 0x4440);
    g_assert_cmphex(at.lr, ==, 0x3330);
}

/* An asynchronous interrupt in problem state: as if it had not come */
static void test_undone(void)
{
    static const uint32_t vectors[] = { 0x500, 0x900, 0xa00 };
    static const uint64_t own[] = { 0, SE, BE, SE | BE };
    static const uint32_t insns[] = { NOP, LWZ, B_16, SC, RFID, 0 };

    for (unsigned n = 0; n < 3 * 4 * 6 * 2; n++) {
        uint32_t vector = vectors[n % 3], insn = insns[n / 3 % 6];
        uint8_t ail = n / 18 % 2 ? 3 : 0;
        uint64_t msr = SF | ME | EE | PR | IR | DR | RI | own[n / 36];
        PPCStepRegs r = regs_at(PC, msr, ail);
        PPCStepPlan p = plan_for(insn, &r, true);
        uint64_t entered = ppc_step_plan_enter_msr(&p);
        PPCStepRegs at = regs_in(vector, ail, PC, entered);

        g_assert_true(traps_at(&p, ail, at.pc));
        assert_undone(&p, at, vector, PC, msr);
        /* what SRR1 may say of the interrupt is reserved in MSR */
        at.srr1 |= 0x783f0000;
        assert_undone(&p, at, vector, PC, msr);
        /* one that the hypervisor has emulated comes without being traced */
        assert_undone(&p, regs_in(vector, ail, PC + 4, entered), vector,
                      PC + 4, msr);

        /* NOIRQ not asked for: it ends the step, and is the guest's */
        p = plan_for(insn, &r, false);
        at = regs_in(vector, ail, PC, ppc_step_plan_enter_msr(&p));
        finish(&p, ail, &at);
        g_assert_cmphex(at.pc & 0xfff, ==, vector);
        g_assert_cmphex(at.srr0, ==, PC);
        g_assert_cmphex(at.srr1, ==, msr);
    }
}

/* Interrupts that are not held back: none of these is undone */
static void test_not_undone(void)
{
    static const uint32_t vectors[] = {
        0x100, 0x200, 0x300, 0x380, 0x400, 0x480, 0x600, 0x700, 0x800, 0xf00,
        0xf60,
    };
    uint64_t msr = SF | ME | EE | PR | IR | DR | RI;

    for (unsigned n = 0; n < 2 * G_N_ELEMENTS(vectors); n++) {
        uint32_t vector = vectors[n / 2];
        uint8_t ail = n % 2 ? 3 : 0;
        PPCStepRegs r = regs_at(PC, msr, ail);
        PPCStepPlan p = plan_for(LFD, &r, true);
        PPCStepRegs at = regs_in(vector, ail, PC, msr | SE);

        if (vector < 0x300) {
            at.pc = vector;         /* real mode (2.2, LPCR[AIL]) */
        }
        finish(&p, ail, &at);
        g_assert_cmphex(at.pc & 0xfff, ==, vector);
        g_assert_cmphex(at.srr0, ==, PC);
        g_assert_cmphex(at.srr1, ==, msr);
    }
}

/*
 * scv leaves EE on (4.3.1), so that one may come before the handler's first
 * instruction; H_CEDE sets EE, so that one comes behind it
 */
static void test_undone_behind(void)
{
    PPCStepRegs r = regs_at(PC, SF | ME | EE | PR | IR | DR, 0);
    PPCStepPlan p = plan_for(SCV3, &r, true);
    uint64_t msr = SF | ME | EE;

    assert_undone(&p, regs_in(0x900, 0, 0x17060, msr), 0x900, 0x17060, msr);
    r.lpcr_ail = 3;
    p = plan_for(SCV3, &r, true);
    msr = SF | ME | EE | IR | DR;
    assert_undone(&p, regs_in(0x500, 3, 0xc000000000003060, msr), 0x500,
                  0xc000000000003060, msr);

    for (int ail = 0; ail <= 3; ail += 3) {
        r = regs_at(PC, SF | ME | IR | DR | RI, ail);
        r.gpr[3] = 0xe0;
        p = plan_for(SC1, &r, true);
        assert_undone(&p, regs_in(0x900, ail, PC + 4, r.msr | EE), 0x900,
                      PC + 4, r.msr | EE);
        r.msr |= EE;
        p = plan_for(SC1, &r, true);
        assert_undone(&p, regs_in(0x500, ail, PC, r.msr), 0x500, PC, r.msr);
    }
}

/* From problem state at 0x100000: the kernel finds what the processor has saved */
static void assert_system_call(PPCStepPlan *p)
{
    PPCStepRegs at = regs_at(0xc000000000004c00, SF | IR | DR, 3);

    at.srr0 = 0x100004;
    at.srr1 = SF | IR | DR | PR | EE;
    finish(p, 3, &at);
    g_assert_cmphex(at.pc, ==, 0xc000000000004c00);
    g_assert_cmphex(at.msr, ==, SF | IR | DR);
    g_assert_cmphex(at.srr0, ==, 0x100004);
    g_assert_cmphex(at.srr1, ==, SF | IR | DR | PR | EE);
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
    assert_system_call(&p);

    p = plan_for(SCV3, &r, true);
    g_assert_true(traps_at(&p, 3, 0xc000000000003060));
    g_assert_true(traps_at(&p, 0, 0x17060));
    at = regs_at(0xc000000000003060, SF | IR | DR | EE, 3);
    at.ctr = SF | IR | DR | PR | EE;
    at.lr = 0x100004;
    finish(&p, 3, &at);
    g_assert_cmphex(at.ctr, ==, SF | IR | DR | PR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.srr1, ==, 0x2222);

    /* privileged: EE was hidden, and CTR has what was MSR */
    r = regs_at(0x100000, SF | IR | DR | EE, 3);
    p = plan_for(SCV3, &r, true);
    at = regs_at(0xc000000000003060, SF | IR | DR, 3);
    at.ctr = SF | IR | DR;
    finish(&p, 3, &at);
    g_assert_cmphex(at.ctr, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR | EE);
    p = plan_for(SC, &r, true);
    at = regs_at(0xc000000000004c00, SF | IR | DR, 3);
    at.srr1 = SF | IR | DR;
    finish(&p, 3, &at);
    g_assert_cmphex(at.srr1, ==, SF | IR | DR | EE);
    g_assert_cmphex(at.msr, ==, SF | IR | DR);

    r = regs_at(0x100000, SF | EE, 0);
    p = plan_for(SC1, &r, true);
    g_assert_false(p.trace);
    g_assert_true(p.mask_ee);
    g_assert_true(traps_at(&p, 0, 0x100004));
    g_assert_false(traps_at(&p, 0, 0xd00));
    at = regs_at(0x100004, SF, 0);
    finish(&p, 0, &at);
    g_assert_cmphex(at.msr, ==, SF | EE);
    g_assert_true(traps_at(&p, 0, 0xc00));

    /* sc 1 of problem state is a system call, for the guest's kernel to refuse */
    r = regs_at(0x100000, SF | IR | DR | PR | EE, 3);
    p = plan_for(SC1, &r, true);
    g_assert_true(p.run);
    g_assert_true(traps_at(&p, 3, 0xc000000000004c00));
    assert_system_call(&p);
    r = regs_at(0x100000, SF | EE, 0);

    /* H_CEDE turns EE on, and waits for the interrupt that NOIRQ holds back */
    r.gpr[3] = 0xe0;
    r.msr = SF;
    p = plan_for(SC1, &r, true);
    g_assert_false(p.mask_ee);
    g_assert_true(traps_at(&p, 0, 0x900));
    at = regs_at(0x100004, SF | EE, 0);
    finish(&p, 0, &at);
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
    finish(&p, 0, &at);
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
    finish(&p, 0, &at);
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
    finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0xd00);
    g_assert_cmphex(at.srr0, ==, 0x100004);
    g_assert_cmphex(at.srr1, ==, SF | ME | SE);

    p = plan_for(MFMSR5, &r, true);
    g_assert_cmphex(p.after.gpr[5], ==, SF | ME | SE);
    g_assert_cmphex(p.after.pc, ==, 0xd00);
    g_assert_cmphex(p.after.srr0, ==, 0x100004);
    g_assert_cmphex(p.after.srr1, ==, SF | ME | SE | SRR1_TRACE);
    g_assert_cmphex(p.after.msr, ==, SF | ME);

    r.msr = SF | ME | BE;
    p = plan_for(NOP, &r, true);
    at = regs_at(0xd00, SF | ME, 0);
    at.srr0 = 0x100004;
    at.srr1 = SF | ME | SE | BE;
    finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x100004);
    g_assert_cmphex(at.msr, ==, SF | ME | BE);
    p = plan_for(B_16, &r, true);
    at = regs_at(0xd00, SF | ME, 0);
    at.srr0 = 0x100010;
    at.srr1 = SF | ME | SE | BE;
    finish(&p, 0, &at);
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
    g_assert_cmphex(p.after.ctr, ==, r.ctr);
    /* bdnz counts, taken or not; bne does not */
    for (r.ctr = 1; r.ctr <= 2; r.ctr++) {
        p = plan_for(BDNZ_16, &r, true);
        g_assert_false(p.run);
        g_assert_cmphex(p.after.pc, ==, r.ctr == 1 ? 0xd04 : 0xd10);
        g_assert_cmphex(p.after.ctr, ==, r.ctr - 1);
        p = plan_for(BNE(16), &r, true);
        g_assert_cmphex(p.after.ctr, ==, r.ctr);
    }
    /* with AIL = 3 the handler is elsewhere, and 0xd00 a place like others */
    r = regs_at(0xd00, SF | ME | IR | DR, 3);
    p = plan_for(NOP, &r, true);
    g_assert_true(p.trace);
}

/* Of an interrupt that the step itself makes SRR1 says what the processor's would */
static void test_trace_made(void)
{
    static const uint32_t pli[] = { 0x06000000, 0x38a00001 };
    static const uint32_t nop[] = { NOP, NOP };

    for (unsigned i = 0; i < 2; i++) {
        PPCStepRegs r = regs_at(0xd00, SF | ME | SE, 0), at;
        PPCStepPlan p;
        uint64_t next = i ? 0xd08 : 0xd04;

        g_assert_null(ppc_step_plan_make(&p, &r, i ? pli : nop, true));
        g_assert_true(p.run);
        g_assert_false(p.trace);
        at = regs_at(next, ppc_step_plan_enter_msr(&p), 0);
        finish(&p, 0, &at);
        g_assert_cmphex(at.pc, ==, 0xd00);
        g_assert_cmphex(at.srr0, ==, next);
        g_assert_cmphex(at.srr1, ==, SF | ME | SE | SRR1_TRACE |
                        (i ? SRR1_PREFIX : 0));
    }
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
    /* Unless it is mapped meanwhile; sc and scv are not traced */
    g_assert_true(traps_at(&p, 3, 0xc000000000004c00));
    g_assert_true(traps_at(&p, 3, 0xc000000000003000));
    g_assert_true(traps_at(&p, 0, 0xc00));
    g_assert_true(traps_at(&p, 0, 0x17000));
}

/* A hypervisor's system reset and machine check may go elsewhere (FWNMI) */
static void test_fwnmi(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | EE, 3), at;
    PPCStepPlan p;

    r.fwnmi[0] = 0x8000;
    r.fwnmi[1] = 0x8100;
    p = plan_for(NOP, &r, true);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(traps_at(&p, 3, i ? 0x200 : 0x100));
        g_assert_true(traps_at(&p, 3, r.fwnmi[i]));
        at = regs_at(r.fwnmi[i], SF | ME, 0);
        at.srr0 = r.pc;
        at.srr1 = ppc_step_plan_enter_msr(&p);
        finish(&p, 3, &at);
        g_assert_cmphex(at.pc, ==, r.fwnmi[i]);
        g_assert_cmphex(at.msr, ==, SF | ME);
        g_assert_cmphex(at.srr0, ==, r.pc);
        g_assert_cmphex(at.srr1, ==, r.msr);
    }
}

/*
 * In a transaction the instruction does not run: the stop has made it fail.  Where
 * the failure handler is only the Trace interrupt says.
 */
static void test_transaction(void)
{
    static const uint32_t untraced[] = { SC, SC1, SCV3 };
    static const uint32_t sequence[] = { LWARX, STWCX };
    PPCStepRegs r = regs_at(0x100000, SF | PR | PPC_STEP_MSR_TS_T, 0), at;
    uint32_t words[2] = { NOP, 0 };
    PPCStepPlan p;

    for (unsigned i = 0; i < G_N_ELEMENTS(untraced); i++) {
        words[0] = untraced[i];
        g_assert_nonnull(ppc_step_plan_make(&p, &r, words, true));
    }
    p = plan_for(NOP, &r, true);
    g_assert_true(p.trace);
    g_assert_false(ppc_step_plan_untraced(&p));

    /* Behind the first instruction of the handler, with no transaction */
    p = plan_for(NOP, &r, true);
    at = regs_at(0xd00, SF, 0);
    at.srr0 = 0x200004;
    at.srr1 = SF | PR | SE | SRR1_TRACE;
    finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x200004);
    g_assert_cmphex(at.msr, ==, SF | PR);

    p = plan_for(LWARX, &r, true);
    g_assert_nonnull(ppc_step_plan_sequence(&p, sequence, 2));

    /* Suspended: they run, and do not belong to it */
    r.msr = SF | PR | (PPC_STEP_MSR_TS & ~PPC_STEP_MSR_TS_T);
    for (unsigned i = 0; i < G_N_ELEMENTS(untraced); i++) {
        words[0] = untraced[i];
        g_assert_null(ppc_step_plan_make(&p, &r, words, true));
    }
}

static void test_refused(void)
{
    PPCStepRegs r = regs_at(0x100000, SF | PPC_STEP_MSR_TS, 0);
    uint32_t words[2] = { RFID, 0 };
    PPCStepPlan p;

    g_assert_nonnull(ppc_step_plan_make(&p, &r, words, true));
}

/* Load-and-reserve sequences */

static const char *sequence_of(PPCStepPlan *plan, const PPCStepRegs *regs,
                               bool noirq, const uint32_t *words, unsigned nr)
{
    PPCStepPlan one = plan_for(words[0], regs, noirq);
    const char *reason;

    *plan = one;
    reason = ppc_step_plan_sequence(plan, words, nr);
    if (reason) {
        /* still good for the one instruction */
        g_assert_cmpmem(plan, sizeof(*plan), &one, sizeof(one));
    } else {
        PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];

        g_assert_true(plan->sequence);
        g_assert_true(plan->run);
        g_assert_true(plan->have_next);
        for (unsigned i = 0; i < ppc_step_plan_traps(plan, regs->lpcr_ail,
                                                     traps); i++) {
            uint64_t from = traps[i].pc - regs->pc;

            if (!(regs->msr & SF)) {
                from = (uint32_t)from;
            }
            /* Its own code has no trap */
            g_assert_false(from < (uint32_t)(plan->next - regs->pc));
            g_assert_cmpint(traps[i].kind, !=, PPC_STEP_TRAP_TRACE);
        }
    }
    return reason;
}

#define SEQUENCE(plan, regs, ...) \
    sequence_of(plan, regs, true, (const uint32_t []) { __VA_ARGS__ }, \
                sizeof((const uint32_t []) { __VA_ARGS__ }) / 4)

/* Book II, 4.6.2: the store-conditional has the load's size */
static void test_sequence_sizes(void)
{
    static const uint32_t larx[] = {
        0x7ca01868, 0x7ca018e8, LWARX, 0x7ca018a8, 0x7c801a28
    };
    static const uint32_t stcx[] = {
        0x7cc01d6d, 0x7cc01dad, STWCX, 0x7cc019ad, 0x7c80196d
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(larx); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(stcx); j++) {
            PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
            PPCStepPlan p;

            if (i != j) {
                g_assert_nonnull(SEQUENCE(&p, &r, larx[i], NOP, stcx[j]));
                /* also if the right one follows */
                g_assert_nonnull(SEQUENCE(&p, &r, larx[i], stcx[j], stcx[i]));
                continue;
            }
            g_assert_null(SEQUENCE(&p, &r, larx[i], NOP, stcx[j], BNE(-8)));
            g_assert_cmphex(p.next, ==, PC + 12);
            g_assert_true(traps_at(&p, 0, PC + 12));
            g_assert_cmphex(ppc_step_plan_enter_msr(&p), ==, SF | ME | RI);
            /* the shortest, and the first of two */
            g_assert_null(SEQUENCE(&p, &r, larx[i], stcx[j]));
            g_assert_cmphex(p.next, ==, PC + 8);
            g_assert_null(SEQUENCE(&p, &r, larx[i], stcx[j], stcx[j]));
            g_assert_cmphex(p.next, ==, PC + 8);
        }
    }
}

static void test_sequence_length(void)
{
    uint32_t words[STEP_SEQUENCE_WORDS_MAX + 1];
    PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
    PPCStepPlan p;

    g_assert_cmpuint(STEP_SEQUENCE_WORDS_MAX, ==, 17);
    words[0] = LWARX;
    for (unsigned i = 1; i < G_N_ELEMENTS(words); i++) {
        words[i] = NOP;
    }
    g_assert_nonnull(sequence_of(&p, &r, true, words, 17));
    for (unsigned i = 1; i < 17; i++) {
        words[i] = STWCX;
        g_assert_null(sequence_of(&p, &r, true, words, 17));
        g_assert_cmphex(p.next, ==, PC + 4 * i + 4);
        /* not yet in the words that there are: the end of a page, say */
        g_assert_nonnull(sequence_of(&p, &r, true, words, i));
        words[i] = NOP;
    }
    words[17] = STWCX;
    g_assert_nonnull(sequence_of(&p, &r, true, words, 17));
}

static void test_sequence_exits(void)
{
    PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
    PPCStepPlan p;
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr, at_next = 0;

    /* compare and swap */
    g_assert_null(SEQUENCE(&p, &r, LWARX, CMPW, BNE(12), STWCX, BNE(-16)));
    g_assert_cmphex(p.next, ==, PC + 16);
    g_assert_true(traps_at(&p, 0, PC + 16));
    g_assert_true(traps_at(&p, 0, PC + 20));
    /* to inside, to the store-conditional, and to behind it */
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(8), NOP, BNE(8), NOP, BNE(8),
                           STWCX));
    g_assert_cmphex(p.next, ==, PC + 28);
    g_assert_cmpuint(p.nr_exits, ==, 0);
    nr = ppc_step_plan_traps(&p, 0, traps);
    for (unsigned i = 0; i < nr; i++) {
        at_next += traps[i].kind == PPC_STEP_TRAP_NEXT;
    }
    g_assert_cmpuint(at_next, ==, 1);
    /* the nearest outside, and as far as it goes; bdnz and bdzf */
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(12), 0x42007ffc, 0x40427ff8,
                           STWCX));
    g_assert_true(traps_at(&p, 0, PC + 20));
    g_assert_true(traps_at(&p, 0, PC + 8 + 0x7ffc));
    g_assert_true(traps_at(&p, 0, PC + 12 + 0x7ff8));
    g_assert_false(traps_at(&p, 0, PC + 16));
    /* there is room for so many */
    g_assert_cmpuint(STEP_SEQUENCE_EXITS_MAX, ==, 4);
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(64), BNE(64), BNE(64), BNE(64),
                           STWCX));
    for (int i = 1; i <= 4; i++) {
        g_assert_true(traps_at(&p, 0, PC + 4 * i + 64));
    }
    g_assert_nonnull(SEQUENCE(&p, &r, LWARX, BNE(64), BNE(64), BNE(64),
                              BNE(64), BNE(64), STWCX));
    /* those that lead to inside do not count; nor does the same one again */
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(8), BNE(8), BNE(8), BNE(8),
                           BNE(8), NOP, BNE(64), BNE(60), STWCX));
    g_assert_cmpuint(p.nr_exits, ==, 1);
    /* backwards out of it, to the instruction before it, and further */
    g_assert_null(SEQUENCE(&p, &r, LWARX, CMPW, BNE(-12), BNE(-64), STWCX));
    g_assert_true(traps_at(&p, 0, PC - 4));
    g_assert_true(traps_at(&p, 0, PC + 12 - 64));
}

static void test_sequence_refused(void)
{
    static const struct {
        const char *what;
        uint32_t word;
    } inside[] = {
        { "b", B_16 }, { "bl", BL_M8 }, { "back to the first", BNE(-8) },
        { "back to inside", BNE(-4) }, { "to itself", BNE(0) },
        { "bnel", BNE(16) | 1 }, { "bnea", 0x40820102 },
        { "bc always", 0x42800010 }, { "bnelr", 0x4c820020 },
        { "blr", 0x4e800020 }, { "bnectr", 0x4c820420 },
        { "lwarx", LWARX }, { "ldarx", 0x7ca018a8 },
        { "sc", SC }, { "sc 1", SC1 }, { "scv", SCV3 },
        { "rfid", RFID }, { "rfscv", RFSCV }, { "rfebb", 0x4c000124 },
        { "mfmsr", MFMSR5 }, { "mtmsr", MTMSR5 }, { "mtmsrd", MTMSRD5 },
        { "mtmsrd 1", MTMSRD5_1 }, { "mtspr SRR0", MTSRR0_5 },
        { "mtspr PIDR", 0x7cb00ba6 }, { "slbmte", 0x7c602324 },
        { "slbia", 0x7c0003e4 }, { "unknown", 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(inside); i++) {
        PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
        PPCStepPlan p;

        g_test_message("%s", inside[i].what);
        g_assert_nonnull(SEQUENCE(&p, &r, LWARX, NOP, inside[i].word, NOP,
                                  STWCX));
    }
}

/* Prefixed instructions: the second word is not an instruction */
static void test_sequence_prefixed(void)
{
    PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
    PPCStepPlan p;

    g_assert_null(SEQUENCE(&p, &r, LWARX, 0x06000000, 0x38630001, STWCX));
    g_assert_cmphex(p.next, ==, PC + 16);
    g_assert_true(traps_at(&p, 0, PC + 16));
    g_assert_null(SEQUENCE(&p, &r, LWARX, 0x04000000, 0xe4640010, BNE(12),
                           STWCX));
    g_assert_cmphex(p.next, ==, PC + 20);
    g_assert_true(traps_at(&p, 0, PC + 24));
    /* pnop, whatever follows */
    g_assert_null(SEQUENCE(&p, &r, LWARX, 0x07000000, STWCX, NOP, STWCX));
    g_assert_cmphex(p.next, ==, PC + 20);
    g_assert_nonnull(SEQUENCE(&p, &r, LWARX, 0x07000000, STWCX, NOP));
    /* half of one at the end */
    g_assert_nonnull(SEQUENCE(&p, &r, LWARX, NOP, 0x06000000));
}

/* Addresses have 32 bits without SF (Book I, 1.10.3) */
static void test_sequence_wraps(void)
{
    PPCStepRegs r = regs_at(0xfffffff8, ME | EE | RI, 0);
    PPCStepPlan p;

    g_assert_null(SEQUENCE(&p, &r, LWARX, STWCX));
    g_assert_cmphex(p.next, ==, 0);
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(0x20), NOP, STWCX));
    g_assert_cmphex(p.next, ==, 8);
    g_assert_true(traps_at(&p, 0, 8));
    g_assert_true(traps_at(&p, 0, 0x1c));
    /* to inside, across the end */
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(8), NOP, STWCX));
    g_assert_cmphex(p.next, ==, 8);
    g_assert_false(traps_at(&p, 0, 4));
    /* and back */
    g_assert_nonnull(SEQUENCE(&p, &r, LWARX, NOP, BNE(-8), STWCX));
    g_assert_nonnull(SEQUENCE(&p, &r, LWARX, NOP, NOP, BNE(-8), STWCX));
    /* a branch forward out of it that wraps by itself */
    r.pc = 0xffffff00;
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(0x100), STWCX));
    g_assert_cmphex(p.next, ==, 0xffffff0c);
    g_assert_true(traps_at(&p, 0, 4));
    /* with SF none of this */
    r = regs_at(0xfffffff8, SF | ME | EE | RI, 0);
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(0x20), NOP, STWCX));
    g_assert_cmphex(p.next, ==, 0x100000008);
    g_assert_true(traps_at(&p, 0, 0x10000001c));
}

/* Any of its instructions may raise what it may raise by itself */
static void test_sequence_interrupts(void)
{
    static const struct {
        uint32_t insn;
        uint32_t vector;
    } cases[] = {
        { LFD, 0x800 }, { 0x7c2320ce, 0xf20 }, { 0xf0221800, 0xf40 },
        { 0x7c232698, 0xf40 },
    };
    PPCStepRegs r = regs_at(PC, SF | ME | EE | RI, 0);
    PPCStepPlan p;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_null(SEQUENCE(&p, &r, LWARX, NOP, STWCX, cases[i].insn));
        g_assert_false(traps_at(&p, 0, cases[i].vector));
        g_assert_null(SEQUENCE(&p, &r, LWARX, cases[i].insn, STWCX));
        g_assert_true(traps_at(&p, 0, cases[i].vector));
        g_assert_true(traps_at(&p, 0, 0x300));
        g_assert_true(traps_at(&p, 0, 0x600));
        g_assert_true(traps_at(&p, 0, 0x700));
        g_assert_false(traps_at(&p, 0, 0x900));
        g_assert_false(traps_at(&p, 0, 0xd00));
    }
    /* The most traps that there can be */
    r.msr |= PR | IR | DR;
    g_assert_null(SEQUENCE(&p, &r, LWARX, BNE(64), BNE(64), BNE(64), BNE(64),
                           LFD, 0xf0221800, 0x7c2320ce, STWCX));
    for (uint32_t vector = 0x500; vector <= 0xf00; vector += 0x100) {
        bool async = vector == 0x500 || vector == 0x900 || vector == 0xa00 ||
                     vector == 0xf00;

        g_assert_true(traps_at(&p, 0, vector) ==
                      (async || (vector >= 0x600 && vector <= 0x800)));
    }
}

/* A vector inside of the sequence: no trap there, or it is not one step */
static void test_sequence_over_vector(void)
{
    static const uint64_t places[] = { 0xf8, 0x2f8, 0x2fc, 0x4f8, 0x8f8 };

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        PPCStepRegs r = regs_at(places[i], SF | ME | EE | RI, 0);
        PPCStepPlan p;
        const uint32_t words[] = { LWARX, NOP, NOP, STWCX };

        sequence_of(&p, &r, true, words, G_N_ELEMENTS(words));
        sequence_of(&p, &r, false, words, G_N_ELEMENTS(words));
    }
}

static void test_sequence_finish(void)
{
    uint64_t msr = SF | ME | EE | RI;
    PPCStepRegs r = regs_at(PC, msr, 0), at;
    PPCStepPlan p;

    g_assert_null(SEQUENCE(&p, &r, LWARX, CMPW, BNE(12), STWCX));
    /* behind it, and by the branch */
    for (uint64_t pc = PC + 16; pc <= PC + 20; pc += 4) {
        at = regs_at(pc, ppc_step_plan_enter_msr(&p), 0);
        at.srr0 = 0x3333;
        at.srr1 = 0x4444;
        finish(&p, 0, &at);
        g_assert_cmphex(at.pc, ==, pc);
        g_assert_cmphex(at.msr, ==, msr);
        g_assert_cmphex(at.srr0, ==, 0x3333);
        g_assert_cmphex(at.srr1, ==, 0x4444);
    }
    /* an interrupt that the store-conditional raises is the guest's */
    at = regs_in(0x300, 0, PC + 12, ppc_step_plan_enter_msr(&p));
    finish(&p, 0, &at);
    g_assert_cmphex(at.pc, ==, 0x300);
    g_assert_cmphex(at.srr0, ==, PC + 12);
    g_assert_cmphex(at.srr1, ==, msr);
    /* cut short in the middle */
    at = regs_at(PC + 8, ppc_step_plan_enter_msr(&p), 0);
    ppc_step_plan_undo(&p, &at);
    g_assert_cmphex(at.pc, ==, PC + 8);
    g_assert_cmphex(at.msr, ==, msr);
}

/* An asynchronous interrupt in problem state: before, inside and behind */
static void test_sequence_undone(void)
{
    uint64_t msr = SF | ME | EE | PR | IR | DR | RI;

    for (int ail = 0; ail <= 3; ail += 3) {
        PPCStepRegs r = regs_at(PC, msr, ail);
        PPCStepPlan p;

        g_assert_null(SEQUENCE(&p, &r, LWARX, CMPW, BNE(12), STWCX));
        g_assert_cmphex(ppc_step_plan_enter_msr(&p), ==, msr);
        for (uint64_t pc = PC; pc <= PC + 20; pc += 4) {
            assert_undone(&p, regs_in(0x900, ail, pc, msr), 0x900, pc, msr);
        }
    }
}

/*
 * A guest that traces itself: stepped one by one, or nothing is lost of what
 * it has asked for
 */
static void test_sequence_guest_traces(void)
{
    static const uint64_t own[] = { SE, BE, SE | BE };

    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        uint64_t msr = SF | ME | EE | RI | own[i];
        PPCStepRegs r = regs_at(PC, msr, 0), at;
        PPCStepPlan p;

        if (SEQUENCE(&p, &r, LWARX, CMPW, BNE(12), STWCX)) {
            continue;
        }
        g_assert_cmphex(ppc_step_plan_enter_msr(&p), ==, SF | ME | RI);
        at = regs_at(PC + 4, SF | ME | RI, 0);
        ppc_step_plan_undo(&p, &at);
        g_assert_cmphex(at.msr, ==, msr);
        for (uint64_t pc = PC + 16; pc <= PC + 20; pc += 4) {
            /* by the branch, which BE traces as well (7.5.15) */
            at = regs_at(pc, SF | ME | RI, 0);
            finish(&p, 0, &at);
            g_assert_cmphex(at.pc, ==, 0xd00);
            g_assert_cmphex(at.msr, ==, SF | ME);
            g_assert_cmphex(at.srr0, ==, pc);
            g_assert_cmphex(at.srr1, ==, msr | SRR1_TRACE);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step-plan/vectors", test_vectors);
    g_test_add_func("/step-plan/noirq", test_noirq);
    g_test_add_func("/step-plan/undone", test_undone);
    g_test_add_func("/step-plan/not-undone", test_not_undone);
    g_test_add_func("/step-plan/undone-behind", test_undone_behind);
    g_test_add_func("/step-plan/system-calls", test_system_calls);
    g_test_add_func("/step-plan/emulated", test_emulated);
    g_test_add_func("/step-plan/rfid", test_rfid);
    g_test_add_func("/step-plan/problem-state", test_problem_state);
    g_test_add_func("/step-plan/trace-undone", test_trace_undone);
    g_test_add_func("/step-plan/fault", test_fault);
    g_test_add_func("/step-plan/guest-traces", test_guest_traces);
    g_test_add_func("/step-plan/trace-handler", test_trace_handler);
    g_test_add_func("/step-plan/trace-made", test_trace_made);
    g_test_add_func("/step-plan/unmapped", test_unmapped);
    g_test_add_func("/step-plan/fwnmi", test_fwnmi);
    g_test_add_func("/step-plan/transaction", test_transaction);
    g_test_add_func("/step-plan/refused", test_refused);
    g_test_add_func("/step-plan/sequence/sizes", test_sequence_sizes);
    g_test_add_func("/step-plan/sequence/length", test_sequence_length);
    g_test_add_func("/step-plan/sequence/exits", test_sequence_exits);
    g_test_add_func("/step-plan/sequence/refused", test_sequence_refused);
    g_test_add_func("/step-plan/sequence/prefixed", test_sequence_prefixed);
    g_test_add_func("/step-plan/sequence/wraps", test_sequence_wraps);
    g_test_add_func("/step-plan/sequence/interrupts",
                    test_sequence_interrupts);
    g_test_add_func("/step-plan/sequence/over-vector",
                    test_sequence_over_vector);
    g_test_add_func("/step-plan/sequence/finish", test_sequence_finish);
    g_test_add_func("/step-plan/sequence/undone", test_sequence_undone);
    g_test_add_func("/step-plan/sequence/guest-traces",
                    test_sequence_guest_traces);
    return g_test_run();
}
