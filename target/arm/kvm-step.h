/*
 * Single-stepping for KVM on arm64
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_KVM_STEP_H
#define TARGET_ARM_KVM_STEP_H

#include <linux/kvm.h>

/*
 * The kernel steps.  What it does not do is hold interrupts back: that is done
 * here, by PSTATE.I and PSTATE.F, which the guest must not see.  Instructions
 * that would show or change them are done in registers instead of run.
 *
 * Whose a vCPU's registers are; while the machine is stopped, all are the
 * guest's:
 *
 *              vCPU runs,
 *              not stepped   during a step
 *
 * PSTATE.SS    guest         KVM: set at the entry.  The guest's is put back
 *                            behind the step, in SPSR_EL1 if the instruction
 *                            has raised an exception
 * PSTATE.I, F  guest         step: set, with NOIRQ.  Put back likewise
 * MDSCR_EL1    guest (1)     KVM: SS set
 * DBGBVR, BCR  guest (2)     debugger, if it has any, and step: the ends of a
 *                            sequence, or of a step that the kernel would lose;
 *                            otherwise guest
 * DBGWVR, WCR  guest (2)     as not stepped
 *
 * An exception return takes PSTATE from SPSR_EL1: nothing is put back then.
 *
 * (1) QEMU never writes it.  While KVM_GUESTDBG_ENABLE is set (the debugger has
 *     a breakpoint or watchpoint anywhere) KVM enters the guest with SS clear.
 * (2) Debugger, while it has hardware breakpoints or watchpoints.
 *
 * All functions are for the vCPU's own thread unless they say otherwise.
 */

/**
 * kvm_arm_step_init() - called for each vCPU, before anything else here
 *
 * If that vCPU has EL2, SSTEP_NOIRQ is not offered to the debugger.
 */
void kvm_arm_step_init(CPUState *cs);

/**
 * kvm_arm_step_pre_run() - the vCPU is about to run; without the BQL
 */
void kvm_arm_step_pre_run(CPUState *cs);

/**
 * kvm_arm_step_finish() - KVM says that the instruction has been stepped
 *
 * Without the BQL.  The registers are then as if no interrupt had been held.
 *
 * Returns: false if no step was asked for
 */
bool kvm_arm_step_finish(CPUState *cs);

/**
 * kvm_arm_step_finish_at() - a breakpoint of the processor's has matched
 *
 * Without the BQL.
 *
 * Returns: true if that is where a step of several instructions ends
 */
bool kvm_arm_step_finish_at(CPUState *cs);

/**
 * kvm_arm_step_cancel() - the vCPU has stopped for another reason
 *
 * The step has either not begun or is done, and the registers are the guest's.
 * If it was not done, and the vCPU enters KVM again, it begins anew.
 */
void kvm_arm_step_cancel(CPUState *cs);

/**
 * kvm_arm_step_reset() - the vCPU is reset: nothing is to be taken back
 *
 * In any thread, while the vCPU does not run.
 */
void kvm_arm_step_reset(CPUState *cs);

/**
 * kvm_arm_step_update_guest_debug() - KVM's part of a step
 *
 * In any thread.
 */
void kvm_arm_step_update_guest_debug(CPUState *cs,
                                     struct kvm_guest_debug *dbg);

#endif /* TARGET_ARM_KVM_STEP_H */
