/*
 * Registers of an arm64 vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_KVM_REGS_H
#define TARGET_ARM_KVM_REGS_H

/*
 * cpu_synchronize_state() reads all registers, and has all written before the
 * vCPU runs again: an ioctl each, more than 700.  A debugger looks at a few.
 * These are read one by one when somebody asks for them, and kept here until
 * the vCPU runs; over a step those are kept that its instruction leaves alone.
 * What is changed in them is written before the vCPU runs.
 *
 * While cs->vcpu_dirty is set env holds the registers, and nothing here is
 * used.
 *
 * All functions are for the vCPU's own thread unless they say otherwise.
 */

/**
 * KvmArmReg: what is kept here
 *
 * @KVM_ARM_X0: X0; the other 30 general-purpose registers follow
 * @KVM_ARM_PSTATE: in the layout of SPSR_EL1
 * @KVM_ARM_SCTLR_EL1: this one and those behind it are what translation
 *     depends on
 */
typedef enum KvmArmReg {
    KVM_ARM_X0,
    KVM_ARM_SP_EL0 = 31,
    KVM_ARM_SP_EL1,
    KVM_ARM_PC,
    KVM_ARM_PSTATE,
    KVM_ARM_ELR_EL1,
    KVM_ARM_SPSR_EL1,
    KVM_ARM_VBAR_EL1,
    KVM_ARM_SCTLR_EL1,
    KVM_ARM_TCR_EL1,
    KVM_ARM_TTBR0_EL1,
    KVM_ARM_TTBR1_EL1,
    KVM_ARM_NR_REGS,
} KvmArmReg;

/**
 * kvm_arm_regs_init() - called for each vCPU, before anything else here
 */
void kvm_arm_regs_init(void);

/**
 * kvm_arm_regs_read() - a register
 * @value: set to it
 *
 * Returns: 0 or a negative errno
 */
int kvm_arm_regs_read(CPUState *cs, KvmArmReg reg, uint64_t *value);

/**
 * kvm_arm_regs_write() - change a register, before the vCPU runs again
 *
 * Not for those that translation depends on.
 */
void kvm_arm_regs_write(CPUState *cs, KvmArmReg reg, uint64_t value);

/**
 * kvm_arm_regs_pre_run() - the vCPU is about to run
 * @keep: a mask of those (1 << KvmArmReg) that it will not change
 *
 * Without the BQL.  Writes what KVM does not have yet; if that fails the
 * virtual machine stops, and this says so.
 */
void kvm_arm_regs_pre_run(CPUState *cs, uint64_t keep);

/**
 * kvm_arm_regs_forget() - it has changed more than was to be expected
 */
void kvm_arm_regs_forget(CPUState *cs);

/**
 * kvm_arm_regs_before_get() - all registers are about to be read from KVM
 */
void kvm_arm_regs_before_get(CPUState *cs);

/**
 * kvm_arm_regs_before_put() - all registers are about to be written to KVM
 */
void kvm_arm_regs_before_put(CPUState *cs);

#endif /* TARGET_ARM_KVM_REGS_H */
