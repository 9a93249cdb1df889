/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LoongArch virtualization (LVZ): what the emulation of guest mode offers to
 * the rest of it
 */

#ifndef TARGET_LOONGARCH_TCG_LVZ_H
#define TARGET_LOONGARCH_TCG_LVZ_H

#include "cpu.h"

/* Go to guest mode, where the guest's CSRs say what the vCPU does */
void loongarch_guest_enter(CPULoongArchState *env);

/* Back to root mode, for an exception that the root takes.  Needs the BQL. */
void loongarch_guest_exit(CPULoongArchState *env);

/* Does this exception, met in guest mode, go to the root? */
bool loongarch_guest_exits_by(CPULoongArchState *env, int exception);

/* What LVZ has after a reset */
void loongarch_lvz_reset(CPULoongArchState *env);

/*
 * Where a page table of the code that runs is in memory: in guest mode the
 * table's address is a guest physical one.  May exit to the root.
 */
hwaddr loongarch_guest_table(CPULoongArchState *env, hwaddr phys,
                             uintptr_t retaddr);

/* The guest's constant timer; all of these need the BQL */
void loongarch_guest_timer_cb(void *opaque);
uint64_t loongarch_guest_timer_read(LoongArchCPU *cpu);
void loongarch_guest_timer_write(LoongArchCPU *cpu, uint64_t ticks);
void loongarch_guest_timer_config(LoongArchCPU *cpu, uint64_t value);
void loongarch_guest_timer_clear(LoongArchCPU *cpu);
void loongarch_guest_timer_latch(LoongArchCPU *cpu);

#endif
