/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ptrace.c on arm64: breakpoint, single steps, hardware break- and watchpoints
 *
 * Each round has two children.  The first is stepped from `traced` to
 * `traced_end` by PTRACE_SINGLESTEP.  The second runs on from hardware break-
 * and watchpoint to the next; it is stepped over each, as a debugger does.
 *
 * A debugger outside may take the processor's software step and its debug
 * registers away (docs/devel/guest-debug.rst): then the child runs on to the
 * next brk.  Of each round is said how many steps went too far ("lost") or
 * nowhere ("again"), and how many points were not met ("missed"); what the
 * child computes is right in any case.
 */
#include <elf.h>
#include <sys/uio.h>

#define BRK 0xd4200000u
#define SVC 0xd4000001u
#define NZCV 0xf0000000ULL

/* Of the second child: what it should meet */
extern char traced[], traced_trap[], traced_end[], traced_mid[], traced_store[], traced_load[];
extern uint64_t watched[2];
uint64_t watched[2];

/*
 * x0: whether to run ldxr/stxr, which a step always breaks: it is tried three
 * times then.  x1: what is watched.
 */
asm("   .pushsection .text\n"
    "   .balign 64\n"
    "   .globl traced, traced_sc, traced_mid, traced_store, traced_load, traced_trap\n"
    "   .globl traced_reserve, traced_end\n"
    "traced:\n"
    "   mov     x20, x30\n"
    "   mov     x7, 0\n"
    "   mov     x19, x0\n"
    "   mov     x6, 6\n"
    "   mov     x5, 1\n"
    "1: add     x5, x5, x5, lsl 1\n"
    "   tst     x5, 2\n"
    "   b.eq    2f\n"
    "   add     x5, x5, 7\n"
    "2: subs    x6, x6, 1\n"
    "   b.ne    1b\n"
    "   str     x5, [sp, -64]\n"
    "   ldur    w5, [sp, -63]\n"        /* unaligned */
    "   bl      3f\n"
    "   b       4f\n"
    "3: ldr     d0, [sp, -64]\n"
    "   fadd    d0, d0, d0\n"
    "   ret\n"
    "4: movi    v0.2d, 0\n"
    "   mov     x8, 124\n"              /* sched_yield */
    "traced_sc:\n"
    "   svc     0\n"
    "   mov     x5, x0\n"
    "   mov     x8, -1\n"               /* no system call: ENOSYS */
    "   svc     0\n"
    "   mov     x5, x0\n"
    "   cmp     x5, 0\n"
    "traced_mid:\n"
    "   eor     x5, x5, 0x7e\n"
    "traced_store:\n"
    "   str     x5, [x1]\n"
    "   ldr     x4, [x1]\n"
    "traced_load:\n"
    "   ldrb    w4, [x1, 13]\n"
    "   cbz     x4, 5f\n"
    "   nop\n"
    "5:\n"
    "traced_trap:\n"
    "   brk     1\n"
    "   cbz     x19, traced_end\n"
    "   mov     x4, 3\n"
    "   sub     x6, sp, 64\n"
    "6:\n"
    "traced_reserve:\n"
    "   ldxr    x5, [x6]\n"
    "   add     x5, x5, 1\n"
    "   stxr    w7, x5, [x6]\n"
    "   cbz     w7, 7f\n"
    "   sub     x4, x4, 1\n"
    "   cbnz    x4, 6b\n"
    "7: mov     x5, x4\n"
    "traced_end:\n"
    "   brk     2\n"
    "   mov     x30, x20\n"
    "   ret\n"
    "   .popsection\n");

/* What has gone otherwise than alone */
static int lost, again, missed;
/* Stops that Linux reports twice: at the end of a system call, and by a step */
static int twice;

#define SYSTEM_CALLS 2          /* in the traced part */

typedef struct user_regs_struct Regs;

static void get_regs(pid_t pid, Regs *regs)
{
    struct iovec iov = { regs, sizeof(*regs) };

    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov)) {
        die("PTRACE_GETREGSET", 0);
    }
}

static void set_pc(pid_t pid, uint64_t pc)
{
    Regs regs;
    struct iovec iov = { &regs, sizeof(regs) };

    get_regs(pid, &regs);
    regs.pc = pc;
    if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov)) {
        die("PTRACE_SETREGSET", 0);
    }
}

