# SPDX-License-Identifier: GPL-2.0-or-later
#
# From VOF's 32-bit big-endian entry to little-endian C (ELF ABI v2).

        .include "bare.inc"

        .section .start, "ax"
        .globl  _start, calling
_start:
        # The words of this in big-endian order: set MSR[LE] and go on behind.
        .long   0xa600607d      # mfmsr  r11
        .long   0x01006b69      # xori   r11, r11, 1
        .long   0x00004039      # li     r10, 0
        .long   0x6401417d      # mtmsrd r10, 1
        .long   0x05009f42      # bcl    20, 31, .+4
        .long   0xa602487d      # mflr   r10
        .long   0x14004a39      # addi   r10, r10, 20
        .long   0xa6035a7d      # mtsrr0 r10
        .long   0xa6037b7d      # mtsrr1 r11
        .long   0x2400004c      # rfid
        to_64bit
        addr    r1, stack_end - 128
        li      r3, 0
        std     r3, 0(r1)
        addr    r2, .TOC.
calling:
        bl      main
        b       .

        .section .bss
        .balign 128
stack:  .space  16384
stack_end:
