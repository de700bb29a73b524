use super::cmdline::fold;
use super::network::verdict;
use super::*;
use crate::error::Coded;
use std::net::IpAddr;

fn parse(text: &str) -> Config {
    Config::parse(&[text]).unwrap()
}

fn only(text: &str) -> Addressing {
    let mut config = parse(text);
    assert_eq!(config.network.addressing.len(), 1, "{text}: {:?}", config.warnings);
    config.network.addressing.remove(0)
}

fn fixed(address: &str, gateway: Option<&str>) -> FixedAddress {
    FixedAddress { address: address.parse().unwrap(), gateway: gateway.map(|gateway| gateway.parse().unwrap()) }
}

#[test]
fn single_words() {
    for (text, ipv4, ipv6) in [
        ("ip=dhcp", Ipv4Method::Dhcp, Ipv6Method::Auto),
        ("ip=on", Ipv4Method::Dhcp, Ipv6Method::Auto),
        ("ip=single-dhcp", Ipv4Method::Dhcp, Ipv6Method::Auto),
        ("ip=dhcp,dhcp6", Ipv4Method::Dhcp, Ipv6Method::Dhcp),
        ("ip=dhcp6", Ipv4Method::Off, Ipv6Method::Dhcp),
        ("ip=auto6", Ipv4Method::Off, Ipv6Method::Auto),
        ("ip=either6", Ipv4Method::Off, Ipv6Method::Auto),
        ("ip=link6", Ipv4Method::Off, Ipv6Method::LinkLocal),
        ("ip=off ip6=dhcp", Ipv4Method::Off, Ipv6Method::Dhcp),
        ("ip6=off", Ipv4Method::Dhcp, Ipv6Method::Off),
        ("ip6=dhcp", Ipv4Method::Dhcp, Ipv6Method::Dhcp),
    ] {
        let one = only(text);
        assert_eq!((one.device.as_deref(), one.ipv4, one.ipv6), (None, ipv4, ipv6), "{text}");
    }
    assert!(parse("ip=off").network.is_off());
    assert!(parse("ip=::::::none").network.is_off());
    assert!(!parse("quiet").network.is_off());
}

#[test]
fn an_interface_and_a_method() {
    let one = only("ip=ens3:dhcp6:9000:52:54:00:ab:cd:ef");
    assert_eq!((one.device.as_deref(), one.ipv6, one.mtu), (Some("ens3"), Ipv6Method::Dhcp, Some(9000)));
    assert_eq!(one.mac, Mac::parse("52:54:00:ab:cd:ef"));
    let maas = only("ip=::::maas-node:BOOTIF:dhcp ip6=off BOOTIF=01-52-54-00-ab-cd-ef");
    assert_eq!((maas.device.as_deref(), maas.ipv4, maas.ipv6), (Some("BOOTIF"), Ipv4Method::Dhcp, Ipv6Method::Off));
    assert_eq!(maas.hostname.as_deref(), Some("maas-node"));
    assert_eq!(only("ip=:::::eth1:dhcp").device.as_deref(), Some("eth1"));
    assert_eq!(only("ip=52-54-00-ab-cd-ef:dhcp").device.as_deref(), Some("52-54-00-ab-cd-ef"));
}

#[test]
fn fixed_addresses() {
    let one = only("ip=10.1.2.3::10.1.0.1:255.255.252.0:node7:eth0:none:10.1.0.2:10.1.0.3:10.1.0.4");
    assert_eq!(one.ipv4, Ipv4Method::Fixed(fixed("10.1.2.3/22", Some("10.1.0.1"))));
    assert_eq!((one.hostname.as_deref(), one.device.as_deref()), (Some("node7"), Some("eth0")));
    assert_eq!(one.dns, ["10.1.0.2".parse::<IpAddr>().unwrap(), "10.1.0.3".parse().unwrap()]);
    assert_eq!(one.ntp, ["10.1.0.4".parse::<IpAddr>().unwrap()]);
    assert_eq!(only("ip=172.16.5.5:").ipv4, Ipv4Method::Fixed(fixed("172.16.5.5/16", None)), "classful");
    // PXELINUX, ipappend 1.
    let pxe = only("ip=10.9.2.50:10.9.2.1:10.9.2.254:255.255.255.0 BOOTIF=01-52-54-00-ab-cd-ef");
    assert_eq!(pxe.ipv4, Ipv4Method::Fixed(fixed("10.9.2.50/24", Some("10.9.2.254"))));
    let six = only("ip=[2001:db8::5]::[2001:db8::1]:64:n:eth0:none:[2001:db8::53]");
    assert_eq!(six.ipv6, Ipv6Method::Fixed(fixed("2001:db8::5/64", Some("2001:db8::1"))));
    assert_eq!((six.ipv4, six.dns), (Ipv4Method::Off, vec!["2001:db8::53".parse().unwrap()]));
    let mtu = only("ip=10.0.0.5::10.0.0.1:24:n:eth0:off:1400:52:54:00:ab:cd:ef");
    assert_eq!((mtu.mtu, mtu.mac), (Some(1400), Mac::parse("52:54:00:ab:cd:ef")));
}

