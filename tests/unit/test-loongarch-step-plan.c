/*
 * Tests of the step plan for LoongArch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

#define PC      0x9000000000201ff0ull
#define EENTRY  0x9000000000300000ull
#define REFILL  0x0000000000310000ull
#define TRAP    0x002b8101              /* hvcl 0x101 */

#define PLV3    3ull
#define IE      LOONGARCH_STEP_CRMD_IE
#define DA      LOONGARCH_STEP_CRMD_DA
#define PG      LOONGARCH_STEP_CRMD_PG
#define WE      LOONGARCH_STEP_CRMD_WE

/* ECFG.VS as Linux has it: entries are 512 bytes apart */
#define VS      (7ull << 16)
#define ENTRY(ecode) (EENTRY + (ecode) * 512ull)

#define ADD     0x00100c85      /* add.w $r5, $r4, $r3 */
#define LDD     0x28c00085      /* ld.d $r5, $r4, 0 */
#define FADD    0x01010c85
#define VADD    0x700a0c85
#define SYSCALL 0x002b0000
#define BREAK   0x002a0000
#define ERTN    0x06483800
#define IDLE    0x06488000
#define HVCL    0x002b8100
#define TLBWR   0x06483000
#define CSRRD(rd, csr)          (0x04000000 | (csr) << 10 | (rd))
#define CSRWR(rd, csr)          (0x04000020 | (csr) << 10 | (rd))
#define CSRXCHG(rd, rj, csr)    (0x04000000 | (csr) << 10 | (rj) << 5 | (rd))
#define CRMD 0
#define PRMD 1
#define EENTRY_CSR 0xc
#define PGDL 0x19
#define DMW1 0x181

static LoongArchStepRegs start(uint64_t crmd)
{
    LoongArchStepRegs regs = {
        .pc = PC, .crmd = crmd, .eentry = EENTRY, .tlbrentry = REFILL,
        .ecfg = VS | 0x1fff, .euen = 0xf,
    };

    for (int i = 1; i < 32; i++) {
        regs.gpr[i] = 0x1111111111111111ull * (i % 15) + i;
    }
    return regs;
}

static LoongArchStepPlan make(const LoongArchStepRegs *regs, uint32_t word,
                              bool noirq)
{
    LoongArchStepPlan plan;

    memset(&plan, 0xa5, sizeof(plan));
    loongarch_step_plan_make(&plan, regs, &word, TRAP, noirq);
    return plan;
}

/* A plan that runs nothing must change what @want says, and nothing else */
static void check_emulated(const LoongArchStepRegs *regs, uint32_t word,
                           const LoongArchStepRegs *want)
{
    for (int noirq = 0; noirq < 2; noirq++) {
        LoongArchStepPlan plan = make(regs, word, noirq);

        g_assert_false(plan.run);
        g_assert_false(plan.mask_ie);
        g_assert_cmphex(plan.after.pc, ==, want->pc);
        g_assert_cmphex(plan.after.crmd, ==, want->crmd);
        g_assert_cmpmem(plan.after.gpr, sizeof(want->gpr),
                        want->gpr, sizeof(want->gpr));
        g_assert_cmpmem(&plan.after, sizeof(*want), want, sizeof(*want));
        g_assert_cmpmem(&plan.before, sizeof(*regs), regs, sizeof(*regs));
    }
}

static void check_runs(const LoongArchStepRegs *regs, uint32_t word)
{
    g_assert_true(make(regs, word, true).run);
    g_assert_true(make(regs, word, false).run);
}

/* It can't complete, so that no trap is needed where it would lead */
static void check_raises(const LoongArchStepRegs *regs, uint32_t word)
{
    check_runs(regs, word);
    g_assert_false(make(regs, word, true).have_next);
}

