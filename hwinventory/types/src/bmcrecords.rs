//! The BMC's event log, FRU inventories and sensors.

use super::sensors::SensorKind;

record! {
    /// What the BMC keeps: sensors, its event log, and what boards say of themselves (IPMI 2.0 chapters 31 to 35).
    BmcRecords {
        sensors: Vec<BmcSensor>,
        event_log: Option<EventLog>,
        /// The last hundred, oldest first.
        events: Vec<BmcEvent>,
        frus: Vec<Fru>,
    }
}

record! {
    BmcSensor {
        number: u64,
        name: String,
        /// By `unit`: what the number is of.
        kind: SensorKind,
        /// The specification's word for what is sensed, e.g. `Temperature`, `Power Supply`.
        sensed: Option<String>,
        /// What it belongs to, e.g. `processor 1`.
        entity: Option<String>,
        value: Option<f64>,
        unit: Option<String>,
        low_critical: Option<f64>,
        high_critical: Option<f64>,
        /// `ok`, `non-critical`, `critical`, `non-recoverable`; absent without thresholds.
        state: Option<String>,
        /// Of discrete sensors: what is asserted.
        states: Vec<String>,
        /// The BMC says that it has no reading.
        unavailable: bool,
    }
}

record! {
    EventLog {
        entries: u64,
        /// Bytes.
        free: Option<u64>,
        /// Seconds since 1970, by the BMC's clock.
        last_added: Option<u64>,
        last_erased: Option<u64>,
        /// Events were dropped for want of room.
        overflow: bool,
    }
}

record! {
    BmcEvent {
        id: u64,
        /// Seconds since 1970 by the BMC's clock; absent where it counted from its own start.
        time: Option<u64>,
        /// Seconds since the BMC started, where it had no clock.
        uptime: Option<u64>,
        sensor: Option<u64>,
        sensor_name: Option<String>,
        sensed: Option<String>,
        /// What happened, e.g. `Uncorrectable ECC`, `upper critical, going high`.
        event: Option<String>,
        /// The state ended instead of beginning.
        deasserted: bool,
        /// The record's bytes, hexadecimal, for what is not known here.
        raw: String,
    }
}

record! {
    /// One field replaceable unit's inventory (Platform Management FRU Information Storage Definition).
    Fru {
        id: u64,
        name: Option<String>,
        chassis_type: Option<String>,
        chassis_part_number: Option<String>,
        chassis_serial_number: Option<String>,
        /// Minutes are exact: `YYYY-MM-DDThh:mm`, UTC.
        board_date: Option<String>,
        board_manufacturer: Option<String>,
        board_product: Option<String>,
        board_serial_number: Option<String>,
        board_part_number: Option<String>,
        product_manufacturer: Option<String>,
        product_name: Option<String>,
        product_part_number: Option<String>,
        product_version: Option<String>,
        product_serial_number: Option<String>,
        product_asset_tag: Option<String>,
    }
}
