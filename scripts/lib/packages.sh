# shellcheck shell=bash
# Which Debian packages each purpose needs, and how to get them. Needs common.sh.

packages_for() {
    case $1 in
        build) echo gcc libc6-dev libclang-dev libblkid-dev pkg-config ;;
        netboot) echo ca-certificates systemd-boot-efi zstd xz-utils ;;
        image) echo mmdebstrap debian-archive-keyring mtools dosfstools fdisk gdisk grub-common grub-pc-bin grub-efi-amd64-bin e2fsprogs zstd ;;
        vm) echo qemu-system-x86 ovmf ipxe-qemu seabios swtpm swtpm-tools gdisk fdisk xorriso mtools grub-common grub-pc-bin grub-efi-amd64-bin ;;
        test) echo zstd xz-utils pigz lz4 bzip2 qemu-utils cpio kmod dmidecode jq dnsmasq-base radvd lldpd iproute2 mdadm gdisk fdisk e2fsprogs xfsprogs btrfs-progs casync dosfstools mtools util-linux openssl curl minisign acl libarchive-tools python3 python3-venv xorriso hwloc-nox pciutils udev swtpm swtpm-tools tpm2-tools libtss2-tcti-swtpm0 sbsigntool tinyproxy-bin docker-registry skopeo umoci buildah age cryptsetup-bin lvm2 ;;
        # The libraries are those that coreos-installer is built with.
        bench) echo zstd pigz xz-utils curl qemu-utils libnbd-bin bmap-tools casync fio nginx-light mmdebstrap debian-archive-keyring gdisk e2fsprogs util-linux udev python3-venv libzstd-dev libssl-dev liblzma-dev pkg-config ;;
        *) die "no package list for '$1'; there are: bench build netboot image vm test" ;;
    esac
}

missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

candidate_version() {
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# qemu-utils of another release (backports, say) breaks this release's qemu-system-common:
# then both are asked for in the one version that fits.
pin_qemu() {
    local wanted=" $* " version installed
    case $wanted in *" qemu-system-x86 "* | *" qemu-utils "*) ;; *) echo "$@"; return ;; esac
    version=$(candidate_version qemu-system-x86)
    installed=$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null || true)
    if [ -z "$version" ] || [ -z "$installed" ] || [ "$installed" = "$version" ]; then
        echo "$@"
        return
    fi
    wanted=${wanted/ qemu-system-x86 / }
    wanted=${wanted/ qemu-utils / }
    echo "--allow-downgrades $wanted qemu-system-x86=$version qemu-utils=$version"
}

install_packages() {
    local purpose wanted=() missing=()
    for purpose in "$@"; do
        # shellcheck disable=SC2207 # package names have no spaces
        wanted+=($(packages_for "$purpose"))
    done
    # shellcheck disable=SC2207
    wanted=($(printf '%s\n' "${wanted[@]}" | sort -u))

    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "error: this is not Debian. Install what these Debian packages hold, by your own distribution's names:"
        say "    ${wanted[*]}"
        say "or run in a Debian 12 container or machine."
        exit 1
    fi
    # shellcheck disable=SC2207
    missing=($(missing_packages "${wanted[@]}"))
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "error: not root, and these packages are missing. Install them with"
        say "    sudo apt-get install --no-install-recommends ${missing[*]}"
        say "or run this script as root."
        exit 1
    fi
    if ! grep -qE '^(ID|ID_LIKE)=.*debian' "${BURIN_OS_RELEASE:-/etc/os-release}" 2>/dev/null; then
        say "error: this has apt but is not Debian. These packages are missing:"
        say "    ${missing[*]}"
        exit 1
    fi

    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local update=1
    # A package list of today is new enough.
    if [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then update=0; fi
    [ "$update" -eq 0 ] || quietly apt-get -q update
    # shellcheck disable=SC2046 # words are meant to split
    if ! quietly apt-get -q -y --no-install-recommends install $(pin_qemu "${missing[@]}"); then
        [ "$update" -eq 0 ] || exit 1
        say "trying again with fresh package lists"
        quietly apt-get -q update
        # shellcheck disable=SC2046
        quietly apt-get -q -y --no-install-recommends install $(pin_qemu "${missing[@]}")
    fi
}

# Debian 12 keeps a second, current Rust in its security archive, for its browsers.
DEBIAN_RUST=(rustc-web cargo-web rust-web-clippy rustfmt-web)

# cargo, clippy and rustfmt of at least the version that Cargo.toml asks for: rustup's where it is there, else Debian's.
need_cargo() {
    if ! command -v cargo >/dev/null || ! cargo --version >/dev/null 2>&1; then
        install_rust
    fi
    local found wanted
    found=$(rustc --version | awk '{ print $2 }')
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$BURIN_ROOT/Cargo.toml")
    if [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
        die "rustc is $found ($(command -v rustc)), burin needs $wanted: run 'rustup update stable', or remove that rustc and let this script install Debian's"
    fi
    command -v cc >/dev/null || die "no C compiler: install gcc"
}

install_rust() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "error: cargo is missing. On Debian 12 it is in the security archive:"
        say "    sudo apt-get install ${DEBIAN_RUST[*]}"
        say "elsewhere take it from https://rustup.rs. Then run this script again."
        exit 1
    fi
    say "installing ${DEBIAN_RUST[*]}"
    export DEBIAN_FRONTEND=noninteractive
    [ -n "$(candidate_version rustc-web)" ] || quietly apt-get -q update
    quietly apt-get -q -y --no-install-recommends install "${DEBIAN_RUST[@]}"
}
