//! What reconciling remembers across restarts.

mod owned;
#[cfg(test)]
mod tests;

pub use owned::OwnedVips;
