/*
 * Breakpoints and single-stepping for KVM on Book III processors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_STEP_H
#define TARGET_PPC_KVM_STEP_H

#include "cpu.h"

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
 */
void kvmppc_step_init(CPUState *cs, uint32_t trap);

/**
 * kvmppc_step_destroy() - a vCPU is unplugged
 */
void kvmppc_step_destroy(CPUState *cs);

/**
 * kvmppc_breakpoint_insert() - put a user's breakpoint into memory
 * @addr: its address in the address space that @cs is in
 *
 * Returns: 0, -EFAULT if nothing is mapped there, or another negative errno if
 * the memory can't be written.
 */
int kvmppc_breakpoint_insert(CPUState *cs, vaddr addr);

/**
 * kvmppc_breakpoint_remove() - take a user's breakpoint out of memory
 *
 * Finds it by the address that it was inserted with, whatever address space
 * the vCPUs are in now.
 *
 * Returns: 0, or -ENOENT if there is none.
 */
int kvmppc_breakpoint_remove(vaddr addr);

/**
 * kvmppc_memory_rw_debug() - access memory for the debugger
 * @physical: @addr is a guest physical address, and not one in the address
 *     space that @cs is in
 *
 * As cpu_memory_rw_debug(), but a trap that is in memory is not seen, and what
 * is written over it goes underneath.
 *
 * Returns: 0, or -1 if something there is not mapped; what comes before that
 * has been read or written.
 */
int kvmppc_memory_rw_debug(CPUState *cs, vaddr addr, void *buf, size_t len,
                           bool is_write, bool physical);

/**
 * kvmppc_step_want_traps() - have all vCPUs exit for traps
 *
 * For hardware points, which need them without a step.
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