static siginfo_t info_of(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    return info;
}

static void child(long reserve)
{
    register long x0 asm("x0") = reserve;
    register void *x1 asm("x1") = watched;

    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    x0 = reserve;
    x1 = watched;
    asm volatile("mov   x4, 0\n"
                 "mov   x5, 0\n"
                 "cmp   x4, 0\n"
                 "bl    traced\n"
                 : "+r" (x0) : "r" (x1)
                 : "x4", "x5", "x6", "x7", "x8", "x19", "x20", "x30", "d0", "cc", "memory");
    _exit(watched[0] != ((uint64_t)-ENOSYS ^ 0x7e));
}

/* One stopped at `traced`, by a brk in its text that is taken out again */
static pid_t start(long reserve)
{
    pid_t pid = fork();
    long word;
    Regs regs;

    if (pid == 0) {
        child(reserve);
    }
    wait_stop(pid, SIGSTOP);
    word = ptrace(PTRACE_PEEKTEXT, pid, traced, 0);
    if (ptrace(PTRACE_POKETEXT, pid, traced, (word & ~0xffffffffL) | BRK) ||
        ptrace(PTRACE_CONT, pid, 0, 0)) {
        die("breakpoint", 0);
    }
    wait_stop(pid, SIGTRAP);
    get_regs(pid, &regs);
    if (regs.pc != (unsigned long)traced) {
        die("not at the breakpoint", 0);
    }
    ptrace(PTRACE_POKETEXT, pid, traced, word);
    return pid;
}

static void finish(pid_t pid)
{
    int status;

    set_pc(pid, (uint64_t)traced_end + 4);
    if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &status, 0) != pid || status) {
        die("the child did not end as it should", status);
    }
}

static int64_t field(uint32_t word, int low, int bits)
{
    return (int64_t)((uint64_t)word << (64 - low - bits)) >> (64 - bits) << 2;
}

/* Has a step led from the one to the other?  Of conditions there are eq and ne. */
static int follows(const Regs *from, uint64_t pc)
{
    uint32_t word = *(uint32_t *)from->pc;
    uint64_t value;
    int taken;

    if ((word & 0x7c000000) == 0x14000000) {                            /* b, bl */
        return pc == from->pc + field(word, 0, 26);
    }
    if ((word & 0xff000010) == 0x54000000) {                            /* b.eq, b.ne */
        taken = (word & 1) != (from->pstate >> 30 & 1);
        return pc == from->pc + (taken ? field(word, 5, 19) : 4);
    }
    if ((word & 0x7e000000) == 0x34000000) {                            /* cbz, cbnz */
        value = from->regs[word & 31];
        taken = (word >> 24 & 1) == ((word >> 31 ? value : (uint32_t)value) != 0);
        return pc == from->pc + (taken ? field(word, 5, 19) : 4);
    }
    if (word == 0xd65f03c0) {                                           /* ret */
        return pc == from->regs[30];
    }
    return pc == from->pc + 4;
}

static void step(pid_t pid, Regs *regs)
{
    Regs before = *regs;

    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0)) {
        die("step", 0);
    }
    wait_stop(pid, SIGTRAP);
    get_regs(pid, regs);
    if (before.pc == (uint64_t)traced_trap) {
        return;
    }
    if (regs->pc == before.pc && *(uint32_t *)(before.pc - 4) == SVC) {
        /* Linux has said so at the end of the system call already */
        twice++;
        return;
    }
    if (regs->pc == before.pc) {
        again++;
    } else if (!follows(&before, regs->pc)) {
        lost++;
    }
}

