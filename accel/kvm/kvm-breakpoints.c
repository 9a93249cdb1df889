/*
 * The debugger's software breakpoints under KVM
 *
 * The debugger knows a breakpoint by its virtual address.  Its trap is kept by
 * guest physical address, which it has for good: the vCPUs may be in other
 * address spaces when it has to go.  Traps are in memory while the virtual
 * machine runs, and at no other time: neither migration nor a snapshot has
 * them, and whatever is loaded meanwhile does not write over them.  What the
 * guest itself writes over them is the subject of kvm-breakpoints-keep.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "accel/breakpoint-set.h"
#include "exec/target_page.h"
#include "hw/core/cpu.h"
#include "hw/core/loader.h"
#include "hw/core/resettable.h"
#include "qom/object.h"
#include "system/address-spaces.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/memory.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "kvm-breakpoints.h"
#include "kvm-cpus.h"

#ifdef TARGET_KVM_HAVE_GUEST_DEBUG

union KVMBreakpointList kvm_breakpoints =
    QTAILQ_HEAD_INITIALIZER(kvm_breakpoints);

static GHashTable *by_pc;       /* pc -> struct kvm_sw_breakpoint */
static BreakpointSet *traps;
static bool machine_runs;

/* Guest memory */

/*
 * The place of a trap is its guest physical address; the top bits tell which of
 * the vCPU's address spaces that is in (SMM).
 */
#define PLACE_SPACE_SHIFT 56

static AddressSpace *place_space(uint64_t place)
{
    unsigned asidx = place >> PLACE_SPACE_SHIFT;

    return asidx ? cpu_get_address_space(first_cpu, asidx) :
                   &address_space_memory;
}

static hwaddr place_addr(uint64_t place)
{
    return extract64(place, 0, PLACE_SPACE_SHIFT);
}

static const MemTxAttrs debug_attrs = { .debug = 1 };

/*
 * RAM and ROM.  Elsewhere nobody executes, and an access does something.  Under
 * RCU.  Returns: NULL if @place is elsewhere
 */
static MemoryRegion *find_memory(uint64_t place, size_t len, bool is_write,
                                 hwaddr *xlat)
{
    hwaddr found = len;
    MemoryRegion *mr = address_space_translate(place_space(place),
                                               place_addr(place), xlat, &found,
                                               is_write, debug_attrs);

    return found < len || !memory_region_supports_direct_access(mr) ? NULL : mr;
}

static int trap_read(void *opaque, uint64_t place, void *buf, size_t len)
{
    hwaddr xlat;

    RCU_READ_LOCK_GUARD();
    if (!find_memory(place, len, false, &xlat) ||
        address_space_read(place_space(place), place_addr(place), debug_attrs,
                           buf, len)) {
        return -EFAULT;
    }
    return 0;
}

/* The bytes of @buf if memory has those of @old, in one piece */
static bool exchange(void *host, const void *old, const void *buf, size_t len)
{
    if (len == 4 && QEMU_PTR_IS_ALIGNED(host, 4)) {
        uint32_t was = ldl_he_p(old);

        return qatomic_cmpxchg((uint32_t *)host, was, ldl_he_p(buf)) == was;
    }
    if (len == 2) {
        uint16_t was = lduw_he_p(old);

        return qatomic_cmpxchg((uint16_t *)host, was, lduw_he_p(buf)) == was;
    }
    if (len == 1) {
        uint8_t was = ldub_p(old);

        return qatomic_cmpxchg((uint8_t *)host, was, ldub_p(buf)) == was;
    }
    /* s390x and RISC-V have others.  The vCPUs may write at the same time */
    if (memcmp(host, old, len)) {
        return false;
    }
    memcpy(host, buf, len);
    return true;
}

