/*
 * Comparison of the x86 instruction description with Capstone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <capstone/capstone.h>
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: x86-step-vs-capstone [--random N] [--seed S] [--rounds N]
 *
 * Compares length and class.  Every opcode of every map
 * is tried in each of the three modes with ROUNDS random choices of prefixes,
 * ModRM, SIB and what follows, and N strings of random bytes.  Wherever the two
 * differ there must be a reason in @gaps, and the instructions of each reason
 * are counted.
 */

#define ADDRESS 0x1000
#define BYTES (X86_STEP_INSN_MAX + 5)

enum {
    GAP_NONE,
    GAP_UNKNOWN, GAP_UD, GAP_FAR, GAP_RET, GAP_JO, GAP_SSE4A, GAP_LWP, GAP_F3,
    GAP_TPAUSE, GAP_FRED,
    GAP_MAX,
};

static const char *const gaps[GAP_MAX] = {
    [GAP_UNKNOWN] = "not compared: not in Capstone",
    [GAP_UD] = "UD0 or UD1, which have ModRM (SDM, \"UD\"); Capstone has none",
    [GAP_FAR] = "FF /3 or /5, a far branch; Capstone names it as a near one",
    [GAP_RET] = "RET imm16 with 66 and REX.W: two bytes; Capstone takes four",
    [GAP_JO] = "JO or JNO with 66 in 64-bit code; Capstone takes two bytes, as "
               "of no other Jcc",
    [GAP_SSE4A] = "EXTRQ or INSERTQ with immediates, or what their prefixes "
                  "make invalid; Capstone takes it for VMREAD",
    [GAP_LWP] = "BEXTR, LWPINS or LWPVAL, of four bytes; Capstone takes two in "
                "16-bit code",
    [GAP_F3] = "0F 78 with 66 and F3, which is no instruction; Capstone takes "
               "it for EXTRQ",
    [GAP_TPAUSE] = "0F AE /6 without 66, which is MFENCE; Capstone takes it for "
                   "TPAUSE if there is 67",
    [GAP_FRED] = "ERETS or ERETU of FRED; Capstone takes it for CLAC",
};

static csh handles[X86_STEP_MODE_MAX];
static cs_insn *insns[X86_STEP_MODE_MAX];
static uint64_t state;
static uint64_t passed, not_plain, failed, limit = 100;
static uint64_t counts[GAP_MAX];
static uint64_t classes[X86_STEP_CLASS_MAX];

static X86StepClass shown_class(const cs_insn *cs)
{
    switch (cs->id) {
    case X86_INS_JMP: {
        const cs_x86_op *op = &cs->detail->x86.operands[0];

        return op->type == X86_OP_IMM ? X86_STEP_JMP : X86_STEP_JMP_IND;
    }
    case X86_INS_CALL:
        return cs->detail->x86.operands[0].type == X86_OP_IMM ?
               X86_STEP_CALL : X86_STEP_CALL_IND;
    case X86_INS_LJMP:
        return X86_STEP_JMP_FAR;
    case X86_INS_LCALL:
        return X86_STEP_CALL_FAR;
    case X86_INS_JO: case X86_INS_JNO: case X86_INS_JB: case X86_INS_JAE:
    case X86_INS_JE: case X86_INS_JNE: case X86_INS_JBE: case X86_INS_JA:
    case X86_INS_JS: case X86_INS_JNS: case X86_INS_JP: case X86_INS_JNP:
    case X86_INS_JL: case X86_INS_JGE: case X86_INS_JLE: case X86_INS_JG:
        return X86_STEP_JCC;
    case X86_INS_LOOP: case X86_INS_LOOPE: case X86_INS_LOOPNE:
    case X86_INS_JCXZ: case X86_INS_JECXZ: case X86_INS_JRCXZ:
        return X86_STEP_LOOP;
    case X86_INS_RET:
        return X86_STEP_RET;
    case X86_INS_RETF: case X86_INS_RETFQ:
        return X86_STEP_RET_FAR;
    case X86_INS_IRET: case X86_INS_IRETD: case X86_INS_IRETQ:
        return X86_STEP_IRET;
    case X86_INS_RSM:
        return X86_STEP_RSM;
    case X86_INS_SYSCALL:
        return X86_STEP_SYSCALL;
    case X86_INS_SYSRET: case X86_INS_SYSRETQ:
        return X86_STEP_SYSRET;
    case X86_INS_SYSENTER:
        return X86_STEP_SYSENTER;
    case X86_INS_SYSEXIT: case X86_INS_SYSEXITQ:
        return X86_STEP_SYSEXIT;
    case X86_INS_INT:
        return X86_STEP_INT;
    case X86_INS_INT3:
        return X86_STEP_INT3;
    case X86_INS_INT1:
        return X86_STEP_INT1;
    case X86_INS_INTO:
        return X86_STEP_INTO;
    case X86_INS_HLT:
        return X86_STEP_HLT;
    case X86_INS_MWAIT: case X86_INS_MWAITX:
    case X86_INS_TPAUSE: case X86_INS_UMWAIT:
        return X86_STEP_MWAIT;
    case X86_INS_PUSHF: case X86_INS_PUSHFD: case X86_INS_PUSHFQ:
        return X86_STEP_PUSHF;
    case X86_INS_POPF: case X86_INS_POPFD: case X86_INS_POPFQ:
        return X86_STEP_POPF;
    case X86_INS_STI:
        return X86_STEP_STI;
    case X86_INS_CLI:
        return X86_STEP_CLI;
    case X86_INS_UD0: case X86_INS_UD1: case X86_INS_UD2:
        return X86_STEP_UD;
    case X86_INS_XBEGIN:
        return X86_STEP_XBEGIN;
    case X86_INS_VMRUN: case X86_INS_VMLAUNCH: case X86_INS_VMRESUME:
        return X86_STEP_VMENTRY;
    case X86_INS_MOV:
        if (cs->detail->x86.operands[0].type == X86_OP_REG &&
            cs->detail->x86.operands[0].reg == X86_REG_SS) {
            return X86_STEP_MOV_SS;
        }
        for (int i = 0; i < cs->detail->x86.op_count; i++) {
            const cs_x86_op *op = &cs->detail->x86.operands[i];

            if (op->type == X86_OP_REG && op->reg >= X86_REG_DR0 &&
                op->reg <= X86_REG_DR15) {
                return X86_STEP_MOV_DR;
            }
        }
        return X86_STEP_PLAIN;
    case X86_INS_POP:
        return cs->detail->x86.operands[0].type == X86_OP_REG &&
               cs->detail->x86.operands[0].reg == X86_REG_SS ?
               X86_STEP_POP_SS : X86_STEP_PLAIN;
    /* MOVSD and CMPSD are of SSE2, too, and CMPPS is shown as one of them */
    case X86_INS_MOVSB: case X86_INS_MOVSW: case X86_INS_MOVSQ:
    case X86_INS_STOSB: case X86_INS_STOSW: case X86_INS_STOSD:
    case X86_INS_STOSQ: case X86_INS_LODSB: case X86_INS_LODSW:
    case X86_INS_LODSD: case X86_INS_LODSQ: case X86_INS_SCASB:
    case X86_INS_SCASW: case X86_INS_SCASD: case X86_INS_SCASQ:
    case X86_INS_CMPSB: case X86_INS_CMPSW: case X86_INS_CMPSQ:
    case X86_INS_INSB: case X86_INS_INSW: case X86_INS_INSD:
    case X86_INS_OUTSB: case X86_INS_OUTSW: case X86_INS_OUTSD:
    case X86_INS_MOVSD: case X86_INS_CMPSD:
        return strstr(cs->op_str, "xmm") ? X86_STEP_PLAIN : X86_STEP_STRING;
    default:
        return X86_STEP_PLAIN;
    }
}

static void fail(const uint8_t *bytes, X86StepMode mode,
                 const X86StepInsn *insn, const cs_insn *cs)
{
    if (failed++ >= limit) {
        return;
    }
    for (int i = 0; i < BYTES - 5; i++) {
        fprintf(stderr, "%02x ", bytes[i]);
    }
    fprintf(stderr, "%d-bit: class %d length %d, Capstone: %s %s, %d\n",
            16 << mode, insn->cls, insn->length, cs ? cs->mnemonic : "-",
            cs ? cs->op_str : "", cs ? cs->size : 0);
}

/* Which of Capstone's errors is it that has another length? */
static int gap_of_length(X86StepMode mode, const X86StepInsn *insn,
                         const cs_insn *cs)
{
    if (insn->map == 1 && insn->opcode == 0x78 && cs->id == X86_INS_EXTRQ &&
        insn->rep == X86_STEP_REPE) {
        return GAP_F3;
    }
    if (insn->length != cs->size + 2) {
        return insn->cls == X86_STEP_RET && insn->opcode == 0xc2 &&
               insn->rex & 8 && insn->length + 2 == cs->size ? GAP_RET
                                                             : GAP_NONE;
    }
    if (mode == X86_STEP_CODE64 && insn->encoding == X86_STEP_LEGACY &&
        insn->map == 1 && (insn->opcode & 0xfe) == 0x80) {
        return GAP_JO;
    }
    if (insn->map == 1 && insn->opcode == 0x78 && cs->id == X86_INS_VMREAD) {
        return GAP_SSE4A;
    }
    if (mode == X86_STEP_CODE16 && insn->encoding == X86_STEP_XOP &&
        insn->map == 10) {
        return GAP_LWP;
    }
    return GAP_NONE;
}

