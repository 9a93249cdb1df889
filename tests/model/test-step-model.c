/*
 * The step session on a modelled processor, with every call failing in turn
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "model-cpu.h"

#define CODE 0x10000
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

static const struct Case {
    const char *name;
    uint32_t insn;
} cases[] = {
    { "integer", ADDI(5, 5, 1) },
    { "load", LWZ(6, 1, 8) },
    { "store", STW(5, 1, 12) },
    { "store over the next instruction", STW(9, 2, 4) },
    { "load of the next instruction", LWZ(6, 2, 4) },
    { "load of the Trace vector", LWZ(6, 13, 0) },
    { "store over the Trace vector", STW(9, 13, 0) },
    { "load of another vector", LWZ(6, 14, 0) },
    { "load that faults", LWZ(6, 7, 0) },
    { "load from MMIO", LWZ(6, 8, 0) },
    { "store to MMIO", STW(5, 8, 0) },
    { "branch", B(16) },
    { "branch and link", BL(-8) },
    { "branch to the next", B(4) },
    { "branch on CTR", BDNZ(8) },
    { "branch to LR", BLR },
    { "system call", SC },
    { "hypercall", HCALL },
    { "rfid", RFID },
    { "mfmsr", MFMSR(10) },
    { "mtmsrd", MTMSRD1(11) },
    { "mfspr SRR0", MFSRR0(10) },
    { "mfspr SRR1", MFSRR1(10) },
    { "mtspr SRR0", MTSRR0(4) },
    { "mtspr SRR1", MTSRR1(4) },
    { "illegal", ILLEGAL },
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
} Mode;

static void setup(ModelCpu *cpu, const struct Case *c, const Mode *mode)
{
    uint64_t at = mode->at ? mode->at : CODE;

    model_init(cpu, mode->noirq);
    for (int i = 0; i < MODEL_MEM_SIZE; i += 4) {
        model_poke(cpu, i, ADDI(12, 12, i >> 2));
    }
    model_poke(cpu, at, c->insn);
    for (int i = 0; i < 32; i++) {
        cpu->regs.gpr[i] = 0x1111 * i;
    }
    cpu->regs.gpr[1] = mode->base + 0x18000;
    cpu->regs.gpr[2] = mode->base + at;
    cpu->regs.gpr[13] = mode->base + (mode->ail && mode->base ? 0x4d00 : 0xd00);
    cpu->regs.gpr[14] = cpu->regs.gpr[13] - 0x600;
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
                a->reg, b->reg); \
    }
    SAME(pc);
    SAME(msr);
    SAME(srr0);
    SAME(srr1);
    SAME(lr);
    SAME(ctr);
}

static void assert_same(const char *name, const ModelCpu *a,
                        const ModelCpu *b)
{
    assert_same_regs(name, &a->regs, &b->regs);
    g_assert_cmpmem(a->mem, MODEL_MEM_SIZE, b->mem, MODEL_MEM_SIZE);
}

/* What QEMU does around the session; returns whether the step ended */
static bool drive(ModelCpu *cpu)
{
    StepSession *s = &cpu->session;

    for (int tries = 0; s->phase == STEP_ARMED && tries < 4; tries++) {
        int ret;

        if (model_run(cpu, 8) != MODEL_EXIT_DEBUG) {
            return false;
        }
        ret = step_session_trap(s, cpu->regs.pc);
        g_assert_cmpint(ret, !=, 0);
        if (ret < 0) {
            /* The VM is stopped now, which cancels */
            g_assert_cmpint(step_session_cancel(s), ==, 0);
        }
    }
    return step_session_take(s);
}

static bool accesses(const struct Case *c, unsigned base)
{
    int disp = base == 2 ? 4 : 0;

    return c->insn == STW(9, base, disp) || c->insn == LWZ(6, base, disp);
}

static void check_step(const struct Case *c, const Mode *mode,
                       unsigned fail_at, unsigned *calls)
{
    g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
    g_autofree ModelCpu *before = g_new(ModelCpu, 1);
    g_autofree ModelCpu *expected = g_new(ModelCpu, 1);
    int ret;

    setup(cpu, c, mode);
    setup(before, c, mode);
    setup(expected, c, mode);
    model_reference_step(expected);
    if (mode->msr & PPC_STEP_MSR_SE && accesses(c, 13)) {
        /* The guest's Trace interrupt is made by hand, and says nothing */
        expected->regs.srr1 &= ~PPC_STEP_SRR1_INFO;
    }

    cpu->fail_at = fail_at;
    ret = step_session_begin(&cpu->session);
    if (ret) {
        g_assert_cmpuint(fail_at, !=, 0);
        g_assert_cmpint(cpu->session.phase, ==, STEP_IDLE);
        cpu->fail_at = 0;
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        assert_same(c->name, cpu, before);
    } else {
        g_assert_true(drive(cpu));
        cpu->fail_at = 0;
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        assert_same(c->name, cpu, expected);
        g_assert_true(cpu->pending_irq == mode->irq);
    }
    *calls = cpu->calls;
    model_free(cpu);
    model_free(before);
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
        model_reference_step(expected);
        setup(cpu, &cases[c], &mode);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        if (cpu->session.phase == STEP_ARMED) {
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_IDLE);
            assert_same(cases[c].name, cpu, before);

            g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
            model_run(cpu, 1);
            /* on the trap, and not yet reported */
            g_assert_cmpint(step_session_cancel(&cpu->session), ==, 0);
            g_assert_cmpint(cpu->session.phase, ==, STEP_DONE);
        }
        assert_same(cases[c].name, cpu, expected);
        model_free(cpu);
        model_free(before);
        model_free(expected);
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
    const uint64_t places[] = { CODE, CODE + 4, 0xd00, 0xc00, 0x700 };
    const Mode mode = { .msr = SF_ME };

    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        g_autofree ModelCpu *cpu = g_new(ModelCpu, 1);
        g_autofree ModelCpu *expected = g_new(ModelCpu, 1);

        /* A load sees a software breakpoint, stepped or not */
        if (cases[c].insn == LWZ(6, 2, 4) || cases[c].insn == LWZ(6, 13, 0) ||
            cases[c].insn == LWZ(6, 14, 0)) {
            continue;
        }
        g_test_message("%s", cases[c].name);
        setup(cpu, &cases[c], &mode);
        setup(expected, &cases[c], &mode);
        model_reference_step(expected);
        for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
            breakpoint_set_add(cpu->traps, places[i], BREAKPOINT_OWNER_USER);
        }
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        g_assert_cmpint(step_session_begin(&cpu->session), ==, 0);
        g_assert_true(drive(cpu));
        for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
            /* the guest may have stored over one, which then is its own */
            breakpoint_set_del(cpu->traps, places[i], BREAKPOINT_OWNER_USER);
        }
        g_assert_cmpint(breakpoint_set_apply(cpu->traps), ==, 0);
        assert_same(cases[c].name, cpu, expected);
        model_free(cpu);
        model_free(expected);
    }
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
    g_test_add_func("/step-model/interrupted", test_interrupted);
    g_test_add_func("/step-model/user-breakpoints", test_user_breakpoints);
    g_test_add_func("/step-model/ail-moves", test_ail_moves);
    g_test_add_func("/step-model/reset", test_reset);
    return g_test_run();
}