static int trap_exchange(void *opaque, uint64_t place, const void *old,
                         const void *buf, size_t len)
{
    MemoryRegion *mr;
    hwaddr xlat;

    RCU_READ_LOCK_GUARD();
    mr = find_memory(place, len, true, &xlat);
    if (!mr) {
        return -EFAULT;
    }
    if (!exchange(memory_region_get_ram_ptr(mr) + xlat, old, buf, len)) {
        return -EAGAIN;
    }
    memory_region_set_dirty(mr, xlat, len);
    address_space_flush_icache_range(place_space(place), place_addr(place),
                                     len);
    return 0;
}

static int trap_bytes(void *opaque, uint64_t place, uint8_t *trap)
{
    uint64_t in_page = place & (qemu_target_page_size() - 1);
    uint8_t first;
    int ret = trap_read(NULL, place, &first, 1);

    if (!ret) {
        ret = kvm_arch_sw_breakpoint(in_page, first, trap);
    }
    /* The next page of the address space may be anywhere */
    return ret > 0 && in_page + ret > qemu_target_page_size() ? -EFAULT : ret;
}

static const BreakpointMemory trap_memory = {
    .read = trap_read,
    .trap = trap_bytes,
    .exchange = trap_exchange,
};

/* Neither memory nor a device */
static bool is_nowhere(uint64_t place)
{
    MemoryRegionSection found = memory_region_find(place_space(place)->root,
                                                   place_addr(place), 1);

    if (found.mr) {
        memory_region_unref(found.mr);
    }
    return !found.mr;
}

/* Is that of another address space of the vCPU also in the common one? */
static bool is_common(CPUState *cpu, int asidx, hwaddr addr)
{
    hwaddr here, there, len = 1;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, addr, &here, &len,
                                 false, debug_attrs);
    return mr == address_space_translate(cpu_get_address_space(cpu, asidx),
                                         addr, &there, &len, false,
                                         debug_attrs) && here == there;
}

static bool find_place(CPUState *cpu, vaddr addr, uint64_t *place)
{
    TranslateForDebugResult found;
    int asidx;

    cpu_synchronize_mmu(cpu);
    if (!cpu_translate_for_debug(cpu, addr, &found)) {
        return false;
    }
    asidx = cpu_asidx_from_attrs(cpu, found.attrs);
    if (asidx && is_common(cpu, asidx, found.physaddr)) {
        asidx = 0;
    }
    *place = found.physaddr | (uint64_t)asidx << PLACE_SPACE_SHIFT;
    return true;
}

/* Where a new breakpoint belongs */
static int place_breakpoint(CPUState *cpu, vaddr pc, uint64_t *place)
{
#ifdef TARGET_KVM_HAVE_OWN_BREAKPOINTS
    int ret = kvm_arch_place_sw_breakpoint(cpu, pc, place);

    if (ret <= 0) {
        return ret;
    }
#endif
    return find_place(cpu, pc, place) ? 0 : -EFAULT;
}

/* Returns: 0, or a negative errno if there can't be a trap */
static int set_trap(uint64_t place)
{
    uint8_t trap[BREAKPOINT_TRAP_MAX];
    int ret = trap_bytes(NULL, place, trap);

    if (ret < 0) {
        return ret;
    }
    breakpoint_set_add(traps, place, BREAKPOINT_OWNER_USER);
    ret = breakpoint_set_apply(traps);
    if (breakpoint_set_state(traps, place) != BREAKPOINT_SET_PENDING) {
        /* An error is about another one */
        return 0;
    }
    breakpoint_set_del(traps, place, BREAKPOINT_OWNER_USER);
    breakpoint_set_apply(traps);
    return ret;
}

/*
 * What QEMU has loaded to boot from may be the image of a kernel, which copies
 * itself to where its addresses are then, traps and all.  A kernel's breakpoint
 * in the image waits until the guest has written something else there.
 */
static bool is_in_image(const struct kvm_sw_breakpoint *bp)
{
    return kvm_breakpoints_booting() && kvm_breakpoint_is_kernels(bp) &&
           rom_ptr_for_as(place_space(bp->place), place_addr(bp->place), 1);
}

