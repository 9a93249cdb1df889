/*
 * What to do for a step of x86 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

/* Exceptions, as bits by vector */
#define DE (1u << 0)
#define DB (1u << 1)
#define BR (1u << 5)
#define UD (1u << 6)
#define NM (1u << 7)
#define DF (1u << 8)
#define TS (1u << 10)
#define NP (1u << 11)
#define SS (1u << 12)
#define GP (1u << 13)
#define PF (1u << 14)
#define MF (1u << 16)
#define AC (1u << 17)
#define XM (1u << 19)
#define CP (1u << 21)

/* Those that push an error code */
#define WITH_ERROR (DF | TS | NP | SS | GP | PF | AC | CP)

/* What a selector is to SS: not null, and the table's */
#define SELECTOR_LDT 4

static bool long_mode(const X86StepRegs *regs)
{
    return regs->efer & X86_STEP_EFER_LMA;
}

static bool protected_mode(const X86StepRegs *regs)
{
    return regs->cr0 & X86_STEP_CR0_PE;
}

static bool vm86(const X86StepRegs *regs)
{
    return regs->rflags & X86_STEP_VM;
}

static unsigned iopl(const X86StepRegs *regs)
{
    return regs->rflags >> 12 & 3;
}

static bool read_le(const X86StepRegs *regs, uint64_t addr, unsigned size,
                    uint64_t *value)
{
    uint8_t bytes[8];

    if (!regs->read(regs->opaque, addr, bytes, size)) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < size; i++) {
        *value |= (uint64_t)bytes[i] << (8 * i);
    }
    return true;
}

static uint64_t cut(uint64_t value, unsigned size)
{
    return size == 2 ? (uint16_t)value : size == 4 ? (uint32_t)value : value;
}

static uint64_t stack_at(const X86StepRegs *regs, unsigned offset)
{
    uint64_t addr = regs->segs[X86_STEP_SS].base +
                    cut(regs->gpr[4] + offset, regs->stack_size);

    return long_mode(regs) && regs->mode == X86_STEP_CODE64 ? addr
                                                            : (uint32_t)addr;
}

/* ---- a memory operand ---- */

static unsigned operand_base(const X86StepInsn *insn)
{
    unsigned rm = insn->modrm & 7;

    return (rm == 4 ? insn->sib & 7 : rm) | (insn->rex & 1) << 3;
}

/* Is there a displacement instead of the base? */
static bool has_no_base(const X86StepInsn *insn)
{
    return insn->modrm >> 6 == 0 && (operand_base(insn) & 7) == 5;
}

static uint64_t offset16(const X86StepInsn *insn, const X86StepRegs *regs)
{
    static const uint8_t first[] = { 3, 3, 5, 5, 6, 7, 5, 3 };
    uint64_t offset = insn->disp;
    unsigned rm = insn->modrm & 7;

    if (rm != 6 || insn->modrm >> 6) {
        offset += regs->gpr[first[rm]];
    }
    return rm < 4 ? offset + regs->gpr[rm & 1 ? 7 : 6] : offset;
}

static uint64_t offset32(const X86StepInsn *insn, const X86StepRegs *regs)
{
    uint64_t offset = insn->disp;
    unsigned index = (insn->sib >> 3 & 7) | (insn->rex & 2) << 2;

    if (!has_no_base(insn)) {
        offset += regs->gpr[operand_base(insn)];
    } else if ((insn->modrm & 7) == 5 && regs->mode == X86_STEP_CODE64) {
        offset += x86_step_next(insn, regs->mode, regs->rip);
    }
    if ((insn->modrm & 7) == 4 && index != 4) {
        offset += regs->gpr[index] << (insn->sib >> 6);
    }
    return offset;
}

