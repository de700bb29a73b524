//! Findings: what is wrong or odd about a machine.

words! {
    Severity {
        #[default]
        Info,
        Warning,
        Critical,
    }
}

record! {
    /// An anomaly, as data.
    Finding {
        /// Stable dotted code, e.g. `pci.link-width`.
        code: String,
        severity: Severity,
        /// Which thing: a slot, a PCI address, a disk's by-path or identity.
        subject: String,
        /// For people.
        message: String,
        expected: Option<String>,
        actual: Option<String>,
        /// Where two sources disagree, the one that the inventory follows; `message` says why.
        trusted: Option<String>,
    }
}
