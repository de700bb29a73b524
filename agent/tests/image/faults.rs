//! Bad sources: a stable code, a first MiB of zeros, and never success.

use crate::support::*;
use burin::disk::Target;
use burin::error::Coded;
use burin::image::{self, Cancel, Http, ImageError, Source, WriteRequest};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn zst(dir: &Path, image: &[u8]) -> Vec<u8> {
    tool(dir, &["zstd", "-c", "-q", "-1"], image)
}

/// Writes from `urls` onto a dirty file.
fn attempt(dir: &Path, urls: Vec<String>) -> Result<Vec<u8>, ImageError> {
    write(dir, http(urls))
}

/// The same for one that fails whatever is tried: there is nothing to be gained from another try.
fn attempt_once(dir: &Path, url: &str) -> Result<Vec<u8>, ImageError> {
    write(dir, Http { patience: Duration::ZERO, ..http(vec![url.to_owned()]) })
}

fn write(dir: &Path, http: Http) -> Result<Vec<u8>, ImageError> {
    let target = dirty_file(dir, 12 * MIB);
    let written = write_to_file(WriteRequest::new(Source::Http(http)), &target);
    if let Err(error) = &written {
        match error {
            ImageError::Stopped { .. } => assert_unbootable(&target),
            _ => assert_eq!(fs::read(&target).unwrap(), dirt(12 * MIB), "touched, though: {error:?}"),
        }
    }
    written.map(|_| fs::read(&target).unwrap())
}

#[test]
fn a_connection_cut_at_twenty_random_points_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    // Twenty places that look random and are the same every time.
    let places = noise(20 * 8, 77);
    let place = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()) as usize % wire.len();
    let mut cuts: Vec<usize> = places.chunks_exact(8).map(place).collect();
    cuts.extend([0, 1, wire.len() - 1]);
    for cut in cuts {
        let server = Server::new(wire.clone(), [Answer::Cut(cut), Answer::Cut(cut / 2)]);
        let written = attempt(dir.path(), vec![server.url.clone()]);
        assert_written(&written.unwrap_or_else(|error| panic!("cut at {cut}: {error:?}")), &image);
        let requests = server.requests();
        assert!(requests.len() >= 2, "{requests:?}");
        if cut > 0 {
            assert!(requests[1].contains("range: bytes=") && requests[1].contains("if-range: \"one\""), "{requests:?}");
        }
    }
}

#[test]
fn a_stalled_connection_is_given_up_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let server = Server::new(wire.clone(), [Answer::Hang(wire.len() / 2)]);
    let mut http = http(vec![server.url.clone()]);
    http.stall = Duration::from_millis(500);
    http.patience = Duration::from_secs(60);
    let target = dirty_file(dir.path(), 12 * MIB);
    write_to_file(WriteRequest::new(Source::Http(http)), &target).unwrap();
    assert_written(&fs::read(&target).unwrap(), &image);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_server_without_range_starts_over_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let server = Server::new(wire.clone(), [Answer::Cut(wire.len() / 2), Answer::Whole]);
    let target = dirty_file(dir.path(), 12 * MIB);
    let opened = Target::open_file(&target).unwrap();
    let notes = Notes::default();
    image::write(from_http(vec![server.url.clone()]), &opened, &notes, &Cancel::default()).unwrap();
    assert_written(&fs::read(&target).unwrap(), &image);
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|note| note.contains("starting over")), "{notes:?}");
}

/// The whole and a mirror that has other bytes of the same length, under the same ETag.
#[test]
fn a_mirror_that_lies_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let mut other = wire.clone();
    let half = other.len() / 2;
    // Right where it takes over: the bytes that are fetched again differ.
    other[half - 1] ^= 1;
    let honest = || Server::new(wire.clone(), [Answer::Cut(half)]).always(Answer::Status(503));
    let liar = Server::new(other, []);
    let error = attempt(dir.path(), vec![honest().url, liar.url.clone()]).unwrap_err();
    assert!(matches!(error.code(), "image.changed" | "image.http_status"), "{error:?}");
    // Behind it nothing but a digest can tell.
    let mut later = wire.clone();
    later[half + 100_000] ^= 1;
    let liar = Server::new(later, []);
    let target = dirty_file(dir.path(), 12 * MIB);
    let mut request = from_http(vec![honest().url, liar.url]);
    request.digest.content = Some(sha256(&image));
    let error = write_to_file(request, &target).unwrap_err();
    assert!(matches!(error.code(), "image.digest_mismatch" | "image.corrupt"), "{error:?}");
    assert_unbootable(&target);
}

#[test]
fn two_hundred_instead_of_206_is_compared_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let mut other = wire.clone();
    other[7] ^= 1;
    let cut = [Answer::Cut(wire.len() / 2)];
    let good = Server::new(wire.clone(), cut.clone()).always(Answer::Whole);
    assert_written(&attempt(dir.path(), vec![good.url.clone()]).unwrap(), &image);
    assert_eq!(good.requests().len(), 2);
    // The first bytes of what is sent again are others, far before the place where it broke off.
    let first = Server::new(wire, cut).always(Answer::Status(404));
    let second = Server::new(other, []).always(Answer::Whole);
    let error = attempt(dir.path(), vec![first.url.clone(), second.url.clone()]).unwrap_err();
    assert!(matches!(error.code(), "image.changed" | "image.not_found"), "{error:?}");
}

#[test]
fn a_device_one_sector_smaller_than_the_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(4 * MIB);
    let wire = zst(dir.path(), &image);
    for sector in [512, 4096] {
        for (bytes, known) in [(image.clone(), true), (wire.clone(), false)] {
            let Some(device) = Loop::new(dir.path(), 4 * MIB - sector as usize, sector) else { return };
            let server = Server::new(bytes, []);
            let target = Target::open_device(&device.device).unwrap();
            let error =
                image::write(from_http(vec![server.url.clone()]), &target, &(), &Cancel::default()).unwrap_err();
            drop(target);
            assert_eq!(error.code(), "image.too_large", "{error:?}");
            let bytes = fs::read(&device.device).unwrap();
            match known {
                true => assert!(bytes == dirt(bytes.len()), "the device was touched"),
                false => assert!(bytes[..MIB].iter().all(|byte| *byte == 0)),
            }
        }
    }
}

#[test]
fn other_bytes_on_a_resume_are_never_spliced_in() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let half = wire.len() / 2;
    let mut other = wire.clone();
    other[half - 1] ^= 1;
    let other = Arc::new(other);
    for again in
        [Answer::Etag("two"), Answer::Other(other.clone()), Answer::WrongRange, Answer::Length(wire.len() as u64 + 1)]
    {
        let server = Server::new(wire.clone(), [Answer::Cut(half)]).always(again.clone());
        let error = attempt(dir.path(), vec![server.url.clone()]).unwrap_err();
        assert_eq!(error.code(), "image.changed", "{again:?}: {error:?}");
    }
    // The same without Range: the whole first half is compared.
    let whole = Server::new(wire.clone(), [Answer::Cut(half)]);
    let lying = Server::new(other.to_vec(), []).always(Answer::Whole);
    let error = attempt(dir.path(), vec![whole.url.clone(), lying.url.clone()]);
    // The honest mirror still is there for the rest.
    assert_written(&error.unwrap(), &image);
}

#[test]
fn another_mirror_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = zst(dir.path(), &image);
    let good = Server::new(wire.clone(), []);
    for first in [Answer::Status(404), Answer::Status(503), Answer::Cut(wire.len() / 3), Answer::Cut(0)] {
        let bad = Server::new(wire.clone(), []).always(first.clone());
        let written = attempt(dir.path(), vec![bad.url.clone(), good.url.clone()]);
        assert_written(&written.unwrap_or_else(|error| panic!("{first:?}: {error:?}")), &image);
    }
}

#[test]
fn refusals_keep_their_codes_and_leave_the_target_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (status, code) in [(404, "image.not_found"), (403, "image.denied"), (400, "image.http_status")] {
        let server = Server::new(Vec::new(), []).always(Answer::Status(status));
        let error = attempt_once(dir.path(), &server.url).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(!matches!(error, ImageError::Stopped { .. }));
    }
    let server = Server::new(Vec::new(), []).always(Answer::Status(503));
    assert_eq!(attempt_once(dir.path(), &server.url).unwrap_err().code(), "image.http_status");
    let nobody = "http://127.0.0.1:9/image".to_owned();
    assert_eq!(attempt_once(dir.path(), &nobody).unwrap_err().code(), "image.unreachable");
    let empty = Server::new(Vec::new(), []);
    assert_eq!(attempt_once(dir.path(), &empty.url).unwrap_err().code(), "image.truncated");
}

#[test]
fn redirects_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let real = Server::new(image.clone(), []);
    let front = Server::new(Vec::new(), []).always(Answer::Redirect(real.url.clone()));
    assert_written(&attempt(dir.path(), vec![front.url.clone()]).unwrap(), &image);
}

#[test]
fn a_body_shorter_than_its_length_is_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB);
    let server = Server::new(image.clone(), []).always(Answer::Length(image.len() as u64 + 5));
    assert_eq!(attempt_once(dir.path(), &server.url).unwrap_err().code(), "image.truncated");
    // Too short a length cuts a compressed image, and its end is missed.
    let wire = zst(dir.path(), &image);
    let server = Server::new(wire.clone(), []).always(Answer::Length(wire.len() as u64 - 5));
    assert_eq!(attempt_once(dir.path(), &server.url).unwrap_err().code(), "image.truncated");
}

#[test]
fn a_compressed_image_cut_anywhere_is_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB + 4096);
    for command in [
        &["gzip", "-c"][..],
        &["xz", "-c", "-0"],
        &["zstd", "-c", "-q"],
        &["pzstd", "-c", "-q"],
        &["lz4", "-c", "-q"],
        &["bzip2", "-c"],
    ] {
        if !have(command[0]) {
            continue;
        }
        let wire = tool(dir.path(), command, &image);
        let mut lengths: Vec<usize> = (8..24).chain(wire.len() - 12..wire.len()).collect();
        lengths.extend((1..12).map(|part| wire.len() * part / 12));
        for length in lengths {
            let target = dirty_file(dir.path(), 3 * MIB);
            let error = write_to_file(from_bytes(wire[..length].to_vec()), &target);
            let error = error.err().unwrap_or_else(|| panic!("{command:?} cut at {length} passed"));
            assert_eq!(error.code(), "image.truncated", "{command:?} cut at {length}: {error:?}");
            assert_untouched_or_unbootable(&error, &target);
        }
    }
}

#[test]
fn something_behind_a_compressed_image_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    for command in
        [&["gzip", "-c"][..], &["xz", "-c", "-0"], &["zstd", "-c", "-q"], &["lz4", "-c", "-q"], &["bzip2", "-c"]]
    {
        if !have(command[0]) {
            continue;
        }
        let wire = tool(dir.path(), command, &image);
        let zeros = &b"\0"[..];
        for garbage in [&b"x"[..], zeros, b"garbage that is a little longer"] {
            // gzip itself takes no notice of them.
            if command[0] == "gzip" && garbage == zeros {
                continue;
            }
            let target = dirty_file(dir.path(), 3 * MIB);
            let error = write_to_file(from_bytes([&wire, garbage].concat()), &target);
            let error = error.err().unwrap_or_else(|| panic!("{command:?} with {garbage:?} passed"));
            assert_eq!(error.code(), "image.trailing_garbage", "{command:?} with {garbage:?}: {error:?}");
            assert_untouched_or_unbootable(&error, &target);
        }
    }
}

#[test]
fn a_flipped_byte_is_never_written_with_success() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB + 4096);
    let raw = image.clone();
    let commands: [&[&str]; 6] = [
        &["cat"],
        &["gzip", "-c"],
        &["xz", "-c", "-0"],
        &["zstd", "-c", "-q", "--no-check"],
        &["lz4", "-c", "-q", "--no-frame-crc"],
        &["bzip2", "-c"],
    ];
    for command in commands {
        if !have(command[0]) {
            continue;
        }
        let wire = tool(dir.path(), command, &raw);
        let digest = {
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(&raw);
            format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        for part in 0..16 {
            let at = (wire.len() - 1) * part / 15;
            let mut bad = wire.clone();
            bad[at] ^= 1 << (part % 8);
            let target = dirty_file(dir.path(), 3 * MIB);
            let mut request = from_bytes(bad);
            request.digest.content = Some(digest.clone());
            match write_to_file(request, &target) {
                Err(error @ ImageError::Stopped { .. }) => {
                    assert_unbootable(&target);
                    assert!(error.code().starts_with("image."), "{error:?}");
                }
                Err(_) => assert_eq!(fs::read(&target).unwrap(), dirt(3 * MIB)),
                // A header's name or time may change without changing the image.
                Ok(_) => assert_written(&fs::read(&target).unwrap(), &image),
            }
        }
    }
}

#[test]
fn a_wrong_digest_of_either_kind_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB);
    let wrong = format!("sha256:{}", "0".repeat(64));
    for wire in [true, false] {
        let target = dirty_file(dir.path(), 4 * MIB);
        let mut request = from_bytes(image.clone());
        let place = if wire { &mut request.digest.wire } else { &mut request.digest.content };
        *place = Some(wrong.clone());
        let error = write_to_file(request, &target).unwrap_err();
        assert_eq!(error.code(), "image.digest_mismatch");
        assert_unbootable(&target);
    }
    let target = dirty_file(dir.path(), 4 * MIB);
    let mut request = from_bytes(image);
    request.digest.wire = Some("sha256:short".into());
    assert_eq!(write_to_file(request, &target).unwrap_err().code(), "image.digest_invalid");
    assert_eq!(fs::read(&target).unwrap(), dirt(4 * MIB));
}

#[test]
fn what_is_no_disk_image_is_refused_before_the_target_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let page = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>".to_vec();
    let zip = b"PK\x03\x04 and so on".to_vec();
    for bytes in [page.clone(), zip] {
        let target = dirty_file(dir.path(), 2 * MIB);
        assert_eq!(write_to_file(from_bytes(bytes), &target).unwrap_err().code(), "image.unsupported");
        assert_eq!(fs::read(&target).unwrap(), dirt(2 * MIB));
    }
    // Inside a compression too.
    let target = dirty_file(dir.path(), 2 * MIB);
    let error = write_to_file(from_bytes(zst(dir.path(), &page)), &target).unwrap_err();
    assert_eq!(error.code(), "image.unsupported");
    assert_eq!(fs::read(&target).unwrap(), dirt(2 * MIB));
}

#[test]
fn a_zstd_window_beyond_the_limit_has_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    // Streamed without a known size, so that the frame needs the whole window; too large for a worker.
    let wire = tool(dir.path(), &["zstd", "-c", "-q", "-1", "--long=27"], &noise(9 * MIB, 5));
    let target = dirty_file(dir.path(), 10 * MIB);
    let mut request = from_bytes(wire);
    request.options.window_log = 20;
    let error = write_to_file(request, &target).unwrap_err();
    assert_eq!(error.code(), "image.window_too_large", "{error:?}");
}

#[test]
fn a_cancelled_write_ends_while_the_source_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let server = Server::new(image, []).always(Answer::Hang(5 * MIB));
    let target = dirty_file(dir.path(), 12 * MIB);
    let opened = Target::open_file(&target).unwrap();
    let cancel = Cancel::default();
    let mut http = http(vec![server.url.clone()]);
    // Only the cancellation can end it.
    http.stall = Duration::from_secs(3600);
    let request = WriteRequest::new(Source::Http(http));
    let error = std::thread::scope(|scope| {
        let writing = scope.spawn(|| image::write(request, &opened, &(), &cancel));
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
        writing.join().unwrap().unwrap_err()
    });
    assert_eq!(error.code(), "cancelled");
    assert!(matches!(error, ImageError::Stopped { .. }), "{error:?}");
    assert_unbootable(&target);
}
