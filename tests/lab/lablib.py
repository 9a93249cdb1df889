# SPDX-License-Identifier: GPL-2.0-or-later
"""A real KVM host on any machine: L0 (emulated) -> L1 (Linux with KVM) -> L2.

L0 is a QEMU under TCG, playing a bare-metal machine: POWER for KVM HV, arm64
with EL2, x86 with SVM, or LoongArch with LVZ (see HOSTS).  L1 is a distribution's
kernel with a busybox initramfs; its init connects back to this process and runs a shell on that
connection, which is the whole control channel.  L2 is the QEMU under test with
``-accel kvm``; any number of L2 guests can be run, one after another or in
several slots at a time, in one booted L1.

Children are started from the main thread only: they ask the kernel for
SIGKILL when the thread that forked them ends (PR_SET_PDEATHSIG).

What tests and tools take from the modules that do it.
"""

from architectures import ARM64, HOSTS, L2_MACHINE, LOONG64, PPC64, X86, Architecture
from guests import L1_GDB_PORT, L2, L2Config, TcgReference
from hosts import Lab, LabConfig, Shell
from initramfs import HOST_FROM_L1, l2_program
from processes import Children, LabError, Progress, Watchdog, reserve_port, tail

__all__ = ["ARM64", "HOSTS", "HOST_FROM_L1", "L1_GDB_PORT", "L2", "L2Config", "L2_MACHINE",
           "LOONG64", "PPC64", "X86", "Architecture", "Children", "Lab", "LabConfig",
           "LabError", "Progress", "Shell", "TcgReference", "Watchdog", "l2_program",
           "reserve_port", "tail"]
