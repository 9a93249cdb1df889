#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of generated A64 instructions: seed and cell -> an ELF file.

    stream_arm64.py [--seed N] [--sections N] [--out DIR] CELL...

A cell names what a guest and its host are, such as max-le-mmu-1cpu.  The same seed
and cell always give the same guest.  Everything that it does is defined by the Arm
Architecture Reference Manual (DDI 0487), or is what an emulator does that both sides
share, and nothing depends on time.
"""

from __future__ import annotations

import itertools
import random
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import generator
from generator import SECTIONS, Generator, assemble, table
from lablib import ARM64

# PSTATE, as SPSR_EL1 has it
DIT, UAO, PAN, SS, IL, SSBS = 1 << 24, 1 << 23, 1 << 22, 1 << 21, 1 << 20, 1 << 12
BTYPE, DAIF, NZCV = 0xc00, 0x3c0, 0xf << 28
EL0, EL1T, EL1H = 0, 4, 5

# SCTLR_EL1
A, SA, SA0, UMA, DZE, UCT = 1 << 1, 1 << 3, 1 << 4, 1 << 9, 1 << 14, 1 << 15
NTWI, NTWE, UCI, E0E, EE = 1 << 16, 1 << 18, 1 << 26, 1 << 24, 1 << 25
ENIA, ENIB, ENDA, ENDB, BT0, BT1 = 1 << 31, 1 << 30, 1 << 27, 1 << 13, 1 << 35, 1 << 36
MSCEN = 1 << 33

# The area, as in stream-arm64.S
BUFFER, VECTORS, LOCKS, LINES, STACK, POOL = 0x600, 0xa00, 0xe00, 0x1000, 0x1e00, 0x2a00
UART, GICD = 0x09000000, 0x08000000
PSCI_VERSION = 0x84000000


@dataclass(frozen=True)
class Cell:
    """A guest and the host that it needs."""

    max: bool = True                # the processor: QEMU's max, or a Cortex-A76
    little: bool = True             # data; instructions always are
    mmu: bool = True
    cpus: int = 1

    arch = ARM64
    fetches_early = False
    memory = "512M"
    NAME = re.compile(r"(max|a76)-(be|le)-(mmu|flat)-([12])cpu")

    @classmethod
    def parse(cls, name: str) -> Cell:
        found = cls.NAME.fullmatch(name)
        if not found:
            raise ValueError(f"'{name}' is no cell; such as max-le-mmu-1cpu")
        cpu, order, mmu, cpus = found.groups()
        return cls(cpu == "max", order == "le", mmu == "mmu", int(cpus))

    def __str__(self) -> str:
        return (f"{'max' if self.max else 'a76'}-{'le' if self.little else 'be'}-"
                f"{'mmu' if self.mmu else 'flat'}-{self.cpus}cpu")

    @property
    def host(self) -> str:
        return "arm64" if self.max else "cortex-a76"

    @property
    def cpu(self) -> str:
        """For a reference under TCG: the host's."""
        return self.arch.hosts[self.host][-1]

    @property
    def machine(self) -> str:
        return self.arch.machine

    def build(self, seed: int, out: Path, sections: int = SECTIONS) -> Path:
        """The ELF file of its guest."""
        return build_stream(self, seed, out, sections)


ALL_CELLS = [Cell(*cell) for cell in itertools.product(
    (True, False), (True, False), (True, False), (1, 2))]


# What instructions look like.  X and x are a destination and a source, both with XZR;
# Y and y are so without it; W, w, V, v the same of 32 bits.  b, h, s, d, q are scalars of
# FP registers, v.8b and such a vector, s[] an element; uN and sN immediates of N bits,
# r64 1 to 64.  The lines that begin with * have a form of 32 bits, too.
INTEGER = """
*add X,x,x; *adds X,x,x; *sub X,x,x; *subs X,x,x; *adc X,x,x; *adcs X,x,x; *sbc X,x,x
*sbcs X,x,x; *and X,x,x; *ands X,x,x; *bic X,x,x; *bics X,x,x; *orr X,x,x; *orn X,x,x
*eor X,x,x; *eon X,x,x; *add X,x,x,shift; *adds X,x,x,shift; *sub X,x,x,shift
*subs X,x,x,shift; *and X,x,x,rotate; *bics X,x,x,rotate; *orn X,x,x,rotate
*eor X,x,x,rotate; *madd X,x,x,x; *msub X,x,x,x; smaddl X,w,w,x; smsubl X,w,w,x
umaddl X,w,w,x; umsubl X,w,w,x; smulh X,x,x; umulh X,x,x; *udiv X,x,x; *sdiv X,x,x
*lsl X,x,x; *lsr X,x,x; *asr X,x,x; *ror X,x,x; *clz X,x; *cls X,x; *rbit X,x; *rev X,x
*rev16 X,x; rev32 X,x; *add Y,y,u12; *adds X,y,u12; *sub Y,y,u12; *subs X,y,u12
*add Y,y,u12,lsl 12; *subs X,y,u12,lsl 12; add Y,y,w,extend; sub Y,y,w,extend
adds X,y,w,extend; subs X,y,w,extend; add V,v,w,extend; subs W,v,w,extend
add Y,y,x,uxtx u2; *and Y,x,mask; *ands X,x,mask; *orr Y,x,mask; *eor Y,x,mask
movz X,u16,half; movn X,u16,half; movk X,u16,half; movz W,u16,lsl 16; movn W,u16; movk W,u16
*sbfm X,x,u6,u6; *ubfm X,x,u6,u6; *bfm X,x,u6,u6; *extr X,x,x,u6; *csel X,x,x,cond
*csinc X,x,x,cond; *csinv X,x,x,cond; *csneg X,x,x,cond; *ccmp x,x,u4,cond
*ccmn x,x,u4,cond; *ccmp x,u5,u4,cond; *ccmn x,u5,u4,cond; crc32b W,w,w; crc32h W,w,w
crc32w W,w,w; crc32x W,w,x; crc32cb W,w,w; crc32ch W,w,w; crc32cw W,w,w; crc32cx W,w,x
mrs Y,nzcv; msr nzcv,x; adr Y,data_begin; adrp Y,data_begin
"""
INTEGER_MAX = """
setf8 w; setf16 w; rmif x,u6,u4; cfinv; axflag; xaflag; pacga X,x,y; pacia Y,y; pacib Y,y
pacda Y,y; pacdb Y,y; paciza Y; pacizb Y; pacdza Y; pacdzb Y; xpaci Y; xpacd Y; xpaclri
pacia1716; pacibsp; autib1716
"""
FLOATING = """
fadd F,F,F; fsub F,F,F; fmul F,F,F; fdiv F,F,F; fnmul F,F,F; fmax F,F,F; fmin F,F,F
fmaxnm F,F,F; fminnm F,F,F; fmadd F,F,F,F; fmsub F,F,F,F; fnmadd F,F,F,F; fnmsub F,F,F,F
fsqrt F,F; fabs F,F; fneg F,F; fmov F,F; frintn F,F; frintp F,F; frintm F,F; frintz F,F
frinta F,F; frintx F,F; frinti F,F; fcmp F,F; fcmpe F,F; fcmp F,0.0; fccmp F,F,u4,cond
fccmpe F,F,u4,cond; fcsel F,F,F,cond; fmov F,float; scvtf F,x; scvtf F,w; ucvtf F,x
ucvtf F,w; fcvtzs X,F; fcvtzu X,F; fcvtns W,F; fcvtpu X,F; fcvtms W,F; fcvtau X,F
fcvtzs W,F,r32; ucvtf F,x,r64; frecpe F,F; frsqrte F,F; frecps F,F,F; frsqrts F,F,F
frecpx F,F; fabd F,F,F; facge F,F,F; facgt F,F,F; fcmeq F,F,F; fcmgt F,F,F
"""
CONVERSIONS = """
fcvt s,d; fcvt d,s; fcvt h,d; fcvt d,h; fcvt s,h; fcvtxn s,d; fmov X,d; fmov d,x; fmov W,s
fmov s,w; scvtf d,d; ucvtf s,s; fcvtas d,d; fcvtnu s,s; add d,d,d; sub d,d,d; cmgt d,d,d
sqadd h,h,h; uqsub b,b,b; sqdmulh s,s,s; ushl d,d,d; addp d,v.2d; faddp d,v.2d
fmaxnmv s,v.4s; mrs Y,fpsr; mrs Y,fpcr
"""
VECTORS_SAME = {        # by the arrangements that they have
    "8b 16b 4h 8h 2s 4s 2d": """add sub cmeq cmge cmgt cmhi cmhs cmtst sqadd uqadd sqsub
        uqsub sshl ushl srshl urshl sqshl uqshl sqrshl uqrshl addp zip1 zip2 uzp1 uzp2 trn1
        trn2""",
    "8b 16b 4h 8h 2s 4s": """mul mla mls shadd uhadd srhadd urhadd shsub uhsub smax smin umax
        umin sabd uabd saba uaba smaxp umaxp sminp uminp""",
    "4h 8h 2s 4s": "sqdmulh sqrdmulh sqrdmlah sqrdmlsh",
    "8b 16b": "and orr eor bic orn bsl bit bif pmul",
    "4h 8h 2s 4s 2d": """fadd fsub fmul fdiv fmax fmin fmaxnm fminnm fmla fmls fmulx fabd faddp
        fmaxp fminp fmaxnmp fminnmp fcmeq fcmge fcmgt facge facgt frecps frsqrts""",
}
VECTORS_TWO = {
    "8b 16b 4h 8h 2s 4s 2d": "abs neg sqabs sqneg suqadd usqadd",
    "8b 16b 4h 8h 2s 4s": "cls clz rev64",
    "8b 16b 4h 8h": "rev32", "8b 16b": "cnt not rbit rev16",
    "4h 8h 2s 4s 2d": """fabs fneg fsqrt frintn frintp frintm frintz frinta frintx frinti
        frecpe frsqrte scvtf ucvtf fcvtns fcvtnu fcvtps fcvtpu fcvtms fcvtmu fcvtzs fcvtzu
        fcvtas fcvtau""",
    "2s 4s": "urecpe ursqrte",
}
VECTORS_OTHER = """
saddl v.8h,v.8b,v.8b; uaddl2 v.4s,v.8h,v.8h; ssubw v.2d,v.2d,v.2s; smull v.4s,v.4h,v.4h
umlal2 v.2d,v.4s,v.4s; sqdmull v.2d,v.2s,v.2s; pmull v.8h,v.8b,v.8b; pmull v.1q,v.1d,v.1d
addhn v.8b,v.8h,v.8h; rsubhn2 v.4s,v.2d,v.2d; xtn v.4h,v.4s; sqxtn2 v.8h,v.4s
uqxtn v.2s,v.2d; sqxtun v.8b,v.8h; shll v.4s,v.4h,16; sshll v.2d,v.2s,u5; ushll2 v.8h,v.16b,u3
shl v.2d,v.2d,u6; sshr v.4s,v.4s,r32; usra v.8h,v.8h,r16; srshr v.16b,v.16b,r8
sri v.2d,v.2d,r64; sli v.4s,v.4s,u5; shrn v.8b,v.8h,r8; sqrshrun v.4h,v.4s,r16
uqshl v.16b,v.16b,u3; sqshlu v.2s,v.2s,u5; addv b,v.16b; saddlv s,v.8h; umaxv h,v.8h
sminv s,v.4s; saddlp v.4h,v.8b; uadalp v.2d,v.4s; dup v.4s,w; dup v.2d,x; dup v.8h,h[]
ins b[],w; ins d[],x; ins s[],s[]; smov X,h[]; smov W,b[]; umov W,b[]; umov X,d[]
ext v.16b,v.16b,v.16b,u4; ext v.8b,v.8b,v.8b,u3; tbl v.16b,{v3.16b},v.16b
tbl v.8b,{v30.16b-v31.16b},v.8b; tbx v.16b,{v7.16b-v10.16b},v.16b; movi v.16b,u8
movi v.2d,0xff00ff0000ffff00; mvni v.4s,u8,lsl 16; orr v.8h,u8,lsl 8; bic v.2s,u8
fmov v.2d,float; fmla v.4s,v.4s,s[]; fmul v.2d,v.2d,d[]; mla v.4s,v.4s,s[]; fcvtl v.2d,v.2s
fcvtn2 v.4s,v.2d; fcvtxn v.2s,v.2d; fcvtzs v.2d,v.2d,r64; cmeq v.16b,v.16b,0
fcmgt v.4s,v.4s,0.0; sdot v.4s,v.16b,v.16b; udot v.2s,v.8b,v.8b; aese v.16b,v.16b
aesmc v.16b,v.16b; sha1h s,s; sha256su0 v.4s,v.4s; sha256h q,q,v.4s
"""
SVE_MADE = {
    "b h s d": """add!Z sub!Z add!P sub!P subr!P mul!P smulh!P umulh!P smax!P umin!P sabd!P
        and!P orr!P eor!P bic!P asr!P lsl!P lsr!P zip1!Z uzp2!Z trn1!Z sqadd!Z uqsub!Z mla!M
        mls!M cmpeq!C cmphi!C cmpgt!C abs!1 neg!1 cls!1 cnt!1 not!1 smaxp!P uaddlp saba!Z
        sqrshl!P tbl!Z""",
    "h s d": """fadd!Z fsub!Z fmul!Z fadd!P fmul!P fdiv!P fmaxnm!P fmin!P fabd!P fmla!M fmls!M
        fnmla!M fmad!M fcmeq!C fcmgt!C fcmuo!C fsqrt!1 fabs!1 fneg!1 frintn!1 frintz!1 frecpx!1
        scvtf!1 fcvtzs!1""",
    "s d": "sdiv!P udiv!P sdivr!P",
    "d": "and!Z orr!Z eor!Z bic!Z",
}
SVE = """
index z.d,x,x; index z.b,s5,s5; index z.s,w,s5; dup z.d,y; dup z.h,v; dup z.b,s8
ptrue p.b; ptrue p.d; pfalse p.b; whilelt p.s,x,x; whilelo p.b,w,w; ptest pg,p.b
and p.b,pg/z,p.b,p.b; bics p.b,pg/z,p.b,p.b; sel z.s,pg,z.s,z.s; cntb X; cntd X; incb Y
decw Y; sqinch Y; cntp X,pg,p.s; incp Y,p.d; addvl Y,y,s6; addpl Y,y,s6; rdvl X,s6
uaddv d,pg,z.h; saddv d,pg,z.b; smaxv s,pg,z.s; andv b,pg,z.b; faddv d,pg,z.d
fadda s,pg,s,z.s; lastb X,pg,z.d; lasta d,pg,z.d; clasta Y,pg,Y,z.d; compact z.s,pg,z.s
rev z.h,z.h; rev p.b,p.b; sunpklo z.s,z.h; punpkhi p.h,p.b; brka p.b,pg/z,p.b
brkpb p.b,pg/z,p.b,p.b; pfirst p.b,pg,p.b; rdffr p.b; rdffrs p.b,pg/z; setffr; wrffr p.b
cpy z.d,pg/m,y; insr z.b,w; ctermeq x,x; fcvt z.d,pg/m,z.s; fexpa z.d,z.d; ftsmul z.s,z.s,z.s
sqdmullb z.s,z.h,z.h; eor3 z3.d,z3.d,z.d,z.d; match p.b,pg/z,z.b,z.b; histseg z.b,z.b,z.b
"""
# Bytes of the register, then what is accessed
MEMORY = """
1 ldrb W; 1 ldrsb W; 1 ldrsb X; 2 ldrh W; 2 ldrsh W; 2 ldrsh X; 4 ldr W; 4 ldrsw X; 8 ldr X
8 ldr X; 1 strb w; 2 strh w; 4 str w; 8 str x; 8 str x; 1 ldr b; 2 ldr h; 4 ldr s; 8 ldr d
16 ldr q; 1 str b; 2 str h; 4 str s; 8 str d; 16 str q
"""
PAIRS = "4 ldp W; 8 ldp X; 4 ldpsw X; 4 stp w; 8 stp x; 4 ldp s; 8 ldp d; 16 ldp q; 4 stp s; " \
        "8 stp d; 16 stp q; 8 ldnp X; 8 stnp x; 16 ldnp q; 4 stnp w"
