//! The health of a disk.

words! {
    /// From best to worst.
    HealthState {
        #[default]
        Unknown,
        Ok,
        /// Works, but something is worn or out of range.
        Warning,
        /// The device itself predicts or reports failure.
        Failing,
    }
}

record! {
    /// What the device says of itself (NVMe SMART log, ATA SMART, SCSI log pages).
    Health {
        state: HealthState,
        /// Why it is not `ok`.
        reasons: Vec<String>,
        /// `nvme-smart`, `ata-smart`, `scsi-log`.
        source: Option<String>,
        /// Degrees Celsius.
        temperature: Option<i64>,
        power_on_hours: Option<u64>,
        power_cycles: Option<u64>,
        unsafe_shutdowns: Option<u64>,
        /// Percent of rated endurance consumed; may pass 100.
        percentage_used: Option<u64>,
        available_spare: Option<u64>,
        available_spare_threshold: Option<u64>,
        bytes_read: Option<u64>,
        bytes_written: Option<u64>,
        media_errors: Option<u64>,
        error_log_entries: Option<u64>,
        reallocated_sectors: Option<u64>,
        pending_sectors: Option<u64>,
        uncorrectable_sectors: Option<u64>,
        grown_defects: Option<u64>,
        crc_errors: Option<u64>,
    }
}
