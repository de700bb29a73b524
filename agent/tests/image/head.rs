//! The first MiB is checked before a target is touched, and both ends of a disk can be withheld.

use crate::support::*;
use burin::disk::{Backend, Target};
use burin::error::Coded;
use burin::image::{
    self, Cancel, Destination, Ending, Head, ImageError, Inspect, Refusal, Withheld, WriteRequest, Written,
};
use burin_table::head::TableKind;
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
        assert!(bytes == disk[..MIB]);
        assert_eq!((table.table, table.sector_size, table.fault), (TableKind::Gpt, Some(512), None));
        let [only] = table.partitions.as_slice() else { panic!("{table:?}") };
        assert_eq!((only.number, only.start, only.name.as_str()), (1, MIB as u64, "root"));
    }
}

/// What a disk begins with as long as its ends are kept back.
const MARK: [u8; 512] = [7; 512];

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
            request.ending = Ending::Withhold { mark: MARK };
            request.digest.content = Some(sha256(&disk));
            request.options.backend = Backend::Threads;
            let Written { receipt, withheld } = write(request, &path).unwrap();
            let Withheld { head, tail } = withheld.unwrap();
            let mut written = fs::read(&path).unwrap();
            let start = size / 4096 * 4096;
            let start = start.saturating_sub(MIB).max(MIB);
            assert!(written[..512] == MARK && written[512..MIB.min(size)].iter().all(|byte| *byte == 0), "{size}");
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
    request.ending = Ending::Withhold { mark: MARK };
    let Written { receipt, withheld } = write(request, &path).unwrap();
    assert!(receipt.skipped_bytes >= 7 * MIB as u64, "{receipt:?}");
    assert_eq!(receipt.readback.unwrap().digest, of_mib(&new));
    let Withheld { head, tail } = withheld.unwrap();
    let mut written = fs::read(&path).unwrap();
    let (offset, tail) = tail.unwrap();
    let offset = offset as usize;
    assert!(written[..512] == MARK);
    assert!(written[512..MIB].iter().chain(&written[offset..]).all(|byte| *byte == 0));
    written[..MIB].copy_from_slice(&head);
    written[offset..].copy_from_slice(&tail);
    assert!(written == new);
}

#[test]
fn a_damaged_beginning_is_told_before_the_target_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let disk = gpt_image(4 * MIB, 512);
    let mut broken = tool(dir.path(), &["gzip", "-c", "-1"], &disk);
    // Behind the ten bytes of the header: a block of the type that does not exist (RFC 1951, 3.2.3). Damage within a
    // block may decode to something, and is found by the checksum at the end.
    broken[10] |= 0b110;
    let path = dirty_file(dir.path(), 12 * MIB);
    let before = fs::read(&path).unwrap();
    let error = write(from_bytes(broken), &path).unwrap_err();
    assert_eq!(error.code(), "image.corrupt");
    assert!(!matches!(error, ImageError::Stopped { .. }) && fs::read(&path).unwrap() == before);
}

/// Tables and filesystems whose sectors or blocks are not those of the disk.
#[test]
fn what_cannot_work_on_the_disks_sectors_is_refused_before_it_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let Some(native) = Loop::new(dir.path(), 8 * MIB, 4096) else { return };
    let Some(emulated) = Loop::new(dir.path(), 8 * MIB, 512) else { return };
    let mut mbr = vec![0; 4 * MIB];
    mbr[446 + 4..446 + 16].copy_from_slice(&[0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut fat = vec![0; 4 * MIB];
    fat[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    fat[11..17].copy_from_slice(&[0, 2, 1, 1, 0, 2]);
    fat[54..62].copy_from_slice(b"FAT16   ");
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    let wrong = [
        (&native, gpt_image(4 * MIB, 512), None),
        (&emulated, gpt_image(4 * MIB, 4096), None),
        (&native, mbr.clone(), None),
        (&emulated, mbr.clone(), Some(4096)),
        (&native, fat, None),
    ];
    for (number, (device, image, stated)) in wrong.into_iter().enumerate() {
        let target = Target::open_device(&device.device).unwrap();
        let destinations = [Destination { target: &target, progress: &() }];
        for bytes in [zstd::bulk::compress(&image, 1).unwrap(), image] {
            let request = WriteRequest { sector_size: stated, ..from_bytes(bytes) };
            let error = image::write_all(request, &destinations, &Cancel::default()).unwrap().remove(0).unwrap_err();
            assert_eq!(error.code(), "image.sector_size", "{number}: {error:?}");
            assert!(fs::read(&device.device).unwrap() == dirt(8 * MIB), "{number}: the device was touched");
        }
    }
    // And what fits is written.
    for (device, image, stated) in
        [(&native, gpt_image(4 * MIB, 4096), None), (&native, mbr.clone(), Some(4096)), (&emulated, mbr, None)]
    {
        let target = Target::open_device(&device.device).unwrap();
        let request = WriteRequest { sector_size: stated, ..from_bytes(image) };
        image::write(request, &target, &(), &Cancel::default()).unwrap();
    }
}

/// Cut where it was published, or on its way without anybody who would notice.
#[test]
fn an_image_that_ends_before_its_own_table_does_is_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let disk = gpt_image(9 * MIB, 512);
    let mut ext = vec![0; 6 * MIB];
    ext[1080..1082].copy_from_slice(&[0x53, 0xef]);
    ext[1024 + 4..1024 + 8].copy_from_slice(&(6 * MIB as u32 / 4096).to_le_bytes());
    ext[1048] = 2;
    for (whole, cut) in
        [(&disk, 5 * MIB), (&disk, MIB), (&disk, 9 * MIB - 40_000), (&ext, 2 * MIB), (&ext, 6 * MIB - 512)]
    {
        let raw = whole[..cut].to_vec();
        let file = dir.path().join("image");
        fs::write(&file, &raw).unwrap();
        for (request, known) in [
            (WriteRequest::new(image::Source::File(file.clone())), true),
            (from_bytes(raw.clone()), false),
            (from_bytes(zstd::bulk::compress(&raw, 1).unwrap()), false),
        ] {
            let path = dirty_file(dir.path(), 12 * MIB);
            let error = write(request, &path).unwrap_err();
            assert_eq!(error.code(), "image.truncated", "{cut}: {error:?}");
            assert_untouched_or_unbootable(&error, &path);
            assert!(!known || !matches!(error, ImageError::Stopped { .. }), "{cut}: the target was touched");
        }
    }
    // Without its backup table it is odd, but whole; and without any proof that it is, not even that.
    let raw = disk[..9 * MIB - 33 * 512].to_vec();
    let file = dir.path().join("image");
    fs::write(&file, &raw).unwrap();
    let path = dirty_file(dir.path(), 12 * MIB);
    let written = write(WriteRequest::new(image::Source::File(file)), &path).unwrap();
    assert!(written.receipt.anomalies.iter().any(|anomaly| anomaly.code == "image.no_backup_table"), "{written:?}");
    let error = write(from_bytes(raw), &path).unwrap_err();
    assert_eq!(error.code(), "image.truncated");
}

/// Beside what the table of magics is tested for by itself: at the start of the file and inside of every compression.
#[test]
fn what_is_no_disk_image_is_refused_however_it_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = gpt_image(2 * MIB, 512);
    let mut partclone = b"partclone-image\x000.3.13\0\0".to_vec();
    partclone.extend(noise(200_000, 3));
    let tools: [&[&str]; 5] =
        [&["gzip", "-c"], &["xz", "-c", "-0"], &["zstd", "-c", "-q"], &["lz4", "-c", "-q"], &["bzip2", "-c"]];
    let packed = tools.map(|command| tool(dir.path(), command, &disk));
    let mut foreign = vec![partclone, b"MSWIM\0\0\0 and more".to_vec()];
    for outer in tools {
        foreign.extend(packed.iter().map(|inner| tool(dir.path(), outer, inner)));
    }
    let wrapped = tool(dir.path(), &["xz", "-c", "-0"], &foreign[0]);
    for bytes in foreign.into_iter().chain([wrapped]) {
        let path = dirty_file(dir.path(), 4 * MIB);
        let error = write(from_bytes(bytes), &path).unwrap_err();
        assert_eq!(error.code(), "image.unsupported", "{error:?}");
        assert!(fs::read(&path).unwrap() == dirt(4 * MIB), "the target was touched: {error:?}");
    }
    let receipt = write(from_bytes(noise(2 * MIB, 9)), &dirty_file(dir.path(), 4 * MIB)).unwrap().receipt;
    assert!(receipt.anomalies.iter().any(|anomaly| anomaly.code == "image.unrecognized"), "{receipt:?}");
}
