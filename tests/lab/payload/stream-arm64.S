// SPDX-License-Identifier: GPL-2.0-or-later
//
// The fixed part of a generated arm64 guest (stream_arm64.py): entry, translation,
// exception handlers, the other vCPU.  The generated part is assembled behind it, as
// more of .text, and runs from `begin` to `done`.
//
// Assembled with --defsym for each of:
//   BE         1: data is big-endian, at EL1 and EL0
//   MMU        1: 4 KiB pages, the same at HIGH; 0: no translation
//   OTHERS     1: start the other vCPU, which takes exceptions for ever
//   SCTLR      bits of SCTLR_EL1 beside those that this file wants
//   GUARDED    1: code is in guarded pages (BTI)
//   PAC, SVE   1: the processor has them
//   TIMER      1: the virtual timer's interrupt is pending all the time
//
// Everything is in 2 MiB from 0x40400000 on, in pages that EL0 can use, but for
// `private`.  Nothing depends on time.
//
// x28: this vCPU's area (see A_*);  x27: an address without a mapping.  Both keep their
// values in every mode.  Everything else is free, SP too.  svc 1 returns in the area's
// A_HOME state, any other just returns.

        .set    CPU_ON, 0xc4000003              // PSCI, of 64 bits
        .set    GICD, 0x08000000                // of QEMU's virt machine
        .set    GICR, 0x080a0000
        .set    INTID, 27                       // of the virtual timer
        .set    HIGH, 0xffffff8000000000        // leads to the same memory

        // SCTLR_EL1: RES1 or what lets EL0 do more; SPAN, so that PAN stays
        .set    SCTLR_HERE, 0x30d00980 | BE * 0x3000000 | MMU * 0x1005
        .set    SCTLR_SA, 0x18
        .set    CPACR, 0x300000

        // A vCPU's area
        .set    A_X0, 0x00
        .set    A_X1, 0x08
        .set    A_X2, 0x10
        .set    A_X3, 0x18
        .set    A_HASH, 0x20
        .set    A_HOME, 0x28                    // SPSR of home
        .set    A_FAR, 0x30                     // as the last data abort had it
        .set    A_ROUNDS, 0x70                  // of the other vCPU
        .set    A_WRONG, 0x78                   // what it found wrong
        .set    A_COUNTS, 0x100                 // 0x100 + exception class * 8
        .set    A_IRQS, 0x300
        .set    A_BUFFER, 0x600                 // the generator's from here
        .set    A_STACK, 0x1e00
        .set    A_LOOK, 0x2000                  // what `look` saw: V, then the others
        .set    A_LOOK_REGS, 0x2200
        .set    A_LOOK_SVE, 0x2300
        .set    AREA, 0x600                     // of another vCPU

.macro imm64 reg, value
        movz    \reg, (\value) & 0xffff
        movk    \reg, (\value) >> 16 & 0xffff, lsl 16
        movk    \reg, (\value) >> 32 & 0xffff, lsl 32
        movk    \reg, (\value) >> 48 & 0xffff, lsl 48
.endm

        // Something with each of 32 registers
.macro  all, what
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        \what   \n
        .endr
        .irp    n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        \what   \n
        .endr
.endm
.macro  clear_z n
        mov     z\n\().d, 0
.endm
.macro  load_q n
        ldr     q\n, [x29, 16 * \n]
.endm
.macro  store_q n
        str     q\n, [x1, 16 * \n]
.endm
.macro  store_z n
        str     z\n, [x1, \n, mul vl]
.endm

        .section .text
        .globl  _start, begin, done, data_begin, data_end, look, look_end

