//! The contestants: one row and one command each.

/// The device's contents before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prior {
    Noise,
    /// The image `debian`, as burin leaves it.
    Debian,
    /// The same, with a 4 KiB block overwritten in 5 % of its chunks of 256 KiB.
    Dirtied,
}

/// What a contestant does besides writing. Each is `yes`, `no` or a word for the extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Verifies a cryptographic digest of the download.
    pub hashes: &'static str,
    /// Writes zeros for the image's holes.
    pub zeroes: &'static str,
    /// Flushes the device's cache before it reports success.
    pub flushes: &'static str,
    /// Reads back what it wrote.
    pub verifies: &'static str,
}

const fn marks(hashes: &'static str, zeroes: &'static str, flushes: &'static str, verifies: &'static str) -> Marks {
    Marks { hashes, zeroes, flushes, verifies }
}

#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub group: &'static str,
    pub name: &'static str,
    /// For bash, with FAST and SLOW (URLs), DEV, BURIN, PEERS (directory), LIB (scripts/lib) and SPOOL (in RAM) set.
    pub command: &'static str,
    /// The image that the device must contain afterwards.
    pub image: &'static str,
    pub prior: Prior,
    pub marks: Marks,
}

impl Row {
    /// Stable, for filters and results.
    pub fn id(&self) -> String {
        format!("{}: {}", self.group, self.name)
    }
}

const GROUPS: [&str; 7] = ["zstd, one frame", "zstd, many frames", "gzip", "xz", "raw", "qcow2", "1 Gbit/s"];

const READBACK: Marks = marks("no", "yes", "yes", "yes");
const WIRE: Marks = marks("download", "yes", "yes", "yes");
const CONTENT: Marks = marks("content", "yes", "yes", "yes");
const BLIND: Marks = marks("no", "yes", "yes", "no");
const PIPE: Marks = marks("no", "written", "yes", "no");
const DELTA: Marks = marks("chunks", "yes", "yes", "yes");

macro_rules! pipe {
    ($url:literal, $unpack:literal) => {
        concat!(
            "curl -sf $",
            $url,
            " | ",
            $unpack,
            " | dd of=$DEV bs=1M iflag=fullblock oflag=direct conv=fsync status=none"
        )
    };
}

/// Every row, in the order of the table.
pub fn rows() -> Vec<Row> {
    let mut rows = whole();
    rows.extend(gigabit());
    for (group, prior, image) in [
        ("same image again", Prior::Debian, "debian"),
        ("5 % dirtied", Prior::Dirtied, "debian"),
        ("upgraded in place", Prior::Debian, "upgraded"),
        ("rebuilt", Prior::Debian, "rebuilt"),
    ] {
        rows.extend(again(group, prior, image));
    }
    rows
}

fn whole() -> Vec<Row> {
    let row = |group, name, command, marks| Row { group, name, command, image: "debian", prior: Prior::Noise, marks };
    vec![
        row(GROUPS[0], "burin", "$BURIN write --json $FAST/debian.raw.zst $DEV", READBACK),
        row(GROUPS[0], "burin --verify none", "$BURIN write --json --verify none $FAST/debian.raw.zst $DEV", BLIND),
        row(GROUPS[0], "curl, zstd, dd", pipe!("FAST/debian.raw.zst", "zstd -dcq"), PIPE),
        row(
            GROUPS[0],
            "bmaptool",
            "bmaptool -q copy --bmap $FAST/debian.raw.bmap $FAST/debian.raw.zst $DEV",
            marks("mapped", "no", "yes", "no"),
        ),
        row(
            GROUPS[0],
            "coreos-installer",
            "$PEERS/bin/coreos-installer install --insecure --image-url $FAST/debian.raw.zst $DEV",
            marks("no", "yes", "yes", "no"),
        ),
        row(GROUPS[1], "burin", "$BURIN write --json $FAST/debian.frames.zst $DEV", READBACK),
        row(GROUPS[1], "burin --verify none", "$BURIN write --json --verify none $FAST/debian.frames.zst $DEV", BLIND),
        row(
            GROUPS[1],
            "burin --sha256",
            "$BURIN write --json --sha256 $(cut -c1-64 <$IMAGES/debian.frames.zst.sha256) $FAST/debian.frames.zst $DEV",
            WIRE,
        ),
        row(
            GROUPS[1],
            "burin --content-sha256",
            "$BURIN write --json --content-sha256 $(cut -c1-64 <$IMAGES/debian.raw.sha256) $FAST/debian.frames.zst $DEV",
            CONTENT,
        ),
        row(GROUPS[1], "curl, zstd, dd", pipe!("FAST/debian.frames.zst", "zstd -dcq"), PIPE),
        row(GROUPS[1], "curl, pzstd, dd", pipe!("FAST/debian.frames.zst", "pzstd -dcq"), PIPE),
        row(GROUPS[2], "burin", "$BURIN write --json $FAST/debian.raw.gz $DEV", READBACK),
        row(GROUPS[2], "curl, gzip, dd", pipe!("FAST/debian.raw.gz", "gzip -dc"), PIPE),
        row(GROUPS[2], "curl, pigz, dd", pipe!("FAST/debian.raw.gz", "pigz -dc"), PIPE),
        row(
            GROUPS[2],
            "bmap-rs",
            "$PEERS/bin/bmap-rs copy $FAST/debian.raw.gz $DEV",
            marks("mapped", "no", "no", "no"),
        ),
        row(GROUPS[3], "burin", "$BURIN write --json $FAST/debian.raw.xz $DEV", READBACK),
        row(GROUPS[3], "curl, xz, dd", pipe!("FAST/debian.raw.xz", "xz -dcq"), PIPE),
        row(GROUPS[4], "burin", "$BURIN write --json $FAST/debian.raw $DEV", READBACK),
        row(GROUPS[4], "curl, dd", pipe!("FAST/debian.raw", "cat"), PIPE),
        row(
            GROUPS[4],
            "Ironic agent, streaming",
            "$PEERS/ipa/bin/python $LIB/ipa-stream.py $FAST/debian.raw $(cut -c1-64 <$IMAGES/debian.raw.sha256) $DEV",
            marks("content", "written", "no", "no"),
        ),
        row(GROUPS[5], "burin", "$BURIN write --json $FAST/debian.qcow2 $DEV", READBACK),
        row(
            GROUPS[5],
            "curl, qemu-img",
            "curl -sf -o $SPOOL/i $FAST/debian.qcow2; qemu-img convert -n -t none -O raw $SPOOL/i $DEV; rm $SPOOL/i",
            marks("no", "yes", "yes", "no"),
        ),
        row(
            GROUPS[5],
            "curl, nbdcopy",
            "curl -sf -o $SPOOL/i $FAST/debian.qcow2; nbdcopy --flush -- [ qemu-nbd -r -f qcow2 $SPOOL/i ] $DEV; rm $SPOOL/i",
            marks("no", "yes", "yes", "no"),
        ),
    ]
}

