//! What is said of a VIP group that a director holds by fallback. Pure.

use crate::{api::status::VipStatus, model::NodeName};

/// In one line.
pub(super) fn problem(vip: &VipStatus, holder: &NodeName) -> String {
    let seconds = vip.held_ms.unwrap_or(0) / 1000;
    format!(
        "{holder} holds VIP group {} by fallback, without a majority of the voters, for {seconds} s: bring back a majority of the voters",
        vip.name
    )
}
