/*
 * PowerPC instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "step-decode.h"

/*
 * Processors ignore reserved fields of instructions (Book I, 1.3.3), so every
 * word that differs from an instruction in such fields only is decoded as
 * that instruction.  This includes bit 31 of the X-forms, even where it is
 * part of the opcode (stwcx.): nothing is lost by describing a word that
 * turns out to be illegal, whereas missing one that runs would be fatal.
 */

#define INT_FX  (PPC_STEP_INT_FETCH | PPC_STEP_INT_PROGRAM | \
                 PPC_STEP_INT_FACILITY)
#define INT_LS  (INT_FX | PPC_STEP_INT_DATA)
#define INT_FP  (INT_FX | PPC_STEP_INT_FP)
#define INT_VEC (INT_FX | PPC_STEP_INT_VEC)
/*
 * Which of the three facilities a VSX instruction needs may depend on its TX
 * or SX bit (Book I, 7.1 and 7.6), so they all may be unavailable.
 */
#define INT_VSX (INT_FX | PPC_STEP_INT_FP | PPC_STEP_INT_VEC | \
                 PPC_STEP_INT_VSX)

#define FORM_UPDATE 0x01    /* RA = 0 is an invalid form */
#define FORM_RA     0x02    /* the address is (RA|0) alone, RB is a length */
#define FORM_DS     0x04    /* displacement without its low 2 bits */
#define FORM_DQ     0x08    /* displacement without its low 4 bits */

#define BASE_CIA    32      /* mem_base of R = 1 */

#define SPR_PIDR    48

/*
 * StepForm: what one opcode does
 * @cls: class
 * @interrupts: PPC_STEP_INT_*, 0 for an opcode that is not known
 * @size: bytes accessed, 0 if it does not access storage at an address that
 *     is computed here
 * @align: the address is rounded down to a multiple of this; 0 is as 1
 * @flags: FORM_*
 */
typedef struct StepForm {
    uint8_t cls;
    uint8_t interrupts;
    uint8_t size;
    uint8_t align;
    uint8_t flags;
} StepForm;

#define FX              { PPC_STEP_PLAIN, INT_FX, 0, 0, 0 }
#define FP              { PPC_STEP_PLAIN, INT_FP, 0, 0, 0 }
#define VEC             { PPC_STEP_PLAIN, INT_VEC, 0, 0, 0 }
#define VSX             { PPC_STEP_PLAIN, INT_VSX, 0, 0, 0 }
#define CLS(c)          { PPC_STEP_ ## c, INT_FX, 0, 0, 0 }
/* Accesses storage somewhere */
#define LS_ANY          { PPC_STEP_PLAIN, INT_LS, 0, 0, 0 }
/* Loads and stores of n bytes, @f is FORM_* */
#define LS_RES(c, n)    { PPC_STEP_ ## c, INT_LS, n, 0, 0 }
#define LS(n, f)        { PPC_STEP_PLAIN, INT_LS, n, 0, f }
#define LS_FP(n, f)     { PPC_STEP_PLAIN, INT_LS | INT_FP, n, 0, f }
#define LS_VSX(n, f)    { PPC_STEP_PLAIN, INT_LS | INT_VSX, n, 0, f }
/* These ignore the low bits of the address (Book I, 6.7.2 and 6.7.3) */
#define LS_VEC(n)       { PPC_STEP_PLAIN, INT_LS | INT_VEC, n, n, 0 }
/* Cache block operations (Book II, 4.3.2), with the largest block there is */
#define LS_BLOCK        { PPC_STEP_PLAIN, INT_LS, 128, 128, 0 }

/*
 * Primary opcodes whose forms all do the same as far as this file cares;
 * the others have a table below or code in ppc_step_decode().
 */
