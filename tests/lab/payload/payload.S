# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that runs instruction classes under a debugger that steps it.
#
# Assembled with --defsym for each of (see build.py):
#   LE         1: little-endian, after a big-endian entry
#   AIL        1: a part runs with interrupts at 0xc000000000004000
#   SCV        1: scv and rfscv
#   SMC_NEXT   1: a store changes the very next instruction (TCG only: natively
#                 the processor may have fetched it already)
#   SELFTRACE  1: the guest traces itself with MSR[SE] once
#   PRIORITY   1: a priority hint (TCG's gdbstub steps two instructions there)
#   LLSC       1: load-reserve/store-conditional loops
#   LOOPS      n: how often everything runs
#
# The loader places us at 0x400000 and VOF enters big-endian, in 32-bit real
# mode, as IEEE 1275 has it.
# Before `begin` all is set up at full speed and every register gets a known
# value; from `begin` to `done` each instruction is worth a step.  Nothing
# depends on time: no time base, and the decrementer is put far away.
#
# Low memory, all absolute:
#   0x0100  vectors, 0x1000 common handler, 0x1f00 a subroutine for bcla
#   0x2000  handlers' save area, 0x2040 and up: hash of what handlers saw
#   0x2100  one doubleword counter for each vector: 0x2100 + vector / 4
#   0x3000  scv with AIL=3;  0x4100  the vectors again for AIL=3
#   0x17000 scv
# and 0x800000 process table, 0x810000 radix root, 0x820000 second level.
#
# r31: data;  r30: address of the page that no one has mapped;  r29: round

        .set    MSR_EE, 0x8000
        .set    MSR_PR, 0x4000
        .set    MSR_FP, 0x2000
        .set    MSR_SE, 0x0400
        .set    MSR_IR, 0x20
        .set    MSR_DR, 0x10
        .set    MSR_RI, 0x02

        .set    SPR_DSCR, 17
        .set    SPR_FSCR, 153
        .set    SPR_TAR, 815

        .set    H_SET_MODE, 0x31c
        .set    H_PUT_TERM_CHAR, 0x58
        .set    H_REGISTER_PROC_TBL, 0x37c

        .set    SAVE, 0x2000
        .set    HASH, 0x2040
        .set    COUNTS, 0x2100
        .set    PROCESS_TABLE, 0x800000
        .set    RADIX_ROOT, 0x810000
        .set    RADIX_NEXT, 0x820000

        .include "entry.inc"

        .section .text
        .globl  _start, begin, done, data_begin, data_end

_start:
    .if LE
        little_endian
        li      r3, H_SET_MODE
        li      r4, 1           # interrupts: little-endian
        li      r5, 4
        li      r6, 0
        li      r7, 0
        sc      1
    .endif
        sixty_four_bit
        lis     r3, 0x7fff
        ori     r3, r3, 0xffff
        mtdec   r3

        copy_handlers

        # The save area, the counters and the tables start as zeros.
        li      r3, SAVE
        li      r4, 0x800 / 128
        mtctr   r4
1:      dcbz    0, r3
        addi    r3, r3, 128
        bdnz    1b
        addr    r3, PROCESS_TABLE
        li      r4, 0x21000 / 128
        mtctr   r4
1:      dcbz    0, r3
        addi    r3, r3, 128
        bdnz    1b

        # The first GiB onto itself, for everyone: one leaf of the second level.
        imm64   r3, 0xc000000000000187
        put_be64 RADIX_NEXT
        imm64   r3, 0x8000000000820009
        put_be64 RADIX_ROOT
        imm64   r3, 0x40000000008100ad
        put_be64 PROCESS_TABLE
        sync
        li      r3, H_REGISTER_PROC_TBL
        li      r4, 0x1d        # modify, register, radix, GTSE
        addr    r5, PROCESS_TABLE
        li      r6, 0
        li      r7, 0
        sc      1
        mr      r28, r3

        mfmsr   r3              # TCG starts with VSCR[NJ], KVM without
        oris    r3, r3, 0x0200
        mtmsrd  r3
        isync
        vxor    v0, v0, v0
        mtvscr  v0

        mfspr   r3, SPR_FSCR
        ori     r3, r3, 0x1104  # SCV, TAR, DSCR
        mtspr   SPR_FSCR, r3
        li      r3, 0
        mtspr   SPR_DSCR, r3
        mtspr   SPR_TAR, r3
        mtspr   48, r3          # PID
        mtsrr0  r3
        mtsrr1  r3
        .irp n, 272, 273, 274, 275
        mtspr   \n, r3
        .endr
        mtdar   r3
        mtdsisr r3
        mtlr    r3
        mtctr   r3
        mtxer   r3
        mtcr    r3
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27
        li      r\n, \n + 1
        .endr
        li      r29, LOOPS
        lis     r30, 0x4000
        addr    r31, data_begin
        isync
begin:
        stw     r29, saved_round - data_begin(r31)
        stw     r28, results - data_begin(r31)  # 0: the process table is in use

round:
        # FP, VMX and VSX begin each round unavailable.
        mfmsr   r3
        lis     r4, 0x0280
        ori     r4, r4, MSR_FP
        andc    r3, r3, r4
        mtmsrd  r3

        # Integer arithmetic, carries, overflow
integer:
        imm64   r4, 0x7fffffffffffffff
        imm64   r5, 0x8000000000000001
        add     r5, r5, r29
        add     r6, r4, r5
        add.    r7, r4, r5
        addo    r8, r4, r4
        addo.   r8, r5, r5
        mfxer   r9
        addc    r10, r4, r5
        adde    r11, r10, r4
        addze   r12, r11
        addme   r13, r12
        addic   r14, r13, -1
        addic.  r15, r14, 1
        mfxer   r9
        subf    r16, r4, r5
        subfc   r17, r5, r4
        subfe   r18, r4, r5
        subfic  r19, r5, 12
        subfze  r20, r19
        subfme  r21, r20
        subfo.  r22, r4, r5
        neg     r23, r5
        nego.   r24, r5
        mfxer   r9
        li      r9, 0
        mtxer   r9
        mulld   r6, r4, r5
        mulldo. r6, r4, r5
        mulhd   r7, r4, r5
        mulhdu. r7, r4, r5
        mulhw   r8, r4, r5
        mulhwu  r8, r4, r5
        mullw   r9, r4, r5
        mulli   r10, r5, -77
        li      r11, 1000
        divd    r12, r4, r11
        divdu.  r13, r5, r11
        divw    r14, r4, r11
        divwu   r15, r5, r11
        divde   r16, r11, r4
        divdeu  r17, r11, r5
        divdo.  r18, r4, r11
        modsd   r19, r4, r11
        modud   r20, r5, r11
        modsw   r21, r4, r11
        moduw   r22, r5, r11
        maddld  r23, r4, r5, r11
        maddhd  r24, r4, r5, r11
        maddhdu r25, r4, r5, r11
        addpcis r26, 1
        li      r9, 0
        mtxer   r9

        # Logical, shift, rotate
        imm64   r4, 0x0123456789abcdef
        add     r4, r4, r29
        and     r6, r4, r5
        and.    r6, r4, r5
        or      r7, r4, r5
        xor     r8, r4, r5
        nand    r9, r4, r5
        nor     r10, r4, r5
        eqv     r11, r4, r5
        andc    r12, r4, r5
        orc.    r13, r4, r5
        andi.   r14, r4, 0x5aa5
        andis.  r15, r4, 0x5aa5
        ori     r16, r4, 0xffff
        oris    r17, r4, 0xff
        xori    r18, r4, 0xf0f0
        xoris   r19, r4, 0xf0f0
        extsb   r20, r4
        extsh.  r21, r4
        extsw   r22, r4
        cntlzw  r23, r4
        cntlzd  r24, r4
        cnttzd  r25, r4
        popcntb r26, r4
        popcntd r27, r4
        li      r5, 13
        slw     r6, r4, r5
        srw     r7, r4, r5
        sraw    r8, r4, r5
        srawi.  r9, r4, 7
        sld     r10, r4, r5
        srd     r11, r4, r5
        srad    r12, r4, r5
        sradi.  r13, r4, 40
        rlwinm  r14, r4, 9, 3, 20
        rlwinm. r15, r4, 9, 28, 4
        rlwnm   r16, r4, r5, 2, 19
        rlwimi  r17, r4, 5, 8, 15
        rldicl  r18, r4, 17, 9
        rldicr. r19, r4, 17, 50
        rldic   r20, r4, 8, 12
        rldimi  r21, r4, 24, 16
        rldcl   r22, r4, r5, 7
        rldcr   r23, r4, r5, 55
        bpermd  r24, r4, r5
        cmpb    r25, r4, r5
        isel    r26, r4, r5, 2
        prtyd   r27, r4

        # Compare and CR
        cmpw    cr0, r4, r5
        cmpd    cr1, r4, r5
        cmplw   cr2, r4, r5
        cmpld   cr3, r4, r5
        cmpwi   cr4, r5, 13
        cmpdi   cr5, r5, -1
        cmplwi  cr6, r5, 14
        cmpldi  cr7, r5, 12
        cmpeqb  cr1, r4, r5
        cmprb   cr2, 1, r4, r5
        setb    r6, cr3
        crand   0, 5, 9
        cror    1, 6, 10
        crxor   2, 7, 11
        crnand  3, 8, 12
        crnor   16, 9, 13
        creqv   17, 10, 14
        crandc  18, 11, 15
        crorc   19, 12, 16
        mcrf    cr6, cr3
        mfcr    r6
        mfocrf  r7, 0x10
        mtocrf  0x40, r4
        mtcrf   0x81, r4
        mcrxrx  cr5

        # Branches: every BO, CR bit set and clear, CTR to 0 and not
branches:
        li      r3, 0
.macro try_bc bo, bi, ctr
        li      r5, \ctr
        mtctr   r5
        bc      \bo, \bi, 1f
        addi    r3, r3, 1
1:      xori    r3, r3, \bo
.endm
        crset   8
        crclr   9
        .irp bo, 0,2,4,6,7,8,10,12,14,15,16,18,20,24,25,26,27
        try_bc  \bo, 8, 1
        try_bc  \bo, 9, 2
        .endr
        # not taken and taken through LR and CTR, with and without link
        addr    r6, 2f
        mtlr    r6
        bclr    12, 9
        bclr    12, 8
        addi    r3, r3, 100
2:      addr    r6, 3f
        mtctr   r6
        bcctr   4, 8
        bcctr   4, 9
        addi    r3, r3, 100
3:      addr    r6, 4f
        mtspr   SPR_TAR, r6
        bctar   12, 9
        bctar   12, 8
        addi    r3, r3, 100
4:      addr    r6, 5f
        mtctr   r6
        bctrl
        addi    r3, r3, 100
5:      mflr    r7
        addr    r6, 6f
        mtlr    r6
        blrl
        addi    r3, r3, 100
6:      mflr    r7
        addr    r6, 7f
        mtspr   SPR_TAR, r6
        bctarl  20, 0
        addi    r3, r3, 100
7:      mflr    r7
        b       1f
        addi    r3, r3, 100
1:      ba      1f
        addi    r3, r3, 100
1:      bl      1f
1:      mflr    r7
        bla     1f
1:      bcl     12, 8, 1f
1:      bcl     12, 9, 1f
        addi    r3, r3, 1
1:      bcl     20, 31, 1f
1:      bcla    20, 0, 0x1f00
        bl      sub1
        li      r5, 20
        mtctr   r5
1:      add     r3, r3, r5
        bdnz    1b
        li      r5, 3
        mtctr   r5
        crclr   2
1:      addi    r3, r3, 3
        bdnzf   2, 1b
        b       loads

sub1:   mflr    r8
        bl      sub2
        mtlr    r8
        blr
sub2:   addi    r3, r3, 5
        blr

        # Loads and stores
loads:
        addi    r4, r31, numbers - data_begin
        addi    r5, r31, buffer - data_begin
        li      r6, 16
        lbz     r7, 1(r4)
        lbzu    r8, 2(r4)
        lbzx    r9, r4, r6
        lbzux   r9, r4, r6
        addi    r4, r31, numbers - data_begin
        lhz     r7, 2(r4)
        lha     r8, 4(r4)
        lhau    r8, 6(r4)
        lhzx    r9, r4, r6
        lhax    r10, r4, r6
        lhbrx   r10, r4, r6
        lwz     r11, 2(r4)
        lwzu    r11, 2(r4)
        lwa     r12, 8(r4)
        lwax    r13, r4, r6
        lwbrx   r14, r4, r6
        ld      r15, 0(r4)
        ldu     r16, 8(r4)
        ldx     r17, r4, r6
        ldbrx   r18, r4, r6
        addi    r4, r31, numbers - data_begin
        ld      r19, 4(r4)
        lwz     r20, 3(r4)
        lhz     r21, 1(r4)
        addi    r7, r4, 3
        ldx     r22, r7, r6
        stb     r15, 1(r5)
        stbu    r16, 2(r5)
        stbx    r17, r5, r6
        sth     r15, 2(r5)
        sthx    r16, r5, r6
        sthbrx  r17, r5, r6
        sthu    r18, 6(r5)
        stw     r15, 9(r5)
        stwx    r16, r5, r6
        stwbrx  r17, r5, r6
        stwu    r18, 12(r5)
        std     r15, 12(r5)
        stdu    r15, 8(r5)
        stdx    r16, r5, r6
        stdbrx  r17, r5, r6
        stdux   r18, r5, r6
        addi    r5, r31, buffer - data_begin
        # Little-endian these raise an alignment interrupt, and the assembler
        # refuses them.
        .long   0xbb040000      # lmw   r24, 0(r4)
        addi    r31, r5, data_begin - buffer
        lis     r30, 0x4000
        lwz     r29, saved_round - data_begin(r31)
        .long   0xbf050040      # stmw  r24, 64(r5)
        .long   0x7d845caa      # lswi  r12, r4, 11
        .long   0x7d855daa      # stswi r12, r5, 11
        dcbst   0, r5
        dcbf    0, r5
        dcbt    0, r5
        dcbtst  0, r5
        addi    r6, r31, line - data_begin
        dcbz    0, r6
        std     r4, 8(r6)
        sync
        lwsync
        ptesync
        eieio
        isync
        nop
    .if PRIORITY
        or      r1, r1, r1
    .endif

        # Code that changes code
        lwz     r7, patch_a - data_begin(r31)
        addr    r6, 1f
        stw     r7, 0(r6)
        dcbst   0, r6
        sync
        icbi    0, r6
        isync
1:      addi    r3, r3, 1
        lwz     r7, patch_b - data_begin(r31)
        stw     r7, 0(r6)
        dcbst   0, r6
        sync
        icbi    0, r6
        isync
        b       1f
1:
    .if SMC_NEXT
        addr    r6, 1f
        lwz     r7, patch_a - data_begin(r31)
        stw     r7, 0(r6)
1:      addi    r3, r3, 1
        lwz     r7, patch_b - data_begin(r31)
        stw     r7, 0(r6)
        isync
    .endif
    .if LLSC
        addi    r6, r31, buffer - data_begin
1:      lwarx   r7, 0, r6
        addi    r7, r7, 1
        stwcx.  r7, 0, r6
        bne-    1b
1:      ldarx   r7, 0, r6
        addi    r7, r7, 1
        stdcx.  r7, 0, r6
        bne-    1b
    .endif

        # Floating point: the first one finds it unavailable (0x800)
floating:
        addi    r4, r31, doubles - data_begin
        addi    r5, r31, buffer - data_begin
        lfd     f1, 0(r4)
        lfd     f2, 8(r4)
        lfs     f3, 16(r4)
        lfdu    f4, 8(r4)
        lfiwax  f5, 0, r4
        fadd    f6, f1, f2
        fsub    f7, f1, f2
        fmul    f8, f1, f2
        fdiv    f9, f1, f2
        fmadd   f10, f1, f2, f3
        fnmsub  f11, f1, f2, f3
        fsqrt   f12, f2
        frsp    f13, f9
        fadds   f14, f1, f2
        fdivs   f15, f1, f2
        fctid   f16, f9
        fctiwz  f17, f9
        fcfid   f18, f16
        fneg    f19, f9
        fabs    f20, f19
        fsel    f21, f19, f1, f2
        fcmpu   cr1, f1, f2
        fcmpo   cr2, f2, f1
        mffs    f22
        mtfsb1  30
        mtfsfi  7, 0
        mtfsf   0xff, f22
        fadd.   f23, f1, f3
        mcrfs   cr3, 4
        stfd    f9, 0(r5)
        stfs    f9, 8(r5)
        stfiwx  f17, 0, r5
        stfdu   f10, 16(r5)
        fmr     f24, f10

        # VMX (0xf20) and VSX (0xf40)
vector:
        addi    r4, r31, vectors - data_begin
        addi    r5, r31, vbuffer - data_begin
        li      r6, 16
        lvx     v1, 0, r4
        lvx     v2, r4, r6
        vaddubm v3, v1, v2
        vadduhm v4, v1, v2
        vadduws v5, v1, v2
        vmuleuh v6, v1, v2
        vperm   v7, v1, v2, v3
        vsldoi  v8, v1, v2, 5
        vcmpequb. v9, v1, v2
        vspltisb v10, -3
        vsl     v11, v1, v10
        vand    v12, v1, v2
        vxor    v13, v1, v2
        vsum4ubs v14, v1, v2
        vmaddfp v15, v1, v2, v3
        mfvscr  v16
        mtvscr  v16
        lvsl    v17, 0, r6
        lvebx   v18, r4, r6
        stvx    v7, 0, r5
        stvewx  v8, r5, r6
        mtspr   256, r6         # VRSAVE
        mfspr   r7, 256
        lxvd2x  vs1, 0, r4
        lxvw4x  vs2, r4, r6
        lxv     vs3, 16(r4)
        lxsdx   vs4, r4, r6
        xvadddp vs5, vs1, vs2
        xvmuldp vs6, vs1, vs2
        xsadddp vs7, vs1, vs2
        xxlxor  vs8, vs1, vs2
        xxpermdi vs9, vs1, vs2, 1
        xxsel   vs10, vs1, vs2, vs8
        xvcmpeqdp. vs11, vs1, vs2
        xscvdpsxds vs12, vs7
        mtvsrd  vs40, r4
        mfvsrd  r8, vs9
        mfvsrwz r9, vs9
        mtvsrdd vs41, r4, r5
        xxspltw vs42, vs1, 2
        stxvd2x vs9, 0, r5
        stxv    vs10, 16(r5)
        stxsdx  vs12, r5, r6

        # MSR and the special purpose registers
special:
        mfmsr   r3
        li      r4, MSR_RI
        mtmsrd  r4, 1
        mfmsr   r5
        li      r4, 0
        mtmsrd  r4, 1
        xori    r4, r3, MSR_RI
        mtmsr   r4
        mfmsr   r5
        mtmsrd  r3
        mfmsr   r5
        imm64   r6, 0x123456789abcdef0
        mtsrr0  r6
        mfsrr0  r7
        mtsrr1  r6
        mfsrr1  r8
        mtspr   272, r6
        mfspr   r9, 272
        mtspr   273, r9
        mtspr   274, r6
        mtspr   275, r6
        mfspr   r10, 275
        mfspr   r10, 259        # SPRG3, as problem state reads it
        mtlr    r6
        mflr    r11
        mtctr   r6
        mfctr   r12
        mtxer   r6
        mfxer   r13
        mtdar   r6
        mfdar   r14
        mtdsisr r6
        mfdsisr r15
        li      r6, 0x15
        mtspr   SPR_DSCR, r6
        mfspr   r16, SPR_DSCR
        mtspr   3, r6
        mfspr   r16, 3
        mtspr   SPR_TAR, r6
        mfspr   r17, SPR_TAR
        mfspr   r18, SPR_FSCR
        li      r6, 0
        mtxer   r6

        # Interrupts from supervisor state
traps:
        li      r3, 5
        twi     4, r3, 6        # not equal, not taken
        twi     4, r3, 5
        twi     31, r3, 0       # always
        tw      4, r3, r3
        tweqi   r3, 5
        tdeqi   r3, 5
        td      2, r3, r4
        trap
        .long   0               # illegal
        addi    r4, r31, buffer + 1 - data_begin
        lwarx   r5, 0, r4       # unaligned: 0x600
        li      r0, 0
        sc                      # 0xc00
        sc
        li      r3, H_SET_MODE
        li      r4, 0
        li      r5, 77          # no such resource
        li      r6, 0
        li      r7, 0
        hcall
        stw     r3, results + 4 - data_begin(r31)
        li      r3, -8          # no such hypercall
        hcall
        stw     r3, results + 8 - data_begin(r31)
        li      r3, H_PUT_TERM_CHAR
        li      r4, 0
        li      r5, 1
        li      r6, 0x78
        sldi    r6, r6, 56
        li      r7, 0
        hcall
        stw     r3, results + 12 - data_begin(r31)
    .if SCV
        li      r0, 0
        scv     0
        mfctr   r7
        mflr    r8
        scv     1
    .endif
    .if SELFTRACE
        mfmsr   r3
        ori     r4, r3, MSR_SE
        mtmsrd  r4
        addi    r5, r5, 1       # its handler clears MSR[SE]
        addi    r5, r5, 1
        mtmsrd  r3
    .endif

        # Problem state.  Interrupts are on there by rule; none is near.
.macro problem_state
        lis     r3, 0x7fff
        ori     r3, r3, 0xffff
        mtdec   r3
        mfmsr   r3
        ori     r3, r3, MSR_EE | MSR_PR | MSR_IR | MSR_DR
        mtsrr1  r3
        addr    r4, 9f
        mtsrr0  r4
        rfid
        trap
9:      addi    r5, r31, buffer - data_begin
        ld      r6, 0(r5)
        addi    r6, r6, 3
        std     r6, 8(r5)
        mfmsr   r7              # privileged: 0x700
        mtsrr0  r7
        mtsrr1  r7
        mfspr   r7, 272
        rfid
        mfspr   r7, 259
        trap
        .long   0
        twi     31, r7, 1
        lwz     r8, 0(r30)      # not mapped: 0x300
        stw     r8, 8(r30)
        dcbz    0, r30
        mtctr   r30
        bctrl                   # 0x400, and back through LR
        li      r0, 0
        sc
        fadd    f1, f1, f2
        vaddubm v3, v1, v2
    .if SCV
        scv     0
        scv     2
    .endif
        bl      8f
8:      mflr    r9
        li      r0, 1
        sc                      # back to supervisor, real mode
.endm
        problem_state

        # Supervisor state with translation on
.macro translated
        mfmsr   r3
        ori     r3, r3, MSR_IR | MSR_DR
        mtsrr1  r3
        addr    r4, 9f
        mtsrr0  r4
        rfid
        trap
9:      lwz     r6, 0(r31)
        lwz     r8, 0(r30)      # 0x300
        mtctr   r30
        bctrl                   # 0x400
        trap
        .long   0
        mfmsr   r7
        li      r0, 0
        sc
        addi    r4, r31, buffer + 1 - data_begin
        lwarx   r5, 0, r4
        mfmsr   r7
        ori     r8, r7, MSR_FP
        xori    r8, r8, MSR_FP
        mtmsrd  r8
        fadd    f1, f1, f2      # 0x800
        lis     r8, 0xc000      # the same code through 0xc000...
        sldi    r8, r8, 32
        bl      8f
8:      mflr    r9
        or      r8, r8, r9
        addi    r8, r8, 20         # the trap behind bctr
        mtctr   r8
        bctr
        trap
        trap
        addr    r9, 7f
        mtctr   r9
        bctr
7:      mfmsr   r7
        li      r4, MSR_IR | MSR_DR
        andc    r7, r7, r4
        mtmsrd  r7              # and off, in place
        isync
.endm
        translated
        # on in place, off through the handler
        mfmsr   r3
        ori     r3, r3, MSR_IR | MSR_DR
        mtmsrd  r3
        isync
        lwz     r6, 0(r31)
        li      r0, 1
        sc

    .if AIL
.macro set_ail value
        li      r3, H_SET_MODE
        li      r4, \value
        li      r5, 3
        li      r6, 0
        li      r7, 0
        hcall
.endm
        set_ail 3
        stw     r3, results + 16 - data_begin(r31)
        trap                    # real mode: still at 0x700
        problem_state
        translated
        mfmsr   r3
        ori     r3, r3, MSR_IR | MSR_DR
        mtmsrd  r3
        isync
        set_ail 0               # moves the vectors under translation
        trap
        set_ail 3
        trap
        li      r0, 1
        sc
        set_ail 0
    .endif

        lwz     r29, saved_round - data_begin(r31)
        addi    r29, r29, -1
        stw     r29, saved_round - data_begin(r31)
        cmpwi   r29, 0
        bne     round
        nop
done:
        b       .

        # Interrupt handlers, copied to 0x100
        .section .low, "ax"
low_begin:
        .irp at, 0x100,0x200,0x300,0x380,0x400,0x480,0x500,0x600,0x700,0x800,0x900,0x980
        vector  \at
        .endr
        .irp at, 0xa00,0xc00,0xd00,0xe00,0xe20,0xe40,0xe60,0xe80,0xf00,0xf20,0xf40,0xf60,0xf80
        vector  \at
        .endr

        .org    low_begin + 0xf00
common:                                         # at 0x1000
        std     r4, SAVE + 8(0)
        std     r5, SAVE + 16(0)
        std     r6, SAVE + 24(0)
        mfcr    r6
        srwi    r4, r3, 2
        ld      r5, COUNTS(r4)
        addi    r5, r5, 1
        std     r5, COUNTS(r4)
        mfsrr0  r4
        mfsrr1  r5
        # remember all of it, as any trace of a debugger would show here
        std     r6, SAVE + 32(0)
        ld      r6, HASH(0)
        rotldi  r6, r6, 7
        xor     r6, r6, r4
        rotldi  r6, r6, 9
        xor     r6, r6, r5
        xor     r6, r6, r3
        std     r6, HASH(0)
        cmpwi   r3, 0xc00
        beq     system_call
        cmpwi   r3, 0x400
        beq     return_lr
        cmpwi   r3, 0x480
        beq     return_lr
        cmpwi   r3, 0x800
        beq     fp_on
        cmpwi   r3, 0xf20
        beq     vec_on
        cmpwi   r3, 0xf40
        beq     vsx_on
        cmpwi   r3, 0xd00
        beq     trace
        cmpwi   r3, 0x900
        beq     decrementer
        cmpwi   r3, 0x500
        beq     return
        addi    r4, r4, 4                       # skip what cannot be done
        mtsrr0  r4
        b       return
system_call:
        cmpwi   r0, 1
        bne     return
        li      r6, MSR_PR | MSR_IR | MSR_DR
        andc    r5, r5, r6
        rldicl  r5, r5, 48, 1                   # and MSR[EE]
        rotldi  r5, r5, 16
        mtsrr1  r5
        b       return
return_lr:
        mflr    r4
        mtsrr0  r4
        b       return
fp_on:
        ori     r5, r5, MSR_FP
        mtsrr1  r5
        b       return
vec_on:
        oris    r5, r5, 0x0200
        mtsrr1  r5
        b       return
vsx_on:
        oris    r5, r5, 0x0080
        mtsrr1  r5
        b       return
trace:
        li      r6, MSR_SE
        andc    r5, r5, r6
        mtsrr1  r5
        b       return
decrementer:
        lis     r6, 0x7fff
        mtdec   r6
return:
        ld      r6, SAVE + 32(0)
        mtcr    r6
        ld      r6, SAVE + 24(0)
        ld      r5, SAVE + 16(0)
        ld      r4, SAVE + 8(0)
        ld      r3, SAVE(0)
        rfid

        .org    low_begin + 0x1e00
        addi    r3, r3, 9                       # at 0x1f00
        blr
        .balign 8
low_end:

        # System call vectored: one entry each 32 bytes
scv_begin:
        .irp n, 0,1,2,3
        .org    scv_begin + \n * 32
        std     r6, SAVE(0)
        ld      r6, COUNTS + 0x400 + \n * 8(0)
        addi    r6, r6, 1
        std     r6, COUNTS + 0x400 + \n * 8(0)
        ld      r6, SAVE(0)
        rfscv
        .endr
        .balign 8
scv_end:

        .section .data
        .balign 128
data_begin:
line:   .space  128
saved_round:
        .long   0
results:
        .space  28
numbers:
        .quad   0x8123456789abcdef, 0xfedcba9876543210
        .quad   0x00ff00ff80808080, 0x7f7f7f7f01020304
        .quad   0x1122334455667788, 0x99aabbccddeeff00
doubles:
        .quad   0x400921fb54442d18, 0x3ff8000000000000
        .quad   0x4048f5c34048f5c3, 0x7ff0000000000000
patch_a:
        addi    r3, r3, 64
patch_b:
        addi    r3, r3, 1
        .balign 16
vectors:
        .quad   0x400921fb54442d18, 0x3ff8000000000000
        .quad   0x0102030405060708, 0xfffefdfcfbfaf9f8
vbuffer:
        .space  64
buffer:
        .space  256
        .balign 128
data_end:
