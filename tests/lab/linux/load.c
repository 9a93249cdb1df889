// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load CPU: system calls for ever on one CPU, counted in four ways
 *
 * A register, a doubleword, a doubleword by load-reserve and store-conditional
 * and a floating-point register count the same system calls: an instruction
 * that was lost, or run twice, shows as a difference.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUND 64

static double now(void)
{
    struct timespec ts;

    /* Not the vDSO's: that one has no idea of a time base that was set back */
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static long in_memory, atomic;
    long in_register = 0, parent = getppid(), wrong = 0;
    double in_fpr = 0, one = 1, shown = now();
    int cpu = argc > 1 ? atoi(argv[1]) : 0;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        perror("load: sched_setaffinity");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        long left = ROUND, result = 0;

#if defined(__powerpc64__)
        asm volatile(
            "1: addi  %[reg], %[reg], 1\n"
            "   ld    3, 0(%[mem])\n"
            "   addi  3, 3, 1\n"
            "   std   3, 0(%[mem])\n"
            "2: ldarx 3, 0, %[at]\n"
            "   addi  3, 3, 1\n"
            "   stdcx. 3, 0, %[at]\n"
            "   bne-  2b\n"
            "   fadd  %[fpr], %[fpr], %[one]\n"
            "   li    0, 64\n"                              /* getppid */
            "   sc\n"
            "   cmpd  3, %[parent]\n"
            "   beq+  3f\n"
            "   addi  %[result], %[result], 1\n"
            "3: addi  %[left], %[left], -1\n"
            "   cmpdi %[left], 0\n"
            "   bne+  1b\n"
            : [reg] "+b" (in_register), [fpr] "+d" (in_fpr), [left] "+b" (left),
              [result] "+b" (result)
            : [mem] "b" (&in_memory), [at] "b" (&atomic), [one] "d" (one),
              [parent] "b" (parent)
            : "r0", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12",
              "cr0", "cr1", "cr5", "cr6", "cr7", "ctr", "xer", "memory");
#elif defined(__aarch64__)
        asm volatile(
            "1: add   %[reg], %[reg], 1\n"
            "   ldr   x3, [%[mem]]\n"
            "   add   x3, x3, 1\n"
            "   str   x3, [%[mem]]\n"
            "2: ldxr  x3, [%[at]]\n"
            "   add   x3, x3, 1\n"
            "   stxr  w4, x3, [%[at]]\n"
            "   cbnz  w4, 2b\n"
            "   fadd  %d[fpr], %d[fpr], %d[one]\n"
            "   mov   x8, 173\n"                            /* getppid */
            "   svc   0\n"
            "   cmp   x0, %[parent]\n"
            "   b.eq  3f\n"
            "   add   %[result], %[result], 1\n"
            "3: subs  %[left], %[left], 1\n"
            "   b.ne  1b\n"
            : [reg] "+r" (in_register), [fpr] "+w" (in_fpr), [left] "+r" (left),
              [result] "+r" (result)
            : [mem] "r" (&in_memory), [at] "r" (&atomic), [one] "w" (one),
              [parent] "r" (parent)
            : "x0", "x3", "x4", "x8", "cc", "memory");
#elif defined(__loongarch64)
        asm volatile(
            "1: addi.d %[reg], %[reg], 1\n"
            "   ld.d  $t0, %[mem], 0\n"
            "   addi.d $t0, $t0, 1\n"
            "   st.d  $t0, %[mem], 0\n"
            "2: ll.d  $t0, %[at], 0\n"
            "   addi.d $t0, $t0, 1\n"
            "   sc.d  $t0, %[at], 0\n"
            "   beqz  $t0, 2b\n"
            "   fadd.d %[fpr], %[fpr], %[one]\n"
            "   li.w  $a7, 173\n"                           /* getppid */
            "   syscall 0\n"
            "   beq   $a0, %[parent], 3f\n"
            "   addi.d %[result], %[result], 1\n"
            "3: addi.d %[left], %[left], -1\n"
            "   bnez  %[left], 1b\n"
            : [reg] "+r" (in_register), [fpr] "+f" (in_fpr), [left] "+r" (left),
              [result] "+r" (result)
            : [mem] "r" (&in_memory), [at] "r" (&atomic), [one] "f" (one),
              [parent] "r" (parent)
            : "a0", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "memory");
#endif
        if (result || in_memory != in_register || atomic != in_register ||
            in_fpr != (double)in_register) {
            printf("load %d WRONG: register %ld memory %ld atomic %ld fpr %.0f "
                   "bad results %ld\n", cpu, in_register, in_memory, atomic, in_fpr, result);
            in_memory = atomic = in_register;
            in_fpr = in_register;
            if (++wrong == 5) {
                return 1;
            }
        }
        sched_yield();
        if (now() - shown >= 1) {
            shown = now();
            printf("load %d n %ld\n", cpu, in_register);
        }
    }
}
