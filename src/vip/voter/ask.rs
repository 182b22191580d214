//! An ask, as a voter has received it.

use crate::{
    model::NodeId,
    vip::message::{Life, MembershipId, Round},
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

/// The content of an [`LeaseMessage::Ask`](crate::vip::LeaseMessage::Ask), with its sender.
pub(super) struct ReceivedAsk {
    pub from: NodeId,
    pub round: Round,
    pub life: Life,
    pub membership: MembershipId,
    pub ttl: Duration,
    pub addresses: Arc<BTreeSet<IpAddr>>,
    pub dry: bool,
    pub epoch: u64,
}
