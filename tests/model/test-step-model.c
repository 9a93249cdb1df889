/*
 * The step session on a modelled processor, with every call failing in turn
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "model-cpu.h"

#define CODE 0x6000
#define DATA 0x7000
#define SF_ME (PPC_STEP_MSR_SF | PPC_STEP_MSR_ME)
#define RELOC (PPC_STEP_MSR_IR | PPC_STEP_MSR_DR)

#define D_FORM(op, rt, ra, d) \
    ((unsigned)(op) << 26 | (rt) << 21 | (ra) << 16 | ((d) & 0xffff))
#define ADDI(rt, ra, si)  D_FORM(14, rt, ra, si)
#define LWZ(rt, ra, d)    D_FORM(32, rt, ra, d)
#define STW(rt, ra, d)    D_FORM(36, rt, ra, d)
#define B(d)              (18u << 26 | ((d) & 0x3fffffc))
#define BL(d)             (B(d) | 1)
#define BDNZ(d)           (16u << 26 | 16 << 21 | ((d) & 0xfffc))
#define BC(bo, bi, d)     (16u << 26 | (bo) << 21 | (bi) << 16 | ((d) & 0xfffc))
#define BNE(d)            BC(4, 2, d)
#define BEQ(d)            BC(12, 2, d)
#define CMPWI(ra, si)     D_FORM(11, 0, ra, si)
#define LWARX(rt, ra)     (0x7c000028 | (rt) << 21 | (ra) << 11)
#define STWCX(rs, ra)     (0x7c00012d | (rs) << 21 | (ra) << 11)
#define BLR               0x4e800020
#define SC                0x44000002
#define HCALL             0x44000022
#define RFID              0x4c000024
#define MFMSR(rt)         (0x7c0000a6 | (rt) << 21)
#define MTMSRD1(rs)       (0x7c010164 | (rs) << 21)
#define MFSRR0(rt)        (0x7c1a02a6 | (rt) << 21)
#define MFSRR1(rt)        (0x7c1b02a6 | (rt) << 21)
#define MTSRR0(rs)        (0x7c1a03a6 | (rs) << 21)
#define MTSRR1(rs)        (0x7c1b03a6 | (rs) << 21)
#define ILLEGAL           0x00000000
#define ATTN              0x00000200

#define ONE(name, insn)       { name, insn, { 0 }, false }
/* A load-and-reserve and what follows */
#define SEQUENCE(name, ...)    { name, LWARX(5, 15), { __VA_ARGS__ }, true }
#define NO_SEQUENCE(name, ...) { name, LWARX(5, 15), { __VA_ARGS__ }, false }

static const struct Case {
    const char *name;
    uint32_t insn;
    uint32_t more[6];   /* behind it */
    bool sequence;      /* that is one step */
} cases[] = {
    ONE("integer", ADDI(5, 5, 1)),
    ONE("load", LWZ(6, 1, 8)),
    ONE("store", STW(5, 1, 12)),
    ONE("store over the next instruction", STW(9, 2, 4)),
    ONE("load of the next instruction", LWZ(6, 2, 4)),
    ONE("load of the Trace vector", LWZ(6, 13, 0)),
    ONE("store over the Trace vector", STW(9, 13, 0)),
    ONE("load of another vector", LWZ(6, 14, 0)),
    ONE("load that faults", LWZ(6, 7, 0)),
    ONE("load from MMIO", LWZ(6, 8, 0)),
    ONE("store to MMIO", STW(5, 8, 0)),
    ONE("branch", B(16)),
    ONE("branch and link", BL(-8)),
    ONE("branch to the next", B(4)),
    ONE("branch on CTR", BDNZ(8)),
    ONE("branch to LR", BLR),
    ONE("system call", SC),
    ONE("hypercall", HCALL),
    ONE("rfid", RFID),
    ONE("mfmsr", MFMSR(10)),
    ONE("mtmsrd", MTMSRD1(11)),
    ONE("mfspr SRR0", MFSRR0(10)),
    ONE("mfspr SRR1", MFSRR1(10)),
    ONE("mtspr SRR0", MTSRR0(4)),
    ONE("mtspr SRR1", MTSRR1(4)),
    ONE("illegal", ILLEGAL),
    ONE("store-conditional by itself", STWCX(5, 15)),
    ONE("load-and-reserve by itself", LWARX(5, 15)),
    ONE("load-and-reserve that faults", LWARX(5, 7)),
    ONE("load-and-reserve of the next instruction", LWARX(5, 17)),
    SEQUENCE("atomic increment", ADDI(5, 5, 1), STWCX(5, 15), BNE(-12)),
    SEQUENCE("compare and swap that leaves",
             CMPWI(16, 1), BNE(12), STWCX(4, 15), BNE(-16)),
    SEQUENCE("compare and swap that stores",
             CMPWI(16, 0), BNE(12), STWCX(4, 15), BNE(-16)),
    SEQUENCE("sequence with a branch inside",
             CMPWI(16, 0), BEQ(8), ADDI(4, 4, 1), STWCX(4, 15)),
    SEQUENCE("sequence that counts down", BDNZ(64), STWCX(4, 15)),
    SEQUENCE("sequence that faults", LWZ(6, 7, 0), STWCX(4, 15)),
    SEQUENCE("sequence with MMIO", LWZ(6, 8, 0), STWCX(4, 15)),
    SEQUENCE("sequence that stores elsewhere", STWCX(4, 1)),
    NO_SEQUENCE("sequence that branches back",
                CMPWI(16, 1), BNE(-8), STWCX(4, 15)),
    NO_SEQUENCE("sequence with mfmsr", MFMSR(10), STWCX(4, 15)),
    NO_SEQUENCE("sequence with a system call", SC, STWCX(4, 15)),
    NO_SEQUENCE("sequence with an illegal one", ATTN, STWCX(4, 15)),
};

static const struct Case *find_case(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (!strcmp(cases[i].name, name)) {
            return &cases[i];
        }
    }
    g_assert_not_reached();
}

typedef struct Mode {
    uint64_t msr;
    uint8_t ail;
    uint64_t base;      /* added to CODE */
    uint64_t at;        /* 0: CODE; else a physical address, say a vector */
    bool noirq;
    bool irq;           /* an interrupt waits */
    unsigned irq_after; /* or comes after so many instructions */
} Mode;

static void setup(ModelCpu *cpu, const struct Case *c, const Mode *mode)
{
    static ModelCpu filled;
    uint64_t at = mode->at ? mode->at : CODE;

    if (!filled.mem[0]) {
        for (int i = 0; i < MODEL_MEM_SIZE; i += 4) {
            model_poke(&filled, i, ADDI(12, 12, i >> 2));
        }
    }
    model_init(cpu, mode->noirq);
    memcpy(cpu->mem, filled.mem, MODEL_MEM_SIZE);
    model_poke(cpu, at, c->insn);
    for (unsigned i = 0; i < G_N_ELEMENTS(c->more) && c->more[i]; i++) {
        model_poke(cpu, at + 4 + 4 * i, c->more[i]);
    }
    for (int i = 0; i < 32; i++) {
        cpu->regs.gpr[i] = 0x1111 * i;
    }
    cpu->regs.gpr[1] = mode->base + DATA;
    cpu->regs.gpr[2] = mode->base + at;
    cpu->regs.gpr[13] = mode->base + (mode->ail && mode->base ? 0x4d00 : 0xd00);
    cpu->regs.gpr[14] = cpu->regs.gpr[13] - 0x600;
    cpu->regs.gpr[15] = mode->base + DATA + 0x40;
    cpu->regs.gpr[16] = 0;
    cpu->regs.gpr[17] = mode->base + at + 4;
    cpu->regs.gpr[7] = 0x7fff00000000;
    cpu->regs.gpr[8] = mode->base + MODEL_MMIO;
    cpu->regs.gpr[9] = ADDI(3, 3, 3);
    cpu->regs.gpr[11] = PPC_STEP_MSR_EE;
    cpu->regs.lr = mode->base + CODE + 0x100;
    cpu->regs.ctr = 2;
    cpu->regs.srr0 = mode->base + CODE + 0x200;
    cpu->regs.srr1 = mode->msr | PPC_STEP_MSR_RI;
    cpu->regs.pc = mode->base + at;
    cpu->regs.msr = mode->msr;
    cpu->regs.lpcr_ail = mode->ail;
    cpu->pending_irq = mode->irq;
    cpu->irq_after = mode->irq_after;
}

static void assert_same_regs(const char *name, const PPCStepRegs *a,
                             const PPCStepRegs *b)
{
    for (int i = 0; i < 32; i++) {
        if (a->gpr[i] != b->gpr[i]) {
            g_error("%s: r%d is 0x%" PRIx64 ", should be 0x%" PRIx64, name, i,
                    a->gpr[i], b->gpr[i]);
        }
    }
#define SAME(reg) \
    if (a->reg != b->reg) { \
        g_error("%s: " #reg " is 0x%" PRIx64 ", should be 0x%" PRIx64, name, \
                (uint64_t)a->reg, (uint64_t)b->reg); \
    }
    SAME(pc);
    SAME(msr);
    SAME(srr0);
    SAME(srr1);
    SAME(lr);
    SAME(ctr);
    SAME(cr);
}