static unsigned operand_segment(const X86StepInsn *insn)
{
    unsigned rm = insn->modrm & 7;
    bool stack;

    switch (insn->segment) {
    case 0x26:
        return X86_STEP_ES;
    case 0x2e:
        return X86_STEP_CS;
    case 0x36:
        return X86_STEP_SS;
    case 0x3e:
        return X86_STEP_DS;
    case 0x64:
        return X86_STEP_FS;
    case 0x65:
        return X86_STEP_GS;
    default:
        break;
    }
    if (insn->addr_size == 2) {
        stack = rm == 2 || rm == 3 || (rm == 6 && insn->modrm >> 6);
    } else {
        /* ESP, EBP; not R12, R13 */
        stack = operand_base(insn) == 4 ||
                (operand_base(insn) == 5 && !has_no_base(insn));
    }
    return stack ? X86_STEP_SS : X86_STEP_DS;
}

/* Returns: false if it is beyond the segment */
static bool operand_at(const X86StepInsn *insn, const X86StepRegs *regs,
                       unsigned size, uint64_t *addr)
{
    unsigned seg = operand_segment(insn);
    uint64_t offset = insn->addr_size == 2 ? offset16(insn, regs)
                                           : offset32(insn, regs);

    offset = cut(offset, insn->addr_size);
    if (regs->mode == X86_STEP_CODE64) {
        *addr = offset + (seg >= X86_STEP_FS ? regs->segs[seg].base : 0);
        return true;
    }
    *addr = (uint32_t)(regs->segs[seg].base + offset);
    return offset + size - 1 <= regs->segs[seg].limit;
}

/* ---- where the guest's handlers are ---- */

static bool read_descriptor(const X86StepRegs *regs, uint16_t selector,
                            uint64_t *descriptor)
{
    const X86StepTable *table = selector & SELECTOR_LDT ? &regs->ldt
                                                        : &regs->gdt;

    return (selector | 7) <= table->limit &&
           read_le(regs, table->base + (selector & ~7), 8, descriptor);
}

static uint64_t base_of(uint64_t descriptor)
{
    return (descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000);
}

/* The interrupt vector table of real mode, and of VME at address 0 */
static bool ivt_handler(const X86StepRegs *regs, uint64_t base, uint8_t vector,
                        X86StepTrapAt *trap)
{
    uint64_t pointer;

    if (!read_le(regs, base + vector * 4, 4, &pointer)) {
        return false;
    }
    trap->addr = (pointer >> 16 << 4) + (pointer & 0xffff);
    trap->kind = X86_STEP_AT_HANDLER;
    trap->vector = vector;
    trap->flags_at = 4;
    return true;
}

/* A gate's type and its present bit */
static bool gate_size(uint64_t gate, bool in_long_mode, unsigned *size)
{
    unsigned type = gate >> 40 & 0x1f;

    if (!(gate >> 47 & 1)) {
        return false;
    }
    switch (type) {
    case 0x06:
    case 0x07:
        *size = 2;
        return !in_long_mode;
    case 0x0e:
    case 0x0f:
        *size = in_long_mode ? 8 : 4;
        return true;
    default:
        return false;
    }
}

static bool gate_handler(const X86StepRegs *regs, uint8_t vector,
                         bool has_error, X86StepTrapAt *trap)
{
    bool lm = long_mode(regs);
    uint32_t length = lm ? 16 : 8;
    uint64_t gate, offset, high = 0, code = 0;
    unsigned size;

    if (vector * length + length - 1 > regs->idt.limit ||
        !read_le(regs, regs->idt.base + vector * length, 8, &gate) ||
        (lm && !read_le(regs, regs->idt.base + vector * length + 8, 8,
                        &high)) ||
        !gate_size(gate, lm, &size)) {
        return false;
    }
    offset = (gate & 0xffff) | (size == 2 ? 0 : gate >> 48 << 16) | high << 32;
    if (!lm && !read_descriptor(regs, gate >> 16, &code)) {
        return false;
    }
    trap->addr = lm ? offset : (uint32_t)(base_of(code) + offset);
    trap->kind = X86_STEP_AT_HANDLER;
    trap->vector = vector;
    trap->flags_at = (has_error ? 3 : 2) * size;
    return true;
}

