//! What is left to do of a step: which side of this node is told what.

use crate::{
    model::{NodeId, VipName},
    vip::{FallbackEvent, HolderEvent, LeaseMessage, VoterEvent},
};

/// Something that a side is to be told.
pub(super) enum Work {
    Voter(VoterEvent),
    Holder(VipName, HolderEvent),
    Fallback(VipName, FallbackEvent),
}

/// Which side a message is for.
pub(super) fn routed(from: NodeId, message: LeaseMessage) -> Work {
    match message {
        LeaseMessage::Ask { .. } | LeaseMessage::Release { .. } => Work::Voter(VoterEvent::Heard { from, message }),
        LeaseMessage::Grant { .. }
        | LeaseMessage::Refuse { .. }
        | LeaseMessage::HandOver { .. }
        | LeaseMessage::Seek { .. }
        | LeaseMessage::Offer { .. } => Work::Holder(message.group().clone(), HolderEvent::Heard { from, message }),
        LeaseMessage::Advert { group, standing, fitness } => {
            Work::Fallback(group, FallbackEvent::Advert { from, standing, fitness })
        }
    }
}