static void test_branches(void)
{
    LoongArchStepRegs regs = start(PG | IE), want = regs;

    want.pc = PC;
    check_emulated(&regs, 0x50000000, &want);           /* b . */
    want.gpr[1] = PC + 4;
    want.pc = PC + 12;
    check_emulated(&regs, 0x54000c00, &want);           /* bl */
    want = regs;
    want.pc = PC + 8;
    check_emulated(&regs, 0x44000880, &want);           /* bnez $r4 */
    want.pc = PC + 4;
    check_emulated(&regs, 0x40000880, &want);           /* beqz $r4 */
    /* jirl takes its register before it writes it */
    want = regs;
    want.pc = regs.gpr[5] + 8;
    want.gpr[5] = PC + 4;
    check_emulated(&regs, 0x4c0008a5, &want);
    want = regs;
    want.pc = regs.gpr[1];
    check_emulated(&regs, 0x4c000020, &want);           /* ret */
    /* Addresses of 32 bits */
    regs.va32 = true;
    regs.pc = 0xfffffffc;
    want = regs;
    want.pc = (uint32_t)regs.gpr[5];
    want.gpr[1] = 0;
    check_emulated(&regs, 0x4c0000a1, &want);
    regs.pc = 0x90000000;
    want = regs;
    want.pc = 0x9000000c;
    want.gpr[1] = 0xffffffff90000004ull;
    check_emulated(&regs, 0x54000c00, &want);
}

/* A branch on a unit that is disabled has to raise its exception */
static void test_disabled(void)
{
    LoongArchStepRegs regs = start(PG | PLV3), want;

    regs.fcc = 1 << 2;
    regs.scr[1] = 0x120000000;
    want = regs;
    want.pc = PC + 8;
    check_emulated(&regs, 0x48000800, &want);           /* bceqz $fcc0 */
    check_emulated(&regs, 0x48000940, &want);           /* bcnez $fcc2 */
    want.pc = 0x120000008;
    check_emulated(&regs, 0x48000b00, &want);           /* jiscr1 */
    regs.euen = 0xf & ~LOONGARCH_STEP_EUEN_FPE;
    check_raises(&regs, 0x48000800);
    check_raises(&regs, 0x48000900);
    regs.euen = 0xf & ~LOONGARCH_STEP_EUEN_BTE;
    check_raises(&regs, 0x48000b00);
    /* Of others it is not known what is enabled */
    g_assert_true(make(&regs, FADD, true).have_next);
}

static void test_csr(void)
{
    LoongArchStepRegs regs = start(PG | IE | WE), want = regs;

    want.gpr[5] = PG | IE | WE;
    want.pc = PC + 4;
    check_emulated(&regs, CSRRD(5, CRMD), &want);
    want = regs;
    want.pc = PC + 4;
    check_emulated(&regs, CSRRD(0, CRMD), &want);
    regs.gpr[5] = DA | 0xfffff000;
    want = regs;
    want.pc = PC + 4;
    want.crmd = DA;
    want.gpr[5] = PG | IE | WE;
    check_emulated(&regs, CSRWR(5, CRMD), &want);
    /* As Linux' local_irq_disable() and local_irq_enable() */
    regs.gpr[5] = 0;
    regs.gpr[6] = IE;
    want = regs;
    want.pc = PC + 4;
    want.crmd = PG | WE;
    want.gpr[5] = PG | IE | WE;
    check_emulated(&regs, CSRXCHG(5, 6, CRMD), &want);
    regs.crmd = PG;
    regs.gpr[5] = UINT64_MAX;
    want = regs;
    want.pc = PC + 4;
    want.crmd = PG | IE;
    want.gpr[5] = PG;
    check_emulated(&regs, CSRXCHG(5, 6, CRMD), &want);
    /* RD and RJ may be the same, and may be register 0 (no mask: csrrd) */
    want = regs;
    want.pc = PC + 4;
    want.crmd = PG | IE;
    want.gpr[6] = PG;
    check_emulated(&regs, CSRXCHG(6, 6, CRMD), &want);
    want = regs;
    want.pc = PC + 4;
    want.crmd = 0;
    check_emulated(&regs, CSRWR(0, CRMD), &want);
    /* What translates the next instruction */
    regs.dmw[1] = 0x9000000000000011ull;
    regs.gpr[5] = 0xa000000000000001ull;
    want = regs;
    want.pc = PC + 4;
    want.dmw[1] = regs.gpr[5];
    want.gpr[5] = regs.dmw[1];
    check_emulated(&regs, CSRWR(5, DMW1), &want);
    regs.pgdl = 0x4000;
    want = regs;
    want.pc = PC + 4;
    want.pgdl = regs.gpr[5];
    want.gpr[5] = 0x4000;
    check_emulated(&regs, CSRWR(5, PGDL), &want);
    /* No other one has, and none outside of PLV0, where it raises IPE */
    check_runs(&regs, CSRRD(5, PRMD));
    check_runs(&regs, CSRWR(5, PRMD));
    check_runs(&regs, CSRXCHG(5, 6, PRMD));
    check_runs(&regs, CSRRD(5, PGDL));
    check_runs(&regs, CSRWR(5, EENTRY_CSR));
    regs = start(PG | PLV3);
    check_runs(&regs, CSRRD(5, CRMD));
    check_runs(&regs, CSRWR(5, CRMD));
    check_runs(&regs, CSRXCHG(5, 6, CRMD));
    check_runs(&regs, ERTN);
    check_runs(&regs, IDLE);
}

