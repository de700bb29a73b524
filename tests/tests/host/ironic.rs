//! The agent under Ironic. This test plays Ironic, call by call as a real Ironic 39 did: lookup, heartbeats, the
//! conductor's commands, and one disk (a loop device) that is cleaned and deployed.

mod conductor;
mod real;

use crate::support::host::{Host, has_loops};
use crate::support::{PATIENCE, eventually};
use burin_tests::deploy::{Image, SMALL_MARK};
use conductor::{Conductor, MAC, NODE, TOKEN};
use serde_json::{Value, json};
use std::path::Path;

const MIB: u64 = 1 << 20;

fn node() -> Value {
    json!({"uuid": NODE, "driver": "fake-hardware", "properties": {"root_device": {"serial": "loop"}}, "instance_info": {}})
}

fn step(name: &str, args: &Value) -> Value {
    json!({"step": name, "interface": "deploy", "priority": 99, "args": args})
}

fn host(conductor: &Conductor, words: &str) -> Option<Host> {
    has_loops().then(|| Host::new(&format!("ipa-api-url={} ipa-listen-port=0 BOOTIF={MAC} {words}", conductor.url())))
}

#[test]
fn lookup_heartbeat_and_the_forms_of_every_answer() {
    let mut conductor = Conductor::new();
    let Some(host) = host(&conductor, "ipa-global-request-id=req-7") else { return };
    let agent = host.start();
    conductor.wait_heartbeats(1);

    let lookup = conductor.seen("/v1/lookup").remove(0);
    assert_eq!(
        (lookup.path.as_str(), lookup.version.as_deref()),
        (&*format!("/v1/lookup?addresses={MAC}"), Some("1.62"))
    );
    let beat = conductor.seen("/v1/heartbeat").remove(0);
    assert_eq!((beat.path, beat.version.as_deref()), (format!("/v1/heartbeat/{NODE}"), Some("1.68")));
    assert_eq!(beat.request_id.as_deref(), Some("req-7"));
    let mut keys: Vec<&String> = beat.body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["agent_token", "agent_verify_ca", "agent_version", "callback_url"], "anything else is refused");
    assert_eq!(beat.body["agent_token"], TOKEN);
    assert!(beat.body["callback_url"].as_str().unwrap().starts_with("https://127.0.0.1:"));

    // Only over TLS with the certificate from the heartbeat, and only with the token.
    let (status, refusal) = conductor.call("GET", "/v1/commands/?agent_token=wrong", None);
    assert_eq!((status, &refusal["faultstring"]), (401, &json!("401 Unauthorized: Token invalid.")));
    assert_eq!(conductor.call("GET", "/v1/commands/", None).0, 401);
    assert_eq!(conductor.list(), json!({"commands": []}), "freshly booted");

    let (status, steps) = conductor.command("clean.get_clean_steps", &json!({"node": node(), "ports": []}), true);
    assert_eq!(
        (status, &steps["command_name"], &steps["command_status"]),
        (200, &json!("get_clean_steps"), &json!("SUCCEEDED"))
    );
    assert!(steps.as_object().unwrap().contains_key("command_error") && steps["command_error"].is_null());
    let listed = &steps["command_result"]["clean_steps"]["burin"][0];
    assert_eq!(
        (&listed["step"], &listed["interface"], &listed["priority"]),
        (&json!("erase_devices_metadata"), &json!("deploy"), &json!(99))
    );
    let version = steps["command_result"]["hardware_manager_version"].clone();
    let (_, steps) = conductor.command("deploy.get_deploy_steps", &json!({"node": node(), "ports": []}), true);
    let write = steps["command_result"]["deploy_steps"]["burin"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["step"] == "write_image");
    assert_eq!(write.unwrap()["argsinfo"]["image_info"]["required"], true);
    let (_, steps) = conductor.command("service.get_service_steps", &json!({}), true);
    assert_eq!(steps["command_result"]["service_steps"]["burin"], json!([]));

    assert_eq!(conductor.command("bootc.nothing", &json!({}), true).0, 404);
    assert_eq!(conductor.command("clean.nothing", &json!({}), true).0, 400);
    let (status, refusal) = conductor.call("POST", &format!("/v1/commands/?agent_token={TOKEN}"), Some("{"));
    assert_eq!((status, &refusal["faultcode"]), (400, &json!("Client")));

    what_fails_says_so_in_an_object(&mut conductor, &version);

    // A process that was killed comes back with its token and its certificate, and without another lookup.
    agent.kill();
    let before = conductor.heartbeats();
    let agent = host.start();
    conductor.wait_heartbeats(before + 1);
    assert_eq!(conductor.seen("/v1/lookup").len(), 1, "the token is given once");
    let last = conductor.seen("/v1/heartbeat").pop().unwrap().body;
    assert_eq!((&last["agent_token"], &last["agent_verify_ca"]), (&json!(TOKEN), &beat.body["agent_verify_ca"]));
    assert_eq!(conductor.list(), json!({"commands": []}));
    let (_, off) = conductor.command("standby.power_off", &json!({}), false);
    assert_eq!((&off["command_name"], &off["command_status"]), (&json!("power_off"), &json!("RUNNING")));
    assert_eq!(agent.wait(), Some(71));
}

/// And a heartbeat follows.
fn what_fails_says_so_in_an_object(conductor: &mut Conductor, version: &Value) {
    let params = json!({"step": step("burnin_cpu", &json!({})), "node": node(), "clean_version": version});
    let before = conductor.heartbeats();
    assert_eq!(conductor.command("clean.execute_clean_step", &params, false).0, 200);
    let failed = conductor.last();
    assert_eq!(
        (&failed["command_status"], &failed["command_error"]["type"]),
        (&json!("FAILED"), &json!("ironic.step"))
    );
    conductor.wait_heartbeats(before + 1);
    let params =
        json!({"step": step("erase_devices_metadata", &json!({})), "node": node(), "clean_version": {"generic": "1"}});
    conductor.command("clean.execute_clean_step", &params, false);
    assert_eq!(conductor.last()["command_status"], "CLEAN_VERSION_MISMATCH");
    let (_, rescue) =
        conductor.command("rescue.finalize_rescue", &json!({"rescue_password": "x", "hashed": true}), true);
    assert_eq!((&rescue["command_status"], &rescue["command_error"]["code"]), (&json!("FAILED"), &json!(500)));
    let (_, boot) = conductor.command("image.install_bootloader", &json!({"target_boot_mode": "uefi"}), true);
    assert_eq!(boot["command_error"]["type"], "ironic.bootloader");
    let (_, logs) = conductor.command("log.collect_system_logs", &json!({}), true);
    assert!(!logs["command_result"]["system_logs"].as_str().unwrap().is_empty());
}

#[test]
fn a_disk_is_cleaned_and_deployed() {
    let mut conductor = Conductor::new();
    let Some(host) = host(&conductor, "") else { return };
    let image = Image::small(conductor.files(), "image", 40 * MIB).unwrap();
    let agent = host.start();
    conductor.wait_heartbeats(1);
    let before = conductor.heartbeats();
    let erase = step("erase_devices_metadata", &json!({}));
    let params = json!({"step": erase, "node": node(), "ports": [], "clean_version": null});
    let (_, running) = conductor.command("clean.execute_clean_step", &params, false);
    assert_eq!((&running["command_status"], &running["command_result"]), (&json!("RUNNING"), &Value::Null));
    let done = conductor.over();
    assert_eq!(done["command_status"], "SUCCEEDED", "{done}");
    assert_eq!(
        (&done["command_result"]["clean_step"]["step"], &done["command_result"]["clean_step"]["interface"]),
        (&json!("erase_devices_metadata"), &json!("deploy"))
    );
    conductor.wait_heartbeats(before + 1);

    let info = json!({"id": "image", "urls": [format!("{}/image", conductor.url())], "disk_format": "raw", "stream_raw_images": true,
        "os_hash_algo": "sha256", "os_hash_value": image.wire.trim_start_matches("sha256:"), "container_format": null});
    let write = |info: &Value, node: &Value| json!({"step": step("write_image", &json!({"image_info": info})), "node": node, "ports": [], "deploy_version": null});
    // First no disk matches, then a checksum is wrong, then both are right.
    let mut other = node();
    other["properties"]["root_device"] = json!({"serial": "another"});
    conductor.command("deploy.execute_deploy_step", &write(&info, &other), false);
    let failed = conductor.over();
    let details = failed["command_error"]["details"].as_str().unwrap();
    assert!(details.contains("serial is LOOP, wanted another"), "{failed}");
    let mut wrong = info.clone();
    wrong["os_hash_value"] = json!("00".repeat(32));
    conductor.command("deploy.execute_deploy_step", &write(&wrong, &node()), false);
    let failed = conductor.over();
    assert_eq!(failed["command_error"]["type"], "image.digest_mismatch", "{failed}");

    let (_, running) = conductor.command("deploy.execute_deploy_step", &write(&info, &node()), false);
    assert_eq!(running["command_status"], "RUNNING");
    let (status, refusal) = conductor.command("standby.sync", &json!({}), true);
    // Unless it is already over.
    assert!(
        status == 200 || refusal["faultstring"] == "Agent is busy: executing command execute_deploy_step",
        "{refusal}"
    );
    eventually("the image is written", || conductor.named("execute_deploy_step")["command_status"] == "SUCCEEDED");
    let done = conductor.named("execute_deploy_step");
    let result = &done["command_result"]["deploy_result"];
    assert!(
        result["result"].as_str().unwrap().starts_with("prepare_image: image (image) written to device /dev/loop"),
        "{result}"
    );
    assert_eq!(result["receipt"]["problem"], Value::Null);
    assert_eq!(result["receipt"]["images"][0]["digest"]["wire"], json!(image.wire));
    assert_eq!(host.disk.partitions().unwrap()[0].name, SMALL_MARK);
    let (_, uuids) = conductor.command("standby.get_partition_uuids", &json!({}), true);
    assert!(result["result"].as_str().unwrap().ends_with(uuids["command_result"]["root uuid"].as_str().unwrap()));
    let (_, boot) = conductor.command("image.install_bootloader", &json!({"target_boot_mode": "bios"}), true);
    assert_eq!((&boot["command_status"], &boot["command_result"]), (&json!("SUCCEEDED"), &Value::Null));
    no_token_in(&host.root().join("run"));
    conductor.command("standby.power_off", &json!({}), false);
    assert_eq!(agent.wait(), Some(71));
    let _ = PATIENCE;
}

/// Except in the file that is meant for it.
fn no_token_in(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            no_token_in(&entry);
        } else if entry.file_name().unwrap() != "ironic.json" {
            let bytes = std::fs::read(&entry).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN), "{}", entry.display());
        }
    }
}

#[test]
fn inspection_is_what_ironic_asks_for_and_the_node_is_known_from_it() {
    let conductor = Conductor::new();
    let words = format!("ipa-inspection-callback-url={}/v1/continue_inspection", conductor.url());
    let Some(host) = host(&conductor, &words) else { return };
    let agent = host.start();
    eventually("the lookup", || !conductor.seen("/v1/lookup").is_empty());
    let posted = conductor.seen("/v1/continue_inspection").remove(0);
    assert_eq!(posted.version, None, "as ironic-python-agent");
    let interface = &posted.body["inventory"]["interfaces"][0];
    assert_eq!((&interface["name"], &interface["mac_address"]), (&json!("eth0"), &json!(MAC)));
    assert_eq!(posted.body["inventory"]["cpu"]["architecture"], "x86_64");
    assert_eq!(posted.body["error"], Value::Null);
    assert_eq!(posted.body["inventory"]["disks"][0]["serial"], "LOOP");
    let lookup = conductor.seen("/v1/lookup").remove(0);
    assert!(lookup.path.ends_with(&format!("&node_uuid={NODE}")), "{}", lookup.path);
    agent.kill();
}

#[test]
fn a_token_that_was_made_beforehand_is_used_and_without_one_stars_end_it() {
    let mut conductor = Conductor::new();
    conductor.token_is_given();
    let Some(host) = host(&conductor, &format!("ipa-agent-token={TOKEN}")) else { return };
    let agent = host.start();
    conductor.wait_heartbeats(1);
    assert_eq!(conductor.seen("/v1/heartbeat").remove(0).body["agent_token"], TOKEN);
    assert_eq!(conductor.list(), json!({"commands": []}), "the conductor's calls carry it too");
    no_token_in(&host.root().join("run"));

    // After lockdown the agent answers nobody and sends nothing.
    let (_, locked) = conductor.command("system.lockdown", &json!({}), true);
    assert_eq!((&locked["command_name"], &locked["command_status"]), (&json!("lockdown"), &json!("SUCCEEDED")));
    eventually("the API closes", || !conductor.agent_listens());
    let beats = conductor.heartbeats();
    agent.kill();

    let other = Conductor::new();
    other.token_is_given();
    let Some(host) = self::host(&other, "") else { return };
    let agent = host.start();
    assert_eq!(agent.wait(), Some(73), "a token that is gone does not come back by starting again");
    assert_eq!((conductor.heartbeats(), other.heartbeats()), (beats, 0));
}

/// A disk with an MBR, as images of appliances still have it.
fn mbr_image(directory: &Path) -> (Vec<u8>, String) {
    use sha2::{Digest, Sha256};
    let mut bytes = vec![0u8; (20 * MIB) as usize];
    // One partition of 16 MiB at 1 MiB.
    bytes[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x80, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[MIB as usize..(9 * MIB) as usize].iter_mut().zip(0u32..).for_each(|(byte, n)| *byte = (n % 251) as u8);
    std::fs::write(directory.join("mbr"), &bytes).unwrap();
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes, digest)
}

#[test]
fn a_config_drive_beside_an_mbr_and_what_is_refused_of_partition_images() {
    use std::os::unix::fs::FileExt;
    let mut conductor = Conductor::new();
    if !has_loops() {
        return;
    }
    let words = format!("ipa-api-url={} ipa-listen-port=0 BOOTIF={MAC}", conductor.url());
    let host = Host::with_disk(&words, 160 * MIB);
    let (image, digest) = mbr_image(conductor.files());
    let mut iso = vec![0u8; 0x9000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    std::fs::write(conductor.files().join("drive"), &iso).unwrap();
    let drive = format!("{}/drive", conductor.url());
    let agent = host.start();
    conductor.wait_heartbeats(1);
    let info = json!({"id": "mbr", "urls": [format!("{}/mbr", conductor.url())], "disk_format": "raw",
        "os_hash_algo": "sha256", "os_hash_value": digest});
    let write = |info: &Value| {
        let args = json!({"image_info": info, "configdrive": drive});
        json!({"step": step("write_image", &args), "node": node(), "ports": [], "deploy_version": null})
    };
    let disk = || std::fs::File::open(host.disk.path()).unwrap();
    let at = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    };
    let before = at(0, (2 * MIB) as usize);
    let partition = json!({"image_type": "partition", "kernel": "k", "ramdisk": "r", "root_gb": 1, "swap_mb": 0,
        "ephemeral_mb": 0, "preserve_ephemeral": false, "deploy_boot_mode": "bios", "boot_option": "local"});
    for (more, word) in [(json!({}), "by UEFI only"), (json!({"preserve_ephemeral": true}), "preserve_ephemeral")] {
        let mut info = info.clone();
        for part in [&partition, &more] {
            info.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        conductor.command("deploy.execute_deploy_step", &write(&info), false);
        let failed = conductor.over();
        assert_eq!(failed["command_error"]["type"], "ironic.partition_image", "{failed}");
        assert!(failed["command_error"]["details"].as_str().unwrap().contains(word), "{failed}");
    }
    assert_eq!(at(0, (2 * MIB) as usize), before, "nothing was written");

    conductor.command("deploy.execute_deploy_step", &write(&info), false);
    let done = conductor.over();
    assert_eq!(done["command_status"], "SUCCEEDED", "{done}");
    assert_eq!(at(MIB, 1 << 20), image[MIB as usize..(2 * MIB) as usize]);
    let table = at(446, 32);
    let number = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().unwrap()));
    let (start, length) = (number(&table[24..28]) * 512, number(&table[28..32]) * 512);
    assert_eq!((table[20], length), (0x83, 64 * MIB), "a second primary partition");
    let end = MIB + number(&table[12..16]) * 512;
    assert!((start - MIB..=start).contains(&end), "the image's own reaches up to it: {end} of {start}");
    assert_eq!(at(start, iso.len()), iso);
    agent.kill();
}
