/*
 * Registers of a vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "hw/core/boards.h"
#include "hw/ppc/spapr.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "helper_regs.h"
#include "kvm_ppc.h"
#include "kvm-regs.h"
#include "mmu-book3s-v3.h"

typedef struct KvmPpcRegs {
    struct kvm_regs regs;
    bool valid;         /* as the vCPU has them, or shall have */
    bool dirty;         /* KVM does not have them yet */
    bool mmu_valid;     /* env has PIDR or the SLB */
} KvmPpcRegs;

/*
 * By cpu_index.  Looked at without the BQL, so it never moves.  NULL where KVM
 * steps by itself: nothing is kept here then.
 */
static KvmPpcRegs *all_regs;

void kvmppc_regs_init(void)
{
    if (!all_regs) {
        all_regs = g_new0(KvmPpcRegs, current_machine->smp.max_cpus);
    }
}

static KvmPpcRegs *get_regs(CPUState *cs)
{
    return &all_regs[cs->cpu_index];
}

int kvmppc_regs_read(CPUState *cs, const struct kvm_regs **regs)
{
    KvmPpcRegs *r = get_regs(cs);

    if (!r->valid) {
        int ret = kvm_vcpu_ioctl(cs, KVM_GET_REGS, &r->regs);

        if (ret < 0) {
            return ret;
        }
        r->valid = true;
    }
    *regs = &r->regs;
    return 0;
}

int kvmppc_regs_write(CPUState *cs, const struct kvm_regs *regs, bool now)
{
    KvmPpcRegs *r = get_regs(cs);

    if (now) {
        int ret = kvm_vcpu_ioctl(cs, KVM_SET_REGS, (void *)regs);

        if (ret < 0) {
            return ret;
        }
    }
    r->regs = *regs;
    r->valid = true;
    r->dirty = !now;
    return 0;
}

static int flush(CPUState *cs, KvmPpcRegs *r)
{
    int ret = r->dirty ? kvm_vcpu_ioctl(cs, KVM_SET_REGS, &r->regs) : 0;

    if (!ret) {
        r->dirty = false;
    }
    return ret;
}

void kvmppc_regs_pre_run(CPUState *cs, bool same_context)
{
    KvmPpcRegs *r = get_regs(cs);
    int ret = flush(cs, r);

    if (ret) {
        kvm_cancel_run(cs, ret);
        return;
    }
    r->valid = false;
    r->mmu_valid &= same_context;
}

void kvmppc_regs_before_get(CPUState *cs)
{
    int ret;

    if (!all_regs) {
        return;
    }
    ret = flush(cs, get_regs(cs));
    if (ret) {
        error_report("can't write the registers of CPU %d: %s",
                     cs->cpu_index, strerror(-ret));
    }
}

void kvmppc_regs_before_put(CPUState *cs)
{
    KvmPpcRegs *r;

    if (!all_regs) {
        return;
    }
    r = get_regs(cs);
    r->valid = false;
    r->dirty = false;
    /* It comes from env */
    r->mmu_valid = true;
}

static bool read_context(PowerPCCPU *cpu)
{
#ifdef TARGET_PPC64
    if (ppc64_v3_radix(cpu)) {
        uint64_t pid;

        if (kvm_get_one_reg(CPU(cpu), KVM_REG_PPC_PID, &pid)) {
            return false;
        }
        cpu->env.spr[SPR_BOOKS_PID] = pid;
        return true;
    }
#endif
    return kvmppc_get_books_sregs(cpu) == 0;
}

/* env's copies; it is not marked dirty, so that they are for looking only */
static void regs_to_env(CPUPPCState *env, const struct kvm_regs *regs)
{
    for (int i = 0; i < 32; i++) {
        env->gpr[i] = regs->gpr[i];
    }
    ppc_set_cr(env, regs->cr);
    env->ctr = regs->ctr;
    env->lr = regs->lr;
    cpu_write_xer(env, regs->xer);
    env->nip = regs->pc;
    env->msr = regs->msr;
    /* The debugger's view of memory is translated as hflags say */
    hreg_compute_hflags(env);
    env->spr[SPR_SRR0] = regs->srr0;
    env->spr[SPR_SRR1] = regs->srr1;
    env->spr[SPR_SPRG0] = regs->sprg0;
    env->spr[SPR_SPRG1] = regs->sprg1;
    env->spr[SPR_SPRG2] = regs->sprg2;
    env->spr[SPR_SPRG3] = regs->sprg3;
}

void kvmppc_regs_read_mmu(CPUState *cs)
{
    KvmPpcRegs *r = get_regs(cs);
    const struct kvm_regs *regs;

    if (cs->vcpu_dirty) {
        return;
    }
    if (!r->mmu_valid) {
        r->mmu_valid = read_context(POWERPC_CPU(cs));
    }
    if (!kvmppc_regs_read(cs, &regs)) {
        regs_to_env(cpu_env(cs), regs);
    }
}

/*
 * Those of a step.  If QEMU's copy is the valid one it is used, and KVM gets it
 * on the next entry anyway; otherwise one ioctl has all that a step needs.
 */

static void step_regs_from_env(CPUPPCState *env, PPCStepRegs *regs)
{
    for (int i = 0; i < 32; i++) {
        regs->gpr[i] = env->gpr[i];
    }
    regs->pc = env->nip;
    regs->msr = env->msr;
    regs->srr0 = env->spr[SPR_SRR0];
    regs->srr1 = env->spr[SPR_SRR1];
    regs->lr = env->lr;
    regs->ctr = env->ctr;
    regs->cr = ppc_get_cr(env);
    regs->tar = env->spr[SPR_TAR];
}

static int step_regs_from_kvm(CPUState *cs, PPCStepRegs *regs)
{
    const struct kvm_regs *kvm;
    int ret = kvmppc_regs_read(cs, &kvm);

    if (ret < 0) {
        return ret;
    }
    memcpy(regs->gpr, kvm->gpr, sizeof(regs->gpr));
    regs->pc = kvm->pc;
    regs->msr = kvm->msr;
    regs->srr0 = kvm->srr0;
    regs->srr1 = kvm->srr1;
    regs->lr = kvm->lr;
    regs->ctr = kvm->ctr;
    regs->cr = kvm->cr;
    return 0;
}

uint8_t kvmppc_regs_ail(CPUState *cs)
{
    return (cpu_env(cs)->spr[SPR_LPCR] & LPCR_AIL) >> LPCR_AIL_SHIFT;
}

/* What a pseries guest has registered by ibm,nmi-register (LoPAR, FWNMI) */
static void get_fwnmi(PPCStepRegs *regs)
{
    Object *machine = object_dynamic_cast(qdev_get_machine(),
                                          TYPE_SPAPR_MACHINE);
    SpaprMachineState *spapr;

    if (machine) {
        spapr = SPAPR_MACHINE(machine);
        if (spapr->fwnmi_machine_check_addr != -1) {
            regs->fwnmi[0] = spapr->fwnmi_system_reset_addr;
            regs->fwnmi[1] = spapr->fwnmi_machine_check_addr;
        }
    }
}

int kvmppc_step_regs_get(CPUState *cs, PPCStepRegs *regs)
{
    CPUPPCState *env = cpu_env(cs);
    int ret = 0;

    memset(regs, 0, sizeof(*regs));
    if (cs->vcpu_dirty) {
        step_regs_from_env(env, regs);
    } else {
        ret = step_regs_from_kvm(cs, regs);
    }
    regs->lpcr_ail = kvmppc_regs_ail(cs);
    regs->lpcr_ile = env->spr[SPR_LPCR] & LPCR_ILE;
    regs->msr_mask = env->msr_mask;
    regs->isa300 = env->insns_flags2 & PPC2_ISA300;
    get_fwnmi(regs);
    return ret;
}

static void step_regs_to_env(CPUPPCState *env, const PPCStepRegs *regs)
{
    for (int i = 0; i < 32; i++) {
        env->gpr[i] = regs->gpr[i];
    }
    env->nip = regs->pc;
    env->msr = regs->msr;
    hreg_compute_hflags(env);
    env->spr[SPR_SRR0] = regs->srr0;
    env->spr[SPR_SRR1] = regs->srr1;
    env->lr = regs->lr;
    env->ctr = regs->ctr;
}

int kvmppc_step_regs_put(CPUState *cs, const PPCStepRegs *regs, bool now)
{
    const struct kvm_regs *old;
    struct kvm_regs kvm;
    int ret;

    if (cs->vcpu_dirty) {
        step_regs_to_env(cpu_env(cs), regs);
        return 0;
    }
    ret = kvmppc_regs_read(cs, &old);
    if (ret) {
        return ret;
    }
    kvm = *old;
    memcpy(kvm.gpr, regs->gpr, sizeof(regs->gpr));
    kvm.pc = regs->pc;
    kvm.msr = regs->msr;
    kvm.srr0 = regs->srr0;
    kvm.srr1 = regs->srr1;
    kvm.lr = regs->lr;
    kvm.ctr = regs->ctr;
    return kvmppc_regs_write(cs, &kvm, now);
}

/* What gdb asks for, one by one */

typedef enum SprSource {
    SPR_SOURCE_NONE,        /* no narrow way */
    SPR_SOURCE_REGS,        /* KVM_GET_REGS has it */
    SPR_SOURCE_ONE_REG,
} SprSource;

static SprSource spr_source(CPUPPCState *env, int n, int *spr)
{
    for (int i = 0; i < 1024; i++) {
        if (!env->spr_cb[i].name || env->spr_cb[i].gdb_id != n) {
            continue;
        }
        *spr = i;
        switch (i) {
        case SPR_SRR0:
        case SPR_SRR1:
        case SPR_SPRG0 ... SPR_SPRG3:
        case SPR_LR:
        case SPR_CTR:
        case SPR_XER:
            return SPR_SOURCE_REGS;
        default:
            return env->spr_cb[i].one_reg_id ? SPR_SOURCE_ONE_REG :
                                               SPR_SOURCE_NONE;
        }
    }
    return SPR_SOURCE_NONE;
}

static bool read_one_spr(CPUState *cs, int spr)
{
    CPUPPCState *env = cpu_env(cs);
    uint64_t id = env->spr_cb[spr].one_reg_id;
    union {
        uint32_t u32;
        uint64_t u64;
    } val = { };

    if (kvm_get_one_reg(cs, id, &val)) {
        return false;
    }
    env->spr[spr] = (id & KVM_REG_SIZE_MASK) == KVM_REG_SIZE_U32 ? val.u32 :
                                                                   val.u64;
    return true;
}

static bool read_fp(CPUState *cs, int n)
{
    CPUPPCState *env = cpu_env(cs);
    uint64_t fpscr;

    if (n >= 32) {
        if (kvm_get_one_reg(cs, KVM_REG_PPC_FPSCR, &fpscr)) {
            return false;
        }
        env->fpscr = fpscr;
        return true;
    }
    if (env->insns_flags2 & PPC2_VSX) {
        /* One register of 128 bits, in the host's byte order */
        uint64_t vsr[2];

        if (kvm_get_one_reg(cs, KVM_REG_PPC_VSR(n), vsr)) {
            return false;
        }
        *cpu_fpr_ptr(env, n) = vsr[HOST_BIG_ENDIAN ? 0 : 1];
        *cpu_vsrl_ptr(env, n) = vsr[HOST_BIG_ENDIAN ? 1 : 0];
        return true;
    }
    return !kvm_get_one_reg(cs, KVM_REG_PPC_FPR(n), cpu_fpr_ptr(env, n));
}

static bool read_altivec(CPUState *cs, int n)
{
    CPUPPCState *env = cpu_env(cs);

    if (n < 32) {
        return !kvm_get_one_reg(cs, KVM_REG_PPC_VR(n), cpu_avr_ptr(env, n));
    }
    return n == 32 ? !kvm_get_one_reg(cs, KVM_REG_PPC_VSCR, &env->vscr) :
                     read_one_spr(cs, SPR_VRSAVE);
}

static bool read_regs(CPUState *cs)
{
    const struct kvm_regs *regs;

    if (kvmppc_regs_read(cs, &regs)) {
        return false;
    }
    regs_to_env(cpu_env(cs), regs);
    return true;
}

static bool read_spr(CPUState *cs, int n)
{
    int spr;

    switch (spr_source(cpu_env(cs), n, &spr)) {
    case SPR_SOURCE_REGS:
        return true;
    case SPR_SOURCE_ONE_REG:
        return read_one_spr(cs, spr);
    default:
        return false;
    }
}

typedef struct RegRequest {
    const char *feature;
    int n;
    bool done;
} RegRequest;

/* The names are those of gdb-xml/power-*.xml, and of gdbstub.c's own */
static void read_for_gdb(CPUState *cs, run_on_cpu_data data)
{
    RegRequest *want = data.host_ptr;

    /* MSR too: its LE says in which byte order gdb gets them */
    if (!read_regs(cs)) {
        return;
    }
    if (!want->feature) {
        want->done = true;
    } else if (!strcmp(want->feature, "org.qemu.power.spr")) {
        want->done = read_spr(cs, want->n);
    } else if (!strcmp(want->feature, "org.gnu.gdb.power.fpu") ||
               !strcmp(want->feature, "org.gnu.gdb.power.vsx")) {
        want->done = read_fp(cs, want->n);
    } else if (!strcmp(want->feature, "org.gnu.gdb.power.altivec")) {
        want->done = read_altivec(cs, want->n);
    }
}

bool kvm_arch_synchronize_register(CPUState *cs, const char *feature, int n)
{
    RegRequest want = { .feature = feature, .n = n };
    KvmPpcRegs *r;

    if (kvm_arch_can_singlestep(cs)) {
        return false;
    }
    r = get_regs(cs);
    if (!feature && r->valid && !runstate_is_running()) {
        regs_to_env(cpu_env(cs), &r->regs);
        return true;
    }
    run_on_cpu(cs, read_for_gdb, RUN_ON_CPU_HOST_PTR(&want));
    return want.done;
}

static void do_read_mmu(CPUState *cs, run_on_cpu_data data)
{
    kvmppc_regs_read_mmu(cs);
}

bool kvm_arch_synchronize_mmu(CPUState *cs)
{
    KvmPpcRegs *r;

    if (kvm_arch_can_singlestep(cs)) {
        return false;
    }
    r = get_regs(cs);
    if (r->valid && r->mmu_valid && !runstate_is_running()) {
        regs_to_env(cpu_env(cs), &r->regs);
    } else {
        run_on_cpu(cs, do_read_mmu, RUN_ON_CPU_NULL);
    }
    return true;
}
