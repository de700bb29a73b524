//! Every compression, digest, sector size and backend, onto targets full of noise, compared byte by byte.

use crate::support::*;
use burin::disk::{Backend, Target};
use burin::error::Coded;
use burin::image::{self, Cancel, Source, WriteRequest};
use burin::protocol::image::{ImageDigests, Verify};
use std::fs;

const COMPRESSIONS: [(&str, &[&str]); 11] = [
    ("none", &["cat"]),
    ("gzip", &["pigz", "-c", "-p2"]),
    ("gzip", &["gzip", "-c"]),
    ("xz", &["xz", "-c", "-0", "-T2", "--block-size=1MiB"]),
    ("zstd", &["zstd", "-c", "-q"]),
    ("zstd", &["pzstd", "-c", "-q", "-p2", "-1"]),
    ("zstd", &["zstd", "-c", "-q", "--long=27", "--no-check"]),
    ("lz4", &["lz4", "-c", "-q", "-BD"]),
    ("lz4", &["lz4", "-c", "-q", "-B4", "-BX"]),
    ("lz4", &["lz4", "-c", "-q", "-l"]),
    ("bzip2", &["bzip2", "-c"]),
];

fn sha512(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha512::digest(bytes);
    format!("sha512:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn every_compression_comes_out_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB + 4096 + 512);
    for (name, command) in COMPRESSIONS {
        if !have(command[0]) {
            continue;
        }
        let wire = tool(dir.path(), command, &image);
        for (backend, sum) in [(Backend::Auto, true), (Backend::Threads, false)] {
            let target = dirty_file(dir.path(), 20 * MIB);
            let mut request = from_bytes(wire.clone());
            request.options.backend = backend;
            if sum {
                request.digest.wire = Some(sha256(&wire));
                request.digest.content = Some(sha512(&image));
            }
            let receipt = write_to_file(request, &target).unwrap_or_else(|error| panic!("{command:?}: {error:?}"));
            assert_written(&fs::read(&target).unwrap(), &image);
            assert_eq!(receipt.compression, name, "{command:?}");
            assert_eq!(receipt.image_bytes, image.len() as u64);
            assert_eq!(receipt.wire_bytes, wire.len() as u64);
            assert!(receipt.verified_bytes >= receipt.image_bytes, "{receipt:?}");
            assert!(receipt.zeroed_bytes >= 3 * MIB as u64, "{receipt:?}");
            assert_eq!(receipt.digest.wire, Some(sha256(&wire)));
            assert_eq!(receipt.wire_sha256, Some(sha256(&wire)));
            let readback = receipt.readback.expect("a digest of what was read back");
            assert_eq!((readback.algorithm.as_str(), readback.digest), ("xxh3-128-of-mib", of_mib(&image)));
            assert_eq!(receipt.digest.content, sum.then(|| sha512(&image)));
        }
    }
}

/// Formats x compressions x digests x sector sizes, each by file and by HTTP.
#[test]
fn the_whole_matrix_on_loop_devices() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB + 512 * 3);
    let raw = dir.path().join("disk.raw");
    fs::write(&raw, &image).unwrap();
    let mut forms: Vec<(String, Vec<u8>)> = Vec::new();
    for (_, command) in COMPRESSIONS {
        if have(command[0]) {
            forms.push((command.join(" "), tool(dir.path(), command, &image)));
        }
    }
    forms.push(("zstd with a seek table".into(), seekable(&image)));
    if have("qemu-img") {
        for options in [&[][..], &["-c"], &["-c", "-o", "compression_type=zstd"], &["-o", "compat=0.10"]] {
            let path = dir.path().join("disk.qcow2");
            let command = std::process::Command::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2"])
                .args(options)
                .args([&raw, &path])
                .status();
            assert!(command.unwrap().success(), "{options:?}");
            forms.push((format!("qcow2 {}", options.join(" ")), fs::read(&path).unwrap()));
        }
    }
    let digests = |wire: &[u8]| {
        [
            ImageDigests::default(),
            ImageDigests { wire: Some(sha256(wire)), content: None },
            ImageDigests { wire: None, content: Some(sha256(&image)) },
            ImageDigests { wire: Some(sha512(wire)), content: Some(sha512(&image)) },
        ]
    };
    for sector in [512, 4096] {
        let Some(device) = Loop::new(dir.path(), 4 * MIB, sector) else { return };
        for (index, (name, wire)) in forms.iter().enumerate() {
            let server = Server::new(wire.clone(), []);
            let file = dir.path().join("form");
            fs::write(&file, wire).unwrap();
            for (number, digest) in digests(wire).into_iter().enumerate() {
                // Noise again, without the cost of a new device.
                fs::write(&device.device, dirt(4 * MIB)).unwrap();
                let source = match (index + number) % 2 {
                    0 => Source::File(file.clone()),
                    _ => Source::Http(http(vec![server.url.clone()])),
                };
                let mut request = WriteRequest::new(source);
                request.digest = digest.clone();
                let target = Target::open_device(&device.device).unwrap();
                let receipt = image::write(request, &target, &(), &Cancel::default());
                let receipt = receipt.unwrap_or_else(|error| panic!("{name}, {digest:?}, {sector}: {error:?}"));
                drop(target);
                assert_eq!(receipt.digest.content, digest.content, "{name}");
                // qcow2 is read by ranges where nothing asks for all of it.
                let whole = !name.starts_with("qcow2") || digest.wire.is_some();
                assert_eq!(receipt.wire_sha256, whole.then(|| sha256(wire)), "{name}");
                assert_eq!(receipt.digest.wire, digest.wire.or(receipt.wire_sha256), "{name}");
                assert_written(&fs::read(&device.device).unwrap(), &image);
            }
        }
    }
}

