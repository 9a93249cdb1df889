/*
 * Comparison of the A64 instruction description with Capstone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <capstone/capstone.h>
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: arm-step-vs-capstone [--random N] [--seed S]
 *                             [--byte BYTE [--stride K]]
 *
 * Compares all that is described: class, target, condition, registers and
 * immediates, whether it may change translation, and the encoding group.
 * --byte walks all words with BYTE in bits 31:24, otherwise there are N random
 * words and a stride sample of those bytes that have most classes.  Wherever
 * the two differ there must be a reason in @gaps, and the words of each reason
 * are counted.
 */

#define ADDRESS 0x100000000ull

enum {
    GAP_NONE, GAP_SBO,
    GAP_SKIP,   /* those below are not compared */
    GAP_NEWER = GAP_SKIP, GAP_TWICE, GAP_NEITHER,
    GAP_MAX,
};

static const char *const gaps[GAP_MAX] = {
    [GAP_SBO] = "compared with the unused registers of a load- or "
                "store-exclusive set to ones, as they should be; Capstone "
                "wants them so",
    [GAP_NEWER] = "skipped: not in Capstone (FEAT_CMPBR, FEAT_LSUI, "
                  "FEAT_PAuth_LR)",
    [GAP_TWICE] = "skipped: a pair is loaded to one register, which is "
                  "CONSTRAINED UNPREDICTABLE; Capstone rejects it",
    [GAP_NEITHER] = "skipped: plain, and not in Capstone",
};

/* Instructions that Capstone does not know */
static const struct {
    uint32_t mask;
    uint32_t value;
} newer[] = {
    { 0x7e000000, 0x74000000 },     /* cb<cc>, cbb<cc>, cbh<cc> */
    { 0xbfa00000, 0x89000000 },     /* ldtxr, ldatxr, sttxr, stltxr */
    { 0xffc0001f, 0x5500001f },     /* retaasppc, retabsppc */
    { 0xfffffbe0, 0xd65f0be0 },     /* retaasppcr, retabsppcr */
};

/* Which operands a mnemonic has */
typedef enum Ops {
    OPS_NONE, OPS_TARGET, OPS_REG, OPS_REG_TARGET, OPS_REG_BIT_TARGET,
    OPS_IMM, OPS_MAY_IMM, OPS_LOAD, OPS_STORE,
} Ops;

static const struct {
    const char *name;
    ArmStepClass cls;
    Ops ops;
    bool link;
    bool pac;
} names[] = {
    { "b", ARM_STEP_BRANCH, OPS_TARGET, false, false },
    { "bl", ARM_STEP_BRANCH, OPS_TARGET, true, false },
    { "cbz", ARM_STEP_BRANCH, OPS_REG_TARGET, false, false },
    { "cbnz", ARM_STEP_BRANCH, OPS_REG_TARGET, false, false },
    { "tbz", ARM_STEP_BRANCH, OPS_REG_BIT_TARGET, false, false },
    { "tbnz", ARM_STEP_BRANCH, OPS_REG_BIT_TARGET, false, false },
    { "br", ARM_STEP_BRANCH_REG, OPS_REG, false, false },
    { "blr", ARM_STEP_BRANCH_REG, OPS_REG, true, false },
    { "ret", ARM_STEP_BRANCH_REG, OPS_REG, false, false },
    { "braa", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "brab", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "braaz", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "brabz", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "blraa", ARM_STEP_BRANCH_REG, OPS_REG, true, true },
    { "blrab", ARM_STEP_BRANCH_REG, OPS_REG, true, true },
    { "blraaz", ARM_STEP_BRANCH_REG, OPS_REG, true, true },
    { "blrabz", ARM_STEP_BRANCH_REG, OPS_REG, true, true },
    { "retaa", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "retab", ARM_STEP_BRANCH_REG, OPS_REG, false, true },
    { "eret", ARM_STEP_ERET, OPS_NONE, false, false },
    { "eretaa", ARM_STEP_ERET, OPS_NONE, false, true },
    { "eretab", ARM_STEP_ERET, OPS_NONE, false, true },
    { "drps", ARM_STEP_DRPS, OPS_NONE, false, false },
    { "svc", ARM_STEP_SVC, OPS_IMM, false, false },
    { "hvc", ARM_STEP_HVC, OPS_IMM, false, false },
    { "smc", ARM_STEP_SMC, OPS_IMM, false, false },
    { "brk", ARM_STEP_BRK, OPS_IMM, false, false },
    { "hlt", ARM_STEP_HLT, OPS_IMM, false, false },
    { "udf", ARM_STEP_UDF, OPS_IMM, false, false },
    { "wfi", ARM_STEP_WFI, OPS_NONE, false, false },
    { "wfe", ARM_STEP_WFE, OPS_NONE, false, false },
    { "wfit", ARM_STEP_WFIT, OPS_REG, false, false },
    { "wfet", ARM_STEP_WFET, OPS_REG, false, false },
    { "yield", ARM_STEP_YIELD, OPS_NONE, false, false },
    { "clrex", ARM_STEP_CLREX, OPS_MAY_IMM, false, false },
    { "ldxr", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldxrb", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldxrh", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldxp", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldaxr", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldaxrb", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldaxrh", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "ldaxp", ARM_STEP_LDXR, OPS_LOAD, false, false },
    { "stxr", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stxrb", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stxrh", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stxp", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stlxr", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stlxrb", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stlxrh", ARM_STEP_STXR, OPS_STORE, false, false },
    { "stlxp", ARM_STEP_STXR, OPS_STORE, false, false },
};