bool x86_step_plan_handler(const X86StepRegs *regs, uint8_t vector,
                           bool has_error, X86StepTrapAt *trap)
{
    memset(trap, 0, sizeof(*trap));
    if (protected_mode(regs)) {
        return gate_handler(regs, vector, has_error, trap);
    }
    return vector * 4u + 3 <= regs->idt.limit &&
           ivt_handler(regs, regs->idt.base, vector, trap);
}

static void add_trap(X86StepPlan *plan, const X86StepTrapAt *trap)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        if (plan->traps[i].addr == trap->addr) {
            return;
        }
    }
    if (plan->nr_traps < X86_STEP_TRAPS_MAX) {
        plan->traps[plan->nr_traps++] = *trap;
    }
}

static bool add_handler(X86StepPlan *plan, const X86StepRegs *regs,
                        uint8_t vector, bool has_error)
{
    X86StepTrapAt trap;

    if (!x86_step_plan_handler(regs, vector, has_error, &trap)) {
        return false;
    }
    add_trap(plan, &trap);
    return true;
}

/* Of an exception */
static bool add_vector(X86StepPlan *plan, const X86StepRegs *regs,
                       uint8_t vector)
{
    return add_handler(plan, regs, vector, WITH_ERROR >> vector & 1);
}

/* ---- which exceptions an instruction may raise ---- */

static bool is_x87(const X86StepInsn *insn)
{
    return insn->encoding == X86_STEP_LEGACY && insn->map == 0 &&
           ((insn->opcode >= 0xd8 && insn->opcode <= 0xdf) ||
            insn->opcode == 0x9b);
}

/* Of the two-byte map: all that MMX and SSE have, and some more */
static bool is_simd(const X86StepInsn *insn)
{
    if (insn->encoding != X86_STEP_LEGACY) {
        return true;
    }
    switch (insn->map) {
    case 0:
        return false;
    case 1:
        return (insn->opcode >= 0x10 && insn->opcode <= 0x17) ||
               (insn->opcode >= 0x28 && insn->opcode <= 0x2f) ||
               (insn->opcode >= 0x50 && insn->opcode <= 0x7f) ||
               insn->opcode == 0xae || insn->opcode == 0xc2 ||
               (insn->opcode >= 0xc4 && insn->opcode <= 0xc6) ||
               insn->opcode >= 0xd0;
    default:
        return true;
    }
}

static bool divides(const X86StepInsn *insn)
{
    if (insn->encoding != X86_STEP_LEGACY || insn->map) {
        return false;
    }
    return ((insn->opcode & 0xfe) == 0xf6 && (insn->modrm >> 3 & 7) >= 6) ||
           insn->opcode == 0xd4;
}

/* PUSH, POP, ENTER, LEAVE, PUSHA, POPA, and of segment registers */
static bool plain_uses_stack(const X86StepInsn *insn)
{
    if (insn->map == 1) {
        return insn->opcode == 0xa0 || insn->opcode == 0xa1 ||
               insn->opcode == 0xa8 || insn->opcode == 0xa9;
    }
    switch (insn->opcode) {
    case 0x06: case 0x07: case 0x0e: case 0x16: case 0x17: case 0x1e:
    case 0x1f:
    case 0x50 ... 0x61:
    case 0x68: case 0x6a:
    case 0x8f:
    case 0xc8: case 0xc9:
        return true;
    case 0xff:
        return (insn->modrm >> 3 & 7) == 6;
    default:
        return false;
    }
}

static bool uses_stack(const X86StepInsn *insn)
{
    switch (insn->cls) {
    case X86_STEP_CALL:
    case X86_STEP_CALL_IND:
    case X86_STEP_CALL_FAR:
    case X86_STEP_RET:
    case X86_STEP_RET_FAR:
    case X86_STEP_IRET:
    case X86_STEP_PUSHF:
    case X86_STEP_POPF:
    case X86_STEP_POP_SS:
        return true;
    case X86_STEP_PLAIN:
        return insn->encoding == X86_STEP_LEGACY && insn->map <= 1 &&
               plain_uses_stack(insn);
    default:
        return false;
    }
}

