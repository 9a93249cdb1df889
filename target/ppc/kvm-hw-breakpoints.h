/*
 * Hardware breakpoints and watchpoints under KVM HV
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_HW_BREAKPOINTS_H
#define TARGET_PPC_KVM_HW_BREAKPOINTS_H

#include "cpu.h"
#include "step-plan.h"

/*
 * KVM HV has no KVM_GUESTDBG_USE_HW_BP.  It lets the guest have CIABR and DAWR
 * (DAWR1 too on POWER10), by H_SET_MODE, and userspace by KVM_SET_ONE_REG.
 * While the virtual machine runs they are set for the debugger's hardware
 * breakpoint and watchpoints, unless the guest uses them; while it is stopped
 * they hold the guest's own values.
 *
 * A match is an interrupt in the guest: Trace for CIABR, data storage with
 * DSISR[41] for DAWR (Power ISA 3.1B Book III, 7.5.15, 7.5.3 and 10.4).
 * Their vectors are trapped while any is set, and a match is undone, but
 * for SRR0 and SRR1, with DAR and DSISR for DAWR: what they held is lost.
 * That matters only where MSR[RI] is 0.
 *
 * CIABR matches an instruction that has completed: the stop is behind it, and
 * its address is no longer that of the program counter.
 *
 * Until a kernel has written its vectors there may be a firmware's data.
 * What is in the kernel's part of the address space is not set before: nothing
 * runs there yet.
 *
 * All functions but kvmppc_hw_breakpoints_check() want the BQL.
 */

/**
 * kvmppc_hw_breakpoint_insert() - set a hardware breakpoint or watchpoint
 * @type: GDB_BREAKPOINT_HW or GDB_WATCHPOINT_*
 *
 * Returns: 0; -ENODEV if the processor has no such register, -EBUSY if the
 * guest uses it, -ENOBUFS if all are in use, -EINVAL for a range that a
 * register can't watch, -EEXIST.  All but the last are explained to the user.
 */
int kvmppc_hw_breakpoint_insert(vaddr addr, vaddr len, int type);

/**
 * kvmppc_hw_breakpoint_remove() - take one back
 *
 * Returns: 0 or -ENOENT
 */
int kvmppc_hw_breakpoint_remove(vaddr addr, vaddr len, int type);

/**
 * kvmppc_hw_breakpoints_remove_all() - take back all, and registers and traps
 *
 * While the virtual machine runs as well.  A vCPU may have met one and not
 * run into its trap yet: kvmppc_hw_breakpoints_leave() comes before.
 */
void kvmppc_hw_breakpoints_remove_all(void);

bool kvmppc_hw_breakpoints_any(void);

/**
 * kvmppc_hw_breakpoints_run() - the virtual machine starts or stops
 *
 * Gives the vCPUs the debugger's values, and their vectors traps; or back the
 * guest's.
 */
void kvmppc_hw_breakpoints_run(bool running);

/**
 * kvmppc_hw_breakpoints_reset() - the machine is reset, and the registers too
 */
void kvmppc_hw_breakpoints_reset(void);

/**
 * kvmppc_hw_breakpoints_check() - a vCPU is about to run
 *
 * Guests write their vectors, and so over the traps.  In the vCPU's thread,
 * without the BQL, which this takes if any is set.
 */
void kvmppc_hw_breakpoints_check(CPUState *cs);

/**
 * kvmppc_hw_breakpoints_moved() - interrupts now go to other addresses
 */
void kvmppc_hw_breakpoints_moved(void);

/**
 * kvmppc_hw_breakpoints_suspend() - keep those of a vCPU from matching
 *
 * In its thread.  Does nothing unless they are lent now.
 */
void kvmppc_hw_breakpoints_suspend(CPUState *cs, bool suspend);

/**
 * KvmPpcMatch: what an interrupt was
 * @KVMPPC_MATCH_NONE: none of the debugger's: the guest's own
 * @KVMPPC_MATCH_HIT: of the debugger's; cs->watchpoint_hit is set for a
 *     watchpoint
 * @KVMPPC_MATCH_NEAR: a register matched, but the access was beside the range
 */
typedef enum KvmPpcMatch {
    KVMPPC_MATCH_NONE,
    KVMPPC_MATCH_HIT,
    KVMPPC_MATCH_NEAR,
} KvmPpcMatch;

/**
 * kvmppc_hw_breakpoints_undo() - the vCPU has met a trap: is it a match?
 *
 * If a register matched, the registers are those at the instruction again.  In
 * the vCPU's thread.
 */
KvmPpcMatch kvmppc_hw_breakpoints_undo(CPUState *cs);

/**
 * kvmppc_hw_breakpoints_undo_stepped() - as above, where a step has ended
 * @before: the registers before the step
 */
void kvmppc_hw_breakpoints_undo_stepped(CPUState *cs,
                                        const PPCStepRegs *before);

/**
 * kvmppc_hw_breakpoints_leave() - all are about to be taken back
 * @before: as above if a step has ended there, otherwise NULL
 *
 * A vCPU that has met one, and not run into the trap yet, would take an
 * interrupt that is not the guest's.  In its thread.
 */
void kvmppc_hw_breakpoints_leave(CPUState *cs, const PPCStepRegs *before);

#endif /* TARGET_PPC_KVM_HW_BREAKPOINTS_H */
