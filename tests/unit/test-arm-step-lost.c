/*
 * Steps on kernels that lose them: a model of Linux' KVM and of a processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-plan.h"

/*
 * The processor has the software step machine of DDI 0487, chapter D2: enabled,
 * it is active-not-pending while PSTATE.SS is 1 and active-pending else, where
 * the exception comes before anything else.  An instruction that runs, or
 * raises an exception to EL1, makes SS 0.  Hardware breakpoints match before
 * the instruction.
 *
 * The kernel enters the guest again after an interrupt of the host's, and after
 * it has emulated an instruction.  Before 6.1 it sets SS each time; since then
 * not if that was 0 when the guest was left.
 *
 * What is not modelled: SErrors, FIQs, AArch32 state, a guest's own debugging.
 */

#define BASE    0x80000ull
#define VBAR    0x81000ull
#define WORDS   0x800           /* from BASE on: code, then vectors */
#define NZCV    0xf0000000ull
#define SS      (1ull << 21)
#define EL1H    5ull

#define EMULATED    0xb9400001  /* ldr w1, [x0]: of a device */
#define ERET        0xd69f03e0

typedef enum Exit { EXIT_NONE, EXIT_STEP, EXIT_BREAKPOINT, EXIT_HOST } Exit;

typedef struct Machine {
    GRand *rand;
    bool old;                   /* the kernel is one before 6.1 */
    bool irqs;                  /* the guest's interrupts are not held back */
    uint32_t code[WORDS];
    uint64_t x[31];
    uint64_t pc, pstate, elr, spsr;
    uint64_t traps[ARM_STEP_PLACES_MAX];
    unsigned nr_traps;
    bool pending;               /* SS was 0 when the guest was left */
    unsigned done;              /* instructions of this step */
} Machine;

static bool chance(Machine *m, unsigned percent)
{
    return g_rand_int_range(m->rand, 0, 100) < (int)percent;
}

static void take_exception(Machine *m, uint64_t offset, uint64_t elr)
{
    uint64_t vector = arm_step_vector(VBAR, m->pstate) + offset;

    m->elr = elr;
    m->spsr = m->pstate;
    m->pstate = EL1H;
    m->pc = vector;
}

static uint32_t *at(Machine *m, uint64_t pc)
{
    g_assert(pc >= BASE && pc < BASE + 4 * WORDS && !(pc & 3));
    return &m->code[(pc - BASE) / 4];
}

static void execute(Machine *m)
{
    uint32_t word = *at(m, m->pc);
    ArmStepBranchRegs regs = { .pc = m->pc, .pstate = m->pstate, .x = m->x };
    uint64_t next;
    ArmStepInsn insn;

    arm_step_decode(word, &insn);
    next = arm_step_successor(&insn, &regs);
    switch (insn.cls) {
    case ARM_STEP_SVC:
        take_exception(m, 0, next);
        break;
    case ARM_STEP_UDF:
        take_exception(m, 0, m->pc);
        break;
    case ARM_STEP_ERET:
        if (m->pstate & 0xc) {
            m->pc = m->elr;
            m->pstate = m->spsr;
        } else {
            take_exception(m, 0, m->pc);
        }
        break;
    default:
        if (insn.link) {
            m->x[30] = m->pc + 4;
        }
        m->pc = next;
    }
    m->pstate &= ~SS;
    m->done++;
}

static bool trapped(Machine *m)
{
    for (unsigned i = 0; i < m->nr_traps; i++) {
        if (m->traps[i] == m->pc) {
            return true;
        }
    }
    return false;
}

/* The guest, until the kernel is entered */
static Exit run_guest(Machine *m)
{
    for (;;) {
        /* Of the host, at any time: also instead of the step's exception */
        if (chance(m, 10)) {
            return EXIT_HOST;
        }
        if (!(m->pstate & SS)) {
            return EXIT_STEP;
        }
        if (m->irqs && chance(m, 20)) {
            take_exception(m, 0x80, m->pc);
            m->pstate &= ~SS;
            continue;
        }
        if (trapped(m)) {
            return EXIT_BREAKPOINT;
        }
        if (*at(m, m->pc) == EMULATED) {
            /* By the kernel, or by QEMU and the next KVM_RUN */
            m->pc += 4;
            m->pstate &= ~SS;
            m->done++;
            return EXIT_HOST;
        }
        execute(m);
    }
}

static Exit kvm_run(Machine *m)
{
    Exit exit;

    m->pending = false;
    do {
        m->pstate |= SS;
        if (!m->old && m->pending) {
            m->pstate &= ~SS;
        }
        exit = run_guest(m);
        m->pending = !(m->pstate & SS);
    } while (exit == EXIT_HOST);
    return exit;
}

