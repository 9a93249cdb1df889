/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of LVZ (-cpu la464,lvz=on): a hypervisor of one page.  Each test is what
 * Linux' KVM relies on.  Prints "ok NAME" or "FAIL NAME: what", and "done".
 */
typedef unsigned long u64;
typedef unsigned int u32;

struct regs {
    u64 r[32], pc, prmd;
};

extern void enter(struct regs *guest);
extern u64 refills, window;

#define RAM(name) extern char name[]
RAM(guest_hvcl); RAM(guest_sensitive); RAM(guest_sensitive_end);
RAM(guest_csrs); RAM(guest_syscall); RAM(guest_mmio); RAM(guest_mmio_store);
RAM(guest_load); RAM(guest_fp); RAM(guest_fp_use); RAM(guest_vector_use);
RAM(guest_fp_off); RAM(guest_loop); RAM(guest_later); RAM(guest_time);
RAM(guest_user); RAM(guest_user_hvcl); RAM(guest_paged);

#define WINDOW  0x40000000UL
#define DEVICE  0x50000000UL

enum { CRMD = 0, EUEN = 2, ECFG = 4, ESTAT = 5, BADV = 7, BADI = 8, TLBIDX = 0x10,
       GTLBC = 0x15, ASID = 0x18, CPUID = 0x20, PRCFG1 = 0x21, PRCFG2, PRCFG3,
       TID = 0x40, TCFG, TVAL, CNTC, TICLR, GSTAT = 0x50, GCFG, GINTC, GCNTC };
enum { INT = 0, PIL = 1, PIS = 2, SYS = 11, FPD = 15, SXD, ASXD, GSPR = 22, HVC = 23 };

#define csrrd(n) ({ u64 v_; asm volatile("csrrd %0, %1" : "=r" (v_) : "i" (n)); v_; })
#define csrwr(n, x) \
    ({ u64 v_ = (x); asm volatile("csrwr %0, %1" : "+r" (v_) : "i" (n) : "memory"); v_; })
#define gcsrrd(n) ({ u64 v_; asm volatile("gcsrrd %0, %1" : "=r" (v_) : "i" (n)); v_; })
#define gcsrwr(n, x) \
    ({ u64 v_ = (x); asm volatile("gcsrwr %0, %1" : "+r" (v_) : "i" (n) : "memory"); v_; })
#define invtlb(op, info, addr) \
    asm volatile("invtlb %0, %1, %2" : : "i" (op), "r" (info), "r" (addr) : "memory")

#define IS_TI   (1UL << 11)
#define IPI     (1UL << 12)

static int failures;
static const char *test;

static void put(char c)
{
    *(volatile unsigned char *)0x1fe001e0UL = c;
}

static void say(const char *s)
{
    while (*s) {
        put(*s++);
    }
}

static void hex(u64 x)
{
    say("0x");
    for (int i = 60; i >= 0; i -= 4) {
        put("0123456789abcdef"[x >> i & 15]);
    }
}

static void check(const char *what, u64 got, u64 want)
{
    if (got != want) {
        failures++;
        say("FAIL "); say(test); say(": "); say(what); say(" ");
        hex(got); say(", should be "); hex(want); say("\n");
    }
}

static struct regs g;

static void set_gid(u64 gid)
{
    csrwr(GSTAT, gid << 16);
    csrwr(GTLBC, 1UL << 12 | gid << 16);
}

/* A guest from reset: direct addressing, PLV0, no interrupts */
static void begin(char *at)
{
    gcsrwr(CRMD, 8);
    gcsrwr(EUEN, 0);
    gcsrwr(ECFG, 0);
    gcsrwr(TCFG, 0);
    gcsrwr(ESTAT, 0);
    csrwr(GINTC, 0);
    csrwr(EUEN, 7);
    csrwr(ECFG, 0);
    csrwr(TCFG, 0);
    csrwr(TICLR, 1);
    g.pc = (u64)at;
    g.prmd = 4;                 /* as KVM: root interrupts on while a guest runs */
    set_gid(1);
}

static u64 run(void)
{
    enter(&g);
    return csrrd(ESTAT) >> 16 & 0x3f;
}

static void expect(u64 ecode, u64 pc)
{
    check("exit", run(), ecode);
    check("pc", g.pc, pc);
}

static u32 word(u64 at)
{
    return *(u32 *)at;
}

