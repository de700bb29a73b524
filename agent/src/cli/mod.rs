//! One module per subcommand: arguments, terminal output, exit code. No logic of its own.

pub mod plan;
pub mod simulate;
