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
    size_t len;                 /* of the trap that is, or was, in memory */
    uint8_t trap[BREAKPOINT_TRAP_MAX];
    uint8_t saved[BREAKPOINT_TRAP_MAX];
} Breakpoint;

struct BreakpointSet {
    const BreakpointMemory *memory;
    void *opaque;
    bool suspended[BREAKPOINT_OWNER_MAX];
    size_t longest;             /* trap that has been in memory */
    unsigned in_memory;         /* how many are there now */
    GHashTable *table;          /* address -> Breakpoint */
    GPtrArray *changed;         /* Breakpoints that apply has to look at */
};

BreakpointSet *breakpoint_set_new(const BreakpointMemory *memory, void *opaque)
{
    BreakpointSet *set = g_new0(BreakpointSet, 1);

    set->memory = memory;
    set->opaque = opaque;
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

static bool wanted(const BreakpointSet *set, const Breakpoint *bp)
{
    for (int i = 0; i < BREAKPOINT_OWNER_MAX; i++) {
        if (bp->refs[i] && !set->suspended[i]) {
            return !bp->held || bp->forced;
        }
    }
    return false;
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

void breakpoint_set_suspend(BreakpointSet *set, BreakpointOwner owner,
                            bool suspend)
{
    GHashTableIter iter;
    gpointer value;

    set->suspended[owner] = suspend;
    g_hash_table_iter_init(&iter, set->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Breakpoint *bp = value;

        if (bp->refs[owner]) {
            /* What could not be taken out may not be there any more */
            bp->unsure |= !suspend && bp->in_memory && bp->queued;
            touch(set, bp);
        }
    }
}

static int exchange_checked(BreakpointSet *set, const Breakpoint *bp,
                            const void *old, const void *bytes)
{
    uint8_t check[BREAKPOINT_TRAP_MAX];
    int ret = set->memory->exchange(set->opaque, bp->addr, old, bytes, bp->len);

    if (!ret) {
        ret = set->memory->read(set->opaque, bp->addr, check, bp->len);
    }
    if (!ret && memcmp(check, bytes, bp->len)) {
        ret = -EFAULT;
    }
    return ret;
}

static void set_in_memory(BreakpointSet *set, Breakpoint *bp, bool in_memory)
{
    set->in_memory += in_memory - bp->in_memory;
    bp->in_memory = in_memory;
}

/*
 * The breakpoint whose trap begins at @addr and goes on up to @from, or beyond
 * that.  Others may begin between the two.
 */
static Breakpoint *trap_at(const BreakpointSet *set, uint64_t addr,
                           uint64_t from)
{
    Breakpoint *bp = find(set, addr);

    return bp && bp->in_memory && (addr >= from || addr + bp->len > from) ?
           bp : NULL;
}

/* The lowest address at which a trap that has a byte at @addr may begin */
static uint64_t first_trap(const BreakpointSet *set, uint64_t addr)
{
    return addr - MIN(addr, set->longest ? set->longest - 1 : 0);
}

static bool overlaps(const BreakpointSet *set, const Breakpoint *bp)
{
    for (uint64_t at = first_trap(set, bp->addr); at != bp->addr + bp->len;
         at++) {
        if (at != bp->addr && trap_at(set, at, bp->addr)) {
            return true;
        }
    }
    return false;
}

static int try_put_in(BreakpointSet *set, Breakpoint *bp)
{
    int ret = set->memory->trap(set->opaque, bp->addr, bp->trap);

    if (ret < 0) {
        return ret;
    }
    g_assert(ret >= 1 && ret <= BREAKPOINT_TRAP_MAX);
    bp->len = ret;
    /* Two that share bytes could not be taken out in any order */
    if (overlaps(set, bp)) {
        return -EBUSY;
    }
    ret = set->memory->read(set->opaque, bp->addr, bp->saved, bp->len);
    if (ret) {
        return ret;
    }
    ret = exchange_checked(set, bp, bp->saved, bp->trap);
    if (ret == -EAGAIN) {
        return ret;
    }
    /*
     * Whatever a failed write has left there, taking it out later is safe:
     * only bytes that look like the trap's are put back.
     */
    set_in_memory(set, bp, true);
    set->longest = MAX(set->longest, bp->len);
    bp->unsure = ret != 0;
    return ret;
}

/* The guest may write there at the same time: not often */
#define TRIES 10

static int put_in(BreakpointSet *set, Breakpoint *bp)
{
    int ret = -EAGAIN;

    for (int i = 0; ret == -EAGAIN && i < TRIES; i++) {
        ret = try_put_in(set, bp);
    }
    return ret;
}

/*
 * Is the trap there, or what a store of fewer bytes has left of it?  If the
 * guest has written a whole instruction over it, single bytes of that may still
 * look like the trap's, and zeros are everywhere.  Two that are side by side,
 * and not both zero, are taken for the trap.
 */
static bool is_there(const Breakpoint *bp, const uint8_t *bytes)
{
    static const uint8_t zeros[2];
    size_t few = bp->len > 2 ? 2 : 1;

    for (size_t i = 0; !bp->unsure && i + few <= bp->len; i++) {
        if (!memcmp(bytes + i, bp->trap + i, few) &&
            (few == 1 || memcmp(bytes + i, zeros, few))) {
            return true;
        }
    }
    /* A write of our own that has failed may have left anything */
    return bp->unsure;
}

static int try_take_out(BreakpointSet *set, Breakpoint *bp)
{
    uint8_t old[BREAKPOINT_TRAP_MAX], bytes[BREAKPOINT_TRAP_MAX];
    bool ours = false;
    int ret = set->memory->read(set->opaque, bp->addr, old, bp->len);

    if (ret) {
        return ret;
    }
    memcpy(bytes, old, bp->len);
    if (is_there(bp, bytes)) {
        for (size_t i = 0; i < bp->len; i++) {
            if (bytes[i] == bp->trap[i]) {
                ours |= bytes[i] != bp->saved[i];
                bytes[i] = bp->saved[i];
            }
        }
    }
    if (ours) {
        ret = exchange_checked(set, bp, old, bytes);
    }
    if (ret == -EAGAIN) {
        return ret;
    }
    set_in_memory(set, bp, ret != 0);
    bp->unsure = ret != 0;
    return ret;
}

static int take_out(BreakpointSet *set, Breakpoint *bp)
{
    int ret = -EAGAIN;

    for (int i = 0; ret == -EAGAIN && i < TRIES; i++) {
        ret = try_take_out(set, bp);
    }
    return ret;
}

/* Returns: whether the breakpoint is up to date */
static bool settle(BreakpointSet *set, Breakpoint *bp, int *err)
{
    int ret = bp->in_memory ? take_out(set, bp) : 0;

    if (!ret && wanted(set, bp)) {
        ret = put_in(set, bp);
    }

    if (ret && wanted(set, bp)) {
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

            if (wanted(set, bp) == setting) {
                bp->queued = false;
                if ((wanted(set, bp) != bp->in_memory || bp->unsure) &&
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
    ret = set->memory->read(set->opaque, addr, bytes, bp->len);
    if (ret || !memcmp(bytes, bp->trap, bp->len)) {
        return ret;
    }
    /* Nothing of ours is there any more, whichever bytes look like it */
    set_in_memory(set, bp, false);
    touch(set, bp);
    return breakpoint_set_apply(set);
}

size_t breakpoint_set_overwritten(const BreakpointSet *set, uint64_t addr,
                                  uint8_t *bytes, unsigned *alike)
{
    Breakpoint *bp = find(set, addr);

    if (!bp || !bp->in_memory || bp->unsure ||
        set->memory->read(set->opaque, addr, bytes, bp->len) ||
        !memcmp(bytes, bp->trap, bp->len)) {
        return 0;
    }
    *alike = 0;
    for (size_t i = 0; i < bp->len; i++) {
        *alike += bytes[i] == bp->trap[i];
    }
    if (is_there(bp, bytes)) {
        *alike = bp->len;
    }
    return bp->len;
}

/* What seems to be the trap's still is not what the guest has written */
static int exchange(BreakpointSet *set, Breakpoint *bp, const uint8_t *bytes)
{
    bool in_part = is_there(bp, bytes);
    int ret = set->memory->exchange(set->opaque, bp->addr, bytes, bp->trap,
                                    bp->len);

    for (size_t i = 0; !ret && i < bp->len; i++) {
        if (!in_part || bytes[i] != bp->trap[i]) {
            bp->saved[i] = bytes[i];
        }
    }
    return ret;
}

int breakpoint_set_renew(BreakpointSet *set, uint64_t addr,
                         const uint8_t *bytes)
{
    Breakpoint *bp = find(set, addr);
    uint8_t trap[BREAKPOINT_TRAP_MAX];
    int ret;

    if (!bp || !bp->in_memory || bp->unsure || !wanted(set, bp)) {
        return 0;
    }
    ret = set->memory->trap(set->opaque, addr, trap);
    if (ret < 0) {
        return ret;
    }
    if ((size_t)ret == bp->len && !memcmp(trap, bp->trap, bp->len)) {
        return exchange(set, bp, bytes);
    }
    /* Another trap, for an instruction of another length */
    return breakpoint_set_recheck(set, addr);
}

void breakpoint_set_leave(BreakpointSet *set, uint64_t addr,
                          BreakpointOwner owner)
{
    Breakpoint *bp = find(set, addr);
    uint8_t bytes[BREAKPOINT_TRAP_MAX];

    if (breakpoint_set_del(set, addr, owner) || wanted(set, bp)) {
        return;
    }
    if (bp->in_memory && !bp->unsure &&
        !set->memory->read(set->opaque, addr, bytes, bp->len) &&
        memcmp(bytes, bp->trap, bp->len)) {
        /* Whichever bytes look like the trap's, they are the guest's */
        set_in_memory(set, bp, false);
    }
    breakpoint_set_apply(set);
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
        return wanted(set, bp) ? BREAKPOINT_SET_PENDING :
                                 BREAKPOINT_CLEAR_PENDING;
    }
    if (bp->in_memory) {
        return wanted(set, bp) ? BREAKPOINT_SET : BREAKPOINT_CLEAR_PENDING;
    }
    return wanted(set, bp) ? BREAKPOINT_SET_PENDING : BREAKPOINT_CLEARED;
}

unsigned breakpoint_set_pending(const BreakpointSet *set)
{
    unsigned n = 0;

    for (guint i = 0; i < set->changed->len; i++) {
        Breakpoint *bp = g_ptr_array_index(set->changed, i);

        n += wanted(set, bp) != bp->in_memory || bp->unsure;
    }
    return n;
}

bool breakpoint_set_any(const BreakpointSet *set)
{
    return set->in_memory;
}

/*
 * Exchange what [@addr, @addr + @len) has of a trap: in a copy of memory for
 * what is underneath, or in what is to be written, which goes underneath.
 */
static void cover(const BreakpointSet *set, Breakpoint *bp, uint64_t addr,
                  uint8_t *buf, size_t len, bool store)
{
    uint8_t bytes[BREAKPOINT_TRAP_MAX];

    /* What can't be read may have it */
    if (!set->memory->read(set->opaque, bp->addr, bytes, bp->len) &&
        !is_there(bp, bytes)) {
        return;
    }
    for (size_t i = 0; i < bp->len; i++) {
        uint64_t off = bp->addr + i - addr;

        if (off >= len) {
            continue;
        }
        if (store) {
            bp->saved[i] = buf[off];
            buf[off] = bp->trap[i];
        } else if (buf[off] == bp->trap[i]) {
            buf[off] = bp->saved[i];
        }
    }
}

static void cover_all(const BreakpointSet *set, uint64_t addr, void *buf,
                      size_t len, bool store)
{
    if (!set->in_memory || !len) {
        return;
    }
    for (uint64_t at = first_trap(set, addr); at != addr + len; at++) {
        Breakpoint *bp = trap_at(set, at, addr);

        if (bp) {
            cover(set, bp, addr, buf, len, store);
        }
    }
}

void breakpoint_set_restore(const BreakpointSet *set, uint64_t addr,
                            void *buf, size_t len)
{
    cover_all(set, addr, buf, len, false);
}

void breakpoint_set_store(BreakpointSet *set, uint64_t addr, void *buf,
                          size_t len)
{
    cover_all(set, addr, buf, len, true);
}
