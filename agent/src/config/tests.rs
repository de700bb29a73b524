use super::*;
use crate::error::Coded;
use hwinventory::mask_cmdline;
use proptest::prelude::*;

fn parse(text: &str) -> Config {
    Config::parse(&[text]).unwrap()
}

fn code(text: &str) -> &'static str {
    Config::parse(&[text]).unwrap_err().code()
}

#[test]
fn every_word() {
    let config = parse(concat!(
        "BOOT_IMAGE=/vmlinuz quiet console=ttyS0,115200 burin.controller=https://c.example:8443/v1 ",
        "burin.ca=/etc/burin/ca.pem burin.token=s3cret burin.order=/order.json burin.events=https://e.example/ ",
        "burin.attr.rack=R1 burin.attr.Host-Name=\"a b\" burin.log=debug burin.ntp=ntp.example burin.finish=hold ",
        "burin.api=9443 burin.lldp=31 burin.bmc=9 ",
        "BOOTIF=01-52-54-00-Ab-cd-ef ip=dhcp\n",
    ));
    assert_eq!(config.controller.as_ref().map(HttpUrl::as_str), Some("https://c.example:8443/v1"));
    assert!(config.controller.is_some_and(|url| url.is_https()));
    assert_eq!(config.trust, Trust::CaFile("/etc/burin/ca.pem".into()));
    assert_eq!(config.token.as_ref().map(Secret::reveal), Some("s3cret"));
    assert_eq!(config.order, Some(OrderSource::Path("/order.json".into())));
    assert_eq!(config.events.map(|url| url.to_string()).as_deref(), Some("https://e.example/"));
    assert_eq!(config.attributes.get("rack").map(String::as_str), Some("R1"));
    assert_eq!(config.attributes.get("Host-Name").map(String::as_str), Some("a b"));
    assert_eq!(config.log, Some(log::LevelFilter::Debug));
    assert_eq!(config.ntp.as_deref(), Some("ntp.example"));
    assert_eq!((config.lldp.as_secs(), config.bmc.as_secs()), (31, 9));
    assert_eq!(config.finish, Some(Finish::Hold));
    assert_eq!(config.api, ApiDoor::Port(9443));
    assert_eq!(config.boot_mac, Some(Mac([0x52, 0x54, 0, 0xab, 0xcd, 0xef])));
    assert_eq!(config.network.addressing, [Addressing::default()]);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn quotes_and_separators() {
    let found = words("a  \"b=c d\"\te=\"f g\"=h i= \"\" -- burin.log=trace");
    let shown: Vec<_> = found.iter().map(|word| (word.key.as_str(), word.value.as_deref())).collect();
    assert_eq!(shown, [("a", None), ("b", Some("c d")), ("e", Some("f g=h")), ("i", Some("")), ("", None)],);
}

#[test]
fn the_command_line_overrides_the_file_and_the_last_word_wins() {
    let config = Config::parse(&["burin.ntp=file burin.log=warn", "burin.ntp=one burin.ntp=two"]).unwrap();
    assert_eq!((config.ntp.as_deref(), config.log), (Some("two"), Some(log::LevelFilter::Warn)));
}

#[test]
fn unknown_words_are_named_with_the_nearest() {
    let config = parse("burin.controler=http://x/ burin.tokn=abc other.word=1");
    assert_eq!(config.warnings.len(), 2);
    assert!(config.warnings[0].contains("did you mean burin.controller?"), "{:?}", config.warnings);
    assert!(config.warnings[1].contains("did you mean burin.token?"), "{:?}", config.warnings);
    assert!(!config.warnings[1].contains("abc"), "a misspelt secret is still one");
}

#[test]
fn wrong_values_have_codes() {
    assert_eq!(code("burin.controller=c.example"), "config.url");
    assert_eq!(code("burin.controller=ftp://c.example/"), "config.url");
    assert_eq!(code("burin.events=http://"), "config.url");
    // It could not be said which link is meant.
    assert_eq!(code("burin.controller=http://[fe80::1%25eth0]:8080"), "config.url");
    assert_eq!(code("burin.controller=http://[fe80::1]:8080"), "config.url");
    assert!(parse("burin.controller=http://[fd00::1]:8080").controller.is_some());
    assert_eq!(code("burin.order=order.json"), "config.url");
    assert_eq!(code("burin.ca=ca.pem"), "config.ca");
    assert_eq!(code("burin.ca=sha256:12"), "config.ca");
    assert_eq!(code("burin.log=loud"), "config.log");
    assert_eq!(code("burin.log=info,http://x"), "config.log");
    assert_eq!(code("burin.settle=soon"), "config.settle");
    assert_eq!(code("burin.lldp=301"), "config.lldp");
    assert_eq!(code("burin.bmc=601"), "config.bmc");
    assert_eq!(code("burin.finish=halt"), "config.finish");
    assert_eq!(code("burin.api=no"), "config.api");
    assert_eq!(code("burin.api=65536"), "config.api");
    assert_eq!(code("burin.api=host:8443"), "config.api");
    assert_eq!(code("burin.api=10.0.0.7:"), "config.api");
    assert_eq!(code("ip=maybe"), "config.ip");
    assert_eq!(code("ip=10.0.0.5:::255.0.255.0"), "config.ip");
}

#[test]
fn the_api_can_be_switched_off() {
    assert_eq!(parse("quiet").api, ApiDoor::Port(8443));
    assert_eq!(parse("burin.api=on").api, ApiDoor::Port(8443));
    assert_eq!(parse("burin.api=off").api, ApiDoor::Off);
    assert_eq!(parse("burin.api=10.0.0.7:9443").api, ApiDoor::At(([10, 0, 0, 7], 9443).into()));
    assert_eq!(parse("burin.api=[fd00::7]:9443").api, ApiDoor::At("[fd00::7]:9443".parse().unwrap()));
}

#[test]
fn an_empty_value_is_a_warning() {
    let config = parse("burin.controller= burin.token=");
    assert_eq!((config.controller, config.token, config.warnings.len()), (None, None, 2));
}

#[test]
fn a_strange_bootif_is_a_warning() {
    for word in [
        "BOOTIF=01-${net0/mac:hexhyp}",
        "BOOTIF=20-00-00",
        "BOOTIF=20-52-54-00-ab-cd-ef",
        "BOOTIF=01-00-00-00-00-00-00",
        "BOOTIF=01-ff-ff-ff-ff-ff-ff",
    ] {
        let config = parse(word);
        assert_eq!((config.boot_mac, config.warnings.len()), (None, 1), "{word}");
    }
    assert_eq!(parse("BOOTIF=52:54:00:ab:cd:ef").boot_mac, Some(Mac([0x52, 0x54, 0, 0xab, 0xcd, 0xef])));
}

#[test]
fn fingerprints() {
    let hex = "AB".repeat(32);
    assert_eq!(parse(&format!("burin.ca=sha256:{hex}")).trust, Trust::Fingerprint([0xab; 32]));
    let colons = vec!["ab"; 32].join(":");
    assert_eq!(parse(&format!("burin.ca=sha256:{colons}")).trust, Trust::Fingerprint([0xab; 32]));
}

#[test]
fn a_ca_or_pin_does_not_go_with_plain_http() {
    for ca in ["/etc/burin/ca.pem".to_owned(), format!("sha256:{}", "ab".repeat(32))] {
        assert_eq!(code(&format!("burin.ca={ca} burin.controller=http://c.example:8080")), "config.ca");
        assert_eq!(code(&format!("burin.order=http://c.example/order.json burin.ca={ca}")), "config.ca");
        assert_eq!(code(&format!("burin.ca={ca} burin.controller=https://c burin.events=http://e")), "config.ca");
        parse(&format!("burin.ca={ca} burin.controller=https://c.example burin.events=https://e.example"));
        parse(&format!("burin.ca={ca} burin.order=/order.json"));
    }
    parse("burin.controller=http://c.example:8080");
}

#[test]
fn secrets_do_not_show() {
    let text = "a burin.token=hunter2 \"burin.token=hunter2 x\" burin.controller=http://u:hunter2@h/";
    let config = parse(text);
    assert!(!format!("{config:?} {:?}", Raw::parse(&[text])).contains("hunter2"));
    assert!(!mask_cmdline("a burin.token=hunter2 \"burin.token=hunter2 x\"").contains("hunter2"));
    let error = Config::parse(&["burin.events=ftp://u:hunter2@h/"]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn load_reads_the_file_before_the_command_line() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc")).unwrap();
    std::fs::create_dir_all(root.path().join("etc/burin")).unwrap();
    assert_eq!(load(root.path()).unwrap_err().code(), "config.read");
    std::fs::write(root.path().join("proc/cmdline"), "burin.log=info\n").unwrap();
    std::fs::write(root.path().join("etc/burin/cmdline"), "burin.log=warn burin.attr.a=1\n").unwrap();
    let config = load(root.path()).unwrap();
    assert_eq!((config.log, config.attributes.len()), (Some(log::LevelFilter::Info), 1));
}

#[test]
fn ironics_words() {
    let token = "t".repeat(43);
    let config = parse(&format!(
        "nofb vga=normal ipa-api-url=http://192.0.2.1:6385,https://b.example ipa-debug=1 ipa-insecure=1 ipa-agent-token={token} \
         ipa-global-request-id=req-1 ipa-ntp-server=ntp.example ipa-collect-lldp=1 ipa-inspection-collectors=default,logs \
         burin.ironic.hints=first BOOTIF=52:54:00:12:34:56 boot_method=vmedia"
    ));
    let ironic = config.ironic.clone().unwrap();
    let urls: Vec<&str> = ironic.api_urls.iter().map(HttpUrl::as_str).collect();
    assert_eq!(urls, ["http://192.0.2.1:6385", "https://b.example"]);
    assert_eq!(ironic.inspection().as_deref(), Some("http://192.0.2.1:6385/v1/continue_inspection"));
    assert!(ironic.insecure && ironic.hints_first && config.virtual_media);
    assert_eq!((ironic.listen_port, ironic.request_id.as_deref()), (9999, Some("req-1")));
    assert_eq!((config.log, config.ntp.as_deref()), (Some(log::LevelFilter::Debug), Some("ntp.example")));
    assert_eq!((config.lldp.as_secs(), config.warnings.len()), (31, 0));
    assert_eq!(config.boot_mac, Some(Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56])));
    let shown = format!("{config:?} {}", mask_cmdline(&format!("ipa-agent-token={token} x")));
    assert!(!shown.contains(&token));

    let inspection = parse("ipa-inspection-callback-url=http://192.0.2.1/v1/continue_inspection").ironic.unwrap();
    assert!(inspection.api_urls.is_empty() && inspection.inspection().is_some());
    assert_eq!(parse("ipa-debug=1").ironic, None, "nothing says where Ironic is");
    assert_eq!(parse("ipa-api-url=http://h ipa-agent-token=short").ironic.unwrap().token, None);
    assert_eq!(code("ipa-api-url=mdns"), "config.ironic");
    assert_eq!(code("ipa-api-url=http://h burin.ironic.hints=guess"), "config.ironic");
    assert_eq!(code("ipa-api-url=http://h ipa-listen-port=x"), "config.ironic");
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = Config::parse(&[&text]);
        let _ = mask_cmdline(&text);
    }

    #[test]
    fn no_value_panics(word in "(burin\\.[a-z.]{0,12}|ip|BOOTIF|vlan|bond|rd\\.route|ipam|ifname|nameserver)", value in "[0-9a-zA-Z:./@\"*,=;\\[\\]-]{0,60}") {
        let _ = Config::parse(&[&format!("{word}={value}")]);
    }

    #[test]
    fn attributes_come_through(name in "[a-z][a-z_.-]{0,20}", value in "[a-zA-Z0-9 =:/-]{0,30}") {
        let config = parse(&format!("quiet burin.attr.{name}=\"{value}\" ro"));
        prop_assert_eq!(config.attributes.get(&name), Some(&value));
    }

    #[test]
    fn a_token_never_survives_redaction(token in "[A-Za-z0-9]{12,30}", before in "[a-z =]{0,20}") {
        let text = format!("{before} burin.token={token} tail");
        prop_assert!(!mask_cmdline(&text).contains(&token));
        let shown = format!("{:?}", Raw::parse(&[&text]));
        prop_assert!(!shown.contains(&token));
    }
}

#[test]
fn the_log_has_a_level_and_servers() {
    let config = Config::parse(&["burin.log=debug,udp://10.0.0.5,tcp://loghost:10514"]).unwrap();
    let servers: Vec<String> = config.syslog.iter().map(ToString::to_string).collect();
    assert_eq!((config.log, config.syslog_by_dhcp), (Some(log::LevelFilter::Debug), true));
    assert_eq!(servers, ["udp://10.0.0.5:514", "tcp://loghost:10514"]);
    let config = Config::parse(&["burin.log=local"]).unwrap();
    assert_eq!((config.log, config.syslog_by_dhcp, config.syslog.len()), (None, false, 0));
}

#[test]
fn the_boot_medium_comes_before_the_kernel_command_line_and_after_the_ramdisk() {
    let root = tempfile::tempdir().unwrap();
    for directory in ["proc", "etc/burin", "run/burin/medium"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    std::fs::write(root.path().join("proc/cmdline"), "burin.medium=BURIN burin.ntp=kernel\n").unwrap();
    std::fs::write(root.path().join("etc/burin/cmdline"), "burin.ntp=ramdisk burin.settle=1 burin.lldp=1\n").unwrap();
    std::fs::write(root.path().join("run/burin/medium/words"), "burin.ntp=\"medium\"\nburin.settle=\"2\"\n").unwrap();
    let config = load(root.path()).unwrap();
    assert_eq!((config.ntp.as_deref(), config.settle.as_secs(), config.lldp.as_secs()), (Some("kernel"), 2, 1));
    assert_eq!(config.warnings, [""; 0]);
}

/// Words from a boot server on the kernel command line cannot weaken the ramdisk's requirements.
#[test]
fn words_from_outside_do_not_weaken_a_policy() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/burin")).unwrap();
    std::fs::create_dir_all(root.path().join("proc")).unwrap();
    let load = |policy: &str, file: &str, kernel: &str| {
        std::fs::write(root.path().join("etc/burin/policy.json"), policy).unwrap();
        std::fs::write(root.path().join("etc/burin/cmdline"), file).unwrap();
        std::fs::write(root.path().join("proc/cmdline"), kernel).unwrap();
        super::load(root.path()).map_err(|error| crate::error::Coded::code(&error))
    };
    let https = r#"{"version": "policy/v1", "require_https": true}"#;
    let pin = format!("burin.ca=sha256:{}", "a".repeat(64));
    assert!(load(https, "", "burin.controller=https://c").is_ok());
    assert!(load(https, &pin, "burin.controller=https://c").is_ok(), "the ramdisk's own word");
    let attacks = [
        ("burin.controller=http://c".to_owned(), "policy.https"),
        ("burin.order=http://c/o".to_owned(), "policy.https"),
        ("burin.controller=https://c burin.events=http://e".to_owned(), "policy.https"),
        (format!("burin.controller=https://evil {pin}"), "policy.ca"),
        ("burin.controller=https://evil burin.ca=/etc/ssl/certs/ca-certificates.crt".to_owned(), "policy.ca"),
        ("ipa-api-url=http://i".to_owned(), "policy.https"),
        ("ipa-api-url=https://i ipa-insecure=1".to_owned(), "policy.ca"),
    ];
    for (words, code) in attacks {
        assert_eq!(load(https, "", &words), Err(code), "{words}");
    }
    let other = format!("burin.controller=https://evil burin.ca=sha256:{}", "b".repeat(64));
    assert_eq!(load(https, &pin, &other), Err("policy.ca"), "another pin than the ramdisk's");

    let closed =
        load(r#"{"version": "policy/v1", "no_api": true}"#, "", "burin.token=x burin.api=10.0.0.1:8443").unwrap();
    assert_eq!(closed.api, ApiDoor::Off);
    let key = burin_sign::SecretKey::generate().unwrap().0.public();
    let signed = format!(r#"{{"version": "policy/v1", "orders": {{"keys": ["{key}"]}}}}"#);
    let config = load(&signed, "burin.attr.rack=r1", "burin.attr.ssh_keys=mine burin.attr.rack=r2").unwrap();
    assert_eq!(config.attributes.into_iter().collect::<Vec<_>>(), [("rack".to_owned(), "r1".to_owned())]);
    assert!(config.warnings.iter().any(|warning| warning.contains("burin.attr")));
    assert_eq!(load("{}", "", ""), Err("policy.invalid"), "a policy that cannot be read is not none");
}
