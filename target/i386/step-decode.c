/*
 * x86 instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"

/*
 * What is behind the opcode, a letter for each:
 *
 * .  nothing                       m  ModRM
 * b  one byte                      B  ModRM, one byte
 * w  two bytes                     z  a word or doubleword by operand size
 * Z  ModRM and that                v  the operand size in full
 * o  an offset of address size     p  a far pointer
 * e  two bytes and one             j  a displacement of one byte
 * J  a displacement of a word or doubleword
 * r  ModRM that names registers whatever its mod field is
 * t  ModRM, and one byte if its reg field is 0 or 1 (TEST)
 * T  likewise, but a word or doubleword
 * d  ModRM and four bytes          2  ModRM and two bytes
 * x  a prefix, or an escape to another map
 */
static const char one_byte[] =
    "mmmmbz..mmmmbz.x" /* 00 */
    "mmmmbz..mmmmbz.." /* 10 */
    "mmmmbzx.mmmmbzx." /* 20 */
    "mmmmbzx.mmmmbzx." /* 30 */
    "................" /* 40 */
    "................" /* 50 */
    "..mmxxxxzZbB...." /* 60 */
    "jjjjjjjjjjjjjjjj" /* 70 */
    "BZBBmmmmmmmmmmmm" /* 80 */
    "..........p....." /* 90 */
    "oooo....bz......" /* a0 */
    "bbbbbbbbvvvvvvvv" /* b0 */
    "BBw.mmBZe.w..b.." /* c0 */
    "mmmmbb..mmmmmmmm" /* d0 */
    "jjjjbbbbJJpj...." /* e0 */
    "x.xx..tT......mm"; /* f0 */

static const char two_byte[] =
    "mmmm.........m.B" /* 00 */
    "mmmmmmmmmmmmmmmm" /* 10 */
    "rrrrr.r.mmmmmmmm" /* 20 */
    "........x.x....." /* 30 */
    "mmmmmmmmmmmmmmmm" /* 40 */
    "mmmmmmmmmmmmmmmm" /* 50 */
    "mmmmmmmmmmmmmmmm" /* 60 */
    "BBBBmmm.mmmmmmmm" /* 70 */
    "JJJJJJJJJJJJJJJJ" /* 80 */
    "mmmmmmmmmmmmmmmm" /* 90 */
    "...mBmmm...mBmmm" /* a0 */
    "mmmmmmmmmmBmmmmm" /* b0 */
    "mmBmBBBm........" /* c0 */
    "mmmmmmmmmmmmmmmm" /* d0 */
    "mmmmmmmmmmmmmmmm" /* e0 */
    "mmmmmmmmmmmmmmmm"; /* f0 */

typedef struct Decoder {
    const uint8_t *bytes;
    size_t nr;
    size_t at;
    bool short_of;          /* there are too few bytes */
    X86StepMode mode;
    bool near16;
    bool opsize;            /* prefix 66 */
    bool addrsize;          /* prefix 67 */
    bool rex2;              /* prefix D5 of APX */
    X86StepInsn *insn;
} Decoder;

static uint8_t peek(const Decoder *d)
{
    return d->at < d->nr ? d->bytes[d->at] : 0;
}

static uint64_t take(Decoder *d, unsigned size)
{
    uint64_t value = 0;

    if (d->at + size > d->nr) {
        d->short_of = true;
        d->at += size;
        return 0;
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)d->bytes[d->at++] << (8 * i);
    }
    return value;
}

static int64_t take_signed(Decoder *d, unsigned size)
{
    uint64_t value = take(d, size);
    unsigned unused = 64 - 8 * size;

    return (int64_t)(value << unused) >> unused;
}

static void segment_prefix(Decoder *d, uint8_t byte)
{
    if (d->mode != X86_STEP_CODE64 || (byte & 0xfe) == 0x64) {
        d->insn->segment = byte;
    }
}

