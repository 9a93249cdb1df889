# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shared by the scripts here: where things are kept, messages, progress,
# checks of the machine, the tiers, and running a command inside the tools tier.
#
# A script sets `set -euo pipefail`, sources this, and may then use:
#   $repo   this repository            $cache  everything that we make
#   $logs   one log for each step      $me     the script's name, for messages

me=${0##*/}
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -n "${QGD_CACHE:-}" ]; then
    cache=$QGD_CACHE
elif [ "$(id -u)" = 0 ]; then
    cache=/var/cache/qemu-guest-debug
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/qemu-guest-debug
fi
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac
case $cache in
*[[:space:]:]*)
    echo "$me: $cache: has a space or a colon: set QGD_CACHE to another directory" >&2
    exit 1
    ;;
esac
logs=$cache/log

# ---- messages ----------------------------------------------------------

# die WHAT-FAILED WHAT-TO-DO: one line, exit 1
die() {
    clear_line
    printf '%s: %s: %s\n' "$me" "$1" "$2" >&2
    exit 1
}

warn() {
    clear_line
    printf '%s: %s\n' "$me" "$1" >&2
}

# say TEXT: a progress line, with the seconds since the first script started
say() {
    clear_line
    printf '[%4d s] %s\n' "$(elapsed)" "$1" >&2
}

elapsed() {
    export QGD_START=${QGD_START:-$(date +%s)}
    echo $(($(date +%s) - QGD_START))
}

