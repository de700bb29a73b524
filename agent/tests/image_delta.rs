//! Same-position delta: what is on the target already stays, what differs is fetched by ranges, and nothing else is.

mod image_support;

use burin::disk::Target;
use burin::image::{self, Caibx, Cancel, ImageError, Options, Source, WriteRequest};
use burin::protocol::ImageReceipt;
use burin::protocol::image::{ImageDigests, Verify};
use image_support::*;
use std::fs;
use std::path::Path;

const LEN: usize = 16 * MIB + 12_345;

fn index(bytes: &[u8]) -> Caibx {
    let source = Source::Reader(Box::new(std::io::Cursor::new(bytes.to_vec())), "test".into());
    image::index(source, Options::default(), &Cancel::default()).unwrap()
}

/// zstd with a seek table, frames of 2 MiB.
fn seekable(bytes: &[u8]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for part in bytes.chunks(2 * MIB) {
        let packed = zstd::bulk::compress(part, 1).unwrap();
        table.extend((packed.len() as u32).to_le_bytes());
        table.extend((part.len() as u32).to_le_bytes());
        file.extend(packed);
    }
    let count = (table.len() / 8) as u32;
    file.extend(0x184d_2a5e_u32.to_le_bytes());
    file.extend((table.len() as u32 + 9).to_le_bytes());
    file.extend(table);
    file.extend(count.to_le_bytes());
    file.push(0);
    file.extend(0x8f92_eab1_u32.to_le_bytes());
    file
}

/// A target that holds `bytes` and a little noise behind them.
fn target(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join("target");
    fs::write(&path, [bytes, dirt(3 * MIB)].concat()).unwrap();
    path
}

fn update(request: WriteRequest, index: &Caibx, path: &Path) -> Result<ImageReceipt, ImageError> {
    let opened = Target::open_file(path).unwrap();
    image::write(WriteRequest { delta: Some(index.clone()), ..request }, &opened, &(), &Cancel::default())
}

#[test]
fn only_what_differs_is_fetched_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let index = index(&new);
    let digest = sha256(&new);
    for served in [new.clone(), seekable(&new)] {
        let server = Server::new(served, []);
        let mut old = new.clone();
        old[5 * MIB + 17] ^= 1;
        old[9 * MIB..11 * MIB].fill(0);
        let path = target(dir.path(), &old);
        let mut request = from_http(vec![server.url.clone()]);
        request.digest = ImageDigests { wire: None, content: Some(digest.clone()) };
        let receipt = update(request, &index, &path).unwrap();
        assert_written(&fs::read(&path).unwrap(), &new);
        // The first and the last MiB, and the three that differ, of 17.
        assert_eq!(receipt.skipped_bytes, 12 * MIB as u64);
        assert_eq!((receipt.image_bytes, receipt.verify), (LEN as u64, Verify::Readback));
        assert!(receipt.verified_bytes >= LEN as u64 && receipt.wire_bytes < LEN as u64, "{receipt:?}");
        assert_eq!(receipt.digest.content.as_deref(), Some(digest.as_str()));
    }
}

#[test]
fn a_target_of_something_else_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let new = image(LEN);
    let path = target(dir.path(), dirt(LEN));
    let server = Server::new(seekable(&new), []);
    let receipt = update(from_http(vec![server.url.clone()]), &index(&new), &path).unwrap();
    assert_eq!(receipt.skipped_bytes, 0);
    assert_written(&fs::read(&path).unwrap(), &new);
}

#[test]
fn an_image_that_is_not_the_indexs_leaves_nothing_bootable() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let mut other = new.clone();
    other[7 * MIB + 1] ^= 1;
    let path = target(dir.path(), dirt(LEN));
    let error = update(from_http(vec![Server::new(other, []).url]), &index(&new), &path).unwrap_err();
    assert!(matches!(error.cause(), ImageError::Damaged { .. }), "{error:?}");
    assert_unbootable(&path);
    // A content digest that the index does not keep.
    let path = target(dir.path(), &new);
    let mut request = from_http(vec![Server::new(new.clone(), []).url]);
    request.digest.content = Some(format!("sha256:{}", "0".repeat(64)));
    let error = update(request, &index(&new), &path).unwrap_err();
    assert!(matches!(error.cause(), ImageError::DigestMismatch { .. }), "{error:?}");
    assert_unbootable(&path);
}

#[test]
fn what_cannot_be_read_in_parts_is_refused_before_the_target_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let index = index(&new);
    let path = target(dir.path(), dirt(LEN));
    let before = fs::read(&path).unwrap();
    let plain = Server::new(zstd::bulk::compress(&new, 1).unwrap(), []);
    let whole = Server::new(new.clone(), []).always(Answer::Whole);
    let shorter = Server::new(new[..LEN - 1].to_vec(), []);
    let mut summed = from_http(vec![Server::new(new.clone(), []).url]);
    summed.digest.wire = Some(sha256(&new));
    for request in [from_bytes(new.clone()), from_http(vec![plain.url]), from_http(vec![shorter.url]), summed] {
        update(request, &index, &path).unwrap_err();
        assert!(fs::read(&path).unwrap() == before, "the target was touched");
    }
    // That a server sends no ranges shows at the first one.
    assert!(update(from_http(vec![whole.url]), &index, &path).is_err());
    assert!(fs::read(&path).unwrap() == before || fs::read(&path).unwrap()[..MIB].iter().all(|byte| *byte == 0));
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