static void test_ertn(void)
{
    LoongArchStepRegs regs = start(PG | WE), want;

    regs.era = 0x120000ff0;
    regs.prmd = PLV3 | LOONGARCH_STEP_PRMD_PIE;
    want = regs;
    want.pc = 0x120000ff0;
    want.crmd = PG | PLV3 | IE;
    want.llbctl = LOONGARCH_STEP_LLBCTL_WCLLB;
    check_emulated(&regs, ERTN, &want);
    regs.prmd = 1 << 3;                                 /* PWE */
    regs.llbctl = LOONGARCH_STEP_LLBCTL_KLO | 1;
    want = regs;
    want.pc = 0x120000ff0;
    want.crmd = PG | WE;
    want.llbctl = 1;
    check_emulated(&regs, ERTN, &want);
    /* From a TLB refill: that is in direct mode, and goes back to a paged one */
    regs = start(DA);
    regs.era = 0x77777770;
    regs.prmd = 0;
    regs.tlbrera = 0x120000ff0 | LOONGARCH_STEP_TLBRERA_ISTLBR;
    regs.tlbrprmd = PLV3 | LOONGARCH_STEP_PRMD_PIE | 1 << 4;
    want = regs;
    want.pc = 0x120000ff0;
    want.crmd = PG | PLV3 | IE | WE;
    want.tlbrera = 0x120000ff0;
    want.llbctl = LOONGARCH_STEP_LLBCTL_WCLLB;
    check_emulated(&regs, ERTN, &want);
}

static void test_idle_and_trap(void)
{
    LoongArchStepRegs regs = start(PG | IE), want = regs;

    want.pc = PC + 4;
    check_emulated(&regs, IDLE, &want);
    /* The guest's own, at any privilege level */
    want.gpr[4] = UINT64_MAX;
    check_emulated(&regs, TRAP, &want);
    regs = start(PG | PLV3);
    want = regs;
    want.pc = PC + 4;
    want.gpr[4] = UINT64_MAX;
    check_emulated(&regs, TRAP, &want);
    check_runs(&regs, HVCL);
}

typedef struct Traps {
    LoongArchStepTrapAt at[LOONGARCH_STEP_TRAPS_MAX];
    unsigned nr;
} Traps;

static Traps traps_of(const LoongArchStepPlan *plan)
{
    Traps t = { .nr = 0 };

    t.nr = loongarch_step_plan_traps(plan, t.at);
    return t;
}

static const LoongArchStepTrapAt *find(const Traps *t, uint64_t pc,
                                       LoongArchStepTrapKind kind)
{
    const LoongArchStepTrapAt *found = NULL;

    for (unsigned i = 0; i < t->nr; i++) {
        if (t->at[i].pc == pc && t->at[i].kind == kind) {
            g_assert_null(found);
            found = &t->at[i];
        }
    }
    return found;
}

static void check_entries(const Traps *t, const uint8_t *ecodes, unsigned nr,
                          bool paged)
{
    unsigned found = 0;

    for (unsigned i = 0; i < t->nr; i++) {
        if (t->at[i].kind == LOONGARCH_STEP_TRAP_EXCEPTION) {
            g_assert_true(t->at[i].mode.paged == paged);
            g_assert_cmpint(t->at[i].mode.plv, ==, 0);
            found++;
        }
    }
    for (unsigned i = 0; i < nr; i++) {
        g_assert_nonnull(find(t, ENTRY(ecodes[i]),
                              LOONGARCH_STEP_TRAP_EXCEPTION));
    }
    g_assert_cmpuint(found, ==, nr);
}