/*
 * A kernel's address is not mapped before the kernel runs: the breakpoint waits
 * for that.  Returns: 0, or a negative errno; -ENOENT if it has to wait.
 */
static int place_now(CPUState *cpu, struct kvm_sw_breakpoint *bp)
{
    int ret = place_breakpoint(cpu, bp->pc, &bp->place);

    if (ret) {
        return ret == -EFAULT ? -ENOENT : ret;
    }
    bp->in_image = is_in_image(bp) &&
                   !trap_read(NULL, bp->place, bp->seen, sizeof(uint32_t));
    if (bp->in_image) {
        return -ENOENT;
    }
    ret = set_trap(bp->place);
    bp->placed = !ret;
    return ret == -EFAULT && is_nowhere(bp->place) ? -ENOENT : ret;
}

void kvm_breakpoints_place(CPUState *cpu, struct kvm_sw_breakpoint *bp)
{
    if (!place_now(cpu, bp) && bp->suspended) {
        breakpoint_set_hold(traps, bp->place, true);
    }
}

bool kvm_breakpoints_image_gone(const struct kvm_sw_breakpoint *bp,
                                uint32_t *word)
{
    return !trap_read(NULL, bp->place, word, sizeof(*word)) &&
           memcmp(word, bp->seen, sizeof(*word));
}

void kvm_breakpoints_trap(struct kvm_sw_breakpoint *bp)
{
    bp->in_image = false;
    bp->looks = 0;
    bp->placed = !set_trap(bp->place);
}

bool kvm_breakpoints_is_at_place(CPUState *cpu,
                                 const struct kvm_sw_breakpoint *bp)
{
    uint64_t place;

    return !place_breakpoint(cpu, bp->pc, &place) && place == bp->place;
}

void kvm_breakpoints_leave_place(struct kvm_sw_breakpoint *bp)
{
    bp->placed = false;
    breakpoint_set_leave(traps, bp->place, BREAKPOINT_OWNER_USER);
}

void kvm_breakpoints_follow(CPUState *cpu, struct kvm_sw_breakpoint *bp)
{
    uint64_t place;
    uint8_t byte;

    /* In real mode, say, the address may be nowhere for the moment */
    if (!place_breakpoint(cpu, bp->pc, &place) && place != bp->place &&
        !trap_read(NULL, place, &byte, 1)) {
        kvm_breakpoints_leave_place(bp);
        kvm_breakpoints_place(cpu, bp);
    }
}

static void place_all(void)
{
    struct kvm_sw_breakpoint *bp;
    CPUState *cpu;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        CPU_FOREACH(cpu) {
            if (!bp->placed && cpu->created) {
                kvm_breakpoints_place(cpu, bp);
            }
        }
    }
}

/* The occasions */

static void report_pending(void)
{
    struct kvm_sw_breakpoint *bp;

    QTAILQ_FOREACH(bp, &kvm_breakpoints, entry) {
        bool pending = bp->placed &&
                       breakpoint_set_state(traps, bp->place) ==
                       BREAKPOINT_SET_PENDING;

        if (pending && !bp->reported) {
            warn_report("the breakpoint at 0x%" VADDR_PRIx " is not in force: "
                        "it can't be written at 0x%" HWADDR_PRIx " now",
                        bp->pc, place_addr(bp->place));
        }
        bp->reported = pending;
    }
}

static void put_traps(bool in)
{
    if (in) {
        place_all();
    }
    breakpoint_set_suspend(traps, BREAKPOINT_OWNER_USER, !in);
    breakpoint_set_apply(traps);
    if (in && breakpoint_set_pending(traps)) {
        report_pending();
    }
    kvm_breakpoints_run(in);
}

static void vm_state_changed(void *opaque, bool running, RunState state)
{
    machine_runs = running;
    put_traps(running);
}

/*
 * A reset stops the vCPUs, but not the virtual machine.  Traps go out before
 * anything is written to memory and come back when all has been.
 */

#define TYPE_KVM_BREAKPOINTS "kvm-breakpoints"
OBJECT_DECLARE_SIMPLE_TYPE(KVMBreakpoints, KVM_BREAKPOINTS)

struct KVMBreakpoints {
    Object parent;
    ResettableState reset_state;
};

OBJECT_DEFINE_SIMPLE_TYPE_WITH_INTERFACES(KVMBreakpoints, kvm_breakpoints,
                                          KVM_BREAKPOINTS, OBJECT,
                                          { TYPE_RESETTABLE_INTERFACE }, { })

static ResettableState *kvm_breakpoints_reset_state(Object *obj)
{
    return &KVM_BREAKPOINTS(obj)->reset_state;
}

static void kvm_breakpoints_reset_enter(Object *obj, ResetType type)
{
    put_traps(false);
}

static void kvm_breakpoints_reset_exit(Object *obj, ResetType type)
{
    kvm_breakpoints_boot();
    put_traps(machine_runs);
}

static void kvm_breakpoints_init(Object *obj)
{
}

static void kvm_breakpoints_finalize(Object *obj)
{
}

static void kvm_breakpoints_class_init(ObjectClass *oc, const void *data)
{
    ResettableClass *rc = RESETTABLE_CLASS(oc);

    rc->get_state = kvm_breakpoints_reset_state;
    rc->phases.enter = kvm_breakpoints_reset_enter;
    rc->phases.exit = kvm_breakpoints_reset_exit;
}

BreakpointSet *kvm_breakpoint_set(void)
{
    if (!traps) {
        traps = breakpoint_set_new(&trap_memory, NULL);
        by_pc = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                      g_free);
        machine_runs = runstate_is_running();
        if (runstate_check(RUN_STATE_PRELAUNCH)) {
            kvm_breakpoints_boot();
        }
        put_traps(machine_runs);
        /* Nothing that works on memory when it starts or stops meets a trap */
        qemu_add_vm_change_state_handler_prio(vm_state_changed, NULL, INT_MAX);
        qemu_register_resettable(object_new(TYPE_KVM_BREAKPOINTS));
    }
    return traps;
}

/* The debugger's view */

struct kvm_sw_breakpoint *kvm_find_sw_breakpoint(CPUState *cpu, vaddr pc)
{
    return by_pc ? g_hash_table_lookup(by_pc, &pc) : NULL;
}

int kvm_sw_breakpoints_active(CPUState *cpu)
{
    return by_pc ? g_hash_table_size(by_pc) : 0;
}

static void suspend_trap(struct kvm_sw_breakpoint *bp, bool suspend)
{
    if (bp->suspended != suspend) {
        bp->suspended = suspend;
        if (bp->placed) {
            breakpoint_set_hold(traps, bp->place, suspend);
        }
    }
}

int kvm_insert_sw_breakpoint(CPUState *cpu, vaddr pc)
{
    struct kvm_sw_breakpoint *bp = kvm_find_sw_breakpoint(cpu, pc);
    int ret;

    if (bp) {
        bp->use_count++;
        return 0;
    }
    kvm_breakpoint_set();
    bp = g_new0(struct kvm_sw_breakpoint, 1);
    bp->pc = pc;
    bp->use_count = 1;
    ret = place_now(cpu, bp);
    if (ret && ret != -ENOENT) {
        g_free(bp);
        return ret;
    }
    g_hash_table_insert(by_pc, &bp->pc, bp);
    QTAILQ_INSERT_TAIL(&kvm_breakpoints, bp, entry);
    kvm_breakpoints_added();
    return 0;
}

