//! Adds to devices of one section what another section knows about them: NUMA nodes, bays, path states, names.

use super::{Options, bays, multipaths, threads, unclaimed};
use crate::model::Inventory;
use crate::source::Reader;

pub fn all(options: &Options, inventory: &mut Inventory) {
    let reader = Reader::new(options.source.clone());
    threads::nodes(inventory);
    bays::join(&reader, inventory);
    multipaths::states(inventory);
    unclaimed::names(inventory);
}
