//! What nodes tell each other all the time: facts about themselves, what they observe, what they hold (chitchat).

pub mod view;

pub use view::{ClusterView, Facts, NodeView, Word};
