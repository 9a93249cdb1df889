# SPDX-License-Identifier: GPL-2.0-or-later
#
# The fixed part of a generated guest (stream.py): entry, translation, interrupt
# handlers, other vCPUs.  The generated part is assembled behind it, as more of
# .text, and runs from `begin` to `done`.
#
# Assembled with --defsym for each of:
#   LE         1: little-endian, after a big-endian entry
#   AIL        0 or 3: where interrupts go when nothing else is asked for
#   HASH       1: hash MMU, 4 KiB pages and SLB; 0: radix
#   OTHERS     1: start the other vCPUs, which take interrupts for ever
#   FSCR       facilities to enable
#
# The loader places us at 0x400000 and VOF enters big-endian, in 32-bit real mode.
# Nothing depends on time; the decrementer's handler leaves no trace.
#
# Low memory, all absolute:
#   0x0100  vectors, 0x1000 common handler, 0x1f00 a subroutine for bcla
#   0x3000  scv with AIL=3;  0x4100  the vectors again for AIL=3
#   0x17000 scv
# and 0x800000 process table, 0x810000 radix root, 0x820000 second level.
#
# r31: this vCPU's area (see A_*), in every mode;  r30: an address without a
# mapping;  r29: kept for the generator.  Everything else is free.
# sc with r0 = 1 returns in the area's A_HOME state, with any other r0 just returns.

        .set    MSR_EE, 0x8000
        .set    MSR_PR, 0x4000
        .set    MSR_FP, 0x2000
        .set    MSR_SE, 0x0400
        .set    MSR_BE, 0x0200
        .set    MSR_IR, 0x20
        .set    MSR_DR, 0x10
        .set    MSR_RI, 0x02

        .set    SPR_DSCR, 17
        .set    SPR_FSCR, 153
        .set    SPR_TAR, 815

        .set    H_ENTER, 0x08
        .set    H_CEDE, 0xe0
        .set    H_SET_MODE, 0x31c
        .set    H_REGISTER_PROC_TBL, 0x37c
        .set    H_RTAS, 0xf000
        .set    RTAS_START_CPU, 0x2006  # QEMU's token; the device tree has it too

        .set    PROCESS_TABLE, 0x800000
        .set    RADIX_ROOT, 0x810000
        .set    RADIX_NEXT, 0x820000
        .set    VSID, 0x1234
        .set    HPT_MASK, 0x3ffff       # of PTEGs: 32 MiB for maxmem=4G

        # A vCPU's area
        .set    A_R3, 0x00
        .set    A_R4, 0x08
        .set    A_R5, 0x10
        .set    A_R6, 0x18
        .set    A_CR, 0x20
        .set    A_HASH, 0x28
        .set    A_HOME, 0x30            # MSR of home
        .set    A_TRACE, 0x38           # Trace interrupts until tracing ends
        .set    A_SCV, 0x40             # scv's scratch, then 4 counters
        .set    A_ROUNDS, 0x70          # of the other vCPUs
        .set    A_WRONG, 0x78           # what they found wrong
        .set    A_DAR, 0x80             # as the last data interrupt had them
        .set    A_DSISR, 0x88
        .set    A_COUNTS, 0x100         # 0x100 + vector / 4
        .set    A_BUFFER, 0x600         # the generator's from here
        .set    A_LOOK, 0x1000          # what `look` saw: VSRs, then the others
        .set    A_LOOK_SPRS, 0x1420
        .set    AREA, 0x600             # of another vCPU

        .include "entry.inc"

.macro put_be32 offset                  # r3 at r4 + offset
        li      r5, \offset
    .if LE
        stwbrx  r3, r4, r5
    .else
        stwx    r3, r4, r5
    .endif
.endm

.macro set_mode resource, value
        li      r3, H_SET_MODE
        li      r4, \value
        li      r5, \resource
        li      r6, 0
        li      r7, 0
.endm

.macro set_ail value
        set_mode 3, \value
        hcall
.endm

# Supervisor, real mode, everything available: where sc with r0 = 1 leads to.
.macro set_home
        mfmsr   r3
        oris    r3, r3, 0x0280          # VEC, VSX
        ori     r3, r3, MSR_FP | MSR_RI
        mtmsrd  r3
        isync
        mfmsr   r3
        std     r3, A_HOME(r31)
        lis     r3, 0x7fff
        ori     r3, r3, 0xffff
        mtdec   r3
.endm

