/*
 * The instructions from a load-reserved to its store-conditional: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "accel/step-sequence.h"

/* Branches that lead to an instruction up to @to do not leave the sequence */
static void drop_inside(StepSequence *seq, int64_t to)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < seq->nr_exits; i++) {
        if (seq->exits[i] < 0 || seq->exits[i] > to) {
            seq->exits[nr++] = seq->exits[i];
        }
    }
    seq->nr_exits = nr;
}

static bool is_exit(const StepSequence *seq, int64_t target)
{
    for (unsigned i = 0; i < seq->nr_exits; i++) {
        if (seq->exits[i] == target) {
            return true;
        }
    }
    return false;
}

static const char *add_branch(StepSequence *seq, unsigned from, int64_t target)
{
    if (target >= 0 && target <= from) {
        return "it branches back";
    }
    drop_inside(seq, from);
    if (is_exit(seq, target)) {
        return NULL;
    }
    if (seq->nr_exits == STEP_SEQUENCE_EXITS_MAX) {
        return "too many branches leave it";
    }
    seq->exits[seq->nr_exits++] = target;
    return NULL;
}

const char *step_sequence_find(StepSequence *seq, unsigned first, unsigned size,
                               StepSequenceDescribe *describe, void *opaque)
{
    StepSequenceInsn insn;

    seq->nr_exits = 0;
    for (unsigned at = first; at < size; at += insn.length) {
        const char *why = describe(opaque, at, &insn);

        if (!why && insn.kind == STEP_SEQUENCE_BRANCH) {
            why = add_branch(seq, at, at + insn.disp);
        }
        if (why) {
            return why;
        }
        if (insn.kind == STEP_SEQUENCE_STORE) {
            seq->store = at;
            seq->end = at + insn.length;
            drop_inside(seq, seq->end);
            return NULL;
        }
    }
    return "it has no store-conditional";
}
