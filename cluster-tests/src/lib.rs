//! What proves `lvs-agent`: the lab (real kernels, one network namespace per host), the simulation and the fuzzer.

pub mod fuzz;
pub mod lab;
pub mod sim;