static const struct {
    uint32_t word;
    bool next;
    uint8_t ecodes[24];
    unsigned nr;
} entries[] = {
    { ADD, true, { 3, 6, 7, 8 }, 4 },
    { LDD, true, { 3, 6, 7, 8, 1, 2, 4, 5, 9, 10 }, 10 },
    { FADD, true, { 3, 6, 7, 8, 13, 14, 15, 18, 20, 21 }, 10 },
    { VADD, true, { 3, 6, 7, 8, 13, 14, 15, 16, 17, 18 }, 10 },
    { SYSCALL, false, { 3, 6, 7, 8, 11 }, 5 },
    { BREAK, false, { 3, 6, 7, 8, 12 }, 5 },
    { TLBWR, true, { 3, 6, 7, 8, 13, 14 }, 6 },
    { CSRWR(5, PRMD), true, { 3, 6, 7, 8, 13, 14 }, 6 },
    { 0xffffffff, true, { 3, 6, 7, 8, 1, 2, 4, 5, 9, 10, 13, 14, 15, 16, 17,
                          18, 20, 21 }, 18 },
};

static void test_traps(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
        for (int user = 0; user < 2; user++) {
            LoongArchStepRegs regs = start(PG | IE | (user ? PLV3 : 0));
            LoongArchStepPlan plan = make(&regs, entries[i].word, true);
            Traps t = traps_of(&plan);
            const LoongArchStepTrapAt *at;

            g_assert_true(plan.run);
            g_assert_true(plan.mask_ie);
            check_entries(&t, entries[i].ecodes, entries[i].nr, true);
            at = find(&t, PC + 4, LOONGARCH_STEP_TRAP_NEXT);
            g_assert_true(!!at == entries[i].next);
            if (at) {
                g_assert_true(at->mode.paged);
                g_assert_cmpint(at->mode.plv, ==, user ? 3 : 0);
                g_assert_true(at == t.at);
            }
            at = find(&t, REFILL, LOONGARCH_STEP_TRAP_REFILL);
            g_assert_nonnull(at);
            g_assert_false(at->mode.paged);
            g_assert_cmpuint(t.nr, ==, entries[i].nr + 1 + entries[i].next);
        }
    }
}

static void test_traps_direct(void)
{
    LoongArchStepRegs regs = start(DA | IE);
    LoongArchStepPlan plan = make(&regs, ADD, true);
    Traps t = traps_of(&plan);

    /* No refill where nothing is paged */
    g_assert_null(find(&t, REFILL, LOONGARCH_STEP_TRAP_REFILL));
    g_assert_false(find(&t, PC + 4, LOONGARCH_STEP_TRAP_NEXT)->mode.paged);
    check_entries(&t, (uint8_t []) { 3, 6, 7, 8 }, 4, false);
    /* One entry for all */
    regs.ecfg = 0;
    plan = make(&regs, LDD, true);
    t = traps_of(&plan);
    g_assert_cmpuint(t.nr, ==, 2);
    g_assert_nonnull(find(&t, EENTRY, LOONGARCH_STEP_TRAP_EXCEPTION));
    /* The instruction there has no trap on itself */
    regs.pc = EENTRY;
    plan = make(&regs, LDD, true);
    t = traps_of(&plan);
    g_assert_cmpuint(t.nr, ==, 1);
    g_assert_cmphex(t.at[0].pc, ==, EENTRY + 4);
}

static void test_traps_vs(void)
{
    for (uint64_t vs = 1; vs < 8; vs++) {
        LoongArchStepRegs regs = start(PG | IE);
        LoongArchStepPlan plan;
        Traps t;

        regs.ecfg = vs << 16;
        plan = make(&regs, SYSCALL, true);
        t = traps_of(&plan);
        g_assert_nonnull(find(&t, EENTRY + 11 * (4ull << vs),
                              LOONGARCH_STEP_TRAP_EXCEPTION));
    }
}

/* Interrupts: those that are enabled, unless they are held back or masked */
static void test_traps_interrupts(void)
{
    LoongArchStepRegs regs = start(PG | IE);
    LoongArchStepPlan plan;
    Traps t;

    regs.ecfg = VS | 1 << 14 | 1 << 11 | 1 << 0;
    plan = make(&regs, ADD, false);
    g_assert_false(plan.mask_ie);
    t = traps_of(&plan);
    check_entries(&t, (uint8_t []) { 3, 6, 7, 8, 64, 75, 78 }, 7, true);
    regs.crmd = PG;
    plan = make(&regs, ADD, false);
    t = traps_of(&plan);
    check_entries(&t, (uint8_t []) { 3, 6, 7, 8 }, 4, true);
    plan = make(&regs, ADD, true);
    g_assert_false(plan.mask_ie);
}

