/*
 * Guest memory under KVM HV, and the breakpoints in it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "system/address-spaces.h"
#include "system/hw_accel.h"
#include "system/memory.h"
#include "cpu.h"
#include "internal.h"
#include "kvm-breakpoints.h"
#include "kvm-regs.h"

BreakpointSet *kvmppc_breakpoints;
static GHashTable *user_addresses;      /* gdb's address -> where it is */
static uint32_t trap_word;

/* Guest memory, by guest physical address */

int kvmppc_memory_read(uint64_t phys, void *buf, size_t len)
{
    MemTxResult r = address_space_read(&address_space_memory, phys,
                                       MEMTXATTRS_UNSPECIFIED, buf, len);

    return r == MEMTX_OK ? 0 : -EFAULT;
}

static int memory_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    return kvmppc_memory_read(addr, buf, len);
}

static int memory_write(void *opaque, uint64_t addr, const void *buf,
                        size_t len)
{
    /* Firmware in ROM can be stepped, too */
    MemTxResult r = address_space_write_rom(&address_space_memory, addr,
                                            MEMTXATTRS_UNSPECIFIED, buf, len);

    if (r != MEMTX_OK) {
        return -EFAULT;
    }
    address_space_flush_icache_range(&address_space_memory, addr, len);
    return 0;
}

static const BreakpointMemory guest_memory = {
    .read = memory_read,
    .write = memory_write,
};

void kvmppc_breakpoints_init(uint32_t trap)
{
    if (!kvmppc_breakpoints) {
        trap_word = trap;
        kvmppc_breakpoints = breakpoint_set_new(&guest_memory, NULL, &trap,
                                                sizeof(trap));
        user_addresses = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                               g_free, g_free);
    }
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
 * Where a breakpoint belongs.  gdb sets one in the kernel while a process runs
 * and the other way round, where the vCPU's own mode has no access.
 */
static bool find_place(PowerPCCPU *cpu, vaddr addr, uint64_t *phys)
{
    uint64_t msr = cpu->env.msr;
    KvmPpcXlateMode other = {
        .relocated = msr & PPC_STEP_MSR_IR,
        .problem_state = !(msr & PPC_STEP_MSR_PR),
    };
    TranslateForDebugResult found;

    if (cpu_translate_for_debug(CPU(cpu), addr, &found)) {
        *phys = found.physaddr;
        return true;
    }
    return kvmppc_xlate(cpu, addr, MMU_INST_FETCH, other, phys);
}

int kvmppc_breakpoint_insert(CPUState *cs, vaddr addr)
{
    uint64_t phys;
    int ret;

    if (!find_place(POWERPC_CPU(cs), addr, &phys)) {
        return -EFAULT;
    }
    breakpoint_set_add(kvmppc_breakpoints, phys, BREAKPOINT_OWNER_USER);
    ret = breakpoint_set_apply(kvmppc_breakpoints);
    if (breakpoint_set_state(kvmppc_breakpoints, phys) != BREAKPOINT_SET) {
        breakpoint_set_del(kvmppc_breakpoints, phys, BREAKPOINT_OWNER_USER);
        breakpoint_set_apply(kvmppc_breakpoints);
        return ret ? ret : -EFAULT;
    }
    g_hash_table_replace(user_addresses, g_memdup2(&addr, sizeof(addr)),
                         g_memdup2(&phys, sizeof(phys)));
    return 0;
}

int kvmppc_breakpoint_remove(vaddr addr)
{
    uint64_t *phys = g_hash_table_lookup(user_addresses, &addr);

    if (!phys) {
        return -ENOENT;
    }
    breakpoint_set_del(kvmppc_breakpoints, *phys, BREAKPOINT_OWNER_USER);
    /* What can't be taken out now is tried again with the next change */
    breakpoint_set_apply(kvmppc_breakpoints);
    g_hash_table_remove(user_addresses, &addr);
    return 0;
}

/* Within a page */
static int debug_access(CPUState *cs, vaddr addr, void *buf, size_t len,
                        bool is_write, bool physical)
{
    MemTxAttrs attrs = MEMTXATTRS_UNSPECIFIED;
    hwaddr phys = addr;

    if (!physical) {
        TranslateForDebugResult found;

        cpu_synchronize_mmu(cs);
        if (!cpu_translate_for_debug(cs, addr, &found)) {
            return -1;
        }
        phys = found.physaddr;
        attrs = found.attrs;
    }
    if (is_write) {
        g_autofree void *bytes = g_memdup2(buf, len);

        breakpoint_set_store(kvmppc_breakpoints, phys, bytes, len);
        if (address_space_write(&address_space_memory, phys, attrs, bytes,
                                len)) {
            return -1;
        }
        address_space_flush_icache_range(&address_space_memory, phys, len);
        return 0;
    }
    if (address_space_read(&address_space_memory, phys, attrs, buf, len)) {
        return -1;
    }
    breakpoint_set_restore(kvmppc_breakpoints, phys, buf, len);
    return 0;
}

int kvmppc_memory_rw_debug(CPUState *cs, vaddr addr, void *buf, size_t len,
                           bool is_write, bool physical)
{
    while (len) {
        size_t part = MIN(len, TARGET_PAGE_SIZE - (addr & ~TARGET_PAGE_MASK));

        if (debug_access(cs, addr, buf, part, is_write, physical)) {
            return -1;
        }
        addr += part;
        buf += part;
        len -= part;
    }
    return 0;
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
    return g_hash_table_contains(user_addresses, &regs.pc) ?
           KVMPPC_TRAP_USER : KVMPPC_TRAP_OTHER;
}