static void assert_same(const char *name, const ModelCpu *a,
                        const ModelCpu *b)
{
    assert_same_regs(name, &a->regs, &b->regs);
    g_assert_cmpmem(a->mem, MODEL_MEM_SIZE, b->mem, MODEL_MEM_SIZE);
}

/*
 * What QEMU does around the session; returns whether the step ended.  If it
 * did with s->plan.reason set, it has not run.
 */
static bool run_out(ModelCpu *cpu)
{
    StepSession *s = &cpu->session;

    step_session_emulate(s);
    for (int tries = 0; s->phase == STEP_ARMED && tries < 6; tries++) {
        int ret;

        if (model_run(cpu, 8) != MODEL_EXIT_DEBUG) {
            return false;
        }
        ret = step_session_trap(s, cpu->regs.pc);
        g_assert_cmpint(ret, !=, STEP_TRAP_OTHER);
        g_assert_true(s->phase == (ret == STEP_TRAP_DONE ? STEP_DONE :
                                                           STEP_ARMED));
        if (ret < 0) {
            /* The VM is stopped now, which cancels */
            g_assert_cmpint(step_session_cancel(s), ==, 0);
            g_assert_cmpint(s->phase, !=, STEP_ARMED);
            s->plan.reason = s->phase == STEP_IDLE ? "cancelled" : NULL;
            s->phase = STEP_DONE;
        }
    }
    return s->phase == STEP_DONE;
}

static bool drive(ModelCpu *cpu)
{
    return run_out(cpu) && step_session_take(&cpu->session);
}

static bool accesses(const struct Case *c, unsigned base)
{
    int disp = base == 2 ? 4 : 0;

    return c->insn == STW(9, base, disp) || c->insn == LWZ(6, base, disp) ||
           (base == 2 && c->insn == LWARX(5, 17));
}

/* What an undisturbed processor makes of what the plan takes as one step */
static void reference(ModelCpu *cpu, const PPCStepPlan *plan)
{
    uint64_t start = cpu->regs.pc;

    do {
        model_reference_step(cpu);
    } while (plan->sequence && cpu->regs.pc > start &&
             cpu->regs.pc < plan->next);
}

/* No trap is left, and no interrupt held back, whatever became of the step */
static void assert_clean(ModelCpu *cpu)
{
    cpu->fail_at = 0;
    g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
    g_assert_cmpint(cpu->session.phase, ==, STEP_IDLE);
    g_assert_false(cpu->irq_held);
}

static void check_step(const struct Case *c, const Mode *mode,
                       unsigned fail_at, unsigned *calls)
{
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);
    bool not_run;

    setup(cpu, c, mode);
    setup(expected, c, mode);

    cpu->fail_at = fail_at;
    not_run = step_session_begin(&cpu->session) != 0;
    if (not_run) {
        g_assert_nonnull(cpu->session.plan.reason);
    } else {
        /* Clause 6, and a guest that traces itself sees each (clause 5) */
        if (!mode->at) {
            g_assert_true(cpu->plan.sequence ==
                          (c->sequence && !(mode->msr & PPC_STEP_MSR_SE)));
        }
        g_assert_true(drive(cpu));
        not_run = cpu->session.plan.reason;
    }
    assert_clean(cpu);
    g_assert_true(fail_at || !not_run);
    if (!not_run) {
        reference(expected, &cpu->plan);
        if (mode->msr & PPC_STEP_MSR_SE && accesses(c, 13)) {
            /* One that is made by hand does not say that it was a load */
            expected->regs.srr1 &= ~MODEL_SRR1_LOAD;
        }
    }
    assert_same(c->name, cpu, expected);
    g_assert_true(cpu->pending_irq ==
                  (mode->irq || (mode->irq_after && !not_run)));
    *calls = cpu->calls;
    model_free(cpu);
    model_free(expected);
}