static void test_unmapped(void)
{
    LoongArchStepRegs regs = start(PG | PLV3 | IE);
    LoongArchStepPlan plan;
    Traps t;

    regs.ecfg = VS | 0x7fff;
    loongarch_step_plan_make(&plan, &regs, NULL, TRAP, false);
    g_assert_true(plan.run);
    g_assert_false(plan.have_insn);
    g_assert_false(plan.have_next);
    t = traps_of(&plan);
    /* All exceptions, all interrupts, a refill: the most that there can be */
    g_assert_cmpuint(t.nr, ==, 20 + 15 + 1);
}

/* What the guest finds in CRMD, and in PRMD or TLBRPRMD at a handler */
static void test_finish(void)
{
    for (int noirq = 0; noirq < 2; noirq++) {
        for (int ie = 0; ie < 2; ie++) {
            uint64_t crmd = PG | PLV3 | (ie ? IE : 0);
            LoongArchStepRegs regs = start(crmd);
            LoongArchStepPlan plan = make(&regs, ADD, noirq);
            uint64_t enter = loongarch_step_plan_enter_crmd(&plan);
            uint64_t pie = ie ? LOONGARCH_STEP_PRMD_PIE : 0;

            g_assert_cmphex(enter, ==, noirq ? crmd & ~IE : crmd);
            g_assert_cmphex(loongarch_step_plan_finish(&plan, enter), ==,
                            crmd);
            /* As the processor has saved it */
            g_assert_cmphex(loongarch_step_plan_finish(&plan,
                                                       PLV3 | (enter & IE)),
                            ==, PLV3 | pie);
        }
    }
}

static void test_kind(void)
{
    LoongArchStepRegs regs = start(PG | IE);
    LoongArchStepPlan plan = make(&regs, LDD, true);

    g_assert_cmpint(loongarch_step_plan_kind(&plan, PC + 4), ==,
                    LOONGARCH_STEP_TRAP_NEXT);
    g_assert_cmpint(loongarch_step_plan_kind(&plan, ENTRY(1)), ==,
                    LOONGARCH_STEP_TRAP_EXCEPTION);
    g_assert_cmpint(loongarch_step_plan_kind(&plan, REFILL), ==,
                    LOONGARCH_STEP_TRAP_REFILL);
    /* It completes where an exception would go */
    regs.pc = EENTRY - 4;
    regs.ecfg = 0;
    plan = make(&regs, LDD, true);
    g_assert_cmpint(loongarch_step_plan_kind(&plan, EENTRY), ==,
                    LOONGARCH_STEP_TRAP_NEXT);
}

#define LLW     0x20000085      /* ll.w $r5, $r4, 0 */
#define LLD     0x22000085
#define LLACQ   0x38578085      /* llacq.w */
#define SCW     0x21000085
#define SCD     0x23000085
#define SCQ     0x38570485
#define SCREL   0x38578485      /* screl.w */
#define BEQZ(n) (0x40000000 | ((uint32_t)(n) & 0xffff) << 10 | 5 << 5 | \
                 ((n) < 0 ? 0x1f : 0))
#define B(n)    (0x50000000 | ((uint32_t)(n) & 0xffff) << 10)
#define BL      0x54001000
#define JIRL    0x4c000020
#define CPUCFG  0x00006c85
#define DBAR    0x38720000

typedef struct Case {
    uint32_t words[20];
    unsigned nr;
    int last;               /* index of the store-conditional, -1: refused */
    int exits[4];           /* where branches leave it, 0 ends the list */
    const char *why;        /* a part of it */
} Case;

