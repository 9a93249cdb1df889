/*
 * Breakpoints and single-stepping for KVM on Book III processors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_STEP_H
#define TARGET_PPC_KVM_STEP_H

#include "cpu.h"

/*
 * Whose a vCPU's registers are.  What a step takes from the guest is kept in
 * PPCStepPlan.before and in KvmPpcHeld.  It is given back at the trap that ends
 * the step (StepOps.finish), or when the step is cut short (StepOps.undo): so
 * while the machine is stopped all registers are the guest's.
 *
 *             vCPU runs,
 *             not stepped   during a step
 *
 * MSR[SE,BE]  guest         step: SE set; or both clear, where the Trace vector
 *                           has no trap
 * MSR[EE]     guest         step: clear, with NOIRQ in privileged state
 * SRR0, SRR1  guest (1)     step: written by the Trace interrupt, and by an
 *                           interrupt that is undone
 * DEC_EXPIRY  guest         step: far away, once a decrementer interrupt has
 *                           been undone (problem state)
 * CPPR        guest         step: 0, once an external interrupt has been undone
 *                           (problem state)
 * DPDES       guest         guest; a doorbell that has been undone is made
 *                           pending again behind the step
 * CIABR       debugger (2)  guest
 * DAWR0, 1    debugger (2)  debugger (2)
 *
 * (1) A match of CIABR or DAWR loses them, for DAWR DAR and DSISR too.
 * (2) If the debugger has a breakpoint or watchpoint in it, and the guest does
 *     not use the register; otherwise guest.  See kvm-hw-breakpoints.h.
 */

/**
 * KvmPpcStepExit: what a KVM_EXIT_DEBUG was about
 * @KVMPPC_STEP_EXIT_UNKNOWN: no trap of QEMU's is there
 * @KVMPPC_STEP_EXIT_STOP: a step has ended, or a user's breakpoint was hit
 * @KVMPPC_STEP_EXIT_RESUME: a trap that does not concern this vCPU, or one
 *     that is gone by now: run the instruction again
 */
typedef enum KvmPpcStepExit {
    KVMPPC_STEP_EXIT_UNKNOWN,
    KVMPPC_STEP_EXIT_STOP,
    KVMPPC_STEP_EXIT_RESUME,
} KvmPpcStepExit;

/**
 * kvmppc_step_init() - there is a vCPU
 * @trap: its KVM_REG_PPC_DEBUG_INST, in the host's byte order; KVM gives all
 *     vCPUs the same
 *
 * Not to be called for PR and Book E, where KVM steps by itself: the functions
 * below do nothing then.
 */
void kvmppc_step_init(CPUState *cs, uint32_t trap);

/**
 * kvmppc_step_destroy() - a vCPU is unplugged
 */
void kvmppc_step_destroy(CPUState *cs);

/**
 * kvmppc_step_want_traps() - have all vCPUs exit for traps
 *
 * For breakpoints of both kinds, which need them without a step.
 *
 * Returns: 0 or a negative errno, reported
 */
int kvmppc_step_want_traps(void);

/**
 * kvmppc_step_active() - does any vCPU have to exit for traps of a step?
 */
bool kvmppc_step_active(void);

/**
 * kvmppc_step_pre_run() - the vCPU is about to enter KVM
 *
 * In its thread, without the BQL.  Waits while another vCPU has to be alone.
 */
void kvmppc_step_pre_run(CPUState *cs);

/**
 * kvmppc_step_post_run() - the vCPU has come back from KVM
 */
void kvmppc_step_post_run(CPUState *cs);

/**
 * kvmppc_step_holds_external() - is the external interrupt held back now?
 *
 * KVM_INTERRUPT has to wait then; env->pending_interrupts keeps the level.
 */
bool kvmppc_step_holds_external(CPUState *cs);

/**
 * kvmppc_step_release() - the debugger is gone: stop asking for such exits
 */
void kvmppc_step_release(void);

/**
 * kvmppc_step_debug_exit() - handle KVM_EXIT_DEBUG
 * @pc: address of the trap
 *
 * In the vCPU's thread, with the BQL.
 */
KvmPpcStepExit kvmppc_step_debug_exit(PowerPCCPU *cpu, vaddr pc);

#endif /* TARGET_PPC_KVM_STEP_H */
