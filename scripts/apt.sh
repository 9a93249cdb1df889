# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sourced after lib.sh: packages and sources of any Debian suite, with this
# machine's own apt but with lists and archives in $cache.  What was fetched
# stays there, so that the same can be made again without a mirror:
#   $cache/apt/SUITE-ARCH   apt's configuration and lists (signatures checked)
#   $cache/archives         files as they came (hashes checked)
#
# The sources are derived from the machine's own; no mirror is named here.

archives=$cache/archives
retries=5

# ---- the machine's sources ---------------------------------------------

# sources_files: apt's source lists, as this machine's apt is configured
sources_files() {
    local list parts
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    find "$list" "${parts%/}" -maxdepth 1 -type f \
        \( -name '*.list' -o -name '*.sources' \) 2>/dev/null | sort || true
}

# one_line_entries FILE: "uri TAB suite TAB components TAB signed-by"
one_line_entries() {
    sed -e 's/#.*//' "$1" | awk -v OFS='\t' '
        $1 == "deb" {
            line = $0; key = ""
            if (match(line, /\[[^]]*\]/)) {
                n = split(substr(line, RSTART + 1, RLENGTH - 2), opt, " ")
                for (i = 1; i <= n; i++)
                    if (sub(/^signed-by=/, "", opt[i])) key = opt[i]
                sub(/\[[^]]*\]/, "", line)
            }
            n = split(line, f, " "); comps = ""
            for (i = 4; i <= n; i++) comps = comps " " f[i]
            print f[2], f[3], comps, key
        }'
}

# deb822_entries FILE: the same; a key written into the file has ~ for newlines
deb822_entries() {
    awk -v OFS='\t' '
        function flush_stanza(   n, m, i, j, u, s) {
            if (f["types"] ~ /(^| )deb( |$)/ && f["enabled"] !~ /^ *(no|false|0)/) {
                n = split(f["uris"], u, " "); m = split(f["suites"], s, " ")
                for (i = 1; i <= n; i++) for (j = 1; j <= m; j++)
                    print u[i], s[j], f["components"], f["signed-by"]
            }
            delete f
            name = ""
        }
        /^#/ { next }
        /^[ \t]*$/ { flush_stanza(); next }
        /^[ \t]/ {
            sub(/^[ \t]+/, ""); if ($0 == ".") $0 = ""
            f[name] = f[name] (name == "signed-by" ? "~" : " ") $0; next
        }
        {
            name = tolower(substr($0, 1, index($0, ":") - 1))
            value = substr($0, index($0, ":") + 1)
            gsub(/^[ \t]+|[ \t]+$/, "", value); f[name] = value
        }
        END { flush_stanza() }' "$1"
}

# own_entry: "uri TAB signed-by" of the entry that serves main of this release
own_entry() {
    local file
    sources_files | while read -r file; do
        case $file in
        *.sources) deb822_entries "$file" ;;
        *) one_line_entries "$file" ;;
        esac
    done | awk -F '\t' -v OFS='\t' -v codename="$(os_release VERSION_CODENAME)" '
        (" " $3 " ") !~ / main / { next }
        $2 == codename && !own { own = $1 OFS $4 }
        $2 ~ /^(stable|oldstable|testing|unstable|sid)$/ && !alias { alias = $1 OFS $4 }
        END { if (own) print own; else if (alias) print alias }'
}

# plain_uri URI: the first mirror of a list of mirrors
plain_uri() {
    case $1 in
    mirror+file:*) awk '$1 !~ /^#/ && NF && !n++ { print $1 }' "/${1#mirror+file:*/}" ;;
    *) echo "$1" ;;
    esac
}

# derive_sources: $cache/apt/uri and $cache/apt/key.* (if the entry has a key)
derive_sources() {
    local dir=$cache/apt entry key
    command -v apt-config >/dev/null || die "no apt here" "run this on Debian"
    eval "$(apt-config shell retries Acquire::Retries)"
    mkdir -p "$dir"
    entry=$(own_entry)
    [ -n "$entry" ] ||
        die "no apt source here serves main of $(os_release VERSION_CODENAME)" \
            "add your release's main archive to /etc/apt/sources.list.d"
    plain_uri "${entry%%$'\t'*}" >"$dir/uri"
    key=${entry#*$'\t'}
    rm -f "$dir"/key.*
    case $key in
    '') ;;
    *BEGIN*) tr '~' '\n' <<<"$key" | sed '/./,$!d' >"$dir/key.asc" ;;
    */*) cp "${key%%[ ,]*}" "$dir/key.${key##*.}" ;;
    *) warn "Signed-By $key is a fingerprint; relying on the archive keyring" ;;
    esac
}

# network_settings: how this machine's apt reaches the network
network_settings() {
    apt-config dump | grep -iE '^Acquire::(https?|ForceIPv[46])' || true
}

# ---- apt for another suite ---------------------------------------------

# use_suite SUITE ARCH: what `apt_of` uses from now on.  ARCH `source`: sources
use_suite() {
    of=$1 arch=$2
    apt_dir=$cache/apt/$of-$arch
    mkdir -p "$apt_dir/lists/partial" "$archives/partial"
    : >"$apt_dir/status"
    write_sources
    {
        cat <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$apt_dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$apt_dir/lists";
Dir::State::status "$apt_dir/status";
Dir::State::extended_states "$apt_dir/extended_states";
Dir::Cache::archives "$apt_dir";
Dir::Cache::pkgcache "$apt_dir/pkgcache.bin";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::ForceHash "SHA256";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
END
        network_settings
        [ "$arch" = source ] || cat <<END
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
END
    } >"$apt_dir/apt.conf"
}

# write_sources [OPTION...]: the entry of the suite
write_sources() {
    local file type=deb
    [ "$arch" != source ] || type=deb-src
    for file in "$cache"/apt/key.*; do
        [ ! -e "$file" ] || set -- "$@" "signed-by=$file"
    done
    echo "$type ${*:+[$*] }$(cat "$cache/apt/uri") $of main" >"$apt_dir/sources.list"
}

# apt_of PROGRAM ARGUMENT...: one of apt's, for the suite
apt_of() {
    LC_ALL=C APT_CONFIG="$apt_dir/apt.conf" run_dying_with_us "$1" \
        -o "Acquire::Retries=$retries" "${@:2}"
}

# update_lists: the lists of the suite; the kept ones if it cannot be reached.
# 1: $why says why not
update_lists() {
    local log=update-$of-$arch.log date
    try_step "package lists of $of ($arch)" "$log" apt_of apt-get update && return
    if grep -q 'is expired' "$logs/$log"; then
        say "$of: its Release file is past its Valid-Until date; used all the same, the signature is checked"
        write_sources check-valid-until=no
        try_step "package lists of $of ($arch)" "$log" apt_of apt-get update && return
    fi
    why=$(update_trouble "$logs/$log")
    date=$(sed -n 's/^Date: //p' "$apt_dir"/lists/*_InRelease 2>/dev/null | head -n 1)
    [ -n "$date" ] || return
    say "$of: $why; using the lists that the cache has, of $date"
    # it may take long, and what is needed may be here
    retries=0
}

# update_trouble LOG: one line of what apt said
update_trouble() {
    if grep -q 'No space left' "$1"; then
        echo "no space left in $cache"
    elif grep -qE 'NO_PUBKEY|not signed|[Ss]ignatures? (.* )?(invalid|could)|BADSIG|Missing key|OpenPGP' "$1"; then
        echo "the signature of its Release file is not valid, so it is not used"
    elif grep -q ' 404 ' "$1"; then
        echo "the archive answers 404 to its Release file or lists"
    elif grep -q 'does not have a Release file' "$1"; then
        echo "the archive has no Release file of it"
    else
        fetch_trouble "$1"
    fi
}

# fetch_trouble LOG: apt's first error
fetch_trouble() {
    local line
    line=$(grep -E '^(E|W): ' "$1" | sed -E 's/^(E|W): //' | head -n 1)
    echo "${line:-apt failed, see $1}"
}

# ---- files -------------------------------------------------------------

# A list of files, as here: lines "URI NAME SIZE SHA256:HASH" (size 0: not known)

# uris CMD...: what an apt command would fetch, as a list of files
uris() {
    apt_of "$@" --print-uris -qq | sed -n "s/^'\(.*\)' \([^ ]*\) \([0-9]*\) \(SHA256:[0-9a-f]*\)\$/\1 \2 \3 \4/p"
}

# good_files DIR LIST: those names in LIST whose file is whole in DIR
good_files() {
    awk '{ sub(/^SHA256:/, "", $4); print $4 "  " $2 }' "$2" |
        (cd "$1" && { sha256sum --check --ignore-missing 2>/dev/null || true; }) |
        sed -n 's/: OK$//p'
}

# absent_files LIST: those lines whose file is not whole in the archives
absent_files() {
    good_files "$archives" "$1" |
        awk 'part == 1 { good[$1]; next } !($2 in good)' part=1 - part=2 "$1"
}

# fetch_files WHAT LIST: get all of LIST into the archives.  1: $why says why not
fetch_files() {
    local what=$1 list=$2 log=fetch-$of-$arch.log absent=$apt_dir/absent args=() uri name hash
    rm -f "$logs/$log"
    absent_files "$list" >"$absent"
    while read -r uri name _ hash; do
        args+=("$uri" "$archives/partial/$name" "$hash")
    done <"$absent"
    [ ${#args[@]} != 0 ] || return 0
    try_step "fetching $what: $(files_size "$absent")" "$log" \
        apt_of /usr/lib/apt/apt-helper download-file "${args[@]}" || true
    good_files "$archives/partial" "$absent" | while read -r name; do
        # apt's way with a file: mirror
        [ ! -L "$archives/partial/$name" ] ||
            cp --remove-destination "$(readlink -f "$archives/partial/$name")" "$archives/partial/$name"
        mv "$archives/partial/$name" "$archives/$name"
    done
    why=$(absent_trouble "$absent" "$logs/$log")
    [ -z "$why" ]
}

files_size() {
    awk '{ size += $3 }
        END {
            printf "%d file%s", NR, NR == 1 ? "" : "s"
            if (size) printf ", %.1f MB", size / 1e6
        }' "$1"
}

# absent_trouble LIST LOG: why not all of LIST came; nothing if all did
absent_trouble() {
    local absent missing
    absent=$(absent_files "$1")
    [ -n "$absent" ] || return 0
    missing=$(sed -nE 's/^[EW]: Failed to fetch (\S+) +(404 |File not found).*/\1/p' "$2" |
        sed 's,.*/,,; s/%2b/+/g; s/_.*//' | sort -u | tr '\n' ' ')
    if grep -q 'No space left' "$2"; then
        echo "no space left in $cache"
    elif [ -n "$missing" ]; then
        echo "the archive answers 404 to ${missing% }"
    else
        fetch_trouble "$2"
    fi
}