/* Returns: is @byte one of the legacy prefixes? */
static bool legacy_prefix(Decoder *d, uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
        segment_prefix(d, byte);
        return true;
    case 0x66:
        d->opsize = true;
        return true;
    case 0x67:
        d->addrsize = true;
        return true;
    case 0xf0:
        d->insn->lock = true;
        return true;
    case 0xf2:
    case 0xf3:
        d->insn->rep = byte;
        return true;
    default:
        return false;
    }
}

/* REX counts only if the opcode is right behind it */
static void take_prefixes(Decoder *d)
{
    while (d->at < d->nr) {
        uint8_t byte = peek(d);

        if (legacy_prefix(d, byte)) {
            d->insn->rex = 0;
        } else if (d->mode == X86_STEP_CODE64 && (byte & 0xf0) == 0x40) {
            d->insn->rex = byte & 0xf;
        } else {
            return;
        }
        d->at++;
    }
    d->short_of = true;
}

static void set_sizes(Decoder *d)
{
    X86StepInsn *insn = d->insn;

    switch (d->mode) {
    case X86_STEP_CODE16:
        insn->op_size = d->opsize ? 4 : 2;
        insn->addr_size = d->addrsize ? 4 : 2;
        break;
    case X86_STEP_CODE32:
        insn->op_size = d->opsize ? 2 : 4;
        insn->addr_size = d->addrsize ? 2 : 4;
        break;
    default:
        insn->op_size = insn->rex & 8 ? 8 : d->opsize ? 2 : 4;
        insn->addr_size = d->addrsize ? 4 : 8;
        break;
    }
}

static bool is64(const Decoder *d)
{
    return d->mode == X86_STEP_CODE64;
}

/* Outside of 64-bit code these bytes are LES, LDS and BOUND with memory */
static bool is_vector_prefix(const Decoder *d)
{
    return is64(d) || (peek(d) & 0xc0) == 0xc0;
}

static void take_vex(Decoder *d, bool three)
{
    uint8_t byte = take(d, 1);

    d->insn->encoding = X86_STEP_VEX;
    d->insn->map = 1;
    if (three) {
        d->insn->map = byte & 0x1f;
        take(d, 1);
    }
    d->insn->opcode = take(d, 1);
}

static void take_evex(Decoder *d)
{
    uint8_t byte = take(d, 1);

    d->insn->encoding = X86_STEP_EVEX;
    d->insn->map = byte & 7;
    byte = take(d, 1);
    /* What an APX instruction's immediate depends on: pp is 01 for 66 */
    if (d->insn->map == 4) {
        d->insn->op_size = byte & 0x80 ? 8 : (byte & 3) == 1 ? 2 : 4;
    }
    take(d, 1);
    d->insn->opcode = take(d, 1);
}

static void take_xop(Decoder *d)
{
    uint8_t byte = take(d, 1);

    d->insn->encoding = X86_STEP_XOP;
    d->insn->map = byte & 0x1f;
    take(d, 1);
    d->insn->opcode = take(d, 1);
}

static void take_escape(Decoder *d)
{
    X86StepInsn *insn = d->insn;

    insn->map = 1;
    insn->opcode = take(d, 1);
    if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
        insn->map = insn->opcode == 0x38 ? 2 : 3;
        insn->opcode = take(d, 1);
    } else if (insn->opcode == 0x0f) {
        insn->encoding = X86_STEP_3DNOW;
    }
}

static void take_rex2(Decoder *d)
{
    uint8_t byte = take(d, 1);

    d->rex2 = true;
    d->insn->rex = byte & 0xf;
    set_sizes(d);
    d->insn->map = byte >> 7;
    d->insn->opcode = take(d, 1);
}

static void take_opcode(Decoder *d)
{
    uint8_t byte = take(d, 1);

    d->insn->opcode = byte;
    if (byte == 0x0f) {
        take_escape(d);
    } else if ((byte == 0xc4 || byte == 0xc5) && is_vector_prefix(d)) {
        take_vex(d, byte == 0xc4);
    } else if (byte == 0x62 && is_vector_prefix(d)) {
        take_evex(d);
    } else if (byte == 0x8f && peek(d) & 0x18) {
        take_xop(d);
    } else if (byte == 0xd5 && is64(d)) {
        take_rex2(d);
    }
}

/* The maps of VEX and EVEX have nothing without ModRM but VZEROUPPER */
static char vector_operands(const X86StepInsn *insn)
{
    switch (insn->map) {
    case 1:
        if (insn->opcode == 0x77 && insn->encoding == X86_STEP_VEX) {
            return '.';
        }
        return strchr("\x70\x71\x72\x73\xc2\xc4\xc5\xc6", insn->opcode) &&
               insn->opcode ? 'B' : 'm';
    case 3:
        return 'B';
    case 4:
        /* SHLD and SHRD have moved, the others are where they were */
        if (insn->opcode == 0x24 || insn->opcode == 0x2c) {
            return 'B';
        }
        return strchr("BZtT", one_byte[insn->opcode]) ?
               one_byte[insn->opcode] : 'm';
    case 7:
        return 'd';
    default:
        return 'm';
    }
}

static char two_byte_operands(const Decoder *d)
{
    const X86StepInsn *insn = d->insn;

    /* EXTRQ and INSERTQ of SSE4a */
    if (insn->opcode == 0x78 &&
        (insn->rep == X86_STEP_REPNE ||
         (d->opsize && insn->rep == X86_STEP_REP_NONE))) {
        return '2';
    }
    return two_byte[insn->opcode];
}

static char operands(const Decoder *d)
{
    const X86StepInsn *insn = d->insn;

    switch (insn->encoding) {
    case X86_STEP_VEX:
    case X86_STEP_EVEX:
        return vector_operands(insn);
    case X86_STEP_XOP:
        return insn->map == 8 ? 'B' : insn->map == 10 ? 'd' : 'm';
    default:
        break;
    }
    switch (insn->map) {
    case 0:
        return one_byte[insn->opcode];
    case 1:
        return two_byte_operands(d);
    case 2:
        return 'm';
    default:
        return 'B';
    }
}

static unsigned modrm_disp16(uint8_t mod, uint8_t rm)
{
    return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
}

/* Also in 64-bit code */
static unsigned modrm_disp32(uint8_t mod, uint8_t rm, uint8_t sib)
{
    uint8_t base = rm == 4 ? sib & 7 : rm;

    return mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
}

static void take_modrm(Decoder *d, bool registers)
{
    X86StepInsn *insn = d->insn;
    uint8_t mod, rm;
    unsigned size;

    insn->modrm = take(d, 1);
    mod = insn->modrm >> 6;
    rm = insn->modrm & 7;
    insn->memory = mod != 3 && !registers;
    if (!insn->memory) {
        return;
    }
    if (insn->addr_size == 2) {
        size = modrm_disp16(mod, rm);
    } else {
        insn->sib = rm == 4 ? take(d, 1) : 0;
        size = modrm_disp32(mod, rm, insn->sib);
    }
    insn->disp = size ? take_signed(d, size) : 0;
}

static unsigned near_size(const Decoder *d)
{
    if (is64(d) && !d->near16) {
        return 4;
    }
    return d->insn->op_size == 2 ? 2 : 4;
}

static void take_immediate(Decoder *d, char kind)
{
    X86StepInsn *insn = d->insn;
    bool test = kind == 't' || kind == 'T';
    unsigned word = insn->op_size == 2 ? 2 : 4;

    if (test && (insn->modrm >> 3 & 7) > 1) {
        return;
    }
    switch (kind) {
    case 'b':
    case 'B':
    case 't':
        insn->imm = take(d, 1);
        break;
    case 'w':
    case '2':
        insn->imm = take(d, 2);
        break;
    case 'z':
    case 'Z':
    case 'T':
        insn->imm = take(d, word);
        break;
    case 'd':
        insn->imm = take(d, 4);
        break;
    case 'e':
        insn->imm = take(d, 3);
        break;
    case 'v':
        insn->imm = take(d, insn->op_size);
        break;
    case 'o':
        insn->imm = take(d, insn->addr_size);
        break;
    case 'p':
        take(d, word + 2);
        break;
    case 'j':
        take(d, 1);
        break;
    case 'J':
        take(d, near_size(d));
        break;
    default:
        break;
    }
}

