/*
 * Describes LoongArch instructions for loongarch-step-vs-objdump.sh
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: loongarch-step-dump N SEED BLOB
 *        loongarch-step-dump --top BITS TOP STRIDE BLOB
 *
 * Writes words to BLOB and a line for each to standard output: the word, what
 * it is described as, see describe(), and the exceptions, as a mask.  The first
 * word is at 4 GiB.
 *
 * The first form writes N words: first all in which the system instructions
 * differ, then random ones, a quarter each of all words, of those that branch,
 * of those that access memory, and of the rest of opcode 0 and 1.  The second
 * form writes each STRIDE-th word that has TOP in its upper BITS bits.
 */

static FILE *blob;
static uint64_t state;
static uint64_t address = 0x100000000ull;

static const char *const tests[] = {
    [LOONGARCH_STEP_TEST_EQ] = "eq", [LOONGARCH_STEP_TEST_NE] = "ne",
    [LOONGARCH_STEP_TEST_LT] = "lt", [LOONGARCH_STEP_TEST_GE] = "ge",
    [LOONGARCH_STEP_TEST_LTU] = "ltu", [LOONGARCH_STEP_TEST_GEU] = "geu",
};

static void describe_branch(const LoongArchStepInsn *insn)
{
    uint64_t target = address + insn->disp;

    switch (insn->test) {
    case LOONGARCH_STEP_TEST_NONE:
        printf("%s 0x%" PRIx64, insn->link ? "bl" : "b", target);
        break;
    case LOONGARCH_STEP_TEST_FCC0:
    case LOONGARCH_STEP_TEST_FCC1:
        printf("fcc%d $fcc%d 0x%" PRIx64,
               insn->test == LOONGARCH_STEP_TEST_FCC1, insn->fcc, target);
        break;
    default:
        printf("%s $r%d $r%d 0x%" PRIx64, tests[insn->test], insn->rj,
               insn->rd, target);
        break;
    }
}

static const char *const names[LOONGARCH_STEP_CLASS_MAX] = {
    [LOONGARCH_STEP_PLAIN] = "plain", [LOONGARCH_STEP_ERTN] = "ertn",
    [LOONGARCH_STEP_SYSCALL] = "syscall", [LOONGARCH_STEP_BREAK] = "break",
    [LOONGARCH_STEP_DBCL] = "dbcl", [LOONGARCH_STEP_HVCL] = "hvcl",
    [LOONGARCH_STEP_IDLE] = "idle", [LOONGARCH_STEP_GCSR] = "gcsr",
    [LOONGARCH_STEP_TLB] = "tlb", [LOONGARCH_STEP_WALK] = "walk",
    [LOONGARCH_STEP_CACOP] = "cacop", [LOONGARCH_STEP_IOCSR] = "iocsr",
    [LOONGARCH_STEP_CPUCFG] = "cpucfg", [LOONGARCH_STEP_RDTIME] = "rdtime",
    [LOONGARCH_STEP_LL] = "ll", [LOONGARCH_STEP_SC] = "sc",
};

static void describe(const LoongArchStepInsn *insn)
{
    switch (insn->cls) {
    case LOONGARCH_STEP_BRANCH:
        describe_branch(insn);
        break;
    case LOONGARCH_STEP_JIRL:
        printf("jirl $r%d $r%d %" PRId64, insn->rd, insn->rj, insn->disp);
        break;
    case LOONGARCH_STEP_JISCR:
        printf("jiscr%d %" PRId64, insn->scr, insn->disp);
        break;
    case LOONGARCH_STEP_CSRRD:
        printf("csrrd $r%d 0x%x", insn->rd, insn->csr);
        break;
    case LOONGARCH_STEP_CSRWR:
        printf("csrwr $r%d 0x%x", insn->rd, insn->csr);
        break;
    case LOONGARCH_STEP_CSRXCHG:
        printf("csrxchg $r%d $r%d 0x%x", insn->rd, insn->rj, insn->csr);
        break;
    case LOONGARCH_STEP_SYSCALL:
    case LOONGARCH_STEP_BREAK:
    case LOONGARCH_STEP_DBCL:
    case LOONGARCH_STEP_HVCL:
    case LOONGARCH_STEP_IDLE:
        printf("%s 0x%x", names[insn->cls], insn->imm);
        break;
    default:
        printf("%s", names[insn->cls]);
        break;
    }
    if (insn->mem) {
        printf(" mem %d%s $r%d", insn->mem_size,
               insn->mem_align > 1 ? " part" : "", insn->mem_base);
        if (insn->mem_index >= 0) {
            printf(" $r%d", insn->mem_index);
        } else {
            printf(" %" PRId64, insn->mem_disp);
        }
    }
}

static void put(uint32_t word)
{
    LoongArchStepInsn insn;

    for (int b = 0; b < 4; b++) {
        putc(word >> (b * 8), blob);
    }
    loongarch_step_decode(word, &insn);
    printf("%08x ", word);
    describe(&insn);
    printf("|%d\n", insn.exceptions);
    address += 4;
}

static uint32_t pick(unsigned long i)
{
    uint32_t word = step_random_word(&state);

    if (i < 1 << 15) {
        /* 0x0648xxxx and 0x0649xxxx: TLB, ertn, idle, iocsr; each other one */
        return 0x06480000 | i << 2 | (word & 3);
    }
    if (i < 3 << 15) {
        /* 17 bits of opcode, in 0x00000000 to 0x01ffffff and 0x38... */
        return (i & 1 ? 0x38000000 : 0) | (i & 0xfffe) << 9 | (word & 0x3ff);
    }
    switch (i & 3) {
    case 0:
        return word;
    case 1:
        return (word & 0x3fffffff) | 0x40000000;
    case 2:
        return (word & 0x1fffffff) | 0x20000000;
    default:
        return word & 0x07ffffff;
    }
}

int main(int argc, char **argv)
{
    bool walk = argc == 6 && !strcmp(argv[1], "--top");
    unsigned long n;

    blob = walk || argc == 4 ? fopen(argv[argc - 1], "wb") : NULL;
    if (!blob) {
        fprintf(stderr, "usage: loongarch-step-dump N SEED BLOB\n"
                "       loongarch-step-dump --top BITS TOP STRIDE BLOB\n");
        return 2;
    }
    if (walk) {
        step_walk(put, g_ascii_strtoull(argv[3], NULL, 0),
                  32 - atoi(argv[2]), g_ascii_strtoull(argv[4], NULL, 0));
        return fclose(blob) != 0;
    }
    n = g_ascii_strtoull(argv[1], NULL, 0);
    state = g_ascii_strtoull(argv[2], NULL, 0) | 1;
    for (unsigned long i = 0; i < n; i++) {
        put(pick(i));
    }
    return fclose(blob) != 0;
}
