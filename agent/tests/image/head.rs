//! What the first MiB tells is looked at before a target is touched, and both ends of a disk can be kept back.

use crate::support::*;
use burin::disk::{Backend, Target};
use burin::error::Coded;
use burin::image::{
    self, Cancel, Destination, Ending, Head, ImageError, Inspect, Refusal, TableKind, Withheld, WriteRequest, Written,
};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

#[derive(Debug, thiserror::Error)]
#[error("not wanted")]
struct Unwanted;

impl Coded for Unwanted {
    fn code(&self) -> &'static str {
        "test.unwanted"
    }
}

fn write(request: WriteRequest, path: &Path) -> Result<Written, ImageError> {
    let target = Target::open_file(path)?;
    let destinations = [Destination { target: &target, progress: &() }];
    image::write_all(request, &destinations, &Cancel::default())?.remove(0)
}

/// The same image: raw, compressed, with a seek table and by HTTP.
fn requests(image: &[u8]) -> Vec<(WriteRequest, Option<Server>)> {
    let compressed = zstd::bulk::compress(image, 1).unwrap();
    let served = Server::new(image.to_vec(), []);
    let mut all = vec![(from_http(vec![served.url.clone()]), Some(served))];
    all.extend([image.to_vec(), compressed, seekable(image)].map(|bytes| (from_bytes(bytes), None)));
    all
}

#[test]
fn what_is_refused_leaves_the_target_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let disk = gpt_image(9 * MIB, 512);
    for (mut request, _server) in requests(&disk) {
        let path = dirty_file(dir.path(), 12 * MIB);
        let before = fs::read(&path).unwrap();
        let seen = Arc::new(Mutex::new(None));
        let told = seen.clone();
        request.inspect = Some(Inspect::new(move |head: &Head<'_>| {
            *told.lock().unwrap() = Some((head.table.clone(), head.bytes.to_vec()));
            Err(Refusal(Box::new(Unwanted)))
        }));
        let error = write(request, &path).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), ("test.unwanted", "not wanted"));
        assert!(fs::read(&path).unwrap() == before, "the target was touched");
        let (table, bytes) = seen.lock().unwrap().take().unwrap();
        let table = table.unwrap();
        assert!(bytes == disk[..MIB]);
        assert_eq!((table.kind, table.sectors.as_slice(), table.complete), (TableKind::Gpt, &[512][..], true));
        let [only] = table.partitions.as_slice() else { panic!("{table:?}") };
        assert_eq!((only.number, only.start, only.name.as_deref()), (1, 2048, Some("root")));
        assert_eq!((only.type_guid, only.guid), (Some([7; 16]), Some([9; 16])));
    }
}

#[test]
fn both_ends_are_kept_back_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    // As large as the disk, smaller, and ending within its last MiB; on disks of whole MiB and others.
    for (len, size) in [
        (9 * MIB, 9 * MIB),
        (9 * MIB, 12 * MIB),
        (9 * MIB + 8192, 10 * MIB),
        (9 * MIB + 4096, 9 * MIB + 4096),
        (2 * MIB, 2 * MIB),
        (MIB + 4096, MIB + 4096),
        (9 * MIB + 512, 9 * MIB + 512),
    ] {
        let disk = gpt_image(len / 512 * 512, 512);
        for (mut request, _server) in requests(&disk) {
            let path = dirty_file(dir.path(), size);
            request.ending = Ending::Withhold;
            request.digest.content = Some(sha256(&disk));
            request.options.backend = Backend::Threads;
            let Written { receipt, withheld } = write(request, &path).unwrap();
            let Withheld { head, tail } = withheld.unwrap();
            let mut written = fs::read(&path).unwrap();
            let start = size / 4096 * 4096;
            let start = start.saturating_sub(MIB).max(MIB);
            assert!(written[..MIB.min(size)].iter().all(|byte| *byte == 0), "the first MiB of {size}");
            assert!(written[start..].iter().all(|byte| *byte == 0), "the last MiB of {size}");
            assert_eq!(tail.is_some(), len > start, "{len} on {size}");
            // Put back, it is what a write without keeping back leaves.
            written[..head.len()].copy_from_slice(&head);
            if let Some((offset, tail)) = tail {
                assert_eq!(offset as usize, start);
                written[start..].copy_from_slice(&tail);
            }
            assert_written(&written, &disk);
            assert_eq!(receipt.digest.content, Some(sha256(&disk)));
            assert_eq!(receipt.readback.unwrap().digest, of_mib(&disk));
        }
    }
}

#[test]
fn keeping_back_goes_with_an_index_too() {
    let dir = tempfile::tempdir().unwrap();
    let new = gpt_image(9 * MIB + 8192, 512);
    let source = image::Source::Reader(Box::new(std::io::Cursor::new(new.clone())), "test".into());
    let index = image::index(source, image::Options::default(), &Cancel::default()).unwrap();
    let server = Server::new(new.clone(), []);
    let path = dir.path().join("target");
    // The whole image is there already, with its ends.
    fs::write(&path, &new).unwrap();
    let mut request = from_http(vec![server.url.clone()]);
    request.delta = Some(image::DeltaRequest { always: true, ..image::DeltaRequest::new(index) });
    request.ending = Ending::Withhold;
    let Written { receipt, withheld } = write(request, &path).unwrap();
    assert!(receipt.skipped_bytes >= 7 * MIB as u64, "{receipt:?}");
    assert_eq!(receipt.readback.unwrap().digest, of_mib(&new));
    let Withheld { head, tail } = withheld.unwrap();
    let mut written = fs::read(&path).unwrap();
    let (offset, tail) = tail.unwrap();
    let offset = offset as usize;
    assert!(written[..MIB].iter().chain(&written[offset..]).all(|byte| *byte == 0));
    written[..MIB].copy_from_slice(&head);
    written[offset..].copy_from_slice(&tail);
    assert!(written == new);
}

#[test]
fn a_damaged_beginning_is_told_before_the_target_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let disk = gpt_image(4 * MIB, 512);
    let mut broken = tool(dir.path(), &["gzip", "-c", "-1"], &disk);
    broken[40_000..41_000].fill(0x55);
    let path = dirty_file(dir.path(), 12 * MIB);
    let before = fs::read(&path).unwrap();
    let error = write(from_bytes(broken), &path).unwrap_err();
    assert_eq!(error.code(), "image.corrupt");
    assert!(!matches!(error, ImageError::Stopped { .. }) && fs::read(&path).unwrap() == before);
}
