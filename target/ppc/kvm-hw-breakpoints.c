/*
 * Hardware breakpoints and watchpoints under KVM HV
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "gdbstub/enums.h"
#include "system/address-spaces.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/memory.h"
#include "cpu.h"
#include "cpu-models.h"
#include "kvm_ppc.h"
#include "kvm-breakpoints.h"
#include "kvm-hw-breakpoints.h"
#include "kvm-regs.h"

enum { CIABR, DAWR0, DAWR1, NR_REGS };

static const struct {
    const char *name;
    uint64_t addr_id;
    uint64_t ctl_id;        /* 0: the address register has it all */
    int addr_spr;
    int ctl_spr;
} debug_regs[NR_REGS] = {
    [CIABR] = { "CIABR", KVM_REG_PPC_CIABR, 0, SPR_CIABR, 0 },
    [DAWR0] = { "DAWR0", KVM_REG_PPC_DAWR, KVM_REG_PPC_DAWRX,
                SPR_DAWR0, SPR_DAWRX0 },
    [DAWR1] = { "DAWR1", KVM_REG_PPC_DAWR1, KVM_REG_PPC_DAWRX1,
                SPR_DAWR1, SPR_DAWRX1 },
};

typedef struct RegValue {
    uint64_t addr;
    uint64_t ctl;
} RegValue;

typedef struct HwBreakpoint {
    bool used;
    vaddr addr;
    vaddr len;
    int type;
    RegValue value;
} HwBreakpoint;

/* By the register that has it: a breakpoint in CIABR, watchpoints in DAWR */
static HwBreakpoint hw_bps[NR_REGS];

/*
 * Whether the registers have the debugger's values, and the vectors traps.
 * Written with the BQL.
 */
static enum {
    HW_BPS_TAKEN_BACK,      /* no: the machine is stopped, or none */
    HW_BPS_AFTER_RESET,     /* not yet: it has just been reset */
    HW_BPS_WAITING,         /* not yet: the guest has no vectors of its own */
    HW_BPS_LENT,            /* yes */
} state;

typedef struct Vector {
    vaddr pc;
    uint64_t addr;
    uint32_t word;          /* what was there when it was looked up */
} Vector;

/* Those that a match comes to, in both modes: with relocation off, and on */
static Vector vectors[4];
static unsigned nr_vectors;
static bool guessed;            /* that one is not mapped yet */

/* CIABR[62:63], Book III 10.3: in problem or in privileged state */
#define CIABR_PRIV_MASK    3
#define CIABR_PROBLEM      1
#define CIABR_PRIVILEGED   2

/* DAWRX, Book III 10.4.2 */
#define DAWRX_MRD_SHIFT    10
#define DAWRX_DW           0x40
#define DAWRX_DR           0x20
#define DAWRX_WTI          0x08
#define DAWRX_PRIVILEGED   0x02
#define DAWRX_PROBLEM      0x01
#define DAWR_RANGE         512     /* not to be crossed */

#define DSISR_DAWR_MATCH   PPC_BIT32(9)     /* DSISR[41] */
#define SRR1_CIABR_MATCH   PPC_BIT(43)

/*
 * Registers of one vCPU; in its thread or while it does not run.  If QEMU's
 * copy is the valid one, KVM gets that when the vCPU is entered.
 */

static int read_reg(CPUState *cs, int n, RegValue *value)
{
    CPUPPCState *env = cpu_env(cs);
    int ret;

    value->ctl = 0;
    if (cs->vcpu_dirty) {
        value->addr = env->spr[debug_regs[n].addr_spr];
        if (debug_regs[n].ctl_id) {
            value->ctl = env->spr[debug_regs[n].ctl_spr];
        }
        return 0;
    }
    ret = kvm_get_one_reg(cs, debug_regs[n].addr_id, &value->addr);
    if (!ret && debug_regs[n].ctl_id) {
        ret = kvm_get_one_reg(cs, debug_regs[n].ctl_id, &value->ctl);
    }
    return ret;
}

