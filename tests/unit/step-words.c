/*
 * Instruction words for the tests of decoders
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-words.h"

#include <sys/wait.h>
#include <unistd.h>

uint32_t step_random_word(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 2685821657736338717ull) >> 32;
}

void step_random_words(void (*look)(uint32_t word), uint64_t n, uint64_t seed)
{
    uint64_t state = seed ? seed : 1;

    while (n--) {
        look(step_random_word(&state));
    }
}

void step_walk(void (*look)(uint32_t word), uint32_t top, int bits,
               uint64_t stride)
{
    uint64_t end = 1ull << bits;

    for (uint64_t i = 0; i < end; i += stride) {
        look(top << bits | i);
        if (stride == 1 && !(i & 0xfffff) && isatty(2)) {
            fprintf(stderr, "\r0x%02x: %u %%", top, (unsigned)(i * 100 / end));
        }
    }
}

int step_check_count(const char *name, uint64_t got, uint64_t want)
{
    printf("%-8s %10" PRIu64 " expected %10" PRIu64 "%s\n", name, got, want,
           got == want ? "" : "  WRONG");
    return got != want;
}

bool step_count_all(void (*count)(uint64_t first, uint64_t end,
                                  uint64_t stride, void *counts),
                    int n, void *counts, size_t size)
{
    g_autofree uint64_t *part = g_malloc0(size);
    const uint64_t all = 1ull << 32;
    uint64_t *sum = counts;
    int fds[2];
    int bad = pipe(fds);

    memset(counts, 0, size);
    for (int i = 0; i < n && !bad; i++) {
        if (fork() == 0) {
            count(all * i / n, all * (i + 1) / n, 1, part);
            _exit(write(fds[1], part, size) != (ssize_t)size);
        }
    }
    close(fds[1]);
    for (int i = 0; i < n && !bad; i++) {
        if (read(fds[0], part, size) != (ssize_t)size) {
            fprintf(stderr, "a process has failed\n");
            return false;
        }
        for (size_t j = 0; j < size / sizeof(*sum); j++) {
            sum[j] += part[j];
        }
    }
    while (wait(NULL) > 0) {
        continue;
    }
    return !bad;
}
