/*
 * Software breakpoints under KVM that the guest writes over
 *
 * A user sets a breakpoint before the guest has loaded, unpacked or moved the
 * code, or even mapped the address; or the guest loads a module where another
 * one was.  The bytes that the guest writes over the trap are then underneath,
 * and the trap goes over them again:
 *
 * - A timer looks at memory, without an exit.  A guest may copy byte by byte,
 *   so the same bytes have to be there at several looks.
 * - Behind an exit that the vCPU has made by itself, no copy of that vCPU is
 *   under way: one look is enough, before the vCPU goes on.
 * - Where hardware breakpoints match before the instruction, the free ones are
 *   set at the same addresses and leave no gap.  On arm64 the guest has no
 *   hardware breakpoint of its own then.  So they are set only until the first
 *   breakpoint is met, after the guest has written over a trap, and for
 *   addresses that are not mapped.
 *
 * The guest may also have put the memory to another use.  Before the trap goes
 * in again, a vCPU looks up what is mapped at the breakpoint's address.  It
 * does so now and then for all breakpoints in the kernel, since a module may be
 * loaded into other memory.
 *
 * The looks are frequent while the guest boots and after the guest has written
 * over a trap, and rare at other times.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/kvm.h"
#include "kvm-breakpoints.h"
#include "kvm-cpus.h"
#include "trace.h"

#ifdef TARGET_KVM_HAVE_GUEST_DEBUG

#define OFTEN_MS   5
#define SELDOM_MS  100

/* How long memory is looked at often, of the guest's time */
#define BOOT_NS    (60 * NANOSECONDS_PER_SECOND)
#define CHANGE_NS  (10 * NANOSECONDS_PER_SECOND)

/* arm64 needs some for its steps, too */
#define LENT_MAX   3

/* How often the same bytes have to be there if none is, some are the trap's */
#define LOOKS_NONE_ALIKE   2
#define LOOKS_SOME_ALIKE   4
#define LOOKS_IN_PART      50

/* How often there are other bytes before the breakpoint leaves its place */
#define LOOKS_LEAVE        70

bool kvm_breakpoints_kept;      /* look after each exit; read without the BQL */

static QEMUTimer *timer;
static bool machine_runs;
static bool boots;              /* reset, and has not run since */
static bool met = true;         /* a breakpoint was, since the reset */
static int64_t boot_until;      /* QEMU_CLOCK_VIRTUAL */
static int64_t changes_until;   /* the same */

static int64_t now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* Who looks at memory */
typedef enum Look {
    LOOK_TIMER,         /* the main loop */
    LOOK_ASKED,         /* a vCPU, because the timer has seen something */
    LOOK_EXIT,          /* a vCPU behind an exit of its own */
} Look;

static bool is_stepped(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu_single_stepping(cpu)) {
            return true;
        }
    }
    return false;
}

static void ask(CPUState *cpu, run_on_cpu_func work)
{
    if (cpu->created) {
        async_run_on_cpu(cpu, work, RUN_ON_CPU_NULL);
    }
}

static void ask_all(run_on_cpu_func work)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        ask(cpu, work);
    }
}

/* What the guest has written over breakpoints */

/* How often the same @bytes have to be there before they are taken for whole */
static unsigned looks_needed(size_t len, unsigned alike, Look look)
{
    return alike == len ? LOOKS_IN_PART :
           look == LOOK_EXIT ? 1 :
           alike ? LOOKS_SOME_ALIKE : LOOKS_NONE_ALIKE;
}

static void count_look(struct kvm_sw_breakpoint *bp, const uint8_t *bytes,
                       size_t len, Look look)
{
    if (!bp->looks || memcmp(bp->seen, bytes, len)) {
        memcpy(bp->seen, bytes, len);
        bp->looks = 0;
        changes_until = now() + CHANGE_NS;
    }
    bp->looks += look != LOOK_ASKED;
    bp->changed += look == LOOK_TIMER;
}

static void forget_looks(struct kvm_sw_breakpoint *bp)
{
    bp->looks = bp->changed = 0;
}

static void renew(struct kvm_sw_breakpoint *bp)
{
    int ret = breakpoint_set_renew(kvm_breakpoint_set(), bp->place, bp->seen);

    forget_looks(bp);
    trace_kvm_breakpoint_renew(bp->pc, bp->place, ret);
    if (ret && ret != -EAGAIN && !bp->reported) {
        bp->reported = true;
        warn_report("the guest has written over the breakpoint at 0x%"
                    VADDR_PRIx ", which can't be put back: %s", bp->pc,
                    strerror(-ret));
    }
}

static void leave_place(struct kvm_sw_breakpoint *bp)
{
    trace_kvm_breakpoint_leave(bp->pc, bp->place);
    forget_looks(bp);
    kvm_breakpoints_leave_place(bp);
    if (!kvm_breakpoint_is_kernels(bp) && !bp->reported) {
        bp->reported = true;
        warn_report("the guest uses the memory of the breakpoint at 0x%"
                    VADDR_PRIx " for something else; when the guest is resumed "
                    "the next time, the breakpoint is tried again", bp->pc);
    }
}

/* Returns: whether a vCPU has to say what is mapped at @bp's address */
static bool look_at(CPUState *cpu, struct kvm_sw_breakpoint *bp, Look look)
{
    uint8_t bytes[BREAKPOINT_TRAP_MAX];
    unsigned alike;
    size_t len = breakpoint_set_overwritten(kvm_breakpoint_set(), bp->place,
                                            bytes, &alike);

    if (!len) {
        forget_looks(bp);
        return false;
    }
    count_look(bp, bytes, len, look);
    if (bp->changed >= LOOKS_LEAVE) {
        leave_place(bp);
        return false;
    }
    if (bp->looks < looks_needed(len, alike, look)) {
        return false;
    }
    /* Nothing is written to memory that has another use now */
    if (look != LOOK_TIMER && kvm_breakpoints_is_at_place(cpu, bp)) {
        renew(bp);
    }
    return look == LOOK_TIMER;
}

/* One that was not put into a kernel's image */
static void look_at_image(struct kvm_sw_breakpoint *bp, Look look)
{
    uint32_t word;

    if (now() >= boot_until) {
        bp->in_image = false;       /* nothing copies itself any more */
    } else if (look != LOOK_ASKED && kvm_breakpoints_image_gone(bp, &word)) {
        bool same = bp->looks && bp->word == word;

        bp->word = word;
        bp->looks = 1;
        if (same || look == LOOK_EXIT) {
            kvm_breakpoints_trap(bp);
        }
    }
}

static bool look_at_all(CPUState *cpu, Look look)
{
    struct kvm_sw_breakpoint *bp;
    bool asks = false;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        if (bp->placed && !bp->suspended) {
            asks |= look_at(cpu, bp, look);
        } else if (bp->in_image) {
            look_at_image(bp, look);
        }
    }
    return asks;
}

void kvm_breakpoints_exit(CPUState *cpu)
{
    BQL_LOCK_GUARD();
    look_at_all(cpu, LOOK_EXIT);
}

static void do_look(CPUState *cpu, run_on_cpu_data data)
{
    if (machine_runs) {
        look_at_all(cpu, LOOK_ASKED);
    }
}

/* Where breakpoints belong */

static void do_place(CPUState *cpu, run_on_cpu_data data)
{
    struct kvm_sw_breakpoint *bp;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        if (machine_runs && !bp->placed && !bp->in_image &&
            kvm_breakpoint_is_kernels(bp)) {
            kvm_breakpoints_place(cpu, bp);
        }
    }
}

static void do_follow(CPUState *cpu, run_on_cpu_data data)
{
    struct kvm_sw_breakpoint *bp;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        if (machine_runs && bp->placed && !bp->suspended &&
            kvm_breakpoint_is_kernels(bp)) {
            kvm_breakpoints_follow(cpu, bp);
        }
    }
}

/* One vCPU by turns: in user mode some kernels are not mapped */
static void follow_later(void)
{
    static int64_t next;
    static unsigned turn;
    int64_t ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    CPUState *cpu = qemu_get_cpu(turn);

    if (ms < next) {
        return;
    }
    next = ms + SELDOM_MS;
    turn = cpu ? turn + 1 : 0;
    ask(cpu ?: first_cpu, do_follow);
}

static void place_later(void)
{
    struct kvm_sw_breakpoint *bp;
    bool placed = false, waits = false;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        bool kernels = kvm_breakpoint_is_kernels(bp);

        placed |= kernels && bp->placed;
        waits |= kernels && !bp->placed && !bp->in_image;
    }
    if (waits) {
        ask_all(do_place);
    }
    if (placed) {
        follow_later();
    }
}

#ifdef TARGET_KVM_HAVE_EXEC_BREAKPOINTS
static unsigned nr_lent;

static int change_lent(struct kvm_sw_breakpoint *bp, bool lend)
{
    int ret;

    if (bp->lent == lend) {
        return 0;
    }
    ret = lend ?
        kvm_arch_insert_gdbstub_hw_breakpoint(bp->pc, 1, GDB_BREAKPOINT_HW) :
        kvm_arch_remove_gdbstub_hw_breakpoint(bp->pc, 1, GDB_BREAKPOINT_HW);
    if (ret) {
        return 0;
    }
    bp->lent = lend;
    nr_lent += lend ? 1 : -1;
    return 1;
}

static void tell_kvm(int changes)
{
    CPUState *cpu;

    if (changes) {
        CPU_FOREACH(cpu) {
            kvm_update_guest_debug(cpu, 0);
        }
    }
}

static void lend(bool any)
{
    struct kvm_sw_breakpoint *bp;
    bool all = !met || now() < changes_until;
    unsigned nr = 0;
    int changes = 0;

    /* On x86 KVM would step from where it is told again */
    if (!(any || nr_lent) || is_stepped()) {
        return;
    }
    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        changes += change_lent(bp, any && !bp->suspended && nr < LENT_MAX &&
                               (!bp->placed || all));
        nr += bp->lent;
    }
    tell_kvm(changes);
}

void kvm_breakpoints_take_back(void)
{
    lend(false);
}

void kvm_breakpoints_forget(struct kvm_sw_breakpoint *bp)
{
    /* The caller tells KVM */
    change_lent(bp, false);
}

void kvm_breakpoints_suspended(struct kvm_sw_breakpoint *bp)
{
    if (bp->suspended) {
        tell_kvm(change_lent(bp, false));
    }
}
#else
static void lend(bool any)
{
}

void kvm_breakpoints_take_back(void)
{
}

void kvm_breakpoints_forget(struct kvm_sw_breakpoint *bp)
{
}

void kvm_breakpoints_suspended(struct kvm_sw_breakpoint *bp)
{
}
#endif

/* The more breakpoints there are, the longer the interval */
static void look_later(void)
{
    int nr = kvm_sw_breakpoints_active(first_cpu);
    bool often = now() < boot_until || now() < changes_until;

    qatomic_set(&kvm_breakpoints_kept, machine_runs && nr && often);
    if (machine_runs && nr) {
        lend(often);
        timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                         (often ? OFTEN_MS + nr / 20 : SELDOM_MS + nr));
    }
}

static void tick(void *opaque)
{
    /* A vCPU that is asked something leaves its step */
    if (machine_runs && !is_stepped()) {
        if (look_at_all(NULL, LOOK_TIMER)) {
            ask_all(do_look);
        }
        place_later();
    }
    look_later();
}

void kvm_breakpoints_boot(void)
{
    boots = true;
    met = false;
}

bool kvm_breakpoints_booting(void)
{
    return boots;
}

void kvm_breakpoints_met(void)
{
    met = true;
}

void kvm_breakpoints_run(bool running)
{
    machine_runs = running;
    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, tick, NULL);
    }
    if (running && boots) {
        boots = false;
        boot_until = now() + BOOT_NS;
    }
    look_later();
}

void kvm_breakpoints_added(void)
{
    if (!timer_pending(timer)) {
        look_later();
    }
}

#endif /* TARGET_KVM_HAVE_GUEST_DEBUG */
