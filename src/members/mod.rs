//! Who belongs to the cluster: a node founds it or joins it, is given its certificate, comes back, and leaves.
//!
//! # Layout
//! `request` is what a node that wants to join signs and what it is answered, `message` what members ask each other; `admission` decides who is let
//! in. `init_task` founds a cluster, `join_task` asks to be let in, `rejoin_task` brings a member back that a new CA has left behind; `admit_task` and
//! `certify_task` are the cluster's side, `answer_task` says who may ask for it. `lost_contact_task` notices that this node was removed, or is
//! trusted by nobody. `io` keeps `identity.json`. `task` is what the agent starts.

pub mod address_task;
mod admission;
mod admit_task;
mod answer_task;
mod arrivals;
mod certify_task;
pub mod departure;
mod init_task;
mod io;
mod join_settings;
mod join_task;
pub mod key_inventory;
mod lost_contact_task;
mod message;
mod rejoin_task;
mod renewal;
pub mod renewal_task;
pub(crate) mod request;
pub mod rotation_task;
mod task;

pub use certify_task::CertifyError;
pub use init_task::{Founded, InitError, InitSettings, init};
pub use io::identity::{Identity, IdentityError};
pub use join_settings::{external, gossip_seeds, join_settings};
pub use join_task::{JoinError, JoinSettings, UNREACHABLE_HINT, join};
pub(crate) use message::{AuthorityKeyOf, CertifyRequest};
pub use rejoin_task::RejoinError;
pub use request::{JoinAccepted, JoinRefusal, JoinRequest, SignedJoin};
pub use task::{ClusterMember, MemberSettings, StartError};
