# shellcheck shell=bash
# A directory of built things outside the source tree, each under the hash of what it was made from. Needs common.sh.

cache_root() { echo "${BURIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/burin}"; }

# The key of a recipe: a short hash over everything on stdin.
cache_key() { sha256sum | cut -c1-16; }

# Versions of installed packages, as part of a key.
installed_versions() { dpkg-query -W -f '${Package} ${Version}\n' "$@" 2>/dev/null || true; }

# cached NAME KEY COMMAND...: prints the directory that holds NAME built from KEY.
# When it is missing, COMMAND is run with an empty directory as last argument, and that directory is renamed into place:
# a half-built one is never seen, and a second builder waits for the first.
cached() {
    local name=$1 key=$2 root dir tmp lock
    shift 2
    root=$(cache_root)
    mkdir -p "$root"
    dir=$root/$name-$key
    exec {lock}>"$root/$name.lock"
    flock "$lock"
    if [ ! -d "$dir" ]; then
        # Under the lock, whatever half-built thing lies here was left by a builder that died.
        rm -rf --one-file-system "$root/.$name."*
        tmp=$(mktemp -d "$root/.$name.XXXXXX")
        chmod 755 "$tmp"
        if ! "$@" "$tmp" {lock}>&- >&2; then
            rm -rf --one-file-system "$tmp"
            return 1
        fi
        mv -T "$tmp" "$dir"
    fi
    touch "$dir"
    prune "$root" "$name"
    exec {lock}>&-
    echo "$dir"
}

# Checkouts that differ use their keys in turn: the last four stay, and whatever was used within the hour.
prune() {
    local root=$1 name=$2
    find "$root" -maxdepth 1 -type d -regex ".*/$name-[0-9a-f]+" -printf '%T@ %p\n' | sort -rn | tail -n +5 |
        cut -d' ' -f2- | while read -r old; do
        find "$old" -maxdepth 0 -mmin +60 -exec rm -rf --one-file-system {} +
    done
}
