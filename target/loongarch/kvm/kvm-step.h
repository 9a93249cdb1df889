/*
 * Breakpoints and single-stepping for KVM on LoongArch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_LOONGARCH_KVM_STEP_H
#define TARGET_LOONGARCH_KVM_STEP_H

#include "cpu.h"

/*
 * Whose a vCPU's registers are.  What a step takes from the guest is kept in
 * LoongArchStepPlan.before.  It is given back at the trap that ends the step
 * (StepOps.finish), or when the step is cut short (StepOps.undo): so while the
 * machine is stopped all registers are the guest's.
 *
 *               vCPU runs,
 *               not stepped   during a step
 *
 * CRMD.IE       guest         step: clear, with NOIRQ.  Put back at the next
 *                             instruction
 * PRMD.PIE      guest         guest; if the instruction has raised an
 *                             exception, this has CRMD.IE, and is put right
 * TLBRPRMD.PIE  guest         the same for a TLB refill
 *
 * The instruction that traps are made of (KVM_REG_LOONGARCH_DEBUG_INST) exits
 * only from vCPUs that KVM_SET_GUEST_DEBUG has been told of; the others take it
 * for an unknown hypercall, which overwrites register 4.  So all vCPUs are told
 * before the first trap is in memory.
 */

/**
 * kvm_loongarch_step_init() - there is a vCPU
 * @trap: its KVM_REG_LOONGARCH_DEBUG_INST, 0 if KVM has none; KVM gives all
 *     vCPUs the same
 */
void kvm_loongarch_step_init(CPUState *cs, uint32_t trap);

/**
 * kvm_loongarch_step_destroy() - a vCPU is unplugged
 */
void kvm_loongarch_step_destroy(CPUState *cs);

/**
 * kvm_loongarch_step_active() - do all vCPUs have to exit for traps?
 */
bool kvm_loongarch_step_active(void);

/**
 * kvm_loongarch_step_pre_run() - the vCPU is about to enter KVM
 *
 * In its thread, without the BQL.  Waits while another vCPU has to be alone.
 */
void kvm_loongarch_step_pre_run(CPUState *cs);

/**
 * kvm_loongarch_step_post_run() - the vCPU has come back from KVM
 */
void kvm_loongarch_step_post_run(CPUState *cs);

/**
 * kvm_loongarch_step_release() - the debugger is gone: stop asking for exits
 */
void kvm_loongarch_step_release(void);

/**
 * kvm_loongarch_step_debug_exit() - handle KVM_EXIT_DEBUG
 *
 * In the vCPU's thread, with the BQL.
 *
 * Returns: true if that is a stop: a step has ended, or a user's breakpoint was
 * hit; false to run on
 */
bool kvm_loongarch_step_debug_exit(CPUState *cs);

/**
 * kvm_loongarch_step_before_get() - all registers are about to be read from KVM
 *
 * Ends a step that could not be ended when the virtual machine stopped, so that
 * what is saved or shown is the guest's.
 *
 * Returns: 0, or a negative errno if that still fails
 */
int kvm_loongarch_step_before_get(CPUState *cs);

#endif /* TARGET_LOONGARCH_KVM_STEP_H */
