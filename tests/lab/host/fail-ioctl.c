/*
 * Have KVM refuse to write a register of a running QEMU:
 *
 *     fail-ioctl PID ID
 *
 * Until this program is ended KVM_SET_ONE_REG fails for the register with this
 * id, in any thread.  Prints "ready" when that has begun.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <asm/ptrace.h>
#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_IOCTL 54             /* on POWER, as asm/unistd.h has it */

static uint64_t reg;

static bool is_meant(pid_t tid, const struct __ptrace_syscall_info *call)
{
    uint64_t id;

    if (call->entry.nr != NR_IOCTL ||
        call->entry.args[1] != KVM_SET_ONE_REG) {
        return false;
    }
    errno = 0;
    id = ptrace(PTRACE_PEEKDATA, tid, call->entry.args[2], 0);
    return !errno && id == reg;
}

/* A thread is about to enter the kernel, or to leave it */
static void stopped_at_call(pid_t tid)
{
    struct __ptrace_syscall_info call;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(call), &call) >= 0 &&
        call.op == PTRACE_SYSCALL_INFO_ENTRY && is_meant(tid, &call)) {
        /* There is no such call: ENOSYS */
        ptrace(PTRACE_POKEUSER, tid, PT_R0 * sizeof(long), -1L);
    }
}

/* Returns: how many */
static int seize_all(const char *pid)
{
    char name[64];
    struct dirent *entry;
    DIR *tasks;
    int threads = 0;

    snprintf(name, sizeof(name), "/proc/%s/task", pid);
    tasks = opendir(name);
    if (!tasks) {
        error(1, errno, "%s", name);
    }
    while ((entry = readdir(tasks))) {
        pid_t tid = atoi(entry->d_name);

        if (!tid) {
            continue;
        }
        if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) < 0 ||
            ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) {
            error(1, errno, "thread %d", tid);
        }
        threads++;
    }
    closedir(tasks);
    return threads;
}

int main(int argc, char **argv)
{
    int status, threads;
    pid_t tid;

    if (argc != 3) {
        error(2, 0, "usage: fail-ioctl PID ID");
    }
    reg = strtoull(argv[2], NULL, 16);
    threads = seize_all(argv[1]);
    while ((tid = waitpid(-1, &status, __WALL)) > 0) {
        int deliver = 0;

        if (!WIFSTOPPED(status)) {
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            stopped_at_call(tid);
        } else if (status >> 16 != PTRACE_EVENT_STOP) {
            deliver = WSTOPSIG(status);
        } else if (--threads == 0) {
            puts("ready");
            fflush(stdout);
        }
        ptrace(PTRACE_SYSCALL, tid, 0, deliver);
    }
    return 0;
}
