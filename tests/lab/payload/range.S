# SPDX-License-Identifier: GPL-2.0-or-later
#
# Instructions that a step emulates or that change the mode, in a loop; and a
# radix tree that has the first GiB a second time, at 0xc000000000000000.

        .include "bare.inc"

        .section .text
        .globl  _start, ready, special, special_call, special_end, free, free_end
_start:
        to_64bit
        copy    system_call, system_call_end, 0xc00
        radix_on
        addr    r30, data
        far_dec r3
ready:
        nop
        b       .

        # 8 rounds of hypercall, mtmsrd, mtmsr, sc, rfid
special:
        li      r5, 0
1:      addi    r5, r5, 1
        li      r3, -8                  # no such hypercall
        sc      1
        std     r3, 0(r30)
        mfmsr   r7
        ori     r8, r7, MSR_IR | MSR_DR
        mtmsrd  r8
        isync
        ld      r6, 0(r30)              # relocated
        mtmsr   r7
        isync
        li      r0, 0
special_call:
        sc
        mtsrr1  r8
        addr    r9, 2f
        mtsrr0  r9
        rfid
2:      mfmsr   r10
        std     r10, 8(r30)
        mtmsrd  r7
        isync
        cmpdi   r5, 8
        blt     1b
special_end:
        nop
        b       .

        .balign 8
system_call:
        ld      r11, calls - data(r30)
        addi    r11, r11, 1
        std     r11, calls - data(r30)
        rfid
        .balign 8
system_call_end:

        # Runs anywhere
        .balign 64
free:
        addi    r4, r4, 1
        addi    r5, r5, 1
        addi    r6, r6, 1
        b       free
free_end:

        .section .data
        .globl  data, calls
        .balign 128
data:   .quad   0, 0
calls:  .quad   0
