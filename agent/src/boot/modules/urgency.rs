//! Which devices get their drivers first: on a slow machine, the network must not wait for unimportant devices.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// NICs, and the buses of virtual machines that contain them.
    Network,
    Storage,
    /// Buses, bridges, USB: may add further devices.
    Bus,
    Rest,
    /// Not requested by a device.
    ByName,
}

impl Urgency {
    /// `None` for devices that get no driver: processors request modules for ciphers, hashes, virtual machines and
    /// sensors by their features. None of these helps to image a disk, and the ciphers' self-tests take long on an
    /// emulated processor.
    pub fn of(modalias: &str) -> Option<Self> {
        let (bus, rest) = modalias.split_once(':').unwrap_or((modalias, ""));
        Some(match bus {
            "cpu" => return None,
            "virtio" | "vmbus" | "xen" => Self::Network,
            "pci" => match class(rest) {
                // QEMU's virtio devices have odd PCI classes; their own bus tells more.
                Some("02") => Self::Network,
                _ if rest.starts_with("v00001AF4") => Self::Network,
                Some("01") => Self::Storage,
                _ => Self::Bus,
            },
            "scsi" | "nvme" | "mmc" => Self::Storage,
            "usb" | "acpi" | "of" => Self::Bus,
            _ => Self::Rest,
        })
    }
}

/// The base class of `v...d...sv...sd...bcCCscSSiII`.
fn class(rest: &str) -> Option<&str> {
    rest.rsplit_once("bc").and_then(|(_, tail)| tail.get(..2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_first_processors_never() {
        let of = Urgency::of;
        assert_eq!(of("pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"), Some(Urgency::Network));
        assert_eq!(of("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"), Some(Urgency::Network));
        assert_eq!(of("virtio:d00000001v00001AF4"), Some(Urgency::Network));
        assert_eq!(of("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"), Some(Urgency::Storage));
        assert_eq!(of("pci:v00008086d00007020sv0sd0bc0Csc03i00"), Some(Urgency::Bus));
        assert_eq!(of("platform:pcspkr"), Some(Urgency::Rest));
        assert_eq!(of("cpu:type:x86,ven0002fam000Fmod006B:feature:,0000"), None);
        assert_eq!(of(""), Some(Urgency::Rest));
        assert!(Urgency::Network < Urgency::Storage && Urgency::Rest < Urgency::ByName);
    }
}
