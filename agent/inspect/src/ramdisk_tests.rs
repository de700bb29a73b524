use super::*;
use std::io::Write;

fn cpio(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files.iter().copied().chain([("TRAILER!!!", &[][..])]) {
        bytes.extend(b"070701");
        let fields = [1, 0o100_644, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        fields.iter().for_each(|field| bytes.extend(format!("{field:08x}").bytes()));
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = LZ4_LEGACY.to_vec();
    for block in bytes.chunks(LZ4_BLOCK) {
        let packed = lz4_flex::block::compress(block);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_compression_that_kernels_know_is_read_behind_microcode() {
    let early = cpio(&[("kernel/x86/microcode/AuthenticAMD.bin", &[7; 1000])]);
    let main = cpio(&[
        ("usr/lib/modules/6.1/kernel/drivers/nvme/host/nvme.ko.xz", b"module"),
        ("lib/modules/6.1/kernel/drivers/scsi/hv-storvsc.ko", b""),
        ("lib/modules/6.1/modules.builtin", b"kernel/drivers/ata/ahci.ko\n"),
        ("conf/conf.d/resume", b"RESUME=UUID=1\n"),
    ]);
    let packed: [(&str, Vec<u8>); 5] = [
        ("none", main.clone()),
        ("gzip", gzip(&main)),
        ("zstd", zstd::stream::encode_all(&main[..], 3).unwrap()),
        ("xz", xz(&main)),
        ("lz4", lz4(&main)),
    ];
    for (name, packed) in packed {
        let mut bytes = early.clone();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(packed);
        let found = read(&bytes);
        assert_eq!((found.broken, found.compressions), (None, vec!["none", name]));
        assert_eq!(found.modules.iter().map(String::as_str).collect::<Vec<_>>(), ["hv_storvsc", "nvme"], "{name}");
        assert_eq!(found.kept["conf/conf.d/resume"], b"RESUME=UUID=1\n", "{name}");
        assert_eq!(found.kept.len(), 2, "{name}");
    }
}

#[test]
fn archives_behind_each_other_are_all_read() {
    let one = gzip(&cpio(&[("a/nvme.ko", b"")]));
    let two =
        zstd::stream::encode_all(&[cpio(&[("b/ahci.ko.zst", b"")]), cpio(&[("c/uas.ko.gz", b"")])].concat()[..], 1);
    let found = read(&[one, vec![0; 7], two.unwrap()].concat());
    assert_eq!((found.broken, found.modules.len()), (None, 3));
    assert_eq!(found.compressions, ["gzip", "zstd"]);
}

#[test]
fn what_is_cut_or_is_none_is_told() {
    let whole = gzip(&cpio(&[("a/nvme.ko", &[1; 5000])]));
    assert_eq!(read(&[]), Ramdisk::default());
    assert!(read(&whole[..whole.len() / 2]).broken.is_some());
    assert!(read(b"what is this").broken.is_some());
    let mut huge = cpio(&[("a", b"x")]);
    huge[54..62].copy_from_slice(b"ffffffff");
    assert!(read(&huge).broken.is_some());
}