static const Mode modes[] = {
    { .msr = SF_ME },
    { .msr = SF_ME | PPC_STEP_MSR_EE | PPC_STEP_MSR_RI, .noirq = true },
    { .msr = SF_ME | PPC_STEP_MSR_EE, .noirq = true, .irq = true },
    { .msr = SF_ME | RELOC, .base = MODEL_LINEAR },
    { .msr = SF_ME | RELOC, .base = MODEL_LINEAR, .ail = 3, .noirq = true },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_EE, .base = MODEL_LINEAR, .ail = 3,
      .noirq = true, .irq = true },
    { .msr = SF_ME, .ail = 3 },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE,
      .base = MODEL_LINEAR, .ail = 3, .noirq = true },
    /* in problem state it is taken, and undone: before and behind */
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE,
      .base = MODEL_LINEAR, .ail = 3, .noirq = true, .irq = true },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE |
             PPC_STEP_MSR_RI,
      .base = MODEL_LINEAR, .noirq = true, .irq = true },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE |
             PPC_STEP_MSR_SE,
      .base = MODEL_LINEAR, .ail = 3, .noirq = true, .irq = true },
    /* inside the guest's handlers, the Trace handler's first one included */
    { .msr = SF_ME, .at = 0xd00, .noirq = true },
    { .msr = SF_ME, .at = 0x700, .noirq = true },
    { .msr = SF_ME, .at = 0x2fc, .noirq = true },
    { .msr = SF_ME, .at = 0xcfc, .noirq = true },
    { .msr = SF_ME | RELOC, .base = MODEL_LINEAR, .at = 0x4d00, .ail = 3,
      .noirq = true },
    /* the guest traces itself */
    { .msr = SF_ME | PPC_STEP_MSR_SE, .noirq = true },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_SE | PPC_STEP_MSR_EE,
      .base = MODEL_LINEAR, .ail = 3, .noirq = true },
};

/*
 * The first loops for ever without a stepper, too: the first instruction of a
 * handler raises the interrupt that the handler is for.  The rest are refused,
 * since the instruction reads or stores over the only place to trap: the first
 * one of the Trace handler, its successor; the one before it, the vector.
 */
static bool not_stepped(const struct Case *c, const Mode *mode)
{
    return (mode->at == 0x700 && c->insn == ILLEGAL) ||
           ((mode->at & 0xffc) == 0xd00 && accesses(c, 2)) ||
           (mode->at == 0xcfc && (accesses(c, 2) || accesses(c, 13)));
}

/* Clauses 1, 2, 3 and 5: each instruction in each mode, as undisturbed */
static void test_one_step(void)
{
    unsigned calls;

    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
            if (!not_stepped(&cases[c], &modes[m])) {
                g_test_message("mode %u: %s", m, cases[c].name);
                check_step(&cases[c], &modes[m], 0, &calls);
            }
        }
    }
}

/* Clause 9: the same with each call to the accelerator failing, one by one */
static void test_every_call_fails(void)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
            unsigned total, calls;

            if (not_stepped(&cases[c], &modes[m])) {
                continue;
            }
            check_step(&cases[c], &modes[m], 0, &total);
            g_assert_cmpuint(total, >, 0);
            for (unsigned k = 1; k <= total; k++) {
                check_step(&cases[c], &modes[m], k, &calls);
            }
        }
    }
}

/* A step that is cut short before, and after, the vCPU has run */
static void test_cancel(void)
{
    const Mode mode = { .msr = SF_ME | PPC_STEP_MSR_EE, .noirq = true };

    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *before = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        setup(before, &cases[c], &mode);
        setup(expected, &cases[c], &mode);
        setup(cpu, &cases[c], &mode);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        reference(expected, &cpu->plan);
        if (cpu->session.phase == STEP_ARMED) {
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_IDLE);
            assert_same(cases[c].name, cpu, before);

            g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
            model_run(cpu, 8);
            /* on the trap, and not yet reported */
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_DONE);
            g_assert_true(cpu->session.armed);
            step_session_settle(&cpu->session);
        } else {
            /* A step of another vCPU, in the same packet, may be refused */
            assert_same(cases[c].name, cpu, before);
            g_assert_cmpint(cpu->session.phase, ==, STEP_PLANNED);
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_IDLE);
            assert_same(cases[c].name, cpu, before);

            g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
            g_assert_cmpint(step_session_emulate(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_DONE);
        }
        g_assert_false(cpu->session.armed);
        assert_same(cases[c].name, cpu, expected);
        model_free(cpu);
        model_free(before);
        model_free(expected);
    }
}

/*
 * A step that can't be ended at a stop, before and after the vCPU has run: it
 * leaves memory, and is ended later or goes on.
 */
static void check_suspended(const struct Case *c, bool ran, bool goes_on)
{
    const Mode mode = { .msr = SF_ME | PPC_STEP_MSR_EE };
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

    setup(cpu, c, &mode);
    setup(expected, c, &mode);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    if (cpu->session.phase == STEP_ARMED) {
        if (ran || goes_on) {
            reference(expected, &cpu->plan);
        }
        if (ran) {
            model_run(cpu, 8);
        }
        cpu->fail_at = cpu->calls + 1;
        g_assert_cmpint(step_session_cancel(&cpu->session), <, 0);
        step_session_suspend(&cpu->session);
        g_assert_cmpint(cpu->session.phase, ==, STEP_ARMED);
        if (ran || !goes_on) {
            g_assert_cmpmem(cpu->mem, MODEL_MEM_SIZE, expected->mem,
                            MODEL_MEM_SIZE);
        }
        cpu->fail_at = 0;
        if (goes_on) {
            g_assert_cmpint(step_session_resume(&cpu->session), ==, 0);
            g_assert_true(run_out(cpu));
        } else {
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
        }
        step_session_settle(&cpu->session);
        assert_same(c->name, cpu, expected);
    }
    model_free(cpu);
    model_free(expected);
}

static void test_suspended(void)
{
    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        for (int how = 0; how < 4; how++) {
            check_suspended(&cases[c], how & 1, how & 2);
        }
    }
}

static const Mode undone_mode = {
    .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE,
    .base = MODEL_LINEAR, .noirq = true, .irq = true
};

/* Cut short on the vector of an interrupt that is to be undone: not begun */
static void test_cancel_undone(void)
{
    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *before = g_new(ModelCpu, 1);

        setup(cpu, &cases[c], &undone_mode);
        setup(before, &cases[c], &undone_mode);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
        g_assert_cmphex(cpu->regs.pc, ==, MODEL_IRQ);
        g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
        assert_same(cases[c].name, cpu, before);
        g_assert_true(cpu->pending_irq);
        assert_clean(cpu);
        model_free(cpu);
        model_free(before);
    }
}

/* The step is begun anew, and then cut short */
static void test_cancel_again(void)
{
    for (int ran = 0; ran < 2; ran++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        setup(cpu, &cases[0], &undone_mode);
        setup(expected, &cases[0], &undone_mode);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
        g_assert_cmpint(step_session_trap(&cpu->session, cpu->regs.pc), ==,
                        STEP_TRAP_AGAIN);
        g_assert_cmpint(cpu->session.phase, ==, STEP_ARMED);
        g_assert_true(cpu->irq_held);
        if (ran) {
            g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
            model_reference_step(expected);
        }
        g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
        g_assert_true(step_session_take(&cpu->session) == ran);
        assert_same(cases[0].name, cpu, expected);
        g_assert_true(cpu->pending_irq);
        assert_clean(cpu);
        model_free(cpu);
        model_free(expected);
    }
}

/* Begun anew, it finds an instruction that needs no run */
static void test_again_emulated(void)
{
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);

    setup(cpu, &cases[0], &undone_mode);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
    model_poke(cpu, CODE, MFMSR(10));
    cpu->regs.srr1 &= ~PPC_STEP_MSR_PR;
    g_assert_cmpint(step_session_trap(&cpu->session, cpu->regs.pc), ==,
                    STEP_TRAP_DONE);
    g_assert_true(step_session_take(&cpu->session));
    g_assert_null(cpu->session.plan.reason);
    g_assert_cmphex(cpu->regs.pc, ==, MODEL_LINEAR + CODE + 4);
    g_assert_cmphex(cpu->regs.gpr[10], ==,
                    undone_mode.msr & ~PPC_STEP_MSR_PR);
    g_assert_true(cpu->pending_irq);
    assert_clean(cpu);
    model_free(cpu);
}

/* Range stepping: one step after the other, the traps of both in memory */
static void check_range(const struct Case *c, const Mode *mode,
                        unsigned fail_at, unsigned *calls)
{
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);
    StepSession *s = &cpu->session;
    unsigned begun;

    setup(cpu, c, mode);
    setup(expected, c, mode);
    g_assert_cmpint(step_session_begin(s), ==, 0);
    g_assert_true(run_out(cpu));
    reference(expected, &cpu->plan);
    begun = cpu->calls;
    cpu->fail_at = fail_at ? begun + fail_at : 0;
    if (step_session_again(s)) {
        /* Refused: where the first one ended */
        g_assert_nonnull(s->plan.reason);
        g_assert_cmpint(s->phase, ==, STEP_IDLE);
    } else {
        g_assert_true(drive(cpu));
        if (!s->plan.reason) {
            reference(expected, &cpu->plan);
        }
    }
    *calls = cpu->calls - begun;
    assert_clean(cpu);
    assert_same(c->name, cpu, expected);
    model_free(cpu);
    model_free(expected);
}

static void test_range(void)
{
    unsigned calls;

    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        if (modes[m].at || modes[m].msr & PPC_STEP_MSR_SE) {
            continue;
        }
        for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
            g_test_message("mode %u: %s", m, cases[c].name);
            check_range(&cases[c], &modes[m], 0, &calls);
            for (unsigned n = calls; n; n--) {
                unsigned ignored;

                check_range(&cases[c], &modes[m], n, &ignored);
            }
        }
    }
}