/*
 * As the engine does it.
 *
 * Returns: has more run than one instruction?  One that may lead to itself, of
 * which nobody can tell how often it has run, counts as one.
 */
static bool step_is_lost(Machine *m, bool trap)
{
    ArmStepBranchRegs regs = { .pc = m->pc, .pstate = m->pstate, .x = m->x };
    ArmStepPlaces places = {
        .pc = m->pc, .pstate = m->pstate, .vbar = VBAR, .has_next = true,
        .irqs = m->irqs,
    };
    ArmStepInsn insn;
    bool to_itself;
    Exit exit;

    arm_step_decode(*at(m, m->pc), &insn);
    places.next = insn.cls == ARM_STEP_ERET ? m->elr
                                            : arm_step_successor(&insn, &regs);
    m->nr_traps = arm_step_places(&places, m->traps);
    to_itself = m->nr_traps < (m->irqs ? 3u : 2u);
    if (!trap) {
        m->nr_traps = 0;
    }
    m->done = 0;
    exit = kvm_run(m);
    g_assert(exit == EXIT_STEP || trap);
    g_assert(m->irqs || m->done);
    return m->done > 1 && !to_itself;
}

static uint32_t random_word(Machine *m)
{
    uint32_t to = g_rand_int_range(m->rand, -20, 20);

    switch (g_rand_int_range(m->rand, 0, 12)) {
    case 0:
        return 0x14000000 | (to & 0x3ffffff);               /* b */
    case 1:
        return 0x94000000 | (to & 0x3ffffff);               /* bl */
    case 2:
        return 0x54000000 | (to & 0x7ffff) << 5 |           /* b.cond */
               g_rand_int_range(m->rand, 0, 16);
    case 3:
        return 0xb4000000 | (to & 0x7ffff) << 5 |           /* cbz */
               g_rand_int_range(m->rand, 0, 4);
    case 4:
        return 0x37000000 | (to & 0x3fff) << 5 |            /* tbnz */
               g_rand_int_range(m->rand, 0, 4);
    case 5:
        return 0xd65f03c0;                                  /* ret */
    case 6:
        return 0xd4000001;                                  /* svc */
    case 7:
        return g_rand_boolean(m->rand) ? 0 : ERET;          /* udf */
    case 8:
        return EMULATED;
    default:
        return 0x91000400;                                  /* add */
    }
}

static void new_guest(Machine *m)
{
    for (unsigned i = 0; i < WORDS; i++) {
        m->code[i] = random_word(m);
    }
    m->pc = BASE + 0x400;
    m->elr = m->pc;
    m->spsr = g_rand_boolean(m->rand) ? EL1H : 0;
    m->pstate = g_rand_boolean(m->rand) ? EL1H : 0;
    m->pstate |= g_rand_int(m->rand) & NZCV;
    for (unsigned i = 0; i < 31; i++) {
        m->x[i] = i < 4 ? g_rand_boolean(m->rand) : m->pc + 64;
    }
}

static bool in_code(const Machine *m)
{
    return m->pc >= BASE + 0x100 && m->pc < BASE + 4 * (WORDS - 64);
}

/* Returns: how many of the steps were no single one */
static unsigned many_steps(bool old, bool irqs, bool trap)
{
    Machine *m = g_new0(Machine, 1);
    unsigned lost = 0;

    m->rand = g_rand_new_with_seed(1);
    m->old = old;
    m->irqs = irqs;
    for (unsigned guest = 0; guest < 200; guest++) {
        new_guest(m);
        for (unsigned n = 0; n < 200 && in_code(m); n++) {
            lost += step_is_lost(m, trap);
        }
    }
    g_rand_free(m->rand);
    g_free(m);
    return lost;
}

static void test_lost(void)
{
    /* The model has the defect, or the other tests say nothing */
    g_assert_cmpuint(many_steps(true, false, false), >, 1000);
    g_assert_cmpuint(many_steps(true, true, false), >, 1000);
}

static void test_new_kernel(void)
{
    g_assert_cmpuint(many_steps(false, false, false), ==, 0);
    g_assert_cmpuint(many_steps(false, true, false), ==, 0);
    g_assert_cmpuint(many_steps(false, true, true), ==, 0);
}

static void test_trapped(void)
{
    g_assert_cmpuint(many_steps(true, false, true), ==, 0);
    g_assert_cmpuint(many_steps(true, true, true), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arm/step-lost/without-traps", test_lost);
    g_test_add_func("/arm/step-lost/new-kernel", test_new_kernel);
    g_test_add_func("/arm/step-lost/trapped", test_trapped);
    return g_test_run();
}
