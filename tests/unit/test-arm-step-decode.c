/*
 * Tests of the A64 instruction description
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * Without arguments (or with GTest's): cases written from the Arm ARM, whose
 * words come from an assembler, and a sample of all words.  With --full
 * [-j N]: all 2^32 words, in N processes; the number of words of each class
 * must be what the encodings say.
 */

#define PC 0xffff800080001000ull

static ArmStepInsn decode(uint32_t word)
{
    ArmStepInsn insn;

    memset(&insn, 0xa5, sizeof(insn));
    arm_step_decode(word, &insn);
    return insn;
}

static bool same(const ArmStepInsn *a, const ArmStepInsn *b)
{
    return a->cls == b->cls && a->group == b->group && a->test == b->test &&
           a->cond == b->cond && a->bits == b->bits && a->disp == b->disp &&
           a->link == b->link && a->pac == b->pac &&
           a->context == b->context && a->reg == b->reg && a->rm == b->rm &&
           a->imm == b->imm && a->rn == b->rn && a->rs == b->rs &&
           a->rt2 == b->rt2 && a->pair == b->pair && a->size == b->size;
}

#define IS(c, g, ...) \
    { .cls = ARM_STEP_ ## c, .group = ARM_STEP_GROUP_ ## g, ## __VA_ARGS__ }
#define PLAIN(g)        IS(PLAIN, g)
#define SYSTEM(c, ...)  IS(c, BRANCH, ## __VA_ARGS__)
#define CONTEXT         IS(PLAIN, BRANCH, .context = true)
#define BRANCH(t, ...) \
    IS(BRANCH, BRANCH, .test = ARM_STEP_TEST_ ## t, ## __VA_ARGS__)
#define TO_REG(r, ...)  IS(BRANCH_REG, BRANCH, .reg = r, ## __VA_ARGS__)
#define LDXR(n, t, b, ...) \
    IS(LDXR, LDST, .size = n, .reg = t, .rn = b, ## __VA_ARGS__)
#define STXR(n, s, t, b, ...) \
    IS(STXR, LDST, .size = n, .rs = s, .reg = t, .rn = b, ## __VA_ARGS__)

static const struct {
    uint32_t word;
    ArmStepInsn insn;
} cases[] = {
    /* Unconditional branch (immediate) */
    { 0x14000000, BRANCH(NONE, .cond = 14) },                   /* b . */
    { 0x14000001, BRANCH(NONE, .cond = 14, .disp = 4) },
    { 0x17ffffff, BRANCH(NONE, .cond = 14, .disp = -4) },
    { 0x15ffffff, BRANCH(NONE, .cond = 14, .disp = 0x7fffffc) },
    { 0x16000000, BRANCH(NONE, .cond = 14, .disp = -0x8000000) },
    { 0x95ffffff, BRANCH(NONE, .cond = 14, .disp = 0x7fffffc, .link = 1) },
    { 0x96000000, BRANCH(NONE, .cond = 14, .disp = -0x8000000, .link = 1) },

    /* Conditional branch (immediate) */
    { 0x547fffe0, BRANCH(FLAGS, .cond = 0, .disp = 0xffffc) },  /* b.eq */
    { 0x54800001, BRANCH(FLAGS, .cond = 1, .disp = -0x100000) },
    { 0x54ffffe8, BRANCH(FLAGS, .cond = 8, .disp = -4) },       /* b.hi */
    { 0x5400004e, BRANCH(FLAGS, .cond = 14, .disp = 8) },       /* b.al */
    { 0x5400004f, BRANCH(FLAGS, .cond = 15, .disp = 8) },       /* b.nv */
    { 0x54000050, BRANCH(FLAGS, .cond = 0, .disp = 8) },        /* bc.eq */
    { 0x5480001b, BRANCH(FLAGS, .cond = 11, .disp = -0x100000) },

    /* Compare and branch (immediate) */
    { 0x34000043,
      BRANCH(IMM, .cond = 0, .bits = 32, .reg = 3, .disp = 8) },
    { 0xb4ffffc3,                                               /* cbz x3 */
      BRANCH(IMM, .cond = 0, .bits = 64, .reg = 3, .disp = -8) },
    { 0x357fffe0,                                               /* cbnz w0 */
      BRANCH(IMM, .cond = 1, .bits = 32, .reg = 0, .disp = 0xffffc) },
    { 0xb580001e,
      BRANCH(IMM, .cond = 1, .bits = 64, .reg = 30, .disp = -0x100000) },
    { 0xb400009f,                                               /* cbz xzr */
      BRANCH(IMM, .cond = 0, .bits = 64, .reg = 31, .disp = 16) },

    /* Test and branch (immediate) */
    { 0x3603ffe5,
      BRANCH(BIT, .cond = 0, .reg = 5, .imm = 0, .disp = 0x7ffc) },
    { 0x36fc0005,
      BRANCH(BIT, .cond = 0, .reg = 5, .imm = 31, .disp = -0x8000) },
    { 0xb6000065,                                       /* tbz x5,#32 */
      BRANCH(BIT, .cond = 0, .reg = 5, .imm = 32, .disp = 12) },
    { 0xb7ffffa5,                                       /* tbnz x5,#63 */
      BRANCH(BIT, .cond = 1, .reg = 5, .imm = 63, .disp = -12) },
    { 0xb7f8003f,
      BRANCH(BIT, .cond = 1, .reg = 31, .imm = 63, .disp = 4) },

    /* FEAT_CMPBR with registers: gt, ge, hi, hs, eq, ne */
    { 0x74062005, BRANCH(REG, .cond = 12, .bits = 32, .reg = 5, .rm = 6,
                         .disp = -1024) },              /* cbgt w5,w6 */
    { 0xf4061fe5, BRANCH(REG, .cond = 12, .bits = 64, .reg = 5, .rm = 6,
                         .disp = 1020) },
    { 0xf4222002, BRANCH(REG, .cond = 10, .bits = 64, .reg = 2, .rm = 2,
                         .disp = -1024) },              /* cbge x2,x2 */
    { 0x74451fe5, BRANCH(REG, .cond = 8, .bits = 32, .reg = 5, .rm = 5,
                         .disp = 1020) },               /* cbhi w5,w5 */
    { 0xf47f1fe2, BRANCH(REG, .cond = 2, .bits = 64, .reg = 2, .rm = 31,
                         .disp = 1020) },               /* cbhs x2,xzr */
    { 0x74c5201f, BRANCH(REG, .cond = 0, .bits = 32, .reg = 31, .rm = 5,
                         .disp = -1024) },              /* cbeq wzr,w5 */
    { 0xf4e22002, BRANCH(REG, .cond = 1, .bits = 64, .reg = 2, .rm = 2,
                         .disp = -1024) },              /* cbne x2,x2 */
    { 0x7405a005, BRANCH(REG, .cond = 12, .bits = 8, .reg = 5, .rm = 5,
                         .disp = -1024) },              /* cbbgt w5,w5 */
    { 0x7423a005, BRANCH(REG, .cond = 10, .bits = 8, .reg = 5, .rm = 3,
                         .disp = -1024) },              /* cbbge w5,w3 */
    { 0x74e5a005, BRANCH(REG, .cond = 1, .bits = 8, .reg = 5, .rm = 5,
                         .disp = -1024) },              /* cbbne w5,w5 */
    { 0x7445e005, BRANCH(REG, .cond = 8, .bits = 16, .reg = 5, .rm = 5,
                         .disp = -1024) },              /* cbhhi w5,w5 */
    { 0x74c5e005, BRANCH(REG, .cond = 0, .bits = 16, .reg = 5, .rm = 5,
                         .disp = -1024) },              /* cbheq w5,w5 */
    /* No such cc, no such size, no size with sf */
    { 0x74851fe5, PLAIN(BRANCH) },
    { 0x74a51fe5, PLAIN(BRANCH) },
    { 0x74055fe5, PLAIN(BRANCH) },
    { 0xf405a005, PLAIN(BRANCH) },

    /* FEAT_CMPBR with an immediate: gt, lt, hi, lo, eq, ne */
    { 0x751f9fe5, BRANCH(IMM, .cond = 12, .bits = 32, .reg = 5, .imm = 63,
                         .disp = 1020) },               /* cbgt w5,#63 */
    { 0xf5002005, BRANCH(IMM, .cond = 12, .bits = 64, .reg = 5, .imm = 0,
                         .disp = -1024) },
    { 0x753f9fe5, BRANCH(IMM, .cond = 11, .bits = 32, .reg = 5, .imm = 63,
                         .disp = 1020) },               /* cblt w5,#63 */
    { 0xf55fa005, BRANCH(IMM, .cond = 8, .bits = 64, .reg = 5, .imm = 63,
                         .disp = -1024) },              /* cbhi x5,#63 */
    { 0x756f9fe5, BRANCH(IMM, .cond = 3, .bits = 32, .reg = 5, .imm = 31,
                         .disp = 1020) },               /* cblo w5,#31 */
    { 0xf5cfa005, BRANCH(IMM, .cond = 0, .bits = 64, .reg = 5, .imm = 31,
                         .disp = -1024) },              /* cbeq x5,#31 */
    { 0x75ef9fe5, BRANCH(IMM, .cond = 1, .bits = 32, .reg = 5, .imm = 31,
                         .disp = 1020) },               /* cbne w5,#31 */
    { 0x758f9fe5, PLAIN(BRANCH) },                      /* no such cc */
    { 0x750fdfe5, PLAIN(BRANCH) },                      /* bit 14 */

    /* Unconditional branch (register) */
    { 0xd61f0000, TO_REG(0) },                                  /* br x0 */
    { 0xd61f03c0, TO_REG(30) },
    { 0xd61f03e0, TO_REG(31) },                                 /* br xzr */
    { 0xd63f0220, TO_REG(17, .link = 1) },                      /* blr x17 */
    { 0xd63f03c0, TO_REG(30, .link = 1) },
    { 0xd65f03c0, TO_REG(30) },                                 /* ret */
    { 0xd65f0020, TO_REG(1) },                                  /* ret x1 */
    { 0xd61f083f, TO_REG(1, .pac = 1) },                        /* braaz x1 */
    { 0xd61f0c5f, TO_REG(2, .pac = 1) },                        /* brabz x2 */
    { 0xd71f0822, TO_REG(1, .pac = 1) },                /* braa x1,x2 */
    { 0xd71f0c7f, TO_REG(3, .pac = 1) },                /* brab x3,sp */
    { 0xd63f089f, TO_REG(4, .pac = 1, .link = 1) },     /* blraaz x4 */
    { 0xd63f0cbf, TO_REG(5, .pac = 1, .link = 1) },     /* blrabz x5 */
    { 0xd73f08c7, TO_REG(6, .pac = 1, .link = 1) },     /* blraa x6,x7 */
    { 0xd73f0d1f, TO_REG(8, .pac = 1, .link = 1) },     /* blrab x8,sp */
    { 0xd65f0bff, TO_REG(30, .pac = 1) },                       /* retaa */
    { 0xd65f0fff, TO_REG(30, .pac = 1) },                       /* retab */
    { 0xd65f0be3, TO_REG(30, .pac = 1) },               /* retaasppcr x3 */
    { 0xd65f0ffe, TO_REG(30, .pac = 1) },               /* retabsppcr x30 */
    { 0x5500005f, TO_REG(30, .pac = 1) },               /* retaasppc */
    { 0x553fffff, TO_REG(30, .pac = 1) },               /* retabsppc */
    { 0xd69f03e0, SYSTEM(ERET) },
    { 0xd69f0bff, SYSTEM(ERET, .pac = 1) },                     /* eretaa */
    { 0xd69f0fff, SYSTEM(ERET, .pac = 1) },                     /* eretab */
    { 0xd6bf03e0, SYSTEM(DRPS) },
    /* Unallocated ones nearby */
    { 0xd61f0001, PLAIN(BRANCH) },
    { 0xd61f0400, PLAIN(BRANCH) },
    { 0xd61e0000, PLAIN(BRANCH) },
    { 0xd61f0820, PLAIN(BRANCH) },
    { 0xd65f0800, PLAIN(BRANCH) },
    { 0xd67f0000, PLAIN(BRANCH) },
    { 0xd69f0000, PLAIN(BRANCH) },
    { 0xd75f0822, PLAIN(BRANCH) },
    { 0x55000040, PLAIN(BRANCH) },
    { 0x5540005f, PLAIN(BRANCH) },

    /* Exception generation */
    { 0xd4000001, SYSTEM(SVC) },
    { 0xd41fffe1, SYSTEM(SVC, .imm = 0xffff) },
    { 0xd4000022, SYSTEM(HVC, .imm = 1) },
    { 0xd4000043, SYSTEM(SMC, .imm = 2) },
    { 0xd43e0000, SYSTEM(BRK, .imm = 0xf000) },
    { 0xd45e0000, SYSTEM(HLT, .imm = 0xf000) },
    { 0x00000000, IS(UDF, RESERVED) },
    { 0x0000ffff, IS(UDF, RESERVED, .imm = 0xffff) },
    { 0x00010000, PLAIN(RESERVED) },
    { 0xd4000000, PLAIN(BRANCH) },
    { 0xd4000005, PLAIN(BRANCH) },
    { 0xd4200001, PLAIN(BRANCH) },
    { 0xd4a00001, PLAIN(BRANCH) },                              /* dcps1 */

    /* Hints, barriers, and what waits */
    { 0xd503203f, SYSTEM(YIELD) },
    { 0xd503205f, SYSTEM(WFE) },
    { 0xd503207f, SYSTEM(WFI) },
    { 0xd5031003, SYSTEM(WFET, .reg = 3) },
    { 0xd503103e, SYSTEM(WFIT, .reg = 30) },
    { 0xd503305f, SYSTEM(CLREX) },                              /* #0 */
    { 0xd5033f5f, SYSTEM(CLREX) },                              /* #15 */
    { 0xd503201f, PLAIN(BRANCH) },                              /* nop */
    { 0xd503209f, PLAIN(BRANCH) },                              /* sev */
    { 0xd50320bf, PLAIN(BRANCH) },                              /* sevl */
    { 0xd503245f, PLAIN(BRANCH) },                              /* bti c */
    { 0xd503233f, PLAIN(BRANCH) },                              /* paciasp */
    { 0xd503251f, PLAIN(BRANCH) },                              /* chkfeat */
    { 0xd5031040, PLAIN(BRANCH) },
    { 0xd5033fdf, PLAIN(BRANCH) },                              /* isb */
    { 0xd5033f9f, PLAIN(BRANCH) },                              /* dsb sy */
    { 0xd5033bbf, PLAIN(BRANCH) },                              /* dmb ish */
    { 0xd50330ff, PLAIN(BRANCH) },                              /* sb */

    /* PSTATE */
    { 0xd50342df, SYSTEM(MSR_DAIFSET, .imm = 2) },
    { 0xd5034fdf, SYSTEM(MSR_DAIFSET, .imm = 15) },
    { 0xd50343ff, SYSTEM(MSR_DAIFCLR, .imm = 3) },
    { 0xd50340ff, SYSTEM(MSR_DAIFCLR) },
    { 0xd501401f, SYSTEM(MSR_ALLINT_IMM) },
    { 0xd501411f, SYSTEM(MSR_ALLINT_IMM, .imm = 1) },
    { 0xd501431f, PLAIN(BRANCH) },                              /* pm */
    { 0xd50342de, PLAIN(BRANCH) },
    { 0xd50041bf, PLAIN(BRANCH) },                              /* spsel */
    { 0xd500419f, PLAIN(BRANCH) },                              /* pan */
    { 0xd503477f, PLAIN(BRANCH) },                              /* smstart */

    /* System register move, and system instructions */
    { 0xd53b4227, SYSTEM(MRS_DAIF, .reg = 7) },
    { 0xd53b423f, SYSTEM(MRS_DAIF, .reg = 31) },
    { 0xd51b4228, SYSTEM(MSR_DAIF, .reg = 8) },
    { 0xd51b423f, SYSTEM(MSR_DAIF, .reg = 31) },
    { 0xd5384309, SYSTEM(MRS_ALLINT, .reg = 9) },
    { 0xd518430a, SYSTEM(MSR_ALLINT, .reg = 10) },
    { 0xd5384240, PLAIN(BRANCH) },                      /* mrs currentel */
    { 0xd53b4200, PLAIN(BRANCH) },                      /* mrs nzcv */
    { 0xd51b4200, CONTEXT },                            /* msr nzcv */
    { 0xd5384000, PLAIN(BRANCH) },                      /* mrs spsr_el1 */
    { 0xd5184000, CONTEXT },                            /* msr spsr_el1 */
    { 0xd5384020, PLAIN(BRANCH) },                      /* mrs elr_el1 */
    { 0xd53d4000, PLAIN(BRANCH) },                      /* mrs spsr_el12 */
    { 0xd5300240, PLAIN(BRANCH) },                      /* mrs mdscr_el1 */
    { 0xd5100240, CONTEXT },                            /* msr mdscr_el1 */
    { 0xd5101080, CONTEXT },                            /* msr oslar_el1 */
    { 0xd5182000, CONTEXT },                            /* msr ttbr0_el1 */
    { 0xd5582000, CONTEXT },                            /* msrr ttbr0_el1 */
    { 0xd5782000, PLAIN(BRANCH) },                      /* mrrs ttbr0_el1 */
    { 0xd508871f, CONTEXT },                            /* tlbi vmalle1 */
    { 0xd5488120, CONTEXT },                            /* tlbip */
    { 0xd50b7421, CONTEXT },                            /* dc zva */
    { 0xd508751f, CONTEXT },                            /* ic iallu */
    { 0xd52b7420, PLAIN(BRANCH) },                      /* sysl */

    /* Load/store exclusive register and pair */
    { 0x085f7c41, LDXR(1, 1, 2) },                      /* ldxrb w1,[x2] */
    { 0x085fffe1, LDXR(1, 1, 31) },                     /* ldaxrb w1,[sp] */
    { 0x485f7c41, LDXR(2, 1, 2) },                      /* ldxrh */
    { 0x485ffc41, LDXR(2, 1, 2) },                      /* ldaxrh */
    { 0x885f7c41, LDXR(4, 1, 2) },                      /* ldxr w1,[x2] */
    { 0xc85f7c41, LDXR(8, 1, 2) },                      /* ldxr x1,[x2] */
    { 0x885ffc41, LDXR(4, 1, 2) },                      /* ldaxr */
    { 0xc85fffff, LDXR(8, 31, 31) },                    /* ldaxr xzr,[sp] */
    { 0xc8400041, LDXR(8, 1, 2) },                      /* SBO bits are 0 */
    { 0x887f0861, LDXR(8, 1, 3, .rt2 = 2, .pair = 1) }, /* ldxp w1,w2 */
    { 0xc87f0861, LDXR(16, 1, 3, .rt2 = 2, .pair = 1) },
    { 0x887f8861, LDXR(8, 1, 3, .rt2 = 2, .pair = 1) }, /* ldaxp */
    { 0xc87ffffe, LDXR(16, 30, 31, .rt2 = 31, .pair = 1) },
    { 0x08047c41, STXR(1, 4, 1, 2) },                   /* stxrb w4,w1 */
    { 0x0804fc41, STXR(1, 4, 1, 2) },                   /* stlxrb */
    { 0x48047c41, STXR(2, 4, 1, 2) },
    { 0x4804fc41, STXR(2, 4, 1, 2) },
    { 0x88047c41, STXR(4, 4, 1, 2) },
    { 0xc8047c41, STXR(8, 4, 1, 2) },                   /* stxr w4,x1 */
    { 0x8804fc41, STXR(4, 4, 1, 2) },                   /* stlxr */
    { 0xc81fffff, STXR(8, 31, 31, 31) },                /* unpredictable */
    { 0xc8040041, STXR(8, 4, 1, 2) },                   /* SBO bits are 0 */
    { 0x88240861, STXR(8, 4, 1, 3, .rt2 = 2, .pair = 1) },
    { 0xc8240861, STXR(16, 4, 1, 3, .rt2 = 2, .pair = 1) },
    { 0x88248861, STXR(8, 4, 1, 3, .rt2 = 2, .pair = 1) },
    { 0xc83effe5, STXR(16, 30, 5, 31, .rt2 = 31, .pair = 1) },
    /* FEAT_LSUI: there are none for bytes, halfwords and pairs */
    { 0xc95f7fe9, LDXR(8, 9, 31) },                     /* ldtxr x9,[sp] */
    { 0xc95ffd6a, LDXR(8, 10, 11) },                    /* ldatxr x10 */
    { 0x891f7fe4, STXR(4, 31, 4, 31) },                 /* sttxr wzr,w4 */
    { 0xc905fce6, STXR(8, 5, 6, 7) },                   /* stltxr w5,x6 */
    { 0x495f7fe9, PLAIN(LDST) },
    { 0x897f7fe9, PLAIN(LDST) },
    /* Beside them */
    { 0x48207c82, PLAIN(LDST) },                        /* casp */
    { 0x08a07c41, PLAIN(LDST) },                        /* casb */
    { 0xc8a07c41, PLAIN(LDST) },                        /* cas */
    { 0x88e0fc41, PLAIN(LDST) },                        /* casal */
    { 0xc9807c41, PLAIN(LDST) },                        /* cast */
    { 0xc8dffc41, PLAIN(LDST) },                        /* ldar */
    { 0xc89ffc41, PLAIN(LDST) },                        /* stlr */

    /* One or more of the other groups */
    { 0xf9400041, PLAIN(LDST) },                        /* ldr */
    { 0x58000041, PLAIN(LDST) },                        /* ldr literal */
    { 0xa9bf0be1, PLAIN(LDST) },                        /* stp */
    { 0x3dc00000, PLAIN(LDST) },                        /* ldr q0 */
    { 0x4c407000, PLAIN(LDST) },                        /* ld1 */
    { 0xf8200041, PLAIN(LDST) },                        /* ldadd */
    { 0x19010440, PLAIN(LDST) },                        /* cpyfp */
    { 0x91000420, PLAIN(IMM) },                         /* add #1 */
    { 0x90000000, PLAIN(IMM) },                         /* adrp */
    { 0xd2800020, PLAIN(IMM) },                         /* movz */
    { 0x8b020020, PLAIN(REG) },                         /* add */
    { 0x9b020c20, PLAIN(REG) },                         /* madd */
    { 0x1e622820, PLAIN(SIMD) },                        /* fadd */
    { 0x9e670000, PLAIN(SIMD) },                        /* fmov */
    { 0x04215020, PLAIN(SVE) },                         /* addvl */
    { 0xa400a000, PLAIN(SVE) },                         /* ld1b z0.b */
    { 0x2518e3e0, PLAIN(SVE) },                         /* ptrue */
    { 0x80812000, PLAIN(SME) },                         /* fmopa */
    { 0xc00800ff, PLAIN(SME) },                         /* zero {za} */
    { 0x40000000, PLAIN(RESERVED) },                    /* op1 = 0b0000 */
    { 0x02000000, PLAIN(RESERVED) },                    /* op1 = 0b0001 */
    { 0xe6000000, PLAIN(RESERVED) },                    /* op1 = 0b0011 */
};

static void test_decode(void)
{
    bool cls[ARM_STEP_CLASS_MAX] = { false };
    bool group[ARM_STEP_GROUP_MAX] = { false };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ArmStepInsn insn = decode(cases[i].word);

        if (!same(&insn, &cases[i].insn)) {
            g_error("%08x: class %d group %d test %d cond %d bits %d disp %"
                    PRId64 " link %d pac %d context %d reg %d rm %d imm %d "
                    "rn %d rs %d rt2 %d pair %d size %d", cases[i].word,
                    insn.cls, insn.group, insn.test, insn.cond, insn.bits,
                    insn.disp, insn.link, insn.pac, insn.context, insn.reg,
                    insn.rm, insn.imm, insn.rn, insn.rs, insn.rt2, insn.pair,
                    insn.size);
        }
        cls[insn.cls] = true;
        group[insn.group] = true;
    }
    for (int i = 0; i < ARM_STEP_CLASS_MAX; i++) {
        g_assert_true(cls[i]);
    }
    for (int i = 0; i < ARM_STEP_GROUP_MAX; i++) {
        g_assert_true(group[i]);
    }
}

/*
 * The encodings as the Arm ARM draws them, bit 31 first, blanks aside.  An x
 * is any bit, which includes those that should be one.
 */
static const struct {
    ArmStepClass cls;
    const char *bits;
} patterns[] = {
    { ARM_STEP_BRANCH, "x 00101 xxxxxxxxxxxxxxxxxxxxxxxxxx" },      /* b */
    { ARM_STEP_BRANCH, "0101010 0 xxxxxxxxxxxxxxxxxxx x xxxx" },    /* b.c */
    { ARM_STEP_BRANCH, "x 011010 x xxxxxxxxxxxxxxxxxxx xxxxx" },    /* cbz */
    { ARM_STEP_BRANCH, "x 011011 x xxxxx xxxxxxxxxxxxxx xxxxx" },   /* tbz */
    { ARM_STEP_BRANCH, "x 1110100 0xx xxxxx 00 xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH, "x 1110100 11x xxxxx 00 xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH, "0 1110100 0xx xxxxx 1x xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH, "0 1110100 11x xxxxx 1x xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH, "x 1110101 0xx xxxxxx 0 xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH, "x 1110101 11x xxxxxx 0 xxxxxxxxx xxxxx" },
    { ARM_STEP_BRANCH_REG, "1101011 0000 11111 000000 xxxxx 00000" },
    { ARM_STEP_BRANCH_REG, "1101011 0001 11111 000000 xxxxx 00000" },
    { ARM_STEP_BRANCH_REG, "1101011 0010 11111 000000 xxxxx 00000" },
    { ARM_STEP_BRANCH_REG, "1101011 0000 11111 00001x xxxxx 11111" },
    { ARM_STEP_BRANCH_REG, "1101011 0001 11111 00001x xxxxx 11111" },
    { ARM_STEP_BRANCH_REG, "1101011 1000 11111 00001x xxxxx xxxxx" },
    { ARM_STEP_BRANCH_REG, "1101011 1001 11111 00001x xxxxx xxxxx" },
    { ARM_STEP_BRANCH_REG, "1101011 0010 11111 00001x 11111 xxxxx" },
    { ARM_STEP_BRANCH_REG, "01010101 00x xxxxxxxxxxxxxxxx 11111" },
    { ARM_STEP_ERET, "1101011 0100 11111 000000 11111 00000" },
    { ARM_STEP_ERET, "1101011 0100 11111 00001x 11111 11111" },
    { ARM_STEP_DRPS, "1101011 0101 11111 000000 11111 00000" },
    { ARM_STEP_SVC, "11010100 000 xxxxxxxxxxxxxxxx 000 01" },
    { ARM_STEP_HVC, "11010100 000 xxxxxxxxxxxxxxxx 000 10" },
    { ARM_STEP_SMC, "11010100 000 xxxxxxxxxxxxxxxx 000 11" },
    { ARM_STEP_BRK, "11010100 001 xxxxxxxxxxxxxxxx 000 00" },
    { ARM_STEP_HLT, "11010100 010 xxxxxxxxxxxxxxxx 000 00" },
    { ARM_STEP_UDF, "0000000000000000 xxxxxxxxxxxxxxxx" },
    { ARM_STEP_WFET, "11010101000000110001 0000 000 xxxxx" },
    { ARM_STEP_WFIT, "11010101000000110001 0000 001 xxxxx" },
    { ARM_STEP_YIELD, "11010101000000110010 0000 001 11111" },
    { ARM_STEP_WFE, "11010101000000110010 0000 010 11111" },
    { ARM_STEP_WFI, "11010101000000110010 0000 011 11111" },
    { ARM_STEP_CLREX, "11010101000000110011 xxxx 010 11111" },
    { ARM_STEP_MSR_DAIFSET, "1101010100000 011 0100 xxxx 110 11111" },
    { ARM_STEP_MSR_DAIFCLR, "1101010100000 011 0100 xxxx 111 11111" },
    { ARM_STEP_MSR_ALLINT_IMM, "1101010100000 001 0100 000x 000 11111" },
    { ARM_STEP_MRS_DAIF, "1101010100 1 1 1 011 0100 0010 001 xxxxx" },
    { ARM_STEP_MSR_DAIF, "1101010100 0 1 1 011 0100 0010 001 xxxxx" },
    { ARM_STEP_MRS_ALLINT, "1101010100 1 1 1 000 0100 0011 000 xxxxx" },
    { ARM_STEP_MSR_ALLINT, "1101010100 0 1 1 000 0100 0011 000 xxxxx" },
    { ARM_STEP_STXR, "xx 001000 0 0 0 xxxxx x xxxxx xxxxx xxxxx" },
    { ARM_STEP_LDXR, "xx 001000 0 1 0 xxxxx x xxxxx xxxxx xxxxx" },
    { ARM_STEP_STXR, "1x 001000 0 0 1 xxxxx x xxxxx xxxxx xxxxx" },
    { ARM_STEP_LDXR, "1x 001000 0 1 1 xxxxx x xxxxx xxxxx xxxxx" },
    { ARM_STEP_STXR, "1x 001001 0 0 0 xxxxx x xxxxx xxxxx xxxxx" },
    { ARM_STEP_LDXR, "1x 001001 0 1 0 xxxxx x xxxxx xxxxx xxxxx" },
};

/* One character of a pattern for each bit; returns the number of them */
static int read_pattern(const char *bits, uint32_t *mask, uint32_t *value)
{
    int n = 0;

    *mask = *value = 0;
    for (; *bits; bits++) {
        if (*bits != ' ') {
            *mask = *mask << 1 | (*bits != 'x');
            *value = *value << 1 | (*bits == '1');
            n++;
        }
    }
    return n;
}

static uint32_t masks[G_N_ELEMENTS(patterns)], values[G_N_ELEMENTS(patterns)];

static ArmStepClass pattern_class(uint32_t word)
{
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        if ((word & masks[i]) == values[i]) {
            return patterns[i].cls;
        }
    }
    return ARM_STEP_PLAIN;
}

/* Words of each encoding, and all words that differ from them in a bit */
static void test_patterns(void)
{
    uint32_t x = 1;

    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        g_assert_cmpint(read_pattern(patterns[i].bits, &masks[i], &values[i]),
                        ==, 32);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        for (int n = 0; n < 200; n++) {
            uint32_t word = (x & ~masks[i]) | values[i];

            g_assert_cmpint(decode(word).cls, ==, patterns[i].cls);
            for (int bit = 0; bit < 32; bit++) {
                uint32_t other = word ^ 1u << bit;

                g_assert_cmpint(decode(other).cls, ==, pattern_class(other));
            }
            x = x * 1664525 + 1013904223;
        }
    }
}

/* Where a word with these registers completes, as an offset from PC */
static int64_t next(uint32_t word, uint64_t pstate, const uint64_t *x)
{
    ArmStepBranchRegs regs = { .pc = PC, .pstate = pstate, .x = x };
    ArmStepInsn insn = decode(word);

    return arm_step_successor(&insn, &regs) - PC;
}

/* Offset of the target if it is taken, 4 if not: the words hold 8 */
static bool taken(uint32_t word, uint64_t pstate, const uint64_t *x)
{
    int64_t offset = next(word, pstate, x);

    g_assert_true(offset == 8 || offset == 4);
    return offset == 8;
}

static const uint64_t no_x[31];

/*
 * The table "Condition codes" (chapter C1): for each condition the values of
 * NZCV that it holds for, N being bit 3 of them, as a mask of 1 << NZCV.
 */
static const uint16_t conditions[16] = {
    0xf0f0, 0x0f0f,         /* EQ: Z, NE */
    0xcccc, 0x3333,         /* CS: C, CC */
    0xff00, 0x00ff,         /* MI: N, PL */
    0xaaaa, 0x5555,         /* VS: V, VC */
    0x0c0c, 0xf3f3,         /* HI: C and not Z, LS */
    0xaa55, 0x55aa,         /* GE: N = V, LT */
    0x0a05, 0xf5fa,         /* GT: N = V and not Z, LE */
    0xffff, 0xffff,         /* AL, NV */
};

static void test_successor_flags(void)
{
    for (uint32_t cond = 0; cond < 16; cond++) {
        for (uint64_t nzcv = 0; nzcv < 16; nzcv++) {
            bool want = conditions[cond] >> nzcv & 1;

            /* b.cond and bc.cond, with the rest of PSTATE clear and set */
            g_assert_true(taken(0x54000040 | cond, nzcv << 28, no_x) == want);
            g_assert_true(taken(0x54000050 | cond, nzcv << 28, no_x) == want);
            g_assert_true(taken(0x54000040 | cond,
                                nzcv << 28 | 0xffffffff0fffffff, no_x) ==
                          want);
        }
    }
}

/* cbz and cbnz of x0 or w0, and of the zero register */
static void test_successor_zero(void)
{
    static const struct {
        uint64_t x;
        bool zero;
        bool low_zero;
    } values[] = {
        { 0, true, true },
        { 1, false, false },
        { 0x80000000, false, false },
        { 0x100000000, false, true },
        { 0x8000000000000000, false, true },
        { 0xffffffff00000000, false, true },
        { UINT64_MAX, false, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        const uint64_t *x = &values[i].x;

        g_assert_true(taken(0x34000040, 0, x) == values[i].low_zero);
        g_assert_true(taken(0x35000040, 0, x) == !values[i].low_zero);
        g_assert_true(taken(0xb4000040, 0, x) == values[i].zero);
        g_assert_true(taken(0xb5000040, 0, x) == !values[i].zero);
    }
    /* No X31 must be read */
    g_assert_true(taken(0x3400005f, 0, NULL));
    g_assert_false(taken(0x3500005f, 0, NULL));
    g_assert_true(taken(0xb400005f, 0, NULL));
    g_assert_false(taken(0xb500005f, 0, NULL));
}

static void test_successor_bit(void)
{
    for (uint32_t bit = 0; bit < 64; bit++) {
        uint32_t field = bit >> 5 << 31 | (bit & 31) << 19;
        uint64_t one[31], others[31];

        for (int r = 0; r < 31; r++) {
            one[r] = 1ull << bit;
            others[r] = ~(1ull << bit);
        }
        for (uint32_t r = 0; r < 31; r++) {
            g_assert_true(taken(0x36000040 | field | r, 0, others));
            g_assert_false(taken(0x36000040 | field | r, 0, one));
            g_assert_false(taken(0x37000040 | field | r, 0, others));
            g_assert_true(taken(0x37000040 | field | r, 0, one));
        }
        g_assert_true(taken(0x3600005f | field, 0, NULL));
        g_assert_false(taken(0x3700005f | field, 0, NULL));
    }
}

/* Of FEAT_CMPBR, by cc: what C says of the operands as signed and unsigned */
static bool compare(bool imm, uint32_t cc, int64_t sa, int64_t sb,
                    uint64_t ua, uint64_t ub)
{
    switch (cc) {
    case 0:
        return sa > sb;
    case 1:
        return imm ? sa < sb : sa >= sb;
    case 2:
        return ua > ub;
    case 3:
        return imm ? ua < ub : ua >= ub;
    case 6:
        return ua == ub;
    default:
        return ua != ub;
    }
}

static const uint32_t ccs[] = { 0, 1, 2, 3, 6, 7 };

static const uint64_t operands[] = {
    0, 1, 2, 62, 63, 64, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x17f, 0x7fff, 0x8000,
    0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
    0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000001,
    0xffffffffffffff80, 0xffffffffffff8000, UINT64_MAX,
};

static void check_compare_reg(uint64_t a, uint64_t b, uint32_t cc)
{
    /* cb<cc> x4,x7,.+8 and so on */
    uint32_t word = 0x74000000 | cc << 21 | 7 << 16 | 2 << 5 | 4;
    const uint64_t x[31] = { [4] = a, [7] = b };

    g_assert_true(taken(word | 1u << 31, 0, x) ==
                  compare(false, cc, a, b, a, b));
    g_assert_true(taken(word, 0, x) ==
                  compare(false, cc, (int32_t)a, (int32_t)b, (uint32_t)a,
                          (uint32_t)b));
    g_assert_true(taken(word | 2 << 14, 0, x) ==
                  compare(false, cc, (int8_t)a, (int8_t)b, (uint8_t)a,
                          (uint8_t)b));
    g_assert_true(taken(word | 3 << 14, 0, x) ==
                  compare(false, cc, (int16_t)a, (int16_t)b, (uint16_t)a,
                          (uint16_t)b));
}

static void check_compare_imm(uint64_t a, uint32_t imm, uint32_t cc)
{
    /* cb<cc> x4,#imm,.+8 */
    uint32_t word = 0x75000000 | cc << 21 | imm << 15 | 2 << 5 | 4;
    const uint64_t x[31] = { [4] = a };

    g_assert_true(taken(word | 1u << 31, 0, x) ==
                  compare(true, cc, a, imm, a, imm));
    g_assert_true(taken(word, 0, x) ==
                  compare(true, cc, (int32_t)a, imm, (uint32_t)a, imm));
}

static void test_successor_compare(void)
{
    for (size_t c = 0; c < G_N_ELEMENTS(ccs); c++) {
        for (size_t a = 0; a < G_N_ELEMENTS(operands); a++) {
            for (size_t b = 0; b < G_N_ELEMENTS(operands); b++) {
                check_compare_reg(operands[a], operands[b], ccs[c]);
            }
            for (uint32_t imm = 0; imm < 64; imm++) {
                check_compare_imm(operands[a], imm, ccs[c]);
            }
        }
        /* xzr with xzr, wzr with an immediate */
        g_assert_true(taken(0xf41f005f | ccs[c] << 21, 0, NULL) ==
                      compare(false, ccs[c], 0, 0, 0, 0));
        g_assert_true(taken(0x7500805f | ccs[c] << 21, 0, NULL) ==
                      compare(true, ccs[c], 0, 1, 0, 1));
    }
}

/* The whole displacement, from the least to the greatest and around 0 */
static const struct {
    uint32_t word;
    int64_t offset;
} offsets[] = {
    { 0x14000000, 0 },                  /* b . */
    { 0x14000001, 4 },
    { 0x17ffffff, -4 },
    { 0x15ffffff, 0x7fffffc },
    { 0x16000000, -0x8000000 },
    { 0x96000000, -0x8000000 },         /* bl */
    { 0x547fffee, 0xffffc },            /* b.al */
    { 0x5480000f, -0x100000 },          /* b.nv */
    { 0x5400000e, 0 },
    { 0xb47fffff, 0xffffc },            /* cbz xzr */
    { 0xb480001f, -0x100000 },
    { 0x3603ffff, 0x7ffc },             /* tbz wzr,#0 */
    { 0x3604001f, -0x8000 },
    { 0xf4df1fff, 1020 },               /* cbeq xzr,xzr */
    { 0xf4df201f, -1024 },
    { 0xf5c01fff, 1020 },               /* cbeq xzr,#0 */
    { 0xf5c0201f, -1024 },
};

static void test_successor_offset(void)
{
    ArmStepInsn b = decode(0x17ffffff);
    ArmStepInsn nop = decode(0xd503201f);
    ArmStepBranchRegs regs = { .pc = 0, .x = no_x };

    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_assert_cmpint(next(offsets[i].word, 0, no_x), ==,
                        offsets[i].offset);
    }
    g_assert_cmphex(arm_step_successor(&b, &regs), ==, UINT64_MAX - 3);
    regs.pc = UINT64_MAX - 3;
    g_assert_cmphex(arm_step_successor(&nop, &regs), ==, 0);
}

static const uint32_t to_reg[] = {
    0xd61f0000, 0xd63f0000, 0xd65f0000,             /* br, blr, ret */
    0xd61f081f, 0xd61f0c1f, 0xd63f081f, 0xd63f0c1f, /* braaz and so on */
    0xd71f0800, 0xd71f0c1f, 0xd73f081f, 0xd73f0c00, /* braa and so on */
};

static const uint32_t to_x30[] = {
    0xd65f0bff, 0xd65f0fff,                         /* retaa, retab */
    0xd65f0be1, 0xd65f0fe1,                         /* retaasppcr and so on */
    0x5500001f, 0x5520003f,                         /* retaasppc and so on */
};

static void test_successor_reg(void)
{
    uint64_t x[31];

    for (int r = 0; r < 31; r++) {
        /* As it is, with tag, PAC and low bits */
        x[r] = 0x5a5a800012345601ull + r * 0x0100000100000100ull;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(to_reg); i++) {
        for (uint32_t r = 0; r < 31; r++) {
            g_assert_cmphex(next(to_reg[i] | r << 5, 0, x) + PC, ==, x[r]);
        }
        g_assert_cmphex(next(to_reg[i] | 31 << 5, 0, x) + PC, ==, 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(to_x30); i++) {
        g_assert_cmphex(next(to_x30[i], 0, x) + PC, ==, x[30]);
    }
}

/* What holds for any word; the counts are for --full */
typedef struct Counts {
    uint64_t cls[ARM_STEP_CLASS_MAX];
    uint64_t group[ARM_STEP_GROUP_MAX];
    uint64_t pac;
    uint64_t link;
    uint64_t context;
    uint64_t broken;
} Counts;

static bool check_branch(const ArmStepInsn *insn)
{
    bool reg = insn->cls == ARM_STEP_BRANCH_REG;

    if (insn->cls != ARM_STEP_BRANCH) {
        return !insn->test && !insn->cond && !insn->bits && !insn->disp &&
               !insn->rm && (reg || !insn->link) &&
               (reg || insn->cls == ARM_STEP_ERET || !insn->pac);
    }
    return insn->disp % 4 == 0 && insn->cond < 16 && !insn->pac &&
           (insn->test == ARM_STEP_TEST_NONE || !insn->link) &&
           (insn->test == ARM_STEP_TEST_REG || !insn->rm) &&
           (insn->test == ARM_STEP_TEST_IMM ||
            insn->test == ARM_STEP_TEST_REG) == !!insn->bits &&
           (insn->bits == 0 || insn->bits == 8 || insn->bits == 16 ||
            insn->bits == 32 || insn->bits == 64);
}

static bool check_invariants(const ArmStepInsn *insn)
{
    bool load = insn->cls == ARM_STEP_LDXR, store = insn->cls == ARM_STEP_STXR;

    if (insn->cls >= ARM_STEP_CLASS_MAX || insn->group >= ARM_STEP_GROUP_MAX ||
        insn->test > ARM_STEP_TEST_BIT || insn->reg > 31 || insn->rm > 31 ||
        insn->rn > 31 || insn->rs > 31 || insn->rt2 > 31 ||
        !check_branch(insn)) {
        return false;
    }
    if (insn->context && (insn->cls != ARM_STEP_PLAIN ||
                          insn->group != ARM_STEP_GROUP_BRANCH)) {
        return false;
    }
    if (load || store) {
        return insn->group == ARM_STEP_GROUP_LDST && (store || !insn->rs) &&
               (insn->pair ? insn->size == 8 || insn->size == 16 :
                insn->size && insn->size <= 8 && !insn->rt2);
    }
    return !insn->rn && !insn->rs && !insn->rt2 && !insn->pair && !insn->size;
}

static void count_words(uint64_t first, uint64_t end, uint64_t stride,
                        void *opaque)
{
    Counts *counts = opaque;
    ArmStepInsn insn;

    memset(counts, 0, sizeof(*counts));
    for (uint64_t word = first; word < end; word += stride) {
        arm_step_decode(word, &insn);
        if (!check_invariants(&insn)) {
            if (!counts->broken++) {
                fprintf(stderr, "%08" PRIx64 ": broken\n", word);
            }
            continue;
        }
        counts->cls[insn.cls]++;
        counts->group[insn.group]++;
        counts->pac += insn.pac;
        counts->link += insn.link;
        counts->context += insn.context;
    }
}

static void test_sample(void)
{
    Counts counts;

    /* A prime, so that all low bits take all values in all groups */
    count_words(0, 1ull << 32, 1997, &counts);
    g_assert_cmpuint(counts.broken, ==, 0);
}

/* Only a branch to a register can go where no instruction is */
static void test_sample_successor(void)
{
    uint64_t x[31];

    for (int r = 0; r < 31; r++) {
        x[r] = r * 0x9e3779b97f4a7c15ull | 1;
    }
    for (uint64_t word = 0; word < 1ull << 32; word += 4999) {
        bool reg = decode(word).cls == ARM_STEP_BRANCH_REG;
        int64_t offset = next(word, word * 2654435761u, x);

        g_assert_true(reg || (offset % 4 == 0 && ABS(offset) <= 0x8000000));
    }
}

/*
 * Derived from the encodings: how many values the fields have, all together
 */
static const uint64_t full_cls[ARM_STEP_CLASS_MAX] = {
    /*
     * b and bl: 26 bits; b.cond and bc.cond: 19 and 5; cbz and tbz, each with
     * the other: 24 and sf or b5; cb<cc>, for 6 of 8 cc, with registers: 2,
     * sizes 4, 9 and with an immediate: 6, sf, 9 and Rt
     */
    [ARM_STEP_BRANCH] = (1ull << 27) + (1ull << 24) + 2 * (1ull << 26) +
                        6 * (1ull << 21) + 6 * (1ull << 21),
    /*
     * br, blr, ret; the four with a zero modifier; the four with a register;
     * retaa, retab, and in the same place retaasppcr, retabsppcr; retaasppc,
     * retabsppc
     */
    [ARM_STEP_BRANCH_REG] = 3 * 32 + 4 * 32 + 4 * 1024 + 2 * 32 +
                            2 * (1ull << 16),
    [ARM_STEP_SVC] = 1ull << 16,
    [ARM_STEP_HVC] = 1ull << 16,
    [ARM_STEP_SMC] = 1ull << 16,
    [ARM_STEP_BRK] = 1ull << 16,
    [ARM_STEP_HLT] = 1ull << 16,
    [ARM_STEP_UDF] = 1ull << 16,
    [ARM_STEP_ERET] = 3,
    [ARM_STEP_DRPS] = 1,
    [ARM_STEP_WFI] = 1,
    [ARM_STEP_WFE] = 1,
    [ARM_STEP_WFIT] = 32,
    [ARM_STEP_WFET] = 32,
    [ARM_STEP_YIELD] = 1,
    [ARM_STEP_MRS_DAIF] = 32,
    [ARM_STEP_MSR_DAIF] = 32,
    [ARM_STEP_MSR_DAIFSET] = 16,
    [ARM_STEP_MSR_DAIFCLR] = 16,
    [ARM_STEP_MRS_ALLINT] = 32,
    [ARM_STEP_MSR_ALLINT] = 32,
    [ARM_STEP_MSR_ALLINT_IMM] = 2,
    /* Four registers and o0, for 4 sizes, 2 of pairs and 2 unprivileged */
    [ARM_STEP_LDXR] = 8 * (1ull << 21),
    [ARM_STEP_STXR] = 8 * (1ull << 21),
    [ARM_STEP_CLREX] = 16,
};

static const char *const cls_names[ARM_STEP_CLASS_MAX] = {
    "plain", "branch", "to-reg", "svc", "hvc", "smc", "brk", "hlt", "udf",
    "eret", "drps", "wfi", "wfe", "wfit", "wfet", "yield", "mrs-daif",
    "msr-daif", "daifset", "daifclr", "mrs-all", "msr-all", "all-imm",
    "ldxr", "stxr", "clrex",
};

/* By op1, four bits, and for two of them op0 */
static const uint64_t full_group[ARM_STEP_GROUP_MAX] = {
    [ARM_STEP_GROUP_RESERVED] = (1ull << 27) + 2 * (1ull << 28),
    [ARM_STEP_GROUP_SME] = 1ull << 27,
    [ARM_STEP_GROUP_SVE] = 1ull << 28,
    [ARM_STEP_GROUP_IMM] = 2 * (1ull << 28),
    [ARM_STEP_GROUP_BRANCH] = 2 * (1ull << 28),
    [ARM_STEP_GROUP_LDST] = 4 * (1ull << 28),
    [ARM_STEP_GROUP_REG] = 2 * (1ull << 28),
    [ARM_STEP_GROUP_SIMD] = 2 * (1ull << 28),
};

static const char *const group_names[ARM_STEP_GROUP_MAX] = {
    "RESERVED", "SME", "SVE", "IMM", "BRANCH", "LDST", "REG", "SIMD",
};

/* All ARM_STEP_BRANCH_REG but br, blr, ret; eretaa, eretab */
#define FULL_PAC (4 * 32 + 4 * 1024 + 2 * 32 + 2 * (1ull << 16) + 2)
/* bl; blr; blraaz, blrabz; blraa, blrab */
#define FULL_LINK ((1ull << 26) + 32 + 2 * 32 + 2 * 1024)
/* op0 is not 0, 14 bits name the register, 5 are Rt; not DAIF and ALLINT */
#define FULL_CONTEXT (2 * 3 * (1ull << 19) - 2 * 32)

static int full_report(const Counts *counts)
{
    uint64_t plain = 1ull << 32;
    int failed = 0;

    for (int i = 1; i < ARM_STEP_CLASS_MAX; i++) {
        failed += step_check_count(cls_names[i], counts->cls[i], full_cls[i]);
        plain -= full_cls[i];
    }
    failed += step_check_count(cls_names[0], counts->cls[0], plain);
    for (int i = 0; i < ARM_STEP_GROUP_MAX; i++) {
        failed += step_check_count(group_names[i], counts->group[i], full_group[i]);
    }
    failed += step_check_count("pac", counts->pac, FULL_PAC);
    failed += step_check_count("link", counts->link, FULL_LINK);
    failed += step_check_count("context", counts->context, FULL_CONTEXT);
    failed += step_check_count("broken", counts->broken, 0);
    printf("%d passed, %d failed\n",
           ARM_STEP_CLASS_MAX + ARM_STEP_GROUP_MAX + 4 - failed, failed);
    return failed != 0;
}

static int full_walk(int n)
{
    Counts sum;

    return !step_count_all(count_words, n, &sum, sizeof(sum)) ||
           full_report(&sum);
}

/* Exact where the fields are what they are taken for */
static void test_writes(void)
{
    static const struct {
        uint32_t word;
        uint32_t writes;
    } cases[] = {
        { 0xa8c10be1, 0x80000006 }, /* ldp x1, x2, [sp], #16 */
        { 0xf9000763, 0x00000008 }, /* str x3, [x27, #8] */
        { 0xf8408d24, 0x00000210 }, /* ldr x4, [x9, #8]! */
        { 0xf86a6924, 0x00000410 }, /* ldr x4, [x9, x10]: the offset, too */
        { 0x94000000, 0x40000000 }, /* bl */
        { 0x14000000, 0x00000000 }, /* b */
        { 0xd63f00a0, 0x40000000 }, /* blr x5 */
        { 0xb4000003, 0x00000000 }, /* cbz x3 */
        { 0xd4000001, 0x00000000 }, /* svc #0 */
        { 0xd4000002, 0xffffffff }, /* hvc #0 */
        { 0xd4200000, 0x00000000 }, /* brk #0 */
        { 0x00000000, 0x00000000 }, /* udf #0 */
        { 0xd53bd045, 0x00000060 }, /* mrs x5, tpidr_el0: as mrrs */
        { 0xd51bd045, 0x00000000 }, /* msr tpidr_el0, x5 */
        { 0xd50342df, 0x00000000 }, /* msr daifset, #2 */
        { 0xd503233f, 0x40038000 }, /* paciasp: as all hints */
        { 0xd503207f, 0x40038000 }, /* wfi */
        { 0x9100403f, 0x80000000 }, /* add sp, x1, #16 */
        { 0xcb090107, 0x00000080 }, /* sub x7, x8, x9 */
        { 0x48227cc4, 0x8000007c }, /* casp x2, x3, x4, x5, [x6] */
        { 0xf82200c3, 0x0000000c }, /* ldadd x2, x3, [x6] */
        { 0xc8027cc3, 0x8000005c }, /* stxr w2, x3, [x6] */
        { 0xc87f20c7, 0x800001c0 }, /* ldxp x7, x8, [x6] */
        { 0xf83fd0c8, 0xffffffff }, /* ld64b x8, [x6] */
        { 0x9e660069, 0x00000200 }, /* fmov x9, d3 */
        { 0x5800000b, 0x00001803 }, /* ldr x11, =: fields of the offset, too */
        { 0x4cdf7180, 0x90001003 }, /* ld1 {v0.16b}, [x12], #16: likewise */
        { 0x25208000, 0xffffffff }, /* SVE */
        /* FEAT_PAuth_LR: to X30, to X17, or to nothing */
        { 0xf380009f, 0xc0000000 }, /* autiasppc: and the field, SP */
        { 0xf3a000bf, 0xc0000000 }, /* autibsppc */
        { 0xdac1907e, 0x40000000 }, /* autiasppcr x3 */
        { 0xdac1947e, 0x40000000 }, /* autibsppcr x3 */
        { 0xdac1a3fe, 0x40000000 }, /* paciasppc */
        { 0xdac1a7fe, 0x40000000 }, /* pacibsppc */
        { 0xdac183fe, 0x40000000 }, /* pacnbiasppc */
        { 0xdac187fe, 0x40000000 }, /* pacnbibsppc */
        { 0xdac18bfe, 0x40020000 }, /* pacia171615: and the field, X30 */
        { 0xdac18ffe, 0x40020000 }, /* pacib171615 */
        { 0xdac1bbfe, 0x40020000 }, /* autia171615 */
        { 0xdac1bffe, 0x40020000 }, /* autib171615 */
        { 0xdac10fe3, 0x00000008 }, /* pacdb x3, sp: no X17 */
        { 0xd65f0be3, 0x00000000 }, /* retaasppcr x3 */
        { 0x5500005f, 0x00000000 }, /* retaasppc */
        { 0xd50324ff, 0x40038000 }, /* pacm: as all hints */
        /* Of the group of branches, and not described: perhaps any register */
        { 0xd5920b28, 0xffffffff }, /* tchangef x8, #0x59, nb (FEAT_S1POE2) */
        { 0xd69f03e0, 0x00000000 }, /* eret */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ArmStepInsn insn;

        arm_step_decode(cases[i].word, &insn);
        g_assert_cmphex(arm_step_writes(&insn, cases[i].word), ==,
                        cases[i].writes);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--full")) {
        int n = argc > 3 && !strcmp(argv[2], "-j") ? atoi(argv[3]) : 2;

        return full_walk(CLAMP(n, 1, 64));
    }

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arm/step-decode/decode", test_decode);
    g_test_add_func("/arm/step-decode/patterns", test_patterns);
    g_test_add_func("/arm/step-decode/successor/flags", test_successor_flags);
    g_test_add_func("/arm/step-decode/successor/zero", test_successor_zero);
    g_test_add_func("/arm/step-decode/successor/bit", test_successor_bit);
    g_test_add_func("/arm/step-decode/successor/compare",
                    test_successor_compare);
    g_test_add_func("/arm/step-decode/successor/offset",
                    test_successor_offset);
    g_test_add_func("/arm/step-decode/successor/reg", test_successor_reg);
    g_test_add_func("/arm/step-decode/writes", test_writes);
    g_test_add_func("/arm/step-decode/sample", test_sample);
    g_test_add_func("/arm/step-decode/sample/successor",
                    test_sample_successor);
    return g_test_run();
}
