/*
 * Describe x86 instructions for comparison with a disassembler
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: x86-step-dump MODE N SEED FILE
 *
 * Writes N instructions for code of MODE bits (16, 32, 64) to FILE, each in a
 * slot of its own, and to the standard output their lengths, as AMD's
 * processors have them: one of four is random, the others are an opcode of a
 * map with random prefixes.
 */

/* Behind what is no instruction at all a disassembler finds its way in NOPs */
#define SLOT 32

static uint64_t state;

static void random_insn(uint8_t *bytes)
{
    static const uint8_t prefixes[] = {
        0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3,
    };
    static const uint8_t escapes[][2] = {
        { 0, 0 }, { 0x0f, 0 }, { 0x0f, 0x38 }, { 0x0f, 0x3a }, { 0xc4, 0 },
        { 0xc5, 0 }, { 0x62, 0 },
    };
    uint32_t r = step_random_word(&state);
    const uint8_t *escape = escapes[(r >> 8) % G_N_ELEMENTS(escapes)];
    int at = 0;

    for (int i = 0; i < X86_STEP_INSN_MAX; i++) {
        bytes[i] = step_random_word(&state) >> 24;
    }
    if (!(r & 3)) {
        return;
    }
    if (r & 4) {
        bytes[at++] = prefixes[(r >> 16) % G_N_ELEMENTS(prefixes)];
    }
    if (r & 8) {
        bytes[at++] = 0x40 | (r >> 24 & 0xf);
    }
    for (int i = 0; i < 2 && escape[i]; i++) {
        bytes[at++] = escape[i];
    }
}

int main(int argc, char **argv)
{
    X86StepMode mode;
    uint64_t n;
    FILE *file;

    if (argc != 5) {
        fprintf(stderr, "usage: %s MODE N SEED FILE\n", argv[0]);
        return 2;
    }
    mode = !strcmp(argv[1], "16") ? X86_STEP_CODE16 :
           !strcmp(argv[1], "32") ? X86_STEP_CODE32 : X86_STEP_CODE64;
    n = g_ascii_strtoull(argv[2], NULL, 0);
    state = g_ascii_strtoull(argv[3], NULL, 0);
    file = fopen(argv[4], "wb");
    if (!file || !state) {
        fprintf(stderr, "%s: can't be written, or no seed\n", argv[4]);
        return 2;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint8_t slot[SLOT];
        X86StepInsn insn;

        memset(slot, 0x90, sizeof(slot));
        random_insn(slot);
        x86_step_decode(slot, X86_STEP_INSN_MAX, mode, true, &insn);
        printf("%x %d %d\n", (unsigned)(i * SLOT), insn.length, insn.cls);
        fwrite(slot, 1, sizeof(slot), file);
    }
    return fclose(file) != 0;
}
