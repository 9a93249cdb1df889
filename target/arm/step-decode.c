/*
 * A64 instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"

/*
 * Bits that should be one or zero, such as the unused register fields of the
 * load-exclusives, are not looked at: what a processor does if they are not
 * is CONSTRAINED UNPREDICTABLE, and may be what it does if they are.  Nothing
 * is lost by describing a word that turns out to be UNDEFINED, whereas
 * missing one that runs would be fatal.  Fields that have no other allocated
 * value must match.
 */

#define COND_EQ 0
#define COND_NE 1
#define COND_CS 2       /* also HS */
#define COND_CC 3       /* also LO */
#define COND_HI 8
#define COND_GE 10
#define COND_LT 11
#define COND_GT 12
#define COND_AL 14

#define REG_LR  30
#define REG_ZR  31

/*
 * StepForm: what one encoding does
 * @mask: the bits of the word that @value is compared with
 * @value: its opcode
 * @cls: class
 * @test: of an ARM_STEP_BRANCH
 */
typedef struct StepForm {
    uint32_t mask;
    uint32_t value;
    uint8_t cls;
    uint8_t test;
} StepForm;

#define FORM(m, v, c)   { m, v, ARM_STEP_ ## c, ARM_STEP_TEST_NONE }
#define BRANCH(m, v, t) { m, v, ARM_STEP_BRANCH, ARM_STEP_TEST_ ## t }

/*
 * ARM_STEP_GROUP_BRANCH, under the names of its instruction classes.  The
 * order does not matter: no word is in two lines.
 */
static const StepForm step_branch[] = {
    /* Unconditional branch (immediate) */
    BRANCH(0x7c000000, 0x14000000, NONE),           /* b, bl */
    /* Conditional branch (immediate) */
    BRANCH(0xff000000, 0x54000000, FLAGS),          /* b.cond, bc.cond */
    /* Compare and branch (immediate), test and branch (immediate) */
    BRANCH(0x7e000000, 0x34000000, IMM),            /* cbz, cbnz */
    BRANCH(0x7e000000, 0x36000000, BIT),            /* tbz, tbnz */
    /*
     * Compare and branch (register) and its forms for bytes and halfwords,
     * compare and branch (immediate) with a condition.  There are two lines
     * for each: cc is 0b0xx or 0b11x.
     */
    BRANCH(0x7f80c000, 0x74000000, REG),            /* cb<cc> */
    BRANCH(0x7fc0c000, 0x74c00000, REG),
    BRANCH(0xff808000, 0x74008000, REG),            /* cbb<cc>, cbh<cc> */
    BRANCH(0xffc08000, 0x74c08000, REG),
    BRANCH(0x7f804000, 0x75000000, IMM),            /* cb<cc> */
    BRANCH(0x7fc04000, 0x75c00000, IMM),

    /* Unconditional branch (register) */
    FORM(0xfffffc1f, 0xd61f0000, BRANCH_REG),       /* br */
    FORM(0xfffffc1f, 0xd63f0000, BRANCH_REG),       /* blr */
    FORM(0xfffffc1f, 0xd65f0000, BRANCH_REG),       /* ret */
    FORM(0xfffff81f, 0xd61f081f, BRANCH_REG),       /* braaz, brabz */
    FORM(0xfffff81f, 0xd63f081f, BRANCH_REG),       /* blraaz, blrabz */
    FORM(0xfffff800, 0xd71f0800, BRANCH_REG),       /* braa, brab */
    FORM(0xfffff800, 0xd73f0800, BRANCH_REG),       /* blraa, blrab */
    FORM(0xfffffbe0, 0xd65f0be0, BRANCH_REG),       /* retaa, retaasppcr ... */
    FORM(0xffffffff, 0xd69f03e0, ERET),
    FORM(0xfffffbff, 0xd69f0bff, ERET),             /* eretaa, eretab */
    FORM(0xffffffff, 0xd6bf03e0, DRPS),
    /* Miscellaneous branch (immediate): the immediate is no target */
    FORM(0xffc0001f, 0x5500001f, BRANCH_REG),       /* retaasppc, retabsppc */

    /* Exception generation */
    FORM(0xffe0001f, 0xd4000001, SVC),
    FORM(0xffe0001f, 0xd4000002, HVC),
    FORM(0xffe0001f, 0xd4000003, SMC),
    FORM(0xffe0001f, 0xd4200000, BRK),
    FORM(0xffe0001f, 0xd4400000, HLT),

    /* System instructions with register argument */
    FORM(0xffffffe0, 0xd5031000, WFET),
    FORM(0xffffffe0, 0xd5031020, WFIT),
    /* Hints */
    FORM(0xffffffff, 0xd503203f, YIELD),
    FORM(0xffffffff, 0xd503205f, WFE),
    FORM(0xffffffff, 0xd503207f, WFI),
    /* Barriers */
    FORM(0xfffff0ff, 0xd503305f, CLREX),
    /* PSTATE */
    FORM(0xfffff0ff, 0xd50340df, MSR_DAIFSET),
    FORM(0xfffff0ff, 0xd50340ff, MSR_DAIFCLR),
    FORM(0xfffffeff, 0xd501401f, MSR_ALLINT_IMM),
    /* System register move */
    FORM(0xffffffe0, 0xd53b4220, MRS_DAIF),
    FORM(0xffffffe0, 0xd51b4220, MSR_DAIF),
    FORM(0xffffffe0, 0xd5384300, MRS_ALLINT),
    FORM(0xffffffe0, 0xd5184300, MSR_ALLINT),
};

