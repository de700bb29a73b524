//! Options of the image engine.

use burin_disk::Backend;

/// Settings with good defaults.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Largest zstd window and xz dictionary, as a power of two: 27 is 128 MiB.
    pub window_log: u32,
    pub backend: Backend,
    /// Buffers of 1 MiB between decoder and device.
    pub buffers: usize,
    /// Threads that decode zstd frames in parallel; 0 means one per processor, at most four.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { window_log: 27, backend: Backend::Auto, buffers: 12, workers: 0 }
    }
}

impl Options {
    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
            workers => workers,
        }
    }
}
