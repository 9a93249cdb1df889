/*
 * Guest memory, and a breakpoint set's way to it; a test defines MODEL_MEMORY
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MODEL_MEMORY_H
#define MODEL_MEMORY_H

#include "accel/breakpoint-set.h"

static uint8_t memory[MODEL_MEMORY];

static int read_memory(void *opaque, uint64_t addr, void *buf, size_t len)
{
    memcpy(buf, memory + addr, len);
    return 0;
}

static int exchange_memory(void *opaque, uint64_t addr, const void *old,
                           const void *buf, size_t len)
{
    g_assert_cmpmem(memory + addr, len, old, len);
    memcpy(memory + addr, buf, len);
    return 0;
}

/* No instruction of the tests' */
static int trap_bytes(void *opaque, uint64_t addr, uint8_t *bytes)
{
    memset(bytes, 1, 4);
    return 4;
}

static const BreakpointMemory memory_ops = {
    .read = read_memory, .trap = trap_bytes, .exchange = exchange_memory,
};

#endif /* MODEL_MEMORY_H */
