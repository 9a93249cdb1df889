# SPDX-License-Identifier: GPL-2.0-or-later
#
# A program for each mode of an x86 processor, from NAME_begin to NAME_end: long, user64,
# compat, user_compat, protected, user32, code16, v86, real.  Each does what goes wrong at
# a step by TF, and the next one follows.  irq has interrupts that come in between, own
# breakpoints of the guest's own.
#
# There is no firmware: this is the ROM.  All that runs is in the first 64 KiB, at the
# same offset in each segment.

        .set    ROM, 0xffff0000
        .set    PML4, 0x20000
        .set    PDPT, 0x21000
        .set    PD64, 0x22000
        .set    PD32, 0x23000
        .set    PD64_HIGH, 0x24000
        .set    LAPIC, 0xfee00000
        .set    LARGE, 0x87                     # present, writable, the user's; large
        .set    UNMAPPED, 0x80000000

        .set    CODE32, 0x08
        .set    DATA, 0x10
        .set    CODE64, 0x18                    # SYSCALL takes the next one for SS
        .set    USER_CODE32, 0x2b               # SYSRET takes those behind it
        .set    USER_DATA, 0x33
        .set    USER_CODE64, 0x3b
        .set    ENTER_CODE, 0x40                # SYSENTER and SYSEXIT, likewise
        .set    CODE16, 0x60
        .set    DATA16, 0x68
        .set    TSS64, 0x70
        .set    TSS32, 0x80
        .set    VM, 0x23002                     # RFLAGS: VM, IOPL 3

        # What each has.  The handlers of faults skip two bytes
        .macro  common ax, bx, cx, dx, di
        pushf
        pop     \bx
        push    $0x8d7
        popf
        pushf
        pop     \bx
        int     $0x40
        int3
        .byte   0xf1                            # int1
        xor     %ecx, %ecx
        .byte   0xf7, 0xf1                      # div %ecx, or %cx
        ud2
        lahf
        sahf
        call    11f
        jmp     12f
11:     ret
12:     mov     $3, \cx
13:     loop    13b
        mov     $scratch, \di
        mov     $2, \cx
        rep stosb
        enter   $8, $0
        leave
        push    \ax
        pop     \dx
        .endm

        .macro  common64
        common  %rax, %rbx, %rcx, %rdx, %rdi
        mov     $UNMAPPED, %ebx
        mov     (%rbx), %eax
        .endm

        .macro  common32
        common  %eax, %ebx, %ecx, %edx, %edi
        push    $0x8d7
        popf
        into
        pusha
        popa
        push    %ds
        pop     %ds
        .endm

        .macro  common16
        common  %ax, %bx, %cx, %dx, %di
        push    $0x8d7
        popf
        into
        pusha
        popa
        push    %ds
        pop     %ds
        .endm

        # A selector that is beyond the GDT
        .macro  bad_selector
        mov     $0xfff8, %eax
        .byte   0x8e, 0xd8                      # mov %eax, %ds
        .endm

        # Interrupts, of which there are none; SS from a register, and from memory
        .macro  privileged selector
        sti
        nop
        cli
        mov     $\selector, %eax
        .byte   0x8e, 0xd0                      # mov %eax, %ss
        nop
        mov     ss_\selector, %ss
        mov     %esp, %edx
        .endm

        .section .text
        # ---- 64 bits ----
        .code64
        .globl  start64
start64:
        mov     $stack_top, %esp
        mov     $USER_DATA, %eax                # these stay when it goes to CPL 3
        mov     %eax, %ds
        mov     %eax, %es
        lidt    idt64_pointer
        mov     $TSS64, %eax
        ltr     %ax
        mov     $0xff, %al                      # no interrupts of the PIC
        out     %al, $0x21
        out     %al, $0xa1
        mov     $0xc0000080, %ecx               # EFER: SCE
        rdmsr
        or      $1, %eax
        wrmsr
        mov     $0xc0000081, %ecx               # STAR
        xor     %eax, %eax
        mov     $(USER_CODE32 << 16) + CODE64, %edx
        wrmsr
        xor     %edx, %edx
        inc     %ecx                            # LSTAR
        mov     $syscall_64, %eax
        wrmsr
        inc     %ecx                            # CSTAR
        mov     $syscall_compat, %eax
        wrmsr
        inc     %ecx                            # SFMASK: TF, IF
        mov     $0x300, %eax
        wrmsr
        mov     $0x174, %ecx                    # SYSENTER_CS, _ESP, _EIP
        mov     $ENTER_CODE, %eax
        wrmsr
        inc     %ecx
        mov     $stack_top, %eax
        wrmsr
        inc     %ecx
        mov     $sysenter_32, %eax
        wrmsr
        xor     %eax, %eax
        xor     %ebp, %ebp
        .globl  long_begin, long_end