static void forget(struct kvm_sw_breakpoint *bp)
{
    suspend_trap(bp, false);
    if (bp->placed) {
        breakpoint_set_del(traps, bp->place, BREAKPOINT_OWNER_USER);
    }
    kvm_breakpoints_forget(bp);
    QTAILQ_REMOVE(&kvm_breakpoints, bp, entry);
}

int kvm_remove_sw_breakpoint(CPUState *cpu, vaddr pc)
{
    struct kvm_sw_breakpoint *bp = kvm_find_sw_breakpoint(cpu, pc);

    if (!bp) {
        return -ENOENT;
    }
    if (--bp->use_count == 0) {
        forget(bp);
        /* What can't be taken out now is tried again with the next change */
        breakpoint_set_apply(traps);
        g_hash_table_remove(by_pc, &pc);
    }
    return 0;
}

void kvm_remove_all_sw_breakpoints(void)
{
    GHashTableIter iter;
    gpointer value;

    if (!by_pc) {
        return;
    }
    g_hash_table_iter_init(&iter, by_pc);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        forget(value);
    }
    breakpoint_set_apply(traps);
    g_hash_table_remove_all(by_pc);
}

bool kvm_suspend_breakpoint(CPUState *cpu, vaddr pc, bool suspend)
{
    struct kvm_sw_breakpoint *bp = kvm_find_sw_breakpoint(cpu, pc);
    uint64_t place;

    if (!bp || (suspend && bp->placed &&
                (!find_place(cpu, pc, &place) || place != bp->place))) {
        return false;
    }
    suspend_trap(bp, suspend);
    breakpoint_set_apply(traps);
    kvm_breakpoints_suspended(bp);
    return true;
}

/* The debugger's accesses to memory, while traps are in it */

typedef enum Pass {
    PASS_RESTORE,       /* what was read is what is underneath */
    PASS_STORE,         /* what will be written goes underneath */
    PASS_FLUSH,         /* what has been written may be instructions */
} Pass;

static void memory_pass(CPUState *cpu, Pass pass, vaddr addr, uint8_t *buf,
                        size_t len, bool physical)
{
    if (pass != PASS_FLUSH && (!traps || !breakpoint_set_any(traps))) {
        return;
    }
    while (len) {
        size_t page = qemu_target_page_size();
        size_t part = MIN(len, page - (addr & (page - 1)));
        uint64_t place = addr;

        if (!physical && !find_place(cpu, addr, &place)) {
            return;
        }
        if (pass == PASS_RESTORE) {
            breakpoint_set_restore(traps, place, buf, part);
        } else if (pass == PASS_STORE) {
            breakpoint_set_store(traps, place, buf, part);
        } else {
            address_space_flush_icache_range(place_space(place),
                                             place_addr(place), part);
        }
        addr += part;
        buf += part;
        len -= part;
    }
}

static int memory_access(CPUState *cpu, vaddr addr, void *buf, size_t len,
                         bool is_write, bool physical)
{
    if (physical) {
        MemTxResult res = address_space_rw(&address_space_memory, addr,
                                           MEMTXATTRS_UNSPECIFIED, buf, len,
                                           is_write);

        return res == MEMTX_OK ? 0 : -1;
    }
    return cpu_memory_rw_debug(cpu, addr, buf, len, is_write);
}

int kvm_memory_rw_debug(CPUState *cpu, vaddr addr, void *buf, size_t len,
                        bool is_write, bool physical)
{
    g_autofree void *bytes = is_write ? g_memdup2(buf, len) : NULL;
    int ret;

    if (is_write) {
        memory_pass(cpu, PASS_STORE, addr, bytes, len, physical);
    }
    ret = memory_access(cpu, addr, bytes ?: buf, len, is_write, physical);
    if (!ret) {
        memory_pass(cpu, is_write ? PASS_FLUSH : PASS_RESTORE, addr, buf, len,
                    physical);
    }
    return ret;
}

#endif /* TARGET_KVM_HAVE_GUEST_DEBUG */