/* MOV to a segment register, POP of one, LDS and the like, LLDT, LTR */
static bool loads_segment(const X86StepInsn *insn)
{
    if (insn->encoding != X86_STEP_LEGACY) {
        return false;
    }
    if (insn->map == 1) {
        return insn->opcode == 0x00 || insn->opcode == 0xa1 ||
               insn->opcode == 0xa9 || insn->opcode == 0xb2 ||
               insn->opcode == 0xb4 || insn->opcode == 0xb5;
    }
    return !insn->map && strchr("\x07\x17\x1f\x8e\xc4\xc5", insn->opcode) &&
           insn->opcode;
}

static bool is_far(const X86StepInsn *insn)
{
    return insn->cls == X86_STEP_JMP_FAR || insn->cls == X86_STEP_CALL_FAR ||
           insn->cls == X86_STEP_RET_FAR || insn->cls == X86_STEP_IRET;
}

static bool moves_offset(const X86StepInsn *insn)
{
    return insn->encoding == X86_STEP_LEGACY && !insn->map &&
           ((insn->opcode >= 0xa0 && insn->opcode <= 0xa3) ||
            insn->opcode == 0xd7);
}

static uint32_t unit_raises(const X86StepInsn *insn, const X86StepRegs *regs)
{
    bool x87 = is_x87(insn);
    uint32_t raises = 0;

    if (!x87 && !is_simd(insn)) {
        return 0;
    }
    if (regs->cr0 & (X86_STEP_CR0_TS | X86_STEP_CR0_EM)) {
        raises |= NM;
    }
    if (regs->cr0 & X86_STEP_CR0_NE && (x87 || insn->map <= 1)) {
        raises |= MF;
    }
    if (!x87) {
        raises |= regs->cr4 & X86_STEP_CR4_OSXMMEXCPT ? XM | UD : UD;
    }
    return raises;
}

static uint32_t memory_raises(const X86StepInsn *insn, const X86StepRegs *regs)
{
    bool stack = uses_stack(insn);
    bool memory = stack || insn->memory || insn->cls == X86_STEP_STRING ||
                  moves_offset(insn);
    uint32_t raises = 0;

    if (memory) {
        raises |= GP;
        if (stack || (insn->memory && insn->segment != 0x64)) {
            raises |= SS;
        }
        if (regs->cr0 & X86_STEP_CR0_AM && regs->rflags & X86_STEP_AC &&
            regs->cpl == 3) {
            raises |= AC;
        }
    }
    return raises;
}

/* In real mode there are fewer, and no matter is made of it */
static uint32_t may_raise(const X86StepInsn *insn, const X86StepRegs *regs)
{
    uint32_t raises = memory_raises(insn, regs) | unit_raises(insn, regs);

    raises |= regs->cr0 & X86_STEP_CR0_PG ? PF : 0;
    if (divides(insn)) {
        raises |= DE;
    }
    if (insn->encoding == X86_STEP_LEGACY && insn->map == 0 &&
        insn->opcode == 0x62) {
        raises |= BR;
    }
    if (is_far(insn) || loads_segment(insn)) {
        raises |= GP | NP | SS | (is_far(insn) ? TS : 0);
    }
    if (regs->cr4 & X86_STEP_CR4_CET) {
        raises |= CP;
    }
    return raises;
}

/* From the likeliest one on; those that are in no list come last */
static void add_vectors(X86StepPlan *plan, const X86StepRegs *regs,
                        uint32_t raises)
{
    static const uint8_t order[] = {
        0, 7, 14, 5, 6, 16, 13, 19, 11, 12, 17, 10, 21, 8,
    };

    for (size_t i = 0; i < sizeof(order); i++) {
        if (raises >> order[i] & 1) {
            add_vector(plan, regs, order[i]);
        }
    }
}

