//! Converts POSIX ACLs from tar's text form (acl(5), long or short) to the kernel's extended attribute
//! (linux/posix_acl_xattr.h).

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// Users and groups without a number are looked up with `number`, whose first argument says whether it is a group.
/// `None` if the text is not an ACL, or has an unknown name.
pub fn attribute(text: &str, number: &dyn Fn(bool, &str) -> Option<u32>) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    let lines = text.split(['\n', ',']).map(|line| line.split('#').next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty()) {
        let mut fields = line.split(':');
        let (kind, name, rights) = (fields.next()?, fields.next()?, fields.next()?);
        // A fourth field is the number for the name (star, GNU tar).
        let id = match (name, fields.next()) {
            ("", _) => NO_ID,
            (name, told) => {
                let group = matches!(kind, "group" | "g");
                told.unwrap_or(name).parse().ok().or_else(|| number(group, name))?
            }
        };
        let tag: u16 = match (kind, name.is_empty()) {
            ("user" | "u", true) => 0x01,
            ("user" | "u", false) => 0x02,
            ("group" | "g", true) => 0x04,
            ("group" | "g", false) => 0x08,
            ("mask" | "m", true) => 0x10,
            ("other" | "o", true) => 0x20,
            _ => return None,
        };
        let mut mode = 0u16;
        for right in rights.chars() {
            mode |= match right {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            };
        }
        entries.push((tag, id, mode));
    }
    // The kernel requires this order.
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, mode) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(mode.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finalize::accounts::lookup;

    #[test]
    fn all_forms_become_the_kernels() {
        let nobody = |_: bool, _: &str| None;
        let wanted = [
            &[2u8, 0, 0, 0][..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[16, 0, 4, 0, 255, 255, 255, 255],
            &[32, 0, 0, 0, 255, 255, 255, 255],
        ]
        .concat();
        let long = "user::rw-\nuser:lisa:r--:1000\ngroup::r--\nmask::r--\nother::---\n";
        assert_eq!(attribute(long, &nobody).as_ref(), Some(&wanted));
        assert_eq!(attribute("u::rw-,u:1000:r--,g::r--,o::---,m::r--", &nobody).as_ref(), Some(&wanted));
        let known = |group: bool, name: &str| {
            lookup(if group { "adm:x:4:syslog\n" } else { "root:x:0:0::/:\nlisa:x:1000:1000::/:\n" }, name)
        };
        assert_eq!(attribute("u::rw-,u:lisa:r--,g::r--,o::---,m::r--", &known).as_ref(), Some(&wanted));
        assert_eq!((known(true, "adm"), known(true, "lisa"), known(false, "r")), (Some(4), None, None));
        for bad in ["user:lisa:r--", "user::rq-", "x::r--", "user", "other:5:r--"] {
            assert_eq!(attribute(bad, &nobody), None, "{bad}");
        }
    }
}
