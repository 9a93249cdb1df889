/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LoongArch virtualization (LVZ)
 *
 * There is no public manual of it.  This does what Linux' KVM relies on, as far
 * as its source and its behaviour show.  Where they do not show what a
 * processor does, a comment says that it is an assumption.
 *
 * A vCPU has two sets of CSRs.  In root mode it runs by the root's, in guest
 * mode by the guest's, and env_sys() is the one that it runs by.  ertn goes to
 * guest mode if GSTAT.PVM is set.  An exception that the root takes goes back.
 * General, floating-point and vector registers are shared.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "cpu.h"
#include "cpu-csr.h"
#include "cpu-mmu.h"
#include "csr.h"
#include "internals.h"
#include "exec/helper-proto.h"
#include "exec/cputlb.h"
#include "lvz.h"

#define GTLBC_WRITABLE (R_CSR_GTLBC_GMTLBSZ_MASK | R_CSR_GTLBC_USETGID_MASK | \
                        R_CSR_GTLBC_TOTI_MASK | R_CSR_GTLBC_TGID_MASK)
#define GSTAT_WRITABLE (R_CSR_GSTAT_PVM_MASK | R_CSR_GSTAT_GID_MASK)
#define GINTC_WRITABLE (R_CSR_GINTC_VIP_MASK | R_CSR_GINTC_PIP_MASK | \
                        R_CSR_GINTC_HC_MASK)
/* MATC, what to trap, GCI, GPMP, GPERF; what there can be is read-only */
#define GCFG_WRITABLE  0x07b0aab0

#define GID_BITS       8
#define MATP_GUEST     BIT(0)
#define MATP_ROOT      BIT(1)

/* The guest's ESTAT.IS bits that are GINTC.VIP */
#define ESTAT_HWI_SHIFT  2
#define ESTAT_HWI_LENGTH 8

static CPUSysState *env_guest_sys(CPULoongArchState *env)
{
    return &env->sys_states[SYS_GUEST];
}

/* ---- world switch ---- */

void loongarch_guest_enter(CPULoongArchState *env)
{
    CPUSysState *root = env_root_sys(env);
    uint32_t gid = FIELD_EX64(root->CSR_GSTAT, CSR_GSTAT, GID);

    BQL_LOCK_GUARD();
    if (env->guest_softmmu_gid != gid) {
        /* A new GID is how KVM makes a guest forget all translations */
        tlb_flush_by_mmuidx(env_cpu(env), MMU_GUEST_IDXMAP);
        env->guest_softmmu_gid = gid;
    }
    root->CSR_GSTAT = FIELD_DP64(root->CSR_GSTAT, CSR_GSTAT, VM, 1);
    set_sys_state(env, env_guest_sys(env));
    loongarch_update_irq(env_archcpu(env));
}

void loongarch_guest_exit(CPULoongArchState *env)
{
    CPUSysState *root = env_root_sys(env);

    root->CSR_GSTAT = FIELD_DP64(root->CSR_GSTAT, CSR_GSTAT, VM, 0);
    root->CSR_GSTAT = FIELD_DP64(root->CSR_GSTAT, CSR_GSTAT, PVM, 1);
    set_sys_state(env, root);
    env->lladdr = 1;
    loongarch_update_irq(env_archcpu(env));
}

bool loongarch_guest_exits_by(CPULoongArchState *env, int exception)
{
    CPUSysState *guest = env_guest_sys(env);

    switch (exception) {
    case EXCCODE_GSPR:
    case EXCCODE_HVC:
        return true;
    /* The guest has enabled it, so the root has not */
    case EXCCODE_FPD:
        return FIELD_EX64(guest->CSR_EUEN, CSR_EUEN, FPE);
    case EXCCODE_SXD:
        return FIELD_EX64(guest->CSR_EUEN, CSR_EUEN, SXE);
    case EXCCODE_ASXD:
        return FIELD_EX64(guest->CSR_EUEN, CSR_EUEN, ASXE);
    default:
        return env->guest_fault_exits;
    }
}

void loongarch_lvz_reset(CPULoongArchState *env)
{
    LoongArchCPU *cpu = env_archcpu(env);
    CPUSysState *root = env_root_sys(env), *guest = env_guest_sys(env);

    root->CSR_GTLBC = FIELD_DP64(0, CSR_GTLBC, GMTLBSZ, LOONGARCH_MTLB - 1);
    root->CSR_TRGP = 0;
    root->CSR_GSTAT = FIELD_DP64(0, CSR_GSTAT, GIDBIT, GID_BITS);
    root->CSR_GCFG = FIELD_DP64(0, CSR_GCFG, MATP, MATP_GUEST | MATP_ROOT);
    root->CSR_GINTC = 0;
    root->CSR_GCNTC = 0;

    memset(guest, 0, sizeof(*guest));
    guest->CSR_CRMD = FIELD_DP64(0, CSR_CRMD, DA, 1);
    guest->CSR_ASID = root->CSR_ASID & R_CSR_ASID_ASIDBITS_MASK;
    guest->CSR_PRCFG1 = root->CSR_PRCFG1;
    guest->CSR_PRCFG2 = root->CSR_PRCFG2;
    guest->CSR_PRCFG3 = root->CSR_PRCFG3;
    guest->CSR_STLBPS = root->CSR_STLBPS;
    guest->CSR_PWCL = root->CSR_PWCL;

    memset(env->guest_tlb, 0, sizeof(env->guest_tlb));
    env->guest_softmmu_gid = 0;
    env->guest_fault_exits = false;
    timer_del(&cpu->guest_timer);
}

