# SPDX-License-Identifier: GPL-2.0-or-later
#
# Places where a step is special.  The guest sets itself up and waits at `ready`;
# the debugger then sets registers, copies words, and lets pieces of this run.
#
# Handlers log vector, SRR0, SRR1, DAR, DSISR at `log`, and skip what raised the
# interrupt; the Trace handler clears MSR[SE] instead, and an instruction storage
# interrupt returns to LR, or tries again at RETRY_PAGE.  sc with r0 = 1 goes to
# r3 in real mode, with r0 = 2 stays in the mode it came from, but privileged.
#
#   0x0100  vectors, 0x1000 common code;  0x2000 save area
#   0x4100  the same for AIL=3
#   0x40000000  pages: 0 mapped to 0x900000, 1 not mapped, 2 mapped to 0x902000,
#               or as PID 1 to 0x904000, 3 mapped to 0x903000 now and then by a
#               second vCPU, from 4 on not mapped

        .include "bare.inc"

        .set    SAVE, 0x2000
        .set    LOG_ENTRY, 40
        .set    LEAF, 0xc000000000000187
        .set    RETRY_PAGE, 0x40003000
        .set    ROOT_1, 0x830000        # PID 1's
        .set    NEXT_1, 0x823000
        .set    MIDDLE_1, 0x824000
        .set    PAGES_1, 0x825000

        .section .text
        .globl  _start, ready, stop, low_begin, low_end, back

_start:
        to_64bit
        copy    low_begin, low_end, 0x100
        copy    low_begin, low_end, 0x4100
        radix_on
        mr      r27, r3
        store64 RADIX_NEXT + 8, 0x8000000000821009
        store64 RADIX_MIDDLE, 0x8000000000822009
        store64 RADIX_PAGES, LEAF | 0x900000
        store64 RADIX_PAGES + 16, LEAF | 0x902000
        store64 RADIX_PAGES + 24, LEAF | 0x903000
        store64 NEXT_1, LEAF
        store64 ROOT_1, 0x8000000000823009
        store64 NEXT_1 + 8, 0x8000000000824009
        store64 MIDDLE_1, 0x8000000000825009
        store64 PAGES_1 + 16, LEAF | 0x904000
        store64 PROCESS_TABLE + 16, 0x40000000008300ad
        ptesync
        copy    user_0, user_0_end, 0x902000
        copy    user_1, user_1_end, 0x904000
        copy    shaky, shaky_end, 0x903000
        mfmsr   r3
        lis     r4, 0x0280              # VMX, VSX
        ori     r4, r4, MSR_FP
        or      r3, r3, r4
        mtmsrd  r3
        isync
        mfspr   r3, SPR_FSCR
        ori     r3, r3, 0x0100          # TAR
        mtspr   SPR_FSCR, r3
        addr    r31, data
        lis     r30, 0x4000             # page 4
        ori     r30, r30, 0x4000
        std     r27, setup - data(r31)
ready:
        b       .
stop:   b       .

        # To other interrupt vectors
        .globl  s_ail_3, s_ail_0, s_to_and_fro
s_ail_3:
        set_mode 3, 3
        b       ready
s_ail_0:
        set_mode 3, 0
        b       ready
s_to_and_fro:
        set_mode 3, 3
        set_mode 3, 0
        addi    r24, r24, 1
        b       s_to_and_fro

        # The decrementer runs out in r25 ticks
        .globl  s_decrementer
s_decrementer:
        mtdec   r25
        b       ready

        # Words to be put at a vector, at the end of a page and elsewhere
.macro word name, insn:vararg
        .globl  w_\name
