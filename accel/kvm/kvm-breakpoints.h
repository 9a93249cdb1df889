/*
 * The debugger's software breakpoints under KVM: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef KVM_BREAKPOINTS_H
#define KVM_BREAKPOINTS_H

#include "accel/breakpoint-set.h"
#include "exec/vaddr.h"
#include "hw/core/cpu.h"
#include "qemu/queue.h"

/**
 * kvm_sw_breakpoint: a breakpoint of the debugger's
 * @pc: its virtual address
 * @placed: @place is known, and the set has it; until then it waits for @pc to
 *     be mapped
 * @in_image: it waits until the guest has written over @seen at @place
 * @place: guest physical address of its trap, as the set has it
 * @use_count: how often it was inserted
 * @suspended: for a step off it
 * @reported: that it can't be put in
 * @lent: it has a hardware breakpoint as well
 * @seen: what the guest has written over it
 * @looks: how often that has been there
 * @word: what has been written over the image
 * @changed: how often there was something else than the trap
 */
struct kvm_sw_breakpoint {
    vaddr pc;
    bool placed;
    bool in_image;
    uint64_t place;
    unsigned use_count;
    bool suspended;
    bool reported;
    bool lent;
    uint8_t seen[BREAKPOINT_TRAP_MAX];
    unsigned looks, changed;
    uint32_t word;
    QTAILQ_ENTRY(kvm_sw_breakpoint) entry;
};

/**
 * kvm_breakpoint_is_kernels() - is it in the upper half of the address space?
 *
 * A kernel's addresses are the same in all address spaces.  Others are tried
 * only when the machine starts: the user may mean another address space.
 */
static inline bool kvm_breakpoint_is_kernels(const struct kvm_sw_breakpoint *bp)
{
    return (int64_t)bp->pc < 0;
}

/* kvm-breakpoints.c.  All want the BQL */

/**
 * kvm_breakpoints_place() - place a breakpoint, if its address is mapped now
 * @cpu: a vCPU that does not run, or the caller's own
 */
void kvm_breakpoints_place(CPUState *cpu, struct kvm_sw_breakpoint *bp);

/**
 * kvm_breakpoints_image_gone() - has the guest written over the image there?
 * @word: for what it has written
 */
bool kvm_breakpoints_image_gone(const struct kvm_sw_breakpoint *bp,
                                uint32_t *word);

/**
 * kvm_breakpoints_trap() - put in one that was not to be in the image
 */
void kvm_breakpoints_trap(struct kvm_sw_breakpoint *bp);

/**
 * kvm_breakpoints_is_at_place() - is its address mapped to its place?
 * @cpu: a vCPU that does not run, or the caller's own
 */
bool kvm_breakpoints_is_at_place(CPUState *cpu,
                                 const struct kvm_sw_breakpoint *bp);

/**
 * kvm_breakpoints_leave_place() - the guest uses the place for something else
 *
 * The breakpoint waits, until its address is mapped again.
 */
void kvm_breakpoints_leave_place(struct kvm_sw_breakpoint *bp);

/**
 * kvm_breakpoints_follow() - a breakpoint goes where its address is mapped now
 * @cpu: a vCPU that does not run, or the caller's own
 *
 * If it is mapped to no memory, the breakpoint stays where it is.
 */
void kvm_breakpoints_follow(CPUState *cpu, struct kvm_sw_breakpoint *bp);

/* All of them, the oldest first */
extern QTAILQ_HEAD(KVMBreakpointList, kvm_sw_breakpoint) kvm_breakpoints;

/* kvm-breakpoints-keep.c */

/**
 * kvm_breakpoints_boot() - when the machine runs, it boots
 */
void kvm_breakpoints_boot(void);

/**
 * kvm_breakpoints_booting() - has the guest not run yet since a reset?
 */
bool kvm_breakpoints_booting(void);

/**
 * kvm_breakpoints_run() - the machine starts or stops
 */
void kvm_breakpoints_run(bool running);

/**
 * kvm_breakpoints_added() - there is a new breakpoint
 */
void kvm_breakpoints_added(void);

/**
 * kvm_breakpoints_forget() - a breakpoint goes
 */
void kvm_breakpoints_forget(struct kvm_sw_breakpoint *bp);

/**
 * kvm_breakpoints_suspended() - @bp->suspended has changed
 */
void kvm_breakpoints_suspended(struct kvm_sw_breakpoint *bp);

#endif /* KVM_BREAKPOINTS_H */