static const StepForm step_primary[64] = {
    [2] = FX,                       /* tdi */
    [3] = FX,                       /* twi */
    [4] = VEC,
    [7] = FX,                       /* mulli */
    [8] = FX,                       /* subfic */
    [10] = FX,                      /* cmpli */
    [11] = FX,                      /* cmpi */
    [12] = FX,                      /* addic */
    [13] = FX,                      /* addic. */
    [14] = FX,                      /* addi */
    [15] = FX,                      /* addis */
    [16] = CLS(BRANCH),             /* bc */
    [18] = CLS(BRANCH),             /* b */
    [20] = FX,                      /* rlwimi */
    [21] = FX,                      /* rlwinm */
    [23] = FX,                      /* rlwnm */
    [24] = FX,                      /* ori */
    [25] = FX,                      /* oris */
    [26] = FX,                      /* xori */
    [27] = FX,                      /* xoris */
    [28] = FX,                      /* andi. */
    [29] = FX,                      /* andis. */
    [30] = FX,                      /* rld* */
    [32] = LS(4, 0),                /* lwz */
    [33] = LS(4, FORM_UPDATE),
    [34] = LS(1, 0),                /* lbz */
    [35] = LS(1, FORM_UPDATE),
    [36] = LS(4, 0),                /* stw */
    [37] = LS(4, FORM_UPDATE),
    [38] = LS(1, 0),                /* stb */
    [39] = LS(1, FORM_UPDATE),
    [40] = LS(2, 0),                /* lhz */
    [41] = LS(2, FORM_UPDATE),
    [42] = LS(2, 0),                /* lha */
    [43] = LS(2, FORM_UPDATE),
    [44] = LS(2, 0),                /* sth */
    [45] = LS(2, FORM_UPDATE),
    [46] = LS(128, 0),              /* lmw */
    [47] = LS(128, 0),              /* stmw */
    [48] = LS_FP(4, 0),             /* lfs */
    [49] = LS_FP(4, FORM_UPDATE),
    [50] = LS_FP(8, 0),             /* lfd */
    [51] = LS_FP(8, FORM_UPDATE),
    [52] = LS_FP(4, 0),             /* stfs */
    [53] = LS_FP(4, FORM_UPDATE),
    [54] = LS_FP(8, 0),             /* stfd */
    [55] = LS_FP(8, FORM_UPDATE),
    [56] = LS(16, FORM_DQ),         /* lq */
    [59] = VSX,                     /* FP, and the MMA ger operations */
    [60] = VSX,
    [63] = VSX,                     /* FP, and quad-precision VSX */
};

/* Opcode 6, by bits 28:31 */
static const StepForm step_6[16] = {
    [0] = LS_VSX(32, FORM_DQ),      /* lxvp */
    [1] = LS_VSX(32, FORM_DQ),      /* stxvp */
};

/* Opcodes 57, 58 and 62, by bits 30:31 */
static const StepForm step_57[4] = {
    [0] = LS_VSX(16, FORM_DS),      /* lfdp */
    [2] = LS_VSX(8, FORM_DS),       /* lxsd */
    [3] = LS_VSX(4, FORM_DS),       /* lxssp */
};

static const StepForm step_58[4] = {
    [0] = LS(8, FORM_DS),           /* ld */
    [1] = LS(8, FORM_DS | FORM_UPDATE),
    [2] = LS(4, FORM_DS),           /* lwa */
};

static const StepForm step_62[4] = {
    [0] = LS(8, FORM_DS),           /* std */
    [1] = LS(8, FORM_DS | FORM_UPDATE),
    [2] = LS(16, FORM_DS),          /* stq */
};

/* Opcode 61, by bits 29:31; bit 29 belongs to DS in the DS-forms */
static const StepForm step_61[8] = {
    [0] = LS_VSX(16, FORM_DS),      /* stfdp */
    [1] = LS_VSX(16, FORM_DQ),      /* lxv */
    [2] = LS_VSX(8, FORM_DS),       /* stxsd */
    [3] = LS_VSX(4, FORM_DS),       /* stxssp */
    [4] = LS_VSX(16, FORM_DS),      /* stfdp */
    [5] = LS_VSX(16, FORM_DQ),      /* stxv */
    [6] = LS_VSX(8, FORM_DS),       /* stxsd */
    [7] = LS_VSX(4, FORM_DS),       /* stxssp */
};

/* Opcode 19, by bits 21:30; addpcis is in step_find() */
static const StepForm step_19[1024] = {
    [0] = FX,                       /* mcrf */
    [16] = CLS(BRANCH),             /* bclr */
    [18] = CLS(RFID),
    [33] = FX,                      /* crnor */
    [82] = CLS(RFSCV),
    [129] = FX,                     /* crandc */
    [146] = CLS(RFEBB),
    [150] = FX,                     /* isync */
    [193] = FX,                     /* crxor */
    [225] = FX,                     /* crnand */
    [257] = FX,                     /* crand */
    [289] = FX,                     /* creqv */
    [417] = FX,                     /* crorc */
    [449] = FX,                     /* cror */
    [528] = CLS(BRANCH),            /* bcctr */
    [560] = CLS(BRANCH),            /* bctar */
};

