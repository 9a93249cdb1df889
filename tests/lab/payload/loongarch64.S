# SPDX-License-Identifier: GPL-2.0-or-later
#
# A bare LoongArch guest for steps: each class of instruction in direct mode, in
# mapped mode, with a timer that is always pending, and at PLV3; then short pieces
# that tests put the vCPU on.  Results do not depend on time.

    .equ CRMD, 0
    .equ PRMD, 1
    .equ EUEN, 2
    .equ ECFG, 4
    .equ ESTAT, 5
    .equ ERA, 6
    .equ EENTRY, 0xc
    .equ PGDL, 0x19
    .equ SAVE0, 0x30
    .equ TCFG, 0x41
    .equ TICLR, 0x44
    .equ TLBRENTRY, 0x88
    .equ DMW0, 0x180
    .section .text
    .globl _start
_start:
    la.pcrel $t0, entries
    csrwr $t0, EENTRY
    li.w $t0, 7 << 16
    csrwr $t0, ECFG
    la.pcrel $t0, refill
    csrwr $t0, TLBRENTRY
    li.d $t0, 0x0000000000000009    # DMW0: 0x0, PLV0 and PLV3
    csrwr $t0, DMW0
    li.d $t0, 0x9000000000000011
    csrwr $t0, DMW0 + 1
    li.w $t0, 7
    csrwr $t0, EUEN
    la.pcrel $sp, stack_end
    .globl ready
ready:
    nop
    bl mixed
    # mapped, and interrupts on
    li.w $t0, 0x10                  # PG
    li.w $t1, 0x18                  # DA, PG
    csrxchg $t0, $t1, CRMD
    csrrd $t2, CRMD
    bl mixed
    # a timer that fires all the time
    li.w $t0, (7 << 16) | (1 << 11)
    csrwr $t0, ECFG
    li.w $t0, 2000 * 4 + 3
    csrwr $t0, TCFG
    li.w $t0, 4
    csrxchg $t0, $t0, CRMD
    csrrd $t2, CRMD
    bl mixed
    # PLV3
    la.pcrel $t0, user
    csrwr $t0, ERA
    li.w $t0, 3 | 4
    csrwr $t0, PRMD
    ertn
    .globl user
user:
    bl mixed
    csrrd $t2, CRMD                 # IPE
    bl mixed
    .globl end
end:
    b end

mixed:
    addi.d $s8, $ra, 0
    li.d $t0, 0x123456789abcdef0
    addi.d $t1, $t0, 5
    add.d $t2, $t1, $t0
    mul.d $t3, $t2, $t1
    la.pcrel $a0, data
    st.d $t0, $a0, 0
    ld.w $t4, $a0, 4
    ldx.bu $t5, $a0, $zero
    stptr.d $t1, $a0, 8
    li.w $s0, 3
1:  addi.d $s0, $s0, -1
    bnez $s0, 1b
    beq $s0, $zero, 2f
    nop
2:  blt $s0, $t1, 3f
    nop
3:  bgeu $s0, $t1, 4f
    amadd.d $t6, $t1, $a0
4:  ll.w $t7, $a0, 0
    addi.w $t7, $t7, 1
    sc.w $t7, $a0, 0
    beqz $t7, 4b
5:  ll.d $t7, $a0, 8
    bne $t7, $zero, 6f
    nop
6:  addi.d $t7, $t7, 1
    sc.d $t7, $a0, 8
    beqz $t7, 5b
    movgr2fr.d $fa0, $t0
    fadd.d $fa1, $fa0, $fa0
    fcmp.ceq.d $fcc1, $fa0, $fa0
    bceqz $fcc1, 7f
    bcnez $fcc1, 7f
    nop
7:  vld $vr1, $a0, 0
    vadd.d $vr2, $vr1, $vr1
    vst $vr2, $a0, 16
    syscall 3
    break 5
    .word 0xffffffff
    ld.d $t8, $a0, 16
    li.d $t7, 0x5000000000000000    # no window: ADE
    ld.d $t7, $t7, 0
    nop
    dbar 0
    ibar 0
    nop
    addi.d $ra, $s8, 0
    jirl $zero, $ra, 0

handler:
    csrwr $t0, SAVE0
    csrrd $t0, ESTAT
    csrrd $t0, PRMD
    csrrd $t0, CRMD
    csrrd $t0, ERA
    addi.d $t0, $t0, 4
    csrwr $t0, ERA
    csrrd $t0, SAVE0
    ertn
interrupt:
    csrwr $t0, SAVE0
    li.w $t0, 1
    csrwr $t0, TICLR
    la.pcrel $t0, ticks
    st.d $t1, $sp, -8
    ld.d $t1, $t0, 0
    addi.d $t1, $t1, 1
    st.d $t1, $t0, 0
    ld.d $t1, $sp, -8
    csrrd $t0, SAVE0
    ertn
refill:
    b refill
    .balign 4096
    .globl entries
entries:
    .rept 64
    .balign 512
    b handler
    .endr
    .rept 16
    .balign 512
    b interrupt
    .endr
    .balign 4096
    .globl data
data: .fill 64, 8, 0
    .globl ticks
ticks: .dword 0
    .fill 64, 8, 0
stack_end:
    .section .text
    .globl own
own: li.w $a0, 77
    .word 0x002b8101
    addi.d $a1, $a0, 1
    .globl own_end
own_end: b own_end
    .globl spin
spin: b spin
    .globl touch
touch: ld.d $t0, $t1, 0
    nop
    .globl idling
idling: idle 0
    nop
    b idling
    .globl set_entries
set_entries:
    csrwr $t1, ECFG
    csrwr $t2, EENTRY
    syscall 0
    .globl loop
loop: addi.d $t2, $t2, 1
    addi.d $t3, $t3, 1
    addi.d $t4, $t4, -1
    bnez $t4, loop
    .globl loop_end
loop_end: nop
    b loop_end
    .balign 4096
