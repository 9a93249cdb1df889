/*
 * How to step one LoongArch instruction: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

/* Numbers of CSRs */
enum {
    CSR_CRMD = 0,
    CSR_PGDL = 0x19,
    CSR_PGDH = 0x1a,
    CSR_DMW0 = 0x180,
    CSR_DMW3 = 0x183,
};

/* Of PRMD and of TLBRPRMD: what becomes CRMD.WE */
#define PRMD_PWE        (1ull << 3)
#define TLBRPRMD_PWE    (1ull << 4)

#define REG_A0 4

LoongArchStepMode loongarch_step_mode(uint64_t crmd)
{
    return (LoongArchStepMode) {
        .paged = crmd & LOONGARCH_STEP_CRMD_PG,
        .plv = crmd & LOONGARCH_STEP_CRMD_PLV,
    };
}

static bool privileged(const LoongArchStepRegs *regs)
{
    return !(regs->crmd & LOONGARCH_STEP_CRMD_PLV);
}

static uint64_t wrap(const LoongArchStepRegs *regs, uint64_t pc)
{
    return regs->va32 ? (uint32_t)pc : pc;
}

static void set_gpr(LoongArchStepRegs *regs, unsigned reg, uint64_t value)
{
    if (reg) {
        regs->gpr[reg] = value;
    }
}

/* A general register has 32 bits of an address as a signed number */
static uint64_t link_value(const LoongArchStepRegs *regs)
{
    uint64_t value = regs->pc + 4;

    return regs->va32 ? (uint64_t)(int32_t)value : value;
}

/* Where an instruction completes that does nothing else, or did something */
static void go_on(LoongArchStepRegs *regs)
{
    regs->pc = wrap(regs, regs->pc + 4);
}

/* CSRs that are read and written here: CRMD, and what translation depends on */
static uint64_t *csr_field(LoongArchStepRegs *regs, unsigned csr)
{
    switch (csr) {
    case CSR_CRMD:
        return &regs->crmd;
    case CSR_PGDL:
        return &regs->pgdl;
    case CSR_PGDH:
        return &regs->pgdh;
    case CSR_DMW0 ... CSR_DMW3:
        return &regs->dmw[csr - CSR_DMW0];
    default:
        return NULL;
    }
}

static bool emulate_csr(const LoongArchStepInsn *insn, LoongArchStepRegs *regs)
{
    uint64_t *field = csr_field(regs, insn->csr);
    uint64_t old, mask = 0;

    if (!field || !privileged(regs) ||
        (insn->cls == LOONGARCH_STEP_CSRRD && insn->csr != CSR_CRMD)) {
        return false;
    }
    if (insn->cls == LOONGARCH_STEP_CSRWR) {
        mask = UINT64_MAX;
    } else if (insn->cls == LOONGARCH_STEP_CSRXCHG) {
        mask = regs->gpr[insn->rj];
    }
    if (insn->csr == CSR_CRMD) {
        mask &= LOONGARCH_STEP_CRMD_MASK;
    }
    old = *field;
    *field = (old & ~mask) | (regs->gpr[insn->rd] & mask);
    set_gpr(regs, insn->rd, old);
    go_on(regs);
    return true;
}

static void return_to(LoongArchStepRegs *regs, uint64_t pc, uint64_t prmd,
                      bool we)
{
    /* PLV and IE are in the same bits of both */
    const uint64_t same = LOONGARCH_STEP_CRMD_PLV | LOONGARCH_STEP_CRMD_IE;

    regs->crmd &= ~(same | LOONGARCH_STEP_CRMD_WE);
    regs->crmd |= (prmd & same) | (we ? LOONGARCH_STEP_CRMD_WE : 0);
    regs->pc = wrap(regs, pc);
}

static bool emulate_ertn(LoongArchStepRegs *regs)
{
    if (!privileged(regs)) {
        return false;
    }
    if (regs->tlbrera & LOONGARCH_STEP_TLBRERA_ISTLBR) {
        regs->tlbrera &= ~LOONGARCH_STEP_TLBRERA_ISTLBR;
        regs->crmd &= ~LOONGARCH_STEP_CRMD_DA;
        regs->crmd |= LOONGARCH_STEP_CRMD_PG;
        return_to(regs, regs->tlbrera & ~3ull, regs->tlbrprmd,
                  regs->tlbrprmd & TLBRPRMD_PWE);
    } else {
        return_to(regs, regs->era, regs->prmd, regs->prmd & PRMD_PWE);
    }
    /* It breaks the link, unless it has been told to keep it once */
    if (regs->llbctl & LOONGARCH_STEP_LLBCTL_KLO) {
        regs->llbctl &= ~LOONGARCH_STEP_LLBCTL_KLO;
    } else {
        regs->llbctl |= LOONGARCH_STEP_LLBCTL_WCLLB;
    }
    return true;
}

/* Those whose unit is disabled have to raise an exception */
static bool can_branch(const LoongArchStepInsn *insn,
                       const LoongArchStepRegs *regs)
{
    if (insn->exceptions & LOONGARCH_STEP_EXC_FP) {
        return regs->euen & LOONGARCH_STEP_EUEN_FPE;
    }
    if (insn->exceptions & LOONGARCH_STEP_EXC_BT) {
        return regs->euen & LOONGARCH_STEP_EUEN_BTE;
    }
    return true;
}

/* Of others than branches it is not known which units are enabled */
static bool can_complete(const LoongArchStepInsn *insn,
                         const LoongArchStepRegs *regs)
{
    bool branch = insn->cls == LOONGARCH_STEP_BRANCH ||
                  insn->cls == LOONGARCH_STEP_JISCR;

    return !branch || can_branch(insn, regs);
}

static bool emulate_branch(const LoongArchStepInsn *insn, uint64_t next,
                           LoongArchStepRegs *regs)
{
    if (!can_branch(insn, regs)) {
        return false;
    }
    if (insn->link) {
        set_gpr(regs, insn->cls == LOONGARCH_STEP_JIRL ? insn->rd : 1,
                link_value(regs));
    }
    regs->pc = next;
    return true;
}

/* Returns: false if it has to run */
static bool emulate(const LoongArchStepPlan *plan, const uint32_t *word,
                    uint32_t trap, LoongArchStepRegs *regs)
{
    const LoongArchStepInsn *insn = &plan->insn;

    switch (insn->cls) {
    case LOONGARCH_STEP_BRANCH:
    case LOONGARCH_STEP_JIRL:
    case LOONGARCH_STEP_JISCR:
        return emulate_branch(insn, plan->next, regs);
    case LOONGARCH_STEP_CSRRD:
    case LOONGARCH_STEP_CSRWR:
    case LOONGARCH_STEP_CSRXCHG:
        return emulate_csr(insn, regs);
    case LOONGARCH_STEP_ERTN:
        return emulate_ertn(regs);
    case LOONGARCH_STEP_IDLE:
        if (!privileged(regs)) {
            return false;
        }
        go_on(regs);
        return true;
    case LOONGARCH_STEP_HVCL:
        if (*word != trap) {
            return false;
        }
        set_gpr(regs, REG_A0, UINT64_MAX);
        go_on(regs);
        return true;
    default:
        return false;
    }
}

void loongarch_step_plan_make(LoongArchStepPlan *plan,
                              const LoongArchStepRegs *regs,
                              const uint32_t *word, uint32_t trap, bool noirq)
{
    LoongArchStepBranchRegs branch = {
        .pc = regs->pc, .gpr = regs->gpr, .fcc = regs->fcc,
        .scr = { regs->scr[0], regs->scr[1] }, .va32 = regs->va32,
    };

    memset(plan, 0, sizeof(*plan));
    plan->before = *regs;
    plan->after = *regs;
    plan->run = true;
    plan->mask_ie = noirq && regs->crmd & LOONGARCH_STEP_CRMD_IE;
    if (!word) {
        plan->insn.exceptions = LOONGARCH_STEP_EXC_ALL;
        return;
    }
    plan->have_insn = true;
    loongarch_step_decode(*word, &plan->insn);
    switch (plan->insn.cls) {
    case LOONGARCH_STEP_SYSCALL:
    case LOONGARCH_STEP_BREAK:
    case LOONGARCH_STEP_DBCL:
    case LOONGARCH_STEP_ERTN:
        break;
    default:
        plan->have_next = can_complete(&plan->insn, regs);
        plan->next = loongarch_step_successor(&plan->insn, &branch);
    }
    plan->run = !emulate(plan, word, trap, &plan->after);
    plan->mask_ie &= plan->run;
}

typedef struct SequenceWords {
    const LoongArchStepInsn *first;
    const uint32_t *words;
    uint8_t exceptions;     /* that those described so far may raise */
} SequenceWords;

static const char *describe(void *opaque, unsigned offset,
                            StepSequenceInsn *described)
{
    SequenceWords *w = opaque;
    LoongArchStepInsn insn;

    loongarch_step_decode(w->words[offset / 4], &insn);
    w->exceptions |= insn.exceptions;
    described->length = 4;
    described->disp = insn.disp;
    switch (insn.cls) {
    case LOONGARCH_STEP_PLAIN:
    case LOONGARCH_STEP_RDTIME:
        described->kind = STEP_SEQUENCE_PLAIN;
        return NULL;
    case LOONGARCH_STEP_BRANCH:
        described->kind = STEP_SEQUENCE_BRANCH;
        return insn.link ? "it calls a function" : NULL;
    case LOONGARCH_STEP_LL:
        return "it has another load-linked";
    case LOONGARCH_STEP_SC:
        described->kind = STEP_SEQUENCE_STORE;
        return insn.mem_size != w->first->mem_size &&
               !(insn.mem_size == 16 && w->first->mem_size == 8) ?
               "its store-conditional has another size" : NULL;
    default:
        return "it has an instruction that may end it";
    }
}

static bool has_entry_inside(const LoongArchStepPlan *plan)
{
    LoongArchStepTrapAt traps[LOONGARCH_STEP_TRAPS_MAX];
    unsigned nr = loongarch_step_plan_traps(plan, traps);
    const LoongArchStepRegs *regs = &plan->before;

    for (unsigned i = 0; i < nr; i++) {
        if (wrap(regs, traps[i].pc - regs->pc) <
            wrap(regs, plan->next - regs->pc)) {
            return true;
        }
    }
    return false;
}

const char *loongarch_step_plan_sequence(LoongArchStepPlan *plan,
                                         const uint32_t *words, unsigned nr)
{
    SequenceWords w = { .first = &plan->insn, .words = words };
    const LoongArchStepRegs *regs = &plan->before;
    LoongArchStepPlan changed = *plan;
    StepSequence seq;
    const char *reason;

    reason = step_sequence_find(&seq, 4, 4 * nr, describe, &w);
    if (reason) {
        return reason;
    }
    changed.insn.exceptions |= w.exceptions;
    changed.sequence = true;
    changed.next = wrap(regs, regs->pc + seq.end);
    changed.nr_exits = seq.nr_exits;
    for (unsigned i = 0; i < seq.nr_exits; i++) {
        changed.exits[i] = wrap(regs, regs->pc + seq.exits[i]);
    }
    if (has_entry_inside(&changed)) {
        return "it runs over the entry of an exception";
    }
    *plan = changed;
    return NULL;
}

/* Codes of exceptions, as ESTAT.Ecode has them */
enum {
    ECODE_SYS = 0xb,
    ECODE_BRK = 0xc,
    ECODE_INTERRUPTS = 64,      /* that of interrupt 0, as an entry */
};

/* By what raises them; 0 is for the fetch, which each instruction has */
static const struct {
    uint8_t exception;
    uint8_t ecode;
} step_ecodes[] = {
    { 0,                          0x3 },    /* PIF */
    { 0,                          0x6 },    /* PNX */
    { 0,                          0x7 },    /* PPI, also of data */
    { 0,                          0x8 },    /* ADEF, also ADEM */
    { LOONGARCH_STEP_EXC_DATA,    0x1 },    /* PIL */
    { LOONGARCH_STEP_EXC_DATA,    0x2 },    /* PIS */
    { LOONGARCH_STEP_EXC_DATA,    0x4 },    /* PME */
    { LOONGARCH_STEP_EXC_DATA,    0x5 },    /* PNR */
    { LOONGARCH_STEP_EXC_DATA,    0x9 },    /* ALE */
    { LOONGARCH_STEP_EXC_DATA,    0xa },    /* BCE */
    { LOONGARCH_STEP_EXC_PROGRAM, 0xd },    /* INE */
    { LOONGARCH_STEP_EXC_PROGRAM, 0xe },    /* IPE */
    { LOONGARCH_STEP_EXC_FP,      0xf },    /* FPD */
    { LOONGARCH_STEP_EXC_VEC,     0x10 },   /* SXD */
    { LOONGARCH_STEP_EXC_VEC,     0x11 },   /* ASXD */
    { LOONGARCH_STEP_EXC_FP | LOONGARCH_STEP_EXC_VEC, 0x12 }, /* FPE, VFPE */
    { LOONGARCH_STEP_EXC_BT,      0x14 },   /* BTD */
    { LOONGARCH_STEP_EXC_BT,      0x15 },   /* BTE */
};

typedef struct TrapList {
    const LoongArchStepPlan *plan;
    LoongArchStepTrapAt *traps;
    unsigned nr;
} TrapList;

static void add_trap(TrapList *list, uint64_t pc, LoongArchStepTrapKind kind,
                     LoongArchStepMode mode)
{
    if (pc == list->plan->before.pc) {
        return;
    }
    for (unsigned i = 0; i < list->nr; i++) {
        if (list->traps[i].pc == pc && list->traps[i].kind == kind) {
            return;
        }
    }
    g_assert(list->nr < LOONGARCH_STEP_TRAPS_MAX);
    list->traps[list->nr++] = (LoongArchStepTrapAt) { pc, kind, mode };
}

/* The distance of entries in bytes; 0 if there is but one */
static uint64_t entry_size(uint64_t ecfg)
{
    unsigned vs = ecfg >> 16 & 7;

    return vs ? 4ull << vs : 0;
}

static void add_entry(TrapList *list, unsigned ecode)
{
    const LoongArchStepRegs *regs = &list->plan->before;
    LoongArchStepMode mode = loongarch_step_mode(regs->crmd);

    mode.plv = 0;
    add_trap(list, wrap(regs, regs->eentry + ecode * entry_size(regs->ecfg)),
             LOONGARCH_STEP_TRAP_EXCEPTION, mode);
}

static void add_interrupts(TrapList *list)
{
    const LoongArchStepPlan *plan = list->plan;
    const LoongArchStepRegs *regs = &plan->before;

    if (plan->mask_ie || !(regs->crmd & LOONGARCH_STEP_CRMD_IE)) {
        return;
    }
    for (unsigned i = 0; i < 15; i++) {
        if (regs->ecfg & 1ull << i) {
            add_entry(list, ECODE_INTERRUPTS + i);
        }
    }
}

static void add_exceptions(TrapList *list)
{
    const LoongArchStepPlan *plan = list->plan;
    const LoongArchStepMode direct = { .paged = false };
    LoongArchStepClass cls = plan->insn.cls;

    if (plan->before.crmd & LOONGARCH_STEP_CRMD_PG) {
        add_trap(list, plan->before.tlbrentry, LOONGARCH_STEP_TRAP_REFILL,
                 direct);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(step_ecodes); i++) {
        if (!step_ecodes[i].exception ||
            step_ecodes[i].exception & plan->insn.exceptions) {
            add_entry(list, step_ecodes[i].ecode);
        }
    }
    if (cls == LOONGARCH_STEP_SYSCALL || !plan->have_insn) {
        add_entry(list, ECODE_SYS);
    }
    if (cls == LOONGARCH_STEP_BREAK || !plan->have_insn) {
        add_entry(list, ECODE_BRK);
    }
}

unsigned loongarch_step_plan_traps(const LoongArchStepPlan *plan,
                                   LoongArchStepTrapAt *traps)
{
    LoongArchStepMode here = loongarch_step_mode(plan->before.crmd);
    TrapList list = { .plan = plan, .traps = traps };

    if (plan->have_next) {
        add_trap(&list, plan->next, LOONGARCH_STEP_TRAP_NEXT, here);
    }
    for (unsigned i = 0; i < plan->nr_exits; i++) {
        add_trap(&list, plan->exits[i], LOONGARCH_STEP_TRAP_NEXT, here);
    }
    add_exceptions(&list);
    add_interrupts(&list);
    return list.nr;
}

uint64_t loongarch_step_plan_enter_crmd(const LoongArchStepPlan *plan)
{
    return plan->mask_ie ? plan->before.crmd & ~LOONGARCH_STEP_CRMD_IE :
                           plan->before.crmd;
}

LoongArchStepTrapKind loongarch_step_plan_kind(const LoongArchStepPlan *plan,
                                               uint64_t pc)
{
    LoongArchStepTrapAt traps[LOONGARCH_STEP_TRAPS_MAX];
    unsigned nr = loongarch_step_plan_traps(plan, traps);

    for (unsigned i = 0; i < nr; i++) {
        if (traps[i].pc == pc) {
            return traps[i].kind;
        }
    }
    return LOONGARCH_STEP_TRAP_NEXT;
}

uint64_t loongarch_step_plan_finish(const LoongArchStepPlan *plan,
                                    uint64_t value)
{
    return plan->mask_ie ? value | LOONGARCH_STEP_CRMD_IE : value;
}