/* The plain ones among branches, exceptions and system instructions */
static const char *const system_names[] = {
    "msr", "mrs", "sys", "sysl", "at", "ic", "dc", "tlbi", "cfp", "cpp", "dvp",
    "nop", "hint", "sev", "sevl", "esb", "psb", "tsb", "csdb", "bti", "dgh",
    "pacia1716", "pacib1716", "paciasp", "pacibsp", "paciaz", "pacibz",
    "autia1716", "autib1716", "autiasp", "autibsp", "autiaz", "autibz",
    "xpaclri", "isb", "dsb", "dmb", "sb", "ssbb", "pssbb", "dfb", "cfinv",
    "xaflag", "axflag", "smstart", "smstop", "dcps1", "dcps2", "dcps3",
    "tstart", "ttest", "tcommit", "tcancel", "brb",
    NULL
};

/* Those of them that write system registers or do something to translation */
static const char *const context_names[] = {
    "sys", "at", "ic", "dc", "tlbi", "cfp", "cpp", "dvp", "brb", NULL
};

static const char *const conds[] = {
    "eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc",
    "hi", "ls", "ge", "lt", "gt", "le", "al", "nv",
};

#define OPS_MAX 8

static GHashTable *by_name;
static csh handle;
static cs_insn *cs;
static char text[160];      /* cs->op_str, cut up */
static const char *ops[OPS_MAX];
static int nr_ops;
static uint64_t passed, not_plain, some_written, failed;
static uint64_t counts[GAP_MAX];

static bool disassemble(uint32_t word)
{
    uint8_t bytes[4] = { word, word >> 8, word >> 16, word >> 24 };
    const uint8_t *code = bytes;
    size_t size = 4;
    uint64_t address = ADDRESS;

    return cs_disasm_iter(handle, &code, &size, &address, cs);
}

/* The operands, without what is around numbers and base registers */
static void cut_operands(void)
{
    char *save = NULL;

    g_strlcpy(text, cs->op_str, sizeof(text));
    nr_ops = 0;
    for (char *op = strtok_r(text, " ,[]#", &save); op && nr_ops < OPS_MAX;
         op = strtok_r(NULL, " ,[]#", &save)) {
        ops[nr_ops++] = op;
    }
}

static uint64_t op_number(int i)
{
    return i < nr_ops ? g_ascii_strtoull(ops[i], NULL, 0) : UINT64_MAX;
}

