/*
 * What interrupts a vCPU that is stepped, for KVM on x86
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/bswap.h"
#include "system/kvm.h"
#include "hw/i386/apic_internal.h"
#include "kvm_i386.h"
#include "kvm-regs.h"
#include "kvm-step-irq.h"

/* The registers of the local APIC: offsets, 32 bits each */
#define LAPIC_TPR   0x080
#define LAPIC_SVR   0x0f0
#define LAPIC_ISR   0x100
#define LAPIC_IRR   0x200
#define LAPIC_LVT0  0x350

static uint32_t lapic_reg(const struct kvm_lapic_state *lapic, unsigned offset)
{
    return ldl_le_p(lapic->regs + offset);
}

static int highest_vector(const struct kvm_lapic_state *lapic, unsigned offset)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t bits = lapic_reg(lapic, offset + i * 0x10);

        if (bits) {
            return i * 32 + 31 - clz32(bits);
        }
    }
    return -1;
}

static int lapic_vector(const struct kvm_lapic_state *lapic)
{
    int request = highest_vector(lapic, LAPIC_IRR);
    int service = MAX(highest_vector(lapic, LAPIC_ISR), 0);
    int priority = MAX(service & 0xf0, lapic_reg(lapic, LAPIC_TPR) & 0xf0);

    return lapic_reg(lapic, LAPIC_SVR) & APIC_SV_ENABLE &&
           request >= 0 && (request & 0xf0) > priority ? request : -1;
}

/* Does the PIC interrupt this vCPU? */
static bool accepts_pic(CPUState *cs, const struct kvm_lapic_state *lapic)
{
    uint32_t lvt0 = lapic_reg(lapic, LAPIC_LVT0);

    return !(cs->kvm_run->apic_base & MSR_IA32_APICBASE_ENABLE) ||
           (!(lvt0 & APIC_LVT_MASKED) &&
            (lvt0 >> APIC_LVT_DELIV_MOD_SHIFT & 7) == APIC_DM_EXTINT);
}

/* Returns: the line that a PIC asks for, or -1 */
static int pic_line(const struct kvm_pic_state *pic)
{
    for (int i = 0; i < 8; i++) {
        int line = (i + pic->priority_add) & 7;

        if (pic->isr >> line & 1) {
            break;
        }
        if (pic->irr >> line & ~pic->imr >> line & 1) {
            return line;
        }
    }
    return -1;
}

static int pic_vector(void)
{
    struct kvm_irqchip master = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
    struct kvm_irqchip slave = { .chip_id = KVM_IRQCHIP_PIC_SLAVE };
    int line;

    if (!kvm_pic_in_kernel() ||
        kvm_vm_ioctl(kvm_state, KVM_GET_IRQCHIP, &master)) {
        return -1;
    }
    line = pic_line(&master.chip.pic);
    if (line != 2) {
        return line < 0 ? -1 : master.chip.pic.irq_base + line;
    }
    if (kvm_vm_ioctl(kvm_state, KVM_GET_IRQCHIP, &slave)) {
        return -1;
    }
    line = pic_line(&slave.chip.pic);
    /* A request that is gone by now has the vector of line 7 */
    return slave.chip.pic.irq_base + (line < 0 ? 7 : line);
}

static int external_vector(CPUState *cs)
{
    struct kvm_lapic_state lapic;
    int vector = -1;

    if (!kvm_irqchip_in_kernel() ||
        kvm_vcpu_ioctl(cs, KVM_GET_LAPIC, &lapic)) {
        return -1;
    }
    if (accepts_pic(cs, &lapic)) {
        vector = pic_vector();
    }
    return vector >= 0 ? vector : lapic_vector(&lapic);
}

/* What KVM has begun to deliver, and does whatever it is told to hold back */
static int injected_vector(const struct kvm_vcpu_events *events,
                           bool *has_error)
{
    if (events->exception.injected || events->exception.pending) {
        *has_error = events->exception.has_error_code;
        return events->exception.nr;
    }
    if (events->nmi.injected) {
        return EXCP02_NMI;
    }
    return events->interrupt.injected ? events->interrupt.nr : -1;
}

int kvm_x86_step_event(CPUState *cs, bool hold_back, bool *has_error)
{
    struct kvm_vcpu_events events;
    int vector;

    *has_error = false;
    if (kvm_x86_regs_events(cs, &events)) {
        return -1;
    }
    vector = injected_vector(&events, has_error);
    if (vector >= 0 || hold_back || events.interrupt.shadow) {
        return vector;
    }
    if (events.nmi.pending && !events.nmi.masked) {
        return EXCP02_NMI;
    }
    return cpu_env(cs)->eflags & IF_MASK ? external_vector(cs) : -1;
}

bool kvm_x86_step_is_idle(CPUState *cs)
{
    struct kvm_mp_state mp;
    bool has_error;

    if (!kvm_irqchip_in_kernel() || kvm_vcpu_ioctl(cs, KVM_GET_MP_STATE, &mp)) {
        return false;
    }
    /* It may have begun at a SIPI */
    kvm_x86_regs_forget(cs);
    switch (mp.mp_state) {
    case KVM_MP_STATE_RUNNABLE:
        return false;
    case KVM_MP_STATE_HALTED:
        if (kvm_x86_regs_load(cs) ||
            kvm_x86_step_event(cs, false, &has_error) < 0) {
            return true;
        }
        mp.mp_state = KVM_MP_STATE_RUNNABLE;
        return kvm_vcpu_ioctl(cs, KVM_SET_MP_STATE, &mp);
    default:
        return true;
    }
}
