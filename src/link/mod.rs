//! Security of connections and datagrams: node keys, the CA, certificates, join tokens, TLS, sealed datagrams; the codec and the frames.

pub mod authority;
pub mod certificate;
pub mod codec;
pub mod datagram;
pub mod fingerprint;
pub mod io;
pub mod node_key;
pub mod tls;
pub mod token;

pub use io::{frame, parcel};