static void t_discovery(void)
{
    u64 cfg2, cfg3;

    asm volatile("cpucfg %0, %1" : "=r" (cfg2) : "r" (2));
    asm volatile("cpucfg %0, %1" : "=r" (cfg3) : "r" (3));
    check("CPUCFG2.LVZ, LVZ_VER", cfg2 >> 10 & 15, 3);
    check("CPUCFG3", cfg3 & 0xfcfd, 0xfcfd);
    check("GSTAT.GIDBIT", csrrd(GSTAT) >> 4 & 63, 8);
    csrwr(GCFG, 0);
    csrwr(GINTC, 0x00a5005a);
    check("GINTC", csrrd(GINTC), 0x00a5005a);
    check("the guest's ESTAT", gcsrrd(ESTAT), 0x5a << 2);
    csrwr(GINTC, 0);
    check("the guest's ESTAT without VIP", gcsrrd(ESTAT), 0);
}

static void t_bank(void)
{
    begin(guest_csrs);
    csrwr(0x32, 0x5678);
    gcsrwr(CPUID, 7);
    gcsrwr(ESTAT, IPI | 3 << 22 | 9 << 16);
    check("gcsrwr gives the old value", gcsrwr(TID, 4), 0);
    check("and again", gcsrwr(TID, 0), 4);
    check("a register that guests have not", gcsrrd(0x80), 0);
    expect(HVC, g.pc + 11 * 4);
    check("SAVE2", g.r[4], 0x1234);
    check("CPUID", g.r[5], 7);
    check("PRCFG3", g.r[6], csrrd(PRCFG3));
    check("PRCFG3 is not 0", g.r[6] != 0, 1);
    check("ASIDBITS", g.r[7] >> 16 & 0xff, 10);
    check("ESTAT", g.r[8], IPI | 3 << 22 | 9 << 16);
    check("ESTAT, written by the guest", g.r[9], 3 | IPI | 3 << 22 | 9 << 16);
    check("PRCFG1", gcsrrd(PRCFG1), csrrd(PRCFG1));
    check("PRCFG2", gcsrrd(PRCFG2), csrrd(PRCFG2));
    check("the root's SAVE2 is another", csrrd(0x32), 0x5678);
}

static void t_exits(void)
{
    begin(guest_hvcl);
    expect(HVC, (u64)guest_hvcl);
    check("BADI", csrrd(BADI), 0x002b8101);
    g.pc += 4;
    expect(HVC, (u64)guest_hvcl + 4);
    check("BADI", csrrd(BADI), 0x002bffff);
    for (u64 at = (u64)guest_sensitive; at != (u64)guest_sensitive_end; at += 4) {
        begin((char *)at);
        expect(GSPR, at);
        check("BADI", csrrd(BADI), word(at));
    }
    begin(guest_user);
    expect(HVC, (u64)guest_user_hvcl);
    g.pc += 4;
    expect(GSPR, (u64)guest_user_hvcl + 4);
}

static void t_own_exceptions(void)
{
    begin(guest_syscall);
    check("exit", run(), HVC);
    check("hypercall", csrrd(BADI), 0x002b8002);
    check("the guest's ecode", g.r[4] >> 16 & 0x3f, SYS);
    check("the guest's BADI", g.r[6], 0x002b0005);
}

static void t_mmio(void)
{
    begin(guest_mmio);
    g.r[4] = DEVICE;
    for (int i = 0; i < 3; i++) {           /* not valid: each access faults again */
        expect(PIL, (u64)guest_mmio);
        check("BADV", csrrd(BADV), DEVICE + 4);
        check("BADI", csrrd(BADI), word(g.pc));
    }
    g.pc += 4;
    expect(PIS, (u64)guest_mmio_store);
    check("BADV", csrrd(BADV), DEVICE + 0x7f8);
    check("BADI", csrrd(BADI), word(g.pc));
}

/* 5: an extension has to be enabled by the guest and by the root */
static void t_euen(void)
{
    begin(guest_fp);
    csrwr(EUEN, 0);
    g.r[4] = 0x5555;
    expect(FPD, (u64)guest_fp_use);
    check("BADI", csrrd(BADI), word(g.pc));
    csrwr(EUEN, 1);
    expect(ASXD, (u64)guest_vector_use);
    csrwr(EUEN, 7);
    check("exit", run(), HVC);

    begin(guest_fp_off);
    check("exit", run(), HVC);
    check("hypercall", csrrd(BADI), 0x002b8002);
    check("the guest's ecode", g.r[4] >> 16 & 0x3f, FPD);
}

