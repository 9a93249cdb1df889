# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.S for x86: the same places, in 64-bit mode at CPL 0 without interrupts.  What is
# r3, r5... there is the register of that number here: rbx, rbp...
#
# r12 is data, r14 this vCPU's counter; both are set at `ready` and `second_ready`.
#
# There is no firmware: this is the ROM.  Its reset vector brings the processor to 64-bit
# mode, copies .text to RAM and goes there.

        .set    ROM, 0xffff0000
        .set    LAPIC, 0xfee00000
        .set    TRAMPOLINE, 0x8000              # of the second vCPU
        .set    PRESENT, 3                      # and writable
        .set    LARGE, 0x83                     # and a page of 2 MiB
        # Two address spaces, that differ in the page at OTHER
        .set    SPACE_A, 0x10000
        .set    SPACE_B, 0x20000
        .set    OTHER, 0x400000
        .set    IN_A, 0x400000
        .set    IN_B, 0x600000
        .globl  OTHER, IN_A, IN_B, SPACE_A, SPACE_B

        .code64
        .section .text
        .globl  _start, ready, spin, spin_end
_start:
        lea     stack_end(%rip), %rsp
        lea     data(%rip), %r12
        lea     counter(%rip), %r14
        xor     %ebx, %ebx
ready:
        nop
spin:   add     $1, %rbx
        {disp8} mov %rbx, (%r14)
        .byte   0x3e, 0x3e                      # prefixes: four bytes, as all here
        jmp     spin
spin_end:

        # Thirteen instructions of four bytes one behind the other
        .globl  straight, straight_end
straight:
        .rept   13
        add     $1, %rbp
        .endr
straight_end:
        jmp     spin

        # 10,000 rounds of four instructions
        .globl  rounds, rounds_top, rounds_store, rounds_end
rounds:
        xor     %ebx, %ebx
        mov     $10000, %ebp
rounds_top:
        add     $1, %rbx
rounds_store:
        mov     %rbx, (%r14)
        cmp     %rbp, %rbx
        jl      rounds_top
rounds_end:
        nop
        jmp     spin

        # Branches of every kind that stay inside, loads and stores, a string
        .globl  mixed, mixed_end
mixed:
        mov     $25, %ebx
        xor     %ebp, %ebp
1:      call    4f
        mov     %rbp, 8(%r12)
        mov     8(%r12), %rsi
        test    $3, %sil
        je      2f
        add     $2, %rbp
        bt      $0, %ebp
        jc      3f
        nop
        jmp     3f
2:      add     $7, %rbp
3:      lea     5f(%rip), %r8
        jmp     *%r8
        nop
4:      push    %rbp
        mov     %rbp, %r9
        imul    %rbp, %r9
        pop     %r10
        ret
5:      lea     8(%r12), %rsi
        lea     16(%r12), %rdi
        mov     $3, %ecx
        rep movsb
        sub     $1, %rbx
        jnz     1b
mixed_end:
        nop
        jmp     spin

        # What KVM or QEMU emulates, each with instructions behind it
        .globl  emulated, emulated_end
emulated:
        xor     %ebp, %ebp
        mov     $LAPIC, %r8d
        mov     $3, %r9d
1:      out     %al, $0x80
        add     $1, %rbp
        in      $0x92, %al
        add     $1, %rbp
        mov     0x30(%r8), %eax                 # its version
        add     $1, %rbp
        movl    $0xff, 0xf0(%r8)                # spurious interrupt vector
        add     $1, %rbp
        xor     %eax, %eax
        cpuid
        add     $1, %rbp
        mov     $0xc0000080, %ecx               # EFER
        rdmsr
        add     $1, %rbp
        xor     %eax, %eax
        xor     %ecx, %ecx
        xor     %edx, %edx
        xor     %ebx, %ebx
        sub     $1, %r9
        jnz     1b
emulated_end:
        nop
        jmp     spin

        # A way out of a range: a call
        .globl  call, call_end, leaf
call:
        add     $1, %rbp
        add     $1, %rbp
        call    leaf
call_end:
        jmp     spin
leaf:   add     $1, %rsi
        ret

        # Where what TF is there for goes wrong: an IDT, whose gates the test writes, and
        # SYSCALL, that clears TF and IF
        .globl  setup, setup_end, handlers, kernel
setup:
        lidt    idt_pointer(%rip)
        mov     $0xc0000080, %ecx               # EFER
        rdmsr
        or      $1, %eax                        # SCE
        wrmsr
        mov     $0xc0000081, %ecx               # STAR
        xor     %eax, %eax
        mov     $24, %edx
        wrmsr
        mov     $0xc0000082, %ecx               # LSTAR
        lea     kernel(%rip), %rax
        xor     %edx, %edx
        wrmsr
        mov     $0xc0000084, %ecx               # SFMASK
        mov     $0x300, %eax
        wrmsr
setup_end:
        nop
        jmp     spin
        # Of each vector, four bytes
handlers:
        .fill   4 * 64, 1, 0x90
