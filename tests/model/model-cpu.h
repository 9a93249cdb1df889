/*
 * A small Book III processor and the accelerator that runs it, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MODEL_CPU_H
#define MODEL_CPU_H

#include "accel/step-session.h"
#include "step-plan.h"

/*
 * The processor knows a few instructions of each kind that a stepper treats
 * apart, the interrupts that they raise, the Trace interrupt, a reservation
 * and pending asynchronous interrupts.  Real mode, or with IR and DR on a
 * one-to-one mapping of 0xc000000000000000 and up; it is not a model of
 * translation.
 *
 * The accelerator is as KVM HV is: it runs the vCPU until the trap
 * instruction, does MMIO and hypercalls itself without the vCPU noticing, and
 * each of its calls can be made to fail.  An exit loses the reservation.
 */

#define MODEL_MEM_SIZE 0x8000
#define MODEL_MMIO     0x40000000ULL   /* loads and stores are emulated */
#define MODEL_TRAP     0x00dddd00u
#define MODEL_IRQ      0x900           /* the vector of pending_irq */
#define MODEL_SRR1_LOAD 0x10000000ULL   /* the Trace interrupt: of a load */
#define MODEL_H_CEDE   0xe0            /* in r3 */
#define MODEL_LINEAR   0xc000000000000000ULL

typedef struct ModelCpu {
    PPCStepRegs regs;
    uint8_t mem[MODEL_MEM_SIZE];
    bool pending_irq;           /* a decrementer interrupt waits for EE */
    unsigned irq_after;         /* one comes after so many instructions */
    bool reserved;
    uint64_t reservation;
    unsigned insns;             /* completed, for the guest's own view */

    /* the accelerator */
    unsigned calls;             /* so far */
    unsigned fail_at;           /* the call that fails, 0: none */
    PPCStepPlan plan;
    bool noirq;
    bool irq_held;              /* not delivered, pending or not */
    bool one_by_one;            /* sequences, too */
    BreakpointSet *traps;
    StepSession session;
} ModelCpu;

typedef enum ModelExit {
    MODEL_EXIT_DEBUG,   /* the trap instruction, at regs.pc */
    MODEL_EXIT_LIMIT,   /* ran for as many instructions as asked */
} ModelExit;

void model_init(ModelCpu *cpu, bool noirq);
void model_free(ModelCpu *cpu);
void model_poke(ModelCpu *cpu, uint64_t addr, uint32_t insn);
ModelExit model_run(ModelCpu *cpu, unsigned limit);

/* One instruction as an undisturbed processor does it */
void model_reference_step(ModelCpu *cpu);

#endif /* MODEL_CPU_H */
