# SPDX-License-Identifier: GPL-2.0-or-later
"""What L1 and L2 boot from: the kernel's package, and initramfs images made here."""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from architectures import PPC64, Architecture
from processes import LabError

HERE = Path(__file__).resolve().parent

L1_ADDRESS = "10.0.2.15"        # QEMU user networking's first guest address
HOST_FROM_L1 = "10.0.2.2"       # how L1 reaches our own 127.0.0.1


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
                 arch: Architecture = PPC64, modules: tuple[str, ...] = ()) -> Path:
    """`run`: what init starts instead of /bin/syscalls.  In /bin is what it names of linux/;
    /kernel is there if it names that."""
    busybox = kernel.busybox.read_bytes()
    init = L2_INIT.replace("/bin/syscalls &", "\n".join(run)) if run else L2_INIT
    programs = [path for path in sorted((HERE / "linux").glob("*.c"))
                if f"/bin/{path.stem}" in init]
    sources = sorted((HERE / "linux").glob("*.[ch]")) if programs else []

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
        if "/kernel" in init:
            image.file("kernel", stripped(kernel.vmlinux, cache, arch.tools).read_bytes())
        for name in modules:
            data = kernel.module(name)
            if data is None:
                raise LabError(f"no module {name} under {kernel.root}")
            image.file(f"lib/{name}.ko", data)
        return image.finish()

    cache.mkdir(parents=True, exist_ok=True)
    return _cached(cache, "l2-initramfs",
                   (busybox, init.encode(), arch.syscalls.encode(),
                    " ".join(modules).encode(), kernel.vmlinux.name.encode(),
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


def bootable(kernel: Path, cache: Path) -> Path:
    """`kernel`, out of the EFI program that unpacks itself, if it is one made by zstd,
    which our QEMU is built without."""
    with kernel.open("rb") as file:
        head = file.read(56)
        start, size = struct.unpack_from("<II", head, 8)
        if head[4:8] != b"zimg" or head[24:56].rstrip(b"\0") != b"zstd":
            return kernel
        file.seek(start)
        packed = file.read(size)

    def make() -> bytes:
        # The size of what was packed is in the last 4 bytes
        return subprocess.run(["zstd", "-dc", "-"], input=packed, check=True,
                              capture_output=True).stdout
    return _cached(cache, kernel.name, (packed,), make)


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
