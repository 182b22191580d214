//! What reconciling keeps on disk across restarts.

mod owned;
#[cfg(test)]
mod tests;

pub use owned::OwnedVips;
