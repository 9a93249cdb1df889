# SPDX-License-Identifier: GPL-2.0-or-later
#
# Root mode of the LVZ test: start, the way to a guest and back, the refill of a
# guest's physical addresses.  The root runs in a direct mapped window of PLV0 where
# virtual and physical addresses are the same.

        .set    CRMD, 0x0
        .set    PRMD, 0x1
        .set    ERA, 0x6
        .set    EENTRY, 0xc
        .set    SAVE0, 0x30
        .set    SAVE1, 0x31
        .set    GSTAT, 0x50
        .set    TLBRENTRY, 0x88
        .set    TLBRBADV, 0x89
        .set    TLBRSAVE, 0x8b
        .set    TLBRELO0, 0x8c
        .set    TLBRELO1, 0x8d
        .set    TLBREHI, 0x8e
        .set    DMW0, 0x180
        .set    PVM, 2

        .section .text.start, "ax"
        .globl  _start
_start:
        li.w    $t0, 0x11               # PLV0, coherent cached, segment 0
        csrwr   $t0, DMW0
        la.abs  $t0, exit_entry
        csrwr   $t0, EENTRY
        la.abs  $t0, refill
        csrwr   $t0, TLBRENTRY
        li.w    $t0, 0x10               # PG
        csrwr   $t0, CRMD
        la.abs  $sp, stack_end
        bl      main
1:      b       1b

# What a guest's physical page is: itself, but for the page at WINDOW, which is at
# `window`; `present` 0 makes pages of DEVICE not valid.  Counts refills.
        .balign 4096
refill:
        csrwr   $t0, TLBRSAVE
        la.abs  $t0, saved
        st.d    $t1, $t0, 0
        st.d    $t2, $t0, 8
        ld.d    $t1, $t0, 16            # refills
        addi.d  $t1, $t1, 1
        st.d    $t1, $t0, 16
        csrrd   $t1, TLBRBADV
        srli.d  $t1, $t1, 13
        slli.d  $t1, $t1, 13
        li.d    $t2, 0x40000000         # WINDOW
        bne     $t1, $t2, 1f
        ld.d    $t1, $t0, 24            # window
1:      li.d    $t2, 0x50000000         # DEVICE
        beq     $t1, $t2, 2f
        ori     $t1, $t1, 0x13          # V, D, MAT
2:      csrwr   $t1, TLBRELO0
        csrrd   $t1, TLBRELO0
        li.w    $t2, 4096
        add.d   $t1, $t1, $t2
        csrwr   $t1, TLBRELO1
        csrrd   $t1, TLBREHI
        srli.d  $t1, $t1, 6
        slli.d  $t1, $t1, 6
        ori     $t1, $t1, 12
        csrwr   $t1, TLBREHI
        tlbfill
        ld.d    $t1, $t0, 0
        ld.d    $t2, $t0, 8
        csrrd   $t0, TLBRSAVE
        ertn

        .bss
        .balign 16
        .globl  saved, refills, window
saved:  .skip   16
refills: .skip  8
window: .skip   8

# void enter(struct regs *guest): until the next exit.  r[32], then pc.
        .text
        .globl  enter
enter:
        addi.d  $sp, $sp, -112
        st.d    $ra, $sp, 0
        st.d    $fp, $sp, 8
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8
        st.d    $s\n, $sp, 16 + 8 * \n
        .endr
        st.d    $tp, $sp, 88
        st.d    $r21, $sp, 96
        csrwr   $sp, SAVE1
        csrrd   $sp, SAVE1
        move    $t0, $a0
        csrwr   $t0, SAVE0
        ld.d    $t0, $a0, 256
        csrwr   $t0, ERA
        ld.d    $t0, $a0, 264
        csrwr   $t0, PRMD
        li.w    $t0, PVM
        csrxchg $t0, $t0, GSTAT
        .irp    n, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        ld.d    $r\n, $a0, 8 * \n
        .endr
        ld.d    $a0, $a0, 32
        ertn

        .balign 4096
exit_entry:
        csrwr   $a0, SAVE0
        .irp    n, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        st.d    $r\n, $a0, 8 * \n
        .endr
        csrrd   $t0, SAVE0
        st.d    $t0, $a0, 32
        csrrd   $t0, ERA
        st.d    $t0, $a0, 256
        li.w    $t0, PVM
        csrxchg $zero, $t0, GSTAT
        csrrd   $sp, SAVE1
        ld.d    $ra, $sp, 0
        ld.d    $fp, $sp, 8
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8
        ld.d    $s\n, $sp, 16 + 8 * \n
        .endr
        ld.d    $tp, $sp, 88
        ld.d    $r21, $sp, 96
        addi.d  $sp, $sp, 112
        ret
