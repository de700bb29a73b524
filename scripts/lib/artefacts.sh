# shellcheck shell=bash
# What the demo and the tests boot: programs, netboot artefacts, disk image. Needs common.sh, packages.sh and cache.sh.

# The shipped profile: what is tested is what is shipped.
programs_dir() { echo "${CARGO_TARGET_DIR:-$BURIN_ROOT/target}/x86_64-unknown-linux-gnu/release"; }

build_programs() { (cd "$BURIN_ROOT" && cargo build --release --bins "$@" >&2); }

# Prints the directory of kernel, ramdisk and iPXE script made from the programs as they are built now.
netboot_artefacts() {
    local bin key kernel=linux-image-amd64
    bin=$(programs_dir)
    [ -n "$(candidate_version $kernel)" ] || quietly apt-get -q update
    key=$({
        sha256sum <"$bin/burin"
        sha256sum <"$bin/burin-initramfs"
        apt-cache depends $kernel
        candidate_version $kernel
        installed_versions ca-certificates systemd-boot-efi
    } | cache_key)
    # Level 9: a ramdisk that is thrown away is not worth the minute that the last few per cent cost.
    cached netboot "$key" "$bin/burin-initramfs" build --quiet --agent "$bin/burin" --kernel-package $kernel \
        --level 9 --cache "$(cache_root)/builder" --output
}

# Prints the directory of the Debian image and its description.
image_artefact() {
    local recipe=$BURIN_ROOT/scripts/lib/debian-image key
    key=$({
        cat "$recipe"
        installed_versions mmdebstrap e2fsprogs grub-pc-bin grub-efi-amd64-bin
    } | cache_key)
    cached debian-image "$key" "$recipe"
}