#[test]
fn members_and_frames_may_be_joined() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(6 * MIB + 100);
    let (one, two) = image.split_at(2 * MIB + 333);
    for (_, command) in COMPRESSIONS {
        if !have(command[0]) {
            continue;
        }
        let mut wire = tool(dir.path(), command, one);
        wire.extend(tool(dir.path(), command, two));
        let target = dirty_file(dir.path(), 8 * MIB);
        write_to_file(from_bytes(wire), &target).unwrap_or_else(|error| panic!("{command:?}: {error:?}"));
        assert_written(&fs::read(&target).unwrap(), &image);
    }
}

/// What people and tools leave at the end of a compressed file.
#[test]
fn what_belongs_to_no_member_is_left_out_where_that_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB + 100);
    let skippable = |len: u32| [&[0x50, 0x2a, 0x4d, 0x18][..], &len.to_le_bytes(), &vec![9; len as usize]].concat();
    let packed = |command: &[&str]| tool(dir.path(), command, &image);
    let good = [
        [packed(&["gzip", "-c"]), vec![0; 4096]].concat(),
        [packed(&["gzip", "-c"]), vec![0; 1]].concat(),
        [packed(&["xz", "-c", "-0"]), vec![0; 8]].concat(),
        [packed(&["zstd", "-c", "-q"]), skippable(4)].concat(),
        [packed(&["zstd", "-c", "-q"]), skippable(0), skippable(70_000)].concat(),
        [packed(&["lz4", "-c", "-q"]), skippable(4)].concat(),
        [packed(&["lz4", "-c", "-q", "-l"]), skippable(12)].concat(),
    ];
    for (number, wire) in good.into_iter().enumerate() {
        for workers in [1, 2] {
            let target = dirty_file(dir.path(), 8 * MIB);
            let mut request = from_bytes(wire.clone());
            request.options.workers = workers;
            let receipt = write_to_file(request, &target).unwrap_or_else(|error| panic!("{number}: {error:?}"));
            assert_written(&fs::read(&target).unwrap(), &image);
            assert!(receipt.anomalies.iter().all(|anomaly| anomaly.code != "image.trailing_garbage"), "{number}");
        }
    }
    // Something else is right only where a digest says so, and told.
    for command in
        [&["gzip", "-c"][..], &["xz", "-c", "-0"], &["zstd", "-c", "-q"], &["lz4", "-c", "-q"], &["bzip2", "-c"]]
    {
        let wire = [&packed(command)[..], b"{ \"metadata_version\": \"1.1\" }\nFWx0", &noise(300_000, 3)].concat();
        let target = dirty_file(dir.path(), 8 * MIB);
        let mut request = from_bytes(wire.clone());
        let error = write_to_file(from_bytes(wire.clone()), &target).unwrap_err();
        assert_eq!(error.code(), "image.trailing_garbage", "{command:?}");
        request.digest.wire = Some(sha256(&wire));
        let receipt = write_to_file(request, &target).unwrap_or_else(|error| panic!("{command:?}: {error:?}"));
        assert_written(&fs::read(&target).unwrap(), &image);
        assert!(receipt.anomalies.iter().any(|anomaly| anomaly.code == "image.trailing_garbage"), "{command:?}");
    }
}

