/*
 * Registers of a vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_REGS_H
#define TARGET_PPC_KVM_REGS_H

#include <linux/kvm.h>
#include "step-plan.h"

/*
 * cpu_synchronize_state() reads all registers, and has all written before the
 * vCPU runs again: more than 200 ioctls.  A debugger looks at a few.  One
 * ioctl, KVM_GET_REGS, gets those that nearly every stop needs (the general
 * purpose registers, NIP, MSR, CR, LR, CTR, XER, SRR0, SRR1 and SPRG0-7), and
 * they are kept here until the vCPU runs; what is changed in them is written
 * when it does.
 *
 * While cs->vcpu_dirty is set env holds the registers, and nothing here is
 * used.
 *
 * All functions want the BQL unless they say otherwise.
 */

/**
 * kvmppc_regs_init() - called for each vCPU, before anything else here
 */
void kvmppc_regs_init(void);

/**
 * kvmppc_regs_read() - the registers of KVM_GET_REGS
 * @cs: not dirty; in its own thread
 * @regs: set to them, owned by this module and good until the vCPU runs
 *
 * Returns: 0 or a negative errno
 */
int kvmppc_regs_read(CPUState *cs, const struct kvm_regs **regs);

/**
 * kvmppc_regs_write() - change registers of KVM_GET_REGS
 * @cs: as above
 * @regs: all of them, as they were read but for the changes
 * @now: tell KVM now, not before the vCPU runs
 *
 * Returns: 0 or a negative errno, with nothing changed; only with @now is
 * there anything that can fail.
 */
int kvmppc_regs_write(CPUState *cs, const struct kvm_regs *regs, bool now);

/**
 * kvmppc_regs_read_mmu() - make env hold what translation depends on
 *
 * MSR and what follows from it, PIDR, a hash guest's SLB.  The rest changes
 * only when QEMU handles the hypercall that changes it, and is always there.
 * In the vCPU's thread.
 */
void kvmppc_regs_read_mmu(CPUState *cs);

/**
 * kvmppc_regs_ail() - LPCR[AIL]: where interrupts go
 */
uint8_t kvmppc_regs_ail(CPUState *cs);

/**
 * kvmppc_step_regs_get() - the registers that a step can depend on
 * @regs: all are set but TAR, which KVM_GET_REGS does not have
 *
 * In the vCPU's thread, or while it does not run.
 *
 * Returns: 0 or a negative errno
 */
int kvmppc_step_regs_get(CPUState *cs, PPCStepRegs *regs);

/**
 * kvmppc_step_regs_put() - write them
 * @regs: CR and TAR are left alone: no step changes them
 * @now: find out now if it fails
 *
 * Returns: 0 or a negative errno, with nothing changed
 */
int kvmppc_step_regs_put(CPUState *cs, const PPCStepRegs *regs, bool now);

/**
 * kvmppc_regs_pre_run() - the vCPU is about to run
 * @same_context: only instructions that leave PIDR and the SLB alone
 *
 * In its own thread, without the BQL.  Writes what KVM does not have yet; if
 * that fails the virtual machine stops, and this says so.
 */
void kvmppc_regs_pre_run(CPUState *cs, bool same_context);

/**
 * kvmppc_regs_before_get() - all registers are about to be read from KVM
 */
void kvmppc_regs_before_get(CPUState *cs);

/**
 * kvmppc_regs_before_put() - all registers are about to be written to KVM
 */
void kvmppc_regs_before_put(CPUState *cs);

#endif /* TARGET_PPC_KVM_REGS_H */
