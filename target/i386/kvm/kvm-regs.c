/*
 * Registers of an x86 vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "hw/core/boards.h"
#include "system/kvm.h"
#include "kvm-regs.h"
#include "kvm-step.h"

/* As target/i386/gdbstub.c numbers them: what is not of the core */
#define GDB_KERNEL_GS_BASE  (CPU_NB_REGS + 2 + 8)
#define GDB_CR0             (GDB_KERNEL_GS_BASE + 1)
#define GDB_FPU             (GDB_CR0 + 6)

typedef struct X86Regs {
    bool synced;            /* kvm_run has the core, and the events */
    bool have_core;         /* CPUX86State has it */
    bool have_fpu;
    bool have_kernel_gs;
} X86Regs;

/* By cpu_index; never moves */
static X86Regs *all_regs;
static bool can_sync;

#define SYNC (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static X86Regs *get_regs(CPUState *cs)
{
    return &all_regs[cs->cpu_index];
}

void kvm_x86_regs_init(CPUState *cs)
{
    if (!all_regs) {
        all_regs = g_new0(X86Regs, current_machine->smp.max_cpus);
        can_sync = (kvm_check_extension(kvm_state, KVM_CAP_SYNC_REGS) & SYNC) ==
                   SYNC;
    }
    *get_regs(cs) = (X86Regs) {};
}

void kvm_x86_regs_forget(CPUState *cs)
{
    *get_regs(cs) = (X86Regs) {};
}

void kvm_x86_regs_pre_run(CPUState *cs, struct kvm_run *run, bool wanted)
{
    kvm_x86_regs_forget(cs);
    run->kvm_valid_regs = can_sync && wanted ? SYNC : 0;
}

void kvm_x86_regs_post_run(CPUState *cs, struct kvm_run *run)
{
    get_regs(cs)->synced = run->kvm_valid_regs;
}

int kvm_x86_regs_load(CPUState *cs)
{
    X86Regs *r = get_regs(cs);
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    int ret;

    if (cs->vcpu_dirty || r->have_core) {
        return 0;
    }
    if (r->synced) {
        regs = cs->kvm_run->s.regs.regs;
        sregs = cs->kvm_run->s.regs.sregs;
    } else {
        ret = kvm_vcpu_ioctl(cs, KVM_GET_REGS, &regs) ?:
              kvm_vcpu_ioctl(cs, KVM_GET_SREGS, &sregs);
        if (ret) {
            return ret;
        }
    }
    kvm_x86_take_regs(cpu_env(cs), &regs);
    kvm_x86_take_sregs(cpu_env(cs), &sregs);
    r->have_core = true;
    return 0;
}

int kvm_x86_regs_store(CPUState *cs)
{
    get_regs(cs)->synced = false;
    return cs->vcpu_dirty ? 0 : kvm_x86_put_regs(X86_CPU(cs));
}

int kvm_x86_regs_events(CPUState *cs, struct kvm_vcpu_events *events)
{
    if (get_regs(cs)->synced) {
        *events = cs->kvm_run->s.regs.events;
        return 0;
    }
    return kvm_vcpu_ioctl(cs, KVM_GET_VCPU_EVENTS, events);
}

static int load_fpu(CPUState *cs)
{
    X86Regs *r = get_regs(cs);
    int ret = r->have_fpu ? 0 : kvm_x86_get_xsave(X86_CPU(cs));

    r->have_fpu = !ret;
    return ret;
}

static int load_kernel_gs(CPUState *cs)
{
#ifdef TARGET_X86_64
    X86Regs *r = get_regs(cs);
    struct {
        struct kvm_msrs info;
        struct kvm_msr_entry entry;
    } msr = {
        .info.nmsrs = 1,
        .entry.index = MSR_KERNELGSBASE,
    };

    if (!r->have_kernel_gs) {
        if (kvm_vcpu_ioctl(cs, KVM_GET_MSRS, &msr) != 1) {
            return -EIO;
        }
        cpu_env(cs)->kernelgsbase = msr.entry.data;
        r->have_kernel_gs = true;
    }
#endif
    return 0;
}

/* May this thread look at it, with nothing to be ended before? */
static bool is_at_rest(CPUState *cs)
{
    return qemu_cpu_is_self(cs) ||
           (cpu_is_stopped(cs) && !kvm_x86_step_is_armed(cs));
}

bool kvm_arch_synchronize_register(CPUState *cs, const char *feature, int n)
{
    if (feature || !is_at_rest(cs) || kvm_x86_regs_load(cs)) {
        return false;
    }
    if (n >= GDB_FPU) {
        return !load_fpu(cs);
    }
    return n != GDB_KERNEL_GS_BASE || !load_kernel_gs(cs);
}

bool kvm_arch_synchronize_mmu(CPUState *cs)
{
    return is_at_rest(cs) && !kvm_x86_regs_load(cs);
}
