# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that counts its interrupts.  The debugger stops it at `begin`, fills in
# `config`, and either lets it run or sets pc to `faults`.
#
# From `begin` on, each round: at `enter` (real mode, MSR[EE] clear) send
# ourselves what config says: a doorbell, an inter-processor interrupt through
# the XICS hypercalls; then wait in `loop`, with the MSR that config says, until
# all of them and a tick of the decrementer were taken; `leave` ends the round.
# Nothing is sent twice before it was taken, so what was sent and what was taken
# agree at every `leave`.  The decrementer expires each `period` ticks of the
# time base, counted from `start`: the handler counts ticks taken and periods
# gone by, as early one that comes before its deadline, and as doubled one of
# these that comes while the decrementer has not run out.
#
# `faults` raises every synchronous interrupt and logs what its handler sees,
# up to `faults_done`.
#
#   0x0100  vectors, 0x1000 common code;  0x2000 save area
#   0x4100  the same for AIL=3;  0x3000 and 0x17000 scv

        .include "bare.inc"

        .set    SPR_DEC, 22
        .set    SAVE, 0x2000
        .set    DEC_FLAG, 1
        .set    DOORBELL_FLAG, 2
        .set    EXTERNAL_FLAG, 4
        .set    IPI, 2                  # XISR of an inter-processor interrupt
        .set    LOG_ENTRY, 40

        # XIVE: the thread's management area, OS page; event state buffers
        .set    H_INT_GET_SOURCE_INFO, 0x3a8
        .set    H_INT_SET_SOURCE_CONFIG, 0x3ac
        .set    H_INT_SET_QUEUE_CONFIG, 0x3b8
        .set    H_CAS, 0xf002
        .set    TREE, 0x1000000         # CAS gives us a device tree
        .set    TREE_SIZE, 0x100000
        .set    TIMA, 0x00060302031a0000
        .set    TIMA_CPPR, 0x11
        .set    TIMA_ACK, 0x810
        .set    ESB_EOI, 0x000
        .set    ESB_RESET, 0xc00
        .set    ESB_OFF, 0xd00
        .set    QUEUE, 0x850000
        .set    PRIORITY, 6
        .set    EISN, 0x11

        # msgsndp leaves the guest for KVM, which emulates it.  TCG as the host says
        # it stopped at the start of its translation block: an isync begins a new one.

        .section .text
        .globl  _start, begin, enter, loop, leave, faults, faults_done, low_begin, return
        .globl  config, counters, log, log_end, log_at, scv_begin, scv_return

_start:
        to_64bit
        copy    low_begin, low_end, 0x100
        copy    low_begin, low_end, 0x4100
        copy    scv_begin, scv_end, 0x17000
        copy    scv_begin, scv_end, 0x3000
        zero    QUEUE, QUEUE + 0x10000
        radix_on
        mr      r27, r3
        addr    r31, counters
        std     r27, setup - counters(r31)
        mfmsr   r3
        li      r4, MSR_FP
        andc    r3, r3, r4
        mtmsrd  r3
        mfspr   r3, SPR_FSCR
        lis     r4, 0xffff
        ori     r4, r4, 0xefff
        and     r3, r3, r4
        ori     r3, r3, 0x1000          # scv is there
        li      r4, 0x0104
        andc    r3, r3, r4              # TAR and DSCR are not
        mtspr   SPR_FSCR, r3
        lis     r30, 0x4000             # not mapped
begin:
        nop
        ld      r4, ail - counters(r31)
        cmpdi   r4, 0
        beq     1f
        li      r3, H_SET_MODE
        li      r5, 3
        li      r6, 0
        li      r7, 0
        sc      1
1:      ld      r4, xive - counters(r31)
        cmpdi   r4, 0
        bne     1f
        li      r3, H_CPPR
        li      r4, 0xff
        sc      1
        b       2f
