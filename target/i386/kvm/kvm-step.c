/*
 * Single-stepping for KVM on x86
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "hw/core/boards.h"
#include "system/kvm.h"
#include "cpu.h"
#include "../host-cpu.h"
#include "../step-plan.h"
#include "kvm-regs.h"
#include "kvm-step.h"
#include "kvm-step-irq.h"

/*
 * Who owns what while a step is under way:
 *
 * - RFLAGS.TF in the vCPU is KVM's.  KVM_GET_REGS hides it, the guest's own
 *   too: that is in the plan.  As long as KVM is told to step, no TF of the
 *   guest's own is set: if one has to be, KVM is told to stop stepping first.
 * - DR0 to DR3 in the vCPU are the user's watchpoints, and in those that are
 *   left the handlers that the plan wants trapped: the user's breakpoints are
 *   not needed for one instruction.  Then the guest's own are out of use, so
 *   nothing is trapped for a mere possibility if it has any.
 * - KVM goes on stepping until the vCPU is about to run freely.
 * - Interrupts are held back by KVM_GUESTDBG_BLOCKIRQ, with NOIRQ or without:
 *   one that is let through is known beforehand, and its handler is trapped.
 */

#define NR_DR 4
#define DR7_GLOBAL_AND_LOCAL 0xff

typedef struct StepOrder {
    bool on;                /* the vCPU is stepped, in whatever way */
    bool singlestep;        /* by TF */
    bool hold_irqs;
    unsigned nr_traps;
    uint64_t traps[NR_DR];
} StepOrder;

typedef struct X86Step {
    StepOrder order;        /* as KVM has it */
    X86StepPlan plan;
    bool armed;             /* the instruction may run now, and is not over */
    bool done;              /* it is over without KVM having to run */
    bool emulate;           /* so it will be, when the vCPU is about to run */
    bool idle;              /* the vCPU did not run when it began */
    bool ran;               /* KVM_RUN ended in a debug exit: it is not idle */
    bool knows_own_points;
    bool own_points;        /* the guest has breakpoints of its own in use */
    uint64_t pc;            /* linear address of the instruction */
} X86Step;

/* By cpu_index; never moves */
static X86Step *steps;
static bool can_hold_irqs;

static X86Step *get_step(CPUState *cs)
{
    return &steps[cs->cpu_index];
}

void kvm_x86_step_init(CPUState *cs)
{
    if (!steps) {
        steps = g_new0(X86Step, current_machine->smp.max_cpus);
        can_hold_irqs = kvm_check_extension(kvm_state,
                                            KVM_CAP_SET_GUEST_DEBUG2) &
                        KVM_GUESTDBG_BLOCKIRQ;
    }
    *get_step(cs) = (X86Step) {};
    kvm_x86_regs_init(cs);
}

bool kvm_x86_step_is_armed(CPUState *cs)
{
    return get_step(cs)->armed;
}

/* KVM steps by itself, but what it is told when is decided here */
bool kvm_arch_can_singlestep(CPUState *cs)
{
    return false;
}

int kvm_arch_singlestep_flags(KVMState *s)
{
    return 0;               /* KVM says whether it can block interrupts */
}

/* ---- around KVM_RUN ---- */

void kvm_x86_step_pre_run(CPUState *cs, struct kvm_run *run)
{
    X86Step *step = get_step(cs);

    step->ran = false;
    if (!step->order.on || step->plan.insn.cls == X86_STEP_MOV_DR) {
        step->knows_own_points = false;
    }
    kvm_x86_regs_pre_run(cs, run, step->order.on);
}

void kvm_x86_step_post_run(CPUState *cs, struct kvm_run *run)
{
    kvm_x86_regs_post_run(cs, run);
}

/* ---- the guest's memory ---- */

static int access_linear(CPUState *cs, uint64_t addr, void *buf, size_t len,
                         bool is_write)
{
    return kvm_memory_rw_debug(cs, addr, buf, len, is_write, false);
}

