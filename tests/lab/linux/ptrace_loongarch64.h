/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ptrace.c on LoongArch: breakpoints, one behind the other
 *
 * A guest of KVM has no hardware for single steps.  Each round forks a child that is
 * stopped at each instruction of `traced` that is reached, by a break in its text at
 * the next one.
 */
#include <elf.h>
#include <sys/uio.h>

#define BREAK 0x002a0005u

extern char traced[], traced_end[];

asm("   .pushsection .text\n"
    "   .balign 64\n"
    "   .globl traced, traced_end\n"
    "traced:\n"
    "   li.w    $a1, 3\n"
    "1: addi.d  $a1, $a1, -1\n"
    "   mul.d   $a2, $a1, $a1\n"
    "   bnez    $a1, 1b\n"
    "   st.d    $a2, $sp, -64\n"
    "   ld.w    $a2, $sp, -63\n"               /* unaligned */
    "   li.w    $a7, 124\n"                    /* sched_yield */
    "   syscall 0\n"
    "   move    $a2, $a0\n"
    "   li.w    $a7, -1\n"                     /* no system call: ENOSYS */
    "   syscall 0\n"
    "   move    $a3, $a0\n"
    "   movgr2fr.d $fa0, $a3\n"
    "   fadd.d  $fa0, $fa0, $fa0\n"
    "   bl      2f\n"
    "   b       traced_end\n"
    "2: xor     $a2, $a2, $a3\n"
    "   jr      $ra\n"
    "traced_end:\n"
    "   jr      $s8\n"
    "   .popsection\n");

static void child(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    asm volatile("la.local $s8, 1f\n"
                 "move  $a1, $zero\n"
                 "move  $a2, $zero\n"
                 "move  $a3, $zero\n"
                 "b     traced\n"
                 "1:\n"
                 : : : "a0", "a1", "a2", "a3", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6",
                       "t7", "t8", "ra", "s8", "$f0", "memory");
    _exit(0);
}

static void set_break(pid_t pid, unsigned long at, long word)
{
    if (ptrace(PTRACE_POKETEXT, pid, at, word)) {
        die("PTRACE_POKETEXT", 0);
    }
}

/* The child runs to `at`, without what was there */
static void run_to(pid_t pid, unsigned long at, struct user_pt_regs *regs)
{
    struct iovec io = { regs, sizeof(*regs) };
    long word = ptrace(PTRACE_PEEKTEXT, pid, at, 0);

    set_break(pid, at, (word & ~0xffffffffL) | BREAK);
    if (ptrace(PTRACE_CONT, pid, 0, 0)) {
        die("PTRACE_CONT", 0);
    }
    wait_stop(pid, SIGTRAP);
    set_break(pid, at, word);
    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) || regs->csr_era != at) {
        die("not at the breakpoint", 0);
    }
}

/* Where the instruction leads, of those of `traced` */
static unsigned long next_of(pid_t pid, const struct user_pt_regs *regs)
{
    unsigned long pc = regs->csr_era;
    unsigned word = ptrace(PTRACE_PEEKTEXT, pid, pc, 0);

    switch (word >> 26) {
    case 0x11:                                  /* bnez */
        return regs->regs[word >> 5 & 31] ? pc - 8 : pc + 4;
    case 0x13:                                  /* jr */
        return regs->regs[word >> 5 & 31];
    case 0x14:                                  /* b, bl: forward */
    case 0x15:
        return pc + (word >> 10 & 0xffff) * 4;
    default:
        return pc + 4;
    }
}

static void one_round(int round)
{
    struct user_pt_regs regs;
    pid_t pid = fork();
    unsigned long at = (unsigned long)traced;
    int points = 0, status;

    if (pid == 0) {
        child();
    }
    wait_stop(pid, SIGSTOP);
    for (;; at = next_of(pid, &regs)) {
        run_to(pid, at, &regs);
        add(at - (unsigned long)traced);
        add(regs.regs[5]);
        add(regs.regs[6]);
        add(regs.regs[7]);
        if (at == (unsigned long)traced_end) {
            break;
        }
        if (++points > LIMIT) {
            die("too many stops", 0);
        }
    }
    if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &status, 0) != pid || status) {
        die("the child did not end as it should", status);
    }
    printf("ptrace round %d hash %016llx points %d\n", round, (unsigned long long)hash, points);
}
