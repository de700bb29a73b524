#!/bin/sh
# Makes the snapshots in this directory anew: capture.sh HWINVENTORY [KIND...], a static binary, and q35, sas, ibft or rack. QEMU_ACCEL
# is the accelerator. Beside the snapshot of `rack` stands what other programs say of the same machine, in the guest: rack.tar.zst
# is not redacted (nothing in it is anybody's), so that names can be compared, too.
set -eu
binary=$(realpath "$1")
shift
wanted=${*:-q35 sas ibft rack}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
accel=${QEMU_ACCEL:-tcg,thread=multi}

package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
apt-get -q download "$package" >/dev/null 2>&1
dpkg-deb -x "$package"_*.deb kernel
release=$(ls kernel/lib/modules)
depmod -b kernel "$release"

mkdir -p root/proc root/sys root/dev root/run root/mods
gcc -static -O1 -o root/init "$here/init.c"
strip -o root/hwinventory "$binary"
modules="virtio_pci nvme ahci sd_mod sr_mod virtio_blk virtio_scsi virtio_net e1000e vmxnet3 megaraid_sas mptsas xhci_pci uas
    usb_storage ipmi_si ipmi_devintf tpm_tis tpm_crb efivarfs i6300esb ext4 af_packet
    dm_multipath dm_service_time nfit nd_pmem cxl_acpi cxl_pci cxl_mem cxl_port iscsi_ibft"
for module in $modules; do
    modprobe -d "$work/kernel" -S "$release" --show-depends "$module" 2>/dev/null | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" root/mods/
    basename "$file" >>root/mods/list
done
(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1 >../initrd.gz)

# The oracles are this system's programs, with their libraries and lists of names.
for program in sh ipmitool nvme lspci lsblk lscpu dmidecode dmsetup tar cat sleep mkdir; do
    found=$(command -v $program)
    for file in "$found" $(ldd "$found" | grep -o '/[^ ]*'); do
        mkdir -p "root$(dirname "$file")" && cp -Ln "$file" "root$file"
    done
done
for file in /usr/share/misc/pci.ids; do
    mkdir -p "root$(dirname "$file")" && cp -L "$file" "root$file"
done
cp "$here/oracles.sh" root/
(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1 >../oracles.gz)
python3 "$here/fru.py" >fru.bin

for disk in ext4 gpt blank scsi raid usb; do truncate -s 64M $disk.img; done
truncate -s 1G native.img
truncate -s 10M cdrom.img
mkfs.ext4 -q -L rootfs ext4.img
printf 'label: gpt\nsize=20M,name=esp,type=uefi\nsize=20M,name=data\n' | sfdisk -q gpt.img
for disk in ext4 gpt blank scsi raid usb native; do
    drives="${drives:-} -drive file=$disk.img,if=none,id=$disk,format=raw"
done

# machine NAME ARGUMENT...: under SeaBIOS as NAME-bios, under OVMF as NAME-uefi. The NIC `dark` has no carrier.
machine() {
    kind=$1
    shift
    case " $wanted " in *" $kind "*) ;; *) return 0 ;; esac
    rm -rf tpm && mkdir tpm
    snapshot "$kind-bios" "$@"
    cp /usr/share/OVMF/OVMF_VARS_4M.fd vars.fd
    rm -rf tpm && mkdir tpm
    snapshot "$kind-uefi" "$@" -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
        -drive if=pflash,format=raw,file=vars.fd
}

snapshot() {
    name=$1
    shift
    swtpm socket --tpm2 --tpmstate dir=tpm --ctrl type=unixio,path=tpm/sock --terminate &
    tpm=$!
    while [ ! -S tpm/sock ]; do sleep 0.1; done
    # shellcheck disable=SC2086
    echo set_link dark off | timeout 600 qemu-system-x86_64 -accel "$accel" -cpu max -machine q35 -display none \
        -no-reboot -monitor stdio ${boot:--kernel kernel/boot/vmlinuz-$release -initrd ${initrd:-initrd.gz}} \
        -serial "file:$name.log" -serial "file:$name.tar.zst" -serial "file:$name.oracles" $drives "$@" >/dev/null
    # A machine without a TPM has not asked for it.
    kill "$tpm" 2>/dev/null || true
    wait "$tpm" 2>/dev/null || true
    # OVMF clears the screen on this port too, before zstd's magic.
    at=$(LC_ALL=C grep -abo "$(printf '\050\265\057\375')" "$name.tar.zst" | head -n 1 | cut -d : -f 1)
    tail -c "+$((at + 1))" "$name.tar.zst" >"$here/$name.tar.zst"
}

machine q35 -smp 4,sockets=2,cores=2 -m 1024 -append "console=ttyS0 quiet panic=1 BOOTIF=01-52-54-00-00-00-01" \
    -object memory-backend-ram,id=m0,size=512M -object memory-backend-ram,id=m1,size=512M \
    -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,cpus=2-3,memdev=m1 \
    -device nvme,id=nv0,serial=NVME0001 \
    -device nvme-ns,drive=ext4,bus=nv0,nsid=1,eui64=0x0025385981b12345 \
    -device nvme-ns,drive=native,bus=nv0,nsid=2,logical_block_size=4096,physical_block_size=4096 \
    -device ide-hd,drive=gpt,bus=ide.0,serial=SATA12345,wwn=0x5000c500a1b2c3d4,rotation_rate=7200,model=BURINDISK \
    -drive file=cdrom.img,if=none,id=cdrom,format=raw,media=cdrom,readonly=on -device ide-cd,drive=cdrom,bus=ide.1 \
    -device virtio-blk-pci,drive=blank,serial=VBLK0001 \
    -device virtio-scsi-pci,id=vs -device scsi-hd,drive=scsi,bus=vs.0,serial=SCSI0001,wwn=0x5000c500deadbeef \
    -device megasas,id=ms -device scsi-hd,drive=raid,bus=ms.0,serial=MEGA0001 \
    -device qemu-xhci -device usb-storage,drive=usb,serial=USB00001,removable=on \
    -netdev user,id=n0,restrict=on -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01,romfile= \
    -netdev user,id=n1,restrict=on -device virtio-net-pci,id=dark,netdev=n1,mac=52:54:00:00:00:02,romfile= \
    -netdev user,id=n2,restrict=on -device e1000e,netdev=n2,mac=52:54:00:00:00:03,romfile= \
    -netdev user,id=n3,restrict=on -device vmxnet3,netdev=n3,mac=52:54:00:00:00:04,romfile= \
    -device ipmi-bmc-sim,id=bmc -device isa-ipmi-kcs,bmc=bmc \
    -smbios type=0,vendor=BurinBIOS,version=1.2,date=01/02/2026 \
    -smbios type=1,manufacturer=Burin,product=TestRig,serial=SYS0001,uuid=00112233-4455-6677-8899-aabbccddeeff \
    -smbios type=17,loc_pfx=DIMM_A,manufacturer=Micron,serial=DIMMSN1,part=PN-1,speed=3200

machine sas -smp 2 -m 768 -append "console=ttyS0 quiet panic=1" \
    -chardev socket,id=tpm,path=tpm/sock -tpmdev emulator,id=t0,chardev=tpm -device tpm-tis,tpmdev=t0 \
    -device mptsas1068,id=ms -device scsi-hd,drive=raid,bus=ms.0,serial=SASDISK1,wwn=0x5000c50012345678 \
    -device virtio-blk-pci,drive=blank \
    -netdev user,id=n0,restrict=on -device e1000e,id=dark,netdev=n0,mac=52:54:00:00:00:11,romfile= \
    -netdev user,id=n1,restrict=on -device virtio-net-pci,netdev=n1,mac=52:54:00:00:00:12,romfile= \
    -device i6300esb -action watchdog=none

# Started by iPXE, which has hooked a disk of an iSCSI target and leaves the boot firmware table in memory.
ibft() {
    cp "kernel/boot/vmlinuz-$release" vmlinuz
    truncate -s 64M lun.img
    cat >ibft.ipxe <<-'IPXE'
		#!ipxe
		dhcp
		set initiator-iqn iqn.2026-11.example.burin:machine
		set username booter
		set password not-for-anybody
		sanhook --drive 0x80 iscsi:10.0.2.2:::1:iqn.2026-11.example.burin:disk
		kernel vmlinuz console=ttyS0 quiet panic=1
		initrd initrd.gz
		boot
	IPXE
    tgtd -f -C 17 --iscsi portal=127.0.0.1:3260 &
    target=$!
    while ! tgtadm -C 17 --op show --mode system >/dev/null 2>&1; do sleep 0.1; done
    tgtadm -C 17 --lld iscsi --op new --mode target --tid 1 -T iqn.2026-11.example.burin:disk
    tgtadm -C 17 --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b "$work/lun.img"
    tgtadm -C 17 --lld iscsi --op bind --mode target --tid 1 -I ALL
    tgtadm -C 17 --lld iscsi --op new --mode account --user booter --password not-for-anybody
    tgtadm -C 17 --lld iscsi --op bind --mode account --tid 1 --user booter
    rm -rf tpm && mkdir tpm
    drives='' boot="-boot n" snapshot ibft -smp 1 -m 768 -netdev "user,id=n0,tftp=$work,bootfile=ibft.ipxe" \
        -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:1b -device virtio-net-pci,id=dark,mac=52:54:00:00:00:1c,romfile=
    kill -9 "$target"
}
case " $wanted " in *" ibft "*) ibft ;; esac

# Paths to one disk, an NVMe subsystem with two controllers, a BMC with events and a FRU, an NVDIMM, CXL memory.
case " $wanted " in *" rack "*) ;; *) exit 0 ;; esac
truncate -s 128M nvdimm.img
truncate -s 256M cxl.img lsa.img
rm -rf tpm && mkdir tpm
drives=
for disk in ext4 scsi gpt; do drives="$drives -drive file=$disk.img,if=none,id=$disk,format=raw"; done
initrd=oracles.gz snapshot rack -machine q35,nvdimm=on,cxl=on -smp 4,sockets=2,cores=1,threads=2 -m 1024M,slots=2,maxmem=4G \
    -append "console=ttyS0 quiet panic=1 oracles" \
    -drive file=scsi.img,if=none,id=path,format=raw,file.locking=off \
    -device virtio-scsi-pci,id=va -device scsi-hd,drive=scsi,bus=va.0,serial=LUN00017,wwn=0x5000c500deadbe17,share-rw=on \
    -device virtio-scsi-pci,id=vb -device scsi-hd,drive=path,bus=vb.0,serial=LUN00017,wwn=0x5000c500deadbe17,share-rw=on \
    -device nvme-subsys,id=subsystem,nqn=rack17 \
    -device nvme,id=na,serial=DUAL0017,subsys=subsystem -device nvme,id=nb,serial=DUAL0017,subsys=subsystem \
    -device nvme-ns,drive=ext4,bus=na,nsid=1,shared=on,eui64=0x0025385981b12317 \
    -device ide-hd,drive=gpt,bus=ide.0,serial=SATA00017,wwn=0x5000c500a1b2c317,rotation_rate=7200,model=BURINDISK \
    -netdev user,id=n0,restrict=on -device e1000e,id=dark,netdev=n0,mac=52:54:00:00:00:17,romfile= \
    -device ipmi-bmc-sim,id=bmc,frudatafile=fru.bin,guid=00112233-4455-6677-8899-aabbccddee17 -device isa-ipmi-kcs,bmc=bmc \
    -object memory-backend-file,id=nv,share=on,mem-path=nvdimm.img,size=128M -device nvdimm,id=nv0,memdev=nv \
    -device pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1 -device cxl-rp,port=0,bus=cxl.1,id=rp0,chassis=0,slot=2 \
    -object memory-backend-file,id=cxlmem,share=on,mem-path=cxl.img,size=256M \
    -object memory-backend-file,id=lsa,share=on,mem-path=lsa.img,size=256M \
    -device cxl-type3,bus=rp0,memdev=cxlmem,lsa=lsa,id=cxl0 -machine cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G \
    -smbios type=1,manufacturer=Burin,product=Rack,serial=SYS0017,uuid=00112233-4455-6677-8899-aabbccddee17 \
    -smbios type=17,loc_pfx=DIMM_A,manufacturer=Micron,serial=DIMMSN17,part=PN-1,speed=3200
rm -rf said && mkdir said
tar -xf rack.oracles -C said
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - -C said . | zstd -19 -q -f -o "$here/rack.oracles.tar.zst"
