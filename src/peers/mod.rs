//! Connections between nodes: TLS, the status of the other side, limits, questions and answers as bytes. Other rooms define the questions.
//!
//! # Layout
//! `hello` are the first frames of a connection, `question` the frames after it. `identify` says what the other side is to this node,
//! `removal_report` whether it is believed that this node was removed. In `io`, `stream` makes and accepts TLS connections, `pool` keeps those that
//! this node made, `server` serves those that others made, `limits` bounds their number, `directory` knows the members, `parcels` carries long
//! gossip.

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
    pool::{GreetingPurpose, Peers},
    server::{Answers, Asker, Caller, Port, VotingPeer, serve},
};
pub use question::{AnswerFrame, Ask, QuestionFrame, Topic};