#[test]
fn zstd_frames_small_and_large_even_and_odd_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = image(24 * MIB);
    // Not all alike: a frame in the wrong place must show.
    for (index, piece) in image.chunks_mut(MIB / 4).enumerate() {
        piece[7..15].copy_from_slice(&(index as u64).to_le_bytes());
    }
    let cuts: [&[usize]; 4] = [
        &[MIB; 24],
        &[100_001, 3 * MIB, 4096, 2 * MIB - 1, 1, 10 * MIB, 77, MIB],
        &[12 * MIB, 12 * MIB],
        &[8 * MIB, 8 * MIB, 8 * MIB],
    ];
    for cut in cuts {
        let mut wire = Vec::new();
        let mut rest = image.as_slice();
        for len in cut.iter().copied().chain([usize::MAX]) {
            let (frame, more) = rest.split_at(len.min(rest.len()));
            rest = more;
            if !frame.is_empty() {
                wire.extend(tool(dir.path(), &["zstd", "-c", "-q", "-1"], frame));
                // A frame to be skipped, as seek tables are.
                wire.extend_from_slice(&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
            }
        }
        // The last with so few buffers that the frames have to wait for each other's.
        for (workers, buffers) in [(1, 12), (2, 12), (3, 12), (4, 0)] {
            let target = dirty_file(dir.path(), 25 * MIB);
            let mut request = from_bytes(wire.clone());
            (request.options.workers, request.options.buffers) = (workers, buffers);
            request.digest.content = Some(sha256(&image));
            write_to_file(request, &target).unwrap_or_else(|error| panic!("{cut:?}, {workers}: {error:?}"));
            assert_written(&fs::read(&target).unwrap(), &image);
        }
    }
}

#[test]
fn frames_of_zeros_that_come_again_and_again_are_zeros_every_time() {
    let dir = tempfile::tempdir().unwrap();
    for (frame, count) in [(8 * MIB, 12), (3 * MIB, 24), (MIB, 70), (MIB / 4, 200), (700_001, 100)] {
        let mut image = vec![0; frame * count];
        // Data in front, then here and there, once as little as can be, and in the last byte but a frame of zeros.
        image[..3000].copy_from_slice(&noise(3000, 3));
        let middle = count / 2 * frame;
        image[middle..middle + frame / 2].copy_from_slice(&noise(frame / 2, 4));
        image[(count - 4) * frame] = 1;
        image[(count - 1) * frame - 1] = 1;
        let pack = |part: &[u8]| zstd::bulk::compress(part, 3).unwrap();
        let mut wire: Vec<u8> = image.chunks(frame).flat_map(pack).collect();
        // A last one of another length.
        wire.extend(pack(&[0; 5000]));
        image.resize(image.len() + 5000, 0);
        let target = dir.path().join("target");
        let dirt = dirt(32 * MIB);
        let old: Vec<u8> = dirt.iter().cycle().take(image.len() + MIB).copied().collect();
        fs::write(&target, old).unwrap();
        let mut request = from_bytes(wire);
        request.digest.content = Some(sha256(&image));
        let receipt = write_to_file(request, &target).unwrap_or_else(|error| panic!("{frame}: {error:?}"));
        assert!(receipt.verified_bytes >= image.len() as u64, "{frame}: {receipt:?}");
        assert_written(&fs::read(&target).unwrap(), &image);
    }
}

#[test]
fn an_image_of_many_times_the_buffers_goes_through() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(24 * MIB, 12);
    for command in [&["cat"][..], &["zstd", "-c", "-q", "-1"], &["pzstd", "-c", "-q", "-1"]] {
        if !have(command[0]) {
            continue;
        }
        let wire = tool(dir.path(), command, &image);
        for backend in [Backend::Auto, Backend::Threads] {
            let target = dirty_file(dir.path(), 25 * MIB);
            let mut request = from_bytes(wire.clone());
            (request.options.backend, request.options.buffers) = (backend, 4);
            write_to_file(request, &target).unwrap();
            assert_written(&fs::read(&target).unwrap(), &image);
        }
    }
}