static int write_reg(CPUState *cs, int n, const RegValue *value)
{
    CPUPPCState *env = cpu_env(cs);
    RegValue v = *value;
    int ret;

    if (cs->vcpu_dirty) {
        env->spr[debug_regs[n].addr_spr] = v.addr;
        if (debug_regs[n].ctl_id) {
            env->spr[debug_regs[n].ctl_spr] = v.ctl;
        }
    }
    ret = kvm_set_one_reg(cs, debug_regs[n].addr_id, &v.addr);
    if (!ret && debug_regs[n].ctl_id) {
        ret = kvm_set_one_reg(cs, debug_regs[n].ctl_id, &v.ctl);
    }
    return ret;
}

/* Is it set to match anything? */
static bool reg_in_use(int n, const RegValue *value)
{
    return n == CIABR ? value->addr & CIABR_PRIV_MASK :
                        value->ctl & (DAWRX_PRIVILEGED | DAWRX_PROBLEM);
}

static bool same_value(const RegValue *a, const RegValue *b)
{
    return a->addr == b->addr && a->ctl == b->ctl;
}

/* What the processor has */

static unsigned nr_dawr(void)
{
#ifdef TARGET_PPC64
    uint64_t pvr = POWERPC_CPU(first_cpu)->env.spr[SPR_PVR];

    switch (pvr & CPU_POWERPC_POWER_SERVER_MASK) {
    case CPU_POWERPC_POWER8_BASE:
        return 1;
    case CPU_POWERPC_POWER9_BASE:
        /* It has one that may checkstop, and the host keeps it off */
        return 0;
    default:
        return kvmppc_has_cap_dawr1() ? 2 : 1;
    }
#else
    /* KVM HV runs no 32-bit processor */
    return 0;
#endif
}

static int guest_uses(int n)
{
    CPUState *cs;

    CPU_FOREACH(cs) {
        RegValue value;
        int ret = read_reg(cs, n, &value);

        if (ret) {
            error_report("can't read %s of CPU %d: %s", debug_regs[n].name,
                         cs->cpu_index, strerror(-ret));
            return ret;
        }
        if (reg_in_use(n, &value)) {
            error_report("the guest itself uses %s of CPU %d; use a software "
                         "breakpoint", debug_regs[n].name, cs->cpu_index);
            return -EBUSY;
        }
    }
    return 0;
}

static int find_hw_bp(vaddr addr, vaddr len, int type)
{
    for (int n = 0; n < NR_REGS; n++) {
        HwBreakpoint *p = &hw_bps[n];

        if (p->used && p->addr == addr && p->type == type &&
            (type == GDB_BREAKPOINT_HW || p->len == len)) {
            return n;
        }
    }
    return -1;
}

/* CIABR matches in one privilege only: the one that the code runs in */
static bool runs_in_problem_state(vaddr addr)
{
    TranslateForDebugResult found;
    CPUState *cs = first_cpu;

    cpu_synchronize_mmu(cs);
    return cpu_env(cs)->msr & R_MSR_PR_MASK ||
           !cpu_translate_for_debug(cs, addr, &found);
}

static int choose_breakpoint(vaddr addr, RegValue *value)
{
    if (hw_bps[CIABR].used) {
        error_report("there is one hardware breakpoint register, in use for "
                     "0x%" PRIx64, (uint64_t)hw_bps[CIABR].addr);
        return -ENOBUFS;
    }
    /* The kernel's part of the address space is known by its first bits */
    value->addr = (addr & ~(uint64_t)CIABR_PRIV_MASK) |
                  (addr >> 62 == 3 || !runs_in_problem_state(addr) ?
                   CIABR_PRIVILEGED : CIABR_PROBLEM);
    return CIABR;
}

static int choose_watchpoint(vaddr addr, vaddr len, int type, RegValue *value)
{
    uint64_t first = addr & ~7ULL, last = (addr + len - 1) & ~7ULL;
    unsigned nr = nr_dawr();

    if (nr == 0) {
        error_report("this processor has no watchpoint register that can be "
                     "used");
        return -ENODEV;
    }
    if (len == 0 || first / DAWR_RANGE != last / DAWR_RANGE || last < first) {
        error_report("a hardware watchpoint can't cross a multiple of %d "
                     "bytes", DAWR_RANGE);
        return -EINVAL;
    }
    value->addr = first;
    value->ctl = (last - first) / 8 << DAWRX_MRD_SHIFT | DAWRX_WTI |
                 DAWRX_PRIVILEGED | DAWRX_PROBLEM;
    value->ctl |= type != GDB_WATCHPOINT_READ ? DAWRX_DW : 0;
    value->ctl |= type != GDB_WATCHPOINT_WRITE ? DAWRX_DR : 0;
    for (unsigned n = 0; n < nr; n++) {
        if (!hw_bps[DAWR0 + n].used) {
            return DAWR0 + n;
        }
    }
    error_report("all %u hardware watchpoint registers are in use", nr);
    return -ENOBUFS;
}

int kvmppc_hw_breakpoint_insert(vaddr addr, vaddr len, int type)
{
    RegValue value = {};
    int n, ret;

    if (find_hw_bp(addr, len, type) >= 0) {
        return -EEXIST;
    }
    n = type == GDB_BREAKPOINT_HW ? choose_breakpoint(addr, &value) :
        choose_watchpoint(addr, len, type, &value);
    if (n < 0) {
        return n;
    }
    ret = guest_uses(n);
    if (!ret) {
        hw_bps[n] = (HwBreakpoint) { true, addr, len, type, value };
    }
    return ret;
}

bool kvmppc_hw_breakpoints_any(void)
{
    return hw_bps[CIABR].used || hw_bps[DAWR0].used || hw_bps[DAWR1].used;
}

static void warn_guest_uses(CPUState *cs, int n)
{
    warn_report("the guest uses %s of CPU %d: the debugger's %s at 0x%"
                PRIx64 " does not work there", debug_regs[n].name,
                cs->cpu_index, n == CIABR ? "hardware breakpoint" :
                "watchpoint", (uint64_t)hw_bps[n].addr);
}

static void set_hw_bp(CPUState *cs, int n)
{
    RegValue now;

    if (n == CIABR && cpu_single_stepping(cs)) {
        /* It would match what is stepped; where it goes gdb will see */
        return;
    }
    if (!read_reg(cs, n, &now) && reg_in_use(n, &now)) {
        if (!same_value(&now, &hw_bps[n].value)) {
            warn_guest_uses(cs, n);
        }
        return;
    }
    write_reg(cs, n, &hw_bps[n].value);
}

static void unset_hw_bp(CPUState *cs, int n)
{
    static const RegValue off;
    RegValue now;

    if (read_reg(cs, n, &now)) {
        return;
    }
    if (same_value(&now, &hw_bps[n].value)) {
        write_reg(cs, n, &off);
    } else if (reg_in_use(n, &now)) {
        warn_guest_uses(cs, n);
    }
}

static void set_all(CPUState *cs)
{
    for (int n = 0; n < NR_REGS; n++) {
        if (hw_bps[n].used) {
            set_hw_bp(cs, n);
        }
    }
}

static void unset_all(CPUState *cs)
{
    for (int n = 0; n < NR_REGS; n++) {
        if (hw_bps[n].used) {
            unset_hw_bp(cs, n);
        }
    }
}

static void do_set_all(CPUState *cs, run_on_cpu_data data)
{
    if (state == HW_BPS_LENT) {
        set_all(cs);
    }
}

static void do_unset_all(CPUState *cs, run_on_cpu_data data)
{
    unset_all(cs);
}

static uint32_t read_word(uint64_t addr)
{
    uint32_t word = 0;

    address_space_read(&address_space_memory, addr, MEMTXATTRS_UNSPECIFIED,
                       &word, sizeof(word));
    return word;
}

static bool find_vector(CPUState *cs, vaddr pc, hwaddr *addr)
{
    KvmPpcXlateMode mode = { .relocated = pc >= PPC_STEP_AIL_BASE };

    return kvmppc_xlate(POWERPC_CPU(cs), pc, MMU_INST_FETCH, mode, addr);
}

static void look_up(CPUState *cs, vaddr pc)
{
    bool high = pc >= PPC_STEP_AIL_BASE;
    hwaddr addr;

    if (!find_vector(cs, pc, &addr)) {
        if (!high || !(cpu_env(cs)->spr[SPR_LPCR] & LPCR_AIL)) {
            /* No interrupt goes there */
            return;
        }
        /* Linux maps it later, as real mode has it */
        addr = pc & 0x0fffffffffffffffULL;
        guessed = true;
    }
    vectors[nr_vectors++] = (Vector) { pc, addr, read_word(addr) };
}

/* By the MMU state that QEMU has of @cs */
static void look_vectors_up(CPUState *cs)
{
    nr_vectors = 0;
    guessed = false;
    if (hw_bps[CIABR].used) {
        look_up(cs, 0xd00);
        look_up(cs, PPC_STEP_AIL_BASE + 0xd00);
    }
    if (hw_bps[DAWR0].used || hw_bps[DAWR1].used) {
        look_up(cs, 0x300);
        look_up(cs, PPC_STEP_AIL_BASE + 0x300);
    }
}

static void place_traps(void)
{
    for (unsigned i = 0; i < nr_vectors; i++) {
        breakpoint_set_add(kvmppc_breakpoints, vectors[i].addr,
                           BREAKPOINT_OWNER_STEP);
    }
    breakpoint_set_apply(kvmppc_breakpoints);
}

static void remove_traps(void)
{
    for (unsigned i = 0; i < nr_vectors; i++) {
        breakpoint_set_recheck(kvmppc_breakpoints, vectors[i].addr);
        breakpoint_set_del(kvmppc_breakpoints, vectors[i].addr,
                           BREAKPOINT_OWNER_STEP);
    }
    breakpoint_set_apply(kvmppc_breakpoints);
}

static void move_traps(CPUState *cs)
{
    remove_traps();
    look_vectors_up(cs);
    place_traps();
}

/* Kernels run here, and have their vectors here if AIL says so */
static bool in_kernel_space(vaddr addr)
{
    return addr >> 60 == 0xc;
}

static bool has_high_vector(void)
{
    for (unsigned i = 0; i < nr_vectors; i++) {
        if (in_kernel_space(vectors[i].pc)) {
            return true;
        }
    }
    return false;
}

/*
 * A trap would change data of the firmware (VOF) as long as no kernel has
 * written its vectors.  What is in the kernel's address space can wait for that
 * until the kernel has mapped this.  Other addresses can't.
 */
static bool can_wait(void)
{
    for (int n = 0; n < NR_REGS; n++) {
        if (hw_bps[n].used && !in_kernel_space(hw_bps[n].addr)) {
            return false;
        }
    }
    return !has_high_vector();
}

static bool vectors_changed(void)
{
    for (unsigned i = 0; i < nr_vectors; i++) {
        if (read_word(vectors[i].addr) != vectors[i].word) {
            return true;
        }
    }
    return false;
}

/* To all vCPUs before they run on.  The traps come first, and go last */
static void lend(void)
{
    CPUState *cs;

    qatomic_set(&state, HW_BPS_LENT);
    place_traps();
    CPU_FOREACH(cs) {
        /* Not one that is just being plugged */
        if (cs->created) {
            async_run_on_cpu(cs, do_set_all, RUN_ON_CPU_NULL);
        }
    }
}

static void begin(CPUState *cs)
{
    cpu_synchronize_mmu(cs);
    look_vectors_up(cs);
    if (can_wait()) {
        qatomic_set(&state, HW_BPS_WAITING);
    } else {
        lend();
    }
}

static void take_back(void)
{
    CPUState *cs;

    if (state == HW_BPS_LENT) {
        CPU_FOREACH(cs) {
            run_on_cpu(cs, do_unset_all, RUN_ON_CPU_NULL);
        }
        remove_traps();
    }
    nr_vectors = 0;
    qatomic_set(&state, HW_BPS_TAKEN_BACK);
}

/* The guest may have written over traps, or mapped a vector meanwhile */
static void keep_traps(CPUState *cs)
{
    hwaddr addr;

    for (unsigned i = 0; i < nr_vectors; i++) {
        breakpoint_set_recheck(kvmppc_breakpoints, vectors[i].addr);
    }
    if (guessed) {
        cpu_synchronize_mmu(cs);
        if (find_vector(cs, vectors[nr_vectors - 1].pc, &addr)) {
            move_traps(cs);
        }
    }
}

void kvmppc_hw_breakpoints_run(bool running)
{
    if (!running) {
        take_back();
    } else if (state == HW_BPS_TAKEN_BACK && kvmppc_hw_breakpoints_any()) {
        begin(first_cpu);
    }
}

void kvmppc_hw_breakpoints_reset(void)
{
    if (state == HW_BPS_LENT) {
        remove_traps();
    }
    nr_vectors = 0;
    if (state != HW_BPS_TAKEN_BACK) {
        qatomic_set(&state, HW_BPS_AFTER_RESET);
    }
}

void kvmppc_hw_breakpoints_check(CPUState *cs)
{
    if (qatomic_read(&state) == HW_BPS_TAKEN_BACK) {
        return;
    }
    BQL_LOCK_GUARD();
    switch (state) {
    case HW_BPS_TAKEN_BACK:
        break;
    case HW_BPS_AFTER_RESET:
        begin(cs);
        break;
    case HW_BPS_WAITING:
        if (vectors_changed()) {
            look_vectors_up(cs);
            lend();
        } else {
            begin(cs);
        }
        break;
    case HW_BPS_LENT:
        keep_traps(cs);
        break;
    }
}

void kvmppc_hw_breakpoints_moved(void)
{
    switch (state) {
    case HW_BPS_LENT:
        move_traps(first_cpu);
        break;
    case HW_BPS_WAITING:
        /* The kernel says where its vectors are */
        look_vectors_up(first_cpu);
        lend();
        break;
    default:
        break;
    }
}

static bool has_trap_at(uint64_t pc)
{
    for (unsigned i = 0; state == HW_BPS_LENT && i < nr_vectors; i++) {
        if (vectors[i].pc == pc) {
            return true;
        }
    }
    return false;
}

void kvmppc_hw_breakpoints_suspend(CPUState *cs, bool suspend)
{
    if (state != HW_BPS_LENT) {
        return;
    }
    if (suspend) {
        unset_all(cs);
    } else {
        set_all(cs);
    }
}

int kvmppc_hw_breakpoint_remove(vaddr addr, vaddr len, int type)
{
    int n = find_hw_bp(addr, len, type);
    bool running = state != HW_BPS_TAKEN_BACK;

    if (n < 0) {
        return -ENOENT;
    }
    take_back();
    hw_bps[n].used = false;
    kvmppc_hw_breakpoints_run(running);
    return 0;
}

void kvmppc_hw_breakpoints_remove_all(void)
{
    take_back();
    for (int n = 0; n < NR_REGS; n++) {
        hw_bps[n].used = false;
    }
}

static bool overlaps(const HwBreakpoint *p, uint64_t ea, unsigned size)
{
    return size == 0 || (ea < p->addr + p->len && p->addr < ea + size);
}

static KvmPpcMatch match_dawr(CPUState *cs, uint64_t ea, unsigned size)
{
    static const int flags[] = {
        [GDB_WATCHPOINT_WRITE] = BP_MEM_WRITE,
        [GDB_WATCHPOINT_READ] = BP_MEM_READ,
        [GDB_WATCHPOINT_ACCESS] = BP_MEM_ACCESS,
    };
    PowerPCCPU *cpu = POWERPC_CPU(cs);
    KvmPpcMatch match = KVMPPC_MATCH_NONE;
    uint64_t dar;
    uint32_t dsisr;

    if (kvm_get_one_reg(cs, KVM_REG_PPC_DSISR, &dsisr) ||
        kvm_get_one_reg(cs, KVM_REG_PPC_DAR, &dar) ||
        !(dsisr & DSISR_DAWR_MATCH)) {
        return KVMPPC_MATCH_NONE;
    }
    for (int n = DAWR0; n < NR_REGS; n++) {
        HwBreakpoint *p = &hw_bps[n];

        if (!p->used || dar >= ((p->addr + p->len + 7) & ~7ULL) ||
            dar + MAX(size, 1) <= (p->addr & ~7ULL)) {
            continue;
        }
        match = KVMPPC_MATCH_NEAR;
        if (overlaps(p, ea, size)) {
            cpu->kvm_watchpoint_hit = (CPUWatchpoint) {
                .vaddr = p->addr,
                .len = p->len,
                .flags = flags[p->type] | BP_STOP_BEFORE_ACCESS,
            };
            cs->watchpoint_hit = &cpu->kvm_watchpoint_hit;
            return KVMPPC_MATCH_HIT;
        }
    }
    return match;
}

static KvmPpcMatch match(CPUState *cs, uint32_t vector, uint64_t srr1,
                         uint64_t ea, unsigned size)
{
    if (vector == 0x300) {
        return match_dawr(cs, ea, size);
    }
    return hw_bps[CIABR].used && srr1 & SRR1_CIABR_MATCH ? KVMPPC_MATCH_HIT :
                                                           KVMPPC_MATCH_NONE;
}

/*
 * @regs are those at a vector; afterwards, if a register matched, those at the
 * instruction.
 */
static KvmPpcMatch undo_match(CPUState *cs, PPCStepRegs *regs)
{
    PPCStepRegs at = *regs;
    PPCStepInsn insn = {};
    uint32_t words[2] = {};
    KvmPpcMatch found;
    uint64_t ea = 0;

    at.pc = regs->srr0;
    at.msr = regs->srr1 & ~PPC_STEP_SRR1_INFO;
    if (kvmppc_fetch(POWERPC_CPU(cs), &at, words, 2)) {
        ppc_step_decode(words[0], words[1], &insn);
    }
    if (insn.mem) {
        ea = ppc_step_mem_ea(&insn, at.pc, at.gpr, at.msr & PPC_STEP_MSR_SF);
    }
    found = match(cs, regs->pc & 0xfff, regs->srr1, ea,
                  insn.mem ? insn.mem_size : 0);
    if (found != KVMPPC_MATCH_NONE) {
        *regs = at;
    }
    return found;
}

KvmPpcMatch kvmppc_hw_breakpoints_undo(CPUState *cs)
{
    PPCStepRegs regs;
    KvmPpcMatch found;

    if (!kvmppc_hw_breakpoints_any() || kvmppc_step_regs_get(cs, &regs) ||
        !has_trap_at(regs.pc)) {
        return KVMPPC_MATCH_NONE;
    }
    found = undo_match(cs, &regs);
    return found == KVMPPC_MATCH_NONE ||
           kvmppc_step_regs_put(cs, &regs, true) ? KVMPPC_MATCH_NONE : found;
}

void kvmppc_hw_breakpoints_undo_stepped(CPUState *cs, const PPCStepRegs *before)
{
    PPCStepRegs regs;

    if (kvmppc_hw_breakpoints_any() && !kvmppc_step_regs_get(cs, &regs) &&
        has_trap_at(regs.pc) && undo_match(cs, &regs) == KVMPPC_MATCH_HIT) {
        regs.srr0 = before->srr0;
        regs.srr1 = before->srr1;
        kvmppc_step_regs_put(cs, &regs, false);
    }
}

void kvmppc_hw_breakpoints_leave(CPUState *cs, const PPCStepRegs *before)
{
    PowerPCCPU *cpu = POWERPC_CPU(cs);
    CPUWatchpoint *reported = cs->watchpoint_hit;
    CPUWatchpoint hit = cpu->kvm_watchpoint_hit;

    if (!kvmppc_hw_breakpoints_any()) {
        return;
    }
    kvmppc_regs_read_mmu(cs);
    if (before) {
        kvmppc_hw_breakpoints_undo_stepped(cs, before);
    } else {
        kvmppc_hw_breakpoints_undo(cs);
    }
    /* It is met again, or this is not the stop that it makes */
    cs->watchpoint_hit = reported;
    cpu->kvm_watchpoint_hit = hit;
}