1:      imm64   r3, H_CAS
        addr    r4, options
        addr    r5, TREE
        addr    r6, TREE_SIZE
        sc      1
        cmpdi   r3, 0
        bne     bad
        li      r3, H_INT_SET_QUEUE_CONFIG
        li      r4, 1                   # notify always
        li      r5, 0                   # of vCPU 0
        li      r6, PRIORITY
        addr    r7, QUEUE
        li      r8, 16                  # 64 KiB
        sc      1
        cmpdi   r3, 0
        bne     bad
        li      r3, H_INT_SET_SOURCE_CONFIG
        li      r4, 2                   # with a number of our own
        li      r5, 0                   # LISN: the first IPI's
        li      r6, 0
        li      r7, PRIORITY
        li      r8, EISN
        sc      1
        cmpdi   r3, 0
        bne     bad
        li      r3, H_INT_GET_SOURCE_INFO
        li      r4, 0
        li      r5, 0
        sc      1
        cmpdi   r3, 0
        bne     bad
        std     r5, esb - counters(r31)
        std     r6, trigger - counters(r31)
        lbz     r4, ESB_OFF(r5)
        lbz     r4, ESB_RESET(r5)
        imm64   r3, TIMA
        li      r4, 0xff
        stb     r4, TIMA_CPPR(r3)
        eieio
2:      ld      r28, wanted - counters(r31)
        ld      r4, period - counters(r31)
        mftb    r3
        std     r3, start - counters(r31)
        add     r3, r3, r4
        std     r3, deadline - counters(r31)
        mtdec   r4
        li      r20, 0
        li      r21, 0

enter:
        li      r3, 0
        std     r3, flags - counters(r31)
        andi.   r3, r28, DOORBELL_FLAG
        beq     1f
        ld      r3, doorbells_sent - counters(r31)
        addi    r3, r3, 1
        std     r3, doorbells_sent - counters(r31)
        lis     r3, 0x2800              # type 5, this thread
        isync
        .long   0x7c00191c              # msgsndp r3
1:      andi.   r3, r28, EXTERNAL_FLAG
        beq     1f
        ld      r3, externals_sent - counters(r31)
        addi    r3, r3, 1
        std     r3, externals_sent - counters(r31)
        ld      r3, xive - counters(r31)
        cmpdi   r3, 0
        bne     2f
        li      r3, H_IPI
        li      r4, 0                   # server: ourselves
        li      r5, 5                   # MFRR
        sc      1
        b       1f
2:      ld      r3, trigger - counters(r31)
        li      r4, 0
        std     r4, 0(r3)
        sync
1:      mfmsr   r3
        ld      r4, loop_msr - counters(r31)
        or      r3, r3, r4
        mtsrr1  r3
        addr    r3, loop
        mtsrr0  r3
        rfid
loop:
        addi    r20, r20, 1
        ld      r5, flags - counters(r31)
        xor.    r6, r5, r28
        addi    r21, r21, 3
        bne     loop
leave:
        ld      r3, rounds - counters(r31)
        addi    r3, r3, 1
        std     r3, rounds - counters(r31)
        addr    r3, enter
        li      r0, 1
        sc                              # to r3, real mode

        # Every synchronous interrupt; the handler skips what raised it.
faults:
        addr    r3, log
        std     r3, log_at - counters(r31)
        mfmsr   r3
        ld      r4, loop_msr - counters(r31)
        or      r3, r3, r4
        mtsrr1  r3
        addr    r3, 1f
        mtsrr0  r3
        rfid
1:      li      r0, 0
        sc
        trap
        li      r5, 5
        twi     4, r5, 5
        td      4, r5, r5
        .long   0                       # illegal
        .long   0x00000200              # attn
        fadd    f1, f1, f2              # 0x800
        lfd     f1, 0(r31)
        vaddubm v1, v1, v2              # 0xf20
        lvx     v1, 0, r31
        xvadddp vs1, vs1, vs2           # 0xf40
        mfspr   r5, SPR_TAR             # 0xf60
        mtspr   SPR_TAR, r5
        addi    r4, r31, 1
        lwarx   r5, 0, r4               # 0x600
        scv     0
        ld      r5, loop_msr - counters(r31)
        andi.   r5, r5, MSR_DR
        beq     1f
        lwz     r5, 4(r30)              # 0x300
        stw     r5, 8(r30)
        lbzu    r5, 1(r30)
        dcbz    0, r30
        std     r5, 0x7c(r30)
        lq      r8, 16(r30)
1:      ld      r5, loop_msr - counters(r31)
        andi.   r5, r5, MSR_IR
        beq     1f
        mtctr   r30
        bctrl                           # 0x400
        addi    r4, r30, 0x100
        mtlr    r4
        blrl