/* Which of Capstone's errors is this? */
static int gap_of(X86StepMode mode, const X86StepInsn *insn, const cs_insn *cs)
{
    X86StepClass shown = shown_class(cs);
    int reg = insn->modrm >> 3 & 7;

    if (insn->cls == X86_STEP_UD && shown == X86_STEP_UD &&
        insn->opcode != 0x0b) {
        return GAP_UD;
    }
    if (insn->length != cs->size) {
        return insn->cls == shown ? gap_of_length(mode, insn, cs) : GAP_NONE;
    }
    if ((insn->cls == X86_STEP_CALL_FAR && shown == X86_STEP_CALL_IND &&
         reg == 3) ||
        (insn->cls == X86_STEP_JMP_FAR && shown == X86_STEP_JMP_IND &&
         reg == 5)) {
        return GAP_FAR;
    }
    if (insn->map == 1 && insn->opcode == 0xae && cs->id == X86_INS_TPAUSE &&
        insn->cls == X86_STEP_PLAIN) {
        return GAP_TPAUSE;
    }
    if (insn->cls == X86_STEP_ERET && cs->id == X86_INS_CLAC) {
        return GAP_FRED;
    }
    return GAP_NONE;
}

static void compare_in(const uint8_t *bytes, X86StepMode mode)
{
    const uint8_t *code = bytes;
    size_t size = BYTES;
    uint64_t address = ADDRESS;
    X86StepInsn insn;
    bool known = cs_disasm_iter(handles[mode], &code, &size, &address,
                                insns[mode]);
    int gap;

    /* Capstone shows what Intel's processors do */
    if (!x86_step_decode(bytes, BYTES, mode, false, &insn)) {
        fail(bytes, mode, &insn, known ? insns[mode] : NULL);
        return;
    }
    if (!known) {
        counts[GAP_UNKNOWN]++;
    } else if (insn.cls == shown_class(insns[mode]) &&
               insn.length == insns[mode]->size) {
        passed++;
        classes[insn.cls]++;
        not_plain += insn.cls != X86_STEP_PLAIN;
    } else {
        gap = gap_of(mode, &insn, insns[mode]);
        if (gap == GAP_NONE) {
            fail(bytes, mode, &insn, insns[mode]);
        }
        counts[gap]++;
    }
}

static void compare(const uint8_t *bytes)
{
    for (X86StepMode mode = 0; mode < X86_STEP_MODE_MAX; mode++) {
        compare_in(bytes, mode);
    }
}

static void random_bytes(uint8_t *bytes, int nr)
{
    for (int i = 0; i < nr; i++) {
        bytes[i] = step_random_word(&state) >> 24;
    }
}

/* Up to three prefixes, REX last and in front of the others */
static int random_prefixes(uint8_t *bytes)
{
    static const uint8_t prefixes[] = {
        0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
        0x66, 0x67,
    };
    uint32_t r = step_random_word(&state);
    int nr = (r & 3) % 4 ? r & 1 : r >> 2 & 3;

    for (int i = 0; i < nr; i++) {
        uint32_t which = step_random_word(&state) >> 16;

        bytes[i] = prefixes[which % G_N_ELEMENTS(prefixes)];
    }
    if (r & 0x100) {
        bytes[nr++] = 0x40 | (r >> 12 & 0xf);
    }
    return nr;
}

static const struct {
    uint8_t bytes[3];
    uint8_t nr;
} maps[] = {
    { {}, 0 },
    { { 0x0f }, 1 },
    { { 0x0f, 0x38 }, 2 },
    { { 0x0f, 0x3a }, 2 },
};

static void each_opcode(unsigned rounds)
{
    uint8_t bytes[BYTES];

    for (size_t m = 0; m < G_N_ELEMENTS(maps); m++) {
        for (unsigned i = 0; i < 256 * rounds; i++) {
            int at;

            random_bytes(bytes, BYTES);
            at = random_prefixes(bytes);
            memcpy(bytes + at, maps[m].bytes, maps[m].nr);
            bytes[at + maps[m].nr] = i;
            compare(bytes);
        }
    }
}

/* Every ModRM, with every SIB, of one instruction; also of far branches */
static void each_modrm(void)
{
    static const uint8_t opcodes[] = { 0x00, 0x8b, 0x8e, 0xf6, 0xf7, 0xff };
    uint8_t bytes[BYTES];

    for (size_t o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        for (unsigned i = 0; i < 1u << 16; i++) {
            random_bytes(bytes, BYTES);
            bytes[0] = opcodes[o];
            bytes[1] = i;
            bytes[2] = i >> 8;
            compare(bytes);
        }
    }
}

/* Two-byte opcodes where ModRM and a prefix say what it is */
static void each_group(void)
{
    static const uint8_t opcodes[] = { 0x00, 0x01, 0x78, 0xae, 0xb9, 0xc7 };
    static const uint8_t prefixes[] = { 0x3e, 0x66, 0xf2, 0xf3 };
    uint8_t bytes[BYTES];

    for (size_t o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        for (unsigned i = 0; i < 1024; i++) {
            random_bytes(bytes, BYTES);
            bytes[0] = prefixes[i >> 8];
            bytes[1] = 0x0f;
            bytes[2] = opcodes[o];
            bytes[3] = i;
            compare(bytes);
        }
    }
}

/* Every opcode of the maps of VEX, EVEX and XOP */
static void each_vector(unsigned rounds)
{
    static const uint8_t prefixes[] = { 0xc4, 0xc5, 0x62, 0x8f };
    uint8_t bytes[BYTES];

    for (size_t p = 0; p < G_N_ELEMENTS(prefixes); p++) {
        for (unsigned i = 0; i < 256 * 4 * rounds; i++) {
            int map = i >> 8 & 3;

            random_bytes(bytes, BYTES);
            bytes[0] = prefixes[p];
            /* Outside of 64-bit code these want both bits set */
            bytes[1] |= 0xc0;
            switch (prefixes[p]) {
            case 0xc4:
                bytes[1] = (bytes[1] & 0xe0) | map;
                bytes[3] = i;
                break;
            case 0xc5:
                bytes[2] = i;
                break;
            case 0x62:
                bytes[1] = (bytes[1] & 0xf0) | map;
                bytes[2] |= 4;
                bytes[4] = i;
                break;
            default:
                bytes[1] = (bytes[1] & 0xe0) | (8 + map);
                bytes[3] = i;
                break;
            }
            compare(bytes);
        }
    }
}

/* Those that Capstone does not know */
static bool not_shown(X86StepClass cls)
{
    return cls == X86_STEP_TOO_LONG || cls == X86_STEP_JMP_ABS ||
           cls == X86_STEP_ERET;
}

static int report(void)
{
    for (int i = 0; i < X86_STEP_CLASS_MAX; i++) {
        if (!classes[i] && !not_shown(i)) {
            printf("class %d was never compared\n", i);
            failed++;
        }
    }
    for (int i = GAP_NONE + 1; i < GAP_MAX; i++) {
        if (counts[i]) {
            printf("%10" PRIu64 " %s\n", counts[i], gaps[i]);
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " of them not plain, %" PRIu64
           " failed\n", passed, not_plain, failed);
    return failed != 0 || passed == 0;
}

int main(int argc, char **argv)
{
    static const cs_mode modes[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };
    uint64_t n = 200000, rounds = 100;
    uint8_t bytes[BYTES];

    state = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = g_ascii_strtoull(argv[i + 1], NULL, 0);

        if (!strcmp(argv[i], "--random")) {
            n = value;
        } else if (!strcmp(argv[i], "--seed")) {
            state = value ? value : 1;
        } else if (!strcmp(argv[i], "--rounds")) {
            rounds = value;
        } else if (!strcmp(argv[i], "--show")) {
            limit = value;
        }
    }
    for (int i = 0; i < X86_STEP_MODE_MAX; i++) {
        if (cs_open(CS_ARCH_X86, modes[i], &handles[i])) {
            fprintf(stderr, "Capstone does not start\n");
            return 1;
        }
        cs_option(handles[i], CS_OPT_DETAIL, CS_OPT_ON);
        insns[i] = cs_malloc(handles[i]);
    }
    each_opcode(rounds);
    each_vector(rounds / 4 + 1);
    each_modrm();
    each_group();
    while (n--) {
        random_bytes(bytes, BYTES);
        compare(bytes);
    }
    return report();
}
