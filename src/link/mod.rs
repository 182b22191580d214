//! Who may speak, and how: node keys, the cluster's CA, certificates, join tokens, TLS; sealed datagrams; the one codec, the frame of every stream.

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
