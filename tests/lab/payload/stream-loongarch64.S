# SPDX-License-Identifier: GPL-2.0-or-later
#
# The fixed part of a generated LoongArch guest (stream_loongarch64.py): entry, page
# tables, exception handlers, the other vCPUs.  The generated part is assembled behind
# it, as more of .text, and runs from `begin` to `done`.
#
# Assembled with --defsym for each of:
#   MAPPED     0: addresses are direct; 1: by windows (DMW); 2: by page tables
#   OTHERS     how many other vCPUs to start, which take exceptions for ever
#   TIMER      1: the timer's interrupt is pending all the time
#   UNMAPPED   an address without a mapping
#
# Everything is in 2 MiB from 0x1000000 on, in pages that PLV3 can use, but for
# `private`.  Nothing depends on time.
#
# r21: this vCPU's area (see A_*);  r22: UNMAPPED;  r2: where the section is, for
# rules_loongarch64.py.  These keep their values in every mode, all else is free.
# syscall 1 returns home (PLV0, interrupts off), any other just returns.

        .set    CRMD, 0x0
        .set    PRMD, 0x1
        .set    EUEN, 0x2
        .set    ECFG, 0x4
        .set    ESTAT, 0x5
        .set    ERA, 0x6
        .set    BADV, 0x7
        .set    BADI, 0x8
        .set    EENTRY, 0xc
        .set    ASID, 0x18
        .set    PGDL, 0x19
        .set    PGDH, 0x1a
        .set    PGD, 0x1b
        .set    PWCL, 0x1c
        .set    PWCH, 0x1d
        .set    STLBPS, 0x1e
        .set    CPUID, 0x20
        .set    SAVE0, 0x30
        .set    TID, 0x40
        .set    TCFG, 0x41
        .set    TICLR, 0x44
        .set    LLBCTL, 0x60
        .set    TLBRENTRY, 0x88
        .set    TLBRSAVE, 0x8b
        .set    TLBREHI, 0x8e
        .set    DMW0, 0x180

        .set    TI, 1 << 11                     # of ESTAT and ECFG
        .set    MAIL_SEND, 0x1048
        .set    IPI_SEND, 0x1040

        # A vCPU's area
        .set    A_HASH, 0x20
        .set    A_ROUNDS, 0x70                  # of another vCPU
        .set    A_WRONG, 0x78                   # what it found wrong
        .set    A_COUNTS, 0x100                 # 0x100 + exception code * 8
        .set    A_IRQS, 0x300
        .set    A_LOOK, 0x2000                  # what `look` saw: vectors, then the others
        .set    AREA, 0x600                     # of another vCPU

        # $r to $r of 31, without those that are kept
.macro  all, what
        .irp    n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20
        \what   \n
        .endr
        .irp    n, 23,24,25,26,27,28,29,30,31
        \what   \n
        .endr
.endm
.macro  vectors what
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        \what   $xr\n, $t0, 32 * \n
        .endr
        .irp    n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        \what   $xr\n, $t0, 32 * \n
        .endr
.endm
.macro  load n
        ld.d    $r\n, $r2, 8 * \n
.endm

        .section .text
        .globl  _start, begin, done, data_begin, data_end, look, look_end

_start:
        bl      set_up
    .if OTHERS
        bl      start_others
    .endif
        li.w    $t0, TIMER * TI
        csrwr   $t0, ECFG
    .if TIMER
        li.w    $t0, 5                          # once, almost at once
        csrwr   $t0, TCFG
        li.w    $t1, TI
1:      csrrd   $t0, ESTAT
        and     $t0, $t0, $t1
        beqz    $t0, 1b
    .endif
        la.pcrel $r21, data_begin
        li.d    $r22, UNMAPPED
        .irp    csr, PRMD,ERA,BADV,TID,SAVE0+4,SAVE0+5,SAVE0+6,SAVE0+7
        csrwr   $zero, \csr
        .endr
    .if MAPPED == 2
        # Each page once: what is in the TLB does not depend on what runs first
        la.pcrel $t0, _start
        la.pcrel $t1, data_end
        li.w    $t2, 4096