/*
 * Opcode 31, by bits 21:30; isel is in step_find().  The XO-forms are there
 * twice, for OE = 0 and 1.
 */
static const StepForm step_31[1024] = {
    /* Fixed-point arithmetic (Book I, 3.3.9) */
    [8] = FX, [520] = FX,           /* subfc */
    [9] = FX, [521] = FX,           /* mulhdu */
    [10] = FX, [522] = FX,          /* addc */
    [11] = FX, [523] = FX,          /* mulhwu */
    [40] = FX, [552] = FX,          /* subf */
    [73] = FX, [585] = FX,          /* mulhd */
    [74] = FX, [586] = FX,          /* addg6s */
    [75] = FX, [587] = FX,          /* mulhw */
    [104] = FX, [616] = FX,         /* neg */
    [136] = FX, [648] = FX,         /* subfe */
    [138] = FX, [650] = FX,         /* adde */
    [170] = FX, [426] = FX,         /* addex, by CY */
    [682] = FX, [938] = FX,
    [200] = FX, [712] = FX,         /* subfze */
    [202] = FX, [714] = FX,         /* addze */
    [232] = FX, [744] = FX,         /* subfme */
    [233] = FX, [745] = FX,         /* mulld */
    [234] = FX, [746] = FX,         /* addme */
    [235] = FX, [747] = FX,         /* mullw */
    [265] = FX, [777] = FX,         /* modud, modsd */
    [266] = FX, [778] = FX,         /* add */
    [267] = FX, [779] = FX,         /* moduw, modsw */
    [393] = FX, [905] = FX,         /* divdeu */
    [395] = FX, [907] = FX,         /* divweu */
    [425] = FX, [937] = FX,         /* divde */
    [427] = FX, [939] = FX,         /* divwe */
    [457] = FX, [969] = FX,         /* divdu */
    [459] = FX, [971] = FX,         /* divwu */
    [489] = FX, [1001] = FX,        /* divd */
    [491] = FX, [1003] = FX,        /* divw */
    [755] = FX,                     /* darn */

    /* Compare, trap and select (3.3.10 to 3.3.12) */
    [0] = FX, [32] = FX,            /* cmp, cmpl */
    [4] = FX, [68] = FX,            /* tw, td */
    [128] = FX,                     /* setb */
    [192] = FX, [224] = FX,         /* cmprb, cmpeqb */
    [384] = FX, [416] = FX,         /* setbc, setbcr */
    [448] = FX, [480] = FX,         /* setnbc, setnbcr */

    /* Logical, shift and byte operations, BCD assist (3.3.13 to 3.3.16) */
    [24] = FX, [27] = FX,           /* slw, sld */
    [26] = FX, [58] = FX,           /* cntlzw, cntlzd */
    [28] = FX, [60] = FX,           /* and, andc */
    [59] = FX, [571] = FX,          /* cntlzdm, cnttzdm */
    [122] = FX, [378] = FX,         /* popcntb, popcntw */
    [506] = FX, [508] = FX,         /* popcntd, cmpb */
    [124] = FX, [284] = FX,         /* nor, eqv */
    [154] = FX, [186] = FX,         /* prtyw, prtyd */
    [155] = FX, [187] = FX,         /* brw, brd */
    [156] = FX, [188] = FX,         /* pdepd, pextd */
    [219] = FX, [220] = FX,         /* brh, cfuged */
    [252] = FX,                     /* bpermd */
    [282] = FX, [314] = FX,         /* cdtbcd, cbcdtd */
    [316] = FX, [412] = FX,         /* xor, orc */
    [444] = FX, [476] = FX,         /* or, nand */
    [536] = FX, [539] = FX,         /* srw, srd */
    [538] = FX, [570] = FX,         /* cnttzw, cnttzd */
    [792] = FX, [794] = FX,         /* sraw, srad */
    [824] = FX,                     /* srawi */
    [826] = FX, [827] = FX,         /* sradi, by bit 30 */
    [890] = FX, [891] = FX,         /* extswsli, by bit 30 */
    [922] = FX, [954] = FX,         /* extsh, extsb */
    [986] = FX,                     /* extsw */

    /* Moves (3.3.17, 3.3.18, Book II, 6.1, Book III, 5.4.4) */
    [19] = FX, [144] = FX,          /* mfcr, mtcrf */
    [83] = CLS(MFMSR),
    [146] = CLS(MTMSR),
    [178] = CLS(MTMSRD),
    [302] = FX, [430] = FX,         /* mfbhrbe, clrbhrb */
    [339] = FX, [371] = FX,         /* mfspr, mftb */
    [467] = FX,                     /* mtspr */
    [576] = FX,                     /* mcrxrx */

    /* Storage control and synchronization (Book II, 4) */
    [22] = FX,                      /* icbt, a hint */
    [30] = FX,                      /* wait */
    [54] = LS_BLOCK,                /* dcbst */
    [86] = LS_BLOCK,                /* dcbf */
    [246] = FX, [278] = FX,         /* dcbtst, dcbt: hints */
    [598] = FX, [854] = FX,         /* sync, eieio */
    [982] = LS_BLOCK,               /* icbi */
    [1014] = LS_BLOCK,              /* dcbz */
    [582] = LS_ANY, [614] = LS_ANY, /* lwat, ldat */
    [710] = LS_ANY, [742] = LS_ANY, /* stwat, stdat */
    [774] = LS_ANY, [902] = LS_ANY, /* copy, paste. */
    [838] = FX,                     /* cpabort */

    /* Load and reserve, store conditional (Book II, 4.6.2) */
    [20] = LS_RES(LARX, 4),
    [52] = LS_RES(LARX, 1),
    [84] = LS_RES(LARX, 8),
    [116] = LS_RES(LARX, 2),
    [276] = LS_RES(LARX, 16),
    [150] = LS_RES(STCX, 4),
    [182] = LS_RES(STCX, 16),
    [214] = LS_RES(STCX, 8),
    [694] = LS_RES(STCX, 1),
    [726] = LS_RES(STCX, 2),

    /* Fixed-point loads and stores (Book I, 3.3.2 to 3.3.7) */
    [21] = LS(8, 0), [53] = LS(8, FORM_UPDATE),     /* ldx */
    [23] = LS(4, 0), [55] = LS(4, FORM_UPDATE),     /* lwzx */
    [87] = LS(1, 0), [119] = LS(1, FORM_UPDATE),    /* lbzx */
    [149] = LS(8, 0), [181] = LS(8, FORM_UPDATE),   /* stdx */
    [151] = LS(4, 0), [183] = LS(4, FORM_UPDATE),   /* stwx */
    [215] = LS(1, 0), [247] = LS(1, FORM_UPDATE),   /* stbx */
    [279] = LS(2, 0), [311] = LS(2, FORM_UPDATE),   /* lhzx */
    [341] = LS(4, 0), [373] = LS(4, FORM_UPDATE),   /* lwax */
    [343] = LS(2, 0), [375] = LS(2, FORM_UPDATE),   /* lhax */
    [407] = LS(2, 0), [439] = LS(2, FORM_UPDATE),   /* sthx */
    [532] = LS(8, 0), [660] = LS(8, 0),             /* ldbrx, stdbrx */
    [534] = LS(4, 0), [662] = LS(4, 0),             /* lwbrx, stwbrx */
    [790] = LS(2, 0), [918] = LS(2, 0),             /* lhbrx, sthbrx */
    [533] = LS(128, 0), [661] = LS(128, 0),         /* lswx, stswx */
    [597] = LS(32, FORM_RA), [725] = LS(32, FORM_RA), /* lswi, stswi */
    [722] = LS_ANY, [754] = LS_ANY,                 /* hashst, hashchk */
    [658] = LS_ANY, [690] = LS_ANY,                 /* hashstp, hashchkp */
    /* Real addresses in hypervisor state (Book III, 5.4.1) */
    [789] = LS_ANY, [917] = LS_ANY,                 /* lwzcix, stwcix */
    [821] = LS_ANY, [949] = LS_ANY,                 /* lhzcix, sthcix */
    [853] = LS_ANY, [981] = LS_ANY,                 /* lbzcix, stbcix */
    [885] = LS_ANY, [1013] = LS_ANY,                /* ldcix, stdcix */

    /* Floating-point loads and stores (Book I, 4.6.2 to 4.6.4) */
    [535] = LS_FP(4, 0), [567] = LS_FP(4, FORM_UPDATE), /* lfsx */
    [599] = LS_FP(8, 0), [631] = LS_FP(8, FORM_UPDATE), /* lfdx */
    [663] = LS_FP(4, 0), [695] = LS_FP(4, FORM_UPDATE), /* stfsx */
    [727] = LS_FP(8, 0), [759] = LS_FP(8, FORM_UPDATE), /* stfdx */
    [791] = LS_FP(16, 0), [919] = LS_FP(16, 0),     /* lfdpx, stfdpx */
    [855] = LS_FP(4, 0), [887] = LS_FP(4, 0),       /* lfiwax, lfiwzx */
    [983] = LS_FP(4, 0),                            /* stfiwx */

    /* Vector loads and stores (Book I, 6.7) */
    [6] = VEC, [38] = VEC,                          /* lvsl, lvsr */
    [7] = LS_VEC(1), [135] = LS_VEC(1),             /* lvebx, stvebx */
    [39] = LS_VEC(2), [167] = LS_VEC(2),            /* lvehx, stvehx */
    [71] = LS_VEC(4), [199] = LS_VEC(4),            /* lvewx, stvewx */
    [103] = LS_VEC(16), [231] = LS_VEC(16),         /* lvx, stvx */
    [359] = LS_VEC(16), [487] = LS_VEC(16),         /* lvxl, stvxl */

    /* VSX loads and stores (Book I, 7.6.1); bit 25 of lxvx is reserved */
    [12] = LS_VSX(4, 0), [140] = LS_VSX(4, 0),      /* lxsiwzx, stxsiwx */
    [13] = LS_VSX(1, 0), [141] = LS_VSX(1, 0),      /* lxvrbx, stxvrbx */
    [45] = LS_VSX(2, 0), [173] = LS_VSX(2, 0),      /* lxvrhx, stxvrhx */
    [76] = LS_VSX(4, 0),                            /* lxsiwax */
    [77] = LS_VSX(4, 0), [205] = LS_VSX(4, 0),      /* lxvrwx, stxvrwx */
    [109] = LS_VSX(8, 0), [237] = LS_VSX(8, 0),     /* lxvrdx, stxvrdx */
    [268] = LS_VSX(16, 0), [300] = LS_VSX(16, 0),   /* lxvx */
    [396] = LS_VSX(16, 0), [428] = LS_VSX(16, 0),   /* stxvx */
    [269] = LS_VSX(16, FORM_RA), [397] = LS_VSX(16, FORM_RA), /* lxvl */
    [301] = LS_VSX(16, FORM_RA), [429] = LS_VSX(16, FORM_RA), /* lxvll */
    [332] = LS_VSX(8, 0), [364] = LS_VSX(4, 0),     /* lxvdsx, lxvwsx */
    [333] = LS_VSX(32, 0), [461] = LS_VSX(32, 0),   /* lxvpx, stxvpx */
    [524] = LS_VSX(4, 0), [652] = LS_VSX(4, 0),     /* lxsspx, stxsspx */
    [588] = LS_VSX(8, 0), [716] = LS_VSX(8, 0),     /* lxsdx, stxsdx */
    [780] = LS_VSX(16, 0), [908] = LS_VSX(16, 0),   /* lxvw4x, stxvw4x */
    [781] = LS_VSX(1, 0), [909] = LS_VSX(1, 0),     /* lxsibzx, stxsibx */
    [812] = LS_VSX(16, 0), [940] = LS_VSX(16, 0),   /* lxvh8x, stxvh8x */
    [813] = LS_VSX(2, 0), [941] = LS_VSX(2, 0),     /* lxsihzx, stxsihx */
    [844] = LS_VSX(16, 0), [972] = LS_VSX(16, 0),   /* lxvd2x, stxvd2x */
    [876] = LS_VSX(16, 0), [1004] = LS_VSX(16, 0),  /* lxvb16x, stxvb16x */

    /* VSX moves and accumulators (Book I, 7.6.1, 7.2.1.3) */
    [51] = VSX, [307] = VSX,                        /* mfvsrd, mfvsrld */
    [115] = VSX, [243] = VSX,                       /* mfvsrwz, mtvsrwz */
    [177] = VSX,                                    /* xxmfacc, xxmtacc */
    [179] = VSX, [211] = VSX,                       /* mtvsrd, mtvsrwa */
    [403] = VSX, [435] = VSX,                       /* mtvsrws, mtvsrdd */
};

