//! Devices whose disks are still expected, and how long to wait for them.

use std::fmt;
use std::time::Duration;

/// A device that has not shown its disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Its directory below `sys/devices`, or its name.
    pub device: String,
    pub seeking: Seeking,
}

/// Why a disk may still appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seeking {
    /// usb-storage or uas has the adapter and waits, `delay_use`, before it scans for disks.
    Usb { delay: Duration },
    /// A mass storage interface without a driver.
    UsbWithoutDriver,
    /// A controller that is not `live`.
    Nvme { state: String },
    /// A controller that is live and has no namespace.
    NvmeEmpty,
    /// A SCSI host that is starting or recovering.
    ScsiHost { state: String },
    /// A SCSI host without a single device.
    ScsiHostEmpty,
    /// A SCSI disk that is known but not usable yet: it is spinning up.
    ScsiDisk,
    /// A SATA or PATA link that is up, without a device yet.
    Link { speed: String },
    /// A port without a connection, or without a target.
    FibreChannel { state: String },
    /// A storage controller on the PCI bus with nothing below it.
    Function { driver: String },
    /// An array that lacks members.
    Array { state: String },
    /// A multipath map without a path.
    Multipath,
}

impl Seeking {
    /// Whether it is certain to finish; for others it is unknown whether they will ever have a disk.
    pub fn is_at_work(&self) -> bool {
        match self {
            Self::Usb { .. } | Self::Nvme { .. } | Self::ScsiHost { .. } | Self::ScsiDisk | Self::Link { .. } => true,
            Self::UsbWithoutDriver
            | Self::NvmeEmpty
            | Self::ScsiHostEmpty
            | Self::FibreChannel { .. }
            | Self::Function { .. }
            | Self::Array { .. }
            | Self::Multipath => false,
        }
    }

    /// How long to wait for it since it was first seen.
    pub fn patience(&self) -> Duration {
        match self {
            // Commands to a new USB disk have 30 s (SD_TIMEOUT), most need one.
            Self::Usb { delay } => *delay + Duration::from_secs(30),
            Self::UsbWithoutDriver => Duration::from_secs(5),
            // CAP.TO, NVM Express base specification, is at most 127.5 s.
            Self::Nvme { .. } => Duration::from_secs(130),
            // The kernel spins a disk up for at most 100 s (sd_spinup_disk).
            Self::ScsiDisk => Duration::from_secs(110),
            Self::ScsiHost { .. } | Self::Link { .. } => Duration::from_secs(60),
            // Drivers' own time for a port to come up (port_down_retry, devloss_tmo) is 30 s.
            Self::FibreChannel { .. } => Duration::from_secs(30),
            Self::ScsiHostEmpty | Self::Function { .. } => Duration::from_secs(20),
            Self::NvmeEmpty | Self::Array { .. } | Self::Multipath => Duration::from_secs(10),
        }
    }
}

impl Sought {
    pub(super) fn key(&self) -> String {
        // The key must not change when a controller changes from one state to another.
        format!("{} {:?}", self.device, std::mem::discriminant(&self.seeking))
    }
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, seeking } = self;
        match seeking {
            Seeking::Usb { delay } if delay.is_zero() => write!(f, "USB storage {device} has not shown its disk"),
            Seeking::Usb { delay } => {
                write!(f, "USB storage {device} has not shown its disk (delay_use is {} s)", delay.as_secs())
            }
            Seeking::UsbWithoutDriver => write!(f, "USB storage {device} has no driver yet"),
            Seeking::Nvme { state } => write!(f, "NVMe controller {device} is {state}, not live"),
            Seeking::NvmeEmpty => write!(f, "NVMe controller {device} has shown no namespace"),
            Seeking::ScsiHost { state } => write!(f, "SCSI host {device} is in state {state}"),
            Seeking::ScsiHostEmpty => write!(f, "SCSI host {device} has shown no device"),
            Seeking::ScsiDisk => write!(f, "SCSI disk {device} is not ready"),
            Seeking::Link { speed } => write!(f, "the link {device} is up ({speed}), its disk not known yet"),
            Seeking::FibreChannel { state } => write!(f, "Fibre Channel port {device} is {state}"),
            Seeking::Function { driver } => write!(f, "storage controller {device} ({driver}) has shown no disk"),
            Seeking::Array { state } => write!(f, "array {device} is {state}"),
            Seeking::Multipath => write!(f, "multipath map {device} has no path"),
        }
    }
}
