//! A recorded machine replays as the machine it was.

use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::source::{Recorder, Recording, redact};
use std::sync::Arc;

fn machine() -> Machine {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "S4EVNF0M1234").sata("sdb", 2, "S4EVNF0M9999");
    machine.file("/proc/cmdline", "quiet burin.token=hush BOOTIF=01-52-54-00-12-34-56\n");
    machine.file("/proc/meminfo", "MemTotal:  1024 kB\n");
    machine.file("/proc/self/mountinfo", "1 0 8:16 / / rw - ext4 /dev/sda rw\n");
    machine
}

/// What a replay must give back: everything but times.
fn timeless(mut inventory: Inventory) -> serde_json::Value {
    inventory.milliseconds = 0;
    let mut value = serde_json::to_value(&inventory).expect("an inventory is JSON");
    for section in value.as_object_mut().into_iter().flatten().map(|(_, v)| v) {
        if let Some(fields) = section.as_object_mut() {
            fields.remove("milliseconds");
        }
    }
    value
}

fn record(machine: Machine) -> (Inventory, Recording) {
    let recorder = Arc::new(Recorder::new(Arc::new(machine), "test"));
    let inventory = support::collect(recorder.clone());
    (inventory, recorder.recording())
}

fn through_archive(recording: &Recording) -> Recording {
    let mut archive = Vec::new();
    recording.save(&mut archive).expect("memory takes everything");
    assert!(Recording::is_snapshot(&archive));
    Recording::load(archive.as_slice()).expect("what was saved loads")
}

#[test]
fn replay_is_the_same_machine() {
    let (inventory, recording) = record(machine());
    let loaded = through_archive(&recording);
    assert_eq!(loaded, recording);
    assert_eq!(timeless(support::collect(Arc::new(loaded))), timeless(inventory));
}

#[test]
fn redaction_keeps_the_machine_and_loses_its_names() {
    let (inventory, mut recording) = record(machine());
    redact(&mut recording, &inventory, b"a key");
    let mut archive = Vec::new();
    recording.save(&mut archive).expect("memory takes everything");
    let unpacked = zstd::decode_all(archive.as_slice()).expect("it is zstd");
    for secret in ["S4EVNF0M1234", "S4EVNF0M9999", "hush", "52-54-00-12-34-56"] {
        assert!(!unpacked.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is in the archive");
    }
    let replayed = support::collect(Arc::new(recording));
    assert_eq!(replayed.disks.data.len(), 2);
    for (was, is) in inventory.disks.data.iter().zip(&replayed.disks.data) {
        assert_ne!(was.serial, is.serial);
        assert_eq!((&was.by_path, was.size, was.class), (&is.by_path, is.size, is.class));
        assert_eq!(was.identity.strength, is.identity.strength);
    }
}

#[test]
fn nonsense_is_no_snapshot() {
    assert!(Recording::load(&b"nonsense"[..]).is_err());
    let empty = zstd::encode_all(&[0u8; 1024][..], 1).expect("memory takes everything");
    assert!(Recording::load(empty.as_slice()).is_err());
}
