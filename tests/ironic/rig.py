"""A real Ironic in one process, and files that it names: what every story needs (drive.py, machine.py).

sqlite, without Keystone and without a message bus. Its power driver is a fake one, so whoever uses this is the power
button: each phase is a new boot of the agent.
"""

import http.server, json, os, pathlib, socketserver, subprocess, sys, threading, time
import urllib.error, urllib.request

MIB = 1 << 20
CONF = """
[DEFAULT]
auth_strategy = noauth
rpc_transport = none
host = localhost
my_ip = {address}
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
host_ip = {address}
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
        length, asked = data.stat().st_size, self.headers.get("Range")
        first, last = 0, length - 1
        if asked:
            low, high = asked.split("=")[1].split("-")
            first, last = int(low), min(int(high or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{length}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        try:
            with open(data, "rb") as file:
                file.seek(first)
                for at in range(first, last + 1, MIB // 4):
                    self.wfile.write(file.read(min(MIB // 4, last + 1 - at)))
                    time.sleep(self.pause)
        except OSError:
            pass  # The agent has heard enough, or was killed.


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


class Ironic:
    """Ironic and its files at one address, and a node, which `name` says."""

    def __init__(self, venv, work, address="127.0.0.1"):
        self.venv, self.work, self.name, self.ironic = pathlib.Path(venv), pathlib.Path(work), "machine", None
        port = free_port()
        self.api = f"http://{address}:{port}"
        (self.work / "ironic.conf").write_text(CONF.format(work=work, api=self.api, port=port, address=address))
        Files.directory_served = str(self.work / "files")
        os.mkdir(Files.directory_served)
        files = Server((address, 0), Files)
        threading.Thread(target=files.serve_forever, daemon=True).start()
        self.files = f"http://{address}:{files.server_address[1]}"

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

    def enroll(self, mac, **properties):
        interfaces = {"boot": "fake", "power": "fake", "management": "noop", "network": "noop", "deploy": "direct",
                      "inspect": "agent", "raid": "agent"}
        node = {f"{kind}_interface": name for kind, name in interfaces.items()}
        node |= {"name": self.name, "driver": "fake-hardware", "properties": properties}
        uuid = self.call("POST", "/v1/nodes", node)["uuid"]
        self.call("POST", "/v1/ports", {"node_uuid": uuid, "address": mac})
        self.provision("manage")
        self.wait("manageable")

    def node(self):
        return self.call("GET", f"/v1/nodes/{self.name}")

    def patch(self, path, value):
        self.call("PATCH", f"/v1/nodes/{self.name}", [{"op": "replace", "path": path, "value": value}])

    def provision(self, target, **more):
        self.call("PUT", f"/v1/nodes/{self.name}/states/provision", {"target": target, **more})

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