static void plan_faults(X86StepPlan *plan, const X86StepRegs *regs)
{
    uint32_t raises = plan->have_insn ? may_raise(&plan->insn, regs) : PF | GP;

    if (plan->have_insn && plan->insn.cls == X86_STEP_UD) {
        add_vector(plan, regs, 6);
    }
    if (plan->have_insn && plan->insn.cls == X86_STEP_TOO_LONG) {
        add_vector(plan, regs, 13);
    }
    add_vectors(plan, regs, raises);
    /* What remains: privilege, what the processor does not have, a bad gate */
    add_vectors(plan, regs, ~raises & (GP | UD | DF));
}

/* ---- instructions that are there to enter the kernel ---- */

/* The offset of a segment register's own fields does not matter: flat */
static void plan_syscall(X86StepPlan *plan, const X86StepRegs *regs)
{
    X86StepTrapAt trap = { .kind = X86_STEP_AT_SYSCALL };

    if (!(regs->efer & X86_STEP_EFER_SCE) ||
        (regs->mode != X86_STEP_CODE64 && !regs->legacy_syscall)) {
        return;
    }
    trap.addr = regs->mode == X86_STEP_CODE64 ? regs->lstar :
                long_mode(regs) ? regs->cstar : (uint32_t)regs->star;
    add_trap(plan, &trap);
    plan->certain = true;
    /* Outside of long mode SYSCALL clears IF and VM only, and TF stays */
    plan->tf_after = plan->own_tf &&
                     !(long_mode(regs) && regs->sfmask & X86_STEP_TF);
}

static void plan_sysenter(X86StepPlan *plan, const X86StepRegs *regs)
{
    X86StepTrapAt trap = {
        .kind = X86_STEP_AT_SYSENTER,
        .addr = long_mode(regs) ? regs->sysenter_eip
                                : (uint32_t)regs->sysenter_eip,
    };

    if (protected_mode(regs) && regs->sysenter_cs & 0xfffc) {
        add_trap(plan, &trap);
    }
}

/* To a flat code segment, with what has been in R11 */
static void plan_sysret(X86StepPlan *plan, const X86StepRegs *regs)
{
    X86StepTrapAt trap = {
        .kind = X86_STEP_AT_SYSRET,
        .addr = plan->insn.rex & 8 ? regs->gpr[1] : (uint32_t)regs->gpr[1],
    };

    if (!regs->cpl && regs->efer & X86_STEP_EFER_SCE) {
        add_trap(plan, &trap);
        plan->certain = true;
        plan->tf_after = long_mode(regs) ? regs->gpr[11] & X86_STEP_TF
                                         : plan->own_tf;
    }
}

static const char *plan_int(X86StepPlan *plan, const X86StepRegs *regs,
                            uint8_t vector)
{
    X86StepTrapAt trap = {};

    plan->tf_after = false;
    plan->certain = true;
    /* With VME the TSS says which of the two it is */
    if (plan->insn.cls == X86_STEP_INT && vm86(regs) &&
        regs->cr4 & X86_STEP_CR4_VME && ivt_handler(regs, 0, vector, &trap)) {
        add_trap(plan, &trap);
    }
    if (!add_handler(plan, regs, vector, false)) {
        plan->certain = false;
    }
    add_vectors(plan, regs, GP | NP | TS | SS | PF | DF);
    return NULL;
}

/* INTO; an instruction that replaces TF; one that stores it */
static void plan_into(X86StepPlan *plan, const X86StepRegs *regs)
{
    if (regs->rflags & 0x800) {
        plan_int(plan, regs, 4);
    }
}

static void tf_from_stack(X86StepPlan *plan, const X86StepRegs *regs,
                          unsigned offset)
{
    uint64_t flags;

    if (read_le(regs, stack_at(regs, offset), 2, &flags)) {
        plan->tf_after = flags & X86_STEP_TF;
    }
}

/* ---- instructions that are emulated ---- */

static bool may_change_if(const X86StepRegs *regs)
{
    return !protected_mode(regs) ||
           (regs->cpl <= iopl(regs) && !(vm86(regs) && iopl(regs) < 3));
}

static void emulate(X86StepPlan *plan, const X86StepRegs *regs)
{
    plan->way = X86_STEP_EMULATE;
    plan->rip = x86_step_next(&plan->insn, regs->mode, regs->rip);
    /* As each instruction that completes, but for IRET and the like */
    plan->rflags = regs->rflags & ~(uint64_t)X86_STEP_RF;
    plan->rsp = regs->gpr[4];
}

