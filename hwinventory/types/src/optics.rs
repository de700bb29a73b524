//! Pluggable network modules.

record! {
    /// What is plugged into an interface's cage (SFF-8472, SFF-8636, CMIS).
    Transceiver {
        /// `SFP`, `QSFP+`, `QSFP28`, `QSFP-DD`, `OSFP`, ...
        kind: Option<String>,
        vendor: Option<String>,
        /// Six hexadecimal digits.
        vendor_oui: Option<String>,
        part_number: Option<String>,
        revision: Option<String>,
        serial: Option<String>,
        /// `YYYY-MM-DD`, with the lot behind a space where there is one.
        date: Option<String>,
        /// `LC`, `MPO 1x12`, `copper pigtail`, `no separable connector`, ...
        connector: Option<String>,
        /// What it is made for, e.g. `10GBASE-SR`, `100GBASE-CR4`.
        compliance: Vec<String>,
        /// Nanometres.
        wavelength: Option<f64>,
        /// Metres, of a cable.
        cable_length: Option<f64>,
        /// Degrees Celsius.
        temperature: Option<f64>,
        /// Volts.
        voltage: Option<f64>,
        lanes: Vec<OpticalLane>,
        /// What the module itself reports, e.g. `rx power low alarm, lane 2`.
        alarms: Vec<String>,
    }
}

record! {
    OpticalLane {
        /// Counted from 1.
        lane: u64,
        /// Microwatts.
        rx_power: Option<f64>,
        tx_power: Option<f64>,
        /// Milliamperes.
        bias: Option<f64>,
    }
}