long_begin:
        common64
        bad_selector
        privileged DATA
        mov     $stack_top, %esp
        pushq   $DATA
        pushq   $stack_top
        pushf
        pushq   $CODE64
        pushq   $1f
        iretq
1:      pushq   $CODE64
        pushq   $2f
        lretq
2:      nop
long_end:
        nop

        .globl  irq_begin, irq_end, irq_64, irqs
irq_begin:
        mov     $LAPIC, %ebx
        movl    $0x1ff, 0xf0(%rbx)
        .rept   2
        movl    $0x40045, 0x300(%rbx)           # to itself
        nop
        sti
        nop
        nop
        nop
        cli
        movl    $0x40045, 0x300(%rbx)
        pushq   $0x202
        popf
        nop
        nop
        cli
        .endr
        nop
irq_end:
        nop

        # The guest's own breakpoint, and watchpoint
        .globl  own_begin, own_end, own_watched, own_break, own_int, own_div
        .globl  debug_64, plain_64, fault_64
own_begin:
        xor     %esi, %esi
        mov     $own_break, %eax
        mov     %rax, %dr0
        mov     $scratch, %eax
        mov     %rax, %dr1
        mov     $0xd0040f, %eax                 # 4 bytes are written; both enabled
        mov     %rax, %dr7
        nop
        movl    $1, scratch
own_watched:
        nop
own_break:
        add     $1, %esi
        int     $0x40
own_int:
        xor     %eax, %eax
        mov     %rax, %dr7
        xor     %ecx, %ecx
own_div:
        .byte   0xf7, 0xf1                      # div %ecx
        movl    $2, scratch
own_end:
        nop

        .globl  user64_begin, user64_end
user64_begin:
        pushq   $USER_DATA
        pushq   $user_stack_top
        pushq   $2
        pushq   $USER_CODE64
        pushq   $1f
        iretq
1:      common64
        bad_selector
        cli                                     # it may not
        nop
        syscall
        nop
        int     $0x41                           # to the next one
syscall_64:
        nop
        sysretq
to_compat:
        mov     $stack_top, %esp
user64_end:
        nop

        # ---- 32 bits, under the page tables and the IDT of 64 ----
        .globl  compat_begin, compat_end
compat_begin:
        ljmp    *far_compat
        .code32
in_compat:
        mov     $DATA, %eax                     # the gate of 64 bits has cleared it
        mov     %eax, %ss
        nop
        common32
        mov     $UNMAPPED, %ebx
        mov     (%ebx), %eax
        bad_selector
        privileged DATA
        pushl   $CODE32
        pushl   $1f
        lret
1:      mov     $DATA, %eax
        push    %eax
        pop     %ss
        mov     %esp, %edx
compat_end:
        nop

        .globl  user_compat_begin, user_compat_end
user_compat_begin:
        pushl   $USER_DATA
        pushl   $user_stack_top
        pushl   $2
        pushl   $USER_CODE32
        pushl   $1f
        iretl
1:      common32
        bad_selector
        mov     %esp, %ebp
        syscall
        nop
        int     $0x42                           # to the next one
        .code64
syscall_compat:
        nop
        sysretl
to_protected:
        mov     $stack_top, %esp
user_compat_end:
        nop

        # ---- 32 bits ----
        .globl  protected_begin, protected_end
        ljmp    *far_leave
        .code32
leave_long:
        mov     $DATA, %eax
        mov     %eax, %ss
        mov     %cr0, %eax
        and     $0x7fffffff, %eax               # PG
        mov     %eax, %cr0
        mov     $0xc0000080, %ecx               # EFER: LME
        rdmsr
        and     $0xfffffeff, %eax
        wrmsr
        mov     %cr4, %eax
        and     $0xffffffdf, %eax               # PAE
        or      $0x10, %eax                     # PSE
        mov     %eax, %cr4
        mov     $PD32, %eax
        mov     %eax, %cr3
        lidt    idt32_pointer
        mov     $TSS32, %eax
        ltr     %ax
