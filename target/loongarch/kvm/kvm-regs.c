/*
 * Registers of a LoongArch vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "hw/core/boards.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "cpu.h"
#include "cpu-csr.h"
#include "internals.h"
#include "kvm-regs.h"
#include "kvm_loongarch.h"

/*
 * @valid: as the vCPU has them, or shall have
 * @dirty: KVM does not have them yet
 * @known: KVM has those in @kvm
 */
typedef struct KvmLoongArchRegs {
    struct kvm_regs core;
    bool core_valid;
    bool core_dirty;
    uint64_t value[KVM_LOONGARCH_NR_REGS];
    uint64_t valid;
    uint64_t dirty;
    uint64_t kvm[KVM_LOONGARCH_NR_REGS];
    uint64_t known;
} KvmLoongArchRegs;

#define CONTEXT_MASK MAKE_64BIT_MASK(KVM_LOONGARCH_EUEN, \
                         KVM_LOONGARCH_NR_REGS - KVM_LOONGARCH_EUEN)

/* Of gdbstub/gdb-xml/loongarch-base64.xml */
enum { GDB_R31 = 31, GDB_ORIG_A0, GDB_PC, GDB_BADV };

/* By cpu_index.  Looked at without the BQL, so it never moves */
static KvmLoongArchRegs *all_regs;

void kvm_loongarch_regs_init(void)
{
    if (!all_regs) {
        all_regs = g_new0(KvmLoongArchRegs, current_machine->smp.max_cpus);
    }
}

static KvmLoongArchRegs *get_regs(CPUState *cs)
{
    return &all_regs[cs->cpu_index];
}

