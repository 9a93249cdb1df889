/*
 * What to do for a step of A64 code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"
#include "step-plan.h"

static bool is_end(const ArmStepSequence *seq, uint64_t addr)
{
    for (unsigned i = 0; i < seq->nr_ends; i++) {
        if (seq->ends[i] == addr) {
            return true;
        }
    }
    return false;
}

static const char *add_end(ArmStepSequence *seq, uint64_t addr)
{
    if (is_end(seq, addr)) {
        return NULL;
    }
    if (seq->nr_ends == ARM_STEP_ENDS_MAX) {
        return "too many branches leave it";
    }
    seq->ends[seq->nr_ends++] = addr;
    return NULL;
}

/* Branches whose targets turn out to be inside of it are no ends */
static void drop_inner_ends(ArmStepSequence *seq, uint64_t pc)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < seq->nr_ends; i++) {
        if (seq->ends[i] <= pc || seq->ends[i] > seq->last) {
            seq->ends[kept++] = seq->ends[i];
        }
    }
    seq->nr_ends = kept;
}

/* One instruction in between */
static const char *look_at(const ArmStepInsn *insn, uint64_t addr,
                           ArmStepSequence *seq)
{
    switch (insn->cls) {
    case ARM_STEP_PLAIN:
    case ARM_STEP_YIELD:
        return NULL;
    case ARM_STEP_BRANCH:
        if (insn->link || insn->disp <= 0) {
            return "a branch leads back or calls";
        }
        return add_end(seq, addr + insn->disp);
    case ARM_STEP_LDXR:
        return "another load-exclusive is in it";
    default:
        return "an instruction in it may end it";
    }
}

bool arm_step_has_store(const uint32_t *words, unsigned nr)
{
    ArmStepInsn insn;

    for (unsigned i = 1; i < MIN(nr, ARM_STEP_SEQUENCE_MAX + 1); i++) {
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
    ArmStepInsn first;

    arm_step_decode(words[0], &first);
    seq->nr_ends = 0;
    for (unsigned i = 1; i < MIN(nr, ARM_STEP_SEQUENCE_MAX + 1); i++) {
        uint64_t addr = pc + 4 * i;
        const char *why;
        ArmStepInsn insn;

        arm_step_decode(words[i], &insn);
        if (insn.cls == ARM_STEP_STXR) {
            if (insn.size != first.size || insn.pair != first.pair) {
                return "its store-exclusive has another size";
            }
            seq->last = addr;
            drop_inner_ends(seq, pc);
            return add_end(seq, addr + 4);
        }
        why = look_at(&insn, addr, seq);
        if (why) {
            return why;
        }
    }
    return "no store-exclusive follows";
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
