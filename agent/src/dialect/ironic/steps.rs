//! The steps that Ironic may request. Every listed step is implemented; a step that is not implemented is not listed.

use super::commands::StepPhase;
use serde_json::{Value, json};

/// Replaces the names of ironic-python-agent's hardware managers.
pub const MANAGER: &str = "burin";

/// One row of the table.
pub struct Listed {
    pub name: &'static str,
    pub interface: &'static str,
    pub phase: StepPhase,
    /// Steps above 0 run in automated cleaning; operators can change it in Ironic.
    pub priority: u32,
    pub abortable: bool,
    /// Name, whether it is required, and a description.
    pub arguments: &'static [(&'static str, bool, &'static str)],
}

pub const ALL: [Listed; 4] = [
    Listed {
        name: "erase_devices_metadata",
        interface: "deploy",
        phase: StepPhase::Clean,
        priority: 99,
        abortable: true,
        arguments: &[],
    },
    Listed {
        name: "delete_configuration",
        interface: "raid",
        phase: StepPhase::Clean,
        priority: 0,
        abortable: true,
        arguments: &[],
    },
    Listed {
        name: "erase_devices_metadata",
        interface: "deploy",
        phase: StepPhase::Deploy,
        priority: 0,
        abortable: false,
        arguments: &[],
    },
    Listed {
        name: "write_image",
        interface: "deploy",
        phase: StepPhase::Deploy,
        priority: 0,
        abortable: false,
        arguments: &[
            ("image_info", true, "the image: urls, disk_format, os_hash_algo and os_hash_value or checksum"),
            ("configdrive", false, "base64 of a gzipped ISO 9660 or FAT filesystem, or a URL of it"),
        ],
    },
];

pub fn find(phase: StepPhase, step: &Value) -> Option<&'static Listed> {
    ALL.iter()
        .find(|listed| listed.phase == phase && step["step"] == listed.name && step["interface"] == listed.interface)
}

/// A conductor detects by it that another version of the agent listed the steps.
pub fn version() -> Value {
    json!({ MANAGER: env!("CARGO_PKG_VERSION") })
}

/// The answer to `get_clean_steps`, `get_deploy_steps` and `get_service_steps`.
pub fn list(phase: StepPhase) -> Value {
    let steps: Vec<Value> = ALL.iter().filter(|listed| listed.phase == phase).map(step).collect();
    json!({ format!("{}_steps", phase.word()): { MANAGER: steps }, "hardware_manager_version": version() })
}

fn step(listed: &Listed) -> Value {
    let arguments = listed.arguments.iter();
    let arguments: serde_json::Map<String, Value> = arguments
        .map(|(name, required, what)| ((*name).to_owned(), json!({ "description": what, "required": required })))
        .collect();
    let mut step = json!({
        "step": listed.name,
        "priority": listed.priority,
        "interface": listed.interface,
        "reboot_requested": false,
        "abortable": listed.abortable,
    });
    if !arguments.is_empty() {
        step["argsinfo"] = arguments.into();
    }
    step
}
