//! Hardware clocks.

record! {
    Clock {
        /// `tsc`, `kvm-clock`, `hpet`, ...
        clock_source: Option<String>,
        rtcs: Vec<Rtc>,
    }
}

record! {
    /// A hardware clock.
    Rtc {
        name: String,
        device: Option<String>,
        /// As it shows it, `YYYY-MM-DDThh:mm:ss`.
        time: Option<String>,
        /// Seconds since 1970, taking what it shows for UTC.
        seconds: Option<i64>,
        /// Seconds that it is ahead of the kernel's clock, to one or two; a whole number of hours is a local time zone.
        offset: Option<i64>,
        /// The kernel's clock was set from it.
        sets_clock: Option<bool>,
    }
}
