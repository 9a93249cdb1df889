/*
 * Single-stepping for KVM on LoongArch: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_LOONGARCH_KVM_STEP_INTERNAL_H
#define TARGET_LOONGARCH_KVM_STEP_INTERNAL_H

#include "accel/step-session.h"
#include "cpu.h"
#include "kvm-step.h"
#include "../step-plan.h"

/**
 * KvmLoongArchStep: the step of one vCPU
 * @session: how far the step is
 * @plan: what the step does
 * @over_queued: kvm_loongarch_step_over_queue() has been called, and nothing
 *     is done yet
 * @over_failed: the instruction can't be stepped, and the trap is in its way:
 *     stop the vCPU
 * @stepping_over: this is no step that the debugger has asked for, or one that
 *     is taken in the same way
 * @alone: the debugger's step, to be taken while no other vCPU runs
 * @in_guest: between kvm_loongarch_step_over_enter() and _leave()
 */
typedef struct KvmLoongArchStep {
    StepSession session;
    CPUState *cs;
    LoongArchStepPlan plan;
    bool over_queued;
    bool over_failed;
    bool stepping_over;
    bool alone;
    bool in_guest;
} KvmLoongArchStep;

/* kvm-step.c */

/**
 * kvm_loongarch_get_step() - the step of a vCPU
 *
 * Returns: NULL while a vCPU that is being plugged has not been initialised
 */
KvmLoongArchStep *kvm_loongarch_get_step(CPUState *cs);

/**
 * kvm_loongarch_step_report_refused() - report a step that could not be begun
 */
void kvm_loongarch_step_report_refused(CPUState *cs, const StepSession *s);

/**
 * kvm_loongarch_step_report_unfinished() - report one that could not be ended
 * @ret: why, a negative errno; nothing is reported unless it is one
 */
void kvm_loongarch_step_report_unfinished(CPUState *cs, int ret);

/**
 * kvm_loongarch_step_want_traps() - have all vCPUs exit for traps
 *
 * For breakpoints, which need that without a step, too.
 *
 * Returns: 0 or a negative errno, reported
 */
int kvm_loongarch_step_want_traps(void);

/* kvm-step-ops.c */

extern const StepOps kvm_loongarch_step_ops;

/**
 * kvm_loongarch_step_traps() - all traps in guest memory
 *
 * The debugger's breakpoints, and what a step needs.
 */
BreakpointSet *kvm_loongarch_step_traps(void);

/**
 * kvm_loongarch_step_set_trap() - what traps are made of; before all else here
 */
void kvm_loongarch_step_set_trap(uint32_t word);

/**
 * KvmLoongArchTrapOwner: what a trap is that ends no step of the vCPU itself
 * @KVM_LOONGARCH_TRAP_UNKNOWN: its place can't be read
 * @KVM_LOONGARCH_TRAP_GUEST: the guest's own
 * @KVM_LOONGARCH_TRAP_USER: a user's breakpoint, at the address that was given
 * @KVM_LOONGARCH_TRAP_OTHER: here for somebody else
 * @KVM_LOONGARCH_TRAP_GONE: no longer in memory
 */
typedef enum KvmLoongArchTrapOwner {
    KVM_LOONGARCH_TRAP_UNKNOWN,
    KVM_LOONGARCH_TRAP_GUEST,
    KVM_LOONGARCH_TRAP_USER,
    KVM_LOONGARCH_TRAP_OTHER,
    KVM_LOONGARCH_TRAP_GONE,
} KvmLoongArchTrapOwner;

/**
 * kvm_loongarch_trap_owner() - whose trap does the vCPU stand on?
 *
 * In its thread.
 */
KvmLoongArchTrapOwner kvm_loongarch_trap_owner(CPUState *cs);

/* kvm-step-over.c */

void kvm_loongarch_step_over_init(void);

/**
 * kvm_loongarch_step_over_enter() - the vCPU is about to run
 *
 * Without the BQL.  Waits while another vCPU has to be alone.
 */
void kvm_loongarch_step_over_enter(KvmLoongArchStep *step);

/**
 * kvm_loongarch_step_over_leave() - the vCPU has come back
 */
void kvm_loongarch_step_over_leave(KvmLoongArchStep *step);

/**
 * kvm_loongarch_step_over_queue() - step it while no other vCPU runs
 *
 * Over the trap that it stands on, or as @step->alone says.  Does nothing if
 * neither is so by then.
 */
void kvm_loongarch_step_over_queue(KvmLoongArchStep *step);

/**
 * kvm_loongarch_step_over_exit() - it has met a trap that ends no step of it
 *
 * Returns: true to stop, false to run on
 */
bool kvm_loongarch_step_over_exit(KvmLoongArchStep *step);

#endif /* TARGET_LOONGARCH_KVM_STEP_INTERNAL_H */
