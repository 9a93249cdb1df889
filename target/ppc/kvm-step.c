/*
 * Breakpoints and single-stepping for KVM on Book III processors
 *
 * What to do is decided in step-plan.c; when, in step-session.c.  Here are the
 * registers, the memory and the occasions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "accel/step-session.h"
#include "exec/cpu-common.h"
#include "system/dma.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "helper_regs.h"
#include "internal.h"
#include "kvm_ppc.h"
#include "kvm-step.h"
#include "mmu-book3s-v3.h"
#include "step-plan.h"
#include "trace.h"

typedef struct PPCStep {
    StepSession session;
    PowerPCCPU *cpu;
    PPCStepPlan plan;
    struct kvm_regs kvm_regs;   /* as last read, for fields we don't change */
    bool dec_held;
    uint64_t dec_expiry;        /* the guest's own, while held */
} PPCStep;

static BreakpointSet *breakpoints;
static GHashTable *user_addresses;      /* gdb's address -> where it is */
static GPtrArray *steps;                /* by cpu_index; NULL: none yet */
static uint32_t trap_word;
static bool active;

/* Guest memory, by guest physical address */

static int memory_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    MemTxResult r = address_space_read(&address_space_memory, addr,
                                       MEMTXATTRS_UNSPECIFIED, buf, len);

    return r == MEMTX_OK ? 0 : -EFAULT;
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
    cpu_flush_icache_range(addr, len);
    return 0;
}

static const BreakpointMemory guest_memory = {
    .read = memory_read,
    .write = memory_write,
};

void kvmppc_step_init(uint32_t trap)
{
    if (!breakpoints) {
        trap_word = trap;
        breakpoints = breakpoint_set_new(&guest_memory, NULL, &trap,
                                         sizeof(trap));
        user_addresses = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                               g_free, g_free);
        steps = g_ptr_array_new();
    }
}

/*
 * Translation, for the mode that is meant and not the one the vCPU is in: a
 * vector is met with other IR, DR and PR than the instruction before it.
 */

typedef struct XlateMode {
    bool relocated;
    bool problem_state;
} XlateMode;

static bool translate(PowerPCCPU *cpu, vaddr addr, MMUAccessType access,
                      XlateMode mode, uint64_t *phys)
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

/*
 * What translation depends on is in env, and changes there only when QEMU
 * handles the hypercall that changes it, but for PID and a hash guest's SLB.
 */
static void sync_for_translation(PPCStep *step)
{
    PowerPCCPU *cpu = step->cpu;
    CPUState *cs = CPU(cpu);

    if (cs->vcpu_dirty) {
        return;
    }
#ifdef TARGET_PPC64
    if (ppc64_v3_radix(cpu)) {
        uint64_t pid;

        if (!kvm_get_one_reg(cs, KVM_REG_PPC_PID, &pid)) {
            cpu->env.spr[SPR_BOOKS_PID] = pid;
        }
        return;
    }
#endif
    cpu_synchronize_state(cs);
}

static XlateMode fetch_mode(const PPCStepRegs *regs)
{
    return (XlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_IR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

static XlateMode data_mode(const PPCStepRegs *regs)
{
    return (XlateMode) {
        .relocated = regs->msr & PPC_STEP_MSR_DR,
        .problem_state = regs->msr & PPC_STEP_MSR_PR,
    };
}

/*
 * Registers.  If QEMU's copy is the valid one it is used, and KVM gets it on
 * the next entry anyway; otherwise one ioctl has all that a step needs.
 */

static void regs_from_env(CPUPPCState *env, PPCStepRegs *regs)
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

static int regs_from_kvm(PPCStep *step, PPCStepRegs *regs)
{
    struct kvm_regs *kvm = &step->kvm_regs;
    int ret = kvm_vcpu_ioctl(CPU(step->cpu), KVM_GET_REGS, kvm);

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

static uint8_t current_ail(PPCStep *step)
{
    return (step->cpu->env.spr[SPR_LPCR] & LPCR_AIL) >> LPCR_AIL_SHIFT;
}

static int regs_get(PPCStep *step, PPCStepRegs *regs)
{
    CPUPPCState *env = &step->cpu->env;
    int ret = 0;

    memset(regs, 0, sizeof(*regs));
    if (CPU(step->cpu)->vcpu_dirty) {
        regs_from_env(env, regs);
    } else {
        ret = regs_from_kvm(step, regs);
    }
    regs->lpcr_ail = current_ail(step);
    regs->lpcr_ile = env->spr[SPR_LPCR] & LPCR_ILE;
    regs->msr_mask = env->msr_mask;
    regs->isa300 = env->insns_flags2 & PPC2_ISA300;
    return ret;
}

static int regs_put(PPCStep *step, const PPCStepRegs *regs)
{
    CPUPPCState *env = &step->cpu->env;
    struct kvm_regs *kvm = &step->kvm_regs;

    if (CPU(step->cpu)->vcpu_dirty) {
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
        return 0;
    }
    memcpy(kvm->gpr, regs->gpr, sizeof(regs->gpr));
    kvm->pc = regs->pc;
    kvm->msr = regs->msr;
    kvm->srr0 = regs->srr0;
    kvm->srr1 = regs->srr1;
    kvm->lr = regs->lr;
    kvm->ctr = regs->ctr;
    return kvm_vcpu_ioctl(CPU(step->cpu), KVM_SET_REGS, kvm);
}

/* The session's view of this architecture */

/*
 * The instruction and the word behind it.  Returns: 1 if they were read, 0 if
 * the address is not mapped, a negative errno if it is and can't be read.
 */
static int fetch(PPCStep *step, const PPCStepRegs *regs, StepPlan *plan,
                 uint32_t words[2])
{
    bool le = regs->msr & PPC_STEP_MSR_LE;
    uint64_t phys;

    if (!translate(step->cpu, regs->pc, MMU_INST_FETCH, fetch_mode(regs),
                   &phys)) {
        return 0;
    }
    plan->has_insn = true;
    plan->insn_addr = phys;
    words[1] = 0;
    for (int i = 0; i < 2; i++) {
        uint32_t word;
        int ret = memory_read(NULL, phys + 4 * i, &word, sizeof(word));

        if (ret) {
            plan->reason = "can't read the instruction";
            plan->reason_addr = regs->pc;
            return ret;
        }
        breakpoint_set_restore(breakpoints, phys + 4 * i, &word, sizeof(word));
        words[i] = le ? le32_to_cpu(word) : be32_to_cpu(word);
        /* A prefixed instruction does not cross a 64-byte boundary */
        if (!ppc_step_is_prefix(words[0])) {
            break;
        }
    }
    return 1;
}

static bool get_tar(PPCStep *step, PPCStepRegs *regs, const uint32_t *words)
{
    PPCStepInsn insn;

    ppc_step_decode(words[0], words[1], &insn);
    if (insn.cls != PPC_STEP_BRANCH || insn.branch != PPC_STEP_BRANCH_TAR ||
        CPU(step->cpu)->vcpu_dirty) {
        return true;
    }
    return !kvm_get_one_reg(CPU(step->cpu), KVM_REG_PPC_TAR, &regs->tar);
}

/* Does the instruction itself read or write the trap at @trap? */
static bool touches(PPCStep *step, uint64_t trap)
{
    const PPCStepInsn *insn = &step->plan.insn;
    const PPCStepRegs *regs = &step->plan.before;
    uint64_t ea, phys;

    if (!step->plan.have_insn || !insn->mem) {
        return false;
    }
    ea = ppc_step_mem_ea(insn, regs->pc, regs->gpr,
                         regs->msr & PPC_STEP_MSR_SF);
    for (unsigned i = 0; i < insn->mem_size; i++) {
        /* Translation keeps the offset in the page: most are ruled out here */
        if (((ea + i) ^ trap) & 0xffc) {
            continue;
        }
        if (translate(step->cpu, ea + i, MMU_DATA_LOAD, data_mode(regs),
                      &phys) && (phys & ~3ULL) == trap) {
            return true;
        }
    }
    return false;
}

static int place_trap(PPCStep *step, const PPCStepTrapAt *at, StepPlan *plan)
{
    XlateMode kernel = { .relocated = at->ir };
    XlateMode mode = at->kind == PPC_STEP_TRAP_NEXT ?
                     fetch_mode(&step->plan.before) : kernel;
    StepTrap *trap = &plan->traps[plan->nr_traps];

    if (!translate(step->cpu, at->pc, MMU_INST_FETCH, mode, &trap->addr)) {
        /* Fetching the next instruction will raise an interrupt: trapped */
        if (at->kind == PPC_STEP_TRAP_NEXT && step->plan.trace) {
            return 0;
        }
        plan->reason = "an address where the step may end is not mapped";
        plan->reason_addr = at->pc;
        return -EFAULT;
    }
    if (touches(step, trap->addr)) {
        /* A trap that the instruction would read or lose is left out */
        if (at->kind == PPC_STEP_TRAP_TRACE) {
            return -EAGAIN;
        }
        if (at->kind == PPC_STEP_TRAP_NEXT && !step->plan.trace) {
            plan->reason = "the instruction accesses the next one and the "
                           "Trace vector";
            plan->reason_addr = at->pc;
            return -ENOTSUP;
        }
        return 0;
    }
    trap->pc = at->pc;
    plan->nr_traps++;
    return 0;
}

static int step_place(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr;
    int ret;

    QEMU_BUILD_BUG_ON(PPC_STEP_TRAPS_MAX > STEP_TRAPS_MAX);
again:
    plan->nr_traps = 0;
    nr = ppc_step_plan_traps(&step->plan, current_ail(step), traps);
    for (unsigned i = 0; i < nr; i++) {
        ret = place_trap(step, &traps[i], plan);
        if (ret == -EAGAIN && ppc_step_plan_untraced(&step->plan)) {
            goto again;
        }
        if (ret) {
            return ret;
        }
    }
    return 0;
}

static int step_plan(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    CPUState *cs = CPU(step->cpu);
    PPCStepRegs regs;
    uint32_t words[2];
    int ret = regs_get(step, &regs);

    if (ret) {
        plan->reason = "can't read the registers";
        return ret;
    }
    plan->reason_addr = regs.pc;
    sync_for_translation(step);
    ret = fetch(step, &regs, plan, words);
    if (ret < 0) {
        return ret;
    }
    if (ret && !get_tar(step, &regs, words)) {
        plan->reason = "can't read TAR";
        return -EIO;
    }
    plan->reason = ppc_step_plan_make(&step->plan, &regs, ret ? words : NULL,
                                      cs->singlestep_enabled & SSTEP_NOIRQ);
    if (plan->reason) {
        return -ENOTSUP;
    }
    plan->run = step->plan.run;
    trace_kvm_step_plan(cs->cpu_index, regs.pc, ret ? words[0] : 0,
                        step->plan.insn.cls, plan->run, step->plan.trace);
    return plan->run ? step_place(step, plan) : 0;
}

/*
 * Keep the decrementer from expiring for the time of one instruction.  The
 * distance fits a decrementer of 32 bits, and is two seconds at 512 MHz.
 */
#define DEC_HOLD_TICKS 0x40000000

static int hold_dec(PPCStep *step)
{
    CPUState *cs = CPU(step->cpu);
    uint64_t offset, later;
    int ret;

    ret = kvm_get_one_reg(cs, KVM_REG_PPC_DEC_EXPIRY, &step->dec_expiry);
    if (!ret) {
        ret = kvm_get_one_reg(cs, KVM_REG_PPC_TB_OFFSET, &offset);
    }
    if (ret) {
        return ret;
    }
    /* In the guest's time base, which is the host's and an offset */
    later = cpu_get_host_ticks() + offset + DEC_HOLD_TICKS;
    ret = kvm_set_one_reg(cs, KVM_REG_PPC_DEC_EXPIRY, &later);
    step->dec_held = !ret;
    return ret;
}

static int release_dec(PPCStep *step)
{
    int ret = 0;

    if (step->dec_held) {
        ret = kvm_set_one_reg(CPU(step->cpu), KVM_REG_PPC_DEC_EXPIRY,
                              &step->dec_expiry);
        step->dec_held = ret != 0;
    }
    return ret;
}

static int step_enter(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs = plan->run ? step->plan.before : step->plan.after;
    int ret = 0;

    if (plan->run) {
        regs.msr = ppc_step_plan_enter_msr(&step->plan);
    }
    if (plan->run && step->plan.hold_dec) {
        ret = hold_dec(step);
    }
    if (!ret) {
        ret = regs_put(step, &regs);
    }
    if (ret) {
        plan->reason = "can't write the registers";
        release_dec(step);
    }
    return ret;
}

/* The registers as the step has left them, and the decrementer let go */
static int end_step(PPCStep *step, PPCStepRegs *regs)
{
    int ret = regs_get(step, regs);

    return ret ? ret : release_dec(step);
}

static int step_finish(void *vcpu, StepPlan *plan, uint64_t pc)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs;
    int ret = end_step(step, &regs);

    if (ret) {
        return ret;
    }
    ppc_step_plan_finish(&step->plan, regs.lpcr_ail, &regs);
    trace_kvm_step_finish(CPU(step->cpu)->cpu_index, pc, regs.pc, regs.msr);
    return regs_put(step, &regs);
}

static int step_undo(void *vcpu, StepPlan *plan)
{
    PPCStep *step = vcpu;
    PPCStepRegs regs;
    int ret = end_step(step, &regs);

    if (ret) {
        return ret;
    }
    ppc_step_plan_undo(&step->plan, &regs);
    trace_kvm_step_undo(CPU(step->cpu)->cpu_index, regs.pc);
    return regs_put(step, &regs);
}

static int step_get_pc(void *vcpu, uint64_t *pc)
{
    PPCStepRegs regs;
    int ret = regs_get(vcpu, &regs);

    *pc = regs.pc;
    return ret;
}

static const StepOps step_ops = {
    .plan = step_plan,
    .place = step_place,
    .enter = step_enter,
    .finish = step_finish,
    .undo = step_undo,
    .get_pc = step_get_pc,
};

/* The occasions */

static PPCStep *find_step(CPUState *cs)
{
    return steps && cs->cpu_index < steps->len ?
           g_ptr_array_index(steps, cs->cpu_index) : NULL;
}

static PPCStep *get_step(CPUState *cs)
{
    PPCStep *step = find_step(cs);

    if (!step) {
        step = g_new0(PPCStep, 1);
        if (cs->cpu_index >= steps->len) {
            g_ptr_array_set_size(steps, cs->cpu_index + 1);
        }
        g_ptr_array_index(steps, cs->cpu_index) = step;
        step_session_init(&step->session, &step_ops, step, breakpoints);
    }
    step->cpu = POWERPC_CPU(cs);
    return step;
}

static void do_begin(CPUState *cs, run_on_cpu_data data)
{
    *(int *)data.host_ptr = step_session_begin(&get_step(cs)->session);
}

static int begin(CPUState *cs)
{
    StepSession *s = &get_step(cs)->session;
    int ret;

    run_on_cpu(cs, do_begin, RUN_ON_CPU_HOST_PTR(&ret));
    if (ret) {
        error_report("can't step CPU %d at 0x%" PRIx64 ": %s", cs->cpu_index,
                     s->plan.reason_addr, s->plan.reason);
    }
    return ret;
}

static void do_cancel(CPUState *cs, run_on_cpu_data data)
{
    int ret = step_session_cancel(&get_step(cs)->session);

    if (ret) {
        error_report("can't end the step of CPU %d: %s", cs->cpu_index,
                     strerror(-ret));
    }
}

static void step_reset(void *opaque)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        PPCStep *step = find_step(cs);

        if (step) {
            step_session_abandon(&step->session);
            /* What the decrementer was is no business of later steps */
            step->dec_held = false;
        }
    }
}

