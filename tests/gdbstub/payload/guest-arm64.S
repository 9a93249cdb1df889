// SPDX-License-Identifier: GPL-2.0-or-later
//
// guest.S for arm64: the same places, at EL1 with the MMU off.  What is r3, r5...
// there is x3, x5... here.
//
// x28 is data, x27 this vCPU's counter; both are set at `ready` and `second_ready`.

        .set    CPU_ON, 0xc4000003              // PSCI, of 64 bits
        .set    AFFINITY_INFO, 0xc4000004
        .set    GICD, 0x08000000                // of QEMU's virt machine
        .set    UART, 0x09000000
        .set    SCTLR, 0xc50838                 // after a reset: no MMU, no caches
        .set    GICR, 0x080a0000
        .set    TIMER, 27                       // the virtual timer's interrupt
        .set    PERIOD, 100                     // its microseconds

        .section .text
        .globl  _start, ready, spin, spin_end

_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        isb
        adr     x28, data
        add     x27, x28, counter - data
ready:
        nop
spin:   add     x3, x3, 1
        str     x3, [x27]
        b       spin
spin_end:

        // Thirteen instructions one behind the other
        .globl  straight, straight_end
straight:
        .rept   13
        add     x5, x5, 1
        .endr
straight_end:
        b       spin

        // 10,000 rounds of four instructions
        .globl  rounds, rounds_top, rounds_store, rounds_end
rounds:
        mov     x3, 0
        mov     x5, 10000
rounds_top:
        add     x3, x3, 1
rounds_store:
        str     x3, [x27]
        cmp     x3, x5
        b.lt    rounds_top
rounds_end:
        nop
        b       spin

        // Branches of every kind that stay inside, and loads and stores
        .globl  mixed, mixed_end
mixed:
        mov     x3, 25
        mov     x5, 0
1:      bl      4f
        str     x5, [x28, 8]
        ldr     x6, [x28, 8]
        tst     x6, 3
        b.eq    2f
        add     x5, x5, 2
        tbnz    x5, 0, 3f
        nop
        b       3f
2:      add     x5, x5, 7
3:      adr     x8, 5f
        br      x8
        nop
4:      mul     x9, x5, x5
        ret
5:      subs    x3, x3, 1
        cbnz    x3, 1b
mixed_end:
        nop
        b       spin

        // A way out of a range: a call
        .globl  call, call_end, leaf
call:
        add     x5, x5, 1
        add     x5, x5, 1
        bl      leaf
call_end:
        b       spin
leaf:   add     x6, x6, 1
        ret

        // Stores to x1
        .globl  store1, store2, store4, store8, stored
store1: strb    w3, [x1]
        b       stored
store2: strh    w3, [x1]
        b       stored
store4: str     w3, [x1]
        b       stored
store8: str     x3, [x1]
stored: b       spin

        // What goes by the handler below, and a return of its own
        .globl  special, special_brk, special_end
special:
        add     x5, x5, 1
special_brk:
        brk     1
        svc     2
        .inst   0
        mrs     x6, elr_el1
        adr     x8, 1f
        msr     elr_el1, x8
        mov     x9, 0x3c5                       // EL1h, all masked
        msr     spsr_el1, x9
        eret
        add     x5, x5, 100
1:      add     x5, x5, 1
special_end:
        nop
        b       spin

        // What a hypervisor emulates: in user space, in the kernel, and by hvc.  A
        // step of one that is lost runs the next instruction, too.
        .globl  emulated, emulated_end
emulated:
        mov     x5, 0
        ldr     x8, =UART
        ldr     w6, [x8, 0x18]                  // UARTFR
        add     x5, x5, 1
        add     x5, x5, 1
        str     wzr, [x8, 0x44]                 // UARTICR
        add     x5, x5, 1
        b       1f
        add     x5, x5, 100
1:      ldrb    w6, [x8, 0x18]
        cbz     x5, 2f
        add     x5, x5, 1
2:      ldr     x8, =GICD
        ldr     wzr, [x8, 8]                    // GICD_IIDR
        add     x5, x5, 1
        str     wzr, [x8, 0x84]                 // GICD_IGROUPR1
        add     x5, x5, 1
        mrs     xzr, id_aa64isar0_el1
        add     x5, x5, 1
        mrs     xzr, S3_0_C0_C7_7               // a reserved one
        add     x5, x5, 1
        mrs     x6, osdlr_el1
        add     x5, x5, 1
        ldr     x0, =AFFINITY_INFO
        mov     x1, 0
        mov     x2, 0
        hvc     0
        add     x5, x5, 1
        add     x5, x5, 1
