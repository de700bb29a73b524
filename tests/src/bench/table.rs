//! Writes the table of results and the conclusions from it, in Markdown.

use super::Result;
use super::ceiling::Ceiling;
use super::error::{BenchError, tool};
use super::results::{Measurement, Results};
use super::rows::Row;
use super::series::Series;
use std::fmt::Write;

const BEGIN: &str = "<!-- measured: scripts/bench writes what follows -->";
const END: &str = "<!-- measured: end -->";

/// Where and when the measurements were made.
#[derive(Debug, Clone)]
pub struct BenchMachine {
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    pub filesystem: String,
    pub agent: String,
}

impl BenchMachine {
    /// This machine. `agent` and `work` are the measured program and the directory of the disk's file.
    pub fn here(agent: &str, work: &str) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(BenchError::file("read", path));
        let (cpuinfo, meminfo) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = field(&meminfo, "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            date: tool("date", &["-u", "+%F %H:%M UTC"])?.trim().to_owned(),
            processor: field(&cpuinfo, "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            kernel: tool("uname", &["-r"])?.trim().to_owned(),
            filesystem: tool("findmnt", &["-no", "FSTYPE", "-T", work])?.trim().to_owned(),
            agent: tool(agent, &["--version"])?.trim().to_owned(),
        })
    }
}

fn mib(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

fn median(entries: &[&Measurement], of: impl Fn(&Measurement) -> f64) -> Option<f64> {
    entries.iter().map(|entry| of(entry)).collect::<Series>().median()
}

/// The successful runs of a row, which count for times.
fn good<'a>(results: &'a Results, id: &'a str) -> Vec<&'a Measurement> {
    results.of(id).filter(|entry| entry.ok).collect()
}

fn line(row: &Row, results: &Results) -> String {
    let id = row.id();
    let all: Vec<&Measurement> = results.of(&id).collect();
    let runs = good(results, &id);
    if runs.is_empty() {
        let why = all.last().map_or("not run", |entry| entry.note.as_str());
        return format!("| {} | {} | {} | | | | | | | | | | | | |\n", row.group, row.name, why.replace('|', "/"));
    }
    let walls: Series = runs.iter().map(|entry| entry.wall).collect();
    let number = |of: fn(&Measurement) -> f64| median(&runs, of).unwrap_or(0.0);
    let bytes = |of: fn(&Measurement) -> u64| mib(median(&runs, |entry| of(entry) as f64).unwrap_or(0.0));
    let same = match (runs.iter().filter(|entry| entry.same).count(), runs.len(), all.len()) {
        (same, ok, all) if same == ok && ok == all => "same".to_owned(),
        (0, ok, all) if ok == all => "**DIFFERS**".to_owned(),
        (same, ok, all) => format!("**{same} of {all} same, {} failed**", all - ok),
    };
    let marks = row.marks;
    format!(
        "| {} | {} | {walls} | {} | {:.2} | {:.2} | {} | {} | {} | {} | {} | {same} | {} | {} | {} | {} |\n",
        row.group,
        row.name,
        runs.len(),
        number(|entry| entry.cpu),
        number(|entry| entry.machine),
        bytes(|entry| entry.rss),
        bytes(|entry| entry.read),
        bytes(|entry| entry.written),
        bytes(|entry| entry.zeroed),
        bytes(|entry| entry.sent),
        marks.hashes,
        marks.zeroes,
        marks.flushes,
        marks.verifies,
    )
}

fn wall(results: &Results, id: &str) -> Option<f64> {
    median(&good(results, id), |entry| entry.wall)
}

/// The comparisons for which the table is made: the ratio of two rows.
const BARS: [(&str, &str, &str, f64); 7] = [
    ("zstd, one frame: curl, zstd, dd", "zstd, one frame: burin", "curl, zstd, dd on one frame", 3.0),
    ("zstd, many frames: curl, zstd, dd", "zstd, many frames: burin", "curl, zstd, dd on many frames", 3.0),
    ("raw: Ironic agent, streaming", "zstd, many frames: burin", "the Ironic agent (raw) against many frames", 5.0),
    ("zstd, one frame: bmaptool", "zstd, one frame: burin", "bmaptool", 1.0),
    ("zstd, one frame: coreos-installer", "zstd, one frame: burin", "coreos-installer", 1.0),
    ("qcow2: curl, qemu-img", "qcow2: burin", "curl, qemu-img", 1.0),
    (
        "same image again: burin, all of it",
        "same image again: burin --delta",
        "the same image again, --delta against all of it",
        10.0,
    ),
];

fn bars(results: &Results) -> String {
    let mut text = String::from("| burin against | factor | wanted |\n|---|---|---|\n");
    for (other, ours, what, wanted) in BARS {
        let factor = match (wall(results, other), wall(results, ours)) {
            (Some(other), Some(ours)) if ours > 0.0 => {
                let factor = other / ours;
                format!("{factor:.1}{}", if factor < wanted { " (**missed**)" } else { "" })
            }
            _ => "not measured".to_owned(),
        };
        let _ = writeln!(text, "| {what} | {factor} | {wanted:.0} |");
    }
    for (group, wanted) in [("zstd, one frame", 35.0), ("zstd, many frames", 35.0), ("1 Gbit/s", 5.0)] {
        let pair = (wall(results, &format!("{group}: burin")), wall(results, &format!("{group}: burin --verify none")));
        let (Some(with), Some(without)) = pair else { continue };
        let cost = (with / without - 1.0) * 100.0;
        let missed = if cost > wanted { " (**missed**)" } else { "" };
        let _ = writeln!(text, "| cost of reading back: {group} | {cost:.0} %{missed} | at most {wanted:.0} % |");
    }
    text
}

fn ceilings(ceilings: &[Ceiling], results: &Results) -> String {
    let mut text = String::from(
        "| form | network | decode | device | read back | digest | ceiling: slowest step | CPU / cores | burin | of the ceiling |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ceiling in ceilings {
        for (readback, name) in [(true, "burin"), (false, "burin --verify none")] {
            let Some(taken) = wall(results, &format!("{}: {name}", ceiling.group)) else { continue };
            let steps: Vec<String> = ceiling.write.iter().map(|step| format!("{:.2}", step.wall)).collect();
            let (slowest, processors) = (ceiling.seconds(readback), ceiling.processors(readback));
            let bound = slowest.max(processors);
            let _ = writeln!(
                text,
                "| {}, {name} | {} | {:.2} | {:.2} | {slowest:.2} | {processors:.2} | {taken:.2} | {:.0} % of the slowest step, {:.0} % of the larger |",
                ceiling.group,
                steps.join(" | "),
                ceiling.read.wall,
                ceiling.digest.wall,
                slowest / taken * 100.0,
                bound / taken * 100.0,
            );
        }
    }
    text
}

/// All measurements, for docs/benchmarks.md.
pub fn report(machine: &BenchMachine, rows: &[Row], results: &Results, limits: &[Ceiling]) -> String {
    let mut text = format!(
        "{}; {} cores of {}, {} MiB of RAM, Linux {}, the disk's file on {}; {}.\n\n",
        machine.date,
        machine.cores,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.filesystem,
        machine.agent,
    );
    text += "Seconds are the median (least–most) of n runs; CPU seconds of the command, and of the whole machine meanwhile;\n\
             RAM and bytes in MiB; written includes zeroed.\n\n\
             | form | row | wall s | n | CPU s | machine s | RAM | read | written | zeroed | sent | cmp | hashes | zeroes | flushes | reads back |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        text += &line(row, results);
    }
    text += "\n### Against the bar\n\n";
    text += &bars(results);
    text += "\n### Against the machine\n\nSeconds of each step alone, the best of three.\n\n";
    text += &ceilings(limits, results);
    text
}

/// `document` with its old measurements replaced by `measured`.
pub fn replace_measured(document: &str, measured: &str) -> Option<String> {
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{measured}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_measured_and_a_lost_one_why() {
        let directory = tempfile::tempdir().unwrap();
        let mut results = Results::load(&directory.path().join("results")).unwrap();
        let rows = super::super::rows();
        let id = rows[0].id();
        for wall in [2.0, 1.0, 4.0] {
            let entry =
                Measurement { ok: true, same: true, wall, rss: 20 << 20, ..Measurement::missing(id.clone(), "") };
            results.add(entry).unwrap();
        }
        let text = line(&rows[0], &results);
        assert!(
            text.contains("| 2.00 (1.00–4.00) | 3 |") && text.contains("| 20 |") && text.contains("| same |"),
            "{text}"
        );
        results.add(Measurement { ok: true, ..Measurement::missing(id.clone(), "") }).unwrap();
        assert!(line(&rows[0], &results).contains("**3 of 4 same, 0 failed**"));
        results.add(Measurement::missing(rows[1].id(), "does not | build")).unwrap();
        assert!(line(&rows[1], &results).contains("does not / build"));
    }

    #[test]
    fn only_what_was_measured_is_replaced() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace_measured(&document, "new").unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("\nafter\n") && !new.contains("old"));
        assert_eq!(replace_measured(&new, "new").unwrap(), new);
        assert_eq!(replace_measured("no markers", "new"), None);
    }
}
