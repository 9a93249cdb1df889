/*
 * Hardware breakpoints and watchpoints under KVM HV
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_POINTS_H
#define TARGET_PPC_KVM_POINTS_H

#include "cpu.h"
#include "step-plan.h"

/*
 * KVM HV has no KVM_GUESTDBG_USE_HW_BP.  It lets the guest have CIABR and DAWR
 * (DAWR1 too on POWER10), by H_SET_MODE, and userspace by KVM_SET_ONE_REG.
 * While the virtual machine runs they are set to a debugger's points, unless
 * the guest uses them; while it is stopped they hold the guest's own values.
 *
 * A match is an interrupt in the guest: Trace for CIABR, data storage with
 * DSISR[41] for DAWR (Power ISA 3.1B Book III, 7.5.15, 7.5.3 and 10.4).
 * Their vectors are trapped while there is a point, and a match is undone, but
 * for SRR0 and SRR1, with DAR and DSISR for DAWR: what they held is lost.
 * That matters only where MSR[RI] is 0.
 *
 * CIABR matches an instruction that has completed: the stop is behind it, and
 * its address is no longer that of the program counter.
 *
 * Until a kernel has written its vectors there may be a firmware's data.
 * Points in the kernel's part of the address space are not set before: nothing
 * runs there yet.
 *
 * All functions but kvmppc_points_check() want the BQL.
 */

/**
 * kvmppc_point_insert() - set a point
 * @type: GDB_BREAKPOINT_HW or GDB_WATCHPOINT_*
 *
 * Returns: 0; -ENODEV if the processor has no such register, -EBUSY if the
 * guest uses it, -ENOBUFS if all are in use, -EINVAL for a range that a
 * register can't watch, -EEXIST.  All but the last are explained to the user.
 */
int kvmppc_point_insert(vaddr addr, vaddr len, int type);

/**
 * kvmppc_point_remove() - take back a point
 *
 * Returns: 0 or -ENOENT
 */
int kvmppc_point_remove(vaddr addr, vaddr len, int type);

/**
 * kvmppc_points_remove_all() - take back all points, and what was lent for them
 *
 * While the virtual machine runs as well.  A vCPU may have met a point and not
 * run into its trap yet: kvmppc_points_leave() comes before.
 */
void kvmppc_points_remove_all(void);

bool kvmppc_points_any(void);

/**
 * kvmppc_points_run() - the virtual machine starts or stops
 *
 * Gives the vCPUs the debugger's points, and their vectors traps; or back the
 * guest's.
 */
void kvmppc_points_run(bool running);

/**
 * kvmppc_points_reset() - the machine is reset, and so are the vCPUs' registers
 */
void kvmppc_points_reset(void);

/**
 * kvmppc_points_check() - a vCPU is about to run
 *
 * Guests write their vectors, and so over the traps.  In the vCPU's thread,
 * without the BQL, which this takes if there is a point.
 */
void kvmppc_points_check(CPUState *cs);

/**
 * kvmppc_points_moved() - interrupts now go to other addresses
 */
void kvmppc_points_moved(void);

/**
 * kvmppc_points_suspend() - keep the points of a vCPU from matching
 *
 * In its thread.  Does nothing unless they are lent now.
 */
void kvmppc_points_suspend(CPUState *cs, bool suspend);

/**
 * KvmPpcMatch: what an interrupt was
 * @KVMPPC_MATCH_NONE: not a point's: the guest's own
 * @KVMPPC_MATCH_HIT: a point's; cs->watchpoint_hit is set for a watchpoint
 * @KVMPPC_MATCH_NEAR: a register matched, but the access was beside the range
 */
typedef enum KvmPpcMatch {
    KVMPPC_MATCH_NONE,
    KVMPPC_MATCH_HIT,
    KVMPPC_MATCH_NEAR,
} KvmPpcMatch;

/**
 * kvmppc_points_undo() - the vCPU has met a trap: is it a point's?
 *
 * If a register matched, the registers are those at the instruction again.  In
 * the vCPU's thread.
 */
KvmPpcMatch kvmppc_points_undo(CPUState *cs);

/**
 * kvmppc_points_undo_stepped() - as above, where a step has ended
 * @before: the registers before the step
 */
void kvmppc_points_undo_stepped(CPUState *cs, const PPCStepRegs *before);

/**
 * kvmppc_points_leave() - the points are about to be taken back
 * @before: as above if a step has ended there, otherwise NULL
 *
 * A vCPU that has met one, and not run into the trap yet, would take an
 * interrupt that is not the guest's.  In its thread.
 */
void kvmppc_points_leave(CPUState *cs, const PPCStepRegs *before);

#endif /* TARGET_PPC_KVM_POINTS_H */
