//! What reconciling keeps on disk across restarts.

mod owned;
mod put_back;
#[cfg(test)]
mod tests;

pub use owned::OwnedVips;
pub use put_back::{PutBackError, put_back};
