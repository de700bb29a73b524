//! Append-only JSON lines. A record counts once it is on disk; many waiting records share one fsync.

use super::state::JournalRecord;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

struct Line {
    bytes: Vec<u8>,
    done: oneshot::Sender<bool>,
}

#[derive(Debug, Clone)]
pub(super) struct Journal {
    sender: Sender<Line>,
}

impl Journal {
    /// Reads the existing records, cuts off an incomplete last line, and starts the writer.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<JournalRecord>)> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let (records, end) = read(&file)?;
        file.set_len(end)?;
        file.seek(io::SeekFrom::Start(end))?;
        let (sender, receiver) = channel();
        std::thread::Builder::new().name("journal".into()).spawn(move || write(file, &receiver))?;
        Ok((Self { sender }, records))
    }

    /// Queues a record. The receiver gets true once the record is safely on disk.
    pub fn append(&self, record: &JournalRecord) -> oneshot::Receiver<bool> {
        let (done, receiver) = oneshot::channel();
        if let Ok(mut bytes) = serde_json::to_vec(record) {
            bytes.push(b'\n');
            // A dead writer drops `done`, which the receiver sees.
            let _ = self.sender.send(Line { bytes, done });
        }
        receiver
    }

    /// True once everything queued so far is on disk.
    pub fn barrier(&self) -> oneshot::Receiver<bool> {
        let (done, receiver) = oneshot::channel();
        let _ = self.sender.send(Line { bytes: Vec::new(), done });
        receiver
    }
}

fn read(file: &File) -> io::Result<(Vec<JournalRecord>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut records, mut end, mut line) = (Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok((records, end));
        }
        let record = serde_json::from_slice(&line)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("journal at byte {end}: {error}")))?;
        records.push(record);
        end += length as u64;
    }
}

fn write(mut file: File, receiver: &Receiver<Line>) {
    let mut healthy = true;
    while let Ok(first) = receiver.recv() {
        let lines: Vec<Line> = std::iter::once(first).chain(receiver.try_iter()).collect();
        let bytes: Vec<u8> = lines.iter().flat_map(|line| line.bytes.iter().copied()).collect();
        // After a failed write the end of the file is unknown: nothing more is acknowledged until a restart.
        healthy = healthy && file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok();
        for line in lines {
            let _ = line.done.send(healthy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burin::protocol::Control;

    fn record(machine: &str) -> JournalRecord {
        JournalRecord::Control { machine: machine.into(), control: Control::Hold }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (journal, records) = Journal::open(&path).unwrap();
        assert!(records.is_empty());
        assert!(journal.append(&record("a")).blocking_recv().unwrap());
        assert!(journal.append(&record("b")).blocking_recv().unwrap());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], br#"{"control":{"mach"#].concat()).unwrap();
        let (journal, records) = Journal::open(&path).unwrap();
        assert_eq!(records.len(), 2);
        assert!(journal.append(&record("c")).blocking_recv().unwrap());
        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records.len(), 3);
    }
}
