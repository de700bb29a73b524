//! Links to be made: `vlan=`, `bond=`, and the VLAN of the NIC that booted.

use super::Mac;
use super::ip::fields;

/// `vlan=NAME:PARENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanLink {
    pub name: String,
    /// A kernel name, a MAC with hyphens, `BOOTIF`, or another link on the command line.
    pub parent: String,
    /// 1 to 4094.
    pub id: u16,
}

/// `bond=NAME[:MEMBERS[:OPTIONS[:MTU]]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondLink {
    pub name: String,
    pub members: Vec<String>,
    /// In the spelling of the kernel's `bonding/` files, the mode first.
    pub options: Vec<(String, String)>,
    pub mtu: Option<u16>,
}

/// The VLAN of the provisioning network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VlanChoice {
    Id(u16),
    /// Those that the switch announces by LLDP.
    Lldp,
}

/// The longest interface name.
const NAME: usize = 15;

/// Whether the kernel accepts it as an interface name.
pub(super) fn is_name(name: &str) -> bool {
    let fair = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    !name.is_empty() && name.len() <= NAME && name.chars().all(fair) && name != "." && name != ".."
}

pub(super) fn vlan_id(text: &str) -> Option<u16> {
    text.parse().ok().filter(|id| (1..=4094).contains(id))
}

impl VlanLink {
    /// The id is the number at the end of the name: `vlan0005`, `vlan5`, `eth0.0005`, `eth0.5`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, parent) = match *fields(text).as_slice() {
            [name, parent] => (name, parent),
            [name] => (name, name.rsplit_once('.').map_or("", |(parent, _)| parent)),
            _ => return Err("it is not NAME:PARENT"),
        };
        if !is_name(name) || parent.is_empty() {
            return Err("it is not NAME:PARENT");
        }
        let start = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let id = name.get(start..).and_then(vlan_id).ok_or("its name does not end in a VLAN id of 1 to 4094")?;
        Ok(Self { name: name.to_owned(), parent: parent.to_owned(), id })
    }
}

impl BondLink {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fields: Vec<&str> = text.splitn(4, ':').collect();
        let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
        let name = field(0).filter(|name| is_name(name)).ok_or("it is not NAME:MEMBERS:OPTIONS")?;
        let list = |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let members = list(field(1).unwrap_or("eth0,eth1"));
        let mut options = Vec::new();
        for option in list(field(2).unwrap_or("mode=balance-rr")) {
            let (key, value) = option.split_once('=').ok_or("an option is not KEY=VALUE")?;
            let fair = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if !fair || value.is_empty() {
                return Err("an option is not KEY=VALUE");
            }
            // Several addresses are separated by semicolons, because commas separate options.
            options.push((key.to_owned(), value.replace(';', ",")));
        }
        // Without it the kernel does not detect an unplugged cable.
        if !options.iter().any(|(key, _)| key == "miimon" || key == "arp_interval") {
            options.push(("miimon".to_owned(), "100".to_owned()));
        }
        // The kernel refuses most options before the mode, and the primary before its members.
        options.sort_by_key(|(key, _)| match key.as_str() {
            "mode" => 0,
            "primary" => 2,
            _ => 1,
        });
        let mtu = match field(3).map(str::parse::<u16>) {
            None => None,
            Some(Ok(mtu)) if mtu >= 68 => Some(mtu),
            Some(_) => return Err("its MTU is not one"),
        };
        Ok(Self { name: name.to_owned(), members, options, mtu })
    }

    /// Whether its members' switch ports need LACP.
    pub fn is_lacp(&self) -> bool {
        self.options.iter().any(|(key, value)| key == "mode" && matches!(value.as_str(), "802.3ad" | "4"))
    }
}

/// `ifname=NAME:MAC`.
pub(super) fn rename(text: &str) -> Result<(String, Mac), &'static str> {
    let (name, mac) = text.split_once(':').ok_or("it is not NAME:MAC")?;
    let mac = Mac::parse(mac).ok_or("what stands behind the name is not a MAC address")?;
    if is_name(name) { Ok((name.to_owned(), mac)) } else { Err("it is not NAME:MAC") }
}
