#!/bin/sh
#
# Comparison of the description of prefixed PowerPC instructions with objdump
#
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: ppc-step-vs-objdump.sh PPC-STEP-DUMP [OBJDUMP [N [SEED]]]
#
# Compares length, whether it is a load or store and its address, paddi.
# Words that only one of the two knows are counted by reason; one that is
# described as raising any interrupt may be an instruction or not.

set -eu

dump=$1
objdump=${2:-powerpc64le-linux-gnu-objdump}
n=${3:-262144}
seed=${4:-1}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$dump" "$n" "$seed" "$dir/blob" > "$dir/described"
"$objdump" -b binary -m powerpc:common64 -M power10 -EB -D -z \
    "$dir/blob" > "$dir/disassembled"

awk -v n="$n" '
function fail(why) {
    if (failed++ < 50) {
        print why ": " line[pair] " | " text > "/dev/stderr"
    }
}

function skip(why) {
    skipped[why]++
}

# The bits of a hexadecimal digit
function digit(word, i) {
    return index("0123456789abcdef", substr(word, i, 1)) - 1
}

# Bits 9:10 and 12:13 of a prefix are reserved in 8LS and MLS
function reserved(word) {
    return digit(word, 3) % 8 >= 2 || digit(word, 4) >= 4
}

function compare(    type, is_load, is_paddi, shown) {
    split(line[pair], d, " ")
    split(text, t, " ")
    type = digit(d[1], 2) % 4
    if (d[3] != 8) {
        fail("length")
        return
    }
    if (t[1] == ".long") {
        if (d[4] == "any") {
            passed++
        } else if (type % 2 == 0 && reserved(d[1])) {
            skip("reserved prefix bits set, objdump wants 0; processors " \
                 "ignore them (Book I, 1.3.3)")
        } else if (d[1] ~ /^07[0-9a-f]/ && d[4] == "plain") {
            skip("pnop with reserved bits set, or with a suffix that is " \
                 "invalid for it (Book I, 1.6.3)")
        } else if (type == 2 && d[4] == "paddi" && rbit(d[1])) {
            skip("paddi with R = 1 and RA not 0: invalid form " \
                 "(Book I, 3.3.9)")
        } else if (type % 2 == 0 && d[4] == "plain" && rbit(d[1])) {
            skip("load or store with R = 1 and RA not 0: invalid form, " \
                 "no address (Book I, 3.3.2)")
        } else if (d[2] ~ /^e[0-3]/ && rt_is_ra(d[2])) {
            skip("plq with RTp = RA: invalid form (Book I, 3.3.4)")
        } else {
            fail("not in objdump")
        }
        return
    }
    is_load = t[1] ~ /^p(l|st)/ && t[1] !~ /^pl[ai]$/
    is_paddi = t[1] ~ /^(paddi|psubi|pl[ai])$/
    if (is_load != (d[4] == "load") || is_paddi != (d[4] == "paddi")) {
        fail("kind")
        return
    }
    if (is_load) {
        # "r1,DISP(RA)", or "r1,DISP" when it is relative to the address
        shown = t[2]
        sub(/^[^,]*,/, "", shown)
        sub(/^[0-9]+$|^-[0-9]+$/, "&(32)", shown)
        sub(/\(r/, "(", shown)
        if (shown != d[5] "(" d[6] ")") {
            fail("address")
            return
        }
        loads++
    }
    known++
    passed++
}

# RT, bits 6:10, and RA, bits 11:15
function rt_is_ra(word,    rt, ra) {
    rt = digit(word, 2) % 4 * 8 + int(digit(word, 3) / 2)
    ra = digit(word, 3) % 2 * 16 + digit(word, 4)
    return rt == ra
}

# R, bit 11
function rbit(word) {
    return digit(word, 3) % 2
}

FNR == NR {
    line[NR - 1] = $0
    next
}

/^ *[0-9a-f]+:\t/ {
    split($0, f, "\t")
    text = f[3]
    if (words % 2 == 0) {
        pair = words / 2
        compare()
        prefixed = text !~ /^\.long/
    } else if (prefixed != (f[3] == "")) {
        fail("length")
    }
    words++
}

END {
    if (words != 2 * n) {
        print "objdump shows " words " words instead of " 2 * n
        failed++
    }
    print known + 0 " known to both, " loads + 0 " of them loads or stores"
    for (why in skipped) {
        print skipped[why] " skipped: " why
    }
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed != 0 || !loads
}' "$dir/described" "$dir/disassembled"
