//! Lab and simulation.
