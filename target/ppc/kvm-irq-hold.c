/*
 * Hold back an interrupt of a vCPU under KVM HV
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/timer.h"
#include "hw/ppc/ppc.h"
#include "system/kvm.h"
#include "cpu.h"
#include "kvm_ppc.h"
#include "kvm-irq-hold.h"

/*
 * The distance fits a decrementer of 32 bits, and is two seconds at 512 MHz.
 */
#define DEC_HOLD_TICKS 0x40000000

static int hold_decrementer(CPUState *cs, KvmPpcHeld *held)
{
    uint64_t expiry, offset, later;
    int ret = kvm_get_one_reg(cs, KVM_REG_PPC_DEC_EXPIRY, &expiry);

    if (!ret) {
        ret = kvm_get_one_reg(cs, KVM_REG_PPC_TB_OFFSET, &offset);
    }
    if (ret) {
        return ret;
    }
    /* In the guest's time base, which is the host's and an offset */
    later = cpu_get_host_ticks() + offset + DEC_HOLD_TICKS;
    ret = kvm_set_one_reg(cs, KVM_REG_PPC_DEC_EXPIRY, &later);
    if (!ret && !held->decrementer) {
        held->decrementer = true;
        held->dec_expiry = expiry;
    }
    return ret;
}

/* XIVE's OS ring of the thread context, bytes of its first two words */
enum { NSR, CPPR, IPB, PIPR = 7 };
#define NSR_EXCEPTION 0x80

static uint8_t xive_most_favored(uint8_t ipb)
{
    return ipb ? clz32(ipb << 24) : 0xff;
}

static int hold_xive(CPUState *cs, KvmPpcHeld *held)
{
    union {
        uint64_t state[2];
        uint8_t ring[16];
    } vp;
    int ret = kvm_get_one_reg(cs, KVM_REG_PPC_VP_STATE, &vp);

    if (ret) {
        return ret;
    }
    held->priority = vp.ring[CPPR];
    vp.ring[CPPR] = 0;
    vp.ring[NSR] &= ~NSR_EXCEPTION;
    return kvm_set_one_reg(cs, KVM_REG_PPC_VP_STATE, &vp);
}

static int release_xive(CPUState *cs, KvmPpcHeld *held)
{
    union {
        uint64_t state[2];
        uint8_t ring[16];
    } vp;
    int ret = kvm_get_one_reg(cs, KVM_REG_PPC_VP_STATE, &vp);

    if (ret) {
        return ret;
    }
    vp.ring[CPPR] = held->priority;
    /* What came meanwhile is in IPB, but was not presented */
    vp.ring[PIPR] = xive_most_favored(vp.ring[IPB]);
    if (vp.ring[PIPR] < held->priority) {
        vp.ring[NSR] |= NSR_EXCEPTION;
    }
    return kvm_set_one_reg(cs, KVM_REG_PPC_VP_STATE, &vp);
}

/* Returns: the priority that was, or a negative errno */
static int set_icp_priority(CPUState *cs, uint8_t priority)
{
    const uint64_t mask = (uint64_t)KVM_REG_PPC_ICP_CPPR_MASK <<
                          KVM_REG_PPC_ICP_CPPR_SHIFT;
    uint64_t icp, changed;
    int ret = kvm_get_one_reg(cs, KVM_REG_PPC_ICP_STATE, &icp);

    if (ret) {
        return ret;
    }
    changed = (icp & ~mask) | (uint64_t)priority << KVM_REG_PPC_ICP_CPPR_SHIFT;
    ret = kvm_set_one_reg(cs, KVM_REG_PPC_ICP_STATE, &changed);
    return ret ? ret : (icp & mask) >> KVM_REG_PPC_ICP_CPPR_SHIFT;
}

static int hold_external(CPUState *cs, KvmPpcHeld *held)
{
    unsigned int off = KVM_INTERRUPT_UNSET;
    int ret;

    if (held->external) {
        /* It came all the same */
        return -EAGAIN;
    }
    if (!kvm_irqchip_in_kernel()) {
        held->presenter = KVMPPC_PRESENTER_QEMU;
        ret = kvm_vcpu_ioctl(cs, KVM_INTERRUPT, &off);
    } else {
        held->presenter = KVMPPC_PRESENTER_XIVE;
        ret = hold_xive(cs, held);
        if (ret) {
            held->presenter = KVMPPC_PRESENTER_ICP;
            ret = set_icp_priority(cs, 0);
            held->priority = ret;
            ret = MIN(ret, 0);
        }
    }
    held->external = !ret;
    return ret;
}

static int release_external(CPUState *cs, KvmPpcHeld *held)
{
    unsigned int on = KVM_INTERRUPT_SET_LEVEL;

    switch (held->presenter) {
    case KVMPPC_PRESENTER_QEMU:
        return cpu_env(cs)->pending_interrupts & PPC_INTERRUPT_EXT ?
               kvm_vcpu_ioctl(cs, KVM_INTERRUPT, &on) : 0;
    case KVMPPC_PRESENTER_XIVE:
        return release_xive(cs, held);
    case KVMPPC_PRESENTER_ICP:
        return MIN(set_icp_priority(cs, held->priority), 0);
    }
    g_assert_not_reached();
}

int kvmppc_irq_hold(CPUState *cs, KvmPpcHeld *held, uint32_t vector)
{
    switch (vector) {
    case 0x500:
        return hold_external(cs, held);
    case 0x900:
        return hold_decrementer(cs, held);
    case 0xa00:
        held->doorbell = true;
        return 0;
    default:
        g_assert_not_reached();
    }
}

/*
 * On POWER8 DPDES is the core's, with a bit for each thread.  KVM has one for
 * each vCPU on later processors, with one bit.
 */
static int release_doorbell(CPUState *cs)
{
    bool own = cpu_env(cs)->insns_flags2 & PPC2_ISA300;
    uint64_t pending;
    int ret = kvm_get_one_reg(cs, KVM_REG_PPC_DPDES, &pending);

    if (ret) {
        return ret;
    }
    pending |= 1ULL << (own ? 0 : ppc_cpu_tir(POWERPC_CPU(cs)));
    return kvm_set_one_reg(cs, KVM_REG_PPC_DPDES, &pending);
}

int kvmppc_irq_release(CPUState *cs, KvmPpcHeld *held)
{
    int ret = 0;

    if (held->decrementer) {
        ret = kvm_set_one_reg(cs, KVM_REG_PPC_DEC_EXPIRY, &held->dec_expiry);
        held->decrementer = ret != 0;
    }
    if (!ret && held->doorbell) {
        ret = release_doorbell(cs);
        held->doorbell = ret != 0;
    }
    if (!ret && held->external) {
        ret = release_external(cs, held);
        held->external = ret != 0;
    }
    return ret;
}

bool kvmppc_irq_held(const KvmPpcHeld *held)
{
    return held->decrementer || held->doorbell || held->external;
}