/* Suffixes of the prefix types 8LS and MLS (Book I, 1.6.3), by opcode */
static const StepForm step_8ls[64] = {
    [41] = LS(4, 0),                /* plwa */
    [42] = LS_VSX(8, 0),            /* plxsd */
    [43] = LS_VSX(4, 0),            /* plxssp */
    [46] = LS_VSX(8, 0),            /* pstxsd */
    [47] = LS_VSX(4, 0),            /* pstxssp */
    [50] = LS_VSX(16, 0),           /* plxv, by TX */
    [51] = LS_VSX(16, 0),
    [54] = LS_VSX(16, 0),           /* pstxv, by SX */
    [55] = LS_VSX(16, 0),
    [56] = LS(16, 0),               /* plq */
    [57] = LS(8, 0),                /* pld */
    [58] = LS_VSX(32, 0),           /* plxvp */
    [60] = LS(16, 0),               /* pstq */
    [61] = LS(8, 0),                /* pstd */
    [62] = LS_VSX(32, 0),           /* pstxvp */
};

static const StepForm step_mls[64] = {
    [14] = FX,                      /* paddi */
    [32] = LS(4, 0),                /* plwz */
    [34] = LS(1, 0),                /* plbz */
    [36] = LS(4, 0),                /* pstw */
    [38] = LS(1, 0),                /* pstb */
    [40] = LS(2, 0),                /* plhz */
    [42] = LS(2, 0),                /* plha */
    [44] = LS(2, 0),                /* psth */
    [48] = LS_FP(4, 0),             /* plfs */
    [50] = LS_FP(8, 0),             /* plfd */
    [52] = LS_FP(4, 0),             /* pstfs */
    [54] = LS_FP(8, 0),             /* pstfd */
};

