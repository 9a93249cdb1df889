// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probes SYMBOL+OFFSET CPUS: kprobes and uprobes, counted
 *
 * Probe events of tracefs, each at an instruction that is run a known number of
 * times: one of umask(2)'s in the kernel (SYMBOL+OFFSET), one of our own and, on
 * POWER, one of read_purr(), which runs in an interrupt handler on the CPU whose
 * sysfs file is read.
 *
 * On POWER the kernel emulates the first, and single-steps the others by
 * MSR[SE].  arm64's runs the first out of line with a brk behind it, and
 * emulates ours: it would step all but a branch or the like by the processor's
 * software step, which a debugger outside may take away.  LoongArch's runs both out
 * of line with a break behind them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"
#define CALLS 40

extern char __ehdr_start[];
void probed(void);
extern char probed_insn[];

#if defined(__powerpc64__)
#define IN_IRQ "read_purr+8"
#define IRQ_FILE "purr"
asm("   .pushsection .text\n"
    "   .globl probed, probed_insn\n"
    "probed:\n"
    "   li 3, 1\n"
    "probed_insn:\n"
    "   mftb 3\n"
    "   blr\n"
    "   .popsection\n");
#elif defined(__aarch64__)
asm("   .pushsection .text\n"
    "   .globl probed, probed_insn\n"
    "probed:\n"
    "   mov x0, 1\n"
    "probed_insn:\n"
    "   cbnz x0, 1f\n"
    "   udf 0\n"
    "1: ret\n"
    "   .popsection\n");
#elif defined(__loongarch64)
asm("   .pushsection .text\n"
    "   .globl probed, probed_insn\n"
    "probed:\n"
    "   li.w $a0, 1\n"
    "probed_insn:\n"
    "   addi.d $a0, $a0, 1\n"
    "   ret\n"
    "   .popsection\n");
#endif

static void put(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_APPEND);

    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        printf("probes FAILED: %s > %s: %m\n", text, file);
        exit(1);
    }
    close(fd);
}

/* Hits and misses of a probe event; what was missed had hit within a probe */
static long counted(const char *profile, const char *event)
{
    char line[256], name[128];
    long hits, missed, found = -1;
    FILE *file = fopen(profile, "r");

    while (file && fgets(line, sizeof(line), file)) {
        missed = 0;
        if (sscanf(line, " /bin/probes %127s %ld", name, &hits) != 2 &&
            sscanf(line, " %127s %ld %ld", name, &hits, &missed) != 3) {
            continue;
        }
        if (!strcmp(name, event)) {
            found = hits + missed;
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

/* Have the probed interrupt handler run there */
static void interrupt(int cpu)
{
#ifdef IN_IRQ
    char text[256];
    int fd;

    snprintf(text, sizeof(text), "/sys/devices/system/cpu/cpu%d/" IRQ_FILE, cpu);
    fd = open(text, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof(text)) <= 0) {
        printf("probes FAILED: %s: %m\n", text);
        exit(1);
    }
    close(fd);
#endif
}

int main(int argc, char **argv)
{
    int cpus = argc > 2 ? atoi(argv[2]) : 1;
    long calls = 0;
    char text[256];

    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/sys", 0755);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("tracefs", TRACING, "tracefs", 0, NULL);
#if defined(__powerpc64__)
    put("/proc/sys/debug/kprobes-optimization", "0");
#endif
    snprintf(text, sizeof(text), "p:inkernel %s\n", argv[1]);
    put(TRACING "kprobe_events", text);
#ifdef IN_IRQ
    put(TRACING "kprobe_events", "p:inirq " IN_IRQ "\n");
#endif
    snprintf(text, sizeof(text), "p:inuser /bin/probes:0x%lx\n",
             (unsigned long)(probed_insn - __ehdr_start));
    put(TRACING "uprobe_events", text);
    put(TRACING "events/kprobes/enable", "1");
    put(TRACING "events/uprobes/enable", "1");

    for (int round = 1;; round++) {
        long kernel, irq, user;

        for (int i = 0; i < CALLS; i++, calls++) {
            interrupt(i % cpus);
            umask(022);
            probed();
        }
        kernel = counted(TRACING "kprobe_profile", "inkernel");
#ifdef IN_IRQ
        irq = counted(TRACING "kprobe_profile", "inirq");
#else
        irq = calls;
#endif
        user = counted(TRACING "uprobe_profile", "inuser");
        printf("probes round %d calls %ld kernel %ld irq %ld user %ld %s\n", round, calls,
               kernel, irq, user,
               kernel == calls && irq == calls && user == calls ? "ok" : "WRONG");
        usleep(100000);
    }
}
