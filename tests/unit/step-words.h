/*
 * Instruction words for the tests of decoders
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_STEP_WORDS_H
#define TESTS_UNIT_STEP_WORDS_H

/**
 * step_random_word() - xorshift64*, repeatable wherever this runs
 * @state: not 0
 */
uint32_t step_random_word(uint64_t *state);

/**
 * step_random_words() - look at @n of them
 * @seed: 0 is taken for 1
 */
void step_random_words(void (*look)(uint32_t word), uint64_t n, uint64_t seed);

/**
 * step_walk() - look at each @stride-th of the words with @top above @bits bits
 *
 * Shows how far it is, on a terminal and if it takes long.
 */
void step_walk(void (*look)(uint32_t word), uint32_t top, int bits,
               uint64_t stride);

/**
 * step_check_count() - print a count and what it should be
 *
 * Returns: 1 if it is wrong
 */
int step_check_count(const char *name, uint64_t got, uint64_t want);

/**
 * step_count_all() - count something in all 2^32 words, in @n processes
 * @count: the words from @first up to @end, every @stride-th, into @counts
 * @counts: of uint64_t throughout; the sum
 * @size: bytes of it
 *
 * Returns: false if a process has failed, which is said
 */
bool step_count_all(void (*count)(uint64_t first, uint64_t end,
                                  uint64_t stride, void *counts),
                    int n, void *counts, size_t size);

#endif /* TESTS_UNIT_STEP_WORDS_H */
