# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.S for LoongArch: the same places, at PLV0 with direct addresses.  What is r3,
# r5... there has these numbers here, too.
#
# r28 is data, r27 this vCPU's counter; both are set at `ready` and `second_ready`.

        .set    ECFG, 0x4
        .set    MAIL_SEND, 0x1048               # IOCSR
        .set    IPI_SEND, 0x1040

        .section .text
        .globl  _start, ready, spin, spin_end
_start:
        la.pcrel $r28, data
        la.pcrel $r27, counter
        move    $r3, $zero
ready:
        nop
spin:   addi.d  $r3, $r3, 1
        st.d    $r3, $r27, 0
        b       spin
spin_end:

        # Thirteen instructions one behind the other
        .globl  straight, straight_end
straight:
        .rept   13
        addi.d  $r5, $r5, 1
        .endr
straight_end:
        b       spin

        # 10,000 rounds of four instructions
        .globl  rounds, rounds_top, rounds_store, rounds_end
rounds:
        move    $r3, $zero
        li.w    $r5, 10000
rounds_top:
        addi.d  $r3, $r3, 1
rounds_store:
        st.d    $r3, $r27, 0
        nop
        blt     $r3, $r5, rounds_top
rounds_end:
        nop
        b       spin

        # By mail, again until it has come: the other vCPU empties its box once before it
        # looks into it
        .globl  start_second, started, second_ready, second, second_end
start_second:
        la.pcrel $r12, second_start
        slli.d  $r12, $r12, 32
        li.d    $r13, 0x80010000                # wait for it; to vCPU 1
        or      $r12, $r12, $r13
        li.w    $r14, MAIL_SEND
        iocsrwr.d $r12, $r14
        li.w    $r14, IPI_SEND
        iocsrwr.w $r13, $r14
        la.pcrel $r16, alive
        li.w    $r14, 10000
1:      ld.d    $r15, $r16, 0
        bnez    $r15, started
        addi.d  $r14, $r14, -1
        bnez    $r14, 1b
        b       start_second
started:
        move    $r3, $zero
        b       spin
second_start:
        csrwr   $zero, ECFG
        move    $r3, $zero
        la.pcrel $r28, data
        la.pcrel $r27, second_counter
        la.pcrel $r13, alive
        st.d    $r27, $r13, 0
second_ready:
        nop
second: addi.d  $r3, $r3, 1
        st.d    $r3, $r27, 0
        b       second
second_end:

        .section .data
        .globl  data, counter, second_counter
        .balign 128
data:   .dword  0, 0, 0, 0
counter: .dword 0
second_counter: .dword 0
alive:  .dword  0
