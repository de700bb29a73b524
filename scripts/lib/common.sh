# shellcheck shell=bash
# What every script here shares: where things are, how to speak, how to fail.
# Source it; it changes nothing but shell options.

set -euo pipefail

BURIN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export BURIN_ROOT

# A user's PATH often lacks these two.
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
case ":$PATH:" in *:"$HOME"/.cargo/bin:*) ;; *) PATH=$PATH:$HOME/.cargo/bin ;; esac
export PATH

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# Run a command silently; show what it said only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        say "error: '$*' exited with status $status:"
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}