static void plan_sti(X86StepPlan *plan, const X86StepRegs *regs)
{
    if (may_change_if(regs) && !plan->insn.lock && !plan->own_tf) {
        emulate(plan, regs);
        plan->shadow = !(regs->rflags & X86_STEP_IF);
        plan->rflags |= X86_STEP_IF;
    }
}

static void plan_hlt(X86StepPlan *plan, const X86StepRegs *regs)
{
    if (!regs->cpl && !vm86(regs) && !plan->insn.lock && !plan->own_tf) {
        emulate(plan, regs);
        plan->halt = true;
    }
}

/* Does SS take this selector without a fault, and with nothing to write? */
static bool good_for_ss(const X86StepRegs *regs, uint16_t selector,
                        uint64_t *descriptor)
{
    unsigned rpl = selector & 3;
    unsigned dpl, type;

    *descriptor = 0;
    if (!(selector & ~3)) {
        return regs->mode == X86_STEP_CODE64 && regs->cpl < 3 &&
               rpl == regs->cpl;
    }
    if (!read_descriptor(regs, selector, descriptor)) {
        return false;
    }
    dpl = *descriptor >> 45 & 3;
    type = *descriptor >> 40 & 0x1f;
    /* Writable data, accessed, present */
    return (type & 0x1b) == 0x13 && *descriptor >> 47 & 1 &&
           dpl == regs->cpl && rpl == regs->cpl;
}

static void load_ss(X86StepPlan *plan, const X86StepRegs *regs,
                    uint16_t selector)
{
    uint64_t descriptor = 0;

    if (protected_mode(regs) && !vm86(regs) &&
        !good_for_ss(regs, selector, &descriptor)) {
        return;
    }
    emulate(plan, regs);
    plan->shadow = true;
    plan->load_ss = true;
    plan->ss_selector = selector;
    plan->ss_descriptor = descriptor;
}

static void plan_mov_ss(X86StepPlan *plan, const X86StepRegs *regs)
{
    const X86StepInsn *insn = &plan->insn;
    uint64_t selector = regs->gpr[(insn->modrm & 7) | (insn->rex & 1) << 3];
    uint64_t addr;

    if (insn->lock ||
        (insn->memory && (!operand_at(insn, regs, 2, &addr) ||
                          !read_le(regs, addr, 2, &selector)))) {
        return;
    }
    load_ss(plan, regs, selector);
}

static void plan_pop_ss(X86StepPlan *plan, const X86StepRegs *regs)
{
    uint64_t selector;
    uint64_t mask = regs->stack_size == 2 ? 0xffff : 0xffffffff;

    if (!plan->insn.lock && read_le(regs, stack_at(regs, 0), 2, &selector)) {
        load_ss(plan, regs, selector);
        plan->rsp = (regs->gpr[4] & ~mask) |
                    ((regs->gpr[4] + plan->insn.op_size) & mask);
    }
}

static const char *plan_class(X86StepPlan *plan, const X86StepRegs *regs)
{
    const X86StepInsn *insn = &plan->insn;

    switch (insn->cls) {
    case X86_STEP_VMENTRY:
        return !regs->cpl && (regs->efer & X86_STEP_EFER_SVME ||
                              regs->cr4 & X86_STEP_CR4_VMXE) ?
               "it enters a guest of the guest" : NULL;
    case X86_STEP_INT:
        return plan_int(plan, regs, insn->imm);
    case X86_STEP_INT3:
        return plan_int(plan, regs, 3);
    case X86_STEP_INT1:
        plan->way = X86_STEP_RAISE;
        plan->vector = 1;
        plan->rip = x86_step_next(insn, regs->mode, regs->rip);
        return plan_int(plan, regs, 1);
    case X86_STEP_INTO:
        plan_into(plan, regs);
        break;
    case X86_STEP_SYSCALL:
        plan_syscall(plan, regs);
        break;
    case X86_STEP_SYSENTER:
        plan_sysenter(plan, regs);
        break;
    case X86_STEP_SYSRET:
        plan_sysret(plan, regs);
        break;
    case X86_STEP_POPF:
        tf_from_stack(plan, regs, 0);
        break;
    case X86_STEP_IRET:
        tf_from_stack(plan, regs, 2 * insn->op_size);
        break;
    case X86_STEP_PUSHF:
        plan->push_flags = true;
        break;
    case X86_STEP_STI:
        plan_sti(plan, regs);
        break;
    case X86_STEP_HLT:
        plan_hlt(plan, regs);
        break;
    case X86_STEP_MOV_SS:
        plan_mov_ss(plan, regs);
        break;
    case X86_STEP_POP_SS:
        plan_pop_ss(plan, regs);
        break;
    default:
        break;
    }
    return NULL;
}

