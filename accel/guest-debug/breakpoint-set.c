/*
 * A collection of software breakpoints
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "accel/breakpoint-set.h"

typedef struct Breakpoint {
    uint64_t addr;
    unsigned refs[BREAKPOINT_OWNER_MAX];
    unsigned held;
    unsigned forced;
    bool in_memory;
    bool unsure;                /* a write has failed, or may have */
    bool queued;                /* is in BreakpointSet.changed */
    uint8_t saved[BREAKPOINT_TRAP_MAX];
} Breakpoint;

struct BreakpointSet {
    const BreakpointMemory *memory;
    void *opaque;
    uint8_t trap[BREAKPOINT_TRAP_MAX];
    size_t len;
    GHashTable *table;          /* address -> Breakpoint */
    GPtrArray *changed;         /* Breakpoints that apply has to look at */
};

BreakpointSet *breakpoint_set_new(const BreakpointMemory *memory, void *opaque,
                                  const void *trap, size_t len)
{
    BreakpointSet *set = g_new0(BreakpointSet, 1);

    g_assert(len >= 1 && len <= BREAKPOINT_TRAP_MAX);
    set->memory = memory;
    set->opaque = opaque;
    set->len = len;
    memcpy(set->trap, trap, len);
    set->table = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                       NULL, g_free);
    set->changed = g_ptr_array_new();
    return set;
}

void breakpoint_set_free(BreakpointSet *set)
{
    if (set) {
        g_ptr_array_free(set->changed, true);
        g_hash_table_destroy(set->table);
        g_free(set);
    }
}

static Breakpoint *find(const BreakpointSet *set, uint64_t addr)
{
    return g_hash_table_lookup(set->table, &addr);
}

static Breakpoint *find_or_create(BreakpointSet *set, uint64_t addr)
{
    Breakpoint *bp = find(set, addr);

    if (!bp) {
        bp = g_new0(Breakpoint, 1);
        bp->addr = addr;
        g_hash_table_insert(set->table, &bp->addr, bp);
    }
    return bp;
}

static bool referenced(const Breakpoint *bp)
{
    for (int i = 0; i < BREAKPOINT_OWNER_MAX; i++) {
        if (bp->refs[i]) {
            return true;
        }
    }
    return false;
}

static bool wanted(const Breakpoint *bp)
{
    return referenced(bp) && (!bp->held || bp->forced);
}

/* Everything that changes what is wanted ends here */
static void touch(BreakpointSet *set, Breakpoint *bp)
{
    if (!bp->queued) {
        bp->queued = true;
        g_ptr_array_add(set->changed, bp);
    }
}

void breakpoint_set_add(BreakpointSet *set, uint64_t addr,
                        BreakpointOwner owner)
{
    Breakpoint *bp = find_or_create(set, addr);

    bp->refs[owner]++;
    touch(set, bp);
}

int breakpoint_set_del(BreakpointSet *set, uint64_t addr,
                       BreakpointOwner owner)
{
    Breakpoint *bp = find(set, addr);

    if (!bp || !bp->refs[owner]) {
        return -ENOENT;
    }
    bp->refs[owner]--;
    touch(set, bp);
    return 0;
}

void breakpoint_set_hold(BreakpointSet *set, uint64_t addr, bool hold)
{
    Breakpoint *bp = find_or_create(set, addr);

    g_assert(hold || bp->held);
    bp->held += hold ? 1 : -1;
    touch(set, bp);
}

void breakpoint_set_force(BreakpointSet *set, uint64_t addr, bool force)
{
    Breakpoint *bp = find_or_create(set, addr);

    g_assert(force || bp->forced);
    bp->forced += force ? 1 : -1;
    touch(set, bp);
}

static int write_checked(BreakpointSet *set, uint64_t addr, const void *bytes)
{
    uint8_t check[BREAKPOINT_TRAP_MAX];
    int ret = set->memory->write(set->opaque, addr, bytes, set->len);

    if (!ret) {
        ret = set->memory->read(set->opaque, addr, check, set->len);
    }
    if (!ret && memcmp(check, bytes, set->len)) {
        ret = -EFAULT;
    }
    return ret;
}

static int put_in(BreakpointSet *set, Breakpoint *bp)
{
    int ret = set->memory->read(set->opaque, bp->addr, bp->saved, set->len);

    if (ret) {
        return ret;
    }
    ret = write_checked(set, bp->addr, set->trap);
    /*
     * Whatever a failed write has left there, taking it out later is safe:
     * only bytes that look like the trap's are put back.
     */
    bp->in_memory = true;
    bp->unsure = ret != 0;
    return ret;
}

/*
 * Is the trap there, or what a store of fewer bytes has left of it?  If the
 * guest has written a whole instruction over it, single bytes of that may still
 * look like the trap's.  Two that are side by side are taken for the trap.
 */
static bool is_there(const BreakpointSet *set, const Breakpoint *bp,
                     const uint8_t *bytes)
{
    size_t few = set->len > 2 ? 2 : 1;

    for (size_t i = 0; !bp->unsure && i + few <= set->len; i++) {
        if (!memcmp(bytes + i, set->trap + i, few)) {
            return true;
        }
    }
    /* A write of our own that has failed may have left anything */
    return bp->unsure;
}

