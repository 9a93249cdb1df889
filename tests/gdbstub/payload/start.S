# SPDX-License-Identifier: GPL-2.0-or-later
#
# From VOF's 32-bit big-endian entry to little-endian C (ELF ABI v2).

        .include "bare.inc"

        .section .start, "ax"
        .globl  _start, calling
_start:
        little_endian
        to_64bit
        addr    r1, stack_end - 128
        li      r3, 0
        std     r3, 0(r1)
        addr    r2, .TOC.
        mfmsr   r3              # floating point
        ori     r3, r3, 0x2000
        mtmsrd  r3
        isync
calling:
        bl      main
        b       .

        .section .bss
        .balign 128
stack:  .space  16384
stack_end:
