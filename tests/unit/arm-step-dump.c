/*
 * Describes A64 instructions for arm-step-vs-objdump.sh
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: arm-step-dump N SEED BLOB
 *
 * Writes N words to BLOB and a line for each to standard output: the word and
 * what it is described as, see describe().  The first word is at 4 GiB.
 *
 * All words with 0xd501, 0xd503 and 0xd65f in the upper half come first, then
 * sys, sysl and sysp with all operations, then random ones, a quarter each of
 * all groups, of branches and system instructions, of 0xd4 to 0xd7 in bits
 * 31:24, and of load- and store-exclusives.
 */

static uint64_t state;

/* The name of a general register, as the zero register if it is 31 */
static const char *name(char *buffer, size_t size, int bits, int reg)
{
    if (reg == 31) {
        g_snprintf(buffer, size, "%czr", bits == 64 ? 'x' : 'w');
    } else {
        g_snprintf(buffer, size, "%c%d", bits == 64 ? 'x' : 'w', reg);
    }
    return buffer;
}

static void describe_branch(const ArmStepInsn *insn, uint64_t target)
{
    char reg[8], rm[8];

    switch (insn->test) {
    case ARM_STEP_TEST_NONE:
        printf("b %d 0x%" PRIx64, insn->link, target);
        break;
    case ARM_STEP_TEST_FLAGS:
        printf("flags %d 0x%" PRIx64, insn->cond, target);
        break;
    case ARM_STEP_TEST_BIT:
        printf("bit %d %s #%d 0x%" PRIx64, insn->cond,
               name(reg, sizeof(reg), insn->imm < 32 ? 32 : 64, insn->reg),
               insn->imm, target);
        break;
    case ARM_STEP_TEST_IMM:
        printf("imm %d %s #%d 0x%" PRIx64, insn->cond,
               name(reg, sizeof(reg), insn->bits, insn->reg), insn->imm,
               target);
        break;
    case ARM_STEP_TEST_REG:
        printf("reg %d %d %s %s 0x%" PRIx64, insn->cond, insn->bits,
               name(reg, sizeof(reg), insn->bits, insn->reg),
               name(rm, sizeof(rm), insn->bits, insn->rm), target);
        break;
    }
}

static void describe_exclusive(const ArmStepInsn *insn)
{
    int each = insn->pair ? insn->size / 2 : insn->size;
    int bits = each == 8 ? 64 : 32;
    char rs[8], rt[8], rt2[8], rn[8];

    name(rs, sizeof(rs), 32, insn->rs);
    name(rt, sizeof(rt), bits, insn->reg);
    name(rt2, sizeof(rt2), bits, insn->rt2);
    name(rn, sizeof(rn), 64, insn->rn);
    printf("%s %d%s%s %s%s%s %s",
           insn->cls == ARM_STEP_LDXR ? "load" : "store", each,
           insn->cls == ARM_STEP_STXR ? " " : "",
           insn->cls == ARM_STEP_STXR ? rs : "",
           rt, insn->pair ? " " : "", insn->pair ? rt2 : "",
           insn->rn == 31 ? "sp" : rn);
}

static const char *const imm_names[ARM_STEP_CLASS_MAX] = {
    [ARM_STEP_SVC] = "svc", [ARM_STEP_HVC] = "hvc", [ARM_STEP_SMC] = "smc",
    [ARM_STEP_BRK] = "brk", [ARM_STEP_HLT] = "hlt",
    [ARM_STEP_MSR_DAIFSET] = "daifset", [ARM_STEP_MSR_DAIFCLR] = "daifclr",
    [ARM_STEP_MSR_ALLINT_IMM] = "allint",
};

static const char *const reg_names[ARM_STEP_CLASS_MAX] = {
    [ARM_STEP_WFIT] = "wfit", [ARM_STEP_WFET] = "wfet",
    [ARM_STEP_MRS_DAIF] = "mrs daif", [ARM_STEP_MSR_DAIF] = "msr daif",
    [ARM_STEP_MRS_ALLINT] = "mrs allint", [ARM_STEP_MSR_ALLINT] = "msr allint",
};

static const char *const other_names[ARM_STEP_CLASS_MAX] = {
    [ARM_STEP_DRPS] = "drps", [ARM_STEP_WFI] = "wfi", [ARM_STEP_WFE] = "wfe",
    [ARM_STEP_YIELD] = "yield", [ARM_STEP_CLREX] = "clrex",
};

static void describe(const ArmStepInsn *insn, uint64_t address)
{
    char reg[8];

    name(reg, sizeof(reg), 64, insn->reg);
    if (insn->cls == ARM_STEP_PLAIN) {
        printf(insn->context ? "context" : "plain");
    } else if (insn->cls == ARM_STEP_BRANCH) {
        describe_branch(insn, address + insn->disp);
    } else if (insn->cls == ARM_STEP_BRANCH_REG) {
        printf("to-reg %d %d %s", insn->link, insn->pac, reg);
    } else if (insn->cls == ARM_STEP_ERET) {
        printf("eret %d", insn->pac);
    } else if (insn->cls == ARM_STEP_UDF) {
        printf("udf #%d", insn->imm);
    } else if (imm_names[insn->cls]) {
        printf("%s #0x%x", imm_names[insn->cls], insn->imm);
    } else if (reg_names[insn->cls]) {
        printf("%s %s", reg_names[insn->cls], reg);
    } else if (other_names[insn->cls]) {
        printf("%s", other_names[insn->cls]);
    } else {
        describe_exclusive(insn);
    }
}

static uint32_t pick(unsigned long i)
{
    static const uint32_t first[] = { 0xd5010000, 0xd5030000, 0xd65f0000 };
    static const uint32_t sys[] = { 0xd5080000, 0xd5280000, 0xd5480000 };
    uint32_t word = step_random_word(&state);
    unsigned long j = i - (G_N_ELEMENTS(first) << 16);

    if (i >> 16 < G_N_ELEMENTS(first)) {
        return first[i >> 16] | (i & 0xffff);
    }
    if (j >> 14 < G_N_ELEMENTS(sys)) {
        /* op1, CRn, CRm and op2, 14 bits; sysp has two registers, or none */
        return sys[j >> 14] | (j & 0x3fff) << 5 | (word & 0x1e);
    }
    switch (i & 3) {
    case 0:
        return word;
    case 1:
        return (word & 0xe3ffffff) | 0x14000000;
    case 2:
        return (word & 0x03ffffff) | 0xd4000000;
    default:
        /* With bit 24 those of FEAT_LSUI */
        return (word & 0xc17fffff) | 0x08000000;
    }
}

int main(int argc, char **argv)
{
    FILE *blob = argc == 4 ? fopen(argv[3], "wb") : NULL;
    unsigned long n;

    if (!blob) {
        fprintf(stderr, "usage: arm-step-dump N SEED BLOB\n");
        return 2;
    }
    n = g_ascii_strtoull(argv[1], NULL, 0);
    state = g_ascii_strtoull(argv[2], NULL, 0) | 1;
    for (unsigned long i = 0; i < n; i++) {
        uint32_t word = pick(i);
        ArmStepInsn insn;

        for (int b = 0; b < 4; b++) {
            putc(word >> (b * 8), blob);
        }
        arm_step_decode(word, &insn);
        printf("%08x ", word);
        describe(&insn, 0x100000000ull + i * 4);
        putchar('\n');
    }
    return fclose(blob) != 0;
}
