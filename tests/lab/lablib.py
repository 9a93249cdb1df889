# SPDX-License-Identifier: GPL-2.0-or-later
"""A real KVM host on any machine: L0 (emulated) -> L1 (Linux with KVM) -> L2.

L0 is a QEMU under TCG, playing a bare-metal machine: POWER for KVM HV, arm64
with EL2, or x86 with SVM (see HOSTS).  L1 is a distribution's kernel with a busybox
initramfs; its init connects back to this process and runs a shell on that
connection, which is the whole control channel.  L2 is the QEMU under test with
``-accel kvm``; any number of L2 guests can be run, one after another or in
several slots at a time, in one booted L1.

Everything L1 needs later (QEMU binaries, payloads, firmware) it reads from a
disk that is written here, once for each content, so the initramfs stays small
and depends on the kernel package only.

Children are started from the main thread only: they ask the kernel for
SIGKILL when the thread that forked them ends (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import lzma
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Iterable, Iterator, Self, TextIO

HERE = Path(__file__).resolve().parent

L1_ADDRESS = "10.0.2.15"        # QEMU user networking's first guest address
HOST_FROM_L1 = "10.0.2.2"       # how L1 reaches our own 127.0.0.1
L1_GDB_PORT = 1234              # slot n listens on L1_GDB_PORT + n
L2_MACHINE = ("pseries,x-vof=on,cap-hpt-max-page-size=4k,cap-cfpc=broken,"
              "cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off")
TAIL_LINES = 15
PARCEL_SIZE, PARCEL_BLOCK = 1 << 30, 1 << 16    # bytes; of a sparse file

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
    append: str = ""                    # more for L1's kernel
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
    rom=True, l2_console=("ttyS0", "-serial chardev:con"))
# The names of all hosts
HOSTS = {host: arch for arch in (PPC64, ARM64, X86) for host in arch.hosts}
# Debian's QEMU 10.0 as powernv10 aborts in one boot of many: xive_source_esb_trigger:
# Assertion `srcno < xsrc->nr_irqs'
L0_BOOTS = 3


class LabError(Exception):
    """What went wrong, in one line, and the logs that tell more."""

    def __init__(self, message: str, logs: Iterable[Path] = ()) -> None:
        super().__init__(message)
        self.logs = list(logs)

    def report(self, stream: TextIO = sys.stderr) -> None:
        print(f"lab: {self}", file=stream)
        for log in self.logs:
            print(f"lab: last lines of {log}:", file=stream)
            for line in tail(log):
                print(f"    {line}", file=stream)


class L0Died(LabError):
    """The emulated host's QEMU ended while L1 was booting."""


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a console log, without control characters."""
    try:
        text = path.read_bytes()[-65536:].decode("utf-8", "replace")
    except OSError as err:
        return [f"({err.strerror})"]
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    kept = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in kept if line][-lines:] or ["(empty)"]


class Progress:
    """One line a phase: updated in place on a terminal, plain otherwise."""

    def __init__(self, stream: TextIO = sys.stderr, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
        self.live = stream.isatty()
        self.begun = time.monotonic()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        done = threading.Event()

        def show(end: str, word: str) -> None:
            if not self.quiet:
                spent = time.monotonic() - begun
                total = time.monotonic() - self.begun
                lead = "\r" if self.live else ""
                print(f"{lead}[{total:6.1f} s] {name:<34} {spent:6.1f} s {word}",
                      end=end, file=self.stream, flush=True)

        def tick() -> None:
            while not done.wait(0.5):
                show("", "   ")

        ticker = threading.Thread(target=tick, daemon=True)
        if self.live:
            ticker.start()
        word = "failed"
        try:
            yield
            word = "ok "
        finally:
            done.set()
            if self.live:
                ticker.join()
            show("\n", word)


# Processes

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Children:
    """The processes we started, each the leader of its own process group."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, argv: list[str], log: Path, own_group: bool = True,
              **popen: Any) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                process_group=0 if own_group else None,
                preexec_fn=_die_with_parent, **popen)
        self.running.append(child)
        return child

    def adopt(self, child: subprocess.Popen[bytes]) -> None:
        self.running.append(child)

    @staticmethod
    def _kill(child: subprocess.Popen[bytes], sig: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, sig)
            else:
                os.kill(child.pid, sig)

    def stop(self, child: subprocess.Popen[bytes], grace: float = 2.0) -> None:
        if child.poll() is None:
            self._kill(child, signal.SIGTERM)
            try:
                child.wait(grace)
            except subprocess.TimeoutExpired:
                self._kill(child, signal.SIGKILL)
                child.wait()
        if child in self.running:
            self.running.remove(child)

    def stop_all(self) -> None:
        for child in reversed(self.running[:]):
            self.stop(child)

    def kill_all(self) -> list[int]:
        """From a watchdog: no waiting, and says which pids it killed."""
        killed = []
        for child in self.running:
            if child.poll() is None:
                self._kill(child, signal.SIGKILL)
                killed.append(child.pid)
        return killed


class Watchdog:
    """After `limit` seconds: kill every child, say so, leave with status 124."""

    STATUS = 124

    def __init__(self, limit: float, children: Children,
                 logs: Callable[[], Iterable[Path]] = lambda: ()) -> None:
        self.limit = limit
        self.children = children
        self.logs = logs
        self.timer = threading.Timer(limit, self._bark)
        self.timer.daemon = True
        self.timer.start()

    def _bark(self) -> None:
        killed = self.children.kill_all()
        pids = " ".join(map(str, killed)) or "none left"
        LabError(f"time limit of {self.limit:g} s reached; killed pids: {pids}",
                 self.logs()).report()
        sys.stderr.flush()
        os._exit(self.STATUS)

    def cancel(self) -> None:
        self.timer.cancel()


def reserve_port(wanted: int = 0) -> int:
    """A free TCP port of 127.0.0.1, or LabError when `wanted` is busy."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", wanted))
        except OSError as err:
            raise LabError(f"port {wanted} of 127.0.0.1 is not free: "
                           f"{err.strerror}") from None
        return sock.getsockname()[1]


# Initramfs images

class Newc:
    """A writer of the cpio "newc" format (see cpio(5)); owner is root."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.inode = 0

    def _entry(self, name: str, mode: int, data: bytes = b"",
               rdev: tuple[int, int] = (0, 0), nlink: int = 1) -> None:
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, nlink, 0, len(data), 0, 0,
                  rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields)
        for part in (head + raw, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def directory(self, name: str) -> None:
        self._entry(name, stat.S_IFDIR | 0o755, nlink=2)

    def file(self, name: str, data: bytes, mode: int = 0o755) -> None:
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def finish(self) -> bytes:
        self._entry("TRAILER!!!", 0)
        return b"".join(self.parts)


L1_INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=75% tmp /tmp
echo 4 > /proc/sys/kernel/printk
for m in $(cat /lib/load); do insmod /lib/$m.ko || echo "lab: no $m"; done
ip link set lo up
ip addr add {L1_ADDRESS}/24 dev eth0
ip link set eth0 up
control=0
for word in $(cat /proc/cmdline); do
    case $word in lab.control=*) control=${{word#*=}};; esac
done
echo "lab: L1 init, control port $control"
while :; do
    nc {HOST_FROM_L1} $control -e /bin/sh
    sleep 1
done
"""

L2_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
echo "guest: init"
/bin/syscalls &
n=0
while :; do
    n=$((n + 1))
    echo "tick $n"
    /bin/busybox sleep 1
done
"""

@dataclass(frozen=True)
class KernelPackage:
    """A kernel package and a busybox package, unpacked over each other."""

    root: Path

    def _one(self, pattern: str) -> Path:
        found = sorted(self.root.glob(pattern))
        if not found:
            raise LabError(f"no {pattern} under {self.root}")
        return found[-1]

    @property
    def vmlinux(self) -> Path:
        """The kernel to boot: an ELF file, or arm64's compressed image."""
        return self._one("boot/vmlinu[xz]-*")

    @property
    def version(self) -> tuple[int, ...]:
        """As (6, 12)."""
        return tuple(map(int, re.findall(r"\d+", self.vmlinux.name)[:2]))

    @property
    def busybox(self) -> Path:
        for pattern in ("usr/bin/busybox", "bin/busybox"):
            if (self.root / pattern).exists():
                return self.root / pattern
        raise LabError(f"no usr/bin/busybox under {self.root}")

    def module(self, name: str) -> bytes | None:
        """None: the kernel has it built in, or, being another version, none such."""
        for base in ("usr/lib/modules", "lib/modules"):
            for path in sorted((self.root / base).glob(f"*/kernel/**/{name}.ko*")):
                if path.suffix not in (".ko", ".xz"):
                    raise LabError(f"{path}: neither plain nor compressed by xz")
                data = path.read_bytes()
                return lzma.decompress(data) if path.suffix == ".xz" else data
        return None


def _cached(cache: Path, name: str, inputs: Iterable[bytes],
            make: Callable[[], bytes]) -> Path:
    """The file `name`-HASH in `cache`, made when it is not there yet."""
    digest = hashlib.sha256()
    for item in inputs:
        digest.update(hashlib.sha256(item).digest())
    path = cache / f"{name}-{digest.hexdigest()[:16]}"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(make())
        part.rename(path)
    return path


def _skeleton(busybox: bytes, init: str) -> Newc:
    image = Newc()
    for name in ("bin", "dev", "lib", "proc", "sys", "tmp"):
        image.directory(name)
    image.device("dev/console", 5, 1)
    image.device("dev/null", 1, 3)
    image.file("bin/busybox", busybox)
    image.symlink("bin/sh", "busybox")
    image.file("init", init.encode())
    return image


def shared_libraries(program: Path) -> list[Path]:
    """What a program of this machine is linked with, and the linker."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", said)]


def l1_initramfs(kernel: KernelPackage, cache: Path, arch: Architecture = PPC64,
                 libraries: Iterable[Path] = ()) -> Path:
    busybox = kernel.busybox.read_bytes()
    shared = {path: path.read_bytes() for path in libraries}

    def make() -> bytes:
        image = _skeleton(busybox, L1_INIT)
        for place in sorted({parent for path in shared for parent in path.parents}):
            if place not in (Path("/"), Path("/lib")):
                image.directory(str(place).lstrip("/"))
        for path, data in shared.items():
            image.file(str(path).lstrip("/"), data)
        modules = {name: data for name in arch.modules if (data := kernel.module(name))}
        for name in ("virtio_net", "virtio_blk"):
            if name not in modules:
                raise LabError(f"no module {name} under {kernel.root}")
        image.file("lib/load", " ".join(modules).encode(), 0o644)
        for name, data in modules.items():
            image.file(f"lib/{name}.ko", data, 0o644)
        return image.finish()

    return _cached(cache, "l1-initramfs",
                   (busybox, L1_INIT.encode(), " ".join(arch.modules).encode(),
                    kernel.vmlinux.name.encode(), *shared.values()), make)


def l2_initramfs(kernel: KernelPackage, cache: Path, run: tuple[str, ...] = (),
                 arch: Architecture = PPC64) -> Path:
    """`run`: what init starts instead of /bin/syscalls; all of linux/ is in /bin then."""
    busybox = kernel.busybox.read_bytes()
    init = L2_INIT.replace("/bin/syscalls &", "\n".join(run)) if run else L2_INIT
    programs = sorted((HERE / "linux").glob("*.c")) if run else []
    sources = sorted((HERE / "linux").glob("*.[ch]")) if run else []

    def make() -> bytes:
        obj, exe = cache / "syscalls.o", cache / "syscalls"
        subprocess.run([f"{arch.tools}as", *arch.assembler, "-o", obj],
                       input=arch.syscalls.encode(), check=True)
        subprocess.run([f"{arch.tools}ld", "-s", "-o", exe, obj], check=True)
        image = _skeleton(busybox, init)
        image.file("bin/syscalls", exe.read_bytes())
        for source in programs:
            image.file(f"bin/{source.stem}",
                       l2_program(source, cache, arch.tools).read_bytes())
        return image.finish()

    cache.mkdir(parents=True, exist_ok=True)
    return _cached(cache, "l2-initramfs",
                   (busybox, init.encode(), arch.syscalls.encode(),
                    *(source.read_bytes() for source in sources)), make)


def l2_program(source: Path, cache: Path, tools: str = PPC64.tools) -> Path:
    """A program of linux/ or host/, compiled for Linux in L2 or L1; not stripped."""
    def make() -> bytes:
        exe = cache / f"{source.stem}.{os.getpid()}.exe"
        try:
            subprocess.run([f"{tools}gcc", "-static", "-no-pie", "-O1", "-Wall", "-Werror",
                            "-o", exe, source], check=True)
            return exe.read_bytes()
        finally:
            exe.unlink(missing_ok=True)

    headers = sorted(source.parent.glob(f"{source.stem}_*.h"))
    return _cached(cache, source.stem, (tools.encode(), *(path.read_bytes() for path in
                                                          [source, *headers])), make)


def stripped(binary: Path, cache: Path, tools: str = PPC64.tools) -> Path:
    """`binary` without its debugging information, which L1 has no use for."""
    strip = shutil.which(f"{tools}strip")
    with binary.open("rb") as file:
        elf = file.read(4) == b"\x7fELF"
    if strip is None or not elf:
        return binary

    def make() -> bytes:
        part = cache / f"strip.{os.getpid()}"
        subprocess.run([strip, "--strip-debug", "-o", part, binary], check=True)
        try:
            return part.read_bytes()
        finally:
            part.unlink()

    cache.mkdir(parents=True, exist_ok=True)
    return _cached(cache, binary.name, (binary.read_bytes(),), make)


# Talking to L1

class LogSink:
    """A TCP port of 127.0.0.1; all that connects is written to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_bytes(b"")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self._drain, args=(peer,),
                                 daemon=True).start()

    def _drain(self, peer: socket.socket) -> None:
        with peer, self.path.open("ab", buffering=0) as out:
            with contextlib.suppress(OSError):
                while data := peer.recv(65536):
                    out.write(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


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


# The lab

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


@dataclass
class L2Config:
    """One guest for the QEMU under test: a bare payload or Linux.

    machine: "" for the architecture's
    host_cpu: the only processor of the host that it may run on; None: any
    under: a program, in L1, and its arguments, that QEMU is run by
    """

    qemu: Path
    payload: Path | None = None         # None: L1's kernel as a guest
    append: str = ""
    cpus: int = 1
    memory: str = "512M"
    machine: str = ""
    extra: list[str] = field(default_factory=list)
    stopped: bool = True                # -S
    slot: int = 0
    run: tuple[str, ...] = ()           # Linux: lines of init, see l2_initramfs()
    host_cpu: int | None = None
    under: tuple[str, ...] = ()


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
        lab = cls(LabConfig(Path(said["kernel_dir"]), work, pc_bios, said["machine"]),
                  progress, children)
        lab.keeper, lab.shell = keeper, Shell(socket.socket(fileno=fds[0]))
        lab.gdb_ports = said["gdb_ports"]
        lab.console, lab.parcel = Path(said["console"]), Path(said["parcel"])
        lab.logs = [lab.console]
        return lab

    def description(self) -> dict[str, Any]:
        """What attach() has to be told."""
        return {"kernel_dir": str(self.config.kernel_dir.resolve()),
                "machine": self.config.machine, "gdb_ports": self.gdb_ports,
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
                                  shared_libraries(Path(l0)) if config.l0 else ())
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
            "-kernel", str(self.kernel.vmlinux), "-initrd", str(initrd),
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
                initrd = l2_initramfs(self.kernel, self.cache, config.run, arch)
                kernel = stripped(self.kernel.vmlinux, self.cache, arch.tools)
                console, uart = arch.l2_console
                boot = ["-kernel", self.push(kernel), "-initrd", self.push(initrd),
                        "-append", f"console={console} rdinit=/init {config.append}".strip()]
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


class L2:
    """A guest of the QEMU under test, made by Lab.start_l2()."""

    def __init__(self, lab: Lab, config: L2Config, serial: int) -> None:
        self.lab = lab
        self.config = config
        self.gdb_port = lab.gdb_ports[config.slot]
        self.console = lab.config.work / f"l2-{serial}-console.log"
        self.log = lab.config.work / f"l2-{serial}-qemu.log"
        self.console_sink = LogSink(self.console)
        self.log_sink = LogSink(self.log)
        self.pid_file = f"/tmp/l2-{serial}.pid"

    def launch(self, argv: list[str], timeout: float) -> None:
        shell = self.lab.shell
        assert shell is not None
        argv = [*self.config.under, *argv]
        if self.config.host_cpu is not None:
            argv = ["taskset", f"{1 << self.config.host_cpu:x}", *argv]
        inner = f"echo $$ > {self.pid_file}; exec {shlex.join(argv)}"
        shell.check(f"( setsid sh -c {shlex.quote(inner)} 2>&1 </dev/null | "
                    f"nc {HOST_FROM_L1} {self.log_sink.port} ) >/dev/null 2>&1 &")
        port = f"{L1_GDB_PORT + self.config.slot:04X}"
        deadline = time.monotonic() + timeout
        while shell.run(f"grep -q ':{port} [0-9A-F:]* 0A' /proc/net/tcp*")[0]:
            if shell.run(f"test -s {self.pid_file}")[0] == 0 and not self.alive():
                time.sleep(0.5)
                raise LabError("the QEMU under test ended before its gdbstub "
                               "listened", [self.log])
            if time.monotonic() > deadline:
                raise LabError(f"no gdbstub after {timeout:g} s",
                               [self.log, self.console])
            time.sleep(0.1)

    def alive(self) -> bool:
        assert self.lab.shell is not None
        return self.lab.shell.run(f"kill -0 $(cat {self.pid_file})")[0] == 0

    def wait_console(self, pattern: str, timeout: float = 120.0) -> str:
        """Wait for a regular expression in the guest's console; its match."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.console.read_text(errors="replace"))):
            if time.monotonic() > deadline:
                raise LabError(f"'{pattern}' is not in the guest's console after "
                               f"{timeout:g} s", [self.console, self.log])
            time.sleep(0.1)
        return found[0]

    def stop(self, grace: float = 5.0) -> None:
        """End the guest's QEMU: SIGTERM, and SIGKILL when that is not enough."""
        shell = self.lab.shell
        if shell is not None:
            pid = f"$(cat {self.pid_file})"
            rounds = int(grace * 10)
            shell.run(f"kill {pid}; n=0; while kill -0 {pid}; do n=$((n+1)); "
                      f"[ $n -gt {rounds} ] && kill -9 {pid}; "
                      f"[ $n -gt {rounds + 50} ] && exit 1; usleep 100000; done",
                      grace + 20)
        self.forget()

    def forget(self) -> None:
        self.console_sink.close()
        self.log_sink.close()
        if self.lab.guests.get(self.config.slot) is self:
            del self.lab.guests[self.config.slot]


# The reference

class TcgReference:
    """The same payload under TCG on this machine: what a step should do."""

    def __init__(self, payload: Path, work: Path, children: Children | None = None,
                 qemu: str = "", cpu: str = "power9",
                 machine: str = "", memory: str = "512M",
                 name: str = "tcg", thread: str = "single",
                 extra: Iterable[str] = (), arch: Architecture = PPC64) -> None:
        self.children = children or Children()
        self.gdb_port = reserve_port()
        work.mkdir(parents=True, exist_ok=True)
        self.console = work / f"{name}-console.log"
        self.log = work / f"{name}-qemu.log"
        self.log.write_bytes(b"")
        self.process = self.children.start([
            qemu or arch.qemu, "-M", machine or arch.machine,
            "-accel", f"tcg,thread={thread}", "-cpu", cpu,
            "-m", memory, "-nographic", "-nodefaults",
            "-chardev", f"file,id=con,path={self.console}",
            *arch.uart.split(), *map(str, arch.boot(payload)),
            "-S", "-gdb", f"tcp:127.0.0.1:{self.gdb_port}", *extra], self.log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                self.socket = socket.create_connection(("127.0.0.1", self.gdb_port))
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise LabError("the TCG reference did not start", [self.log])
            time.sleep(0.05)

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.socket.close()
        self.children.stop(self.process)
