//! The types that the whole program shares: names, nodes, services, checks, VIP groups. A value is parsed into them once, and is valid from then on.

pub mod check;
pub mod duration;
pub mod fitness;
pub mod key;
pub mod name;
pub mod network;
pub mod node;
pub mod service;
pub mod track;
pub mod vip;

pub use check::{Check, CheckKind, StatusRange};
pub use duration::DurationText;
pub use fitness::{Fitness, LessFit, LessFitGroups};
pub use key::{Access, Fingerprint, KeyId, PublicKey, Secret, TokenId};
pub use name::{BadName, IdentityName, NodeName, ScriptName, ServerName, ServiceName, TrackName, VipName, ZoneName};
pub use network::NodeNetwork;
pub use node::{NodeId, NodeRecord, Role, Roles};
pub use service::{ForwardMethod, Protocol, RealServer, Scheduler, Service, Weight};
pub use track::{FileExpectation, Track, TrackKind};
pub use vip::{Holding, Obstacles, OnQuorumLoss, Ownership, TimingProfile, VipGroup};
