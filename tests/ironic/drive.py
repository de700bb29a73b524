#!/usr/bin/env python3
"""A real, unmodified Ironic drives the agent on this host, on two loop devices: scripts/test-ironic runs it.

Needs root, sgdisk, qemu-img, xorriso, and the program host-agent (tests/src/bin/host-agent.rs). Ironic is one process
with sqlite, without Keystone and without a message bus. Its power driver is a fake one, so this script is the power
button: each phase is a new boot of the agent.
"""

import base64, gzip, hashlib, http.server, json, os, pathlib, socketserver, subprocess, sys, tempfile, threading, time
import urllib.error, urllib.request

MAC, MIB = "52:54:00:12:34:56", 1 << 20
CONF = """
[DEFAULT]
auth_strategy = noauth
rpc_transport = none
host = localhost
my_ip = 127.0.0.1
log_file = {work}/ironic.log
state_path = {work}
tempdir = {work}
enabled_hardware_types = fake-hardware
enabled_boot_interfaces = fake
enabled_deploy_interfaces = direct
enabled_inspect_interfaces = agent
enabled_management_interfaces = noop,fake
enabled_power_interfaces = fake
enabled_network_interfaces = noop
enabled_raid_interfaces = agent
enabled_rescue_interfaces = no-rescue
enabled_storage_interfaces = noop
enabled_bios_interfaces = no-bios
enabled_console_interfaces = no-console
enabled_vendor_interfaces = no-vendor
enabled_firmware_interfaces = no-firmware
[api]
host_ip = 127.0.0.1
port = {port}
public_endpoint = {api}
ramdisk_heartbeat_timeout = 30
[database]
connection = sqlite:///{work}/ironic.sqlite
[conductor]
sync_power_state_interval = -1
[agent]
post_deploy_get_power_state_retries = 1
post_deploy_get_power_state_retry_interval = 1
image_download_source = http
certificates_path = {work}
deploy_logs_collect = never
[deploy]
http_root = {work}
erase_devices_priority = 0
[dhcp]
dhcp_provider = none
[service_catalog]
auth_type = none
endpoint_override = {api}
[inspector]
require_managed_boot = false
hooks = $default_hooks,root-device,memory,boot-mode
[oslo_messaging_notifications]
driver = noop
[oslo_concurrency]
lock_path = {work}
"""


def free_port():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as server:
        return server.server_address[1]


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout.strip()


class Files(http.server.SimpleHTTPRequestHandler):
    """Images, with ranges, as slowly as is asked for."""

    directory_served, pause, asked = None, 0, []

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=self.directory_served)

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        data = pathlib.Path(self.directory_served + self.path)
        if not data.is_file():
            return self.send_error(404)
        data, asked = data.read_bytes(), self.headers.get("Range")
        first, last = 0, len(data) - 1
        if asked:
            low, high = asked.split("=")[1].split("-")
            first, last = int(low), min(int(high or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        try:
            for at in range(first, last + 1, MIB // 4):
                self.wfile.write(data[at : min(at + MIB // 4, last + 1)])
                time.sleep(self.pause)
        except OSError:
            pass  # The agent has heard enough, or was killed.


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


class Rig:
    def __init__(self, venv, agent, work):
        self.venv, self.program, self.work = pathlib.Path(venv), agent, pathlib.Path(work)
        # Ironic refuses another callback within a boot: the port is the same for every process.
        port, self.listen = free_port(), free_port()
        self.api, self.boots, self.agent, self.ironic, self.loops = f"http://127.0.0.1:{port}", 0, None, None, []
        (self.work / "ironic.conf").write_text(CONF.format(work=work, api=self.api, port=port))
        Files.directory_served = str(self.work / "files")
        os.mkdir(Files.directory_served)
        files = Server(("127.0.0.1", 0), Files)
        threading.Thread(target=files.serve_forever, daemon=True).start()
        self.files = f"http://127.0.0.1:{files.server_address[1]}"

    # Ironic

    def start_ironic(self):
        conf = ["--config-file", str(self.work / "ironic.conf")]
        if not (self.work / "ironic.sqlite").exists():
            run(self.venv / "bin/ironic-dbsync", *conf, "create_schema")
        out = open(self.work / "ironic.out", "a")
        self.ironic = subprocess.Popen([self.venv / "bin/ironic", *conf], stdout=out, stderr=out)
        for _ in range(600):
            try:
                return self.call("GET", "/v1/drivers")
            except OSError:
                time.sleep(0.5)
        sys.exit("Ironic does not answer")

    def stop_ironic(self):
        self.ironic.terminate()
        try:
            self.ironic.wait(20)
        except subprocess.TimeoutExpired:
            self.ironic.kill()
            self.ironic.wait()

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "X-OpenStack-Ironic-API-Version": "1.99"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read()
            return json.loads(text) if text else None

    def node(self):
        return self.call("GET", "/v1/nodes/machine")

    def patch(self, path, value):
        self.call("PATCH", "/v1/nodes/machine", [{"op": "replace", "path": path, "value": value}])

    def provision(self, target, **more):
        self.call("PUT", "/v1/nodes/machine/states/provision", {"target": target, **more})

    def wait(self, *states, seconds=300):
        end, last = time.time() + seconds, None
        while time.time() < end:
            node = self.node()
            if node["provision_state"] != last:
                last = node["provision_state"]
                print(time.strftime("%T"), last, (node["last_error"] or "")[:300], flush=True)
            if last in states:
                return node
            if last.endswith("failed"):
                sys.exit(f"{last}: {node['last_error']}")
            time.sleep(0.5)
        sys.exit(f"still {last} after {seconds} s")

    # The machine

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
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (raw, qcow2)}
    (files / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    latest = rig.work / "drive/openstack/latest"
    os.makedirs(latest)
    (latest / "meta_data.json").write_text('{"uuid": "x", "hostname": "web-1"}')
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "config-2", "-o", rig.work / "drive.iso", rig.work / "drive")
    image = {"image_source": f"{rig.files}/image.raw", "image_os_hash_algo": "sha256",
             "image_os_hash_value": sums["image.raw"], "image_disk_format": "raw"}
    packed = {"image_source": f"{rig.files}/image.qcow2", "image_checksum": f"{rig.files}/SHA256SUMS",
              "image_disk_format": "qcow2"}
    return image, packed, (rig.work / "drive.iso").read_bytes()


def is_installed(rig, drive=None):
    """What is on the disk is the image, and the config drive byte by byte."""
    disk = open(rig.loops[0], "rb")
    raw = (pathlib.Path(Files.directory_served) / "image.raw").read_bytes()
    disk.seek(MIB)
    assert disk.read(8 * MIB) == raw[MIB : 9 * MIB], "the image's content"
    if drive:
        info = run("sgdisk", "-i", "2", rig.loops[0])
        assert "Partition name: 'config-2'" in info, info
        first = int(info.split("First sector: ")[1].split()[0])
        disk.seek(first * 512)
        assert disk.read(len(drive)) == drive, "the config drive's content"


def wait_for_download():
    while not any(path.endswith("image.raw") for path in Files.asked):
        time.sleep(0.1)
    time.sleep(2)


def story(rig):
    image, packed, drive = make_files(rig)
    rig.make_machine()
    rig.start_ironic()
    properties = {"capabilities": "boot_mode:bios", "root_device": {"serial": "TARGETDISK"}}
    interfaces = {"boot": "fake", "power": "fake", "management": "noop", "network": "noop", "deploy": "direct",
                  "inspect": "agent", "raid": "agent"}
    node = {f"{kind}_interface": name for kind, name in interfaces.items()}
    uuid = rig.call("POST", "/v1/nodes", {"name": "machine", "driver": "fake-hardware", "properties": properties, **node})["uuid"]
    rig.call("POST", "/v1/ports", {"node_uuid": uuid, "address": MAC})
    rig.provision("manage")
    rig.wait("manageable")

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

    print("## a wrong checksum")
    rig.deploy({**image, "image_os_hash_value": "00" * 32})
    assert "image.digest_mismatch" in rig.wait("deploy failed")["last_error"]
    rig.undeploy()

    print("## qcow2 by a file of checksums, with a config drive")
    rig.deploy(packed, base64.b64encode(gzip.compress(drive)).decode())
    rig.wait("active")
    assert rig.agent.wait(60) == 71, "power off"
    is_installed(rig, drive)
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
    venv, agent = sys.argv[1:]
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory(prefix="burin-ironic-") as work:
        rig = Rig(venv, agent, work)
        try:
            story(rig)
            print("PASS")
        finally:
            rig.off()
            if rig.ironic:
                rig.stop_ironic()
            for loop in rig.loops:
                subprocess.run(["losetup", "--detach", loop], check=False)


main()
