/*
 * Single-stepping for KVM on x86
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_I386_KVM_STEP_H
#define TARGET_I386_KVM_STEP_H

#include "cpu.h"

struct kvm_guest_debug;
struct kvm_debug_exit_arch;
struct kvm_run;

/**
 * X86StepExit: what kvm_x86_step_exit() makes of a debug exit
 * @X86_STEP_EXIT_OTHER: it is not, or not only, about a step
 * @X86_STEP_EXIT_DONE: that ends the step
 * @X86_STEP_EXIT_GO_ON: the guest has to run on
 */
typedef enum X86StepExit {
    X86_STEP_EXIT_OTHER,
    X86_STEP_EXIT_DONE,
    X86_STEP_EXIT_GO_ON,
} X86StepExit;

/**
 * kvm_x86_step_init() - a vCPU is there
 */
void kvm_x86_step_init(CPUState *cs);

/**
 * kvm_x86_step_reset() - a vCPU is reset: a step of it has not been
 */
void kvm_x86_step_reset(CPUState *cs);

/**
 * kvm_x86_step_is_armed() - may its registers be in the middle of a step?
 */
bool kvm_x86_step_is_armed(CPUState *cs);

/**
 * kvm_x86_step_cancel() - end a step, however far it got
 *
 * Before QEMU looks at the registers of a vCPU that is stepped.
 */
void kvm_x86_step_cancel(CPUState *cs);

/**
 * kvm_x86_step_pre_run(), kvm_x86_step_post_run() - around KVM_RUN
 */
void kvm_x86_step_pre_run(CPUState *cs, struct kvm_run *run);
void kvm_x86_step_post_run(CPUState *cs, struct kvm_run *run);

/**
 * kvm_x86_step_exit() - KVM_EXIT_DEBUG
 * @exit: what KVM says of it
 */
X86StepExit kvm_x86_step_exit(CPUState *cs,
                              const struct kvm_debug_exit_arch *exit);

/**
 * kvm_x86_step_update_guest_debug() - what KVM is to do for a step
 * @dbg: with the user's breakpoints filled in
 * @used: how many debug registers they take
 */
void kvm_x86_step_update_guest_debug(CPUState *cs, struct kvm_guest_debug *dbg,
                                     int used);

/* Of kvm.c: how many breakpoints and watchpoints the user has in registers */
int kvm_x86_nb_hw_breakpoint(void);

/* Of kvm.c: how many of them are watchpoints */
int kvm_x86_nb_hw_watchpoint(void);

/* Of kvm.c: a #DB, which KVM delivers before the vCPU runs */
void kvm_x86_queue_db(CPUX86State *env, uint64_t dr6);

#endif /* TARGET_I386_KVM_STEP_H */
