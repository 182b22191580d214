//! How nodes and processes speak: the one codec, the frame of every stream, the header of every datagram.

pub mod codec;
pub mod datagram;
pub mod io;

pub use io::frame;
