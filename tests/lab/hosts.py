# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts: L0, an emulated machine, and L1, the Linux with KVM on it; a shell in that.

Everything L1 needs later (QEMU binaries, payloads, firmware) it reads from a
disk that is written here, once for each content, so the initramfs stays small
and depends on the kernel package only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from architectures import HOSTS
from guests import L1_GDB_PORT, L2, L2Config
from initramfs import (HOST_FROM_L1, L1_ADDRESS, KernelPackage, bootable, l1_initramfs,
                       l2_initramfs, shared_libraries, stripped)
from processes import Children, LabError, Progress, reserve_port

PARCEL_SIZE, PARCEL_BLOCK = 1 << 30, 1 << 16    # bytes; of a sparse file
# Debian's QEMU 10.0 as powernv10 aborts in one boot of many: xive_source_esb_trigger:
# Assertion `srcno < xsrc->nr_irqs'
L0_BOOTS = 3


class L0Died(LabError):
    """The emulated host's QEMU ended while L1 was booting."""


class Shell:
    """A shell in L1 on a TCP connection: one command at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.serial = 0

    def run(self, command: str, timeout: float = 60.0) -> tuple[int, str]:
        """(exit status, stdout and stderr) of `command`.  What a command before it says
        late, whose run() was cut short, is passed over."""
        self.serial += 1
        mark = f"@@{self.serial}@@"
        answer = re.compile(rf"{mark} begin\n(.*){mark} (\d+)\n".encode(), re.DOTALL)
        self.sock.settimeout(timeout)
        seen = b""
        try:
            self.sock.sendall(f"echo '{mark} begin'; ( {command}\n) 2>&1 </dev/null; "
                              f"echo \"{mark} $?\"\n".encode())
            while not (found := answer.search(seen)):
                data = self.sock.recv(65536)
                if not data:
                    raise LabError(f"L1's control connection ended in: {command}")
                seen += data
        except TimeoutError:
            raise LabError(f"no answer from L1 in {timeout:g} s: {command}") from None
        return int(found[2]), found[1].decode("utf-8", "replace")

    def check(self, command: str, timeout: float = 60.0) -> str:
        status, output = self.run(command, timeout)
        if status:
            raise LabError(f"in L1, status {status}: {command}: {output.strip()}")
        return output


@dataclass
class LabConfig:
    """Where things are and how large L1 is; the tests' defaults are QGD_*."""

    kernel_dir: Path
    work: Path
    pc_bios: Path
    machine: str = "powernv9"   # one of HOSTS
    l0: str = ""                # L0's QEMU; "": the distribution's
    l1_cpus: int = 2
    l1_memory: str = "4G"
    gdb_port: int = 0           # host port of slot 0; 0 picks a free one
    slots: int = 2              # how many L2 guests may run at a time
    boot_timeout: float = 180.0

    @classmethod
    def from_environment(cls, **changes: Any) -> Self:
        """QGD_KERNEL_DIR, QGD_LAB_WORK, QGD_PC_BIOS and QGD_L0, then `changes`."""
        env = os.environ.get
        values: dict[str, Any] = {
            "kernel_dir": Path(env("QGD_KERNEL_DIR", "kernel")),
            "work": Path(env("QGD_LAB_WORK", "lab-work")),
            "pc_bios": Path(env("QGD_PC_BIOS", "/usr/share/qemu")),
            "l0": env("QGD_L0", ""),
        }
        return cls(**(values | changes))


# In L1, between two clients of a kept host: guests that were left running, disks that
# they have written, and all files when these take half of the memory that there is for
# them
CLEAN_UP = """
for f in /tmp/l2-*.pid; do test -e $f && kill -9 $(cat $f); rm -f $f; done
rm -f /tmp/*.qcow2
test $(df -P /tmp | sed -n 's/.* \\([0-9]*\\)% .*/\\1/p') -lt 50 || rm -f /tmp/????????????-*
true"""


class Lab:
    """One booted L1.  A context manager: leaves no process behind."""

    def __init__(self, config: LabConfig, progress: Progress | None = None,
                 children: Children | None = None) -> None:
        self.config = config
        self.progress = progress or Progress()
        self.children = children or Children()
        self.arch = HOSTS[config.machine]
        self.kernel = KernelPackage(config.kernel_dir)
        self.cache = config.work / "cache"
        self.console = config.work / "l1-console.log"
        self.parcel = config.work / "parcel.img"        # L1's disk
        self.gdb_ports: list[int] = []
        self.guests: dict[int, L2] = {}
        self.logs: list[Path] = [self.console]
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None   # L1's init connects to it
        self.shell: Shell | None = None
        self.keeper: socket.socket | None = None    # has booted L1 for us
        self._pushed: set[str] = set()
        self._started = 0

    @classmethod
    def attach(cls, path: Path, work: Path, pc_bios: Path, progress: Progress | None = None,
               children: Children | None = None) -> Self:
        """A host that `lab up` keeps at this path; see kept_host.py."""
        keeper = socket.socket(socket.AF_UNIX)
        keeper.settimeout(20)
        try:
            keeper.connect(os.fspath(path))
            data, fds, _, _ = socket.recv_fds(keeper, 65536, 1)
        except OSError as err:
            keeper.close()
            raise LabError(f"no host at {path}: {err.strerror or err}; 'scripts/lab up' "
                           "boots one") from None
        said = json.loads(data or '{"error": "it has just ended"}')
        if "error" in said:
            keeper.close()
            raise LabError(f"the host at {path}: {said['error']}")
        lab = cls(LabConfig(Path(said["kernel_dir"]), work, pc_bios, said["machine"],
                            said["l0"]), progress, children)
        lab.keeper, lab.shell = keeper, Shell(socket.socket(fileno=fds[0]))
        lab.gdb_ports = said["gdb_ports"]
        lab.console, lab.parcel = Path(said["console"]), Path(said["parcel"])
        lab.logs = [lab.console]
        return lab

    def description(self) -> dict[str, Any]:
        """What attach() has to be told."""
        return {"kernel_dir": str(self.config.kernel_dir.resolve()),
                "machine": self.config.machine, "l0": self.config.l0,
                "gdb_ports": self.gdb_ports,
                "console": str(self.console), "parcel": str(self.parcel)}

    def __enter__(self) -> Self:
        try:
            if self.keeper is None:
                self.boot()
            self.config.work.mkdir(parents=True, exist_ok=True)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def boot(self) -> None:
        """Start L0 and wait until L1's init has connected to us."""
        config = self.config
        config.work.mkdir(parents=True, exist_ok=True)
        self.console.write_bytes(b"")
        with self.parcel.open("wb") as disk:
            disk.truncate(PARCEL_SIZE)
        l0 = shutil.which(config.l0 or self.arch.qemu)
        if l0 is None:
            raise LabError(f"{config.l0 or self.arch.qemu} not found")
        self.gdb_ports = [reserve_port(config.gdb_port)]
        self.gdb_ports += [reserve_port() for _ in range(config.slots - 1)]
        with self.progress.phase("L1 initramfs"):
            # The QEMU under test may have to have what this one has
            initrd = l1_initramfs(self.kernel, self.cache, self.arch,
                                  shared_libraries(Path(l0)) if self.arch.l0_under_test else ())
        for left in reversed(range(L0_BOOTS)):
            try:
                self._boot_l0(initrd)
                break
            except L0Died as err:
                if not left:
                    raise
                print(f"lab: {err}; once more", file=sys.stderr)
        assert self.shell is not None
        if self.shell.run("test -c /dev/kvm")[0]:
            raise LabError("L1 has no /dev/kvm", [self.console])

    def _boot_l0(self, initrd: Path) -> None:
        config = self.config
        forwards = "".join(
            f",hostfwd=tcp:127.0.0.1:{port}-{L1_ADDRESS}:{L1_GDB_PORT + slot}"
            for slot, port in enumerate(self.gdb_ports))
        if self.control is None:
            self.control = socket.create_server(("127.0.0.1", 0))
        argv = [
            config.l0 or self.arch.qemu, *self.arch.hosts[config.machine],
            *self._host_firmware(), "-accel", "tcg,thread=multi",
            "-smp", str(config.l1_cpus), "-m", config.l1_memory,
            "-nographic", "-monitor", "none",
            "-serial", f"file:{self.console}",
            "-kernel", str(bootable(self.kernel.vmlinux, self.cache)), "-initrd", str(initrd),
            "-append", f"console={self.arch.console} rdinit=/init quiet {self._nested()}"
                       f"lab.control={self.control.getsockname()[1]}{self.arch.append}",
            "-netdev", f"user,id=n0{forwards}",
            "-device", "virtio-net-pci,netdev=n0,bus=pcie.0,disable-legacy=on,romfile=",
            "-drive", f"if=none,id=d0,format=raw,file={self.parcel}",
            "-device", f"virtio-blk-pci,drive=d0,bus={self.arch.disk_bus},disable-legacy=on",
        ]
        with self.progress.phase(f"L1 boot ({config.machine})"):
            log = config.work / "l0.log"
            log.write_bytes(b"")
            if log not in self.logs:
                self.logs.append(log)
            self.process = self.children.start(argv, log)
            self._await_shell(config.boot_timeout)

    def _host_firmware(self) -> list[str]:
        if not self.arch.host_firmware:
            return []
        return ["-L", str(self.config.pc_bios),
                "-bios", str(self.config.kernel_dir / self.arch.host_firmware)]

    def check_alive(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise L0Died(f"L0 ended with status {self.process.returncode}", self.logs)

    def _nested(self) -> str:
        """The words that give guests EL2, for a host that has it for them.  It starts
        guests more slowly."""
        return "kvm-arm.mode=nested " if self.config.machine == "arm64-nested" else ""

    def _await_shell(self, timeout: float) -> None:
        """L1's init connects when it has booted, and whenever its shell has ended."""
        assert self.control is not None
        self.control.settimeout(0.5)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                self.shell = Shell(self.control.accept()[0])
                self.shell.check("true")
                return
            self.check_alive()
        raise LabError(f"L1 has not connected in {timeout:g} s", self.logs)

    def renew_shell(self) -> None:
        """A shell that no client has used, and nothing of a client's in L1."""
        assert self.shell is not None
        with contextlib.suppress(OSError):
            self.shell.sock.shutdown(socket.SHUT_RDWR)
        self.shell.sock.close()
        # It may be within a command, none of which takes longer
        self._await_shell(120)
        self.shell.check(CLEAN_UP)

    def push(self, path: Path, executable: bool = False) -> str:
        """Copy a file into L1, once for each content; its name there."""
        assert self.shell is not None
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = f"/tmp/{digest[:12]}-{path.name}"
        if name not in self._pushed:
            # A kept host may have it from another run
            if self.shell.run(f"stat -c %s {name}") != (0, f"{len(data)}\n"):
                self._copy(path, data, name)
            if executable:
                self.shell.check(f"chmod +x {name}")
            self._pushed.add(name)
        return name

    def _copy(self, path: Path, data: bytes, name: str) -> None:
        """By the disk, which L1 reads past its cache; over the network it is 10 times slower."""
        assert self.shell is not None
        with self.parcel.open("r+b") as disk:
            if len(data) > PARCEL_SIZE:
                raise LabError(f"{path} has {len(data)} bytes, L1's disk {PARCEL_SIZE}")
            disk.write(data)
        blocks = -(-len(data) // PARCEL_BLOCK)
        self.shell.check(f"dd if=/dev/vda of={name} bs={PARCEL_BLOCK} count={blocks} "
                         f"iflag=direct && truncate -s {len(data)} {name}", 150)

    def _linux_firmware(self) -> list[str]:
        """Where QEMU finds by its name what it boots Linux with."""
        if not self.arch.linux_firmware:
            return []
        assert self.shell is not None
        files = [self.config.pc_bios / name for name in self.arch.linux_firmware]
        files.append(self.config.kernel_dir / self.arch.host_firmware)
        for file in files:
            self.shell.check(f"mkdir -p /tmp/firmware && "
                             f"ln -sf {self.push(file)} /tmp/firmware/{file.name}")
        return ["-L", "/tmp/firmware"]

    def start_l2(self, config: L2Config, timeout: float = 60.0) -> L2:
        """Start a guest and wait until its gdbstub listens."""
        assert self.shell is not None
        if config.slot in self.guests:
            self.guests[config.slot].stop()
        self._started += 1
        kind = config.payload.name if config.payload else "Linux"
        with self.progress.phase(f"L2 files ({config.qemu.name})"):
            arch = self.arch
            uart = arch.uart
            qemu = self.push(stripped(config.qemu, self.cache, arch.tools), executable=True)
            bios = (["-bios", self.push(self.config.pc_bios / arch.firmware)]
                    if arch.firmware else [])
            if config.payload:
                option, file = arch.boot(config.payload)
                boot = [option, self.push(file)]
            else:
                initrd = l2_initramfs(self.kernel, self.cache, config.run, arch,
                                      config.modules)
                bios += self._linux_firmware()
                kernel = stripped(bootable(self.kernel.vmlinux, self.cache), self.cache,
                                  arch.tools)
                console, uart = arch.l2_console
                boot = ["-kernel", self.push(kernel), "-initrd", self.push(initrd),
                        "-append", f"console={console} rdinit=/init{arch.l2_append} "
                                   f"{config.append}".strip()]
        with self.progress.phase(f"L2 start ({kind})"):
            guest = L2(self, config, self._started)
            argv = [
                qemu, "-M", config.machine or arch.machine, "-accel", "kvm", *arch.cpu,
                "-smp", str(config.cpus),
                "-m", config.memory, "-nographic", "-nodefaults", *bios,
                "-chardev", f"socket,id=con,host={HOST_FROM_L1},"
                            f"port={guest.console_sink.port}",
                *uart.split(), *boot,
                "-gdb", f"tcp::{L1_GDB_PORT + config.slot}",
                *(["-S"] if config.stopped else []), *config.extra,
            ]
            self.guests[config.slot] = guest
            self.logs += [guest.console, guest.log]
            guest.launch(argv, timeout)
        return guest

    def forget_ended(self) -> None:
        """The logs of guests that have ended: a test's failure is not about them."""
        running = {log for guest in self.guests.values() for log in (guest.console, guest.log)}
        self.logs = [log for log in self.logs
                     if log in running or not log.name.startswith("l2-")]

    def stop_guests(self) -> None:
        """None is left; raises LabError if the host does not answer."""
        self.check_alive()
        for guest in list(self.guests.values()):
            guest.stop()
        assert self.shell is not None
        self.shell.run("true")

    def close(self) -> None:
        for guest in list(self.guests.values()):
            guest.forget()
        if self.shell is not None:
            self.shell.sock.close()
        for sock in (self.control, self.keeper):
            if sock is not None:
                sock.close()
        self.shell = self.control = self.keeper = None
        if self.process is not None:
            self.children.stop(self.process)
            self.process = None
