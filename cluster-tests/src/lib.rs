//! What proves `lvs-agent`: the lab (real kernels, one network namespace per host), the simulation and the fuzzer; and what makes the package's pages.

pub mod fuzz;
pub mod lab;
pub mod pages;
pub mod sim;
