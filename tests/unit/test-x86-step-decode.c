/*
 * Tests of the x86 instruction description
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * Cases written from the Intel SDM and the AMD APM.  Lengths and classes of
 * all opcodes are compared with Capstone's in x86-step-vs-capstone.c; here is
 * what that does not know or show.
 */

#define CODE16 X86_STEP_CODE16
#define CODE32 X86_STEP_CODE32
#define CODE64 X86_STEP_CODE64

typedef struct Case {
    const char *hex;
    X86StepMode mode;
    X86StepClass cls;
    unsigned length;
    unsigned op_size;       /* 0: do not look */
} Case;

static const Case cases[] = {
    /* What a stepper does by itself */
    { "9c", CODE16, X86_STEP_PUSHF, 1, 2 },
    { "669c", CODE16, X86_STEP_PUSHF, 2, 4 },
    { "9c", CODE32, X86_STEP_PUSHF, 1, 4 },
    { "669c", CODE32, X86_STEP_PUSHF, 2, 2 },
    { "9c", CODE64, X86_STEP_PUSHF, 1, 8 },
    { "669c", CODE64, X86_STEP_PUSHF, 2, 2 },
    { "66489d", CODE64, X86_STEP_POPF, 3, 8 },
    { "fa", CODE64, X86_STEP_CLI, 1, 0 },
    { "fb", CODE16, X86_STEP_STI, 1, 0 },
    { "f4", CODE64, X86_STEP_HLT, 1, 0 },
    { "f3f4", CODE64, X86_STEP_HLT, 2, 0 },
    { "8ed0", CODE64, X86_STEP_MOV_SS, 2, 0 },
    { "8e15", CODE16, X86_STEP_MOV_SS, 2, 0 },
    { "8ed8", CODE64, X86_STEP_PLAIN, 2, 0 },       /* mov %ax,%ds */
    { "8cd0", CODE64, X86_STEP_PLAIN, 2, 0 },       /* mov %ss,%ax */
    { "17", CODE16, X86_STEP_POP_SS, 1, 2 },
    { "17", CODE32, X86_STEP_POP_SS, 1, 4 },
    { "17", CODE64, X86_STEP_UD, 1, 0 },
    { "0fb221", CODE32, X86_STEP_PLAIN, 3, 0 },     /* lss */
    { "9e", CODE64, X86_STEP_PLAIN, 1, 0 },         /* sahf */
    { "9f", CODE64, X86_STEP_PLAIN, 1, 0 },         /* lahf */

    /* Events */
    { "cd80", CODE64, X86_STEP_INT, 2, 0 },
    { "cc", CODE64, X86_STEP_INT3, 1, 0 },
    { "f1", CODE64, X86_STEP_INT1, 1, 0 },
    { "ce", CODE32, X86_STEP_INTO, 1, 0 },
    { "ce", CODE64, X86_STEP_UD, 1, 0 },
    { "0f0b", CODE64, X86_STEP_UD, 2, 0 },
    { "0f05", CODE64, X86_STEP_SYSCALL, 2, 0 },
    { "480f07", CODE64, X86_STEP_SYSRET, 3, 8 },
    { "0f34", CODE32, X86_STEP_SYSENTER, 2, 0 },
    { "480f35", CODE64, X86_STEP_SYSEXIT, 3, 8 },
    { "cf", CODE16, X86_STEP_IRET, 1, 2 },
    { "66cf", CODE16, X86_STEP_IRET, 2, 4 },
    { "cf", CODE64, X86_STEP_IRET, 1, 4 },
    { "48cf", CODE64, X86_STEP_IRET, 2, 8 },
    { "f20f01ca", CODE64, X86_STEP_ERET, 4, 0 },    /* erets */
    { "f30f01ca", CODE64, X86_STEP_ERET, 4, 0 },    /* eretu */
    { "0f01ca", CODE64, X86_STEP_PLAIN, 3, 0 },     /* clac */
    { "f30f01ec", CODE64, X86_STEP_ERET, 4, 0 },    /* uiret */
    { "0f01ee", CODE64, X86_STEP_PLAIN, 3, 0 },     /* rdpkru */
    { "0faa", CODE32, X86_STEP_RSM, 2, 0 },
    { "0f01d8", CODE64, X86_STEP_VMENTRY, 3, 0 },
    { "0f01d9", CODE64, X86_STEP_PLAIN, 3, 0 },     /* vmmcall */
    { "0f01c2", CODE64, X86_STEP_VMENTRY, 3, 0 },
    { "0f01c1", CODE64, X86_STEP_PLAIN, 3, 0 },     /* vmcall */
    { "0f01c9", CODE64, X86_STEP_MWAIT, 3, 0 },
    { "0f01c8", CODE64, X86_STEP_PLAIN, 3, 0 },     /* monitor */

    /* Branches: near ones have 64 bits in 64-bit code */
    { "eb00", CODE64, X86_STEP_JMP, 2, 8 },
    { "e900000000", CODE64, X86_STEP_JMP, 5, 8 },
    { "e90000", CODE16, X86_STEP_JMP, 3, 2 },
    { "66e900000000", CODE16, X86_STEP_JMP, 6, 4 },
    { "c3", CODE64, X86_STEP_RET, 1, 8 },
    { "c20000", CODE32, X86_STEP_RET, 3, 4 },
    { "ff10", CODE64, X86_STEP_CALL_IND, 2, 8 },
    { "ff18", CODE64, X86_STEP_CALL_FAR, 2, 4 },
    { "48ff28", CODE64, X86_STEP_JMP_FAR, 3, 8 },
    { "ffe0", CODE64, X86_STEP_JMP_IND, 2, 8 },
    { "ffe8", CODE64, X86_STEP_UD, 2, 0 },
    { "ff30", CODE64, X86_STEP_PLAIN, 2, 0 },       /* push */
    { "ea000000000000", CODE32, X86_STEP_JMP_FAR, 7, 4 },
    { "9a00000000", CODE16, X86_STEP_CALL_FAR, 5, 2 },
    { "ea000000000000", CODE64, X86_STEP_UD, 7, 0 },
    { "48cb", CODE64, X86_STEP_RET_FAR, 2, 8 },
    { "660f78c00102", CODE64, X86_STEP_PLAIN, 6, 2 },   /* extrq */
    { "f20f78c10102", CODE64, X86_STEP_PLAIN, 6, 4 },   /* insertq */
    { "0f78c1", CODE64, X86_STEP_PLAIN, 3, 4 },         /* vmread */
    { "c7f800000000", CODE64, X86_STEP_XBEGIN, 6, 4 },
    { "66c7f80000", CODE64, X86_STEP_XBEGIN, 5, 2 },
    { "d500a10807060504030201", CODE64, X86_STEP_JMP_ABS, 11, 0 },
    { "d500a1", CODE32, X86_STEP_PLAIN, 2, 0 },     /* aad */

    /* APX: REX2 with each map, and EVEX with the legacy one */
    { "d51801c0", CODE64, X86_STEP_PLAIN, 4, 8 },   /* add %r16,%r16 */
    { "d580afc0", CODE64, X86_STEP_PLAIN, 4, 4 },   /* imul */
    { "62f4fc1881c004030201", CODE64, X86_STEP_PLAIN, 10, 8 },
    { "62f47d1881c00201", CODE64, X86_STEP_PLAIN, 8, 2 },

    /* Strings */
    { "f3a4", CODE64, X86_STEP_STRING, 2, 0 },
    { "f2ae", CODE32, X86_STEP_STRING, 2, 0 },
    { "6e", CODE16, X86_STEP_STRING, 1, 0 },
    { "0f21c0", CODE64, X86_STEP_MOV_DR, 3, 0 },
    { "0f2300", CODE64, X86_STEP_MOV_DR, 3, 0 },    /* mod is ignored */

    /* VEX and EVEX, and what they are outside of 64-bit code */
    { "c5f877", CODE64, X86_STEP_PLAIN, 3, 0 },
    { "c500", CODE32, X86_STEP_PLAIN, 2, 0 },       /* lds (%eax) */
    { "62f17c4810c0", CODE32, X86_STEP_PLAIN, 6, 0 },
    { "6200", CODE32, X86_STEP_PLAIN, 2, 0 },       /* bound */
    { "8fe878c0c001", CODE64, X86_STEP_PLAIN, 6, 0 },   /* vprotb, XOP */
    { "8fc0", CODE64, X86_STEP_PLAIN, 2, 0 },       /* pop %rax */
    { "0f0fc10d", CODE32, X86_STEP_PLAIN, 4, 0 },   /* pi2fd, 3DNow! */
};

static size_t bytes_of(const char *hex, uint8_t *bytes)
{
    size_t nr = strlen(hex) / 2;

    for (size_t i = 0; i < nr; i++) {
        bytes[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 |
                   g_ascii_xdigit_value(hex[2 * i + 1]);
    }
    return nr;
}

static X86StepInsn decode(const char *hex, X86StepMode mode, bool near16)
{
    uint8_t bytes[32] = {};
    X86StepInsn insn;

    memset(&insn, 0xa5, sizeof(insn));
    bytes_of(hex, bytes);
    g_assert_true(x86_step_decode(bytes, sizeof(bytes), mode, near16, &insn));
    return insn;
}

static void test_cases(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        X86StepInsn insn = decode(c->hex, c->mode, false);

        if (insn.cls != c->cls || insn.length != c->length ||
            (c->op_size && insn.op_size != c->op_size)) {
            g_test_message("%s: class %d length %d operand size %d", c->hex,
                           insn.cls, insn.length, insn.op_size);
            g_test_fail();
        }
    }
}

/* 66 in front of a near branch of 64-bit code */
static void test_near16(void)
{
    static const char *const branches[] = {
        "66e8fe7f0000", "66e9fe7f0000", "660f84fe7f0000",
    };
    X86StepInsn insn;

    for (size_t i = 0; i < G_N_ELEMENTS(branches); i++) {
        size_t nr = strlen(branches[i]) / 2;

        insn = decode(branches[i], CODE64, false);
        g_assert_cmpuint(insn.length, ==, nr);
        g_assert_cmpuint(insn.op_size, ==, 8);
        insn = decode(branches[i], CODE64, true);
        g_assert_cmpuint(insn.length, ==, nr - 2);
        g_assert_cmpuint(insn.op_size, ==, 2);
    }
    insn = decode("66c3", CODE64, true);
    g_assert_cmpuint(insn.op_size, ==, 2);
    insn = decode("6648e900000000", CODE64, true);
    g_assert_cmpuint(insn.length, ==, 7);
}

