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
#include "qemu/timer.h"
#include "exec/gdbstub.h"
#include "gdbstub/commands.h"
#include "gdbstub/enums.h"
#include "gdbstub/syscalls.h"
#include "gdbstub/internals.h"
#include "exec/replay-core.h"
#include "exec/tb-flush.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/cpu/cluster.h"
#include "monitor/monitor.h"
#include "chardev/char.h"
#include "chardev/char-fe.h"
#include "semihosting/semihost.h"
#include "system/accel-ops.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "system/tcg.h"
#include "trace/control.h"

#define MAX_CPUS    4
#define CORE_REGS   34                  /* 32, pc and one that has no size */
#define PC_REG      32
#define NO_REG      33
#define EXTRA_REGS  4                   /* of 16 bytes, not in `g` */
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
#define CHECKS "adgklnprsw"
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
    int type;
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
static bool kvm, step_refused, replaying;
CPUTailQ cpus_queue = QTAILQ_HEAD_INITIALIZER(cpus_queue);

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

static const gchar *arch_name(CPUState *cpu)
{
    return "powerpc:common64";
}

static const char *const core_names[CORE_REGS] = {
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11",
    "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21",
    "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31",
    "pc", "none",
};
static const char *const extra_names[EXTRA_REGS] = { "v0", "v1", "v2", "v3" };

const GDBFeature gdb_static_features[] = {
    { "power64-core.xml",
      "<?xml version=\"1.0\"?><feature name=\"org.gnu.gdb.power.core\">"
      "<reg name=\"r0\" bitsize=\"64\"/>*#$}</feature>",
      "org.gnu.gdb.power.core", core_names, CORE_REGS },
    { "power-altivec.xml",
      "<?xml version=\"1.0\"?><feature name=\"org.gnu.gdb.power.altivec\"/>",
      "org.gnu.gdb.power.altivec", extra_names, EXTRA_REGS },
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

/* Page by page, as QEMU's: what comes before a fault is done */
int cpu_memory_rw_debug(CPUState *cpu, vaddr addr, void *buf, size_t len,
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

void cpu_physical_memory_rw(hwaddr addr, void *buf, hwaddr len, bool is_write)
{
    uint8_t *at = buf;

    must(len <= INT_MAX, "%" PRIu64 " bytes of memory", len);
    for (; len--; addr++, at++) {
        uint8_t *mem = mem_at(addr);

        if (!is_write) {
            *at = mem ? *mem : 0;
        } else if (mem && addr / PAGE != READ_ONLY) {
            *mem = *at;
        }
    }
}

/*
 * Accelerator
 */

static GPtrArray *points_of(CPUState *cpu)
{
    return points[kvm ? 0 : cpu->cpu_index];
}

static void remove_point(GPtrArray *list, int i)
{
    Point *point = list->pdata[i];

    g_ptr_array_remove_index(list, i);
    g_free(point);
}

static Point *find_point(GPtrArray *list, int type, vaddr addr, vaddr len)
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

static int insert_point(CPUState *cs, int type, vaddr addr, vaddr len)
{
    static const int flags[] = {
        [GDB_WATCHPOINT_WRITE] = BP_GDB | BP_MEM_WRITE,
        [GDB_WATCHPOINT_READ] = BP_GDB | BP_MEM_READ,
        [GDB_WATCHPOINT_ACCESS] = BP_GDB | BP_MEM_ACCESS,
    };
    CPUState *cpu;

    must(cs || !kvm, "breakpoint of no vCPU");
    must(!runstate_is_running(), "breakpoint while the guest runs");
    if (type < 0 || type > GDB_WATCHPOINT_ACCESS) {
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
        GPtrArray *list = points_of(cpu);
        Point *point;

        if (!find_point(list, type, addr, len)) {
            point = g_new0(Point, 1);
            *point = (Point) { .type = type, .addr = addr, .len = len };
            point->wp.vaddr = addr;
            point->wp.len = len;
            point->wp.flags = type >= GDB_WATCHPOINT_WRITE ? flags[type] : 0;
            g_ptr_array_add(list, point);
        }
    }
    return 0;
}

static int delete_point(CPUState *cs, int type, vaddr addr, vaddr len)
{
    CPUState *cpu;
    bool found = false;

    must(cs || !kvm, "breakpoint of no vCPU");
    if (type < 0 || type > GDB_WATCHPOINT_ACCESS) {
        return -ENOSYS;
    }
    CPU_FOREACH(cpu) {
        GPtrArray *list = points_of(cpu);
        Point *point = find_point(list, type, addr, len);
        guint i;

        if (point && g_ptr_array_find(list, point, &i)) {
            remove_point(list, i);
            found = true;
        }
    }
    return found ? 0 : -ENOENT;
}

static void delete_points(CPUState *cpu)
{
    must(cpu, "breakpoints of no vCPU");
    while (points_of(cpu)->len) {
        remove_point(points_of(cpu), 0);
    }
}

static bool supports_guest_debug(void)
{
    return true;
}

static int update_guest_debug(CPUState *cpu)
{
    return step_refused && cpu->singlestep_enabled ? -EBUSY : 0;
}

static AccelOpsClass accel_ops = {
    .supports_guest_debug = supports_guest_debug,
    .update_guest_debug = update_guest_debug,
    .insert_breakpoint = insert_point,
    .remove_breakpoint = delete_point,
    .remove_all_breakpoints = delete_points,
};

const AccelOpsClass *cpus_get_accel(void)
{
    return &accel_ops;
}

int accel_supported_gdbstub_sstep_flags(void)
{
    return SSTEP_ENABLE | SSTEP_NOIRQ | (kvm ? 0 : SSTEP_NOTIMER);
}

int cpu_single_step(CPUState *cpu, int enabled)
{
    int before = cpu->singlestep_enabled;

    cpu->singlestep_enabled = enabled;
    if (before != enabled && update_guest_debug(cpu) < 0) {
        cpu->singlestep_enabled = before;
        return -EBUSY;
    }
    return 0;
}

/*
 * Run state
 */

static RunState state;
static bool debug_requested, exiting;
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

static void no_steps(const char *when)
{
    CPUState *cpu;

    /* Saving goes on by itself, and so does what a system call interrupts */
    if (state == RUN_STATE_SAVE_VM || state == RUN_STATE_RESTORE_VM ||
        syscall_open) {
        return;
    }
    CPU_FOREACH(cpu) {
        check('s', !cpu->singlestep_enabled, "vCPU %d, %s", cpu->cpu_index,
              when);
    }
}

int vm_stop(RunState why)
{
    CPUState *cpu;

    if (runstate_is_running()) {
        state = why;
        CPU_FOREACH(cpu) {
            cpu->stop = false;
            cpu->stopped = true;
        }
        if (vm_changed) {
            vm_changed(vm_changed_opaque, false, why);
        }
        no_steps("after a stop");
    }
    return 0;
}

int vm_prepare_start(bool step_pending)
{
    if (runstate_is_running()) {
        return -1;
    }
    state = RUN_STATE_RUNNING;
    vm_changed(vm_changed_opaque, true, state);
    return 0;
}

void cpu_resume(CPUState *cpu)
{
    cpu->stop = false;
    cpu->stopped = false;
}

void resume_all_vcpus(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        cpu_resume(cpu);
    }
}

void vm_start(void)
{
    if (!vm_prepare_start(false)) {
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

void tb_flush(CPUState *cpu)
{
}

void qemu_clock_enable(QEMUClockType type, bool enabled)
{
}

bool tcg_allowed = true;

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
    return SEMIHOSTING_TARGET_AUTO;
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
static bool connected, no_acks, client_acks;
static GString *out;
static bool stop_expected, syscall_expected;

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
    } else if (console) {
        said.console++;
        must(len % 2, "console output of %d digits", len - 1);
        for (int i = 1; i < len; i++) {
            must(undigit(data[i]) >= 0, "console output '%.*s'", len, data);
        }
    } else if (len && data[0] == 'F' && syscall_expected) {
        said.syscalls++;
        syscall_expected = false;
        stop_expected = true;
    } else {
        said.replies++;
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

int qemu_chr_fe_write_all(CharBackend *be, const uint8_t *buf, int len)
{
    if (connected) {
        must(out->len + len < MAX_OUT, "no end of output");
        g_string_append_len(out, (const char *)buf, len);
    }
    return len;
}

int qemu_chr_fe_write(CharBackend *be, const uint8_t *buf, int len)
{
    return qemu_chr_fe_write_all(be, buf, len);
}

bool qemu_chr_fe_init(CharBackend *be, Chardev *chr, Error **errp)
{
    be->chr = chr;
    return true;
}

void qemu_chr_fe_deinit(CharBackend *be, bool del)
{
    memset(&handlers, 0, sizeof(handlers));
    be->chr = NULL;
    connected = false;
}

void qemu_chr_fe_set_handlers(CharBackend *be, IOCanReadHandler *can_read,
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

void monitor_init_hmp(Chardev *chr, bool use_readline, Error **errp)
{
}

/* The monitor: says what it is told, so often as the command is long */
void qemu_chr_be_write(Chardev *chr, const uint8_t *buf, int len)
{
    must(chr == mon_chr, "no monitor");
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
int qemu_loglevel = LOG_TRACE;
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
} Before;

static Before look(void)
{
    Before now = {
        .running = runstate_is_running(),
        .c_cpu = gdbserver_state.c_cpu,
        .g_cpu = gdbserver_state.g_cpu,
    };
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        now.steps = now.steps * 8 + !!cpu->singlestep_enabled;
        for (int i = 0; i < points[cpu->cpu_index]->len; i++) {
            Point *point = points[cpu->cpu_index]->pdata[i];

            now.points = now.points * 31 + point->type + point->addr * 5 +
                         point->len * 7 + 1;
        }
    }
    return now;
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
        if (addr < CORE_REGS + EXTRA_REGS) {
            int size;
            uint8_t *to = reg_at(&expected, g, addr, &size);
            memcpy(to, reg_at(&guest, g, addr, &size), size);
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

    /* To the packet: 1 ack, and 1 reply if any; a stop is no reply */
    must(said.acks == !no_acks && !said.nacks,
         "packet '%.40s': %d acks, %d nacks", packet, said.acks, said.nacks);
    check('r', said.replies + said.stops <= 1, "packet '%.40s': %d replies",
          packet, said.replies + said.stops);
    check('n', said.replies + said.stops || resumes(packet) ||
          packet[0] == 'k' || said.syscalls,
          "packet '%.40s' has no reply", packet);
    if (starts(packet, "QStartNoAckMode") && !strcmp(said.first, "OK")) {
        no_acks = true;
    }
    guest_after(packet, before);
    if (said.error && said.replies) {
        check('k', now.running == before->running, "packet '%.40s': error, "
              "and the guest %s", packet, now.running ? "runs" : "stops");
        check('k', now.points == before->points,
              "packet '%.40s': error, and breakpoints changed", packet);
        check('k', now.steps == before->steps,
              "packet '%.40s': error, and steps changed", packet);
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
        stop_expected = stop_expected || resumes(packet) ||
                        packet[0] == '?' || packet[0] == 'k' ||
                        starts(packet, "vAttach") || starts(packet, "vKill");
    }
    if (byte == 3 && running) {
        stop_expected = true;
    }
    must(handlers.can_read(handlers.opaque) > 0, "it does not listen");
    handlers.read(handlers.opaque, &byte, 1);
    if (last) {
        ASAN_UNPOISON_MEMORY_REGION(s->line_buf, sizeof(s->line_buf));
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
        must(!said.replies || s->line_buf_index >= 4090,
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

static void set_connected(bool on)
{
    CPUState *cpu;

    if (connected == on || !handlers.event || exiting) {
        return;
    }
    connected = on;
    no_acks = false;
    stop_expected = false;
    syscall_expected = syscall_open = false;
    g_string_truncate(out, 0);
    memset(&said, 0, sizeof(said));
    handlers.event(handlers.opaque, on ? CHR_EVENT_OPENED : CHR_EVENT_CLOSED);
    read_out();
    if (on) {
        must(!said.replies && !said.stops, "it speaks first");
        check('d', gdbserver_state.state == RS_IDLE,
              "a new client has its predecessor's packet to finish");
        check('d', !gdbserver_state.last_packet->len,
              "a new client has to ack its predecessor's packet");
        check('d', !gdbserver_state.multiprocess,
              "a new client has its predecessor's features");
    } else {
        check('d', !count_points(), "%d breakpoints after a disconnect",
              count_points());
        CPU_FOREACH(cpu) {
            check('d', !cpu->singlestep_enabled,
                  "vCPU %d steps after a disconnect", cpu->cpu_index);
        }
    }
    same_guest("a connection");
}

/* Only trees with range stepping have it */
extern bool gdb_step_goes_on(CPUState *cpu) __attribute__((weak));

static void debug_stop(CPUState *cpu)
{
    if (gdb_step_goes_on && gdb_step_goes_on(cpu)) {
        return;
    }
    gdb_set_stop_cpu(cpu);
    qemu_system_debug_request();
    cpu->stopped = true;
}

static bool can_run(CPUState *cpu)
{
    return runstate_is_running() && !cpu->stopped && !cpu->halted;
}

static void run_cpu(CPUState *cpu, int count)
{
    for (int i = 0; i < count && can_run(cpu); i++) {
        int size, n = cpu->cpu_index;
        GPtrArray *list = points_of(cpu);
        uint64_t pc = guest_pc(n);

        /* The first instruction of a run is not stopped at again */
        if (i && (find_point(list, GDB_BREAKPOINT_SW, pc, 0) ||
                  find_point(list, GDB_BREAKPOINT_HW, pc, 0))) {
            debug_stop(cpu);
            return;
        }
        stq_be_p(reg_at(&guest, n, PC_REG, &size), pc + 4);
        stq_be_p(reg_at(&guest, n, 3, &size), pc * 3);
        memcpy(expected.regs[n], guest.regs[n], REG_BYTES);
        if (cpu->singlestep_enabled) {
            debug_stop(cpu);
        }
    }
}

static void hit_watchpoint(CPUState *cpu, int which)
{
    GPtrArray *list = points_of(cpu);

    for (int i = 0; i < list->len && can_run(cpu); i++) {
        Point *point = list->pdata[(i + which) % list->len];

        if (point->type >= GDB_WATCHPOINT_WRITE) {
            cpu->watchpoint_hit = &point->wp;
            debug_stop(cpu);
        }
    }
}

static void syscall_done(CPUState *cpu, uint64_t ret, int err)
{
    must(cpu, "a system call of no vCPU");
    syscall_open = false;
}

static void guest_syscall(CPUState *cpu, int which)
{
    if (!can_run(cpu) || !use_gdb_syscalls() || gdbserver_state.c_cpu != cpu) {
        return;
    }
    syscall_expected = syscall_open = true;
    if (which % 2) {
        gdb_do_syscall(syscall_done, "open,%s,%x,%x", (uint64_t)-1,
                       (uint32_t)-1, -1, 0);
    } else {
        gdb_do_syscall(syscall_done, "write,%x,%lx,%lx", 1, (uint64_t)-1,
                       (uint64_t)-1);
    }
}

/* `gdbserver` in the monitor */
static void restart(bool none)
{
    /* Its chardev goes, as a client does */
    connected = false;
    stop_expected = false;
    syscall_expected = syscall_open = false;
    no_acks = false;
    gdbserver_start(none ? "none" : "fuzz", &error_abort);
    check('g', !count_points(), "breakpoints after gdbserver's restart");
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
        gdb_chr = g_malloc0(sizeof(*gdb_chr));
        mon_chr = g_malloc0(sizeof(*mon_chr));
        for (int i = 0; i < ARRAY_SIZE(clusters); i++) {
            clusters[i] = g_malloc0(sizeof(*clusters[i]));
            clusters[i]->cluster_id = i;
        }
        cpu_class.gdb_core_xml_file = "power64-core.xml";
        cpu_class.gdb_num_core_regs = CORE_REGS;
        cpu_class.gdb_read_register = read_core;
        cpu_class.gdb_write_register = write_core;
        cpu_class.gdb_arch_name = arch_name;
        cpu_class.set_pc = set_pc;
        cpu_class.get_pc = get_pc;
#ifdef HAVE_STOP_REGS
        static const int8_t stop_regs[] = { PC_REG, 1, -1 };
        cpu_class.gdb_stop_regs = stop_regs;
#endif
        for (int i = 0; i < MAX_CPUS; i++) {
            cpus[i] = aligned_alloc(__alignof__(CPUState),
                                    ROUND_UP(sizeof(CPUState),
                                             __alignof__(CPUState)));
            memset(cpus[i], 0, sizeof(CPUState));
            cpus[i]->cc = &cpu_class;
            cpus[i]->cpu_index = i;
            gdb_init_cpu(cpus[i]);
            gdb_register_coprocessor(cpus[i], read_extra, write_extra,
                                     &gdb_static_features[1], 0);
            points[i] = g_ptr_array_new();
        }
    }
    kvm = kind & 1;
    replaying = kind & 2;
    replay_mode = replaying ? REPLAY_MODE_PLAY : REPLAY_MODE_NONE;
    /* 2 alone; 1 and 1 in clusters; 2 in a cluster and 2 alone; 2 and 2 */
    kind = kind >> 2 & 3;
    num_cpus = kind < 2 ? 2 : 4;
    num_clusters = kind == 0 ? 0 : kind == 2 ? 1 : 2;
    QTAILQ_INIT(&cpus_queue);
    for (int i = 0; i < MAX_CPUS; i++) {
        CPUState *cpu = cpus[i];

        cpu->stop = cpu->stopped = cpu->halted = false;
        cpu->singlestep_enabled = 0;
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
    debug_requested = exiting = step_refused = false;
    client_acks = true;

    restart(false);
    /* What lives longer than a connection, or should not but did */
    gdbserver_state.sstep_flags = SSTEP_ENABLE | SSTEP_NOIRQ;
    gdbserver_state.supported_sstep_flags =
        accel_supported_gdbstub_sstep_flags();
    gdbserver_state.multiprocess = false;
    gdbserver_state.query_cpu = NULL;
    gdbserver_state.signal = 0;
    g_byte_array_set_size(gdbserver_state.last_packet, 0);
    set_connected(true);
    send_packet("Qqemu.PhyMemMode:0", 18, false);
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
        if (sscanf(line, "&%4x:%n", &size, &used) == 1 && size && size < 0x2800 &&
            used <= len && size >= len - used) {
            longer = g_malloc(size);
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
        vm_stop(stops[a % ARRAY_SIZE(stops)]);
        break;
    case 'V':                           /* monitor: cont */
        if (!runstate_needs_reset()) {
            vm_start();
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
