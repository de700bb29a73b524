//! Lets a test say that it cannot run on this machine: `return skip!("needs root")`.
//!
//! On a developer's machine that is a line of output. In CI, where `BURIN_NO_SKIP=1`, it is a failure: a test that
//! silently does nothing there proves nothing.

use std::fmt::Arguments;

/// Says why, or panics where tests must not be skipped.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => { $crate::say(format_args!($($why)*)) };
}

#[doc(hidden)]
#[track_caller]
pub fn say(why: Arguments<'_>) {
    let forbidden = std::env::var_os("BURIN_NO_SKIP").is_some_and(|value| value != "0");
    assert!(!forbidden, "this test cannot run here, and BURIN_NO_SKIP is set: {why}");
    println!("skipped: {why}");
}
