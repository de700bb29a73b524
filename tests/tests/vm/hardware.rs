//! One image on all hardware: burin writes the same image file to a disk behind each kind of controller, and each of these
//! disks, alone in a machine, boots to its login prompt under BIOS and under UEFI. It prints a table of what booted.

use burin::protocol::Receipt;
use burin_tests::deploy::{Image, SmallDebian, built, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const GIB: u64 = 1 << 30;
const LONG: Duration = Duration::from_secs(1800);
const BOOTS: Duration = Duration::from_secs(600);
const MAC: &str = "52:54:00:b0:00:1d";

/// What keeps a firmware from booting this disk, whatever is on it.
type Cannot = Option<&'static str>;

struct Row {
    name: &'static str,
    bus: Bus,
    sector: u32,
    bios: Cannot,
    uefi: Cannot,
}

const NO_DRIVER: Cannot = Some("OVMF has no driver for it");
const NO_4K: Cannot = Some("a BIOS reads 512-byte sectors");

const fn row(name: &'static str, bus: Bus, sector: u32, bios: Cannot, uefi: Cannot) -> Row {
    Row { name, bus, sector, bios, uefi }
}

const ROWS: [Row; 9] = [
    row("NVMe", Bus::Nvme, 512, None, None),
    row("SATA (AHCI)", Bus::Sata, 512, None, None),
    row("virtio-blk", Bus::VirtioBlk, 512, None, None),
    row("virtio-scsi", Bus::VirtioScsi, 512, None, None),
    row("SAS (LSI 1068)", Bus::Sas, 512, None, None),
    row("MegaRAID", Bus::MegaRaid, 512, None, NO_DRIVER),
    row("USB storage", Bus::Usb, 512, None, None),
    row("NVMe, 4096-byte sectors", Bus::Nvme, 4096, NO_4K, None),
    row("virtio-scsi, 4096-byte sectors", Bus::VirtioScsi, 4096, NO_4K, None),
];

impl Row {
    fn serial(&self) -> String {
        self.name.chars().filter(char::is_ascii_alphanumeric).take(18).collect::<String>().to_uppercase()
    }

    fn disk(&self, file: &DiskFile) -> Disk {
        let mut disk = Disk::new(self.bus, file.path(), &self.serial());
        disk.sector = self.sector;
        disk
    }
}

#[test]
#[ignore = "on demand: scripts/test --hardware"]
fn one_image_boots_from_disks_of_every_kind() {
    let (netboot, image, small) = match (built(), SmallDebian::built()) {
        (Ok((netboot, image)), Ok(small)) => (netboot, image, small),
        (Err(reason), _) | (_, Err(reason)) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let images = dir.join("images");
    std::fs::create_dir(&images).unwrap();
    for image in [&image, &small.disk] {
        std::os::unix::fs::symlink(image.dir.join(&image.file), images.join(&image.file)).unwrap();
    }
    let files: Vec<DiskFile> = (0..)
        .zip(&ROWS)
        .map(|(number, _)| {
            let file = DiskFile::new(dir.join(format!("disk{number}.raw")));
            Dirt::new(2 * GIB, 8 << 20, 200 + number).create(&file).unwrap();
            file
        })
        .collect();

    let controller = start_controller(dir, &netboot, &images).unwrap();
    let url = controller.public_url();
    let cmdline = format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-"));
    let kernel = Boot::Kernel { kernel: netboot.kernel(), initrd: netboot.initramfs(), cmdline };
    let spec = MachineSpec::new(dir, Firmware::Bios).identity("b0b0b0b0-0000-4000-8000-00000000001d", "HARDWARE");
    let spec = ROWS.iter().zip(&files).fold(spec, |spec, (row, file)| spec.disk(row.disk(file)));
    controller.put_order(MAC, order(&format!("{url}/images"), &image, &small.disk).to_string()).unwrap();
    let machine = spec.nic(Nic::new(NicModel::Virtio, MAC)).boot(kernel).start().unwrap();
    let receipt = controller.wait_receipt("hardware", LONG);
    let (_, receipt) = receipt.unwrap_or_else(|| panic!("no receipt\n{}", machine.console().tail(60)));
    machine.cut_power();
    wrote_all(&receipt, &image, &small.disk);

    println!("| disk behind | BIOS | UEFI |\n|---|---|---|");
    let wrong: Vec<String> = ROWS.iter().zip(&files).filter_map(|(row, file)| boots_by_both(dir, row, file)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every disk gets an image; which one, its sectors decide.
fn order(images: &str, image: &Image, small: &Image) -> Value {
    let of = |image: &Image| {
        json!({
            "urls": [format!("{images}/{}", image.file)],
            "digest": { "wire": image.wire, "content": image.content },
        })
    };
    let name = |number: usize| if number == 0 { "system".to_owned() } else { format!("disk{number}") };
    let disks: serde_json::Map<String, Value> = (ROWS.iter().enumerate())
        .map(|(number, row)| {
            let image = if row.sector == 512 { "debian" } else { "debian-4k" };
            let rule = json!({ "serial": row.serial(), "logical_block_size": row.sector });
            (name(number), json!({ "match": rule, "on_existing": "destroy", "image": image }))
        })
        .collect();
    json!({
        "version": "order/v1", "id": "hardware", "images": { "debian": of(image), "debian-4k": of(small) },
        "layouts": [{ "name": "all", "disks": disks }],
        "policies": { "finish": "hold" },
    })
}

fn wrote_all(receipt: &Receipt, image: &Image, small: &Image) {
    assert_eq!(receipt.problem, None);
    assert_eq!(receipt.images.len(), ROWS.len());
    for written in &receipt.images {
        let wanted = if written.url.ends_with(&small.file) { small } else { image };
        assert_eq!(written.digest.content.as_ref(), Some(&wanted.content), "{}", written.device);
    }
}

/// Prints the row. What is not as it should be, in words.
fn boots_by_both(dir: &Path, row: &Row, file: &DiskFile) -> Option<String> {
    let cells = [(Firmware::Bios, row.bios), (Firmware::Uefi, row.uefi)].map(|(firmware, cannot)| match cannot {
        Some(why) => Ok(format!("no: {why}")),
        None => boots(dir, row, file, firmware).map(|()| "boots".to_owned()),
    });
    let said = cells.each_ref().map(|cell| cell.as_deref().unwrap_or("DOES NOT BOOT"));
    println!("| {} | {} | {} |", row.name, said[0], said[1]);
    let wrong: Vec<String> = cells.into_iter().filter_map(Result::err).collect();
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

fn boots(dir: &Path, row: &Row, file: &DiskFile, firmware: Firmware) -> Result<(), String> {
    // Variables that no earlier machine has written.
    let dir = tempfile::tempdir_in(dir).map_err(|error| error.to_string())?;
    let spec = MachineSpec::new(dir.path(), firmware).identity("b0b0b0b0-0000-4000-8000-00000000001d", "HARDWARE");
    let machine = spec.disk(row.disk(file)).boot(Boot::Disks).start().map_err(|error| error.to_string())?;
    let seen = machine.console().wait_for(" login:", BOOTS);
    let seen = seen.map(drop).map_err(|_| format!("{}, {firmware}:\n{}", row.name, machine.console().tail(30)));
    machine.cut_power();
    seen
}
