"""A real Ironic (39.0.0, unmodified) deploys virtual machines, by UEFI and by BIOS, and they boot from their disks:
inspection, cleaning, raw by sha256 and qcow2 by a file of checksums, a config drive that cloud-init takes, undeployment,
and a partition image. Started by `scripts/test-ironic --vm`, in a network namespace of its own: Ironic is on a bridge, the
machines on taps. Ironic's power driver is a fake one: this script is the power button.
"""

import base64, gzip, hashlib, json, os, pathlib, shutil, subprocess, sys, tempfile, time
from rig import MIB, Files, Ironic, run

BRIDGE = "192.168.77.1"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1cmluLWRlbW8ta2V5LW5vYm9keS1ob2xkcy1pdCEh demo@example"
# Says from inside what cloud-init has made of the config drive, then ends the machine.
USER_DATA = """#cloud-config
runcmd:
  - |
    firmware=$([ -d /sys/firmware/efi ] && echo uefi || echo bios)
    part=$(findmnt -nro SOURCE /)
    key=$(cut -d' ' -f3 /home/debian/.ssh/authorized_keys)
    echo "proof: host=$(hostname) key=$key firmware=$firmware label=$(lsblk -nro PARTLABEL $part)." >/dev/ttyS0
    sleep 1
    poweroff
"""


def network(work):
    """A bridge with a DHCP server; taps are added by the machines."""
    for words in ("link set lo up", "link add br0 type bridge", f"address add {BRIDGE}/24 dev br0", "link set br0 up"):
        run("ip", *words.split())
    return subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root",
                             "--interface=br0", "--bind-interfaces", "--dhcp-range=192.168.77.51,192.168.77.99,1h",
                             f"--dhcp-leasefile={work}/leases", f"--log-facility={work}/dnsmasq.log", "--log-dhcp"])


class Machine(Ironic):
    def __init__(self, venv, work, netboot):
        super().__init__(venv, work, BRIDGE)
        self.netboot, self.qemu, self.boots = pathlib.Path(netboot), None, 0

    def make(self, uefi):
        """A machine without power, with two empty disks."""
        self.name, self.uefi, self.mac = "by-uefi" if uefi else "by-bios", uefi, f"52:54:00:77:00:0{1 if uefi else 2}"
        self.home = self.work / self.name
        os.mkdir(self.home)
        for disk, size in (("TARGETDISK", 4), ("OTHERDISK", 2)):
            with open(self.home / disk, "wb") as file:
                file.write(os.urandom(MIB))
                file.truncate(size << 30)
        shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", self.home / "vars")
        run("ip", "tuntap", "add", "dev", self.tap(), "mode", "tap")
        run("ip", "link", "set", self.tap(), "master", "br0", "up")
        self.enroll(self.mac, capabilities=f"boot_mode:{'uefi' if uefi else 'bios'}",
                    root_device={"serial": "TARGETDISK"}, cpu_arch="x86_64")

    def tap(self):
        return f"tap-{self.name}"

    def power(self, *boot):
        """On, after it was off. What it says goes into a file of its own."""
        self.off()
        self.boots += 1
        self.console = self.work / f"console-{self.boots}-{self.name}"
        pflash = "if=pflash,format=raw"
        firmware = ["-drive", f"{pflash},unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                    "-drive", f"{pflash},unit=1,file={self.home}/vars"] if self.uefi else []
        disks = []
        for disk in ("TARGETDISK", "OTHERDISK"):
            disks += ["-drive", f"if=none,id={disk},format=raw,discard=unmap,file={self.home / disk}",
                      "-device", f"virtio-blk-pci,drive={disk},serial={disk}"]
        accelerator = os.environ.get("BURIN_QEMU_ACCEL") or "tcg,thread=multi"
        command = ["qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-machine", "q35,graphics=off", "-m", os.environ.get("BURIN_IRONIC_MEMORY", "1024"),
                   "-smp", "2", "-nodefaults", "-display", "none", "-serial", f"file:{self.console}", "-no-reboot",
                   "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
                   "-netdev", f"tap,id=net0,ifname={self.tap()},script=no,downscript=no",
                   "-device", f"virtio-net-pci,netdev=net0,mac={self.mac},romfile=", *firmware, *disks, *boot]
        self.began, self.qemu = time.time(), subprocess.Popen(command)

    def boot(self, words=None, media=()):
        """As Ironic's boot interfaces start the ramdisk."""
        words = f"{words or 'ipa-api-url=' + self.api} BOOTIF={self.mac} nofb vga=normal console=ttyS0"
        ramdisk = ["-kernel", self.netboot / "vmlinuz", "-initrd", self.netboot / "initramfs.cpio.zst", "-append", words]
        self.power(*map(str, ramdisk), *media)

    def virtual_media(self, words):
        """A floppy of a BMC: what Ironic's redfish-virtual-media says in parameters.txt."""
        image, text = self.home / "floppy", self.home / "parameters.txt"
        text.write_text("".join(f"{word}\n" for word in words.split()))
        with open(image, "wb") as file:
            file.truncate(MIB)
        run("mkfs.vfat", "-n", "ir-vfd-dev", image)
        run("mcopy", "-i", image, text, "::/parameters.txt")
        return ["-drive", f"if=none,id=floppy,format=raw,readonly=on,file={image}", "-device", "qemu-xhci",
                "-device", "usb-storage,drive=floppy,removable=on"]

    def off(self):
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()

    def goes_off(self):
        self.qemu.wait(300)

    def took(self, what):
        print(f"    {time.time() - self.began:.0f} s to {what}")

    def clean(self):
        self.wait("clean wait")
        self.boot()
        self.wait("cleaning", "available", seconds=1500)
        self.took("the first heartbeat")
        self.wait("available", seconds=1500)
        self.took("the end of cleaning")
        self.off()

    def deploy(self, image, host):
        self.patch("/instance_info", image)
        self.provision("active", configdrive=drive(self.work, host))
        self.wait("wait call-back")
        self.boot()
        self.wait("deploying", "active", seconds=1500)
        self.took("the first heartbeat")
        self.wait("active", seconds=1500)
        self.took("active")
        self.goes_off()

    def undeploy(self):
        self.provision("deleted")
        self.clean()

    def proves(self, **wanted):
        """The machine boots from its disk, and says what cloud-init has made of the config drive."""
        self.power()
        end = time.time() + 1500
        while time.time() < end and self.qemu.poll() is None:
            time.sleep(1)
        self.took("the end of the installed system")
        lines = self.console.read_bytes().decode(errors="replace").splitlines()
        proof = next((line[line.index("proof: ") + 7:].rstrip(".\r") for line in lines if "proof: " in line), None)
        assert proof, f"no proof on {self.console}: {lines[-5:]}"
        found = dict(word.split("=") for word in proof.split())
        wanted |= {"key": "demo@example", "firmware": "uefi" if self.uefi else "bios"}
        print("   ", proof)
        assert found == wanted, (found, wanted)


def drive(work, host):
    """A config drive: base64 of a gzipped ISO."""
    with tempfile.TemporaryDirectory(dir=work) as root:
        latest = pathlib.Path(root, "drive/openstack/latest")
        os.makedirs(latest)
        meta = {"uuid": f"instance-{host}", "hostname": host, "public_keys": {"demo": KEY}}
        (latest / "meta_data.json").write_text(json.dumps(meta))
        (latest / "user_data").write_text(USER_DATA)
        iso = pathlib.Path(root, "drive.iso")
        run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "config-2", "-o", iso, pathlib.Path(root, "drive"))
        return base64.b64encode(gzip.compress(iso.read_bytes())).decode()


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_images(rig, source):
    """Of the Debian image: itself, as qcow2, and its root filesystem with a boot loader for the ESP, compressed."""
    files = pathlib.Path(Files.directory_served)
    raw, qcow2, root = files / "debian.raw", files / "debian.qcow2", rig.work / "root.ext4"
    run("zstd", "-q", "-d", "-o", raw, pathlib.Path(source, "debian-12.raw.zst"))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2)
    (files / "SHA256SUMS").write_text(f"{sha256(qcow2)}  debian.qcow2\n")
    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]["partitions"]
    part = {one["name"]: one for one in table}
    run("dd", f"if={raw}", f"of={root}", "bs=1M", f"skip={part['root']['start'] // 2048}",
        f"count={part['root']['size'] // 2048}", "conv=sparse", "status=none")
    loader = rig.work / "BOOTX64.EFI"
    run("mcopy", "-i", f"{raw}@@{part['esp']['start'] * 512}", "::/EFI/BOOT/BOOTX64.EFI", loader)
    script = rig.work / "debugfs"
    script.write_text("mkdir boot/efi\nmkdir boot/efi/EFI\nmkdir boot/efi/EFI/BOOT\n"
                      f"write {loader} boot/efi/EFI/BOOT/BOOTX64.EFI\n")
    run("debugfs", "-w", "-f", script, root)
    run("zstd", "-q", "-1", root, "-o", files / "root.ext4.zst")
    url = rig.files
    whole = {"image_source": f"{url}/debian.raw", "image_os_hash_algo": "sha256", "image_os_hash_value": sha256(raw),
             "image_disk_format": "raw", "image_type": "whole-disk"}
    packed = {"image_source": f"{url}/debian.qcow2", "image_checksum": f"{url}/SHA256SUMS",
              "image_disk_format": "qcow2", "image_type": "whole-disk"}
    partition = {"image_source": f"{url}/root.ext4.zst", "image_os_hash_algo": "sha256",
                 "image_os_hash_value": sha256(files / "root.ext4.zst"), "image_disk_format": "raw",
                 "image_type": "partition", "kernel": f"{url}/SHA256SUMS", "ramdisk": f"{url}/SHA256SUMS",
                 "root_gb": 2, "ephemeral_gb": 1}
    return whole, packed, partition


def inspected_and_cleaned(rig):
    print("## inspection")
    rig.provision("inspect")
    rig.wait("inspect wait")
    words = f"ipa-inspection-callback-url={rig.api}/v1/continue_inspection"
    if rig.uefi:
        rig.boot(words)
    else:
        # Nothing but the virtual media says where Ironic is.
        rig.boot("boot_method=vmedia", rig.virtual_media(f"{words} ipa-debug=1"))
    properties = rig.wait("manageable", seconds=900)["properties"]
    rig.took("the inspection")
    assert properties["cpu_arch"] == "x86_64" and properties["local_gb"] == 3, properties
    rig.off()
    print("## cleaning")
    rig.provision("provide")
    rig.clean()
    assert not any(open(rig.home / disk, "rb").read(512).strip(b"\0") for disk in ("TARGETDISK", "OTHERDISK"))


def story(rig, image, firmware):
    whole, packed, partition = make_images(rig, image)
    rig.start_ironic()
    if "uefi" in firmware:
        print("# UEFI")
        rig.make(uefi=True)
        inspected_and_cleaned(rig)
        print("## raw by sha256, with a config drive")
        rig.deploy(whole, "web-1")
        rig.proves(host="web-1", label="root")
        print("## undeployment, with cleaning")
        rig.undeploy()
        print("## a partition image, with a config drive")
        rig.deploy(partition, "web-2")
        rig.proves(host="web-2", label="root")
    if "bios" in firmware:
        print("# BIOS")
        rig.make(uefi=False)
        inspected_and_cleaned(rig)
        print("## qcow2 by a file of checksums, with a config drive")
        rig.deploy(packed, "web-3")
        rig.proves(host="web-3", label="root")


def main():
    venv, netboot, image, *firmware = sys.argv[1:]
    sys.stdout.reconfigure(line_buffering=True)
    work = tempfile.mkdtemp(prefix="burin-ironic-vm-")
    dhcp = network(work)
    rig = Machine(venv, work, netboot)
    try:
        story(rig, image, firmware or ["uefi", "bios"])
        print("PASS")
        shutil.rmtree(work)
    except BaseException:
        print(f"consoles and Ironic's log are in {work}")
        raise
    finally:
        rig.off()
        if rig.ironic:
            rig.stop_ironic()
        dhcp.terminate()


if __name__ == "__main__":
    main()
