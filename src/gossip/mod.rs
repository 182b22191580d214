//! What nodes tell each other all the time: facts about themselves, what they observe, what they hold (chitchat).
//!
//! A word is this node's own part, published whole and sent as single keys, so that a change costs a change. A view is what this node
//! has heard of all. Words are passed on by others, so each is signed by its node. Nothing here is authority: a death that gossip sees is a hint.

pub mod hearsay;
pub mod io;
pub mod keys;
mod pace;
pub mod parts;
pub mod refusal;
pub mod said;
mod settings;
mod speaker;
pub mod task;
mod tuning;
pub mod view;
pub mod wire;
pub mod word;
mod words;

pub use settings::GossipSettings;
pub use task::{GossipError, run};
pub use view::{ClusterView, Facts, Holds, NodeView, Word};
