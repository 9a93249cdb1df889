/*
 * Tests of the step plan for A64
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

#define PC 0xffff800010000ff0ull

#define LDXR    0xc85f7f80      /* ldxr x0, [x28] */
#define LDXRW   0x885f7f80      /* ldxr w0, [x28] */
#define LDXP    0xc87f0780      /* ldxp x0, x1, [x28] */
#define LDXPW   0x887f0780      /* ldxp w0, w1, [x28]: as many bytes as ldxr of an x */
#define STXR    0xc8047f80      /* stxr w4, x0, [x28] */
#define STXP    0xc8240780      /* stxp w4, x0, x1, [x28] */
#define ADD     0x91000400      /* add x0, x0, #1 */
#define BNE(n)  (0x54000001 | ((uint32_t)(n) & 0x7ffff) << 5)
#define CBZ(n)  (0xb4000000 | ((uint32_t)(n) & 0x7ffff) << 5)
#define B(n)    (0x14000000 | ((uint32_t)(n) & 0x3ffffff))
#define BL      0x94000010
#define RET     0xd65f03c0
#define SVC     0xd4000001
#define CLREX   0xd5033f5f
#define WFE     0xd503205f

typedef struct Case {
    uint32_t words[20];
    unsigned nr;
    int last;               /* index of the store-exclusive, -1: refused */
    int exits[4];           /* where branches leave it, 0 ends the list */
    const char *why;        /* a part of it */
} Case;

static const Case cases[] = {
    { { LDXR, STXR }, 2, 1, {}, NULL },
    { { LDXR, ADD, STXR }, 3, 2, {}, NULL },
    { { LDXP, ADD, STXP }, 3, 2, {}, NULL },
    /* What is behind it does not matter */
    { { LDXR, STXR, RET, SVC }, 4, 1, {}, NULL },
    /* A branch that leaves it, also to just behind it */
    { { LDXR, BNE(3), STXR }, 3, 2, { 4 }, NULL },
    { { LDXR, B(3), STXR }, 3, 2, { 4 }, NULL },
    { { LDXR, BNE(2), STXR }, 3, 2, {}, NULL },
    /* One that leaves it backwards, to a wait for another processor, say */
    { { LDXR, CBZ(-2), STXR }, 3, 2, { -1 }, NULL },
    { { LDXR, CBZ(-2), BNE(-9), ADD, STXR }, 5, 4, { -1, -7 }, NULL },
    /* One that stays inside, also to the store-exclusive */
    { { LDXR, BNE(2), ADD, STXR }, 4, 3, {}, NULL },
    { { LDXR, CBZ(2), ADD, ADD, STXR }, 5, 4, {}, NULL },
    /* Two leave it, and three, one of them twice; as many as there may be */
    { { LDXR, BNE(8), CBZ(8), STXR }, 4, 3, { 9, 10 }, NULL },
    { { LDXR, BNE(8), CBZ(7), STXR }, 4, 3, { 9 }, NULL },
    { { LDXR, BNE(8), BNE(8), BNE(8), BNE(-8), STXR }, 6, 5,
      { 9, 10, 11, -4 }, NULL },
    { { LDXR, BNE(8), BNE(8), BNE(8), BNE(8), BNE(8), STXR }, 7, -1, {},
      "too many" },
    /* Those that lead to inside do not count */
    { { LDXR, BNE(2), BNE(2), BNE(2), BNE(2), BNE(2), BNE(2), ADD, STXR }, 9, 8,
      {}, NULL },
    /* The longest one, and one more */
    { { LDXR, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD,
        ADD, ADD, STXR }, 17, 16, {}, NULL },
    { { LDXR, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD,
        ADD, ADD, ADD, STXR }, 18, -1, {}, "no store-conditional" },
    { { LDXR, ADD, STXR }, 2, -1, {}, "no store-conditional" },
    { { LDXR }, 1, -1, {}, "no store-conditional" },
    { { LDXR, STXP }, 2, -1, {}, "another size" },
    { { LDXRW, STXR }, 2, -1, {}, "another size" },
    { { LDXPW, STXR }, 2, -1, {}, "another size" },
    { { LDXR, LDXR, STXR }, 3, -1, {}, "another load-exclusive" },
    { { LDXR, BNE(-1), STXR }, 3, -1, {}, "back" },
    { { LDXR, BNE(0), STXR }, 3, -1, {}, "back" },
    { { LDXR, ADD, BNE(-1), STXR }, 4, -1, {}, "back" },
    { { LDXR, BL, STXR }, 3, -1, {}, "calls" },
    { { LDXR, RET, STXR }, 3, -1, {}, "may end it" },
    { { LDXR, SVC, STXR }, 3, -1, {}, "may end it" },
    { { LDXR, CLREX, STXR }, 3, -1, {}, "may end it" },
    { { LDXR, WFE, STXR }, 3, -1, {}, "may end it" },
    { { LDXR, BNE(2), WFE, RET }, 4, -1, {}, "may end it" },
};

