/*
 * Single-stepping a vCPU by traps: plan, arm, run, finish
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "accel/step-session.h"

void step_session_init(StepSession *s, const StepOps *ops, void *vcpu,
                       BreakpointSet *traps)
{
    memset(s, 0, sizeof(*s));
    s->ops = ops;
    s->vcpu = vcpu;
    s->traps = traps;
}

static void want_traps(StepSession *s, const StepPlan *plan)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        breakpoint_set_add(s->traps, plan->traps[i].addr,
                           BREAKPOINT_OWNER_STEP);
    }
}

static void unwant_traps(StepSession *s, const StepPlan *plan)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        breakpoint_set_del(s->traps, plan->traps[i].addr,
                           BREAKPOINT_OWNER_STEP);
    }
}

static bool all_in_memory(StepSession *s, const StepPlan *plan)
{
    for (unsigned i = 0; i < plan->nr_traps; i++) {
        if (breakpoint_set_state(s->traps, plan->traps[i].addr) !=
            BREAKPOINT_SET) {
            return false;
        }
    }
    return true;
}

/*
 * A trap that can't be taken out now stays pending in the set, which tries
 * again; the session has no use for the error.
 */
static void disarm(StepSession *s)
{
    if (s->armed) {
        s->armed = false;
        unwant_traps(s, &s->plan);
        if (s->plan.has_insn) {
            breakpoint_set_hold(s->traps, s->plan.insn_addr, false);
        }
        breakpoint_set_apply(s->traps);
    }
}

static int arm(StepSession *s)
{
    int ret;

    s->armed = true;
    want_traps(s, &s->plan);
    if (s->plan.has_insn) {
        breakpoint_set_hold(s->traps, s->plan.insn_addr, true);
    }
    ret = breakpoint_set_apply(s->traps);
    /* An error may be about somebody else's breakpoint, not ours */
    if (ret && all_in_memory(s, &s->plan)) {
        ret = 0;
    }
    if (ret) {
        s->plan.reason = "can't write a trap into guest memory";
    }
    return ret;
}

int step_session_begin(StepSession *s)
{
    int ret;

    g_assert(s->phase == STEP_IDLE);
    memset(&s->plan, 0, sizeof(s->plan));
    ret = s->ops->plan(s->vcpu, &s->plan);
    if (ret) {
        return ret;
    }
    if (!s->plan.run) {
        s->phase = STEP_PLANNED;
        return 0;
    }

    ret = arm(s);
    if (!ret) {
        ret = s->ops->enter(s->vcpu, &s->plan);
    }
    if (ret) {
        disarm(s);
        return ret;
    }
    s->phase = STEP_ARMED;
    return 0;
}

int step_session_emulate(StepSession *s)
{
    int ret = 0;

    if (s->phase == STEP_PLANNED) {
        ret = s->ops->enter(s->vcpu, &s->plan);
        s->phase = STEP_DONE;
    }
    return ret;
}

bool step_session_traps_at(const StepSession *s, uint64_t pc)
{
    for (unsigned i = 0; s->phase == STEP_ARMED && i < s->plan.nr_traps; i++) {
        if (s->plan.traps[i].pc == pc) {
            return true;
        }
    }
    return false;
}

/* Begin once more; what both steps need stays in memory meanwhile */
static int begin_anew(StepSession *s)
{
    StepPlan old = s->plan;
    int ret;

    want_traps(s, &old);
    disarm(s);
    s->phase = STEP_IDLE;
    ret = step_session_begin(s);
    unwant_traps(s, &old);
    breakpoint_set_apply(s->traps);
    return ret;
}

int step_session_again(StepSession *s)
{
    g_assert(s->phase == STEP_DONE);
    if (s->armed) {
        return begin_anew(s);
    }
    s->phase = STEP_IDLE;
    return step_session_begin(s);
}

int step_session_trap(StepSession *s, uint64_t pc)
{
    int ret;

    if (!step_session_traps_at(s, pc)) {
        return STEP_TRAP_OTHER;
    }
    ret = s->ops->finish(s->vcpu, &s->plan, pc);
    if (ret < 0) {
        return ret;
    }
    s->plan.reason = NULL;
    if (ret > 0) {
        if (!begin_anew(s) && s->phase == STEP_ARMED) {
            return STEP_TRAP_AGAIN;
        }
        step_session_emulate(s);
        /* What @finish holds back is let go */
        s->ops->undo(s->vcpu, &s->plan);
    }
    s->phase = STEP_DONE;
    return STEP_TRAP_DONE;
}

int step_session_cancel(StepSession *s)
{
    uint64_t pc;
    int ret;

    if (s->phase == STEP_PLANNED) {
        s->phase = STEP_IDLE;
    }
    if (s->phase != STEP_ARMED) {
        return 0;
    }
    ret = s->ops->get_pc(s->vcpu, &pc);
    if (ret) {
        return ret;
    }
    /* The vCPU may stand on a trap and not have run into it yet */
    if (step_session_traps_at(s, pc)) {
        ret = s->ops->finish(s->vcpu, &s->plan, pc);
        if (ret <= 0) {
            if (!ret) {
                s->phase = STEP_DONE;
            }
            return ret;
        }
    }
    ret = s->ops->undo(s->vcpu, &s->plan);
    if (ret) {
        return ret;
    }
    disarm(s);
    s->phase = STEP_IDLE;
    return 0;
}

void step_session_suspend(StepSession *s)
{
    if (s->phase == STEP_ARMED) {
        disarm(s);
    }
}

int step_session_resume(StepSession *s)
{
    return s->phase == STEP_ARMED && !s->armed ? arm(s) : 0;
}

int step_session_end(StepSession *s)
{
    int ret = step_session_cancel(s);

    if (!ret) {
        s->phase = STEP_DONE;
    }
    return ret;
}

void step_session_abandon(StepSession *s)
{
    if (s->phase != STEP_IDLE) {
        s->phase = STEP_DONE;
    }
    disarm(s);
}

int step_session_move(StepSession *s)
{
    StepPlan old = s->plan;
    int ret;

    if (s->phase != STEP_ARMED) {
        return 0;
    }
    ret = s->ops->place(s->vcpu, &s->plan);
    if (!ret) {
        /* First the new, then the old: what both have stays in memory */
        want_traps(s, &s->plan);
        ret = breakpoint_set_apply(s->traps);
        if (!ret || all_in_memory(s, &s->plan)) {
            unwant_traps(s, &old);
            breakpoint_set_apply(s->traps);
            return 0;
        }
        unwant_traps(s, &s->plan);
        breakpoint_set_apply(s->traps);
        s->plan.reason = "can't write a trap into guest memory";
    }
    old.reason = s->plan.reason;
    old.reason_addr = s->plan.reason_addr;
    s->plan = old;
    return ret;
}

void step_session_settle(StepSession *s)
{
    if (s->phase != STEP_ARMED) {
        disarm(s);
    }
}

bool step_session_take(StepSession *s)
{
    bool done = s->phase == STEP_DONE;

    if (done) {
        disarm(s);
        s->phase = STEP_IDLE;
    }
    return done;
}
