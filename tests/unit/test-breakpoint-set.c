/*
 * The breakpoint collection: every state transition, failing memory, size
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "accel/breakpoint-set.h"

#define MEM_SIZE (1 << 20)

/* Memory that counts accesses, and fails or drops some of them */
typedef struct Memory {
    uint8_t bytes[MEM_SIZE];
    unsigned reads, writes;
    uint64_t bad;           /* the address that misbehaves */
    bool fail_read, fail_write, drop_write;
    uint32_t fails;         /* bit n: the access after n others fails */
    const uint8_t *guest;   /* what the guest writes before the next exchange */
} Memory;

static bool fails_now(Memory *m)
{
    bool now = m->fails & 1;

    m->fails >>= 1;
    return now;
}

static int mem_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    Memory *m = opaque;

    m->reads++;
    if (fails_now(m) || (m->fail_read && addr == m->bad)) {
        return -EIO;
    }
    memcpy(buf, m->bytes + addr, len);
    return 0;
}

static int mem_write(void *opaque, uint64_t addr, const void *buf, size_t len)
{
    Memory *m = opaque;

    m->writes++;
    if (fails_now(m) || (m->fail_write && addr == m->bad)) {
        return -EACCES;
    }
    if (!m->drop_write || addr != m->bad) {
        memcpy(m->bytes + addr, buf, len);
    }
    return 0;
}

static const uint8_t trap[4] = { 0x00, 0xdd, 0xdd, 0x00 };

static int mem_trap(void *opaque, uint64_t addr, uint8_t *bytes)
{
    memcpy(bytes, trap, sizeof(trap));
    return sizeof(trap);
}

static int mem_exchange(void *opaque, uint64_t addr, const void *old,
                        const void *buf, size_t len)
{
    Memory *m = opaque;

    if (m->guest) {
        memcpy(m->bytes + addr, m->guest, len);
        m->guest = NULL;
    }
    if (memcmp(m->bytes + addr, old, len)) {
        return -EAGAIN;
    }
    return mem_write(opaque, addr, buf, len);
}

static const BreakpointMemory ops = {
    mem_read, mem_trap, mem_exchange
};

/* As RISC-V: the instruction that is there tells its length */
static const uint8_t long_trap[4] = { 0x73, 0x00, 0x10, 0x00 };
static const uint8_t short_trap[2] = { 0x02, 0x90 };

static int mem_trap_by_length(void *opaque, uint64_t addr, uint8_t *bytes)
{
    Memory *m = opaque;
    bool is_long = (m->bytes[addr] & 3) == 3;

    memcpy(bytes, is_long ? long_trap : short_trap, is_long ? 4 : 2);
    return is_long ? 4 : 2;
}

static const BreakpointMemory ops_by_length = {
    mem_read, mem_trap_by_length, mem_exchange
};

/* As x86 */
static int mem_trap_of_a_byte(void *opaque, uint64_t addr, uint8_t *bytes)
{
    bytes[0] = 0xcc;
    return 1;
}

static const BreakpointMemory ops_of_a_byte = {
    mem_read, mem_trap_of_a_byte, mem_exchange
};

typedef struct Fixture {
    Memory *m;
    Memory *pristine;
    BreakpointSet *set;
} Fixture;

/* @data: the memory functions, if not ops */
static void setup(Fixture *f, gconstpointer data)
{
    f->m = g_new0(Memory, 1);
    f->pristine = g_new0(Memory, 1);
    for (int i = 0; i < MEM_SIZE; i++) {
        f->m->bytes[i] = f->pristine->bytes[i] = i * 7 + (i >> 8);
    }
    f->set = breakpoint_set_new(data ?: &ops, f->m);
}

static void teardown(Fixture *f, gconstpointer data)
{
    breakpoint_set_free(f->set);
    g_free(f->m);
    g_free(f->pristine);
}

static void assert_untouched(Fixture *f)
{
    g_assert_cmpmem(f->m->bytes, MEM_SIZE, f->pristine->bytes, MEM_SIZE);
}

#define STATE(addr) breakpoint_set_state(f->set, addr)
#define ADD(addr) breakpoint_set_add(f->set, addr, BREAKPOINT_OWNER_USER)
#define DEL(addr) breakpoint_set_del(f->set, addr, BREAKPOINT_OWNER_USER)
#define APPLY() breakpoint_set_apply(f->set)

/*
 * Each arrow of the state diagram in breakpoint-set.h, and no trap before
 * its apply
 */