/*
 * The end of a step where it stands, which is done in any case: not begun,
 * armed, run, and on the vector of an interrupt that is to be undone
 */
static void check_end(int how, unsigned fail_at, unsigned *calls)
{
    Mode mode = undone_mode;
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);
    StepSession *s = &cpu->session;
    unsigned begun;

    mode.irq = how == 3;
    setup(cpu, &cases[0], &mode);
    setup(expected, &cases[0], &mode);
    if (how >= 1) {
        g_assert_cmpint(step_session_begin(s), ==, 0);
    }
    if (how >= 2) {
        g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
    }
    if (how == 2) {
        model_reference_step(expected);
    }
    begun = cpu->calls;
    cpu->fail_at = fail_at ? begun + fail_at : 0;
    if (step_session_end(s)) {
        g_assert_cmpuint(fail_at, !=, 0);
        g_assert_cmpint(s->phase, ==, STEP_ARMED);
        g_assert_cmpint(step_session_end(s), ==, 0);
    }
    *calls = cpu->calls - begun;
    g_assert_cmpint(s->phase, ==, STEP_DONE);
    g_assert_cmpint(step_session_end(s), ==, 0);
    g_assert_true(step_session_take(s));
    assert_clean(cpu);
    assert_same("end", cpu, expected);
    g_assert_true(cpu->pending_irq == mode.irq);
    model_free(cpu);
    model_free(expected);
}

static void test_end(void)
{
    for (int how = 0; how < 4; how++) {
        unsigned total, calls;

        check_end(how, 0, &total);
        for (unsigned k = 1; k <= total; k++) {
            check_end(how, k, &calls);
        }
    }
}

/* One that comes during the step, when nothing is held back yet */
static void test_interrupt_behind(void)
{
    Mode mode = undone_mode;
    unsigned calls;

    mode.irq = false;
    mode.irq_after = 1;
    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        if (!cases[c].sequence) {
            g_test_message("%s", cases[c].name);
            check_step(&cases[c], &mode, 0, &calls);
        }
    }
}

/* Without NOIRQ a waiting interrupt is taken first, and leaves no SE */
static void test_interrupted(void)
{
    const Mode mode = { .msr = SF_ME | PPC_STEP_MSR_EE, .irq = true };
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);

    setup(cpu, &cases[0], &mode);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    g_assert_true(drive(cpu));
    g_assert_cmphex(cpu->regs.pc, ==, 0x900);
    g_assert_cmphex(cpu->regs.srr0, ==, CODE);
    g_assert_cmphex(cpu->regs.srr1, ==, mode.msr);
    g_assert_false(cpu->pending_irq);
    model_free(cpu);
}

/* gdb's own breakpoint on the instruction, on the next, on the vector */
static void test_user_breakpoints(void)
{
    const uint64_t places[] = { CODE, CODE + 4, 0xd00, 0xc00, 0x700, 0x900 };
    const Mode user_modes[] = { { .msr = SF_ME }, undone_mode };

    for (unsigned c = 0; c < 2 * G_N_ELEMENTS(cases); c++) {
        const struct Case *this = &cases[c / 2];
        const Mode *mode = &user_modes[c % 2];
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        /* A load sees a software breakpoint, stepped or not */
        if (this->insn == LWZ(6, 2, 4) || this->insn == LWZ(6, 13, 0) ||
            this->insn == LWZ(6, 14, 0) || this->insn == LWARX(5, 17)) {
            continue;
        }
        g_test_message("%s", this->name);
        setup(cpu, this, mode);
        setup(expected, this, mode);
        for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
            /* Inside of a sequence it ends the step: see below */
            if (places[i] != CODE + 4 || !this->sequence) {
                breakpoint_set_add(cpu->traps, places[i],
                                   BREAKPOINT_OWNER_USER);
            }
        }
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        reference(expected, &cpu->plan);
        g_assert_true(drive(cpu));
        for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
            /* the guest may have stored over one, which then is its own */
            breakpoint_set_del(cpu->traps, places[i], BREAKPOINT_OWNER_USER);
        }
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        assert_same(this->name, cpu, expected);
        model_free(cpu);
        model_free(expected);
    }
}

