/*
 * Single-stepping for KVM on arm64
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "accel/accel-ops.h"
#include "exec/cpu-common.h"
#include "hw/core/boards.h"
#include "system/kvm.h"
#include "cpu.h"
#include "internals.h"
#include "kvm-regs.h"
#include "kvm-step.h"
#include "kvm-step-probe.h"
#include "step-decode.h"
#include "step-plan.h"

#define PSTATE_MASKS (PSTATE_I | PSTATE_F)

typedef enum StepMode {
    STEP_OFF,
    STEP_ONE,           /* one instruction */
    STEP_SEQUENCE,      /* up to one of the sequence's ends, or the vector */
} StepMode;

#define STEP_TRAPS_MAX (ARM_STEP_ENDS_MAX + 1)
QEMU_BUILD_BUG_ON(STEP_TRAPS_MAX < ARM_STEP_PLACES_MAX);

/* What KVM is told to do, and where hardware breakpoints end it */
typedef struct StepOrder {
    StepMode mode;
    unsigned nr_traps;
    uint64_t traps[STEP_TRAPS_MAX];
} StepOrder;

typedef struct ArmStep {
    StepOrder order;    /* as KVM has it */
    bool armed;         /* the instruction may run now, and has not been seen */
    bool entered;       /* the guest has been entered for it */
    bool owed;          /* KVM has not reported the end of the last step */
    bool done;          /* it is over without KVM having to run */
    bool emulate;       /* so it will be, when the vCPU is about to run */
    bool off;           /* the vCPU was switched off when it began */
    bool have_el2;      /* exceptions may go where nothing here looks */
    bool have_insn;
    ArmStepInsn insn;
    uint32_t word;
    uint64_t pc;        /* of the instruction */
    uint64_t pstate;    /* before it, as the guest has it */
    uint64_t successor; /* if it raises no exception */
    uint64_t held;      /* the bits of PSTATE that are set for it */
    uint64_t last;      /* address of the last instruction of a sequence */
    uint64_t warned;    /* the last one that can't be stepped as a whole */
} ArmStep;

/* By cpu_index; never moves */
static ArmStep *steps;

/* Can a step run more than one instruction?  Not known before the first one */
static OnOffAuto loses_steps = ON_OFF_AUTO_AUTO;

static ArmStep *get_step(CPUState *cs)
{
    return &steps[cs->cpu_index];
}

void kvm_arm_step_init(CPUState *cs)
{
    if (!steps) {
        steps = g_new0(ArmStep, current_machine->smp.max_cpus);
    }
    get_step(cs)->have_el2 = arm_feature(cpu_env(cs), ARM_FEATURE_EL2);
    if (get_step(cs)->have_el2) {
        /* Of no vCPU then: the debugger is told once for all of them */
        current_accel()->gdbstub.sstep_flags &= ~SSTEP_NOIRQ;
    }
}

/* KVM steps by itself, but what it is told when is decided here */
bool kvm_arch_can_singlestep(CPUState *cs)
{
    return false;
}

int kvm_arch_singlestep_flags(KVMState *s)
{
    return SSTEP_NOIRQ;
}

/* As insert_hw_breakpoint() has it: at EL0 and EL1, all bytes */
static void set_breakpoint(struct kvm_guest_debug *dbg, unsigned slot,
                           uint64_t addr)
{
    dbg->arch.dbg_bcr[slot] = 1 | 3 << 1 | 0xf << 5;
    dbg->arch.dbg_bvr[slot] = sextract64(addr, 0, 53);
}

void kvm_arm_step_update_guest_debug(CPUState *cs, struct kvm_guest_debug *dbg)
{
    const StepOrder *order = &get_step(cs)->order;

    if (order->mode == STEP_ONE) {
        dbg->control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    }
    if (order->nr_traps) {
        if (!(dbg->control & KVM_GUESTDBG_USE_HW)) {
            /* Nobody has set these registers yet, and KVM takes all of them */
            memset(&dbg->arch, 0, sizeof(dbg->arch));
        }
        dbg->control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW;
    }
    for (unsigned i = 0; i < order->nr_traps; i++) {
        set_breakpoint(dbg, cur_hw_bps + i, order->traps[i]);
    }
}

static int read_branch_regs(CPUState *cs, ArmStep *step, uint64_t x[31])
{
    const ArmStepInsn *insn = &step->insn;
    int ret = 0;

    if (insn->cls == ARM_STEP_BRANCH_REG ||
        (insn->cls == ARM_STEP_BRANCH && insn->test >= ARM_STEP_TEST_IMM)) {
        if (insn->reg < 31) {
            ret = kvm_arm_regs_read(cs, insn->reg, &x[insn->reg]);
        }
        if (!ret && insn->test == ARM_STEP_TEST_REG && insn->rm < 31) {
            ret = kvm_arm_regs_read(cs, insn->rm, &x[insn->rm]);
        }
    }
    return ret;
}

/* An instruction that can't be read is not mapped: its step is a fault */
static int fetch(CPUState *cs, ArmStep *step)
{
    uint64_t x[31] = {};
    ArmStepBranchRegs regs = { .pc = step->pc, .pstate = step->pstate, .x = x };
    uint8_t bytes[4];
    uint64_t tcr = 0;
    int ret;

    step->have_insn = false;
    if (step->pstate & PSTATE_nRW ||
        kvm_memory_rw_debug(cs, step->pc, bytes, sizeof(bytes), false, false)) {
        return 0;
    }
    /* What is underneath a breakpoint, which is taken out for this step */
    step->word = ldl_le_p(bytes);
    arm_step_decode(step->word, &step->insn);
    ret = read_branch_regs(cs, step, x);
    if (ret) {
        return ret;
    }
    step->successor = arm_step_successor(&step->insn, &regs);
    if (step->insn.cls == ARM_STEP_BRANCH_REG && step->insn.pac) {
        ret = kvm_arm_regs_read(cs, KVM_ARM_TCR_EL1, &tcr);
        step->successor = arm_step_strip(step->successor, tcr);
    }
    step->have_insn = !ret;
    return ret;
}

/* In AArch64 state */
static unsigned el_of(uint64_t pstate)
{
    return extract64(pstate, 2, 2);
}

static bool sees_masks(const ArmStepInsn *insn)
{
    return insn->cls == ARM_STEP_MRS_DAIF || insn->cls == ARM_STEP_MSR_DAIF ||
           insn->cls == ARM_STEP_MSR_DAIFSET ||
           insn->cls == ARM_STEP_MSR_DAIFCLR;
}

/* What such an instruction does.  Returns: 0 or a negative errno */
static int do_masks(CPUState *cs, const ArmStepInsn *insn, uint64_t *pstate)
{
    uint64_t value = 0;
    int ret;

    switch (insn->cls) {
    case ARM_STEP_MRS_DAIF:
        if (insn->reg < 31) {
            kvm_arm_regs_write(cs, insn->reg, *pstate & PSTATE_DAIF);
        }
        return 0;
    case ARM_STEP_MSR_DAIF:
        ret = insn->reg < 31 ? kvm_arm_regs_read(cs, insn->reg, &value) : 0;
        if (!ret) {
            *pstate &= ~(uint64_t)PSTATE_DAIF;
            *pstate |= value & PSTATE_DAIF;
        }
        return ret;
    case ARM_STEP_MSR_DAIFSET:
        *pstate |= insn->imm << 6;
        return 0;
    default:
        *pstate &= ~((uint64_t)insn->imm << 6);
        return 0;
    }
}

/* EL1 decides what EL0 may do; what it may not is trapped */
static bool may_do(CPUState *cs, const ArmStepInsn *insn, uint64_t pstate)
{
    uint64_t sctlr;

    return el_of(pstate) ||
           (!kvm_arm_regs_read(cs, KVM_ARM_SCTLR_EL1, &sctlr) &&
            sctlr & (sees_masks(insn) ? SCTLR_UMA : SCTLR_nTWI));
}

/*
 * To be done in registers, when no other vCPU's step can be refused any more.
 * Behind an indirect branch it has to be run, as it may raise an exception
 * (BTI).
 *
 * Returns: false if it has to be run
 */
static bool plan_emulation(CPUState *cs, ArmStep *step)
{
    const ArmStepInsn *insn = &step->insn;
    uint64_t pstate = step->pstate;

    if (!step->have_insn || step->pc & 3 ||
        pstate & (PSTATE_BTYPE | PSTATE_IL)) {
        return false;
    }
    /* The kernel's code has been read for EL0, too, which can't run it */
    if (!el_of(pstate) && extract64(step->pc, 55, 1)) {
        return false;
    }
    /* A wait may end for any reason, or none; the kernel would wait */
    return (sees_masks(insn) || insn->cls == ARM_STEP_WFI ||
            insn->cls == ARM_STEP_WFIT) && may_do(cs, insn, pstate);
}

static void emulate(CPUState *cs, ArmStep *step)
{
    uint64_t pstate = step->pstate;
    int ret = 0;

    if (sees_masks(&step->insn)) {
        ret = do_masks(cs, &step->insn, &pstate);
    }
    if (ret) {
        error_report("CPU %d: the step at 0x%" PRIx64 " has not run it: can't "
                     "read a register: %s", cs->cpu_index, step->pc,
                     strerror(-ret));
    } else {
        kvm_arm_regs_write(cs, KVM_ARM_PSTATE, pstate);
        kvm_arm_regs_write(cs, KVM_ARM_PC, step->pc + 4);
    }
    step->emulate = false;
    step->done = true;
}

static uint64_t bits_to_hold(CPUState *cs, ArmStep *step)
{
    /* EL1 in AArch32 state could see them, and is not decoded */
    if (!(cs->singlestep_flags & SSTEP_NOIRQ) ||
        (step->pstate & PSTATE_nRW && step->pstate & 0xf)) {
        return 0;
    }
    return PSTATE_MASKS & ~step->pstate;
}

/* What the user's breakpoints have replaced.  Returns: how many can be read */
static unsigned read_words(CPUState *cs, uint64_t pc, uint32_t *words,
                           unsigned max)
{
    for (unsigned i = 0; i < max; i++) {
        uint8_t bytes[4];

        /* One that is in the way has to be met */
        if ((i && (kvm_find_sw_breakpoint(cs, pc + 4 * i) ||
                   find_hw_breakpoint(cs, pc + 4 * i))) ||
            kvm_memory_rw_debug(cs, pc + 4 * i, bytes, sizeof(bytes), false,
                                false)) {
            return i;
        }
        words[i] = ldl_le_p(bytes);
    }
    return max;
}

static void add_trap(StepOrder *order, uint64_t addr)
{
    if (cur_hw_bps + order->nr_traps < max_hw_bps) {
        order->traps[order->nr_traps++] = addr;
    }
}

/* Can the instructions behind a load-exclusive be run at a stretch? */
static bool plan_sequence(CPUState *cs, ArmStep *step, StepOrder *order)
{
    uint32_t words[STEP_SEQUENCE_WORDS_MAX];
    ArmStepSequence seq;
    uint64_t vbar;
    const char *why;
    unsigned nr;

    if (!step->have_insn || step->insn.cls != ARM_STEP_LDXR ||
        kvm_arm_regs_read(cs, KVM_ARM_VBAR_EL1, &vbar)) {
        return false;
    }
    nr = read_words(cs, step->pc, words, ARRAY_SIZE(words));
    words[0] = step->word;
    why = arm_step_find_sequence(words, nr, step->pc, &seq);
    if (!why && cur_hw_bps + seq.nr_ends + 1 > max_hw_bps) {
        why = "too few hardware breakpoints are free";
    }
    if (why) {
        if (step->warned != step->pc && arm_step_has_store(words, nr)) {
            warn_report("CPU %d: what follows the load-exclusive at 0x%" PRIx64
                        " is stepped one by one, and its store will fail: %s",
                        cs->cpu_index, step->pc, why);
            step->warned = step->pc;
        }
        return false;
    }
    order->mode = STEP_SEQUENCE;
    add_trap(order, arm_step_vector(vbar, step->pstate));
    for (unsigned i = 0; i < seq.nr_ends; i++) {
        add_trap(order, seq.ends[i]);
    }
    step->last = seq.last;
    return true;
}

/* Where the kernel may go on after the instruction, trap what comes next */
static int plan_traps(CPUState *cs, ArmStep *step, StepOrder *order)
{
    ArmStepPlaces regs = {
        .pc = step->pc,
        .pstate = step->pstate,
        .has_next = step->have_insn,
        .next = step->successor,
        .irqs = !(cs->singlestep_flags & SSTEP_NOIRQ),
    };
    uint64_t places[ARM_STEP_PLACES_MAX], spsr;
    unsigned nr;
    int ret = kvm_arm_regs_read(cs, KVM_ARM_VBAR_EL1, &regs.vbar);

    if (!ret && step->have_insn && step->insn.cls == ARM_STEP_ERET) {
        ret = kvm_arm_regs_read(cs, KVM_ARM_ELR_EL1, &regs.next) ?:
              kvm_arm_regs_read(cs, KVM_ARM_SPSR_EL1, &spsr);
        regs.has_next = !ret && !(spsr & PSTATE_nRW);
    }
    if (!ret) {
        nr = arm_step_places(&regs, places);
        for (unsigned i = 0; i < nr; i++) {
            add_trap(order, places[i]);
        }
    }
    return ret;
}

static int plan(CPUState *cs, ArmStep *step, StepOrder *order)
{
    if (plan_sequence(cs, step, order)) {
        return 0;
    }
    order->mode = STEP_ONE;
    if (loses_steps == ON_OFF_AUTO_AUTO) {
        loses_steps = kvm_arm_kernel_loses_steps() ? ON_OFF_AUTO_ON
                                                   : ON_OFF_AUTO_OFF;
    }
    return loses_steps == ON_OFF_AUTO_ON ? plan_traps(cs, step, order) : 0;
}

static bool same_order(const StepOrder *a, const StepOrder *b)
{
    return a->mode == b->mode && a->nr_traps == b->nr_traps &&
           !memcmp(a->traps, b->traps, a->nr_traps * sizeof(a->traps[0]));
}

static int tell_kvm(CPUState *cs, const StepOrder *order)
{
    ArmStep *step = get_step(cs);
    StepOrder before = step->order;
    int ret = 0;

    if (!same_order(order, &before)) {
        step->order = *order;
        ret = kvm_update_guest_debug(cs, 0);
        if (ret) {
            step->order = before;
        }
    }
    return ret;
}

/*
 * Since Linux 6.1 KVM remembers that a step's exception is yet to come, until
 * that has come or KVM_GUESTDBG_ENABLE is taken back.  The user's breakpoints
 * keep the latter set.  If a step has ended without its exception the next one
 * would get that, and go nowhere.
 */
static int forget_exception(CPUState *cs, ArmStep *step)
{
    struct kvm_guest_debug none = {};
    int ret = 0;

    if (step->owed) {
        ret = kvm_vcpu_ioctl(cs, KVM_SET_GUEST_DEBUG, &none);
        step->owed = ret;
        step->order = (StepOrder) { .mode = STEP_OFF };
    }
    return ret;
}

/* Begin it, all but what the guest could see */
static int order_step(CPUState *cs, ArmStep *step, const StepOrder *order)
{
    int ret = forget_exception(cs, step) ?: tell_kvm(cs, order);

    if (!ret) {
        step->owed = order->mode == STEP_ONE;
        step->entered = false;
        step->armed = true;
    }
    return ret;
}

/* Switched off by PSCI: has nothing to step, and KVM would wait for ever */
static bool is_off(CPUState *cs)
{
    struct kvm_mp_state mp;

    return !kvm_vcpu_ioctl(cs, KVM_GET_MP_STATE, &mp) &&
           mp.mp_state == KVM_MP_STATE_STOPPED;
}

static int begin(CPUState *cs)
{
    ArmStep *step = get_step(cs);
    StepOrder order = { .mode = STEP_ONE };
    int ret;

    ret = kvm_arm_regs_read(cs, KVM_ARM_PC, &step->pc) ?:
          kvm_arm_regs_read(cs, KVM_ARM_PSTATE, &step->pstate);
    if (!ret && step->have_el2) {
        return order_step(cs, step, &order);
    }
    ret = ret ?: fetch(cs, step);
    if (ret) {
        return ret;
    }
    step->emulate = plan_emulation(cs, step);
    if (step->emulate) {
        return 0;
    }
    ret = plan(cs, step, &order) ?: order_step(cs, step, &order);
    if (ret) {
        return ret;
    }
    step->held = bits_to_hold(cs, step);
    if (step->held) {
        kvm_arm_regs_write(cs, KVM_ARM_PSTATE, step->pstate | step->held);
    }
    return 0;
}

/*
 * Has the instruction, or an interrupt before it, led to a vector of EL1's?
 * PSTATE alone does not say so: a handler may be stepped in its own vector.
 */
static bool took_exception(CPUState *cs, ArmStep *step, uint64_t pc,
                           uint64_t pstate)
{
    uint64_t last = step->order.mode == STEP_SEQUENCE ? step->last : step->pc;
    uint64_t vbar, elr;

    /* ELR_EL1 is the instruction's address also behind a return to it */
    return !(pc & 0x7f) && !(pstate & PSTATE_nRW) &&
           el_of(pstate) == 1 && (pstate & PSTATE_DAIF) == PSTATE_DAIF &&
           !kvm_arm_regs_read(cs, KVM_ARM_VBAR_EL1, &vbar) &&
           !((pc - arm_step_vector(vbar, step->pstate)) & ~(uint64_t)0x180) &&
           !kvm_arm_regs_read(cs, KVM_ARM_ELR_EL1, &elr) &&
           elr - step->pc <= last + 4 - step->pc;
}

/*
 * Is @pc no place where the instruction can have led?  An exception return may
 * lead anywhere.  One that is not over yet stays where it is, or goes back to
 * the first of the two or three that copy or set memory.
 */
static bool went_astray(ArmStep *step, uint64_t pc)
{
    if (!step->have_insn || step->order.mode != STEP_ONE ||
        step->insn.cls == ARM_STEP_ERET || step->pc - pc <= 8) {
        return false;
    }
    /* Less what an address tag may take */
    return (pc ^ step->successor) & MAKE_64BIT_MASK(0, 56);
}

/* From now on what comes behind an instruction is trapped */
static void lost_step(CPUState *cs, ArmStep *step, uint64_t pc)
{
    kvm_arm_regs_forget(cs);
    if (loses_steps != ON_OFF_AUTO_ON) {
        loses_steps = ON_OFF_AUTO_ON;
        warn_report("CPU %d: a step from 0x%" PRIx64 " has run more than one "
                    "instruction, to 0x%" PRIx64 ": the kernel has lost it. "
                    "From now on hardware breakpoints prevent that",
                    cs->cpu_index, step->pc, pc);
    }
}

static void take_back(CPUState *cs, ArmStep *step, uint64_t pstate)
{
    /* Kernels may leave a PSTATE.SS of theirs */
    uint64_t own = (pstate & ~(step->held | PSTATE_SS)) |
                   (step->pstate & PSTATE_SS);

    if (own != pstate) {
        kvm_arm_regs_write(cs, KVM_ARM_PSTATE, own);
    }
}

/* mrs or msr of DAIF has run with the masks held: what it should have done */
static void redo_masks(CPUState *cs, ArmStep *step, uint64_t pstate)
{
    const uint64_t guests = PSTATE_DAIF | PSTATE_SS;

    pstate = (pstate & ~guests) | (step->pstate & guests);
    do_masks(cs, &step->insn, &pstate);
    kvm_arm_regs_write(cs, KVM_ARM_PSTATE, pstate);
}

/* The instruction has run, or raised an exception: take back what it got */
static void settle(CPUState *cs, ArmStep *step)
{
    uint64_t pc, pstate, spsr, drop;

    step->armed = false;
    if (step->have_el2) {
        return;         /* it got nothing */
    }
    if (kvm_arm_regs_read(cs, KVM_ARM_PC, &pc) ||
        kvm_arm_regs_read(cs, KVM_ARM_PSTATE, &pstate)) {
        error_report("CPU %d: the registers cannot be read behind a step; "
                     "interrupts may stay masked", cs->cpu_index);
        return;
    }
    if (took_exception(cs, step, pc, pstate)) {
        /*
         * PSTATE.SS is 1 there if the instruction has not completed; so it
         * would be if the guest itself was stepping it.
         */
        drop = step->held | (PSTATE_SS & ~step->pstate);
        if (!kvm_arm_regs_read(cs, KVM_ARM_SPSR_EL1, &spsr) && spsr & drop) {
            kvm_arm_regs_write(cs, KVM_ARM_SPSR_EL1, spsr & ~drop);
        }
        return;
    }
    if (went_astray(step, pc)) {
        lost_step(cs, step, pc);
    }
    if (step->have_insn && sees_masks(&step->insn) && pc != step->pc) {
        redo_masks(cs, step, pstate);
    } else if (!(step->have_insn && step->insn.cls == ARM_STEP_ERET)) {
        /* An exception return has these from SPSR_EL1 */
        take_back(cs, step, pstate);
    }
}

/*
 * A signal has ended KVM_RUN.  If KVM or QEMU has emulated the instruction
 * before that, KVM does not know any more that the instruction was stepped, and
 * would step the next one, too.
 */
static void end_if_over(CPUState *cs, ArmStep *step)
{
    uint64_t pc;

    if (step->order.mode == STEP_ONE &&
        !kvm_arm_regs_read(cs, KVM_ARM_PC, &pc) && pc != step->pc) {
        settle(cs, step);
        step->done = true;
    }
}

bool kvm_arch_singlestep_done(CPUState *cs)
{
    ArmStep *step = get_step(cs);

    if (step->armed && step->entered) {
        end_if_over(cs, step);
    }
    if (cpu_single_stepping(cs) && !step->armed && !step->done &&
        !step->emulate) {
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

bool kvm_arm_step_finish(CPUState *cs)
{
    ArmStep *step = get_step(cs);

    step->owed = false;
    if (step->armed) {
        settle(cs, step);
    }
    return cpu_single_stepping(cs);
}

bool kvm_arm_step_finish_at(CPUState *cs)
{
    ArmStep *step = get_step(cs);
    const StepOrder *order = &step->order;
    uint64_t pc;

    if (!step->armed || kvm_arm_regs_read(cs, KVM_ARM_PC, &pc)) {
        return false;
    }
    for (unsigned i = 0; i < order->nr_traps; i++) {
        if (order->traps[i] == pc) {
            step->owed = false;     /* the step's exception would be first */
            settle(cs, step);
            return true;
        }
    }
    return false;
}

void kvm_arm_step_cancel(CPUState *cs)
{
    ArmStep *step = get_step(cs);
    uint64_t pc, pstate;

    step->emulate = false;
    if (!step->armed) {
        return;
    }
    if (!kvm_arm_regs_read(cs, KVM_ARM_PC, &pc) && pc != step->pc) {
        /* KVM has not come to say so */
        settle(cs, step);
        step->done = true;
        return;
    }
    step->armed = false;
    if (!kvm_arm_regs_read(cs, KVM_ARM_PSTATE, &pstate)) {
        take_back(cs, step, pstate);
    }
}

void kvm_arm_step_reset(CPUState *cs)
{
    get_step(cs)->armed = false;
    get_step(cs)->emulate = false;
}

static uint64_t kept_by(ArmStep *step)
{
    const uint64_t mmu = MAKE_64BIT_MASK(KVM_ARM_VBAR_EL1, KVM_ARM_NR_REGS -
                                         KVM_ARM_VBAR_EL1);
    const uint64_t sp = BIT_ULL(KVM_ARM_SP_EL0) | BIT_ULL(KVM_ARM_SP_EL1);
    uint32_t written;
    uint64_t kept;

    if (!step->armed || !step->have_insn || step->order.mode != STEP_ONE) {
        return 0;
    }
    written = arm_step_writes(&step->insn, step->word);
    kept = ~written & MAKE_64BIT_MASK(0, 31);
    kept |= written & ARM_STEP_WRITES_SP ? 0 : sp;
    kept |= step->insn.context ? 0 : mmu;
    return kept;
}

void kvm_arm_step_pre_run(CPUState *cs)
{
    ArmStep *step = get_step(cs);

    step->entered = step->armed;
    kvm_arm_regs_pre_run(cs, kept_by(step));
}

typedef struct StepRequest {
    bool enable;
    int ret;
} StepRequest;

static void do_step(CPUState *cs, run_on_cpu_data data)
{
    StepRequest *request = data.host_ptr;
    ArmStep *step = get_step(cs);

    if (!request->enable) {
        kvm_arm_step_cancel(cs);
        step->done = false;
        request->ret = tell_kvm(cs, &(StepOrder) { .mode = STEP_OFF });
        return;
    }
    step->off = is_off(cs);
    if (step->off) {
        step->done = true;
    } else {
        request->ret = begin(cs);
    }
}

int kvm_arch_emulate_singlestep(CPUState *cs, bool enable)
{
    StepRequest request = { .enable = enable };

    if (enable && qemu_cpu_is_self(cs)) {
        /* One more of a range, which has nothing more to step if it is off */
        if (get_step(cs)->off) {
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
