//! Counts the answers to one ask: whether the round is won, lost or pending, and when a majority can be free.

use super::{
    lessons::Lessons,
    majority_of_each,
    message::{LeaseMembership, Round},
};
use crate::{clock::BootInstant, model::NodeId};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// The result of a round so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RoundResult {
    /// A majority of every voter set has granted.
    Won,
    /// Voters that have not answered could still make it won.
    Pending,
    /// No majority is possible any more.
    Lost,
}

/// A voter's refusal of this round.
#[derive(Clone, Copy, Debug)]
pub(super) struct VoterRefusal {
    /// When the voter could grant.
    pub free_at: BootInstant,
    /// The node to which it has promised.
    pub held_by: Option<NodeId>,
    /// Whether the voter may have granted this round all the same: the refusal may answer a duplicate of the ask.
    pub may_have_granted: bool,
}

/// What one round asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The lease duration.
    pub ttl: Duration,
    /// Only a question.
    pub dry: bool,
    /// The addresses.
    pub addresses: Arc<BTreeSet<IpAddr>>,
}

/// The answers to one round, counted with the membership that the ask named.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// The ask's number.
    pub round: Round,
    /// The time just before it was sent.
    pub t0: BootInstant,
    /// The lease duration that it asked for.
    pub ttl: Duration,
    /// It was only a question: grants promise nothing.
    pub dry: bool,
    /// What its refusals teach.
    pub lessons: Lessons,
    /// The addresses that it asked for.
    pub addresses: Arc<BTreeSet<IpAddr>>,
    voters: Vec<BTreeSet<NodeId>>,
    /// Who has granted, and which addresses it could not grant.
    granted: BTreeMap<NodeId, BTreeSet<IpAddr>>,
    refused: BTreeMap<NodeId, VoterRefusal>,
}

impl Tally {
    /// No answers yet.
    pub fn new(round: Round, t0: BootInstant, asked: Asked, membership: &LeaseMembership) -> Self {
        let Asked { ttl, dry, addresses } = asked;
        let voters = membership.voters.clone();
        let (lessons, granted, refused) = (Lessons::default(), BTreeMap::new(), BTreeMap::new());
        Self { round, t0, ttl, dry, lessons, addresses, voters, granted, refused }
    }

    /// Counts a grant of all but the `lacking` addresses. It outweighs refusals of the same round, which answer duplicates of the ask.
    pub fn grant(&mut self, by: NodeId, lacking: BTreeSet<IpAddr>) {
        if self.is_voter(by) {
            self.granted.entry(by).or_insert(lacking);
        }
    }

    /// Counts a refusal.
    pub fn refuse(&mut self, by: NodeId, refusal: VoterRefusal) {
        if self.is_voter(by) {
            self.refused.insert(by, refusal);
        }
    }

    /// The result so far, where the `needed` addresses are wanted by all means. With `both_majorities` off (simulation only), the newest voter set alone
    /// decides.
    pub fn outcome(&self, needed: &BTreeSet<IpAddr>, both_majorities: bool) -> RoundResult {
        let sets = self.deciding(both_majorities);
        let grants = |lacking: &BTreeSet<IpAddr>| lacking.is_disjoint(needed);
        let may_still_grant = |node: &NodeId| self.granted.get(node).map_or_else(|| !self.refused.contains_key(node), grants);
        if majority_of_each(sets, |node| self.granted.get(node).is_some_and(grants)) {
            RoundResult::Won
        } else if majority_of_each(sets, may_still_grant) {
            RoundResult::Pending
        } else {
            RoundResult::Lost
        }
    }