static int take_out(BreakpointSet *set, Breakpoint *bp)
{
    uint8_t bytes[BREAKPOINT_TRAP_MAX];
    bool ours = false;
    int ret = set->memory->read(set->opaque, bp->addr, bytes, set->len);

    if (ret) {
        return ret;
    }
    if (is_there(set, bp, bytes)) {
        for (size_t i = 0; i < set->len; i++) {
            if (bytes[i] == set->trap[i]) {
                ours |= bytes[i] != bp->saved[i];
                bytes[i] = bp->saved[i];
            }
        }
    }
    if (ours) {
        ret = write_checked(set, bp->addr, bytes);
    }
    bp->in_memory = ret != 0;
    bp->unsure = ret != 0;
    return ret;
}

/* Returns: whether the breakpoint is up to date */
static bool settle(BreakpointSet *set, Breakpoint *bp, int *err)
{
    int ret = bp->in_memory ? take_out(set, bp) : 0;

    if (!ret && wanted(bp)) {
        ret = put_in(set, bp);
    }

    if (ret && wanted(bp)) {
        /* Leave nothing half-written behind, and try again later */
        if (bp->in_memory) {
            take_out(set, bp);
        }
    }
    if (ret && !*err) {
        *err = ret;
    }
    return !ret;
}

static void drop_if_unused(BreakpointSet *set, Breakpoint *bp)
{
    if (!bp->queued && !bp->held && !bp->forced && !bp->in_memory &&
        !referenced(bp)) {
        g_hash_table_remove(set->table, &bp->addr);
    }
}

int breakpoint_set_apply(BreakpointSet *set)
{
    g_autoptr(GPtrArray) todo = set->changed;
    int err = 0;

    set->changed = g_ptr_array_new();
    for (int setting = 0; setting <= 1; setting++) {
        for (guint i = 0; i < todo->len; i++) {
            Breakpoint *bp = g_ptr_array_index(todo, i);

            if (wanted(bp) == setting) {
                bp->queued = false;
                if ((wanted(bp) != bp->in_memory || bp->unsure) &&
                    !settle(set, bp, &err)) {
                    touch(set, bp);
                }
            }
        }
    }
    for (guint i = 0; i < todo->len; i++) {
        drop_if_unused(set, g_ptr_array_index(todo, i));
    }
    return err;
}

int breakpoint_set_recheck(BreakpointSet *set, uint64_t addr)
{
    Breakpoint *bp = find(set, addr);
    uint8_t bytes[BREAKPOINT_TRAP_MAX];
    int ret;

    if (!bp || !bp->in_memory || bp->unsure) {
        return 0;
    }
    ret = set->memory->read(set->opaque, addr, bytes, set->len);
    if (ret || !memcmp(bytes, set->trap, set->len)) {
        return ret;
    }
    /* Nothing of ours is there any more, whichever bytes look like it */
    bp->in_memory = false;
    touch(set, bp);
    return breakpoint_set_apply(set);
}

unsigned breakpoint_set_refs(const BreakpointSet *set, uint64_t addr,
                             BreakpointOwner owner)
{
    Breakpoint *bp = find(set, addr);

    return bp ? bp->refs[owner] : 0;
}

BreakpointState breakpoint_set_state(const BreakpointSet *set, uint64_t addr)
{
    Breakpoint *bp = find(set, addr);

    if (!bp) {
        return BREAKPOINT_CLEARED;
    }
    if (bp->unsure) {
        return wanted(bp) ? BREAKPOINT_SET_PENDING : BREAKPOINT_CLEAR_PENDING;
    }
    if (bp->in_memory) {
        return wanted(bp) ? BREAKPOINT_SET : BREAKPOINT_CLEAR_PENDING;
    }
    return wanted(bp) ? BREAKPOINT_SET_PENDING : BREAKPOINT_CLEARED;
}

unsigned breakpoint_set_pending(const BreakpointSet *set)
{
    unsigned n = 0;

    for (guint i = 0; i < set->changed->len; i++) {
        Breakpoint *bp = g_ptr_array_index(set->changed, i);

        n += wanted(bp) != bp->in_memory || bp->unsure;
    }
    return n;
}

/* The breakpoint whose trap is in memory at @addr, or NULL */
static Breakpoint *trap_at(const BreakpointSet *set, uint64_t addr)
{
    uint8_t bytes[BREAKPOINT_TRAP_MAX];
    Breakpoint *bp = find(set, addr);

    if (!bp || !bp->in_memory) {
        return NULL;
    }
    /* What can't be read may have it */
    return set->memory->read(set->opaque, bp->addr, bytes, set->len) ||
           is_there(set, bp, bytes) ? bp : NULL;
}

void breakpoint_set_restore(const BreakpointSet *set, uint64_t addr,
                            void *buf, size_t len)
{
    uint8_t *bytes = buf;

    while (len) {
        size_t off = addr % set->len, part = MIN(set->len - off, len);
        Breakpoint *bp = trap_at(set, addr - off);

        for (size_t i = 0; bp && i < part; i++) {
            if (bytes[i] == set->trap[off + i]) {
                bytes[i] = bp->saved[off + i];
            }
        }
        addr += part;
        bytes += part;
        len -= part;
    }
}

void breakpoint_set_store(BreakpointSet *set, uint64_t addr, void *buf,
                          size_t len)
{
    uint8_t *bytes = buf;

    while (len) {
        size_t off = addr % set->len, part = MIN(set->len - off, len);
        Breakpoint *bp = trap_at(set, addr - off);

        if (bp) {
            memcpy(bp->saved + off, bytes, part);
            memcpy(bytes, set->trap + off, part);
        }
        addr += part;
        bytes += part;
        len -= part;
    }
}
