//! The step in a plan: a new LUKS2 volume.

use super::{Device, Identifier, Node, Plan, PlannedKey, PlannedPbkdf, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates a LUKS2 volume, `/dev/mapper/NAME`, over this device. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateLuks {
    pub name: String,
    pub on: Device,
    pub uuid: String,
    /// dm-crypt's name.
    pub cipher: String,
    /// Size of the volume key in bits.
    pub key_bits: u32,
    pub sector_size: u32,
    /// Offset of the encrypted data.
    pub offset: u64,
    /// Minimum usable size.
    pub size: u64,
    /// Derivation of passphrases.
    pub pbkdf: PlannedPbkdf,
    /// One key slot for each, in this order.
    pub keys: Vec<PlannedKey>,
}

impl Wire for CreateLuks {
    fn disks(&self) -> Vec<usize> {
        self.on.disk().into_iter().collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { name, on, uuid, cipher, key_bits, sector_size, keys, pbkdf, .. } = self;
        let keys: Vec<String> = keys
            .iter()
            .map(|key| match key {
                PlannedKey::Passphrase => "a passphrase".to_owned(),
                PlannedKey::RecoveryKey { to } => format!("a recovery key for {to}"),
                PlannedKey::Generated { to } => format!("a generated key for {to}"),
                PlannedKey::Tpm2 { pcrs } => format!("a key in the TPM with PCRs {pcrs:?} as they are"),
            })
            .collect();
        format!(
            "create LUKS volume {name} on {} ({cipher}, {key_bits}-bit key, {sector_size}-byte sectors, Argon2id with {}, \
             UUID {uuid}), opened by {}",
            words::device(on),
            words::decimal(pbkdf.memory),
            keys.join(", ")
        )
    }

    fn identifiers(&self) -> Vec<Identifier> {
        vec![Identifier::FilesystemUuid(self.uuid.clone())]
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        let words = format!("LUKS volume {}, {}", self.name, words::decimal(self.size));
        vec![Node { device: Some(Device::Luks { name: self.name.clone() }), on: vec![self.on.clone()], words }]
    }
}
