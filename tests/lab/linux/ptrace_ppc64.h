/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ptrace.c on POWER: breakpoint, single steps and branch steps
 *
 * Each round forks a child, stops it at `traced` by a trap in its text, steps
 * it to `traced_end` by PTRACE_SINGLESTEP (MSR[SE]) or PTRACE_SINGLEBLOCK
 * (MSR[BE]).
 */
#ifndef PTRACE_SINGLEBLOCK
#define PTRACE_SINGLEBLOCK 0x100
#endif
#define TRAP 0x7fe00008u
#define MSR_KEPT 0x4600ULL      /* PR, SE, BE */

extern char traced[], traced_trap[], traced_end[];

/*
 * r3: whether to run lwarx/stwcx., which a trace interrupt always breaks: it
 * is tried three times then.  What the kernel may change is not looked at.
 */
asm("   .pushsection .text\n"
    "   .balign 64\n"
    "   .globl traced, traced_sc, traced_mid, traced_branch, traced_trap\n"
    "   .globl traced_reserve, traced_end\n"
    "traced:\n"
    "   mflr    30\n"
    "   mr      31, 3\n"
    "   li      4, 6\n"
    "   mtctr   4\n"
    "   li      5, 1\n"
    "1: mulli   5, 5, 3\n"
    "   andi.   6, 5, 2\n"
    "   beq     2f\n"
    "   addi    5, 5, 7\n"
    "2: bdnz    1b\n"
    "   std     5, -64(1)\n"
    "   lwz     5, -63(1)\n"            /* unaligned */
    "   bl      3f\n"
    "   b       4f\n"
    "3: lfd     0, -64(1)\n"
    "   fadd    0, 0, 0\n"
    "   blr\n"
    "4: vxor    0, 0, 0\n"
    "   li      0, 158\n"               /* sched_yield */
    "traced_sc:\n"
    "   sc\n"
    "   mr      5, 3\n"
    "   li      0, -1\n"                /* no system call: ENOSYS */
    "   sc\n"
    "   mr      5, 3\n"
    "   crxor   2, 2, 2\n"
    "traced_mid:\n"
    "   xori    5, 5, 0x55\n"
    "traced_branch:\n"
    "   bne     5f\n"
    "   nop\n"
    "5: mtcrf   0x80, 5\n"
    "traced_trap:\n"
    "   trap\n"
    "   cmpdi   31, 0\n"
    "   beq     traced_end\n"
    "   li      4, 3\n"
    "   addi    6, 1, -64\n"
    "6:\n"
    "traced_reserve:\n"
    "   lwarx   5, 0, 6\n"
    "   addi    5, 5, 1\n"
    "   stwcx.  5, 0, 6\n"
    "   beq     7f\n"
    "   addi    4, 4, -1\n"
    "   cmpdi   4, 0\n"
    "   bne     6b\n"
    "7: mr      5, 4\n"
    "traced_end:\n"
    "   mtlr    30\n"
    "   blr\n"
    "   .popsection\n");

static void child(long reserve)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    asm volatile("mr    3, %0\n"
                 "li    4, 0\n"
                 "li    5, 0\n"
                 "cmpdi 4, 0\n"
                 "bl    traced\n"
                 : : "r" (reserve)
                 : "r0", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r30",
                   "r31", "fr0", "v0", "cr0", "lr", "ctr", "xer", "memory");
    _exit(0);
}

/* One child: how many stops there were between `traced` and `traced_end` */
static int trace(int request, long reserve)
{
    struct pt_regs regs;
    pid_t pid = fork();
    long word, trap;
    int stops = 0, status;

    if (pid == 0) {
        child(reserve);
    }
    wait_stop(pid, SIGSTOP);

    word = ptrace(PTRACE_PEEKTEXT, pid, traced, 0);
    trap = (word & ~0xffffffffL) | TRAP;
    if (ptrace(PTRACE_POKETEXT, pid, traced, trap) || ptrace(PTRACE_CONT, pid, 0, 0)) {
        die("breakpoint", 0);
    }
    wait_stop(pid, SIGTRAP);
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs) || regs.nip != (unsigned long)traced) {
        die("not at the breakpoint", 0);
    }
    ptrace(PTRACE_POKETEXT, pid, traced, word);

    for (;;) {
        if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) {
            die("PTRACE_GETREGS", 0);
        }
        add(regs.nip - (unsigned long)traced);
        add(regs.msr & MSR_KEPT);
        add(regs.gpr[4]);
        add(regs.gpr[5]);
        add(regs.ccr >> 28);
        if (regs.nip == (unsigned long)traced_end ||
            regs.nip - (unsigned long)traced > traced_end - traced) {
            break;
        }
        if (regs.nip == (unsigned long)traced_trap) {
            siginfo_t info;

            memset(&info, 0, sizeof(info));
            ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
            add(info.si_code);
            if (info.si_code == TRAP_BRKPT) {
                regs.nip += 4;
                ptrace(PTRACE_SETREGS, pid, 0, &regs);
            }
        }
        if (++stops > LIMIT) {
            die("too many stops", 0);
        }
        if (ptrace(request, pid, 0, 0)) {
            die("step", 0);
        }
        wait_stop(pid, SIGTRAP);
    }
    if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &status, 0) != pid || status) {
        die("the child did not end as it should", status);
    }
    return stops;
}

static void one_round(int round)
{
    int steps = trace(PTRACE_SINGLESTEP, 1);
    int blocks = trace(PTRACE_SINGLEBLOCK, 0);

    printf("ptrace round %d hash %016llx steps %d blocks %d\n", round,
           (unsigned long long)hash, steps, blocks);
}
