/*
 * What to do for a step of x86 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_I386_STEP_PLAN_H
#define TARGET_I386_STEP_PLAN_H

#include "step-decode.h"

/*
 * Pure, as step-decode.h is: registers in, addresses and bits out.  Tables in
 * memory (the IDT, descriptors, the stack) are read by a function that the
 * caller gives.
 *
 * An instruction is stepped in one of these ways:
 *
 * - X86_STEP_RUN: the processor runs it with TF set, and traps behind it.
 *   TF is the step's then; the guest's own is kept here, and put back.
 * - The same, but it may raise an exception, or is there to raise one: that
 *   clears TF, and no trap comes.  So the guest's handlers are trapped, those
 *   first that are the likeliest.  There the step ends, and TF in the saved
 *   flags becomes the guest's own.
 * - X86_STEP_EMULATE: what it does is written to the registers.
 * - X86_STEP_RAISE: likewise, and then an exception is injected, whose handler
 *   is trapped.
 *
 * If the guest has TF set, its own #DB comes behind the instruction, and the
 * step ends at its handler.
 */

/* RFLAGS, CR0, CR4, EFER: what matters here, as masks */
#define X86_STEP_TF         (1u << 8)
#define X86_STEP_IF         (1u << 9)
#define X86_STEP_RF         (1u << 16)
#define X86_STEP_VM         (1u << 17)
#define X86_STEP_AC         (1u << 18)
#define X86_STEP_CR0_PE     (1u << 0)
#define X86_STEP_CR0_MP     (1u << 1)
#define X86_STEP_CR0_EM     (1u << 2)
#define X86_STEP_CR0_TS     (1u << 3)
#define X86_STEP_CR0_NE     (1u << 5)
#define X86_STEP_CR0_AM     (1u << 18)
#define X86_STEP_CR0_PG     (1u << 31)
#define X86_STEP_CR4_VME    (1u << 0)
#define X86_STEP_CR4_PVI    (1u << 1)
#define X86_STEP_CR4_OSXMMEXCPT (1u << 10)
#define X86_STEP_CR4_CET    (1u << 23)
#define X86_STEP_CR4_FRED   (1ull << 32)
#define X86_STEP_EFER_SCE   (1u << 0)
#define X86_STEP_EFER_LMA   (1u << 10)
#define X86_STEP_EFER_SVME  (1u << 12)
#define X86_STEP_CR4_VMXE   (1u << 13)

/**
 * X86StepTable: a descriptor table
 */
typedef struct X86StepTable {
    uint64_t base;
    uint32_t limit;
} X86StepTable;

/* As ModRM numbers them */
enum {
    X86_STEP_ES,
    X86_STEP_CS,
    X86_STEP_SS,
    X86_STEP_DS,
    X86_STEP_FS,
    X86_STEP_GS,
    X86_STEP_NR_SEGS,
};

/**
 * X86StepRegs: the registers that a step can depend on
 * @mode: of the code segment
 * @near16: see x86_step_decode()
 * @cpl: current privilege level
 * @rip: offset in the code segment
 * @rflags: as the guest has them, TF is its own
 * @segs: base, and limit in bytes; 0 if it cannot be read, or grows downwards
 * @stack_size: address size of the stack in bytes: 2, 4, 8
 * @legacy_syscall: SYSCALL works outside of long mode and in compatibility
 *     mode, as it does on AMD's processors
 * @guest_mode: a guest of the guest runs
 * @read: read from an address as the privileged guest does, without an effect;
 *     returns false if it is not mapped
 * @opaque: its first argument
 */
typedef struct X86StepRegs {
    X86StepMode mode;
    bool near16;
    uint8_t cpl;
    uint64_t rip;
    uint64_t rflags;
    uint64_t gpr[16];
    X86StepTable segs[X86_STEP_NR_SEGS];
    uint8_t stack_size;
    uint64_t cr0;
    uint64_t cr4;
    uint64_t efer;
    X86StepTable idt;
    X86StepTable gdt;
    X86StepTable ldt;
    uint64_t star;
    uint64_t lstar;
    uint64_t cstar;
    uint64_t sfmask;
    uint64_t sysenter_cs;
    uint64_t sysenter_eip;
    bool legacy_syscall;
    bool guest_mode;
    bool (*read)(void *opaque, uint64_t addr, void *buf, size_t len);
    void *opaque;
} X86StepRegs;

/**
 * X86StepTrapKind: what it means to get to an address
 * @X86_STEP_AT_HANDLER: an exception or INT n was delivered by the IDT
 * @X86_STEP_AT_SYSCALL: SYSCALL has completed
 * @X86_STEP_AT_SYSENTER: SYSENTER has completed
 * @X86_STEP_AT_SYSRET: SYSRET has completed
 */
typedef enum X86StepTrapKind {
    X86_STEP_AT_HANDLER,
    X86_STEP_AT_SYSCALL,
    X86_STEP_AT_SYSENTER,
    X86_STEP_AT_SYSRET,
} X86StepTrapKind;

/**
 * X86StepTrapAt: an address to trap
 * @addr: linear address
 * @kind: what it means to get there
 * @vector: of an X86_STEP_AT_HANDLER
 * @flags_at: where the saved flags are then, from the top of the stack
 */
typedef struct X86StepTrapAt {
    uint64_t addr;
    X86StepTrapKind kind;
    uint8_t vector;
    uint8_t flags_at;
} X86StepTrapAt;

#define X86_STEP_TRAPS_MAX 16

typedef enum X86StepWay {
    X86_STEP_RUN,
    X86_STEP_EMULATE,
    X86_STEP_RAISE,
} X86StepWay;

/**
 * X86StepPlan: how to take this step
 * @insn: the instruction, meaningless unless @have_insn
 * @have_insn: false if its address is not mapped: the step will end at the
 *     handler of the page fault
 * @way: what to do
 * @certain: the first of @traps is where it goes if all is well, and TF will
 *     not trap
 * @own_tf: the guest has TF set: its #DB comes behind the instruction
 * @tf_after: the guest has TF set behind it, if it completes
 * @push_flags: it pushes flags: TF there is to be @own_tf's
 * @rip: of EMULATE and RAISE: the offset behind it
 * @rflags: of EMULATE: the flags behind it
 * @rsp: likewise
 * @shadow: of EMULATE: interrupts, and the #DB of TF behind MOV SS, wait for
 *     one more instruction
 * @halt: of EMULATE: the processor is halted behind it
 * @load_ss: of EMULATE: SS gets @ss_selector; in protected mode with
 *     @ss_descriptor, which is 0 for a null selector
 * @vector: of RAISE
 * @nr_traps: how many of @traps are used
 * @traps: in the order of their likelihood, no address twice
 */
typedef struct X86StepPlan {
    X86StepInsn insn;
    bool have_insn;
    X86StepMode mode;
    X86StepWay way;
    bool certain;
    bool own_tf;
    bool tf_after;
    bool push_flags;
    uint64_t rip;
    uint64_t rflags;
    uint64_t rsp;
    bool shadow;
    bool halt;
    bool load_ss;
    uint16_t ss_selector;
    uint64_t ss_descriptor;
    uint8_t vector;
    unsigned nr_traps;
    X86StepTrapAt traps[X86_STEP_TRAPS_MAX];
} X86StepPlan;

/**
 * x86_step_plan_make() - decide how to step
 * @plan: filled in completely
 * @regs: the registers now
 * @bytes: the instruction, without breakpoints
 * @nr: how many bytes can be read there, X86_STEP_INSN_MAX are enough
 *
 * Returns: NULL, or a static string that says why the instruction can't be
 * stepped.
 */
const char *x86_step_plan_make(X86StepPlan *plan, const X86StepRegs *regs,
                               const uint8_t *bytes, size_t nr);

/**
 * x86_step_plan_event() - an event is to come before the instruction
 * @plan: as x86_step_plan_make() has left it; if the event does not come, it is
 *     the instruction's
 * @regs: the registers now
 * @vector: the interrupt's, or an exception's
 * @has_error: it pushes an error code
 *
 * The step ends at the handler then, with nothing of the instruction done.
 *
 * Returns: false, with @plan as it was, if there is no handler
 */
bool x86_step_plan_event(X86StepPlan *plan, const X86StepRegs *regs,
                         uint8_t vector, bool has_error);

/**
 * x86_step_plan_handler() - where the guest's handler of a vector is
 * @regs: the registers before the event
 * @has_error: the event pushes an error code, which INT n does not
 * @trap: filled in, on success
 *
 * Returns: false if there is none: the IDT has no such entry, or one that is
 * not present, or a task gate.
 */
bool x86_step_plan_handler(const X86StepRegs *regs, uint8_t vector,
                           bool has_error, X86StepTrapAt *trap);

/**
 * X86StepEnd: what a step has left that the guest must not see
 * @fix_stack: the byte at linear address @stack_addr holds TF of flags that
 *     were saved: its bit 0 is to be @tf_saved
 * @fix_r11: R11 holds them, its bit 8 is to be @tf_saved
 * @tf: RFLAGS.TF is to be this
 * @raise_db: the guest's own #DB of TF is due
 */
typedef struct X86StepEnd {
    bool fix_stack;
    uint64_t stack_addr;
    bool fix_r11;
    bool tf_saved;
    bool tf;
    bool raise_db;
} X86StepEnd;

/**
 * x86_step_plan_completed() - TF has trapped: the instruction is done
 * @plan: the plan
 * @stack: linear address of the top of the stack now
 * @end: filled in completely
 */
void x86_step_plan_completed(const X86StepPlan *plan, uint64_t stack,
                             X86StepEnd *end);

/**
 * x86_step_plan_trapped() - it has got to one of the traps
 * @trap: which
 * @stack: linear address of the top of the stack now
 * @end: filled in completely
 */
void x86_step_plan_trapped(const X86StepPlan *plan, const X86StepTrapAt *trap,
                           uint64_t stack, X86StepEnd *end);

#endif /* TARGET_I386_STEP_PLAN_H */
