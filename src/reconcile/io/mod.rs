//! What reconciling remembers across restarts.

mod owned;

pub use owned::OwnedVips;
