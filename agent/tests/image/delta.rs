//! Delta writes: matching data stays on the target, and only differences are fetched, by ranges.

use crate::support::*;
use burin::disk::Target;
use burin::image::{self, Caibx, Cancel, DeltaRequest, ImageError, Options, Source, WriteRequest};
use burin::protocol::ImageReceipt;
use burin::protocol::image::{DeltaReceipt, ImageDigests, Verify};
use std::fs;
use std::path::Path;

pub const LEN: usize = 16 * MIB + 12_345;

pub fn index(bytes: &[u8]) -> Caibx {
    let source = Source::Reader(Box::new(std::io::Cursor::new(bytes.to_vec())), "test".into());
    image::index(source, Options::default(), &Cancel::default()).unwrap()
}

/// A target that holds `bytes` and a little noise behind them.
pub fn target(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join("target");
    fs::write(&path, [bytes, dirt(3 * MIB)].concat()).unwrap();
    path
}

/// By the index, whether that is a gain or not.
fn update(request: WriteRequest, index: &Caibx, path: &Path) -> Result<ImageReceipt, ImageError> {
    by(request, DeltaRequest { always: true, ..DeltaRequest::new(index.clone()) }, path)
}

pub fn by(request: WriteRequest, delta: DeltaRequest, path: &Path) -> Result<ImageReceipt, ImageError> {
    let opened = Target::open_file(path).unwrap();
    image::write(WriteRequest { delta: Some(delta), ..request }, &opened, &(), &Cancel::default())
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
    assert!(matches!(error.cause(), ImageError::NotIndexed { .. }), "{error:?}");
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
    let urls = [plain.url, shorter.url, whole.url];
    let requests = urls.map(|url| from_http(vec![url]));
    for request in requests.into_iter().chain([from_bytes(new.clone()), summed]) {
        update(request, &index, &path).unwrap_err();
        assert!(fs::read(&path).unwrap() == before, "the target was touched");
    }
}

/// What auto made of it.
fn decided(request: WriteRequest, delta: DeltaRequest, path: &Path) -> DeltaReceipt {
    let receipt = by(request, delta, path).unwrap();
    assert_eq!(receipt.delta.as_ref().map(|delta| delta.reused_bytes), Some(receipt.skipped_bytes));
    receipt.delta.unwrap()
}

#[test]
fn it_is_used_where_it_is_a_gain_and_the_receipt_says_what_was_reused() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let delta = DeltaRequest::new(index(&new));
    for (right, used) in [(16, true), (12, true), (4, false), (0, false)] {
        let path = target(dir.path(), &[&new[..right * MIB], &dirt(LEN)[right * MIB..]].concat());
        let server = Server::new(seekable(&new), []);
        let receipt = decided(from_http(vec![server.url.clone()]), delta.clone(), &path);
        assert_written(&fs::read(&path).unwrap(), &new);
        assert_eq!((receipt.used, receipt.why.is_none()), (used, used), "{right}: {receipt:?}");
        // The 15 MiB that are neither first nor last were looked at; what is right of them is kept.
        let inner = right.saturating_sub(1).min(15) as u32;
        assert_eq!((receipt.sampled_mib, receipt.matching_mib), (15, inner));
        assert_eq!(receipt.reused_bytes, if used { u64::from(inner) << 20 } else { 0 });
        assert_eq!(receipt.fetched_bytes > 0, used);
    }
}

#[test]
fn where_an_index_cannot_be_used_the_image_is_written_whole_and_the_receipt_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let delta = DeltaRequest::new(index(&new));
    let plain = Server::new(zstd::bulk::compress(&new, 1).unwrap(), []);
    let whole = Server::new(new.clone(), []).always(Answer::Whole);
    let good = Server::new(new.clone(), []);
    let mut summed = from_http(vec![good.url.clone()]);
    summed.digest.wire = Some(sha256(&new));
    let requests = [
        (from_http(vec![plain.url.clone()]), "seek table"),
        (from_http(vec![whole.url.clone()]), "ranges"),
        (from_bytes(new.clone()), "stream"),
        (summed, "digest"),
    ];
    for (request, why) in requests {
        let path = target(dir.path(), &new);
        let receipt = decided(request, delta.clone(), &path);
        assert!(!receipt.used && receipt.why.as_ref().unwrap().contains(why), "{receipt:?}");
        assert_written(&fs::read(&path).unwrap(), &new);
    }
    // With an index that was proven itself, or with a digest of the content, the download's digest is not needed.
    for proven in [true, false] {
        let mut summed = from_http(vec![good.url.clone()]);
        summed.digest.wire = Some(sha256(&new));
        summed.digest.content = (!proven).then(|| sha256(&new));
        let receipt = decided(summed, DeltaRequest { proven, ..delta.clone() }, &target(dir.path(), &new));
        assert!(receipt.used, "{receipt:?}");
    }
}

#[test]
fn an_image_newer_than_its_index_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let old = noise(LEN, 7);
    let delta = DeltaRequest::new(index(&old));
    let mut patched = old.clone();
    patched[9 * MIB + 3] ^= 1;
    let longer = [old.clone(), noise(MIB, 8)].concat();
    // The target holds the old image, and lacks just the MiB that the new one has otherwise.
    let mut held = old.clone();
    held[9 * MIB..10 * MIB].fill(7);
    for (new, known) in [(longer, true), (patched, false)] {
        let path = target(dir.path(), &held);
        let server = Server::new(seekable(&new), []);
        let receipt = decided(from_http(vec![server.url.clone()]), delta.clone(), &path);
        assert_written(&fs::read(&path).unwrap(), &new);
        let why = receipt.why.unwrap();
        assert!(
            !receipt.used && why.contains(if known { "the index is of" } else { "does not match the index" }),
            "{why}"
        );
    }
}

#[test]
fn a_lying_or_truncated_index_never_gives_wrong_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let right = index(&new);
    let server = Server::new(new.clone(), []);
    // It tells that what the target holds wrongly is right: only the digest of the content, or a proof of the index
    // itself, can find that out.
    let mut held = new.clone();
    held[5 * MIB + 1] ^= 1;
    let lying = index(&held);
    let path = target(dir.path(), &held);
    let mut request = from_http(vec![server.url.clone()]);
    request.digest.content = Some(sha256(&new));
    let error = by(request, DeltaRequest::new(lying.clone()), &path).unwrap_err();
    assert!(matches!(error.cause(), ImageError::DigestMismatch { .. }), "{error:?}");
    assert_unbootable(&path);
    // Digests that are nobody's.
    let mut nonsense = right.clone();
    nonsense.digests[21] = [7; 32];
    let path = target(dir.path(), &new);
    assert!(!decided(from_http(vec![server.url.clone()]), DeltaRequest::new(nonsense), &path).used);
    assert_written(&fs::read(&path).unwrap(), &new);
    // Cut anywhere, it is no index.
    let bytes = right.bytes();
    let cut = |len: usize| {
        let source = Source::Reader(Box::new(std::io::Cursor::new(bytes[..len].to_vec())), "index".into());
        image::fetch_index(source, None, None, &Cancel::default())
    };
    assert!([1, 48, 100, bytes.len() - 40, bytes.len() - 1].into_iter().all(|len| cut(len).is_err()));
    let source = || Source::Reader(Box::new(std::io::Cursor::new(lying.bytes())), "index".into());
    let wrong = image::fetch_index(source(), Some(&sha256(&bytes)), None, &Cancel::default()).unwrap_err();
    assert!(matches!(wrong, ImageError::DigestMismatch { .. }), "{wrong:?}");
}

#[test]
fn faults_while_it_fetches_are_survived_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let delta = DeltaRequest::new(index(&new));
    let mut held = new.clone();
    [3, 5, 8, 11].iter().for_each(|mib| held[mib * MIB..][..MIB].fill(0xee));
    let mut other = new.clone();
    other[8 * MIB + 5] ^= 1;
    let other = std::sync::Arc::new(other);
    for at in 1..5 {
        for fault in [Answer::Cut(1000), Answer::Status(503), Answer::Other(other.clone())] {
            let script = (0..at).map(|_| Answer::Proper).chain([fault.clone()]);
            let server = Server::new(new.clone(), script);
            let path = target(dir.path(), &held);
            by(from_http(vec![server.url.clone()]), delta.clone(), &path)
                .unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_written(&fs::read(&path).unwrap(), &new);
        }
    }
}

/// What `burin index` and casync make of a file.
fn indexes(dir: &Path, image: &Path) -> Vec<Vec<u8>> {
    let ours = burin("index").arg(image).output().unwrap();
    assert!(ours.status.success(), "{ours:?}");
    let mut made = vec![ours.stdout];
    if have("casync") {
        let (theirs, store) = (dir.join("theirs.caibx"), dir.join("store"));
        let words = ["make", "--digest=sha256", "--chunk-size=262144:262144:262144", "--store"];
        let done =
            std::process::Command::new("casync").args(words).args([&store, &theirs]).arg(image).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        made.push(fs::read(theirs).unwrap());
    }
    made
}

pub fn run(url: &str, path: &Path, more: &[&str]) -> (i32, Vec<serde_json::Value>) {
    let output = burin("write").args([url, "--file", "--json"]).arg(path).args(more).output().unwrap();
    (output.status.code().unwrap(), lines(&output))
}

#[test]
fn on_the_command_line_over_http_by_our_index_and_by_casyncs() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let image = dir.path().join("image");
    fs::write(&image, &new).unwrap();
    let mut held = new.clone();
    held[5 * MIB + 17] ^= 1;
    for index in indexes(dir.path(), &image) {
        let digest = sha256(&index);
        let server = Server::new(seekable(&new), []).beside("/image.caibx", index);
        let path = target(dir.path(), &held);
        let more = ["--delta", &server.at("/image.caibx"), "--delta-sha256", digest.trim_start_matches("sha256:")];
        let (status, lines) = run(&server.url, &path, &more);
        let receipt = &lines.last().unwrap()["data"];
        assert_eq!((status, &receipt["delta"]["used"]), (0, &true.into()), "{receipt}");
        assert_eq!(receipt["delta"]["reused_bytes"], 14 * MIB);
        assert!(receipt["delta"]["fetched_bytes"].as_u64().unwrap() < LEN as u64 * 2 / 3, "{receipt}");
        assert_written(&fs::read(&path).unwrap(), &new);
        let (status, lines) =
            run(&server.url, &path, &["--delta", &server.at("/image.caibx"), "--delta-sha256", &"0".repeat(64)]);
        assert_eq!((status, lines.last().unwrap()["data"]["code"].as_str()), (1, Some("image.digest_mismatch")));
    }
}

#[test]
fn killed_in_the_middle_it_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let new = noise(LEN, 7);
    let server = Server::new(seekable(&new), []).beside("/image.caibx", index(&new).bytes());
    let at = server.at("/image.caibx");
    let path = target(dir.path(), dirt(LEN));
    let mut child = burin("write")
        .args([&server.url, "--file", "--json", "--limit-rate", "6000000", "--delta-always", "--delta", &at])
        .arg(&path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let written =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["data"]["written_bytes"].as_u64();
    loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0, "it ended before the kill");
        if written(&line).is_some_and(|bytes| bytes >= 10 * MIB as u64) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_unbootable(&path);
    let (status, lines) = run(&server.url, &path, &["--delta", &at]);
    let delta = &lines.last().unwrap()["data"]["delta"];
    assert_eq!((status, &delta["used"]), (0, &true.into()), "{delta}");
    assert!(delta["reused_bytes"].as_u64().unwrap() >= 9 * MIB as u64, "{delta}");
    assert_written(&fs::read(&path).unwrap(), &new);
}
