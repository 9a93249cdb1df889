/*
 * Hold back an interrupt of a vCPU under KVM HV
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_KVM_IRQ_HOLD_H
#define TARGET_PPC_KVM_IRQ_HOLD_H

/*
 * For a vCPU in problem state, where MSR[EE] can't be cleared (Power ISA 3.1B
 * Book III, 4.3.2: rfid and hrfid set it together with PR).  Its causes are
 * held back instead, where problem state can't see that:
 *
 * - the decrementer by an expiry that is far away;
 * - the external interrupt by the processor priority of the interrupt
 *   presenter: XIVE's, or ICP's when KVM emulates it.  If QEMU does, it is
 *   KVM_INTERRUPT that stays off;
 * - the directed privileged doorbell, whose interrupt takes it away (7.5.20),
 *   by not making it pending again yet.
 */

typedef enum KvmPpcPresenter {
    KVMPPC_PRESENTER_QEMU,
    KVMPPC_PRESENTER_ICP,
    KVMPPC_PRESENTER_XIVE,
    KVMPPC_PRESENTER_MAX
} KvmPpcPresenter;

/**
 * KvmPpcHeld: what is held back, all zero for nothing
 *
 * Migrated but for @told, since KVM may refuse to let it come.
 */
typedef struct KvmPpcHeld {
    bool decrementer;
    bool doorbell;
    bool external;
    uint8_t presenter;          /* of the external one, a KvmPpcPresenter */
    uint8_t priority;
    uint64_t dec_expiry;        /* in the guest's time base */
    bool told;                  /* the user knows that KVM refuses */
} KvmPpcHeld;

/**
 * kvmppc_irq_hold() - hold back the interrupt that has this vector
 * @vector: 0x500, 0x900 or 0xa00
 *
 * More than one may be held back at a time.  In the vCPU's thread.
 *
 * Returns: 0 or a negative errno, with nothing changed
 */
int kvmppc_irq_hold(CPUState *cs, KvmPpcHeld *held, uint32_t vector);

/**
 * kvmppc_irq_release() - let all that is held back come
 *
 * Returns: 0 or a negative errno; what could not be released is still held
 */
int kvmppc_irq_release(CPUState *cs, KvmPpcHeld *held);

/**
 * kvmppc_irq_held() - is anything held back?
 */
bool kvmppc_irq_held(const KvmPpcHeld *held);

#endif /* TARGET_PPC_KVM_IRQ_HOLD_H */
