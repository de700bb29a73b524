//! What is on a disk.

use super::disk::MdMembership;

record! {
    /// A look at a disk here and there: the first and the last MiB, and 32 blocks of 4 KiB evenly spread between them.
    Samples {
        /// How many bytes were read. The looking ends with the first block that is not blank.
        looked_at_bytes: u64,
        /// Each block of 4 KiB was all zeros, or all 0xff.
        blank: bool,
    }
}

record! {
    Partition {
        number: u64,
        name: String,
        device_number: Option<String>,
        start: u64,
        size: u64,
        read_only: bool,
        /// GPT partition GUID, or `diskid-NN` for MBR.
        uuid: Option<String>,
        /// GPT type GUID, or `0x83` for MBR.
        kind: Option<String>,
        label: Option<String>,
        /// GPT attribute bits or MBR boot flag, as a number.
        flags: Option<u64>,
        signatures: Option<Vec<Signature>>,
        holders: Vec<String>,
        md: Option<MdMembership>,
    }
}

record! {
    /// Something recognised by its magic on a device.
    Signature {
        /// libblkid's name: `ext4`, `linux_raid_member`, `LVM2_member`, `crypto_LUKS`, `gpt`.
        kind: String,
        /// `filesystem`, `raid`, `crypto`, `partition-table`, `other`.
        usage: Option<String>,
        uuid: Option<String>,
        label: Option<String>,
        version: Option<String>,
        /// Byte offset of the magic.
        offset: Option<u64>,
        /// What it is a member of, where several devices make one and `uuid` is not, or not only, that of the whole.
        group: Option<Group>,
    }
}

record! {
    /// Several devices that make one: a volume group, a pool, a filesystem over more than one disk.
    Group {
        uuid: Option<String>,
        name: Option<String>,
        /// How many devices there should be.
        devices: Option<u64>,
    }
}

record! {
    Mount {
        /// Kernel name of what is mounted.
        device: String,
        mountpoint: String,
        filesystem: Option<String>,
        read_only: bool,
    }
}
