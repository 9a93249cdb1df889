/*
 * Guest memory under KVM HV, and the breakpoints in it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu-common.h"
#include "system/address-spaces.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/memory.h"
#include "cpu.h"
#include "internal.h"
#include "kvm-breakpoints.h"
#include "kvm-regs.h"

BreakpointSet *kvmppc_breakpoints;
static uint32_t trap_word;

/* Guest memory, by guest physical address */

int kvmppc_memory_read(uint64_t phys, void *buf, size_t len)
{
    MemTxResult r = address_space_read(&address_space_memory, phys,
                                       MEMTXATTRS_UNSPECIFIED, buf, len);

    return r == MEMTX_OK ? 0 : -EFAULT;
}

void kvmppc_breakpoints_init(uint32_t trap)
{
    trap_word = trap;
    kvmppc_breakpoints = kvm_breakpoint_set();
}

/* Translation */

bool kvmppc_xlate(PowerPCCPU *cpu, vaddr addr, MMUAccessType access,
                  KvmPpcXlateMode mode, uint64_t *phys)
{
    /* As mmu-books.h has it; a guest under KVM is never in HV state */
    int mmu_idx = (mode.problem_state ? 0 : 1) | (mode.relocated ? 0 : 2);
    hwaddr raddr;
    int psize, prot;

    if (!ppc_xlate(cpu, addr, access, &raddr, &psize, &prot, mmu_idx, false)) {
        return false;
    }
    *phys = raddr;
    return true;
}

KvmPpcXlateMode kvmppc_fetch_mode(const PPCStepRegs *regs)
{
    return (KvmPpcXlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_IR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

KvmPpcXlateMode kvmppc_data_mode(const PPCStepRegs *regs)
{
    return (KvmPpcXlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_DR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

unsigned kvmppc_fetch(PowerPCCPU *cpu, const PPCStepRegs *regs,
                      uint32_t *words, unsigned max)
{
    bool le = regs->msr & PPC_STEP_MSR_LE;

    for (unsigned i = 0; i < max; i++) {
        uint64_t phys;
        uint32_t word;

        if (!kvmppc_xlate(cpu, regs->pc + 4 * i, MMU_INST_FETCH,
                          kvmppc_fetch_mode(regs), &phys) ||
            kvmppc_memory_read(phys, &word, sizeof(word))) {
            return i;
        }
        breakpoint_set_restore(kvmppc_breakpoints, phys, &word, sizeof(word));
        words[i] = le ? le32_to_cpu(word) : be32_to_cpu(word);
    }
    return max;
}

/* gdb's breakpoints */

/*
 * gdb sets one in the kernel while a process runs and the other way round,
 * where the vCPU's own mode has no access.
 */
int kvmppc_breakpoint_place(CPUState *cs, vaddr addr, uint64_t *phys)
{
    PowerPCCPU *cpu = POWERPC_CPU(cs);
    KvmPpcXlateMode other;
    TranslateForDebugResult found;

    cpu_synchronize_mmu(cs);
    if (cpu_translate_for_debug(cs, addr, &found)) {
        *phys = found.physaddr;
        return 0;
    }
    other.relocated = cpu->env.msr & PPC_STEP_MSR_IR;
    other.problem_state = !(cpu->env.msr & PPC_STEP_MSR_PR);
    return kvmppc_xlate(cpu, addr, MMU_INST_FETCH, other, phys) ? 0 : -EFAULT;
}

KvmPpcTrapOwner kvmppc_trap_owner(CPUState *cs)
{
    PowerPCCPU *cpu = POWERPC_CPU(cs);
    PPCStepRegs regs;
    uint64_t phys;
    uint32_t word;

    if (kvmppc_step_regs_get(cs, &regs)) {
        return KVMPPC_TRAP_UNKNOWN;
    }
    kvmppc_regs_read_mmu(cs);
    if (!kvmppc_xlate(cpu, regs.pc, MMU_INST_FETCH, kvmppc_fetch_mode(&regs),
                      &phys) ||
        kvmppc_memory_read(phys, &word, sizeof(word))) {
        return KVMPPC_TRAP_UNKNOWN;
    }
    if (word != trap_word) {
        return KVMPPC_TRAP_GONE;
    }
    if (!breakpoint_set_refs(kvmppc_breakpoints, phys, BREAKPOINT_OWNER_USER)) {
        return breakpoint_set_refs(kvmppc_breakpoints, phys,
                                   BREAKPOINT_OWNER_STEP) ?
               KVMPPC_TRAP_OTHER : KVMPPC_TRAP_UNKNOWN;
    }
    return kvm_find_sw_breakpoint(cs, regs.pc) ? KVMPPC_TRAP_USER :
                                                 KVMPPC_TRAP_OTHER;
}