UNPRIVILEGED = "1 ldtrb W; 1 ldtrsb X; 2 ldtrh W; 2 ldtrsh W; 4 ldtr W; 4 ldtrsw X; 8 ldtr X; " \
               "1 sttrb w; 2 sttrh w; 4 sttr w; 8 sttr x"
ORDERED = "1 ldarb W; 2 ldarh W; 4 ldar W; 8 ldar X; 1 stlrb w; 2 stlrh w; 4 stlr w; 8 stlr x; " \
          "1 ldaprb W; 2 ldaprh W; 4 ldapr W; 8 ldapr X; 8 ldlar X; 4 stllr w"
ORDERED_MAX = "8 ldapur X; 4 ldapursw X; 1 ldapurb W; 8 stlur x; 2 stlurh w"
ATOMICS = ("ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin", "swp")

# No instruction of any processor here; hlt where halting is not allowed.
UNALLOCATED = (0x00000000, 0x00000007, 0x02000000, 0xd4a00001, 0xd4400000, 0xd41fffe0,
               0xffffffff, 0xd69f0fe0, 0x1ac03c00, 0x0c00fc00)
# MIDR_EL1 and what follows it: KVM traps these and makes them up
IDENTIFIERS = (("midr_el1", "mpidr_el1", "revidr_el1", "ctr_el0", "dczid_el0", "clidr_el1",
                "aidr_el1")
               + tuple(f"id_aa64{name}_el1" for name in (
                   "pfr0", "pfr1", "dfr0", "dfr1", "isar0", "isar1", "mmfr0", "mmfr1",
                   "mmfr2", "afr0"))
               + tuple(f"id_{name}_el1" for name in ("pfr0", "dfr0", "isar0", "isar5", "mmfr0"))
               + ("S3_0_C0_C7_5", "S3_0_C0_C4_7"))
REGISTERS = ("tpidr_el1", "contextidr_el1", "spsr_el1", "elr_el1", "far_el1", "esr_el1",
             "afsr0_el1", "par_el1", "sp_el0", "csselr_el1")
USER_REGISTERS = ("tpidr_el0", "fpsr", "fpcr", "nzcv")

# What is left out, as one of TCG and the host's processor, which is emulated, does it
# otherwise than the manual has it, or as both may do as they like:
#   Unaligned data with translation disabled ("Memory types and attributes", B2): Device
#     memory, an Alignment fault.  An emulated host that has stage 2 does not raise it.
#     dc zva likewise.
#   wfi where no interrupt is pending: TCG's step does not end; and whether it is trapped
#     (SCTLR_EL1.nTWI) depends on whether it would wait.
#   SVE switched off by CPACR_EL1.ZEN: what is beyond 128 bits may be lost ("The
#     accessible SVE vector length"), and is if EL2 is entered meanwhile.
#   smc: UNDEFINED without EL3, KVM takes it for a call.
#   MMIO by an instruction without a syndrome (writeback, pairs, FP registers): KVM
#     injects an abort ("ISS encoding for an exception from a Data Abort", ISV).


def sized(text: str) -> list[tuple[int, str, str]]:
    """(bytes, mnemonic, kind of the register)."""
    found = []
    for item in re.split(r"[;\n]", text):
        if item.strip():
            size, mnemonic, kind = item.split()
            found.append((int(size), mnemonic, kind))
    return found


def forms(text: str) -> list[tuple[str, list[str]]]:
    """table(), with the forms of 32 bits."""
    narrow = {"X": "W", "x": "w", "Y": "V", "y": "v", "u6": "u5"}
    found = []
    for mnemonic, kinds in table(text):
        found.append((mnemonic.lstrip("*"), kinds))
        if mnemonic[0] == "*":
            found.append((mnemonic[1:], [narrow.get(kind, kind + "32" if kind in (
                "shift", "rotate", "mask") else kind) for kind in kinds]))
    return found


def arranged(groups: dict[str, str], operands: int) -> list[tuple[str, list[str]]]:
    found = []
    for group, names in groups.items():
        for name, arrangement in itertools.product(names.split(), group.split()):
            found.append((name, [f"v.{arrangement}"] * operands))
    return found


def scalable() -> list[tuple[str, list[str]]]:
    found = table(SVE)
    for group, names in SVE_MADE.items():
        for item, size in itertools.product(names.split(), group.split()):
            name, _, form = item.partition("!")
            z = f"z.{size}"
            kinds = {"Z": [z, z, z], "P": ["same", "pg/m", "same", z], "M": [z, "pg/m", z, z],
                     "C": [f"p.{size}", "pg/z", z, z], "1": [z, "pg/m", z]}.get(form)
            if kinds:
                found.append((name, [f"same.{size}" if kind == "same" else kind
                                     for kind in kinds]))
    return found