_start:
        bl      set_up
    .if OTHERS
        imm64   x0, CPU_ON
        mov     x1, 1                           // its affinity
        adr     x2, other
        mov     x3, 0
        hvc     0
    .endif
    .if TIMER
        bl      timer_on
    .endif
        adrp    x28, data_begin
        imm64   x27, UNMAPPED
        imm64   x0, 0x3c5                       // EL1h, all masked
        str     x0, [x28, A_HOME]
        mov     x0, A_STACK
        add     x0, x0, x28
        mov     sp, x0
        msr     sp_el0, x0
        .irp    reg, tpidr_el0, tpidrro_el0, tpidr_el1, elr_el1, spsr_el1, esr_el1, far_el1
        msr     \reg, xzr
        .endr
    .ifeq MMU
        .irp    reg, ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1
        msr     \reg, xzr
        .endr
    .endif
        .irp    reg, csselr_el1, par_el1, afsr0_el1, afsr1_el1, contextidr_el1
        msr     \reg, xzr
        .endr
        msr     fpcr, xzr
        msr     fpsr, xzr
    .if SVE
        .arch_extension sve
        mov     x0, 1                           // 256 bits
        msr     zcr_el1, x0
        isb
        ptrue   p0.b
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        pfalse  p\n\().b
        .endr
        wrffr   p0.b
        all     clear_z
    .endif
        adrp    x29, pool
        add     x29, x29, :lo12:pool
        all     load_q
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,30
        ldr     x\n, [x29, 8 * \n]
        .endr
        mov     x29, 0
        msr     nzcv, x29
        isb
        b       begin

        // What each vCPU has to do; keeps nothing
set_up:
        imm64   x0, SCTLR_HERE & ~1             // the byte order first
        msr     sctlr_el1, x0
        isb
        adr     x0, vectors
        msr     vbar_el1, x0
        imm64   x0, CPACR | SVE * 0x30000
        msr     cpacr_el1, x0
        imm64   x0, 0x1
        msr     spsel, x0
        msr     mdscr_el1, xzr
        mrs     x0, cntkctl_el1
        msr     cntkctl_el1, xzr
    .if PAC
        .arch_extension pauth
        imm64   x0, 0x0123456789abcdef
        .irp    key, apiakeylo_el1,apiakeyhi_el1,apibkeylo_el1,apibkeyhi_el1,apdakeylo_el1
        msr     \key, x0
        ror     x0, x0, 5
        .endr
        .irp    key, apdakeyhi_el1,apdbkeylo_el1,apdbkeyhi_el1,apgakeylo_el1,apgakeyhi_el1
        msr     \key, x0
        ror     x0, x0, 5
        .endr
    .endif
    .if MMU
        // Table 1: 1 GiB each; 2: 2 MiB each; 3: our pages.  Both vCPUs write the same
        adrp    x1, table1
        add     x2, x1, 0x1000
        add     x3, x1, 0x2000
        imm64   x0, 0x0060000000000405          // a device, for EL1 only
        str     x0, [x1]
        orr     x0, x2, 3
        str     x0, [x1, 8]
        orr     x0, x3, 3
        str     x0, [x2, 2 * 8]                 // 0x40400000
        imm64   x4, 0x40400000
        adrp    x5, data_others
        adrp    x6, private
1:      imm64   x0, 0x7c3 | GUARDED << 50       // code: read only
        cmp     x4, x5
        b.lo    2f
        imm64   x0, 0x0060000000000743          // data: no code
        cmp     x4, x6
        b.ne    2f
        imm64   x0, 0x0060000000000703          // EL1's own
2:      orr     x0, x0, x4
        ubfx    x7, x4, 12, 9
        str     x0, [x3, x7, lsl 3]
        add     x4, x4, 0x1000
        tbz     x4, 21, 1b
        dsb     sy
        msr     ttbr0_el1, x1
        msr     ttbr1_el1, x1
        imm64   x0, 0x00ff                      // attribute 0: Normal, 1: Device-nGnRnE
        msr     mair_el1, x0
        imm64   x0, 0x1b5193519                 // 39 bits, 4 KiB, 36 bits out
        msr     tcr_el1, x0
        isb
        tlbi    vmalle1
        dsb     sy
    .endif
        imm64   x0, SCTLR_HERE | SCTLR
        msr     sctlr_el1, x0
        isb
        ret

    .if TIMER
        // The virtual timer, long past, at the processor's interrupt line