/* Opcodes that are told apart by low bits: ppc_step_decode() masks them */
static const struct {
    const StepForm *forms;
    uint8_t mask;
} step_low[64] = {
    [6] = { step_6, 15 },
    [57] = { step_57, 3 },
    [58] = { step_58, 3 },
    [61] = { step_61, 7 },
    [62] = { step_62, 3 },
};

static const StepForm step_unknown = {
    .cls = PPC_STEP_PLAIN,
    .interrupts = PPC_STEP_INT_ALL,
};

static const StepForm step_plain_fx = FX;
static const StepForm step_plain_vsx = VSX;

/* @len bits of @word from bit @start on, in the Power ISA's numbering */
static uint32_t step_field(uint32_t word, int start, int len)
{
    return (word >> (32 - start - len)) & ((1u << len) - 1);
}

/* Two's complement number of @bits bits, whose higher bits are 0 */
static int64_t step_sext(uint64_t value, int bits)
{
    uint64_t sign = 1ull << (bits - 1);

    return (int64_t)((value ^ sign) - sign);
}

bool ppc_step_is_prefix(uint32_t word)
{
    return step_field(word, 0, 6) == 1;
}

static const StepForm *step_find(uint32_t word)
{
    uint32_t opcode = step_field(word, 0, 6);
    uint32_t xo = step_field(word, 21, 10);

    switch (opcode) {
    case 19:
        /* The XO of the DX-form, bits 26:30, is a part of other forms' XO */
        return (xo & 31) == 2 ? &step_plain_fx : &step_19[xo];
    case 31:
        /* That of isel is also bits 26:30, below BC */
        return (xo & 31) == 15 ? &step_plain_fx : &step_31[xo];
    default:
        if (step_low[opcode].forms) {
            return &step_low[opcode].forms[word & step_low[opcode].mask];
        }
        return &step_primary[opcode];
    }
}