class Stream(Generator):
    """The generated part of a guest, as text for the assembler."""

    def __init__(self, cell: Cell, seed: int, sctlr: int, timer: bool) -> None:
        super().__init__(f"{seed}/{cell}")
        self.cell = cell
        self.sctlr = sctlr
        self.timer = timer
        self.begun = False
        self.level = EL1H               # of this section
        self.high = False               # running at HIGH
        self.aligned = not cell.mmu and not sctlr & A
        self.integer = forms(INTEGER + (INTEGER_MAX if cell.max else ""))
        self.floating = [(name, [size if kind == "F" else kind for kind in kinds])
                         for name, kinds in table(FLOATING) for size in "hsd"]
        self.conversions = table(CONVERSIONS)
        self.vectors = (arranged(VECTORS_SAME, 3) + arranged(VECTORS_TWO, 2)
                        + table(VECTORS_OTHER) * 2)
        self.scalable = scalable()
        self.memory = sized(MEMORY)
        self.pairs = sized(PAIRS)
        self.unprivileged = sized(UNPRIVILEGED)
        self.ordered = sized(ORDERED + ("; " + ORDERED_MAX if cell.max else ""))

    # Small things

    def gpr(self, *but: int, low: int = 0, high: int = 26) -> int:
        """A register that is free, and none of `but`."""
        return self.random.choice([n for n in range(low, high + 1) if n not in but])

    @property
    def privileged(self) -> bool:
        return self.level != EL0

    def general(self, kind: str) -> str:
        wide = "x" if kind in "XxYy" else "w"
        if kind in "XWxw" and self.chance(0.06):
            return wide + "zr"
        if kind in "XYWV":              # not x27, x28
            return f"{wide}{self.random.choice((*range(27), 29, 30))}"
        return f"{wide}{self.random.randrange(31)}"

    def mask(self, width: int) -> str:
        """A bitmask immediate."""
        size = self.random.choice([n for n in (2, 4, 8, 16, 32, 64) if n <= width])
        ones = self.random.randrange(1, size)
        turn = self.random.randrange(size)
        element = (1 << ones) - 1
        element = (element >> turn | element << size - turn) & (1 << size) - 1
        return hex(sum(element << at for at in range(0, width, size)))

    def operand(self, kind: str) -> str:
        pick = self.random
        if len(kind) == 1 and kind in "XxYyWwVv":
            return self.general(kind)
        if kind in ("b", "h", "s", "d", "q"):
            return f"{kind}{pick.randrange(32)}"
        if kind[:2] in ("v.", "z."):
            return f"{kind[0]}{pick.randrange(32)}{kind[1:]}"
        if kind[:2] == "p.":
            return f"p{pick.randrange(16)}{kind[1:]}"
        if kind[:2] == "pg":
            return f"p{pick.randrange(8)}{kind[2:]}"
        if kind[1:] == "[]":            # half of the registers, as for h by element
            count = {"b": 16, "h": 8, "s": 4, "d": 2}[kind[0]]
            return f"v{pick.randrange(16)}.{kind[0]}[{pick.randrange(count)}]"
        if kind == "cond":
            return pick.choice("eq ne cs cc mi pl vs vc hi ls ge lt gt le al nv".split())
        if kind.startswith(("shift", "rotate")):
            what = pick.choice(("lsl", "lsr", "asr") + (("ror",) if kind[0] == "r" else ()))
            return f"{what} {pick.randrange(32 if kind.endswith('32') else 64)}"
        if kind == "extend":
            what = pick.choice("uxtb uxth uxtw sxtb sxth sxtw".split())
            return f"{what} {pick.randrange(5)}"
        if kind.startswith("mask"):
            return self.mask(32 if kind.endswith("32") else 64)
        if kind == "half":
            return f"lsl {16 * pick.randrange(4)}"
        if kind == "float":
            return str(pick.choice((1.0, -1.0, 0.5, 2.0, -31.0, 0.125, 1.9375, -0.2109375)))
        if kind[0] == "r" and kind[1:].isdigit():
            return str(pick.randrange(1, int(kind[1:]) + 1))
        if " " in kind:                 # lsl 12, uxtx u2
            return " ".join(self.immediate(word) for word in kind.split())
        return self.immediate(kind)

    def one(self, choice: list[tuple[str, list[str]]]) -> str:
        mnemonic, kinds = self.random.choice(choice)
        operands: list[str] = []
        for kind in kinds:
            if kind.startswith("same."):
                kind = f"z.{kind[5:]}"
                operands.append(operands[0] if operands else self.operand(kind))
            elif kind == "Y" and operands and mnemonic.startswith("clast"):
                operands.append(operands[0])
            elif mnemonic == "fadda" and len(operands) == 2:
                operands.append(operands[0])
            else:
                operands.append(self.operand(kind))
        if mnemonic in ("pfirst", "pnext"):
            operands[2] = operands[0]
        return f"{mnemonic} {', '.join(operands)}"

    def filler(self) -> None:
        """Something short that leaves x20 and up alone, and the flags."""
        register = self.random.randrange(3, 20)
        self.out(self.random.choice((
            f"add x{register}, x{register}, {self.random.randrange(1, 99)}",
            f"eor x{register}, x{register}, {self.mask(64)}",
            f"mul x{register}, x{register}, x{self.random.randrange(20)}")))

    def refresh(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            self.out(f"ldr x{self.random.randrange(27)}, "
                     f"[x28, {POOL + 8 * self.random.randrange(128)}]")

    # What a guest consists of

    def do_integer(self) -> None:
        self.out(self.one(self.integer))

    def do_branch(self) -> None:
        self.random.choice((self.branch_ahead, self.branch_ahead, self.branch_back,
                            self.branch_register, self.branch_register, self.branch_call,
                            self.branch_loop))()

    def branch_to(self, target: str) -> str:
        pick = self.random
        hinted = "bc" if self.cell.max else "b"
        return pick.choice((
            f"b.{self.operand('cond')} {target}", f"{hinted}.{self.operand('cond')} {target}",
            f"cbz {self.operand('x')}, {target}", f"cbnz {self.operand('w')}, {target}",
            f"cbnz {self.operand('x')}, {target}", f"cbz {self.operand('w')}, {target}",
            f"tbz {self.operand('x')}, {pick.randrange(64)}, {target}",
            f"tbnz {self.operand('w')}, {pick.randrange(32)}, {target}"))

    def landing(self) -> None:
        """Where a branch to a register leads: in guarded pages it should be a bti."""
        if self.cell.max and self.chance(0.5):
            self.out(self.random.choice(("bti c", "bti j", "bti jc", "bti", "paciasp")))
        elif self.privileged and self.chance(0.3):
            # Which has to be run here, as it may raise an exception
            self.out(self.random.choice(("mrs x5, daif", "msr daifset, 2", "msr daifclr, 3")))
        else:
            self.filler()

    def branch_register(self) -> None:
        target = self.label()
        register = self.random.choice((16, 17, 21, 21, 22))
        self.out(f"adr x{register}, {target}")
        kind = self.random.randrange(6 if self.cell.max else 3)
        if kind == 0:
            self.out(f"br x{register}")
        elif kind == 1:
            self.out(f"blr x{register}")
        elif kind == 2:
            self.out(f"ret x{register}")
        else:
            key = self.random.choice("ab")
            link = self.random.choice(("br", "blr"))
            if kind == 3:
                self.out(f"paci{key}za x{register}".replace(f"{key}za", f"z{key}"),
                         f"{link}a{key}z x{register}")
            elif kind == 4:
                self.out(f"paci{key} x{register}, x20", f"{link}a{key} x{register}, x20")
            else:
                self.out(f"mov x30, x{register}", f"paci{key}sp", f"reta{key}")
        self.skipped()
        self.out(f"{target}:")
        self.landing()

    def branch_call(self) -> None:
        outer, inner, out = (self.label() for _ in "abc")
        self.out(f"bl {outer}", f"b {out}", f"{outer}:", "mov x22, x30")
        self.skipped(2)
        self.out(f"bl {inner}", "mov x30, x22", "ret", f"{inner}:")
        if self.cell.max and self.chance(0.5):
            self.out("paciasp")
            self.skipped(2)
            self.out(*self.random.choice((["autiasp", "ret"], ["retaa"])))
        else:
            self.skipped(2)
            self.out("ret")
        self.out(f"{out}:")

    def branch_loop(self) -> None:
        top = self.label()
        self.out(f"mov w20, {self.random.randrange(1, 6)}", f"{top}:")
        for _ in range(self.random.randrange(1, 4)):
            self.filler()
        if self.chance(0.4):
            self.access(20)
        self.out(*self.random.choice((["subs w20, w20, 1", f"b.ne {top}"],
                                      ["sub w20, w20, 1", f"cbnz w20, {top}"],
                                      ["subs x20, x20, 1", f"b.gt {top}"])))

    def register_but(self, kind: str, *but: int) -> str:
        while True:
            name = self.operand(kind)
            if not (name[0] in "xw" and name[1:].isdigit() and int(name[1:]) in but):
                return name

    def offset(self, unit: int, reach: int = 0x90) -> int:
        low = max(-reach // unit, -256 // unit)
        return self.random.randrange(low, reach // unit) * unit

    def middle(self, size: int) -> int:
        """The middle of an area: room for every displacement below, and 32 bytes."""
        area = self.random.choice((BUFFER, VECTORS))
        stray = 0 if self.aligned or self.chance(0.6) else self.random.randrange(16)
        return area + 0x100 + stray

    def access(self, *but: int) -> None:
        """One load or store inside of the area, aligned or not; loads none of `but`."""
        size, mnemonic, kind = self.random.choice(self.memory)
        base, index = self.random.sample(range(3, 20), 2)
        register = self.register_but(kind, base, index, *but)
        form = self.random.randrange(8)
        unit = size if self.aligned or self.chance(0.5) else 1
        self.out(f"add x{base}, x28, {self.middle(size)}")
        where = f"[x{base}]"
        if form == 1:                   # scaled
            where = f"[x{base}, {self.random.randrange(0x90 // size) * size}]"
        elif form == 2:                 # unscaled, if it is negative or not a multiple
            where = f"[x{base}, {self.offset(unit)}]"
            if self.chance(0.6):
                mnemonic = mnemonic.replace("ldr", "ldur").replace("str", "stur")
        elif form == 3:
            where = f"[x{base}, {self.offset(unit)}]!"
        elif form == 4:
            where = f"[x{base}], {self.offset(unit)}"
        elif form >= 5:
            shift = self.random.choice((0, size.bit_length() - 1))
            count = self.offset(max(unit, 1 << shift)) >> shift
            if form == 5:
                self.out(f"mov x{index}, {count}")
                where = f"[x{base}, x{index}, lsl {shift}]"
            else:
                extend = self.random.choice(("sxtw", "sxtx") if count < 0 else
                                            ("sxtw", "uxtw", "sxtx"))
                self.out(f"mov {'x' if extend[3] == 'x' else 'w'}{index}, {count}")
                where = f"[x{base}, {'x' if extend[3] == 'x' else 'w'}{index}, {extend} {shift}]"
        self.out(f"{mnemonic} {register}, {where}")

    def do_memory(self) -> None:
        self.access()

    def do_pair(self) -> None:
        size, mnemonic, kind = self.random.choice(self.pairs)
        base = self.gpr(low=3, high=19)
        first = self.register_but(kind, base)
        second = self.register_but(kind, base)
        while second == first:
            second = self.register_but(kind, base)
        offset = self.random.randrange(-0x90 // size, 0x90 // size) * size
        self.out(f"add x{base}, x28, {self.middle(2 * size)}",
                 f"{mnemonic} {first}, {second}, " + self.random.choice(
                     (f"[x{base}, {offset}]",) if "np" in mnemonic else
                     (f"[x{base}, {offset}]", f"[x{base}, {offset}]!", f"[x{base}], {offset}")))

    def do_special(self) -> None:
        """Unprivileged, ordered, of a literal, by SP, authenticated, prefetches."""
        kind = self.random.randrange(7 if self.cell.max else 6)
        base = self.gpr(low=3, high=19)
        if kind < 2:
            size, mnemonic, what = self.random.choice(self.unprivileged)
            offset = self.offset(size if self.aligned else 1)
            self.out(f"add x{base}, x28, {self.middle(size)}",
                     f"{mnemonic} {self.register_but(what, base)}, [x{base}, {offset}]")
        elif kind == 2:
            size, mnemonic, what = self.random.choice(self.ordered)
            at = BUFFER + 16 * self.random.randrange(32)
            where = f"[x{base}]" if "ur" not in mnemonic else \
                f"[x{base}, {size * self.random.randrange(-8, 8)}]"
            self.out(f"add x{base}, x28, {at + 0x80}",
                     f"{mnemonic} {self.register_but(what, base)}, {where}")
        elif kind == 3:
            at = POOL + 16 * self.random.randrange(48)
            if self.chance(0.1):
                at += 0 if self.aligned else 4
            self.out(f"{self.random.choice(('ldr', 'ldr', 'ldrsw'))} {self.operand('Y')}, "
                     f"data_begin + {at}" if self.chance(0.6) else
                     f"ldr {self.random.choice('sdq')}{self.random.randrange(32)}, "
                     f"data_begin + {at & ~15}")
        elif kind == 4:
            first, second = self.random.sample(range(27), 2)
            self.out(*self.random.choice((
                [f"stp x{first}, x{second}, [sp, -32]!", f"ldp x{second}, x{first}, [sp], 32"],
                [f"str x{first}, [sp, {8 * self.random.randrange(16)}]"],
                ["sub sp, sp, 48", f"ldr x{first}, [sp, 8]", "add sp, sp, 48"],
                [f"mov x{first}, sp", f"add x{first}, sp, x{second}, uxtx 1"])))
        elif kind == 6:
            key = self.random.choice("ab")
            self.out(f"add x{base}, x28, {BUFFER + 0x80}", f"pacdz{key} x{base}",
                     f"ldra{key} x{self.gpr(base)}, [x{base}, "
                     f"{8 * self.random.randrange(-8, 8)}]" + self.random.choice(("", "!")))
        else:
            self.out(f"add x{base}, x28, {BUFFER}", self.random.choice((
                f"prfm pldl1keep, [x{base}]", f"prfm pstl2strm, [x{base}, 64]",
                f"prfum plil1keep, [x{base}, -3]", f"prfm pldl3keep, [x27]")))

    def do_floating(self) -> None:
        if self.chance(0.12):
            what = self.random.choice(("fpcr", "fpsr"))
            # FZ16, RMode, FZ, DN; AHP
            value = (self.random.getrandbits(8) << 19 if what == "fpcr"
                     else self.random.choice((0, 0x9f, 0x08000000)))
            self.out(f"imm64 x20, {value:#x}", f"msr {what}, x20")
        if self.chance(0.25):
            self.out(f"ldr d{self.random.randrange(32)}, "
                     f"[x28, {POOL + 0x600 + 8 * self.random.randrange(64)}]")
        self.out(self.one(self.conversions if self.chance(0.3) else self.floating))

    def do_vector(self) -> None:
        self.out(self.one(self.vectors))

    def do_structure(self) -> None:
        """ld1 to ld4 and st1 to st4."""
        count = self.random.randrange(1, 5)
        first = self.random.randrange(33 - count)
        base = self.gpr(low=3, high=19)
        size = self.random.choice("bhsd")
        unit = {"b": 1, "h": 2, "s": 4, "d": 8}[size]
        name = self.random.choice(("ld", "st"))
        kind = self.random.randrange(3)
        spaced = range(first, first + count)
        total = unit * count
        if kind == 0:
            lanes = self.random.choice((8, 16)) // unit
            total *= lanes
            if size == "d" and lanes == 1 and count > 1:
                lanes, total = 2, 2 * total
            listed = ", ".join(f"v{n}.{lanes}{size}" for n in spaced)
            if count > 1 and self.chance(0.3):
                count = 1               # ld1 of several
            what = f"{name}{count} {{{listed}}}"
        elif kind == 1:
            listed = ", ".join(f"v{n}.{size}" for n in spaced)
            what = f"{name}{count} {{{listed}}}[{self.random.randrange(16 // unit)}]"
        else:
            lanes = self.random.choice((8, 16)) // unit
            listed = ", ".join(f"v{n}.{lanes}{size}" for n in spaced)
            what = f"ld{count}r {{{listed}}}"
        self.out(f"add x{base}, x28, {self.middle(16) & (~15 if self.aligned else ~0)}",
                 f"{what}, [x{base}]" + self.random.choice(("", "", f", {total}", ", x20")))

    def do_sve(self) -> None:
        kind = self.random.randrange(8)
        base = self.gpr(low=3, high=19)
        z, p, pg = (self.random.randrange(n) for n in (32, 16, 8))
        if kind > 2 or not self.cell.mmu:
            self.out(self.one(self.scalable))
            return
        self.out(f"add x{base}, x28, {VECTORS + 0x100 + self.random.randrange(64)}")
        self.out(self.random.choice((
            f"ld1b z{z}.b, p{pg}/z, [x{base}]", f"ld1sh z{z}.d, p{pg}/z, [x{base}]",
            f"ld1d z{z}.d, p{pg}/z, [x{base}, 1, mul vl]", f"st1w z{z}.d, p{pg}, [x{base}]",
            f"st1b z{z}.b, p{pg}, [x{base}, -2, mul vl]", f"ldr z{z}, [x{base}, 3, mul vl]",
            f"str z{z}, [x{base}, -3, mul vl]", f"ldr p{p}, [x{base}, 5, mul vl]",
            f"str p{p}, [x{base}]", f"ldff1w z{z}.s, p{pg}/z, [x{base}, xzr, lsl 2]",
            f"ldnf1b z{z}.h, p{pg}/z, [x{base}]", f"ldnf1d z{z}.d, p{pg}/z, [x27]",
            f"ldff1b z{z}.b, p{pg}/z, [x27]", f"ld1rw z{z}.s, p{pg}/z, [x{base}, 8]",
            f"ld1rqb z{z}.b, p{pg}/z, [x{base}]", f"ldnt1d z{z}.d, p{pg}/z, [x{base}]",
            f"prfb pldl1keep, p{pg}, [x{base}]",
            f"ld2w {{z{z & 30}.s, z{z | 1}.s}}, p{pg}/z, [x{base}]",
            f"st2h {{z{z & 30}.h, z{z | 1}.h}}, p{pg}, [x{base}]")))

    def do_random(self) -> None:
        """Any word of the groups that only use registers."""
        while True:
            word = self.random.getrandbits(32)
            group = self.random.choice((8, 9, 5, 13, 7, 15, 7, 15)
                                       + ((2, 2) if self.cell.max else ()))
            word = word & ~(15 << 25) | group << 25
            if group == 2 and word >> 31 or word & 31 in (27, 28, 31):
                continue
            if group in (8, 9) and word >> 24 & 31 == 0x10:     # adr, adrp: as good as any
                continue
            self.out(f".inst {word:#x}")
            return

    def do_atomic(self) -> None:
        base = self.gpr(low=3, high=19)
        order = self.random.choice(("", "a", "l", "al"))
        size = self.random.choice(("b", "h", "w", "x"))
        kind = "x" if size == "x" else "w"
        suffix = size if size in "bh" else ""
        self.out(f"add x{base}, x28, {LOCKS + 0x100 + 16 * self.random.randrange(8)}")
        source = self.register_but(kind)
        target = self.register_but(kind.upper(), base)
        form = self.random.randrange(6)
        if form == 0:
            old = self.register_but(kind.upper(), base)
            if self.chance(0.5):        # make it equal
                self.out(f"ldr{suffix} {'w' if size != 'x' else 'x'}{self.gpr(base)}, [x{base}]")
            self.out(f"cas{order}{suffix} {old}, {source}, [x{base}]")
        elif form == 1:
            first, second = (2 * self.random.randrange(13) for _ in "ab")
            base = 29
            self.out(f"add x29, x28, {LOCKS + 0x100}",
                     f"casp{order} {kind}{first}, {kind}{first + 1}, {kind}{second}, "
                     f"{kind}{second + 1}, [x29]")
        elif form == 2:
            name = self.random.choice(ATOMICS[:-1]).replace("ld", "st", 1)
            self.out(f"{name}{'l' if 'l' in order else ''}{suffix} {source}, [x{base}]")
        else:
            self.out(f"{self.random.choice(ATOMICS)}{order}{suffix} {source}, {target}, "
                     f"[x{base}]")

    def do_exclusive(self) -> None:
        """Load-exclusive, some work, store-exclusive, again if it failed."""
        base, value, other, status = self.random.sample(range(3, 20), 4)
        size = self.random.choice(("b", "h", "w", "x", "pw", "px"))
        pair, kind = size[0] == "p", "x" if size[-1] == "x" else "w"
        suffix = "p" if pair else size if size in "bh" else ""
        load = self.random.choice(("ldx", "ldax")) + ("p" if pair else "r") + \
            ("" if pair else suffix)
        store = self.random.choice(("stx", "stlx")) + ("p" if pair else "r") + \
            ("" if pair else suffix)
        names = f"{kind}{value}" + (f", {kind}{other}" if pair else "")
        top = self.label()
        self.out(f"add x{base}, x28, {LOCKS + 0x80 * self.random.randrange(2)}", f"{top}:",
                 f"{load} {names}, [x{base}]")
        form = self.random.randrange(4)
        if form == 0:
            self.out(f"add x{value}, x{value}, {self.random.randrange(1, 9)}")
        elif form == 1:                 # leave when it is taken, as a lock does
            self.out(f"and w{status}, w{value}, {self.random.choice((1, 2, 3))}",
                     f"cbnz w{status}, {top}x", f"eor x{value}, x{value}, 6")
        elif form == 2:                 # a branch inside
            self.out(f"tbz w{value}, {self.random.randrange(3)}, {top}i",
                     f"add x{value}, x{value}, 3", f"{top}i:")
        else:
            self.out(*(f"eor x{value}, x{value}, x{value}, lsr {n + 1}"
                       for n in range(self.random.randrange(12))))
        self.out(f"{store} w{status}, {names}, [x{base}]", f"cbnz w{status}, {top}")
        if form == 1:
            self.out(f"{top}x:", "clrex")

    def do_broken(self) -> None:
        """Exclusives without the end that they should have.  Whoever steps them one by
        one loses the monitor; so does everyone, by clrex, another address or an
        exception, before the store could succeed."""
        self.out(f"add x20, x28, {LOCKS}", f"add x21, x28, {LOCKS + 0x80}")
        kind = self.random.randrange(6)
        again = self.label()
        if kind == 0:                   # never used
            self.out("ldxr x22, [x20]")
            self.skipped()
            self.out("clrex")
        elif kind == 1:                 # the inner one breaks the outer one
            self.out("ldxr x22, [x20]", "ldaxr x23, [x21]", "stxr w24, x22, [x20]", "clrex")
        elif kind == 2:                 # never made
            self.out("clrex", "stxr w24, x22, [x20]", "stlxrb w24, w23, [x21]")
        elif kind == 3:
            self.out("ldaxr w22, [x20]", "svc 7", "stxr w24, w22, [x20]")
        elif kind == 4:                 # a branch back
            self.out("mov w25, 2", f"b {again}b", f"{again}: subs w25, w25, 1", f"{again}b:",
                     "ldxr x22, [x20]", f"b.hi {again}", "clrex", "stxr w24, x22, [x20]")
        else:                           # too long
            self.out("ldxrh w22, [x20]", *["add w22, w22, 1"] * 17, "clrex",
                     "stxrh w24, w22, [x20]")

    def do_copy(self) -> None:
        """Memory copy and set: prologue, main part, epilogue."""
        end = self.random.choice(("", "t", "wn", "rn"))
        size = self.random.choice((0, 1, 17, 64, 200))
        self.out(f"add x20, x28, {BUFFER + self.random.randrange(64)}", f"mov x22, {size}")
        if self.chance(0.5):
            name = "cpyf" if self.chance(0.5) else "cpy"
            self.out(f"add x21, x28, {VECTORS + self.random.randrange(64)}",
                     *(f"{name}{part}{end} [x20]!, [x21]!, x22!" for part in "pme"))
        else:
            end = self.random.choice(("", "t", "n"))
            self.out(*(f"set{part}{end} [x20]!, x22!, x{self.gpr(20, 21, 22)}" for part in "pme"))

    def do_cache(self) -> None:
        base = self.gpr(low=3, high=19)
        self.out(f"add x{base}, x28, {LINES >> 12}, lsl 12",
                 f"add x{base}, x{base}, {self.random.randrange(0xa00)}")
        ops = [f"dc cvac, x{base}", f"dc cvau, x{base}", f"dc civac, x{base}",
               f"dc cvap, x{base}", f"ic ivau, x{base}", "dsb ish", "dsb sy", "dsb ishst",
               "dmb ish", "dmb ishld", "dmb sy", "isb", "isb"]
        if self.cell.mmu:
            ops += [f"dc zva, x{base}"] * 3
        if self.privileged:
            ops += [f"dc ivac, x{base}", "ic iallu", "ic ialluis"]
        if self.cell.max:
            ops += ["sb", "ssbb", "pssbb", f"dc cvadp, x{base}"]
        self.out(self.random.choice(ops))

    def do_system(self) -> None:
        register = self.gpr()
        name = self.random.choice(USER_REGISTERS + (
            REGISTERS if self.privileged or self.chance(0.1) else ()))
        if name not in ("fpcr", "sp_el0", "csselr_el1", "spsr_el1") and self.chance(0.7):
            self.out(f"msr {name}, {self.operand('x')}")
            self.skipped(1)
        if name == "spsr_el1":
            self.out(f"imm64 x20, {self.random.getrandbits(32) & (NZCV | DAIF | 5):#x}",
                     "msr spsr_el1, x20")
        self.out(f"mrs x{register}, {name}")
        if self.chance(0.15):
            self.out(f"mrs x{register}, {self.random.choice(('tpidrro_el0', 'cntfrq_el0'))}")
        if self.privileged and self.chance(0.12):
            # Without FP its use raises an exception, whose handler enables all
            value = self.random.choice((0, 0x100000, 0x200000)) | 0x30000 * self.cell.max
            self.out(f"imm64 x20, {value:#x}",
                     "msr cpacr_el1, x20", "isb", self.one(self.floating))

    def do_identifier(self) -> None:
        register = self.gpr()
        self.out(f"mrs x{register}, {self.random.choice(IDENTIFIERS)}",
                 f"mov x{register}, {self.random.randrange(99)}")

    def do_masks(self) -> None:
        """DAIF in all forms, and other bits of PSTATE."""
        register = self.gpr()
        value = self.random.getrandbits(4)
        for _ in range(self.random.randrange(1, 4)):
            self.out(*self.random.choice((
                [f"msr daifset, {value}"], [f"msr daifclr, {value}"],
                [f"mov x{register}, {value << 6}", f"msr daif, x{register}"],
                [f"mrs x{register}, daif"], [f"mrs x{register}, daif"], ["msr daif, xzr"],
                [f"msr daif, x{register}"])))
        if not self.privileged:
            return
        kind = self.random.randrange(5)
        if kind == 0:
            self.out(f"msr spsel, {self.random.randrange(2)}", f"mrs x{register}, spsel",
                     f"mrs x{register}, currentel")
        elif kind == 1:
            # With PAN each access to what EL0 has is a fault; not the unprivileged ones
            self.out("msr pan, 1", f"mrs x{register}, pan")
            for _ in range(self.random.randrange(1, 3)):
                self.random.choice((self.do_integer, self.do_special))()
            self.out("msr pan, 0")
        elif kind == 2:
            self.out("msr uao, 1", f"mrs x{register}, uao")
            self.do_special()
            self.out("msr uao, 0")
        elif kind == 3 and self.cell.max:
            bit = self.random.choice(("dit", "ssbs"))
            self.out(f"msr {bit}, {self.random.randrange(2)}", f"mrs x{register}, {bit}",
                     f"msr {bit}, {self.operand('x')}")

    def do_hint(self) -> None:
        # TCG's step of yield and wfe takes the next instruction, too
        hints = [["yield", "nop"], ["sevl", "wfe", "nop"], ["nop"], ["sev"], ["csdb"], ["esb"],
                 ["clrex"], ["hint 6"], ["hint 63"], ["hint 34"]]
        if self.timer:
            hints += [["wfi"]] * 3
        if self.timer and self.privileged and self.cell.max:
            hints += [["wfit x20"]]
        self.out(*self.random.choice(hints))

    def do_translate(self) -> None:
        if not self.privileged and self.chance(0.8):
            return
        base, register = self.random.sample(range(3, 20), 2)
        self.out(f"add x{base}, x28, {BUFFER}")
        if self.chance(0.5):
            self.out(f"lsr x{base}, x{base}, 12", self.random.choice((
                "tlbi vmalle1", "tlbi vmalle1is", f"tlbi vae1, x{base}",
                f"tlbi vaae1is, x{base}", f"tlbi vale1, x{base}", f"tlbi aside1, x{base}")),
                "dsb ish", "isb")
        else:
            self.out(f"at {self.random.choice(('s1e1r', 's1e1w', 's1e0r', 's1e0w'))}, "
                     f"x{self.random.choice((base, base, 27))}", "isb",
                     f"mrs x{register}, par_el1")

    def do_exception(self) -> None:
        number = self.random.choice((0, 2, 3, 0xffff))
        kind = self.random.randrange(7)
        if kind < 2:
            self.out(f"svc {number}")
        elif kind == 2:
            self.out(f"brk {number}")
        elif kind == 3:
            self.out(self.random.choice((f"udf {number}", f"hlt {number}")))
        elif kind == 4:
            self.out(f".inst {self.random.choice(UNALLOCATED):#x}")
        elif kind == 5:                 # KVM sets x0 to x3, TCG x0
            call = self.random.choice((PSCI_VERSION, PSCI_VERSION, 0x8400000a, 0x84001234))
            self.out(f"imm64 x0, {call:#x}", "mov x1, 0", "mov x2, 0", "mov x3, 0",
                     "hvc 0", *(f"mov x{n}, {n + 5}" for n in range(4)))
        else:
            self.out(self.random.choice((
                "mrs x3, vbar_el2", "msr vbar_el1, x3" if self.level == EL0 else "drps",
                "eret" if self.level == EL0 else "mrs x3, S3_6_C1_C0_0", "mrs x3, S3_7_C15_C1_2")))

    def do_fault(self) -> None:
        """Data or code without a mapping; unaligned where that is not done."""
        register = self.gpr()
        back = self.label()
        kinds = ["pc", "sp", "exclusive"]
        if self.cell.mmu:
            kinds += ["data", "data", "data", "private", "code", "fetch", "fetch", "ordered"]
        kind = self.random.choice(kinds)
        if kind == "pc":
            self.out(f"adr x30, {back}", f"add x20, x30, {self.random.randrange(1, 4)}", "br x20",
                     f"{back}:")
        elif kind == "sp":
            self.out("mov x20, sp", "sub sp, sp, 8", f"str x{register}, [sp, -16]",
                     "mov sp, x20")
        elif kind == "exclusive":
            self.out(f"add x20, x28, {LOCKS + 0xf}",     # FEAT_LSE2
                     self.random.choice((f"ldxr x{register}, [x20]",
                                         f"ldaxrh w{register}, [x20]" if register % 2 else
                                         f"ldxp x{register}, x30, [x20]")), "clrex")
        elif kind == "ordered":
            self.out(f"add x20, x28, {LOCKS + 0x1d}", f"ldar x{register}, [x20]")
        elif kind == "data":
            size, mnemonic, what = self.random.choice(self.memory + self.unprivileged)
            offset = size * self.random.randrange(16)
            where = f"[x27, {offset}]"
            if self.chance(0.3) and not mnemonic.startswith(("ldt", "stt")):
                where = self.random.choice((f"[x27, {offset}]!", f"[x27], {offset}"))
            elif self.chance(0.2):
                self.out("eor x20, x28, 1 << 55")
                where = "[x20]"
            self.out(f"{mnemonic} {self.register_but(what, 20, 27)}, {where}")
        elif kind == "private":         # not for EL0
            self.out(f"adrp x20, private + {self.random.choice((0, 0x1000))}",
                     f"{self.random.choice(('ldr', 'ldtr'))} x{register}, [x20]")
        elif kind == "code":            # read only
            self.out(f"adr x20, {back}", f"{back}: str x{register}, [x20]")
        else:
            self.out(f"adr x30, {back}",
                     f"{self.random.choice(('br', 'ret'))} {self.random.choice(('x27', 'x28'))}",
                     f"{back}:")

    def do_eret(self) -> None:
        """To right here, with other bits in PSTATE."""
        target = self.label()
        if not self.privileged:
            self.out("eret")
            return
        value = self.status(self.random.choice((EL1H, EL1H, EL1T)))
        if self.chance(0.15):           # a mode that there is not: PSTATE.IL
            value = value & ~15 | self.random.choice((1, 2, 8, 9, 13))
        self.out(f"adr x20, {target}", "msr elr_el1, x20", f"imm64 x20, {value:#x}",
                 "msr spsr_el1, x20")
        if self.cell.max and self.chance(0.3):
            self.out("mrs x20, elr_el1", "mov x21, sp", "pacia x20, x21", "msr elr_el1, x20",
                     "eretaa")
        else:
            self.out("eret")
        self.skipped()
        self.out(f"{target}:", "nop")

    def do_mmio(self) -> None:
        """The UART's and the interrupt distributor's registers."""
        if not self.privileged:
            return
        register, base = self.random.sample(range(3, 20), 2)
        if self.chance(0.7):
            at, offset = UART, self.random.choice((0x18, 0x24, 0x28, 0x2c, 0xfe0, 0xff4))
        else:
            at, offset = GICD, self.random.choice((0x104, 0x108, 0x88, 0xc08))
        self.out(f"imm64 x{base}, {at}")
        if self.chance(0.3) and at == UART and offset in (0x24, 0x28):
            self.out(f"str w{register}, [x{base}, {offset}]")
        self.out(f"ldr w{register}, [x{base}, {offset}]")
        if self.chance(0.2):
            self.out(f"mov w{register}, 'x'", f"imm64 x{base}, {UART}",
                     f"strb w{register}, [x{base}]")

    def do_control(self) -> None:
        """SCTLR_EL1 changed for some instructions: translation, the byte order."""
        if not self.privileged or self.high:
            return
        bit = self.random.choice((1, E0E) if self.cell.mmu else (EE, E0E, EE | E0E))
        self.out("mrs x25, sctlr_el1", f"eor x24, x25, {bit:#x}", "msr sctlr_el1, x24", "isb")
        aligned, self.aligned = self.aligned, self.aligned or bit == 1
        for _ in range(self.random.randrange(1, 4)):
            self.skipped()
            self.out(f"ldr x{self.random.randrange(20)}, [x28, {BUFFER}]",
                     f"str w{self.random.randrange(20)}, [x28, {BUFFER + 32}]")
        if self.chance(0.3):
            self.out("svc 5")
        self.aligned = aligned
        self.out("msr sctlr_el1, x25", "isb")

    WEIGHTS = {
        "integer": 30, "branch": 13, "memory": 12, "pair": 4, "special": 4, "floating": 7,
        "vector": 6, "structure": 2, "sve": 6, "random": 1.5, "atomic": 3, "exclusive": 2.5,
        "copy": 0.4, "broken": 0.5, "cache": 2.5, "system": 3, "identifier": 0.6, "masks": 2.5,
        "hint": 2, "translate": 1, "exception": 1, "fault": 0.9, "eret": 1, "mmio": 0.7,
        "control": 0.5}

    def has(self, name: str) -> bool:
        if name == "copy":              # which is Normal memory's
            return self.cell.max and self.cell.mmu
        return name != "sve" or self.cell.max

    # Sections

    def status(self, level: int) -> int:
        """SPSR_EL1 of a place to go to."""
        pick = self.random
        value = level | pick.getrandbits(4) << 28 | (pick.getrandbits(4) << 6)
        if level == EL0 and self.chance(0.5):
            value &= ~DAIF
        for bit, share in ((UAO, 0.1), (SS, 0.3), (IL, 0.04),
                           (DIT | SSBS if self.cell.max else 0, 0.2)):
            if self.chance(share):
                value |= bit
        if self.cell.max and self.chance(0.1):
            value |= pick.choice((0x400, 0x800, 0xc00))
        return value

    def section(self) -> None:
        """A change of state, some instructions, and home again."""
        if not self.begun:
            # In the first steps already, as there may be time for a few only
            self.begun = True
            self.masks_behind_branch("mrs x5, daif")
            self.masks_behind_branch("msr daifset, 1")
        self.high = self.cell.mmu and self.chance(0.4)
        target = self.label()
        self.level = self.random.choice((EL0, EL0, EL0, EL1T, EL1H, EL1H))
        if self.chance(0.15) and not self.high:
            self.level = EL1H           # as it is
        else:
            self.out(f"imm64 x3, {self.status(self.level):#x}", "msr spsr_el1, x3",
                     f"adr x4, {target}")
            if self.high:
                self.out(f"orr x4, x4, {0xffffff8000000000:#x}")
            self.out("msr elr_el1, x4", "eret", f"{target}:")
        self.body(self.random.randrange(20, 70), set())
        self.home()

    def masks_behind_branch(self, instruction: str) -> None:
        """Behind an indirect branch it has to be run, as it may raise an exception, and a
        step has set the masks that the guest has not."""
        target = self.label()
        self.out("msr daifclr, 3", f"adr x3, {target}", "br x3", f"{target}:", instruction,
                 "msr daifset, 15")

    def home(self) -> None:
        """svc 1 leads home from everywhere, but at this address."""
        self.out("svc 1")
        if self.high:
            target = self.label()
            self.out(f"adr x3, {target}", f"and x3, x3, {0x7fffffffff:#x}", "ret x3",
                     f"{target}:")
        if self.chance(0.5):
            self.masks_behind_branch(self.random.choice(("mrs x5, daif", "msr daifset, 1")))
        # The stack pointers may have gone astray
        self.out(f"add x3, x28, {STACK >> 12}, lsl 12", f"add x3, x3, {STACK & 0xfff}",
                 "mov sp, x3", "msr sp_el0, x3", "bl look")
        self.high = False
        self.level = EL1H

    def text(self, sections: int) -> str:
        self.code(sections, "b .")
        order = "<" if self.cell.little else ">"
        values = [struct.pack(order + "Q", value) for value in self.integers(0x600 // 8)]
        values += [struct.pack(order + "d", value) for value in self.doubles(64)]
        self.out(*(".byte " + ", ".join(map(hex, value)) for value in values),
                 ".balign 128", "data_end:", "")
        return "\n".join(self.lines)


def build_stream(cell: Cell, seed: int, out: Path, sections: int = SECTIONS,
                 tools: str = ARM64.tools) -> Path:
    """The ELF file of a cell's guest."""
    pick = random.Random(f"state/{seed}/{cell}")
    sctlr = 0
    # What EL0 may do, and what is checked
    for bit in (SA, SA0, UMA, DZE, UCT, NTWI, NTWE, UCI):
        sctlr |= bit if pick.random() < 0.6 else 0
    sctlr |= A if pick.random() < 0.15 else 0
    if cell.max:
        for bit in (ENIA, ENIB, ENDA, ENDB, BT0, BT1, MSCEN):
            sctlr |= bit if pick.random() < 0.7 else 0
    timer = bool(seed % 2)
    defines = {"BE": int(not cell.little), "MMU": int(cell.mmu), "OTHERS": int(cell.cpus > 1),
               "SCTLR": sctlr, "GUARDED": int(cell.max and pick.random() < 0.5),
               "PAC": int(cell.max), "SVE": int(cell.max), "TIMER": int(timer),
               "UNMAPPED": 0x80000000}
    return assemble(
        out / f"{cell}-{seed}", Stream(cell, seed, sctlr, timer).text(sections),
        [f"{tools}as", "-mcpu=all"], [f"{tools}ld"], "stream-arm64.S",
        "stream-arm64.ld", defines)


if __name__ == "__main__":
    sys.exit(generator.main(sys.argv[1:], __doc__, Cell.parse))
