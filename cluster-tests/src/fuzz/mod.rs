//! Fuzzing of every parser that faces the network or the disk, without a compiler's help: seeds that the code itself writes, changed blindly.
//!
//! `lvs_agent::fuzzing` has the parsers; `mutate` changes inputs, `hunt` tries them on one parser, `meter` counts what they allocate, `cli` has many
//! hunts done in processes of their own, so that whatever kills one is found out and can be done again.

pub mod cli;
mod hunt;
pub mod meter;
mod mutate;
