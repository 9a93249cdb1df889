// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * timer CPU MICROSECONDS: an interval timer on one CPU, held against the clock
 *
 * The k-th expiration is due at start + k * period: what has been counted is
 * bounded by the clock before and after each read.  "missing" and "extra" are
 * what the latest read was off, and "off" how many have been; all are 0 however
 * late the reads are, but for a stop of the guest in between which sets its
 * clock.  "late" is how late the latest second's were, "very" how many ever
 * were by more than 100 ms.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec ts;

    /* Not the vDSO's: that one has no idea of a time base that was set back */
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static struct timespec spec(int64_t ns)
{
    return (struct timespec) { ns / 1000000000, ns % 1000000000 };
}

int main(int argc, char **argv)
{
    int cpu = argc > 1 ? atoi(argv[1]) : 0;
    int64_t period = (argc > 2 ? atoi(argv[2]) : 1000) * 1000LL;
    int64_t total = 0, missing = 0, extra = 0, reads = 0, off = 0, late = 0, very_late = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec when;
    cpu_set_t set;
    int64_t start, shown;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (fd < 0 || sched_setaffinity(0, sizeof(set), &set)) {
        perror("timer");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    start = shown = now();
    when.it_value = spec(start + period);
    when.it_interval = spec(period);
    if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL)) {
        perror("timer: timerfd_settime");
        return 1;
    }
    for (;;) {
        int64_t due = start + (total + 1) * period, before = now(), after;
        uint64_t expired;

        switch (read(fd, &expired, sizeof(expired))) {
        case sizeof(expired):
            break;
        case 0:         /* the clock was set back: it had expired, and now it has not */
            off++;
            continue;
        default:
            perror("timer: read");
            return 1;
        }
        after = now();
        total += expired;
        reads++;
        missing = (before - start) / period - total;
        missing = missing > 0 ? missing : 0;
        extra = total - (after - start) / period;
        extra = extra > 0 ? extra : 0;
        off += missing || extra;
        if (after - due > late) {
            late = after - due;
        }
        very_late += after - due > 100000000;
        if (after - shown >= 1000000000) {
            shown = after;
            printf("timer %d n %lld reads %lld missing %lld extra %lld off %lld "
                   "late %lld us very %lld\n", cpu, (long long)total, (long long)reads,
                   (long long)missing, (long long)extra, (long long)off,
                   (long long)late / 1000, (long long)very_late);
            late = 0;
        }
    }
}
