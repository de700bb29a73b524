//! What one section knows of a device that stands in another.

use super::threads;
use crate::model::Inventory;

pub fn all(inventory: &mut Inventory) {
    threads::nodes(inventory);
}