static void take_operands(Decoder *d)
{
    char kind = operands(d);

    if (strchr("mBZrtTd2", kind)) {
        take_modrm(d, kind == 'r');
    }
    take_immediate(d, kind);
    if (d->insn->encoding == X86_STEP_3DNOW) {
        d->insn->opcode = d->insn->imm;
        d->insn->imm = 0;
    }
}

/* Opcodes of the one-byte map that 64-bit code does not have */
static bool gone_in_64(const X86StepInsn *insn)
{
    static const uint8_t gone[] = {
        0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
        0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd6, 0xea,
    };

    return memchr(gone, insn->opcode, sizeof(gone));
}

static X86StepClass indirect(const X86StepInsn *insn)
{
    switch (insn->modrm >> 3 & 7) {
    case 2:
        return X86_STEP_CALL_IND;
    case 3:
        return insn->memory ? X86_STEP_CALL_FAR : X86_STEP_UD;
    case 4:
        return X86_STEP_JMP_IND;
    case 5:
        return insn->memory ? X86_STEP_JMP_FAR : X86_STEP_UD;
    default:
        return X86_STEP_PLAIN;
    }
}

static X86StepClass one_byte_class(const X86StepInsn *insn)
{
    switch (insn->opcode) {
    case 0x17:
        return X86_STEP_POP_SS;
    case 0x6c ... 0x6f:
    case 0xa4 ... 0xa7:
    case 0xaa ... 0xaf:
        return X86_STEP_STRING;
    case 0x70 ... 0x7f:
        return X86_STEP_JCC;
    case 0x8e:
        return (insn->modrm >> 3 & 7) == 2 ? X86_STEP_MOV_SS : X86_STEP_PLAIN;
    case 0x9a:
        return X86_STEP_CALL_FAR;
    case 0x9c:
        return X86_STEP_PUSHF;
    case 0x9d:
        return X86_STEP_POPF;
    case 0xc2:
    case 0xc3:
        return X86_STEP_RET;
    case 0xc7:
        return insn->modrm == 0xf8 ? X86_STEP_XBEGIN : X86_STEP_PLAIN;
    case 0xca:
    case 0xcb:
        return X86_STEP_RET_FAR;
    case 0xcc:
        return X86_STEP_INT3;
    case 0xcd:
        return X86_STEP_INT;
    case 0xce:
        return X86_STEP_INTO;
    case 0xcf:
        return X86_STEP_IRET;
    case 0xe0 ... 0xe3:
        return X86_STEP_LOOP;
    case 0xe8:
        return X86_STEP_CALL;
    case 0xe9:
    case 0xeb:
        return X86_STEP_JMP;
    case 0xea:
        return X86_STEP_JMP_FAR;
    case 0xf1:
        return X86_STEP_INT1;
    case 0xf4:
        return X86_STEP_HLT;
    case 0xfa:
        return X86_STEP_CLI;
    case 0xfb:
        return X86_STEP_STI;
    case 0xff:
        return indirect(insn);
    default:
        return X86_STEP_PLAIN;
    }
}

/* 0F 01 with a register: each value of ModRM is an instruction */
static X86StepClass group7_class(const Decoder *d)
{
    const X86StepInsn *insn = d->insn;

    switch (insn->modrm) {
    case 0xc2:
    case 0xc3:
    case 0xd8:
        return X86_STEP_VMENTRY;
    case 0xc9:
    case 0xfb:
        return X86_STEP_MWAIT;
    case 0xca:
        return insn->rep && is64(d) ? X86_STEP_ERET : X86_STEP_PLAIN;
    case 0xec:
        return insn->rep == X86_STEP_REPE && is64(d) ? X86_STEP_ERET
                                                     : X86_STEP_PLAIN;
    default:
        return X86_STEP_PLAIN;
    }
}