static void step_set_form(PPCStepInsn *insn, const StepForm *form)
{
    if (!form->interrupts) {
        form = &step_unknown;
    }
    insn->cls = form->cls;
    /* What is not known may be one of the SLB instructions */
    insn->context = form == &step_unknown;
    insn->interrupts = form->interrupts;
    insn->mem = form->size != 0;
    insn->mem_size = form->size;
    insn->mem_align = MAX(form->align, 1);
}

static void step_set_mem(PPCStepInsn *insn, uint32_t word,
                         const StepForm *form)
{
    uint32_t disp = step_field(word, 16, 16);

    if (!insn->mem) {
        return;
    }
    insn->mem_base = step_field(word, 11, 5);
    insn->mem_index = -1;
    if (form->flags & FORM_UPDATE && insn->mem_base == 0) {
        /* Invalid form (Book I, 3.3.2): no saying what address it uses */
        insn->mem = false;
    }
    if (form->flags & FORM_RA) {
        return;
    }
    if (step_field(word, 0, 6) == 31) {
        insn->mem_index = step_field(word, 16, 5);
        return;
    }
    if (form->flags & FORM_DS) {
        disp &= ~3u;
    } else if (form->flags & FORM_DQ) {
        disp &= ~15u;
    }
    insn->mem_disp = step_sext(disp, 16);
}

