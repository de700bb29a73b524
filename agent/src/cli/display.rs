//! Progress of commands that write images: on the terminal, or as lines of JSON.

use crate::error::Coded;
use crate::image::{Phase, Progress, Snapshot};
use crate::protocol::image::Verify;
use crate::protocol::{ImageReceipt, Problem};
use hwinventory::model::harmless;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use std::path::Path;

/// The destination of the output.
pub struct Display {
    bars: Option<MultiProgress>,
}

/// The output for one device.
pub struct DeviceDisplay<'a> {
    display: &'a Display,
    device: String,
    bar: Option<ProgressBar>,
}

impl Display {
    pub fn new(json: bool) -> Self {
        Self { bars: (!json).then(MultiProgress::new) }
    }

    pub fn watch(&self, device: &Path) -> DeviceDisplay<'_> {
        let style = ProgressStyle::with_template("{spinner} {prefix} {wide_bar} {percent:>3}% {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.as_ref().map(|bars| bars.add(ProgressBar::new(0).with_style(style)));
        DeviceDisplay { display: self, device: harmless::line(&device.display().to_string()).into_owned(), bar }
    }

    fn line(&self, kind: &str, device: Option<&str>, value: impl serde::Serialize) {
        let mut line = serde_json::json!({ "event": kind, "data": value });
        if let Some(device) = device {
            line["device"] = device.into();
        }
        // A closed pipe does not stop a write.
        let line = format!("{line}\n");
        let _ = std::io::Write::write_all(&mut std::io::stdout(), harmless::json(&line).as_bytes());
    }

    pub fn receipt(&self, receipt: &ImageReceipt) {
        let Some(bars) = &self.bars else { return self.line("receipt", Some(&receipt.device), receipt) };
        let device = harmless::line(&receipt.device);
        let _ = bars.clear();
        let seconds = receipt.duration_ms as f64 / 1000.0;
        println!(
            "{device}: {} written, {} zeroed, {} verified in {seconds:.1} s ({}/s); held up by {}",
            HumanBytes(receipt.written_bytes),
            HumanBytes(receipt.zeroed_bytes),
            HumanBytes(receipt.verified_bytes),
            HumanBytes((receipt.image_bytes as f64 / seconds.max(0.001)) as u64),
            receipt.bottleneck,
        );
        if let Some(delta) = receipt.delta.as_ref().filter(|delta| delta.used) {
            let (reused, fetched) = (HumanBytes(delta.reused_bytes), HumanBytes(delta.fetched_bytes));
            println!("{device}: {reused} were there already, {fetched} were fetched");
        }
        if receipt.verify != Verify::Readback {
            println!("{device}: NOT read back, as asked");
        }
    }

    pub fn error(&self, device: Option<&Path>, error: &impl Coded) {
        let problem: Problem = error.problem();
        let device = device.map(|device| device.display().to_string());
        let Some(bars) = &self.bars else { return self.line("error", device.as_deref(), problem) };
        let _ = bars.clear();
        super::say(&format!("burin: {} [{}]", problem.message, problem.code), &problem);
    }
}

impl Progress for DeviceDisplay<'_> {
    fn tick(&self, now: &Snapshot) {
        let Some(bar) = &self.bar else { return self.display.line("progress", Some(&self.device), now) };
        let (done, total) = match now.image_total {
            Some(total) => (now.image_bytes, Some(total)),
            None => (now.wire_bytes, now.wire_total),
        };
        bar.set_length(total.unwrap_or(0));
        bar.set_position(done);
        let phase = match now.phase {
            Phase::Preparing => "preparing",
            Phase::Writing => "writing",
            Phase::Finishing => "finishing",
        };
        bar.set_prefix(format!("{} {phase}", self.device));
        let rate = now.image_bytes as f64 / (now.elapsed_ms.max(1) as f64 / 1000.0);
        let eta = now.eta_ms.map(|eta| format!(", {} s to go", eta.div_ceil(1000))).unwrap_or_default();
        let (image, verified) = (HumanBytes(now.image_bytes), HumanBytes(now.verified_bytes));
        bar.set_message(format!(
            "{image}, {}/s, {verified} verified, {}{eta}",
            HumanBytes(rate as u64),
            now.bottleneck
        ));
    }

    fn note(&self, text: &str) {
        match &self.display.bars {
            Some(bars) => bars.suspend(|| eprintln!("burin: {}", harmless::line(text))),
            None => self.display.line("note", None, text),
        }
    }
}