static bool read_linear(void *opaque, uint64_t addr, void *buf, size_t len)
{
    return !access_linear(opaque, addr, buf, len, false);
}

/* Returns: how many bytes of the instruction can be read */
static size_t fetch(CPUState *cs, uint64_t pc, uint8_t *bytes)
{
    size_t in_page = -(pc | TARGET_PAGE_MASK);
    size_t first = MIN(in_page, X86_STEP_INSN_MAX);

    if (access_linear(cs, pc, bytes, first, false)) {
        return 0;
    }
    if (first < X86_STEP_INSN_MAX &&
        access_linear(cs, pc + first, bytes + first, X86_STEP_INSN_MAX - first,
                      false)) {
        return first;
    }
    return X86_STEP_INSN_MAX;
}

/* ---- the plan ---- */

static X86StepMode code_mode(CPUX86State *env)
{
    return env->hflags & HF_CS64_MASK ? X86_STEP_CODE64 :
           env->hflags & HF_CS32_MASK ? X86_STEP_CODE32 : X86_STEP_CODE16;
}

static int read_msrs(CPUState *cs, X86StepRegs *regs)
{
    struct {
        struct kvm_msrs info;
        struct kvm_msr_entry entries[6];
    } msrs = {
        .info.nmsrs = 6,
        .entries = {
            { .index = MSR_STAR }, { .index = MSR_LSTAR },
            { .index = MSR_CSTAR }, { .index = MSR_FMASK },
            { .index = MSR_IA32_SYSENTER_CS },
            { .index = MSR_IA32_SYSENTER_EIP },
        },
    };
    int ret = kvm_vcpu_ioctl(cs, KVM_GET_MSRS, &msrs);

    if (ret < 0) {
        return ret;
    }
    /* Those of long mode are not there in a processor without it */
    regs->star = ret > 0 ? msrs.entries[0].data : 0;
    regs->lstar = ret > 1 ? msrs.entries[1].data : 0;
    regs->cstar = ret > 2 ? msrs.entries[2].data : 0;
    regs->sfmask = ret > 3 ? msrs.entries[3].data : 0;
    regs->sysenter_cs = ret > 4 ? msrs.entries[4].data : 0;
    regs->sysenter_eip = ret > 5 ? msrs.entries[5].data : 0;
    return 0;
}

/* SYSCALL and SYSENTER are the only ones that depend on MSRs */
static bool wants_msrs(X86StepMode mode, const uint8_t *bytes, size_t nr)
{
    X86StepInsn insn;

    return x86_step_decode(bytes, nr, mode, true, &insn) &&
           (insn.cls == X86_STEP_SYSCALL || insn.cls == X86_STEP_SYSENTER);
}

/* Expand-down segments are for stacks of long ago */
static uint32_t readable_limit(CPUX86State *env, int seg)
{
    uint32_t flags = env->segs[seg].flags;
    bool code = flags & DESC_CS_MASK;

    if ((env->cr[0] & CR0_PE_MASK) && !(env->eflags & VM_MASK) &&
        (!(flags & DESC_P_MASK) ||
         (code ? !(flags & DESC_R_MASK) : flags & DESC_E_MASK))) {
        return 0;
    }
    return env->segs[seg].limit;
}

QEMU_BUILD_BUG_ON(X86_STEP_SS != (int)R_SS || X86_STEP_GS != (int)R_GS);

static void fill_regs(CPUState *cs, X86StepRegs *regs)
{
    CPUX86State *env = cpu_env(cs);

    *regs = (X86StepRegs) {
        .mode = code_mode(env),
        .near16 = !is_host_cpu_intel(),
        .legacy_syscall = !is_host_cpu_intel(),
        .cpl = env->hflags & HF_CPL_MASK,
        .rip = env->eip,
        .rflags = env->eflags,
        .stack_size = env->hflags & HF_CS64_MASK ? 8 :
                      env->segs[R_SS].flags & DESC_B_MASK ? 4 : 2,
        .cr0 = env->cr[0],
        .cr4 = env->cr[4],
        .efer = env->efer,
        .idt = { env->idt.base, env->idt.limit },
        .gdt = { env->gdt.base, env->gdt.limit },
        .ldt = { env->ldt.base, env->ldt.limit },
        .guest_mode = env->hflags & HF_GUEST_MASK,
        .read = read_linear,
        .opaque = cs,
    };
    for (int i = 0; i < CPU_NB_REGS; i++) {
        regs->gpr[i] = env->regs[i];
    }
    for (int i = 0; i < X86_STEP_NR_SEGS; i++) {
        regs->segs[i].base = env->segs[i].base;
        regs->segs[i].limit = readable_limit(env, i);
    }
}

/* Linear addresses have 32 bits outside of 64-bit code */
static uint64_t linear(CPUX86State *env, int seg, uint64_t offset)
{
    uint64_t addr = env->segs[seg].base + offset;

    return env->hflags & HF_CS64_MASK ? addr : (uint32_t)addr;
}

static uint64_t stack_top(CPUX86State *env)
{
    uint64_t rsp = env->regs[R_ESP];

    if (!(env->hflags & HF_CS64_MASK)) {
        rsp = env->segs[R_SS].flags & DESC_B_MASK ? (uint32_t)rsp
                                                  : (uint16_t)rsp;
    }
    return linear(env, R_SS, rsp);
}

/* Has the guest breakpoints of its own in use? */
static bool has_own_points(CPUState *cs)
{
    X86Step *step = get_step(cs);
    struct kvm_debugregs dbgregs;

    if (cs->vcpu_dirty) {
        return cpu_env(cs)->dr[7] & DR7_GLOBAL_AND_LOCAL;
    }
    if (!step->knows_own_points) {
        step->own_points = kvm_vcpu_ioctl(cs, KVM_GET_DEBUGREGS, &dbgregs) ||
                           dbgregs.dr7 & DR7_GLOBAL_AND_LOCAL;
        step->knows_own_points = true;
    }
    return step->own_points;
}

/*
 * Not where the instruction is: that would stop before it.  If its first
 * instruction raises the same exception, a handler is not seen to begin again.
 */
static void order_traps(CPUState *cs, StepOrder *order)
{
    const X86StepPlan *plan = &get_step(cs)->plan;
    unsigned free = NR_DR - kvm_x86_nb_hw_watchpoint();
    unsigned nr = plan->nr_traps;

    if (nr && has_own_points(cs)) {
        nr = plan->certain ? 1 : 0;
    }
    if (plan->certain) {
        free = MAX(free, 1);
    }
    for (unsigned i = 0; i < nr && order->nr_traps < free; i++) {
        if (plan->traps[i].addr != get_step(cs)->pc) {
            order->traps[order->nr_traps++] = plan->traps[i].addr;
        }
    }
}

/* ---- what KVM is told ---- */

static bool is_watchpoint(const struct kvm_guest_debug *dbg, int n)
{
    return dbg->arch.debugreg[7] >> (16 + n * 4) & 3;
}

static void set_trap(struct kvm_guest_debug *dbg, int n, uint64_t addr)
{
    dbg->arch.debugreg[n] = addr;
    dbg->arch.debugreg[7] &= ~(0xfull << (16 + n * 4));
    dbg->arch.debugreg[7] |= 2 << (n * 2);
}

void kvm_x86_step_update_guest_debug(CPUState *cs, struct kvm_guest_debug *dbg,
                                     int used)
{
    const StepOrder *order = &get_step(cs)->order;
    unsigned i = 0;
    int n;

    if (!order->on) {
        return;
    }
    dbg->control |= KVM_GUESTDBG_ENABLE;
    if (order->singlestep) {
        dbg->control |= KVM_GUESTDBG_SINGLESTEP;
    }
    if (order->hold_irqs) {
        dbg->control |= KVM_GUESTDBG_BLOCKIRQ;
    }
    if (!order->nr_traps) {
        return;
    }
    dbg->control |= KVM_GUESTDBG_USE_HW_BP;
    if (!used) {
        memset(&dbg->arch, 0, sizeof(dbg->arch));
        dbg->arch.debugreg[7] = 0x0600;
    }
    for (n = 0; n < NR_DR && i < order->nr_traps; n++) {
        if (n >= used || !is_watchpoint(dbg, n)) {
            set_trap(dbg, n, order->traps[i++]);
        }
    }
    if (!i) {
        /* Where it certainly goes is more important than the last watchpoint */
        set_trap(dbg, NR_DR - 1, order->traps[0]);
    }
}

static int tell_kvm(CPUState *cs, const StepOrder *order)
{
    X86Step *step = get_step(cs);
    StepOrder before = step->order;
    int ret;

    step->order = *order;
    ret = kvm_update_guest_debug(cs, 0);
    if (ret) {
        step->order = before;
    }
    return ret;
}

static int order_off(CPUState *cs)
{
    static const StepOrder off;

    return get_step(cs)->order.on ? tell_kvm(cs, &off) : 0;
}

static StepOrder order_for(CPUState *cs, bool singlestep)
{
    return (StepOrder) {
        .on = true,
        .singlestep = singlestep,
        .hold_irqs = can_hold_irqs,
    };
}

/* ---- begin, emulate, finish ---- */

static const char *plan_insn(CPUState *cs, X86StepRegs *regs)
{
    X86Step *step = get_step(cs);
    uint8_t bytes[X86_STEP_INSN_MAX];
    size_t nr = fetch(cs, step->pc, bytes);

    if (wants_msrs(regs->mode, bytes, nr) && read_msrs(cs, regs)) {
        return "the MSRs of SYSCALL can't be read";
    }
    return x86_step_plan_make(&step->plan, regs, bytes, nr);
}

/*
 * An event that KVM delivers before the instruction is a step: up to its
 * handler.  Returns: is it one?
 */
static bool plan_event(CPUState *cs, const X86StepRegs *regs)
{
    const bool hold = can_hold_irqs && cs->singlestep_flags & SSTEP_NOIRQ;
    bool has_error;
    int vector = kvm_x86_step_event(cs, hold, &has_error);

    return vector >= 0 &&
           x86_step_plan_event(&get_step(cs)->plan, regs, vector, has_error);
}

static bool may_be_nested(CPUX86State *env)
{
    return env->nested_state &&
           (env->efer & MSR_EFER_SVME || env->cr[4] & CR4_VMXE_MASK);
}

static int begin(CPUState *cs)
{
    X86Step *step = get_step(cs);
    const char *why;
    X86StepRegs regs;
    StepOrder order;
    bool event;
    int ret = kvm_x86_regs_load(cs);

    if (ret) {
        return ret;
    }
    if (may_be_nested(cpu_env(cs))) {
        /* Whose guest it is that runs, is not among these registers */
        kvm_cpu_synchronize_state(cs);
    }
    fill_regs(cs, &regs);
    step->pc = linear(cpu_env(cs), R_CS, cpu_env(cs)->eip);
    why = plan_insn(cs, &regs);
    if (why) {
        error_report("CPU %d: no step at 0x%" PRIx64 ": %s", cs->cpu_index,
                     step->pc, why);
        return -ENOTSUP;
    }
    event = plan_event(cs, &regs);
    if (step->plan.way == X86_STEP_EMULATE) {
        step->emulate = true;
        return 0;
    }
    order = order_for(cs, step->plan.way == X86_STEP_RUN);
    order.hold_irqs = order.hold_irqs && !event;
    order_traps(cs, &order);
    ret = tell_kvm(cs, &order);
    if (ret) {
        return ret;
    }
    step->emulate = step->plan.way == X86_STEP_RAISE;
    step->armed = !step->emulate;
    return 0;
}

/* Interrupts wait for one more instruction */
static void set_shadow(CPUState *cs, bool mov_ss)
{
    struct kvm_vcpu_events events;

    if (!kvm_vcpu_ioctl(cs, KVM_GET_VCPU_EVENTS, &events)) {
        events.flags = KVM_VCPUEVENT_VALID_SHADOW |
                       (events.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
        events.interrupt.shadow = mov_ss ? KVM_X86_SHADOW_INT_MOV_SS
                                         : KVM_X86_SHADOW_INT_STI;
        kvm_vcpu_ioctl(cs, KVM_SET_VCPU_EVENTS, &events);
    }
}

static void set_halted(CPUState *cs)
{
    struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };

    if (!kvm_irqchip_in_kernel()) {
        cs->halted = 1;
    } else if (!kvm_vcpu_ioctl(cs, KVM_SET_MP_STATE, &mp)) {
        cpu_env(cs)->mp_state = KVM_MP_STATE_HALTED;
    }
    get_step(cs)->ran = false;
}

static void load_ss(CPUState *cs, const X86StepPlan *plan)
{
    CPUX86State *env = cpu_env(cs);
    uint32_t low = plan->ss_descriptor;
    uint32_t high = plan->ss_descriptor >> 32;
    uint32_t limit = (low & 0xffff) | (high & 0x000f0000);

    if (!(env->cr[0] & CR0_PE_MASK) || env->eflags & VM_MASK) {
        env->segs[R_SS].selector = plan->ss_selector;
        env->segs[R_SS].base = plan->ss_selector << 4;
        return;
    }
    if (high & DESC_G_MASK) {
        limit = limit << 12 | 0xfff;
    }
    if (!plan->ss_descriptor) {
        /* A null selector, in 64-bit code: SS.DPL is CPL */
        high = (env->hflags & HF_CPL_MASK) << DESC_DPL_SHIFT;
    }
    env->segs[R_SS] = (SegmentCache) {
        .selector = plan->ss_selector,
        .base = low >> 16 | (high & 0xff) << 16 | (high & 0xff000000),
        .limit = limit,
        .flags = high,
    };
    x86_update_hflags(env);
}

static void emulate(CPUState *cs, X86Step *step)
{
    CPUX86State *env = cpu_env(cs);
    const X86StepPlan *plan = &step->plan;

    step->emulate = false;
    if (plan->way == X86_STEP_RAISE || plan->load_ss) {
        /* It changes more than kvm_x86_put_regs() writes */
        kvm_cpu_synchronize_state(cs);
    } else if (kvm_x86_regs_load(cs)) {
        error_report("CPU %d: the registers cannot be read for a step",
                     cs->cpu_index);
        step->done = true;
        return;
    }
    env->eip = plan->rip;
    if (plan->way == X86_STEP_RAISE) {
        kvm_x86_queue_db(env, env->dr[6] & 0xf);
        step->armed = true;
        return;
    }
    env->eflags = plan->rflags;
    env->regs[R_ESP] = plan->rsp;
    if (plan->load_ss) {
        load_ss(cs, plan);
    }
    kvm_x86_regs_store(cs);
    if (plan->shadow) {
        set_shadow(cs, plan->load_ss);
    }
    if (plan->halt) {
        set_halted(cs);
    }
    step->done = true;
}

static void set_bit8(target_ulong *value, bool set)
{
    *value = set ? *value | TF_MASK : *value & ~(target_ulong)TF_MASK;
}

static void fix_stack(CPUState *cs, const X86StepEnd *end)
{
    uint8_t byte, fixed;

    if (access_linear(cs, end->stack_addr, &byte, 1, false)) {
        return;
    }
    fixed = (byte & ~1) | end->tf_saved;
    if (fixed != byte &&
        access_linear(cs, end->stack_addr, &fixed, 1, true)) {
        error_report("CPU %d: TF stays in the flags saved at 0x%" PRIx64,
                     cs->cpu_index, end->stack_addr);
    }
}

/* Take back what the step has left */
static void settle(CPUState *cs, const X86StepEnd *end)
{
    CPUX86State *env = cpu_env(cs);

    get_step(cs)->armed = false;
    if (end->fix_stack) {
        fix_stack(cs, end);
    }
    if (end->tf) {
        /* KVM takes TF for its own as long as it steps */
        order_off(cs);
    }
    if (!end->tf && !end->fix_r11) {
        return;
    }
    if (kvm_x86_regs_load(cs)) {
        error_report("CPU %d: the registers cannot be read behind a step",
                     cs->cpu_index);
        return;
    }
#ifdef TARGET_X86_64
    if (end->fix_r11) {
        set_bit8(&env->regs[11], end->tf_saved);
    }
#endif
    set_bit8(&env->eflags, end->tf);
    kvm_x86_regs_store(cs);
}

/*
 * The guest's own #DB comes now: let it, up to its handler.  DR6 has what it
 * would have, and TF in the saved flags is @own_tf.
 */
static bool raise_db(CPUState *cs, uint64_t dr6, bool own_tf)
{
    X86Step *step = get_step(cs);
    CPUX86State *env = cpu_env(cs);
    StepOrder order = order_for(cs, false);
    X86StepTrapAt trap;
    X86StepRegs regs;

    kvm_cpu_synchronize_state(cs);
    fill_regs(cs, &regs);
    if (!x86_step_plan_handler(&regs, EXCP01_DB, false, &trap)) {
        return false;
    }
    order.nr_traps = 1;
    order.traps[0] = trap.addr;
    if (env->exception_nr != -1 || tell_kvm(cs, &order)) {
        return false;
    }
    /* KVM_SET_GUEST_DEBUG may have written the registers */
    kvm_cpu_synchronize_state(cs);
    kvm_x86_queue_db(env, dr6);
    step->plan.own_tf = own_tf;
    step->plan.nr_traps = 1;
    step->plan.traps[0] = trap;
    step->armed = true;
    return true;
}

/*
 * The guest's own breakpoints that it has hit, as in DR6.  Those of execution
 * come before an instruction, whatever DR6 says behind the one in front of it.
 */
static uint64_t own_hits(X86Step *step, const struct kvm_debug_exit_arch *exit,
                         bool behind)
{
    uint64_t hits = 0;

    if (step->order.nr_traps || kvm_x86_nb_hw_breakpoint()) {
        return 0;
    }
    /* The processor may set the bits of registers that are not in use */
    for (int n = 0; n < NR_DR; n++) {
        bool enabled = exit->dr7 >> (2 * n) & 3;
        bool is_data = exit->dr7 >> (16 + 4 * n) & 3;

        if (enabled && is_data == behind) {
            hits |= exit->dr6 & (1 << n);
        }
    }
    return hits;
}

static X86StepExit completed(CPUState *cs,
                             const struct kvm_debug_exit_arch *exit)
{
    X86Step *step = get_step(cs);
    uint64_t hits = own_hits(step, exit, true);
    X86StepEnd end;

    step->armed = false;
    if (kvm_x86_regs_load(cs)) {
        return X86_STEP_EXIT_DONE;
    }
    x86_step_plan_completed(&step->plan, stack_top(cpu_env(cs)), &end);
    settle(cs, &end);
    if ((end.raise_db || hits) &&
        raise_db(cs, hits | (end.raise_db ? DR6_BS : 0), end.tf)) {
        return X86_STEP_EXIT_GO_ON;
    }
    return X86_STEP_EXIT_DONE;
}

static bool trapped_at(CPUState *cs, uint64_t pc)
{
    X86Step *step = get_step(cs);
    X86StepEnd end;

    for (unsigned i = 0; i < step->plan.nr_traps; i++) {
        const X86StepTrapAt *trap = &step->plan.traps[i];

        if (trap->addr == pc && pc != step->pc) {
            step->armed = false;
            if (!kvm_x86_regs_load(cs)) {
                x86_step_plan_trapped(&step->plan, trap,
                                      stack_top(cpu_env(cs)), &end);
                settle(cs, &end);
            }
            return true;
        }
    }
    return false;
}

X86StepExit kvm_x86_step_exit(CPUState *cs,
                              const struct kvm_debug_exit_arch *exit)
{
    X86Step *step = get_step(cs);
    uint64_t hits;

    step->ran = true;
    if (exit->exception == EXCP01_DB && exit->dr6 & DR6_BS &&
        step->order.singlestep) {
        /* If it was cancelled, nobody waits for it, and it is KVM's TF */
        return step->armed ? completed(cs, exit) :
               cpu_single_stepping(cs) ? X86_STEP_EXIT_DONE
                                       : X86_STEP_EXIT_GO_ON;
    }
    if (!step->armed) {
        return X86_STEP_EXIT_OTHER;
    }
    hits = own_hits(step, exit, false);
    if (exit->exception == EXCP01_DB && hits) {
        /* A breakpoint of the guest's own: the instruction has not run */
        step->armed = false;
        if (raise_db(cs, hits, step->plan.own_tf)) {
            return X86_STEP_EXIT_GO_ON;
        }
        step->armed = true;
    }
    /* Also a breakpoint of the user's, on the first instruction of a handler */
    if (exit->exception != EXCP01_DB && !kvm_find_sw_breakpoint(cs, exit->pc)) {
        return X86_STEP_EXIT_OTHER;
    }
    return trapped_at(cs, exit->pc) ? X86_STEP_EXIT_DONE
                                    : X86_STEP_EXIT_OTHER;
}

void kvm_x86_step_cancel(CPUState *cs)
{
    X86Step *step = get_step(cs);
    X86StepEnd end;
    uint64_t pc;

    if (!step->armed) {
        step->emulate = false;
        return;
    }
    step->armed = false;
    step->emulate = false;
    if (kvm_x86_regs_load(cs)) {
        return;
    }
    pc = linear(cpu_env(cs), R_CS, cpu_env(cs)->eip);
    if (trapped_at(cs, pc)) {
        step->done = true;
        return;
    }
    if (pc != step->pc && step->order.singlestep) {
        /* KVM has not come to say so */
        x86_step_plan_completed(&step->plan, stack_top(cpu_env(cs)), &end);
        settle(cs, &end);
        step->done = true;
        return;
    }
    /* Not begun: only the guest's own TF is not where it was */
    if (step->plan.own_tf) {
        end = (X86StepEnd) { .tf = true };
        settle(cs, &end);
    }
}

void kvm_x86_step_reset(CPUState *cs)
{
    X86Step *step = get_step(cs);

    step->armed = false;
    step->emulate = false;
}

bool kvm_arch_singlestep_done(CPUState *cs)
{
    X86Step *step = get_step(cs);

    if (!cpu_single_stepping(cs)) {
        order_off(cs);
        return false;
    }
    if (!step->armed && !step->done && !step->emulate) {
        /* Cancelled by a stop of the virtual machine, which runs again */
        step->done = kvm_arch_emulate_singlestep(cs, true) || step->done;
    }
    if (step->emulate) {
        emulate(cs, step);
    }
    if (!step->done) {
        return false;
    }
    step->done = false;
    return true;
}

typedef struct StepRequest {
    bool enable;
    int ret;
} StepRequest;

static void do_step(CPUState *cs, run_on_cpu_data data)
{
    StepRequest *request = data.host_ptr;
    X86Step *step = get_step(cs);

    if (!request->enable) {
        kvm_x86_step_cancel(cs);
        step->done = false;
        return;
    }
    step->knows_own_points = false;
    step->idle = !step->ran && kvm_x86_step_is_idle(cs);
    if (step->idle) {
        step->done = true;
    } else {
        request->ret = begin(cs);
    }
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    StepRequest request = { .enable = enable };

    if (enable && qemu_cpu_is_self(cs)) {
        /* One more of a range, which has nothing more to step if it is idle */
        if (get_step(cs)->idle) {
            return -EAGAIN;
        }
        request.ret = begin(cs);
    } else {
        run_on_cpu(cs, do_step, RUN_ON_CPU_HOST_PTR(&request));
    }
    if (request.ret) {
        error_report("CPU %d can't be stepped: %s", cs->cpu_index,
                     strerror(-request.ret));
    }
    return request.ret;
}