emulated_end:
        nop
        b       spin
        .ltorg

        // The interrupt masks, by all ways to see and to change them
        .globl  masks, masks_end
masks:
        mrs     x9, daif
        msr     daifclr, 15
        mrs     x10, daif
        msr     daifset, 2
        mrs     x11, daif
        mov     x12, 0x100
        msr     daif, x12
        mrs     x13, daif
        svc     3                               // the handler looks at SPSR_EL1
        mov     x15, x14
        .inst   0
        mrs     x16, daif
        mov     x12, 0x80
        msr     daif, x12
        svc     4
        mov     x17, x14
        msr     daif, xzr
        mrs     xzr, daif
        adr     x8, 1f
        msr     elr_el1, x8
        mov     x9, 0x45                        // EL1h, FIQ masked
        msr     spsr_el1, x9
        eret
1:      mrs     x18, daif
        adr     x8, 2f
        msr     elr_el1, x8
        msr     spsr_el1, xzr                   // EL0
        eret
2:      add     x5, x5, 1
        svc     5
        mov     x19, x14
        mrs     x9, daif                        // trapped; the handler skips it
        mov     x22, x14
        svc     6                               // back to EL1
        mrs     x21, daif
        msr     daif, xzr
        adr     x8, 3f
        blr     x8                              // PSTATE.BTYPE is 2 behind it
        nop
3:      mrs     x23, daif
        adr     x8, 4f
        blr     x8
        nop
4:      msr     daifset, 1
        mrs     x24, daif
        mov     x12, 0x80
        adr     x8, 5f
        blr     x8
        nop
5:      msr     daif, x12
        mrs     x25, daif
        adr     x8, 6f
        blr     x8
        nop
6:      msr     daifclr, 2
        mrs     x26, daif
        // SCTLR_EL1.UMA lets EL0 have them
        ldr     x9, =SCTLR | 0x200
        msr     sctlr_el1, x9
        isb
        adr     x8, 7f
        msr     elr_el1, x8
        msr     spsr_el1, xzr
        eret
7:      mrs     x22, daif
        msr     daifset, 2
        mrs     x23, daif
        msr     daifclr, 2
        mrs     x24, daif
        svc     6
        ldr     x9, =SCTLR
        msr     sctlr_el1, x9
        isb
        msr     daifset, 15
masks_end:
        nop
        b       spin

        // A watchpoint and a breakpoint of the guest's own, in EL1
        .globl  own_points, own_store, own_place, own_over
own_points:
        msr     oslar_el1, xzr
        mov     x9, 0xa000                      // MDE, KDE
        msr     mdscr_el1, x9
        add     x8, x28, 16
        msr     dbgwvr0_el1, x8
        mov     x9, 0x1fff                      // 8 bytes, stores and loads, EL1 and EL0
        msr     dbgwcr0_el1, x9
        adr     x8, own_place
        msr     dbgbvr0_el1, x8
        mov     x9, 0x1e7                       // EL1 and EL0
        msr     dbgbcr0_el1, x9
        mov     x9, 0x5a5a                      // not its address
        msr     far_el1, x9
        isb
        msr     daifclr, 8
        nop
own_store:
        strb    w3, [x28, 21]
        nop
own_place:
        nop
own_over:
        msr     daifset, 8
        msr     mdscr_el1, xzr
        b       spin

        // With an interrupt pending: mrs of DAIF behind a branch, and at EL0, where it
        // is trapped
        .globl  pending, pending_mrs, pending_eret, pending_el0, from_el0
pending:
        adr     x8, pending_mrs
        blr     x8
        nop
pending_mrs:
        mrs     x9, daif
        adr     x8, pending_el0
        msr     elr_el1, x8
        msr     spsr_el1, xzr
pending_eret:
        eret
pending_el0:
        mrs     x9, daif
        svc     6
        b       spin

        // A32 and T32 code of EL0, and back by svc
        .globl  to_aarch32, to_aarch32_eret, aarch32, aarch32_over
to_aarch32:
        adr     x8, aarch32
        msr     elr_el1, x8
        mov     x9, 0x10                        // User mode
        msr     spsr_el1, x9
        mov     x1, 0
to_aarch32_eret:
        eret
        .balign 4
aarch32:
        .inst   0xe28f0009                      // add r0, pc, #9: below, with the T bit
        .inst   0xe3510000                      // cmp r1, #0
        .inst   0x112fff10                      // bxne r0
        .inst   0xe12fff10                      // bx r0
        .inst   0x31012105                      // movs r1, #5; adds r1, #1
        .inst   0xbf00df06                      // svc #6; nop
