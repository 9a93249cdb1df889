/*
 * Tests of the LoongArch instruction description
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * Without arguments (or with GTest's): cases written from the manual, and a
 * sample of all words.  With --full [-j N]: all 2^32 words, in N processes; the
 * number of words of each class must be what the encodings say.
 */

#define PC 0x9000000000201000ull

static LoongArchStepInsn decode(uint32_t word)
{
    LoongArchStepInsn insn;

    memset(&insn, 0xa5, sizeof(insn));
    loongarch_step_decode(word, &insn);
    return insn;
}

static bool same_mem(const LoongArchStepInsn *a, const LoongArchStepInsn *b)
{
    return a->mem == b->mem && (!a->mem ||
           (a->mem_base == b->mem_base && a->mem_index == b->mem_index &&
            a->mem_disp == b->mem_disp && a->mem_size == b->mem_size &&
            a->mem_align == b->mem_align));
}

static bool same(const LoongArchStepInsn *a, const LoongArchStepInsn *b)
{
    return a->cls == b->cls && a->exceptions == b->exceptions &&
           a->test == b->test && a->disp == b->disp && a->link == b->link &&
           a->rd == b->rd && a->rj == b->rj && a->fcc == b->fcc &&
           a->scr == b->scr && a->csr == b->csr && a->imm == b->imm &&
           a->context == b->context && same_mem(a, b);
}

#define DATA    LOONGARCH_STEP_EXC_DATA
#define PROGRAM LOONGARCH_STEP_EXC_PROGRAM
#define FP      (LOONGARCH_STEP_EXC_FP | PROGRAM)
#define VEC     (LOONGARCH_STEP_EXC_VEC | PROGRAM)
#define BT      (LOONGARCH_STEP_EXC_BT | PROGRAM)
#define ALL     LOONGARCH_STEP_EXC_ALL

