//! The configuration files: `agent.toml` of a node and the cluster file, read strictly, with every error at once and its place.

pub mod agent;
pub mod agent_file;
pub mod cluster;
mod document;
pub mod export;
pub mod io;
pub mod problem;
pub mod value;

pub use agent::{AgentConfig, ScriptsConfig};
pub use io::{LoadError, load_agent, parse_agent};
pub use problem::{Problem, Problems};

#[cfg(test)]
mod tests;