aarch32_over:
        nop
        b       spin

        // The timer expires again and again
        .globl  ticking, ticking_top, ticking_end
ticking:
        bl      gic_on
        mrs     x4, cntfrq_el0
        mov     x3, PERIOD
        mul     x4, x4, x3
        ldr     x3, =1000000
        udiv    x4, x4, x3
        str     x4, [x28, period - data]
        mrs     x3, cntvct_el0
        str     x3, [x28, began - data]
        add     x3, x3, x4
        msr     cntv_cval_el0, x3
        mov     x3, 1
        msr     cntv_ctl_el0, x3
        mov     x3, 0
        mov     x5, 10000
        msr     daifclr, 2
ticking_top:
        add     x3, x3, 1
        str     x3, [x27]
        cmp     x3, x5
        b.lt    ticking_top
ticking_end:
        b       ticking

gic_on:
        ldr     x0, =GICD
        mov     w1, 0x12                        // ARE_NS, EnableGrp1
        str     w1, [x0]
        ldr     x0, =GICR
        ldr     w1, [x0, 0x14]                  // GICR_WAKER
        bic     w1, w1, 2
        str     w1, [x0, 0x14]
1:      ldr     w1, [x0, 0x14]
        tbnz    w1, 2, 1b
        add     x0, x0, 0x10000                 // SGI_base
        mov     w1, -1
        str     w1, [x0, 0x80]                  // GICR_IGROUPR0
        mov     w1, 0x80
        strb    w1, [x0, 0x400 + TIMER]         // GICR_IPRIORITYR
        ldr     w1, =1 << TIMER
        str     w1, [x0, 0x100]                 // GICR_ISENABLER0
        mov     x1, 7
        msr     S3_0_C12_C12_5, x1              // ICC_SRE_EL1
        isb
        mov     x1, 0xff
        msr     S3_0_C4_C6_0, x1                // ICC_PMR_EL1
        mov     x1, 1
        msr     S3_0_C12_C12_7, x1              // ICC_IGRPEN1_EL1
        isb
        ret
        .ltorg

        // Sequences of load- and store-exclusives on data, each with its end
        .globl  wait_for_lock, take_lock, lock_taken
        .globl  exclusive, exclusive_end, pair, pair_end, left, left_end, left_out
        .globl  nested, nested_end, faulting
exclusive:
        ldaxr   x3, [x28]
        add     x3, x3, 1
        stlxr   w4, x3, [x28]
exclusive_end:
        cbnz    w4, exclusive
        b       exclusive
pair:
        ldxp    x3, x6, [x28, 0]
        add     x3, x3, 1
        tbz     x3, 0, 1f
        add     x6, x6, 1
1:      stxp    w4, x3, x6, [x28]
pair_end:
        cbnz    w4, pair
        b       pair
left:
        ldxrb   w3, [x28]
        cmp     w3, w5
        b.ne    left_out
        stxrb   w4, w6, [x28]
left_end:
        b       left
left_out:
        clrex
        b       left
wait_for_lock:
        wfe
take_lock:
        ldaxrb  w3, [x28]
        cbnz    w3, wait_for_lock
        stxrb   w4, w6, [x28]
lock_taken:
        b       take_lock
nested:
        ldxr    x3, [x28]
        ldxr    x6, [x27]
        stxr    w4, x3, [x28]
nested_end:
        b       nested
faulting:
        mov     x8, 1
        ldxr    x3, [x8]                        // not aligned, and in ROM
        stxr    w4, x3, [x8]
        b       faulting

        // What KVM emulates and then enters the guest for: a step may be cut short there
        .globl  trapped, trapped_end
trapped:
        .rept   7
        mrs     xzr, id_aa64isar0_el1
        .endr
        b       trapped
trapped_end:

        // What QEMU does between two KVM_RUN
        .globl  devices, devices_end
devices:
        ldr     x8, =UART
1:      ldr     w6, [x8, 0x18]                  // UARTFR
        add     x5, x5, 1
        str     wzr, [x8, 0x44]                 // UARTICR
        add     x5, x5, 1
        b       1b
devices_end:
        .ltorg

        // At EL2, of a guest that has it: its own vectors, its stack pointer
        .globl  at_el2, el2_mov, el2_svc
at_el2:
        adr     x8, vectors
        msr     vbar_el2, x8
        isb
el2_mov:
        mov     x5, sp
        sub     sp, sp, 16
