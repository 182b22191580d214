//! Connections between nodes: TLS, who is on the other side, questions and their answers. What is asked is the business of the rooms that ask.
//!
//! # Layout
//! `hello` are the first frames of a connection, `question` the frames after it. `identify` says what the other side is to this node,
//! `removal_report` whether it is believed that this node was removed, `rate_limit` who has failed too often. In `io`, `stream` makes and takes TLS
//! connections, `pool` keeps those that this node made, `server` serves those that others made, `limits` bounds their number, `directory` knows
//! the members, `parcels` carries long gossip.

pub mod hello;
mod identify;
mod io;
pub mod question;
mod removal_report;

pub use hello::HelloRefusal;
pub use identify::{BootstrapPeer, PeerStatus, is_plausible};
#[cfg(test)]
pub(crate) use io::stream;
pub use io::{
    call_error::CallError,
    directory::{Directory, Published},
    parcels::{ParcelBody, send_parcel, take_parcel},
    pool::{Greeting, Peers},
    server::{Answers, Asker, Caller, Port, Voter, serve},
};
pub use question::{Ask, Question, Reply, Topic};
