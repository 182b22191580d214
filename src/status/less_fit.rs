//! Tells which directors are less fit to hold a VIP group, as they gossip it. Pure.

use super::StatusInput;
use crate::{
    api::status::{LessFitDirector, VipStatus},
    model::{LessFit, Role, VipGroup},
};

/// The directors that say so of themselves. What one said before it fell silent is not told.
pub(super) fn directors(sources: &StatusInput<'_>, group: &VipGroup) -> Vec<LessFitDirector> {
    let directors = sources.state.nodes.values().filter(|node| node.roles.has(Role::Director));
    let less_fit = directors.filter_map(|node| {
        let heard = sources.view.nodes.get(&node.name).filter(|heard| heard.live)?;
        let LessFit { fitness, why } = heard.less_fit.get(&group.name)?;
        Some(LessFitDirector { node: node.name.clone(), fitness: fitness.0, why: why.clone() })
    });
    less_fit.collect()
}

/// One line for each.
pub(super) fn problems(vip: &VipStatus) -> impl Iterator<Item = String> {
    vip.less_fit
        .iter()
        .map(|less| format!("{} is less fit to hold VIP group {} ({} of 1000): {}", less.node, vip.name, less.fitness, less.why))
}
