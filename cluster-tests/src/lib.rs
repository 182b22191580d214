//! What proves `lvs-agent`: the lab (real kernels, one network namespace per host) and the simulation.

pub mod lab;
pub mod sim;
