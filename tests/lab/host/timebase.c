// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * By how much is the time base of the host's processor 1 before that of 0?
 *
 * In units of 2^24 ticks: KVM HV changes the upper 40 bits of it to enter and
 * to leave a guest, with interrupts disabled, and makes up for one carry from the
 * lower 24.  An emulated processor that does not get to run for longer than
 * that (33 ms at 512 MHz) in between loses 2^24 ticks for good.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define UNIT (1 << 24)

static int64_t timebase_of(int cpu)
{
    uint64_t value;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        perror("sched_setaffinity");
        exit(1);
    }
    asm volatile("mftb %0" : "=r" (value));
    return value;
}

int main(void)
{
    int64_t least = INT64_MIN, most = INT64_MAX;

    for (int i = 0; i < 10000; i++) {
        int64_t before = timebase_of(0);
        int64_t there = timebase_of(1);
        int64_t after = timebase_of(0);

        /* It was read between the two */
        if (there - after > least) {
            least = there - after;
        }
        if (there - before < most) {
            most = there - before;
        }
        if (most - least < UNIT / 4) {
            int64_t middle = least + (most - least) / 2 + 128LL * UNIT + UNIT / 2;

            printf("%" PRId64 "\n", middle / UNIT - 128);
            return 0;
        }
    }
    fprintf(stderr, "between %" PRId64 " and %" PRId64 " ticks\n", least, most);
    return 1;
}
