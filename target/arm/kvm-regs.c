/*
 * Registers of an arm64 vCPU under KVM, as a debugger uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "hw/core/boards.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "cpu.h"
#include "internals.h"
#include "kvm-regs.h"

typedef struct KvmArmRegs {
    uint64_t value[KVM_ARM_NR_REGS];
    uint64_t valid;     /* as the vCPU has them, or shall have */
    uint64_t dirty;     /* KVM does not have them yet */
    uint64_t kvm[KVM_ARM_NR_REGS];
    uint64_t known;     /* what KVM has of these */
} KvmArmRegs;

/* Of gdb-xml/aarch64-core.xml */
enum { GDB_X30 = 30, GDB_SP, GDB_PC, GDB_CPSR };

/* By cpu_index.  Looked at without the BQL, so it never moves */
static KvmArmRegs *all_regs;

void kvm_arm_regs_init(void)
{
    if (!all_regs) {
        all_regs = g_new0(KvmArmRegs, current_machine->smp.max_cpus);
    }
}

static KvmArmRegs *get_regs(CPUState *cs)
{
    return &all_regs[cs->cpu_index];
}

#define CORE_REG(x) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
                     KVM_REG_ARM_CORE_REG(x))

static uint64_t reg_id(KvmArmReg reg)
{
    static const uint64_t ids[KVM_ARM_NR_REGS] = {
        [KVM_ARM_SP_EL0] = CORE_REG(regs.sp),
        [KVM_ARM_SP_EL1] = CORE_REG(sp_el1),
        [KVM_ARM_PC] = CORE_REG(regs.pc),
        [KVM_ARM_PSTATE] = CORE_REG(regs.pstate),
        [KVM_ARM_ELR_EL1] = CORE_REG(elr_el1),
        [KVM_ARM_SPSR_EL1] = CORE_REG(spsr[KVM_SPSR_EL1]),
        [KVM_ARM_VBAR_EL1] = ARM64_SYS_REG(3, 0, 12, 0, 0),
        [KVM_ARM_SCTLR_EL1] = ARM64_SYS_REG(3, 0, 1, 0, 0),
        [KVM_ARM_TCR_EL1] = ARM64_SYS_REG(3, 0, 2, 0, 2),
        [KVM_ARM_TTBR0_EL1] = ARM64_SYS_REG(3, 0, 2, 0, 0),
        [KVM_ARM_TTBR1_EL1] = ARM64_SYS_REG(3, 0, 2, 0, 1),
    };

    /* The identifiers count words of 32 bits */
    return reg < KVM_ARM_SP_EL0 ? CORE_REG(regs.regs[0]) + 2 * reg : ids[reg];
}

/* Where env has a register whose value needs no making */
static uint64_t *in_env(CPUARMState *env, KvmArmReg reg)
{
    switch (reg) {
    case KVM_ARM_SP_EL0:
    case KVM_ARM_SP_EL1:
        /* The current one is in xregs[31] */
        aarch64_save_sp(env, arm_current_el(env));
        return &env->sp_el[reg == KVM_ARM_SP_EL1];
    case KVM_ARM_PC:
        return &env->pc;
    case KVM_ARM_ELR_EL1:
        return &env->elr_el[1];
    case KVM_ARM_SPSR_EL1:
        return &env->banked_spsr[aarch64_banked_spsr_index(1)];
    case KVM_ARM_VBAR_EL1:
        return &env->cp15.vbar_el[1];
    case KVM_ARM_SCTLR_EL1:
        return &env->cp15.sctlr_el[1];
    case KVM_ARM_TCR_EL1:
        return &env->cp15.tcr_el[1];
    case KVM_ARM_TTBR0_EL1:
        return &env->cp15.ttbr0_el[1];
    case KVM_ARM_TTBR1_EL1:
        return &env->cp15.ttbr1_el[1];
    default:
        assert(reg < KVM_ARM_SP_EL0);
        return &env->xregs[reg];
    }
}

/* env keeps PSTATE in two ways, and in parts */

static uint64_t pstate_of(CPUARMState *env)
{
    return is_a64(env) ? pstate_read(env) : cpsr_read(env);
}

static void set_pstate(CPUARMState *env, uint64_t value)
{
    if (is_a64(env)) {
        pstate_write(env, value);
    } else {
        cpsr_write(env, value, ~PSTATE_SS, CPSRWriteRaw);
    }
}

static void kvm_has(KvmArmRegs *r, KvmArmReg reg)
{
    r->kvm[reg] = r->value[reg];
    r->known |= BIT_ULL(reg);
    r->dirty &= ~BIT_ULL(reg);
}

int kvm_arm_regs_read(CPUState *cs, KvmArmReg reg, uint64_t *value)
{
    KvmArmRegs *r = get_regs(cs);
    CPUARMState *env = cpu_env(cs);

    if (cs->vcpu_dirty) {
        *value = reg == KVM_ARM_PSTATE ? pstate_of(env) : *in_env(env, reg);
        return 0;
    }
    if (!(r->valid & BIT_ULL(reg))) {
        int ret = kvm_get_one_reg(cs, reg_id(reg), &r->value[reg]);

        if (ret) {
            return ret;
        }
        r->valid |= BIT_ULL(reg);
        kvm_has(r, reg);
    }
    *value = r->value[reg];
    return 0;
}

void kvm_arm_regs_write(CPUState *cs, KvmArmReg reg, uint64_t value)
{
    KvmArmRegs *r = get_regs(cs);
    CPUARMState *env = cpu_env(cs);

    if (!cs->vcpu_dirty) {
        r->value[reg] = value;
        r->valid |= BIT_ULL(reg);
        r->dirty |= BIT_ULL(reg);
        if (r->known & BIT_ULL(reg) && r->kvm[reg] == value) {
            /* Changed there and back, as the masks are from step to step */
            r->dirty &= ~BIT_ULL(reg);
        }
    } else if (reg == KVM_ARM_PSTATE) {
        set_pstate(env, value);
    } else {
        *in_env(env, reg) = value;
    }
}

static int flush(CPUState *cs, KvmArmRegs *r)
{
    while (r->dirty) {
        KvmArmReg reg = ctz64(r->dirty);
        int ret = kvm_set_one_reg(cs, reg_id(reg), &r->value[reg]);

        if (ret) {
            return ret;
        }
        kvm_has(r, reg);
    }
    return 0;
}

void kvm_arm_regs_pre_run(CPUState *cs, uint64_t keep)
{
    KvmArmRegs *r = get_regs(cs);
    int ret = flush(cs, r);

    if (ret) {
        kvm_cancel_run(cs, ret);
        return;
    }
    r->valid &= keep;
    r->known &= keep;
}

void kvm_arm_regs_forget(CPUState *cs)
{
    KvmArmRegs *r = get_regs(cs);

    r->valid = r->dirty;
    r->known = 0;
}

void kvm_arm_regs_before_get(CPUState *cs)
{
    int ret = flush(cs, get_regs(cs));

    if (ret) {
        error_report("can't write the registers of CPU %d: %s",
                     cs->cpu_index, strerror(-ret));
    }
}

void kvm_arm_regs_before_put(CPUState *cs)
{
    KvmArmRegs *r = get_regs(cs);

    r->valid = 0;
    r->dirty = 0;
    r->known = 0;
}

/* What gdb asks for: to env, which is for looking only as it is not dirty */

static bool read_to_env(CPUState *cs, KvmArmReg reg)
{
    uint64_t value;

    if (kvm_arm_regs_read(cs, reg, &value)) {
        return false;
    }
    *in_env(cpu_env(cs), reg) = value;
    return true;
}

/* False in AArch32 state, too: there the registers have other names */
static bool read_pstate(CPUState *cs)
{
    CPUARMState *env = cpu_env(cs);
    uint64_t pstate;

    if (kvm_arm_regs_read(cs, KVM_ARM_PSTATE, &pstate) ||
        pstate & PSTATE_nRW) {
        return false;
    }
    env->aarch64 = true;
    pstate_write(env, pstate);
    return true;
}

static KvmArmReg current_sp(CPUARMState *env)
{
    return arm_current_el(env) && env->pstate & PSTATE_SP ? KVM_ARM_SP_EL1
                                                          : KVM_ARM_SP_EL0;
}

static bool read_core(CPUState *cs, int n)
{
    CPUARMState *env = cpu_env(cs);
    uint64_t sp;

    if (!read_pstate(cs)) {
        return false;
    }
    switch (n) {
    case 0 ... GDB_X30:
        return read_to_env(cs, n);
    case GDB_SP:
        if (kvm_arm_regs_read(cs, current_sp(env), &sp)) {
            return false;
        }
        env->xregs[31] = sp;
        return true;
    case GDB_PC:
        return read_to_env(cs, KVM_ARM_PC);
    case GDB_CPSR:
        return true;
    default:
        return false;
    }
}

/* Is it, and PSTATE, here without asking KVM? */
static bool core_is_valid(CPUState *cs, int n)
{
    uint64_t want = BIT_ULL(KVM_ARM_PSTATE) |
                    BIT_ULL(n <= GDB_X30 ? n :
                            n == GDB_PC ? KVM_ARM_PC : KVM_ARM_PSTATE);

    return n != GDB_SP && (get_regs(cs)->valid & want) == want &&
           !runstate_is_running();
}

typedef struct RegRequest {
    int n;
    bool done;
} RegRequest;

static void do_read_core(CPUState *cs, run_on_cpu_data data)
{
    RegRequest *want = data.host_ptr;

    want->done = read_core(cs, want->n);
}

bool kvm_arch_synchronize_register(CPUState *cs, const char *feature, int n)
{
    RegRequest want = { .n = n };

    /* At EL2 the stack pointer is one that is not kept here */
    if (arm_feature(cpu_env(cs), ARM_FEATURE_EL2) ||
        (feature && strcmp(feature, "org.gnu.gdb.aarch64.core"))) {
        return false;
    }
    if (core_is_valid(cs, n)) {
        return read_core(cs, n);
    }
    run_on_cpu(cs, do_read_core, RUN_ON_CPU_HOST_PTR(&want));
    return want.done;
}

static void do_read_mmu(CPUState *cs, run_on_cpu_data data)
{
    bool *done = data.host_ptr;

    *done = read_pstate(cs);
    for (int reg = KVM_ARM_SCTLR_EL1; reg <= KVM_ARM_TTBR1_EL1; reg++) {
        *done = *done && read_to_env(cs, reg);
    }
}

bool kvm_arch_synchronize_mmu(CPUState *cs)
{
    const uint64_t want = BIT_ULL(KVM_ARM_PSTATE) |
        MAKE_64BIT_MASK(KVM_ARM_SCTLR_EL1,
                        KVM_ARM_NR_REGS - KVM_ARM_SCTLR_EL1);
    bool done;

    /* A guest that has EL2 has more than these */
    if (arm_feature(cpu_env(cs), ARM_FEATURE_EL2)) {
        return false;
    }
    if ((get_regs(cs)->valid & want) == want && !runstate_is_running()) {
        do_read_mmu(cs, RUN_ON_CPU_HOST_PTR(&done));
    } else {
        run_on_cpu(cs, do_read_mmu, RUN_ON_CPU_HOST_PTR(&done));
    }
    return done;
}
