/*
 * Single-stepping for KVM HV: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_STEP_INTERNAL_H
#define TARGET_PPC_KVM_STEP_INTERNAL_H

#include "accel/step-session.h"
#include "cpu.h"
#include "kvm-irq-hold.h"
#include "kvm-step.h"
#include "step-plan.h"

/**
 * PPCStep: the step of one vCPU
 * @session: how far the step is
 * @plan: what the step does
 * @held: interrupts that are held back during the step, or that KVM does not
 *     let come behind it
 * @overdue: ends a step that waits; see kvmppc_step_may_wait()
 * @follows_hcall: the instruction is behind a hypercall, and the vCPU may be
 *     waiting for an interrupt
 * @over_queued: kvmppc_step_over_queue() has been called, nothing done yet
 * @over_match: what to step over is an access that a watchpoint matched in vain
 * @over_failed: the instruction can't be stepped, and the trap is in its way:
 *     stop the vCPU
 * @stepping_over: this is no step that the debugger has asked for, or one that
 *     is taken in the same way
 * @alone: the debugger's step, to be taken while no other vCPU runs
 * @overdue_end: the step was given up waiting for
 * @in_guest: between kvmppc_step_over_enter() and kvmppc_step_over_leave()
 * @ail: LPCR[AIL] that the traps are placed for
 */
typedef struct PPCStep {
    StepSession session;
    PowerPCCPU *cpu;
    PPCStepPlan plan;
    KvmPpcHeld held;
    QEMUTimer *overdue;
    bool follows_hcall;
    bool over_queued;
    bool over_match;
    bool over_failed;
    bool stepping_over;
    bool alone;
    bool overdue_end;
    bool in_guest;
    uint8_t ail;
} PPCStep;

/* kvm-step.c */

/**
 * kvmppc_get_step() - the step of a vCPU
 *
 * Returns: NULL while a vCPU that is being plugged has not been initialised
 */
PPCStep *kvmppc_get_step(CPUState *cs);

/**
 * kvmppc_step_may_wait() - may KVM let the vCPU wait, instead of stepping it?
 */
bool kvmppc_step_may_wait(PPCStep *step);

/**
 * kvmppc_step_report_refused() - report a step that could not be begun
 */
void kvmppc_step_report_refused(CPUState *cs, const StepSession *s);

/**
 * kvmppc_step_report_unfinished() - report a step that could not be ended
 * @ret: why, a negative errno; nothing is reported unless it is one
 */
void kvmppc_step_report_unfinished(CPUState *cs, int ret);

/* kvm-step-ops.c */

extern const StepOps kvmppc_step_ops;

/**
 * kvmppc_step_get_pc() - see StepOps.get_pc
 */
int kvmppc_step_get_pc(void *vcpu, uint64_t *pc);

/**
 * kvmppc_step_release_held() - let the interrupts that are held back come
 *
 * In the vCPU's thread.  If KVM refuses, that is tried again behind the next
 * step and when the virtual machine runs on, here or where it is migrated to.
 */
void kvmppc_step_release_held(PPCStep *step);

/* kvm-step-over.c */

void kvmppc_step_over_init(void);

/**
 * kvmppc_step_over_enter() - the vCPU is about to run
 *
 * Without the BQL.  Waits while another vCPU has to be alone.
 */
void kvmppc_step_over_enter(PPCStep *step);

/**
 * kvmppc_step_over_leave() - the vCPU has come back
 */
void kvmppc_step_over_leave(PPCStep *step);

/**
 * kvmppc_step_over_queue() - step it while no other vCPU runs
 *
 * Over the trap that it stands on, or as @step->alone or @step->over_match say.
 * Does nothing if none of these is so by then.
 */
void kvmppc_step_over_queue(PPCStep *step);

/**
 * kvmppc_step_over_exit() - the vCPU has met a trap that ends no step of it
 */
KvmPpcStepExit kvmppc_step_over_exit(PPCStep *step);

#endif /* TARGET_PPC_KVM_STEP_INTERNAL_H */