/* Number of a general register; 99 for what is none */
static uint8_t op_reg(int i)
{
    const char *op = i < nr_ops ? ops[i] : "";

    if (!strcmp(op, "sp") || !strcmp(op, "xzr") || !strcmp(op, "wzr")) {
        return 31;
    }
    return op[0] == 'x' || op[0] == 'w' ? atoi(op + 1) : 99;
}

static int64_t op_disp(int i)
{
    return op_number(i) - ADDRESS;
}

static bool one_of(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (!strcmp(name, *list)) {
            return true;
        }
    }
    return false;
}

static int find_cond(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(conds); i++) {
        if (!strcmp(name, conds[i])) {
            return i;
        }
    }
    return -1;
}

static bool shown_cond_branch(const char *m, ArmStepInsn *want)
{
    const char *dot = strchr(m, '.');
    int cond = dot ? find_cond(dot + 1) : -1;

    if (cond < 0 || (strncmp(m, "b.", 2) && strncmp(m, "bc.", 3))) {
        return false;
    }
    want->cls = ARM_STEP_BRANCH;
    want->test = ARM_STEP_TEST_FLAGS;
    want->cond = cond;
    want->disp = op_disp(0);
    return true;
}

/* mrs and msr; ALLINT is shown by its number, also with an immediate */
static void shown_move(const char *m, ArmStepInsn *want)
{
    bool read = m[1] == 'r';
    const char *name = ops[read ? 1 : 0];

    want->reg = op_reg(read ? 0 : 1);
    if (!strcmp(name, "daif")) {
        want->cls = read ? ARM_STEP_MRS_DAIF : ARM_STEP_MSR_DAIF;
    } else if (!strcmp(name, "s3_0_c4_c3_0")) {
        want->cls = read ? ARM_STEP_MRS_ALLINT : ARM_STEP_MSR_ALLINT;
    } else {
        want->reg = 0;
        want->context = !read && op_reg(1) != 99 && strncmp(name, "s0_", 3);
    }
    if (!strcmp(name, "daifset") || !strcmp(name, "daifclr")) {
        want->cls = name[4] == 's' ? ARM_STEP_MSR_DAIFSET :
                                     ARM_STEP_MSR_DAIFCLR;
        want->imm = op_number(1);
    } else if (op_reg(1) == 31 && (!strcmp(name, "s0_1_c4_c0_0") ||
                                   !strcmp(name, "s0_1_c4_c1_0"))) {
        want->cls = ARM_STEP_MSR_ALLINT_IMM;
        want->imm = name[9] - '0';
    }
}

static void shown_exclusive(const char *m, bool store, ArmStepInsn *want)
{
    int i = store ? 1 : 0;
    char last = m[strlen(m) - 1];

    want->rs = store ? op_reg(0) : 0;
    want->reg = op_reg(i);
    want->size = last == 'b' ? 1 : last == 'h' ? 2 : ops[i][0] == 'x' ? 8 : 4;
    if (last == 'p') {
        want->pair = true;
        want->size *= 2;
        want->rt2 = op_reg(++i);
    }
    want->rn = op_reg(i + 1);
}

static void shown_operands(const char *m, Ops kind, ArmStepInsn *want)
{
    switch (kind) {
    case OPS_TARGET:
        want->cond = 14;
        want->disp = op_disp(0);
        break;
    case OPS_REG:
        want->reg = nr_ops ? op_reg(0) : 30;
        break;
    case OPS_REG_TARGET:
        want->test = ARM_STEP_TEST_IMM;
        want->cond = m[2] == 'n';
        want->bits = ops[0][0] == 'x' ? 64 : 32;
        want->reg = op_reg(0);
        want->disp = op_disp(1);
        break;
    case OPS_REG_BIT_TARGET:
        want->test = ARM_STEP_TEST_BIT;
        want->cond = m[2] == 'n';
        want->reg = op_reg(0);
        want->imm = op_number(1);
        want->disp = op_disp(2);
        break;
    case OPS_IMM:
        want->imm = op_number(0);
        break;
    case OPS_LOAD:
    case OPS_STORE:
        shown_exclusive(m, kind == OPS_STORE, want);
        break;
    default:
        break;
    }
}

