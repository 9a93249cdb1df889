/*
 * A small Book III processor and the accelerator that runs it, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "model-cpu.h"

/* Memory, big-endian */

static bool resolve(const ModelCpu *cpu, uint64_t ea, bool relocated,
                    uint64_t *phys)
{
    if (relocated && ea >= MODEL_LINEAR) {
        ea -= MODEL_LINEAR;
    } else if (relocated) {
        return false;           /* nothing is mapped down there */
    }
    *phys = ea;
    return ea < MODEL_MEM_SIZE - 8 || ea == MODEL_MMIO;
}

static uint32_t peek(const ModelCpu *cpu, uint64_t phys)
{
    uint32_t word;

    memcpy(&word, cpu->mem + phys, 4);
    return GUINT32_FROM_BE(word);
}

void model_poke(ModelCpu *cpu, uint64_t addr, uint32_t insn)
{
    insn = GUINT32_TO_BE(insn);
    memcpy(cpu->mem + addr, &insn, 4);
}

/* The processor */

static void interrupt(ModelCpu *cpu, uint32_t vector, uint64_t srr0)
{
    PPCStepRegs *r = &cpu->regs;
    bool ail = r->lpcr_ail == 3 && r->msr & PPC_STEP_MSR_IR &&
               r->msr & PPC_STEP_MSR_DR;

    r->srr0 = srr0;
    r->srr1 = r->msr & ~PPC_STEP_SRR1_INFO;
    r->msr = PPC_STEP_MSR_SF | (r->msr & PPC_STEP_MSR_ME) |
             (ail ? PPC_STEP_MSR_IR | PPC_STEP_MSR_DR : 0);
    r->pc = vector + (ail ? 0xc000000000004000ULL : 0);
}

static bool access_ok(ModelCpu *cpu, uint64_t ea, uint64_t *phys)
{
    if (resolve(cpu, ea, cpu->regs.msr & PPC_STEP_MSR_DR, phys)) {
        return true;
    }
    interrupt(cpu, 0x300, cpu->regs.pc);
    return false;
}

static bool load_store(ModelCpu *cpu, uint32_t insn, bool *emulated)
{
    PPCStepRegs *r = &cpu->regs;
    unsigned rt = insn >> 21 & 31, ra = insn >> 16 & 31;
    uint64_t ea = (ra ? r->gpr[ra] : 0) + (int16_t)insn, phys;

    if (!access_ok(cpu, ea, &phys)) {
        return false;
    }
    *emulated = phys == MODEL_MMIO;
    cpu->reserved &= !*emulated;
    if (insn >> 26 == 36) {
        if (!*emulated) {
            model_poke(cpu, phys, r->gpr[rt]);
        }
    } else {
        r->gpr[rt] = *emulated ? 0x1234 : peek(cpu, phys);
    }
    return true;
}

static bool privileged_ok(ModelCpu *cpu)
{
    if (cpu->regs.msr & PPC_STEP_MSR_PR) {
        interrupt(cpu, 0x700, cpu->regs.pc);
        return false;
    }
    return true;
}

#define XO_LWARX 20
#define XO_STWCX 150

static bool is_reservation(uint32_t insn)
{
    unsigned xo = insn >> 1 & 0x3ff;

    return xo == XO_LWARX || xo == XO_STWCX;
}

/* There is none on MMIO */
static bool load_reserve(ModelCpu *cpu, uint32_t insn)
{
    PPCStepRegs *r = &cpu->regs;
    unsigned rt = insn >> 21 & 31, ra = insn >> 16 & 31, rb = insn >> 11 & 31;
    uint64_t phys;

    if (!access_ok(cpu, (ra ? r->gpr[ra] : 0) + r->gpr[rb], &phys)) {
        return false;
    }
    g_assert(phys != MODEL_MMIO);
    if ((insn >> 1 & 0x3ff) == XO_LWARX) {
        r->gpr[rt] = peek(cpu, phys);
        cpu->reserved = true;
        cpu->reservation = phys;
        return true;
    }
    r->cr &= 0x0fffffff;
    if (cpu->reserved && cpu->reservation == phys) {
        model_poke(cpu, phys, r->gpr[rt]);
        r->cr |= 0x20000000;
    }
    cpu->reserved = false;
    return true;
}

static void compare(PPCStepRegs *r, uint32_t insn)
{
    int32_t a = r->gpr[insn >> 16 & 31], b = (int16_t)insn;

    r->cr = (r->cr & 0x0fffffff) |
            (a < b ? 0x80000000 : a > b ? 0x40000000 : 0x20000000);
}

/* BO for CTR (16), for a CR bit being clear (4) or set (12) */
static bool branch_taken(PPCStepRegs *r, uint32_t insn)
{
    unsigned bo = insn >> 21 & 31, bi = insn >> 16 & 31;
    bool bit = r->cr << bi & 0x80000000;

    if (bo == 16) {
        return --r->ctr;
    }
    g_assert(bo == 4 || bo == 12);
    return bit == (bo == 12);
}

/* H_CEDE: EE on, and wait.  Returns: false if that goes on */
static bool cede(ModelCpu *cpu)
{
    cpu->regs.msr |= PPC_STEP_MSR_EE;
    return cpu->pending_irq && !cpu->irq_held;
}

static void rfid(PPCStepRegs *r)
{
    uint64_t keep = PPC_STEP_MSR_ME | PPC_STEP_MSR_HV;

    r->pc = r->srr0 & ~3ULL;
    r->msr = ((r->srr1 & ~keep) | (r->msr & keep)) & r->msr_mask;
    if (r->msr & PPC_STEP_MSR_PR) {
        r->msr |= PPC_STEP_MSR_EE | PPC_STEP_MSR_IR | PPC_STEP_MSR_DR;
    }
}

/*
 * Runs the instruction at regs.pc.  Sets regs.pc to where it goes on.
 * Returns: true if it completed and can be traced.
 */
static bool execute(ModelCpu *cpu, uint32_t insn)
{
    PPCStepRegs *r = &cpu->regs;
    uint64_t next = r->pc + 4, target;
    unsigned rt = insn >> 21 & 31;
    bool emulated = false;

    switch (insn >> 26) {
    case 11: /* cmpwi */
        compare(r, insn);
        break;
    case 14: /* addi */
        r->gpr[rt] = (insn >> 16 & 31 ? r->gpr[insn >> 16 & 31] : 0) +
                     (int16_t)insn;
        break;
    case 32: /* lwz */
    case 36: /* stw */
        if (!load_store(cpu, insn, &emulated)) {
            return false;
        }
        break;
    case 18: /* b[l] */
        target = r->pc + ((int32_t)(insn << 6) >> 6 & ~3);
        if (insn & 1) {
            r->lr = next;
        }
        next = target;
        break;
    case 16: /* bc */
        if (branch_taken(r, insn)) {
            next = r->pc + (int16_t)(insn & 0xfffc);
        }
        break;
    case 17: /* sc */
        if (insn & 0x20) {
            /* hypercall: the hypervisor's work */
            if (r->gpr[3] != MODEL_H_CEDE || cede(cpu)) {
                r->gpr[3] = 0;
                r->pc = next;
            }
            return false;
        }
        interrupt(cpu, 0xc00, next);
        return false;
    case 19: /* blr, rfid */
        if ((insn >> 1 & 0x3ff) == 16) {
            next = r->lr & ~3ULL;
            break;
        }
        if (privileged_ok(cpu)) {
            rfid(r);
        }
        return false;
    case 31:
        if (is_reservation(insn)) {
            if (!load_reserve(cpu, insn)) {
                return false;
            }
            break;
        }
        if (!privileged_ok(cpu)) {
            return false;
        }
        switch (insn >> 1 & 0x3ff) {
        case 83: /* mfmsr */
            r->gpr[rt] = r->msr;
            break;
        case 178: /* mtmsrd rs,1 */
            target = PPC_STEP_MSR_EE | PPC_STEP_MSR_RI;
            r->msr = (r->msr & ~target) | (r->gpr[rt] & target);
            break;
        case 339: /* mfspr SRR0/SRR1 */
            r->gpr[rt] = insn >> 16 & 1 ? r->srr1 : r->srr0;
            break;
        case 467: /* mtspr SRR0/SRR1 */
            *(insn >> 16 & 1 ? &r->srr1 : &r->srr0) = r->gpr[rt];
            break;
        default:
            g_assert_not_reached();
        }
        break;
    default:
        interrupt(cpu, 0x700, r->pc);
        return false;
    }
    r->pc = next;
    cpu->insns++;
    return !emulated;
}

static bool fetch_ok(ModelCpu *cpu, uint64_t *phys)
{
    if (resolve(cpu, cpu->regs.pc, cpu->regs.msr & PPC_STEP_MSR_IR, phys) &&
        *phys != MODEL_MMIO) {
        return true;
    }
    interrupt(cpu, 0x400, cpu->regs.pc);
    return false;
}

void model_reference_step(ModelCpu *cpu)
{
    bool traced = cpu->regs.msr & PPC_STEP_MSR_SE;
    uint64_t phys;
    uint32_t insn;

    if (!fetch_ok(cpu, &phys)) {
        return;
    }
    insn = peek(cpu, phys);
    if (execute(cpu, insn) && traced) {
        interrupt(cpu, 0xd00, cpu->regs.pc);
        /* 7.5.15: SRR1[33]; SRR1[35] of a load */
        cpu->regs.srr1 |= 0x40000000;
        cpu->regs.srr1 |= insn >> 26 == 32 ? MODEL_SRR1_LOAD : 0;
    }
}

ModelExit model_run(ModelCpu *cpu, unsigned limit)
{
    ModelExit why = MODEL_EXIT_LIMIT;

    while (limit--) {
        uint64_t phys;

        if (cpu->pending_irq && !cpu->irq_held &&
            cpu->regs.msr & PPC_STEP_MSR_EE) {
            cpu->pending_irq = false;
            interrupt(cpu, MODEL_IRQ, cpu->regs.pc);
        }
        if (fetch_ok(cpu, &phys) && peek(cpu, phys) == MODEL_TRAP) {
            why = MODEL_EXIT_DEBUG;
            break;
        }
        model_reference_step(cpu);
        if (cpu->irq_after && !--cpu->irq_after) {
            cpu->pending_irq = true;
        }
    }
    cpu->reserved = false;
    return why;
}

/* The accelerator */

static int accel_call(ModelCpu *cpu)
{
    return ++cpu->calls == cpu->fail_at ? -EIO : 0;
}

static int mem_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    ModelCpu *cpu = opaque;
    int ret = accel_call(cpu);

    if (!ret) {
        memcpy(buf, cpu->mem + addr, len);
    }
    return ret;
}

static int mem_exchange(void *opaque, uint64_t addr, const void *old,
                        const void *buf, size_t len)
{
    ModelCpu *cpu = opaque;
    int ret = accel_call(cpu);

    if (!ret) {
        g_assert_cmpmem(cpu->mem + addr, len, old, len);
        memcpy(cpu->mem + addr, buf, len);
    }
    return ret;
}

static int mem_trap(void *opaque, uint64_t addr, uint8_t *trap)
{
    uint32_t word = GUINT32_TO_BE(MODEL_TRAP);

    memcpy(trap, &word, sizeof(word));
    return sizeof(word);
}

static const BreakpointMemory memory = {
    .read = mem_read, .trap = mem_trap, .exchange = mem_exchange,
};

static bool touches(ModelCpu *cpu, uint64_t trap)
{
    const PPCStepPlan *plan = &cpu->plan;
    uint64_t phys;

    return plan->have_insn && plan->insn.mem &&
           resolve(cpu, ppc_step_mem_ea(&plan->insn, cpu->regs.pc,
                                        cpu->regs.gpr, true),
                   cpu->regs.msr & PPC_STEP_MSR_DR, &phys) &&
           phys == trap;
}

static int place(void *vcpu, StepPlan *plan)
{
    ModelCpu *cpu = vcpu;
    PPCStepTrapAt traps[PPC_STEP_TRAPS_MAX];
    unsigned nr = ppc_step_plan_traps(&cpu->plan, cpu->regs.lpcr_ail, traps);

    plan->reason = NULL;
    plan->nr_traps = 0;
    for (unsigned i = 0; i < nr; i++) {
        StepTrap *trap = &plan->traps[plan->nr_traps];
        bool next = traps[i].kind == PPC_STEP_TRAP_NEXT;

        if (!resolve(cpu, traps[i].pc, traps[i].ir, &trap->addr)) {
            if (!next) {
                plan->reason = "a vector is not mapped";
                return -EFAULT;
            }
        } else if (touches(cpu, trap->addr)) {
            plan->reason = "the instruction accesses the trap";
            if (traps[i].kind == PPC_STEP_TRAP_TRACE) {
                return ppc_step_plan_untraced(&cpu->plan) ?
                       place(vcpu, plan) : -ENOTSUP;
            }
            if (next && !cpu->plan.trace) {
                return -ENOTSUP;
            }
            plan->reason = NULL;
        } else {
            trap->pc = traps[i].pc;
            plan->nr_traps++;
        }
    }
    return 0;
}

/* Returns: how many words from the instruction on can be fetched */
static unsigned fetch(ModelCpu *cpu, uint32_t *words, unsigned max)
{
    unsigned nr;

    for (nr = 0; nr < max; nr++) {
        uint64_t phys;

        if (!resolve(cpu, cpu->regs.pc + 4 * nr,
                     cpu->regs.msr & PPC_STEP_MSR_IR, &phys) ||
            phys == MODEL_MMIO) {
            break;
        }
        memcpy(&words[nr], cpu->mem + phys, 4);
        breakpoint_set_restore(cpu->traps, phys, &words[nr], 4);
        words[nr] = GUINT32_FROM_BE(words[nr]);
    }
    return nr;
}

static int plan_sequence(ModelCpu *cpu, StepPlan *p, const uint32_t *words,
                         unsigned nr)
{
    PPCStepPlan one = cpu->plan;
    int ret;

    /* A guest that traces itself wants to see each of them */
    if (!cpu->one_by_one && cpu->plan.insn.cls == PPC_STEP_LARX &&
        !(cpu->regs.msr & (PPC_STEP_MSR_SE | PPC_STEP_MSR_BE)) &&
        !ppc_step_plan_sequence(&cpu->plan, words, nr)) {
        ret = place(cpu, p);
        if (!ret) {
            return 0;
        }
        cpu->plan = one;
    }
    return place(cpu, p);
}

static int plan(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    uint32_t words[STEP_SEQUENCE_WORDS_MAX] = { 0 };
    unsigned nr;
    int ret = accel_call(cpu);

    p->reason = "the registers can't be read";
    if (ret) {
        return ret;
    }
    nr = fetch(cpu, words, G_N_ELEMENTS(words));
    if (nr) {
        p->has_insn = true;
        resolve(cpu, cpu->regs.pc, cpu->regs.msr & PPC_STEP_MSR_IR,
                &p->insn_addr);
    }
    p->reason = ppc_step_plan_make(&cpu->plan, &cpu->regs, nr ? words : NULL,
                                   cpu->noirq);
    if (p->reason) {
        return -ENOTSUP;
    }
    p->run = cpu->plan.run;
    return p->run ? plan_sequence(cpu, p, words, nr) : 0;
}

static int enter(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    int ret = accel_call(cpu);

    if (ret) {
        p->reason = "the registers can't be written";
    } else if (p->run) {
        cpu->regs.msr = ppc_step_plan_enter_msr(&cpu->plan);
    } else {
        cpu->regs = cpu->plan.after;
    }
    return ret;
}

static int finish(void *vcpu, StepPlan *p, uint64_t pc)
{
    ModelCpu *cpu = vcpu;
    uint32_t undone;
    int ret = accel_call(cpu);

    if (ret) {
        return ret;
    }
    g_assert_cmphex(pc, ==, cpu->regs.pc);
    ret = ppc_step_plan_finish(&cpu->plan, cpu->regs.lpcr_ail, &cpu->regs,
                               &undone) == PPC_STEP_END_AGAIN;
    if (undone) {
        g_assert_cmphex(undone, ==, MODEL_IRQ);
        cpu->pending_irq = true;
    }
    cpu->irq_held = ret;
    return ret;
}

static int undo(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    int ret = accel_call(cpu);

    if (!ret) {
        ppc_step_plan_undo(&cpu->plan, &cpu->regs);
        cpu->irq_held = false;
    }
    return ret;
}

static int get_pc(void *vcpu, uint64_t *pc)
{
    ModelCpu *cpu = vcpu;

    *pc = cpu->regs.pc;
    return accel_call(cpu);
}

static const StepOps step_ops = { plan, place, enter, finish, undo, get_pc };

void model_init(ModelCpu *cpu, bool noirq)
{
    memset(cpu, 0, sizeof(*cpu));
    cpu->noirq = noirq;
    cpu->regs.msr_mask = ~0ULL;
    cpu->regs.isa300 = true;
    cpu->traps = breakpoint_set_new(&memory, cpu);
    step_session_init(&cpu->session, &step_ops, cpu, cpu->traps);
}

void model_free(ModelCpu *cpu)
{
    breakpoint_set_free(cpu->traps);
}
