#!/bin/sh
#
# Comparison of the description of A64 instructions with objdump
#
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: arm-step-vs-objdump.sh ARM-STEP-DUMP [OBJDUMP [N [SEED]]]
#
# Compares class, target, condition, registers and immediates, and whether it
# may change translation.  Words that objdump does not know are counted by
# reason.  An objdump that knows some words of a new feature has to know all.

set -eu

dump=$1
objdump=${2:-aarch64-linux-gnu-objdump}
n=${3:-400000}
seed=${4:-1}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$dump" "$n" "$seed" "$dir/blob" > "$dir/described"
"$objdump" -b binary -m aarch64 -EL -D -z --adjust-vma=0x100000000 \
    "$dir/blob" > "$dir/disassembled"

awk -v n="$n" '
BEGIN {
    words = 0
    names = "eq ne cs cc mi pl vs vc hi ls ge lt gt le al nv"
    count = split(names, c, " ")
    for (i = 1; i <= count; i++) {
        cond[c[i]] = i - 1
    }
    cond["hs"] = cond["cs"]
    cond["lo"] = cond["cc"]
    names = "sys sysp at ic dc tlbi tlbip plbi cfp cpp dvp cosp brb " \
            "gcspushm gcspushx gcspopx gcspopcx gcsss1 msrr trcit gic"
    count = split(names, c, " ")
    for (i = 1; i <= count; i++) {
        context[c[i]] = 1
    }
}

# mrs and msr: op[1] and op[2] are the operands
function move(m) {
    if (m == "msr" && op[1] ~ /^daif(set|clr)$/ ||
        op[1] == "allint" && op[2] ~ /^#/) {
        return op[1] " " op[2]
    } else if (m == "mrs" && op[2] ~ /^(daif|allint)$/) {
        return m " " op[2] " " op[1]
    } else if (m == "msr" && op[1] ~ /^(daif|allint)$/) {
        return m " " op[1] " " op[2]
    }
    return m == "msr" && op[2] !~ /^#/ && op[1] !~ /^s0_/ ? "context" : "plain"
}

function exclusive(m,    size, text, i) {
    i = m ~ /^st/ ? 2 : 1
    size = m ~ /b$/ ? 1 : m ~ /h$/ ? 2 : op[i] ~ /^x/ ? 8 : 4
    text = (m ~ /^st/ ? "store " : "load ") size
    for (i = 1; i <= count; i++) {
        text = text " " op[i]
    }
    return text
}

# FEAT_CMPBR: cb<cc>, and cbb<cc> and cbh<cc> for bytes and halfwords
function compare_branch(m,    cc, bits) {
    features["FEAT_CMPBR"]
    cc = cond[substr(m, length(m) - 1)]
    if (op[2] ~ /^#/) {
        return "imm " cc " " op[1] " " op[2] " " op[3]
    }
    bits = m ~ /^cbb/ ? 8 : m ~ /^cbh..$/ ? 16 : op[1] ~ /^x/ ? 64 : 32
    return "reg " cc " " bits " " op[1] " " op[2] " " op[3]
}

# What objdump shows, as arm-step-dump describes it
function shown(text,    m) {
    sub(/ *\/\/.*/, "", text)
    m = text
    sub(/\t.*/, "", m)
    sub(/ *$/, "", m)
    sub(/^[^\t]*\t*/, "", text)
    gsub(/[][ ]/, "", text)
    count = split(text, op, ",")
    if (m == "b" || m == "bl") {
        return "b " (m == "bl" ? 1 : 0) " " op[1]
    } else if (m ~ /^bc?\.../) {
        return "flags " cond[substr(m, length(m) - 1)] " " op[1]
    } else if (m ~ /^cbn?z$/) {
        return "imm " (m == "cbnz" ? 1 : 0) " " op[1] " #0 " op[2]
    } else if (m ~ /^cb[bh]?(eq|ne|gt|ge|lt|hi|hs|lo)$/) {
        return compare_branch(m)
    } else if (m ~ /^reta[ab]sppcr?$/) {
        # The operand tells what to authenticate X30 with
        features["FEAT_PAuth_LR"]
        return "to-reg 0 1 x30"
    } else if (m ~ /^tbn?z$/) {
        return "bit " (m == "tbnz" ? 1 : 0) " " op[1] " " op[2] " " op[3]
    } else if (m ~ /^(br|blr|ret)(a[ab]z?)?$/) {
        return "to-reg " (m ~ /^bl/ ? 1 : 0) " " (m ~ /a[ab]z?$/ ? 1 : 0) " " \
               (count ? op[1] : "x30")
    } else if (m ~ /^eret(a[ab])?$/) {
        return "eret " (m == "eret" ? 0 : 1)
    } else if (m ~ /^(svc|hvc|smc|brk|hlt|udf|wfit|wfet)$/) {
        return m " " op[1]
    } else if (m ~ /^(drps|wfi|wfe|yield|clrex)$/) {
        return m
    } else if (m ~ /^(ldxr|ldaxr|stxr|stlxr)[bh]?$/ ||
               m ~ /^(ldxp|ldaxp|stxp|stlxp)$/) {
        return exclusive(m)
    } else if (m ~ /^(ldtxr|ldatxr|sttxr|stltxr)$/) {
        features["FEAT_LSUI"]
        return exclusive(m)
    } else if (m == "mrs" || m == "msr") {
        return move(m)
    }
    if (m == "gicr") {
        # A sysl; binutils 2.47 has the name at the sys of the same numbers
        return line[words] ~ /^d50/ ? "context" : "plain"
    }
    return m in context ? "context" : "plain"
}

function fail() {
    if (failed++ < 50) {
        print line[words] " | " text > "/dev/stderr"
    }
}

function skip(why) {
    skipped[why]++
}

function new(feature, what) {
    skip("not in objdump: " what " (" feature ")")
    unknown_of[feature]++
}

# ldtxr and the like: objdump wants one in bits that should be one
function unknown_exclusive(word, description) {
    if (should_be_one(word, description ~ /^load/)) {
        new("FEAT_LSUI", "ldtxr and so on")
    } else {
        skip("bits of ldtxr and so on that should be one are not " \
             "(FEAT_LSUI)")
    }
}

# Bits 14:10, and of a load bits 20:16
function should_be_one(word, is_load,    low) {
    low = index("0123456789abcdef", substr(word, 5, 1)) - 1
    if (low % 8 != 7 || substr(word, 6, 1) !~ /[c-f]/) {
        return 0
    }
    return !is_load || substr(word, 3, 2) ~ /[13579bdf]f/
}

function unknown(word, description) {
    if (description == "plain" || description == "context") {
        skip("plain, and not in objdump")
    } else if (word ~ /^[7f][45]/) {
        new("FEAT_CMPBR", "cb<cc> and so on")
    } else if (word ~ /^[8c]9/) {
        unknown_exclusive(word, description)
    } else if (word ~ /^(55|d65f)/) {
        new("FEAT_PAuth_LR", "retaasppc and so on")
    } else {
        fail()
    }
}

function compare(    word, description) {
    word = substr(line[words], 1, 8)
    description = substr(line[words], 10)
    if (text ~ /^\.inst/) {
        unknown(word, description)
    } else if (shown(text) == description) {
        passed++
        known += description != "plain"
    } else {
        fail()
    }
}

FNR == NR {
    line[NR - 1] = $0
    next
}

/^ *[0-9a-f]+:\t/ {
    text = $0
    sub(/^[^\t]*\t[^\t]*\t/, "", text)
    compare()
    words++
}

END {
    if (words != n) {
        print "objdump shows " words " words instead of " n
        failed++
    }
    for (feature in features) {
        if (unknown_of[feature]) {
            print "objdump knows " feature ", but not " \
                  unknown_of[feature] " words that are described"
            failed++
        }
    }
    for (why in skipped) {
        print skipped[why] " skipped: " why
    }
    print passed + 0 " passed, " known + 0 " of them not plain, " \
          failed + 0 " failed"
    exit failed != 0 || !known
}' "$dir/described" "$dir/disassembled"