/* gdb is not told of these: the step goes on when the VM does */
static bool stop_is_silent(RunState state)
{
    return state == RUN_STATE_SAVE_VM || state == RUN_STATE_RESTORE_VM;
}

/*
 * No step is in flight while the virtual machine is stopped: memory has no
 * trap, registers are the guest's own, and so is what migration sends.
 */
static void step_vm_state(void *opaque, bool running, RunState state)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        PPCStep *step = find_step(cs);

        if (!step) {
            continue;
        }
        if (running) {
            if (cs->singlestep_enabled && step->session.phase == STEP_IDLE) {
                begin(cs);
            }
            continue;
        }
        run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
        if (!stop_is_silent(state)) {
            step_session_take(&step->session);
            cs->singlestep_enabled = 0;
        }
    }
}

static int activate(void)
{
    static bool registered;
    CPUState *cs;

    if (active) {
        return 0;
    }
    active = true;
    if (!registered) {
        registered = true;
        qemu_add_vm_change_state_handler(step_vm_state, NULL);
        qemu_register_reset(step_reset, NULL);
    }
    CPU_FOREACH(cs) {
        int ret = kvm_update_guest_debug(cs, 0);

        if (ret) {
            active = false;
            error_report("KVM can't debug CPU %d: %s", cs->cpu_index,
                         strerror(-ret));
            return ret;
        }
    }
    return 0;
}