/* ARM_STEP_GROUP_LDST */
static const StepForm step_ldst[] = {
    /* Load/store exclusive register */
    FORM(0x3fe00000, 0x08000000, STXR),
    FORM(0x3fe00000, 0x08400000, LDXR),
    /* Load/store exclusive pair */
    FORM(0xbfe00000, 0x88200000, STXR),
    FORM(0xbfe00000, 0x88600000, LDXR),
    /* The unprivileged ones of FEAT_LSUI, 4 and 8 bytes only */
    FORM(0xbfe00000, 0x89000000, STXR),
    FORM(0xbfe00000, 0x89400000, LDXR),
};

/* ARM_STEP_GROUP_RESERVED */
static const StepForm step_reserved[] = {
    FORM(0xffff0000, 0x00000000, UDF),
};

static const StepForm step_plain = FORM(0, 0, PLAIN);

/* Which forms a group has, none if they are all plain */
static const struct {
    const StepForm *forms;
    size_t nr;
} step_groups[ARM_STEP_GROUP_MAX] = {
    [ARM_STEP_GROUP_RESERVED] = { step_reserved, G_N_ELEMENTS(step_reserved) },
    [ARM_STEP_GROUP_BRANCH] = { step_branch, G_N_ELEMENTS(step_branch) },
    [ARM_STEP_GROUP_LDST] = { step_ldst, G_N_ELEMENTS(step_ldst) },
};

/* @len bits of @word from bit @start up */
static uint32_t step_field(uint32_t word, int start, int len)
{
    return (word >> start) & ((1u << len) - 1);
}

/* Two's complement number of @len bits of @word from bit @start up */
static int64_t step_signed_field(uint32_t word, int start, int len)
{
    int64_t sign = 1ll << (len - 1);

    return ((int64_t)step_field(word, start, len) ^ sign) - sign;
}

/* "A64 instruction set encoding", by op1, bits 28:25; op0 is bit 31 */
static ArmStepGroup step_group(uint32_t word)
{
    static const uint8_t groups[16] = {
        [0] = ARM_STEP_GROUP_RESERVED, [1] = ARM_STEP_GROUP_RESERVED,
        [2] = ARM_STEP_GROUP_SVE, [3] = ARM_STEP_GROUP_RESERVED,
        [8] = ARM_STEP_GROUP_IMM, [9] = ARM_STEP_GROUP_IMM,
        [10] = ARM_STEP_GROUP_BRANCH, [11] = ARM_STEP_GROUP_BRANCH,
        [4] = ARM_STEP_GROUP_LDST, [6] = ARM_STEP_GROUP_LDST,
        [12] = ARM_STEP_GROUP_LDST, [14] = ARM_STEP_GROUP_LDST,
        [5] = ARM_STEP_GROUP_REG, [13] = ARM_STEP_GROUP_REG,
        [7] = ARM_STEP_GROUP_SIMD, [15] = ARM_STEP_GROUP_SIMD,
    };
    uint32_t op1 = step_field(word, 25, 4);

    return op1 == 0 && word >> 31 ? ARM_STEP_GROUP_SME : groups[op1];
}