/* In a sequence: stops there, with nothing of the step left */
static void test_user_breakpoint_inside(void)
{
    const Mode mode = {
        .msr = SF_ME | PPC_STEP_MSR_EE | PPC_STEP_MSR_RI, .noirq = true
    };
    const struct Case *c = find_case("atomic increment");
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

    setup(cpu, c, &mode);
    setup(expected, c, &mode);
    breakpoint_set_add(cpu->traps, CODE + 4, BREAKPOINT_OWNER_USER);
    g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    g_assert_true(cpu->plan.sequence);
    g_assert_cmpint(model_run(cpu, 8), ==, MODEL_EXIT_DEBUG);
    g_assert_cmphex(cpu->regs.pc, ==, CODE + 4);
    g_assert_cmpint(step_session_trap(&cpu->session, CODE + 4), ==,
                    STEP_TRAP_OTHER);
    g_assert_cmpint(step_session_end(&cpu->session), ==, 0);
    g_assert_true(step_session_take(&cpu->session));
    breakpoint_set_del(cpu->traps, CODE + 4, BREAKPOINT_OWNER_USER);
    assert_clean(cpu);
    model_reference_step(expected);
    assert_same(c->name, cpu, expected);
    model_free(cpu);
    model_free(expected);
}

/*
 * Clause 6: "stepi" until the loop is left.  Returns: how many it took, 0 if
 * @max are not enough.
 */
static int step_out_of_loop(ModelCpu *cpu, int max)
{
    uint64_t end = cpu->regs.pc + 16;

    for (int i = 1; i <= max; i++) {
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        g_assert_true(drive(cpu));
        g_assert_null(cpu->session.plan.reason);
        assert_clean(cpu);
        if (cpu->regs.pc == end) {
            return i;
        }
    }
    return 0;
}

static const Mode loop_modes[] = {
    { .msr = SF_ME },
    { .msr = SF_ME | PPC_STEP_MSR_EE, .noirq = true, .irq = true },
    { .msr = SF_ME | RELOC, .base = MODEL_LINEAR, .ail = 3 },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE,
      .base = MODEL_LINEAR, .ail = 3, .noirq = true, .irq = true },
    { .msr = SF_ME | RELOC | PPC_STEP_MSR_PR | PPC_STEP_MSR_EE,
      .base = MODEL_LINEAR, .noirq = true, .irq = true },
};

static void test_sequence_progress(void)
{
    const struct Case *c = find_case("atomic increment");

    for (unsigned m = 0; m < G_N_ELEMENTS(loop_modes); m++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        /* Each exit loses the reservation: that it needs a sequence */
        setup(cpu, c, &loop_modes[m]);
        setup(expected, c, &loop_modes[m]);
        cpu->one_by_one = true;
        g_assert_cmpint(step_out_of_loop(cpu, 100), ==, 0);
        g_assert_cmpmem(cpu->mem, MODEL_MEM_SIZE, expected->mem,
                        MODEL_MEM_SIZE);
        model_free(cpu);

        /* The sequence, and the branch */
        setup(cpu, c, &loop_modes[m]);
        g_assert_cmpint(step_out_of_loop(cpu, 100), ==, 2);
        for (int i = 0; i < 4; i++) {
            model_reference_step(expected);
        }
        assert_same(c->name, cpu, expected);
        g_assert_true(cpu->pending_irq == loop_modes[m].irq);
        model_free(cpu);
        model_free(expected);
    }
}

/* The same with an interrupt that comes somewhere in the sequence */
static void test_sequence_interrupted(void)
{
    const struct Case *c = find_case("atomic increment");

    for (unsigned after = 1; after < 8; after++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);
        Mode mode = undone_mode;

        mode.irq = false;
        mode.irq_after = after;
        setup(cpu, c, &mode);
        setup(expected, c, &mode);
        for (int i = 0; i < 4; i++) {
            model_reference_step(expected);
        }
        g_assert_cmpint(step_out_of_loop(cpu, 8), >, 0);
        /* once, however often it was tried */
        assert_same(c->name, cpu, expected);
        g_assert_true(cpu->pending_irq == (after <= 4));
        model_free(cpu);
        model_free(expected);
    }
}

/* H_CEDE waits for the interrupt that NOIRQ holds back, and returns */
static void check_cede(uint64_t ee)
{
    const Mode mode = {
        .msr = SF_ME | PPC_STEP_MSR_RI | ee, .noirq = true, .irq = true
    };
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

    setup(cpu, find_case("hypercall"), &mode);
    setup(expected, find_case("hypercall"), &mode);
    cpu->regs.gpr[3] = expected->regs.gpr[3] = MODEL_H_CEDE;
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    g_assert_true(drive(cpu));
    assert_clean(cpu);
    model_reference_step(expected);
    g_assert_cmphex(expected->regs.pc, ==, CODE + 4);
    g_assert_cmphex(expected->regs.msr, ==, mode.msr | PPC_STEP_MSR_EE);
    assert_same("H_CEDE", cpu, expected);
    g_assert_true(cpu->pending_irq);
    model_free(cpu);
    model_free(expected);
}

