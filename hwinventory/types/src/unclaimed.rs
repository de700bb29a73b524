//! Devices without a driver.

record! {
    /// A device that no driver of this kernel has taken.
    UnclaimedDevice {
        /// `pci`, `usb`, `virtio`, `vmbus`, `platform`, ...
        bus: String,
        /// Name on its bus.
        device: String,
        /// What drivers are matched by.
        modalias: String,
        /// What it is, where the databases of names know it.
        name: Option<String>,
        /// PCI class, or USB interface class: hexadecimal.
        class_id: Option<String>,
        /// Modules that `modules.alias` of the running kernel names for it. Empty: there is none in this ramdisk, or
        /// nobody has loaded it yet.
        modules: Vec<String>,
        /// Those of `modules` that are loaded and did not take it.
        loaded: Vec<String>,
    }
}