const char *x86_step_plan_make(X86StepPlan *plan, const X86StepRegs *regs,
                               const uint8_t *bytes, size_t nr)
{
    const char *why = NULL;

    memset(plan, 0, sizeof(*plan));
    plan->mode = regs->mode;
    plan->own_tf = regs->rflags & X86_STEP_TF;
    plan->tf_after = plan->own_tf;
    if (regs->guest_mode) {
        return "a guest of the guest runs";
    }
    if (regs->cr4 & X86_STEP_CR4_FRED) {
        return "the guest has events delivered by FRED";
    }
    plan->have_insn = x86_step_decode(bytes, nr, regs->mode, regs->near16,
                                      &plan->insn);
    if (plan->have_insn) {
        why = plan_class(plan, regs);
    }
    if (plan->way == X86_STEP_RUN) {
        plan_faults(plan, regs);
        /* Where the #DB of the guest's own TF goes, which comes behind it */
        if (plan->own_tf) {
            add_vector(plan, regs, 1);
        }
    }
    return why;
}

bool x86_step_plan_event(X86StepPlan *plan, const X86StepRegs *regs,
                         uint8_t vector, bool has_error)
{
    X86StepTrapAt trap;

    if (!x86_step_plan_handler(regs, vector, has_error, &trap)) {
        return false;
    }
    plan->nr_traps = MIN(plan->nr_traps + 1, X86_STEP_TRAPS_MAX);
    memmove(plan->traps + 1, plan->traps,
            (plan->nr_traps - 1) * sizeof(plan->traps[0]));
    plan->traps[0] = trap;
    plan->way = X86_STEP_RUN;
    plan->certain = true;
    return true;
}

void x86_step_plan_completed(const X86StepPlan *plan, uint64_t stack,
                             X86StepEnd *end)
{
    memset(end, 0, sizeof(*end));
    end->tf = plan->tf_after;
    end->tf_saved = plan->own_tf;
    end->raise_db = plan->way == X86_STEP_RUN &&
                    (plan->have_insn && plan->insn.cls == X86_STEP_SYSRET ?
                     plan->tf_after : plan->own_tf);
    if (plan->push_flags) {
        end->fix_stack = true;
        end->stack_addr = stack + 1;
    }
    end->fix_r11 = plan->have_insn && plan->insn.cls == X86_STEP_SYSCALL;
}

void x86_step_plan_trapped(const X86StepPlan *plan, const X86StepTrapAt *trap,
                           uint64_t stack, X86StepEnd *end)
{
    memset(end, 0, sizeof(*end));
    end->tf_saved = plan->own_tf;
    switch (trap->kind) {
    case X86_STEP_AT_HANDLER:
        end->fix_stack = true;
        end->stack_addr = stack + trap->flags_at + 1;
        break;
    case X86_STEP_AT_SYSCALL:
        end->fix_r11 = true;
        end->tf = plan->tf_after;
        break;
    case X86_STEP_AT_SYSENTER:
        /* It does not change TF */
        end->tf = plan->own_tf;
        break;
    case X86_STEP_AT_SYSRET:
        /* TF would have trapped, had it been set */
        break;
    }
}