static void test_cede(void)
{
    check_cede(0);
}

static void test_cede_enabled(void)
{
    check_cede(PPC_STEP_MSR_EE);
}

/* H_SET_MODE moves AIL while a step is in flight: the traps follow */
static void test_ail_moves(void)
{
    const Mode mode = { .msr = SF_ME | RELOC, .base = MODEL_LINEAR };
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

    setup(cpu, find_case("load that faults"), &mode);
    setup(expected, find_case("load that faults"), &mode);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    g_assert_cmpint(breakpoint_set_state(cpu->traps, 0x300), ==,
                    BREAKPOINT_SET);
    cpu->regs.lpcr_ail = expected->regs.lpcr_ail = 3;
    g_assert_cmpint(step_session_move(&cpu->session), ==, 0);
    g_assert_cmpint(breakpoint_set_state(cpu->traps, 0x300), ==,
                    BREAKPOINT_CLEARED);
    g_assert_cmpint(breakpoint_set_state(cpu->traps, 0x4300), ==,
                    BREAKPOINT_SET);
    g_assert_true(drive(cpu));
    model_reference_step(expected);
    assert_same("AIL moves", cpu, expected);
    g_assert_cmphex(cpu->regs.pc, ==, MODEL_LINEAR + 0x4300);
    model_free(cpu);
    model_free(expected);
}

/* They can't follow: H_SET_MODE itself is stepped all the same */
static void test_ail_moves_not(void)
{
    const Mode mode = { .msr = SF_ME | RELOC, .base = MODEL_LINEAR };

    for (unsigned k = 1; k <= 3; k++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        setup(cpu, find_case("hypercall"), &mode);
        setup(expected, find_case("hypercall"), &mode);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        cpu->regs.lpcr_ail = 3;
        cpu->fail_at = cpu->calls + k;
        g_assert_cmpint(step_session_move(&cpu->session), <, 0);
        g_assert_nonnull(cpu->session.plan.reason);
        g_assert_cmpint(cpu->session.phase, ==, STEP_ARMED);
        g_assert_cmpint(breakpoint_set_state(cpu->traps, 0xc00), ==,
                        BREAKPOINT_SET);
        g_assert_true(drive(cpu));
        g_assert_null(cpu->session.plan.reason);
        assert_clean(cpu);
        model_reference_step(expected);
        assert_same("AIL does not move", cpu, expected);
        model_free(cpu);
        model_free(expected);
    }
}

static void test_reset(void)
{
    const Mode mode = { .msr = SF_ME };
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *before = g_new(ModelCpu, 1);

    setup(cpu, &cases[0], &mode);
    setup(before, &cases[0], &mode);
    g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
    cpu->regs = before->regs;
    step_session_abandon(&cpu->session);
    assert_same("reset", cpu, before);
    g_assert_true(step_session_take(&cpu->session));
    g_assert_false(step_session_take(&cpu->session));
    model_free(cpu);
    model_free(before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/step-model/one-step", test_one_step);
    g_test_add_func("/step-model/every-call-fails", test_every_call_fails);
    g_test_add_func("/step-model/cancel", test_cancel);
    g_test_add_func("/step-model/cancel/suspended", test_suspended);
    g_test_add_func("/step-model/cancel/undone", test_cancel_undone);
    g_test_add_func("/step-model/cancel/again", test_cancel_again);
    g_test_add_func("/step-model/again/emulated", test_again_emulated);
    g_test_add_func("/step-model/range", test_range);
    g_test_add_func("/step-model/end", test_end);
    g_test_add_func("/step-model/interrupted", test_interrupted);
    g_test_add_func("/step-model/interrupt-behind", test_interrupt_behind);
    g_test_add_func("/step-model/user-breakpoints", test_user_breakpoints);
    g_test_add_func("/step-model/user-breakpoints/inside",
                    test_user_breakpoint_inside);
    g_test_add_func("/step-model/sequence/progress", test_sequence_progress);
    g_test_add_func("/step-model/sequence/interrupted",
                    test_sequence_interrupted);
    g_test_add_func("/step-model/cede", test_cede);
    g_test_add_func("/step-model/cede/enabled", test_cede_enabled);
    g_test_add_func("/step-model/ail-moves", test_ail_moves);
    g_test_add_func("/step-model/ail-moves/not", test_ail_moves_not);
    g_test_add_func("/step-model/reset", test_reset);
    return g_test_run();
}
