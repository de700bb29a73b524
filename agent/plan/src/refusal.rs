//! The reasons why there is no plan. Every refusal carries the trace up to that point.

use burin_protocol::error::Coded;
use burin_protocol::order::OrderError;
use burin_protocol::plan::Trace;

/// No plan, and why.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    pub reason: Reason,
    pub trace: Box<Trace>,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("{0}")]
    Order(OrderError),
    #[error("this order is for another machine: {wanted}")]
    OtherMachine { wanted: String },
    #[error("no layout applies: {}", .0.join("; "))]
    NoLayout(Vec<String>),
    #[error("the layouts {} all apply at priority {priority}", names.join(", "))]
    TwoLayouts { names: Vec<String>, priority: i32 },
    #[error("the inventory has no {section} to choose from: it was not read ({status})")]
    Unread { section: &'static str, status: &'static str },
    #[error("the order expects {expected} disks in this machine, {found} can be had")]
    FewDisks { expected: u32, found: usize },
    #[error("{what} `{name}` wants {wanted}, {found} can be had{}", nearest.as_ref().map(|n| format!(" (nearest miss: {n})")).unwrap_or_default())]
    NoMatch { what: &'static str, name: String, wanted: String, found: usize, nearest: Option<String> },
    #[error("{what} `{name}` wants {wanted} and nothing says which of these: {}", tied.join("; "))]
    Ambiguous { what: &'static str, name: String, wanted: String, tied: Vec<String> },
    #[error("{subject} is wanted by {} at once", names.join(" and "))]
    Overlap { subject: String, names: Vec<String> },
    #[error("disk set `{set}`: {disk} is not empty: {found}")]
    OnExisting { set: String, disk: String, found: String },
    #[error("disk set `{set}`: {disk}: {what}")]
    Keep { set: String, disk: String, what: String },
    #[error("what would be written is on other disks already: {}", .0.join("; "))]
    Collision(Vec<String>),
    #[error("a part of what would be lost stays behind: {}", .0.join("; "))]
    SplitArray(Vec<String>),
    #[error("disk set `{set}`: {disk} has {have} bytes for partitions that need {need}")]
    TooSmall { set: String, disk: String, need: u64, have: u64 },
    #[error("the array `{name}`: {what}")]
    Array { name: String, what: String },
    #[error("{what}: there are {have} bytes for what needs {need}")]
    NoRoom { what: String, need: u64, have: u64 },
    #[error("disk set `{set}`: the image `{image}` is for {want}-byte sectors, {disk} has {have}")]
    SectorSize { set: String, disk: String, image: String, want: u32, have: u32 },
    #[error("disk set `{set}`: {disk} cannot have sectors of {want} bytes: it offers {offers}")]
    NoFormat { set: String, disk: String, want: u32, offers: String },
    #[error("disk set `{set}`: {disk} has no secure erase: it is no NVMe namespace, or one that cannot be formatted")]
    NoErase { set: String, disk: String },
    #[error("{what} is not supported yet")]
    Unsupported { what: String },
    #[error("the attribute `{name}` that {at} refers to is not set")]
    NoAttribute { name: String, at: String },
    #[error("{at}: {message}")]
    BadValue { at: String, message: String },
}

impl Refusal {
    /// Whether there might be a plan with another disk or NIC, such as one that appears late.
    pub fn lacks_a_device(&self) -> bool {
        match self.reason {
            Reason::NoLayout(_) | Reason::FewDisks { .. } | Reason::NoMatch { .. } | Reason::Unread { .. } => true,
            Reason::Order(_)
            | Reason::OtherMachine { .. }
            | Reason::TwoLayouts { .. }
            | Reason::Ambiguous { .. }
            | Reason::Overlap { .. }
            | Reason::OnExisting { .. }
            | Reason::Keep { .. }
            | Reason::Collision(_)
            | Reason::SplitArray(_)
            | Reason::TooSmall { .. }
            | Reason::Array { .. }
            | Reason::NoRoom { .. }
            | Reason::SectorSize { .. }
            | Reason::NoFormat { .. }
            | Reason::NoErase { .. }
            | Reason::Unsupported { .. }
            | Reason::NoAttribute { .. }
            | Reason::BadValue { .. } => false,
        }
    }
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match &self.reason {
            Reason::Order(error) => error.code(),
            Reason::OtherMachine { .. } => "plan.other_machine",
            Reason::NoLayout(_) => "plan.no_layout",
            Reason::TwoLayouts { .. } => "plan.two_layouts",
            Reason::Unread { .. } => "plan.unread",
            Reason::FewDisks { .. } => "plan.few_disks",
            Reason::NoMatch { .. } => "plan.no_match",
            Reason::Ambiguous { .. } => "plan.ambiguous",
            Reason::Overlap { .. } => "plan.overlap",
            Reason::OnExisting { .. } => "plan.on_existing",
            Reason::Keep { .. } => "plan.keep",
            Reason::Collision(_) => "plan.collision",
            Reason::SplitArray(_) => "plan.split_array",
            Reason::TooSmall { .. } | Reason::NoRoom { .. } => "plan.too_small",
            Reason::Array { .. } => "plan.array",
            Reason::SectorSize { .. } => "plan.sector_size",
            Reason::NoFormat { .. } => "plan.no_format",
            Reason::NoErase { .. } => "plan.no_erase",
            Reason::Unsupported { .. } => "plan.unsupported",
            Reason::NoAttribute { .. } => "plan.no_attribute",
            Reason::BadValue { .. } => "plan.bad_value",
        }
    }

    fn trace(&self) -> Option<&Trace> {
        Some(&self.trace)
    }

    fn hint(&self) -> Option<String> {
        let hint = match &self.reason {
            Reason::Order(error) => return error.hint(),
            Reason::OtherMachine { .. } => "check `valid` in the order: it says which machines it is for",
            Reason::NoLayout(_) => "add a layout for this machine, or correct the named condition",
            Reason::TwoLayouts { .. } => {
                "give one of them a higher `priority`, or make their `when` exclude each other"
            }
            Reason::FewDisks { .. } => {
                "look for a failed disk, cable or controller, or correct `policies.expected_disks`"
            }
            Reason::Unread { .. } | Reason::NoMatch { .. } => {
                "run `burin plan` to see every candidate with its actual value"
            }
            Reason::Ambiguous { .. } => "narrow `match`, add `order_by`, or set `tie` to `identity` or `path`",
            Reason::Overlap { .. } => "name one of them in the other's `except`",
            Reason::OnExisting { .. } => "set \"on_existing\": \"destroy\" if it may be lost",
            Reason::Keep { .. } => {
                "choose other disks, or correct `keep` (\"optional\": true if the partition may be missing)"
            }
            Reason::Collision(_) => "remove the other disk, or set `policies.collisions` to `warn`",
            Reason::SplitArray(_) => "choose the other disk too, remove it, or set \"allow\": [\"split-array\"]",
            Reason::TooSmall { .. } | Reason::NoRoom { .. } => {
                "choose larger disks in `match`, or smaller partitions and volumes"
            }
            Reason::Array { .. } => "give the set more or larger disks (`count`, `match`), or choose another `level`",
            Reason::SectorSize { .. } => {
                "make an image for such disks, or choose others by `logical_block_size` in `match`"
            }
            Reason::NoFormat { .. } => "leave `sector_size` out, or choose NVMe disks by `nvme.lba_formats` in `match`",
            Reason::NoErase { .. } => {
                "choose NVMe disks by `erase.nvme_format` in `match`, or let the set say \"erase\": \"zeros\""
            }
            Reason::Unsupported { .. } => return None,
            Reason::NoAttribute { .. } => {
                "set it in the order's `attributes`, or as burin.attr.NAME=VALUE on the kernel command line"
            }
            Reason::BadValue { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
