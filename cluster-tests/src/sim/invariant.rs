//! What must hold at every step.
//!
//! 1. **At most one node has an address on its interface under a lease that still runs**: by the node's own clock, the lease of the group for which its guard
//!    has put the address on, as its holder said last, is not over. A guard that is stopped or dead counts like any other until then.
//! 2. **A guard that nothing hinders has taken an address off when its lease is over.** It is hindered while it is stopped or dead, while its kernel takes
//!    longer than the reserve allows for, and while the kernel refuses the removal (until the next try is due). The end of a lease counts for an address
//!    only as long as the group has that address.

use super::{TTL, Violation, rules::place, world::World};
use lvs_agent::clock::BootInstant;
use std::{net::IpAddr, time::Duration};

/// After how long a guard tries a removal again that the kernel has refused, and the time that this may take.
const NEXT_TRY: Duration = Duration::from_millis(65);
/// The shortest lease of the simulation is a fifth of the usual one; this is its reserve.
const SHORTEST_RESERVE: Duration = Duration::from_millis(10);
/// The longest reserve of the usual lease, where removals take long.
const LONGEST_RESERVE: Duration = Duration::from_nanos(TTL / 6);

impl World {
    /// Takes in until when the holders of `node` hold, after each step of its leases. Only then, and when an address comes to an interface, may two come
    /// to have one.
    pub(super) fn note_leases(&mut self, node: usize) {
        let node_state = &mut self.nodes[node];
        let Some(guard) = &node_state.guard else { return };
        let mut renewed = Vec::new();
        for (address, entry) in node_state.kernel.addresses_mut().filter(|(_, entry)| entry.by == guard.incarnation) {
            if let Some(until) = guard.leases.lease_on(&entry.group, &place(*address)).filter(|until| *until > entry.lease_until)
            {
                entry.lease_until = until;
                renewed.push(*address);
            }
        }
        renewed.into_iter().for_each(|address| self.check_holders(address));
    }

    /// The first of the two.
    pub(super) fn check_holders(&mut self, address: IpAddr) {
        let nodes = self.holders_of(address);
        if nodes.len() > 1 {
            self.violated(Violation::TwoHolders, nodes, address);
        }
    }

    /// The second, before anything else happens to `node`.
    pub(super) fn check_overdue(&mut self, node: usize) {
        let (now, node_state) = (self.nodes[node].clock.now(self.now), &self.nodes[node]);
        let Some(guard) = node_state.guard.as_ref().filter(|guard| !guard.paused) else { return };
        if guard.doing.as_ref().is_some_and(|doing| doing.slowly) {
            return;
        }
        // A slow kernel takes longer for the second try, too.
        let is_slow = node_state.kernel.pace > 0;
        let (reserve, next_try) =
            if is_slow { (LONGEST_RESERVE, NEXT_TRY + LONGEST_RESERVE) } else { (SHORTEST_RESERVE, NEXT_TRY) };
        let was_hindered = |until: BootInstant| guard.steady_since > until.saturating_sub(reserve);
        let left = node_state.kernel.addresses(now).find(|(_, entry)| {
            let refused = entry.refused_at.is_some_and(|at| now < at + next_try);
            entry.by == guard.incarnation && now >= entry.lease_until && !refused && !was_hindered(entry.lease_until)
        });
        if let Some((address, _)) = left {
            let address = *address;
            self.violated(Violation::LeftOn, vec![node], address);
        }
    }

    /// Who has `address` under a lease that runs.
    pub fn holders_of(&self, address: IpAddr) -> Vec<usize> {
        let has = |node: &usize| {
            let now = self.nodes[*node].clock.now(self.now);
            self.nodes[*node].kernel.get(&address, now).is_some_and(|entry| entry.is_leased(now))
        };
        (0..self.nodes.len()).filter(has).collect()
    }

    /// Who has any address of the rules under a lease that runs.
    pub fn holders(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.rules.addresses().into_iter().flat_map(|address| self.holders_of(address)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_agent::vip::LeaseTiming;

    #[test]
    fn the_shortest_reserve_is_the_products() {
        assert_eq!(LeaseTiming::of(Duration::from_nanos(TTL / 5)).removal, SHORTEST_RESERVE);
    }
}
