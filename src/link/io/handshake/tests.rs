//! Whole handshakes over loopback.
