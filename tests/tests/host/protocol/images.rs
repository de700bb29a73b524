//! The reference controller's image faults behave as described: the engine's tests rely on them.

use crate::support::*;
use burin_tests::controller::ImageFault;
use std::time::Duration;

const SIZE: usize = 300_000;

struct Images {
    bench: Bench,
    content: Vec<u8>,
}

struct Answer {
    status: u16,
    length: Option<u64>,
    bytes: Vec<u8>,
    whole: bool,
    ranges: bool,
}

fn images() -> Images {
    let bench = Bench::new(|options| options.images = Some(options.state.join("../images")));
    let directory = bench.options.images.clone().unwrap();
    std::fs::create_dir_all(&directory).unwrap();
    let content: Vec<u8> = (0..SIZE).map(|at| (at * 7 % 251) as u8).collect();
    std::fs::write(directory.join("disk.raw"), &content).unwrap();
    Images { bench, content }
}

impl Images {
    fn get(&self, range: Option<&str>) -> Answer {
        let timeouts = burin::http::Timeouts { read: Duration::from_secs(2), ..burin::http::Timeouts::DOWNLOADS };
        let agent = burin::http::agent(&trust(self.bench.directory.path()), &timeouts);
        let mut request = agent.get(format!("{}/images/disk.raw", self.bench.controller().url()));
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let mut response = request.call().unwrap();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let length = header("content-length").and_then(|length| length.parse().ok());
        let ranges = header("accept-ranges") == Some("bytes");
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let whole = std::io::Read::read_to_end(&mut response.body_mut().as_reader(), &mut bytes).is_ok();
        Answer { status, length, bytes, whole, ranges }
    }

    fn fault(&self, fault: ImageFault) {
        self.bench.controller().faults().set_image("disk.raw", fault, 1);
    }
}

#[test]
fn without_a_fault_files_come_whole_and_in_ranges() {
    let images = images();
    let answer = images.get(None);
    assert_eq!((answer.status, answer.length, answer.whole, answer.ranges), (200, Some(SIZE as u64), true, true));
    assert_eq!(answer.bytes, images.content);
    let part = images.get(Some("bytes=100-299999"));
    assert_eq!((part.status, part.bytes.as_slice()), (206, &images.content[100..]));
}

#[test]
fn truncated() {
    let images = images();
    images.fault(ImageFault::Truncate(123_456));
    let answer = images.get(None);
    assert_eq!((answer.status, answer.length, answer.whole), (200, Some(123_456), true));
    assert_eq!(answer.bytes, images.content[..123_456]);
    assert_eq!(images.get(None).bytes.len(), SIZE, "once is once");
}

#[test]
fn cut() {
    let images = images();
    for (range, first) in [(None, 0), (Some("bytes=1000-"), 1000)] {
        images.fault(ImageFault::Cut(200_000));
        let answer = images.get(range);
        assert!(!answer.whole);
        assert_eq!(answer.length, Some((SIZE - first) as u64));
        assert_eq!(answer.bytes, images.content[first..200_000]);
    }
}

#[test]
fn flipped() {
    let images = images();
    for range in [None, Some("bytes=150000-")] {
        images.fault(ImageFault::Flip(200_000));
        let first = if range.is_some() { 150_000 } else { 0 };
        let answer = images.get(range);
        let wrong: Vec<usize> = (first..SIZE).filter(|at| answer.bytes[at - first] != images.content[*at]).collect();
        assert_eq!((answer.whole, wrong), (true, vec![200_000]));
    }
}

#[test]
fn missing_and_without_ranges() {
    let images = images();
    images.fault(ImageFault::Status(404));
    assert_eq!(images.get(None).status, 404);
    images.fault(ImageFault::NoRange);
    let answer = images.get(Some("bytes=1000-"));
    assert_eq!((answer.status, answer.ranges, answer.bytes.len()), (200, false, SIZE));
}

#[test]
fn stalled() {
    let images = images();
    images.fault(ImageFault::Stall(100_000, Duration::from_secs(120)));
    let answer = images.get(None);
    assert!(!answer.whole && answer.bytes.len() < SIZE, "the read's time limit ends it");
}

#[test]
fn nothing_outside_the_directory_is_served() {
    let images = images();
    std::fs::write(images.bench.directory.path().join("controller/secret"), "x").unwrap();
    for path in ["absent", "../secret", "%2e%2e/secret", "..%2fsecret", "/etc/passwd"] {
        let url = format!("{}/images/{path}", images.bench.controller().url());
        let request = ureq::get(&url).config().http_status_as_error(false).build();
        assert_eq!(request.call().unwrap().status().as_u16(), 404, "{path}");
    }
}
