/*
 * What a step session asks of a LoongArch processor under KVM
 *
 * What a step is to do is decided in step-plan.c, when in step-session.c.  Here
 * that becomes addresses in guest memory and registers of the vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "exec/cpu-common.h"
#include "system/address-spaces.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/memory.h"
#include "cpu.h"
#include "cpu-mmu.h"
#include "internals.h"
#include "kvm-regs.h"
#include "kvm-step-internal.h"
#include "trace.h"

static uint32_t trap_word;

void kvm_loongarch_step_set_trap(uint32_t word)
{
    trap_word = word;
}

BreakpointSet *kvm_loongarch_step_traps(void)
{
    return kvm_breakpoint_set();
}

/* Guest memory, by guest physical address; instructions are little-endian */

static int read_word(uint64_t phys, bool with_traps, uint32_t *word)
{
    if (address_space_read(&address_space_memory, phys, MEMTXATTRS_UNSPECIFIED,
                           word, sizeof(*word)) != MEMTX_OK) {
        return -EFAULT;
    }
    if (!with_traps) {
        breakpoint_set_restore(kvm_loongarch_step_traps(), phys, word,
                               sizeof(*word));
    }
    *word = le32_to_cpu(*word);
    return 0;
}

/*
 * By the MMU state that env has, for the mode that is meant: an entry is met at
 * another privilege level than the instruction.  The TLB is KVM's; what a guest
 * has in it alone, and not in page tables, can't be seen.
 */
static bool xlate(CPUState *cs, uint64_t addr, MMUAccessType access,
                  LoongArchStepMode mode, uint64_t *phys)
{
    CPULoongArchState *env = cpu_env(cs);
    MMUContext context = { .addr = addr };

    if (!mode.paged) {
        *phys = addr & loongarch_palen_mask(env);
        return true;
    }
    if (get_physical_address(env, &context, access, mode.plv, 1) !=
        TLBRET_MATCH) {
        return false;
    }
    *phys = context.physical;
    return true;
}

static bool xlate_fetch(CPUState *cs, uint64_t pc, LoongArchStepMode mode,
                        uint64_t *phys)
{
    return !(pc & 3) && xlate(cs, pc, MMU_INST_FETCH, mode, phys);
}

/* The instructions at @regs->pc, without traps.  Returns: how many */
static unsigned fetch_words(CPUState *cs, const LoongArchStepRegs *regs,
                            uint32_t *words, unsigned max)
{
    LoongArchStepMode mode = loongarch_step_mode(regs->crmd);

    for (unsigned i = 0; i < max; i++) {
        uint64_t phys;

        if (!xlate_fetch(cs, regs->pc + 4 * i, mode, &phys) ||
            read_word(phys, false, &words[i])) {
            return i;
        }
    }
    return max;
}

/*
 * Returns: 1 if the instruction was read, 0 if its address is not mapped, a
 * negative errno if it is and can't be read.
 */
static int fetch(CPUState *cs, const LoongArchStepRegs *regs, StepPlan *plan,
                 uint32_t *word)
{
    uint64_t phys;
    int ret;

    if (!xlate_fetch(cs, regs->pc, loongarch_step_mode(regs->crmd), &phys)) {
        return 0;
    }
    plan->has_insn = true;
    plan->insn_addr = phys;
    ret = read_word(phys, false, word);
    if (ret) {
        plan->reason = "can't read the instruction";
        return ret;
    }
    return 1;
}

/* Does the instruction itself read or write the trap at @trap? */
static bool touches(KvmLoongArchStep *step, uint64_t trap)
{
    const LoongArchStepInsn *insn = &step->plan.insn;
    const LoongArchStepRegs *regs = &step->plan.before;
    uint64_t va, phys;

    if (!step->plan.have_insn || !insn->mem) {
        return false;
    }
    va = loongarch_step_mem_va(insn, regs->gpr, regs->va32);
    for (unsigned i = 0; i < insn->mem_size; i++) {
        /* Translation keeps the offset in the page: most are ruled out here */
        if (((va + i) ^ trap) & 0xffc) {
            continue;
        }
        if (xlate(step->cs, va + i, MMU_DATA_LOAD,
                  loongarch_step_mode(regs->crmd), &phys) &&
            (phys & ~3ull) == trap) {
            return true;
        }
    }
    return false;
}

static int place_trap(KvmLoongArchStep *step, const LoongArchStepTrapAt *at,
                      StepPlan *plan)
{
    StepTrap *trap = &plan->traps[plan->nr_traps];
    bool is_next = at->kind == LOONGARCH_STEP_TRAP_NEXT;

    if (!xlate_fetch(step->cs, at->pc, at->mode, &trap->addr)) {
        if (!is_next) {
            /* An exception there raises one more: that is trapped */
            return 0;
        }
        plan->reason = "the address where the step may end is not mapped";
        plan->reason_addr = at->pc;
        return -EFAULT;
    }
    if (touches(step, trap->addr)) {
        if (!is_next) {
            /* A trap that the instruction would read or lose is left out */
            return 0;
        }
        plan->reason = "the instruction accesses the next one, where a trap "
                       "has to be";
        plan->reason_addr = at->pc;
        return -ENOTSUP;
    }
    trap->pc = at->pc;
    plan->nr_traps++;
    return 0;
}

static int step_place(void *vcpu, StepPlan *plan)
{
    KvmLoongArchStep *step = vcpu;
    LoongArchStepTrapAt traps[LOONGARCH_STEP_TRAPS_MAX];
    unsigned nr = loongarch_step_plan_traps(&step->plan, traps);

    QEMU_BUILD_BUG_ON(LOONGARCH_STEP_TRAPS_MAX > STEP_TRAPS_MAX);
    plan->nr_traps = 0;
    for (unsigned i = 0; i < nr; i++) {
        int ret = place_trap(step, &traps[i], plan);

        if (ret) {
            return ret;
        }
    }
    return 0;
}

static bool has_trap_at(const StepPlan *plan, uint64_t addr)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        if (plan->traps[i].addr == addr) {
            return true;
        }
    }
    return false;
}

/*
 * Of two vCPUs stepped at the same time neither may need a trap on the
 * instruction of the other, which is not trapped while that one runs it.
 * One that steps over a foreign trap runs alone: see force_traps().
 */
static int check_others(KvmLoongArchStep *step, StepPlan *plan)
{
    CPUState *cs;

    if (step->stepping_over) {
        return 0;
    }
    CPU_FOREACH(cs) {
        KvmLoongArchStep *other = kvm_loongarch_get_step(cs);
        StepPlan *theirs;

        if (!other || other == step || other->stepping_over ||
            !other->session.armed) {
            continue;
        }
        theirs = &other->session.plan;
        if ((theirs->has_insn && has_trap_at(plan, theirs->insn_addr)) ||
            (plan->has_insn && has_trap_at(theirs, plan->insn_addr))) {
            plan->reason = "another vCPU is being stepped there";
            return -EBUSY;
        }
    }
    return 0;
}

/*
 * A load-linked, with all up to its store-conditional.  Returns: false if it
 * has to be stepped by itself.
 */
static bool place_sequence(KvmLoongArchStep *step, StepPlan *plan)
{
    static uint64_t told;
    uint32_t words[STEP_SEQUENCE_WORDS_MAX];
    LoongArchStepPlan single = step->plan;
    uint64_t pc = single.before.pc;
    const char *reason;

    reason = loongarch_step_plan_sequence(&step->plan, words,
                                          fetch_words(step->cs, &single.before,
                                                      words,
                                                      G_N_ELEMENTS(words)));
    if (!reason) {
        if (!step_place(step, plan) && !check_others(step, plan)) {
            return true;
        }
        reason = plan->reason;
        step->plan = single;
    }
    if (told != pc) {
        told = pc;
        warn_report("the load-linked at 0x%" PRIx64 " is stepped by itself, "
                    "which breaks the link: %s", pc, reason);
    }
    return false;
}

/* What the plan is made of.  Returns: as fetch() */
static int read_all(KvmLoongArchStep *step, LoongArchStepRegs *regs,
                    uint32_t *word, StepPlan *plan)
{
    CPUState *cs = step->cs;
    LoongArchStepInsn insn;
    int ret = kvm_loongarch_regs_get(cs, regs);

    plan->reason_addr = regs->pc;
    if (!ret) {
        ret = kvm_loongarch_regs_read_mmu(cs);
    }
    if (!ret) {
        ret = fetch(cs, regs, plan, word);
        if (ret <= 0) {
            return ret;
        }
        loongarch_step_decode(*word, &insn);
        ret = kvm_loongarch_regs_get_for(cs, &insn, regs);
    }
    if (ret) {
        plan->reason = "can't read the registers";
        return ret;
    }
    return 1;
}

static int step_plan(void *vcpu, StepPlan *plan)
{
    KvmLoongArchStep *step = vcpu;
    CPUState *cs = step->cs;
    LoongArchStepRegs regs;
    uint32_t word = 0;
    int ret;

    if (!trap_word) {
        plan->reason = "KVM has no KVM_REG_LOONGARCH_DEBUG_INST";
        return -ENOTSUP;
    }
    ret = read_all(step, &regs, &word, plan);
    if (ret < 0) {
        return ret;
    }
    loongarch_step_plan_make(&step->plan, &regs, ret ? &word : NULL, trap_word,
                             (step->stepping_over && !step->alone) ||
                             cs->singlestep_flags & SSTEP_NOIRQ);
    plan->run = step->plan.run;
    trace_kvm_loongarch_step_plan(cs->cpu_index, regs.pc, word,
                                  step->plan.insn.cls, plan->run,
                                  step->plan.mask_ie);
    if (!plan->run) {
        return 0;
    }
    if (step->plan.insn.cls == LOONGARCH_STEP_LL &&
        place_sequence(step, plan)) {
        return 0;
    }
    ret = step_place(step, plan);
    return ret ? ret : check_others(step, plan);
}

static int step_enter(void *vcpu, StepPlan *plan)
{
    KvmLoongArchStep *step = vcpu;
    LoongArchStepRegs regs = plan->run ? step->plan.before : step->plan.after;
    int ret;

    if (plan->run) {
        regs.crmd = loongarch_step_plan_enter_crmd(&step->plan);
    }
    ret = kvm_loongarch_regs_put(step->cs, &step->plan.before, &regs);
    if (ret) {
        plan->reason = "can't write the registers";
    }
    return ret;
}

/* The register that has the interrupt enable where a step has ended */
static KvmLoongArchReg enable_register(LoongArchStepTrapKind kind)
{
    static const KvmLoongArchReg regs[] = {
        [LOONGARCH_STEP_TRAP_NEXT] = KVM_LOONGARCH_CRMD,
        [LOONGARCH_STEP_TRAP_EXCEPTION] = KVM_LOONGARCH_PRMD,
        [LOONGARCH_STEP_TRAP_REFILL] = KVM_LOONGARCH_TLBRPRMD,
    };

    return regs[kind];
}

/*
 * A refill may be for the fetch of an exception's entry.  What the instruction
 * has raised was taken before that, and has left the enable in PRMD.
 */
static int refill_register(CPUState *cs, const LoongArchStepPlan *plan,
                           KvmLoongArchReg *reg)
{
    uint64_t tlbrera;
    int ret = kvm_loongarch_regs_read(cs, KVM_LOONGARCH_TLBRERA, &tlbrera);

    if (!ret && loongarch_step_plan_kind(plan, tlbrera & ~3ull) ==
        LOONGARCH_STEP_TRAP_EXCEPTION) {
        *reg = enable_register(LOONGARCH_STEP_TRAP_EXCEPTION);
    }
    return ret;
}

static int step_finish(void *vcpu, StepPlan *plan, uint64_t pc)
{
    KvmLoongArchStep *step = vcpu;
    CPUState *cs = step->cs;
    LoongArchStepTrapKind kind = loongarch_step_plan_kind(&step->plan, pc);
    KvmLoongArchReg reg = enable_register(kind);
    uint64_t value;
    int ret;

    if (kind == LOONGARCH_STEP_TRAP_NEXT) {
        /* What changes CRMD is not run, but done in registers */
        kvm_loongarch_regs_expect(cs, KVM_LOONGARCH_CRMD,
                           loongarch_step_plan_enter_crmd(&step->plan));
    }
    trace_kvm_loongarch_step_finish(cs->cpu_index, pc, kind);
    if (!step->plan.mask_ie) {
        return 0;
    }
    ret = kind == LOONGARCH_STEP_TRAP_REFILL ?
          refill_register(cs, &step->plan, &reg) : 0;
    if (!ret) {
        ret = kvm_loongarch_regs_read(cs, reg, &value);
    }
    if (ret) {
        return ret;
    }
    kvm_loongarch_regs_write(cs, reg,
                             loongarch_step_plan_finish(&step->plan, value));
    return 0;
}

static int step_undo(void *vcpu, StepPlan *plan)
{
    KvmLoongArchStep *step = vcpu;
    uint64_t crmd;
    int ret = kvm_loongarch_regs_read(step->cs, KVM_LOONGARCH_CRMD, &crmd);

    if (ret) {
        return ret;
    }
    crmd = loongarch_step_plan_finish(&step->plan, crmd);
    trace_kvm_loongarch_step_undo(step->cs->cpu_index, crmd);
    kvm_loongarch_regs_write(step->cs, KVM_LOONGARCH_CRMD, crmd);
    return 0;
}

static int step_get_pc(void *vcpu, uint64_t *pc)
{
    KvmLoongArchStep *step = vcpu;

    return kvm_loongarch_regs_get_pc(step->cs, pc);
}

const StepOps kvm_loongarch_step_ops = {
    .plan = step_plan,
    .place = step_place,
    .enter = step_enter,
    .finish = step_finish,
    .undo = step_undo,
    .get_pc = step_get_pc,
};

/* gdb's breakpoints */

/*
 * gdb sets one in the kernel while a process runs and the other way round,
 * where the vCPU's own privilege level has no direct mapping window, or no
 * access.
 */
int kvm_arch_place_sw_breakpoint(CPUState *cs, vaddr pc, uint64_t *addr)
{
    LoongArchStepMode mode;
    int ret;

    if (!trap_word) {
        return -ENOSYS;
    }
    /* A vCPU that comes there by another address is stepped over the trap */
    ret = kvm_loongarch_step_want_traps();
    if (ret) {
        return ret;
    }
    cpu_synchronize_mmu(cs);
    mode = loongarch_step_mode(env_sys(cpu_env(cs))->CSR_CRMD);
    if (xlate_fetch(cs, pc, mode, addr)) {
        return 0;
    }
    mode.plv = mode.plv ? 0 : 3;
    return xlate_fetch(cs, pc, mode, addr) ? 0 : -EFAULT;
}

KvmLoongArchTrapOwner kvm_loongarch_trap_owner(CPUState *cs)
{
    BreakpointSet *traps = kvm_loongarch_step_traps();
    LoongArchStepRegs regs;
    uint64_t phys;
    uint32_t word;

    if (kvm_loongarch_regs_get(cs, &regs) || kvm_loongarch_regs_read_mmu(cs) ||
        !xlate_fetch(cs, regs.pc, loongarch_step_mode(regs.crmd), &phys) ||
        read_word(phys, true, &word)) {
        return KVM_LOONGARCH_TRAP_UNKNOWN;
    }
    if (word != trap_word) {
        return KVM_LOONGARCH_TRAP_GONE;
    }
    if (breakpoint_set_refs(traps, phys, BREAKPOINT_OWNER_USER)) {
        return kvm_find_sw_breakpoint(cs, regs.pc) ? KVM_LOONGARCH_TRAP_USER :
                                                     KVM_LOONGARCH_TRAP_OTHER;
    }
    return breakpoint_set_refs(traps, phys, BREAKPOINT_OWNER_STEP) ?
           KVM_LOONGARCH_TRAP_OTHER : KVM_LOONGARCH_TRAP_GUEST;
}