#define IS(c, e, ...) \
    { .cls = LOONGARCH_STEP_ ## c, .exceptions = e, ## __VA_ARGS__ }
#define INT             IS(PLAIN, 0)
#define UNKNOWN         IS(PLAIN, ALL)
#define BRANCH(t, ...) \
    IS(BRANCH, 0, .test = LOONGARCH_STEP_TEST_ ## t, ## __VA_ARGS__)
#define MEM(c, e, n, b, d) \
    IS(c, (e) | DATA, .mem = true, .mem_size = n, .mem_align = 1, \
       .mem_base = b, .mem_index = -1, .mem_disp = d)
#define MEMX(e, n, b, x) \
    IS(PLAIN, (e) | DATA, .mem = true, .mem_size = n, .mem_align = 1, \
       .mem_base = b, .mem_index = x)
#define PART(n, b, d) \
    IS(PLAIN, BT | DATA, .mem = true, .mem_size = n, .mem_align = n, \
       .mem_base = b, .mem_index = -1, .mem_disp = d)

static const struct {
    uint32_t word;
    LoongArchStepInsn insn;
} cases[] = {
    /* b, bl: 26 bits in two parts */
    { 0x50000000, BRANCH(NONE) },                               /* b . */
    { 0x50001000, BRANCH(NONE, .disp = 16) },
    { 0x53ffffff, BRANCH(NONE, .disp = -4) },
    { 0x53fffdff, BRANCH(NONE, .disp = 0x7fffffc) },
    { 0x50000200, BRANCH(NONE, .disp = -0x8000000) },
    { 0x54000c00, BRANCH(NONE, .disp = 12, .link = true) },
    { 0x54000001, BRANCH(NONE, .disp = 0x40000, .link = true) },

    /* beqz, bnez: 21 bits in two parts */
    { 0x400008a0, BRANCH(EQ, .rj = 5, .disp = 8) },
    { 0x43ffffff, BRANCH(EQ, .rj = 31, .disp = -4) },
    { 0x43fffc0f, BRANCH(EQ, .disp = 0x3ffffc) },
    { 0x40000090, BRANCH(EQ, .rj = 4, .disp = -0x400000) },
    { 0x440008a0, BRANCH(NE, .rj = 5, .disp = 8) },

    /* beq ... bgeu: 16 bits; the left operand is in bits 9:5 */
    { 0x58000885, BRANCH(EQ, .rj = 4, .rd = 5, .disp = 8) },
    { 0x5dfffc85, BRANCH(NE, .rj = 4, .rd = 5, .disp = 0x1fffc) },
    { 0x62000085, BRANCH(LT, .rj = 4, .rd = 5, .disp = -0x20000) },
    { 0x64000885, BRANCH(GE, .rj = 4, .rd = 5, .disp = 8) },
    { 0x68000885, BRANCH(LTU, .rj = 4, .rd = 5, .disp = 8) },
    { 0x6c000be0, BRANCH(GEU, .rj = 31, .rd = 0, .disp = 8) },

    /* bceqz, bcnez, and LBT's beside them */
    { 0x48000800, IS(BRANCH, FP, .test = LOONGARCH_STEP_TEST_FCC0,
                     .disp = 8) },
    { 0x480009e0, IS(BRANCH, FP, .test = LOONGARCH_STEP_TEST_FCC1, .fcc = 7,
                     .disp = 8) },
    { 0x4bfffd7f, IS(BRANCH, FP, .test = LOONGARCH_STEP_TEST_FCC1, .fcc = 3,
                     .disp = -4) },
    { 0x48000a00, IS(JISCR, BT, .scr = 0, .disp = 8) },
    { 0x4bffff1f, IS(JISCR, BT, .scr = 1, .disp = -4) },
    { 0x48000a20, UNKNOWN },

    /* jirl */
    { 0x4c000020, IS(JIRL, 0, .rj = 1) },                       /* ret */
    { 0x4c0008a1, IS(JIRL, 0, .rj = 5, .rd = 1, .disp = 8, .link = true) },
    { 0x4ffffca5, IS(JIRL, 0, .rj = 5, .rd = 5, .disp = -4, .link = true) },
    { 0x4e000080, IS(JIRL, 0, .rj = 4, .disp = -0x20000) },

    /* What raises, returns, waits, calls */
    { 0x002a0000, IS(BREAK, 0) },
    { 0x002a7fff, IS(BREAK, 0, .imm = 0x7fff) },
    { 0x002a8005, IS(DBCL, ALL, .imm = 5) },
    { 0x002b0000, IS(SYSCALL, 0) },
    { 0x002b000b, IS(SYSCALL, 0, .imm = 11) },
    { 0x002b8101, IS(HVCL, ALL, .imm = 0x101, .context = true) },
    { 0x06483800, IS(ERTN, PROGRAM) },
    { 0x06483801, UNKNOWN },
    { 0x06488000, IS(IDLE, PROGRAM) },
    { 0x06488001, IS(IDLE, PROGRAM, .imm = 1) },

    /* CSRs: RJ = 0 reads, 1 writes, all others exchange under a mask */
    { 0x04000004, IS(CSRRD, PROGRAM, .rd = 4, .csr = 0) },
    { 0x04000424, IS(CSRWR, PROGRAM, .rd = 4, .csr = 1, .context = true) },
    { 0x04000044, IS(CSRXCHG, PROGRAM, .rd = 4, .rj = 2, .csr = 0,
                     .context = true) },
    { 0x04ffffff, IS(CSRXCHG, PROGRAM, .rd = 31, .rj = 31, .csr = 0x3fff,
                     .context = true) },
    { 0x0406000c, IS(CSRRD, PROGRAM, .rd = 12, .csr = 0x180) },
    { 0x05000085, IS(GCSR, PROGRAM) },
    { 0x05001485, IS(GCSR, PROGRAM, .csr = 5) },

    /* TLB, caches, page tables, IOCSR */
    { 0x06482000, IS(TLB, PROGRAM, .context = true) },          /* tlbclr */
    { 0x06482400, IS(TLB, PROGRAM, .context = true) },          /* tlbflush */
    { 0x06482800, IS(TLB, PROGRAM, .context = true) },          /* tlbsrch */
    { 0x06482c00, IS(TLB, PROGRAM, .context = true) },          /* tlbrd */
    { 0x06483000, IS(TLB, PROGRAM, .context = true) },          /* tlbwr */
    { 0x06483400, IS(TLB, PROGRAM, .context = true) },          /* tlbfill */
    { 0x06483401, IS(TLB, PROGRAM, .context = true) },          /* gtlbfill */
    { 0x0649a4e5, IS(TLB, PROGRAM, .context = true) },          /* invtlb */
    { 0x06483402, UNKNOWN },
    { 0x06000485, IS(CACOP, PROGRAM | DATA) },
    { 0x06401000, IS(WALK, PROGRAM | DATA) },                   /* lddir */
    { 0x06440400, IS(WALK, PROGRAM | DATA) },                   /* ldpte */
    { 0x06440401, UNKNOWN },
    { 0x06480085, IS(IOCSR, PROGRAM) },                         /* iocsrrd.b */
    { 0x06481c85, IS(IOCSR, PROGRAM) },                         /* iocsrwr.d */
    { 0x00006c85, IS(CPUCFG, PROGRAM) },
    { 0x00006085, IS(RDTIME, PROGRAM) },
    { 0x00006485, IS(RDTIME, PROGRAM) },
    { 0x00006885, IS(RDTIME, PROGRAM) },

    /* Reservations */
    { 0x20000485, MEM(LL, 0, 4, 4, 4) },                        /* ll.w */
    { 0x227ffc85, MEM(LL, 0, 8, 4, 0x7ffc) },                   /* ll.d */
    { 0x21fffc85, MEM(SC, 0, 4, 4, -4) },                       /* sc.w */
    { 0x23800085, MEM(SC, 0, 8, 4, -0x8000) },                  /* sc.d */
    { 0x38578085, MEM(LL, PROGRAM, 4, 4, 0) },                  /* llacq.w */
    { 0x38578485, MEM(SC, PROGRAM, 4, 4, 0) },                  /* screl.w */
    { 0x38578885, MEM(LL, PROGRAM, 8, 4, 0) },                  /* llacq.d */
    { 0x38578c85, MEM(SC, PROGRAM, 8, 4, 0) },                  /* screl.d */
    { 0x38570485, MEM(SC, PROGRAM, 16, 4, 0) },                 /* sc.q */
    { 0x38579085, UNKNOWN },

    /* Loads and stores */
    { 0x28200085, MEM(PLAIN, 0, 1, 4, -2048) },                 /* ld.b */
    { 0x285ffc85, MEM(PLAIN, 0, 2, 4, 2047) },                  /* ld.h */
    { 0x28800485, MEM(PLAIN, 0, 4, 4, 1) },                     /* ld.w */
    { 0x28c00485, MEM(PLAIN, 0, 8, 4, 1) },                     /* ld.d */
    { 0x29000485, MEM(PLAIN, 0, 1, 4, 1) },                     /* st.b */
    { 0x29c00485, MEM(PLAIN, 0, 8, 4, 1) },                     /* st.d */
    { 0x2a000485, MEM(PLAIN, 0, 1, 4, 1) },                     /* ld.bu */
    { 0x2a400485, MEM(PLAIN, 0, 2, 4, 1) },                     /* ld.hu */
    { 0x2a800485, MEM(PLAIN, 0, 4, 4, 1) },                     /* ld.wu */
    { 0x2ac00480, INT },                                        /* preld */
    { 0x24000485, MEM(PLAIN, 0, 4, 4, 4) },                     /* ldptr.w */
    { 0x25fffc85, MEM(PLAIN, 0, 4, 4, -4) },                    /* stptr.w */
    { 0x26000485, MEM(PLAIN, 0, 8, 4, 4) },                     /* ldptr.d */
    { 0x27000485, MEM(PLAIN, 0, 8, 4, 4) },                     /* stptr.d */
    { 0x38000c85, MEMX(0, 1, 4, 3) },                           /* ldx.b */
    { 0x380c0c85, MEMX(0, 8, 4, 3) },                           /* ldx.d */
    { 0x381c0c85, MEMX(0, 8, 4, 3) },                           /* stx.d */
    { 0x38240085, MEMX(0, 2, 4, 0) },                           /* ldx.hu */
    { 0x382c0c85, INT },                                        /* preldx */
    { 0x2b000485, MEM(PLAIN, FP, 4, 4, 1) },                    /* fld.s */
    { 0x2bc00485, MEM(PLAIN, FP, 8, 4, 1) },                    /* fst.d */
    { 0x38340c85, MEMX(FP, 8, 4, 3) },                          /* fldx.d */
    { 0x38380c85, MEMX(FP, 4, 4, 3) },                          /* fstx.s */
    { 0x38780c85, MEM(PLAIN, PROGRAM, 1, 4, 0) },               /* ldgt.b */
    { 0x387f8c85, MEM(PLAIN, PROGRAM, 8, 4, 0) },               /* stle.d */
    { 0x38740c85, MEM(PLAIN, FP, 4, 4, 0) },                    /* fldgt.s */
    { 0x3877fc85, MEM(PLAIN, FP, 8, 4, 0) },                    /* fstle.d */

    /* Atomics */
    { 0x38580c85, MEM(PLAIN, PROGRAM, 1, 4, 0) },               /* amcas.b */
    { 0x385bfc85, MEM(PLAIN, PROGRAM, 8, 4, 0) },       /* amcas_db.d */
    { 0x385c0c85, MEM(PLAIN, PROGRAM, 1, 4, 0) },               /* amswap.b */
    { 0x385f8c85, MEM(PLAIN, PROGRAM, 2, 4, 0) },       /* amadd_db.h */
    { 0x38600c85, MEM(PLAIN, PROGRAM, 4, 4, 0) },               /* amswap.w */
    { 0x38718c85, MEM(PLAIN, PROGRAM, 8, 4, 0) },       /* ammin_db.du */

    /* LSX and LASX */
    { 0x2c000485, MEM(PLAIN, VEC, 16, 4, 1) },                  /* vld */
    { 0x2c400485, MEM(PLAIN, VEC, 16, 4, 1) },                  /* vst */
    { 0x2c800485, MEM(PLAIN, VEC, 32, 4, 1) },                  /* xvld */
    { 0x2cfffc85, MEM(PLAIN, VEC, 32, 4, -1) },                 /* xvst */
    { 0x38440c85, MEMX(VEC, 16, 4, 3) },                        /* vstx */
    { 0x38480c85, MEMX(VEC, 32, 4, 3) },                        /* xvldx */
    { 0x30100485, MEM(PLAIN, VEC, 8, 4, 8) },                   /* vldrepl.d */
    { 0x30140085, MEM(PLAIN, VEC, 8, 4, -2048) },
    { 0x302ffc85, MEM(PLAIN, VEC, 4, 4, -4) },                  /* vldrepl.w */
    { 0x30400485, MEM(PLAIN, VEC, 2, 4, 2) },                   /* vldrepl.h */
    { 0x30bffc85, MEM(PLAIN, VEC, 1, 4, -1) },                  /* vldrepl.b */
    { 0x3113fc85, MEM(PLAIN, VEC, 8, 4, -8) },          /* vstelm.d, 0 */
    { 0x31140485, MEM(PLAIN, VEC, 8, 4, 8) },           /* vstelm.d, 1 */
    { 0x31bc0485, MEM(PLAIN, VEC, 1, 4, 1) },           /* vstelm.b, 15 */
    { 0x33fe0085, MEM(PLAIN, VEC, 1, 4, -128) },        /* xvstelm.b, 31 */
    { 0x331c0485, MEM(PLAIN, VEC, 8, 4, 8) },           /* xvstelm.d, 3 */
    { 0x70000485, IS(PLAIN, VEC | FP) },                        /* vseq.b */
    { 0x77ffffff, IS(PLAIN, VEC | FP) },
    { 0x0c500485, IS(PLAIN, VEC | FP) },                        /* vfcmp */

    /* LBT: parts of an aligned operand */
    { 0x2e000485, PART(4, 4, 1) },                              /* ldl.w */
    { 0x2fffff85, PART(8, 28, -1) },                            /* str.d */
    { 0x001a0c85, IS(PLAIN, BT) },                              /* rotr.b */
    { 0x00000800, UNKNOWN },                            /* movgr2scr */

    /* Floating-point, integer */
    { 0x01010c85, IS(PLAIN, FP | BT) },                         /* fadd.d */
    { 0x08100c85, IS(PLAIN, FP | VEC) },                        /* fmadd.s */
    { 0x0c100485, IS(PLAIN, FP | VEC) },                        /* fcmp */
    { 0x00100c85, INT },                                        /* add.w */
    { 0x001fffff, INT },                                        /* mulw.d.wu */
    { 0x00278c85, INT },                                        /* crcc.w.d.w */
    { 0x00010c80, IS(PLAIN, DATA) },                            /* asrtle.d */
    { 0x00018c80, IS(PLAIN, DATA) },                            /* asrtgt.d */
    { 0x00010c81, UNKNOWN },
    { 0x02c00484, INT },                                        /* addi.d */
    { 0x03400000, INT },                                        /* nop */
    { 0x14000004, INT },                                        /* lu12i.w */
    { 0x1a000004, INT },                                        /* pcalau12i */
    { 0x10000004, INT },                                        /* addu16i.d */
    { 0x00408485, INT },                                        /* slli.w */
    { 0x00400485, UNKNOWN },
    { 0x00df0085, INT },                                        /* bstrpick.d */
    { 0x38720000, INT },                                        /* dbar */
    { 0x38728000, INT },                                        /* ibar */

    /* No instructions */
    { 0x00000000, UNKNOWN },
    { 0xffffffff, UNKNOWN },
    { 0x34000000, UNKNOWN },
    { 0x3c000000, UNKNOWN },
    { 0x78000000, UNKNOWN },
    { 0x80000000, UNKNOWN },
};

static void test_decode(void)
{
    bool cls[LOONGARCH_STEP_CLASS_MAX] = { false };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        LoongArchStepInsn insn = decode(cases[i].word);

        if (!same(&insn, &cases[i].insn)) {
            g_error("%08x: class %d exceptions %#x test %d disp %" PRId64
                    " link %d rd %d rj %d fcc %d scr %d csr %#x imm %#x "
                    "context %d mem %d: size %d align %d base %d index %d "
                    "disp %" PRId64, cases[i].word, insn.cls,
                    insn.exceptions, insn.test, insn.disp, insn.link,
                    insn.rd, insn.rj, insn.fcc, insn.scr, insn.csr, insn.imm,
                    insn.context, insn.mem, insn.mem_size, insn.mem_align,
                    insn.mem_base, insn.mem_index, insn.mem_disp);
        }
        cls[insn.cls] = true;
    }
    for (int i = 0; i < LOONGARCH_STEP_CLASS_MAX; i++) {
        g_assert_true(cls[i]);
    }
}

/* A register for each number, none like another, and 0 in register 0 */
static void fill(uint64_t *gpr)
{
    for (int i = 0; i < 32; i++) {
        gpr[i] = i * 0x0123456789abcdefull;
    }
}

static uint64_t next(uint32_t word, const LoongArchStepBranchRegs *regs)
{
    LoongArchStepInsn insn = decode(word);

    return loongarch_step_successor(&insn, regs);
}

static const uint64_t operands[] = {
    0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
    0x7fffffffffffffff, 0x8000000000000000, 0xffffffff80000000,
    UINT64_MAX - 1, UINT64_MAX,
};

/* Each comparison of two registers, and of one with 0, as C has it */
static void test_successor_compare(void)
{
    uint64_t gpr[32] = { 0 };
    LoongArchStepBranchRegs regs = { .pc = PC, .gpr = gpr };

    for (size_t i = 0; i < G_N_ELEMENTS(operands); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(operands); j++) {
            uint64_t a = gpr[4] = operands[i], b = gpr[5] = operands[j];
            const bool want[] = { a == b, a != b, (int64_t)a < (int64_t)b,
                                  (int64_t)a >= (int64_t)b, a < b, a >= b };

            for (uint32_t op = 0; op < 6; op++) {
                /* beq $r4, $r5, 8 and so on */
                g_assert_cmphex(next((0x16 + op) << 26 | 0x885, &regs), ==,
                                PC + (want[op] ? 8 : 4));
            }
            g_assert_cmphex(next(0x40000880, &regs), ==, PC + (a ? 4 : 8));
            g_assert_cmphex(next(0x44000880, &regs), ==, PC + (a ? 8 : 4));
        }
    }
}

static void test_successor_fcc(void)
{
    uint64_t gpr[32] = { 0 };
    LoongArchStepBranchRegs regs = { .pc = PC, .gpr = gpr };

    for (uint32_t fcc = 0; fcc < 8; fcc++) {
        for (unsigned all = 0; all < 256; all++) {
            bool set = all & 1 << fcc;

            regs.fcc = all;
            g_assert_cmphex(next(0x48000800 | fcc << 5, &regs), ==,
                            PC + (set ? 4 : 8));
            g_assert_cmphex(next(0x48000900 | fcc << 5, &regs), ==,
                            PC + (set ? 8 : 4));
        }
    }
}

static void test_successor_far(void)
{
    uint64_t gpr[32];
    LoongArchStepBranchRegs regs = { .pc = PC, .gpr = gpr,
                                     .scr = { 0x1000, 0x2002 } };

    fill(gpr);
    g_assert_cmphex(next(0x50000000, &regs), ==, PC);
    g_assert_cmphex(next(0x53fffdff, &regs), ==, PC + 0x7fffffc);
    g_assert_cmphex(next(0x50000200, &regs), ==, PC - 0x8000000);
    for (uint32_t rj = 0; rj < 32; rj++) {
        /* Its own link register, too: the old value counts */
        g_assert_cmphex(next(0x4c000800 | rj << 5 | rj, &regs), ==,
                        gpr[rj] + 8);
    }
    g_assert_cmphex(next(0x48000a00, &regs), ==, 0x1008);
    g_assert_cmphex(next(0x4bffff1f, &regs), ==, 0x1ffe);
    g_assert_cmphex(next(0x00100c85, &regs), ==, PC + 4);
    regs.va32 = true;
    g_assert_cmphex(next(0x4c0000a0, &regs), ==, (uint32_t)gpr[5]);
    regs.pc = 0xfffffffc;
    g_assert_cmphex(next(0x00100c85, &regs), ==, 0);
}

static uint64_t va(uint32_t word, const uint64_t *gpr, bool va32)
{
    LoongArchStepInsn insn = decode(word);

    g_assert_true(insn.mem);
    return loongarch_step_mem_va(&insn, gpr, va32);
}

static void test_mem(void)
{
    uint64_t gpr[32];

    fill(gpr);
    g_assert_cmphex(va(0x28fffc85, gpr, false), ==, gpr[4] - 1);
    g_assert_cmphex(va(0x28fffc05, gpr, false), ==, UINT64_MAX);
    g_assert_cmphex(va(0x28fffc05, gpr, true), ==, UINT32_MAX);
    g_assert_cmphex(va(0x380c0c85, gpr, false), ==, gpr[4] + gpr[3]);
    g_assert_cmphex(va(0x38600c85, gpr, false), ==, gpr[4]);
    gpr[4] = 0x1006;
    g_assert_cmphex(va(0x2e000485, gpr, false), ==, 0x1004);
    g_assert_cmphex(va(0x2f800485, gpr, false), ==, 0x1000);
}

/*
 * The encodings as the manual's table has them, bit 31 first, blanks aside.
 * Those that come first count.
 */
static const struct {
    LoongArchStepClass cls;
    const char *bits;
} patterns[] = {
    { LOONGARCH_STEP_BRANCH, "01000 x xxxxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_BRANCH, "010010 xxxxxxxxxxxxxxxx 0x xxx xxxxx" },
    { LOONGARCH_STEP_JISCR, "010010 xxxxxxxxxxxxxxxx 1x 000 xxxxx" },
    { LOONGARCH_STEP_JIRL, "010011 xxxxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_BRANCH, "01010 x xxxxxxxxxxxxxxxx xxxxxxxxxx" },
    { LOONGARCH_STEP_BRANCH, "01011 x xxxxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_BRANCH, "0110 xx xxxxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_BREAK, "00000000001010100 xxxxxxxxxxxxxxx" },
    { LOONGARCH_STEP_DBCL, "00000000001010101 xxxxxxxxxxxxxxx" },
    { LOONGARCH_STEP_SYSCALL, "00000000001010110 xxxxxxxxxxxxxxx" },
    { LOONGARCH_STEP_HVCL, "00000000001010111 xxxxxxxxxxxxxxx" },
    { LOONGARCH_STEP_RDTIME, "0000000000000000011000 xxxxx xxxxx" },
    { LOONGARCH_STEP_RDTIME, "0000000000000000011001 xxxxx xxxxx" },
    { LOONGARCH_STEP_RDTIME, "0000000000000000011010 xxxxx xxxxx" },
    { LOONGARCH_STEP_CPUCFG, "0000000000000000011011 xxxxx xxxxx" },
    { LOONGARCH_STEP_CSRRD, "00000100 xxxxxxxxxxxxxx 00000 xxxxx" },
    { LOONGARCH_STEP_CSRWR, "00000100 xxxxxxxxxxxxxx 00001 xxxxx" },
    { LOONGARCH_STEP_CSRXCHG, "00000100 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_GCSR, "00000101 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_CACOP, "0000011000 xxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_WALK, "00000110010000 xxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_WALK, "00000110010001 xxxxxxxx xxxxx 00000" },
    { LOONGARCH_STEP_IOCSR, "0000011001001000000 xxx xxxxx xxxxx" },
    { LOONGARCH_STEP_TLB, "00000110010010000010 xx 00000 0000x" },
    { LOONGARCH_STEP_TLB, "00000110010010000011 0x 00000 0000x" },
    { LOONGARCH_STEP_ERTN, "0000011001001000001110 00000 00000" },
    { LOONGARCH_STEP_IDLE, "00000110010010001 xxxxxxxxxxxxxxx" },
    { LOONGARCH_STEP_TLB, "00000110010010011 xxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_LL, "00100000 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_SC, "00100001 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_LL, "00100010 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_SC, "00100011 xxxxxxxxxxxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_SC, "00111000010101110 xxxxx xxxxx xxxxx" },
    { LOONGARCH_STEP_LL, "00111000010101111 000x0 xxxxx xxxxx" },
    { LOONGARCH_STEP_SC, "00111000010101111 000x1 xxxxx xxxxx" },
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

static void read_patterns(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        g_assert_cmpint(read_pattern(patterns[i].bits, &masks[i], &values[i]),
                        ==, 32);
    }
}

static LoongArchStepClass pattern_class(uint32_t word)
{
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        if ((word & masks[i]) == values[i]) {
            return patterns[i].cls;
        }
    }
    return LOONGARCH_STEP_PLAIN;
}

/* Words of each encoding, and all words that differ from them in a bit */
static void test_patterns(void)
{
    uint32_t x = 1;

    read_patterns();
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        for (int n = 0; n < 200; n++) {
            uint32_t word = (x & ~masks[i]) | values[i];

            g_assert_cmpint(decode(word).cls, ==, pattern_class(word));
            for (int bit = 0; bit < 32; bit++) {
                uint32_t other = word ^ 1u << bit;

                g_assert_cmpint(decode(other).cls, ==, pattern_class(other));
            }
            x = x * 1664525 + 1013904223;
        }
    }
}

/* What holds for any word */
static void check_any(uint32_t word)
{
    LoongArchStepInsn insn = decode(word);

    g_assert_cmpint(insn.cls, <, LOONGARCH_STEP_CLASS_MAX);
    g_assert_cmpint(insn.cls, ==, pattern_class(word));
    g_assert_true(insn.disp % 4 == 0);
    g_assert_true(!insn.mem || insn.exceptions & LOONGARCH_STEP_EXC_DATA);
    g_assert_true(!insn.mem || (insn.mem_size >= 1 && insn.mem_size <= 32));
}

static void test_random(void)
{
    read_patterns();
    step_random_words(check_any, 1000000, 1);
}

/*
 * How many words each class has: the free bits of its encodings.  CSRXCHG has
 * what csrrd and csrwr leave.
 */
static const uint64_t wanted[LOONGARCH_STEP_CLASS_MAX] = {
    [LOONGARCH_STEP_BRANCH] = (2 + 2 + 6) * (1ull << 26) + (1ull << 25),
    [LOONGARCH_STEP_JIRL] = 1ull << 26,
    [LOONGARCH_STEP_JISCR] = 1ull << 22,
    [LOONGARCH_STEP_SYSCALL] = 1 << 15,
    [LOONGARCH_STEP_BREAK] = 1 << 15,
    [LOONGARCH_STEP_DBCL] = 1 << 15,
    [LOONGARCH_STEP_HVCL] = 1 << 15,
    [LOONGARCH_STEP_ERTN] = 1,
    [LOONGARCH_STEP_IDLE] = 1 << 15,
    [LOONGARCH_STEP_CSRRD] = 1 << 19,
    [LOONGARCH_STEP_CSRWR] = 1 << 19,
    [LOONGARCH_STEP_CSRXCHG] = (1 << 24) - (1 << 20),
    [LOONGARCH_STEP_GCSR] = 1 << 24,
    [LOONGARCH_STEP_TLB] = 8 + 4 + (1 << 15),
    [LOONGARCH_STEP_WALK] = (1 << 18) + (1 << 13),
    [LOONGARCH_STEP_CACOP] = 1 << 22,
    [LOONGARCH_STEP_IOCSR] = 1 << 13,
    [LOONGARCH_STEP_CPUCFG] = 1 << 10,
    [LOONGARCH_STEP_RDTIME] = 3 << 10,
    [LOONGARCH_STEP_LL] = (2 << 24) + (2 << 10),
    [LOONGARCH_STEP_SC] = (2 << 24) + (1 << 15) + (2 << 10),
};

static void count(uint64_t first, uint64_t end, uint64_t stride, void *counts)
{
    uint64_t *part = counts;

    for (uint64_t word = first; word < end; word += stride) {
        LoongArchStepInsn insn;

        loongarch_step_decode(word, &insn);
        part[insn.cls]++;
    }
}

static int full(int jobs)
{
    uint64_t counts[LOONGARCH_STEP_CLASS_MAX];
    uint64_t rest = 1ull << 32;
    int wrong = 0;

    if (!step_count_all(count, jobs, counts, sizeof(counts))) {
        return 1;
    }
    for (int i = 1; i < LOONGARCH_STEP_CLASS_MAX; i++) {
        g_autofree char *name = g_strdup_printf("class %d", i);

        wrong += step_check_count(name, counts[i], wanted[i]);
        rest -= wanted[i];
    }
    wrong += step_check_count("plain", counts[0], rest);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--full")) {
        return full(argc > 3 ? atoi(argv[3]) : 1);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loongarch-step-decode/cases", test_decode);
    g_test_add_func("/loongarch-step-decode/successor/compare",
                    test_successor_compare);
    g_test_add_func("/loongarch-step-decode/successor/fcc",
                    test_successor_fcc);
    g_test_add_func("/loongarch-step-decode/successor/far",
                    test_successor_far);
    g_test_add_func("/loongarch-step-decode/mem", test_mem);
    g_test_add_func("/loongarch-step-decode/patterns", test_patterns);
    g_test_add_func("/loongarch-step-decode/random", test_random);
    return g_test_run();
}
