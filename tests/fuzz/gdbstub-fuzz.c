/*
 * Fuzzer of QEMU's gdbstub
 *
 * QEMU's own gdbstub/{gdbstub,system,syscalls}.c, linked to a model of all
 * that they use: vCPUs, memory, accelerator, run state, character device.
 * The model checks what the stub does to it and says.  README.md has the
 * format of an input and the list of what is checked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sanitizer/asan_interface.h>
#include <sanitizer/allocator_interface.h>
#include "qemu/ctype.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/target-info.h"
#include "qemu/timer.h"
#include "exec/gdbstub.h"
#include "gdbstub/commands.h"
#include "gdbstub/enums.h"
#include "gdbstub/syscalls.h"
#include "gdbstub/internals.h"
#include "exec/replay-core.h"
#include "exec/target_page.h"
#include "hw/core/boards.h"
#include "hw/core/cpu.h"
#include "hw/cpu/cluster.h"
#include "monitor/monitor.h"
#include "chardev/char.h"
#include "chardev/char-fe.h"
#include "semihosting/semihost.h"
#include "accel/accel-ops.h"
#include "accel/accel-cpu-ops.h"
#include "system/address-spaces.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "trace/control.h"

#define MAX_CPUS    4
#define CORE_REGS   34                  /* 32, pc and one that has no size */
#define PC_REG      32
#define NO_REG      33
#define EXTRA_REGS  4                   /* of 16 bytes, not in `g` */
#define EXTRA_BASE  (CORE_REGS + 2)     /* two numbers are nobody's */
#define REG_BYTES   (33 * 8 + EXTRA_REGS * 16)
#define PAGE        4096
#define PAGES       5                   /* 0..3 and the last of all */
#define READ_ONLY   2
#define MAX_POINTS  64
#define MAX_OUT     (4 << 20)

/*
 * What is checked beyond memory safety, well-formed output and the guest's
 * state.  GDBSTUB_FUZZ_SKIP has a letter for each one to leave out, for trees
 * where it is known not to hold.
 */
#define CHECKS "abdghklmnoprsw"
static bool skip[256];
static bool verbose;                    /* GDBSTUB_FUZZ_VERBOSE */

static void G_GNUC_PRINTF(2, 3) G_NORETURN
broken(const char *what, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "\ngdbstub-fuzz: %s: ", what);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

#define check(letter, cond, ...) do { \
        if (!(cond) && !skip[letter]) { \
            broken(#cond, __VA_ARGS__); \
        } \
    } while (0)
#define must(cond, ...) do { \
        if (!(cond)) { \
            broken(#cond, __VA_ARGS__); \
        } \
    } while (0)

/*
 * The guest
 */

typedef struct Point {
    GdbBreakpointType type;
    vaddr addr, len;
    CPUWatchpoint wp;
} Point;

typedef struct Guest {
    uint8_t regs[MAX_CPUS][REG_BYTES];
    uint8_t mem[PAGES * PAGE];
} Guest;

static Guest guest, expected;
static CPUClass cpu_class;
static CPUState *cpus[MAX_CPUS];
static GPtrArray *points[MAX_CPUS];     /* TCG's; KVM has one list, [0] */
static CPUClusterState *clusters[2];
static MachineState *machine;
static int num_cpus, num_clusters;
static bool kvm, kvm_emulates, step_refused, replaying;
CPUTailQ cpus_queue = QTAILQ_HEAD_INITIALIZER(cpus_queue);

/* @n: the core's, then the others', without the gap in the stub's numbers */
static uint8_t *reg_at(Guest *g, int cpu, int n, int *size)
{
    *size = n < NO_REG ? 8 : n == NO_REG ? 0 : 16;
    return g->regs[cpu] + (n <= NO_REG ? MIN(n, 33) * 8
                                       : 33 * 8 + (n - CORE_REGS) * 16);
}

static uint64_t guest_pc(int cpu)
{
    int size;
    return ldq_be_p(reg_at(&guest, cpu, PC_REG, &size));
}

static int read_reg(CPUState *cpu, GByteArray *buf, int n, int limit)
{
    int size;
    uint8_t *reg;

    must(cpu, "a register of no vCPU is read");
    must(n >= 0 && n < limit, "register %d of %d is read", n, limit);
    n += limit == EXTRA_REGS ? CORE_REGS : 0;
    reg = reg_at(&guest, cpu->cpu_index, n, &size);
    g_byte_array_append(buf, reg, size);
    return size;
}

static int write_reg(CPUState *cpu, uint8_t *buf, int n, int limit)
{
    int size;
    uint8_t *reg;
    GByteArray *given = gdbserver_state.mem_buf;

    must(cpu, "a register of no vCPU is written");
    must(n >= 0 && n < limit, "register %d of %d is written", n, limit);
    n += limit == EXTRA_REGS ? CORE_REGS : 0;
    reg = reg_at(&guest, cpu->cpu_index, n, &size);
    check('w', buf >= given->data && buf + size <= given->data + given->len,
          "register %d is written from beyond the packet's %u bytes", n,
          given->len);
    memcpy(reg, buf, size);
    return size;
}

static int read_core(CPUState *cpu, GByteArray *buf, int n)
{
    return read_reg(cpu, buf, n, CORE_REGS);
}

static int write_core(CPUState *cpu, uint8_t *buf, int n)
{
    return write_reg(cpu, buf, n, CORE_REGS);
}

static int read_extra(CPUState *cpu, GByteArray *buf, int n)
{
    return read_reg(cpu, buf, n, EXTRA_REGS);
}

static int write_extra(CPUState *cpu, uint8_t *buf, int n)
{
    return write_reg(cpu, buf, n, EXTRA_REGS);
}

static void set_pc(CPUState *cpu, vaddr pc)
{
    int size;

    must(cpu, "pc of no vCPU is set");
    stq_be_p(reg_at(&guest, cpu->cpu_index, PC_REG, &size), pc);
}

static vaddr get_pc(CPUState *cpu)
{
    must(cpu, "pc of no vCPU is read");
    return guest_pc(cpu->cpu_index);
}

static const int8_t *stop_regs(CPUState *cpu)
{
    static const int8_t regs[] = { PC_REG, 1, -1 };

    return regs;
}

static const gchar *arch_name(CPUState *cpu)
{
    return "powerpc:common64";
}

const char *target_name(void)
{
    return "ppc64";
}

static const char *const core_names[CORE_REGS] = {
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11",
    "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21",
    "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31",
    "pc", "none",
};
static const char *const extra_names[EXTRA_REGS] = { "v0", "v1", "v2", "v3" };

const GDBFeature gdb_static_features[] = {
    {
        .xmlname = "power64-core.xml",
        .xml = "<?xml version=\"1.0\"?>"
               "<feature name=\"org.gnu.gdb.power.core\">"
               "<reg name=\"r0\" bitsize=\"64\"/>*#$}</feature>",
        .name = "org.gnu.gdb.power.core",
        .regs = core_names,
        .num_regs = CORE_REGS,
    },
    {
        .xmlname = "power-altivec.xml",
        .xml = "<?xml version=\"1.0\"?>"
               "<feature name=\"org.gnu.gdb.power.altivec\"/>",
        .name = "org.gnu.gdb.power.altivec",
        .regs = extra_names,
        .base_reg = EXTRA_BASE,
        .num_regs = EXTRA_REGS,
    },
    { NULL }
};

static uint8_t *mem_at(uint64_t addr)
{
    uint64_t page = addr / PAGE;

    if (page < PAGES - 1) {
        return guest.mem + addr;
    }
    return page == UINT64_MAX / PAGE
           ? guest.mem + (PAGES - 1) * PAGE + addr % PAGE : NULL;
}

const TargetPageBits target_page = {
    .decided = true, .bits = 12, .mask = (uint64_t)-PAGE,
};

bool cpu_translate_for_debug(CPUState *cpu, vaddr addr,
                             TranslateForDebugResult *result)
{
    must(cpu, "memory of no vCPU");
    *result = (TranslateForDebugResult) {
        .physaddr = addr, .attrs.debug = 1, .lg_page_size = ctz32(PAGE),
    };
    return mem_at(addr);
}

int cpu_asidx_from_attrs(CPUState *cpu, MemTxAttrs attrs)
{
    return 0;
}

AddressSpace address_space_memory;

AddressSpace *cpu_get_address_space(CPUState *cpu, int asidx)
{
    return &address_space_memory;
}

bool address_space_access_valid(const AddressSpace *as, hwaddr addr, hwaddr len,
                                bool is_write, MemTxAttrs attrs)
{
    must(!attrs.debug || addr % PAGE + len <= PAGE, "%" PRIu64 " bytes of a page",
         len);
    for (; len--; addr++) {
        if (!mem_at(addr) || (is_write && addr / PAGE == READ_ONLY)) {
            return false;
        }
    }
    return true;
}

/* Page by page, as QEMU's: what comes before a fault is done */
static int access_memory(CPUState *cpu, vaddr addr, void *buf, size_t len,
                         bool is_write)
{
    uint8_t *at = buf;

    must(cpu, "memory of no vCPU");
    must(len <= INT_MAX, "%zu bytes of memory", len);
    while (len) {
        size_t part = MIN(len, PAGE - addr % PAGE);
        uint8_t *mem = mem_at(addr);

        if (!mem || (is_write && addr / PAGE == READ_ONLY)) {
            return -1;
        }
        memcpy(is_write ? mem : at, is_write ? at : mem, part);
        addr += part;
        at += part;
        len -= part;
    }
    return 0;
}

/* All that can be done is, and what can't is said */
static MemTxResult access_physical(hwaddr addr, void *buf, hwaddr len,
                                   bool is_write)
{
    MemTxResult result = MEMTX_OK;
    uint8_t *at = buf;

    must(len <= INT_MAX, "%" PRIu64 " bytes of memory", len);
    for (; len--; addr++, at++) {
        uint8_t *mem = mem_at(addr);

        if (!mem || (is_write && addr / PAGE == READ_ONLY)) {
            result = MEMTX_DECODE_ERROR;
            *at = is_write ? *at : 0;
        } else {
            *(is_write ? mem : at) = *(is_write ? at : mem);
        }
    }
    return result;
}

int cpu_memory_rw_debug(CPUState *cpu, vaddr addr, void *buf, size_t len,
                        bool is_write)
{
    must(!kvm, "memory with KVM's breakpoints in it");
    return access_memory(cpu, addr, buf, len, is_write);
}

MemTxResult address_space_rw(const AddressSpace *as, hwaddr addr,
                             MemTxAttrs attrs, void *buf, hwaddr len,
                             bool is_write)
{
    must(!kvm, "memory with KVM's breakpoints in it");
    return access_physical(addr, buf, len, is_write);
}

static int memory_under_points(CPUState *cpu, vaddr addr, void *buf, size_t len,
                               bool is_write, bool physical)
{
    if (!physical) {
        return access_memory(cpu, addr, buf, len, is_write);
    }
    return access_physical(addr, buf, len, is_write) == MEMTX_OK ? 0 : -1;
}

/*
 * Accelerator
 */

static RunState state;
static bool debug_requested, exiting;
static bool late;                       /* vCPUs can't get the lock now */
static struct {
    bool asks;                          /* has stopped, and waits for the lock */
    bool begun;                         /* KVM has been told to step */
    bool resumed;                       /* has not run since, ... */
    bool by_client;                     /* ... and the client resumed it */
    enum { OTHERWISE, BY_BREAKPOINT, BY_STEP } asked;    /* for a stop */
    /* Has met one, as the client knows, and was left there */
    enum { NOT_TOLD, MAYBE_TOLD, TOLD } told;
    bool owed;                          /* resumed so: it has to get off */
} run[MAX_CPUS];
__thread CPUState *current_cpu;         /* whose thread holds the lock */

static int points_there;                /* when the client resumed it */

static void let_vcpus_report(void);
static bool on_point(CPUState *cpu);

/* So that nobody can run past a breakpoint that is not there for a moment */
static bool others_wait(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu != current_cpu && !cpu->stopped && !run[cpu->cpu_index].asks) {
            return false;
        }
    }
    return true;
}

static GPtrArray *points_of(CPUState *cpu)
{
    return points[kvm ? 0 : cpu->cpu_index];
}

static void remove_point(GPtrArray *list, int i)
{
    Point *point = list->pdata[i];
    CPUState *cpu;

    /* As cpu_watchpoint_remove_by_ref() does */
    CPU_FOREACH(cpu) {
        if (cpu->watchpoint_hit == &point->wp) {
            cpu->watchpoint_hit = NULL;
        }
    }
    g_ptr_array_remove_index(list, i);
    g_free(point);
}

static Point *find_point(GPtrArray *list, GdbBreakpointType type, vaddr addr,
                         vaddr len)
{
    for (int i = 0; i < list->len; i++) {
        Point *point = list->pdata[i];

        if (point->type == type && point->addr == addr &&
            (type < GDB_WATCHPOINT_WRITE || point->len == len)) {
            return point;
        }
    }
    return NULL;
}

/* TCG's vCPUs have each its own, and the same one twice; KVM counts them */
static int insert_point(CPUState *cs, GdbBreakpointType type, vaddr addr,
                        vaddr len)
{
    static const int flags[] = {
        [GDB_WATCHPOINT_WRITE] = BP_GDB | BP_MEM_WRITE,
        [GDB_WATCHPOINT_READ] = BP_GDB | BP_MEM_READ,
        [GDB_WATCHPOINT_ACCESS] = BP_GDB | BP_MEM_ACCESS,
    };
    CPUState *cpu;

    must(cs || !kvm, "breakpoint of no vCPU");
    must(!runstate_is_running() || others_wait(),
         "breakpoint while the guest runs");
    if (type > GDB_WATCHPOINT_ACCESS) {
        return -ENOSYS;
    }
    if (type >= GDB_WATCHPOINT_WRITE && (!len || addr + len - 1 < addr)) {
        return -EINVAL;
    }
    if (kvm && type == GDB_BREAKPOINT_SW &&
        (!mem_at(addr) || addr / PAGE == READ_ONLY)) {
        return -EFAULT;
    }
    if (points[0]->len >= MAX_POINTS) {
        return -ENOBUFS;
    }
    CPU_FOREACH(cpu) {
        Point *point = g_new0(Point, 1);

        *point = (Point) { .type = type, .addr = addr, .len = len };
        point->wp.vaddr = addr;
        point->wp.len = len;
        point->wp.flags = type >= GDB_WATCHPOINT_WRITE ? flags[type] : 0;
        g_ptr_array_add(points_of(cpu), point);
        if (kvm) {
            break;
        }
    }
    return 0;
}

static int delete_point(CPUState *cs, GdbBreakpointType type, vaddr addr,
                        vaddr len)
{
    CPUState *cpu;

    must(cs || !kvm, "breakpoint of no vCPU");
    must(!runstate_is_running() || others_wait(),
         "breakpoint while the guest runs");
    if (type > GDB_WATCHPOINT_ACCESS) {
        return -ENOSYS;
    }
    CPU_FOREACH(cpu) {
        GPtrArray *list = points_of(cpu);
        Point *point = find_point(list, type, addr, len);
        guint i;

        if (!point || !g_ptr_array_find(list, point, &i)) {
            return -ENOENT;
        }
        remove_point(list, i);
        if (kvm) {
            break;
        }
    }
    return 0;
}

static bool all_stopped(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (!cpu->stopped) {
            return false;
        }
    }
    return true;
}

static void delete_points(CPUState *cpu)
{
    must(cpu, "breakpoints of no vCPU");
    /* TCG's vCPUs look at the list without a lock */
    check('d', kvm || !points_of(cpu)->len || all_stopped(),
          "a running vCPU's breakpoints vanish");
    if (kvm) {
        let_vcpus_report();
    }
    while (points_of(cpu)->len) {
        remove_point(points_of(cpu), 0);
    }
}

/* KVM's happens in the vCPU's thread; until it has, all may get the lock */
static int update_guest_debug(CPUState *cpu)
{
    bool on = cpu_single_stepping(cpu);

    if (kvm && cpu != current_cpu) {
        let_vcpus_report();
    }
    run[cpu->cpu_index].begun = on && !step_refused;
    return step_refused && on ? -EBUSY : 0;
}

static int step_again(CPUState *cpu)
{
    int n = cpu->cpu_index;

    must(cpu == current_cpu && cpu_single_stepping(cpu), "vCPU %d does not step", n);
    run[n].begun = !step_refused;
    return step_refused ? -EBUSY : 0;
}

static bool steps_off_breakpoint(CPUState *cpu)
{
    return kvm_emulates || !kvm;
}

static AccelOpsClass accel_ops = {
    .update_guest_debug = update_guest_debug,
    .insert_gdbstub_breakpoint = insert_point,
    .remove_gdbstub_breakpoint = delete_point,
    .remove_all_gdbstub_breakpoints = delete_points,
    .steps_off_breakpoint = steps_off_breakpoint,
};
static AccelState accel;

const AccelOpsClass *cpus_get_accel(void)
{
    return &accel_ops;
}

AccelState *current_accel(void)
{
    return &accel;
}

bool accel_supports_guest_debug(AccelState *as)
{
    return as->gdbstub.sstep_flags & SSTEP_ENABLE;
}

int cpu_single_step(CPUState *cpu, unsigned flags)
{
    unsigned before = cpu->singlestep_flags;

    cpu->singlestep_flags = flags;
    if (before != flags && update_guest_debug(cpu) < 0) {
        cpu->singlestep_flags = before;
        return -EBUSY;
    }
    return 0;
}

/*
 * Run state
 */

static bool syscall_open;               /* gdb is at work for the guest */
static VMChangeStateHandler *vm_changed;
static void *vm_changed_opaque;

VMChangeStateEntry *
qemu_add_vm_change_state_handler(VMChangeStateHandler *cb, void *opaque)
{
    must(!vm_changed, "a second handler");
    vm_changed = cb;
    vm_changed_opaque = opaque;
    return (void *)&vm_changed;
}

RunState runstate_get(void)
{
    return state;
}

bool runstate_is_running(void)
{
    return state == RUN_STATE_RUNNING;
}

bool runstate_check(RunState which)
{
    return state == which;
}

bool runstate_needs_reset(void)
{
    return state == RUN_STATE_INTERNAL_ERROR || state == RUN_STATE_SHUTDOWN;
}

int autostart;

bool migration_block_activate(Error **errp)
{
    g_assert_not_reached();
}

/* Saving goes on by itself, and so does what a system call interrupts */
static bool stopped_for_good(void)
{
    return state != RUN_STATE_RUNNING && state != RUN_STATE_SAVE_VM &&
           state != RUN_STATE_RESTORE_VM && !syscall_open;
}

static void stop_sent(void);
static int count_points(void);

static void points_are_back(void)
{
    check('o', count_points() == points_there ||
          !(stopped_for_good() || syscall_open),
          "%d breakpoints of %d", count_points(), points_there);
}

static void no_steps(const char *when)
{
    CPUState *cpu;

    if (!stopped_for_good()) {
        return;
    }
    CPU_FOREACH(cpu) {
        check('s', !cpu_single_stepping(cpu), "vCPU %d, %s", cpu->cpu_index,
              when);
    }
}

/* A vCPU's thread, with the lock, of why it has stopped */
static void report(CPUState *cpu)
{
    CPUState *before = current_cpu;

    run[cpu->cpu_index].asks = false;
    current_cpu = cpu;
    if (!gdb_step_goes_on(cpu)) {
        gdb_set_stop_cpu(cpu);
        qemu_system_debug_request();
        cpu->stopped = true;
        cpu->debug_stopped = true;
    }
    current_cpu = before;
}

static void let_vcpus_report(void)
{
    CPUState *cpu;

    if (!current_cpu) {
        CPU_FOREACH(cpu) {
            if (run[cpu->cpu_index].asks) {
                report(cpu);
            }
        }
    }
}

void pause_all_vcpus(void)
{
    CPUState *cpu;

    must(!current_cpu, "a vCPU pauses all");
    CPU_FOREACH(cpu) {
        cpu->stop = true;
    }
    let_vcpus_report();
    CPU_FOREACH(cpu) {
        if (cpu->stop) {
            cpu->stop = false;
            cpu->stopped = true;
        }
        must(cpu->stopped, "vCPU %d runs on", cpu->cpu_index);
    }
}

void cpu_resume(CPUState *cpu)
{
    cpu->stop = false;
    cpu->stopped = false;
    cpu->debug_stopped = false;
}

void resume_all_vcpus(void)
{
    CPUState *cpu;

    if (!runstate_is_running()) {
        return;
    }
    CPU_FOREACH(cpu) {
        if (!cpu->debug_stopped) {
            cpu_resume(cpu);
        }
    }
}

static bool stop_expected, connected;
static bool by_client;                  /* a packet is being handled */
static bool answering;                  /* ... an answer to a system call */
static bool continued;                  /* `c` or `C` was the last of these */
static bool all_resumed;                /* when the guest was resumed last */

int vm_stop(RunState why)
{
    /* Another vCPU's is a request to the main loop, which is idle here */
    current_cpu = NULL;
    if (runstate_is_running()) {
        CPUState *cpu;

        state = why;
        pause_all_vcpus();
        CPU_FOREACH(cpu) {
            /* As do_vm_stop() has it */
            cpu->debug_stopped &= why == RUN_STATE_SAVE_VM ||
                               why == RUN_STATE_RESTORE_VM;
        }
        if (vm_changed) {
            vm_changed(vm_changed_opaque, false, why);
        }
        no_steps("after a stop");
        points_are_back();
        stop_sent();
    }
    return 0;
}

int vm_prepare_start(bool step_pending)
{
    if (runstate_is_running()) {
        return -1;
    }
    state = RUN_STATE_RUNNING;
    for (int i = 0; i < MAX_CPUS; i++) {
        run[i].resumed = true;
        run[i].asked = OTHERWISE;
        run[i].by_client = by_client;
        run[i].owed = by_client && run[i].told == TOLD && !step_refused;
        /* Not if it is not among those that are resumed */
        run[i].told = MIN(run[i].told, MAYBE_TOLD);
    }
    vm_changed(vm_changed_opaque, true, state);
    return 0;
}

void vm_start(void)
{
    if (!vm_prepare_start(false)) {
        all_resumed = true;
        resume_all_vcpus();
    }
}

void qemu_system_debug_request(void)
{
    debug_requested = true;
}

void qemu_system_debug_request_forget(void)
{
    debug_requested = false;
}

void qemu_system_shutdown_request_with_code(ShutdownCause why, int code)
{
    exiting = true;
}

/* Synchronisation has nothing to do here but to have a vCPU */
void cpu_synchronize_state(CPUState *cpu)
{
    must(cpu, "no vCPU to synchronise");
}

void cpu_synchronize_register(CPUState *cpu, const char *feature, int n)
{
    must(cpu, "no vCPU to synchronise");
}

void cpu_synchronize_mmu(CPUState *cpu)
{
    must(cpu, "no vCPU to synchronise");
}

void qemu_cpu_kick(CPUState *cpu)
{
    must(cpu, "no vCPU to kick");
}

void qemu_clock_enable(QEMUClockType type, bool enabled)
{
}

ReplayMode replay_mode;

void replay_gdb_attached(void)
{
}

bool replay_reverse_step(void)
{
    return replaying;
}

bool replay_reverse_continue(void)
{
    return false;
}

SemihostingTarget semihosting_get_target(void)
{
    return kvm ? SEMIHOSTING_TARGET_AUTO : SEMIHOSTING_TARGET_GDB;
}

/*
 * The client's end of the connection
 */

static struct {
    IOCanReadHandler *can_read;
    IOReadHandler *read;
    IOEventHandler *event;
    void *opaque;
} handlers;
static bool no_acks, client_acks;
static GString *out, *reply;
static int stop_thread;                 /* of the last stop reply, or 0 */

/* What the stub has said since the last look */
static struct {
    int acks, nacks, replies, stops, console, syscalls, others;
    char first[16];                     /* of the last reply */
    bool error;
} said;

static int undigit(int c)
{
    return qemu_isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In a stop reply: the vCPU's index from 1 on */
static int thread_of(const char *data, int len)
{
    g_autofree char *text = g_strndup(data, len);
    const char *thread = strstr(text, "thread:");
    unsigned process, n;

    return !thread ? 0 : sscanf(thread, "thread:p%x.%x;", &process, &n) == 2 ||
           sscanf(thread, "thread:%x;", &n) == 1 ? n : 0;
}

static void reply_seen(const char *data, int len)
{
    bool stop = len && strchr("TSWX", data[0]);
    bool console = len > 1 && data[0] == 'O' && data[1] != 'K';
    bool binary = len && strchr("lmb", data[0]);

    for (int i = 0; i < len; i++) {
        must(binary || (data[i] >= 32 && data[i] < 127),
             "byte %02x in a reply", data[i] & 0xff);
    }
    if (stop) {
        said.stops++;
        check('p', stop_expected, "a stop reply (%.*s) that nobody waits for",
              len, data);
        stop_expected = false;
        must(len >= 3 && undigit(data[1]) >= 0 && undigit(data[2]) >= 0,
             "stop reply '%.*s'", len, data);
        must(data[0] != 'T' || len == 3 || data[len - 1] == ';',
             "stop reply '%.*s'", len, data);
        stop_thread = thread_of(data, len);
    } else if (console) {
        said.console++;
        must(len % 2, "console output of %d digits", len - 1);
        for (int i = 1; i < len; i++) {
            must(undigit(data[i]) >= 0, "console output '%.*s'", len, data);
        }
    } else if (len && data[0] == 'F' && syscall_open) {
        /* Again if the client resumes the guest with another packet */
        said.syscalls++;
        stop_expected = true;
    } else {
        said.replies++;
        g_string_truncate(reply, 0);
        g_string_append_len(reply, data, len);
        snprintf(said.first, sizeof(said.first), "%.*s", len, data);
        said.error = !len || (data[0] == 'E' &&
                              (len == 3 || (len > 1 && data[1] == '.')));
    }
}

/* Everything the stub wrote: acks and whole packets, nothing else */
static void read_out(void)
{
    const char *at = out->str, *end = out->str + out->len;

    if (verbose && out->len) {
        g_autofree char *text = g_strescape(out->str, NULL);
        fprintf(stderr, "    %s\n", text);
    }
    while (at < end) {
        const char *data;
        int sum = 0;

        if (*at == '+' || *at == '-') {
            must(!no_acks, "an ack in no-ack mode");
            *at++ == '+' ? said.acks++ : said.nacks++;
            continue;
        }
        must(*at == '$', "byte %02x between packets", *at & 0xff);
        for (data = ++at; at < end && *at != '#'; at++) {
            must(*at != '$', "'$' in a packet");
            sum += *at;
            if (*at == '}') {
                must(++at < end, "a packet that ends in an escape");
                sum += *at;
            } else {
                must(*at != '*' || data[0] != 'b', "'*' in binary data");
            }
        }
        must(end - at >= 3, "a packet without an end");
        must((sum & 0xff) == undigit(at[1]) * 16 + undigit(at[2]),
             "checksum %.2s, not %02x", at + 1, sum & 0xff);
        reply_seen(data, at - data);
        at += 3;
    }
    g_string_truncate(out, 0);
}

int qemu_chr_fe_write_all(CharFrontend *be, const uint8_t *buf, int len)
{
    if (connected) {
        must(out->len + len < MAX_OUT, "no end of output");
        g_string_append_len(out, (const char *)buf, len);
    }
    return len;
}

int qemu_chr_fe_write(CharFrontend *be, const uint8_t *buf, int len)
{
    return qemu_chr_fe_write_all(be, buf, len);
}

bool qemu_chr_fe_init(CharFrontend *be, Chardev *chr, Error **errp)
{
    be->chr = chr;
    return true;
}

void qemu_chr_fe_deinit(CharFrontend *be, bool del)
{
    memset(&handlers, 0, sizeof(handlers));
    be->chr = NULL;
    connected = false;
}

void qemu_chr_fe_set_handlers(CharFrontend *be, IOCanReadHandler *can_read,
                              IOReadHandler *read, IOEventHandler *event,
                              BackendChangeHandler *change, void *opaque,
                              GMainContext *context, bool set_open)
{
    handlers.can_read = can_read;
    handlers.read = read;
    handlers.event = event;
    handlers.opaque = opaque;
}

static Chardev *gdb_chr, *mon_chr;
static ChardevClass mon_class;

Chardev *qemu_chr_new_noreplay(const char *label, const char *filename,
                               bool permit_mux_mon, GMainContext *context)
{
    return gdb_chr;
}

Chardev *qemu_chardev_new(const char *id, const char *typename,
                          ChardevBackend *backend, GMainContext *context,
                          Error **errp)
{
    return mon_chr;
}

void monitor_new_hmp(const char *id, const char *chardev_id, bool use_readline,
                     Error **errp)
{
}

static void restart(bool none);
static void monitor_cont(void);
static bool restarted;

/*
 * The monitor: says what it is told, so often as the command is long, having
 * done what the command's first letter says
 */
void qemu_chr_be_write(Chardev *chr, const uint8_t *buf, int len)
{
    must(chr == mon_chr, "no monitor");
    if (buf[0] == 'V') {
        monitor_cont();
    } else if (buf[0] == 'v') {
        vm_stop(RUN_STATE_PAUSED);
    } else if (buf[0] == 'G' && len > 1) {
        restart(buf[1] & 1);
    }
    for (int i = 0; i < MIN(len, 8); i++) {
        mon_class.chr_write(chr, buf, len);
    }
}

/*
 * QOM, as far as it is used
 */

static const struct Instance {
    Object *obj;
    const char *name;
} nobody;

Object *object_dynamic_cast(Object *obj, const char *type)
{
    if (!strcmp(type, TYPE_CPU_CLUSTER)) {
        for (int i = 0; i < num_clusters; i++) {
            if (obj == (Object *)clusters[i]) {
                return obj;
            }
        }
    }
    return NULL;
}

Object *object_dynamic_cast_assert(Object *obj, const char *type,
                                   const char *file, int line, const char *func)
{
    return obj;
}

ObjectClass *object_class_dynamic_cast_assert(ObjectClass *oc, const char *type,
                                              const char *file, int line,
                                              const char *func)
{
    return oc;
}

int object_child_foreach(Object *obj, int (*fn)(Object *child, void *opaque),
                         void *opaque)
{
    int ret = 0;

    /* The last one first: the stub has to sort them */
    for (int i = num_clusters; obj == (Object *)&nobody && i-- && !ret;) {
        ret = fn((Object *)clusters[i], opaque);
    }
    return ret;
}

Object *object_get_root(void)
{
    return (Object *)&nobody;
}

Object *qdev_get_machine(void)
{
    return (Object *)machine;
}

ObjectClass *object_get_class(Object *obj)
{
    must(obj, "class of nothing");
    return (ObjectClass *)&cpu_class;
}

const char *object_get_typename(const Object *obj)
{
    return "model-cpu";
}

const char *object_class_get_name(ObjectClass *oc)
{
    return "model-cpu";
}

const char *object_get_canonical_path_component(const Object *obj)
{
    return "cpu[0]";
}

Type type_register_static(const TypeInfo *info)
{
    if (info->class_init) {
        info->class_init((ObjectClass *)&mon_class, NULL);
    }
    return (Type)info;
}

void register_module_init(void (*fn)(void), module_init_type type)
{
    if (type == MODULE_INIT_QOM) {
        fn();
    }
}

Error *error_abort;
Error *error_fatal;

void error_setg_internal(Error **errp, const char *src, int line,
                         const char *func, const char *fmt, ...)
{
    broken("an Error", "%s", fmt);
}

void error_report(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_free(g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

void warn_report(const char *fmt, ...)
{
}

/* Traced, all of it: what a trace point formats has to be there */
unsigned qemu_loglevel = LOG_TRACE;
bool message_with_timestamp;
int trace_events_enabled_count = 1;

int qemu_get_thread_id(void)
{
    return 1;
}

void qemu_log(const char *fmt, ...)
{
    char text[64];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
}

void trace_event_register_group(TraceEvent **events)
{
    for (; *events; events++) {
        *(*events)->dstate = 1;
    }
}

/*
 * What happens
 */

typedef struct Before {
    bool running;
    uint32_t points;
    int steps;
    CPUState *c_cpu, *g_cpu;
    uint64_t pc[MAX_CPUS];
} Before;

static Before look(void)
{
    Before now = {
        .running = runstate_is_running(),
        .c_cpu = gdbserver_state.c_cpu,
        .g_cpu = gdbserver_state.g_cpu,
    };
    CPUState *cpu;

    for (int i = 0; i < MAX_CPUS; i++) {
        cpu = cpus[i];
        now.pc[i] = guest_pc(i);
        now.steps = now.steps * 8 + cpu_single_stepping(cpu);
        for (int i = 0; i < points[cpu->cpu_index]->len; i++) {
            Point *point = points[cpu->cpu_index]->pdata[i];

            now.points = now.points * 31 + point->type + point->addr * 5 +
                         point->len * 7 + 1;
        }
    }
    return now;
}

static bool any_steps(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu_single_stepping(cpu)) {
            return true;
        }
    }
    return false;
}

static int count_points(void)
{
    int n = 0;

    for (int i = 0; i < MAX_CPUS; i++) {
        n += points[i]->len;
    }
    return n;
}

static bool starts(const char *packet, const char *with)
{
    return g_str_has_prefix(packet, with);
}

/* Packets whose answer is what the guest does next */
static bool resumes(const char *packet)
{
    return (packet[0] && strchr("cCsSbF", packet[0])) ||
           (starts(packet, "vCont") && !starts(packet, "vCont?"));
}

/* What @packet, which was answered, may have changed in the guest */
static void guest_after(const char *packet, const Before *before)
{
    bool ok = !said.error && said.replies;
    unsigned long long addr, len;
    int end = 0, c = before->c_cpu ? before->c_cpu->cpu_index : -1;
    int g = before->g_cpu ? before->g_cpu->cpu_index : -1;

    if (packet[0] == 'G' && ok && g >= 0) {
        memcpy(expected.regs[g], guest.regs[g], REG_BYTES);
    } else if (packet[0] == 'P' && ok && g >= 0 &&
               sscanf(packet + 1, "%llx", &addr) == 1) {
        if (addr < CORE_REGS ||
            (addr >= EXTRA_BASE && addr < EXTRA_BASE + EXTRA_REGS)) {
            int size, n = addr < CORE_REGS ? addr
                                           : addr - EXTRA_BASE + CORE_REGS;
            uint8_t *to = reg_at(&expected, g, n, &size);
            memcpy(to, reg_at(&guest, g, n, &size), size);
        }
    } else if ((packet[0] == 'c' || packet[0] == 's') && packet[1] &&
               !said.replies && c >= 0) {
        int size;
        memcpy(reg_at(&expected, c, PC_REG, &size),
               reg_at(&guest, c, PC_REG, &size), 8);
    } else if ((packet[0] == 'M' || packet[0] == 'X') && (ok || skip['a']) &&
               sscanf(packet + 1, "%llx,%llx%n", &addr, &len, &end) == 2) {
        /* Only what it names */
        for (unsigned long long i = 0; i < MIN(len, 2 * PAGE); i++) {
            uint8_t *mem = mem_at(addr + i);
            if (mem) {
                expected.mem[mem - guest.mem] = *mem;
            }
        }
    }
}

/* `m` and `x` give what is in memory, at least the first byte of it */
static void memory_read(const char *packet)
{
    unsigned long long addr, len;
    const char *at = reply->str, *end = at + reply->len;

    if (said.error || !said.replies ||
        sscanf(packet + 1, "%llx,%llx", &addr, &len) != 2) {
        return;
    }
    if (packet[0] == 'x') {
        must(reply->len && *at == 'b', "'%s' to packet '%.40s'", at, packet);
        at++;
    }
    must(at < end || !len, "nothing is read for '%.40s'", packet);
    for (; at < end; addr++, len--) {
        uint8_t *mem = mem_at(addr);
        int byte;

        must(len, "more is read than '%.40s' asks for", packet);
        if (packet[0] == 'm') {
            must(end - at >= 2, "half a byte in '%s'", reply->str);
            byte = undigit(at[0]) * 16 + undigit(at[1]);
            at += 2;
        } else {
            byte = *at++;
            byte = byte == '}' ? *at++ ^ 0x20 : byte;
        }
        must((byte & 0xff) == (mem ? *mem : 0), "%02x is read at %llx for '%.40s'",
             byte & 0xff, addr, packet);
    }
}

/* A breakpoint that is there is on every vCPU and once; or else on none */
static void points_after(const char *packet)
{
    unsigned long long type, addr, len;
    CPUState *cpu;

    if (!strchr("zZ", packet[0]) || said.error || !said.replies ||
        sscanf(packet + 1, "%llx,%llx,%llx", &type, &addr, &len) != 3) {
        return;
    }
    CPU_FOREACH(cpu) {
        GPtrArray *list = points_of(cpu);
        int n = 0;

        for (int i = 0; i < list->len; i++) {
            Point *point = list->pdata[i];

            n += point->type == type && point->addr == addr &&
                 (type < GDB_WATCHPOINT_WRITE || point->len == len);
        }
        check('b', n == (packet[0] == 'Z'), "packet '%.40s': %d on vCPU %d",
              packet, n, cpu->cpu_index);
    }
}

/* Whatever a client knew of it, it is elsewhere now, or the client is */
static void client_moved(int n)
{
    run[n].told = NOT_TOLD;
    run[n].owed = false;
}

/* The client waits for a stop: has it been told of this one? */
static void stop_sent(void)
{
    stop_thread = 0;
    read_out();
    if (stop_thread) {
        must(stop_thread <= num_cpus, "a stop of thread %d", stop_thread);
        /* It may be another's stop that is told as its: nobody could know */
        run[stop_thread - 1].told =
            state != RUN_STATE_DEBUG || run[stop_thread - 1].asked == BY_STEP ||
            !on_point(cpus[stop_thread - 1]) ? NOT_TOLD :
            run[stop_thread - 1].asked == BY_BREAKPOINT ? TOLD : MAYBE_TOLD;
    }
    check('m', !stop_expected || !stopped_for_good() || !connected || exiting,
          "a stop (%d) that is waited for", state);
}

/* Somebody runs, or there is a stop to be told of */
static void nobody_hangs(void)
{
    CPUState *cpu;

    if (!runstate_is_running() || debug_requested) {
        return;
    }
    check('h', !all_stopped(), "the guest runs, and no vCPU of it");
    CPU_FOREACH(cpu) {
        check('h', !all_resumed || !cpu->stopped || any_steps(),
              "vCPU %d is left behind", cpu->cpu_index);
    }
}

static void same_guest(const char *when)
{
    for (int i = 0; i < MAX_CPUS; i++) {
        must(!memcmp(guest.regs[i], expected.regs[i], REG_BYTES),
             "registers of vCPU %d: %s", i, when);
    }
    must(!memcmp(guest.mem, expected.mem, sizeof(guest.mem)), "memory: %s",
         when);
}

static void packet_done(const char *packet, const Before *before)
{
    Before now = look();

    if (!resumes(packet)) {
        points_there = count_points();
    }
    /* To the packet: 1 ack, and 1 reply if any; a stop is no reply */
    must(said.acks == !no_acks && !said.nacks,
         "packet '%.40s': %d acks, %d nacks", packet, said.acks, said.nacks);
    check('r', said.replies + said.stops <= 1, "packet '%.40s': %d replies",
          packet, said.replies + said.stops);
    check('n', said.replies + said.stops || (resumes(packet) && now.running) ||
          packet[0] == 'k' || said.syscalls,
          "packet '%.40s' has no reply", packet);
    if (said.replies + said.stops) {
        stop_expected = false;
    }
    if (starts(packet, "QStartNoAckMode") && !strcmp(said.first, "OK")) {
        no_acks = true;
    }
    must(strcmp(packet, "vCont?") ||
         g_str_has_suffix(said.first, ";r") == !!accel_ops.step_again,
         "ranges are not as the accelerator has them: %s", said.first);
    guest_after(packet, before);
    points_after(packet);
    for (int i = 0; i < MAX_CPUS; i++) {
        if (before->pc[i] != now.pc[i]) {
            client_moved(i);
        }
    }
    if (before->c_cpu && strchr("cs", packet[0]) && packet[1] && now.running) {
        client_moved(before->c_cpu->cpu_index);
    }
    if (packet[0] == 'm' || packet[0] == 'x') {
        memory_read(packet);
    }
    if (said.error && said.replies) {
        check('k', now.running == before->running, "packet '%.40s': error, "
              "and the guest %s", packet, now.running ? "runs" : "stops");
        check('k', now.points == before->points,
              "packet '%.40s': error, and breakpoints changed", packet);
        check('k', now.steps == before->steps,
              "packet '%.40s': error, and steps changed", packet);
        check('k', now.c_cpu == before->c_cpu && now.g_cpu == before->g_cpu,
              "packet '%.40s': error, and the thread changed", packet);
    }
    if (!now.running) {
        no_steps("after a packet, stopped");
    }
    same_guest("a packet that should not");
}

/* A byte from the client; true: it ended a packet that the stub has handled */
static bool feed(uint8_t byte)
{
    static char packet[sizeof(gdbserver_state.line_buf)];
    GDBState *s = &gdbserver_state;
    Before before;
    bool last, done, running = runstate_is_running();
    size_t used;

    if (!connected || exiting) {
        return false;
    }
    memset(&said, 0, sizeof(said));
    last = s->state == RS_CHKSUM2 && !running && qemu_isxdigit(byte) &&
           (s->line_csum | fromhex(byte)) == (s->line_sum & 0xff) &&
           (no_acks || !s->last_packet->len);
    if (last) {
        /* What an earlier packet left behind is nobody's business */
        before = look();
        used = s->line_buf_index + 1;
        memcpy(packet, s->line_buf, used);
        ASAN_POISON_MEMORY_REGION(s->line_buf + used,
                                  sizeof(s->line_buf) - used);
        points_there = count_points();
        answering = packet[0] == 'F';
        by_client = resumes(packet) && !answering;
        if (resumes(packet)) {
            /* An answer goes on with what the system call has interrupted */
            all_resumed = !starts(packet, "vCont") &&
                          (packet[0] != 'F' || all_resumed);
            continued = qemu_tolower(packet[0]) == 'c';
        }
        restarted = false;
        stop_expected = stop_expected || resumes(packet) ||
                        packet[0] == '?' || packet[0] == 'k' ||
                        starts(packet, "vAttach") || starts(packet, "vKill");
    }
    if (running) {
        /* Whatever it sends stops the guest; only ^C asks to be told so */
        stop_expected = byte == 3 && s->c_cpu && !s->last_packet->len;
    }
    must(handlers.can_read(handlers.opaque) > 0, "it does not listen");
    handlers.read(handlers.opaque, &byte, 1);
    if (last) {
        ASAN_UNPOISON_MEMORY_REGION(s->line_buf, sizeof(s->line_buf));
    }
    by_client = answering = false;
    if (last && restarted) {
        return true;
    }
    if (byte == '-' && out->len) {
        /* Not acked: the same once more */
        must(out->len == s->last_packet->len &&
             !memcmp(out->str, s->last_packet->data, out->len),
             "another packet than the one that was not acked");
        g_string_truncate(out, 0);
    }
    read_out();
    done = last && s->state != RS_CHKSUM2;
    if (done) {
        packet_done(packet, &before);
    } else {
        must(!said.replies || s->line_buf_index >= MAX_PACKET_LENGTH - 6,
             "a reply (%s) to no packet", said.first);
    }
    return done;
}

/* An ordinary client: acks what it gets */
static void send_packet(const char *data, size_t len, bool wrong)
{
    GDBState *s = &gdbserver_state;
    uint8_t sum = wrong;
    char end[4];
    bool idle = connected && !exiting && s->state == RS_IDLE &&
                !runstate_is_running() && len < sizeof(s->line_buf) && !wrong;
    bool plain = true, done = false;

    for (size_t i = 0; i < len; i++) {
        if (data[i] == '#') {
            len = i;
            break;
        }
        sum += data[i];
        plain = plain && data[i] != '}' && data[i] != '*';
    }
    feed('$');
    for (size_t i = 0; i < len; i++) {
        feed(data[i]);
    }
    snprintf(end, sizeof(end), "#%02x", sum);
    for (int i = 0; i < 3; i++) {
        done = feed(end[i]);
    }
    check('l', !idle || !plain || done, "packet '%.*s' is lost",
          (int)MIN(len, 40), data);
    if (client_acks && !no_acks) {
        for (int n = said.replies + said.stops + said.console; n > 0; n--) {
            feed('+');
        }
    }
}

/* No client: no breakpoints, no steps, and no vCPU or stop waits for it */
static void nobody_there(char letter)
{
    CPUState *cpu;

    check(letter, !count_points(), "%d breakpoints", count_points());
    points_there = count_points();
    CPU_FOREACH(cpu) {
        check(letter, !cpu_single_stepping(cpu), "vCPU %d steps", cpu->cpu_index);
        check(letter, !runstate_is_running() || !cpu->stopped,
              "vCPU %d waits", cpu->cpu_index);
    }
    check(letter, !runstate_is_running() || !debug_requested,
          "the guest will stop for nobody");
    check(letter, !syscall_open, "the guest's system call waits");
    for (int i = 0; i < MAX_CPUS; i++) {
        client_moved(i);
    }
    all_resumed = true;
}

static void set_connected(bool on)
{
    if (connected == on || !handlers.event || exiting) {
        return;
    }
    connected = on;
    no_acks = false;
    stop_expected = false;
    g_string_truncate(out, 0);
    memset(&said, 0, sizeof(said));
    handlers.event(handlers.opaque, on ? CHR_EVENT_OPENED : CHR_EVENT_CLOSED);
    read_out();
    if (on) {
        must(!said.replies && !said.stops && !said.syscalls,
             "it speaks first");
        check('d', gdbserver_state.state == RS_IDLE,
              "a new client has its predecessor's packet to finish");
        check('d', !gdbserver_state.last_packet->len,
              "a new client has to ack its predecessor's packet");
        check('d', !gdbserver_state.multiprocess,
              "a new client has its predecessor's features");
        check('d', !gdbserver_state.query_cpu,
              "a new client has its predecessor's list of threads");
        if (client_acks) {
            send_packet("qqemu.PhyMemMode", 16, false);
            check('d', !strcmp(reply->str, "0"),
                  "a new client has its predecessor's kind of addresses");
        }
    } else {
        nobody_there('d');
    }
    same_guest("a connection");
}

static void debug_stop(CPUState *cpu)
{
    run[cpu->cpu_index].asks = true;
    if (!late) {
        report(cpu);
    }
}

static bool can_run(CPUState *cpu)
{
    return runstate_is_running() && !cpu->stopped && !run[cpu->cpu_index].asks;
}

static bool on_point(CPUState *cpu)
{
    uint64_t pc = guest_pc(cpu->cpu_index);

    return find_point(points_of(cpu), GDB_BREAKPOINT_SW, pc, 0) ||
           find_point(points_of(cpu), GDB_BREAKPOINT_HW, pc, 0);
}

static void run_cpu(CPUState *cpu, int count)
{
    int size, n = cpu->cpu_index;

    for (int i = 0; i < count && can_run(cpu); i++) {
        uint64_t pc = guest_pc(n);
        bool stepping = cpu_single_stepping(cpu);

        if (cpu->halted) {
            run[n].by_client = run[n].owed = false;
            if (stepping) {
                debug_stop(cpu);
            }
            return;
        }
        /* Not every accelerator stops again where it has just stopped */
        if (on_point(cpu) &&
            (stepping ? !steps_off_breakpoint(cpu)
                      : !run[n].resumed || !replaying)) {
            check('o', !run[n].resumed || !run[n].owed,
                  "vCPU %d does not get off its breakpoint", n);
            check('o', !stepping || !run[n].by_client || step_refused,
                  "vCPU %d gets nowhere by a step", n);
            run[n].asked = BY_BREAKPOINT;
            debug_stop(cpu);
            return;
        }
        check('o', !on_point(cpu) || run[n].resumed,
              "vCPU %d steps over a breakpoint", n);
        check('o', !on_point(cpu) || !stepping || run[n].told ||
              !run[n].by_client || !continued,
              "vCPU %d steps over a breakpoint that nobody knows of", n);
        must(!kvm || !stepping || run[n].begun, "vCPU %d: which step?", n);
        run[n].begun = run[n].begun && !kvm;
        run[n].resumed = run[n].owed = false;
        run[n].told = NOT_TOLD;
        run[n].asked = stepping ? BY_STEP : OTHERWISE;
        stq_be_p(reg_at(&guest, n, PC_REG, &size), pc + 4);
        stq_be_p(reg_at(&guest, n, 3, &size), pc * 3);
        memcpy(expected.regs[n], guest.regs[n], REG_BYTES);
        if (stepping) {
            debug_stop(cpu);
        }
    }
}

static void hit_watchpoint(CPUState *cpu, int which)
{
    GPtrArray *list = points_of(cpu);

    for (int i = 0; i < list->len && can_run(cpu) && !cpu->halted; i++) {
        Point *point = list->pdata[(i + which) % list->len];

        if (point->type >= GDB_WATCHPOINT_WRITE) {
            cpu->watchpoint_hit = &point->wp;
            run[cpu->cpu_index].resumed = false;
            run[cpu->cpu_index].asked = OTHERWISE;
            debug_stop(cpu);
        }
    }
}

static void syscall_done(CPUState *cpu, uint64_t ret, int err)
{
    must(cpu, "a system call of no vCPU");
    check('d', syscall_open, "a system call that nobody has made");
    syscall_open = false;
}

static void guest_syscall(CPUState *cpu, int which)
{
    if (!can_run(cpu) || cpu->halted || !use_gdb_syscalls() || gdbserver_state.c_cpu != cpu) {
        return;
    }
    syscall_open = true;
    current_cpu = cpu;
    if (which % 2) {
        gdb_do_syscall(syscall_done, "open,%s,%x,%x", (uint64_t)-1,
                       (uint32_t)-1, -1, 0);
    } else {
        gdb_do_syscall(syscall_done, "write,%x,%lx,%lx", 1, (uint64_t)-1,
                       (uint64_t)-1);
    }
    current_cpu = NULL;
    check('d', connected || runstate_is_running(),
          "a system call that nobody will do stops the guest");
}

/* `gdbserver` in the monitor */
static void restart(bool none)
{
    /* Its chardev goes, as a client does */
    restarted = true;
    connected = false;
    stop_expected = false;
    no_acks = false;
    gdbserver_start(none ? "none" : "fuzz", &error_abort);
    nobody_there('g');
}

static void monitor_cont(void)
{
    if (!runstate_needs_reset()) {
        vm_start();
    }
}

/* Saved, or loaded, before the main loop gets on: the same vCPUs run as before */
static void snapshot(RunState why)
{
    bool stopped[MAX_CPUS], same = true, all = all_resumed;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        stopped[cpu->cpu_index] = cpu->stopped;
        same = same && !run[cpu->cpu_index].asks;
    }
    vm_stop(why);
    vm_start();
    all_resumed = all;
    CPU_FOREACH(cpu) {
        check('h', !same || cpu->stopped == stopped[cpu->cpu_index],
              "vCPU %d %s behind a snapshot", cpu->cpu_index,
              cpu->stopped ? "waits" : "runs");
    }
}

static void setup(int kind)
{
    static bool known;

    if (!known) {
        const char *letters = getenv("GDBSTUB_FUZZ_SKIP");

        known = true;
        verbose = getenv("GDBSTUB_FUZZ_VERBOSE");
        for (; letters && *letters; letters++) {
            must(strchr(CHECKS, *letters), "no check '%c'", *letters);
            skip[(uint8_t)*letters] = true;
        }
        machine = g_malloc0(sizeof(*machine));
        machine->smp.max_cpus = MAX_CPUS + 1;
        out = g_string_new(NULL);
        reply = g_string_new(NULL);
        gdb_chr = g_malloc0(sizeof(*gdb_chr));
        mon_chr = g_malloc0(sizeof(*mon_chr));
        for (int i = 0; i < ARRAY_SIZE(clusters); i++) {
            clusters[i] = g_malloc0(sizeof(*clusters[i]));
            clusters[i]->cluster_id = i;
        }
        cpu_class.gdb_core_xml_file = "power64-core.xml";
        cpu_class.gdb_read_register = read_core;
        cpu_class.gdb_write_register = write_core;
        cpu_class.gdb_arch_name = arch_name;
        cpu_class.set_pc = set_pc;
        cpu_class.get_pc = get_pc;
        cpu_class.gdb_get_stop_regs = stop_regs;
        for (int i = 0; i < MAX_CPUS; i++) {
            cpus[i] = aligned_alloc(__alignof__(CPUState),
                                    ROUND_UP(sizeof(CPUState),
                                             __alignof__(CPUState)));
            memset(cpus[i], 0, sizeof(CPUState));
            cpus[i]->cc = &cpu_class;
            cpus[i]->cpu_index = i;
            gdb_init_cpu(cpus[i]);
            gdb_register_coprocessor(cpus[i], read_extra, write_extra,
                                     &gdb_static_features[1]);
            must(cpus[i]->gdb_num_regs == EXTRA_BASE + EXTRA_REGS,
                 "the next feature would begin with %d", cpus[i]->gdb_num_regs);
            points[i] = g_ptr_array_new();
        }
    }
    kvm = kind & 1;
    kvm_emulates = kvm && kind & 0x40;
    accel_ops.step_again = kind & 0x80 ? NULL : step_again;
    accel_ops.memory_rw_debug = kvm ? memory_under_points : NULL;
    replaying = kind & 2 && !kvm;
    replay_mode = replaying ? REPLAY_MODE_PLAY : REPLAY_MODE_NONE;
    accel.gdbstub = (AccelGdbConfig) {
        .sstep_flags = SSTEP_ENABLE | SSTEP_NOIRQ | (kvm ? 0 : SSTEP_NOTIMER),
        .can_reverse = replaying,
    };
    /* 2 alone; 1 and 1 in clusters; 2 in a cluster and 2 alone; 2 and 2 */
    kind = kind >> 2 & 3;
    num_cpus = kind < 2 ? 2 : 4;
    num_clusters = kind == 0 ? 0 : kind == 2 ? 1 : 2;
    QTAILQ_INIT(&cpus_queue);
    for (int i = 0; i < MAX_CPUS; i++) {
        CPUState *cpu = cpus[i];

        cpu->stop = cpu->stopped = cpu->debug_stopped = cpu->halted = false;
        cpu->singlestep_flags = 0;
        cpu->watchpoint_hit = NULL;
        cpu->cluster_index = kind == 1 ? i : kind >= 2 && i < 2 ? 0 :
                             kind == 3 ? 1 : UNASSIGNED_CLUSTER_INDEX;
        while (points[i]->len) {
            remove_point(points[i], 0);
        }
        if (i < num_cpus) {
            QTAILQ_INSERT_TAIL(&cpus_queue, cpu, node);
        }
    }
    for (size_t i = 0; i < sizeof(guest); i++) {
        ((uint8_t *)&guest)[i] = i * 7 ^ i >> 8;
    }
    for (int i = 0; i < MAX_CPUS; i++) {
        set_pc(cpus[i], 0x100 + 0x40 * i);
    }
    expected = guest;
    state = RUN_STATE_RUNNING;
    debug_requested = exiting = step_refused = late = false;
    points_there = 0;
    memset(run, 0, sizeof(run));
    all_resumed = true;
    client_acks = true;

    restart(false);
    /* What lives longer than a connection, or should not but did */
    gdbserver_state.sstep_flags = SSTEP_ENABLE | SSTEP_NOIRQ;
    gdbserver_state.accel_config = accel.gdbstub;
    gdbserver_state.multiprocess = false;
    gdbserver_state.query_cpu = NULL;
    gdbserver_state.signal = 0;
    g_byte_array_set_size(gdbserver_state.last_packet, 0);
    set_connected(true);
}

static void event(const char *line, size_t len)
{
    static const RunState stops[] = {
        RUN_STATE_PAUSED, RUN_STATE_SHUTDOWN, RUN_STATE_IO_ERROR,
        RUN_STATE_WATCHDOG, RUN_STATE_INTERNAL_ERROR, RUN_STATE_SAVE_VM,
        RUN_STATE_RESTORE_VM, RUN_STATE_FINISH_MIGRATE, RUN_STATE_DEBUG,
        RUN_STATE_GUEST_PANICKED,
    };
    int a = len > 1 ? line[1] & 0xf : 0, b = len > 2 ? line[2] & 0x1f : 1;
    CPUState *cpu = cpus[a % num_cpus];
    g_autofree char *longer = NULL;
    RunState why;
    unsigned size;
    int used;

    memset(&said, 0, sizeof(said));
    if (verbose) {
        fprintf(stderr, "%.*s\n", (int)len, line);
    }
    switch (line[0]) {
    case '$':                           /* $PACKET */
        send_packet(line + 1, len - 1, false);
        break;
    case '%':                           /* %PACKET, with a wrong checksum */
        send_packet(line + 1, len - 1, true);
        break;
    case '&':                           /* &HEX:PACKET, made that long */
        longer = g_strndup(line, len);
        if (sscanf(longer, "&%5x:%n", &size, &used) == 1 && size &&
            size < 0x48000 && used <= len && size >= len - used) {
            longer = g_realloc(longer, size);
            memset(longer, '0', size);
            memcpy(longer, line + used, len - used);
            send_packet(longer, size, false);
        }
        break;
    case '~':                           /* ~BYTES as they are */
        for (size_t i = 1; i < len; i++) {
            feed(line[i]);
        }
        break;
    case '^':
        feed(3);
        break;
    case '!':                           /* who doesn't ack */
        client_acks = !client_acks;
        break;
    case 'C':                           /* connect, disconnect */
    case 'D':
        set_connected(line[0] == 'C');
        break;
    case 'G':                           /* monitor: gdbserver, none */
        if (!exiting) {
            restart(a & 1);
        }
        break;
    case 'r':                           /* rNK: vCPU N runs K instructions */
        run_cpu(cpu, b);
        break;
    case 'w':                           /* wNK: its watchpoint K is hit */
        hit_watchpoint(cpu, b);
        break;
    case 'p':                           /* main loop: stop if one asked so */
        if (debug_requested) {
            debug_requested = false;
            vm_stop(RUN_STATE_DEBUG);
        }
        break;
    case 'v':                           /* vN: stop for another reason */
        why = stops[a % ARRAY_SIZE(stops)];
        if (why != RUN_STATE_SAVE_VM && why != RUN_STATE_RESTORE_VM) {
            vm_stop(why);
        } else if (runstate_is_running()) {
            snapshot(why);
        }
        break;
    case 'V':                           /* monitor: cont */
        monitor_cont();
        break;
    case 'l':                           /* the lock is busy, or again not */
        late = !late;
        if (!late) {
            let_vcpus_report();
        }
        break;
    case 'R':                           /* monitor: system_reset */
        if (runstate_needs_reset()) {
            state = RUN_STATE_PAUSED;
        }
        break;
    case 'h':                           /* halts, or is woken */
        cpu->halted = !cpu->halted;
        break;
    case 'f':                           /* the accelerator can't step now */
        step_refused = !step_refused;
        break;
    case 's':                           /* system call for gdb to do */
        guest_syscall(cpu, b);
        break;
    case 'm':                           /* the monitor has to say something */
        mon_class.chr_write(mon_chr, (const uint8_t *)line, len);
        break;
    }
    read_out();
    same_guest("an event");
    nobody_hangs();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static ssize_t grown;
    size_t before = __sanitizer_get_current_allocated_bytes();
    const char *at = (const char *)data, *end = at + size;

    setup(size && *at == 'T' && size > 1 ? at[1] : 0);
    while (at < end && !exiting) {
        const char *eol = memchr(at, '\n', end - at);

        eol = eol ?: end;
        if (eol > at) {
            /* Its own allocation: nobody reads past its end */
            g_autofree char *line = g_memdup2(at, eol - at + 1 - (eol == end));
            event(line, eol - at);
        }
        at = eol + 1;
    }
    exiting = false;
    set_connected(false);
    g_string_truncate(out, 0);
    for (int i = 0; i < MAX_CPUS; i++) {
        while (points[i]->len) {
            remove_point(points[i], 0);
        }
    }
    grown += __sanitizer_get_current_allocated_bytes() - before;
    must(grown < (8 << 20), "%zd bytes more than before", grown);
    return 0;
}
