# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that gives its processor away, again and again: with the decrementer
# far away, H_CEDE waits until somebody gets tired of it.

        .set    H_CEDE, 0xe0

        .section .text
        .globl  _start, begin, call, counter
_start:
        lis     r3, 0x7fff
        mtdec   r3
        li      r8, 0
        lis     r9, counter@h
        ori     r9, r9, counter@l
begin:
1:      addi    r8, r8, 1
        std     r8, 0(r9)
        li      r3, H_CEDE
call:   sc      1
        b       1b

        .section .data
        .balign 8
counter:
        .quad   0