kernel:
        nop
        nop
        .globl  pushf_, pushf_end, pushfw_, pushfw_end, int_, int3_, int1_, div_, ud_, fault_
        .globl  syscall_, mov_ss, mov_ss_end, hlt_, hlt_end, popf_, popf_end, sti_, sti_end
pushf_: pushfq
pushf_end:
        nop
pushfw_: pushfw
pushfw_end:
        nop
int_:   int     $0x21
        nop
int3_:  int3
        nop
int1_:  .byte   0xf1
        nop
div_:   div     %ecx
        nop
ud_:    ud2
        nop
fault_: mov     (%rbx), %eax
        nop
syscall_: syscall
        nop
mov_ss: mov     %eax, %ss
mov_ss_end:
        nop
        nop
hlt_:   hlt
hlt_end:
        nop
popf_:  popfq
popf_end:
        nop
        nop
sti_:   sti
sti_end:
        nop
        cli
        nop

        # From one address space to the other, and back
        .globl  to_b, in_b, in_a
to_b:
        mov     $SPACE_B, %eax
        mov     %rax, %cr3
in_b:   nop
        mov     $SPACE_A, %eax
        mov     %rax, %cr3
in_a:   nop
        jmp     spin

        # Start the second vCPU, which counts, too
        .globl  start_second, started, second_ready, second, second_end
start_second:
        movb    $0xea, TRAMPOLINE               # ljmp $0xf000, $reset
        movw    $reset - ROM, TRAMPOLINE + 1
        movw    $0xf000, TRAMPOLINE + 3
        mov     $LAPIC, %r8d
        movl    $0x1ff, 0xf0(%r8)
        movl    $1 << 24, 0x310(%r8)
        movl    $0x4500, 0x300(%r8)             # INIT
        mov     $100000, %ecx
1:      dec     %ecx
        jnz     1b
        movl    $0x4600 + TRAMPOLINE / 4096, 0x300(%r8)
started:
        xor     %ebx, %ebx
        jmp     spin
second_start:
        xor     %ebx, %ebx
        lea     second_stack_end(%rip), %rsp
        lea     data(%rip), %r12
        lea     second_counter(%rip), %r14
second_ready:
        nop
second: add     $1, %rbx
        {disp8} mov %rbx, (%r14)
        .byte   0x3e, 0x3e
        jmp     second
second_end:

        .section .data
        .globl  data, counter, second_counter, idt
        .balign 128
data:   .quad   0, 0, 0, 0
counter: .quad  0
second_counter: .quad 0
        .balign 16
idt:    .space  16 * 64
idt_pointer:
        .word   16 * 64 - 1
        .quad   idt
        .balign 16
        .space  256
stack_end:
        .space  256
second_stack_end:

        .section .rom, "ax"
        .code32
        # 32-bit, flat.  The first vCPU makes ready what both use.
in_32:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $TRAMPOLINE, %esp               # for the calls below; grows down
        mov     $0x1b, %ecx                     # APIC base: is this the first?
        rdmsr
        mov     %eax, %ebp
        test    $0x100, %ebp
        jz      4f
        mov     $text_rom, %esi
        mov     $text_begin, %edi
        mov     $text_size, %ecx
        cld
        rep movsb
        mov     $SPACE_A, %edi                  # both
        xor     %eax, %eax
        mov     $0x8000, %ecx
        rep stosl
        mov     $SPACE_A, %edi
        call    make_space
        mov     $SPACE_B, %edi
        call    make_space
        movl    $IN_B + LARGE, SPACE_B + 0x2000 + OTHER / 0x200000 * 8
4:      mov     %cr4, %eax
        or      $0x20, %eax                     # PAE
        mov     %eax, %cr4
        mov     $SPACE_A, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx               # EFER
        rdmsr
        or      $0x100, %eax                    # LME
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        ljmp    $24, $in_64

        # At edi: the first GiB and the last of 4, in large pages
make_space:
        lea     0x1000 + PRESENT(%edi), %eax
        mov     %eax, (%edi)
        lea     0x2000 + PRESENT(%edi), %eax
        mov     %eax, 0x1000(%edi)
        lea     0x3000 + PRESENT(%edi), %eax
        mov     %eax, 0x1018(%edi)
        xor     %ecx, %ecx
        mov     $LARGE, %eax
1:      mov     %eax, 0x2000(%edi, %ecx, 8)
        lea     0xc0000000(%eax), %edx
        mov     %edx, 0x3000(%edi, %ecx, 8)
        add     $0x200000, %eax
        inc     %ecx
        cmp     $512, %ecx
        jb      1b
        ret

        .code64
in_64:
        mov     $_start, %eax
        mov     $second_start, %edx
        test    $0x100, %ebp
        cmovz   %edx, %eax
        jmp     *%rax

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              # 32-bit code
        .quad   0x00cf93000000ffff              # data
        .quad   0x00af9b000000ffff              # 64-bit code
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt

        .section .reset, "ax"
        .code16
        # Below the reset vector, and where the second vCPU begins
reset:
        cli
        lgdtl   %cs:gdt_pointer - ROM
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $8, $in_32
        .org    0x70
        jmp     reset
        .org    0x80
