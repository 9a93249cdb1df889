/*
 * What interrupts a vCPU that is stepped, for KVM on x86
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_I386_KVM_STEP_IRQ_H
#define TARGET_I386_KVM_STEP_IRQ_H

#include "cpu.h"

/**
 * kvm_x86_step_event() - what comes before the next instruction
 * @hold_back: interrupts and NMIs do not
 * @has_error: set: it pushes an error code
 *
 * Behind kvm_x86_regs_load().  An SMI is not seen.
 *
 * Returns: the vector, or -1
 */
int kvm_x86_step_event(CPUState *cs, bool hold_back, bool *has_error);

/**
 * kvm_x86_step_is_idle() - would KVM_RUN wait, and a debugger with it?
 *
 * A halted vCPU that has an interrupt is taken out of that state.  May change
 * registers, as KVM_GET_MP_STATE does.
 */
bool kvm_x86_step_is_idle(CPUState *cs);

#endif /* TARGET_I386_KVM_STEP_IRQ_H */
