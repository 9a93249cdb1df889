# SPDX-License-Identifier: GPL-2.0-or-later
#
# What has to be aligned, and is not.  Prints "ok" if each raises its exception.

        .set    ECFG, 0x4
        .set    ESTAT, 0x5
        .set    ERA, 0x6
        .set    BADV, 0x7
        .set    EENTRY, 0xc
        .set    ADE, 0x8
        .set    ALE, 0x9
        .set    UART, 0x1fe001e0

        # s0: the address; s1: the exception's code; s2: where to go on
        .section .text
        .globl  _start
_start:
        la.pcrel $t0, handler
        csrwr   $t0, EENTRY
        csrwr   $zero, ECFG
        la.pcrel $s0, data
        addi.d  $s0, $s0, 1
        li.w    $s1, ALE
        la.pcrel $s2, 1f
        ll.w    $a0, $s0, 0
        b       wrong
1:      la.pcrel $s2, 3f
        amadd.w $a0, $zero, $s0
        b       wrong
3:      la.pcrel $s0, 4f
        addi.d  $s0, $s0, 2
        li.w    $s1, ADE
        la.pcrel $s2, 5f
        jirl    $zero, $s0, 0
4:      nop
        b       wrong
5:      la.pcrel $a1, good
        b       say
wrong:  la.pcrel $a1, bad
say:    li.w    $t0, UART
1:      ld.b    $t1, $a1, 0
        beqz    $t1, .
        st.b    $t1, $t0, 0
        addi.d  $a1, $a1, 1
        b       1b

        .balign 4096
handler:
        csrrd   $t0, ESTAT
        bstrpick.d $t0, $t0, 21, 16
        bne     $t0, $s1, wrong
        csrrd   $t0, BADV
        bne     $t0, $s0, wrong
        move    $t0, $s2
        csrwr   $t0, ERA
        ertn
        .balign 16
data:   .dword  0, 0
good:   .asciz  "ok\n"
bad:    .asciz  "wrong\n"
