// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A debugger in the guest, of a child of its own
 *
 * Each round prints a hash of what it saw at each stop.  All rounds see the
 * same, whatever a debugger outside does meanwhile, but for what the header of
 * an architecture says.
 */
#define _GNU_SOURCE
#include <asm/ptrace.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT 5000

static uint64_t hash;

static void add(uint64_t value)
{
    for (int i = 0; i < 8; i++, value >>= 8) {
        hash = (hash ^ (value & 0xff)) * 0x100000001b3ULL;
    }
}

static void die(const char *what, int status)
{
    printf("ptrace FAILED: %s, status %#x, errno %d\n", what, status, errno);
    exit(1);
}

static void wait_stop(pid_t pid, int want)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != want) {
        die("the child did not stop as it should", status);
    }
}

#if defined(__powerpc64__)
#include "ptrace_ppc64.h"
#elif defined(__aarch64__)
#include "ptrace_arm64.h"
#elif defined(__loongarch64)
#include "ptrace_loongarch64.h"
#endif

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int round = 1;; round++) {
        hash = 0xcbf29ce484222325ULL;
        one_round(round);
    }
}