/* 0F AE /6 with a register: TPAUSE has 66, UMWAIT F2, UMONITOR F3 */
static bool is_user_wait(const Decoder *d)
{
    return (d->insn->modrm & 0xf8) == 0xf0 &&
           (d->insn->rep == X86_STEP_REPNE ||
            (d->insn->rep == X86_STEP_REP_NONE && d->opsize));
}

static X86StepClass two_byte_class(const Decoder *d)
{
    switch (d->insn->opcode) {
    case 0x01:
        return group7_class(d);
    case 0x05:
        return X86_STEP_SYSCALL;
    case 0x07:
        return X86_STEP_SYSRET;
    case 0x0b:
    case 0xb9:
    case 0xff:
        return X86_STEP_UD;
    case 0x21:
    case 0x23:
        return X86_STEP_MOV_DR;
    case 0x34:
        return X86_STEP_SYSENTER;
    case 0x35:
        return X86_STEP_SYSEXIT;
    case 0x80 ... 0x8f:
        return X86_STEP_JCC;
    case 0xaa:
        return X86_STEP_RSM;
    case 0xae:
        return is_user_wait(d) ? X86_STEP_MWAIT : X86_STEP_PLAIN;
    default:
        return X86_STEP_PLAIN;
    }
}

static X86StepClass classify(const Decoder *d)
{
    const X86StepInsn *insn = d->insn;

    if (insn->encoding != X86_STEP_LEGACY || insn->map > 1) {
        return X86_STEP_PLAIN;
    }
    if (insn->map == 1) {
        return two_byte_class(d);
    }
    if (d->rex2 && insn->opcode == 0xa1) {
        return X86_STEP_JMP_ABS;
    }
    return is64(d) && gone_in_64(insn) ? X86_STEP_UD : one_byte_class(insn);
}

/* What 64-bit code does with 64 bits unless a prefix says 16 */
static void set_default_size(Decoder *d)
{
    X86StepInsn *insn = d->insn;

    if (!is64(d) || insn->op_size == 8) {
        return;
    }
    switch (insn->cls) {
    case X86_STEP_PUSHF:
    case X86_STEP_POPF:
        insn->op_size = d->opsize ? 2 : 8;
        break;
    case X86_STEP_JMP:
    case X86_STEP_JCC:
    case X86_STEP_LOOP:
    case X86_STEP_CALL:
    case X86_STEP_JMP_IND:
    case X86_STEP_CALL_IND:
    case X86_STEP_RET:
        insn->op_size = d->opsize && d->near16 ? 2 : 8;
        break;
    default:
        break;
    }
}

bool x86_step_decode(const uint8_t *bytes, size_t nr, X86StepMode mode,
                     bool near16, X86StepInsn *insn)
{
    Decoder d = {
        .bytes = bytes, .nr = MIN(nr, X86_STEP_INSN_MAX), .mode = mode,
        .near16 = near16, .insn = insn,
    };

    memset(insn, 0, sizeof(*insn));
    take_prefixes(&d);
    set_sizes(&d);
    if (!d.short_of) {
        take_opcode(&d);
        take_operands(&d);
    }
    if (d.short_of) {
        memset(insn, 0, sizeof(*insn));
        insn->cls = X86_STEP_TOO_LONG;
        insn->length = X86_STEP_INSN_MAX;
        return nr >= X86_STEP_INSN_MAX;
    }
    insn->length = d.at;
    insn->cls = classify(&d);
    set_default_size(&d);
    return true;
}

static uint64_t wrap(uint64_t ip, unsigned size)
{
    return size == 2 ? (uint16_t)ip : size == 4 ? (uint32_t)ip : ip;
}

uint64_t x86_step_next(const X86StepInsn *insn, X86StepMode mode, uint64_t ip)
{
    static const uint8_t sizes[] = { 2, 4, 8 };

    return wrap(ip + insn->length, sizes[mode]);
}