static void step_set_branch(PPCStepInsn *insn, uint32_t word)
{
    uint32_t opcode = step_field(word, 0, 6);

    insn->link = word & 1;
    insn->bo = step_field(word, 6, 5);
    insn->bi = step_field(word, 11, 5);
    switch (opcode) {
    case 16:
        insn->disp = step_sext(word & 0xfffc, 16);
        break;
    case 18:
        insn->bo = 0x14;
        insn->bi = 0;
        insn->disp = step_sext(word & 0x3fffffc, 26);
        break;
    case 19:
        switch (step_field(word, 21, 10)) {
        case 16:
            insn->branch = PPC_STEP_BRANCH_LR;
            break;
        case 528:
            insn->branch = PPC_STEP_BRANCH_CTR;
            break;
        case 560:
            insn->branch = PPC_STEP_BRANCH_TAR;
            break;
        }
        return;
    }
    insn->branch = word & 2 ? PPC_STEP_BRANCH_ABS : PPC_STEP_BRANCH_REL;
}

/*
 * Opcode 17 (Book I, 2.4): bit 30 is 1 for sc, whose bit 31 is reserved, and
 * bits 30:31 are 0b01 for scv.  Bits 20:24 of sc's LEV are "treated as a
 * reserved field", so that only the last two bits tell where it goes.
 */
static void step_set_sc(PPCStepInsn *insn, uint32_t word)
{
    uint8_t lev = step_field(word, 20, 7);

    if (word & 2) {
        insn->cls = lev & 3 ? PPC_STEP_HCALL : PPC_STEP_SC;
    } else if (word & 1) {
        insn->cls = PPC_STEP_SCV;
    } else {
        return;
    }
    insn->l = lev;
    insn->interrupts = INT_FX;
    insn->context = insn->cls == PPC_STEP_HCALL;
}

/*
 * Opcode 31 fields beyond the address.  mftb behaves as if it were mfspr
 * (Book II, 6.1), whatever the register.
 */
static void step_set_move(PPCStepInsn *insn, uint32_t word)
{
    uint32_t xo = step_field(word, 21, 10);
    uint32_t spr = step_field(word, 16, 5) << 5 | step_field(word, 11, 5);

    if ((xo == 339 || xo == 371 || xo == 467) && (spr == 26 || spr == 27)) {
        insn->cls = xo == 467 ? PPC_STEP_MTSRR : PPC_STEP_MFSRR;
        insn->spr = spr;
    }
    switch (insn->cls) {
    case PPC_STEP_MTMSR:
    case PPC_STEP_MTMSRD:
        insn->l = step_field(word, 15, 1);
        /* fall through */
    case PPC_STEP_MFMSR:
    case PPC_STEP_MFSRR:
    case PPC_STEP_MTSRR:
        insn->reg = step_field(word, 6, 5);
        break;
    default:
        break;
    }
    insn->context |= xo == 467 && spr == SPR_PIDR;
}

/* Prefixed instructions, by the prefix type in bits 6:7 (Book I, 1.6.3) */
static const StepForm *step_find_prefixed(uint32_t word, uint32_t suffix)
{
    uint32_t opcode = step_field(suffix, 0, 6);

    switch (step_field(word, 6, 2)) {
    case 0: /* 8LS:D, subtype in bit 8 */
        return step_field(word, 8, 1) ? &step_unknown : &step_8ls[opcode];
    case 2: /* MLS:D, subtype in bit 8 */
        return step_field(word, 8, 1) ? &step_unknown : &step_mls[opcode];
    case 1: /* 8RR:D and 8RR:XX4, subtype in bits 8:11 */
        return step_field(word, 8, 4) == 0 && opcode >= 32 && opcode <= 34 ?
               &step_plain_vsx : &step_unknown;
    default: /* MRR: pnop has subtype 0, the MMA outer products have 9 */
        switch (step_field(word, 8, 4)) {
        case 0:
            return &step_plain_fx;
        case 9:
            return opcode == 59 ? &step_plain_vsx : &step_unknown;
        default:
            return &step_unknown;
        }
    }
}

static void step_decode_prefixed(uint32_t word, uint32_t suffix,
                                 PPCStepInsn *insn)
{
    const StepForm *form = step_find_prefixed(word, suffix);
    bool r = step_field(word, 11, 1);

    insn->length = 8;
    step_set_form(insn, form);
    /*
     * Any prefixed instruction that crosses a 64-byte boundary raises an
     * alignment interrupt (Book I, 1.9; Book III, 7.5.8).
     */
    insn->interrupts |= PPC_STEP_INT_DATA;
    if (!insn->mem) {
        return;
    }
    insn->mem_base = step_field(suffix, 11, 5);
    insn->mem_index = -1;
    insn->mem_disp = step_sext((uint64_t)step_field(word, 14, 18) << 16 |
                               step_field(suffix, 16, 16), 34);
    if (r) {
        /* RA must be 0 with R = 1, or the form is invalid (Book I, 3.3.2) */
        insn->mem = insn->mem_base == 0;
        insn->mem_base = BASE_CIA;
    }
}

void ppc_step_decode(uint32_t word, uint32_t suffix, PPCStepInsn *insn)
{
    const StepForm *form;

    memset(insn, 0, sizeof(*insn));
    if (ppc_step_is_prefix(word)) {
        step_decode_prefixed(word, suffix, insn);
        return;
    }

    form = step_find(word);
    insn->length = 4;
    step_set_form(insn, form);
    step_set_mem(insn, word, form);
    if (insn->cls == PPC_STEP_BRANCH) {
        step_set_branch(insn, word);
    } else if (step_field(word, 0, 6) == 17) {
        step_set_sc(insn, word);
    } else if (step_field(word, 0, 6) == 31) {
        step_set_move(insn, word);
    }
}

/* Book I, 2.4, figure "BO field encodings" */
static bool step_branch_taken(const PPCStepInsn *insn,
                              const PPCStepBranchRegs *regs)
{
    uint64_t ctr = regs->ctr;
    bool cr_bit = (regs->cr >> (31 - insn->bi)) & 1;

    if (!(insn->bo & 0x04)) {
        /*
         * bcctr that decrements is an invalid form, but Linux runs it as a
         * barrier for branch prediction.  Processors that implement it test
         * CTR before they decrement it.
         */
        if (insn->branch != PPC_STEP_BRANCH_CTR) {
            ctr--;
        }
        if (!regs->sf) {
            ctr = (uint32_t)ctr;
        }
        if ((ctr == 0) != !!(insn->bo & 0x02)) {
            return false;
        }
    }
    return insn->bo & 0x10 || cr_bit == !!(insn->bo & 0x08);
}

static uint64_t step_branch_target(const PPCStepInsn *insn,
                                   const PPCStepBranchRegs *regs)
{
    switch (insn->branch) {
    case PPC_STEP_BRANCH_REL:
        return regs->pc + insn->disp;
    case PPC_STEP_BRANCH_ABS:
        return insn->disp;
    case PPC_STEP_BRANCH_LR:
        return regs->lr & ~3ull;
    case PPC_STEP_BRANCH_CTR:
        return regs->ctr & ~3ull;
    case PPC_STEP_BRANCH_TAR:
        return regs->tar & ~3ull;
    }
    g_assert_not_reached();
}

uint64_t ppc_step_successor(const PPCStepInsn *insn,
                            const PPCStepBranchRegs *regs)
{
    uint64_t next = regs->pc + insn->length;

    if (insn->cls == PPC_STEP_BRANCH && step_branch_taken(insn, regs)) {
        next = step_branch_target(insn, regs);
    }
    return regs->sf ? next : (uint32_t)next;
}

uint64_t ppc_step_mem_ea(const PPCStepInsn *insn, uint64_t pc,
                         const uint64_t *gpr, bool sf)
{
    uint64_t ea = insn->mem_disp;

    if (insn->mem_base == BASE_CIA) {
        ea += pc;
    } else if (insn->mem_base != 0) {
        ea += gpr[insn->mem_base];
    }
    if (insn->mem_index >= 0) {
        ea += gpr[insn->mem_index];
    }
    ea &= ~(uint64_t)(insn->mem_align - 1);
    return sf ? ea : (uint32_t)ea;
}