static u64 page_a[1024] __attribute__((aligned(8192)));
static u64 page_b[1024] __attribute__((aligned(8192)));

static u64 load(u64 gid)
{
    set_gid(gid);
    g.pc = (u64)guest_load;
    check("exit", run(), HVC);
    return g.r[5];
}

/* 7: what a guest has translated is of its GID */
static void t_gid(void)
{
    begin(guest_load);
    g.r[4] = WINDOW;
    page_a[0] = 0xaaaa;
    page_b[0] = 0xbbbb;
    window = (u64)page_a;
    check("guest 2", load(2), 0xaaaa);
    window = (u64)page_b;
    check("guest 2, known", load(2), 0xaaaa);
    check("guest 3", load(3), 0xbbbb);
    check("guest 2 again", load(2), 0xaaaa);
    invtlb(0x16, 2UL << 16, WINDOW);
    check("invtlb 0x16", load(2), 0xbbbb);
    window = (u64)page_a;
    check("guest 3, another's", load(3), 0xbbbb);
    invtlb(0x12, 0UL, 0UL);
    check("invtlb 0x12", load(3), 0xaaaa);
    check("invtlb 0x12, guest 2", load(2), 0xaaaa);
    window = (u64)page_b;
    invtlb(0x12, 0UL, 0UL);
    check("invtlb 0x12, the guest that ran", load(2), 0xbbbb);
    invtlb(0, 0UL, 0UL);
    window = (u64)page_a;
    check("the root's own invtlb", load(2), 0xbbbb);
    invtlb(0x12, 0UL, 0UL);
}

/* 7: the guest's own TLB, above that */
static void t_two_stages(void)
{
    begin(guest_paged);
    window = (u64)page_a;
    g.r[4] = 0xffffff8000000000;
    g.r[5] = WINDOW | 0x53;
    g.r[6] = (WINDOW + 0x1000) | 0x53;
    g.r[7] = 0;
    g.r[8] = 0xffffff8000000000;
    page_a[512] = 0xa512;
    check("exit", run(), HVC);
    g.pc += 4;
    check("exit", run(), HVC);
    check("even page", g.r[9], 0xaaaa);
    g.r[8] = 0xffffff8000001000;
    g.pc += 4;
    check("exit", run(), HVC);
    check("odd page", g.r[9], 0xa512);
    g.r[8] = 0xffffff8000000000;
    window = (u64)page_b;
    invtlb(0x16, 1UL << 16, WINDOW);
    g.pc += 4;
    check("exit", run(), HVC);
    check("the second stage has changed", g.r[9], 0xbbbb);
    invtlb(0x12, 0UL, 0UL);
}

static void wait(u64 ticks)
{
    u64 from, now;

    asm volatile("rdtime.d %0, $zero" : "=r" (from));
    do {
        asm volatile("rdtime.d %0, $zero" : "=r" (now));
    } while (now - from < ticks);
}

/* 8: the guest's timer */
static void t_timer(void)
{
    u64 value;

    begin(guest_hvcl);
    gcsrwr(TCFG, 1UL << 40 | 1);
    value = gcsrrd(TVAL);
    check("TVAL counts down", value < 1UL << 40 && value > (1UL << 40) - 100000000, 1);
    gcsrwr(TVAL, 0);
    check("TVAL = 0: TI at once, in root mode", gcsrrd(ESTAT) & IS_TI, IS_TI);
    check("TVAL of an expired timer", gcsrrd(TVAL), (1UL << 48) - 1);
    gcsrwr(TICLR, 1);
    check("TICLR", gcsrrd(ESTAT) & IS_TI, 0);
    check("TVAL stays", gcsrrd(TVAL), (1UL << 48) - 1);

    gcsrwr(TCFG, 1000 << 2 | 1);
    wait(200000);
    check("expired in root mode", gcsrrd(ESTAT) & IS_TI, IS_TI);
    gcsrwr(ESTAT, 0);

    /* An expiry that nobody had time to deliver: read the value, and then TI */
    for (int i = 0; i < 200; i++) {
        gcsrwr(TCFG, (100 + i) << 2 | 1);
        while (gcsrrd(TVAL) < 1UL << 47) {
        }
        check("TI behind an expiry", gcsrrd(ESTAT) & IS_TI, IS_TI);
        gcsrwr(TICLR, 1);
    }
    gcsrwr(TCFG, 100000 << 2 | 3);
    wait(1000000);
    check("a periodic one", gcsrrd(ESTAT) & IS_TI, IS_TI);
    check("goes on", gcsrrd(TVAL) < 1UL << 47, 1);
    gcsrwr(TCFG, 0);

    begin(guest_loop);
    gcsrwr(TCFG, 100000 << 2 | 1);
    check("exit", run(), HVC);
    check("the guest's interrupt", g.r[4] & IS_TI, IS_TI);
}

/* 8: interrupts that the root gives the guest, and the root's own */
static void t_interrupts(void)
{
    begin(guest_loop);
    csrwr(GINTC, 4);
    check("exit", run(), HVC);
    check("VIP 2", g.r[4] & 0x1fff, 4 << 2);

    begin(guest_later);
    gcsrwr(ESTAT, IPI);
    g.r[4] = 1000000;
    check("exit", run(), HVC);
    check("an IPI from before", g.r[4] & 0x1fff, IPI);

    begin(guest_later);
    g.r[4] = 1UL << 60;
    csrwr(ECFG, IS_TI);
    csrwr(TCFG, 100000 << 2 | 1);
    check("exit for the root's timer", run(), INT);
    check("ESTAT", csrrd(ESTAT) & 0x1fff, IS_TI);
    check("CRMD.IE", csrrd(CRMD) & 7, 0);
    check("PRMD", csrrd(1) & 7, 4);
    csrwr(TICLR, 1);
    csrwr(ECFG, 0);
}

static void t_time(void)
{
    u64 here;

    begin(guest_time);
    gcsrwr(TID, 0x77);
    csrwr(GCNTC, 1UL << 50);
    check("exit", run(), HVC);
    asm volatile("rdtime.d %0, $zero" : "=r" (here));
    check("rdtime", here + (1UL << 50) - g.r[4] < 1000000000, 1);
    check("TID", g.r[5], 0x77);
    csrwr(GCNTC, 0);
}

/* For ever, for a migration: nearly all of the time in guest mode */
static void beat(void)
{
    begin(guest_loop);
    gcsrwr(TCFG, 5000000 << 2 | 1);         /* 200 ms */
    check("exit", run(), HVC);
    check("hypercall", csrrd(BADI), 0x002b8002);
    check("interrupt", g.r[4] & 0x1fff, IS_TI);
    check("TVAL", gcsrrd(TVAL), (1UL << 48) - 1);
    check("GSTAT.GID", csrrd(GSTAT) >> 16, 1);
    say("beat\n");
}

/* What each tests is read by t_lvz.py */
static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "discovery", t_discovery }, /* CPUCFG2, CPUCFG3, GIDBIT; GINTC reads back, and its VIP is the guest's ESTAT */
    { "bank", t_bank }, /* the guest's own CSRs, and what PRCFG1-3 and ASID say of the processor */
    { "exits", t_exits }, /* hvcl and sensitive instructions leave, with pc and BADI */
    { "own_exceptions", t_own_exceptions }, /* a system call stays in the guest */
    { "mmio", t_mmio }, /* an access to a page that is not valid leaves each time, with BADV and BADI */
    { "euen", t_euen }, /* floating point and vectors want EUEN of the guest and of the root */
    { "gid", t_gid }, /* translations are of a GID; invtlb 0x12 and 0x16 */
    { "two_stages", t_two_stages }, /* the guest's own TLB, above the root's */
    { "timer", t_timer }, /* TVAL 0 expires at once, an expiry is never without TI */
    { "interrupts", t_interrupts }, /* VIP, one from before the entry, the root's own */
    { "time", t_time }, /* rdtime has the guest's offset and TID */
};

void main(void)
{
    /* As Linux enables it */
    csrwr(GCFG, 0);
    csrwr(GSTAT, 0);
    csrwr(GINTC, 0);
    csrwr(GTLBC, 0);
    invtlb(0x12, 0UL, 0UL);
    for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
        int before = failures;

        test = tests[i].name;
        tests[i].run();
        if (failures == before) {
            say("ok "); say(test); say("\n");
        }
    }
    say("done\n");
    test = "beat";
    for (;;) {
        beat();
    }
}