static void test_transitions(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_CLEARED);
    ADD(0x100);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_SET_PENDING);
    assert_untouched(f);
    g_assert_cmpint(DEL(0x100), ==, 0);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_CLEARED);
    g_assert_cmpint(APPLY(), ==, 0);
    assert_untouched(f);

    ADD(0x100);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_SET);
    g_assert_cmpmem(f->m->bytes + 0x100, 4, trap, 4);
    g_assert_cmpint(DEL(0x100), ==, 0);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_CLEAR_PENDING);
    g_assert_cmpmem(f->m->bytes + 0x100, 4, trap, 4);
    ADD(0x100);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_SET);
    f->m->writes = 0;
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpuint(f->m->writes, ==, 0);
    g_assert_cmpint(DEL(0x100), ==, 0);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_CLEARED);
    assert_untouched(f);
    g_assert_cmpint(DEL(0x100), ==, -ENOENT);
}

static void test_owners(Fixture *f, gconstpointer data)
{
    ADD(0x40);
    ADD(0x40);
    breakpoint_set_add(f->set, 0x40, BREAKPOINT_OWNER_STEP);
    APPLY();
    g_assert_cmpuint(breakpoint_set_refs(f->set, 0x40, BREAKPOINT_OWNER_USER),
                     ==, 2);
    DEL(0x40);
    DEL(0x40);
    g_assert_cmpint(DEL(0x40), ==, -ENOENT);
    APPLY();
    g_assert_cmpint(STATE(0x40), ==, BREAKPOINT_SET);
    g_assert_cmpint(breakpoint_set_del(f->set, 0x40, BREAKPOINT_OWNER_STEP),
                    ==, 0);
    APPLY();
    assert_untouched(f);
}

static void test_hold(Fixture *f, gconstpointer data)
{
    ADD(0x80);
    APPLY();
    breakpoint_set_hold(f->set, 0x80, true);
    breakpoint_set_hold(f->set, 0x80, true);
    g_assert_cmpint(APPLY(), ==, 0);
    assert_untouched(f);
    /* A trap that is asked for while held has to wait */
    breakpoint_set_add(f->set, 0x80, BREAKPOINT_OWNER_STEP);
    APPLY();
    assert_untouched(f);
    breakpoint_set_hold(f->set, 0x80, false);
    APPLY();
    assert_untouched(f);
    breakpoint_set_hold(f->set, 0x80, false);
    APPLY();
    g_assert_cmpint(STATE(0x80), ==, BREAKPOINT_SET);
    /* Forced while held: in memory for that time */
    breakpoint_set_hold(f->set, 0x80, true);
    APPLY();
    assert_untouched(f);
    breakpoint_set_force(f->set, 0x80, true);
    APPLY();
    g_assert_cmpint(STATE(0x80), ==, BREAKPOINT_SET);
    breakpoint_set_force(f->set, 0x80, false);
    APPLY();
    assert_untouched(f);
    breakpoint_set_hold(f->set, 0x80, false);
    APPLY();
    g_assert_cmpint(STATE(0x80), ==, BREAKPOINT_SET);
    /* Forced where nobody wants one: none */
    breakpoint_set_force(f->set, 0x90, true);
    APPLY();
    g_assert_cmpint(STATE(0x90), ==, BREAKPOINT_CLEARED);
    breakpoint_set_force(f->set, 0x90, false);
    APPLY();
    /* Held and let go where nothing is: leaves no entry behind */
    breakpoint_set_hold(f->set, 0x90, true);
    APPLY();
    breakpoint_set_hold(f->set, 0x90, false);
    APPLY();
    g_assert_cmpint(STATE(0x90), ==, BREAKPOINT_CLEARED);
}

/*
 * A page that can't be written now: retried, never forgotten, and one bad
 * address keeps no other from being set
 */
static void failing(Fixture *f, bool *what, int expected)
{
    ADD(0x200);
    ADD(0x300);
    f->m->bad = 0x200;
    *what = true;
    g_assert_cmpint(APPLY(), ==, expected);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET_PENDING);
    g_assert_cmpint(STATE(0x300), ==, BREAKPOINT_SET);
    g_assert_cmpuint(breakpoint_set_pending(f->set), ==, 1);
    g_assert_cmpmem(f->m->bytes + 0x200, 4, f->pristine->bytes + 0x200, 4);
    *what = false;
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET);

    DEL(0x200);
    DEL(0x300);
    *what = true;
    g_assert_cmpint(APPLY(), ==, expected);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_CLEAR_PENDING);
    g_assert_cmpint(STATE(0x300), ==, BREAKPOINT_CLEARED);
    g_assert_cmpint(APPLY(), ==, expected);
    *what = false;
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpuint(breakpoint_set_pending(f->set), ==, 0);
    assert_untouched(f);
}

static void test_write_fails(Fixture *f, gconstpointer data)
{
    failing(f, &f->m->fail_write, -EACCES);
}

static void test_read_fails(Fixture *f, gconstpointer data)
{
    failing(f, &f->m->fail_read, -EIO);
}

static void test_write_dropped(Fixture *f, gconstpointer data)
{
    failing(f, &f->m->drop_write, -EFAULT);
}

/* What the set says of an address is so, whatever has failed */
static void apply_and_look(Fixture *f, uint32_t fails)
{
    const uint8_t *bytes = f->m->bytes + 0x700;
    int ret;

    f->m->fails = fails;
    ret = APPLY();
    f->m->fails = 0;
    g_assert_true(ret == 0 || fails);
    switch (STATE(0x700)) {
    case BREAKPOINT_SET:
        g_assert_cmpmem(bytes, 4, trap, 4);
        break;
    case BREAKPOINT_CLEARED:
        g_assert_cmpmem(bytes, 4, f->pristine->bytes + 0x700, 4);
        break;
    default:
        g_assert_cmpint(ret, !=, 0);
    }
}

/* Set, cleared and set again with any of the accesses failing */
static void test_each_access_fails(Fixture *f, gconstpointer data)
{
    /*
     * At most six accesses to set it, three in and three out if that failed;
     * three to clear it; and perhaps both
     */
    for (uint32_t n = 0; n < 1 << 18; n++) {
        ADD(0x700);
        apply_and_look(f, n & 63);
        DEL(0x700);
        apply_and_look(f, n >> 6 & 7);
        ADD(0x700);
        apply_and_look(f, n >> 9);
        g_assert_cmpint(APPLY(), ==, 0);
        apply_and_look(f, 0);
        g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_SET);
        DEL(0x700);
        apply_and_look(f, 0);
        g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_CLEARED);
    }
    assert_untouched(f);
}

/* The guest writes there just when a trap goes in, and when it goes out */
static void test_written_meanwhile(Fixture *f, gconstpointer data)
{
    static const uint8_t first[4] = { 1, 2, 3, 4 }, second[4] = { 5, 6, 7, 8 };
    uint8_t bytes[4];

    f->m->guest = first;
    ADD(0x700);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x700, 4, trap, 4);
    memcpy(bytes, trap, 4);
    breakpoint_set_restore(f->set, 0x700, bytes, 4);
    g_assert_cmpmem(bytes, 4, first, 4);
    f->m->guest = second;
    DEL(0x700);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_CLEARED);
    g_assert_cmpmem(f->m->bytes + 0x700, 4, second, 4);
}

/* Nothing is written where the trap is not whole any more */
static void test_leave(Fixture *f, gconstpointer data)
{
    static const uint8_t other[4] = { 0x00, 0xdd, 0xdd, 0x01 };

    for (int twice = 0; twice <= 1; twice++) {
        ADD(0x700);
        if (twice) {
            breakpoint_set_add(f->set, 0x700, BREAKPOINT_OWNER_STEP);
        }
        g_assert_cmpint(APPLY(), ==, 0);
        breakpoint_set_leave(f->set, 0x700, BREAKPOINT_OWNER_USER);
        if (twice) {
            g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_SET);
            breakpoint_set_leave(f->set, 0x700, BREAKPOINT_OWNER_STEP);
        }
        g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_CLEARED);
        assert_untouched(f);
    }
    ADD(0x700);
    g_assert_cmpint(APPLY(), ==, 0);
    memcpy(f->m->bytes + 0x700, other, 4);
    f->m->writes = 0;
    breakpoint_set_leave(f->set, 0x700, BREAKPOINT_OWNER_USER);
    g_assert_cmpuint(f->m->writes, ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x700, 4, other, 4);
    g_assert_cmpint(STATE(0x700), ==, BREAKPOINT_CLEARED);
    g_assert_false(breakpoint_set_any(f->set));
}

/* The guest writes over a trap, wholly or in part: its bytes stay */
static void test_overwritten(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 1, 2, 3, 4 };

    ADD(0x400);
    ADD(0x500);
    APPLY();
    memcpy(f->m->bytes + 0x400, mine, 4);
    memcpy(f->m->bytes + 0x502, mine, 2);
    DEL(0x400);
    DEL(0x500);
    g_assert_cmpint(APPLY(), ==, 0);
    memcpy(f->pristine->bytes + 0x400, mine, 4);
    memcpy(f->pristine->bytes + 0x502, mine, 2);
    assert_untouched(f);
}

/* So do those that look like single bytes of the trap; one that is left is not */
static void test_overwritten_alike(Fixture *f, gconstpointer data)
{
    static const uint8_t whole[][4] = {
        { 0, 2, 3, 0 }, { 0, 2, 3, 4 }, { 1, 2, 3, 0 }, { 1, 0xdd, 3, 4 },
        { 1, 2, 0xdd, 4 }, { 0, 2, 0xdd, 4 }, { 0xdd, 0, 0, 0xdd },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(whole); i++) {
        uint8_t read[4];

        ADD(0x400);
        APPLY();
        memcpy(f->m->bytes + 0x400, whole[i], 4);
        memcpy(f->pristine->bytes + 0x400, whole[i], 4);
        memcpy(read, f->m->bytes + 0x400, 4);
        breakpoint_set_restore(f->set, 0x400, read, 4);
        g_assert_cmpmem(read, 4, whole[i], 4);
        DEL(0x400);
        g_assert_cmpint(APPLY(), ==, 0);
        assert_untouched(f);
    }
    for (int i = 0; i < 4; i++) {
        ADD(0x500);
        APPLY();
        f->m->bytes[0x500 + i] = f->pristine->bytes[0x500 + i] = 0x77;
        DEL(0x500);
        g_assert_cmpint(APPLY(), ==, 0);
        assert_untouched(f);
    }
}

/*
 * The guest writes an instruction over a trap, with bytes in it that are the
 * trap's: that is taken for a whole one, and gets the trap
 */
static void test_recheck(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 0x00, 2, 3, 0x00 };

    ADD(0x400);
    g_assert_cmpint(breakpoint_set_recheck(f->set, 0x400), ==, 0);
    assert_untouched(f);
    APPLY();
    g_assert_cmpint(breakpoint_set_recheck(f->set, 0x400), ==, 0);
    g_assert_cmpint(STATE(0x400), ==, BREAKPOINT_SET);
    memcpy(f->m->bytes + 0x400, mine, 4);
    f->m->bad = 0x400;
    f->m->fail_read = true;
    g_assert_cmpint(breakpoint_set_recheck(f->set, 0x400), ==, -EIO);
    f->m->fail_read = false;
    g_assert_cmpint(breakpoint_set_recheck(f->set, 0x400), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x400, 4, trap, 4);
    DEL(0x400);
    g_assert_cmpint(APPLY(), ==, 0);
    memcpy(f->pristine->bytes + 0x400, mine, 4);
    assert_untouched(f);
    g_assert_cmpint(breakpoint_set_recheck(f->set, 0x400), ==, 0);
}

/* The trap goes over what the guest has written meanwhile */
static void renewed(Fixture *f, const uint8_t *mine, unsigned likeness,
                    const uint8_t *underneath)
{
    uint8_t bytes[BREAKPOINT_TRAP_MAX], other[4] = { 9, 9, 9, 9 };
    unsigned alike;

    ADD(0x400);
    APPLY();
    g_assert_cmpuint(breakpoint_set_overwritten(f->set, 0x400, bytes, &alike),
                     ==, 0);
    memcpy(f->m->bytes + 0x400, mine, 4);
    g_assert_cmpuint(breakpoint_set_overwritten(f->set, 0x400, bytes, &alike),
                     ==, 4);
    g_assert_cmpuint(alike, ==, likeness);
    g_assert_cmpmem(bytes, 4, mine, 4);
    /* It has changed once more */
    g_assert_cmpint(breakpoint_set_renew(f->set, 0x400, other), ==, -EAGAIN);
    g_assert_cmpmem(f->m->bytes + 0x400, 4, mine, 4);
    f->m->bad = 0x400;
    f->m->fail_write = true;
    g_assert_cmpint(breakpoint_set_renew(f->set, 0x400, bytes), ==, -EACCES);
    f->m->fail_write = false;
    g_assert_cmpint(breakpoint_set_renew(f->set, 0x400, bytes), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x400, 4, trap, 4);
    memcpy(bytes, trap, 4);
    breakpoint_set_restore(f->set, 0x400, bytes, 4);
    g_assert_cmpmem(bytes, 4, underneath, 4);
    DEL(0x400);
    g_assert_cmpint(APPLY(), ==, 0);
    memcpy(f->pristine->bytes + 0x400, underneath, 4);
    assert_untouched(f);
    /* Out of memory there is nothing to renew */
    memcpy(f->m->bytes + 0x400, mine, 4);
    g_assert_cmpuint(breakpoint_set_overwritten(f->set, 0x400, bytes, &alike),
                     ==, 0);
    g_assert_cmpint(breakpoint_set_renew(f->set, 0x400, mine), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x400, 4, mine, 4);
}

static void test_renew(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 1, 2, 3, 4 };

    renewed(f, mine, 0, mine);
}

/* A nop, and others of whose bytes some are the trap's */
static void test_renew_alike(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 0x60, 2, 3, 0x00 };

    renewed(f, mine, 1, mine);
}

/* The guest has written a byte, and the others are the trap's still */
static void test_renew_part(Fixture *f, gconstpointer data)
{
    const uint8_t mine[4] = { 1, trap[1], trap[2], trap[3] };
    const uint8_t *before = f->pristine->bytes + 0x400;
    const uint8_t underneath[4] = { 1, before[1], before[2], before[3] };

    renewed(f, mine, 4, underneath);
}

/* Of a shorter instruction: another trap */
static void test_renew_shorter(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 1, 2, 3, 4 };
    uint8_t bytes[BREAKPOINT_TRAP_MAX];
    unsigned alike;

    f->m->bytes[0x400] = f->pristine->bytes[0x400] = 3;
    ADD(0x400);
    APPLY();
    memcpy(f->m->bytes + 0x400, mine, 4);
    g_assert_cmpuint(breakpoint_set_overwritten(f->set, 0x400, bytes, &alike),
                     ==, 4);
    g_assert_cmpint(breakpoint_set_renew(f->set, 0x400, bytes), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x400, 2, short_trap, 2);
    g_assert_cmpmem(f->m->bytes + 0x402, 2, mine + 2, 2);
    DEL(0x400);
    APPLY();
    memcpy(f->pristine->bytes + 0x400, mine, 4);
    assert_untouched(f);
}

/* Zeros that an instruction has where the trap has some, as arm64's */
static const uint8_t zeros_trap[4] = { 0x00, 0x00, 0x20, 0xd4 };

static int mem_trap_with_zeros(void *opaque, uint64_t addr, uint8_t *bytes)
{
    memcpy(bytes, zeros_trap, sizeof(zeros_trap));
    return sizeof(zeros_trap);
}

static const BreakpointMemory ops_with_zeros = {
    mem_read, mem_trap_with_zeros, mem_exchange
};

static void test_zeros(Fixture *f, gconstpointer data)
{
    static const uint8_t ldr[4] = { 0x00, 0x00, 0x40, 0xf9 };

    memset(f->m->bytes + 0x400, 0x55, 4);
    ADD(0x400);
    APPLY();
    g_assert_cmpmem(f->m->bytes + 0x400, 4, zeros_trap, 4);
    memcpy(f->m->bytes + 0x400, ldr, 4);
    DEL(0x400);
    APPLY();
    g_assert_cmpmem(f->m->bytes + 0x400, 4, ldr, 4);
}

/* What a debugger reads has no trap in it, at any alignment and length */
static void test_restore(Fixture *f, gconstpointer data)
{
    uint8_t copy[64];

    ADD(0x600);
    ADD(0x604);
    ADD(0x610);
    APPLY();
    for (unsigned from = 0x5fc; from < 0x618; from++) {
        for (unsigned len = 0; len < 32; len++) {
            memcpy(copy, f->m->bytes + from, len);
            breakpoint_set_restore(f->set, from, copy, len);
            g_assert_cmpmem(copy, len, f->pristine->bytes + from, len);
        }
    }
}

/* To find a trap in memory takes one read of it, however many bytes are asked */
static void test_reads(Fixture *f, gconstpointer data)
{
    uint8_t copy[64];

    ADD(0x600);
    ADD(0x604);
    ADD(0x610);
    APPLY();
    memcpy(copy, f->m->bytes + 0x5e0, sizeof(copy));
    f->m->reads = 0;
    breakpoint_set_restore(f->set, 0x5e0, copy, sizeof(copy));
    g_assert_cmpuint(f->m->reads, ==, 3);
    breakpoint_set_store(f->set, 0x5e0, copy, sizeof(copy));
    g_assert_cmpuint(f->m->reads, ==, 6);
}

/*
 * What a debugger writes goes underneath, at any alignment and length: read
 * back at once, and there when the traps are out
 */
static void test_store(Fixture *f, gconstpointer data)
{
    uint8_t bytes[64], copy[64];

    for (unsigned from = 0x5fc; from < 0x618; from++) {
        for (unsigned len = 0; len < 32; len++) {
            ADD(0x600);
            ADD(0x604);
            ADD(0x610);
            APPLY();
            for (unsigned i = 0; i < len; i++) {
                /* The trap's own bytes among them */
                bytes[i] = i % 3 ? from * len + i : trap[(from + i) % 4];
            }
            memcpy(f->pristine->bytes + from, bytes, len);
            memcpy(copy, bytes, len);
            breakpoint_set_store(f->set, from, copy, len);
            memcpy(f->m->bytes + from, copy, len);
            g_assert_cmpmem(f->m->bytes + 0x600, 4, trap, 4);
            g_assert_cmpmem(f->m->bytes + 0x604, 4, trap, 4);
            g_assert_cmpmem(f->m->bytes + 0x610, 4, trap, 4);
            breakpoint_set_restore(f->set, from, copy, len);
            g_assert_cmpmem(copy, len, bytes, len);
            DEL(0x600);
            DEL(0x604);
            DEL(0x610);
            APPLY();
            assert_untouched(f);
        }
    }
}

#define SUSPEND(yes) \
    (breakpoint_set_suspend(f->set, BREAKPOINT_OWNER_USER, yes), APPLY())

/*
 * No trap of the suspended owner's is in memory, and what is loaded meanwhile
 * stays underneath
 */
static void test_suspend(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 1, 2, 3, 4 };

    ADD(0x100);
    ADD(0x200);
    breakpoint_set_add(f->set, 0x200, BREAKPOINT_OWNER_STEP);
    breakpoint_set_add(f->set, 0x300, BREAKPOINT_OWNER_STEP);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(SUSPEND(true), ==, 0);
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_CLEARED);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET);
    g_assert_cmpint(STATE(0x300), ==, BREAKPOINT_SET);
    g_assert_true(breakpoint_set_any(f->set));
    breakpoint_set_del(f->set, 0x200, BREAKPOINT_OWNER_STEP);
    breakpoint_set_del(f->set, 0x300, BREAKPOINT_OWNER_STEP);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_false(breakpoint_set_any(f->set));
    assert_untouched(f);
    g_assert_cmpuint(breakpoint_set_refs(f->set, 0x100, BREAKPOINT_OWNER_USER),
                     ==, 1);

    memcpy(f->m->bytes + 0x100, mine, 4);
    memcpy(f->pristine->bytes + 0x100, mine, 4);
    /* The guest's own, now */
    memcpy(f->m->bytes + 0x200, trap, 4);
    memcpy(f->pristine->bytes + 0x200, trap, 4);
    g_assert_cmpint(SUSPEND(false), ==, 0);
    g_assert_cmpmem(f->m->bytes + 0x100, 4, trap, 4);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET);
    DEL(0x100);
    g_assert_cmpint(SUSPEND(true), ==, 0);
    assert_untouched(f);
    DEL(0x200);
    g_assert_cmpint(SUSPEND(false), ==, 0);
    assert_untouched(f);
}

/* While suspended nothing is read or written for a breakpoint that comes or goes */
static void test_suspend_changes(Fixture *f, gconstpointer data)
{
    SUSPEND(true);
    for (int i = 0; i < 100; i++) {
        ADD(0x100 + 8 * i);
        g_assert_cmpint(APPLY(), ==, 0);
    }
    for (int i = 0; i < 50; i++) {
        g_assert_cmpint(DEL(0x100 + 8 * i), ==, 0);
        g_assert_cmpint(APPLY(), ==, 0);
    }
    g_assert_cmpuint(f->m->reads + f->m->writes, ==, 0);
    g_assert_cmpuint(breakpoint_set_pending(f->set), ==, 0);
    g_assert_cmpint(SUSPEND(false), ==, 0);
    g_assert_cmpuint(f->m->writes, ==, 50);
    g_assert_cmpint(STATE(0x100 + 8 * 49), ==, BREAKPOINT_CLEARED);
    g_assert_cmpint(STATE(0x100 + 8 * 50), ==, BREAKPOINT_SET);
}

/* One that is held stays out when the others come back */
static void test_suspend_held(Fixture *f, gconstpointer data)
{
    ADD(0x100);
    APPLY();
    SUSPEND(true);
    breakpoint_set_hold(f->set, 0x100, true);
    g_assert_cmpint(SUSPEND(false), ==, 0);
    assert_untouched(f);
    breakpoint_set_hold(f->set, 0x100, false);
    APPLY();
    g_assert_cmpint(STATE(0x100), ==, BREAKPOINT_SET);
}

/* A page that goes and comes: tried again at each start, and nothing is lost */
static void test_suspend_fails(Fixture *f, gconstpointer data)
{
    static const uint8_t mine[4] = { 1, 2, 3, 4 };

    ADD(0x200);
    ADD(0x300);
    APPLY();
    f->m->bad = 0x200;
    f->m->fail_read = true;
    g_assert_cmpint(SUSPEND(true), ==, -EIO);
    g_assert_cmpint(STATE(0x300), ==, BREAKPOINT_CLEARED);
    g_assert_cmpint(SUSPEND(false), ==, -EIO);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET_PENDING);
    g_assert_cmpint(STATE(0x300), ==, BREAKPOINT_SET);
    g_assert_cmpuint(breakpoint_set_pending(f->set), ==, 1);
    g_assert_cmpint(SUSPEND(true), ==, -EIO);
    /* Another page comes */
    f->m->fail_read = false;
    memcpy(f->m->bytes + 0x200, mine, 4);
    memcpy(f->pristine->bytes + 0x200, mine, 4);
    g_assert_cmpint(SUSPEND(false), ==, 0);
    g_assert_cmpint(STATE(0x200), ==, BREAKPOINT_SET);
    g_assert_cmpint(SUSPEND(true), ==, 0);
    assert_untouched(f);
}

/* Each stop and each start writes each trap once, and reads it thrice at most */
static void test_suspend_many(Fixture *f, gconstpointer data)
{
    const unsigned n = 1000;

    for (unsigned i = 0; i < n; i++) {
        ADD(i * 64);
    }
    APPLY();
    for (int i = 0; i < 2; i++) {
        f->m->writes = f->m->reads = 0;
        g_assert_cmpint(SUSPEND(i == 0), ==, 0);
        g_assert_cmpuint(f->m->writes, ==, n);
        g_assert_cmpuint(f->m->reads, <=, 3 * n);
    }
    SUSPEND(true);
    assert_untouched(f);
}

/*
 * Traps of two lengths at odd addresses, side by side: read, written underneath
 * and taken out as those of one length
 */
static void test_lengths(Fixture *f, gconstpointer data)
{
    uint8_t bytes[64], copy[64];

    for (unsigned from = 0x5fc; from < 0x618; from++) {
        for (unsigned len = 0; len < 32; len++) {
            f->m->bytes[0x602] = f->pristine->bytes[0x602] = 0x13;
            f->m->bytes[0x606] = f->pristine->bytes[0x606] = 0x01;
            f->m->bytes[0x608] = f->pristine->bytes[0x608] = 0x6f;
            f->m->bytes[0x613] = f->pristine->bytes[0x613] = 0x02;
            ADD(0x602);
            ADD(0x606);
            ADD(0x608);
            ADD(0x613);
            g_assert_cmpint(APPLY(), ==, 0);
            g_assert_cmpmem(f->m->bytes + 0x602, 4, long_trap, 4);
            g_assert_cmpmem(f->m->bytes + 0x606, 2, short_trap, 2);
            g_assert_cmpmem(f->m->bytes + 0x608, 4, long_trap, 4);
            g_assert_cmpmem(f->m->bytes + 0x613, 2, short_trap, 2);
            memcpy(copy, f->m->bytes + from, len);
            breakpoint_set_restore(f->set, from, copy, len);
            g_assert_cmpmem(copy, len, f->pristine->bytes + from, len);
            for (unsigned i = 0; i < len; i++) {
                bytes[i] = from * len + i;
            }
            memcpy(f->pristine->bytes + from, bytes, len);
            memcpy(copy, bytes, len);
            breakpoint_set_store(f->set, from, copy, len);
            memcpy(f->m->bytes + from, copy, len);
            g_assert_cmpmem(f->m->bytes + 0x602, 4, long_trap, 4);
            g_assert_cmpmem(f->m->bytes + 0x613, 2, short_trap, 2);
            breakpoint_set_restore(f->set, from, copy, len);
            g_assert_cmpmem(copy, len, bytes, len);
            DEL(0x602);
            DEL(0x606);
            DEL(0x608);
            DEL(0x613);
            APPLY();
            assert_untouched(f);
        }
    }
}

/* The instruction that is there at the start decides, not the one at the stop */
static void test_other_length(Fixture *f, gconstpointer data)
{
    f->m->bytes[0x602] = f->pristine->bytes[0x602] = 0x13;
    ADD(0x602);
    APPLY();
    g_assert_cmpmem(f->m->bytes + 0x602, 4, long_trap, 4);
    SUSPEND(true);
    assert_untouched(f);
    f->m->bytes[0x602] = f->pristine->bytes[0x602] = 0x01;
    SUSPEND(false);
    g_assert_cmpmem(f->m->bytes + 0x602, 2, short_trap, 2);
    g_assert_cmpmem(f->m->bytes + 0x604, 2, f->pristine->bytes + 0x604, 2);
    SUSPEND(true);
    assert_untouched(f);
}

/* Two that would share bytes: the second waits, and nothing of either is left */
static void test_overlap(Fixture *f, gconstpointer data)
{
    for (int i = 0; i < 16; i++) {
        f->m->bytes[0x600 + i] = f->pristine->bytes[0x600 + i] = 0x13 + 4 * i;
    }
    ADD(0x602);
    g_assert_cmpint(APPLY(), ==, 0);
    for (int at = 0x5ff; at <= 0x605; at++) {
        int expected = at < 0x606 && at + 4 > 0x602 && at != 0x602 ? -EBUSY : 0;

        if (at == 0x5ff) {
            f->m->bytes[at] = f->pristine->bytes[at] = 0x13;
        }
        ADD(at);
        g_assert_cmpint(APPLY(), ==, expected);
        g_assert_cmpint(STATE(0x602), ==, BREAKPOINT_SET);
        g_assert_cmpint(STATE(at), ==,
                        expected ? BREAKPOINT_SET_PENDING : BREAKPOINT_SET);
        DEL(at);
        g_assert_cmpint(APPLY(), ==, 0);
    }
    ADD(0x604);
    g_assert_cmpint(APPLY(), ==, -EBUSY);
    DEL(0x602);
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpint(STATE(0x604), ==, BREAKPOINT_SET);
    DEL(0x604);
    g_assert_cmpint(APPLY(), ==, 0);
    assert_untouched(f);
}

static void test_bytes(Fixture *f, gconstpointer data)
{
    uint8_t copy[32];

    for (int at = 0x100; at < 0x110; at += at & 1 ? 2 : 1) {
        ADD(at);
    }
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmphex(f->m->bytes[0x100], ==, 0xcc);
    g_assert_cmphex(f->m->bytes[0x101], ==, 0xcc);
    memcpy(copy, f->m->bytes + 0xf8, sizeof(copy));
    breakpoint_set_restore(f->set, 0xf8, copy, sizeof(copy));
    g_assert_cmpmem(copy, sizeof(copy), f->pristine->bytes + 0xf8, sizeof(copy));
    /* Written over, and not: the guest's own stays */
    f->m->bytes[0x100] = f->pristine->bytes[0x100] = 0x90;
    g_assert_cmpint(SUSPEND(true), ==, 0);
    assert_untouched(f);
}

/* 10,000 of them: the cost of a change does not depend on how many there are */
static void test_many(Fixture *f, gconstpointer data)
{
    const unsigned n = 10000;

    for (unsigned i = 0; i < n; i++) {
        ADD(i * 64);
    }
    g_assert_cmpint(APPLY(), ==, 0);
    g_assert_cmpuint(f->m->writes, ==, n);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(STATE(i * 64), ==, BREAKPOINT_SET);
    }
    f->m->writes = f->m->reads = 0;
    ADD(4);
    APPLY();
    DEL(4);
    APPLY();
    g_assert_cmpuint(f->m->writes, ==, 2);
    g_assert_cmpuint(f->m->reads, <=, 4);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(DEL(i * 64), ==, 0);
    }
    g_assert_cmpint(APPLY(), ==, 0);
    assert_untouched(f);
}

/*
 * Random operations with random failures: after all is deleted and memory
 * works again nothing is left
 */
static void test_random(Fixture *f, gconstpointer data)
{
    for (int round = 0; round < 20000; round++) {
        uint64_t addr = 0x1000 + 4 * g_test_rand_int_range(0, 16);
        BreakpointOwner owner = g_test_rand_int_range(0, BREAKPOINT_OWNER_MAX);

        f->m->bad = 0x1000 + 4 * g_test_rand_int_range(0, 16);
        f->m->fail_read = g_test_rand_int_range(0, 4) == 0;
        f->m->fail_write = g_test_rand_int_range(0, 4) == 0;
        if (g_test_rand_bit()) {
            breakpoint_set_add(f->set, addr, owner);
        } else {
            breakpoint_set_del(f->set, addr, owner);
        }
        if (g_test_rand_int_range(0, 8) == 0) {
            breakpoint_set_suspend(f->set, BREAKPOINT_OWNER_USER,
                                   g_test_rand_bit());
        }
        if (g_test_rand_bit()) {
            APPLY();
        }
    }
    f->m->fail_read = f->m->fail_write = false;
    for (int i = 0; i < 16; i++) {
        for (int owner = 0; owner < BREAKPOINT_OWNER_MAX; owner++) {
            while (!breakpoint_set_del(f->set, 0x1000 + 4 * i, owner)) {
                continue;
            }
        }
    }
    g_assert_cmpint(APPLY(), ==, 0);
    assert_untouched(f);
}

#define TEST_WITH(name, memory) \
    g_test_add("/breakpoint-set/" #name, Fixture, memory, setup, test_##name, \
               teardown)
#define TEST(name) TEST_WITH(name, NULL)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(transitions);
    TEST(owners);
    TEST(hold);
    TEST(write_fails);
    TEST(read_fails);
    TEST(write_dropped);
    TEST(each_access_fails);
    TEST(written_meanwhile);
    TEST(leave);
    TEST(overwritten);
    TEST(overwritten_alike);
    TEST(recheck);
    TEST(renew);
    TEST(renew_alike);
    TEST(renew_part);
    TEST_WITH(renew_shorter, &ops_by_length);
    TEST_WITH(zeros, &ops_with_zeros);
    TEST(restore);
    TEST(reads);
    TEST(store);
    TEST(suspend);
    TEST(suspend_changes);
    TEST(suspend_held);
    TEST(suspend_fails);
    TEST(suspend_many);
    TEST_WITH(lengths, &ops_by_length);
    TEST_WITH(other_length, &ops_by_length);
    TEST_WITH(overlap, &ops_by_length);
    TEST_WITH(bytes, &ops_of_a_byte);
    TEST(many);
    TEST(random);
    return g_test_run();
}
