//! The best that this machine can do, step by step and with nothing else running.

use super::Result;
use super::error::BenchError;
use super::measure::{Sample, Shell};
use serde::{Deserialize, Serialize};

/// One step of imaging, measured alone.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct CeilingStep {
    pub name: String,
    pub wall: f64,
    /// CPU seconds of the whole machine.
    pub machine: f64,
}

/// The steps of one kind of image.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Ceiling {
    /// Group of rows that it belongs to.
    pub group: String,
    /// The steps of writing an image.
    pub write: Vec<CeilingStep>,
    /// The additional time for reading back.
    pub read: CeilingStep,
    /// The additional time for SHA-256 of the download, on a core of its own.
    pub digest: CeilingStep,
    pub cores: usize,
}

impl Ceiling {
    /// Seconds of a write in which the slowest step hides all others. Reading back uses the device after writing.
    pub fn seconds(&self, readback: bool) -> f64 {
        let device = self.write.iter().find(|step| step.name == DEVICE).map_or(0.0, |step| step.wall);
        let device = if readback { device + self.read.wall } else { device };
        self.write.iter().map(|step| step.wall).fold(device, f64::max)
    }

    /// Seconds that the steps' CPU time takes if no core is ever idle.
    pub fn processors(&self, readback: bool) -> f64 {
        let total: f64 = self.write.iter().map(|step| step.machine).sum();
        let total = if readback { total + self.read.machine } else { total };
        total / self.cores.max(1) as f64
    }
}

/// Sizes of an image, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes that are not zeros.
    pub data: u64,
    pub size: u64,
}

/// The step that writes.
const DEVICE: &str = "device";

/// Measures each step three times and keeps the fastest. `from` is the variable with the server's URL, `decode` a
/// command, and `$IMAGES/file` the downloaded file.
pub fn ceiling(watch: &Shell, group: &str, file: &str, from: &str, decode: &str, sizes: Sizes) -> Result<Ceiling> {
    let Sizes { data, size } = sizes;
    let data = data.next_multiple_of(1 << 20).min(size);
    let fio =
        "fio --name=ceiling --filename=$DEV --bs=1M --direct=1 --iodepth=8 --ioengine=io_uring --output=/dev/null";
    // The device is filled with noise before, as for the rows.
    let write =
        format!("{fio} --rw=write --size={data} --end_fsync=1; blkdiscard -z -o {data} -l {} $DEV", size - data);
    let steps = [
        ("network", format!("curl -sf -o /dev/null ${from}/{file}")),
        ("decode", decode.to_owned()),
        (DEVICE, write),
        ("digest", format!("sha256sum $IMAGES/{file}")),
        ("read", format!("{fio} --rw=read --size={size}")),
    ];
    let mut taken = Vec::new();
    for (name, command) in steps {
        let mut best: Option<Sample> = None;
        for _ in 0..3 {
            let sample = watch.run(&command)?;
            if !sample.ok {
                return Err(BenchError::Tool { program: command, output: watch.last_words() });
            }
            if best.is_none_or(|best| sample.wall < best.wall) {
                best = Some(sample);
            }
        }
        let Some(best) = best else { continue };
        taken.push(CeilingStep { name: name.to_owned(), wall: best.wall, machine: best.machine });
    }
    let none = || BenchError::odd("ceiling", "no step");
    let read = taken.pop().ok_or_else(none)?;
    let digest = taken.pop().ok_or_else(none)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Ceiling { group: group.to_owned(), write: taken, read, digest, cores })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_step_is_the_ceiling() {
        let step = |name: &str, wall, machine| CeilingStep { name: name.into(), wall, machine };
        let ceiling = Ceiling {
            group: "zstd".into(),
            write: vec![step("network", 0.5, 1.0), step("decode", 2.0, 2.0), step(DEVICE, 1.5, 1.0)],
            read: step("read", 1.0, 2.0),
            digest: step("digest", 0.2, 0.2),
            cores: 2,
        };
        assert_eq!((ceiling.seconds(false), ceiling.seconds(true)), (2.0, 2.5));
        assert_eq!((ceiling.processors(false), ceiling.processors(true)), (2.0, 3.0));
    }
}
