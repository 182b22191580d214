//! What people write: `agent.toml` of a node and the cluster file, read strictly, with every error at once and where it is.

pub mod agent;
pub mod cluster;
mod document;
pub mod export;
pub mod io;
pub mod problem;
pub mod value;

pub use agent::{AgentConfig, ScriptsConfig};
pub use io::{LoadError, load_agent};
pub use problem::{Problem, Problems};

#[cfg(test)]
mod tests;
