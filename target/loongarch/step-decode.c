/*
 * LoongArch instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"

/*
 * StepForm: what one encoding does
 * @mask: the bits of the word that @value is compared with
 * @value: its opcode
 * @cls: class
 * @detail: LoongArchStepTest of a branch, log2 of the bytes of a memory access
 * @exceptions: LOONGARCH_STEP_EXC_*
 * @address: of a memory access
 * @size_at: if not 0, log2 of the bytes is in the two bits from this one up
 */
typedef struct StepForm {
    uint32_t mask;
    uint32_t value;
    uint8_t cls;
    uint8_t detail;
    uint8_t exceptions;
    uint8_t address;
    uint8_t size_at;
} StepForm;

/*
 * How a memory access gives its address, beside the base in RJ.  The
 * displacement begins at bit 10.
 */
enum {
    ADDRESS_NONE,
    ADDRESS_BASE,
    ADDRESS_INDEX,      /* RK */
    ADDRESS_DISP12,     /* 12 bits, bytes */
    ADDRESS_PART,       /* the same, rounded down to the operand size */
    ADDRESS_DISP14,     /* 14 bits, words */
    ADDRESS_REPL,       /* 12 bits less log2 of the operand size, operands */
    ADDRESS_ELEMENT,    /* 8 bits, operands */
};

#define INT     0
#define DATA    LOONGARCH_STEP_EXC_DATA
#define PROGRAM LOONGARCH_STEP_EXC_PROGRAM
/* KVM gives a guest without the unit an INE */
#define FP      (LOONGARCH_STEP_EXC_FP | PROGRAM)
#define VEC     (LOONGARCH_STEP_EXC_VEC | PROGRAM)
#define BT      (LOONGARCH_STEP_EXC_BT | PROGRAM)