# SLB: both segments that we run in have the same pages.
.macro set_slb
    .if HASH
        imm64   r3, VSID << 12          # B = 256 MiB, Ks = Kp = 0, 4 KiB pages
        lis     r4, 0x0800
        slbmte  r3, r4                  # entry 0: address 0
        imm64   r4, 0xc000000008000001
        slbmte  r3, r4
        isync
    .endif
.endm

        .section .text
        .globl  _start, begin, done, data_begin, data_end

_start:
    .if LE
        little_endian
        set_mode 4, 1                   # interrupts: little-endian
        sc      1
    .endif
        sixty_four_bit

        copy_handlers

    .if HASH
        # Every page that we use onto itself, by a bolted entry in any free slot.
        # r14: page number, r15: the last one
.macro map first, last
        addr    r14, \first
        addr    r15, \last
        srdi    r14, r14, 12
        srdi    r15, r15, 12
1:      xori    r5, r14, VSID
        lis     r6, HPT_MASK >> 16
        ori     r6, r6, HPT_MASK & 0xffff
        and     r5, r5, r6
        sldi    r5, r5, 3
        imm64   r6, VSID << 12          # AVPN; bolted, valid
        srdi    r7, r14, 11             # the page number's upper 5 bits
        sldi    r7, r7, 7
        or      r6, r6, r7
        ori     r6, r6, 0x11
        sldi    r7, r14, 12
        ori     r7, r7, 0x192           # R, C, M, read/write
        li      r3, H_ENTER
        li      r4, 0
        sc      1
        or      r28, r28, r3
        addi    r14, r14, 1
        cmpw    r14, r15
        ble     1b
.endm
        addr    r3, PROCESS_TABLE
        li      r4, 0x1000 / 128
        mtctr   r4
1:      dcbz    0, r3
        addi    r3, r3, 128
        bdnz    1b
        li      r3, H_REGISTER_PROC_TBL
        li      r4, 0x18                # modify, register, hash with SLB
        li      r5, 0
        li      r6, 0
        li      r7, 0
        sc      1
        mr      r28, r3
        map     0, 0x17000
        map     0x400000, data_end
    .else
        addr    r3, PROCESS_TABLE
        li      r4, 0x21000 / 128
        mtctr   r4
1:      dcbz    0, r3
        addi    r3, r3, 128
        bdnz    1b
        # The first GiB onto itself, for everyone: one leaf of the second level.
        imm64   r3, 0xc000000000000187
        put_be64 RADIX_NEXT
        imm64   r3, 0x8000000000820009
        put_be64 RADIX_ROOT
        imm64   r3, 0x40000000008100ad  # the same for four PIDs
        put_be64 PROCESS_TABLE
        put_be64 PROCESS_TABLE + 16
        put_be64 PROCESS_TABLE + 32
        put_be64 PROCESS_TABLE + 48
        sync
        li      r3, H_REGISTER_PROC_TBL
        li      r4, 0x1d                # modify, register, radix, GTSE
        addr    r5, PROCESS_TABLE
        li      r6, 0
        li      r7, 0
        sc      1
        mr      r28, r3
    .endif
        set_slb
    .if AIL
        set_mode 3, AIL
        sc      1
        or      r28, r28, r3
    .endif

    .if OTHERS
        li      r14, 1
        addr    r15, data_others
2:      addr    r4, rtas
        lis     r3, RTAS_START_CPU >> 16
        ori     r3, r3, RTAS_START_CPU & 0xffff
        put_be32 0
        li      r3, 3
        put_be32 4
        li      r3, 1
        put_be32 8
        mr      r3, r14
        put_be32 12
        addr    r3, other
        put_be32 16
        mr      r3, r15
        put_be32 20
        li      r3, 0
        ori     r3, r3, H_RTAS
        sc      1
        addi    r14, r14, 1
        addi    r15, r15, AREA
        cmpwi   r14, 4
        bne     2b
    .endif

        addr    r31, data_begin
        std     r28, A_BUFFER - 8(r31)  # 0: the hypervisor took all of it
        set_home
        vxor    v0, v0, v0              # TCG starts with VSCR[NJ], KVM without
        mtvscr  v0
        li      r3, 0
        ori     r3, r3, FSCR
        mtspr   SPR_FSCR, r3
        li      r3, 0
        mtspr   SPR_DSCR, r3
        mtspr   SPR_TAR, r3
        mtspr   48, r3                  # PID
        mtspr   256, r3                 # VRSAVE
        mtsrr0  r3
        mtsrr1  r3
        .irp n, 272, 273, 274, 275
        mtspr   \n, r3
        .endr
        mtdar   r3
        mtdsisr r3
        mtlr    r3
        mtctr   r3
        mtxer   r3
        mtcr    r3
        addi    r4, r31, pool - data_begin
        .set    n, 0
        .rept   32
        lxv     n, 16 * n(r4)
        lxv     32 + n, 16 * n(r4)
        lfd     n, pool_doubles - pool + 8 * n(r4)
        .set    n, n + 1
        .endr
        mtfsfi  7, 0
        .irp n, 5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28
        ld      r\n, 8 * \n(r4)
        .endr
        .irp n, 0,1,2,3,4
        li      r\n, \n + 1
        .endr
        li      r29, 0
        lis     r30, UNMAPPED >> 16
        isync
        b       begin

    .if OTHERS
        # Another vCPU: every interrupt that it can raise, again and again; what
        # its own counters say must agree with the rounds it made.