1:      ld.b    $zero, $t0, 0
        add.d   $t0, $t0, $t2
        bltu    $t0, $t1, 1b
    .endif
        la.pcrel $t0, pool
        vectors xvld
        .irp    n, 0,1,2,3,4,5,6,7
        movgr2cf $fcc\n, $zero
        .endr
        movgr2fcsr $fcsr0, $zero
        la.pcrel $r2, pool
        all     load
        move    $r2, $zero
        b       begin

        # What each vCPU has to do
set_up:
        la.pcrel $t0, entries
        csrwr   $t0, EENTRY
        csrwr   $zero, ECFG
        csrwr   $zero, TCFG
        li.w    $t0, 1
        csrwr   $t0, TICLR
        li.w    $t0, 7
        csrwr   $t0, EUEN
    .if MAPPED
        la.pcrel $t0, refill
        csrwr   $t0, TLBRENTRY
        li.d    $t0, 0x9000000000000011
        csrwr   $t0, DMW0 + 1
        li.d    $t0, 0x8000000000000001         # devices
        csrwr   $t0, DMW0 + 2
        csrwr   $zero, DMW0 + 3
        li.w    $t0, (2 - MAPPED) * 0x19        # all that is low
        csrwr   $t0, DMW0
        li.w    $t0, 12 | 9 << 5 | 21 << 10 | 9 << 15 | 30 << 20 | 9 << 25
        csrwr   $t0, PWCL
        csrwr   $zero, PWCH
        li.w    $t0, 12
        csrwr   $t0, STLBPS
        csrwr   $t0, TLBREHI                    # page size
        csrwr   $zero, ASID
        la.pcrel $t0, directory2
        move    $t1, $t0
        csrwr   $t1, PGDL
        move    $t1, $t0
        csrwr   $t1, PGDH
        # 1 GiB each; 2 MiB each; our pages.  All vCPUs write the same
        la.pcrel $t1, directory1
        st.d    $t1, $t0, 0
        la.pcrel $t2, none
        li.w    $t3, 512
1:      st.d    $t2, $t1, 0
        addi.d  $t1, $t1, 8
        addi.w  $t3, $t3, -1
        bnez    $t3, 1b
        la.pcrel $t1, directory1
        la.pcrel $t2, table
        st.d    $t2, $t1, 8 * 8                 # 0x1000000
        la.pcrel $t3, _start
        la.pcrel $t4, data_others
        la.pcrel $t5, private
        li.w    $t6, 512
1:      li.w    $t0, 0x9d                       # code: P, MAT, PLV3, V
        bltu    $t3, $t4, 2f
        li.d    $t0, 0x400000000000019f         # data: NX, W, D
        bne     $t3, $t5, 2f
        li.d    $t0, 0x4000000000000193         # PLV0
2:      or      $t0, $t0, $t3
        st.d    $t0, $t2, 0
        addi.d  $t2, $t2, 8
        li.w    $t0, 4096
        add.d   $t3, $t3, $t0
        addi.w  $t6, $t6, -1
        bnez    $t6, 1b
        dbar    0
        invtlb  0, $zero, $zero
        li.w    $t0, 0x10
        li.w    $t1, 0x18
        csrxchg $t0, $t1, CRMD
    .endif
        ret

    .if OTHERS
        # By mail, until they answer; where there are none (a reference) not for long
start_others:
        la.pcrel $t0, data_others
        li.w    $t1, 1
1:      li.w    $t2, 100
2:      la.pcrel $t3, other
        slli.d  $t3, $t3, 32
        slli.d  $t4, $t1, 16
        or      $t4, $t4, $t3
        lu12i.w $t5, -0x80000                   # wait for it
        bstrpick.d $t5, $t5, 31, 0
        or      $t4, $t4, $t5
        li.w    $t6, MAIL_SEND
        iocsrwr.d $t4, $t6
        slli.d  $t4, $t1, 16
        or      $t4, $t4, $t5
        li.w    $t6, IPI_SEND
        iocsrwr.w $t4, $t6
        li.w    $t6, 50000