#define PLAIN(m, v, e)      { m, v, LOONGARCH_STEP_PLAIN, 0, e, 0, 0 }
#define CLASS(m, v, c, e)   { m, v, LOONGARCH_STEP_ ## c, 0, e, 0, 0 }
#define BRANCH(m, v, t, e) \
    { m, v, LOONGARCH_STEP_BRANCH, LOONGARCH_STEP_TEST_ ## t, e, 0, 0 }
#define MEM(m, v, c, e, s, a) \
    { m, v, LOONGARCH_STEP_ ## c, s, (e) | DATA, ADDRESS_ ## a, 0 }
/* Bytes, halfwords, words and doublewords, which the bits from @b up tell */
#define MEM_BHWD(m, v, b, e, a) \
    { (m) & ~(3u << (b)), v, LOONGARCH_STEP_PLAIN, 0, (e) | DATA, \
      ADDRESS_ ## a, b }

/*
 * By bits 31:26, in which all instructions differ that take many of the words.
 * Within a list the first form that fits counts.
 */

static const StepForm step_forms_00[] = {
    /* Bits 31:10: none of these raises an exception */
    PLAIN(0xfffff000, 0x00001000, INT),         /* clo.w, clz.w, cto.w, ctz.w */
    PLAIN(0xffffe000, 0x00002000, INT),         /* clo.d ... revb.d */
    PLAIN(0xffffe000, 0x00004000, INT),         /* revh.2w ... ext.w.b */
    CLASS(0xfffff800, 0x00006000, RDTIME, PROGRAM),
    CLASS(0xfffffc00, 0x00006800, RDTIME, PROGRAM),
    CLASS(0xfffffc00, 0x00006c00, CPUCFG, PROGRAM),
    PLAIN(0xffff001f, 0x00010000, DATA),        /* asrtle.d, asrtgt.d: BCE */
    PLAIN(0xfffc0000, 0x00040000, INT),         /* alsl.w, alsl.wu */
    PLAIN(0xfffe0000, 0x00080000, INT),         /* bytepick.w */
    PLAIN(0xfffc0000, 0x000c0000, INT),         /* bytepick.d */
    PLAIN(0xffff0000, 0x001a0000, BT),          /* rotr.b, rotr.h */
    PLAIN(0xfff00000, 0x00100000, INT),         /* add.w ... mulw.d.wu */
    PLAIN(0xfff80000, 0x00200000, INT),         /* div.w ... crcc.w.d.w */
    CLASS(0xffff8000, 0x002a0000, BREAK, INT),
    CLASS(0xffff8000, 0x002a8000, DBCL, LOONGARCH_STEP_EXC_ALL),
    CLASS(0xffff8000, 0x002b0000, SYSCALL, INT),
    CLASS(0xffff8000, 0x002b8000, HVCL, LOONGARCH_STEP_EXC_ALL),
    PLAIN(0xfffe0000, 0x002c0000, INT),         /* alsl.d */
    PLAIN(0xffff8000, 0x00408000, INT),         /* slli.w */
    PLAIN(0xffff0000, 0x00410000, INT),         /* slli.d */
    PLAIN(0xffff8000, 0x00448000, INT),         /* srli.w */
    PLAIN(0xffff0000, 0x00450000, INT),         /* srli.d */
    PLAIN(0xffff8000, 0x00488000, INT),         /* srai.w */
    PLAIN(0xffff0000, 0x00490000, INT),         /* srai.d */
    PLAIN(0xffff8000, 0x004c8000, INT),         /* rotri.w */
    PLAIN(0xffff0000, 0x004d0000, INT),         /* rotri.d */
    PLAIN(0xffe00000, 0x00600000, INT),         /* bstrins.w, bstrpick.w */
    PLAIN(0xff800000, 0x00800000, INT),         /* bstrins.d, bstrpick.d */
    PLAIN(0xff000000, 0x01000000, FP | BT),
    PLAIN(0xfe000000, 0x02000000, INT),         /* slti ... xori */
};

static const StepForm step_forms_01[] = {
    CLASS(0xff0003e0, 0x04000000, CSRRD, PROGRAM),
    CLASS(0xff0003e0, 0x04000020, CSRWR, PROGRAM),
    CLASS(0xff000000, 0x04000000, CSRXCHG, PROGRAM),
    CLASS(0xff000000, 0x05000000, GCSR, PROGRAM),
    CLASS(0xffc00000, 0x06000000, CACOP, PROGRAM | DATA),
    CLASS(0xfffc0000, 0x06400000, WALK, PROGRAM | DATA),    /* lddir */
    CLASS(0xfffc001f, 0x06440000, WALK, PROGRAM | DATA),    /* ldpte */
    CLASS(0xffffe000, 0x06480000, IOCSR, PROGRAM),
    /* tlbclr, tlbflush, tlbsrch, tlbrd; tlbwr, tlbfill; LVZ's have bit 0 set */
    CLASS(0xfffff3fe, 0x06482000, TLB, PROGRAM),
    CLASS(0xfffffbfe, 0x06483000, TLB, PROGRAM),
    CLASS(0xffffffff, 0x06483800, ERTN, PROGRAM),
    CLASS(0xffff8000, 0x06488000, IDLE, PROGRAM),
    CLASS(0xffff8000, 0x06498000, TLB, PROGRAM),            /* invtlb */
};

static const StepForm step_forms_fp[] = {
    /* fmadd.s and so on, fcmp, fsel; those of vectors are among them */
    PLAIN(0xf8000000, 0x08000000, FP | VEC),
};

static const StepForm step_forms_int[] = {
    PLAIN(0xfc000000, 0x10000000, INT),         /* addu16i.d */
    PLAIN(0xf8000000, 0x18000000, INT),         /* pcaddi ... pcaddu18i */
    PLAIN(0xfc000000, 0x14000000, INT),         /* lu12i.w, lu32i.d */
};

static const StepForm step_forms_08[] = {
    MEM(0xff000000, 0x20000000, LL, INT, 2, DISP14),
    MEM(0xff000000, 0x21000000, SC, INT, 2, DISP14),
    MEM(0xff000000, 0x22000000, LL, INT, 3, DISP14),
    MEM(0xff000000, 0x23000000, SC, INT, 3, DISP14),
};

static const StepForm step_forms_09[] = {
    MEM(0xfe000000, 0x24000000, PLAIN, INT, 2, DISP14),     /* ldptr.w */
    MEM(0xfe000000, 0x26000000, PLAIN, INT, 3, DISP14),     /* ldptr.d */
};

static const StepForm step_forms_0a[] = {
    PLAIN(0xffc00000, 0x2ac00000, INT),                     /* preld */
    MEM_BHWD(0xffc00000, 0x28000000, 22, INT, DISP12),      /* ld.b */
    MEM_BHWD(0xffc00000, 0x29000000, 22, INT, DISP12),      /* st.b */
    MEM(0xffc00000, 0x2a000000, PLAIN, INT, 0, DISP12),     /* ld.bu */
    MEM(0xffc00000, 0x2a400000, PLAIN, INT, 1, DISP12),
    MEM(0xffc00000, 0x2a800000, PLAIN, INT, 2, DISP12),
    MEM(0xff800000, 0x2b000000, PLAIN, FP, 2, DISP12),      /* fld.s, fst.s */
    MEM(0xff800000, 0x2b800000, PLAIN, FP, 3, DISP12),      /* fld.d, fst.d */
};

static const StepForm step_forms_0b[] = {
    MEM(0xff800000, 0x2c000000, PLAIN, VEC, 4, DISP12),     /* vld, vst */
    MEM(0xff800000, 0x2c800000, PLAIN, VEC, 5, DISP12),     /* xvld, xvst */
    MEM(0xff800000, 0x2e000000, PLAIN, BT, 2, PART),        /* ldl.w, ldr.w */
    MEM(0xff800000, 0x2e800000, PLAIN, BT, 3, PART),        /* ldl.d, ldr.d */
    MEM(0xff800000, 0x2f000000, PLAIN, BT, 2, PART),        /* stl.w, str.w */
    MEM(0xff800000, 0x2f800000, PLAIN, BT, 3, PART),        /* stl.d, str.d */
};

static const StepForm step_forms_0c[] = {
    MEM(0xfff80000, 0x30100000, PLAIN, VEC, 3, REPL),       /* vldrepl.d */
    MEM(0xfff00000, 0x30200000, PLAIN, VEC, 2, REPL),
    MEM(0xffe00000, 0x30400000, PLAIN, VEC, 1, REPL),
    MEM(0xffc00000, 0x30800000, PLAIN, VEC, 0, REPL),
    MEM(0xfff80000, 0x31100000, PLAIN, VEC, 3, ELEMENT),    /* vstelm.d */
    MEM(0xfff00000, 0x31200000, PLAIN, VEC, 2, ELEMENT),
    MEM(0xffe00000, 0x31400000, PLAIN, VEC, 1, ELEMENT),
    MEM(0xffc00000, 0x31800000, PLAIN, VEC, 0, ELEMENT),
    MEM(0xfff80000, 0x32100000, PLAIN, VEC, 3, REPL),       /* xvldrepl.d */
    MEM(0xfff00000, 0x32200000, PLAIN, VEC, 2, REPL),
    MEM(0xffe00000, 0x32400000, PLAIN, VEC, 1, REPL),
    MEM(0xffc00000, 0x32800000, PLAIN, VEC, 0, REPL),
    MEM(0xfff00000, 0x33100000, PLAIN, VEC, 3, ELEMENT),    /* xvstelm.d */
    MEM(0xffe00000, 0x33200000, PLAIN, VEC, 2, ELEMENT),
    MEM(0xffc00000, 0x33400000, PLAIN, VEC, 1, ELEMENT),
    MEM(0xff800000, 0x33800000, PLAIN, VEC, 0, ELEMENT),
};

static const StepForm step_forms_0e[] = {
    MEM_BHWD(0xffff8000, 0x38000000, 18, INT, INDEX),       /* ldx.b */
    MEM_BHWD(0xffff8000, 0x38100000, 18, INT, INDEX),       /* stx.b */
    PLAIN(0xffff8000, 0x382c0000, INT),                     /* preldx */
    MEM(0xffff8000, 0x38200000, PLAIN, INT, 0, INDEX),      /* ldx.bu */
    MEM(0xffff8000, 0x38240000, PLAIN, INT, 1, INDEX),
    MEM(0xffff8000, 0x38280000, PLAIN, INT, 2, INDEX),
    MEM(0xfff78000, 0x38300000, PLAIN, FP, 2, INDEX),       /* fldx.s, fstx.s */
    MEM(0xfff78000, 0x38340000, PLAIN, FP, 3, INDEX),       /* fldx.d, fstx.d */
    MEM(0xfffb8000, 0x38400000, PLAIN, VEC, 4, INDEX),      /* vldx, vstx */
    MEM(0xfffb8000, 0x38480000, PLAIN, VEC, 5, INDEX),      /* xvldx, xvstx */
    MEM(0xffff8000, 0x38570000, SC, PROGRAM, 4, BASE),      /* sc.q */
    MEM(0xfffffc00, 0x38578000, LL, PROGRAM, 2, BASE),      /* llacq.w */
    MEM(0xfffffc00, 0x38578400, SC, PROGRAM, 2, BASE),      /* screl.w */
    MEM(0xfffffc00, 0x38578800, LL, PROGRAM, 3, BASE),      /* llacq.d */
    MEM(0xfffffc00, 0x38578c00, SC, PROGRAM, 3, BASE),      /* screl.d */
    MEM_BHWD(0xffff8000, 0x38580000, 15, PROGRAM, BASE),    /* amcas.b */
    MEM_BHWD(0xffff8000, 0x385a0000, 15, PROGRAM, BASE),    /* amcas_db.b */
    /* amswap.b, amadd.b, amswap_db.b, amadd_db.b, and halfwords in bit 15 */
    MEM(0xfffc8000, 0x385c0000, PLAIN, PROGRAM, 0, BASE),
    MEM(0xfffc8000, 0x385c8000, PLAIN, PROGRAM, 1, BASE),
    /* amswap.w ... ammin_db.d, ammax_db.wu ... ammin_db.du */
    MEM(0xfff08000, 0x38600000, PLAIN, PROGRAM, 2, BASE),
    MEM(0xfff08000, 0x38608000, PLAIN, PROGRAM, 3, BASE),
    MEM(0xfffe8000, 0x38700000, PLAIN, PROGRAM, 2, BASE),
    MEM(0xfffe8000, 0x38708000, PLAIN, PROGRAM, 3, BASE),
    PLAIN(0xffff0000, 0x38720000, INT),                     /* dbar, ibar */
    /* fldgt.s, fldle.s, fstgt.s, fstle.s, and doublewords in bit 15 */
    MEM(0xfffc8000, 0x38740000, PLAIN, FP, 2, BASE),
    MEM(0xfffc8000, 0x38748000, PLAIN, FP, 3, BASE),
    MEM_BHWD(0xffff8000, 0x38780000, 15, PROGRAM, BASE),    /* ldgt.b */
    MEM_BHWD(0xffff8000, 0x387a0000, 15, PROGRAM, BASE),    /* ldle.b */
    MEM_BHWD(0xffff8000, 0x387c0000, 15, PROGRAM, BASE),    /* stgt.b */
    MEM_BHWD(0xffff8000, 0x387e0000, 15, PROGRAM, BASE),    /* stle.b */
};

static const StepForm step_forms_branch[] = {
    BRANCH(0xfc000000, 0x40000000, EQ, INT),                /* beqz */
    BRANCH(0xfc000000, 0x44000000, NE, INT),                /* bnez */
    BRANCH(0xfc000300, 0x48000000, FCC0, FP),               /* bceqz */
    BRANCH(0xfc000300, 0x48000100, FCC1, FP),               /* bcnez */
    CLASS(0xfc0003e0, 0x48000200, JISCR, BT),
    CLASS(0xfc0003e0, 0x48000300, JISCR, BT),
    CLASS(0xfc000000, 0x4c000000, JIRL, INT),
    BRANCH(0xf8000000, 0x50000000, NONE, INT),              /* b, bl */
    BRANCH(0xfc000000, 0x58000000, EQ, INT),
    BRANCH(0xfc000000, 0x5c000000, NE, INT),
    BRANCH(0xfc000000, 0x60000000, LT, INT),
    BRANCH(0xfc000000, 0x64000000, GE, INT),
    BRANCH(0xfc000000, 0x68000000, LTU, INT),
    BRANCH(0xfc000000, 0x6c000000, GEU, INT),
};

static const StepForm step_forms_vec[] = {
    PLAIN(0xf8000000, 0x70000000, VEC | FP),
};

static const StepForm step_unknown = PLAIN(0, 0, LOONGARCH_STEP_EXC_ALL);

#define FORMS(f)    { step_forms_ ## f, G_N_ELEMENTS(step_forms_ ## f) }

/* By bits 31:26 */
static const struct {
    const StepForm *forms;
    size_t nr;
} step_forms[64] = {
    [0x00] = FORMS(00), [0x01] = FORMS(01),
    [0x02] = FORMS(fp), [0x03] = FORMS(fp),
    [0x04] = FORMS(int), [0x05] = FORMS(int),
    [0x06] = FORMS(int), [0x07] = FORMS(int),
    [0x08] = FORMS(08), [0x09] = FORMS(09), [0x0a] = FORMS(0a),
    [0x0b] = FORMS(0b), [0x0c] = FORMS(0c), [0x0e] = FORMS(0e),
    [0x10] = FORMS(branch), [0x11] = FORMS(branch), [0x12] = FORMS(branch),
    [0x13] = FORMS(branch), [0x14] = FORMS(branch), [0x15] = FORMS(branch),
    [0x16] = FORMS(branch), [0x17] = FORMS(branch), [0x18] = FORMS(branch),
    [0x19] = FORMS(branch), [0x1a] = FORMS(branch), [0x1b] = FORMS(branch),
    [0x1c] = FORMS(vec), [0x1d] = FORMS(vec),
};

/* @len bits of @word from bit @start up */
static uint32_t step_field(uint32_t word, int start, int len)
{
    return (word >> start) & ((1u << len) - 1);
}

/* Two's complement number of the low @len bits of @value */
static int64_t step_signed(uint32_t value, int len)
{
    int64_t sign = 1ll << (len - 1);

    return ((int64_t)value ^ sign) - sign;
}

static const StepForm *step_find(uint32_t word)
{
    const StepForm *forms = step_forms[word >> 26].forms;

    for (size_t i = 0; i < step_forms[word >> 26].nr; i++) {
        if ((word & forms[i].mask) == forms[i].value) {
            return &forms[i];
        }
    }
    return &step_unknown;
}

/* Bits 25:10 are the lower part, and what is below them is the upper one */
static int64_t step_offset(uint32_t word, int upper)
{
    uint32_t value = step_field(word, 10, 16);

    if (upper) {
        value |= step_field(word, 0, upper) << 16;
    }
    return step_signed(value, 16 + upper) * 4;
}

static void step_set_branch(LoongArchStepInsn *insn, uint32_t word)
{
    uint32_t op = word >> 26;

    if (insn->test == LOONGARCH_STEP_TEST_NONE) {
        insn->disp = step_offset(word, 10);
        insn->link = op & 1;
    } else if (op < 0x12) {
        insn->disp = step_offset(word, 5);
        insn->rj = step_field(word, 5, 5);
    } else if (op == 0x12) {
        insn->disp = step_offset(word, 5);
        insn->fcc = step_field(word, 5, 3);
    } else {
        insn->disp = step_offset(word, 0);
        insn->rd = step_field(word, 0, 5);
        insn->rj = step_field(word, 5, 5);
    }
}

static void step_set_mem(LoongArchStepInsn *insn, const StepForm *form,
                         uint32_t word)
{
    int log_size = form->size_at ? step_field(word, form->size_at, 2) :
                                   form->detail;

    insn->mem = true;
    insn->mem_base = step_field(word, 5, 5);
    insn->mem_index = -1;
    insn->mem_size = 1 << log_size;
    insn->mem_align = 1;
    switch (form->address) {
    case ADDRESS_INDEX:
        insn->mem_index = step_field(word, 10, 5);
        break;
    case ADDRESS_PART:
        insn->mem_align = insn->mem_size;
        /* fall through */
    case ADDRESS_DISP12:
        insn->mem_disp = step_signed(step_field(word, 10, 12), 12);
        break;
    case ADDRESS_DISP14:
        insn->mem_disp = step_signed(step_field(word, 10, 14), 14) * 4;
        break;
    case ADDRESS_REPL:
        insn->mem_disp = step_signed(step_field(word, 10, 12 - log_size),
                                     12 - log_size) * insn->mem_size;
        break;
    case ADDRESS_ELEMENT:
        insn->mem_disp = step_signed(step_field(word, 10, 8), 8) *
                         insn->mem_size;
        break;
    default:
        break;
    }
}

static void step_set_operands(LoongArchStepInsn *insn, uint32_t word)
{
    switch (insn->cls) {
    case LOONGARCH_STEP_BRANCH:
        step_set_branch(insn, word);
        break;
    case LOONGARCH_STEP_JIRL:
        insn->disp = step_offset(word, 0);
        insn->rd = step_field(word, 0, 5);
        insn->rj = step_field(word, 5, 5);
        insn->link = insn->rd != 0;
        break;
    case LOONGARCH_STEP_JISCR:
        insn->disp = step_offset(word, 5);
        insn->scr = step_field(word, 8, 1);
        break;
    case LOONGARCH_STEP_CSRXCHG:
        insn->rj = step_field(word, 5, 5);
        /* fall through */
    case LOONGARCH_STEP_CSRRD:
    case LOONGARCH_STEP_CSRWR:
        insn->rd = step_field(word, 0, 5);
        /* fall through */
    case LOONGARCH_STEP_GCSR:
        insn->csr = step_field(word, 10, 14);
        break;
    case LOONGARCH_STEP_SYSCALL:
    case LOONGARCH_STEP_BREAK:
    case LOONGARCH_STEP_DBCL:
    case LOONGARCH_STEP_HVCL:
    case LOONGARCH_STEP_IDLE:
        insn->imm = step_field(word, 0, 15);
        break;
    default:
        break;
    }
}

static bool step_changes_context(LoongArchStepClass cls)
{
    switch (cls) {
    case LOONGARCH_STEP_CSRWR:
    case LOONGARCH_STEP_CSRXCHG:
    case LOONGARCH_STEP_TLB:
    case LOONGARCH_STEP_HVCL:
        return true;
    default:
        return false;
    }
}

void loongarch_step_decode(uint32_t word, LoongArchStepInsn *insn)
{
    const StepForm *form = step_find(word);

    memset(insn, 0, sizeof(*insn));
    insn->cls = form->cls;
    insn->exceptions = form->exceptions;
    if (form->cls == LOONGARCH_STEP_BRANCH) {
        insn->test = form->detail;
    }
    insn->context = step_changes_context(insn->cls);
    step_set_operands(insn, word);
    if (form->address != ADDRESS_NONE) {
        step_set_mem(insn, form, word);
    }
}

static bool step_branch_taken(const LoongArchStepInsn *insn,
                              const LoongArchStepBranchRegs *regs)
{
    uint64_t rj = regs->gpr[insn->rj], rd = regs->gpr[insn->rd];

    switch (insn->test) {
    case LOONGARCH_STEP_TEST_NONE:
        return true;
    case LOONGARCH_STEP_TEST_EQ:
        return rj == rd;
    case LOONGARCH_STEP_TEST_NE:
        return rj != rd;
    case LOONGARCH_STEP_TEST_LT:
        return (int64_t)rj < (int64_t)rd;
    case LOONGARCH_STEP_TEST_GE:
        return (int64_t)rj >= (int64_t)rd;
    case LOONGARCH_STEP_TEST_LTU:
        return rj < rd;
    case LOONGARCH_STEP_TEST_GEU:
        return rj >= rd;
    case LOONGARCH_STEP_TEST_FCC0:
        return !(regs->fcc >> insn->fcc & 1);
    case LOONGARCH_STEP_TEST_FCC1:
        return regs->fcc >> insn->fcc & 1;
    }
    g_assert_not_reached();
}

static uint64_t step_wrap(uint64_t addr, bool va32)
{
    return va32 ? (uint32_t)addr : addr;
}

uint64_t loongarch_step_successor(const LoongArchStepInsn *insn,
                                  const LoongArchStepBranchRegs *regs)
{
    uint64_t next = regs->pc + 4;

    if (insn->cls == LOONGARCH_STEP_JIRL) {
        next = regs->gpr[insn->rj] + insn->disp;
    } else if (insn->cls == LOONGARCH_STEP_JISCR) {
        next = regs->scr[insn->scr] + insn->disp;
    } else if (insn->cls == LOONGARCH_STEP_BRANCH &&
               step_branch_taken(insn, regs)) {
        next = regs->pc + insn->disp;
    }
    return step_wrap(next, regs->va32);
}

uint64_t loongarch_step_mem_va(const LoongArchStepInsn *insn,
                               const uint64_t *gpr, bool va32)
{
    uint64_t va = gpr[insn->mem_base] + insn->mem_disp;

    if (insn->mem_index >= 0) {
        va += gpr[insn->mem_index];
    }
    return step_wrap(va, va32) & -(uint64_t)insn->mem_align;
}
