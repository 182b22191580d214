//! The part of the guard that touches sockets, files, processes and the clock.

pub mod announce;
pub mod arp_probe;
pub mod arp_watch;
pub mod channel;
mod child;
pub mod environment;
pub mod lock;
pub mod notify;
pub mod outbox;
mod own_macs;
mod packet;
pub mod privilege;
pub mod runner;
pub mod socket;
pub mod sweep;
pub mod timer;
pub mod vip_file;
pub mod watch;
pub mod worker;
