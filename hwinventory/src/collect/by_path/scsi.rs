//! SCSI devices: each transport tells them apart in its own way.

use super::{Walk, bus};

impl Walk<'_> {
    /// Says the part of the SCSI device `at`, if it is one; gives the component that the walk goes on above.
    pub fn scsi(&mut self, at: usize) -> Option<usize> {
        self.transport = true;
        let device = self.part(at).to_owned();
        if !bus::is_scsi_device(&device) {
            return Some(at);
        }
        let numbers: Vec<u64> = device.split(':').filter_map(|n| n.parse().ok()).collect();
        let [host, channel, target, lun] = numbers.as_slice() else { return None };
        let lun_name = lun_name(*lun);
        if let Some(id) = self.text(&format!("{}/ieee1394_id", self.directory(at))) {
            self.names.push(format!("ieee1394-0x{id}"));
            self.parent = true;
            return Some(self.topmost(at, "scsi"));
        }
        let before = |prefix: &str| self.parts.get(..at)?.iter().rposition(|p| p.starts_with(prefix));
        let known = if let Some(port) = before("rport-") {
            Some(self.fibre_channel(port, &lun_name)?)
        } else if let Some(device) = before("end_device-") {
            Some(self.sas(device, &lun_name)?)
        } else if let Some(session) = before("session") {
            Some(self.iscsi(session, &lun_name)?)
        } else {
            None
        };
        if let Some(name) = known {
            self.names.push(name);
            self.parent = true;
            return Some(at);
        }
        let host_at = before("host")?;
        let name = if let Some(ata) = self.numbered(at, "ata") {
            self.ata(ata, *channel, *target)
        } else if self.parts.get(..host_at)?.iter().any(|p| p.starts_with("vmbus_") || p.starts_with("VMBUS")) {
            let name = self.hyper_v(host_at.checked_sub(1)?, &lun_name)?;
            self.names.push(name);
            return Some(at);
        } else {
            format!("scsi-{}:{channel}:{target}:{lun}", self.host_offset(host_at, *host))
        };
        self.names.push(name);
        Some(host_at)
    }

    fn text(&self, path: &str) -> Option<String> {
        self.reader.quiet_text(path)
    }

    fn numbered(&self, below: usize, prefix: &str) -> Option<usize> {
        let numbered = |part: &String| part.strip_prefix(prefix).is_some_and(|n| n.parse::<u32>().is_ok());
        self.parts.get(..below)?.iter().rposition(numbered)
    }

    /// A file of the class device of the same name as the device.
    fn class(&self, at: usize, class: &str, file: &str) -> Option<String> {
        let name = self.part(at);
        self.text(&format!("{}/{class}/{name}/{file}", self.directory(at)))
            .or_else(|| self.text(&format!("/sys/class/{class}/{name}/{file}")))
    }

    fn fibre_channel(&self, port: usize, lun: &str) -> Option<String> {
        // The target has the name of the port that it is behind.
        let name = self.class(port + 1, "fc_transport", "port_name");
        let name = name.or_else(|| self.class(port, "fc_remote_ports", "port_name"))?;
        Some(format!("fc-{name}-{lun}"))
    }

    /// A disk on one phy is called by the phy; one that is reached through several, or whose controller does not tell
    /// (hpsa), by its address.
    fn sas(&self, device: usize, lun: &str) -> Option<String> {
        let port = device.checked_sub(1)?;
        let phys = self.class(port, "sas_port", "num_phys");
        let phy = self.class(device, "sas_device", "phy_identifier");
        // Kernels always have the count; copies of their files may not.
        let Some(phy) = phy.filter(|_| phys.is_none_or(|count| count == "1")) else {
            return Some(format!("sas-{}-{lun}", self.class(device, "sas_device", "sas_address")?));
        };
        match port.checked_sub(1).and_then(|above| self.class(above, "sas_device", "sas_address")) {
            Some(expander) => Some(format!("sas-exp{expander}-phy{phy}-{lun}")),
            None => Some(format!("sas-phy{phy}-{lun}")),
        }
    }

    fn iscsi(&self, session: usize, lun: &str) -> Option<String> {
        let target = self.class(session, "iscsi_session", "targetname")?;
        let directory = self.directory(session);
        let connection = self.reader.list(&directory).into_iter().find(|n| n.starts_with("connection"))?;
        let class = format!("{directory}/{connection}/iscsi_connection/{connection}");
        let address = self.text(&format!("{class}/persistent_address"))?;
        let port = self.text(&format!("{class}/persistent_port"))?;
        Some(format!("ip-{address}:{port}-iscsi-{target}-{lun}"))
    }

    fn ata(&self, ata: usize, channel: u64, target: u64) -> String {
        // port_no counts the ports of one controller from 1; the number in the name counts those of the machine.
        let port = self.class(ata, "ata_port", "port_no");
        let port = port.unwrap_or_else(|| self.part(ata).trim_start_matches("ata").to_owned());
        // Behind a port multiplier the channel tells the disks apart, else the target (master, slave).
        if channel != 0 { format!("ata-{port}.{channel}.0") } else { format!("ata-{port}.{target}") }
    }

    fn hyper_v(&self, channel: usize, lun: &str) -> Option<String> {
        let id = self.text(&format!("{}/device_id", self.directory(channel)))?;
        let id = id.strip_prefix('{')?.strip_suffix('}')?.replace('-', "");
        Some(format!("vmbus-{id}-{lun}"))
    }

    /// Host numbers change: they are counted from the lowest of the same controller.
    fn host_offset(&self, host_at: usize, host: u64) -> u64 {
        let Some(above) = host_at.checked_sub(1) else { return 0 };
        let siblings = self.reader.source().list(&self.directory(above)).unwrap_or_default();
        let numbers = siblings.iter().filter_map(|n| n.strip_prefix("host")?.parse::<u64>().ok());
        host.saturating_sub(numbers.min().unwrap_or(host))
    }
}

/// Single-level numbers as they are, all others (SAM-5 4.7) as eight bytes of hexadecimal.
fn lun_name(lun: u64) -> String {
    if lun < 256 {
        return format!("lun-{lun}");
    }
    format!("lun-0x{:04x}{:04x}00000000", lun & 0xffff, lun >> 16 & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::lun_name;

    #[test]
    fn luns() {
        for (lun, name) in [
            (0, "lun-0"),
            (255, "lun-255"),
            (256, "lun-0x0100000000000000"),
            (16640, "lun-0x4100000000000000"),
            (1_074_151_460, "lun-0x4024400600000000"),
        ] {
            assert_eq!(lun_name(lun), name);
        }
    }
}
