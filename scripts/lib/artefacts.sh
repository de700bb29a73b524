# shellcheck shell=bash
# What the demo and the tests boot: programs, netboot artefacts, disk image. Needs common.sh, packages.sh and cache.sh.

# .cargo/config.toml names this machine's own target, so cargo puts its files below that name.
target_dir() { echo "${CARGO_TARGET_DIR:-$BURIN_ROOT/target}/$(rustc -vV | sed -n 's/^host: //p')"; }

# The agent in the profile it ships in: what is tested is what is shipped.
agent_path() { echo "$(target_dir)/release/burin"; }

# Builder, demo and controller run on this host only; linking them with LTO would take minutes for nothing.
tools_dir() { echo "$(target_dir)/debug"; }

# By the plain compiler, also where the tests' programs are linted as they are built: users build this one, too.
build_agent() { (cd "$BURIN_ROOT" && RUSTC_WORKSPACE_WRAPPER='' cargo build --release --package burin --bin burin >&2); }
build_tools() { (cd "$BURIN_ROOT" && cargo build --bins "$@" >&2); }

# Prints the directory of kernel, ramdisk and iPXE script made from the programs as they are built now. Of the programs that
# layouts need, those of LVM and LUKS go in where they are asked for.
netboot_artefacts() { # [NAME TOOLS]
    # Level 9: a ramdisk that is thrown away is not worth the minute that the last few per cent cost. scsi_debug is a SCSI
    # disk in the machine's memory, for tests; it is loaded only where the kernel command line says so.
    local agent builder key package kernel=linux-image-amd64 name=${1:-netboot}
    local options=(--module scsi_debug --tools "${2:-ext4,vfat,raid}" --level 9)
    agent=$(agent_path)
    builder=$(tools_dir)/burin-initramfs
    [ -n "$(candidate_version $kernel)" ] || quietly apt-get -q update
    key=$({
        sha256sum <"$agent"
        sha256sum <"$builder"
        echo "${options[@]}"
        apt-cache depends $kernel
        candidate_version $kernel
        # The packages of the tools, and of what they are linked with.
        for package in e2fsprogs dosfstools mdadm lvm2 cryptsetup-bin libc6 libblkid1 libuuid1 libudev1; do
            candidate_version $package
        done
        installed_versions ca-certificates systemd-boot-efi
    } | cache_key)
    cached "$name" "$key" "$builder" build --quiet --agent "$agent" --kernel-package $kernel \
        "${options[@]}" --cache "$(cache_root)/builder" --output
}

# Prints the directory of the small Debian, a tree and a disk of 4096-byte sectors, and their description.
tree_artefact() {
    local recipe=$BURIN_ROOT/scripts/lib/debian-tree key
    key=$({
        cat "$recipe"
        installed_versions mmdebstrap e2fsprogs dosfstools mtools fdisk
    } | cache_key)
    cached debian-tree "$key" "$recipe"
}

storage_netboot_artefacts() { netboot_artefacts storage-netboot ext4,xfs,vfat,swap,raid,lvm,luks; }

# The same with what starts from LVM and LUKS.
storage_tree_artefact() {
    local recipe=$BURIN_ROOT/scripts/lib/debian-tree key
    key=$({
        cat "$recipe"
        installed_versions mmdebstrap e2fsprogs dosfstools mtools fdisk
    } | cache_key)
    STORAGE=yes cached storage-tree "$key" "$recipe"
}

# Prints the directory of the Debian image and its description.
image_artefact() { # [NAME]
    local recipe=$BURIN_ROOT/scripts/lib/debian-image key
    key=$({
        cat "$recipe"
        installed_versions mmdebstrap e2fsprogs grub-pc-bin grub-efi-amd64-bin
    } | cache_key)
    cached "${1:-debian-image}" "$key" "$recipe"
}

# The same with mdadm, for one system on several disks.
mirror_image_artefact() { MIRROR=yes image_artefact mirror-image; }

# Prints the directory of the kernel package's modules with the index that depmod makes: lib/modules/RELEASE. Needs the
# package that netboot_artefacts has fetched.
modules_artefact() {
    local package dir
    package=$(find "$(cache_root)/builder" -maxdepth 1 -name 'linux-image-*.deb' | sort | tail -n 1)
    [ -n "$package" ] || die "no kernel package in $(cache_root)/builder"
    dir=$(cached modules "$(basename "$package" | cache_key)" index_modules "$package") || return
    echo "$dir"/lib/modules/*
}

index_modules() { # PACKAGE DIRECTORY
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" ./lib/modules
    depmod --basedir "$2" "$(basename "$2"/lib/modules/*)"
}