3:      ld.d    $t7, $t0, A_ROUNDS
        bnez    $t7, 4f
        addi.w  $t6, $t6, -1
        bnez    $t6, 3b
        addi.w  $t2, $t2, -1
        bnez    $t2, 2b
4:      addi.d  $t0, $t0, AREA
        addi.w  $t1, $t1, 1
        li.w    $t2, OTHERS
        bge     $t2, $t1, 1b
        ret

        # Another vCPU: every exception that it can raise, again and again, with a timer;
        # what it has counted must agree with the rounds that it made.
other:
        bl      set_up
        csrrd   $t0, CPUID
        addi.d  $t0, $t0, -1
        li.w    $t1, AREA
        mul.d   $t0, $t0, $t1
        la.pcrel $r21, data_others
        add.d   $r21, $r21, $t0
        li.d    $r22, UNMAPPED
        move    $s0, $zero
        li.w    $t0, TI
        csrwr   $t0, ECFG
        li.w    $t0, 100000 * 4 + 3
        csrwr   $t0, TCFG
other_loop:
        addi.d  $s0, $s0, 1
        st.d    $s0, $r21, A_ROUNDS
        syscall 0
        break   7
        .word   0xffffffff
        la.pcrel $a0, shared
1:      ll.d    $a1, $a0, 0
        addi.d  $a1, $a1, 1
        sc.d    $a1, $a0, 0
        beqz    $a1, 1b
        la.pcrel $t0, 2f
        csrwr   $t0, ERA
        li.w    $t0, 7                          # PLV3, interrupts on
        csrwr   $t0, PRMD
        ertn
2:      syscall 2
        .word   0xffffffff
        csrrd   $t0, CRMD                       # not for PLV3
    .if MAPPED
        ld.d    $t0, $r22, 0
    .endif
        syscall 1
        .macro  counted code, times
        ld.d    $t0, $r21, A_COUNTS + \code * 8
        li.w    $t1, \times
        mul.d   $t1, $t1, $s0
        xor     $t0, $t0, $t1
        or      $s1, $s1, $t0
        .endm
        move    $s1, $zero
        counted 0xb, 3
        counted 0xc, 1
        counted 0xd, 2
        counted 0xe, 1
    .if MAPPED
        counted 0x1, 1
    .endif
        st.d    $s1, $r21, A_WRONG
        bnez    $s1, .                          # stays as it is, to be looked at
        b       other_loop
    .endif

        # Exceptions of all kinds, whatever ECFG.VS is
        .balign 4096
entries:
        .rept   0x2800
        b       common
        .endr
common:
        csrwr   $t0, SAVE0
        csrwr   $t1, SAVE0 + 1
        csrwr   $t2, SAVE0 + 2
        csrwr   $t3, SAVE0 + 3
        csrrd   $t0, ESTAT
        bstrpick.d $t1, $t0, 21, 16
        # remember all of it, as any trace of a debugger would show here
        ld.d    $t2, $r21, A_HASH
        beqz    $t1, 1f
        xor     $t2, $t2, $t0
        .irp    csr, ERA,PRMD,CRMD,BADV,BADI
        csrrd   $t3, \csr
        rotri.d $t2, $t2, 9
        xor     $t2, $t2, $t3
        .endr
        st.d    $t2, $r21, A_HASH
1:      alsl.d  $t2, $t1, $r21, 3
        ld.d    $t3, $t2, A_COUNTS
        addi.d  $t3, $t3, 1
        st.d    $t3, $t2, A_COUNTS
        la.pcrel $t2, kinds
        alsl.d  $t2, $t1, $t2, 2
        jirl    $zero, $t2, 0
kinds:                                          # by exception code
        b       interrupt
        .irp    n, 1,2
        b       skip
        .endr
        b       fetch                           # PIF
        .irp    n, 4,5
        b       skip
        .endr
        .irp    n, 6,7,8
        b       fetch                           # PNX, PPI, ADE
        .endr
        .irp    n, 9,10
        b       skip
        .endr
        b       system_call
        .irp    n, 12,13,14
        b       skip
        .endr
        .irp    n, 15,16,17
        b       unit_on
        .endr
        .rept   46
        b       skip
        .endr
interrupt:
        csrrd   $t0, CPUID
        bnez    $t0, 1f
        ld.d    $t0, $r21, A_IRQS               # never, as all are held back
        addi.d  $t0, $t0, 1
        st.d    $t0, $r21, A_IRQS
        li.w    $t0, 4
        csrxchg $zero, $t0, PRMD
        b       return
1:      li.w    $t0, 1
        csrwr   $t0, TICLR
        b       return
fetch:                                          # nothing to skip there
        csrrd   $t2, ERA
        csrrd   $t3, BADV
        bne     $t2, $t3, skip
        move    $t2, $ra
        csrwr   $t2, ERA
        b       return
system_call:
        csrrd   $t2, BADI
        bstrpick.d $t2, $t2, 14, 0
        addi.d  $t2, $t2, -1
        bnez    $t2, skip
        csrwr   $t2, PRMD
skip:
        csrrd   $t2, ERA
        addi.d  $t2, $t2, 4
        csrwr   $t2, ERA
        b       return
unit_on:
        li.w    $t2, 7
        csrwr   $t2, EUEN
return:
        csrrd   $t0, SAVE0
        csrrd   $t1, SAVE0 + 1
        csrrd   $t2, SAVE0 + 2
        csrrd   $t3, SAVE0 + 3
        ertn

    .if MAPPED
        .balign 4096
refill:
        csrwr   $t0, TLBRSAVE
        csrrd   $t0, PGD
        lddir   $t0, $t0, 2
        lddir   $t0, $t0, 1
        ldpte   $t0, 0
        ldpte   $t0, 1
        tlbfill
        csrrd   $t0, TLBRSAVE
refill_done:
        ertn
    .endif

        # Everything that a debugger reads slowly, stored: called in home state at the
        # end of each section.  lockstep.py lets it run at full speed, from `look` to
        # `look_end`, and compares memory there.  Changes t0 and t1.  Without the
        # CSRs of TLB refills, of which the host may cause more.
look:
        li.w    $t0, 7
        csrwr   $t0, EUEN
        li.w    $t0, A_LOOK
        add.d   $t0, $t0, $r21
        vectors xvst
        .set    at, 0x400
        .irp    csr, CRMD,PRMD,EUEN,ECFG,ESTAT,ERA,BADV,BADI,EENTRY,TID,PGDL,PGDH
        csrrd   $t1, \csr
        st.d    $t1, $t0, at
        .set    at, at + 8
        .endr
        .irp    csr, ASID,DMW0,DMW0+1,DMW0+2,DMW0+3,SAVE0+4,SAVE0+5,SAVE0+6,SAVE0+7
        csrrd   $t1, \csr
        st.d    $t1, $t0, at
        .set    at, at + 8
        .endr
        .irp    n, 0,1,2,3,4,5,6,7
        movcf2gr $t1, $fcc\n
        st.b    $t1, $t0, at + \n
        .endr
        movfcsr2gr $t1, $fcsr0
        st.d    $t1, $t0, at + 8
        # Without WCLLB, which ends a link and reads as 0: TCG keeps it
        csrrd   $t1, LLBCTL
        andi    $t1, $t1, 5
        st.d    $t1, $t0, at + 16
look_end:
        ret

        # The first areas are the other vCPUs'
        .section .data
        .balign 4096
data_others:
        .space  3 * AREA
        .balign 128
shared: .dword  0
        .balign 4096
        .globl  private
private: .space 4096
directory2: .space 4096
directory1: .space 4096
table:  .space  4096
none:   .space  4096
data_begin:
        .space  0x2a00
