//! Parallel and sequential decoding give the same bytes and the same errors.

use crate::flow::progress::Cancel;
use crate::options::Options;
use crate::pipeline::index::index;
use crate::source::Source;
use burin_protocol::error::Coded;
use std::io::{Cursor, Write};

/// What comes out: an index of all bytes, or the code of the error.
fn decoded(bytes: &[u8], workers: usize) -> Result<Vec<u8>, &'static str> {
    let source = Source::Reader(Box::new(Cursor::new(bytes.to_vec())), "test".into());
    let options = Options { workers, ..Options::default() };
    index(source, options, &Cancel::default()).map(|index| index.bytes()).map_err(|error| error.code())
}

#[track_caller]
fn same(bytes: &[u8], what: &str) -> Result<Vec<u8>, &'static str> {
    let one = decoded(bytes, 1);
    {
        let workers = 3;
        assert!(
            decoded(bytes, workers) == one,
            "{what}, {workers} workers: {:?}, not {:?}",
            decoded(bytes, workers).map(drop),
            one.as_ref().map(drop)
        );
    }
    one
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Noise, words and zeros.
fn content(len: usize) -> Vec<u8> {
    let mut bytes = noise(len, 7);
    bytes[len / 4..len / 2].fill(0);
    let words = b"words that compress well ".iter().copied().cycle();
    bytes[len / 2..len * 3 / 4].iter_mut().zip(words).for_each(|(byte, word)| *byte = word);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As bgzip writes it (SAM specification, 4.1): members of at most 64 KiB, which say how long they are.
fn bgzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for part in bytes.chunks(0xff00).chain([&[][..]]) {
        let mut encoder =
            flate2::GzBuilder::new().extra(&b"BC\x02\0\0\0"[..]).write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        let mut member = encoder.finish().unwrap();
        let last = (member.len() - 1) as u16;
        member[16..18].copy_from_slice(&last.to_le_bytes());
        file.extend(member);
    }
    file
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn members_and_blocks_side_by_side_are_the_same() {
    let bytes = content(2 << 20);
    let wanted = decoded(&bytes, 1).unwrap();
    let parts = |size: usize, pack: fn(&[u8]) -> Vec<u8>| bytes.chunks(size).flat_map(pack).collect::<Vec<u8>>();
    let zeros = [parts(400_000, gzip), vec![0; 5000]].concat();
    let files = [
        ("bgzip", bgzip(&bytes)),
        ("gzip", gzip(&bytes)),
        ("joined gzip", parts(700_000, gzip)),
        ("small members", parts(1000, gzip)),
        ("zeros behind", zeros),
        ("bzip2", bzip2(&bytes)),
        ("joined bzip2", parts(350_000, bzip2)),
        ("empty stream between", [bzip2(&bytes[..1 << 20]), bzip2(b""), bzip2(&bytes[1 << 20..])].concat()),
    ];
    for (what, file) in files {
        assert!(same(&file, what).unwrap() == wanted, "{what}");
    }
    // Much from little: a block of zeros, and members that are longer than any unit.
    let zeros = vec![0; 20 << 20];
    same(&bzip2(&zeros), "zeros").unwrap();
    let long = noise(3 << 20, 3);
    same(&[gzip(&long), gzip(&bytes), gzip(&long), gzip(&bytes[..99])].concat(), "long members").unwrap();
}

#[test]
fn what_only_looks_like_a_mark_or_a_member_is_data() {
    // Stored as it is: headers of members far and wide.
    let mut bytes = noise(1 << 20, 5);
    for at in (50_000..bytes.len() - 20).step_by(50_000) {
        bytes[at..at + 10].copy_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&bytes).unwrap();
    let one = encoder.finish().unwrap();
    let wanted = decoded(&[&bytes[..], &bytes, &bytes].concat(), 1).unwrap();
    assert!(same(&one.repeat(3), "stored").unwrap() == wanted);
}

/// Damage anywhere: what can be decoded, and what it is called if not, depends on the bytes alone.
#[test]
fn damage_is_called_the_same() {
    let bytes = content(800_000);
    let parts = |size: usize, pack: fn(&[u8]) -> Vec<u8>| bytes.chunks(size).flat_map(pack).collect::<Vec<u8>>();
    let mut state = 99u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (what, file) in [
        ("bgzip", bgzip(&bytes)),
        ("gzip", parts(200_000, gzip)),
        ("bzip2", bzip2(&bytes)),
        ("bzip2s", parts(300_000, bzip2)),
    ] {
        for _ in 0..5 {
            let mut damaged = file.clone();
            damaged[next(file.len())] ^= 1 << next(8);
            let _ = same(&damaged, what);
            let _ = same(&file[..1 + next(file.len() - 1)], what);
        }
        for end in [1, 2, 5, 9, 12] {
            assert_eq!(same(&file[..file.len() - end], what), Err("image.truncated"), "{what} {end}");
        }
        for more in [
            &b"garbage behind it, of more than a few bytes"[..],
            b"BZh",
            &[0x1f],
            &[0x1f, 0x8b, 8, 0, 1],
            &[0, 0, 0, 7],
        ] {
            let _ = same(&[&file[..], more].concat(), what);
        }
    }
}