static const Case cases[] = {
    { { LLW, SCW }, 2, 1, {}, NULL },
    { { LLD, ADD, SCD, JIRL }, 4, 2, {}, NULL },
    { { LLW, ADD, SCREL }, 3, 2, {}, NULL },
    { { LLACQ, ADD, SCREL }, 3, 2, {}, NULL },
    { { LLD, LDD, ADD, SCQ }, 4, 3, {}, NULL },
    /* As Linux' cmpxchg: a branch over the store, and a barrier behind that */
    { { LLW, BEQZ(5), ADD, SCW, BEQZ(-4), B(2), DBAR }, 7, 3, { 6 }, NULL },
    { { LLW, BEQZ(-3), SCW }, 3, 2, { -2 }, NULL },
    { { LLW, BEQZ(2), ADD, SCW }, 4, 3, {}, NULL },
    { { LLW, B(3), SCW }, 3, 2, { 4 }, NULL },
    { { LLW, BEQZ(-1), SCW }, 3, -1, {}, "back" },
    { { LLW, BL, SCW }, 3, -1, {}, "calls" },
    { { LLW, JIRL, SCW }, 3, -1, {}, "may end it" },
    { { LLW, SYSCALL, SCW }, 3, -1, {}, "may end it" },
    { { LLW, CPUCFG, SCW }, 3, -1, {}, "may end it" },
    { { LLW, CSRRD(5, 0), SCW }, 3, -1, {}, "may end it" },
    { { LLW, ERTN, SCW }, 3, -1, {}, "may end it" },
    { { LLW, LLW, SCW }, 3, -1, {}, "another load-linked" },
    { { LLW, SCD }, 2, -1, {}, "another size" },
    { { LLD, SCW }, 2, -1, {}, "another size" },
    { { LLW, SCQ }, 2, -1, {}, "another size" },
    { { LLW, ADD, SCW }, 2, -1, {}, "no store-conditional" },
};

static void check_sequence(const Case *c)
{
    LoongArchStepRegs regs = start(PG | IE);
    LoongArchStepPlan plan = make(&regs, c->words[0], true), old = plan;
    const char *why = loongarch_step_plan_sequence(&plan, c->words, c->nr);
    unsigned nr = 0;
    Traps t;

    if (c->last < 0) {
        g_assert_nonnull(why);
        g_assert_nonnull(strstr(why, c->why));
        g_assert_cmpmem(&plan, sizeof(plan), &old, sizeof(old));
        return;
    }
    g_assert_null(why);
    g_assert_true(plan.sequence);
    g_assert_cmphex(plan.next, ==, PC + 4 * c->last + 4);
    t = traps_of(&plan);
    g_assert_nonnull(find(&t, plan.next, LOONGARCH_STEP_TRAP_NEXT));
    while (nr < G_N_ELEMENTS(c->exits) && c->exits[nr]) {
        g_assert_nonnull(find(&t, PC + 4 * c->exits[nr],
                              LOONGARCH_STEP_TRAP_NEXT));
        nr++;
    }
    g_assert_cmpuint(plan.nr_exits, ==, nr);
}

static void test_sequence(void)
{
    LoongArchStepRegs regs = start(PG | IE);
    const uint32_t words[] = { LLW, FADD, SCW };
    LoongArchStepPlan plan;
    Traps t;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %zu", i);
        check_sequence(&cases[i]);
    }
    /* What its instructions raise is trapped, too */
    plan = make(&regs, LLW, true);
    t = traps_of(&plan);
    g_assert_null(find(&t, ENTRY(15), LOONGARCH_STEP_TRAP_EXCEPTION));
    g_assert_null(loongarch_step_plan_sequence(&plan, words, 3));
    t = traps_of(&plan);
    g_assert_nonnull(find(&t, ENTRY(15), LOONGARCH_STEP_TRAP_EXCEPTION));
    /* No trap may be in its way */
    regs.pc = EENTRY - 4;
    regs.ecfg = 0;
    plan = make(&regs, LLW, true);
    g_assert_nonnull(loongarch_step_plan_sequence(&plan, words, 3));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loongarch-step-plan/branches", test_branches);
    g_test_add_func("/loongarch-step-plan/disabled", test_disabled);
    g_test_add_func("/loongarch-step-plan/csr", test_csr);
    g_test_add_func("/loongarch-step-plan/ertn", test_ertn);
    g_test_add_func("/loongarch-step-plan/idle-and-trap", test_idle_and_trap);
    g_test_add_func("/loongarch-step-plan/traps", test_traps);
    g_test_add_func("/loongarch-step-plan/traps/direct", test_traps_direct);
    g_test_add_func("/loongarch-step-plan/traps/vs", test_traps_vs);
    g_test_add_func("/loongarch-step-plan/traps/interrupts",
                    test_traps_interrupts);
    g_test_add_func("/loongarch-step-plan/unmapped", test_unmapped);
    g_test_add_func("/loongarch-step-plan/finish", test_finish);
    g_test_add_func("/loongarch-step-plan/kind", test_kind);
    g_test_add_func("/loongarch-step-plan/sequence", test_sequence);
    return g_test_run();
}
