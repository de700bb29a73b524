//! Plants one fault after the other in a system that has none.

use crate::support::{ALL, Planted, codes, has, look, ramdisk};
use burin_inspect::report::Severity;
use burin_inspect::{CheckOptions, faults, page};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

fn tools() -> bool {
    ["mke2fs", "sfdisk", "mformat", "mcopy"].into_iter().all(has)
}

#[test]
fn a_clean_image_has_no_findings() {
    if !tools() {
        return;
    }
    let report = look(&Planted::clean().ext4(), &CheckOptions::default());
    assert_eq!(codes(&report), Vec::<&str>::new(), "{:#?}", report.findings);
    assert!(report.is_good() && report.not_looked_at.is_empty(), "{:?}", report.not_looked_at);
    let system = report.system.as_ref().unwrap();
    assert_eq!((system.name.as_str(), system.root.as_str()), ("Test Linux 1", "partition 2"));
    assert_eq!(system.consoles, ["tty0", "ttyS0"]);
    let kernel = &system.kernels[0];
    assert_eq!(kernel.ramdisk.as_ref().unwrap().compressions, ["none", "zstd"]);
    assert_eq!(kernel.drivers["NVMe"].ramdisk, ["nvme"]);
    assert_eq!(kernel.drivers["network cards"].root, ["igb"]);
    assert!(report.boot.uefi[0].fallback && report.boot.bios.is_none());
    assert_eq!(report.table.volumes[1].mounts, ["/"]);
    assert_eq!(report.table.volumes[0].uuid.as_deref(), Some("1234-ABCD"));
    let page = page(&report);
    assert!(page.contains("Test Linux 1") && page.contains("good: nothing was found"), "{page}");
}

type Plant = fn(&mut Planted);

/// Each code, and what it takes to have it.
const PLANTED: &[(&str, Plant)] = &[
    ("check.machine_id", |image| image.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n")),
    ("check.machine_id", |image| image.write("var/lib/dbus/machine-id", b"0123456789abcdef0123456789abcdef\n")),
    ("check.host_keys", |image| image.write("etc/ssh/ssh_host_ed25519_key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n")),
    ("check.password", |image| image.write("etc/shadow", b"root:$y$j9T$abc$def:1::::::\n")),
    ("check.password_empty", |image| image.write("etc/shadow", b"root::1::::::\n")),
    ("check.private_key", |image| image.write("home/user/.ssh/id_rsa", b"-----BEGIN RSA PRIVATE KEY-----\nx\n")),
    ("check.authorized_keys", |image| image.write("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA me\n")),
    ("check.host_identity", |image| {
        image.write("etc/iscsi/initiatorname.iscsi", b"InitiatorName=iqn.1993-08.org.debian:01:x\n")
    }),
    ("check.host_identity", |image| image.write("etc/nvme/hostnqn", b"nqn.2014-08.org.nvmexpress:uuid:x\n")),
    ("check.host_identity", |image| image.write("var/lib/dhcp/dhclient.eth0.leases", b"lease {}\n")),
    ("check.registered", |image| image.write("etc/pki/consumer/cert.pem", b"x")),
    ("check.registered", |image| image.write("etc/salt/pki/minion/minion.pem", b"x")),
    ("check.random_seed", |image| image.write("var/lib/systemd/random-seed", b"0123456789")),
    ("check.hostname", |image| image.write("etc/hostname", b"builder-17\n")),
    ("check.lvm_devices", |image| image.write("etc/lvm/devices/system.devices", b"IDTYPE=x\n")),
    ("check.mdadm_home", |image| image.write("etc/mdadm/mdadm.conf", b"ARRAY /dev/md0 UUID=1\n")),
    ("check.nic_mac", |image| {
        image.write(
            "etc/udev/rules.d/70-persistent-net.rules",
            b"SUBSYSTEM==\"net\", ATTR{address}==\"52:54:00:12:34:56\", NAME=\"eth0\"\n",
        );
    }),
    ("check.nic_mac", |image| {
        image.write(
            "etc/netplan/50.yaml",
            b"network:\n  ethernets:\n    a:\n      match: {}\n      macaddress: 52:54:00:12:34:56\n",
        );
    }),
    ("check.nic_mac", |image| image.write("etc/sysconfig/network-scripts/ifcfg-x", b"HWADDR=\"52:54:00:12:34:56\"\n")),
    ("check.nic_mac", |image| {
        image.write(
            "etc/NetworkManager/system-connections/w.nmconnection",
            b"[ethernet]\nmac-address=52:54:00:12:34:56\n",
        );
    }),
    ("check.nic_mac", |image| image.write("etc/systemd/network/10.link", b"[Match]\nMACAddress=52:54:00:12:34:56\n")),
    ("check.nic_name", |image| {
        image.write("etc/netplan/50.yaml", b"network:\n  ethernets:\n    ens3:\n      dhcp4: true\n")
    }),
    ("check.nic_name", |image| image.write("etc/network/interfaces", b"auto ens3\niface ens3 inet dhcp\n")),
    ("check.nic_name", |image| {
        image.write("etc/systemd/network/20.network", b"[Match]\nName=enp1s0\n[Network]\nDHCP=yes\n")
    }),
    ("check.nic_name", |image| {
        image.write("etc/sysconfig/network-scripts/ifcfg-eth0", b"DEVICE=eth0\nBOOTPROTO=dhcp\n")
    }),
    ("check.fstab_device", |image| image.write("etc/fstab", b"/dev/vda2 / ext4 defaults 0 1\n")),
    ("check.fstab_device", |image| {
        image.write("etc/fstab", b"/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part2 / ext4 defaults 0 1\n")
    }),
    ("check.fstab_device", |image| image.write("etc/crypttab", b"data /dev/sdb1 none\n")),
    ("check.fstab_unknown", |image| {
        image.write("etc/fstab", b"UUID=00000000-1111-2222-3333-444444444444 /srv ext4 defaults 0 2\n");
    }),
    ("check.root_device", |image| {
        image.write("boot/grub/grub.cfg", b"linux /vmlinuz root=/dev/sda1 ro console=ttyS0\n")
    }),
    ("check.root_device", |image| {
        image.write("boot/loader/entries/a.conf", b"title x\noptions root=/dev/nvme0n1p2 console=ttyS0\n");
    }),
    ("check.root_device", |image| image.esp("loader/entries/a.conf", b"options root=/dev/vda2 console=ttyS0\n")),
    ("check.root_device", |image| image.write("etc/kernel/cmdline", b"root=/dev/vda2\n")),
    ("check.root_unknown", |image| {
        image.write("boot/grub/grub.cfg", b"linux /v root=UUID=00000000-1111-2222-3333-444444444444 console=ttyS0\n");
    }),
    ("check.resume_unknown", |image| {
        image.write("etc/default/grub", b"GRUB_CMDLINE_LINUX=\"resume=UUID=00000000-1111-2222-3333-444444444444\"\n");
    }),
    ("check.loader_unknown", |image| {
        image.esp("EFI/debian/grub.cfg", b"search.fs_uuid 00000000-1111-2222-3333-444444444444 root\n");
    }),
    ("check.ramdisk_narrow", |image| image.write("boot/initrd.img-6.1.0", &ramdisk(&["virtio_blk", "ahci"]))),
    ("check.ramdisk_broken", |image| {
        let mut bytes = ramdisk(ALL);
        bytes.truncate(bytes.len() - 20);
        image.write("boot/initrd.img-6.1.0", &bytes);
    }),
    ("check.ramdisk_hostonly", |image| {
        image.write("etc/initramfs-tools/initramfs.conf", b"# MODULES=most\nMODULES=dep\n")
    }),
    ("check.ramdisk_hostonly", |image| image.write("etc/dracut.conf.d/a.conf", b"hostonly=\"yes\"\n")),
    ("check.drivers_missing", |image| image.write("boot/initrd.img-6.1.0", &ramdisk(&["nvme", "ahci", "virtio_blk"]))),
    ("check.no_serial_console", |image| {
        let uuid = crate::support::ROOT_UUID;
        image.write("boot/grub/grub.cfg", format!("linux /v root=UUID={uuid} quiet\n").as_bytes());
    }),
    ("check.no_fallback_loader", |image| {
        image.remove("esp/EFI/BOOT/BOOTX64.EFI");
        image.esp("EFI/debian/grubx64.efi", &crate::support::program());
    }),
    ("check.no_boot", |image| image.remove("esp/EFI/BOOT/BOOTX64.EFI")),
    ("check.no_kernel", |image| std::fs::remove_dir_all(image.root().join("usr/lib/modules")).unwrap()),
    ("check.no_root", |image| image.remove("root/usr/lib/os-release")),
    ("check.swap_behind_root", |image| image.behind = Some(("S", 4))),
    ("check.seed_left", |image| image.write("var/lib/cloud/seed/nocloud/user-data", b"#cloud-config\n")),
    ("check.seed_left", |image| image.write("var/lib/cloud/instances/i-1/sem/config_ssh", b"x")),
    ("check.no_cloud_init", |image| image.remove("root/etc/cloud/cloud.cfg")),
    ("check.cloud_init_off", |image| image.write("etc/cloud/cloud-init.disabled", b"")),
    ("check.datasource", |image| image.write("etc/cloud/cloud.cfg.d/90.cfg", b"datasource_list: [ Ec2, None ]\n")),
    ("check.proxy", |image| {
        image.write("etc/apt/apt.conf.d/proxy", b"Acquire::http::Proxy \"http://10.0.0.1:3142\";\n")
    }),
    ("check.services_held", |image| image.write("usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")),
    ("check.resolver", |image| image.write("etc/resolv.conf", b"nameserver 10.0.0.53\n")),
    ("check.logs", |image| image.write("root/.bash_history", b"ls\n")),
    ("check.logs", |image| image.write("var/log/journal/0123/system.journal", b"x")),
    ("check.build_tools", |image| image.write(".dockerenv", b"")),
];

/// Not made by a file in the system: others of this crate's tests, or of the image engine, make them.
const ELSEWHERE: &[&str] =
    &["check.foreign_format", "check.table_damaged", "check.cut_short", "check.no_uefi", "check.seed_partition"];

#[test]
fn every_planted_fault_is_found_and_nothing_else() {
    if !tools() {
        return;
    }
    for (code, plant) in PLANTED {
        let mut image = Planted::clean();
        plant(&mut image);
        let report = look(&image.ext4(), &CheckOptions::default());
        let found: BTreeSet<&str> = codes(&report).into_iter().collect();
        assert!(found.contains(code), "{code}: {found:?}\n{}", page(&report));
        // A fault may bring another: no console is known where the loader's configuration is gone.
        assert!(found.len() <= 2, "{code}: {:#?}", report.findings);
        let errors = report.findings.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(report.is_good(), !errors, "{code}");
    }
    let planted: BTreeSet<&str> = PLANTED.iter().map(|(code, _)| *code).chain(ELSEWHERE.iter().copied()).collect();
    let all: BTreeSet<&str> = faults::all().map(|fault| fault.code).collect();
    assert_eq!(planted, all, "left: planted; right: the tables");
}

#[test]
fn what_looks_like_a_fault_and_is_none() {
    if !tools() {
        return;
    }
    let image = Planted::clean();
    std::fs::create_dir_all(image.root().join("var/lib/dbus")).unwrap();
    symlink("/etc/machine-id", image.root().join("var/lib/dbus/machine-id")).unwrap();
    image.write("etc/machine-id", b"uninitialized\n");
    image.write("etc/iscsi/initiatorname.iscsi", b"GenerateName=yes\n");
    image.write("etc/udev/rules.d/60.rules", b"SUBSYSTEM==\"net\", ATTR{address}!=\"00:00:00:00:00:00\", NAME=\"x\"\n");
    image.write("etc/network/interfaces", b"auto lo\niface lo inet loopback\n");
    image.write("etc/apt/apt.conf.d/01", b"// Acquire::http::Proxy \"http://10.0.0.1:3142\";\nAcquire::Retries 3;\n");
    image.write("etc/mdadm/mdadm.conf", b"HOMEHOST <system>\n");
    let fstab = format!(
        "UUID={} / ext4 defaults 0 1\nUUID=dead-beef /opt ext4 nofail 0 2\ntmpfs /tmp tmpfs\n",
        crate::support::ROOT_UUID
    );
    image.write("etc/fstab", fstab.as_bytes());
    let report = look(&image.ext4(), &CheckOptions::default());
    assert_eq!(codes(&report), Vec::<&str>::new(), "{:#?}", report.findings);
}

#[test]
fn what_is_accepted_does_not_count() {
    if !tools() {
        return;
    }
    let image = Planted::clean();
    image.write("etc/hostname", b"builder\n");
    image.write("etc/shadow", b"root:$6$abc:1::::::\n");
    let path = image.ext4();
    assert!(!look(&path, &CheckOptions::default()).is_good());
    let wanted = CheckOptions { accepted: vec!["check.password".to_owned()], order: None };
    let report = look(&path, &wanted);
    assert!(report.is_good() && codes(&report).contains(&"check.password"));
}