/* ---- the root's registers ---- */

static uint64_t write_masked(uint64_t *reg, uint64_t value, uint64_t mask)
{
    uint64_t old = *reg;

    *reg = (old & ~mask) | (value & mask);
    return old;
}

uint64_t helper_csrwr_gtlbc(CPULoongArchState *env, target_ulong val)
{
    return write_masked(&env_root_sys(env)->CSR_GTLBC, val, GTLBC_WRITABLE);
}

uint64_t helper_csrwr_gstat(CPULoongArchState *env, target_ulong val)
{
    return write_masked(&env_root_sys(env)->CSR_GSTAT, val, GSTAT_WRITABLE);
}

uint64_t helper_csrwr_gcfg(CPULoongArchState *env, target_ulong val)
{
    return write_masked(&env_root_sys(env)->CSR_GCFG, val, GCFG_WRITABLE);
}

/* PIP, which passes interrupts of the processor through, is only kept. */
uint64_t helper_csrwr_gintc(CPULoongArchState *env, target_ulong val)
{
    CPUSysState *root = env_root_sys(env), *guest = env_guest_sys(env);
    uint64_t old;

    BQL_LOCK_GUARD();
    old = write_masked(&root->CSR_GINTC, val, GINTC_WRITABLE);
    guest->CSR_ESTAT = deposit64(guest->CSR_ESTAT,
                                 ESTAT_HWI_SHIFT, ESTAT_HWI_LENGTH,
                                 FIELD_EX64(root->CSR_GINTC, CSR_GINTC, VIP));
    return old;
}

/* ---- the guest's registers, accessed by the root ---- */

static uint64_t *guest_csr(CPULoongArchState *env, unsigned int csr_num)
{
    return (void *)env + get_csr_offset(get_csr(csr_num), SYS_GUEST);
}

static uint64_t guest_csr_read(CPULoongArchState *env, unsigned int csr_num)
{
    LoongArchCPU *cpu = env_archcpu(env);

    switch (csr_num) {
    case LOONGARCH_CSR_PGD:
        return loongarch_pgd(env_guest_sys(env));
    case LOONGARCH_CSR_TVAL:
        return loongarch_guest_timer_read(cpu);
    case LOONGARCH_CSR_TICLR:
        return 0;
    case LOONGARCH_CSR_ESTAT:
        /* The timer may have expired, and its callback not have run */
        loongarch_guest_timer_latch(cpu);
        break;
    }
    return *guest_csr(env, csr_num);
}

/* Registers that decide how the guest's addresses are translated */
static void guest_mmu_csr_write(CPULoongArchState *env, uint64_t *reg,
                                uint64_t val)
{
    if (*reg != val) {
        tlb_flush_by_mmuidx(env_cpu(env), MMU_GUEST_IDXMAP);
        *reg = val;
    }
}

/*
 * What a guest can only read in these registers the root can write.  What a
 * processor has (PRCFG, the number of ASID bits) stays.
 */
static void guest_csr_write(CPULoongArchState *env, unsigned int csr_num,
                            uint64_t val)
{
    LoongArchCPU *cpu = env_archcpu(env);
    uint64_t *reg = guest_csr(env, csr_num);

    switch (csr_num) {
    case LOONGARCH_CSR_PGD:
    case LOONGARCH_CSR_PRCFG1 ... LOONGARCH_CSR_PRCFG3:
        break;
    case LOONGARCH_CSR_ESTAT:
        write_masked(reg, val, ~MAKE_64BIT_MASK(ESTAT_HWI_SHIFT,
                                                ESTAT_HWI_LENGTH));
        break;
    case LOONGARCH_CSR_ASID:
        guest_mmu_csr_write(env, reg, FIELD_DP64(*reg, CSR_ASID, ASID, val));
        break;
    case LOONGARCH_CSR_DMW(0) ... LOONGARCH_CSR_DMW(3):
        guest_mmu_csr_write(env, reg, val);
        break;
    case LOONGARCH_CSR_STLBPS:
        val = FIELD_EX64(val, CSR_STLBPS, PS);
        if (check_ps(env, val)) {
            *reg = val;
        }
        break;
    case LOONGARCH_CSR_PWCH:
        *reg = FIELD_DP64(val, CSR_PWCH, HPTW_EN, 0);
        break;
    case LOONGARCH_CSR_TCFG:
        loongarch_guest_timer_config(cpu, val);
        break;
    case LOONGARCH_CSR_TVAL:
        loongarch_guest_timer_write(cpu, val);
        break;
    case LOONGARCH_CSR_TICLR:
        if (val & 1) {
            loongarch_guest_timer_clear(cpu);
        }
        break;
    default:
        *reg = val;
        break;
    }
}

uint64_t helper_gcsrrd(CPULoongArchState *env, uint32_t csr_num)
{
    if (!csr_has_guest_bank(csr_num)) {
        return 0;
    }
    BQL_LOCK_GUARD();
    return guest_csr_read(env, csr_num);
}

uint64_t helper_gcsrxchg(CPULoongArchState *env, uint32_t csr_num,
                         target_ulong val, target_ulong mask)
{
    uint64_t old;

    if (!csr_has_guest_bank(csr_num)) {
        return 0;
    }
    BQL_LOCK_GUARD();
    old = guest_csr_read(env, csr_num);
    guest_csr_write(env, csr_num, (old & ~mask) | (val & mask));
    return old;
}

void helper_guest_flush(CPULoongArchState *env)
{
    tlb_flush_by_mmuidx(env_cpu(env), MMU_GUEST_IDXMAP);
}
