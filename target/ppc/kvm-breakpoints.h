/*
 * Guest memory under KVM HV, and the breakpoints in it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_BREAKPOINTS_H
#define TARGET_PPC_KVM_BREAKPOINTS_H

#include "accel/breakpoint-set.h"
#include "cpu.h"
#include "step-plan.h"

/* All functions want the BQL. */

/**
 * kvmppc_breakpoints - all traps in guest memory, by guest physical address
 *
 * The debugger's breakpoints, and what a step needs.
 */
extern BreakpointSet *kvmppc_breakpoints;

/**
 * kvmppc_breakpoints_init() - called for each vCPU, before anything else here
 * @trap: KVM_REG_PPC_DEBUG_INST, in the host's byte order
 */
void kvmppc_breakpoints_init(uint32_t trap);

/**
 * kvmppc_memory_read() - read guest memory, traps included
 *
 * Returns: 0 or -EFAULT
 */
int kvmppc_memory_read(uint64_t phys, void *buf, size_t len);

/**
 * KvmPpcXlateMode: the mode that an address is translated for
 *
 * It is the mode that is meant, and not the one that the vCPU is in: a vector
 * is met with other IR, DR and PR than the instruction before it.
 *
 * @relocated: MSR[IR], for data MSR[DR]
 * @problem_state: MSR[PR]
 */
typedef struct KvmPpcXlateMode {
    bool relocated;
    bool problem_state;
} KvmPpcXlateMode;

/**
 * kvmppc_fetch_mode() - the mode in which instructions are fetched
 */
KvmPpcXlateMode kvmppc_fetch_mode(const PPCStepRegs *regs);

/**
 * kvmppc_data_mode() - the mode in which data is accessed
 */
KvmPpcXlateMode kvmppc_data_mode(const PPCStepRegs *regs);

/**
 * kvmppc_xlate() - translate an address, by the MMU state that QEMU has of @cpu
 *
 * Returns: false if nothing is mapped there
 */
bool kvmppc_xlate(PowerPCCPU *cpu, vaddr addr, MMUAccessType access,
                  KvmPpcXlateMode mode, uint64_t *phys);

/**
 * kvmppc_fetch() - the instructions at @regs->pc, without traps
 * @words: in the byte order of MSR[LE]
 *
 * Returns: how many words from there on can be read, up to @max
 */
unsigned kvmppc_fetch(PowerPCCPU *cpu, const PPCStepRegs *regs,
                      uint32_t *words, unsigned max);

/**
 * kvmppc_breakpoint_place() - where does a breakpoint of the debugger's belong?
 * @addr: its address in the address space that @cs is in, or that @cs has in
 *     the other of problem and privileged state
 * @phys: set to its guest physical address
 *
 * Returns: 0, or -EFAULT if nothing is mapped there
 */
int kvmppc_breakpoint_place(CPUState *cs, vaddr addr, uint64_t *phys);

/**
 * KvmPpcTrapOwner: what a trap is that does not end a step of the vCPU itself
 * @KVMPPC_TRAP_UNKNOWN: the guest's own, or its place can't be read
 * @KVMPPC_TRAP_USER: a user's breakpoint, at the address that was given
 * @KVMPPC_TRAP_OTHER: here for somebody else
 * @KVMPPC_TRAP_GONE: no longer in memory
 */
typedef enum KvmPpcTrapOwner {
    KVMPPC_TRAP_UNKNOWN,
    KVMPPC_TRAP_USER,
    KVMPPC_TRAP_OTHER,
    KVMPPC_TRAP_GONE,
} KvmPpcTrapOwner;

/**
 * kvmppc_trap_owner() - whose trap does the vCPU stand on?
 *
 * In its thread.
 */
KvmPpcTrapOwner kvmppc_trap_owner(CPUState *cs);

#endif /* TARGET_PPC_KVM_BREAKPOINTS_H */