#[test]
fn odd_lengths_of_image_and_target() {
    let dir = tempfile::tempdir().unwrap();
    for (image_len, target_len) in [
        (512, 8191),
        (4096, 4096),
        (5000, 5000),
        (5000, 9999),
        (MIB, MIB),
        (MIB + 1, MIB + 1),
        (MIB - 1, 2 * MIB),
        (3 * MIB, 3 * MIB + 4096),
        (3 * MIB + 513, 3 * MIB + 4095),
        (4 * MIB + 7, 9 * MIB + 7),
    ] {
        for image in [image(image_len), vec![0; image_len], noise(image_len, 7)] {
            let target = dirty_file(dir.path(), target_len);
            let receipt = write_to_file(from_bytes(image.clone()), &target);
            let receipt = receipt.unwrap_or_else(|error| panic!("{image_len} onto {target_len}: {error:?}"));
            let written = fs::read(&target).unwrap();
            assert_eq!(written.len(), target_len);
            assert_written(&written, &image);
            assert_eq!(receipt.image_bytes, image_len as u64);
        }
    }
}

#[test]
fn one_byte_too_many_is_refused_and_known_lengths_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB + 1);
    let path = dir.path().join("image");
    fs::write(&path, &image).unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let error = write_to_file(WriteRequest::new(Source::File(path)), &target).unwrap_err();
    assert_eq!(error.code(), "image.too_large");
    assert_eq!(fs::read(&target).unwrap(), dirt(3 * MIB), "the target was touched");
    // From a pipe the length is known only at the end.
    let error = write_to_file(from_bytes(image), &target).unwrap_err();
    assert_eq!(error.code(), "image.too_large");
    assert_untouched_or_unbootable(&error, &target);
}

#[test]
fn less_than_a_sector_is_no_image() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [vec![7], vec![7; 511], zstd::bulk::compress(&[7; 511], 1).unwrap()] {
        let target = dirty_file(dir.path(), 2 * MIB);
        let error = write_to_file(from_bytes(bytes), &target).unwrap_err();
        assert_eq!(error.code(), "image.truncated");
        assert_eq!(fs::read(&target).unwrap(), dirt(2 * MIB), "the target was touched");
    }
}

#[test]
fn verify_modes_say_what_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(4 * MIB);
    for verify in [Verify::Readback, Verify::Digest, Verify::None] {
        let target = dirty_file(dir.path(), 5 * MIB);
        let mut request = from_bytes(image.clone());
        request.verify = verify;
        let receipt = write_to_file(request, &target).unwrap();
        assert_eq!(receipt.verify, verify);
        assert_eq!(receipt.verified_bytes > 0, verify == Verify::Readback);
        assert_written(&fs::read(&target).unwrap(), &image);
    }
}

#[test]
fn loop_devices_of_both_sector_sizes() {
    let dir = tempfile::tempdir().unwrap();
    for sector in [512, 4096] {
        for backend in [Backend::Auto, Backend::Threads] {
            let Some(device) = Loop::new(dir.path(), 12 * MIB, sector) else { return };
            for len in [9 * MIB + 512, 12 * MIB, 5 * MIB + 100] {
                let image = image(len);
                let mut request = from_bytes(image.clone());
                request.options.backend = backend;
                let target = Target::open_device(&device.device).unwrap();
                assert_eq!(target.sector(), sector);
                image::write(request, &target, &(), &Cancel::default()).unwrap();
                drop(target);
                assert_written(&fs::read(&device.device).unwrap(), &image);
            }
        }
    }
}

#[test]
fn nobody_else_gets_a_device_that_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = Loop::new(dir.path(), MIB, 512) else { return };
    let _held = Target::open_device(&device.device).unwrap();
    assert_eq!(Target::open_device(&device.device).unwrap_err().code(), "disk.held");
}

#[test]
fn a_read_only_device_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = Loop::with(dir.path(), MIB, 512, &["--read-only"]) else { return };
    assert_eq!(Target::open_device(&device.device).unwrap_err().code(), "disk.read_only");
}

#[test]
fn a_mounted_device_is_refused_with_its_mount_point() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = Loop::new(dir.path(), 32 * MIB, 512) else { return };
    let point = dir.path().join("mnt");
    fs::create_dir(&point).unwrap();
    let made = std::process::Command::new("mkfs.ext4").arg("-qF").arg(&device.device).status();
    let mounted = std::process::Command::new("mount").arg(&device.device).arg(&point).status();
    if !made.is_ok_and(|status| status.success()) || !mounted.is_ok_and(|status| status.success()) {
        burin_skip::skip!("mkfs.ext4 and mount");
        return;
    }
    let error = Target::open_device(&device.device).unwrap_err();
    let _ = std::process::Command::new("umount").arg(&point).status();
    assert_eq!(error.code(), "disk.held");
    assert!(error.to_string().contains(&point.display().to_string()), "{error}");
}
