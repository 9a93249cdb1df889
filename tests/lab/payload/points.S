# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that traces itself and accesses a page that is not mapped, for ever: the
# interrupts that hardware breakpoints and watchpoints borrow are its own.  Counts
# rounds, Trace and data storage interrupts, and as `strange` all interrupts that
# its own instructions do not raise.  It writes its vectors after it has started,
# as a kernel does.
#
#   0x0100  vectors, 0x1000 common code;  0x2000 save area

        .include "bare.inc"

        .set    SAVE, 0x2000

        .section .text
        .globl  _start, begin, loop, traced, hot, never

_start:
        to_64bit
        copy    low_begin, low_end, 0x100
        radix_on
        addr    r31, counters
        lis     r30, 0x4000             # not mapped
        mfmsr   r3
        ori     r3, r3, MSR_IR | MSR_DR
        mtsrr1  r3
        addr    r4, begin
        mtsrr0  r4
        rfid
begin:
        li      r9, 0
        mfmsr   r28
        ori     r29, r28, MSR_SE
loop:
        ld      r4, rounds - counters(r31)
        addi    r4, r4, 1
        std     r4, rounds - counters(r31)
        ld      r5, unused - counters(r31)
        cmpdi   r5, 0
        bne     never
        mtsrr1  r29
        addr    r6, traced
        mtsrr0  r6
        rfid
traced: addi    r7, r7, 1
own_trace:
        nop
own_fault:
        lwz     r8, 0(r30)
hot:    addi    r7, r7, 1
        std     r7, seen - counters(r31)
        b       loop
never:                                  # unless the debugger sets `unused`
        addi    r9, r9, 1
        li      r5, 0
        std     r5, unused - counters(r31)
        std     r9, visits - counters(r31)
        b       loop

.macro count what
        ld      r22, \what - counters(r26)
        addi    r22, r22, 1
        std     r22, \what - counters(r26)
.endm

        .section .low, "ax"
low_begin:
        all_vectors

        .org    low_begin + 0xf00
common:                                         # at 0x1000
        # r20 to r27 are for this alone
        mfcr    r27
        addr    r26, counters
        mfsrr0  r20
        mfsrr1  r21
        cmpwi   r3, 0x900
        beq     far
        cmpwi   r3, 0xd00
        beq     trace
        cmpwi   r3, 0x300
        beq     fault
strange:
        count   stranges
        std     r3, stranger - counters(r26)
        std     r20, stranger + 8 - counters(r26)
        std     r21, stranger + 16 - counters(r26)
        addi    r20, r20, 4
        b       out
far:
        far_dec r22
        b       out
trace:
        li      r22, MSR_SE
        andc    r21, r21, r22
        addr    r22, own_trace
        cmpd    r20, r22
        bne     strange
        count   traces
        b       out
fault:
        addr    r22, own_fault
        cmpd    r20, r22
        bne     strange
        count   faults
        addi    r20, r20, 4
out:
        mtsrr0  r20
        mtsrr1  r21
        mtcr    r27
        ld      r3, SAVE(0)
        rfid
        .balign 8
low_end:

        .section .data
        .globl  counters, rounds, traces, faults, stranges, stranger, unused, visits, seen
        .balign 128
counters:
rounds: .quad   0
traces: .quad   0
faults: .quad   0
stranges: .quad 0
stranger: .quad 0, 0, 0                 # vector, SRR0, SRR1 of the last one
unused: .quad   0
visits: .quad   0
        .balign 64
seen:   .quad   0