clear_line() {
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# last_line FILE: what a long step is doing now ([n/m] of ninja, a line of apt)
last_line() {
    tail -c 4096 "$1" | tr '\r\t' '\n ' | tr -dc '\n -~' |
        grep -v '^ *$' | tail -n 1 | cut -c "1-${2:-100}"
}

heartbeat() {
    local what=$1 log=$2 since=$3 now line width=100
    now=$(date +%s)
    if [ -t 2 ]; then
        width=$((${COLUMNS:-80} - ${#what} - 14))
        [ "$width" -ge 10 ] || width=10
        line=$(last_line "$log" "$width") || line=
        printf '\r\033[K[%4d s] %s: %s' "$(elapsed)" "$what" "$line" >&2
    elif [ $(((now - since) % 15)) = 14 ]; then
        line=$(last_line "$log" "$width") || line=
        say "$what: $line"
    fi
}

# The running step, for kill_step.
step_pid=

kill_step() {
    [ -z "$step_pid" ] || kill -TERM "$step_pid" 2>/dev/null || true
    step_pid=
}

# run_script CMD...: run another script here so that a signal to this one ends
# both at once (bash would wait for one in the foreground)
run_script() {
    local status=0
    "$@" &
    step_pid=$!
    wait "$step_pid" || status=$?
    step_pid=
    return "$status"
}

# try_step WHAT LOG CMD...: run CMD with its output in $logs/LOG, show that it
# lives; CMD's status.  What failed is for the caller to say.
# CMD may be a function; it runs in a subshell, where `set -e` may not hold.
try_step() {
    local what=$1 log=$logs/$2 since status=0
    shift 2
    mkdir -p "$logs"
    local beat=
    since=$(date +%s)
    say "$what"
    { trap - ERR; "$@"; } </dev/null >"$log" 2>&1 &
    step_pid=$!
    while kill -0 "$step_pid" 2>/dev/null; do
        sleep 0.1
        if [ "$(date +%s)" != "$beat" ]; then
            beat=$(date +%s)
            heartbeat "$what" "$log" "$since"
        fi
    done
    wait "$step_pid" || status=$?
    step_pid=
    [ "$status" = 0 ] || return "$status"
    say "$what: done in $(($(date +%s) - since)) s"
}

# run_step WHAT LOG CMD...: the same; on failure the last 20 lines, too, and
# where the log is
run_step() {
    local status=0
    try_step "$@" || status=$?
    [ "$status" != 0 ] || return 0
    say "$1: FAILED (status $status); the end of $logs/$2:"
    tail -n 20 "$logs/$2" >&2
    return "$status"
}

# ---- checks ------------------------------------------------------------

# need_namespaces: not root: may this user have what as_root needs?
need_namespaces() {
    local user
    [ "$(id -u)" != 0 ] || return 0
    user=$(id -un)
    command -v newuidmap >/dev/null ||
        die "not run as root, and no newuidmap here" "as root: apt-get install uidmap; or run this as root"
    { grep -qs "^\($user\|$(id -u)\):" /etc/subuid &&
        grep -qs "^\($user\|$(id -u)\):" /etc/subgid; } ||
        die "$user has no range of user ids in /etc/subuid and /etc/subgid" \
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $user"
    as_root true 2>/dev/null ||
        die "this machine lets $user make no user namespace" \
            "run this as root, or see kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces in sysctl"
}

need_amd64() {
    local arch
    arch=$(uname -m)
    [ "$arch" = x86_64 ] ||
        die "this machine is $arch" "the tools tier is for amd64; elsewhere build the tree of qemu up by hand"
}

need_debian() {
    local id codename
    id=$(os_release ID)
    codename=$(os_release VERSION_CODENAME)
    case $id/$codename in
    debian/bookworm | debian/trixie) ;;
    *) warn "tested on Debian 12 and 13, this is ${id:-unknown} ${codename:-}; going on" ;;
    esac
}

os_release() {
    sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" /etc/os-release 2>/dev/null
}

# need_space [GB]: is that much free where $cache is?
need_space() {
    local dir=$cache free
    [ -n "$1" ] || return 0
    while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
    free=$(df -Pk "$dir" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$1" ] ||
        die "only $free GB free in $dir, $1 GB needed" \
            "free some, or set QGD_CACHE to a directory with room"
}

# need_tools COMMAND[:PACKAGE]...: is it there?
need_tools() {
    local tool
    for tool; do
        command -v "${tool%%:*}" >/dev/null ||
            die "no ${tool%%:*} here" "apt-get install ${tool##*:}"
    done
}

# lock_cache: one run at a time in $cache.  Scripts that we call inherit it.
lock_cache() {
    [ -z "${QGD_LOCKED:-}" ] || return 0
    { mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null ||
        die "cannot write $cache" "set QGD_CACHE to a directory that you may write"
    exec {lock_fd}<>"$cache/lock"
    if ! flock -n "$lock_fd"; then
        say "waiting: another run (process $(head -n 1 "$cache/lock")) is using $cache"
        flock "$lock_fd"
    fi
    echo $$ >"$cache/lock"
    export QGD_LOCKED=$$
}

# ---- tiers -------------------------------------------------------------

# What each consists of.  QGD_TIERS: another file, for the tests.
tiers_file=${QGD_TIERS:-$repo/scripts/tiers}

# Raise when buildroot makes something else from the same packages.
tier_recipe=4

# tier_field TIER FIELD: its value in the file of tiers.  NAME@SUITE is NAME, of
# exactly that suite.
tier_field() {
    awk -v tier="${1%@*}" -v field="$2" '
        { sub(/#.*/, "") }
        $1 == "suites" { suites = $0; sub(/^suites */, "", suites) }
        $1 == "tier" {
            mine = 0
            for (i = 2; i <= NF; i++) if ($i == tier) mine = found = 1
            next
        }
        mine && $1 == field { $1 = ""; value = value $0 }
        END {
            if (!found) exit 1
            if (field == "suites") value = suites
            sub(/^ */, "", value); print value
        }' "$tiers_file"
}

# tier_suites TIER: where to look for it, in this order
tier_suites() {
    case $1 in
    *@*) echo "${1#*@}" ;;
    *) tier_field "$1" suites ;;
    esac
}

# tier_arch TIER: guest-arm64 is of arm64; a name without one is this machine's
tier_arch() {
    local name=${1%@*}
    case $name in
    *-*) echo "${name##*-}" ;;
    *) dpkg --print-architecture ;;
    esac
}

need_tier() {
    tier_field "$1" how >/dev/null ||
        die "no tier $1" "the tiers are: $(tier_names)"
}

tier_names() {
    sed -n 's/^tier //p' "$tiers_file" | xargs
}

# tier_dir TIER: where it is, or will be
tier_dir() {
    local key
    key=$({
        echo "$tier_recipe $(tier_suites "$1")"
        tier_field "$1" how
        tier_field "$1" packages
    } | sha256sum | cut -c 1-12)
    echo "$cache/$1-$key"
}

# tier_contents TIER: changes when what is in it does: the same packages may come
# in other versions
tier_contents() {
    sha256sum "$(tier_dir "$1")/.tier" | cut -c 1-12
}

# cache_path PATH: a path below $cache, as the tools tier sees it
cache_path() {
    echo "/cache${1#"$cache"}"
}

# as_root CMD...: as root; or, for a user, as the root of a user namespace: there
# the user's files are root's, and other owners are the user's ids of /etc/subuid.
# With mounts and processes of its own: when CMD ends, the kernel ends what it
# left behind.
as_root() {
    local users=()
    [ "$(id -u)" = 0 ] || users=(--user --map-auto --map-root-user)
    run_dying_with_us unshare "${users[@]}" --mount --pid --fork --kill-child "$@"
}

# The first process in the new namespaces: mount, then run the command.  The root is
# a mount itself, so that unshare works in it, too.  A mount in a user namespace must
# keep the flags of the one below.
# shellcheck disable=SC2016
enter='
set -eu
root=$1 repo=$2 cache=$3 binds=$4
shift 4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount --bind "$cache" "$root/cache"
mount --bind "$repo" "$root/repo"
flags=$(findmnt -no VFS-OPTIONS "$root/repo" | tail -n 1)
mount -o "remount,bind,ro,${flags#r?}" "$root/repo"
for file in /etc/resolv.conf /etc/hosts; do
    if [ -e "$file" ]; then mount --bind "$(readlink -f "$file")" "$root$file"; fi
done
for bind in $binds; do
    mount --bind "${bind%%:*}" "$root${bind#*:}"
done
chroot "$root" "$@"
'

# in_root [--bind DIR:DIR-IN-ROOT]... [--dir DIR-IN-ROOT] CMD...: run CMD in the
# tools tier, with this repository at /repo (read-only) and $cache at /cache, where
# the other tiers are.  The network is the machine's.
in_root() {
    local binds='' dir=/ proxy=() name
    while :; do
        case $1 in
        --bind) binds="$binds $2" ;;
        --dir) dir=$2 ;;
        *) break ;;
        esac
        shift 2
    done
    for name in http_proxy https_proxy no_proxy QGD_JOBS; do
        [ -z "${!name:-}" ] || proxy+=("$name=${!name}")
    done
    # shellcheck disable=SC2016
    as_root sh -c "$enter" enter "$(tier_dir tools)" "$repo" "$cache" "$binds" \
        env -i "${proxy[@]}" HOME=/root LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 \
        GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
        CCACHE_DIR=/cache/ccache CCACHE_MAXSIZE=2G CCACHE_COMPILERCHECK=content \
        sh -c 'cd "$1" && shift && exec "$@"' in_root "$dir" "$@"
}

# What in_root takes for pytest in tests/, whose lines have room for a test's failure
pytest=(--dir /repo/tests env COLUMNS=150 python3 -m pytest)

# Killed together with the script, however the script ends.  In a subshell
# (run_step) it takes the subshell's place, so that the script is its parent.
run_dying_with_us() {
    if [ "$BASHPID" != $$ ]; then
        exec setpriv --pdeathsig KILL "$@"
    fi
    setpriv --pdeathsig KILL "$@"
}

# rm_tree DIR...: remove what we made; never goes into something mounted there.
# The tools tier has files that are not the user's own.
rm_tree() {
    rm -rf --one-file-system -- "$@" 2>/dev/null ||
        (as_root rm -rf --one-file-system -- "$@")
}

# A command that nobody expected to fail must not end the script in silence.
set -E
trap 'warn "internal error at ${BASH_SOURCE[0]##*/}:$LINENO ($BASH_COMMAND): see the output above"' ERR

# Leave nothing behind, whatever ends the script.
trap kill_step EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
elapsed >/dev/null
