/*
 * x86 instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_I386_STEP_DECODE_H
#define TARGET_I386_STEP_DECODE_H

/*
 * Everything here is pure: it looks at bytes that the caller has fetched, and
 * describes.  It reads no memory, keeps no state and knows of no accelerator.
 * It describes the instructions of all processors, whether or not the guest's
 * has them.  Names are those of the Intel SDM, volume 2, and of the AMD APM,
 * volume 3; VEX, EVEX and XOP are prefixes with a map of their own.
 *
 * Classes are given to what a stepper has to treat apart: the flow of control,
 * and what would see or lose RFLAGS.TF, with which it steps:
 *
 * - PUSHF, and the events (INT n, INT3, INT1, INTO, and faults of any
 *   instruction), store RFLAGS on a stack; SYSCALL stores it in R11.
 * - Events clear TF, and so does SYSCALL if SFMASK says so, and SYSENTER does
 *   not.
 * - POPF, IRET and the like replace TF, but the step's trap still comes behind
 *   them: what counts is TF before the instruction.  SYSRET replaces TF, too,
 *   and what counts is TF behind it.
 * - MOV SS and POP SS hold back the trap until the next instruction is done.
 * - LAHF and SAHF are plain: AH has the low byte of RFLAGS, TF is in the next.
 */

/* The longest instruction; a longer one raises #GP */
#define X86_STEP_INSN_MAX 15

/**
 * X86StepMode: what the code segment says of the code
 */
typedef enum X86StepMode {
    X86_STEP_CODE16,    /* real, virtual-8086, or CS.D is 0 */
    X86_STEP_CODE32,    /* CS.D is 1 */
    X86_STEP_CODE64,    /* CS.L is 1 in long mode */
    X86_STEP_MODE_MAX,
} X86StepMode;

/**
 * X86StepClass: what a stepper has to treat apart
 * @X86_STEP_PLAIN: completes at the next address or raises an exception, and
 *     neither reads nor writes TF or IF.  Also any opcode that the maps leave
 *     open: these raise #UD
 * @X86_STEP_UD: raises #UD on any processor: UD0, UD1, UD2, and what 64-bit
 *     code has no more
 * @X86_STEP_TOO_LONG: more than X86_STEP_INSN_MAX bytes
 * @X86_STEP_JMP: near, to a displacement
 * @X86_STEP_JCC: near, to a displacement if @opcode's condition holds
 * @X86_STEP_LOOP: LOOP, LOOPE, LOOPNE, JCXZ, JECXZ, JRCXZ
 * @X86_STEP_CALL: near, to a displacement
 * @X86_STEP_JMP_IND: near, to what a register or memory has
 * @X86_STEP_CALL_IND: likewise
 * @X86_STEP_RET: near
 * @X86_STEP_JMP_FAR: to a pointer in the instruction or in memory; may be a
 *     task switch outside of long mode
 * @X86_STEP_CALL_FAR: likewise
 * @X86_STEP_RET_FAR: RETF
 * @X86_STEP_JMP_ABS: JMPABS of APX, to @imm
 * @X86_STEP_IRET: IRET, IRETD, IRETQ
 * @X86_STEP_ERET: ERETS, ERETU of FRED, and UIRET
 * @X86_STEP_RSM: RSM
 * @X86_STEP_SYSCALL: SYSCALL, and so on
 * @X86_STEP_INT: INT n, of vector @imm
 * @X86_STEP_INT1: 0xf1, also called ICEBP: raises #DB
 * @X86_STEP_HLT: HLT
 * @X86_STEP_MWAIT: MWAIT, MWAITX, TPAUSE, UMWAIT
 * @X86_STEP_PUSHF: of @op_size bytes; so is POPF
 * @X86_STEP_MOV_SS: MOV to SS.  LSS is plain, as it holds back nothing
 * @X86_STEP_STRING: MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS: with @rep the
 *     trap comes behind each iteration, with RIP at the instruction
 * @X86_STEP_MOV_DR: MOV to or from a debug register
 * @X86_STEP_XBEGIN: goes to a displacement if the transaction aborts, as it
 *     does when it meets TF
 * @X86_STEP_VMENTRY: VMRUN, VMLAUNCH, VMRESUME: a guest of the guest runs
 */
typedef enum X86StepClass {
    X86_STEP_PLAIN,
    X86_STEP_UD,
    X86_STEP_TOO_LONG,
    X86_STEP_JMP,
    X86_STEP_JCC,
    X86_STEP_LOOP,
    X86_STEP_CALL,
    X86_STEP_JMP_IND,
    X86_STEP_CALL_IND,
    X86_STEP_RET,
    X86_STEP_JMP_FAR,
    X86_STEP_CALL_FAR,
    X86_STEP_RET_FAR,
    X86_STEP_JMP_ABS,
    X86_STEP_IRET,
    X86_STEP_ERET,
    X86_STEP_RSM,
    X86_STEP_SYSCALL,
    X86_STEP_SYSRET,
    X86_STEP_SYSENTER,
    X86_STEP_SYSEXIT,
    X86_STEP_INT,
    X86_STEP_INT3,
    X86_STEP_INT1,
    X86_STEP_INTO,
    X86_STEP_HLT,
    X86_STEP_MWAIT,
    X86_STEP_PUSHF,
    X86_STEP_POPF,
    X86_STEP_STI,
    X86_STEP_CLI,
    X86_STEP_MOV_SS,
    X86_STEP_POP_SS,
    X86_STEP_STRING,
    X86_STEP_MOV_DR,
    X86_STEP_XBEGIN,
    X86_STEP_VMENTRY,
    X86_STEP_CLASS_MAX,
} X86StepClass;

/**
 * X86StepEncoding: how the opcode is found
 */
typedef enum X86StepEncoding {
    X86_STEP_LEGACY,    /* @map: 0 one byte, 1 0F, 2 0F 38, 3 0F 3A */
    X86_STEP_3DNOW,     /* 0F 0F: the opcode is behind the operands */
    X86_STEP_VEX,       /* @map: 1 0F, 2 0F 38, 3 0F 3A, and newer ones */
    X86_STEP_EVEX,      /* likewise; 4 has legacy instructions (APX) */
    X86_STEP_XOP,       /* @map: 8, 9, 10 */
} X86StepEncoding;

/**
 * X86StepRep: the last of the prefixes F2 and F3
 */
typedef enum X86StepRep {
    X86_STEP_REP_NONE,
    X86_STEP_REPNE = 0xf2,
    X86_STEP_REPE = 0xf3,
} X86StepRep;

/**
 * X86StepInsn: the description of one instruction
 * @cls: its class
 * @length: in bytes, prefixes included.  What raises #UD has the length that
 *     its map gives to other opcodes around it
 * @encoding: how the opcode is found
 * @map: in which map
 * @opcode: its last byte
 * @memory: the ModRM byte names memory
 * @op_size: operand size in bytes by mode, prefixes, and the default of the
 *     instruction: 2, 4, 8
 * @addr_size: address size in bytes: 2, 4, 8
 * @rep: F2 or F3, be it a part of the opcode
 * @lock: F0
 * @segment: the prefix byte that overrides the segment, or 0; in 64-bit code
 *     0x64 or 0x65 only
 * @rex: of REX or REX2: bits 3 to 0 are W, R, X, B
 * @disp: displacement of the memory operand, sign-extended
 * @imm: immediate, zero-extended
 *
 * A field that does not belong to the class is 0 or false.
 */
typedef struct X86StepInsn {
    X86StepClass cls;
    uint8_t length;
    X86StepEncoding encoding;
    uint8_t map;
    uint8_t opcode;
    uint8_t modrm;
    uint8_t sib;
    bool memory;
    uint8_t op_size;
    uint8_t addr_size;
    X86StepRep rep;
    bool lock;
    uint8_t segment;
    uint8_t rex;
    int64_t disp;
    uint64_t imm;
} X86StepInsn;

/**
 * x86_step_decode() - describe an instruction
 * @bytes: the instruction, as memory has it
 * @nr: how many bytes there are; X86_STEP_INSN_MAX are enough for any
 * @mode: of the code segment
 * @near16: near branches of 64-bit code heed an operand-size prefix, as they
 *     do on AMD's processors; on Intel's they do not
 * @insn: filled in completely, unless it returns false
 *
 * Returns: false if there are too few bytes
 */
bool x86_step_decode(const uint8_t *bytes, size_t nr, X86StepMode mode,
                     bool near16, X86StepInsn *insn);

/**
 * x86_step_next() - the offset of the instruction behind this one
 */
uint64_t x86_step_next(const X86StepInsn *insn, X86StepMode mode, uint64_t ip);

#endif /* TARGET_I386_STEP_DECODE_H */