/* What Capstone shows, as a description; its group is anything */
static void shown(ArmStepInsn *want)
{
    const char *m = cs->mnemonic;
    int i = GPOINTER_TO_INT(g_hash_table_lookup(by_name, m)) - 1;

    memset(want, 0, sizeof(*want));
    cut_operands();
    if (i >= 0) {
        want->cls = names[i].cls;
        want->link = names[i].link;
        want->pac = names[i].pac;
        shown_operands(m, names[i].ops, want);
    } else if (!strcmp(m, "mrs") || !strcmp(m, "msr")) {
        shown_move(m, want);
    } else if (!shown_cond_branch(m, want)) {
        want->context = one_of(m, context_names);
    }
}

static bool is_load_store(const char *m)
{
    static const char *const prefixes[] = {
        "ld", "st", "cas", "swp", "prf", "rprfm", "cpy", "set", NULL
    };

    for (int i = 0; prefixes[i]; i++) {
        if (g_str_has_prefix(m, prefixes[i])) {
            return !g_str_has_prefix(m, "setf");
        }
    }
    return false;
}

static bool same_group(const ArmStepInsn *insn, const ArmStepInsn *want)
{
    const char *m = cs->mnemonic;
    bool exclusive = want->cls == ARM_STEP_LDXR || want->cls == ARM_STEP_STXR;
    bool branch = one_of(m, system_names) ||
                  (want->cls != ARM_STEP_PLAIN &&
                   want->cls != ARM_STEP_UDF && !exclusive);

    if (branch != (insn->group == ARM_STEP_GROUP_BRANCH)) {
        return false;
    }
    switch (insn->group) {
    case ARM_STEP_GROUP_RESERVED:
        return want->cls == ARM_STEP_UDF;
    case ARM_STEP_GROUP_SVE:
    case ARM_STEP_GROUP_SME:
        return true;
    default:
        return is_load_store(m) == (insn->group == ARM_STEP_GROUP_LDST);
    }
}

static bool same(const ArmStepInsn *a)
{
    ArmStepInsn b;

    shown(&b);
    return same_group(a, &b) && a->cls == b.cls && a->test == b.test &&
           a->cond == b.cond && a->bits == b.bits && a->disp == b.disp &&
           a->link == b.link && a->pac == b.pac && a->context == b.context &&
           a->reg == b.reg && a->rm == b.rm && a->imm == b.imm &&
           a->rn == b.rn && a->rs == b.rs && a->rt2 == b.rt2 &&
           a->pair == b.pair && a->size == b.size;
}

/* Why Capstone does not know what is described; disassembles if it can */
static int retry(uint32_t word, const ArmStepInsn *insn)
{
    uint32_t ones = insn->cls == ARM_STEP_LDXR ? 31 << 16 : 0;

    if (insn->cls == ARM_STEP_LDXR || insn->cls == ARM_STEP_STXR) {
        ones |= insn->pair ? 0 : 31 << 10;
        if ((word & ones) != ones && disassemble(word | ones)) {
            return GAP_SBO;
        }
    }
    if (insn->cls == ARM_STEP_LDXR && insn->pair && insn->reg == insn->rt2) {
        return GAP_TWICE;
    }
    if (insn->cls == ARM_STEP_PLAIN) {
        return GAP_NEITHER;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(newer); i++) {
        if ((word & newer[i].mask) == newer[i].value) {
            return GAP_NEWER;
        }
    }
    return GAP_NONE;
}

/* A general-purpose register of Capstone's, as a bit of arm_step_writes() */
static uint32_t written_bit(unsigned reg)
{
    switch (reg) {
    case ARM64_REG_X0 ... ARM64_REG_X28:
        return 1u << (reg - ARM64_REG_X0);
    case ARM64_REG_W0 ... ARM64_REG_W30:
        return 1u << (reg - ARM64_REG_W0);
    case ARM64_REG_X29:
        return 1u << 29;
    case ARM64_REG_X30:
        return 1u << 30;
    case ARM64_REG_SP:
    case ARM64_REG_WSP:
        return ARM_STEP_WRITES_SP;
    default:
        return 0;
    }
}

