/*
 * Single-stepping a vCPU by traps: plan, arm, run, finish
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef ACCEL_STEP_SESSION_H
#define ACCEL_STEP_SESSION_H

#include "accel/breakpoint-set.h"

/*
 * A step session takes one vCPU over one instruction on an accelerator that
 * can't do so by itself.  The architecture says what to do (a StepPlan: the
 * addresses to trap, or "emulated, no need to run"); the session does it and
 * sees to it that whatever happens in between, a step either has not begun or
 * is done, and that no trap stays behind:
 *
 *     IDLE --begin--> ARMED --trap--> DONE --take--> IDLE
 *      |                |               ^
 *      |                +----cancel-----+ (or back to IDLE: not begun)
 *      |                ^               |
 *      |                +-----again-----+
 *      +--begin--> PLANNED --emulate----+
 *
 * A plan to emulate the instruction is carried out when the vCPU is about to
 * run: until then, a step of another vCPU that can't be begun ends this one,
 * too, and the guest is as it was.
 *
 * A trap may also find that something came in between before the instruction
 * ran: the step is then begun anew, and stays armed.
 *
 * Not thread safe: callers hold the BQL, and the functions that touch
 * registers run in the vCPU's thread, since their callbacks may have to.
 */

/* The most traps that one step can need */
#define STEP_TRAPS_MAX 48

/**
 * StepTrap: a place where the step may end
 * @pc: program counter of the vCPU when it gets there
 * @addr: the same place as a BreakpointSet address
 */
typedef struct StepTrap {
    uint64_t pc;
    uint64_t addr;
} StepTrap;

/**
 * StepPlan: how to take one step
 * @run: let the vCPU run into one of the traps; false if the effect of the
 *     instruction has been worked out, and only has to be written
 * @nr_traps: how many of @traps are used
 * @traps: where the step may end; several may share an address
 * @has_insn: the instruction's place in memory is known
 * @insn_addr: that place; a breakpoint there is out of memory during the step
 * @reason: why a step can't be planned or taken, a static string, when a
 *     callback fails
 * @reason_addr: the guest address it is about
 */
typedef struct StepPlan {
    bool run;
    unsigned nr_traps;
    StepTrap traps[STEP_TRAPS_MAX];
    bool has_insn;
    uint64_t insn_addr;
    const char *reason;
    uint64_t reason_addr;
} StepPlan;

/**
 * StepOps: what an architecture does
 * @plan: read the registers and the instruction and fill in all of the plan.
 *     Changes nothing in the guest.
 * @place: fill in the plan's traps again, for registers that decide where
 *     interrupts go having changed.  Changes nothing in the guest.
 * @enter: write the registers that the plan asks for
 * @finish: turn the registers as they are at @pc, one of the traps, into those
 *     that the guest would have after the instruction.  Returns 1 if it has
 *     not run, and @plan is to be made again; what came in between is then
 *     held back until a later @finish or @undo.
 * @undo: turn the registers back into those before @enter, the instruction not
 *     having run
 * @get_pc: the vCPU's program counter
 *
 * All return 0 (@finish also 1) or a negative errno, and after an error have
 * changed nothing.
 */
typedef struct StepOps {
    int (*plan)(void *vcpu, StepPlan *plan);
    int (*place)(void *vcpu, StepPlan *plan);
    int (*enter)(void *vcpu, StepPlan *plan);
    int (*finish)(void *vcpu, StepPlan *plan, uint64_t pc);
    int (*undo)(void *vcpu, StepPlan *plan);
    int (*get_pc)(void *vcpu, uint64_t *pc);
} StepOps;

typedef enum StepPhase {
    STEP_IDLE,
    STEP_PLANNED,
    STEP_ARMED,
    STEP_DONE,
} StepPhase;

typedef struct StepSession {
    const StepOps *ops;
    void *vcpu;
    BreakpointSet *traps;
    StepPhase phase;
    bool armed;             /* the plan's traps are in memory */
    StepPlan plan;
} StepSession;

/**
 * step_session_init() - make a session for a vCPU
 * @ops: the architecture, kept by reference
 * @vcpu: the first argument of its functions
 * @traps: the virtual machine's breakpoints
 */
void step_session_init(StepSession *s, const StepOps *ops, void *vcpu,
                       BreakpointSet *traps);

/**
 * step_session_begin() - plan and arm a step
 *
 * The session must be idle and the vCPU stopped.  Afterwards it is armed, or
 * planned if the instruction is to be emulated.
 *
 * Returns: 0 or a negative errno.  After an error the session is idle, the
 * guest is as it was, and @s->plan.reason says why.
 */
int step_session_begin(StepSession *s);

/**
 * step_session_emulate() - carry out a plan to emulate the instruction
 *
 * To be called when the vCPU is about to run; does nothing without such a plan.
 *
 * Returns: 0, or a negative errno if the registers can't be written.  The step
 * is done in either case, after an error without having had an effect.
 */
int step_session_emulate(StepSession *s);

/**
 * step_session_trap() - the vCPU has run into a trap
 * @pc: its program counter
 *
 * Returns: STEP_TRAP_DONE, STEP_TRAP_AGAIN or STEP_TRAP_OTHER; a negative
 * errno if the registers can't be read or written now: the session stays
 * armed, and cancelling it tries again.  A step that was begun anew and can't
 * be is done, having run nothing, with @s->plan.reason set.
 */
#define STEP_TRAP_OTHER 0   /* @pc is no trap of this session */
#define STEP_TRAP_DONE  1   /* that ends the step */
#define STEP_TRAP_AGAIN 2   /* the step was begun anew: run on */
int step_session_trap(StepSession *s, uint64_t pc);

/**
 * step_session_again() - begin a step where the last one ended
 *
 * As step_session_begin(), but the session must be done; for one step after
 * another while other vCPUs run.  Traps that both need stay in memory.
 */
int step_session_again(StepSession *s);

/**
 * step_session_traps_at() - is @pc a trap of this session?
 */
bool step_session_traps_at(const StepSession *s, uint64_t pc);

/**
 * step_session_cancel() - end a step, however far it got
 *
 * Returns: 0; or a negative errno, with the session still armed.  Afterwards
 * it is done if the instruction ran, idle if it did not.
 */
int step_session_cancel(StepSession *s);

/**
 * step_session_suspend() - take the traps of a step that can't be ended out
 *
 * The virtual machine has stopped, and cancelling has failed: no trap is to be
 * in memory for whoever looks, or saves it.  The session stays armed.
 */
void step_session_suspend(StepSession *s);

/**
 * step_session_resume() - put back what step_session_suspend() has taken out
 *
 * Before the vCPU runs again, if cancelling still fails.
 *
 * Returns: 0 or a negative errno, with @s->plan.reason set
 */
int step_session_resume(StepSession *s);

/**
 * step_session_end() - end a step where it stands
 *
 * As step_session_cancel(), but the session is done in either case, also when
 * it was idle: for a vCPU that does not run, and has nothing to step.
 */
int step_session_end(StepSession *s);

/**
 * step_session_abandon() - forget a step whose vCPU has been reset
 *
 * Takes the traps out and leaves the registers alone.  A step that was armed
 * is done: it ended in the reset.
 */
void step_session_abandon(StepSession *s);

/**
 * step_session_move() - interrupts now go elsewhere: trap them there
 *
 * Returns: 0 or a negative errno, with @s->plan.reason set; the old traps stay
 * in place then.
 */
int step_session_move(StepSession *s);

/**
 * step_session_settle() - take the traps of a step that is over out of memory
 *
 * A step that ends by itself leaves them there, since other vCPUs may run:
 * best take them out when none does.
 */
void step_session_settle(StepSession *s);

/**
 * step_session_take() - was a step done?
 *
 * Makes a done session idle, with its traps out of memory.
 */
bool step_session_take(StepSession *s);

#endif /* ACCEL_STEP_SESSION_H */