other:
    .if LE
        little_endian
    .endif
        mr      r31, r3
        sixty_four_bit
        set_slb
        set_home
        lis     r30, UNMAPPED >> 16
        li      r20, 0
other_round:
        li      r21, 16
other_loop:
        addi    r20, r20, 1
        std     r20, A_ROUNDS(r31)
        li      r0, 0
        sc
        trap
        .long   0
        addi    r4, r31, A_R3 + 1
        lwarx   r5, 0, r4               # 0x600
        addr    r4, shared
1:      lwarx   r5, 0, r4
        addi    r5, r5, 1
        stwcx.  r5, 0, r4
        bne-    1b
        ld      r3, A_HOME(r31)
        ori     r3, r3, MSR_EE | MSR_PR | MSR_IR | MSR_DR
        mtsrr1  r3
        addr    r4, 2f
        mtsrr0  r4
        rfid
2:      sc
        trap
        mfmsr   r5                      # privileged: 0x700
        lwz     r5, 0(r30)              # 0x300
        li      r0, 1
        sc
        ld      r3, A_COUNTS + 0xc00 / 4(r31)
        mulli   r4, r20, 3
        xor     r22, r3, r4
        ld      r3, A_COUNTS + 0x700 / 4(r31)
        mulli   r4, r20, 4
        xor     r4, r3, r4
        or      r22, r22, r4
        ld      r3, A_COUNTS + 0x600 / 4(r31)
        xor     r4, r3, r20
        or      r22, r22, r4
        ld      r3, A_COUNTS + 0x300 / 4(r31)
        ld      r4, A_COUNTS + 0x380 / 4(r31)
        add     r3, r3, r4
        xor     r4, r3, r20
        or      r22, r22, r4
        std     r22, A_WRONG(r31)
        cmpdi   r22, 0
        bne     .                       # stays as it is, to be looked at
        addi    r21, r21, -1
        cmpwi   r21, 0
        bne     other_loop
        lis     r3, 8                   # 1 ms
        mtdec   r3
        li      r3, H_CEDE
        sc      1
        ld      r3, A_HOME(r31)
        mtmsrd  r3
        b       other_round
    .endif

        # Interrupt handlers, copied to 0x100
        .section .low, "ax"
low_begin:
# Unlike entry.inc's, this saves r3 in the vCPU's own area.
.purgem vector
.macro vector at
        .org    low_begin + \at - 0x100
        std     r3, A_R3(r31)
        li      r3, \at
        b       common
.endm
        .irp at, 0x100,0x200,0x300,0x380,0x400,0x480
        vector  \at
        .endr
        .org    low_begin + 0x400
        rfid                                    # external, at 0x500
        vector  0x600
        vector  0x700
        vector  0x800
        .org    low_begin + 0x800               # decrementer, at 0x900
        std     r3, A_R3(r31)
        lis     r3, 0x7fff
        mtdec   r3
        ld      r3, A_R3(r31)
        rfid
        .irp at, 0x980,0xa00,0xc00,0xd00,0xe00,0xe20,0xe40,0xe60,0xe80
        vector  \at
        .endr
        .irp at, 0xf00,0xf20,0xf40,0xf60,0xf80
        vector  \at
        .endr

        .org    low_begin + 0xf00
common:                                         # at 0x1000
        std     r4, A_R4(r31)
        std     r5, A_R5(r31)
        std     r6, A_R6(r31)
        mfcr    r6
        std     r6, A_CR(r31)
        srwi    r4, r3, 2
        add     r4, r4, r31
        ld      r5, A_COUNTS(r4)
        addi    r5, r5, 1
        std     r5, A_COUNTS(r4)
        mfsrr0  r4
        mfsrr1  r5
        # remember all of it, as any trace of a debugger would show here
        ld      r6, A_HASH(r31)
        rotldi  r6, r6, 7
        xor     r6, r6, r4
        rotldi  r6, r6, 9
        xor     r6, r6, r5
        xor     r6, r6, r3
        std     r6, A_HASH(r31)
        cmpwi   r3, 0xc00
        beq     system_call
        cmpwi   r3, 0x700
        beq     skip
        bgt     above
        cmpwi   r3, 0x400
        beq     return_lr
        cmpwi   r3, 0x480
        beq     return_lr
        mfdar   r6
        std     r6, A_DAR(r31)
        mfdsisr r6
        std     r6, A_DSISR(r31)
skip:                                           # what cannot be done
        andis.  r6, r5, 0x2000                  # SRR1[34]: prefixed
        addi    r4, r4, 4
        beq     1f
        addi    r4, r4, 4
1:      mtsrr0  r4
return:
        ld      r6, A_CR(r31)
        mtcr    r6
        ld      r6, A_R6(r31)
        ld      r5, A_R5(r31)
        ld      r4, A_R4(r31)
        ld      r3, A_R3(r31)
        rfid
system_call:
        cmpwi   r0, 1
        bne     return
        ld      r5, A_HOME(r31)
        mtsrr1  r5
        b       return
return_lr:
        mflr    r4
        mtsrr0  r4
        b       return
above:
        cmpwi   r3, 0xd00
        beq     trace
        cmpwi   r3, 0xf20
        beq     vec_on
        cmpwi   r3, 0xf40
        beq     vsx_on
        cmpwi   r3, 0xf60
        beq     facility_on
        cmpwi   r3, 0x800
        bne     skip
        ori     r5, r5, MSR_FP
        mtsrr1  r5
        b       return
vec_on:
        oris    r5, r5, 0x0200
        mtsrr1  r5
        b       return
vsx_on:
        oris    r5, r5, 0x0080
        mtsrr1  r5
        b       return
facility_on:
        mfspr   r6, SPR_FSCR                    # says which one
        li      r6, 0
        ori     r6, r6, FSCR
        mtspr   SPR_FSCR, r6
        b       return
trace:
        ld      r6, A_TRACE(r31)
        addi    r6, r6, -1
        std     r6, A_TRACE(r31)
        cmpdi   r6, 0
        bgt     return
        li      r6, MSR_SE | MSR_BE
        andc    r5, r5, r6
        mtsrr1  r5
        b       return

        .org    low_begin + 0x1e00
        addi    r3, r3, 9                       # at 0x1f00
        blr
        .balign 8
low_end:

        # System call vectored: one entry each 32 bytes
scv_begin:
        .irp n, 0,1,2,3
        .org    scv_begin + \n * 32
        std     r6, A_SCV(r31)
        ld      r6, A_SCV + 8 + \n * 8(r31)
        addi    r6, r6, 1
        std     r6, A_SCV + 8 + \n * 8(r31)
        ld      r6, A_SCV(r31)
        rfscv
        .endr
        .balign 8
scv_end:

        # Everything that a debugger reads slowly, stored: called in home state at the
        # end of each section.  lockstep.py lets it run at full speed, from `look` to
        # `look_end`, and compares memory there.  Changes r3 and r4.
        .section .text
        .globl  look, look_end
look:
        mfmsr   r3
        oris    r3, r3, 0x0280
        ori     r3, r3, MSR_FP
        mtmsrd  r3
        isync
        .set    n, 0
        .rept   32
        stxv    n, A_LOOK + 16 * n(r31)
        stxv    32 + n, A_LOOK + 0x200 + 16 * n(r31)
        .set    n, n + 1
        .endr
        mffs    f0
        stfd    f0, A_LOOK + 0x400(r31)
        mfvscr  v0
        stxv    32, A_LOOK + 0x410(r31)
        lxv     0, A_LOOK(r31)
        lxv     32, A_LOOK + 0x200(r31)
        .set    at, A_LOOK_SPRS
        .irp n, 1,3,8,9,17,18,19,26,27,48,153,256,272,273,274,275,815
        mfspr   r4, \n
        std     r4, at(r31)
        .set    at, at + 8
        .endr
look_end:
        blr

        # The first area is written by `begin` to `done`, the others' are not.
        .section .data
        .balign 128
data_others:
        .space  3 * AREA
shared: .long   0
        .balign 32
rtas:   .space  32
        .balign 128
data_begin:
        .space  0x1600
