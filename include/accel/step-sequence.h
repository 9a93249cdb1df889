/*
 * The instructions from a load-reserved to its store-conditional: pure part
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef ACCEL_STEP_SEQUENCE_H
#define ACCEL_STEP_SEQUENCE_H

/*
 * An exception clears the reservation of a load-reserved (load-and-reserve,
 * load-exclusive, load-linked), and a step ends by one.  If each instruction is
 * stepped by itself the store-conditional fails, and the guest's loop never
 * ends.  So a step of the load-reserved runs all up to the store-conditional,
 * with traps behind it and where branches leave the sequence.
 *
 * The architecture describes its instructions one by one; which of them make up
 * a sequence, and where it is left, is the same everywhere.
 */

/* Words of four bytes, the load-reserved included: gdb looks at as many */
#define STEP_SEQUENCE_WORDS_MAX 17

/* Branches that leave it, of different targets */
#define STEP_SEQUENCE_EXITS_MAX 4

/**
 * StepSequenceKind: an instruction behind the load-reserved
 * @STEP_SEQUENCE_PLAIN: goes on behind itself, and keeps the reservation
 * @STEP_SEQUENCE_BRANCH: does so too, or goes on elsewhere
 * @STEP_SEQUENCE_STORE: the store-conditional that fits the load-reserved
 */
typedef enum StepSequenceKind {
    STEP_SEQUENCE_PLAIN,
    STEP_SEQUENCE_BRANCH,
    STEP_SEQUENCE_STORE,
} StepSequenceKind;

/**
 * StepSequenceInsn: an instruction, as far as it matters here
 * @length: of the instruction, in bytes
 * @disp: from the branch to its target, in bytes
 */
typedef struct StepSequenceInsn {
    StepSequenceKind kind;
    unsigned length;
    int64_t disp;
} StepSequenceInsn;

/**
 * StepSequence: a sequence; offsets are from the load-reserved, in bytes
 * @store: of the store-conditional
 * @end: behind the store-conditional
 * @exits: where branches lead that leave the sequence, @end not among them
 * @nr_exits: how many of @exits are used
 */
typedef struct StepSequence {
    unsigned store;
    unsigned end;
    int64_t exits[STEP_SEQUENCE_EXITS_MAX];
    unsigned nr_exits;
} StepSequence;

/**
 * StepSequenceDescribe: describe the instruction at @offset
 * @opaque: as given to step_sequence_find()
 * @insn: filled in, on success
 *
 * Returns: NULL, or why the instruction can't be part of a sequence, a static
 * string
 */
typedef const char *StepSequenceDescribe(void *opaque, unsigned offset,
                                         StepSequenceInsn *insn);

/**
 * step_sequence_find() - find the sequence that a load-reserved begins
 * @seq: filled in completely on success
 * @first: length of the load-reserved in bytes
 * @size: how many bytes there are to look at, the load-reserved included
 * @describe: called for one instruction after the other
 *
 * A sequence ends at the first store-conditional.  It has no loop: a branch
 * that leads back has to leave it.
 *
 * Returns: NULL, or why there is no sequence, a static string to be shown to a
 * user
 */
const char *step_sequence_find(StepSequence *seq, unsigned first, unsigned size,
                               StepSequenceDescribe *describe, void *opaque);

#endif /* ACCEL_STEP_SEQUENCE_H */
