/*
 * Tests of the PowerPC instruction description
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * Without arguments (or with GTest's): cases written from the Power ISA and a
 * sample of all words.  With --full [-j N]: all 2^32 words, in N processes;
 * the number of words of each class must be what the encodings say.
 */

#define FX  (PPC_STEP_INT_FETCH | PPC_STEP_INT_PROGRAM | \
             PPC_STEP_INT_FACILITY)
#define LS  (FX | PPC_STEP_INT_DATA)
#define FP  PPC_STEP_INT_FP
#define VEC PPC_STEP_INT_VEC
#define VSX (PPC_STEP_INT_VSX | PPC_STEP_INT_VEC | PPC_STEP_INT_FP)
#define ALL PPC_STEP_INT_ALL

static PPCStepInsn decode2(uint32_t word, uint32_t suffix)
{
    PPCStepInsn insn;

    memset(&insn, 0xa5, sizeof(insn));
    ppc_step_decode(word, suffix, &insn);
    return insn;
}

static PPCStepInsn decode(uint32_t word)
{
    return decode2(word, 0xffffffff);
}

/* Class, interrupts, and reg/spr/l where they mean something */
static const struct {
    uint32_t word;
    PPCStepClass cls;
    uint8_t interrupts;
    int reg;
    int spr;
    int l;
} class_cases[] = {
    { 0x00000000, PPC_STEP_PLAIN, ALL, 0, 0, 0 },
    { 0x00000200, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* attn */
    { 0x14000000, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* opcode 5 */
    { 0x60000000, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* nop */
    { 0x7fe00008, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* trap */
    { 0x0fe00000, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* twui r0,0 */
    { 0x08600000, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* tdi */
    { 0x7c221a14, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* add r1,r2,r3 */
    { 0x7c221e15, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* addo. */
    { 0x7c2217de, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* isel, BC = 31 */
    { 0x7c0004ac, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* sync */
    { 0x4c00012c, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* isync */
    { 0x4c600004, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* addpcis r3,0 */
    { 0x4c7fffc5, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* addpcis r3,-1 */
    { 0xfc20002a, PPC_STEP_PLAIN, FX | VSX, 0, 0, 0 },  /* fadd */
    { 0xec20002a, PPC_STEP_PLAIN, FX | VSX, 0, 0, 0 },  /* fadds */
    { 0x10221884, PPC_STEP_PLAIN, FX | VEC, 0, 0, 0 },  /* vslw/any */
    { 0xf0221800, PPC_STEP_PLAIN, FX | VSX, 0, 0, 0 },  /* xsaddsp */
    { 0x7c600066, PPC_STEP_PLAIN, FX | VSX, 0, 0, 0 },  /* mfvsrd */
    { 0x7c21180c, PPC_STEP_PLAIN, FX | VEC, 0, 0, 0 },  /* lvsl */
    { 0x44000002, PPC_STEP_SC, FX, 0, 0, 0 },           /* sc */
    { 0x44000003, PPC_STEP_SC, FX, 0, 0, 0 },           /* reserved bit 31 */
    { 0x47fff002, PPC_STEP_SC, FX, 0, 0, 0 },           /* bits 6:19 */
    { 0x44000022, PPC_STEP_HCALL, FX, 0, 0, 1 },        /* sc 1 */
    { 0x44000042, PPC_STEP_HCALL, FX, 0, 0, 2 },        /* sc 2 */
    { 0x44000062, PPC_STEP_HCALL, FX, 0, 0, 3 },        /* sc 3 */
    { 0x44000082, PPC_STEP_SC, FX, 0, 0, 4 },           /* sc 4 */
    { 0x44000fe2, PPC_STEP_HCALL, FX, 0, 0, 127 },      /* sc 127 */
    { 0x44000001, PPC_STEP_SCV, FX, 0, 0, 0 },          /* scv 0 */
    { 0x44000021, PPC_STEP_SCV, FX, 0, 0, 1 },          /* scv 1 */
    { 0x44000fe1, PPC_STEP_SCV, FX, 0, 0, 127 },        /* scv 127 */
    { 0x44000000, PPC_STEP_PLAIN, ALL, 0, 0, 0 },
    { 0x4c000024, PPC_STEP_RFID, FX, 0, 0, 0 },
    { 0x4ffff825, PPC_STEP_RFID, FX, 0, 0, 0 },         /* reserved bits */
    { 0x4c0000a4, PPC_STEP_RFSCV, FX, 0, 0, 0 },
    { 0x4c000124, PPC_STEP_RFEBB, FX, 0, 0, 0 },
    { 0x4c000924, PPC_STEP_RFEBB, FX, 0, 0, 0 },        /* rfebb 1 */
    { 0x4c000224, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* hrfid */
    { 0x4c000264, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* urfid */
    { 0x4c0002e4, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* stop */
    { 0x7fe000a6, PPC_STEP_MFMSR, FX, 31, 0, 0 },
    { 0x7c1ff8a7, PPC_STEP_MFMSR, FX, 0, 0, 0 },        /* reserved bits */
    { 0x7ca00124, PPC_STEP_MTMSR, FX, 5, 0, 0 },
    { 0x7ca10124, PPC_STEP_MTMSR, FX, 5, 0, 1 },
    { 0x7cbeF925, PPC_STEP_MTMSR, FX, 5, 0, 0 },        /* reserved bits */
    { 0x7ca00164, PPC_STEP_MTMSRD, FX, 5, 0, 0 },
    { 0x7ca10164, PPC_STEP_MTMSRD, FX, 5, 0, 1 },
    { 0x7d3a02a6, PPC_STEP_MFSRR, FX, 9, 26, 0 },       /* mfsrr0 r9 */
    { 0x7d3b02a6, PPC_STEP_MFSRR, FX, 9, 27, 0 },       /* mfsrr1 r9 */
    { 0x7d3b02a7, PPC_STEP_MFSRR, FX, 9, 27, 0 },       /* reserved bit */
    { 0x7d3a02e6, PPC_STEP_MFSRR, FX, 9, 26, 0 },       /* mftb r9,26 */
    { 0x7d3a03a6, PPC_STEP_MTSRR, FX, 9, 26, 0 },       /* mtsrr0 r9 */
    { 0x7d3b03a6, PPC_STEP_MTSRR, FX, 9, 27, 0 },       /* mtsrr1 r9 */
    { 0x7d2802a6, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* mflr */
    { 0x7d3a0aa6, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* SPR 58 */
    { 0x7d3a4ba6, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* mthsrr0 */
    { 0x7d2c42e6, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* mftb */
    { 0x7c011828, PPC_STEP_LARX, LS, 0, 0, 0 },         /* lwarx */
    { 0x7c011829, PPC_STEP_LARX, LS, 0, 0, 0 },         /* EH = 1 */
    { 0x7c011868, PPC_STEP_LARX, LS, 0, 0, 0 },         /* lbarx */
    { 0x7c0118e8, PPC_STEP_LARX, LS, 0, 0, 0 },         /* lharx */
    { 0x7c0118a8, PPC_STEP_LARX, LS, 0, 0, 0 },         /* ldarx */
    { 0x7c011a28, PPC_STEP_LARX, LS, 0, 0, 0 },         /* lqarx */
    { 0x7c01192d, PPC_STEP_STCX, LS, 0, 0, 0 },         /* stwcx. */
    { 0x7c0119ad, PPC_STEP_STCX, LS, 0, 0, 0 },         /* stdcx. */
    { 0x7c01196d, PPC_STEP_STCX, LS, 0, 0, 0 },         /* stqcx. */
    { 0x7c011d6d, PPC_STEP_STCX, LS, 0, 0, 0 },         /* stbcx. */
    { 0x7c011dad, PPC_STEP_STCX, LS, 0, 0, 0 },         /* sthcx. */
    { 0x48000000, PPC_STEP_BRANCH, FX, 0, 0, 0 },       /* b . */
    { 0x40820008, PPC_STEP_BRANCH, FX, 0, 0, 0 },       /* bne */
    { 0x4e800020, PPC_STEP_BRANCH, FX, 0, 0, 0 },       /* blr */
    { 0x4e800420, PPC_STEP_BRANCH, FX, 0, 0, 0 },       /* bctr */
    { 0x4e800460, PPC_STEP_BRANCH, FX, 0, 0, 0 },       /* btar */
    { 0x7c03048c, PPC_STEP_PLAIN, LS, 0, 0, 0 },        /* lwat */
    { 0x7c20060c, PPC_STEP_PLAIN, LS, 0, 0, 0 },        /* copy */
    { 0x7c01022c, PPC_STEP_PLAIN, FX, 0, 0, 0 },        /* dcbt */
    { 0x7c000264, PPC_STEP_PLAIN, ALL, 0, 0, 0 },       /* tlbie */
};

static void test_class(void)
{
    bool seen[PPC_STEP_CLASS_MAX] = { false };

    for (size_t i = 0; i < G_N_ELEMENTS(class_cases); i++) {
        PPCStepInsn insn = decode(class_cases[i].word);

        if (insn.cls != class_cases[i].cls ||
            insn.interrupts != class_cases[i].interrupts ||
            insn.reg != class_cases[i].reg ||
            insn.spr != class_cases[i].spr ||
            insn.l != class_cases[i].l ||
            insn.length != 4) {
            g_error("%08x: class %d interrupts %02x reg %d spr %d l %d",
                    class_cases[i].word, insn.cls, insn.interrupts,
                    insn.reg, insn.spr, insn.l);
        }
        seen[insn.cls] = true;
    }
    for (int i = 0; i < PPC_STEP_CLASS_MAX; i++) {
        g_assert_true(seen[i]);
    }
}

/*
 * What may change translation beside MSR: the process, the SLB, a hypercall,
 * and whatever is not known.
 */
static const struct {
    uint32_t word;
    uint32_t suffix;
    bool context;
} context_cases[] = {
    { 0x7cb00ba6, 0, true },                /* mtspr PIDR,r5 */
    { 0x7cb00ba7, 0, true },                /* reserved bit */
    { 0x44000022, 0, true },                /* sc 1 */
    { 0x44000042, 0, true },                /* sc 2 */
    { 0x7c602324, 0, true },                /* slbmte r3,r4 */
    { 0x7c001b64, 0, true },                /* slbie r3 */
    { 0x7c0003e4, 0, true },                /* slbia */
    { 0x7c6023a4, 0, true },                /* slbieg r3,r4 */
    { 0x7c0002a4, 0, true },                /* slbsync */
    { 0x7c801a64, 0, true },                /* tlbie r3,r4 */
    { 0x7c001a24, 0, true },                /* tlbiel r3 */
    { 0x4c000224, 0, true },                /* hrfid */
    { 0x00000000, 0, true },
    { 0x14000000, 0, true },                /* opcode 5 */
    { 0x44000000, 0, true },                /* neither sc nor scv */
    { 0x04800000, 0xe4230010, true },       /* prefixed, subtype 1 */
    { 0x06000000, 0x84230010, true },       /* prefixed, no such suffix */
    { 0x07900000, 0xe8000000, true },

    { 0x60000000, 0, false },               /* nop */
    { 0x38210010, 0, false },               /* addi */
    { 0x80610000, 0, false },               /* lwz */
    { 0xf8610008, 0, false },               /* std */
    { 0xc8210000, 0, false },               /* lfd */
    { 0x7c232698, 0, false },               /* lxvd2x */
    { 0x7c232798, 0, false },               /* stxvd2x */
    { 0xf4230019, 0, false },               /* lxv */
    { 0x18430021, 0, false },               /* stxvp */
    { 0xf0221800, 0, false },               /* xsaddsp */
    { 0x7c2320ce, 0, false },               /* lvx */
    { 0x7c0327ec, 0, false },               /* dcbz */
    { 0x7ca01828, 0, false },               /* lwarx */
    { 0x7cc0192d, 0, false },               /* stwcx. */
    { 0x7c20060c, 0, false },               /* copy */
    { 0x44000002, 0, false },               /* sc */
    { 0x44000001, 0, false },               /* scv 0 */
    { 0x48000010, 0, false },               /* b */
    { 0x4e800020, 0, false },               /* blr */
    { 0x4c000024, 0, false },               /* rfid: MSR is another matter */
    { 0x7ca00164, 0, false },               /* mtmsrd */
    { 0x7cba03a6, 0, false },               /* mtspr SRR0 */
    { 0x7c6903a6, 0, false },               /* mtctr */
    { 0x7c700aa6, 0, false },               /* mfspr PIDR */
    { 0x7c0004ac, 0, false },               /* sync */
    { 0x04000000, 0xe4640010, false },      /* pld */
    { 0x04000000, 0xc8230010, false },      /* plxv */
    { 0x06000000, 0x38630001, false },      /* paddi */
    { 0x05000000, 0x80000000, false },      /* xxsplti32dx */
    { 0x07000000, 0x00000000, false },      /* pnop */
};

static void test_context(void)
{
    int wrong = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(context_cases); i++) {
        uint32_t word = context_cases[i].word;
        bool want = context_cases[i].context;

        if (decode2(word, context_cases[i].suffix).context != want) {
            g_test_message("%08x %08x: context should be %d", word,
                           context_cases[i].suffix, want);
            wrong++;
        }
    }
    g_assert_cmpint(wrong, ==, 0);
    /* Of all SPRs one, and to write it (Book III, 5.4.4 and 6.7.1) */
    for (uint32_t spr = 0; spr < 1024; spr++) {
        uint32_t field = (spr & 31) << 16 | (spr >> 5) << 11;

        g_assert_true(decode(0x7ca003a6 | field).context == (spr == 48));
        g_assert_false(decode(0x7ca002a6 | field).context);
        g_assert_false(decode(0x7ca002e6 | field).context);     /* mftb */
    }
}

/*
 * Book I, 2.4, the table of BO encodings: what it takes to branch.  z bits
 * (hints and ignored ones) are enumerated by the mask.
 */
static const struct {
    uint8_t bo;
    uint8_t mask;
    int ctr;        /* 0: not tested, 1: CTR - 1 is not 0, 2: it is 0 */
    int cr;         /* -1: not tested, else the value of the CR bit */
} bo_cases[] = {
    { 0x00, 0x1e, 1, 0 },       /* 0000z */
    { 0x02, 0x1e, 2, 0 },       /* 0001z */
    { 0x04, 0x1c, 0, 0 },       /* 001at */
    { 0x08, 0x1e, 1, 1 },       /* 0100z */
    { 0x0a, 0x1e, 2, 1 },       /* 0101z */
    { 0x0c, 0x1c, 0, 1 },       /* 011at */
    { 0x10, 0x16, 1, -1 },      /* 1a00t */
    { 0x12, 0x16, 2, -1 },      /* 1a01t */
    { 0x14, 0x14, 0, -1 },      /* 1z1zz */
};

/* The five ways to a target, with LK = 1 */
enum { WAY_REL, WAY_ABS, WAY_LR, WAY_CTR, WAY_TAR, WAY_MAX };

static const uint32_t way_words[WAY_MAX] = {
    [WAY_REL] = 0x40008001,
    [WAY_ABS] = 0x40008003,
    [WAY_LR] = 0x4c000021,
    [WAY_CTR] = 0x4c000421,
    [WAY_TAR] = 0x4c000461,
};

static const uint64_t ctr_values[] = {
    0, 1, 2, 0x100000000, 0x100000001, 0x8000000000000000, UINT64_MAX,
};

static bool bo_taken(int c, int way, uint64_t ctr, bool cr_bit, bool sf)
{
    /* The invalid decrementing bcctr tests CTR as it was */
    uint64_t left = way == WAY_CTR ? ctr : ctr - 1;

    if (!sf) {
        left &= 0xffffffff;
    }
    return (bo_cases[c].ctr == 0 ||
            (bo_cases[c].ctr == 1 && left != 0) ||
            (bo_cases[c].ctr == 2 && left == 0)) &&
           (bo_cases[c].cr < 0 || bo_cases[c].cr == cr_bit);
}

static void check_bc(int c, int bo, int bi, int way, uint64_t ctr,
                     bool cr_bit, bool sf)
{
    uint32_t only = 0x80000000u >> bi;
    PPCStepBranchRegs regs = {
        .pc = 0xfedcba9876543210, .lr = 0xc00000001234567b, .ctr = ctr,
        .tar = 0x7fffffff89abcdee, .cr = cr_bit ? only : ~only, .sf = sf,
    };
    /* BD = 0x8000 is -32768 */
    uint64_t targets[WAY_MAX] = {
        [WAY_REL] = 0xfedcba987653b210,
        [WAY_ABS] = 0xffffffffffff8000,
        [WAY_LR] = 0xc000000012345678,
        [WAY_CTR] = ctr - ctr % 4,
        [WAY_TAR] = 0x7fffffff89abcdec,
    };
    PPCStepInsn insn = decode(way_words[way] | bo << 21 | bi << 16);
    uint64_t want = bo_taken(c, way, ctr, cr_bit, sf) ? targets[way] :
                    0xfedcba9876543214;

    g_assert_cmpint(insn.cls, ==, PPC_STEP_BRANCH);
    g_assert_cmpint(insn.bo, ==, bo);
    g_assert_cmpint(insn.bi, ==, bi);
    g_assert_true(insn.link);
    g_assert_cmphex(ppc_step_successor(&insn, &regs), ==,
                    sf ? want : want & 0xffffffff);
}

static void test_successor_bc(void)
{
    int done = 0;

    for (size_t c = 0; c < G_N_ELEMENTS(bo_cases); c++) {
        for (int bo = 0; bo < 32; bo++) {
            if ((bo & bo_cases[c].mask) != bo_cases[c].bo) {
                continue;
            }
            done++;
            for (int n = 0; n < 32 * WAY_MAX * 4; n++) {
                for (size_t v = 0; v < G_N_ELEMENTS(ctr_values); v++) {
                    check_bc(c, bo, n & 31, (n >> 7) % WAY_MAX,
                             ctr_values[v], n >> 5 & 1, n >> 6 & 1);
                }
            }
        }
    }
    /* Each BO is in one line of the table */
    g_assert_cmpint(done, ==, 32);
}

static const struct {
    uint32_t word;
    PPCStepBranch branch;
    int64_t disp;
    bool link;
    bool sf;
    uint64_t pc;
    uint64_t next;
} b_cases[] = {
    { 0x48000000, PPC_STEP_BRANCH_REL, 0, 0, 1, 0x1000, 0x1000 },
    { 0x48000005, PPC_STEP_BRANCH_REL, 4, 1, 1, 0x1000, 0x1004 },
    { 0x4bfffffc, PPC_STEP_BRANCH_REL, -4, 0, 1, 0x1000, 0xffc },
    { 0x4a000001, PPC_STEP_BRANCH_REL, -0x2000000, 1, 1,
      0xc000000000000000, 0xbffffffffe000000 },
    { 0x49fffffc, PPC_STEP_BRANCH_REL, 0x1fffffc, 0, 1,
      0xc000000000000000, 0xc000000001fffffc },
    { 0x48000102, PPC_STEP_BRANCH_ABS, 0x100, 0, 1, 0x1000, 0x100 },
    { 0x4bfffff3, PPC_STEP_BRANCH_ABS, -16, 1, 1, 0x1000,
      0xfffffffffffffff0 },
    { 0x4bfffff2, PPC_STEP_BRANCH_ABS, -16, 0, 0, 0x1000, 0xfffffff0 },
    { 0x4bfffff0, PPC_STEP_BRANCH_REL, -16, 0, 0, 0x8, 0xfffffff8 },
    { 0x48000010, PPC_STEP_BRANCH_REL, 16, 0, 0, 0xfffffff8, 0x8 },
    { 0x48000010, PPC_STEP_BRANCH_REL, 16, 0, 1, 0xfffffff8, 0x100000008 },
    { 0x48000010, PPC_STEP_BRANCH_REL, 16, 0, 1, UINT64_MAX - 7, 0x8 },
};

static void test_successor_b(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(b_cases); i++) {
        PPCStepInsn insn = decode(b_cases[i].word);
        PPCStepBranchRegs regs = {
            .pc = b_cases[i].pc, .sf = b_cases[i].sf,
        };

        g_assert_cmpint(insn.cls, ==, PPC_STEP_BRANCH);
        g_assert_cmpint(insn.branch, ==, b_cases[i].branch);
        g_assert_cmpint(insn.disp, ==, b_cases[i].disp);
        g_assert_cmpint(insn.bo, ==, 0x14);
        g_assert_cmpint(insn.link, ==, b_cases[i].link);
        g_assert_cmphex(ppc_step_successor(&insn, &regs), ==,
                        b_cases[i].next);
    }
}

static void test_successor_next(void)
{
    PPCStepBranchRegs regs = { .pc = 0xfffffffc, .sf = true };
    PPCStepInsn nop = decode(0x60000000);
    PPCStepInsn pnop = decode2(0x07000000, 0);

    g_assert_cmpint(pnop.length, ==, 8);
    g_assert_cmphex(ppc_step_successor(&nop, &regs), ==, 0x100000000);
    g_assert_cmphex(ppc_step_successor(&pnop, &regs), ==, 0x100000004);
    regs.sf = false;
    g_assert_cmphex(ppc_step_successor(&nop, &regs), ==, 0);
    g_assert_cmphex(ppc_step_successor(&pnop, &regs), ==, 4);
}

/*
 * r0 is 0xbad00000, so that RA = 0 taken for r0 shows; r3 is 0x1007, r4 is
 * 0x20, r5 is -8, r6 is 0x1ffffffff; the address is 0xc000000000001000.
 */
#define EA_PC 0xc000000000001000ull

static const uint64_t ea_gpr[32] = {
    [0] = 0xbad00000, [3] = 0x1007, [4] = 0x20, [5] = -8ull,
    [6] = 0x1ffffffff,
};

static const struct {
    uint32_t word;
    uint32_t suffix;
    uint8_t interrupts;
    uint8_t size;       /* 0: @mem is false */
    uint64_t ea;        /* in 64-bit mode */
} ea_cases[] = {
    /* D-form */
    { 0x80230004, 0, LS, 4, 0x100b },               /* lwz r1,4(r3) */
    { 0x8023fff8, 0, LS, 4, 0xfff },                /* lwz r1,-8(r3) */
    { 0x80208000, 0, LS, 4, -0x8000ull },           /* lwz r1,-32768(0) */
    { 0x84230004, 0, LS, 4, 0x100b },               /* lwzu */
    { 0x84200004, 0, LS, 0, 0 },                    /* lwzu, RA = 0 */
    { 0x88257fff, 0, LS, 1, 0x7ff7 },               /* lbz r1,32767(r5) */
    { 0x8c250008, 0, LS, 1, 0 },                    /* lbzu r1,8(r5) */
    { 0x94230004, 0, LS, 4, 0x100b },               /* stwu */
    { 0x90230004, 0, LS, 4, 0x100b },               /* stw */
    { 0x98230004, 0, LS, 1, 0x100b },               /* stb */
    { 0xa0230001, 0, LS, 2, 0x1008 },               /* lhz */
    { 0xa8230001, 0, LS, 2, 0x1008 },               /* lha */
    { 0xb0230001, 0, LS, 2, 0x1008 },               /* sth */
    { 0xbba30000, 0, LS, 128, 0x1007 },             /* lmw */
    { 0xbfa30000, 0, LS, 128, 0x1007 },             /* stmw */
    { 0xc0230008, 0, LS | FP, 4, 0x100f },          /* lfs */
    { 0xc8230008, 0, LS | FP, 8, 0x100f },          /* lfd */
    { 0xcc230008, 0, LS | FP, 8, 0x100f },          /* lfdu */
    { 0xd0230008, 0, LS | FP, 4, 0x100f },          /* stfs */
    { 0xd8230008, 0, LS | FP, 8, 0x100f },          /* stfd */
    /* DS-form and DQ-form: the low bits are not displacement */
    { 0xe823fffc, 0, LS, 8, 0x1003 },               /* ld r1,-4(r3) */
    { 0xe823fffd, 0, LS, 8, 0x1003 },               /* ldu */
    { 0xe820fffd, 0, LS, 0, 0 },                    /* ldu, RA = 0 */
    { 0xe823fffe, 0, LS, 4, 0x1003 },               /* lwa */
    { 0xf8230010, 0, LS, 8, 0x1017 },               /* std */
    { 0xf8230011, 0, LS, 8, 0x1017 },               /* stdu */
    { 0xf8430012, 0, LS, 16, 0x1017 },              /* stq */
    { 0xe043fff0, 0, LS, 16, 0xff7 },               /* lq r2,-16(r3) */
    { 0xe043ffff, 0, LS, 16, 0xff7 },               /* reserved bits */
    { 0xe4430008, 0, LS | VSX, 16, 0x100f },        /* lfdp */
    { 0xe443000a, 0, LS | VSX, 8, 0x100f },         /* lxsd */
    { 0xe443000b, 0, LS | VSX, 4, 0x100f },         /* lxssp */
    { 0xf443000c, 0, LS | VSX, 16, 0x1013 },        /* stfdp */
    { 0xf443000e, 0, LS | VSX, 8, 0x1013 },         /* stxsd */
    { 0xf443000f, 0, LS | VSX, 4, 0x1013 },         /* stxssp */
    { 0xf4430019, 0, LS | VSX, 16, 0x1017 },        /* lxv, TX = 1 */
    { 0xf443fff5, 0, LS | VSX, 16, 0xff7 },         /* stxv */
    { 0x18430020, 0, LS | VSX, 32, 0x1027 },        /* lxvp */
    { 0x1843ffe1, 0, LS | VSX, 32, 0xfe7 },         /* stxvp */
    /* X-form */
    { 0x7c23202e, 0, LS, 4, 0x1027 },               /* lwzx r1,r3,r4 */
    { 0x7c23282e, 0, LS, 4, 0xfff },                /* lwzx r1,r3,r5 */
    { 0x7c20282e, 0, LS, 4, -8ull },                /* lwzx r1,0,r5 */
    { 0x7c24002e, 0, LS, 4, 0xbad00020 },           /* lwzx r1,r4,r0 */
    { 0x7c23206e, 0, LS, 4, 0x1027 },               /* lwzux */
    { 0x7c20206e, 0, LS, 0, 0 },                    /* lwzux, RA = 0 */
    { 0x7c23202a, 0, LS, 8, 0x1027 },               /* ldx */
    { 0x7c2320ae, 0, LS, 1, 0x1027 },               /* lbzx */
    { 0x7c23222e, 0, LS, 2, 0x1027 },               /* lhzx */
    { 0x7c2322aa, 0, LS, 4, 0x1027 },               /* lwax */
    { 0x7c23212a, 0, LS, 8, 0x1027 },               /* stdx */
    { 0x7c232428, 0, LS, 8, 0x1027 },               /* ldbrx */
    { 0x7c23242c, 0, LS, 4, 0x1027 },               /* lwbrx */
    { 0x7c23262c, 0, LS, 2, 0x1027 },               /* lhbrx */
    { 0x7c232528, 0, LS, 8, 0x1027 },               /* stdbrx */
    { 0x7c2324aa, 0, LS, 32, 0x1007 },              /* lswi r1,r3,4 */
    { 0x7c2325aa, 0, LS, 32, 0x1007 },              /* stswi */
    { 0x7c23242a, 0, LS, 128, 0x1027 },             /* lswx */
    { 0x7c23252a, 0, LS, 128, 0x1027 },             /* stswx */
    { 0x7c232028, 0, LS, 4, 0x1027 },               /* lwarx */
    { 0x7c23216d, 0, LS, 16, 0x1027 },              /* stqcx. */
    { 0x7c23242e, 0, LS | FP, 4, 0x1027 },          /* lfsx */
    { 0x7c2326ae, 0, LS | FP, 4, 0x1027 },          /* lfiwax */
    { 0x7c4325ae, 0, LS | FP, 8, 0x1027 },          /* stfdx */
    { 0x7c2320ce, 0, LS | VEC, 16, 0x1020 },        /* lvx */
    { 0x7c2322ce, 0, LS | VEC, 16, 0x1020 },        /* lvxl */
    { 0x7c2321ce, 0, LS | VEC, 16, 0x1020 },        /* stvx */
    { 0x7c23200e, 0, LS | VEC, 1, 0x1027 },         /* lvebx */
    { 0x7c23204e, 0, LS | VEC, 2, 0x1026 },         /* lvehx */
    { 0x7c23218e, 0, LS | VEC, 4, 0x1024 },         /* stvewx */
    { 0x7c232698, 0, LS | VSX, 16, 0x1027 },        /* lxvd2x */
    { 0x7c232218, 0, LS | VSX, 16, 0x1027 },        /* lxvx */
    { 0x7c232258, 0, LS | VSX, 16, 0x1027 },        /* reserved bit 25 */
    { 0x7c23221a, 0, LS | VSX, 16, 0x1007 },        /* lxvl: (RA|0) */
    { 0x7c20235a, 0, LS | VSX, 16, 0 },             /* stxvll, RA = 0 */
    { 0x7c23229a, 0, LS | VSX, 32, 0x1027 },        /* lxvpx */
    { 0x7c23201a, 0, LS | VSX, 1, 0x1027 },         /* lxvrbx */
    { 0x7c0327ec, 0, LS, 128, 0x1000 },             /* dcbz */
    { 0x7c0320ac, 0, LS, 128, 0x1000 },             /* dcbf */
    { 0x7c03206c, 0, LS, 128, 0x1000 },             /* dcbst */
    { 0x7c0327ac, 0, LS, 128, 0x1000 },             /* icbi */
    { 0x7c0327ad, 0, LS, 128, 0x1000 },             /* reserved bit 31 */
    /* No access, or none that is computed */
    { 0x38230004, 0, FX, 0, 0 },                    /* addi */
    { 0x7c232002, 0, ALL, 0, 0 },                   /* no such XO */
    /* 8LS and MLS */
    { 0x04000001, 0xe4230002, LS, 8, 0x11009 },     /* pld 0x10002(r3) */
    { 0x04000000, 0xe4230002, LS, 8, 0x1009 },
    { 0x0403ffff, 0xe423ffff, LS, 8, 0x1006 },      /* pld -1(r3) */
    { 0x0401ffff, 0xe420ffff, LS, 8, 0x1ffffffff }, /* largest */
    { 0x04020000, 0xe4200000, LS, 8, -0x200000000ull },
    { 0x04100000, 0xe4200010, LS, 8, EA_PC + 0x10 }, /* pld 0x10,R=1 */
    { 0x0413ffff, 0xe420fff0, LS, 8, EA_PC - 0x10 },
    { 0x04100000, 0xe4230010, LS, 0, 0 },           /* R = 1, RA = 3 */
    { 0x046c0000, 0xe4230010, LS, 8, 0x1017 },      /* reserved bits */
    { 0x04000000, 0xa4230010, LS, 4, 0x1017 },      /* plwa */
    { 0x04000000, 0xf4230010, LS, 8, 0x1017 },      /* pstd */
    { 0x04000000, 0xe0430010, LS, 16, 0x1017 },     /* plq */
    { 0x04000000, 0xf0430010, LS, 16, 0x1017 },     /* pstq */
    { 0x04000000, 0xc8430010, LS | VSX, 16, 0x1017 }, /* plxv */
    { 0x04000000, 0xdc430010, LS | VSX, 16, 0x1017 }, /* pstxv, SX = 1 */
    { 0x04000000, 0xe8430010, LS | VSX, 32, 0x1017 }, /* plxvp */
    { 0x04000000, 0xf8430010, LS | VSX, 32, 0x1017 }, /* pstxvp */
    { 0x04000000, 0xac430010, LS | VSX, 4, 0x1017 }, /* plxssp */
    { 0x04800000, 0xe4230010, ALL, 0, 0 },          /* subtype 1 */
    { 0x06000000, 0x80230010, LS, 4, 0x1017 },      /* plwz */
    { 0x06100000, 0x80200010, LS, 4, EA_PC + 0x10 },
    { 0x06000000, 0x98230010, LS, 1, 0x1017 },      /* pstb */
    { 0x06000000, 0xa8230010, LS, 2, 0x1017 },      /* plha */
    { 0x06000000, 0xc8230010, LS | FP, 8, 0x1017 }, /* plfd */
    { 0x06000000, 0xd0230010, LS | FP, 4, 0x1017 }, /* pstfs */
    { 0x06000000, 0x38230010, LS, 0, 0 },           /* paddi */
    { 0x06000000, 0x84230010, ALL, 0, 0 },
    /* 8RR and MRR */
    { 0x05000000, 0x80000000, LS | VSX, 0, 0 },     /* xxsplti32dx */
    { 0x05000000, 0x8c000000, ALL, 0, 0 },
    { 0x07000000, 0x00000000, LS, 0, 0 },           /* pnop */
    { 0x07900000, 0xec000000, LS | VSX, 0, 0 },     /* pmxv* */
    { 0x07900000, 0xe8000000, ALL, 0, 0 },
};

static void test_ea(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ea_cases); i++) {
        PPCStepInsn insn = decode2(ea_cases[i].word, ea_cases[i].suffix);
        uint64_t ea = ea_cases[i].ea;
        bool prefix = ea_cases[i].word >> 26 == 1;

        if (insn.interrupts != ea_cases[i].interrupts ||
            insn.mem != (ea_cases[i].size != 0) ||
            insn.length != (prefix ? 8 : 4) ||
            (insn.mem && insn.mem_size != ea_cases[i].size)) {
            g_error("%08x %08x: interrupts %02x mem %d size %d",
                    ea_cases[i].word, ea_cases[i].suffix, insn.interrupts,
                    insn.mem, insn.mem_size);
        }
        if (!insn.mem) {
            continue;
        }
        g_assert_cmphex(ppc_step_mem_ea(&insn, EA_PC, ea_gpr, true), ==, ea);
        g_assert_cmphex(ppc_step_mem_ea(&insn, EA_PC, ea_gpr, false), ==,
                        ea & 0xffffffff);
    }
}

static void test_ea_wrap(void)
{
    PPCStepInsn insn;

    insn = decode(0x80260004);                      /* lwz r1,4(r6) */
    g_assert_cmphex(ppc_step_mem_ea(&insn, 0, ea_gpr, true), ==,
                    0x200000003);
    g_assert_cmphex(ppc_step_mem_ea(&insn, 0, ea_gpr, false), ==, 3);
    insn = decode(0x7c2620ce);                      /* lvx v1,r6,r4 */
    g_assert_cmphex(ppc_step_mem_ea(&insn, 0, ea_gpr, true), ==,
                    0x200000010);
    g_assert_cmphex(ppc_step_mem_ea(&insn, 0, ea_gpr, false), ==, 0x10);
    insn = decode2(0x06100000, 0x80200020);         /* plwz r1,32,R=1 */
    g_assert_cmphex(ppc_step_mem_ea(&insn, 0xfffffff0, ea_gpr, false), ==,
                    0x10);
    g_assert_cmphex(ppc_step_mem_ea(&insn, -16ull, ea_gpr, true), ==, 0x10);
}

static void test_is_prefix(void)
{
    g_assert_true(ppc_step_is_prefix(0x04000000));
    g_assert_true(ppc_step_is_prefix(0x07ffffff));
    g_assert_false(ppc_step_is_prefix(0x03ffffff));
    g_assert_false(ppc_step_is_prefix(0x08000000));
}

/* What holds for any word; the counts are for --full */
typedef struct Counts {
    uint64_t cls[PPC_STEP_CLASS_MAX];
    uint64_t prefixed;
    uint64_t mem;
    uint64_t broken;
} Counts;

/* An unknown word may raise all interrupts, and has no address */
static bool check_context(uint32_t word, const PPCStepInsn *insn)
{
    bool mtpidr = (word & 0xfc1ffffe) == 0x7c100ba6;
    bool unknown = insn->cls == PPC_STEP_PLAIN && !insn->mem &&
                   insn->interrupts == ALL;

    if (insn->length == 8) {
        return unknown || !insn->context;
    }
    return insn->context == (mtpidr || unknown ||
                             insn->cls == PPC_STEP_HCALL);
}

static bool check_invariants(uint32_t word, const PPCStepInsn *insn)
{
    bool prefix = word >> 26 == 1;
    bool pow2 = (insn->mem_align & (insn->mem_align - 1)) == 0;

    if (insn->length != (prefix ? 8 : 4) ||
        prefix != ppc_step_is_prefix(word) ||
        insn->cls >= PPC_STEP_CLASS_MAX ||
        (insn->interrupts & FX) != FX ||
        insn->interrupts & ~PPC_STEP_INT_ALL ||
        !check_context(word, insn)) {
        return false;
    }
    if (insn->mem &&
        (insn->mem_size < 1 || insn->mem_align < 1 || !pow2 ||
         insn->mem_base > 32 || insn->mem_index > 31 ||
         !(insn->interrupts & PPC_STEP_INT_DATA))) {
        return false;
    }
    if (insn->cls == PPC_STEP_BRANCH) {
        return insn->disp % 4 == 0 && insn->bo < 32 && insn->bi < 32 &&
               insn->branch <= PPC_STEP_BRANCH_TAR && !insn->mem;
    }
    return insn->reg < 32 && !insn->disp && !insn->link &&
           (insn->spr == 26 || insn->spr == 27) ==
           (insn->cls == PPC_STEP_MFSRR || insn->cls == PPC_STEP_MTSRR);
}

static void count_words(uint64_t first, uint64_t end, uint64_t stride,
                        void *opaque)
{
    Counts *counts = opaque;
    PPCStepInsn insn;

    memset(counts, 0, sizeof(*counts));
    for (uint64_t word = first; word < end; word += stride) {
        ppc_step_decode(word, 0, &insn);
        if (!check_invariants(word, &insn)) {
            if (!counts->broken++) {
                fprintf(stderr, "%08" PRIx64 ": broken\n", word);
            }
            continue;
        }
        counts->cls[insn.cls]++;
        counts->prefixed += insn.length == 8;
        counts->mem += insn.mem;
    }
}

static void test_sample(void)
{
    Counts counts;

    /* A prime, so that all low bits take all values in all opcodes */
    count_words(0, 1ull << 32, 997, &counts);
    g_assert_cmpuint(counts.broken, ==, 0);
}

static void test_sample_successor(void)
{
    PPCStepBranchRegs regs = {
        .pc = 0x1000, .lr = 0x3, .ctr = 0x7, .tar = 0xf, .sf = true,
    };

    for (uint64_t word = 0; word < 1ull << 32; word += 4999) {
        PPCStepInsn insn = decode(word);

        regs.cr = word * 2654435761u;
        g_assert_cmpuint(ppc_step_successor(&insn, &regs) % 4, ==, 0);
    }
}

/*
 * Derived from the encodings: 2 to the number of bits that are neither opcode
 * nor fixed.
 */
static const uint64_t full_cls[PPC_STEP_CLASS_MAX] = {
    /* b, bc: 26; bclr, bcctr, bctar: all but opcode and XO */
    [PPC_STEP_BRANCH] = 2 * (1ull << 26) + 3 * (1ull << 16),
    /* 6 to 29 and 31; a quarter has LEV = 0 in its last two bits */
    [PPC_STEP_SC] = 1ull << 23,
    [PPC_STEP_HCALL] = 3 * (1ull << 23),
    [PPC_STEP_SCV] = 1ull << 24,
    [PPC_STEP_RFID] = 1ull << 16,
    [PPC_STEP_RFSCV] = 1ull << 16,
    [PPC_STEP_RFEBB] = 1ull << 16,
    [PPC_STEP_MFMSR] = 1ull << 16,
    [PPC_STEP_MTMSR] = 1ull << 16,
    [PPC_STEP_MTMSRD] = 1ull << 16,
    /* RT and bit 31, times two SPRs, times mfspr and mftb */
    [PPC_STEP_MFSRR] = (1ull << 6) * 2 * 2,
    [PPC_STEP_MTSRR] = (1ull << 6) * 2,
    [PPC_STEP_LARX] = 5 * (1ull << 16),
    [PPC_STEP_STCX] = 5 * (1ull << 16),
};

static const char *const cls_names[PPC_STEP_CLASS_MAX] = {
    "plain", "branch", "sc", "hcall", "scv", "rfid", "rfscv", "mfmsr",
    "mtmsr", "mtmsrd", "mfsrr", "mtsrr", "larx", "stcx", "rfebb",
};

/*
 * Without update, 13 D-form opcodes (32 to 55), 56 (lq), three quarters of
 * 57, half of 58 (ld, lwa) and of 62 (std, stq), 61, an eighth of 6; with
 * update (RA is one of 31) 11 D-form opcodes and a quarter of 58 and of 62.
 * X-forms: 92 (lxvx and stxvx count twice) and with update 14.
 */
#define FULL_MEM (13 * (1ull << 26) + (1ull << 26) + 3 * (1ull << 24) + \
                  2 * (1ull << 25) + (1ull << 26) + (1ull << 23) + \
                  31 * (11 * (1ull << 21) + 2 * (1ull << 19)) + \
                  92 * (1ull << 16) + 14 * 31 * (1ull << 11))

static int full_report(const Counts *counts)
{
    uint64_t plain = 1ull << 32;
    int failed = 0;

    for (int i = 1; i < PPC_STEP_CLASS_MAX; i++) {
        failed += step_check_count(cls_names[i], counts->cls[i], full_cls[i]);
        plain -= full_cls[i];
    }
    failed += step_check_count(cls_names[0], counts->cls[0], plain);
    failed += step_check_count("prefixed", counts->prefixed, 1ull << 26);
    failed += step_check_count("mem", counts->mem, FULL_MEM);
    failed += step_check_count("broken", counts->broken, 0);
    printf("%d passed, %d failed\n", PPC_STEP_CLASS_MAX + 3 - failed, failed);
    return failed != 0;
}

static int full_walk(int n)
{
    Counts sum;

    return !step_count_all(count_words, n, &sum, sizeof(sum)) ||
           full_report(&sum);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--full")) {
        int n = argc > 3 && !strcmp(argv[2], "-j") ? atoi(argv[3]) : 2;

        return full_walk(CLAMP(n, 1, 64));
    }

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ppc/step-decode/class", test_class);
    g_test_add_func("/ppc/step-decode/context", test_context);
    g_test_add_func("/ppc/step-decode/successor/bc", test_successor_bc);
    g_test_add_func("/ppc/step-decode/successor/b", test_successor_b);
    g_test_add_func("/ppc/step-decode/successor/next", test_successor_next);
    g_test_add_func("/ppc/step-decode/ea", test_ea);
    g_test_add_func("/ppc/step-decode/ea-wrap", test_ea_wrap);
    g_test_add_func("/ppc/step-decode/is-prefix", test_is_prefix);
    g_test_add_func("/ppc/step-decode/sample", test_sample);
    g_test_add_func("/ppc/step-decode/sample/successor",
                    test_sample_successor);
    return g_test_run();
}