static const StepForm *step_find(uint32_t word, ArmStepGroup group)
{
    const StepForm *forms = step_groups[group].forms;

    for (size_t i = 0; i < step_groups[group].nr; i++) {
        if ((word & forms[i].mask) == forms[i].value) {
            return &forms[i];
        }
    }
    return &step_plain;
}

/* cc of the comparisons of FEAT_CMPBR, bits 23:21 */
static uint8_t step_compare_cond(uint32_t word, bool imm)
{
    static const uint8_t conds[8] = {
        [0] = COND_GT, [1] = COND_GE, [2] = COND_HI, [3] = COND_CS,
        [6] = COND_EQ, [7] = COND_NE,
    };
    uint32_t cc = step_field(word, 21, 3);

    /* There is no need for ">= imm", which is "> imm - 1" */
    if (imm && cc == 1) {
        return COND_LT;
    } else if (imm && cc == 3) {
        return COND_CC;
    }
    return conds[cc];
}

static void step_set_compare_zero(ArmStepInsn *insn, uint32_t word)
{
    insn->disp = step_signed_field(word, 5, 19) * 4;
    insn->cond = word & 1 << 24 ? COND_NE : COND_EQ;
    insn->bits = word >> 31 ? 64 : 32;
}

static void step_set_compare_imm(ArmStepInsn *insn, uint32_t word)
{
    insn->disp = step_signed_field(word, 5, 9) * 4;
    insn->cond = step_compare_cond(word, true);
    insn->bits = word >> 31 ? 64 : 32;
    insn->imm = step_field(word, 15, 6);
}

static void step_set_compare_reg(ArmStepInsn *insn, uint32_t word)
{
    static const uint8_t bits[4] = { [0] = 32, [2] = 8, [3] = 16 };

    insn->disp = step_signed_field(word, 5, 9) * 4;
    insn->cond = step_compare_cond(word, false);
    insn->bits = word >> 31 ? 64 : bits[step_field(word, 14, 2)];
    insn->rm = step_field(word, 16, 5);
}

static void step_set_branch(ArmStepInsn *insn, uint32_t word)
{
    insn->reg = step_field(word, 0, 5);
    switch (insn->test) {
    case ARM_STEP_TEST_NONE:
        insn->reg = 0;
        insn->disp = step_signed_field(word, 0, 26) * 4;
        insn->cond = COND_AL;
        insn->link = word >> 31;
        break;
    case ARM_STEP_TEST_FLAGS:
        /* Bit 4 tells bc.cond, which is a hint */
        insn->reg = 0;
        insn->disp = step_signed_field(word, 5, 19) * 4;
        insn->cond = step_field(word, 0, 4);
        break;
    case ARM_STEP_TEST_IMM:
        if (word & 1 << 30) {
            step_set_compare_imm(insn, word);
        } else {
            step_set_compare_zero(insn, word);
        }
        break;
    case ARM_STEP_TEST_REG:
        step_set_compare_reg(insn, word);
        break;
    case ARM_STEP_TEST_BIT:
        insn->disp = step_signed_field(word, 5, 14) * 4;
        insn->cond = word & 1 << 24 ? COND_NE : COND_EQ;
        insn->imm = word >> 31 << 5 | step_field(word, 19, 5);
        break;
    }
}

/*
 * Unconditional branch (register), by opc, bits 24:21.  Bit 24 is set only for
 * those with a second register, and opc is 2 for those that return.
 */
static void step_set_branch_reg(ArmStepInsn *insn, uint32_t word)
{
    if (step_field(word, 25, 7) != 0x6b) {
        /* retaasppc, retabsppc */
        insn->pac = true;
        insn->reg = REG_LR;
        return;
    }
    insn->pac = word & 1 << 11;
    insn->link = step_field(word, 21, 3) == 1;
    insn->reg = step_field(word, 5, 5);
    if (insn->pac && step_field(word, 21, 4) == 2) {
        insn->reg = REG_LR;
    }
}

static void step_set_exclusive(ArmStepInsn *insn, uint32_t word)
{
    insn->reg = step_field(word, 0, 5);
    insn->rn = step_field(word, 5, 5);
    insn->pair = word & 1 << 21;
    insn->size = 1 << step_field(word, 30, 2);
    if (insn->pair) {
        insn->rt2 = step_field(word, 10, 5);
        insn->size *= 2;
    }
    if (insn->cls == ARM_STEP_STXR) {
        insn->rs = step_field(word, 16, 5);
    }
}

static void step_set_operands(ArmStepInsn *insn, uint32_t word)
{
    switch (insn->cls) {
    case ARM_STEP_BRANCH:
        step_set_branch(insn, word);
        break;
    case ARM_STEP_BRANCH_REG:
        step_set_branch_reg(insn, word);
        break;
    case ARM_STEP_ERET:
        insn->pac = word & 1 << 11;
        break;
    case ARM_STEP_SVC:
    case ARM_STEP_HVC:
    case ARM_STEP_SMC:
    case ARM_STEP_BRK:
    case ARM_STEP_HLT:
        insn->imm = step_field(word, 5, 16);
        break;
    case ARM_STEP_UDF:
        insn->imm = step_field(word, 0, 16);
        break;
    case ARM_STEP_WFIT:
    case ARM_STEP_WFET:
    case ARM_STEP_MRS_DAIF:
    case ARM_STEP_MSR_DAIF:
    case ARM_STEP_MRS_ALLINT:
    case ARM_STEP_MSR_ALLINT:
        insn->reg = step_field(word, 0, 5);
        break;
    case ARM_STEP_MSR_DAIFSET:
    case ARM_STEP_MSR_DAIFCLR:
    case ARM_STEP_MSR_ALLINT_IMM:
        insn->imm = step_field(word, 8, 4);
        break;
    case ARM_STEP_LDXR:
    case ARM_STEP_STXR:
        step_set_exclusive(insn, word);
        break;
    default:
        break;
    }
}

/*
 * msr (register), sys and, with bit 22 set, msrr and sysp: L, bit 21, is 0,
 * and op0, bits 20:19, is not.  With op0 = 0 there are hints, barriers and
 * PSTATE.
 */
static bool step_is_system_write(uint32_t word)
{
    return step_field(word, 23, 9) == 0x1aa && !(word & 1 << 21) &&
           step_field(word, 19, 2) != 0;
}

void arm_step_decode(uint32_t word, ArmStepInsn *insn)
{
    const StepForm *form;

    memset(insn, 0, sizeof(*insn));
    insn->group = step_group(word);
    form = step_find(word, insn->group);
    insn->cls = form->cls;
    insn->test = form->test;
    insn->context = insn->cls == ARM_STEP_PLAIN && step_is_system_write(word);
    step_set_operands(insn, word);
}

/* ConditionHolds(): bits 3:1 say what is tested, bit 0 inverts it */
static bool step_condition_holds(uint8_t cond, bool n, bool z, bool c, bool v)
{
    bool result;

    switch (cond >> 1) {
    case 0: /* EQ, NE */
        result = z;
        break;
    case 1: /* CS, CC */
        result = c;
        break;
    case 2: /* MI, PL */
        result = n;
        break;
    case 3: /* VS, VC */
        result = v;
        break;
    case 4: /* HI, LS */
        result = c && !z;
        break;
    case 5: /* GE, LT */
        result = n == v;
        break;
    case 6: /* GT, LE */
        result = n == v && !z;
        break;
    default: /* AL, and NV does the same */
        return true;
    }
    return result != (cond & 1);
}

/* Does @cond hold between the low @bits of @a and @b? */
static bool step_compare(uint8_t cond, uint64_t a, uint64_t b, int bits)
{
    /* At the top of 64 bits they compare as they do by themselves */
    uint64_t left = a << (64 - bits);
    uint64_t right = b << (64 - bits);
    uint64_t diff = left - right;

    /* The flags of subs */
    return step_condition_holds(cond, diff >> 63, diff == 0, left >= right,
                                ((left ^ right) & (left ^ diff)) >> 63);
}

static uint64_t step_x(const ArmStepBranchRegs *regs, uint8_t reg)
{
    return reg == REG_ZR ? 0 : regs->x[reg];
}

static bool step_branch_taken(const ArmStepInsn *insn,
                              const ArmStepBranchRegs *regs)
{
    uint32_t nzcv = regs->pstate >> 28;

    switch (insn->test) {
    case ARM_STEP_TEST_NONE:
        return true;
    case ARM_STEP_TEST_FLAGS:
        return step_condition_holds(insn->cond, nzcv & 8, nzcv & 4, nzcv & 2,
                                    nzcv & 1);
    case ARM_STEP_TEST_IMM:
        return step_compare(insn->cond, step_x(regs, insn->reg), insn->imm,
                            insn->bits);
    case ARM_STEP_TEST_REG:
        return step_compare(insn->cond, step_x(regs, insn->reg),
                            step_x(regs, insn->rm), insn->bits);
    case ARM_STEP_TEST_BIT:
        return step_compare(insn->cond, step_x(regs, insn->reg) >> insn->imm,
                            0, 1);
    }
    g_assert_not_reached();
}

uint64_t arm_step_successor(const ArmStepInsn *insn,
                            const ArmStepBranchRegs *regs)
{
    if (insn->cls == ARM_STEP_BRANCH_REG) {
        return step_x(regs, insn->reg);
    }
    if (insn->cls == ARM_STEP_BRANCH && step_branch_taken(insn, regs)) {
        return regs->pc + insn->disp;
    }
    return regs->pc + 4;
}

#define WRITES_ALL UINT32_MAX

/* The register in a field; 31 may be SP, and is taken for it */
static uint32_t step_written(uint32_t word, int lsb)
{
    return 1u << step_field(word, lsb, 5);
}

/* casp and the like have pairs of which only the first one is named */
static uint32_t step_written_pair(uint32_t word, int lsb)
{
    uint32_t first = step_written(word, lsb);

    return first | (first & ~ARM_STEP_WRITES_SP) << 1;
}

/* Rt, the base, the second and the status register, or what is there instead */
static uint32_t step_ldst_writes(uint32_t word)
{
    uint32_t rt = step_written(word, 0), rn = step_written(word, 5);

    switch (step_field(word, 28, 2)) {
    case 2: /* Pairs */
        return rt | rn | step_written(word, 10);
    case 3:
        if (word & 1 << 24) {
            /* Unsigned immediate: the base stays */
            return rt;
        }
        if (!(word & 1 << 21) || word & 1 << 10) {
            /* Other immediates, and those that authenticate the base */
            return rt | rn;
        }
        if ((word & 0xfffffc00) == 0xf83fd000) {
            return WRITES_ALL;                          /* ld64b */
        }
        /* Atomic, and register offset; with a status register st64bv */
        return rt | step_written(word, 16);
    default:
        return step_written_pair(word, 0) | rn | step_written(word, 10) |
               step_written_pair(word, 16);
    }
}

/* Of FEAT_PAuth_LR: what no field of theirs names */
static uint32_t step_implied_writes(uint32_t word)
{
    if ((word & 0xff80001f) == 0xf380001f) {
        return 1u << REG_LR;                            /* autiasppc */
    }
    if ((word & 0xffffcbff) == 0xdac18bfe) {
        return 1u << 17;                                /* pacia171615 */
    }
    return 0;
}

static uint32_t step_branch_writes(const ArmStepInsn *insn, uint32_t word)
{
    bool system = step_field(word, 23, 9) == 0x1aa;

    switch (insn->cls) {
    case ARM_STEP_BRANCH:
    case ARM_STEP_BRANCH_REG:
        return insn->link ? 1u << REG_LR : 0;
    case ARM_STEP_HVC:
    case ARM_STEP_SMC:
        return WRITES_ALL;
    default:
        break;
    }
    if (system && word & 1 << 21) {
        return step_written_pair(word, 0);              /* mrs, sysl, mrrs */
    }
    if (system && step_field(word, 12, 10) == 0x32) {
        /* Hints: pacia1716, chkfeat; paciasp, xpaclri */
        return 1 << 15 | 1 << 16 | 1 << 17 | 1u << REG_LR;
    }
    /* What is not known here may write any: tchangef (FEAT_S1POE2) does */
    return system || insn->cls != ARM_STEP_PLAIN ? 0 : WRITES_ALL;
}

uint32_t arm_step_writes(const ArmStepInsn *insn, uint32_t word)
{
    switch (insn->group) {
    case ARM_STEP_GROUP_IMM:
    case ARM_STEP_GROUP_REG:
        return step_written(word, 0) | step_implied_writes(word);
    case ARM_STEP_GROUP_SIMD:
        return step_written(word, 0);
    case ARM_STEP_GROUP_LDST:
        return step_ldst_writes(word);
    case ARM_STEP_GROUP_BRANCH:
        return step_branch_writes(insn, word);
    default:
        return insn->cls == ARM_STEP_UDF ? 0 : WRITES_ALL;
    }
}
