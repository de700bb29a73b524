//! Tests of the builder as a program, and with a real kernel.

mod cli;
mod debian_kernel;
mod iso;
