/*
 * Does the kernel lose steps of arm64 guests?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <linux/kvm.h>
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "cpu.h"
#include "kvm_arm.h"
#include "kvm-step-probe.h"

/* Of kvm_arm_create_scratch_host_vcpu() */
enum { FD_KVM, FD_VM, FD_VCPU, NR_FDS };

static const uint32_t code[] = {
    0xb900001f,                 /* str wzr, [x0] */
    0xd503201f,                 /* nop */
    0xd503201f,
    0xd503201f,
};

/* Behind the only page of memory, so that the store goes to QEMU */
#define NO_MEMORY (16 * MiB)

static bool set_core_reg(int vcpu, uint64_t id, uint64_t value)
{
    struct kvm_one_reg reg = {
        .id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | id,
        .addr = (uintptr_t)&value,
    };

    return !ioctl(vcpu, KVM_SET_ONE_REG, &reg);
}

static bool get_pc(int vcpu, uint64_t *pc)
{
    struct kvm_one_reg reg = {
        .id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
              KVM_REG_ARM_CORE_REG(regs.pc),
        .addr = (uintptr_t)pc,
    };

    return !ioctl(vcpu, KVM_GET_ONE_REG, &reg);
}

static bool prepare(const int *fds, void *page)
{
    struct kvm_userspace_memory_region memory = {
        .memory_size = qemu_real_host_page_size(),
        .userspace_addr = (uintptr_t)page,
    };
    struct kvm_guest_debug debug = {
        .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
    };

    memcpy(page, code, sizeof(code));
    return !ioctl(fds[FD_VM], KVM_SET_USER_MEMORY_REGION, &memory) &&
           set_core_reg(fds[FD_VCPU], KVM_REG_ARM_CORE_REG(regs.pc), 0) &&
           set_core_reg(fds[FD_VCPU], KVM_REG_ARM_CORE_REG(regs.regs[0]),
                        NO_MEMORY) &&
           !ioctl(fds[FD_VCPU], KVM_SET_GUEST_DEBUG, &debug);
}

/* One exit is the store's; a signal may end KVM_RUN, too */
static bool run_step(int vcpu, struct kvm_run *run)
{
    for (int n = 0; n < 100; n++) {
        if (ioctl(vcpu, KVM_RUN, 0) && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        if (run->exit_reason == KVM_EXIT_DEBUG) {
            return true;
        }
    }
    return false;
}

static bool step_is_one(const int *fds, void *page)
{
    int size = ioctl(fds[FD_KVM], KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run;
    uint64_t pc;
    bool one;

    if (size < 0) {
        return false;
    }
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_VCPU], 0);
    if (run == MAP_FAILED) {
        return false;
    }
    one = prepare(fds, page) && run_step(fds[FD_VCPU], run) &&
          get_pc(fds[FD_VCPU], &pc) && pc == sizeof(code[0]);
    munmap(run, size);
    return one;
}

bool kvm_arm_kernel_loses_steps(void)
{
    struct kvm_vcpu_init init = { .target = -1 };
    int fds[NR_FDS];
    void *page;
    bool one;

    if (!kvm_arm_create_scratch_host_vcpu(fds, &init)) {
        return true;
    }
    page = qemu_memalign(qemu_real_host_page_size(),
                         qemu_real_host_page_size());
    one = step_is_one(fds, page);
    kvm_arm_destroy_scratch_host_vcpu(fds);
    qemu_vfree(page);
    return !one;
}
