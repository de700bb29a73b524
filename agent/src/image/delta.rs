//! What is on the target already is left there: each MiB is read, compared with the index, and fetched only where it
//! differs. The first, which was erased, and the last, which ends the image, are always fetched.

use super::ImageError;
use super::aside::aside;
use super::blocks::ReadAt;
use super::caibx::Caibx;
use super::digest::Hasher;
use super::stages::Chunker;
use crate::disk::{CHUNK, Counters, Target};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

pub struct Delta {
    pub index: Caibx,
    /// The image's content.
    pub image: Box<dyn ReadAt>,
    pub name: String,
}

impl Delta {
    /// Sends what differs to `sink` and counts the rest as skipped. `content` sees every byte of the image.
    pub fn run(
        self,
        target: &Target,
        sink: &mut Chunker<'_>,
        counters: &Counters,
        mut content: Option<Hasher>,
    ) -> Result<Option<String>, ImageError> {
        let Self { index, mut image, name } = self;
        let file = target.file();
        let mut offset = 0;
        while offset < index.length {
            let len = (index.length - offset).min(CHUNK as u64) as usize;
            let mut buf = sink.buffer()?;
            let inner = offset > 0 && offset + (len as u64) < index.length;
            // What cannot be read is written anew.
            let same =
                inner && file.read_exact_at(&mut buf[..len], offset).is_ok() && index.matches(offset, &buf[..len]);
            if !same {
                let read = move || {
                    let mut bytes = vec![0; len];
                    image.read_exact_at(&mut bytes, offset)?;
                    Ok((image, bytes))
                };
                let (back, bytes) = aside("delta", &|| sink.check().is_err(), read)?;
                image = back;
                if !index.matches(offset, &bytes) {
                    return Err(ImageError::NotIndexed { source_name: name, offset });
                }
                buf[..len].copy_from_slice(&bytes);
            }
            if let Some(content) = &mut content {
                content.update(&buf[..len]);
            }
            if same {
                counters.skipped.fetch_add(len as u64, Ordering::Relaxed);
                counters.verified.fetch_add(len as u64, Ordering::Relaxed);
                sink.skip(len);
            } else {
                sink.place(buf, len)?;
            }
            offset += len as u64;
        }
        Ok(content.map(Hasher::finish))
    }
}
