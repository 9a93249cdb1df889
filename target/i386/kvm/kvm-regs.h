/*
 * Registers of an x86 vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_I386_KVM_REGS_H
#define TARGET_I386_KVM_REGS_H

#include "cpu.h"

struct kvm_run;
struct kvm_regs;
struct kvm_sregs;
struct kvm_vcpu_events;

/*
 * cpu_synchronize_state() reads all registers, and has all written before the
 * vCPU runs again: some 25 ioctls.  A debugger that only looks gets them in
 * three groups, which are read into CPUX86State when somebody asks, and do not
 * make it dirty:
 *
 * - the core: general-purpose, segment and control registers.  While a vCPU is
 *   stepped, KVM leaves these in kvm_run (KVM_CAP_SYNC_REGS);
 * - the FPU, and the vector registers;
 * - KERNEL_GS_BASE.
 *
 * They are good until the vCPU runs.  If cs->vcpu_dirty is set, CPUX86State has
 * all registers, and nothing is read.
 */

/**
 * kvm_x86_regs_init() - a vCPU is there
 */
void kvm_x86_regs_init(CPUState *cs);

/**
 * kvm_x86_regs_pre_run(), kvm_x86_regs_post_run() - around KVM_RUN
 * @wanted: somebody will ask for the core afterwards
 */
void kvm_x86_regs_pre_run(CPUState *cs, struct kvm_run *run, bool wanted);
void kvm_x86_regs_post_run(CPUState *cs, struct kvm_run *run);

/**
 * kvm_x86_regs_forget() - KVM may have changed registers
 */
void kvm_x86_regs_forget(CPUState *cs);

/**
 * kvm_x86_regs_load() - have the core in CPUX86State
 *
 * Returns: 0 or a negative errno
 */
int kvm_x86_regs_load(CPUState *cs);

/**
 * kvm_x86_regs_store() - general-purpose registers, RIP, RFLAGS have changed
 *
 * Behind kvm_x86_regs_load().
 *
 * Returns: 0 or a negative errno
 */
int kvm_x86_regs_store(CPUState *cs);

/**
 * kvm_x86_regs_events() - what KVM is to deliver
 *
 * Not for a vCPU whose registers are dirty.
 *
 * Returns: 0 or a negative errno
 */
int kvm_x86_regs_events(CPUState *cs, struct kvm_vcpu_events *events);

/* Of kvm.c: from what KVM has given to @env, which is not dirty */
void kvm_x86_take_regs(CPUX86State *env, const struct kvm_regs *regs);
void kvm_x86_take_sregs(CPUX86State *env, const struct kvm_sregs *sregs);
int kvm_x86_get_xsave(X86CPU *cpu);
int kvm_x86_put_regs(X86CPU *cpu);

#endif /* TARGET_I386_KVM_REGS_H */
