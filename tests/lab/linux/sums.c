// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sums: floating point and copies of memory, in a sum that is the same each time
 *
 * All 32 registers are in use while the process may lose the processor; the C
 * library copies by vector registers where there are any.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SIZE 4096

static uint64_t bits(double x)
{
    uint64_t u;

    memcpy(&u, &x, sizeof(u));
    return u;
}

int main(void)
{
    static unsigned char a[SIZE], b[SIZE];
    double x[24];
    float f = 1;
    uint64_t sum = 0;

    for (int i = 0; i < 24; i++) {
        x[i] = 0.3 + i / 100.0;
    }
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 24; i++) {
            x[i] = 3.9 * x[i] * (1 - x[i]);
        }
        f = f * 1.0001f + 0.5f / (round + 1);
        memset(a, round, SIZE);
        memcpy(a + round % 64, x, sizeof(x));
        memmove(b + round % 32, a, SIZE - 64);
        for (int i = 0; i < SIZE; i += 8) {
            uint64_t word;

            memcpy(&word, b + i, sizeof(word));
            sum = sum * 31 + word;
        }
    }
    for (int i = 0; i < 24; i++) {
        sum = sum * 31 + bits(x[i]);
    }
    printf("%016llx %.9g\n", (unsigned long long)sum, f);
    return 0;
}
