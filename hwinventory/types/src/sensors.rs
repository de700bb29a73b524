//! Sensors and power zones of the kernel.

words! {
    SensorKind {
        Temperature,
        Voltage,
        Current,
        Power,
        Energy,
        Fan,
        Humidity,
        #[default]
        Other,
    }
}

record! {
    /// What the kernel's sensor and power drivers measure.
    Sensors {
        chips: Vec<SensorChip>,
        power_zones: Vec<PowerZone>,
    }
}

record! {
    /// `/sys/class/hwmon`.
    SensorChip {
        /// `coretemp`, `nvme`, `k10temp`, ...
        name: String,
        /// What it sits on: a PCI address, the kernel name of a disk or interface, a platform device.
        device: Option<String>,
        sensors: Vec<Sensor>,
    }
}

record! {
    /// Values are degrees Celsius, volts, amperes, watts, joules, revolutions per minute or percent, by `kind`.
    Sensor {
        /// `temp1`, `fan2`, ...
        name: String,
        label: Option<String>,
        kind: SensorKind,
        value: Option<f64>,
        low: Option<f64>,
        high: Option<f64>,
        critical: Option<f64>,
        /// The chip says that a limit is passed.
        alarm: bool,
        /// The chip says that the sensor is broken or not connected.
        fault: bool,
    }
}

record! {
    /// A RAPL domain (`/sys/class/powercap`).
    PowerZone {
        /// `package-0`, `dram`, `psys`, ...
        name: String,
        /// The zone that it is a part of.
        parent: Option<String>,
        enabled: Option<bool>,
        /// Joules since some time; wraps.
        energy: Option<f64>,
        limits: Vec<PowerLimit>,
    }
}

record! {
    PowerLimit {
        /// `long_term`, `short_term`, `peak_power`.
        name: Option<String>,
        /// Watts.
        limit: Option<f64>,
        max: Option<f64>,
        /// Seconds.
        window: Option<f64>,
    }
}
