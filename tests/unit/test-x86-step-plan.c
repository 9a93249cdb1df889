/*
 * Tests of how a step of x86 code is planned
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-plan.h"

/* A guest's memory from address 0; the IDT, the GDT and the stack are in it */
#define MEMORY  0x4000
#define IDT     0x1000
#define GDT     0x2000
#define STACK   0x3000

static uint8_t memory[MEMORY];
static X86StepRegs regs;
static X86StepPlan plan;
static X86StepEnd end;

static bool read_memory(void *opaque, uint64_t addr, void *buf, size_t len)
{
    if (addr > MEMORY || len > MEMORY - addr) {
        return false;
    }
    memcpy(buf, memory + addr, len);
    return true;
}

static void store(uint64_t addr, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        memory[addr + i] = value >> (8 * i);
    }
}

/* Offset of the handler of each vector */
static uint64_t handler64(unsigned vector)
{
    return 0xffff800012340000 + vector * 16;
}

static uint32_t handler32(unsigned vector)
{
    return 0x12340000 + vector * 16;
}

static void set_gate(unsigned vector, unsigned type)
{
    bool lm = regs.efer & X86_STEP_EFER_LMA;
    uint64_t offset = lm ? handler64(vector) : handler32(vector);
    uint64_t at = IDT + vector * (lm ? 16 : 8);

    store(at, (offset & 0xffff) | 0x80000 | (uint64_t)type << 40 |
          offset >> 16 << 48, 8);
    if (lm) {
        store(at + 8, offset >> 32, 8);
    }
}

static void set_gates(unsigned type)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        if (IDT + vector * 16 + 16 <= GDT) {
            set_gate(vector, type);
        }
    }
}

/* 64-bit code of the kernel */
static void begin64(void)
{
    memset(memory, 0, sizeof(memory));
    regs = (X86StepRegs) {
        .mode = X86_STEP_CODE64,
        .rip = 0xffffffff81000000,
        .rflags = 2 | X86_STEP_IF,
        .stack_size = 8,
        .cr0 = X86_STEP_CR0_PE | X86_STEP_CR0_PG | X86_STEP_CR0_NE,
        .cr4 = X86_STEP_CR4_OSXMMEXCPT,
        .efer = X86_STEP_EFER_LMA | X86_STEP_EFER_SCE,
        .idt = { IDT, 0xfff },
        .gdt = { GDT, 0xff },
        .lstar = 0xffffffff82000000,
        .cstar = 0xffffffff82000100,
        .star = 0xc0000010,
        .sfmask = X86_STEP_TF | X86_STEP_IF,
        .sysenter_cs = 0x10,
        .sysenter_eip = 0xffffffff82000200,
        .read = read_memory,
    };
    regs.gpr[4] = STACK;
    set_gates(0x8e);
}

/* 32-bit code, whose code segment begins at 0x10000000 */
static void begin32(unsigned type)
{
    begin64();
    memset(memory, 0, sizeof(memory));
    regs.mode = X86_STEP_CODE32;
    regs.rip = 0xc0001000;
    regs.efer = X86_STEP_EFER_SCE;
    regs.stack_size = 4;
    regs.sysenter_eip = 0xc2000200;
    store(GDT + 8, 0x10cf9b000000ffff, 8);
    set_gates(type);
}

static void begin16(void)
{
    begin64();
    memset(memory, 0, sizeof(memory));
    regs.mode = X86_STEP_CODE16;
    regs.rip = 0x100;
    regs.efer = 0;
    regs.cr0 = 0;
    regs.stack_size = 2;
    regs.segs[X86_STEP_SS].base = 0x1000;
    regs.gpr[4] = 0x2000;
    regs.idt = (X86StepTable) { 0, 0x3ff };
    for (unsigned vector = 0; vector < 256; vector++) {
        store(vector * 4, vector | 0xf000u << 16, 4);
    }
}

