"""Streams a raw image onto a device the way Ironic's agent does it: ipa-stream.py URL SHA256 DEVICE"""
import sys

from ironic_python_agent import config
from ironic_python_agent.extensions import standby

url, digest, device = sys.argv[1:]
if hasattr(config, "populate_config"):
    config.populate_config()
config.CONF([], project="ironic-python-agent", default_config_files=[])
extension = standby.StandbyExtension()
extension.partition_uuids = {}
image = {
    "id": "bench",
    "urls": [url],
    "os_hash_algo": "sha256",
    "os_hash_value": digest,
    "disk_format": "raw",
}
extension._stream_raw_image_onto_device(image, device)
