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
    case 16: /* bdnz */
        if (--r->ctr) {
            next = r->pc + (int16_t)(insn & 0xfffc);
        }
        break;
    case 17: /* sc */
        if (insn & 0x20) {
            r->gpr[3] = 0;
            r->pc = next;       /* hypercall: the hypervisor's work */
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
        /* Information on loads, as some processors give it (7.5.15) */
        cpu->regs.srr1 |= insn >> 26 == 32 ? 0x00080000 : 0;
    }
}

ModelExit model_run(ModelCpu *cpu, unsigned limit)
{
    while (limit--) {
        uint64_t phys;

        if (cpu->pending_irq && cpu->regs.msr & PPC_STEP_MSR_EE) {
            cpu->pending_irq = false;
            interrupt(cpu, 0x900, cpu->regs.pc);
        }
        if (fetch_ok(cpu, &phys) && peek(cpu, phys) == MODEL_TRAP) {
            return MODEL_EXIT_DEBUG;
        }
        model_reference_step(cpu);
    }
    return MODEL_EXIT_LIMIT;
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

static int mem_write(void *opaque, uint64_t addr, const void *buf, size_t len)
{
    ModelCpu *cpu = opaque;
    int ret = accel_call(cpu);

    if (!ret) {
        memcpy(cpu->mem + addr, buf, len);
    }
    return ret;
}

static const BreakpointMemory memory = { mem_read, mem_write };

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

    plan->nr_traps = 0;
    for (unsigned i = 0; i < nr; i++) {
        StepTrap *trap = &plan->traps[plan->nr_traps];
        bool next = traps[i].kind == PPC_STEP_TRAP_NEXT;

        if (!resolve(cpu, traps[i].pc, traps[i].ir, &trap->addr)) {
            if (!next) {
                return -EFAULT;
            }
        } else if (touches(cpu, trap->addr)) {
            if (traps[i].kind == PPC_STEP_TRAP_TRACE) {
                return ppc_step_plan_untraced(&cpu->plan) ?
                       place(vcpu, plan) : -ENOTSUP;
            }
            if (next && !cpu->plan.trace) {
                return -ENOTSUP;
            }
        } else {
            trap->pc = traps[i].pc;
            plan->nr_traps++;
        }
    }
    return 0;
}

static int plan(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    uint32_t words[2] = { 0, 0 };
    uint64_t phys;
    int ret = accel_call(cpu);

    if (ret) {
        return ret;
    }
    if (resolve(cpu, cpu->regs.pc, cpu->regs.msr & PPC_STEP_MSR_IR, &phys)) {
        p->has_insn = true;
        p->insn_addr = phys;
        memcpy(words, cpu->mem + phys, 4);
        breakpoint_set_restore(cpu->traps, phys, words, 4);
        words[0] = GUINT32_FROM_BE(words[0]);
    }
    p->reason = ppc_step_plan_make(&cpu->plan, &cpu->regs,
                                   p->has_insn ? words : NULL, cpu->noirq);
    if (p->reason) {
        return -ENOTSUP;
    }
    p->run = cpu->plan.run;
    return p->run ? place(vcpu, p) : 0;
}

static int enter(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    int ret = accel_call(cpu);

    if (!ret && p->run) {
        cpu->regs.msr = ppc_step_plan_enter_msr(&cpu->plan);
    } else if (!ret) {
        cpu->regs = cpu->plan.after;
    }
    return ret;
}

static int finish(void *vcpu, StepPlan *p, uint64_t pc)
{
    ModelCpu *cpu = vcpu;
    int ret = accel_call(cpu);

    if (!ret) {
        g_assert_cmphex(pc, ==, cpu->regs.pc);
        ppc_step_plan_finish(&cpu->plan, cpu->regs.lpcr_ail, &cpu->regs);
    }
    return ret;
}

static int undo(void *vcpu, StepPlan *p)
{
    ModelCpu *cpu = vcpu;
    int ret = accel_call(cpu);

    if (!ret) {
        ppc_step_plan_undo(&cpu->plan, &cpu->regs);
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
    uint32_t trap = GUINT32_TO_BE(MODEL_TRAP);

    memset(cpu, 0, sizeof(*cpu));
    cpu->noirq = noirq;
    cpu->regs.msr_mask = ~0ULL;
    cpu->regs.isa300 = true;
    cpu->traps = breakpoint_set_new(&memory, cpu, &trap, 4);
    step_session_init(&cpu->session, &step_ops, cpu, cpu->traps);
}

void model_free(ModelCpu *cpu)
{
    breakpoint_set_free(cpu->traps);
}