#[test]
fn wrong_forms_are_errors() {
    for bad in [
        "ip=10.0.0.5::::::dhcp",
        "ip=10.0.0.5::::::dhcp6",
        "ip=1.2.3",
        "ip=10.0.0.1:::33",
        "ip=::::::bootp",
        "ip=:::255.0.0.0:h::none",
        "ip=[2001:db8::5]::10.0.0.1:64",
        "ip=maybe",
        "ip=eth0:maybe",
    ] {
        let code = Config::parse(&[bad]).map(|config| format!("{:?}", config.network)).unwrap_err().code();
        assert_eq!(code, "config.ip", "{bad}");
    }
}

#[test]
fn several_interfaces() {
    let plan = parse("ip=dhcp ip=eth0:dhcp ip=eth1:auto6 ip=eth0:off bootdev=eth1").network;
    assert_eq!(plan.devices().collect::<Vec<_>>(), ["eth1"], "the later one of an interface counts");
    assert_eq!(plan.boot_device.as_deref(), Some("eth1"));
}

#[test]
fn vlans() {
    let vlan = |name: &str, parent: &str, id| VlanLink { name: name.into(), parent: parent.into(), id };
    for (text, wanted) in [
        ("vlan=eth0.100:eth0", vlan("eth0.100", "eth0", 100)),
        ("vlan=vlan0005:eth0", vlan("vlan0005", "eth0", 5)),
        ("vlan=vlan7:bond0", vlan("vlan7", "bond0", 7)),
        ("vlan=ens3.9", vlan("ens3.9", "ens3", 9)),
    ] {
        assert_eq!(parse(text).network.vlans, [wanted], "{text}");
    }
    for bad in ["vlan=provisioning:eth0", "vlan=eth0.4095:eth0", "vlan=eth0.0:eth0", "vlan=a:b:c", "vlan=eth0"] {
        let config = parse(bad);
        assert_eq!((config.network.vlans.len(), config.warnings.len()), (0, 1), "{bad}");
    }
    assert_eq!(parse("burin.vlan=100").network.vlan, Some(VlanChoice::Id(100)));
    assert_eq!(parse("burin.vlan=lldp").network.vlan, Some(VlanChoice::Lldp));
    assert_eq!(parse("burin.vlan=4095").warnings.len(), 1);
}

#[test]
fn bonds() {
    let plan = parse("bond=bond0:eth0,eth1:mode=802.3ad,lacp_rate=fast,primary=eth0:9000").network;
    let [bond] = plan.bonds.as_slice() else { panic!("{plan:?}") };
    assert_eq!((bond.name.as_str(), bond.members.join(" ").as_str(), bond.mtu), ("bond0", "eth0 eth1", Some(9000)));
    let keys: Vec<&str> = bond.options.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["mode", "lacp_rate", "miimon", "primary"]);
    assert!(bond.is_lacp());
    let bare = &parse("bond").network.bonds[0];
    assert_eq!((bare.members.len(), bare.options[0].1.as_str()), (2, "balance-rr"));
    let targets = &parse("bond=b:e0:mode=1,arp_interval=200,arp_ip_target=10.0.0.1;10.0.0.2").network.bonds[0];
    assert_eq!(targets.options[2], ("arp_ip_target".into(), "10.0.0.1,10.0.0.2".into()));
    for bad in ["bond=bond0:eth0:802.3ad", "bond=a/b:eth0", "bond=bond0:eth0:../x=1", "bond=b:e:mode=1:12"] {
        assert_eq!(parse(bad).warnings.len(), 1, "{bad}");
    }
}

#[test]
fn tinkerbell() {
    let config = parse("vlan_id=100 facility=onprem hw_addr=52:54:00:ab:cd:ef worker_id=52:54:00:ab:cd:ef");
    assert_eq!(config.boot_mac, Mac::parse("52:54:00:ab:cd:ef"));
    assert_eq!(config.network.vlan, Some(VlanChoice::Id(100)));
    let config = parse("vlan_id= hw_addr=52:54:00:ab:cd:ef BOOTIF=01-52-54-00-ab-cd-ee");
    assert_eq!((config.boot_mac, config.network.vlan), (Mac::parse("52:54:00:ab:cd:ee"), None), "BOOTIF is first");
    assert!(config.warnings.is_empty());
    let config = parse(
        "ipam=de-ad-be-ef-fe-ed:30:192.168.2.193:255.255.255.0:192.168.2.1:myhost:1.1.1.1,8.8.8.8:a.example:192.168.2.2",
    );
    let one = &config.network.addressing[0];
    assert_eq!(one.ipv4, Ipv4Method::Fixed(fixed("192.168.2.193/24", Some("192.168.2.1"))));
    assert_eq!((one.device.as_deref(), config.network.vlan), (Some("de-ad-be-ef-fe-ed"), Some(VlanChoice::Id(30))));
    assert_eq!((one.dns.len(), one.ntp.len(), config.network.search.join(" ").as_str()), (2, 1, "a.example"));
    assert_eq!(parse("ipam=nonsense").warnings.len(), 1);
    assert_eq!(parse("packet_bootdev_mac=52:54:00:ab:cd:ef").boot_mac, Mac::parse("52:54:00:ab:cd:ef"));
}

/// A line as written by MAAS for commissioning.
#[test]
fn maas() {
    let config = parse(
        "nomodeset ro root=squash:http://10.1.0.2:5248/images/ubuntu/amd64/ga-24.04/noble/stable/squashfs \
         ip=::::able-cat:BOOTIF ip6=off overlayroot=tmpfs overlayroot_cfgdisk=disabled \
         cc:{'datasource_list': ['MAAS']}end_cc cloud-config-url=http://10.1.0.2:5248/MAAS/metadata apparmor=0 \
         log_host=10.1.0.2 log_port=5247 --- BOOTIF=01-52-54-00-ab-cd-ef",
    );
    let one = &config.network.addressing[0];
    assert_eq!((one.device.as_deref(), one.ipv4, one.ipv6), (Some("BOOTIF"), Ipv4Method::Dhcp, Ipv6Method::Off));
    assert_eq!((one.hostname.as_deref(), config.boot_mac), (Some("able-cat"), Mac::parse("52:54:00:ab:cd:ef")));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].starts_with("cloud-config-url="), "{:?}", config.warnings);
}

#[test]
fn names_routes_and_servers() {
    let config = parse(
        "ifname=boot0:52:54:00:ab:cd:ef nameserver=10.0.0.2 nameserver=[2001:db8::53] rd.peerdns=0 \
         rd.route=192.168.200.0/24:192.168.100.222:ens10 rd.route=[2001:db8:3::/48]:[2001:db8:2::1] \
         rd.route=10.8.0.0/255.255.0.0::ens10",
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let plan = config.network;
    assert_eq!(plan.renames, [("boot0".to_owned(), Mac([0x52, 0x54, 0, 0xab, 0xcd, 0xef]))]);
    assert_eq!((plan.nameservers.len(), plan.only_nameservers), (2, true));
    let shown: Vec<String> =
        plan.routes.iter().map(|r| format!("{} {:?} {:?}", r.destination, r.gateway, r.device)).collect();
    assert_eq!(shown[1], "2001:db8:3::/48 Some(2001:db8:2::1) None");
    assert_eq!(shown[2], "10.8.0.0/16 None Some(\"ens10\")");
    for bad in [
        "rd.route=10.0.0.0:10.0.0.1",
        "rd.route=10.0.0.0/8",
        "nameserver=ns",
        "ifname=x:y",
        "rd.route=10.0.0.0/8:[::1]",
    ] {
        assert_eq!(parse(bad).warnings.len(), 1, "{bad}");
    }
    let mac = "BOOTIF=01-52-54-00-ab-cd-ef";
    assert_eq!(parse(&format!("rd.bootif=0 {mac}")).boot_mac, None);
}

#[test]
fn what_is_not_done_is_said_by_name() {
    for word in ["team=team0:eth0", "bridge=br0:eth0", "netroot=iscsi:x", "rd.znet=qeth", "ip=ibft"] {
        let config = parse(word);
        assert_eq!(config.warnings.len(), 1, "{word}");
        assert!(config.warnings[0].contains(word.split('=').next().unwrap()), "{:?}", config.warnings);
    }
    for word in ["rd.neednet=1", "rd.net.timeout.dhcp=30", "net.ifnames=0", "biosdevname=0"] {
        assert!(parse(word).warnings.is_empty(), "{word}");
    }
}

#[test]
fn client_ids() {
    assert_eq!(parse("quiet").network.client_id, ClientId::Mac);
    assert_eq!(parse("burin.client_id=none").network.client_id, ClientId::None);
    assert_eq!(parse("burin.client-id=00:4c:4C-44").network.client_id, ClientId::Bytes(vec![0, 0x4c, 0x4c, 0x44]));
    assert_eq!(parse("burin.client_id=xyz").warnings.len(), 1);
}

/// Network words of other systems, from their manuals and templates: dracut.cmdline(7) of 059, initramfs-tools(7) of
/// 0.142, and the boot scripts of MAAS, Tinkerbell (Smee, Boots, HookOS) and Ironic.
#[test]
fn every_word_that_others_use_is_known() {
    for words in [
        "ip ifname rd.route bootdev rd.bootif rd.neednet vlan bond team bridge nameserver rd.peerdns biosdevname rd.ethtool \
         rd.net.dhcp.retry rd.net.timeout.dhcp rd.net.timeout.iflink rd.net.timeout.ifup rd.net.timeout.route \
         rd.net.timeout.ipv6dad rd.net.timeout.ipv6auto rd.net.timeout.carrier rd.znet rd.znet_ifname \
         rd.nfs.domain rd.iscsi.firmware rd.iscsi.ibft netroot rd.iscsi.initiator rd.iscsi.target.name \
         rd.iscsi.target.ip rd.iscsi.target.port rd.iscsi.target.group rd.iscsi.username rd.iscsi.password \
         rd.iscsi.in.username rd.iscsi.in.password rd.iscsi.login_retry_max rd.iscsi.mp rd.iscsi.param \
         rd.iscsi.testroute rd.iscsi.waitnet fcoe rd.fcoe rd.nvmf.discover rd.nvmf.hostnqn rd.nvmf.hostid rd.nonvmf root",
        "ip ip6 nfsroot boot netconsole",
        "ip ip6 root cloud-config-url log_host log_port",
        "ip vlan_id hw_addr ipam syslog_host packet_bootdev_mac grpc_authority tinkerbell docker_registry HTTP_PROXY HTTPS_PROXY",
        "ip boot_server ipa-collect-lldp ipa-enable-vlan-interfaces",
    ] {
        for word in words.split_whitespace() {
            assert!(verdict(&fold(word)).is_some(), "{word}");
        }
    }
}

const VERDICTS: [&str; 3] = ["taken", "ignored", "warned"];

fn named(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Taken => "taken",
        Verdict::Ignored => "ignored",
        Verdict::Warned(_) => "warned",
    }
}

/// Every word is documented in docs/operations.md.
#[test]
fn the_documentation_has_a_row_for_every_word() {
    let text = include_str!("../../../docs/operations.md");
    for (word, verdict) in NETWORK_WORDS {
        let wanted = format!("`{word}=");
        let row = text
            .lines()
            .find(|line| line.starts_with('|') && line.split('|').nth(1).is_some_and(|c| c.contains(&wanted)));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row for {wanted}"));
        assert_eq!(row.split('|').nth(2).map(str::trim), Some(named(*verdict)), "{word}: {row}");
    }
}

/// And the page describes what is actually done.
#[test]
fn every_word_of_the_documentation_is_known() {
    let rows = include_str!("../../../docs/operations.md").lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let (words, what) = (*cells.first()?, *cells.get(1)?);
        VERDICTS.contains(&what).then_some((words, what))
    });
    let mut seen = 0;
    for (words, what) in rows {
        for word in words.split('`').skip(1).step_by(2).filter_map(|code| Some(code.split_once('=')?.0)) {
            let folded = fold(word);
            assert_eq!(verdict(&folded).map(named), Some(what), "{word}");
            seen += 1;
        }
    }
    assert!(seen > 50, "the table was not found: {seen}");
}
