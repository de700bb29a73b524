//! The boot entry step: the loader found on the ESP, the entry made and read back.

use super::{ApplyError, Context, table};
use crate::error::Coded;
use crate::finalize::guid::{self, Arch};
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::table::Label;
use crate::finalize::uefi::entry::{self, BootReceipt, Target};
use crate::finalize::uefi::loader;
use crate::finalize::uefi::variables::Variables;
use crate::protocol::Kind;
use crate::protocol::event::Anomaly;
use crate::protocol::order::{BootOrder, PartitionPick};
use crate::protocol::plan::PlannedDisk;
use crate::report::Emitter;
use uuid::Uuid;

/// None where there is nothing to do: firmware without EFI variables, or an order that keeps the boot entries.
pub fn entry(
    context: &Context<'_>,
    disk: &PlannedDisk,
    label: &str,
    order: BootOrder,
    emitter: &Emitter,
) -> Result<Option<BootReceipt>, ApplyError> {
    let directory = context.paths.sys.join("firmware/efi/efivars");
    if order == BootOrder::Keep || !context.paths.sys.join("firmware/efi").exists() {
        return Ok(None);
    }
    let arch = Arch::native();
    let no_esp = || ApplyError::NoEsp { device: context.path(disk) };
    let Label::Gpt(gpt) = table::read(context, disk)? else { return Err(no_esp()) };
    let esp_type = guid::partition_type("esp", arch);
    let esp = gpt.partitions().into_iter().find(|one| Some(one.type_guid) == esp_type).ok_or_else(no_esp)?;

    let node = table::node(context, disk, PartitionPick::Number(esp.number))?;
    let mounted = Mounted::mount(&node, "vfat", Access::ReadOnly, &context.paths.mounts)?;
    let found = loader::find(mounted.path(), arch);
    mounted.unmount()?;

    let gone = disk.existing.partitions.iter().filter_map(|old| old.guid.as_deref()?.parse::<Uuid>().ok());
    let gone = gone.filter(|old| gpt.partitions().iter().all(|new| new.guid != *old)).collect();
    let target = Target { label: label.to_owned(), esp: entry::hard_drive(&esp), loader: found?.path, gone };
    let installed = Variables::open(&directory).and_then(|variables| entry::install(&variables, &target, order));
    match installed {
        Ok(receipt) => {
            log::info!("boot order: {} (was {})", receipt.order_after.join(" "), receipt.order_before.join(" "));
            Ok(Some(receipt))
        }
        // The system is whole and firmware finds \EFI\BOOT by itself: said aloud, and no reason to fail.
        Err(error) if !found_by_default(&target.loader) => Err(error.into()),
        Err(error) => {
            let problem = error.problem();
            log::warn!("no boot entry [{}]: {}; firmware will look for \\EFI\\BOOT", problem.code, problem.message);
            emitter.emit(Kind::Anomaly(Anomaly { device: Some(disk.device.clone()), problem }));
            Ok(None)
        }
    }
}

fn found_by_default(loader: &str) -> bool {
    loader.to_ascii_uppercase().starts_with("\\EFI\\BOOT\\")
}
