/*
 * Comparison of the PowerPC instruction description with Capstone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <capstone/capstone.h>
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: ppc-step-vs-capstone [--random N] [--seed S]
 *                             [--opcode OP [--stride K]]
 *
 * Compares class, branch (source, target, condition, LK), the MSR and SRRn
 * moves, whether it may change translation and whether it is a load or store.
 * --opcode walks all words of one primary opcode, otherwise there are N random
 * words and a stride sample of opcodes 19 and 31.  Wherever the two differ
 * there must be a reason in @gaps, and the words of each reason are counted.
 */

#define ADDRESS 0x100000000ull

enum {
    GAP_NONE, GAP_RESERVED, GAP_BIT31, GAP_ALWAYS, GAP_MFTB, GAP_UPDATE,
    GAP_ZERO,
    GAP_SKIP,   /* those below are not compared */
    GAP_NEWER = GAP_SKIP, GAP_WHOLE, GAP_FXM, GAP_FOREIGN, GAP_PREFIX,
    GAP_MAX,
};

static const char *const gaps[GAP_MAX] = {
    [GAP_RESERVED] = "compared with reserved bits cleared, Capstone wants "
                     "them 0; processors ignore them (Book I, 1.3.3)",
    [GAP_BIT31] = "compared with bit 31 inverted: reserved (Book I, 1.3.3) "
                  "or part of the opcode; described leniently",
    [GAP_ALWAYS] = "compared but for the condition: Capstone takes BO = "
                   "1z1zz for bdnz or bdz, it is always (Book I, 2.4)",
    [GAP_MFTB] = "mftb of SRRn, which acts as mfspr (Book II, 6.1)",
    [GAP_UPDATE] = "compared with RA = 1: Capstone rejects an invalid form "
                   "(Book I, 3.3.2)",
    [GAP_ZERO] = "compared but for the target: Capstone shows none for a "
                 "displacement of 0 (Book I, 2.4)",
    [GAP_NEWER] = "skipped: in Power ISA 3.1B but not in Capstone (scv: Book "
                  "I, 2.4; rfscv: Book III, 4.3.2; others: see newer[])",
    [GAP_WHOLE] = "skipped: not in Capstone, primary opcode described as a "
                  "whole (Book I, appendix of opcode maps)",
    [GAP_FXM] = "skipped: mfocrf and mtocrf with other than one bit in FXM, "
                "Capstone rejects them; undefined result (Book I, 3.3.18)",
    [GAP_FOREIGN] = "skipped: Capstone has it from other processors, or it "
                    "is privileged; described as one that may raise all",
    [GAP_PREFIX] = "skipped: prefixes (Book I, 1.6.3); see "
                   "ppc-step-vs-objdump",
};

/* Instructions that Capstone does not know: Book I 3.3, Book II 4 and 7 */
static const struct {
    uint32_t mask;
    uint32_t value;
} newer[] = {
    { 0xfc000003, 0x44000001 },     /* scv */
    { 0xfc0007fe, 0x4c0000a4 },     /* rfscv */
    { 0xfc0007fe, 0x4c000460 },     /* bctar */
    { 0xfc000003, 0xe4000000 },     /* lfdp */
    { 0xfc000003, 0xf4000000 },     /* stfdp */
    { 0xfc000003, 0xf8000002 },     /* stq */
    { 0xfc000000, 0xe0000000 },     /* lq */
    { 0xfc00000e, 0x18000000 },     /* lxvp, stxvp */
};

static const uint16_t newer_31[] = {
    13, 45, 77, 109, 141, 173, 205, 237,            /* lxvr*x, stxvr*x */
    276, 182,                                       /* lqarx, stqcx. */
    300, 428,                                       /* bit 25 of lxvx */
    333, 461,                                       /* lxvpx, stxvpx */
    51, 115, 179, 211, 243, 307, 403, 435,          /* m[ft]vsr* */
    177,                                            /* xxmfacc */
    59, 571, 156, 188, 220, 155, 187, 219,          /* bit manipulation */
    74, 282, 314, 586,                              /* BCD assist */
    154, 186, 122,                                  /* prtyw, popcntb */
    128, 192, 224, 384, 416, 448, 480, 576,         /* setb ... mcrxrx */
    170, 426, 682, 938, 755,                        /* addex, darn */
    533, 661,                                       /* lswx, stswx */
    791, 919,                                       /* lfdpx, stfdpx */
    658, 690, 722, 754,                             /* hash* */
    30, 598, 838, 430,                              /* wait, sync, ... */
    /* OE = 1, which Capstone mostly lacks */
    520, 521, 522, 523, 552, 585, 587, 616, 648, 650, 712, 714, 744, 745,
    746, 747, 778, 905, 907, 937, 939, 969, 971, 1001, 1003,
};

/* Reserved fields, besides bit 31 */
static const struct {
    uint32_t mask;
    uint32_t value;
    uint32_t reserved;
} reserved[] = {
    { 0xfc0007fe, 0x4c000024, 0x03fff801 },     /* rfid */
    { 0xfc0007fe, 0x4c000124, 0x03fff001 },     /* rfebb */
    { 0xfc0007fe, 0x4c00012c, 0x03fff801 },     /* isync */
    { 0xfc0007fe, 0x4c000000, 0x0063f801 },     /* mcrf */
    { 0xfc0007fe, 0x4c000020, 0x0000e000 },     /* bclr */
    { 0xfc0007fe, 0x4c000420, 0x0000e000 },     /* bcctr */
    { 0xfc000002, 0x44000002, 0x03fff01d },     /* sc */
    { 0xf8000000, 0x28000000, 0x00400000 },     /* cmpli, cmpi */
    { 0xfc0007be, 0x7c000000, 0x00400001 },     /* cmp, cmpl */
    { 0xfc0007fe, 0x7c0000a6, 0x001ff801 },     /* mfmsr */
    { 0xfc0007fe, 0x7c000124, 0x001ef801 },     /* mtmsr */
    { 0xfc0007fe, 0x7c000164, 0x001ef801 },     /* mtmsrd */
    { 0xfc1007fe, 0x7c000026, 0x000ff801 },     /* mfcr */
    { 0xfc1007fe, 0x7c100026, 0x00000801 },     /* mfocrf */
    { 0xfc0007fe, 0x7c000120, 0x00000801 },     /* mtcrf */
    { 0xfc0007fe, 0x7c000034, 0x0000f800 },     /* cntlzw */
    { 0xfc0007fe, 0x7c000074, 0x0000f800 },     /* cntlzd */
    { 0xfc0007fe, 0x7c000434, 0x0000f800 },     /* cnttzw */
    { 0xfc0007fe, 0x7c000474, 0x0000f800 },     /* cnttzd */
    { 0xfc0003fe, 0x7c0000d0, 0x0000f800 },     /* neg */
    { 0xfc0003fe, 0x7c000190, 0x0000f800 },     /* subfze */
    { 0xfc0003fe, 0x7c000194, 0x0000f800 },     /* addze */
    { 0xfc0003fe, 0x7c0001d0, 0x0000f800 },     /* subfme */
    { 0xfc0003fe, 0x7c0001d4, 0x0000f800 },     /* addme */
    { 0xfc0007fe, 0x7c0000f4, 0x0000f801 },     /* popcntb */
    { 0xfc0007fe, 0x7c0002f4, 0x0000f801 },     /* popcntw */
    { 0xfc0007fe, 0x7c0003f4, 0x0000f801 },     /* popcntd */
    { 0xfc0007fe, 0x7c000734, 0x0000f800 },     /* extsh */
    { 0xfc0007fe, 0x7c000774, 0x0000f800 },     /* extsb */
    { 0xfc0007fe, 0x7c0007b4, 0x0000f800 },     /* extsw */
    { 0xfc0007fe, 0x7c00002c, 0x02000001 },     /* icbt */
    { 0xfc0007fe, 0x7c00006c, 0x03e00001 },     /* dcbst */
    { 0xfc0007fe, 0x7c0000ac, 0x03800001 },     /* dcbf */
    { 0xfc0007fe, 0x7c0007ac, 0x03e00001 },     /* icbi */
    { 0xfc0007fe, 0x7c0007ec, 0x03e00001 },     /* dcbz */
    { 0xfc0007fe, 0x7c00060c, 0x03c00001 },     /* copy */
    { 0xfc0007fe, 0x7c00070c, 0x03c00000 },     /* paste. */
    { 0xfc0007fe, 0x7c0006ac, 0x03fff801 },     /* eieio */
};

/* What a mnemonic of a branch stands for */
typedef struct Branch {
    PPCStepBranch source;
    bool link;
    int ctr;        /* 0: not tested, 1: not 0, 2: 0 */
    int cr;         /* -1: not tested */
} Branch;

static GHashTable *branches;
static csh handle;
static cs_insn *cs;
static uint64_t passed, failed;
static uint64_t counts[GAP_MAX];

static const struct {
    const char *name;
    int ctr;
    int cr;
} conditions[] = {
    { "", 0, -1 }, { "dnz", 1, -1 }, { "dz", 2, -1 },
    { "dnzt", 1, 1 }, { "dnzf", 1, 0 }, { "dzt", 2, 1 }, { "dzf", 2, 0 },
    { "lt", 0, 1 }, { "gt", 0, 1 }, { "eq", 0, 1 }, { "so", 0, 1 },
    { "un", 0, 1 }, { "ge", 0, 0 }, { "le", 0, 0 }, { "ne", 0, 0 },
    { "ns", 0, 0 }, { "nu", 0, 0 }, { "nl", 0, 0 }, { "ng", 0, 0 },
    { "t", 0, 1 }, { "f", 0, 0 },
};

static const struct {
    const char *name;
    PPCStepBranch source;
    bool link;
} sources[] = {
    { "", PPC_STEP_BRANCH_REL, false }, { "l", PPC_STEP_BRANCH_REL, true },
    { "a", PPC_STEP_BRANCH_ABS, false }, { "la", PPC_STEP_BRANCH_ABS, true },
    { "lr", PPC_STEP_BRANCH_LR, false }, { "lrl", PPC_STEP_BRANCH_LR, true },
    { "ctr", PPC_STEP_BRANCH_CTR, false },
    { "ctrl", PPC_STEP_BRANCH_CTR, true },
};

static void init_branches(void)
{
    branches = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t c = 0; c < G_N_ELEMENTS(conditions); c++) {
        for (size_t s = 0; s < G_N_ELEMENTS(sources); s++) {
            Branch *b = g_new(Branch, 1);

            b->source = sources[s].source;
            b->link = sources[s].link;
            b->ctr = conditions[c].ctr;
            b->cr = conditions[c].cr;
            g_hash_table_insert(branches,
                                g_strconcat("b", conditions[c].name,
                                            sources[s].name, NULL), b);
        }
    }
}

static const Branch *find_branch(const char *mnemonic)
{
    char name[CS_MNEMONIC_SIZE];

    if (mnemonic[0] != 'b') {
        return NULL;
    }
    g_strlcpy(name, mnemonic, sizeof(name));
    name[strcspn(name, "+-")] = 0;
    return g_hash_table_lookup(branches, name);
}

static bool disassemble(uint32_t word)
{
    uint8_t bytes[4] = { word >> 24, word >> 16, word >> 8, word };
    const uint8_t *code = bytes;
    size_t size = 4;
    uint64_t address = ADDRESS;

    return cs_disasm_iter(handle, &code, &size, &address, cs);
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

static bool is_load_store(const char *m)
{
    static const char *const not_l[] = {
        "li", "lis", "la", "lnia", "lvsl", "lvsr", "lwsync", NULL
    };
    static const char *const cache[] = {
        "dcbf", "dcbfl", "dcbflp", "dcbst", "dcbz", "dcbzl", "icbi", "copy",
        "paste", "paste.", NULL
    };

    return (m[0] == 'l' && !one_of(m, not_l)) ||
           (m[0] == 's' && m[1] == 't' && strcmp(m, "stop")) ||
           one_of(m, cache);
}

/* Loads and stores that a server processor does not have */
static bool is_foreign_load_store(const char *m)
{
    return g_str_has_suffix(m, "epx") || !strcmp(m, "ldmx");
}

static uint64_t last_number(const char *ops)
{
    const char *comma = strrchr(ops, ',');

    return g_ascii_strtoull(comma ? comma + 1 : ops, NULL, 0);
}

static PPCStepClass capstone_class(const char *m, const char *ops)
{
    static const char *const larx[] = {
        "lbarx", "lharx", "lwarx", "ldarx", NULL
    };
    static const char *const stcx[] = {
        "stbcx.", "sthcx.", "stwcx.", "stdcx.", NULL
    };
    static const struct {
        const char *name;
        PPCStepClass cls;
    } named[] = {
        { "rfid", PPC_STEP_RFID }, { "rfebb", PPC_STEP_RFEBB },
        { "mfmsr", PPC_STEP_MFMSR }, { "mtmsr", PPC_STEP_MTMSR },
        { "mtmsrd", PPC_STEP_MTMSRD },
    };
    uint64_t n;

    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        if (!strcmp(m, named[i].name)) {
            return named[i].cls;
        }
    }
    if (one_of(m, larx) || one_of(m, stcx)) {
        return m[0] == 'l' ? PPC_STEP_LARX : PPC_STEP_STCX;
    } else if (!strcmp(m, "sc")) {
        /* Book I, 2.4: the bits before the last two are as reserved */
        return last_number(ops) & 3 ? PPC_STEP_HCALL : PPC_STEP_SC;
    } else if (!strcmp(m, "mfspr")) {
        n = last_number(ops);
        return n == 26 || n == 27 ? PPC_STEP_MFSRR : PPC_STEP_PLAIN;
    } else if (!strcmp(m, "mtspr")) {
        n = g_ascii_strtoull(ops, NULL, 0);
        return n == 26 || n == 27 ? PPC_STEP_MTSRR : PPC_STEP_PLAIN;
    }
    return find_branch(m) ? PPC_STEP_BRANCH : PPC_STEP_PLAIN;
}