timer_on:
        imm64   x0, GICD
        mov     w1, 0x12                        // ARE_NS, EnableGrp1
    .if BE
        rev     w1, w1
    .endif
        str     w1, [x0]
        imm64   x0, GICR
        str     wzr, [x0, 0x14]                 // GICR_WAKER
        add     x0, x0, 0x10000                 // SGI_base
        mov     w1, -1
        str     w1, [x0, 0x80]                  // GICR_IGROUPR0
        mov     w1, 0x80
        strb    w1, [x0, 0x400 + INTID]         // GICR_IPRIORITYR
        mov     w1, 1 << INTID
    .if BE
        rev     w1, w1
    .endif
        str     w1, [x0, 0x100]                 // GICR_ISENABLER0
        mov     x1, 0xff
        msr     S3_0_C4_C6_0, x1                // ICC_PMR_EL1
        mov     x1, 1
        msr     S3_0_C12_C12_7, x1              // ICC_IGRPEN1_EL1
        msr     cntv_cval_el0, xzr
        msr     cntv_ctl_el0, x1
        isb
        ret
    .endif

        // The other vCPU: every exception that it can raise, again and again; what it
        // has counted must agree with the rounds it made.
    .if OTHERS
other:
        bl      set_up
        adrp    x28, data_others
        imm64   x27, UNMAPPED
        imm64   x0, 0x3c5
        str     x0, [x28, A_HOME]
        mov     x20, 0
other_loop:
        add     x20, x20, 1
        str     x20, [x28, A_ROUNDS]
        svc     0
        brk     7
        udf     9
        adrp    x4, shared
1:      ldaxr   x5, [x4]
        add     x5, x5, 1
        stlxr   w6, x5, [x4]
        cbnz    w6, 1b
        adr     x0, 2f
        msr     elr_el1, x0
        msr     spsr_el1, xzr                   // EL0
        eret
2:      svc     2
        udf     1
        mrs     x0, sctlr_el1                   // not for EL0
    .if MMU
        ldr     x0, [x27]
    .endif
        svc     1
        ldr     x0, [x28, A_COUNTS + 0x15 * 8]
        mov     x1, 3
        mul     x1, x1, x20
        eor     x22, x0, x1
        ldr     x0, [x28, A_COUNTS + 0x3c * 8]
        eor     x1, x0, x20
        orr     x22, x22, x1
    .if MMU
        ldr     x0, [x28, A_COUNTS + 0x24 * 8]
        eor     x1, x0, x20
        orr     x22, x22, x1
    .endif
        ldr     x0, [x28, A_COUNTS]
        ldr     x1, [x28, A_COUNTS + 0x18 * 8]
        add     x0, x0, x1
        mov     x1, 3
        mul     x1, x1, x20
        eor     x1, x0, x1
        orr     x22, x22, x1
        str     x22, [x28, A_WRONG]
        cbnz    x22, .                          // stays as it is, to be looked at
        b       other_loop
    .endif

        // Exceptions, from and to everywhere
        .balign 2048
vectors:
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        .org    vectors + \n * 0x80
        cmp     xzr, xzr                        // see agree() in rules_arm64.py
        .inst   0xd500409f                      // msr pan, 0
        str     x0, [x28, A_X0]
        mov     x0, \n
        b       common
        .endr
        .org    vectors + 0x800