static const char *make(const char *hex)
{
    uint8_t bytes[X86_STEP_INSN_MAX + 1] = {};
    size_t nr = strlen(hex) / 2;

    for (size_t i = 0; i < nr; i++) {
        bytes[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 |
                   g_ascii_xdigit_value(hex[2 * i + 1]);
    }
    memset(&plan, 0xa5, sizeof(plan));
    return x86_step_plan_make(&plan, &regs, bytes, nr ? sizeof(bytes) : 0);
}

static const X86StepTrapAt *trap_at(uint64_t addr)
{
    for (unsigned i = 0; i < plan.nr_traps; i++) {
        if (plan.traps[i].addr == addr) {
            return &plan.traps[i];
        }
    }
    return NULL;
}

static bool traps(unsigned vector)
{
    const X86StepTrapAt *trap = trap_at(handler64(vector));

    return trap && trap->vector == vector;
}

static void completed(void)
{
    memset(&end, 0xa5, sizeof(end));
    x86_step_plan_completed(&plan, STACK, &end);
}

static void trapped(unsigned i)
{
    g_assert_cmpuint(i, <, plan.nr_traps);
    memset(&end, 0xa5, sizeof(end));
    x86_step_plan_trapped(&plan, &plan.traps[i], STACK, &end);
}

static void test_plain(void)
{
    begin64();
    g_assert_null(make("90"));
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    g_assert_false(plan.certain);
    g_assert_true(traps(14));
    g_assert_true(traps(6));
    g_assert_false(traps(0));
    g_assert_false(traps(16));
    completed();
    g_assert_false(end.fix_stack || end.fix_r11 || end.tf || end.raise_db);

    /* The likeliest come first: there may be four traps at most */
    make("48f7f1");                                 /* div %rcx */
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(0));
    make("488b00");                                 /* mov (%rax),%rax */
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(14));
    g_assert_cmphex(plan.traps[1].addr, ==, handler64(13));
    make("0f0b");                                   /* ud2 */
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(6));
    make("d9c0");                                   /* fld %st */
    g_assert_true(traps(16));
    g_assert_false(traps(7));
    regs.cr0 |= X86_STEP_CR0_TS;
    make("0f58c1");                                 /* addps */
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(7));
    g_assert_true(traps(19));
    make("488b00");
    g_assert_false(traps(17));
    regs.cr0 |= X86_STEP_CR0_AM;
    regs.rflags |= X86_STEP_AC;
    regs.cpl = 3;
    make("488b00");
    g_assert_true(traps(17));
    make("");                                       /* not mapped */
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(14));
}

static void test_handlers(void)
{
    X86StepTrapAt trap;

    begin64();
    make("488b00");
    g_assert_cmpuint(trap_at(handler64(14))->flags_at, ==, 24);
    /* INT n pushes no error code, whatever the exception of that number does */
    make("cd0e");
    g_assert_cmpuint(trap_at(handler64(14))->flags_at, ==, 16);
    make("cd80");
    g_assert_cmpuint(plan.traps[0].flags_at, ==, 16);
    g_assert_cmpuint(plan.traps[0].vector, ==, 0x80);
    g_assert_true(plan.certain);
    trapped(0);
    g_assert_true(end.fix_stack);
    g_assert_false(end.tf_saved || end.tf || end.raise_db);
    g_assert_cmphex(end.stack_addr, ==, STACK + 17);

    set_gate(0x80, 0x0e);                           /* not present */
    make("cd80");
    g_assert_false(plan.certain);
    g_assert_cmphex(plan.traps[0].addr, !=, handler64(0x80));
    g_assert_true(traps(11));
    g_assert_false(x86_step_plan_handler(&regs, 0x80, false, &trap));
    set_gate(0x80, 0xef);
    regs.idt.limit = 0x80f;
    g_assert_true(x86_step_plan_handler(&regs, 0x80, false, &trap));
    regs.idt.limit = 0x80e;
    g_assert_false(x86_step_plan_handler(&regs, 0x80, false, &trap));
    regs.idt.base = MEMORY;
    g_assert_false(x86_step_plan_handler(&regs, 3, false, &trap));

    begin32(0x8e);
    g_assert_true(x86_step_plan_handler(&regs, 13, true, &trap));
    g_assert_cmphex(trap.addr, ==, 0x10000000 + handler32(13));
    g_assert_cmpuint(trap.flags_at, ==, 12);
    set_gate(13, 0x85);                             /* a task gate */
    g_assert_false(x86_step_plan_handler(&regs, 13, true, &trap));
    set_gate(3, 0x87);                              /* of 16 bits */
    g_assert_true(x86_step_plan_handler(&regs, 3, false, &trap));
    g_assert_cmphex(trap.addr, ==, 0x10000000 + (handler32(3) & 0xffff));
    g_assert_cmpuint(trap.flags_at, ==, 4);

    begin16();
    make("cd21");
    g_assert_cmphex(plan.traps[0].addr, ==, 0xf0021);
    g_assert_cmpuint(plan.traps[0].flags_at, ==, 4);
    regs.idt.limit = 0x21 * 4 + 2;
    g_assert_false(x86_step_plan_handler(&regs, 0x21, false, &trap));
}

/* What comes before the instruction, which may be one that is emulated */
static void test_event_before(void)
{
    static const char *const insns[] = { "90", "f4", "fb", "f1", "cd80" };

    for (size_t i = 0; i < G_N_ELEMENTS(insns); i++) {
        unsigned nr;

        begin64();
        make(insns[i]);
        nr = plan.nr_traps;
        g_assert_true(x86_step_plan_event(&plan, &regs, 0x41, false));
        g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
        g_assert_true(plan.certain);
        g_assert_cmpuint(plan.nr_traps, ==, nr + 1);
        g_assert_cmphex(plan.traps[0].addr, ==, handler64(0x41));
        g_assert_cmpuint(plan.traps[0].flags_at, ==, 16);
        trapped(0);
        g_assert_true(end.fix_stack);
        g_assert_cmphex(end.stack_addr, ==, STACK + 17);
        g_assert_false(end.tf_saved);
    }
    begin64();
    regs.rflags |= X86_STEP_TF;
    make("90");
    g_assert_true(x86_step_plan_event(&plan, &regs, 14, true));
    trapped(0);
    g_assert_true(end.tf_saved);
    g_assert_cmphex(end.stack_addr, ==, STACK + 25);
    /* It has not come */
    completed();
    g_assert_true(end.tf && end.raise_db);
    set_gate(0x41, 0x0e);
    make("90");
    g_assert_false(x86_step_plan_event(&plan, &regs, 0x41, false));
    g_assert_false(plan.certain);
}

static void test_events(void)
{
    begin64();
    make("cc");
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(3));
    g_assert_true(plan.certain);
    make("f1");
    g_assert_cmpint(plan.way, ==, X86_STEP_RAISE);
    g_assert_cmpuint(plan.vector, ==, 1);
    g_assert_cmphex(plan.rip, ==, regs.rip + 1);
    g_assert_cmphex(plan.traps[0].addr, ==, handler64(1));

    begin32(0x8f);
    make("ce");
    g_assert_false(plan.certain);
    regs.rflags |= 0x800;
    make("ce");
    g_assert_true(plan.certain);
    g_assert_cmpuint(plan.traps[0].vector, ==, 4);

    /* In virtual-8086 mode with VME the task decides */
    begin32(0x8f);
    regs.mode = X86_STEP_CODE16;
    regs.rflags |= X86_STEP_VM;
    regs.cr4 |= X86_STEP_CR4_VME;
    store(0x21 * 4, 0xf0001234, 4);
    make("cd21");
    g_assert_nonnull(trap_at(0xf0000 + 0x1234));
    g_assert_nonnull(trap_at(0x10000000 + handler32(0x21)));
}

static void test_syscall(void)
{
    begin64();
    make("0f05");
    g_assert_cmphex(plan.traps[0].addr, ==, regs.lstar);
    g_assert_true(plan.certain);
    trapped(0);
    g_assert_true(end.fix_r11);
    g_assert_false(end.tf_saved || end.tf || end.fix_stack);
    completed();
    g_assert_true(end.fix_r11);

    regs.rflags |= X86_STEP_TF;
    make("0f05");
    trapped(0);
    g_assert_true(end.tf_saved);
    g_assert_false(end.tf);
    regs.sfmask = 0;
    make("0f05");
    completed();
    g_assert_true(end.tf_saved && end.tf && end.raise_db);

    begin64();
    regs.efer &= ~X86_STEP_EFER_SCE;
    make("0f05");
    g_assert_null(trap_at(regs.lstar));
    g_assert_true(traps(6));

    /* In compatibility mode on AMD's; on Intel's it raises #UD */
    begin64();
    regs.mode = X86_STEP_CODE32;
    make("0f05");
    g_assert_null(trap_at(regs.cstar));
    regs.legacy_syscall = true;
    make("0f05");
    g_assert_cmphex(plan.traps[0].addr, ==, regs.cstar);
    regs.efer &= ~X86_STEP_EFER_LMA;
    make("0f05");
    g_assert_cmphex(plan.traps[0].addr, ==, 0xc0000010);

    begin64();
    make("0f34");
    g_assert_cmphex(plan.traps[0].addr, ==, regs.sysenter_eip);
    trapped(0);
    g_assert_false(end.fix_r11 || end.fix_stack);
    regs.sysenter_cs = 3;
    make("0f34");
    g_assert_null(trap_at(regs.sysenter_eip));
}

static void test_flags(void)
{
    begin64();
    make("9c");
    completed();
    g_assert_true(end.fix_stack);
    g_assert_cmphex(end.stack_addr, ==, STACK + 1);
    g_assert_false(end.tf_saved);

    /* POPF and IRET bring another TF */
    store(STACK, X86_STEP_TF | 2, 8);
    store(STACK + 16, X86_STEP_TF | 2, 8);
    make("9d");
    completed();
    g_assert_true(end.tf);
    g_assert_false(end.raise_db || end.fix_stack);
    make("48cf");
    completed();
    g_assert_true(end.tf);

    /* And take it away; its #DB still comes */
    regs.rflags |= X86_STEP_TF;
    store(STACK, 2, 8);
    make("9d");
    completed();
    g_assert_true(end.raise_db);
    g_assert_false(end.tf);
    make("9c");
    completed();
    g_assert_true(end.tf_saved && end.tf && end.raise_db);
    g_assert_true(traps(1));
    make("488b00");
    trapped(0);
    g_assert_true(end.tf_saved && end.fix_stack);
    g_assert_false(end.tf || end.raise_db);
}

/* TF as SYSRET brings it decides whether TF traps behind it */
static void test_sysret(void)
{
    begin64();
    regs.gpr[1] = 0x7fff12345678;
    make("480f07");
    g_assert_true(plan.certain);
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    g_assert_cmphex(plan.traps[0].addr, ==, 0x7fff12345678);
    trapped(0);
    g_assert_false(end.tf || end.fix_stack || end.fix_r11 || end.raise_db);
    make("0f07");
    g_assert_cmphex(plan.traps[0].addr, ==, 0x12345678);
    regs.gpr[11] = X86_STEP_TF;
    make("480f07");
    completed();
    g_assert_true(end.tf && end.raise_db);
    regs.gpr[11] = 0;
    regs.rflags |= X86_STEP_TF;
    make("480f07");
    completed();
    g_assert_false(end.tf || end.raise_db);
    regs.cpl = 3;
    make("480f07");
    g_assert_false(plan.certain);
}

static void test_interrupts(void)
{
    begin64();
    regs.rflags = 2;
    make("fb");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    g_assert_cmphex(plan.rflags, ==, 2 | X86_STEP_IF);
    regs.rflags = 2 | X86_STEP_RF;
    make("fb");
    g_assert_cmphex(plan.rflags, ==, 2 | X86_STEP_IF);
    regs.rflags = 2;
    g_assert_cmphex(plan.rip, ==, regs.rip + 1);
    g_assert_true(plan.shadow);
    regs.rflags |= X86_STEP_IF;
    make("fb");
    g_assert_false(plan.shadow);
    make("f0fb");                                   /* #UD */
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    make("fa");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    make("f4");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    g_assert_true(plan.halt);

    regs.cpl = 3;
    make("f4");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    g_assert_true(traps(13));
    make("fb");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    regs.rflags |= 3 << 12;
    make("fb");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);

    /* With TF its own #DB has to come */
    begin64();
    regs.rflags |= X86_STEP_TF;
    make("f4");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
}

static void test_mov_ss(void)
{
    begin64();
    store(GDT + 0x10, 0x00cf93000000ffff, 8);
    store(GDT + 0x18, 0x00cf92000000ffff, 8);       /* not accessed */
    store(GDT + 0x20, 0x00cf91000000ffff, 8);       /* read only */
    store(GDT + 0x28, 0x00cff3000000ffff, 8);       /* of CPL 3 */
    regs.gpr[9] = 0x10;
    make("418ed1");                                 /* mov %r9d,%ss */
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    g_assert_true(plan.shadow && plan.load_ss);
    g_assert_cmphex(plan.ss_selector, ==, 0x10);
    g_assert_cmphex(plan.ss_descriptor, ==, 0x00cf93000000ffff);
    g_assert_cmphex(plan.rip, ==, regs.rip + 3);
    for (unsigned selector = 0x18; selector <= 0x28; selector += 8) {
        regs.gpr[0] = selector;
        make("8ed0");
        g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    }
    regs.gpr[0] = 0;
    make("8ed0");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    g_assert_cmphex(plan.ss_descriptor, ==, 0);
    regs.cpl = 3;
    regs.gpr[0] = 3;
    make("8ed0");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    regs.gpr[0] = 0x2b;
    make("8ed0");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    regs.gdt.limit = 0x2e;
    make("8ed0");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);

    begin16();
    store(0x3000, 0x1234, 2);
    regs.gpr[4] = 0xabcd2000;
    make("17");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    g_assert_cmphex(plan.ss_selector, ==, 0x1234);
    g_assert_cmphex(plan.rsp, ==, 0xabcd2002);
    make("6617");
    g_assert_cmphex(plan.rsp, ==, 0xabcd2004);
}

/* MOV to SS from memory: each way to say where that is */
static void test_operands(void)
{
    static const struct {
        const char *hex;
        X86StepMode mode;
        uint64_t addr;
    } cases[] = {
        { "8e10", X86_STEP_CODE64, 0x1000 },                /* (%rax) */
        { "418e10", X86_STEP_CODE64, 0x1800 },              /* (%r8) */
        { "8e5010", X86_STEP_CODE64, 0x1010 },              /* 16(%rax) */
        { "8e50f0", X86_STEP_CODE64, 0xff0 },               /* -16(%rax) */
        { "8e90f0feffff", X86_STEP_CODE64, 0xef0 },
        { "8e1541000000", X86_STEP_CODE64, 0x147 },         /* 0x41(%rip) */
        { "678e1541000000", X86_STEP_CODE64, 0x148 },
        { "8e142541000000", X86_STEP_CODE64, 0x41 },        /* 0x41 */
        { "8e1488", X86_STEP_CODE64, 0x1400 },              /* (%rax,%rcx,4) */
        { "8e1420", X86_STEP_CODE64, 0x1000 },              /* no index */
        { "428e1420", X86_STEP_CODE64, 0x1c00 },            /* (%rax,%r12) */
        { "8e140d10000000", X86_STEP_CODE64, 0x110 },       /* 16(,%rcx) */
        { "8e1424", X86_STEP_CODE64, 0x2000 },              /* (%rsp) */
        { "8e5500", X86_STEP_CODE64, 0x2800 },              /* (%rbp) */
        { "648e10", X86_STEP_CODE64, 0x1400 },              /* %fs:(%rax) */
        { "368e10", X86_STEP_CODE64, 0x1000 },
        { "8e10", X86_STEP_CODE32, 0x1200 },                /* DS */
        { "8e5500", X86_STEP_CODE32, 0x2900 },              /* SS */
        { "8e1424", X86_STEP_CODE32, 0x2100 },
        { "8e1541000000", X86_STEP_CODE32, 0x241 },
        { "268e10", X86_STEP_CODE32, 0x1300 },
        { "2e8e10", X86_STEP_CODE32, 0x1080 },
        { "3e8e5500", X86_STEP_CODE32, 0x2a00 },
        { "658e10", X86_STEP_CODE32, 0x1500 },
        { "8e10", X86_STEP_CODE16, 0x920 },                 /* (%bx,%si) */
        { "8e11", X86_STEP_CODE16, 0x940 },                 /* (%bx,%di) */
        { "8e12", X86_STEP_CODE16, 0x2920 },                /* (%bp,%si) */
        { "8e13", X86_STEP_CODE16, 0x2940 },
        { "8e14", X86_STEP_CODE16, 0x220 },                 /* (%si) */
        { "8e15", X86_STEP_CODE16, 0x240 },
        { "8e164100", X86_STEP_CODE16, 0x241 },             /* 0x41 */
        { "8e17", X86_STEP_CODE16, 0x900 },                 /* (%bx) */
        { "8e5600", X86_STEP_CODE16, 0x2900 },              /* (%bp) */
        { "678e10", X86_STEP_CODE16, 0x1200 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        begin64();
        regs.mode = cases[i].mode;
        if (regs.mode != X86_STEP_CODE64) {
            regs.efer = 0;
        }
        regs.rip = 0x100;
        regs.gpr[0] = 0x1000;
        regs.gpr[1] = 0x100;
        regs.gpr[3] = 0x700;
        regs.gpr[4] = 0x2000;
        regs.gpr[5] = 0x2800;
        regs.gpr[6] = 0x20;
        regs.gpr[7] = 0x40;
        regs.gpr[8] = 0x1800;
        regs.gpr[12] = 0xc00;
        for (int seg = 0; seg < X86_STEP_NR_SEGS; seg++) {
            static const uint32_t bases[] = {
                0x300, 0x80, 0x100, 0x200, 0x400, 0x500,
            };

            regs.segs[seg] = (X86StepTable) { bases[seg], 0x3fff };
        }
        regs.gdt.base = 0x3000;
        store(0x3000 + 0x10, 0x00cf93000000ffff, 8);
        store(cases[i].addr, 0x10, 2);
        make(cases[i].hex);
        g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
        g_assert_cmphex(plan.ss_selector, ==, 0x10);
    }
    /* The last one, as its segment is shorter, and as it can't be read */
    regs.segs[X86_STEP_DS].limit = 0x1000;
    make("678e10");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
    regs.segs[X86_STEP_DS].limit = 0x1001;
    make("678e10");
    g_assert_cmpint(plan.way, ==, X86_STEP_EMULATE);
    regs.segs[X86_STEP_DS].base = MEMORY;
    make("678e10");
    g_assert_cmpint(plan.way, ==, X86_STEP_RUN);
}

static void test_refused(void)
{
    begin64();
    g_assert_null(make("0f01d8"));                  /* #UD */
    regs.efer |= X86_STEP_EFER_SVME;
    g_assert_nonnull(make("0f01d8"));
    regs.cpl = 3;
    g_assert_null(make("0f01d8"));
    regs.guest_mode = true;
    g_assert_nonnull(make("90"));
    begin64();
    regs.cr4 |= X86_STEP_CR4_FRED;
    g_assert_nonnull(make("90"));
}

/* Whatever it is: the traps fit, and none is there twice */
static void test_all(void)
{
    for (unsigned i = 0; i < 1u << 16; i++) {
        g_autofree char *hex = g_strdup_printf("%02x%02xc0", i & 0xff, i >> 8);

        begin64();
        regs.cr0 |= X86_STEP_CR0_TS | X86_STEP_CR0_AM;
        regs.cr4 |= X86_STEP_CR4_CET;
        regs.rflags |= X86_STEP_AC | (i & 0x100);
        regs.cpl = 3;
        make(hex);
        g_assert_cmpuint(plan.nr_traps, <, X86_STEP_TRAPS_MAX);
        for (unsigned n = 0; n < plan.nr_traps; n++) {
            g_assert_true(trap_at(plan.traps[n].addr) == &plan.traps[n]);
        }
        if (plan.way == X86_STEP_RUN) {
            g_assert_true(traps(14) && traps(13));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86-step-plan/plain", test_plain);
    g_test_add_func("/x86-step-plan/handlers", test_handlers);
    g_test_add_func("/x86-step-plan/event-before", test_event_before);
    g_test_add_func("/x86-step-plan/events", test_events);
    g_test_add_func("/x86-step-plan/syscall", test_syscall);
    g_test_add_func("/x86-step-plan/flags", test_flags);
    g_test_add_func("/x86-step-plan/sysret", test_sysret);
    g_test_add_func("/x86-step-plan/interrupts", test_interrupts);
    g_test_add_func("/x86-step-plan/mov-ss", test_mov_ss);
    g_test_add_func("/x86-step-plan/operands", test_operands);
    g_test_add_func("/x86-step-plan/refused", test_refused);
    g_test_add_func("/x86-step-plan/all", test_all);
    return g_test_run();
}
