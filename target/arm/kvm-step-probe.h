/*
 * Does the kernel lose steps of arm64 guests?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_KVM_STEP_PROBE_H
#define TARGET_ARM_KVM_STEP_PROBE_H

/**
 * kvm_arm_kernel_loses_steps() - can a step run more than one instruction?
 *
 * Linux before 6.1 sets PSTATE.SS each time that it enters a guest which is
 * stepped.  If that was left behind the instruction, but before the Software
 * Step exception ("active-pending", chapter D2 of DDI 0487), one more
 * instruction runs: now and then after an interrupt of the host's, and each
 * time when the kernel or QEMU has emulated the instruction.
 *
 * So step an emulated one, in a virtual machine of its own.
 *
 * Returns: true as well if that cannot be done
 */
bool kvm_arm_kernel_loses_steps(void);

#endif /* TARGET_ARM_KVM_STEP_PROBE_H */