/* Every shorter part of an instruction is too short, and says so */
static void test_too_few(void)
{
    X86StepInsn insn;
    uint8_t bytes[32];

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t nr = bytes_of(cases[i].hex, bytes);

        for (size_t part = 0; part < cases[i].length && part <= nr; part++) {
            g_assert_false(x86_step_decode(bytes, part, cases[i].mode, false,
                                           &insn));
        }
    }
}

static void test_too_long(void)
{
    uint8_t bytes[32];
    X86StepInsn insn;

    memset(bytes, 0x2e, sizeof(bytes));
    g_assert_true(x86_step_decode(bytes, 32, CODE64, false, &insn));
    g_assert_cmpint(insn.cls, ==, X86_STEP_TOO_LONG);
    g_assert_false(x86_step_decode(bytes, 14, CODE64, false, &insn));
    bytes[14] = 0x90;
    g_assert_true(x86_step_decode(bytes, 32, CODE64, false, &insn));
    g_assert_cmpint(insn.cls, ==, X86_STEP_PLAIN);
    g_assert_cmpuint(insn.length, ==, 15);
    bytes[14] = 0xe8;
    g_assert_true(x86_step_decode(bytes, 32, CODE64, false, &insn));
    g_assert_cmpint(insn.cls, ==, X86_STEP_TOO_LONG);
}

static void test_fields(void)
{
    X86StepInsn insn = decode("64f36648c74508fefdfcfb", CODE64, false);

    g_assert_cmphex(insn.segment, ==, 0x64);
    g_assert_cmphex(insn.rep, ==, X86_STEP_REPE);
    g_assert_cmphex(insn.rex, ==, 8);
    g_assert_true(insn.memory);
    g_assert_cmphex(insn.imm, ==, 0xfbfcfdfe);

    insn = decode("26cd21", CODE64, false);
    g_assert_cmphex(insn.segment, ==, 0);
    g_assert_cmphex(insn.imm, ==, 0x21);
    insn = decode("26f0cd21", CODE16, false);
    g_assert_cmphex(insn.segment, ==, 0x26);
    g_assert_true(insn.lock);

    /* REX counts right in front of the opcode only */
    insn = decode("48669c", CODE64, false);
    g_assert_cmphex(insn.rex, ==, 0);
    g_assert_cmpuint(insn.op_size, ==, 2);

    insn = decode("ea78563412efcd", CODE32, false);
    g_assert_cmpuint(insn.length, ==, 7);
    insn = decode("67ea34120010", CODE16, false);
    g_assert_cmpuint(insn.length, ==, 6);
    g_assert_cmpuint(insn.addr_size, ==, 4);
}

static void test_next(void)
{
    X86StepInsn nop = decode("90", CODE64, false);

    g_assert_cmphex(x86_step_next(&nop, CODE16, 0xffff), ==, 0);
    g_assert_cmphex(x86_step_next(&nop, CODE32, 0xffffffff), ==, 0);
    g_assert_cmphex(x86_step_next(&nop, CODE64, 0xffffffff), ==, 0x100000000);
}

/* Whatever the bytes are, the length is at most 15 and the rest is not read */
static void test_random(void)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < 300000; i++) {
        uint8_t bytes[32];
        X86StepInsn a, b;
        X86StepMode mode = i % X86_STEP_MODE_MAX;

        for (unsigned n = 0; n < sizeof(bytes); n++) {
            bytes[n] = step_random_word(&state) >> 24;
        }
        g_assert_true(x86_step_decode(bytes, 32, mode, i & 8, &a));
        g_assert_cmpuint(a.length, >=, 1);
        g_assert_cmpuint(a.length, <=, X86_STEP_INSN_MAX);
        g_assert_cmpint(a.cls, <, X86_STEP_CLASS_MAX);
        memset(bytes + a.length, ~bytes[a.length], sizeof(bytes) - a.length);
        g_assert_true(x86_step_decode(bytes, 32, mode, i & 8, &b));
        g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86-step-decode/cases", test_cases);
    g_test_add_func("/x86-step-decode/near16", test_near16);
    g_test_add_func("/x86-step-decode/too-few", test_too_few);
    g_test_add_func("/x86-step-decode/too-long", test_too_long);
    g_test_add_func("/x86-step-decode/fields", test_fields);
    g_test_add_func("/x86-step-decode/next", test_next);
    g_test_add_func("/x86-step-decode/random", test_random);
    return g_test_run();
}
