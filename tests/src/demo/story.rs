//! Turns observations into rows of the timeline.

use super::Timeline;
use crate::controller::Observation;
use crate::deploy::News;
use crate::vm::Firmware;
use burin::protocol::plan::Verdict;
use burin::protocol::{Event, Kind, Plan, Receipt};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const WORTH_A_ROW_MS: u64 = 50;

/// How far the machine is, as told apart by what only then appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chapter {
    Firmware,
    Ipxe,
    Kernel,
    Agent,
    Work,
    Reboot,
    FirstBoot,
    Up,
}

#[derive(Debug)]
pub struct Story {
    pub timeline: Timeline,
    chapter: Chapter,
}

impl Story {
    pub fn begin(mut timeline: Timeline) -> Self {
        timeline.begin("firmware");
        Self { timeline, chapter: Chapter::Firmware }
    }

    pub fn tell(&mut self, news: &News, firmware: Firmware) {
        match news {
            News::Console(line) => self.console(&line.text, line.at),
            News::Controller(seen) => self.controller(seen, firmware),
            News::Login(at) => self.turn(Chapter::Up, "cloud-init", "login prompt", *at),
        }
    }

    /// Go on to a later chapter; `result` is about the row that ends.
    fn turn(&mut self, to: Chapter, label: &str, result: &str, at: Instant) {
        if to > self.chapter {
            self.chapter = to;
            self.timeline.end_at(result, at);
            self.timeline.begin_at(label, at);
        }
    }

    fn console(&mut self, text: &str, at: Instant) {
        if text.contains("Linux version ") {
            match self.chapter {
                Chapter::Firmware | Chapter::Ipxe => {
                    self.turn(Chapter::Kernel, "kernel", "kernel and ramdisk loaded", at)
                }
                Chapter::Reboot => self.turn(Chapter::FirstBoot, "first boot", "GRUB from the imaged disk", at),
                _ => {}
            }
        } else if text.contains("Run /init as init process") && self.chapter == Chapter::Kernel {
            self.turn(Chapter::Agent, "agent", "Linux is up, burin is PID 1", at);
        }
    }

    fn controller(&mut self, seen: &Observation, firmware: Firmware) {
        let now = Instant::now();
        match seen {
            Observation::BootScript { agent: true, .. } => {
                self.turn(Chapter::Ipxe, "iPXE", &format!("{firmware} started the network card's ROM"), now);
            }
            Observation::BootScript { agent: false, .. } => {
                self.timeline.note("iPXE asked again; the controller sent the machine to its disk");
            }
            Observation::Hello { hello, .. } => {
                let result = format!("said hello, version {}", hello.agent_version);
                self.turn(Chapter::Work, "order", &result, now);
            }
            Observation::OrderSent { attempt, .. } => {
                self.timeline.note(&format!("the order goes out, attempt {attempt}"))
            }
            Observation::Grant { reply, .. } => {
                self.timeline.note(&format!("leave to overwrite: {:?}", reply.decision).to_lowercase());
            }
            Observation::Event { event, .. } => self.event(event),
            Observation::Receipt { receipt, .. } => {
                self.receipt(receipt);
                self.turn(Chapter::Reboot, "reboot", "receipt acknowledged", now);
            }
            Observation::File { .. } => {}
        }
    }

    fn event(&mut self, event: &Event) {
        show_event(&mut self.timeline, event, self.chapter == Chapter::Work);
    }

    fn receipt(&self, receipt: &Receipt) {
        show_receipt(&self.timeline, receipt);
    }
}

/// What an event says: a stage, how far it is, a plan. `at_work`: whether stages that begin are rows.
pub fn show_event(timeline: &mut Timeline, event: &Event, at_work: bool) {
    match event.kind() {
        Some(Kind::StageStarted(stage)) if at_work => timeline.begin(&stage.stage),
        Some(Kind::StageFinished(stage)) => {
            // By the agent's own watch: events travel in batches, and those before hello all come at once.
            if at_work {
                timeline.abandon();
            }
            if stage.duration_ms >= WORTH_A_ROW_MS {
                timeline.row(&stage.stage, Duration::from_millis(stage.duration_ms), "");
            }
        }
        Some(Kind::StageFailed(stage)) => timeline.end(&format!("failed: {}", stage.problem.message)),
        Some(Kind::Progress(progress)) => {
            let on_disk = progress.written_bytes + progress.zeroed_bytes;
            let detail = format!(
                "{} MiB on disk, {} MiB read back, {} MiB/s",
                on_disk / MIB,
                progress.verified_bytes / MIB,
                progress.bytes_per_second / MIB
            );
            // What is erased comes from nowhere.
            let done = if progress.read_bytes > 0 { progress.read_bytes } else { progress.zeroed_bytes };
            timeline.progress(done, progress.total_bytes.unwrap_or(0), &detail);
        }
        Some(Kind::Plan(plan)) => show_plan(timeline, &plan),
        Some(Kind::Anomaly(anomaly)) => timeline.note(&format!("anomaly: {}", anomaly.problem.message)),
        _ => {}
    }
}

fn show_plan(timeline: &Timeline, plan: &Plan) {
    for set in &plan.trace.sets {
        for candidate in &set.candidates {
            let mark = if candidate.verdict == Verdict::Chosen { "chosen " } else { "left   " };
            timeline.note(&format!("{mark} {} {}: {}", candidate.device, candidate.label, candidate.reason));
        }
    }
}

pub fn show_receipt(timeline: &Timeline, receipt: &Receipt) {
    for image in &receipt.images {
        timeline.note(&format!(
            "{}: {} MiB received, {} MiB written, {} MiB zeroed, {} MiB read back; held up by {}",
            image.device,
            image.wire_bytes / MIB,
            image.written_bytes / MIB,
            image.zeroed_bytes / MIB,
            image.verified_bytes / MIB,
            image.bottleneck
        ));
    }
}
