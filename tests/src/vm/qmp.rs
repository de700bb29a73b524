//! A few commands of QEMU's machine protocol (QMP): power, reset, cable.

use super::{Bus, Disk, VmError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    pub(super) fn connect(socket: &Path) -> Result<Self, VmError> {
        let stream = UnixStream::connect(socket).map_err(VmError::file(socket))?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(VmError::file(socket))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read()?; // the greeting
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command, and returns its result.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, VmError> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.send(&request)?;
        loop {
            // Events may come first.
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if answer.get("error").is_some() {
                return Err(VmError::Refused { answer: answer.to_string() });
            }
        }
    }

    /// Removes a disk, by its number in the spec. Returns once it is gone; the guest's requests to it fail from then
    /// on.
    pub fn unplug(&mut self, disk: usize) -> Result<(), VmError> {
        let id = format!("dev{disk}");
        let request = json!({ "execute": "device_del", "arguments": { "id": id } });
        self.send(&request)?;
        loop {
            let answer = self.read()?;
            if answer.get("error").is_some() {
                return Err(VmError::Refused { answer: answer.to_string() });
            }
            if answer["event"] == "DEVICE_DELETED" && answer["data"]["device"] == *id {
                return Ok(());
            }
        }
    }

    /// Inserts a disk where [`Qmp::unplug`] has removed one: NVMe in the slot of that number, or a disk of virtio-scsi.
    /// Each file can be inserted once, because its name identifies it.
    pub fn plug(&mut self, number: usize, disk: &Disk) -> Result<(), VmError> {
        let (driver, bus) = match disk.bus {
            Bus::Nvme => ("nvme", format!("slot{number}")),
            Bus::VirtioScsi => ("scsi-hd", "scsi.0".to_owned()),
            other => return Err(VmError::Refused { answer: format!("{other:?} disks are not plugged in here") }),
        };
        let node = disk.path.file_stem().unwrap_or_default().to_string_lossy();
        let file = json!({ "driver": "file", "filename": disk.path });
        let block = json!({ "driver": "raw", "node-name": node, "discard": "unmap", "file": file });
        self.execute("blockdev-add", block)?;
        let device =
            json!({ "driver": driver, "bus": bus, "drive": node, "id": format!("dev{number}"), "serial": disk.serial });
        self.execute("device_add", device).map(drop)
    }

    /// Saves `length` bytes of the machine's memory, from address 0, to a file.
    pub fn save_memory(&mut self, length: u64, file: &Path) -> Result<(), VmError> {
        self.execute("pmemsave", json!({ "val": 0, "size": length, "filename": file })).map(drop)
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<(), VmError> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Presses the power button (ACPI).
    pub fn power_button(&mut self) -> Result<(), VmError> {
        self.execute("system_powerdown", json!({})).map(drop)
    }

    /// Limits the bytes read per second from a disk, by its number in the spec; 0 means no limit.
    pub fn throttle_reads(&mut self, disk: usize, bytes: u64) -> Result<(), VmError> {
        let mut limits = json!({ "device": format!("disk{disk}"), "bps_rd": bytes });
        for other in ["bps", "bps_wr", "iops", "iops_rd", "iops_wr"] {
            limits[other] = json!(0);
        }
        self.execute("block_set_io_throttle", limits).map(drop)
    }

    /// Connects or disconnects the cable of a NIC, by its number in the spec.
    pub fn set_link(&mut self, nic: usize, up: bool) -> Result<(), VmError> {
        self.execute("set_link", json!({ "name": format!("nic{nic}"), "up": up })).map(drop)
    }

    fn send(&mut self, request: &Value) -> Result<(), VmError> {
        let line = format!("{request}\n");
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|source| VmError::Monitor { source })
    }

    fn read(&mut self) -> Result<Value, VmError> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|source| VmError::Monitor { source })?;
        serde_json::from_str(&line).map_err(|_| VmError::Refused { answer: line.trim().to_owned() })
    }
}
