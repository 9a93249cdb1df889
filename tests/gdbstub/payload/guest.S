# SPDX-License-Identifier: GPL-2.0-or-later
#
# Pieces of code for a debugger to step through.  The first vCPU sets things up
# and counts in `spin`; the debugger sets pc to one of the other places.
#
# r30 is data, r31 this vCPU's counter; both are set at `ready` and `second_ready`.

        .include "bare.inc"

        .section .text
        .globl  _start, ready, spin, spin_end

_start:
        to_64bit
        copy    tick, tick_end, 0x900
        addr    r30, data
        addi    r31, r30, counter - data
ready:
        nop
spin:   addi    r3, r3, 1
        std     r3, 0(r31)
        b       spin
spin_end:

        # Thirteen instructions one behind the other
        .globl  straight, straight_end
straight:
        .rept   13
        addi    r5, r5, 1
        .endr
straight_end:
        b       spin

        # 10,000 rounds of four instructions
        .globl  rounds, rounds_top, rounds_store, rounds_end
rounds:
        li      r3, 0
        li      r5, 10000
rounds_top:
        addi    r3, r3, 1
rounds_store:
        std     r3, 0(r31)
        cmpd    r3, r5
        blt     rounds_top
rounds_end:
        nop
        b       spin

        # Branches of every kind that stay inside, and loads and stores
        .globl  mixed, mixed_end
mixed:
        li      r3, 25
        mtctr   r3
        li      r5, 0
1:      bl      4f
        std     r5, 8(r30)
        ld      r6, 8(r30)
        andi.   r7, r6, 3
        beq     2f
        addi    r5, r5, 2
        b       3f
2:      addi    r5, r5, 7
3:      addr    r8, 5f
        mtspr   SPR_TAR, r8
        bctar   20, 0
        nop
4:      mullw   r9, r5, r5
        blr
5:      bdnz    1b
mixed_end:
        nop
        b       spin

        # Stores what a debugger has written to registers of other features than the
        # core's.  MSR says that they are available.
        .globl  named, named_end
named:
        addr    r4, buffer
        stfd    f0, 0(r4)
        stfd    f31, 8(r4)
        li      r5, 16
        stvx    v0, r4, r5
        li      r5, 32
        stvx    v31, r4, r5
        li      r5, 48
        stxvd2x vs0, r4, r5
named_end:
        b       spin

        # Ways out of a range: a call, an interrupt
        .globl  call, call_end, leaf, program, program_end
call:
        addi    r5, r5, 1
        addi    r5, r5, 1
        bl      leaf
call_end:
        b       spin
leaf:   addi    r6, r6, 1
        blr
program:
        addi    r5, r5, 1
        .long   0
        addi    r5, r5, 1
program_end:
        b       spin

        # The decrementer expires again and again (each 200 us)
        .set    PERIOD, 102400
        .globl  ticking, ticking_msr, ticking_top, ticking_end
ticking:
        lis     r3, PERIOD@h
        ori     r3, r3, PERIOD@l
        mtdec   r3
        li      r3, 0
        li      r5, 10000
ticking_msr:
        mfmsr   r4
        ori     r4, r4, MSR_EE
        mtmsrd  r4, 1
ticking_top:
        addi    r3, r3, 1
        std     r3, 0(r31)
        cmpd    r3, r5
        blt     ticking_top
ticking_end:
        b       ticking

        .balign 8
tick:
        mtspr   272, r3
        mtspr   273, r4
        addr    r4, data
        ld      r3, ticks - data(r4)
        addi    r3, r3, 1
        std     r3, ticks - data(r4)
        lis     r3, PERIOD@h
        ori     r3, r3, PERIOD@l
        mtdec   r3
        mfspr   r3, 272
        mfspr   r4, 273
        rfid
        .balign 8
tick_end:

        # Until the time base is r7, then count at `late`
        .globl  until, until_over
until:
        mftb    r6
        cmpd    r6, r7
        blt     until
until_over:
        ld      r6, late - data(r30)
        addi    r6, r6, 1
        std     r6, late - data(r30)
        b       until_over

        # Give the processor away for good
        .globl  cede, cede_call, cede_behind, cede_end
cede:
        far_dec r3
        li      r3, H_CEDE
cede_call:
        sc      1
cede_behind:
        addi    r5, r5, 1
cede_end:
        b       spin

        # Start the second vCPU, which counts, too
        .globl  start_second, started, second_ready, second, second_end
start_second:
        addr    r4, rtas
        addr    r5, second_start
        stw     r5, 16(r4)
        imm64   r3, H_RTAS
        sc      1
started:
        li      r3, 0
        b       spin
second_start:
        far_dec r3
        li      r3, 0
        addr    r30, data
        addi    r31, r30, second_counter - data
second_ready:
        nop
second: addi    r3, r3, 1
        std     r3, 0(r31)
        b       second
second_end:

        # 20,000 rounds; buffer has those in which the second vCPU has counted
        .globl  beside, beside_end
beside:
        li      r3, 0
        li      r5, 20000
        li      r7, -1
        addr    r8, buffer
1:      addi    r3, r3, 1
        ld      r6, second_counter - data(r30)
        cmpd    r6, r7
        beq     2f
        mr      r7, r6
        std     r3, 0(r8)
        addi    r8, r8, 8
2:      cmpd    r3, r5
        blt     1b
beside_end:
        nop
        b       spin

        # Room for breakpoints that nobody comes to, from a page's loop on
        .balign 4096
        .globl  crowd, crowd_top, crowd_end, crowd_room, crowd_room_end
crowd:
        li      r3, 0
        li      r5, 10000
crowd_top:
        addi    r3, r3, 1
        cmpd    r3, r5
        blt     crowd_top
crowd_end:
        b       crowd
crowd_room:
        .space  48000
crowd_room_end:

        .section .data
        .globl  data, counter, second_counter, ticks, late, buffer, buffer_end
        .balign 128
data:   .quad   0, 0, 0, 0
counter: .quad  0
second_counter: .quad 0
ticks:  .quad   0
late:   .quad   0
rtas:   .long   RTAS_START_CPU, 3, 1, 1, 0, 0, 0
        .balign 128
buffer: .space  16384
buffer_end:
