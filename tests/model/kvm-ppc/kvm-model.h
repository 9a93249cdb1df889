/*
 * Of QEMU and KVM what the files of target/ppc/kvm-*.c under test need: a vCPU or
 * two, no threads, and functions that the test has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef KVM_MODEL_H
#define KVM_MODEL_H

#include "qemu/osdep.h"

/* qemu/atomic.h, qemu/thread.h, qemu/main-loop.h */

#define qatomic_set(p, v) (*(p) = (v))
#define QEMU_BUILD_BUG_ON(x) G_STATIC_ASSERT(!(x))
#define le32_to_cpu(v) GUINT32_FROM_LE(v)
#define be32_to_cpu(v) GUINT32_FROM_BE(v)

typedef struct QemuMutex { bool locked; } QemuMutex;
typedef struct QemuCond { int unused; } QemuCond;
typedef struct QEMUTimer QEMUTimer;

static inline void qemu_mutex_init(QemuMutex *m) { m->locked = false; }
static inline void qemu_mutex_lock(QemuMutex *m)
{
    g_assert_false(m->locked);
    m->locked = true;
}
static inline void qemu_mutex_unlock(QemuMutex *m)
{
    g_assert_true(m->locked);
    m->locked = false;
}
static inline void qemu_cond_init(QemuCond *c) { }
static inline void qemu_cond_broadcast(QemuCond *c) { }
/* Nobody else runs who could end the wait */
static inline void qemu_cond_wait(QemuCond *c, QemuMutex *m)
{
    g_assert_not_reached();
}
static inline void bql_lock(void) { }
static inline void bql_unlock(void) { }

int64_t cpu_get_host_ticks(void);
#define clz32(v) __builtin_clz(v)

/* linux/kvm.h.  Numbers of registers are the model's own */

#define KVM_RUN                 1
#define KVM_INTERRUPT           2
#define KVM_INTERRUPT_SET_LEVEL 3
#define KVM_INTERRUPT_UNSET     4
#define KVM_EXIT_DEBUG          1
#define KVM_EXIT_MMIO           2

enum {
    KVM_REG_PPC_DEC_EXPIRY, KVM_REG_PPC_TB_OFFSET, KVM_REG_PPC_VP_STATE,
    KVM_REG_PPC_ICP_STATE, KVM_REG_PPC_DPDES, KVM_REG_PPC_TAR, MODEL_NR_REGS
};

struct kvm_regs;

#define KVM_REG_PPC_ICP_CPPR_SHIFT 56
#define KVM_REG_PPC_ICP_CPPR_MASK  0xff

struct kvm_run {
    uint32_t exit_reason;
    uint8_t immediate_exit;
    struct {
        struct { uint64_t address; } arch;
    } debug;
    struct {
        uint64_t phys_addr;
        uint8_t data[8];
        uint32_t len;
        uint8_t is_write;
    } mmio;
};

/* cpu.h, hw/ppc/ppc.h */

typedef uint64_t vaddr;
typedef uint64_t hwaddr;
typedef enum MMUAccessType { MMU_INST_FETCH, MMU_DATA_LOAD } MMUAccessType;

#define TARGET_PAGE_MASK    (~(uint64_t)0xfff)
#define PPC2_ISA300         1
#define PPC_INTERRUPT_EXT   1

typedef struct CPUPPCState {
    uint64_t insns_flags2;
    uint32_t pending_interrupts;
} CPUPPCState;

typedef struct CPUState {
    int cpu_index;
    bool halted;
    bool vcpu_dirty;
    unsigned singlestep_flags;
    struct kvm_run *kvm_run;
    CPUPPCState env;
} CPUState, PowerPCCPU;

#define CPU(cpu) (cpu)
#define POWERPC_CPU(cs) (cs)
#define cpu_env(cs) (&(cs)->env)

extern CPUState model_cpu;
#define CPU_FOREACH(cs) for ((cs) = &model_cpu; (cs); (cs) = NULL)

int ppc_cpu_tir(PowerPCCPU *cpu);

/* system/ */

typedef union run_on_cpu_data { void *host_ptr; } run_on_cpu_data;
#define RUN_ON_CPU_HOST_PTR(p) ((run_on_cpu_data) { .host_ptr = (p) })

void async_run_on_cpu(CPUState *cs, void (*func)(CPUState *, run_on_cpu_data),
                      run_on_cpu_data data);
void qemu_cpu_kick(CPUState *cs);
bool runstate_is_running(void);

#define MEMTXATTRS_UNSPECIFIED 0
#define KVM_PUT_RUNTIME_STATE 0
extern int address_space_memory;
int address_space_rw(void *as, hwaddr addr, int attrs, void *buf, hwaddr len,
                     bool is_write);

int kvm_get_one_reg(CPUState *cs, uint64_t id, void *value);
int kvm_set_one_reg(CPUState *cs, uint64_t id, void *value);
int kvm_vcpu_ioctl(CPUState *cs, int type, ...);
bool kvm_irqchip_in_kernel(void);
int kvm_arch_put_registers(CPUState *cs, int level, void *errp);
void kvm_arch_pre_run(CPUState *cs, struct kvm_run *run);
void kvm_arch_post_run(CPUState *cs, struct kvm_run *run);
int kvm_arch_handle_exit(CPUState *cs, struct kvm_run *run);

#define SSTEP_NOIRQ 2
#define warn_report(...) g_test_message(__VA_ARGS__)
#define error_report(...) g_test_message(__VA_ARGS__)

static inline void trace_kvm_ppc_step_over(int cpu, bool done) { }
static inline void trace_kvm_ppc_step_undo(int cpu, uint64_t pc) { }
static inline void trace_kvm_ppc_step_plan(int cpu, uint64_t pc, uint32_t insn,
                                           int cls, bool run, bool trace)
{
}
static inline void trace_kvm_ppc_step_finish(int cpu, uint64_t trap,
                                             uint64_t pc, uint64_t msr,
                                             uint32_t undone)
{
}

#endif /* KVM_MODEL_H */
