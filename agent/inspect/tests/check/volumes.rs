//! Logical volumes: a root in two pieces stored in reverse order.

use crate::support::{Planted, codes, has, look, run};
use burin_inspect::CheckOptions;

const MIB: usize = 1 << 20;
const EXTENT: usize = 4 * MIB;
const MEMBER: &str = "0123456789abcdefghijklmnopqrstuv";

/// What pvcreate, vgcreate and lvcreate leave (lvm2, lib/format_text/layout.h), with a root of 8 extents: the first five
/// begin at extent 3, the others at extent 0.
fn member(root: &[u8]) -> Vec<u8> {
    let text = format!(
        "vg0 {{\nid = \"x\"\nseqno = 3\nextent_size = {}\nphysical_volumes {{\npv0 {{\nid = \"012345-6789-abcd-efgh-ijkl-mnop-qrstuv\"\n\
         device = \"/dev/sda2\" # Hint only\npe_start = 2048\npe_count = 9\n}}\n}}\nlogical_volumes {{\nroot {{\nsegment_count = 2\n\
         segment1 {{\nstart_extent = 0\nextent_count = 5\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 3\n]\n}}\n\
         segment2 {{\nstart_extent = 5\nextent_count = 3\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 0\n]\n}}\n}}\n\
         mirrored {{\nsegment1 {{\nstart_extent = 0\nextent_count = 1\ntype = \"raid1\"\n}}\n}}\n}}\n}}\ncontents = \"Text Format Volume Group\"\n",
        EXTENT / 512
    );
    let mut disk = vec![0; MIB + 9 * EXTENT];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(512, b"LABELONE");
    put(512 + 20, &32u32.to_le_bytes());
    put(512 + 24, b"LVM2 001");
    put(512 + 32, MEMBER.as_bytes());
    let areas = [(MIB as u64, 0), (0, 0), (4096, MIB as u64 - 4096), (0, 0)];
    for (index, (start, size)) in areas.into_iter().enumerate() {
        put(512 + 32 + 40 + index * 16, &u64::to_le_bytes(start));
        put(512 + 32 + 48 + index * 16, &u64::to_le_bytes(size));
    }
    put(4096 + 4, b" LVM2 x[5A%r0N*>");
    put(4096 + 40, &1024u64.to_le_bytes());
    put(4096 + 48, &(text.len() as u64).to_le_bytes());
    put(4096 + 1024, text.as_bytes());
    put(MIB + 3 * EXTENT, &root[..5 * EXTENT]);
    put(MIB, &root[5 * EXTENT..]);
    disk
}

#[test]
fn a_root_on_a_logical_volume_is_found_and_judged() {
    if !["mke2fs", "sfdisk"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    image.write("etc/fstab", b"/dev/mapper/vg0-root / ext4 defaults 0 1\n/dev/vg0/gone /srv ext4 defaults 0 2\n");
    image.write("boot/grub/grub.cfg", b"linux /v root=/dev/mapper/vg0-root console=ttyS0\n");
    let part = image.folder.path().join("root.ext4");
    let (root, path) = (image.root(), part.to_str().unwrap());
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", root.to_str().unwrap(), path, "32m"], None);
    let member = member(&std::fs::read(&part).unwrap());
    let disk = image.folder.path().join("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len((8 * MIB + member.len()) as u64).unwrap();
    let script = format!("label: gpt\nstart=1MiB, size={}MiB, type=V\nsize=2MiB, type=S\n", member.len() / MIB);
    run("sfdisk", &["-q", disk.to_str().unwrap()], Some(&script));
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::OpenOptions::new().write(true).open(&disk).unwrap(),
        &member,
        MIB as u64,
    )
    .unwrap();
    let report = look(&disk, &CheckOptions::default());
    let system = report.system.as_ref().unwrap();
    assert_eq!((system.root.as_str(), system.name.as_str()), ("logical volume vg0/root", "Test Linux 1"));
    assert_eq!(system.kernels[0].drivers["NVMe"].ramdisk, ["nvme"]);
    assert_eq!(codes(&report), ["check.no_boot", "check.fstab_unknown", "check.swap_behind_root"]);
    assert!(report.findings[1].what.contains("/dev/vg0/gone"));
}
