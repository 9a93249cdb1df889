# SPDX-License-Identifier: GPL-2.0-or-later
"""The architectures that the lab has hosts of, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

L2_MACHINE = ("pseries,x-vof=on,cap-hpt-max-page-size=4k,cap-cfpc=broken,"
              "cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off")

# System calls for ever: a place for a debugger to break in.
PPC64_SYSCALLS = """
    .abiversion 2
    .globl _start
_start:
    li      31, 0
1:  li      0, 64               # getppid
    sc
    addi    31, 31, 1
    andi.   4, 31, 63
    bne     1b
    li      0, 158              # sched_yield
    sc
    b       1b
"""
ARM64_SYSCALLS = """
    .globl _start
_start:
    mov     x19, 0
1:  mov     x8, 173             // getppid
    svc     0
    add     x19, x19, 1
    tst     x19, 63
    b.ne    1b
    mov     x8, 124             // sched_yield
    svc     0
    b       1b
"""
X86_SYSCALLS = """
    .globl _start
_start:
    xor     %ebx, %ebx
1:  mov     $110, %eax          # getppid
    syscall
    inc     %rbx
    test    $63, %bl
    jnz     1b
    mov     $24, %eax           # sched_yield
    syscall
    jmp     1b
"""
LOONG64_SYSCALLS = """
    .globl _start
_start:
    move    $s0, $zero
1:  li.w    $a7, 173            # getppid
    syscall 0
    addi.d  $s0, $s0, 1
    andi    $t0, $s0, 63
    bnez    $t0, 1b
    li.w    $a7, 124            # sched_yield
    syscall 0
    b       1b
"""


@dataclass(frozen=True)
class Architecture:
    """What differs between the labs."""

    name: str                           # Debian's
    qemu: str                           # L0's, and the one under test
    tools: str                          # prefix of the binutils and gcc
    assembler: tuple[str, ...]          # its options
    syscalls: str                       # a program
    console: str                        # L1's name for it
    l2_console: tuple[str, str]         # Linux' in L2: its name, QEMU's options
    modules: tuple[str, ...]            # L1's, where they are not built in
    hosts: dict[str, tuple[str, ...]]   # L0's options by the name of a host
    machine: str                        # L2's
    cpu: tuple[str, ...]                # L2's options for it
    uart: str                           # L2's option for the chardev "con"
    firmware: str = ""                  # L2's
    disk_bus: str = "pcie.0"            # L1's
    host_firmware: str = ""             # L0's, in the directory of the kernel
    linux_firmware: tuple[str, ...] = ()    # L2's for Linux beside that, in pc-bios
    append: str = ""                    # more for L1's kernel
    l2_append: str = ""                 # more for L2's
    l0_under_test: bool = False         # L0 has to be the series', which L2's QEMU is, too
    rom: bool = False                   # a bare payload is one, beside its ELF file

    def boot(self, payload: Path) -> tuple[str, Path]:
        """QEMU's option for a bare payload, and what it takes."""
        return ("-bios", payload.with_suffix(".rom")) if self.rom else ("-kernel", payload)


PPC64 = Architecture(
    name="ppc64el", qemu="qemu-system-ppc64", tools="powerpc64le-linux-gnu-",
    assembler=("-mlittle", "-a64", "-mpower9"), syscalls=PPC64_SYSCALLS, console="hvc0",
    modules=("failover", "net_failover", "virtio_net", "virtio_blk", "kvm", "kvm-hv"),
    hosts={name: ("-M", name, "-vga", "none") for name in ("powernv9", "powernv10")},
    machine=L2_MACHINE, cpu=(), uart="-device spapr-vty,chardev=con", firmware="vof.bin",
    disk_bus="pcie.1",
    l2_console=("hvc0", "-device spapr-vty,chardev=con"))
ARM64_HOST = ("-M", "virt,virtualization=on,gic-version=3", "-cpu")
ARM64 = Architecture(
    name="arm64", qemu="qemu-system-aarch64", tools="aarch64-linux-gnu-",
    assembler=(), syscalls=ARM64_SYSCALLS, console="ttyAMA0",
    modules=("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
             "virtio_pci", "failover", "net_failover", "virtio_net", "virtio_blk"),
    # Linux 7.2 walks all of a VM's address space to destroy it, and QEMU makes some to see
    # what there is: with 52 bits (FEAT_LPA2) a guest takes 15 s longer to start
    hosts={"arm64": (*ARM64_HOST, "max,pauth-impdef=on,lpa2=off"),
           # Its guests may have EL2, from Linux 6.16 on
           "arm64-nested": (*ARM64_HOST, "max,pauth-impdef=on,lpa2=off"),
           "cortex-a76": (*ARM64_HOST, "cortex-a76"),
           "cortex-a57": (*ARM64_HOST, "cortex-a57")},          # without VHE
    machine="virt,gic-version=3", cpu=("-cpu", "host"), uart="-serial chardev:con",
    # Of the UART each character costs 6 ms: two exits, and a packet to the log.
    # Each ioeventfd costs two system calls at each stop of the guest, and as many to go on.
    l2_console=("hvc0", "-device virtio-serial-pci,max_ports=1,ioeventfd=off "
                        "-device virtconsole,chardev=con"))
# Without Intel's 5 levels of page tables, which SVM of TCG has not
X86 = Architecture(
    name="amd64", qemu="qemu-system-x86_64", tools="x86_64-linux-gnu-",
    assembler=("--64",), syscalls=X86_SYSCALLS, console="ttyS0",
    modules=(*ARM64.modules, "ccp", "irqbypass", "kvm", "kvm-amd"),
    hosts={"x86": ("-nodefaults", "-vga", "none", "-M", "q35", "-cpu", "max,-la57")},
    machine="q35", cpu=("-cpu", "host"), uart="-serial chardev:con",
    host_firmware="usr/share/seabios/bios-256k.bin", append=" mitigations=off nokaslr",
    linux_firmware=("linuxboot_dma.bin", "kvmvapic.bin"),
    rom=True, l2_console=("ttyS0", "-serial chardev:con"), l0_under_test=True)
# The board has no keyboard controller: Linux' driver of one panics
NO_I8042 = " initcall_blacklist=i8042_init"
LOONG64 = Architecture(
    name="loong64", qemu="qemu-system-loongarch64", tools="loongarch64-linux-gnu-",
    assembler=(), syscalls=LOONG64_SYSCALLS, console="ttyS0", modules=ARM64.modules,
    hosts={"loongarch64": ("-M", "virt", "-cpu", "la464,lvz=on")},
    machine="virt", cpu=(), uart="-serial chardev:con", append=NO_I8042,
    # Debian's kernel has no driver of a PCI bridge for a machine without ACPI
    host_firmware="usr/share/qemu-efi-loongarch64/QEMU_EFI.fd",
    l2_append=NO_I8042, l2_console=("ttyS0", "-serial chardev:con"))
# The names of all hosts
HOSTS = {host: arch for arch in (PPC64, ARM64, X86, LOONG64)
         for host in arch.hosts}
