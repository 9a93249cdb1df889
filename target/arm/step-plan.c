/*
 * What to do for a step of A64 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-plan.h"

typedef struct SequenceWords {
    ArmStepInsn first;
    const uint32_t *words;
} SequenceWords;

static const char *describe(void *opaque, unsigned offset,
                            StepSequenceInsn *described)
{
    SequenceWords *w = opaque;
    ArmStepInsn insn;

    arm_step_decode(w->words[offset / 4], &insn);
    described->length = 4;
    described->disp = insn.disp;
    switch (insn.cls) {
    case ARM_STEP_PLAIN:
    case ARM_STEP_YIELD:
        described->kind = STEP_SEQUENCE_PLAIN;
        return NULL;
    case ARM_STEP_BRANCH:
        described->kind = STEP_SEQUENCE_BRANCH;
        return insn.link ? "it calls a function" : NULL;
    case ARM_STEP_LDXR:
        return "it has another load-exclusive";
    case ARM_STEP_STXR:
        described->kind = STEP_SEQUENCE_STORE;
        return insn.size != w->first.size || insn.pair != w->first.pair ?
               "its store-exclusive has another size" : NULL;
    default:
        return "it has an instruction that may end it";
    }
}

bool arm_step_has_store(const uint32_t *words, unsigned nr)
{
    ArmStepInsn insn;

    for (unsigned i = 1; i < MIN(nr, STEP_SEQUENCE_WORDS_MAX); i++) {
        arm_step_decode(words[i], &insn);
        if (insn.cls == ARM_STEP_STXR) {
            return true;
        }
    }
    return false;
}

const char *arm_step_find_sequence(const uint32_t *words, unsigned nr,
                                   uint64_t pc, ArmStepSequence *seq)
{
    SequenceWords w = { .words = words };
    StepSequence found;
    const char *why;

    arm_step_decode(words[0], &w.first);
    why = step_sequence_find(&found, 4, 4 * MIN(nr, STEP_SEQUENCE_WORDS_MAX),
                             describe, &w);
    if (why) {
        return why;
    }
    seq->last = pc + found.store;
    seq->nr_ends = 0;
    seq->ends[seq->nr_ends++] = pc + found.end;
    for (unsigned i = 0; i < found.nr_exits; i++) {
        seq->ends[seq->nr_ends++] = pc + found.exits[i];
    }
    return NULL;
}

uint64_t arm_step_vector(uint64_t vbar, uint64_t pstate)
{
    unsigned el = pstate >> 2 & 3;

    if (pstate & 0x10) {        /* AArch32 state: EL0, where EL1 has vectors */
        return vbar + 0x600;
    }
    return vbar + (!el ? 0x400 : pstate & 1 ? 0x200 : 0);
}

unsigned arm_step_places(const ArmStepPlaces *regs,
                         uint64_t places[ARM_STEP_PLACES_MAX])
{
    uint64_t vector = arm_step_vector(regs->vbar, regs->pstate);
    const uint64_t all[ARM_STEP_PLACES_MAX] = {
        regs->next, vector, vector + 0x80
    };
    const bool wanted[ARM_STEP_PLACES_MAX] = {
        regs->has_next, true, regs->irqs
    };
    unsigned nr = 0;

    for (unsigned i = 0; i < ARM_STEP_PLACES_MAX; i++) {
        if (wanted[i] && all[i] != regs->pc) {
            places[nr++] = all[i];
        }
    }
    return nr;
}

uint64_t arm_step_strip(uint64_t addr, uint64_t tcr)
{
    bool high = addr >> 55 & 1;
    unsigned tsz = tcr >> (high ? 16 : 0) & 0x3f;
    uint64_t code;

    /* Too small a size, as after a reset, is taken for the smallest one */
    if (tsz < 12) {
        tsz = 16;
    }
    code = ~0ull << (64 - tsz);
    return high ? addr | code : addr & ~code;
}
