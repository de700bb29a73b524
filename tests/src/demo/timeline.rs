//! Rows of a timeline: time, stage, duration, result. On a terminal the current row is updated in place; elsewhere each
//! finished row is one plain line.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    row: Option<(String, Instant)>,
    live: ProgressBar,
    terminal: bool,
    tenth: u64,
}

impl Timeline {
    pub fn start() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let target = if terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let live = ProgressBar::with_draw_target(None, target);
        Self { start: Instant::now(), row: None, live, terminal, tenth: 0 }
    }

    /// A new row begins; the one before ends without a word.
    pub fn begin(&mut self, label: &str) {
        self.begin_at(label, Instant::now());
    }

    pub fn begin_at(&mut self, label: &str, at: Instant) {
        self.end_at("", at);
        self.tenth = 0;
        self.row = Some((label.to_owned(), at));
        self.live.reset();
        self.live.set_style(style("           {spinner} {msg} {elapsed}"));
        self.live.set_message(label.to_owned());
        self.live.enable_steady_tick(Duration::from_millis(120));
    }

    /// Forget the current row: somebody else times it.
    pub fn abandon(&mut self) {
        self.row = None;
    }

    pub fn current(&self) -> Option<&str> {
        self.row.as_ref().map(|(label, _)| label.as_str())
    }

    pub fn end(&mut self, result: &str) {
        self.end_at(result, Instant::now());
    }

    pub fn end_at(&mut self, result: &str, at: Instant) {
        if let Some((label, began)) = self.row.take() {
            self.print_row(at, &label, at.saturating_duration_since(began), result);
        }
    }

    /// A row that somebody else timed.
    pub fn row(&mut self, label: &str, took: Duration, result: &str) {
        self.print_row(Instant::now(), label, took, result);
    }

    /// More about the row above.
    pub fn note(&self, text: &str) {
        self.print(&format!("{:32}{}", "", self.paint("2", text)));
    }

    /// How far the current row is; `detail` is short.
    pub fn progress(&mut self, done: u64, total: u64, detail: &str) {
        if total == 0 {
            return;
        }
        if self.terminal {
            let (label, length) = (self.current().unwrap_or_default().to_owned(), total.max(done));
            self.live.set_style(style("           {spinner} {msg} {wide_bar:.cyan/blue} {bytes}/{total_bytes}"));
            self.live.set_length(length);
            self.live.set_position(done);
            self.live.set_message(format!("{label}, {detail}"));
            return;
        }
        let tenth = done.saturating_mul(10) / total;
        if tenth > self.tenth {
            self.tenth = tenth;
            self.note(&format!("{:3} %  {detail}", (tenth * 10).min(100)));
        }
    }

    pub fn good(&self, text: &str) {
        self.live.finish_and_clear();
        self.print(&self.paint("1;32", text));
    }

    pub fn bad(&self, text: &str) {
        self.live.finish_and_clear();
        self.print(&self.paint("1;31", text));
    }

    pub fn plain(&self, text: &str) {
        self.print(text);
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn print_row(&self, at: Instant, label: &str, took: Duration, result: &str) {
        let since = at.saturating_duration_since(self.start).as_secs_f64();
        let label = self.paint("1", &format!("{label:<12}"));
        self.print(format!("{since:8.1} s  {label} {:6.1} s  {result}", took.as_secs_f64()).trim_end());
    }

    fn print(&self, text: &str) {
        if self.terminal {
            self.live.println(text);
        } else {
            // Whoever reads this through a pipe wants each line at once.
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
