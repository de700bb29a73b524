//! qcow2 images of Debian's qemu-img, read by ranges.

use crate::support::*;
use burin::error::Coded;
use burin::image::{ImageError, Source, WriteRequest};
use burin::protocol::image::ImageFormat;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Converts `image` with qemu-img.
fn convert(dir: &Path, image: &[u8], options: &[&str]) -> PathBuf {
    let (raw, qcow2) = (dir.join("disk.raw"), dir.join("disk.qcow2"));
    fs::write(&raw, image).unwrap();
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args(options)
        .args([&raw, &qcow2])
        .output()
        .unwrap();
    assert!(made.status.success(), "{options:?}: {}", String::from_utf8_lossy(&made.stderr));
    qcow2
}

const VARIANTS: [&[&str]; 9] = [
    &[],
    &["-o", "compat=0.10"],
    &["-o", "cluster_size=512"],
    &["-o", "cluster_size=2M"],
    &["-o", "preallocation=metadata"],
    &["-c"],
    &["-c", "-o", "compression_type=zstd"],
    &["-c", "-o", "cluster_size=4096"],
    &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
];

#[test]
fn every_variant_by_file_and_by_http_ranges() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB + 512 * 3);
    for options in VARIANTS {
        let path = convert(dir.path(), &image, options);
        let bytes = fs::read(&path).unwrap();
        let server = Server::new(bytes.clone(), []);
        let sources = [Source::File(path), Source::Http(http(vec![server.url.clone()]))];
        for (source, summed) in sources.into_iter().zip([false, true]) {
            let target = dirty_file(dir.path(), 20 * MIB);
            let mut request = WriteRequest::new(source);
            if summed {
                request.digest.wire = Some(sha256(&bytes));
                request.digest.content = Some(sha256(&image));
            }
            let receipt = write_to_file(request, &target).unwrap_or_else(|error| panic!("{options:?}: {error:?}"));
            assert_written(&fs::read(&target).unwrap(), &image);
            assert_eq!(receipt.format, ImageFormat::Qcow2);
            assert_eq!(receipt.image_bytes, image.len() as u64);
            assert_eq!(receipt.digest.wire.is_some(), summed);
        }
    }
}

#[test]
fn what_cannot_stand_alone_is_refused_untouched() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let path = convert(dir.path(), &image, &[]);
    let overlay = dir.path().join("overlay.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([&path, &overlay])
        .status();
    assert!(made.unwrap().success());
    let target = dirty_file(dir.path(), 4 * MIB);
    let error = write_to_file(WriteRequest::new(Source::File(overlay)), &target).unwrap_err();
    assert_eq!(error.code(), "image.unsupported");
    assert!(error.to_string().contains("backing file"), "{error}");
    // Not from a pipe, not inside a compression, not where raw was ordered.
    let bytes = fs::read(&path).unwrap();
    assert_eq!(write_to_file(from_bytes(bytes), &target).unwrap_err().code(), "image.unsupported");
    let mut request = WriteRequest::new(Source::File(path.clone()));
    request.format = Some(ImageFormat::Raw);
    assert_eq!(write_to_file(request, &target).unwrap_err().code(), "image.format_mismatch");
    let small = dir.path().join("small");
    fs::write(&small, dirt(MIB)).unwrap();
    let error = write_to_file(WriteRequest::new(Source::File(path)), &small).unwrap_err();
    assert_eq!(error.code(), "image.too_large");
    assert_eq!(fs::read(&target).unwrap(), dirt(4 * MIB));
    assert_eq!(fs::read(&small).unwrap(), dirt(MIB));
}

#[test]
fn bytes_that_change_between_digest_and_reading_are_noticed() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(8 * MIB);
    let bytes = fs::read(convert(dir.path(), &image, &[])).unwrap();
    let mut other = bytes.clone();
    let end = other.len() - 1000;
    other[end] ^= 1;
    // Sniffing and the pass for the digest see the good bytes, the ranges see others.
    let server = Server::new(bytes.clone(), [Answer::Proper, Answer::Proper]).always(Answer::Other(other.into()));
    let target = dirty_file(dir.path(), 9 * MIB);
    let mut request = from_http(vec![server.url.clone()]);
    request.digest.wire = Some(sha256(&bytes));
    let error = write_to_file(request, &target).unwrap_err();
    assert_eq!(error.code(), "image.changed", "{error:?}");
    assert!(matches!(error, ImageError::Stopped { .. }));
    assert_unbootable(&target);
}

#[test]
fn faults_on_the_way_are_survived_and_truncation_is_not() {
    if !have("qemu-img") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(8 * MIB);
    let path = convert(dir.path(), &image, &[]);
    let bytes = fs::read(&path).unwrap();
    let script = [Answer::Proper, Answer::Status(503), Answer::Cut(1000), Answer::Proper, Answer::Cut(0)];
    let server = Server::new(bytes.clone(), script);
    let target = dirty_file(dir.path(), 9 * MIB);
    write_to_file(from_http(vec![server.url.clone()]), &target).unwrap();
    assert_written(&fs::read(&target).unwrap(), &image);
    for cut in [100, 300, 70_000, bytes.len() / 2, bytes.len() - 70_000] {
        fs::write(&path, &bytes[..cut]).unwrap();
        let target = dirty_file(dir.path(), 9 * MIB);
        let error = write_to_file(WriteRequest::new(Source::File(path.clone())), &target).unwrap_err();
        assert!(matches!(error.code(), "image.truncated" | "image.corrupt"), "{cut}: {error:?}");
    }
    let server = Server::new(bytes, []).always(Answer::Whole);
    let target = dirty_file(dir.path(), 9 * MIB);
    assert_eq!(write_to_file(from_http(vec![server.url.clone()]), &target).unwrap_err().code(), "image.unsupported");
}