/* Is every register that Capstone says is written among ours? */
static bool writes(const ArmStepInsn *insn, uint32_t word)
{
    /*
     * Capstone takes the first operand of these for written, and svc for a
     * branch with link.
     */
    static const char *const wrong[] = { "cmn", "cmp", "svc", "tst", NULL };
    cs_regs read, written;
    uint8_t nr_read, nr_written;
    uint32_t want = 0;

    if (one_of(cs->mnemonic, wrong)) {
        return true;
    }

    if (cs_regs_access(handle, cs, read, &nr_read, written, &nr_written)) {
        return false;
    }
    for (int i = 0; i < nr_written; i++) {
        want |= written_bit(written[i]);
    }
    some_written += want != 0;
    return !(want & ~arm_step_writes(insn, word));
}

static void fail(uint32_t word, const ArmStepInsn *insn, bool known)
{
    if (failed++ < 100) {
        fprintf(stderr, "%08x: class %d group %d, Capstone: %s %s\n", word,
                insn->cls, insn->group, known ? cs->mnemonic : "nothing",
                known ? cs->op_str : "");
    }
}

static void compare(uint32_t word)
{
    ArmStepInsn insn;
    bool known = disassemble(word);
    int gap = GAP_NONE;

    arm_step_decode(word, &insn);
    if (!known) {
        gap = retry(word, &insn);
        known = gap != GAP_NONE;
    }
    if (!known ||
        (gap < GAP_SKIP && !(same(&insn) && writes(&insn, word)))) {
        fail(word, &insn, known);
        return;
    }
    counts[gap]++;
    if (gap < GAP_SKIP) {
        passed++;
        not_plain += insn.cls != ARM_STEP_PLAIN;
    }
}

static void sample(uint64_t n, uint64_t seed)
{
    static const uint8_t bytes[] = {
        0x00, 0x08, 0x48, 0x88, 0xc8, 0x54, 0xd4, 0xd5, 0xd6, 0xd7,
    };

    step_random_words(compare, n, seed);
    for (size_t i = 0; i < G_N_ELEMENTS(bytes); i++) {
        step_walk(compare, bytes[i], 24, 997);
    }
    /* Every allint, daif, hint, barrier, wait and return */
    for (uint32_t i = 0; i < 1u << 16; i++) {
        compare(0xd5010000 | i);
        compare(0xd5030000 | i);
        compare(0xd65f0000 | i);
    }
}

static int report(bool all_kinds)
{
    for (int i = GAP_NONE + 1; i < GAP_MAX; i++) {
        if (counts[i]) {
            printf("%10" PRIu64 " %s\n", counts[i], gaps[i]);
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " of them not plain, %" PRIu64
           " write registers, %" PRIu64 " failed\n", passed, not_plain,
           some_written, failed);
    return failed != 0 || passed == 0 || (all_kinds && some_written == 0);
}

int main(int argc, char **argv)
{
    uint64_t n = 300000, seed = 1, stride = 1;
    int byte = -1;

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = g_ascii_strtoull(argv[i + 1], NULL, 0);

        if (!strcmp(argv[i], "--random")) {
            n = value;
        } else if (!strcmp(argv[i], "--seed")) {
            seed = value;
        } else if (!strcmp(argv[i], "--byte")) {
            byte = value & 255;
        } else if (!strcmp(argv[i], "--stride")) {
            stride = CLAMP(value, 1, 1u << 24);
        }
    }
    if (cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &handle)) {
        fprintf(stderr, "Capstone does not start\n");
        return 1;
    }
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    cs = cs_malloc(handle);
    by_name = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_hash_table_insert(by_name, (gpointer)names[i].name,
                            GINT_TO_POINTER(i + 1));
    }
    if (byte >= 0) {
        step_walk(compare, byte, 24, stride);
    } else {
        sample(n, seed);
    }
    return report(byte < 0);
}