protected_begin:
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        common32
        mov     $UNMAPPED, %ebx
        mov     (%ebx), %eax
        bad_selector
        privileged DATA
        mov     $DATA, %eax
        push    %eax
        pop     %ss
        mov     %esp, %edx
        pushfl
        pushl   $CODE32
        pushl   $1f
        iretl
1:      pushl   $CODE32
        pushl   $2f
        lret
2:      nop
protected_end:
        nop

        .globl  user32_begin, user32_end
user32_begin:
        pushl   $USER_DATA
        pushl   $user_stack_top
        pushl   $2
        pushl   $USER_CODE32
        pushl   $1f
        iretl
1:      common32
        bad_selector
        cli                                     # it may not
        nop
        mov     $3f, %edx
        mov     %esp, %ecx
        sysenter
sysenter_32:
        nop
        sysexit
3:      nop
        int     $0x43                           # to the next one
to_code16:
        mov     $stack_top, %esp
user32_end:
        nop

        # ---- 16 bits ----
        .globl  code16_begin, code16_end
code16_begin:
        ljmp    $CODE16, $1f
        .code16
1:      mov     $DATA16, %ax
        mov     %ax, %ss
        nop
        common16
        bad_selector
        privileged DATA16
        mov     $DATA16, %ax
        push    %ax
        pop     %ss
        mov     %esp, %edx
        pushfw
        push    $CODE16
        push    $2f
        iret
2:      push    $CODE16
        push    $3f
        lret
3:      ljmpl   $CODE32, $4f
        .code32
4:      mov     $DATA, %eax
        mov     %eax, %ss
        mov     $stack_top, %esp
code16_end:
        nop

        .globl  v86_begin, v86_end
v86_begin:
        pushl   $0                              # GS, FS, DS, ES
        pushl   $0
        pushl   $0
        pushl   $0
        pushl   $0
        pushl   $user_stack_top
        pushl   $VM
        pushl   $0
        pushl   $1f
        iretl
        .code16
1:      common16
        xor     %ax, %ax
        mov     %ax, %ss
        nop
        mov     ss_0, %ss
        nop
        push    %ax
        pop     %ss
        mov     %esp, %edx
        sti
        nop
        cli
        pushfw
        push    $0
        push    $2f
        iret
2:      int     $0x44                           # to the next one
        .code32
to_real:
        mov     $stack_top, %esp
v86_end:
        nop

        .globl  real_begin, real_end
        ljmp    $CODE16, $1f
        .code16
1:      mov     $DATA16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        lidtl   ivt_pointer
        mov     %cr0, %eax
        and     $0x7ffffffe, %eax
        mov     %eax, %cr0
real_begin:
        ljmp    $0, $2f
2:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        nop
        common16
        xor     %ax, %ax
        mov     ss_0, %ss
        nop
        push    %ax
        pop     %ss
        mov     %esp, %edx
        sti
        nop
        cli
        pushfw
        push    $0
        push    $3f
        iret
3:      nop
real_end:
        nop
4:      jmp     4b

        # ---- handlers ----
        .code64
irq_64:
        addl    $1, irqs
        movl    $0, 0xb0(%rbx)                  # the end of it
        iretq
debug_64:
        btsl    $16, 16(%rsp)                   # RF: on behind a breakpoint
        iretq
plain_64:
        nop
        iretq
error_64:
        add     $8, %rsp
fault_64:
        addq    $2, (%rsp)
        iretq
        .code32
plain_32:
        nop
        iretl
error_32:
        add     $4, %esp
fault_32:
        addl    $2, (%esp)
        iretl
        .code16
plain_16:
        nop
        iret
