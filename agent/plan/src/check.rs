//! Checks what the types of an order cannot express: names must exist, fields must be real, values must fit. All
//! mistakes are reported at once, each with its JSON pointer.

mod devices;
mod files;
mod images;
mod names;
mod predicates;
mod raids;
mod sets;
mod volumes;

use burin_protocol::order::{Mistake, Order, OrderError};

/// Checks an order without reference to any machine.
pub fn check(order: &Order) -> Result<(), OrderError> {
    let mut mistakes = Mistakes::default();
    names::check(order, &mut mistakes);
    files::check(order, &mut mistakes);
    for (i, layout) in order.layouts.iter().enumerate() {
        let at = format!("/layouts/{i}");
        if let Some(when) = &layout.when {
            predicates::when(when, &format!("{at}/when"), &mut mistakes);
        }
        sets::check(order, layout, &at, &mut mistakes);
        devices::check(order, layout, &at, &mut mistakes);
    }
    if mistakes.0.is_empty() { Ok(()) } else { Err(OrderError::Unsound(mistakes.0)) }
}

/// The mistakes found so far.
#[derive(Debug, Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Mistake { pointer: pointer.into(), message: message.into() });
    }

    fn ensure(&mut self, right: bool, pointer: &str, message: &str) {
        if !right {
            self.add(pointer, message);
        }
    }
}

/// A key as a token of a JSON pointer.
fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
