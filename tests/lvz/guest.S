# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests' guests run.  Each begins at its name; hvcl ends a part of it.

        .macro  guest name
        .balign 16
        .globl  \name
\name:
        .endm

        .text
guest guest_hvcl
        hvcl    0x101
        hvcl    0x7fff

# Sensitive instructions: each leaves to the root, with the instruction's word
guest guest_sensitive
        .globl  guest_sensitive_end
        cpucfg  $t0, $zero
        idle    0
        iocsrrd.d $t0, $t1
        iocsrwr.d $t0, $t1
        cacop   0, $t0, 0
        csrrd   $t0, 0x80               # IMPCTL1
        csrrd   $t0, 0x50               # GSTAT
        csrwr   $t0, 0x15               # GTLBC
        csrrd   $t0, 0x500              # DBG
        csrrd   $t0, 0x201              # PERFCNTR0
        csrrd   $t0, 0x3fff             # none
guest_sensitive_end:

# The guest's own: a3 is EENTRY's code; a0 what was read
guest guest_csrs
        li.w    $t0, 0x1234
        csrwr   $t0, 0x32               # SAVE2
        csrrd   $a0, 0x32
        csrrd   $a1, 0x20               # CPUID
        csrrd   $a2, 0x23               # PRCFG3
        csrrd   $a3, 0x18               # ASID
        csrrd   $a4, 0x5                # ESTAT
        li.w    $t0, -1
        csrwr   $t0, 0x5
        csrrd   $a5, 0x5
        hvcl    0

# Exceptions that stay in the guest: the handler is in its EENTRY
guest guest_syscall
        la.pcrel $t0, guest_handler
        csrwr   $t0, 0xc                # EENTRY
        syscall 5
        hvcl    1
guest_handler:
        csrrd   $a0, 0x5                # ESTAT
        csrrd   $a1, 0x6                # ERA
        csrrd   $a2, 0x8                # BADI
        hvcl    2

# Loads and a store of a device: a0 is where
guest guest_mmio
        .globl  guest_mmio_store
        ld.w    $a1, $a0, 4
guest_mmio_store:
        st.d    $a1, $a0, 0x7f8
        hvcl    0

# Loads through the window: a0 is where
guest guest_load
1:      ld.d    $a1, $a0, 0
        hvcl    0
        b       1b

# Floating point: the guest has enabled it
guest guest_fp
        .globl  guest_fp_use, guest_vector_use
        li.w    $t0, 7
        csrwr   $t0, 0x2                # EUEN
guest_fp_use:
        movgr2fr.d $f1, $a0
guest_vector_use:
        xvldi   $xr2, 5
        hvcl    0

# The guest has not enabled it: its own exception
guest guest_fp_off
        csrwr   $zero, 0x2
        la.pcrel $t0, guest_handler
        csrwr   $t0, 0xc
        movgr2fr.d $f1, $a0
        hvcl    1

# Interrupts on, and a loop.  a1 counts
guest guest_loop
        la.pcrel $t0, guest_handler
        csrwr   $t0, 0xc
        li.w    $t0, 0x1fff
        csrwr   $t0, 0x4                # ECFG
        li.w    $t0, 4
        csrxchg $t0, $t0, 0x0           # CRMD.IE
        li.d    $a1, 0
1:      addi.d  $a1, $a1, 1
        b       1b

# With interrupts off until a0 rounds are over
guest guest_later
        la.pcrel $t0, guest_handler
        csrwr   $t0, 0xc
        li.w    $t0, 0x1fff
        csrwr   $t0, 0x4
        csrxchg $zero, $t0, 0x0
1:      addi.d  $a0, $a0, -1
        bnez    $a0, 1b
        li.w    $t0, 4
        csrxchg $t0, $t0, 0x0
1:      b       1b

guest guest_time
        rdtime.d $a0, $a1
        hvcl    0

# To PLV3 and a hypercall from there
guest guest_user
        li.w    $t0, 3
        csrwr   $t0, 0x1                # PRMD
        la.pcrel $t0, 1f
        csrwr   $t0, 0x6                # ERA
        ertn
        .globl  guest_user_hvcl
guest_user_hvcl:
1:      hvcl    0x101
        cpucfg  $t0, $zero
        csrrd   $t0, 0x0

# A mapped guest: its own TLB, filled by tlbwr.  a0: virtual, a1: physical pair
guest guest_paged
        li.w    $t0, 0x11
        csrwr   $t0, 0x180              # DMW0
        csrwr   $zero, 0x8a             # TLBRERA
        li.w    $t0, 12 << 24
        csrwr   $t0, 0x10               # TLBIDX
        csrwr   $a0, 0x11               # TLBEHI
        csrwr   $a1, 0x12               # TLBELO0
        csrwr   $a2, 0x13               # TLBELO1
        csrwr   $a3, 0x18               # ASID
        li.w    $t0, 0x10
        csrwr   $t0, 0x0                # CRMD: PG
        tlbfill
        hvcl    0
1:      ld.d    $a5, $a4, 0
        hvcl    1
        b       1b
