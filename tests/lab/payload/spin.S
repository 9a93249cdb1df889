# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that counts for ever: r3 and the doubleword at `counter`.

        .section .text
        .globl  _start, begin, spin, counter
_start:
        li      r3, 0
        lis     r4, counter@h
        ori     r4, r4, counter@l
begin:
spin:   addi    r3, r3, 1
        std     r3, 0(r4)
        b       spin

        .section .data
        .balign 8
counter:
        .quad   0