bool kvmppc_step_active(void)
{
    return active;
}

void kvmppc_step_release(void)
{
    active = false;
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    PPCStep *step = find_step(cs);
    int ret;

    if (!enable) {
        if (step) {
            run_on_cpu(cs, do_cancel, RUN_ON_CPU_NULL);
            step_session_take(&step->session);
        }
        return 0;
    }
    if (step && step->session.phase != STEP_IDLE) {
        return 0;
    }
    ret = activate();
    return ret ? ret : begin(cs);
}

bool kvm_arch_singlestep_done(CPUState *cs)
{
    PPCStep *step = active ? find_step(cs) : NULL;

    return step && step_session_take(&step->session);
}

static void lpcr_changed(CPUState *cs, run_on_cpu_data data)
{
    StepSession *s = &get_step(cs)->session;
    int ret = step_session_move(s);

    if (ret) {
        error_report("the step of CPU %d may not end: 0x%" PRIx64 ": %s",
                     cs->cpu_index, s->plan.reason_addr, s->plan.reason);
    }
}

void kvmppc_step_lpcr_changed(void)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        if (active && find_step(cs)) {
            run_on_cpu(cs, lpcr_changed, RUN_ON_CPU_NULL);
        }
    }
}

/* gdb's breakpoints */

/*
 * Where a breakpoint belongs.  gdb sets one in the kernel while a process runs
 * and the other way round, where the vCPU's own mode has no access.
 */
static bool find_place(PowerPCCPU *cpu, vaddr addr, uint64_t *phys)
{
    uint64_t msr = cpu->env.msr;
    XlateMode other = {
        .relocated = msr & PPC_STEP_MSR_IR,
        .problem_state = !(msr & PPC_STEP_MSR_PR),
    };
    hwaddr page = cpu_get_phys_page_debug(CPU(cpu), addr & TARGET_PAGE_MASK);

    if (page != -1) {
        *phys = page | (addr & ~TARGET_PAGE_MASK);
        return true;
    }
    return translate(cpu, addr, MMU_INST_FETCH, other, phys);
}

int kvmppc_breakpoint_insert(CPUState *cs, vaddr addr)
{
    uint64_t phys;
    int ret;

    if (!find_place(POWERPC_CPU(cs), addr, &phys)) {
        return -EFAULT;
    }
    breakpoint_set_add(breakpoints, phys, BREAKPOINT_OWNER_USER);
    ret = breakpoint_set_apply(breakpoints);
    if (breakpoint_set_state(breakpoints, phys) != BREAKPOINT_SET) {
        breakpoint_set_del(breakpoints, phys, BREAKPOINT_OWNER_USER);
        breakpoint_set_apply(breakpoints);
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
    breakpoint_set_del(breakpoints, *phys, BREAKPOINT_OWNER_USER);
    /* What can't be taken out now is tried again with the next change */
    breakpoint_set_apply(breakpoints);
    g_hash_table_remove(user_addresses, &addr);
    return 0;
}

static bool another_steps_over(vaddr pc)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        PPCStep *step = find_step(cs);

        if (step && step_session_traps_at(&step->session, pc)) {
            return true;
        }
    }
    return false;
}

/* A trap that is not known by its address: look at the place itself */
static KvmPpcStepExit exit_by_place(PowerPCCPU *cpu, vaddr pc)
{
    PPCStep *step = get_step(CPU(cpu));
    PPCStepRegs regs;
    uint64_t phys;
    uint32_t word;

    if (regs_get(step, &regs)) {
        return KVMPPC_STEP_EXIT_UNKNOWN;
    }
    sync_for_translation(step);
    if (!translate(cpu, pc, MMU_INST_FETCH, fetch_mode(&regs), &phys) ||
        memory_read(NULL, phys, &word, sizeof(word))) {
        return KVMPPC_STEP_EXIT_UNKNOWN;
    }
    if (breakpoint_set_refs(breakpoints, phys, BREAKPOINT_OWNER_USER)) {
        return KVMPPC_STEP_EXIT_STOP;
    }
    if (breakpoint_set_refs(breakpoints, phys, BREAKPOINT_OWNER_STEP) ||
        word != trap_word) {
        return KVMPPC_STEP_EXIT_RESUME;
    }
    return KVMPPC_STEP_EXIT_UNKNOWN;
}

KvmPpcStepExit kvmppc_step_debug_exit(PowerPCCPU *cpu, vaddr pc)
{
    CPUState *cs = CPU(cpu);
    PPCStep *step = find_step(cs);
    KvmPpcStepExit what;
    int ret = step ? step_session_trap(&step->session, pc) : 0;

    if (ret) {
        if (ret < 0) {
            error_report("can't end the step of CPU %d: %s", cs->cpu_index,
                         strerror(-ret));
        } else {
            step_session_take(&step->session);
        }
        return KVMPPC_STEP_EXIT_STOP;
    }
    if (g_hash_table_contains(user_addresses, &pc)) {
        what = KVMPPC_STEP_EXIT_STOP;
    } else if (another_steps_over(pc)) {
        what = KVMPPC_STEP_EXIT_RESUME;
    } else {
        what = exit_by_place(cpu, pc);
    }
    trace_kvm_step_debug_exit(cs->cpu_index, pc, what);
    return what;
}
