//! Geometry and capacity of MD arrays by level: arithmetic, so that a plan can predict it, and mdadm's and the kernel's
//! results can be checked against it.

use super::super::order::{Consistency, RaidLevel};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The default chunk size, which is also mdadm's.
pub const CHUNK: u64 = 512 * KIB;
/// A chunk is whole memory pages, up to a reasonable maximum. Bytes.
pub const CHUNKS: std::ops::RangeInclusive<u64> = 4 * KIB..=64 * MIB;
/// Space before the data with metadata 1.1 and 1.2: superblock, bitmap and bad block list.
const BOOKS: u64 = MIB;
/// Two partial parity logs, if the level has them (`MULTIPLE_PPL_AREA_SIZE_SUPER1`, linux/raid/md_p.h).
const LOGS: u64 = 2 * MIB;
/// The maximum that is reserved for a later reshape, as in mdadm.
const HEADROOM: u64 = 128 * MIB;

/// Where an array's data lies on its members, and its size. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Data offset on each member.
    pub data_offset: u64,
    /// Usable size of each member. Without redundancy each member is used to its end: then this is the smallest.
    pub component: u64,
    /// Capacity of the array.
    pub size: u64,
}

impl RaidLevel {
    /// As in the superblock.
    pub fn number(self) -> i32 {
        match self {
            Self::Raid0 => 0,
            Self::Raid1 => 1,
            Self::Raid5 => 5,
            Self::Raid6 => 6,
            Self::Raid10 => 10,
        }
    }

    /// mdadm's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
            Self::Raid10 => "raid10",
        }
    }

    /// The kernel's module for it.
    pub fn module(self) -> &'static str {
        match self {
            Self::Raid5 | Self::Raid6 => "raid456",
            _ => self.name(),
        }
    }

    /// The minimum number of active members.
    pub fn least_members(self) -> usize {
        match self {
            Self::Raid0 | Self::Raid1 | Self::Raid10 => 2,
            Self::Raid5 => 3,
            Self::Raid6 => 4,
        }
    }

    /// Whether it distributes chunks over its members.
    pub fn is_striped(self) -> bool {
        self != Self::Raid1
    }

    /// Whether it survives the loss of a member.
    pub fn is_redundant(self) -> bool {
        self != Self::Raid0
    }

    /// The layout field of the superblock: left-symmetric parity (5 and 6), two near copies (10), none (1), and the
    /// kernel's choice for members of unequal size (0).
    pub fn layout(self) -> Option<u32> {
        match self {
            Self::Raid0 => None,
            Self::Raid1 => Some(0),
            Self::Raid5 | Self::Raid6 => Some(2),
            Self::Raid10 => Some(0x102),
        }
    }
}

/// The geometry of an array over active members of these sizes in bytes; `chunk` in bytes, if striped. `None` if they
/// are too small.
pub fn geometry(
    level: RaidLevel,
    metadata: &str,
    chunk: Option<u64>,
    consistency: Consistency,
    members: &[u64],
) -> Option<Geometry> {
    let least = members.iter().copied().min()?;
    let chunk = if level.is_striped() { chunk.unwrap_or(CHUNK) } else { 1 };
    let (data_offset, behind) = match metadata {
        // All metadata lies at the end.
        "1.0" => (0, BOOKS),
        _ => (data_offset(least, consistency), 0),
    };
    let gives = |member: u64, unit: u64| Some(member.checked_sub(data_offset + behind)? / unit * unit);
    // Without redundancy, members of unequal size are used to their ends; otherwise only as far as the smallest one.
    let component = gives(least, if level.is_redundant() { chunk.max(MIB) } else { chunk })?;
    let active = members.len() as u64;
    let size = match level {
        RaidLevel::Raid0 => members.iter().map(|member| gives(*member, chunk)).sum::<Option<u64>>()?,
        RaidLevel::Raid1 => component,
        RaidLevel::Raid5 => component.checked_mul(active.checked_sub(1)?)?,
        RaidLevel::Raid6 => component.checked_mul(active.checked_sub(2)?)?,
        // An odd chunk at the end has no place for its copy.
        RaidLevel::Raid10 => (component / chunk).checked_mul(active)? / 2 * chunk,
    };
    (component > 0 && size > 0).then_some(Geometry { data_offset, component, size })
}

/// Behind superblock, bitmap and logs, with a thousandth of the member reserved for a later reshape.
fn data_offset(member: u64, consistency: Consistency) -> u64 {
    let books = BOOKS + if consistency == Consistency::Ppl { LOGS } else { 0 };
    let headroom = (member / 1024).min(HEADROOM) / MIB * MIB;
    books + headroom
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const LEVELS: [RaidLevel; 5] =
        [RaidLevel::Raid0, RaidLevel::Raid1, RaidLevel::Raid5, RaidLevel::Raid6, RaidLevel::Raid10];

    fn of(level: RaidLevel, metadata: &str, members: &[u64]) -> Option<Geometry> {
        geometry(level, metadata, None, Consistency::Bitmap, members)
    }

    #[test]
    fn each_level_holds_what_its_redundancy_leaves() {
        let member = 8 * GIB + MIB + 8 * MIB;
        for (level, members, holds) in [
            (RaidLevel::Raid0, 3, 24),
            (RaidLevel::Raid1, 2, 8),
            (RaidLevel::Raid5, 4, 24),
            (RaidLevel::Raid6, 4, 16),
            (RaidLevel::Raid10, 4, 16),
            (RaidLevel::Raid10, 3, 12),
        ] {
            let found = of(level, "1.2", &vec![member; members]).unwrap();
            assert_eq!((found.data_offset, found.size), (9 * MIB, holds * GIB), "{level:?}");
        }
    }

    #[test]
    fn the_end_of_a_member_is_for_metadata_1_0_and_its_start_for_the_others() {
        let member = GIB + MIB;
        assert_eq!(
            of(RaidLevel::Raid1, "1.0", &[member; 2]),
            Some(Geometry { data_offset: 0, component: GIB, size: GIB })
        );
        assert_eq!(of(RaidLevel::Raid1, "1.1", &[member; 2]).unwrap().data_offset, 2 * MIB);
        let logs = geometry(RaidLevel::Raid5, "1.2", None, Consistency::Ppl, &[member; 3]).unwrap();
        assert_eq!(logs.data_offset, 4 * MIB);
    }

    #[test]
    fn the_smallest_member_counts_where_something_is_kept_twice() {
        let unequal = [GIB, 2 * GIB, 4 * GIB];
        let striped = of(RaidLevel::Raid0, "1.2", &unequal).unwrap();
        assert_eq!(striped.size, 7 * GIB - 3 * 2 * MIB);
        assert_eq!(of(RaidLevel::Raid5, "1.2", &unequal).unwrap().size, 2 * (GIB - 2 * MIB));
        assert_eq!(of(RaidLevel::Raid1, "1.2", &[MIB, GIB]), None, "no room for data");
        assert_eq!(of(RaidLevel::Raid1, "1.2", &[]), None);
    }

    proptest! {
        /// No byte of the array lies outside of a member, and each member contributes whole chunks.
        #[test]
        fn what_is_planned_fits(
            level in prop::sample::select(LEVELS.to_vec()),
            metadata in prop::sample::select(vec!["1.0", "1.1", "1.2"]),
            chunk in prop::sample::select(vec![4 * KIB, 64 * KIB, CHUNK, 64 * MIB]),
            members in prop::collection::vec(0..1u64 << 50, 0..9),
        ) {
            if let Some(found) = geometry(level, metadata, Some(chunk), Consistency::Bitmap, &members) {
                let least = members.iter().copied().min().unwrap_or(0);
                prop_assert!(found.data_offset + found.component <= least);
                prop_assert!(found.size <= members.iter().sum::<u64>());
                prop_assert!(!level.is_striped() || found.component.is_multiple_of(chunk));
                prop_assert!(found.data_offset.is_multiple_of(MIB));
            }
        }
    }
}