static bool same_branch(uint32_t word, const PPCStepInsn *insn, int *gap)
{
    const Branch *b = find_branch(cs->mnemonic);
    int ctr = insn->bo & 4 ? 0 : insn->bo & 2 ? 2 : 1;
    int cr = insn->bo & 16 ? -1 : insn->bo >> 3 & 1;
    uint64_t base = insn->branch == PPC_STEP_BRANCH_REL ? ADDRESS : 0;

    if (b->source != insn->branch || b->link != insn->link) {
        return false;
    }
    if (word >> 26 != 19 && insn->disp == 0 && !strstr(cs->op_str, "0x")) {
        *gap = GAP_ZERO;
    } else if (word >> 26 != 19 &&
               last_number(cs->op_str) != base + insn->disp) {
        return false;
    }
    if (b->ctr == ctr && b->cr == cr) {
        return true;
    }
    if ((insn->bo & 0x14) == 0x14 && b->ctr && b->cr == -1) {
        *gap = GAP_ALWAYS;
        return true;
    }
    return false;
}

/* May it change translation beside MSR?  Of what both know */
static bool capstone_context(const char *m, const char *ops)
{
    static const char *const names[] = { "mtpid", "mtpidr", NULL };

    return capstone_class(m, ops) == PPC_STEP_HCALL || one_of(m, names) ||
           (!strcmp(m, "mtspr") && g_ascii_strtoull(ops, NULL, 0) == 48);
}

/* The register operand, r0 to r31 */
static int capstone_reg(const char *ops)
{
    const char *r = strchr(ops, 'r');

    return r ? atoi(r + 1) : -1;
}

static bool same(uint32_t word, const PPCStepInsn *insn, int *gap)
{
    const char *m = cs->mnemonic;
    bool data = insn->interrupts & PPC_STEP_INT_DATA;

    if (insn->cls == PPC_STEP_MFSRR && !strcmp(m, "mftb")) {
        *gap = GAP_MFTB;
        return last_number(cs->op_str) == insn->spr;
    }
    if (capstone_class(m, cs->op_str) != insn->cls ||
        capstone_context(m, cs->op_str) != insn->context ||
        is_load_store(m) != data) {
        return false;
    }
    switch (insn->cls) {
    case PPC_STEP_BRANCH:
        return same_branch(word, insn, gap);
    case PPC_STEP_SC:
    case PPC_STEP_HCALL:
        return last_number(cs->op_str) == insn->l;
    case PPC_STEP_MTMSR:
    case PPC_STEP_MTMSRD:
        return capstone_reg(cs->op_str) == insn->reg &&
               !!strchr(cs->op_str, ',') == insn->l;
    case PPC_STEP_MFSRR:
        return capstone_reg(cs->op_str) == insn->reg &&
               last_number(cs->op_str) == insn->spr;
    case PPC_STEP_MTSRR:
        return capstone_reg(cs->op_str) == insn->reg &&
               g_ascii_strtoull(cs->op_str, NULL, 0) == insn->spr;
    case PPC_STEP_MFMSR:
        return capstone_reg(cs->op_str) == insn->reg;
    default:
        return true;
    }
}

