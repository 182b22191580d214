//! Lab and simulation.

pub mod sim;
