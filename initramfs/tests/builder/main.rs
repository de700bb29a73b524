//! The builder as a program, and on a real kernel.

mod cli;
mod debian_kernel;
mod iso;
