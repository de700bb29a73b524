//! The rows and columns of the matrix, and where each cell is tested.

use burin::protocol::plan::Step;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed,
    PowerCut,
    Cancelled,
    Hangs,
    WriteError,
    ReadError,
    Swapped,
    Gone,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::Killed,
        Self::PowerCut,
        Self::Cancelled,
        Self::Hangs,
        Self::WriteError,
        Self::ReadError,
        Self::Swapped,
        Self::Gone,
    ];
}

/// Where a kind of step is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the order with an image and a disk that stays.
    Image,
    /// In the order with a fresh layout and a tree.
    Tree,
    /// In virtual machines alone: kernels that tests run on may lack md, and FAT; firmware's variables are no disk.
    Machine(Machine),
}

/// Kinds that are met in virtual machines alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    StopArrays,
    StopVolumes,
    FormatNamespace,
    CreateRaid,
    WriteMdadmConf,
    InstallBoot,
    BootEntry,
    CreateLuks,
    CreateGroup,
    CreateVolume,
    CheckTree,
    WriteCrypttab,
}

impl Machine {
    const ALL: [Self; 12] = [
        Self::StopArrays,
        Self::StopVolumes,
        Self::FormatNamespace,
        Self::CreateRaid,
        Self::WriteMdadmConf,
        Self::InstallBoot,
        Self::BootEntry,
        Self::CreateLuks,
        Self::CreateGroup,
        Self::CreateVolume,
        Self::CheckTree,
        Self::WriteCrypttab,
    ];

    /// Those that LVM and LUKS brought.
    fn is_of_volumes(self) -> bool {
        matches!(
            self,
            Self::CreateLuks | Self::CreateGroup | Self::CreateVolume | Self::CheckTree | Self::WriteCrypttab
        )
    }
}

/// A new kind of step does not compile before somebody says in which order it is met, or why it cannot be.
pub fn place(step: &Step) -> Place {
    match step {
        Step::Preserve(_)
        | Step::KeepPartitions(_)
        | Step::EraseDisk(_)
        | Step::WriteImage(_)
        | Step::RelocateBackupGpt(_)
        | Step::SetGuids(_)
        | Step::GrowPartition(_)
        | Step::GrowFilesystem(_)
        | Step::AddPartition(_)
        | Step::MakeFilesystem(_)
        | Step::WriteFiles(_)
        | Step::WriteSeed(_) => Place::Image,
        Step::Wipe(_)
        | Step::CreateTable(_)
        | Step::WritePartition(_)
        | Step::Mount(_)
        | Step::UnpackTree(_)
        | Step::WriteFstab(_) => Place::Tree,
        Step::StopArrays(_) => Place::Machine(Machine::StopArrays),
        Step::StopVolumes(_) => Place::Machine(Machine::StopVolumes),
        Step::FormatNamespace(_) => Place::Machine(Machine::FormatNamespace),
        Step::CreateRaid(_) => Place::Machine(Machine::CreateRaid),
        Step::WriteMdadmConf(_) => Place::Machine(Machine::WriteMdadmConf),
        Step::InstallBoot(_) => Place::Machine(Machine::InstallBoot),
        Step::BootEntry(_) => Place::Machine(Machine::BootEntry),
        Step::CreateLuks(_) => Place::Machine(Machine::CreateLuks),
        Step::CreateGroup(_) => Place::Machine(Machine::CreateGroup),
        Step::CreateVolume(_) => Place::Machine(Machine::CreateVolume),
        Step::CheckTree(_) => Place::Machine(Machine::CheckTree),
        Step::WriteCrypttab(_) => Place::Machine(Machine::WriteCrypttab),
    }
}

/// What looks at a cell that is not looked at here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A test of virtual machines: its file below `tests/tests/vm`, and its function.
    Test(&'static str, &'static str),
    /// Nothing does, and why that is no gap.
    Needless(&'static str),
}

const EVERY_CUT_OF_VOLUMES: Proof = Proof::Test("cuts/mod.rs", "volumes_cut_at_every_moment");
const EVERY_CUT: Proof = Proof::Test("cuts/mod.rs", "a_mirror_cut_at_every_moment");
const EACH_FAULT: Proof = Proof::Test("cuts/faults.rs", "each_kind_of_machines_and_each_fault");
const EACH_OF_VOLUMES: Proof = Proof::Test("cuts/faults.rs", "each_kind_of_volumes_and_each_fault");
const EXCHANGED: Proof = Proof::Test("swapped.rs", "disks_exchanged_while_an_order_is_at_work");

/// Cells of kinds that are met in virtual machines.
pub fn elsewhere(kind: Machine, fault: Fault) -> Proof {
    match (kind, fault) {
        (Machine::StopArrays | Machine::StopVolumes, _) => Proof::Needless(
            "it asks the kernel, and writes to no disk; that something runs, the agent's own boot sees to only where it was killed",
        ),
        (Machine::FormatNamespace, _) => Proof::Needless(
            "one command of a disk that QEMU neither delays nor fails; the disk is marked before it and after it, and the \
             steps that follow are met elsewhere",
        ),
        // What they write lies inside of partitions: the table that leads there comes last, as with the others.
        (kind, Fault::PowerCut) if kind.is_of_volumes() => EVERY_CUT_OF_VOLUMES,
        (_, Fault::PowerCut) => EVERY_CUT,
        // All that these kinds open, they open as the others do.
        (_, Fault::Swapped) => EXCHANGED,
        (kind, _) if kind.is_of_volumes() => EACH_OF_VOLUMES,
        (_, Fault::Killed | Fault::Cancelled | Fault::Hangs | Fault::WriteError | Fault::ReadError | Fault::Gone) => {
            EACH_FAULT
        }
    }
}

/// Kinds that are met once more where what they write to is another thing.
const AGAIN: [(Machine, Proof); 1] =
    [(Machine::CreateRaid, Proof::Test("cuts/faults.rs", "an_array_of_whole_disks_and_each_fault"))];

#[test]
fn each_cell_of_the_virtual_machines_is_looked_at_by_a_test_that_is_there() {
    let cells = Machine::ALL.iter().flat_map(|kind| Fault::ALL.map(|fault| (*kind, elsewhere(*kind, fault))));
    for (kind, proof) in cells.chain(AGAIN) {
        let Proof::Test(file, function) = proof else { continue };
        let path = format!("{}/../tests/tests/vm/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.contains(&format!("fn {function}()")), "{kind:?}: {path} has no {function}");
    }
}