static bool is_end(const ArmStepSequence *seq, uint64_t addr)
{
    for (unsigned i = 0; i < seq->nr_ends; i++) {
        if (seq->ends[i] == addr) {
            return true;
        }
    }
    return false;
}

static void test_sequence(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        ArmStepSequence seq;
        const char *why = arm_step_find_sequence(c->words, c->nr, PC, &seq);
        unsigned nr = 0;

        g_test_message("case %zu: %s", i, why ?: "");
        if (c->last < 0) {
            g_assert_nonnull(why);
            g_assert_nonnull(strstr(why, c->why));
            continue;
        }
        g_assert_null(why);
        g_assert_cmphex(seq.last, ==, PC + 4 * c->last);
        g_assert_true(is_end(&seq, seq.last + 4));
        while (nr < G_N_ELEMENTS(c->exits) && c->exits[nr]) {
            g_assert_true(is_end(&seq, PC + 4 * c->exits[nr]));
            nr++;
        }
        g_assert_cmpuint(seq.nr_ends, ==, nr + 1);
    }
}

static void test_has_store(void)
{
    const uint32_t with[] = { LDXR, WFE, ADD, STXP };
    const uint32_t without[] = { STXR, BNE(2), WFE, RET };

    g_assert_true(arm_step_has_store(with, 4));
    g_assert_false(arm_step_has_store(with, 3));
    g_assert_false(arm_step_has_store(without, 4));
}

#define VBAR    0xffff800010010000ull
#define EL0     0
#define EL1T    4
#define EL1H    5
#define EL0_32  0x10

static void check_places(const ArmStepPlaces *regs, uint64_t a, uint64_t b,
                         uint64_t c)
{
    const uint64_t want[ARM_STEP_PLACES_MAX] = { a, b, c };
    uint64_t places[ARM_STEP_PLACES_MAX] = {};

    g_assert_cmpuint(arm_step_places(regs, places), ==, !!a + !!b + !!c);
    for (unsigned i = 0; i < ARM_STEP_PLACES_MAX; i++) {
        g_assert_cmphex(places[i], ==, want[i]);
    }
}

static void test_places(void)
{
    ArmStepPlaces regs = {
        .pc = PC, .pstate = EL1H, .vbar = VBAR, .has_next = true,
        .next = PC + 4,
    };

    check_places(&regs, PC + 4, VBAR + 0x200, 0);
    regs.irqs = true;
    check_places(&regs, PC + 4, VBAR + 0x200, VBAR + 0x280);
    regs.pstate = EL1T;
    check_places(&regs, PC + 4, VBAR, VBAR + 0x80);
    regs.pstate = EL0;
    check_places(&regs, PC + 4, VBAR + 0x400, VBAR + 0x480);
    regs.has_next = false;
    regs.pstate = EL0_32;
    check_places(&regs, VBAR + 0x600, VBAR + 0x680, 0);
    /* To itself; at the vector; in the vector of an interrupt */
    regs.pstate = EL1H;
    regs.has_next = true;
    regs.next = PC;
    check_places(&regs, VBAR + 0x200, VBAR + 0x280, 0);
    regs.pc = VBAR + 0x200;
    check_places(&regs, PC, VBAR + 0x280, 0);
    regs.pc = VBAR + 0x280;
    check_places(&regs, PC, VBAR + 0x200, 0);
}

static void test_strip(void)
{
    const uint64_t tcr48 = 16 | 16 << 16, tcr39_42 = 25 | 22 << 16;

    g_assert_cmphex(arm_step_strip(0xffab800010000ff0, tcr48), ==, PC);
    g_assert_cmphex(arm_step_strip(0x0042800010000ff0, tcr48), ==,
                    0x0000800010000ff0);
    /* Addresses of 39 and of 42 bits */
    g_assert_cmphex(arm_step_strip(0x1234567890abcdec, tcr39_42), ==,
                    0x0000007890abcdec);
    g_assert_cmphex(arm_step_strip(0x12b4567890abcdec, tcr39_42), ==,
                    0xfffffe7890abcdec);
    /* TCR_EL1 as it is after a reset, and the largest addresses there are */
    g_assert_cmphex(arm_step_strip(0x1234567890abcdec, 0), ==,
                    0x0000567890abcdec);
    g_assert_cmphex(arm_step_strip(0x1234567890abcdec, 12), ==,
                    0x0004567890abcdec);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arm/step-plan/sequence", test_sequence);
    g_test_add_func("/arm/step-plan/has-store", test_has_store);
    g_test_add_func("/arm/step-plan/places", test_places);
    g_test_add_func("/arm/step-plan/strip", test_strip);
    return g_test_run();
}
