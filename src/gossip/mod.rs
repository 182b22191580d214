//! What nodes tell each other all the time: facts about themselves, what they observe, what they hold (chitchat).
//!
//! A word is this node's own part, published whole and sent as single keys, so that a change costs a change. A view is what this node
//! has heard of all. NodeStates are passed on by others, so each is signed by its node. Nothing here is authority: a death that gossip sees is a hint.

pub mod io;
pub mod keys;
pub mod local_state;
pub mod node_state;
mod node_states;
mod pace;
pub mod parts;
mod peer_key;
pub mod refusal;
mod settings;
pub mod task;
mod tuning;
pub mod validation;
pub mod view;
pub mod wire;

pub use settings::GossipSettings;
pub use task::{GossipError, run};
pub use view::{ClusterView, Facts, KeyInventory, NodeState, NodeView};