/* Disassembles what Capstone refuses: the word without what it minds */
static int retry(uint32_t word)
{
    uint32_t ra = word >> 16 & 31;
    uint32_t clean = word;

    for (size_t i = 0; i < G_N_ELEMENTS(reserved); i++) {
        if ((word & reserved[i].mask) == reserved[i].value) {
            clean &= ~reserved[i].reserved;
        }
    }
    if (clean != word && disassemble(clean)) {
        return GAP_RESERVED;
    }
    if ((word >> 26 == 19 || word >> 26 == 31) && disassemble(clean ^ 1)) {
        return GAP_BIT31;
    }
    if (ra == 0 && disassemble(word | 1 << 16)) {
        return GAP_UPDATE;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(newer); i++) {
        if ((word & newer[i].mask) == newer[i].value) {
            return GAP_NEWER;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(newer_31); i++) {
        if (word >> 26 == 31 && (word >> 1 & 1023) == newer_31[i]) {
            return GAP_NEWER;
        }
    }
    if ((word & 0xfc1007fe) == 0x7c100026 ||
        (word & 0xfc1007fe) == 0x7c100120) {
        return GAP_FXM;
    }
    switch (word >> 26) {
    case 1:
        return GAP_PREFIX;
    case 4: case 30: case 59: case 60: case 63:
        return GAP_WHOLE;
    }
    return GAP_NONE;
}

static void fail(uint32_t word, const PPCStepInsn *insn, bool known)
{
    if (failed++ < 100) {
        fprintf(stderr, "%08x: class %d interrupts %02x, Capstone: %s %s\n",
                word, insn->cls, insn->interrupts,
                known ? cs->mnemonic : "nothing", known ? cs->op_str : "");
    }
}

static void compare(uint32_t word)
{
    PPCStepInsn insn;
    bool unknown, known = disassemble(word);
    int gap = GAP_NONE;

    ppc_step_decode(word, 0, &insn);
    unknown = insn.interrupts == PPC_STEP_INT_ALL && !insn.mem;
    if (insn.length == 8) {
        counts[GAP_PREFIX]++;
        return;
    }
    if (!known && !unknown) {
        gap = retry(word);
        if (gap >= GAP_SKIP) {
            counts[gap]++;
            return;
        }
        known = gap != GAP_NONE;
    }
    if (known && unknown) {
        /* Never a class of its own, nor a load or store of a server */
        if (capstone_class(cs->mnemonic, cs->op_str) != PPC_STEP_PLAIN ||
            (is_load_store(cs->mnemonic) &&
             !is_foreign_load_store(cs->mnemonic))) {
            fail(word, &insn, known);
        } else {
            counts[GAP_FOREIGN]++;
        }
        return;
    }
    if (known == unknown || (known && !same(word, &insn, &gap))) {
        fail(word, &insn, known);
        return;
    }
    passed++;
    counts[gap]++;
}

static int report(void)
{
    for (int i = GAP_NONE + 1; i < GAP_MAX; i++) {
        if (counts[i]) {
            printf("%10" PRIu64 " %s\n", counts[i], gaps[i]);
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

int main(int argc, char **argv)
{
    uint64_t n = 1000000, seed = 1, stride = 1;
    int opcode = -1;

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = g_ascii_strtoull(argv[i + 1], NULL, 0);

        if (!strcmp(argv[i], "--random")) {
            n = value;
        } else if (!strcmp(argv[i], "--seed")) {
            seed = value;
        } else if (!strcmp(argv[i], "--opcode")) {
            opcode = value & 63;
        } else if (!strcmp(argv[i], "--stride")) {
            stride = CLAMP(value, 1, 1u << 26);
        }
    }
    if (cs_open(CS_ARCH_PPC, CS_MODE_64 | CS_MODE_BIG_ENDIAN, &handle)) {
        fprintf(stderr, "Capstone does not start\n");
        return 1;
    }
    cs = cs_malloc(handle);
    init_branches();
    if (opcode >= 0) {
        step_walk(compare, opcode, 26, stride);
    } else {
        step_random_words(compare, n, seed);
        step_walk(compare, 19, 26, 131);
        step_walk(compare, 31, 26, 131);
    }
    return report();
}
