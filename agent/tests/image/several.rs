//! One download onto several devices: each is written and read back, and the failure of one does not affect the others.

use crate::support::*;
use burin::disk::{Backend, Target};
use burin::error::Coded;
use burin::image::{self, Cancel, Destination, ImageError, Progress, Snapshot, Source, WriteRequest};
use burin::protocol::ImageReceipt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files of these lengths, full of noise.
fn files(dir: &Path, lengths: &[usize]) -> Vec<PathBuf> {
    let file = |(index, len): (usize, &usize)| {
        let path = dir.join(format!("target-{index}"));
        fs::write(&path, dirt(*len)).unwrap();
        path
    };
    lengths.iter().enumerate().map(file).collect()
}

fn write(request: WriteRequest, paths: &[PathBuf]) -> Vec<Result<ImageReceipt, ImageError>> {
    let targets: Vec<Target> = paths.iter().map(|path| Target::open_file(path).unwrap()).collect();
    let destinations: Vec<_> = targets.iter().map(|target| Destination { target, progress: &() }).collect();
    let ended = image::write_all(request, &destinations, &Cancel::default()).unwrap();
    ended.into_iter().map(|ended| ended.map(|written| written.receipt)).collect()
}

#[test]
fn all_get_the_image_from_one_download() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(20 * MIB + 4096);
    let paths = files(dir.path(), &[21 * MIB, 24 * MIB, 22 * MIB + 7]);
    let wire = tool(dir.path(), &["zstd", "-c", "-q"], &image);
    for backend in [Backend::Auto, Backend::Threads] {
        for (wire, digest) in [(wire.clone(), None), (image.clone(), Some(sha256(&image)))] {
            let length = wire.len() as u64;
            let server = Server::new(wire, []);
            let mut request = from_http(vec![server.url.clone()]);
            request.digest.content = digest.clone();
            request.options.backend = backend;
            for (path, ended) in paths.iter().zip(write(request, &paths)) {
                let receipt = ended.unwrap();
                assert_eq!(receipt.device, path.display().to_string());
                assert_eq!((receipt.wire_bytes, &receipt.digest.content), (length, &digest));
                assert!(receipt.verified_bytes >= image.len() as u64);
                assert_written(&fs::read(path).unwrap(), &image);
                fs::write(path, dirt(fs::metadata(path).unwrap().len() as usize)).unwrap();
            }
            assert_eq!(server.requests().len(), 1);
        }
    }
}

#[test]
fn one_that_is_too_small_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let wire = tool(dir.path(), &["zstd", "-c", "-q"], &image);
    for (wire, known) in [(image.clone(), true), (wire, false)] {
        let paths = files(dir.path(), &[10 * MIB, 9 * MIB - 4096, 9 * MIB]);
        let server = Server::new(wire, []);
        let ended = write(from_http(vec![server.url.clone()]), &paths);
        let error = ended[1].as_ref().unwrap_err();
        assert_eq!(error.code(), "image.too_large");
        assert_eq!(matches!(error, ImageError::Stopped { .. }), !known);
        match known {
            true => assert_eq!(fs::read(&paths[1]).unwrap(), dirt(9 * MIB - 4096), "the target was touched"),
            false => assert_untouched_or_unbootable(error, &paths[1]),
        }
        for index in [0, 2] {
            assert!(ended[index].is_ok(), "{ended:?}");
            assert_written(&fs::read(&paths[index]).unwrap(), &image);
        }
    }
    // And where all are, nothing hangs.
    let paths = files(dir.path(), &[2 * MIB, 3 * MIB]);
    let wire = tool(dir.path(), &["zstd", "-c", "-q"], &image);
    let targets: Vec<Target> = paths.iter().map(|path| Target::open_file(path).unwrap()).collect();
    let destinations: Vec<_> = targets.iter().map(|target| Destination { target, progress: &() }).collect();
    // That may be found out before a target is touched, or later.
    match image::write_all(from_bytes(wire), &destinations, &Cancel::default()) {
        Err(error) => {
            assert_eq!(error.code(), "image.too_large");
            paths.iter().for_each(|path| assert_untouched_or_unbootable(&error, path));
        }
        Ok(ended) => {
            for (ended, path) in ended.into_iter().zip(&paths) {
                assert_eq!(ended.unwrap_err().code(), "image.too_large");
                assert_unbootable(path);
            }
        }
    }
}

/// Shrinks a loop device to nothing once bytes were written: from then on every operation fails, as on a disk that was
/// pulled out.
struct Puller<'a> {
    device: &'a Loop,
    pulled: Mutex<bool>,
}

impl Progress for Puller<'_> {
    fn tick(&self, now: &Snapshot) {
        let mut pulled = self.pulled.lock().unwrap();
        if now.written_bytes > 0 && !*pulled {
            *pulled = true;
            self.device.pull();
        }
    }
}

#[test]
fn one_that_is_pulled_out_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(12 * MIB, 5);
    let Some(device) = Loop::new(dir.path(), 16 * MIB, 512) else { return };
    let server = Server::new(image.clone(), []);
    let kept = dirty_file(dir.path(), 13 * MIB);
    let targets = [Target::open_device(&device.device).unwrap(), Target::open_file(&kept).unwrap()];
    let puller = Puller { device: &device, pulled: Mutex::default() };
    let destinations =
        [Destination { target: &targets[0], progress: &puller }, Destination { target: &targets[1], progress: &() }];
    let mut http = http(vec![server.url.clone()]);
    // Slow enough for the pulling to come in the middle.
    http.rate = Some(8 << 20);
    let request = WriteRequest::new(Source::Http(http));
    let ended = image::write_all(request, &destinations, &Cancel::default()).unwrap();
    assert!(*puller.pulled.lock().unwrap());
    let error = ended[0].as_ref().unwrap_err();
    assert!(matches!(error.code(), "disk.gone" | "disk.readback_mismatch"), "{error:?}");
    assert!(matches!(error, ImageError::Stopped { .. }));
    assert!(ended[1].is_ok(), "{ended:?}");
    assert_written(&fs::read(&kept).unwrap(), &image);
}

#[test]
fn what_is_wrong_with_the_image_stops_all_of_them_unbootable() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let paths = files(dir.path(), &[10 * MIB, 11 * MIB]);
    let mut short = tool(dir.path(), &["zstd", "-c", "-q"], &image);
    short.truncate(short.len() - 5);
    let mut mistaken = from_bytes(image.clone());
    mistaken.digest.content = Some(format!("sha256:{}", "0".repeat(64)));
    let mut mistaken_wire = from_bytes(image);
    mistaken_wire.digest.wire = Some(format!("sha256:{}", "0".repeat(64)));
    let cases = [
        (from_bytes(short), "image.truncated"),
        (mistaken, "image.digest_mismatch"),
        (mistaken_wire, "image.digest_mismatch"),
    ];
    for (request, code) in cases {
        for (path, ended) in paths.iter().zip(write(request, &paths)) {
            let error = ended.unwrap_err();
            assert_eq!(error.code(), code, "{error:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert_unbootable(path);
        }
        paths.iter().for_each(|path| fs::write(path, dirt(10 * MIB)).unwrap());
    }
}

#[test]
fn a_cancellation_stops_all_of_them_unbootable() {
    struct AtOnce<'a>(&'a Cancel);
    impl Progress for AtOnce<'_> {
        fn tick(&self, now: &Snapshot) {
            if now.written_bytes > 0 {
                self.0.cancel();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let paths = files(dir.path(), &[10 * MIB, 11 * MIB]);
    let server = Server::new(noise(9 * MIB, 1), []).always(Answer::Hang(5 * MIB));
    let targets: Vec<Target> = paths.iter().map(|path| Target::open_file(path).unwrap()).collect();
    let cancel = Cancel::default();
    let watch = AtOnce(&cancel);
    let destinations: Vec<_> = targets.iter().map(|target| Destination { target, progress: &watch }).collect();
    let mut http = http(vec![server.url.clone()]);
    http.stall = std::time::Duration::from_secs(3600);
    let ended = image::write_all(WriteRequest::new(Source::Http(http)), &destinations, &cancel).unwrap();
    for (path, ended) in paths.iter().zip(ended) {
        assert_eq!(ended.unwrap_err().code(), "cancelled");
        assert_unbootable(path);
    }
}

#[test]
fn on_the_command_line_each_target_has_its_line_and_any_failure_is_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB);
    let server = Server::new(image.clone(), []);
    let paths = files(dir.path(), &[4 * MIB, 5 * MIB]);
    let missing = dir.path().join("missing");
    let run = |targets: &[&Path]| {
        let output = burin("write").args([&server.url, "--file", "--json"]).args(targets).output().unwrap();
        let ended: Vec<(String, String)> = lines(&output)
            .into_iter()
            .filter(|line| line["event"] == "receipt" || line["event"] == "error")
            .map(|line| (line["device"].as_str().unwrap().to_owned(), line["event"].as_str().unwrap().to_owned()))
            .collect();
        (output.status.code().unwrap(), ended)
    };
    let named = |path: &Path, event: &str| (path.display().to_string(), event.to_owned());
    let (status, ended) = run(&[&paths[0], &paths[1]]);
    assert_eq!((status, ended), (0, vec![named(&paths[0], "receipt"), named(&paths[1], "receipt")]));
    assert_eq!(server.requests().len(), 1);
    paths.iter().for_each(|path| assert_written(&fs::read(path).unwrap(), &image));
    let (status, ended) = run(&[&paths[0], &missing, &paths[1]]);
    assert_eq!(status, 1);
    assert_eq!(ended, [named(&paths[0], "receipt"), named(&missing, "error"), named(&paths[1], "receipt")]);
    let (status, ended) = run(&[&missing]);
    assert_eq!((status, ended), (1, vec![named(&missing, "error")]));
}
