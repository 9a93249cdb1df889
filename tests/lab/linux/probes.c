// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probes SYMBOL+OFFSET CPUS: kprobes and uprobes, counted
 *
 * Three probe events of tracefs, each at an instruction that is run a known
 * number of times: one of umask(2)'s in the kernel (SYMBOL+OFFSET; the kernel
 * emulates it), one of read_purr(), which runs in an interrupt handler on the
 * CPU whose sysfs file is read, and one of our own.  The last two the kernel
 * can't emulate: it single-steps them by MSR[SE].
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

asm("   .pushsection .text\n"
    "   .globl probed, probed_insn\n"
    "probed:\n"
    "   li 3, 1\n"
    "probed_insn:\n"
    "   mftb 3\n"
    "   blr\n"
    "   .popsection\n");

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

int main(int argc, char **argv)
{
    int cpus = argc > 2 ? atoi(argv[2]) : 1;
    long calls = 0;
    char text[256];

    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/sys", 0755);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("tracefs", TRACING, "tracefs", 0, NULL);
    put("/proc/sys/debug/kprobes-optimization", "0");
    snprintf(text, sizeof(text), "p:inkernel %s\n", argv[1]);
    put(TRACING "kprobe_events", text);
    put(TRACING "kprobe_events", "p:inirq read_purr+8\n");
    snprintf(text, sizeof(text), "p:inuser /bin/probes:0x%lx\n",
             (unsigned long)(probed_insn - __ehdr_start));
    put(TRACING "uprobe_events", text);
    put(TRACING "events/kprobes/enable", "1");
    put(TRACING "events/uprobes/enable", "1");

    for (int round = 1;; round++) {
        long kernel, irq, user;

        for (int i = 0; i < CALLS; i++, calls++) {
            int fd;

            snprintf(text, sizeof(text), "/sys/devices/system/cpu/cpu%d/purr", i % cpus);
            fd = open(text, O_RDONLY);
            if (fd < 0 || read(fd, text, sizeof(text)) <= 0) {
                printf("probes FAILED: purr: %m\n");
                return 1;
            }
            close(fd);
            umask(022);
            probed();
        }
        kernel = counted(TRACING "kprobe_profile", "inkernel");
        irq = counted(TRACING "kprobe_profile", "inirq");
        user = counted(TRACING "uprobe_profile", "inuser");
        printf("probes round %d calls %ld kernel %ld irq %ld user %ld %s\n", round, calls,
               kernel, irq, user,
               kernel == calls && irq == calls && user == calls ? "ok" : "WRONG");
        usleep(100000);
    }
}
