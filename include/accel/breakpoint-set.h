/*
 * A collection of software breakpoints
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef ACCEL_BREAKPOINT_SET_H
#define ACCEL_BREAKPOINT_SET_H

/*
 * One BreakpointSet holds every trap instruction that a virtual machine has
 * in its memory, whoever asked for it.  What is wanted (breakpoint_set_add(),
 * _del(), _hold(), _suspend()) and what is in memory are kept apart,
 * and breakpoint_set_apply() makes the second follow the first:
 *
 *     CLEARED ---add---> SET_PENDING ---apply---> SET
 *        ^                    |                    |
 *        |<-------del---------+                   del
 *        |                                         v
 *        +<-------------apply------------- CLEAR_PENDING ---add---> SET
 *
 * A place that can't be written now stays pending and is tried again by each
 * later apply.
 *
 * Addresses are keys that the owner of the set chooses, and that its memory
 * functions understand.  Guest physical addresses are the right choice where
 * they are known: they don't move when the guest switches address spaces.
 *
 * Not thread safe: callers hold the BQL.
 */

/**
 * BreakpointState: what is in memory, and what is to be there
 * @BREAKPOINT_CLEARED: memory is the guest's own
 * @BREAKPOINT_SET_PENDING: memory is the guest's own, a trap is wanted
 * @BREAKPOINT_SET: memory has the trap
 * @BREAKPOINT_CLEAR_PENDING: memory has the trap, none is wanted
 */
typedef enum BreakpointState {
    BREAKPOINT_CLEARED,
    BREAKPOINT_SET_PENDING,
    BREAKPOINT_SET,
    BREAKPOINT_CLEAR_PENDING,
} BreakpointState;

/**
 * BreakpointOwner: on whose behalf a trap is there
 * @BREAKPOINT_OWNER_USER: the debugger's user; reaching it is a stop
 * @BREAKPOINT_OWNER_STEP: a step session; never seen by a user
 */
typedef enum BreakpointOwner {
    BREAKPOINT_OWNER_USER,
    BREAKPOINT_OWNER_STEP,
    BREAKPOINT_OWNER_MAX,
} BreakpointOwner;

/* The longest trap instruction, in bytes */
#define BREAKPOINT_TRAP_MAX 8

/**
 * BreakpointMemory: how a set gets at the guest's memory
 * @read: read @len bytes, return 0 or a negative errno
 * @trap: give the bytes, as memory is to have them, of the trap instruction
 *     that fits over the instruction that is at @addr now; return their
 *     number, 1 to BREAKPOINT_TRAP_MAX, or a negative errno
 * @exchange: write @len bytes where the guest will fetch them as instructions,
 *     in one piece and only if memory has the bytes of @old; the guest may run
 *     meanwhile.  Return 0, -EAGAIN if memory has others, or another negative
 *     errno.  A write that is silently dropped is noticed: the set reads back
 *     what it wrote.
 */
typedef struct BreakpointMemory {
    int (*read)(void *opaque, uint64_t addr, void *buf, size_t len);
    int (*trap)(void *opaque, uint64_t addr, uint8_t *trap);
    int (*exchange)(void *opaque, uint64_t addr, const void *old,
                    const void *buf, size_t len);
} BreakpointMemory;

typedef struct BreakpointSet BreakpointSet;

/**
 * breakpoint_set_new() - make an empty set
 * @memory: the memory functions, kept by reference
 * @opaque: their first argument
 */
BreakpointSet *breakpoint_set_new(const BreakpointMemory *memory, void *opaque);

/**
 * breakpoint_set_free() - forget a set
 *
 * Memory is not touched: delete and apply first.
 */
void breakpoint_set_free(BreakpointSet *set);

/**
 * breakpoint_set_add() - ask for a trap
 *
 * Counted: the trap is wanted until it has been deleted as often as added, by
 * every owner.
 */
void breakpoint_set_add(BreakpointSet *set, uint64_t addr,
                        BreakpointOwner owner);

/**
 * breakpoint_set_del() - take back one breakpoint_set_add()
 *
 * Returns: 0, or -ENOENT if @owner has none there.
 */
int breakpoint_set_del(BreakpointSet *set, uint64_t addr,
                       BreakpointOwner owner);

/**
 * breakpoint_set_hold() - keep a trap out of memory for a while
 * @hold: true to begin, false to end
 *
 * While held, an address is treated as if nobody wanted a trap there, so that
 * the instruction below can run.  Counted; allowed at any address.
 */
void breakpoint_set_hold(BreakpointSet *set, uint64_t addr, bool hold);

/**
 * breakpoint_set_force() - have a breakpoint in memory although it is held
 *
 * For somebody who needs it there while those who hold it do not run.  Counted.
 */
void breakpoint_set_force(BreakpointSet *set, uint64_t addr, bool force);

/**
 * breakpoint_set_suspend() - keep all traps of an owner out of memory
 * @suspend: true to begin, false to end
 *
 * As if the owner had none.  Not counted.  When this ends and the traps go in,
 * each is put over what is in memory then: it may be something else, if the
 * guest has been reset or another state of it has been loaded.
 */
void breakpoint_set_suspend(BreakpointSet *set, BreakpointOwner owner,
                            bool suspend);

/**
 * breakpoint_set_apply() - bring memory up to date
 *
 * Costs are proportional to what changed since it last succeeded.  Traps are
 * taken out before others are put in.  Bytes of a trap that the guest has
 * overwritten meanwhile are left as the guest wrote them.  A trap that would
 * overlap another one waits until that is out: -EBUSY.
 *
 * Returns: 0 if nothing is left to do, or the first error's negative errno;
 * -EFAULT says that memory did not keep what was written.  All other changes
 * are made even then, and those that failed stay pending.
 */
int breakpoint_set_apply(BreakpointSet *set);

/**
 * breakpoint_set_recheck() - has the guest written over a trap?
 *
 * If it has, and be it a part of the trap, what it has written is taken for a
 * whole instruction, and the trap is put over that if it is still wanted.
 *
 * Returns: 0, or a negative errno as breakpoint_set_apply()
 */
int breakpoint_set_recheck(BreakpointSet *set, uint64_t addr);

/**
 * breakpoint_set_overwritten() - has the guest written over a trap just now?
 * @bytes: what is there, if so; room for BREAKPOINT_TRAP_MAX
 * @alike: how many of them are the trap's; all of them if part of the trap
 *     seems to be there still.  The guest may be about to write these.
 *
 * Returns: how many bytes there are, or 0 if the trap is there, or is not to be
 */
size_t breakpoint_set_overwritten(const BreakpointSet *set, uint64_t addr,
                                  uint8_t *bytes, unsigned *alike);

/**
 * breakpoint_set_renew() - put a trap over what the guest has written
 * @bytes: what breakpoint_set_overwritten() has given
 *
 * The guest may run meanwhile.
 *
 * Returns: 0; -EAGAIN if memory has changed since; or another negative errno
 */
int breakpoint_set_renew(BreakpointSet *set, uint64_t addr,
                         const uint8_t *bytes);

/**
 * breakpoint_set_leave() - give up a place that the guest uses for other things
 *
 * As breakpoint_set_del() and _apply(), but what the guest has written over a
 * part of the trap is not taken for a part of the trap.
 */
void breakpoint_set_leave(BreakpointSet *set, uint64_t addr,
                          BreakpointOwner owner);

/**
 * breakpoint_set_refs() - how often @owner has added @addr
 */
unsigned breakpoint_set_refs(const BreakpointSet *set, uint64_t addr,
                             BreakpointOwner owner);

/**
 * breakpoint_set_state() - what is at @addr
 */
BreakpointState breakpoint_set_state(const BreakpointSet *set, uint64_t addr);

/**
 * breakpoint_set_pending() - how many changes wait for an apply
 */
unsigned breakpoint_set_pending(const BreakpointSet *set);

/**
 * breakpoint_set_any() - is any trap in memory?
 */
bool breakpoint_set_any(const BreakpointSet *set);

/**
 * breakpoint_set_restore() - take traps out of a copy of memory
 * @addr: where the copy is from
 * @buf: the copy, as memory has it
 * @len: its length in bytes
 *
 * Bytes that belong to a trap become those that the guest would read.
 */
void breakpoint_set_restore(const BreakpointSet *set, uint64_t addr,
                            void *buf, size_t len);

/**
 * breakpoint_set_store() - let what is to be written go underneath traps
 * @addr: where it will be written
 * @buf: the bytes
 * @len: their number
 *
 * Bytes that belong to a trap in memory are kept for when it is taken out, and
 * those in @buf become the trap's.  As for breakpoint_set_restore().
 */
void breakpoint_set_store(BreakpointSet *set, uint64_t addr, void *buf,
                          size_t len);

#endif /* ACCEL_BREAKPOINT_SET_H */