    /// The addresses that a majority of every voter set has granted so far.
    pub fn won_addresses(&self, both_majorities: bool) -> impl Iterator<Item = IpAddr> + '_ {
        let sets = self.deciding(both_majorities);
        let has_granted =
            |node: &NodeId, address: &IpAddr| self.granted.get(node).is_some_and(|lacking| !lacking.contains(address));
        self.addresses.iter().copied().filter(move |address| majority_of_each(sets, |node| has_granted(node, address)))
    }

    fn deciding(&self, both_majorities: bool) -> &[BTreeSet<NodeId>] {
        if both_majorities { &self.voters[..] } else { &self.voters[self.voters.len().saturating_sub(1)..] }
    }

    /// All voters that were asked; one may come twice.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().flatten().copied()
    }

    /// How many voters have to say the same before it teaches anything: two, so that one that lies teaches nothing. Where one or two were asked, one
    /// of them can bar the asker anyway.
    pub fn voices_that_teach(&self) -> usize {
        if self.voters().collect::<BTreeSet<_>>().len() > 2 { 2 } else { 1 }
    }

    /// Whether a voter has granted this round, or may have without this node's knowing.
    pub fn may_hold_a_promise(&self, node: NodeId) -> bool {
        let may_have_granted = |refusal: &VoterRefusal| refusal.may_have_granted;
        !self.dry && (self.granted.contains_key(&node) || self.refused.get(&node).is_none_or(may_have_granted))
    }

    /// When a majority of every voter set can be free; `None` if that depends on voters that have not answered. A voter that has granted counts as
    /// free at `now`. `sooner` gives an earlier time at which the holder of a promise lets go, if one is known.
    pub fn free_at(&self, now: BootInstant, sooner: impl Fn(NodeId) -> Option<BootInstant>) -> Option<BootInstant> {
        let majority_free_at = |set: &BTreeSet<NodeId>| {
            let mut times: Vec<BootInstant> = set.iter().filter_map(|node| self.voter_free_at(node, now, &sooner)).collect();
            times.sort_unstable();
            times.get(set.len() / 2).copied()
        };
        let times: Option<Vec<BootInstant>> = self.voters.iter().map(majority_free_at).collect();
        times?.into_iter().max()
    }

    /// When the last of the voters that have answered is free.
    pub fn all_free_at(&self, now: BootInstant, sooner: impl Fn(NodeId) -> Option<BootInstant>) -> BootInstant {
        self.refused.keys().filter_map(|node| self.voter_free_at(node, now, &sooner)).max().unwrap_or(now)
    }

    fn voter_free_at(
        &self,
        node: &NodeId,
        now: BootInstant,
        sooner: impl Fn(NodeId) -> Option<BootInstant>,
    ) -> Option<BootInstant> {
        if self.granted.contains_key(node) {
            return Some(now);
        }
        let refusal = self.refused.get(node)?;
        let told = refusal.free_at.max(now);
        Some(refusal.held_by.and_then(sooner).map_or(told, |sooner| sooner.min(told)))
    }

    /// Whether a majority of every voter set says that it has promised to another node than `me`.
    pub fn is_promised_to_another(&self, me: NodeId) -> bool {
        let another = |node: &NodeId| self.refused.get(node).and_then(|refusal| refusal.held_by).is_some_and(|by| by != me);
        majority_of_each(&self.voters, |node| !self.granted.contains_key(node) && another(node))
    }

    /// Whether any voter has granted.
    pub fn has_grants(&self) -> bool {
        !self.granted.is_empty()
    }

    /// Whether any voter has promised to another node.
    pub fn is_contested(&self) -> bool {
        self.refused.values().any(|refusal| refusal.held_by.is_some())
    }

    /// Whether `node` was asked.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(ms))
    }

    fn tally(sets: &[&[u64]]) -> Tally {
        let voters = sets.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect();
        let asked = Asked { ttl: Duration::from_millis(300), dry: false, addresses: Arc::new([vip(1), vip(2)].into()) };
        Tally::new(1, at(0), asked, &LeaseMembership { voters, ..LeaseMembership::default() })
    }

    fn vip(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    fn held_until(ms: u64) -> VoterRefusal {
        VoterRefusal { free_at: at(ms), held_by: Some(NodeId(9)), may_have_granted: false }
    }

    #[test]
    fn half_of_an_even_set_is_no_majority() {
        let mut tally = tally(&[&[1, 2, 3, 4]]);
        tally.grant(NodeId(1), BTreeSet::new());
        tally.grant(NodeId(2), BTreeSet::new());
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Pending);
        tally.grant(NodeId(4), BTreeSet::new());
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Won);
    }

    #[test]
    fn joint_membership_needs_both_majorities() {
        let mut tally = tally(&[&[1, 2, 3], &[1, 2, 3, 4]]);
        tally.grant(NodeId(4), BTreeSet::new());
        tally.grant(NodeId(3), BTreeSet::new());
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Pending);
        tally.refuse(NodeId(1), held_until(100));
        tally.refuse(NodeId(2), held_until(200));
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Lost);
        tally.grant(NodeId(2), BTreeSet::new());
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Won, "a grant outweighs the refusal of a duplicate");
    }

    #[test]
    fn strangers_do_not_count() {
        let mut tally = tally(&[&[1, 2, 3]]);
        for stranger in 4..9 {
            tally.grant(NodeId(stranger), BTreeSet::new());
        }
        assert_eq!(tally.outcome(&BTreeSet::new(), true), RoundResult::Pending);
        assert!(tally.granted.is_empty());
    }

    #[test]
    fn no_voters_never_win() {
        assert_eq!(tally(&[]).outcome(&BTreeSet::new(), true), RoundResult::Lost);
    }

    #[test]
    fn asking_again_is_worth_it_when_the_last_of_the_quickest_majority_is_free() {
        let mut tally = tally(&[&[1, 2, 3, 4, 5]]);
        tally.refuse(NodeId(1), held_until(100));
        tally.refuse(NodeId(2), held_until(300));
        tally.refuse(NodeId(3), held_until(200));
        tally.grant(NodeId(4), BTreeSet::new());
        assert_eq!(tally.free_at(at(50), |_| None), Some(at(200)), "4 is free now, 1 and 3 follow, 5 is silent");
        assert_eq!(tally.free_at(at(50), |_| Some(at(60))), Some(at(60)), "unless the other lets go sooner");
    }

    #[test]
    fn a_majority_that_needs_silent_voters_is_not_foretold() {
        let mut tally = tally(&[&[1, 2, 3, 4, 5]]);
        tally.refuse(NodeId(1), held_until(100));
        tally.grant(NodeId(4), BTreeSet::new());
        assert_eq!(tally.free_at(at(50), |_| None), None);
    }

    #[test]
    fn joint_membership_is_free_when_the_slower_set_is() {
        let mut tally = tally(&[&[1, 2, 3], &[4, 5, 6]]);
        for (node, ms) in [(1, 100), (2, 110), (3, 120), (4, 200), (5, 210), (6, 220)] {
            tally.refuse(NodeId(node), held_until(ms));
        }
        assert_eq!(tally.free_at(at(50), |_| None), Some(at(210)));
    }

    #[test]
    fn a_grant_without_an_address_counts_only_where_that_one_is_not_needed() {
        let mut tally = tally(&[&[1, 2, 3]]);
        tally.grant(NodeId(1), BTreeSet::new());
        tally.grant(NodeId(2), [vip(2)].into());
        assert_eq!(tally.outcome(&[vip(1)].into(), true), RoundResult::Won);
        assert_eq!(tally.outcome(&[vip(1), vip(2)].into(), true), RoundResult::Pending);
        assert_eq!(tally.won_addresses(true).collect::<Vec<_>>(), [vip(1)]);
        tally.refuse(NodeId(3), held_until(100));
        assert_eq!(tally.outcome(&[vip(2)].into(), true), RoundResult::Lost);
        tally.grant(NodeId(3), BTreeSet::new());
        assert_eq!(tally.won_addresses(true).collect::<Vec<_>>(), [vip(1), vip(2)]);
    }
}