1:      ld      r5, loop_msr - counters(r31)
        andi.   r5, r5, MSR_PR
        beq     1f
        mfmsr   r5                      # 0x700: privileged
        mtmsrd  r5
        mtsrr0  r5
        mfspr   r5, 272
        rfid
        rfscv
        slbia
        tlbiel  r5
1:      addr    r3, faults_done
        li      r0, 1
        sc
faults_done:
        b       .
bad:
        std     r3, setup - counters(r31)
        b       .

        .section .low, "ax"
low_begin:
        .irp at, 0x100,0x200
        vector  \at, unexpected
        .endr
        .irp at, 0x300,0x380,0x400,0x480
        vector  \at, fault
        .endr
        vector  0x500, external
        .irp at, 0x600,0x700,0x800
        vector  \at, fault
        .endr
        vector  0x900, decrementer
        vector  0x980, unexpected
        vector  0xa00, doorbell
        vector  0xc00, fault
        .irp at, 0xd00,0xe00,0xe20,0xe40,0xe60,0xe80,0xea0,0xf00
        vector  \at, unexpected
        .endr
        .irp at, 0xf20,0xf40,0xf60,0xf80
        vector  \at, fault
        .endr

        .org    low_begin + 0xf00
.macro save
        std     r0, SAVE + 8(0)
        .irp n, 4,5,6,7,8,9,10,11,12
        std     r\n, SAVE + 8 * \n(0)
        .endr
        mfcr    r4
        mfctr   r5
        mfxer   r6
        mfsrr0  r7
        mfsrr1  r8
        std     r4, SAVE + 0x80(0)
        std     r5, SAVE + 0x88(0)
        std     r6, SAVE + 0x90(0)
        std     r7, SAVE + 0x98(0)
        std     r8, SAVE + 0xa0(0)
.endm
.macro count what
        ld      r4, \what - counters(r31)
        addi    r4, r4, 1
        std     r4, \what - counters(r31)
.endm
.macro flag which
        ld      r4, flags - counters(r31)
        ori     r4, r4, \which
        std     r4, flags - counters(r31)
.endm

restore:
        ld      r4, SAVE + 0x80(0)
        ld      r5, SAVE + 0x88(0)
        ld      r6, SAVE + 0x90(0)
        ld      r7, SAVE + 0x98(0)
        ld      r8, SAVE + 0xa0(0)
        mtcr    r4
        mtctr   r5
        mtxer   r6
        mtsrr0  r7
        mtsrr1  r8
        .irp n, 4,5,6,7,8,9,10,11,12
        ld      r\n, SAVE + 8 * \n(0)
        .endr
        ld      r0, SAVE + 8(0)
        ld      r3, SAVE(0)
return:
        rfid

decrementer:
        save
        mftb    r5
        ld      r6, deadline - counters(r31)
        ld      r7, period - counters(r31)
        subf    r8, r6, r5              # how late
        ld      r9, earliest - counters(r31)
        cmpd    r8, r9
        bge     1f
        std     r8, earliest - counters(r31)
1:      cmpdi   r8, -64                 # DEC is set from a time base read before
        bge     1f
        count   early
        mfspr   r9, SPR_DEC
        extsw.  r9, r9
        blt     2f
        count   doubled
        b       2f
1:      count   ticks
        divd    r9, r8, r7
        addi    r9, r9, 1
        ld      r10, periods - counters(r31)
        add     r10, r10, r9
        std     r10, periods - counters(r31)
        mulld   r9, r9, r7
        add     r6, r6, r9
        std     r6, deadline - counters(r31)
        flag    DEC_FLAG
2:      mftb    r5
        subf    r6, r5, r6
        mtdec   r6
        b       restore

doorbell:
        save
        count   doorbells_taken
        flag    DOORBELL_FLAG
        b       restore

external:
        save
        ld      r4, xive - counters(r31)
        cmpdi   r4, 0
        bne     xive_external
        li      r3, H_XIRR
        sc      1
        rldicl  r5, r4, 0, 40           # XISR
        cmpdi   r5, IPI
        beq     1f
        count   spurious
        b       2f
1:      std     r4, SAVE + 0xb0(0)
        count   externals_taken
        flag    EXTERNAL_FLAG
        li      r3, H_IPI
        li      r4, 0
        li      r5, 0xff
        sc      1
        li      r3, H_EOI
        ld      r4, SAVE + 0xb0(0)
        sc      1
2:      b       restore

xive_external:
        imm64   r5, TIMA
        lhz     r4, TIMA_ACK(r5)        # NSR, CPPR
        eieio
        andi.   r4, r4, 0x8000
        bne     1f
        count   spurious
        b       restore
1:      addr    r6, QUEUE
        ld      r7, queue_at - counters(r31)
        lwzx    r8, r6, r7              # generation, number
        addi    r7, r7, 4
        rldicl  r7, r7, 0, 48
        std     r7, queue_at - counters(r31)
        rldicl  r8, r8, 0, 33
        cmpdi   r8, EISN
        bne     2f
        count   externals_taken
        flag    EXTERNAL_FLAG
        b       3f
2:      count   unexpected_count
3:      ld      r3, esb - counters(r31)
        lbz     r4, ESB_EOI(r3)
        li      r4, 0xff
        stb     r4, TIMA_CPPR(r5)
        eieio
        b       restore

fault:
        save
        cmpwi   r3, 0xc00
        bne     1f
        ld      r4, SAVE + 8(0)
        cmpwi   r4, 1
        beq     goto
1:      ld      r4, log_at - counters(r31)
        std     r3, 0(r4)
        std     r7, 8(r4)
        std     r8, 16(r4)
        mfdar   r5
        std     r5, 24(r4)
        mfdsisr r5
        std     r5, 32(r4)
        addi    r5, r4, LOG_ENTRY
        std     r5, log_at - counters(r31)
        ld      r5, SAVE + 0x98(0)
        cmpwi   r3, 0xc00
        beq     2f
        addi    r5, r5, 4
        cmpwi   r3, 0x400
        bne     2f
        mflr    r5
2:      std     r5, SAVE + 0x98(0)
        b       restore
goto:
        ld      r3, SAVE(0)
        mtsrr0  r3
        lis     r4, 0
        ori     r4, r4, MSR_EE | MSR_PR | MSR_IR | MSR_DR
        andc    r8, r8, r4
        mtsrr1  r8
        rfid

unexpected:
        save
        std     r3, unexpected_vector - counters(r31)
        std     r7, unexpected_srr0 - counters(r31)
        count   unexpected_count
        b       restore

        .balign 8
low_end:

scv_begin:
        std     r3, SAVE(0)
        std     r4, SAVE + 32(0)
        std     r5, SAVE + 40(0)
        ld      r4, log_at - counters(r31)
        lis     r3, 1
        ori     r3, r3, 0x7000
        std     r3, 0(r4)
        mflr    r3
        std     r3, 8(r4)
        mfctr   r3
        std     r3, 16(r4)
        li      r3, 0
        std     r3, 24(r4)
        std     r3, 32(r4)
        addi    r5, r4, LOG_ENTRY
        std     r5, log_at - counters(r31)
        ld      r5, SAVE + 40(0)
        ld      r4, SAVE + 32(0)
        ld      r3, SAVE(0)
scv_return:
        rfscv
        .balign 8
scv_end:

        .section .data
        .balign 128
config:
period: .quad   0x20000
loop_msr: .quad 0
wanted: .quad   DEC_FLAG                # flags of the interrupts to send and await
ail:    .quad   0
xive:   .quad   0                       # else XICS; real mode handlers only
counters:
ticks:  .quad   0
periods: .quad  0
early:  .quad   0
doubled: .quad  0
doorbells_sent: .quad 0
doorbells_taken: .quad 0
externals_sent: .quad 0
externals_taken: .quad 0
spurious: .quad 0
unexpected_count: .quad 0
unexpected_vector: .quad 0
unexpected_srr0: .quad 0
rounds: .quad   0
flags:  .quad   0
start:  .quad   0
deadline: .quad 0
earliest: .quad 0x7fffffffffffffff
setup:  .quad   0
log_at: .quad   log
esb:    .quad   0
trigger: .quad  0
queue_at: .quad 0
        # For ibm,client-architecture-support (LoPAR, B.6.2.3): any processor;
        # option vectors 1 (POWER9) and 5 (XIVE, radix, GTSE)
options:
        .long   0, 0, 0, 1
        .byte   5 - 1
        .byte   3 - 1, 0, 0, 0x80
        .byte   0, 0
        .byte   0, 0
        .byte   0, 0
        .byte   26 - 1
        .space  22
        .byte   0x40, 0x40, 0, 0x40
        .balign 128
log:    .space  64 * LOG_ENTRY
log_end:
