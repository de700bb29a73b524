//! Fuzzing entry points, one for each parser of images, indexes and the files beside them. They must return for every
//! input, and limit their memory by themselves, not by what the input says.

use crate::codec::decode::DecodeLimits;
use crate::codec::sniff;
use crate::codec::zstd::seekable::Seekable;
use crate::container::foreign;
use crate::container::qcow2::Qcow2;
use crate::delta::caibx::Caibx;
use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::head::Head;
use crate::oci::manifest::Document;
use crate::oci::{CosignKey, Reference, cosign};
use crate::options::Options;
use crate::pipeline::index::index;
use crate::proof::signature;
use crate::published::{sum_lines, sums};
use crate::source::Source;
use crate::source::answer;
use crate::source::challenge::Challenge;
use crate::source::random::ReadAt;
use crate::source::registry::Registries;
use burin_protocol::image::ImageFormat;
use burin_protocol::manifest::ImageManifest;
use std::io::Cursor;

pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("qcow2", qcow2),
    ("sniff", sniffing),
    ("seekable", seekable),
    ("caibx", caibx),
    ("sums", digests),
    ("minisign", minisign),
    ("oci", oci),
    ("manifest", |bytes| drop(ImageManifest::parse(bytes))),
    ("decode", decode),
];

/// Limit for reading what an image claims to contain.
const ENOUGH: u64 = 1 << 20;

struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        let short = || ImageError::Truncated { source_name: "memory".into(), offset, expected: None };
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(out.len()).ok_or_else(short)?;
        out.copy_from_slice(self.0.get(start..end).ok_or_else(short)?);
        Ok(())
    }
}

fn memory(bytes: &[u8]) -> Box<dyn ReadAt> {
    Box::new(Memory(bytes.to_vec()))
}

fn qcow2(bytes: &[u8]) {
    if let Ok(mut image) = Qcow2::open(memory(bytes), "fuzz") {
        let mut out = vec![0; image.size().min(ENOUGH) as usize];
        if let Ok(extent) = image.fetch(0, out.len()) {
            let _ = image.decoder().unpack(&extent, &mut out);
        }
    }
}

fn sniffing(bytes: &[u8]) {
    let compression = sniff::compression(bytes);
    sniff::container(bytes);
    foreign::find(bytes);
    foreign::trailer(bytes);
    sniff::skippable(bytes);
    sniff::announces(bytes);
    if let Some(codec) = compression.codec() {
        sniff::may_begin(codec, bytes);
        let limits = DecodeLimits { workers: 2, window_log: 20, in_flight: 0, memory: 0, proven: false };
        codec.memory(bytes, limits);
    }
    Head::new(("fuzz", ImageFormat::Raw, compression), None, bytes, None).ends();
    let text = String::from_utf8_lossy(bytes);
    answer::display(&text);
    answer::content_range(&text);
}

fn seekable(bytes: &[u8]) {
    let Ok(mut image) = Seekable::open(memory(bytes), "fuzz") else { return };
    let (len, mut part, mut decoder) = (image.len(), vec![0; 4096], image.decoder());
    for offset in [0, len / 2, len.saturating_sub(4096)] {
        for packed in image.fetch(offset..offset + part.len() as u64).unwrap_or_default() {
            let _ = decoder.unpack(&packed, &mut part, offset);
        }
    }
}

fn caibx(bytes: &[u8]) {
    if let Ok(index) = Caibx::parse(bytes, "fuzz") {
        assert_eq!(Caibx::parse(&index.bytes(), "again").ok().as_ref(), Some(&index));
        index.matches(0, bytes);
    }
}

fn digests(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for name in ["image", "", &*text] {
        sums::find(&text, name);
        sums::find(&sum_lines::text(bytes), name);
    }
}

fn minisign(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = signature::public_key(&text);
    let _ = minisign_verify::Signature::decode(&text);
}

/// Manifests, indices, signatures, references and challenges.
fn oci(bytes: &[u8]) {
    if let Ok(Document::Index(index)) = Document::parse(bytes, "fuzz") {
        let _ = index.for_this_machine("fuzz");
    }
    cosign::fuzz(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = Reference::parse(&format!("oci://{text}"));
    let _ = CosignKey::parse(&text);
    Challenge::parse(&text);
    let _ = Registries::default().add_configuration(bytes);
}

fn decode(bytes: &[u8]) {
    let source = Source::Reader(Box::new(Cursor::new(bytes.to_vec())), "fuzz".into());
    let options = Options { window_log: 20, buffers: 0, workers: 2, ..Options::default() };
    let _ = index(source, options, &Cancel::default());
}

/// Runs the target with this name.
pub fn run(name: &str, bytes: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(n, _)| *n == name) {
        target(bytes);
    }
}
