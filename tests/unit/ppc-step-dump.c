/*
 * Describes prefixed instructions for ppc-step-vs-objdump.sh
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-words.h"

/*
 * usage: ppc-step-dump N SEED BLOB
 *
 * Writes N pairs of prefix and suffix to BLOB, big-endian, and a line for
 * each pair to standard output: the two words, the length, "load" (loads and
 * stores), "paddi", "plain" or "any" (may raise all interrupts), and for a
 * load the displacement and the base, 32 for the instruction's address.
 *
 * All combinations of prefix type, subtype, R and suffix opcode come first,
 * then random words, in every other 65536 of which reserved bits are 0.
 */

static uint64_t state;

/* Makes an instruction more likely: reserved bits clear and so on */
static void tidy(uint32_t *prefix, uint32_t *suffix)
{
    switch (*prefix >> 24 & 3) {
    case 1: /* 8RR with a suffix opcode of 32 to 35 */
        *prefix &= 0xff00ffff;
        *suffix = (*suffix & 0x0fffffff) | 0x80000000;
        break;
    case 3: /* pnop, or pmxv* with suffix opcode 59 */
        if (*prefix & 1) {
            *prefix = 0x07000000;
        } else {
            *prefix = (*prefix & 0xff00f0ff) | 0x00900000;
            *suffix = (*suffix & 0x03ffffff) | 59u << 26;
        }
        break;
    default: /* RA = 0 if R = 1 */
        *prefix &= ~0x006c0000u;
        *suffix &= *prefix & 1 << 20 ? ~(31u << 16) : ~0u;
    }
}

static const char *kind(uint32_t prefix, uint32_t suffix,
                        const PPCStepInsn *insn)
{
    if (insn->mem) {
        return "load";
    }
    if (insn->interrupts == PPC_STEP_INT_ALL) {
        return "any";
    }
    return (prefix >> 24 & 3) == 2 && suffix >> 26 == 14 ? "paddi" : "plain";
}

static void put(FILE *blob, uint32_t prefix, uint32_t suffix)
{
    uint32_t words[2] = { prefix, suffix };
    PPCStepInsn insn;

    for (int i = 0; i < 8; i++) {
        putc(words[i / 4] >> (24 - i % 4 * 8), blob);
    }
    ppc_step_decode(prefix, suffix, &insn);
    printf("%08x %08x %d %s %" PRId64 " %d\n", prefix, suffix, insn.length,
           kind(prefix, suffix, &insn), insn.mem_disp, insn.mem_base);
}

int main(int argc, char **argv)
{
    FILE *blob = argc == 4 ? fopen(argv[3], "wb") : NULL;
    unsigned long n;

    if (!blob) {
        fprintf(stderr, "usage: ppc-step-dump N SEED BLOB\n");
        return 2;
    }
    n = g_ascii_strtoull(argv[1], NULL, 0);
    state = g_ascii_strtoull(argv[2], NULL, 0) | 1;
    for (unsigned long i = 0; i < n; i++) {
        uint32_t prefix = 1u << 26 | (step_random_word(&state) & 0x03ffffff);
        uint32_t suffix = step_random_word(&state);

        if (i < 1u << 16) {
            /* bits 6:11 of the prefix and the suffix's opcode */
            prefix = 1u << 26 | (i >> 6 & 63) << 20 | (prefix & 0x3ffff);
            suffix = (i & 63) << 26 | (suffix & 0x03ffffff);
            /* RA = 0 for every other one, as R = 1 needs it */
            suffix &= i >> 12 & 1 ? ~0u : ~(31u << 16);
        }
        if (i & 1 << 16) {
            tidy(&prefix, &suffix);
        }
        put(blob, prefix, suffix);
    }
    return fclose(blob) != 0;
}
