/*
 * What was held back comes back: to the vCPU that it was held back from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "cpu.h"
#include "kvm-irq-hold.h"

static uint64_t reg[MODEL_NR_REGS];
static bool fails;
static int thread;

int64_t cpu_get_host_ticks(void)
{
    return 1000;
}

int ppc_cpu_tir(PowerPCCPU *cpu)
{
    return thread;
}

int kvm_get_one_reg(CPUState *cs, uint64_t id, void *value)
{
    memcpy(value, &reg[id], 8);
    return 0;
}

int kvm_set_one_reg(CPUState *cs, uint64_t id, void *value)
{
    if (fails) {
        return -EIO;
    }
    memcpy(&reg[id], value, 8);
    return 0;
}

int kvm_vcpu_ioctl(CPUState *cs, int type, ...)
{
    return 0;
}

bool kvm_irqchip_in_kernel(void)
{
    return false;
}

/* POWER8: the core's DPDES has other threads' doorbells, which stay */
static void test_doorbell_of_core(void)
{
    CPUState cs = {};
    KvmPpcHeld held = {};

    for (thread = 0; thread < 8; thread++) {
        reg[KVM_REG_PPC_DPDES] = 0x41;
        g_assert_cmpint(kvmppc_irq_hold(&cs, &held, 0xa00), ==, 0);
        g_assert_cmphex(reg[KVM_REG_PPC_DPDES], ==, 0x41);
        g_assert_cmpint(kvmppc_irq_release(&cs, &held), ==, 0);
        g_assert_cmphex(reg[KVM_REG_PPC_DPDES], ==, 0x41 | 1 << thread);
        g_assert_false(held.doorbell);
    }
}

/* POWER9: each vCPU has its own, whichever thread it is */
static void test_doorbell_of_vcpu(void)
{
    CPUState cs = { .env.insns_flags2 = PPC2_ISA300 };
    KvmPpcHeld held = {};

    thread = 3;
    reg[KVM_REG_PPC_DPDES] = 0;
    g_assert_cmpint(kvmppc_irq_hold(&cs, &held, 0xa00), ==, 0);
    fails = true;
    g_assert_cmpint(kvmppc_irq_release(&cs, &held), ==, -EIO);
    fails = false;
    g_assert_true(held.doorbell);
    g_assert_cmpint(kvmppc_irq_release(&cs, &held), ==, 0);
    g_assert_cmphex(reg[KVM_REG_PPC_DPDES], ==, 1);
}

/* The decrementer: the first expiry is the guest's, however often it is held */
static void test_decrementer(void)
{
    CPUState cs = {};
    KvmPpcHeld held = {};

    reg[KVM_REG_PPC_DEC_EXPIRY] = 500;
    reg[KVM_REG_PPC_TB_OFFSET] = 7;
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(kvmppc_irq_hold(&cs, &held, 0x900), ==, 0);
        g_assert_cmphex(reg[KVM_REG_PPC_DEC_EXPIRY], >, 1007);
    }
    g_assert_cmpint(kvmppc_irq_release(&cs, &held), ==, 0);
    g_assert_cmphex(reg[KVM_REG_PPC_DEC_EXPIRY], ==, 500);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/irq-hold/doorbell-of-core", test_doorbell_of_core);
    g_test_add_func("/irq-hold/doorbell-of-vcpu", test_doorbell_of_vcpu);
    g_test_add_func("/irq-hold/decrementer", test_decrementer);
    return g_test_run();
}