w_\name: \insn
.endm
        word    addi, addi r3, r3, 1
        word    b, b .+0x40
        word    bl, bl .+0x40
        word    back, b .-0x40
        word    bdnz, bdnz .+0x40
        word    bc, beq cr1, .+0x40
        word    bcl, bcl 12, 6, .+0x40
        word    bclr, blr
        word    bcctr, bctr
        word    bcctrl, bctrl
        word    bctar, bctar 20, 0
        word    rfid, rfid
        word    mtsprg, mtspr 272, r4
        word    mfsrr0, mfsrr0 r5
        word    mfsrr1, mfsrr1 r5
        word    mtsrr0, mtsrr0 r6
        word    mtsrr1, mtsrr1 r6
        word    mfmsr, mfmsr r5
        word    mtmsrd, mtmsrd r7
        word    mtmsrd1, mtmsrd r7, 1
        word    sc, sc
        word    trap, trap
        word    illegal, .long 0
        word    attn, .long 0x00000200
        word    kvm_trap, .long 0x00dddd00
        word    load_fault, lwz r5, 0(r30)
        word    store_fault, stw r5, 0(r30)
        word    load_self, lwz r5, 0(r9)
        word    store_self, stw r4, 0(r9)
        word    stb_self, stb r4, 3(r9)
        word    std_over, std r4, 0(r9)
        word    store_next, stw r4, 4(r9)
        word    store_next2, stw r4, 8(r9)
        word    stb_next, stb r5, 4(r9)
        word    dcbz, dcbz 0, r9
        word    stmw, stmw r28, 0(r9)
        word    stvx, stvx v1, 0, r9
        word    stxvd2x, stxvd2x vs1, 0, r9
        word    stdu, stdu r4, 0(r9)
        word    lbz, lbz r5, 3(r9)
        word    lhz, lhz r5, 2(r9)
        word    lwbrx, lwbrx r5, 0, r9
        word    ld, ld r5, 0(r9)
        word    ldm4, ld r5, -4(r9)
        word    ldm1, ldx r5, r9, r10
        word    ldu, ldu r5, 0(r11)
        word    lq, lq r6, 0(r9)
        word    lmw, lmw r28, -8(r9)
        word    lswi, lswi r5, r9, 11
        word    lvx, lvx v1, 0, r9
        word    lxvd2x, lxvd2x vs1, 0, r9
        word    lfd, lfd f1, 0(r9)
        word    nop, nop
        word    isync, isync
        # prefixed; the assembler would not place them as we need them
        word    paddi, .long 0x06000000, 0x38630001     # paddi r3, r3, 1
        word    pld, .long 0x04000000, 0xe4a90008       # pld   r5, 8(r9)
        word    pstw, .long 0x06000000, 0x90890000      # pstw  r4, 0(r9)
        word    pnop, .long 0x07000000, 0x00000000

        # The same code in every mode that there is.  Ends at `stop`.
        .globl  s_modes
s_modes:
        addi    r5, r31, scratch - data
        ld      r6, 0(r5)
        addi    r6, r6, 3
        std     r6, 8(r5)
        trap
        .long   0
        li      r0, 0
        sc
        mfspr   r7, 259
        addi    r4, r5, 1
        lwarx   r8, 0, r4               # unaligned
        bl      1f
1:      mflr    r8
        lwz     r9, -8(0)               # past the end of all, or 32 bits
        mfmsr   r10                     # privileged
        lwz     r10, 0(r30)             # not mapped, if translated
        addr    r4, 2f
        mtlr    r4
        twi     31, r0, 0
        mtctr   r4
        bctrl
2:      addr    r3, stop
        li      r0, 1
        sc

        # A guest that traces itself: three instructions, each taken at 0xd00.
        .globl  s_traced, traced_end
s_traced:
        mfmsr   r4
        ori     r4, r4, MSR_SE
        mtsrr1  r4
        addr    r3, 1f
        mtsrr0  r3
        rfid
1:      addi    r5, r5, 1
        addi    r5, r5, 1
traced_end:
        nop
        b       stop

        # PID 1 in problem state, and back
        .globl  s_pid, user_0, user_1, user_end_offset
s_pid:
        li      r4, 1
        mtspr   SPR_PID, r4
        isync
        mfmsr   r4
        ori     r4, r4, MSR_EE | MSR_PR | MSR_IR | MSR_DR
        mtsrr1  r4
        lis     r3, 0x4000
        ori     r3, r3, 0x2000
        mtsrr0  r3
        li      r20, 0
        rfid
        .globl  pid_back
pid_back:
        li      r4, 0
        mtspr   SPR_PID, r4
        isync
        b       stop
.macro user value
        addi    r20, r20, \value
        addi    r20, r20, \value
        lwz     r6, 0(r30)              # not mapped
        bl      1f
1:      mflr    r7
        addi    r20, r20, \value
        addr    r3, pid_back
        li      r0, 1
        sc
        .balign 8
.endm
        .balign 8
user_0: user    1
user_0_end:
user_1: user    100
user_1_end:

        # A second vCPU that maps and unmaps the page at RETRY_PAGE
        .globl  s_second, second, shaky_page
s_second:
        addr    r4, rtas
        addr    r5, second
        stw     r5, 16(r4)
        imm64   r3, H_RTAS
        sc      1
        b       ready
second:
        addr    r4, RADIX_PAGES + 24
        imm64   r5, LEAF | 0x903000
        lis     r6, RETRY_PAGE@h
        ori     r6, r6, RETRY_PAGE@l
        li      r7, 0
1:      std     r7, 0(r4)
        ptesync
        tlbie   r6, r7, 0, 1, 1
        eieio
        tlbsync
        ptesync
        li      r8, 200
        mtctr   r8
2:      bdnz    2b
        std     r5, 0(r4)
        ptesync
        li      r8, 4000
        mtctr   r8
2:      bdnz    2b
        b       1b
        .balign 8
shaky:
        addi    r20, r20, 1
        addi    r21, r21, 3
        b       shaky
        nop
shaky_end:

        .section .low, "ax"
low_begin:
        all_vectors

        .org    low_begin + 0xf00
common:                                         # at 0x1000
        std     r4, SAVE + 8(0)
        std     r5, SAVE + 16(0)
        std     r6, SAVE + 24(0)
        std     r31, SAVE + 40(0)
        mfcr    r6
        std     r6, SAVE + 32(0)
        addr    r31, data
        mfsrr0  r5
        mfsrr1  r6
        cmpwi   r3, 0x900
        beq     far
        cmpwi   r3, 0x500
        beq     out
        cmpwi   r3, 0xc00
        bne     1f
        cmpwi   r0, 1
        beq     goto
1:      cmpwi   r3, 0x400
        bne     2f
        rldicr  r4, r5, 0, 51
        subis   r4, r4, RETRY_PAGE@h
        cmpdi   r4, RETRY_PAGE@l
        beq     retry
2:      ld      r4, log_at - data(r31)
        std     r3, 0(r4)
        std     r5, 8(r4)
        std     r6, 16(r4)
        mfdar   r6
        std     r6, 24(r4)
        mfdsisr r6
        std     r6, 32(r4)
        addi    r4, r4, LOG_ENTRY
        std     r4, log_at - data(r31)
        mfsrr1  r6
        cmpwi   r3, 0xc00
        beq     out
        cmpwi   r3, 0xd00
        beq     trace
        cmpwi   r3, 0x400
        bne     3f
        mflr    r5
        b       4f
3:      addi    r5, r5, 4
4:      mtsrr0  r5
out:
        ld      r6, SAVE + 32(0)
        mtcr    r6
        ld      r31, SAVE + 40(0)
        ld      r6, SAVE + 24(0)
        ld      r5, SAVE + 16(0)
        ld      r4, SAVE + 8(0)
        ld      r3, SAVE(0)
back:
        rfid
trace:
        li      r4, MSR_SE
        andc    r6, r6, r4
        mtsrr1  r6
        b       out
retry:
        ld      r4, retries - data(r31)
        addi    r4, r4, 1
        std     r4, retries - data(r31)
        b       out
far:
        far_dec r6
        b       out
goto:
        ld      r3, SAVE(0)
        mtsrr0  r3
        lis     r4, 0
        ori     r4, r4, MSR_EE | MSR_PR | MSR_IR | MSR_DR
        andc    r6, r6, r4
        mtsrr1  r6
        ld      r31, SAVE + 40(0)
        b       back
        .balign 8
low_end:

        .section .data
        .globl  data, log, log_at, log_end, scratch, setup, retries, data_end
        .balign 128
data:
setup:  .quad   0
retries: .quad  0
log_at: .quad   log
scratch: .quad  0x0123456789abcdef, 0
rtas:   .long   RTAS_START_CPU, 3, 1, 1, 0, 0, 0
        .balign 128
log:    .space  32 * LOG_ENTRY
log_end:
data_end:
