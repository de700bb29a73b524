//! Disks, volumes and storage controllers.

use super::contents::{Mount, Partition, Samples, Signature};
use super::enclosure::Bay;
use super::health::Health;
use super::kept::Remembered;
use super::section::{Problem, Status};

words! {
    /// Derived, so that "ssd" never means an NVMe disk by accident.
    DiskClass {
        Nvme,
        Ssd,
        Hdd,
        /// A hypervisor's disk, a BMC's virtual medium, or a device without hardware of its own.
        Virtual,
        /// A volume that a RAID controller presents.
        RaidVolume,
        #[default]
        Unknown,
    }
}

words! {
    Transport {
        Nvme,
        Sata,
        Sas,
        /// SCSI whose link is not known to be any of the others.
        Scsi,
        Usb,
        Virtio,
        Mmc,
        FibreChannel,
        Iscsi,
        NvmeTcp,
        NvmeRdma,
        NvmeFc,
        Network,
        Pmem,
        None,
        #[default]
        Unknown,
    }
}

words! {
    Media {
        #[default]
        Disk,
        Cdrom,
        Floppy,
    }
}

words! {
    IdentityKind {
        /// NVMe namespace globally unique id, 128 bits.
        Nguid,
        /// NVMe IEEE extended unique id, 64 bits.
        Eui64,
        /// NVMe namespace UUID.
        Uuid,
        /// T10/IEEE network address authority (WWN).
        Naa,
        /// A designator that SCSI calls vendor specific or T10 vendor id.
        T10,
        /// Vendor, model and serial number.
        Serial,
        /// Device-mapper UUID, md UUID.
        Volume,
        #[default]
        None,
    }
}

words! {
    Strength {
        Strong,
        #[default]
        Weak,
    }
}

record! {
    /// A name of the disk that a person can write down and find again.
    Identity {
        kind: IdentityKind,
        /// Lower-case hexadecimal without separators for `nguid`, `eui64` and `naa`; for `serial` vendor, model and
        /// serial joined by `_`.
        value: String,
        strength: Strength,
        /// Why it is weak: `zero`, `placeholder`, `duplicate`, `missing`, `short`.
        reason: Option<String>,
    }
}

record! {
    /// One block device. The key `name` is data for the reader: nothing is ordered or chosen by it.
    Disk {
        /// Kernel name, e.g. `nvme0n1`. Changes between boots.
        name: String,
        /// Device node.
        path: String,
        /// `major:minor`.
        device_number: Option<String>,
        /// The kernel's count of disks: no other gets this number in this boot, not even one in the same place.
        diskseq: Option<u64>,
        /// How the reading of this device ended.
        status: Status,
        problems: Vec<Problem>,

        size: u64,
        class: DiskClass,
        transport: Transport,
        media: Media,
        /// Reached over a network.
        remote: bool,
        /// A medium that a BMC or hypervisor emulates (virtual CD-ROM, virtual USB floppy).
        virtual_media: bool,
        removable: bool,
        read_only: bool,
        /// The firmware or the kernel command line says that the running system came from it.
        boot_medium: bool,
        /// One of several paths to a disk: write to the map over them, not to this. Where nothing has assembled them, the
        /// best path stands for the disk and has `paths`.
        multipath_member: bool,

        vendor: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        /// As the kernel or the device gives it: `naa.5000...`, `eui.0025...`, `nvme.8086-...`, `t10.ATA ...`.
        wwn: Option<String>,
        /// The strongest of `identities`.
        identity: Identity,
        identities: Vec<Identity>,
        /// As udev's `/dev/disk/by-path` has it.
        by_path: Option<String>,
        /// As udev's `/dev/disk/by-id` has them, sorted.
        by_id: Vec<String>,

        rotational: Option<bool>,
        /// Revolutions per minute.
        rotation_rate: Option<u64>,
        form_factor: Option<String>,
        logical_block_size: Option<u64>,
        physical_block_size: Option<u64>,
        minimum_io_size: Option<u64>,
        optimal_io_size: Option<u64>,
        alignment_offset: Option<u64>,
        max_io_size: Option<u64>,
        discard_granularity: Option<u64>,
        discard_max_bytes: Option<u64>,
        write_zeroes_max_bytes: Option<u64>,
        /// `write-back` or `write-through`.
        write_cache: Option<String>,
        fua: Option<bool>,
        /// `none`, `host-aware`, `host-managed`.
        zoned: Option<String>,
        zone_size: Option<u64>,
        scheduler: Option<String>,
        integrity: Option<bool>,

        pci_address: Option<String>,
        numa_node: Option<u64>,
        /// Of the controller.
        driver: Option<String>,
        /// SCSI `host:channel:target:lun`.
        hctl: Option<String>,
        /// bit/s of the link to the disk (SATA, SAS).
        link_speed: Option<u64>,
        /// What the disk can.
        max_link_speed: Option<u64>,
        /// What the controller's ports can, where it tells (AHCI).
        port_link_speed: Option<u64>,
        /// SCSI or NVMe controller state in the kernel, e.g. `running`, `live`.
        state: Option<String>,
        nvme: Option<NvmeNamespace>,

        /// `gpt` or `dos`.
        partition_table: Option<String>,
        partition_table_id: Option<String>,
        partitions: Vec<Partition>,
        /// What is recognised on the whole disk; absent when it was not read.
        signatures: Option<Vec<Signature>>,
        /// SHA-256 over the first and the last MiB, in hexadecimal; absent when they were not read.
        edges: Option<String>,
        /// Whether the disk looks empty; absent when it was not read.
        samples: Option<Samples>,
        /// Id of the order that left the disk half written, from the mark in its first sector.
        unfinished: Option<String>,
        /// Of a disk that is half written: partitions on it that an order may keep.
        remembered: Option<Remembered>,
        /// Kernel names of the devices built on this disk or its partitions.
        holders: Vec<String>,
        /// Kernel names of the devices this one is built on.
        slaves: Vec<String>,
        /// Of the disk, its partitions and everything held by them; absent when the mount table was not read.
        mounts: Option<Vec<Mount>>,
        /// Of an array its own state; of a disk the first array that it, or a partition of it, is a member of.
        md: Option<MdMembership>,
        /// Of a path (`multipath_member`).
        multipath: Option<Multipath>,
        /// Of a multipath device, or of the path that stands for its disk: all of them, the best first.
        paths: Vec<DiskPath>,
        /// Of a disk with `paths`: `optimal`, `degraded` (some of them do not work), `failed` (none works), `single`.
        path_state: Option<String>,
        /// Where it is plugged in.
        bay: Option<Bay>,
        /// Of the port that it is reached through, 16 hexadecimal digits.
        sas_address: Option<String>,
        /// What two sources tell differently.
        conflicts: Vec<Conflict>,
        /// Name and UUID of a device-mapper map.
        dm_name: Option<String>,
        dm_uuid: Option<String>,
        backing_file: Option<String>,

        health: Option<Health>,
        erase: Option<Erase>,
    }
}

record! {
    NvmeNamespace {
        /// Of the controller, e.g. `nvme0`.
        controller: Option<String>,
        namespace_id: Option<u64>,
        nguid: Option<String>,
        eui64: Option<String>,
        uuid: Option<String>,
        subsystem_nqn: Option<String>,
        /// Of the specification the controller follows.
        version: Option<String>,
        controller_id: Option<u64>,
        namespaces: Option<u64>,
        total_capacity: Option<u64>,
        unallocated_capacity: Option<u64>,
        /// Sizes the namespace can be formatted to, best performance first where the device says.
        lba_formats: Vec<u64>,
        /// Metadata bytes per block in the current format.
        metadata_size: Option<u64>,
    }
}

record! {
    /// Of an md array: its own state. Of a member: the array it belongs to, and its part in it.
    MdMembership {
        /// Kernel name of the array, when it is assembled.
        array: Option<String>,
        uuid: Option<String>,
        name: Option<String>,
        level: Option<String>,
        state: Option<String>,
        raid_disks: Option<u64>,
        degraded: Option<u64>,
        metadata_version: Option<String>,
        /// Bytes.
        chunk_size: Option<u64>,
        /// `idle`, `resync`, `recover`, `check`, ...
        sync_action: Option<String>,
        /// Of a member: `active`, `rebuilding`, `spare`, `faulty`, `journal` or `replacement`.
        role: Option<String>,
        /// Of a member: its place in the array.
        slot: Option<u64>,
        /// Of a member: kernel name of the disk or partition that is one.
        device: Option<String>,
        /// Of an array: by slot, those without one behind.
        members: Vec<MdMember>,
    }
}

record! {
    MdMember {
        /// Kernel name of a disk or partition.
        device: String,
        role: Option<String>,
        slot: Option<u64>,
        /// Read errors that were corrected.
        errors: Option<u64>,
    }
}

record! {
    /// The multipath device that a disk is a path of.
    Multipath {
        /// Kernel name of the map; absent while nothing has assembled it.
        map: Option<String>,
        /// The map's name.
        name: Option<String>,
        uuid: Option<String>,
        /// Asymmetric access state (ALUA) of this path, e.g. `active/optimized`.
        access_state: Option<String>,
        preferred: Option<bool>,
    }
}

record! {
    /// A path below a multipath device.
    DiskPath {
        /// Kernel name.
        name: String,
        /// NVMe controller or SCSI `host:channel:target:lun`.
        through: Option<String>,
        /// The PCI function or the transport address.
        address: Option<String>,
        /// Of the device or controller, e.g. `running`, `live`.
        state: Option<String>,
        /// ALUA or ANA state, e.g. `active/optimized`, `optimized`.
        access_state: Option<String>,
    }
}

record! {
    /// Two sources that tell one thing differently.
    Conflict {
        /// Field of the record it stands in.
        field: String,
        /// What the inventory follows, and where it is from.
        kept: String,
        kept_source: String,
        other: String,
        other_source: String,
        /// Why the one is kept.
        reason: String,
    }
}

record! {
    /// What can erase the disk.
    Erase {
        /// The kernel passes discards to the device.
        discard: bool,
        /// Reads after a discard return zeros, by the device's own word.
        discard_zeroes: Option<bool>,
        nvme_format: Option<bool>,
        nvme_crypto_erase: Option<bool>,
        nvme_sanitize_block: Option<bool>,
        nvme_sanitize_overwrite: Option<bool>,
        nvme_sanitize_crypto: Option<bool>,
        ata_security: Option<AtaSecurity>,
        ata_sanitize: Option<bool>,
    }
}

record! {
    /// ATA IDENTIFY word 128.
    AtaSecurity {
        supported: bool,
        enabled: bool,
        locked: bool,
        frozen: bool,
        count_expired: bool,
        enhanced_erase: bool,
        /// Minutes, as the disk estimates.
        erase_minutes: Option<u64>,
    }
}

record! {
    StorageController {
        pci_address: Option<String>,
        /// `nvme`, `ahci`, `megaraid_sas`, ...
        driver: Option<String>,
        kind: Option<String>,
        vendor: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        state: Option<String>,
        numa_node: Option<u64>,
        /// Kernel names of SCSI hosts or NVMe controllers.
        hosts: Vec<String>,
        /// Kernel names of the disks behind it.
        disks: Vec<String>,
        /// It presents volumes, or swallows drives: what is behind it is not seen by the kernel.
        hides_drives: bool,
        /// How many drives are hidden; absent where the kernel cannot tell.
        hidden_drive_count: Option<u64>,
        /// Hidden drives that the controller lets the SCSI layer see.
        hidden_drives: Vec<HiddenDrive>,
    }
}

record! {
    /// A drive behind a controller that no block device stands for.
    HiddenDrive {
        /// SCSI `host:channel:target:lun`.
        hctl: String,
        vendor: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        wwn: Option<String>,
        state: Option<String>,
        /// Always false: nothing can be written to it.
        visible: bool,
    }
}
