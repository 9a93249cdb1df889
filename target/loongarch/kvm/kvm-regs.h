/*
 * Registers of a LoongArch vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_LOONGARCH_KVM_REGS_H
#define TARGET_LOONGARCH_KVM_REGS_H

#include "../step-plan.h"

/*
 * cpu_synchronize_state() reads all registers, and has all written before the
 * vCPU runs again: more than 150 ioctls.  A debugger looks at a few.  The
 * general registers come with one ioctl, a CSR with one each.  They are read
 * when somebody asks for them, and kept here until the vCPU runs; over a step
 * those are kept that its instruction leaves alone.  What is changed in them is
 * written before the vCPU runs.
 *
 * While cs->vcpu_dirty is set env holds the registers, and nothing here is
 * used.
 *
 * All functions are for the vCPU's own thread, with the BQL, unless they say
 * otherwise.
 */

/**
 * KvmLoongArchReg: the CSRs that are kept here
 *
 * @KVM_LOONGARCH_EUEN: this one and those behind it are the context: an
 *     exception leaves them alone
 * @KVM_LOONGARCH_PGDL: translation depends on this one and those behind it, and
 *     on CRMD
 */
typedef enum KvmLoongArchReg {
    KVM_LOONGARCH_CRMD,
    KVM_LOONGARCH_PRMD,
    KVM_LOONGARCH_ERA,
    KVM_LOONGARCH_BADV,
    KVM_LOONGARCH_TLBRPRMD,
    KVM_LOONGARCH_TLBRERA,
    KVM_LOONGARCH_LLBCTL,
    KVM_LOONGARCH_EUEN,
    KVM_LOONGARCH_MISC,
    KVM_LOONGARCH_ECFG,
    KVM_LOONGARCH_EENTRY,
    KVM_LOONGARCH_TLBRENTRY,
    KVM_LOONGARCH_PGDL,
    KVM_LOONGARCH_PGDH,
    KVM_LOONGARCH_PWCL,
    KVM_LOONGARCH_PWCH,
    KVM_LOONGARCH_DMW0,
    KVM_LOONGARCH_DMW1,
    KVM_LOONGARCH_DMW2,
    KVM_LOONGARCH_DMW3,
    KVM_LOONGARCH_NR_REGS,
} KvmLoongArchReg;

/**
 * kvm_loongarch_regs_init() - called for each vCPU, before anything else here
 */
void kvm_loongarch_regs_init(void);

/**
 * kvm_loongarch_regs_get_pc() - the program counter
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_get_pc(CPUState *cs, uint64_t *pc);

/**
 * kvm_loongarch_regs_get() - the registers that a step can depend on
 * @regs: set to them, but for those of a few instructions
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_get(CPUState *cs, LoongArchStepRegs *regs);

/**
 * kvm_loongarch_regs_get_for() - those of a few instructions
 * @insn: the instruction
 * @regs: as kvm_loongarch_regs_get() has set them; added to
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_get_for(CPUState *cs, const LoongArchStepInsn *insn,
                               LoongArchStepRegs *regs);

/**
 * kvm_loongarch_regs_put() - write what an instruction has changed
 * @old: the registers before it
 * @regs: behind it; before the vCPU runs, KVM is given those that differ
 *
 * Returns: 0 or a negative errno, with nothing changed
 */
int kvm_loongarch_regs_put(CPUState *cs, const LoongArchStepRegs *old,
                           const LoongArchStepRegs *regs);

/**
 * kvm_loongarch_regs_read() - a CSR
 * @value: set to it
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_read(CPUState *cs, KvmLoongArchReg reg,
                            uint64_t *value);

/**
 * kvm_loongarch_regs_write() - change a CSR, before the vCPU runs again
 */
void kvm_loongarch_regs_write(CPUState *cs, KvmLoongArchReg reg,
                              uint64_t value);

/**
 * kvm_loongarch_regs_expect() - it has run, and this CSR is what it was
 * @value: as the vCPU has entered the guest with it
 */
void kvm_loongarch_regs_expect(CPUState *cs, KvmLoongArchReg reg,
                               uint64_t value);

/**
 * kvm_loongarch_regs_skip() - do what KVM does for a hypercall that it lacks
 *
 * Register 4 becomes -1, and the vCPU goes on behind the instruction.
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_skip(CPUState *cs);

/**
 * kvm_loongarch_regs_read_mmu() - make env hold what translation depends on
 *
 * Returns: 0 or a negative errno
 */
int kvm_loongarch_regs_read_mmu(CPUState *cs);

/**
 * kvm_loongarch_regs_pre_run() - the vCPU is about to run
 * @same_context: an instruction that leaves the context alone is all it runs
 *
 * Without the BQL.  Writes what KVM does not have yet; if that fails the
 * virtual machine stops, and this says so.
 */
void kvm_loongarch_regs_pre_run(CPUState *cs, bool same_context);

/**
 * kvm_loongarch_regs_before_get() - all registers are about to be read from KVM
 *
 * Returns: 0, or a negative errno if KVM does not take what has been changed
 */
int kvm_loongarch_regs_before_get(CPUState *cs);

/**
 * kvm_loongarch_regs_before_put() - all are about to be written to KVM
 */
void kvm_loongarch_regs_before_put(CPUState *cs);

#endif /* TARGET_LOONGARCH_KVM_REGS_H */
