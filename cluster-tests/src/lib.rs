//! What proves `lvs-agent`: the lab (real kernels, one network namespace per host) and the simulation.

pub mod lab;
//! Lab and simulation.

pub mod sim;
