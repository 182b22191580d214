//! lvs-agent: one agent for every node of a Linux Virtual Server cluster.
//!
//! # Layout
//! A room imports only the rooms that stand above it in ARCHITECTURE.md, which is the map.

pub mod agent;
pub mod api;
pub mod base;
pub mod cli;
pub mod clock;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod gossip;
pub mod guard;
pub mod health;
pub mod kernel;
pub mod link;
pub mod members;
pub mod model;
pub mod peers;
pub mod raft;
pub mod reconcile;
pub mod repeats;
pub mod rules;
pub mod status;
pub mod tasks;
pub mod verdict;
pub mod vip;
