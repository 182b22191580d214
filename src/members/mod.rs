//! The membership of nodes: a node founds a cluster or joins it, gets its certificate, comes back, and leaves.
//!
//! # Layout
//! `request` is the signed request to join with its answers, `message` the other questions to members; `admission` decides whether a node is let in.
//! `init_task` founds a cluster, `join_task` asks to be let in, `rejoin_task` brings a member back after the CA was replaced; `admit_task` and
//! `certify_task` are the cluster's side, `answer_task` checks who may ask for it. `lost_contact_task` notices that this node was removed, or is
//! not trusted by any member. `io` keeps `identity.json`. `task` is the member that the agent starts.

pub mod address_task;
mod admission;
mod admit_task;
mod answer_task;
mod certify_task;
mod init_task;
mod io;
mod join_settings;
mod join_task;
pub mod key_inventory;
mod lost_contact_task;
mod message;
mod recent_admissions;
mod rejoin_task;
pub mod removal_check;
mod renewal;
pub mod renewal_task;
pub(crate) mod request;
pub mod rotation_task;
mod task;

pub use certify_task::CertifyError;
pub use init_task::{FoundedCluster, InitError, InitSettings, init};
pub use io::identity::{IdentityError, NodeIdentity};
pub use join_settings::{external, gossip_seeds, join_settings};
pub use join_task::{JoinError, JoinSettings, UNREACHABLE_HINT, join};
pub(crate) use message::{AuthorityKeyOf, CertifyRequest};
pub use rejoin_task::RejoinError;
pub use request::{JoinAccepted, JoinRefusal, JoinRequest, SignedJoin};
pub use task::{ClusterMember, MemberSettings, MemberStartError};
