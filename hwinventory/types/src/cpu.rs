//! Processors, caches and NUMA nodes.

record! {
    /// Processors as the kernel runs them, and as SMBIOS type 4 describes their sockets.
    Cpu {
        architecture: Option<String>,
        /// Populated sockets.
        sockets: Option<u64>,
        /// Dies in the whole machine; absent where the kernel does not know them.
        dies: Option<u64>,
        /// Physical cores in the whole machine, of the online CPUs.
        cores: Option<u64>,
        /// Logical CPUs online.
        threads: Option<u64>,
        threads_per_core: Option<u64>,
        /// Kernel CPU lists, e.g. `0-7,16`.
        online: Option<String>,
        /// Those present that are not online; absent when all are.
        offline: Option<String>,
        present: Option<String>,
        possible: Option<String>,
        /// One per distinct kind of processor core; more than one on hybrid machines.
        models: Vec<CpuModel>,
        /// The board's sockets, empty ones too.
        packages: Vec<CpuSocket>,
        caches: Vec<Cache>,
        /// One per CPU that is online, by number.
        topology: Vec<CpuThread>,
        /// Every cache, with the CPUs that share it.
        cache_instances: Vec<CacheInstance>,
        /// Sorted.
        flags: Vec<String>,
        virtualization: Option<String>,
        hypervisor: Option<String>,
        frequency_boost: Option<bool>,
        vulnerabilities: Vec<Vulnerability>,
    }
}

record! {
    CpuModel {
        vendor: Option<String>,
        name: Option<String>,
        family: Option<u64>,
        model: Option<u64>,
        /// x86 stepping, or `rNpM` on arm64.
        stepping: Option<String>,
        microcode: Option<String>,
        /// Of hybrid processors: `performance`, `efficiency` or `low-power`.
        core_type: Option<String>,
        min_frequency: Option<u64>,
        max_frequency: Option<u64>,
        base_frequency: Option<u64>,
        /// Of the kind's first CPU while it was read; on machines without a cpufreq driver all there is to know beside
        /// `nominal_frequency`.
        current_frequency: Option<u64>,
        /// What the name says (`@ 2.50GHz`), or the socket's firmware table.
        nominal_frequency: Option<u64>,
        /// Logical CPUs of this kind.
        threads: Option<u64>,
        cpus: Option<String>,
    }
}

record! {
    /// SMBIOS type 4.
    CpuSocket {
        designation: Option<String>,
        populated: bool,
        /// `Enabled`, `Disabled By BIOS`, ...
        status: Option<String>,
        kind: Option<String>,
        family: Option<String>,
        manufacturer: Option<String>,
        version: Option<String>,
        serial_number: Option<String>,
        asset_tag: Option<String>,
        part_number: Option<String>,
        /// The eight bytes of the processor id, hexadecimal; on x86 the registers EAX and EDX of CPUID 1.
        id: Option<String>,
        /// Millivolts.
        voltage: Option<u64>,
        external_clock: Option<u64>,
        /// What the socket supports, not what the processor is rated at.
        max_speed: Option<u64>,
        /// At boot.
        current_speed: Option<u64>,
        /// How it is fixed to the board, e.g. `Socket SP3`.
        upgrade: Option<String>,
        cores: Option<u64>,
        enabled_cores: Option<u64>,
        threads: Option<u64>,
        characteristics: Vec<String>,
    }
}

words! {
    CacheKind {
        Data,
        Instruction,
        #[default]
        Unified,
    }
}

record! {
    /// All caches of one level and kind.
    Cache {
        level: u64,
        kind: CacheKind,
        /// Of one instance.
        size: u64,
        instances: u64,
        total_size: u64,
        ways: Option<u64>,
        line_size: Option<u64>,
        sets: Option<u64>,
    }
}

record! {
    /// Where a logical CPU sits. The numbers are the kernel's: a core's is unique only together with its die and package.
    CpuThread {
        cpu: u64,
        core: Option<u64>,
        cluster: Option<u64>,
        die: Option<u64>,
        package: Option<u64>,
        numa_node: Option<u64>,
    }
}

record! {
    CacheInstance {
        level: u64,
        kind: CacheKind,
        size: Option<u64>,
        /// The kernel's number, unique among the caches of one level and kind.
        id: Option<u64>,
        /// CPU list.
        cpus: String,
    }
}

record! {
    /// `/sys/devices/system/cpu/vulnerabilities`.
    Vulnerability {
        name: String,
        affected: bool,
        /// The kernel's words.
        state: String,
    }
}

record! {
    Numa {
        nodes: Vec<NumaNode>,
    }
}

record! {
    NumaNode {
        node: u64,
        cpus: String,
        memory: Option<u64>,
        /// Relative distance to each node, in the order of `nodes`.
        distances: Vec<u64>,
    }
}