/* The first child: how many stops there were */
static int all_steps(void)
{
    pid_t pid = start(1);
    int stops = 0, arrived = 0;
    Regs regs;

    get_regs(pid, &regs);
    for (;;) {
        add(regs.pc - (uint64_t)traced);
        add(regs.pstate & (NZCV | 0x1f));
        add(regs.regs[4]);
        add(regs.regs[5]);
        add(regs.regs[7]);
        if (regs.pc == (uint64_t)traced_end) {
            break;
        }
        if (regs.pc - (uint64_t)traced > traced_end - traced) {
            die("out of the traced part", 0);
        }
        if (regs.pc == (uint64_t)traced_trap) {
            /* The step that led here, or its own */
            int code = info_of(pid).si_code;

            add(code);
            if (code == TRAP_BRKPT) {
                lost += !arrived;               /* the step that led here */
                arrived = 0;
                set_pc(pid, regs.pc + 4);
                get_regs(pid, &regs);
                stops++;
                continue;
            }
            arrived = 1;
        }
        if (++stops > LIMIT) {
            die("too many stops", 0);
        }
        step(pid, &regs);
    }
    if (twice > SYSTEM_CALLS) {
        again += twice - SYSTEM_CALLS;
    } else {
        lost += SYSTEM_CALLS - twice;
    }
    finish(pid);
    return stops;
}

static void set_point(pid_t pid, int set, uint64_t address, uint32_t control)
{
    struct {
        uint32_t info, pad;
        struct {
            uint64_t address;
            uint32_t control, pad;
        } points[1];
    } state = { .points = { { address, control } } };
    struct iovec iov = { &state, sizeof(state) };

    if (ptrace(PTRACE_SETREGSET, pid, set, &iov)) {
        die("hardware point", set);
    }
}

static const struct Point {
    int set;
    void *at;               /* of a watchpoint, 8 bytes; the mask says which */
    uint32_t control;       /* bytes << 5 | (load 1, store 2) << 3 | EL0 << 1 | enable */
    char *pc;
    void *address;
} points[] = {
    { NT_ARM_HW_BREAK, traced_mid, 0xf << 5 | 2 << 1 | 1, traced_mid, traced_mid },
    { NT_ARM_HW_WATCH, &watched[0], 0xff << 5 | 2 << 3 | 2 << 1 | 1, traced_store,
      &watched[0] },
    { NT_ARM_HW_WATCH, &watched[1], 0xf0 << 5 | 1 << 3 | 2 << 1 | 1, traced_load,
      (char *)&watched[1] + 5 },
};

/* The second child: how many points it has met */
static int all_points(void)
{
    pid_t pid = start(0);
    int met = 0;
    Regs regs;

    for (unsigned i = 0; i < sizeof(points) / sizeof(*points); i++) {
        const struct Point *point = &points[i];
        siginfo_t info;

        set_point(pid, point->set, (uint64_t)point->at, point->control);
        if (ptrace(PTRACE_CONT, pid, 0, 0)) {
            die("PTRACE_CONT", 0);
        }
        wait_stop(pid, SIGTRAP);
        get_regs(pid, &regs);
        info = info_of(pid);
        set_point(pid, point->set, (uint64_t)point->at, 0);
        add(regs.pc - (uint64_t)traced);
        add(info.si_code);
        add((uint64_t)info.si_addr - (uint64_t)point->at);
        if (regs.pc != (uint64_t)point->pc || info.si_code != TRAP_HWBKPT ||
            info.si_addr != point->address) {
            if (info.si_code == TRAP_HWBKPT) {
                printf("ptrace WRONG: point %u met at %#llx for %p\n", i,
                       (unsigned long long)regs.pc, info.si_addr);
            }
            /* At the next brk, behind all of them */
            missed += sizeof(points) / sizeof(*points) - i;
            break;
        }
        met++;
        step(pid, &regs);
        if (regs.pc != (uint64_t)point->pc + 4) {
            missed += sizeof(points) / sizeof(*points) - i - 1;
            break;
        }
    }
    while (regs.pc != (uint64_t)traced_end) {
        if (regs.pc == (uint64_t)traced_trap) {
            set_pc(pid, regs.pc + 4);
        }
        if (ptrace(PTRACE_CONT, pid, 0, 0)) {
            die("PTRACE_CONT", 0);
        }
        wait_stop(pid, SIGTRAP);
        get_regs(pid, &regs);
    }
    finish(pid);
    return met;
}

static void one_round(int round)
{
    int steps, met;

    lost = again = missed = twice = 0;
    steps = all_steps();
    met = all_points();
    printf("ptrace round %d hash %016llx steps %d points %d lost %d again %d missed %d\n",
           round, (unsigned long long)hash, steps, met, lost, again, missed);
}