fault_16:
        push    %bp
        mov     %sp, %bp
        addw    $2, 2(%bp)
        pop     %bp
        iret

        .section .data
        # What the tables of handlers are made of
        .macro  gate64 handler
        .word   \handler, CODE64, 0xee00, 0
        .quad   0
        .endm
        .macro  gate32 handler
        .word   \handler, CODE32, 0xee00, 0
        .endm
        .macro  vector16 handler
        .word   \handler, 0
        .endm
        # By vector, up to 0x40
        .macro  table gate, plain, debug, fault, error
        \gate   \fault                          # division
        \gate   \debug
        \gate   \plain
        \gate   \plain
        \gate   \plain                          # overflow
        \gate   \fault
        \gate   \fault                          # undefined opcode
        .rept   3
        \gate   \fault
        .endr
        .rept   5                               # 10 to 14
        \gate   \error
        .endr
        .rept   0x40 - 15
        \gate   \fault
        .endr
        \gate   \plain
        .endm
        .balign 16
idt64:  table   gate64, plain_64, debug_64, fault_64, error_64
        gate64  to_compat
        gate64  to_protected
        .rept   2
        gate64  fault_64
        .endr
        gate64  irq_64
idt64_end:
idt32:  table   gate32, plain_32, plain_32, fault_32, error_32
        .rept   2
        gate32  fault_32
        .endr
        gate32  to_code16
        gate32  to_real
idt32_end:
ivt:    table   vector16, plain_16, plain_16, fault_16, fault_16
ivt_end:
idt64_pointer:
        .word   idt64_end - idt64 - 1
        .quad   idt64
idt32_pointer:
        .word   idt32_end - idt32 - 1
        .long   idt32
ivt_pointer:
        .word   ivt_end - ivt - 1
        .long   ivt
far_compat:
        .long   in_compat
        .word   CODE32
far_leave:
        .long   leave_long
        .word   CODE32
ss_DATA: .word  DATA
ss_DATA16: .word DATA16
ss_0:   .word   0
        .balign 16
tss64:  .long   0
        .quad   stack_top
        .space  104 - 12
tss32:  .long   0, stack_top, DATA
        .space  104 - 12
scratch: .quad  0
irqs:   .quad   0
        .globl  stack_low, stack_high, gdt
stack_low:
        .space  256
stack_top:
        .space  256
user_stack_top:
stack_high:
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              # 0x08: 32-bit code
        .quad   0x00cf93000000ffff              # 0x10: data
        .quad   0x00af9b000000ffff              # 0x18: 64-bit code
        .quad   0x00cf93000000ffff
        .quad   0x00cffb000000ffff              # 0x28: the user's 32-bit code
        .quad   0x00cff3000000ffff              # 0x30: data
        .quad   0x00affb000000ffff              # 0x38: 64-bit code
        .quad   0x00cf9b000000ffff              # 0x40: SYSENTER
        .quad   0x00cf93000000ffff
        .quad   0x00cffb000000ffff              # 0x50: SYSEXIT
        .quad   0x00cff3000000ffff
        .quad   0x00009b000000ffff              # 0x60: 16-bit code
        .quad   0x000093000000ffff              # 0x68: data
        .word   103, tss64, 0x8900, 0           # 0x70
        .quad   0
        .word   103, tss32, 0x8900, 0           # 0x80
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt

        .section .rom, "ax"
        .code32
in_32:
        mov     $DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $text_rom, %esi
        mov     $text_begin, %edi
        mov     $text_size, %ecx
        cld
        rep movsb
        lgdt    gdt_pointer
        mov     $PML4, %edi                     # and the other tables
        xor     %eax, %eax
        mov     $0x1400, %ecx
        rep stosl
        movl    $PDPT + 7, PML4
        movl    $PD64 + 7, PDPT
        movl    $LARGE, PD64                    # 2 MiB
        movl    $LARGE, PD32                    # 4 MiB
        movl    $PD64_HIGH + 7, PDPT + 3 * 8
        movl    $LAPIC + LARGE, PD64_HIGH + (LAPIC >> 21 & 511) * 8
        movl    $0xffe00000 + LARGE, PD64_HIGH + 511 * 8        # this
        mov     %cr4, %eax
        or      $0x20, %eax                     # PAE
        mov     %eax, %cr4
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx               # EFER: LME
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        ljmp    $CODE64, $start64

        .section .reset, "ax"
        .code16
reset:
        cli
        lgdtl   %cs:rom_gdt_pointer - ROM
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $CODE32, $in_32
rom_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt_rom
        .org    0x70
        jmp     reset
        .org    0x80