common:
        stp     x1, x2, [x28, A_X1]
        str     x3, [x28, A_X3]
        tbnz    x0, 0, interrupt
        tbnz    x0, 1, interrupt
        mrs     x1, esr_el1
        mrs     x2, elr_el1
        mrs     x3, spsr_el1
        // remember all of it, as any trace of a debugger would show here
        ror     x0, x0, 7
        eor     x0, x0, x1
        ror     x0, x0, 9
        eor     x0, x0, x2
        ror     x0, x0, 9
        eor     x0, x0, x3
        ldr     x3, [x28, A_HASH]
        eor     x0, x0, x3, ror 13
        str     x0, [x28, A_HASH]
        mrs     x3, spsr_el1
        lsr     x1, x1, 26
        add     x0, x28, x1, lsl 3
        ldr     x2, [x0, A_COUNTS]
        add     x2, x2, 1
        str     x2, [x0, A_COUNTS]
        cmp     x1, 0x15                        // svc
        b.eq    system_call
        bic     x3, x3, 0xc00                   // BTYPE is the instruction's before this
        cmp     x1, 0x0d                        // BTI: go on here
        b.eq    return
        cmp     x1, 0x22                        // PC alignment
        b.eq    to_x30
        and     x2, x1, 0x3e
        cmp     x2, 0x20                        // instruction abort
        b.eq    to_x30
        cmp     x2, 0x24                        // data abort
        b.ne    1f
        mrs     x0, far_el1
        str     x0, [x28, A_FAR]
1:      cmp     x1, 0x0e                        // PSTATE.IL
        b.eq    illegal
        cmp     x1, 0x07
        b.eq    fp_on
        cmp     x1, 0x19
        b.eq    fp_on
        mrs     x2, elr_el1                     // what cannot be done is left out
        add     x2, x2, 4
        msr     elr_el1, x2
return:
        msr     spsr_el1, x3
return_too:
        ldr     x3, [x28, A_X3]
        ldp     x1, x2, [x28, A_X1]
        ldr     x0, [x28, A_X0]
        eret
system_call:
        mrs     x1, esr_el1
        and     x1, x1, 0xffff
        cmp     x1, 1
        b.ne    return_too
        ldr     x3, [x28, A_HOME]
        b       return
to_x30:
        msr     elr_el1, x30
        b       return
illegal:
        bic     x3, x3, 0x100000
        b       return
fp_on:
        imm64   x0, CPACR | SVE * 0x30000
        msr     cpacr_el1, x0
        b       return
interrupt:                                      // never, as all are held back
        ldr     x1, [x28, A_IRQS]
        add     x1, x1, 1
        str     x1, [x28, A_IRQS]
        mrs     x3, spsr_el1
        orr     x3, x3, 0x3c0
        b       return

        // Everything that a debugger reads slowly, stored: called in home state at the
        // end of each section.  lockstep.py lets it run at full speed, from `look` to
        // `look_end`, and compares memory there.  Changes x0 and x1.
look:
        imm64   x0, CPACR | SVE * 0x30000
        msr     cpacr_el1, x0
        isb
        add     x1, x28, A_LOOK
        all     store_q
        .set    at, 0x200
        .irp    reg, fpcr,fpsr,sp_el0,tpidr_el0,tpidrro_el0,tpidr_el1,contextidr_el1,sctlr_el1
        mrs     x0, \reg
        str     x0, [x1, at]
        .set    at, at + 8
        .endr
        .irp    reg, elr_el1,spsr_el1,esr_el1,far_el1,par_el1,vbar_el1,cpacr_el1,mdscr_el1
        mrs     x0, \reg
        str     x0, [x1, at]
        .set    at, at + 8
        .endr
    .if SVE
        add     x1, x1, A_LOOK_SVE - A_LOOK
        all     store_z
        add     x1, x1, 0x400
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        str     p\n, [x1, \n, mul vl]
        .endr
    .endif
look_end:
        ret

        // The first area is the other vCPU's
        .section .data
        .balign 4096
data_others:
        .space  AREA
        .balign 128
shared: .quad   0
        .balign 4096
private: .space 4096
        .globl  private
table1: .space  3 * 4096
data_begin:
        .space  0x2a00