fn gigabit() -> Vec<Row> {
    let row =
        |name, command, marks| Row { group: GROUPS[6], name, command, image: "debian", prior: Prior::Noise, marks };
    vec![
        row("burin", "$BURIN write --json $SLOW/debian.raw.zst $DEV", READBACK),
        row("burin --verify none", "$BURIN write --json --verify none $SLOW/debian.raw.zst $DEV", BLIND),
        row("curl, zstd, dd", pipe!("SLOW/debian.raw.zst", "zstd -dcq"), PIPE),
        row(
            "bmaptool",
            "bmaptool -q copy --bmap $SLOW/debian.raw.bmap $SLOW/debian.raw.zst $DEV",
            marks("mapped", "no", "yes", "no"),
        ),
        row(
            "Ironic agent, streaming",
            "$PEERS/ipa/bin/python $LIB/ipa-stream.py $SLOW/debian.raw $(cut -c1-64 <$IMAGES/debian.raw.sha256) $DEV",
            marks("content", "written", "no", "no"),
        ),
    ]
}

/// Rows of a machine that already had an image.
fn again(group: &'static str, prior: Prior, image: &'static str) -> Vec<Row> {
    let row = |name, command, marks| Row { group, name, command, image, prior, marks };
    let commands = match image {
        "debian" => [
            "$BURIN write --json $FAST/debian.frames.zst $DEV",
            "$BURIN write --json --delta $FAST/debian.caibx $FAST/debian.seekable.zst $DEV",
            "casync extract --seed-output=yes --store=$FAST/store $FAST/debian.casync.caibx $DEV",
            "$PEERS/bin/bita clone --seed-output --verify-output $FAST/debian.cba $DEV",
        ],
        "upgraded" => [
            "$BURIN write --json $FAST/upgraded.frames.zst $DEV",
            "$BURIN write --json --delta $FAST/upgraded.caibx $FAST/upgraded.seekable.zst $DEV",
            "casync extract --seed-output=yes --store=$FAST/store $FAST/upgraded.casync.caibx $DEV",
            "$PEERS/bin/bita clone --seed-output --verify-output $FAST/upgraded.cba $DEV",
        ],
        _ => [
            "$BURIN write --json $FAST/rebuilt.frames.zst $DEV",
            "$BURIN write --json --delta $FAST/rebuilt.caibx $FAST/rebuilt.seekable.zst $DEV",
            "casync extract --seed-output=yes --store=$FAST/store $FAST/rebuilt.casync.caibx $DEV",
            "$PEERS/bin/bita clone --seed-output --verify-output $FAST/rebuilt.cba $DEV",
        ],
    };
    let [full, delta, casync, bita] = commands;
    vec![
        row("burin, all of it", full, READBACK),
        row("burin --delta", delta, DELTA),
        row("casync", casync, marks("chunks", "written", "no", "no")),
        row("bita", bita, marks("chunks", "written", "no", "yes")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_has_a_name_of_its_own_and_an_image_that_is_made() {
        let rows = rows();
        let ids: HashSet<String> = rows.iter().map(Row::id).collect();
        assert_eq!(ids.len(), rows.len());
        for row in &rows {
            assert!(super::super::IMAGES.contains(&row.image), "{}", row.id());
            assert!(row.command.contains("$DEV"), "{}", row.id());
        }
    }
}