static const struct {
    uint16_t csr;
    uint16_t offset;    /* in CPUSysState */
} where[KVM_LOONGARCH_NR_REGS] = {
#define WHERE(name) [KVM_LOONGARCH_ ## name] = \
    { LOONGARCH_CSR_ ## name, offsetof(CPUSysState, CSR_ ## name) }
#define WHERE_DMW(n) [KVM_LOONGARCH_DMW ## n] = \
    { LOONGARCH_CSR_DMW(n), offsetof(CPUSysState, CSR_DMW[n]) }
    WHERE(CRMD), WHERE(PRMD), WHERE(ERA), WHERE(BADV), WHERE(TLBRPRMD),
    WHERE(TLBRERA), WHERE(LLBCTL), WHERE(EUEN), WHERE(MISC), WHERE(ECFG),
    WHERE(EENTRY), WHERE(TLBRENTRY), WHERE(PGDL), WHERE(PGDH), WHERE(PWCL),
    WHERE(PWCH), WHERE_DMW(0), WHERE_DMW(1), WHERE_DMW(2), WHERE_DMW(3),
};

static uint64_t *in_env(CPUState *cs, KvmLoongArchReg reg)
{
    return (void *)((char *)env_sys(cpu_env(cs)) + where[reg].offset);
}

/* CSRs */

static void kvm_has(KvmLoongArchRegs *r, KvmLoongArchReg reg)
{
    r->kvm[reg] = r->value[reg];
    r->known |= BIT_ULL(reg);
    r->dirty &= ~BIT_ULL(reg);
}

int kvm_loongarch_regs_read(CPUState *cs, KvmLoongArchReg reg, uint64_t *value)
{
    KvmLoongArchRegs *r = get_regs(cs);

    if (cs->vcpu_dirty) {
        *value = *in_env(cs, reg);
        return 0;
    }
    if (!(r->valid & BIT_ULL(reg))) {
        int ret = kvm_get_one_reg(cs, KVM_IOC_CSRID(where[reg].csr),
                                  &r->value[reg]);

        if (ret) {
            return ret;
        }
        r->valid |= BIT_ULL(reg);
        kvm_has(r, reg);
    }
    *value = r->value[reg];
    return 0;
}

void kvm_loongarch_regs_write(CPUState *cs, KvmLoongArchReg reg,
                              uint64_t value)
{
    KvmLoongArchRegs *r = get_regs(cs);

    if (cs->vcpu_dirty) {
        *in_env(cs, reg) = value;
        return;
    }
    r->value[reg] = value;
    r->valid |= BIT_ULL(reg);
    r->dirty |= BIT_ULL(reg);
    if (r->known & BIT_ULL(reg) && r->kvm[reg] == value) {
        /* Changed there and back, as CRMD.IE is from step to step */
        r->dirty &= ~BIT_ULL(reg);
    }
}

void kvm_loongarch_regs_expect(CPUState *cs, KvmLoongArchReg reg,
                               uint64_t value)
{
    KvmLoongArchRegs *r = get_regs(cs);

    if (!cs->vcpu_dirty && !(r->valid & BIT_ULL(reg))) {
        r->value[reg] = value;
        r->valid |= BIT_ULL(reg);
        kvm_has(r, reg);
    }
}

static int flush(CPUState *cs, KvmLoongArchRegs *r)
{
    while (r->dirty) {
        KvmLoongArchReg reg = ctz64(r->dirty);
        int ret = kvm_set_one_reg(cs, KVM_IOC_CSRID(where[reg].csr),
                                  &r->value[reg]);

        if (ret) {
            return ret;
        }
        kvm_has(r, reg);
        if (reg == KVM_LOONGARCH_LLBCTL) {
            /* WCLLB is read as 0 */
            r->valid &= ~BIT_ULL(reg);
            r->known &= ~BIT_ULL(reg);
        }
    }
    if (r->core_dirty) {
        int ret = kvm_vcpu_ioctl(cs, KVM_SET_REGS, &r->core);

        if (ret) {
            return ret;
        }
        r->core_dirty = false;
    }
    return 0;
}

void kvm_loongarch_regs_pre_run(CPUState *cs, bool same_context)
{
    KvmLoongArchRegs *r = get_regs(cs);
    int ret = flush(cs, r);

    if (ret) {
        kvm_cancel_run(cs, ret);
        return;
    }
    r->core_valid = false;
    r->valid &= same_context ? CONTEXT_MASK : 0;
    r->known &= same_context ? CONTEXT_MASK : 0;
}

int kvm_loongarch_regs_before_get(CPUState *cs)
{
    return flush(cs, get_regs(cs));
}

void kvm_loongarch_regs_before_put(CPUState *cs)
{
    KvmLoongArchRegs *r;

    if (!all_regs) {
        return;
    }
    r = get_regs(cs);
    r->core_valid = false;
    r->core_dirty = false;
    r->valid = 0;
    r->dirty = 0;
    r->known = 0;
}

/* General registers */

static int read_core(CPUState *cs, KvmLoongArchRegs *r)
{
    int ret;

    if (r->core_valid) {
        return 0;
    }
    ret = kvm_vcpu_ioctl(cs, KVM_GET_REGS, &r->core);
    if (ret < 0) {
        return ret;
    }
    r->core.gpr[0] = 0;
    r->core_valid = true;
    return 0;
}

int kvm_loongarch_regs_get_pc(CPUState *cs, uint64_t *pc)
{
    KvmLoongArchRegs *r = get_regs(cs);
    int ret;

    if (cs->vcpu_dirty) {
        *pc = cpu_env(cs)->pc;
        return 0;
    }
    ret = read_core(cs, r);
    *pc = r->core.pc;
    return ret;
}

static int get_core(CPUState *cs, LoongArchStepRegs *regs)
{
    KvmLoongArchRegs *r = get_regs(cs);
    int ret;

    if (cs->vcpu_dirty) {
        CPULoongArchState *env = cpu_env(cs);

        for (int i = 1; i < 32; i++) {
            regs->gpr[i] = env->gpr[i];
        }
        regs->pc = env->pc;
        return 0;
    }
    ret = read_core(cs, r);
    if (ret) {
        return ret;
    }
    QEMU_BUILD_BUG_ON(sizeof(regs->gpr) != sizeof(r->core.gpr));
    memcpy(regs->gpr, r->core.gpr, sizeof(regs->gpr));
    regs->pc = r->core.pc;
    return 0;
}

static void put_core(CPUState *cs, const LoongArchStepRegs *regs)
{
    KvmLoongArchRegs *r = get_regs(cs);

    if (cs->vcpu_dirty) {
        CPULoongArchState *env = cpu_env(cs);

        for (int i = 1; i < 32; i++) {
            env->gpr[i] = regs->gpr[i];
        }
        env->pc = regs->pc;
        return;
    }
    memcpy(r->core.gpr, regs->gpr, sizeof(regs->gpr));
    r->core.pc = regs->pc;
    r->core_valid = true;
    r->core_dirty = true;
}

int kvm_loongarch_regs_skip(CPUState *cs)
{
    LoongArchStepRegs regs = { };
    int ret = get_core(cs, &regs);

    if (!ret) {
        regs.gpr[4] = UINT64_MAX;
        regs.pc += 4;
        put_core(cs, &regs);
    }
    return ret;
}

/* Those of a step */

typedef struct StepField {
    KvmLoongArchReg reg;
    size_t offset;      /* in LoongArchStepRegs */
} StepField;

#define FIELD_OF(name, field) \
    { KVM_LOONGARCH_ ## name, offsetof(LoongArchStepRegs, field) }

/* What each step needs, and what ertn does */
static const StepField step_fields[] = {
    FIELD_OF(CRMD, crmd), FIELD_OF(ECFG, ecfg), FIELD_OF(EENTRY, eentry),
    FIELD_OF(TLBRENTRY, tlbrentry), FIELD_OF(PGDL, pgdl),
    FIELD_OF(PGDH, pgdh), FIELD_OF(DMW0, dmw[0]), FIELD_OF(DMW1, dmw[1]),
    FIELD_OF(DMW2, dmw[2]), FIELD_OF(DMW3, dmw[3]),
};

static const StepField ertn_fields[] = {
    FIELD_OF(PRMD, prmd), FIELD_OF(ERA, era), FIELD_OF(TLBRPRMD, tlbrprmd),
    FIELD_OF(TLBRERA, tlbrera), FIELD_OF(LLBCTL, llbctl),
};

static uint64_t *step_field(LoongArchStepRegs *regs, const StepField *f)
{
    return (void *)((char *)regs + f->offset);
}

static int get_fields(CPUState *cs, const StepField *f, size_t nr,
                      LoongArchStepRegs *regs)
{
    int ret = 0;

    for (size_t i = 0; i < nr && !ret; i++) {
        ret = kvm_loongarch_regs_read(cs, f[i].reg, step_field(regs, &f[i]));
    }
    return ret;
}

static void put_fields(CPUState *cs, const StepField *f, size_t nr,
                       const LoongArchStepRegs *old,
                       const LoongArchStepRegs *regs)
{
    for (size_t i = 0; i < nr; i++) {
        uint64_t was = *step_field((LoongArchStepRegs *)old, &f[i]);
        uint64_t is = *step_field((LoongArchStepRegs *)regs, &f[i]);

        if (was != is) {
            kvm_loongarch_regs_write(cs, f[i].reg, is);
        }
    }
}

/* As is_va32() has it; PLV0 has addresses of 64 bits */
static int get_va32(CPUState *cs, LoongArchStepRegs *regs)
{
    unsigned plv = regs->crmd & LOONGARCH_STEP_CRMD_PLV;
    uint64_t misc = 0;
    int ret = plv ? kvm_loongarch_regs_read(cs, KVM_LOONGARCH_MISC, &misc) : 0;

    regs->va32 = misc & 1 << plv;
    return ret;
}

int kvm_loongarch_regs_get(CPUState *cs, LoongArchStepRegs *regs)
{
    int ret;

    memset(regs, 0, sizeof(*regs));
    ret = get_core(cs, regs);
    if (!ret) {
        ret = get_fields(cs, step_fields, G_N_ELEMENTS(step_fields), regs);
    }
    return ret ? ret : get_va32(cs, regs);
}

static int get_fcc(CPUState *cs, LoongArchStepRegs *regs)
{
    int ret = cs->vcpu_dirty ? 0 : kvm_loongarch_get_regs_fp(cs);

    for (int i = 0; i < 8; i++) {
        regs->fcc |= (cpu_env(cs)->cf[i] & 1) << i;
    }
    return ret;
}

static int get_scr(CPUState *cs, unsigned n, LoongArchStepRegs *regs)
{
    CPULoongArchState *env = cpu_env(cs);

    if (cs->vcpu_dirty) {
        regs->scr[n] = n ? env->lbt.scr1 : env->lbt.scr0;
        return 0;
    }
    return kvm_get_one_reg(cs, n ? KVM_REG_LOONGARCH_LBT_SCR1 :
                                   KVM_REG_LOONGARCH_LBT_SCR0, &regs->scr[n]);
}

int kvm_loongarch_regs_get_for(CPUState *cs, const LoongArchStepInsn *insn,
                               LoongArchStepRegs *regs)
{
    int ret;

    if (insn->cls == LOONGARCH_STEP_ERTN) {
        return get_fields(cs, ertn_fields, G_N_ELEMENTS(ertn_fields), regs);
    }
    if (insn->cls != LOONGARCH_STEP_JISCR &&
        (insn->cls != LOONGARCH_STEP_BRANCH || !insn->exceptions)) {
        return 0;
    }
    ret = kvm_loongarch_regs_read(cs, KVM_LOONGARCH_EUEN, &regs->euen);
    if (ret) {
        return ret;
    }
    if (insn->cls == LOONGARCH_STEP_JISCR) {
        return regs->euen & LOONGARCH_STEP_EUEN_BTE ?
               get_scr(cs, insn->scr, regs) : 0;
    }
    return regs->euen & LOONGARCH_STEP_EUEN_FPE ? get_fcc(cs, regs) : 0;
}

int kvm_loongarch_regs_put(CPUState *cs, const LoongArchStepRegs *old,
                           const LoongArchStepRegs *regs)
{
    KvmLoongArchRegs *r = get_regs(cs);
    int ret = cs->vcpu_dirty ? 0 : read_core(cs, r);

    if (ret) {
        return ret;
    }
    if (regs->pc != old->pc ||
        memcmp(regs->gpr, old->gpr, sizeof(regs->gpr))) {
        put_core(cs, regs);
    }
    put_fields(cs, step_fields, G_N_ELEMENTS(step_fields), old, regs);
    put_fields(cs, ertn_fields, G_N_ELEMENTS(ertn_fields), old, regs);
    return 0;
}

/* What gdb asks for: to env, which is for looking only as it is not dirty */

static int read_to_env(CPUState *cs, KvmLoongArchReg reg)
{
    uint64_t value;
    int ret = kvm_loongarch_regs_read(cs, reg, &value);

    if (!ret && !cs->vcpu_dirty) {
        *in_env(cs, reg) = value;
    }
    return ret;
}

int kvm_loongarch_regs_read_mmu(CPUState *cs)
{
    int ret = read_to_env(cs, KVM_LOONGARCH_CRMD);

    for (int reg = KVM_LOONGARCH_PGDL; reg < KVM_LOONGARCH_NR_REGS && !ret;
         reg++) {
        ret = read_to_env(cs, reg);
    }
    return ret;
}

static bool core_to_env(CPUState *cs)
{
    KvmLoongArchRegs *r = get_regs(cs);
    CPULoongArchState *env = cpu_env(cs);

    if (read_core(cs, r)) {
        return false;
    }
    for (int i = 0; i < 32; i++) {
        env->gpr[i] = r->core.gpr[i];
    }
    env->pc = r->core.pc;
    return true;
}

typedef struct RegRequest {
    const char *feature;
    int n;
    bool done;
} RegRequest;

/* The names are those of gdbstub/gdb-xml/loongarch-*.xml */
static void read_for_gdb(CPUState *cs, run_on_cpu_data data)
{
    RegRequest *want = data.host_ptr;

    if (!want->feature ||
        !strcmp(want->feature, "org.gnu.gdb.loongarch.base")) {
        want->done = want->n == GDB_BADV ? !read_to_env(cs, KVM_LOONGARCH_BADV)
                                         : core_to_env(cs);
    } else if (!strcmp(want->feature, "org.gnu.gdb.loongarch.fpu") ||
               !strcmp(want->feature, "org.gnu.gdb.loongarch.lsx") ||
               !strcmp(want->feature, "org.gnu.gdb.loongarch.lasx")) {
        want->done = !kvm_loongarch_get_regs_fp(cs);
    }
}

bool kvm_arch_synchronize_register(CPUState *cs, const char *feature, int n)
{
    RegRequest want = { .feature = feature, .n = n };

    if (!feature && n <= GDB_PC && get_regs(cs)->core_valid &&
        !runstate_is_running()) {
        return core_to_env(cs);
    }
    run_on_cpu(cs, read_for_gdb, RUN_ON_CPU_HOST_PTR(&want));
    return want.done;
}

static void do_read_mmu(CPUState *cs, run_on_cpu_data data)
{
    bool *done = data.host_ptr;

    /* What VA32 depends on, and where breakpoints belong, too */
    *done = !kvm_loongarch_regs_read_mmu(cs) && core_to_env(cs);
}

bool kvm_arch_synchronize_mmu(CPUState *cs)
{
    bool done = false;

    run_on_cpu(cs, do_read_mmu, RUN_ON_CPU_HOST_PTR(&done));
    return done;
}