el2_svc:
        svc     1
        b       spin

        // Wait for an interrupt that does not come
        .globl  wait, wait_behind
wait:
        wfi
wait_behind:
        add     x5, x5, 1
        b       spin

        .globl  vectors, synchronous, irq, from_timer_eret
        .balign 2048
vectors:
        .space  0x200
synchronous:
        b       from_el1
        .balign 128
irq:
        b       from_timer
        .balign 128
        .space  0x100
from_el0:
        mrs     x14, spsr_el1
        mrs     x10, esr_el1
        and     x11, x10, 0xffff
        cmp     x11, 6
        b.ne    1f
        mov     x12, 5                          // EL1h
        msr     spsr_el1, x12
1:      lsr     x11, x10, 26
        cmp     x11, 0x18                       // of a system register
        b.ne    2f
        mrs     x12, elr_el1
        add     x12, x12, 4
        msr     elr_el1, x12
2:      eret
        .balign 512
        // From EL0 in AArch32 state
        .globl  from_aarch32
from_aarch32:
        adr     x12, aarch32_over
        msr     elr_el1, x12
        mov     x12, 5                          // EL1h
        msr     spsr_el1, x12
        eret

        // Counts the periods that are over, and the interrupts without one
from_timer:
        stp     x10, x11, [x28, saved - data]
        stp     x12, x13, [x28, saved + 16 - data]
        str     x14, [x28, saved + 32 - data]
        mrs     x10, S3_0_C12_C12_0             // ICC_IAR1_EL1
        mrs     x11, cntv_cval_el0
        ldr     x12, [x28, period - data]
        ldr     x13, [x28, ticks - data]
        mov     x14, 1
1:      stp     x13, x14, [x28, ticks - data]   // and is it one without?
        isb
        mrs     x14, cntvct_el0
        cmp     x14, x11
        b.lo    2f
        add     x11, x11, x12
        add     x13, x13, 1
        mov     x14, 0
        b       1b
2:      ldp     x13, x14, [x28, none - data]
        add     x14, x14, x13
        str     x14, [x28, spurious - data]
        msr     cntv_cval_el0, x11
        isb
        msr     S3_0_C12_C12_1, x10             // ICC_EOIR1_EL1
        ldp     x10, x11, [x28, saved - data]
        ldp     x12, x13, [x28, saved + 16 - data]
        ldr     x14, [x28, saved + 32 - data]
from_timer_eret:
        eret

        .globl  from_el1
from_el1:
        add     x7, x7, 1
        mrs     x14, spsr_el1
        mrs     x10, esr_el1
        lsr     x11, x10, 26
        mrs     x12, elr_el1
        cmp     x11, 0x15                       // SVC: it is behind that
        b.eq    1f
        add     x12, x12, 4
        msr     elr_el1, x12
1:      eret

        // Until the virtual counter is x7, then count at `late`
        .globl  until, until_over
until:
        mrs     x6, cntvct_el0
        cmp     x6, x7
        b.lt    until
until_over:
        ldr     x6, [x28, late - data]
        add     x6, x6, 1
        str     x6, [x28, late - data]
        b       until_over

        // Start the second vCPU, which counts, too
        .globl  start_second, started, second_ready, second, second_end
start_second:
        ldr     x0, =CPU_ON
        mov     x1, 1                           // its affinity
        adr     x2, second_start
        mov     x3, 0
        hvc     0
started:
        mov     x3, 0
        b       spin
        .ltorg
second_start:
        mov     x3, 0
        adr     x28, data
        add     x27, x28, second_counter - data
second_ready:
        nop
second: add     x3, x3, 1
        str     x3, [x27]
        b       second
second_end:

        // Room for breakpoints that nobody comes to, from a page's loop on
        .balign 4096
        .globl  crowd, crowd_top, crowd_end, crowd_room, crowd_room_end
crowd:
        mov     x3, 0
        mov     x5, 10000
crowd_top:
        add     x3, x3, 1
        cmp     x3, x5
        b.lt    crowd_top
crowd_end:
        b       crowd
crowd_room:
        .space  48000
crowd_room_end:

        .section .data
        .globl  data, counter, second_counter, late, ticks, spurious, period, began, buffer, buffer_end
        .balign 128
data:   .quad   0, 0, 0, 0
counter: .quad  0
second_counter: .quad 0
late:   .quad   0
ticks:  .quad   0
none:   .quad   0
spurious: .quad 0
period: .quad   0
began:  .quad   0
saved:  .quad   0, 0, 0, 0, 0
        .balign 128
buffer: .space  16384
buffer_end:
