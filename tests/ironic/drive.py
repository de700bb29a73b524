"""A real Ironic (39.0.0, unmodified) drives the agent on this host: inspection, cleaning, deployment, undeployment, and
what must fail well. Started by scripts/test-ironic.

The machine is two loop devices and the program host-agent (tests/src/bin/host-agent.rs). With `--short` the stories that
wait for Ironic's own patience are left out: one deployment, one cleaning, and what is refused.
"""

import base64, gzip, hashlib, json, os, pathlib, subprocess, sys, tempfile, time
from rig import MIB, Files, Ironic, free_port, run

MAC = "52:54:00:12:34:56"


class Rig(Ironic):
    def __init__(self, venv, agent, work):
        super().__init__(venv, work)
        self.program, self.boots, self.agent, self.loops = agent, 0, None, []
        # Ironic refuses another callback within a boot: the port is the same for every process.
        self.listen = free_port()

    def disk(self, serial):
        path = self.work / serial
        with open(path, "wb") as file:
            file.write(os.urandom(MIB))
            file.truncate(400 * MIB)
        loop = run("losetup", "--find", "--show", path)
        self.loops.append(loop)
        identity = {"kind": "serial", "value": f"ACME_{serial}", "strength": "strong"}
        return {"name": loop[5:], "path": loop, "status": "ok", "mounts": [], "signatures": [], "class": "ssd",
                "logical_block_size": 512, "model": "Acme SSD", "size": 400 * MIB, "serial": serial,
                "identity": identity, "identities": [identity]}

    def make_machine(self):
        section = lambda data: {"status": "ok", "data": data}
        machine = {"schema_version": "inventory/v1", "firmware": section({"boot_mode": "bios"}),
                   "system": section({"uuid": "4c4c4544-0000-1000-8000-000000000001"}),
                   "cpu": section({"architecture": "x86_64"}), "memory": section({"usable": 4 << 30, "physical": 4 << 30}),
                   "disks": section([self.disk("TARGETDISK"), self.disk("OTHERDISK")]), "volumes": section([]),
                   "nics": section([{"name": "eth0", "status": "ok", "mac": MAC}]), "pci": section([])}
        (self.work / "machine.json").write_text(json.dumps(machine))

    def boot(self, words=None, same_boot=False):
        root = self.work / "root"
        if not same_boot:
            self.off()
            self.boots += 1
            run("rm", "-rf", root / "run")
            os.makedirs(root / "proc/sys/kernel/random", exist_ok=True)
            (root / "proc/sys/kernel/random/boot_id").write_text(f"00000000-0000-4000-8000-{self.boots:012}\n")
        (root / "proc/cmdline").write_text(f"{words or 'ipa-api-url=' + self.api} ipa-listen-port={self.listen} BOOTIF={MAC}\n")
        out = open(self.work / "agent.out", "a")
        command = [self.program, "--root", root, "--machine", self.work / "machine.json"]
        self.agent = subprocess.Popen(command, stdout=out, stderr=out)

    def kill(self):
        self.agent.kill()
        self.agent.wait()

    def off(self):
        if self.agent:
            self.kill()

    def clean(self):
        self.wait("clean wait")
        self.boot()
        self.wait("available")

    def deploy(self, image, drive=None):
        self.patch("/instance_info", {"image_type": "whole-disk", **image})
        self.provision("active", **({"configdrive": drive} if drive else {}))
        self.wait("wait call-back")
        self.boot()

    def undeploy(self):
        self.provision("deleted")
        self.clean()


def make_files(rig):
    """A raw image, the same as qcow2, their checksums, and a config drive."""
    files = pathlib.Path(Files.directory_served)
    raw, qcow2 = files / "image.raw", files / "image.qcow2"
    with open(raw, "wb") as file:
        file.truncate(40 * MIB)
    run("sgdisk", "-n", "1:2048:+10M", "-c", "1:first", raw)
    with open(raw, "r+b") as file:
        file.seek(MIB)
        file.write(os.urandom(8 * MIB))
    mbr = files / "mbr.raw"
    with open(mbr, "wb") as file:
        file.truncate(40 * MIB)
    subprocess.run(["sfdisk", "--quiet", mbr], input="label: dos\nstart=1MiB, size=10MiB, type=83\n", text=True, check=True)
    with open(mbr, "r+b") as file:
        file.seek(MIB)
        file.write(raw.read_bytes()[MIB : 9 * MIB])
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (raw, qcow2, mbr)}
    (files / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    latest = rig.work / "drive/openstack/latest"
    os.makedirs(latest)
    (latest / "meta_data.json").write_text('{"uuid": "x", "hostname": "web-1"}')
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "config-2", "-o", rig.work / "drive.iso", rig.work / "drive")
    image = {"image_source": f"{rig.files}/image.raw", "image_os_hash_algo": "sha256",
             "image_os_hash_value": sums["image.raw"], "image_disk_format": "raw"}
    packed = {"image_source": f"{rig.files}/image.qcow2", "image_checksum": f"{rig.files}/SHA256SUMS",
              "image_disk_format": "qcow2"}
    old = {"image_source": f"{rig.files}/mbr.raw", "image_checksum": f"{rig.files}/SHA256SUMS", "image_disk_format": "raw"}
    return image, packed, old, (rig.work / "drive.iso").read_bytes()


def is_installed(rig, drive=None):
    """What is on the disk is the image, and the config drive byte by byte."""
    disk = open(rig.loops[0], "rb")
    raw = (pathlib.Path(Files.directory_served) / "image.raw").read_bytes()
    disk.seek(MIB)
    assert disk.read(8 * MIB) == raw[MIB : 9 * MIB], "the image's content"
    if drive:
        table = json.loads(run("sfdisk", "--json", rig.loops[0]))["partitiontable"]
        part = table["partitions"][1]
        assert table["label"] == "dos" or part["name"] == "config-2", table
        first = part["start"]
        disk.seek(first * 512)
        assert disk.read(len(drive)) == drive, "the config drive's content"


def wait_for_download():
    while not any(path.endswith("image.raw") for path in Files.asked):
        time.sleep(0.1)
    time.sleep(2)


def story(rig, short):
    image, packed, old, drive = make_files(rig)
    rig.make_machine()
    rig.start_ironic()
    rig.enroll(MAC, capabilities="boot_mode:bios", root_device={"serial": "TARGETDISK"})

    print("## inspection")
    rig.provision("inspect")
    rig.wait("inspect wait")
    rig.boot(f"ipa-inspection-callback-url={rig.api}/v1/continue_inspection")
    assert rig.wait("manageable")["properties"]["memory_mb"] == 4096

    print("## cleaning")
    rig.provision("provide")
    rig.clean()
    assert open(rig.loops[0], "rb").read(512) == bytes(512)

    print("## two disks that fit the hints are refused")
    rig.patch("/properties/root_device", {"model": "<in> acme"})
    rig.deploy(image)
    failure = rig.wait("deploy failed")["last_error"]
    assert all(loop in failure for loop in rig.loops) and "plan.ambiguous" in failure, failure
    rig.undeploy()
    rig.patch("/properties/root_device", {"serial": "TARGETDISK"})

    print("## qcow2 by a file of checksums, with a config drive")
    text = base64.b64encode(gzip.compress(drive)).decode()
    rig.deploy(packed, text)
    rig.wait("active")
    assert rig.agent.wait(60) == 71, "power off"
    is_installed(rig, drive)
    if short:
        return
    rig.undeploy()

    print("## an MBR, with a config drive")
    rig.deploy(old, text)
    rig.wait("active")
    is_installed(rig, drive)
    rig.undeploy()

    print("## a partition image, which BIOS does not boot")
    before = open(rig.loops[0], "rb").read()
    kernel = {"kernel": f"{rig.files}/SHA256SUMS", "ramdisk": f"{rig.files}/SHA256SUMS"}
    rig.deploy({**image, **kernel, "image_type": "partition", "root_gb": 1})
    assert "boots by UEFI only" in rig.wait("deploy failed")["last_error"]
    assert open(rig.loops[0], "rb").read() == before, "refused before anything is written"
    rig.undeploy()

    print("## a wrong checksum")
    rig.deploy({**image, "image_os_hash_value": "00" * 32})
    assert "image.digest_mismatch" in rig.wait("deploy failed")["last_error"]
    rig.undeploy()

    print("## the agent is killed in the middle of write_image, and comes back")
    Files.pause = 0.05
    Files.asked.clear()
    rig.deploy(image)
    wait_for_download()
    rig.kill()
    rig.boot(same_boot=True)
    rig.wait("active", "deploy failed")
    print("   ", rig.node()["provision_state"])
    rig.undeploy()

    print("## the conductor is restarted in the middle of write_image")
    Files.pause = 0.1
    Files.asked.clear()
    rig.deploy(image)
    wait_for_download()
    rig.stop_ironic()
    rig.start_ironic()
    rig.wait("active", "deploy failed")
    print("   ", rig.node()["provision_state"])


def main():
    venv, agent, *words = sys.argv[1:]
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory(prefix="burin-ironic-") as work:
        rig = Rig(venv, agent, work)
        try:
            story(rig, "--short" in words)
            print("PASS")
        finally:
            rig.off()
            if rig.ironic:
                rig.stop_ironic()
            for loop in rig.loops:
                subprocess.run(["losetup", "--detach", loop], check=False)


if __name__ == "__main__":
    main()
