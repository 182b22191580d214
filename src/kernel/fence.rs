//! What the kernel's fence lets through, and how it is brought up to date. Pure.
//!
//! The fence is two nftables tables with two sets each. `guarded` has the VIPs that this node may have on an interface, `held` those that it holds, each with a
//! timeout: the end of the lease. What is guarded and not held, the kernel neither answers for nor takes packets for, whatever has become of the guard.

use crate::clock::BootInstant;
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

/// An element whose timeout is as near as that is in the kernel or is not: two ticks of the slowest kernel (`CONFIG_HZ=100`), which counts timeouts in ticks.
const TICKS: Duration = Duration::from_millis(20);

/// An address and the rest of its timeout.
pub type Element = (Ipv4Addr, Duration);

/// What is known of one VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Local end of the lease.
    pub until: BootInstant,
    /// By then the kernel has taken the address off by itself, and there is nothing to guard.
    pub guarded_until: BootInstant,
    /// This node is a real server of the VIP as well: packets for it are taken without the lease, too.
    pub serves: bool,
}

/// Elements of the sets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Elements {
    /// Of the set `held` of both tables.
    pub held: Vec<Element>,
    /// Of the set `guarded` of the table that stops ARP.
    pub silenced: Vec<Element>,
    /// Of the set `guarded` of the table that stops packets.
    pub closed: Vec<Element>,
}

/// One transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceChange {
    /// Replace both tables, whatever they were.
    Anew(Elements),
    /// Take elements out and put others in. All of the former are there, none of the latter will be.
    Edit {
        /// Out, whatever their timeouts.
        remove: Elements,
        /// In.
        add: Elements,
    },
}

/// What the fence should be, and what it was last made.
#[derive(Clone, Debug, Default)]
pub struct Openings {
    wanted: BTreeMap<Ipv4Addr, Opening>,
    /// `None`: nobody knows what the kernel has.
    in_kernel: Option<BTreeMap<Ipv4Addr, Opening>>,
}

/// Whether an element that was put in is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Unsure,
    Gone,
}

impl Openings {
    /// The VIP is held until then. `guarded_until`: the kernel was told of a new lifetime of the address.
    pub fn open(&mut self, vip: Ipv4Addr, until: BootInstant, guarded_until: Option<BootInstant>, serves: bool) {
        let guarded = guarded_until.or_else(|| Some(self.wanted.get(&vip)?.guarded_until)).unwrap_or(until);
        // A guard is never shorter than the lease that it guards.
        self.wanted.insert(vip, Opening { until, guarded_until: guarded.max(until), serves });
    }

    /// The VIP is on no interface any more.
    pub fn forget(&mut self, vip: Ipv4Addr) {
        self.wanted.remove(&vip);
    }

    /// What brings the kernel up to date; `None` where it is.
    pub fn change(&self, now: BootInstant) -> Option<FenceChange> {
        let Some(in_kernel) = &self.in_kernel else { return Some(FenceChange::Anew(all(&self.wanted, now))) };
        if *in_kernel == self.wanted {
            return None;
        }
        Some(self.edit(in_kernel, now).unwrap_or_else(|| FenceChange::Anew(all(&self.wanted, now))))
    }

    /// The change was made.
    pub fn done(&mut self) {
        self.in_kernel = Some(self.wanted.clone());
    }

    /// The kernel has something else than was thought.
    pub fn lost(&mut self) {
        self.in_kernel = None;
    }

    /// `None` where it is not sure which elements are there: to take one out that is not fails.
    fn edit(&self, in_kernel: &BTreeMap<Ipv4Addr, Opening>, now: BootInstant) -> Option<FenceChange> {
        let (mut remove, mut add) = (Elements::default(), Elements::default());
        for (vip, was) in in_kernel {
            let wanted = self.wanted.get(vip);
            if wanted == Some(was) {
                continue;
            }
            if wanted.is_some_and(|wanted| wanted.serves != was.serves) {
                return None;
            }
            let guard_stays = wanted.is_some_and(|wanted| wanted.guarded_until == was.guarded_until);
            match presence(was.until, now) {
                Presence::There => remove.held.push((*vip, Duration::ZERO)),
                Presence::Unsure => return None,
                Presence::Gone => (),
            }
            match presence(was.guarded_until, now) {
                _ if guard_stays => (),
                Presence::There => remove.guard(*vip, Duration::ZERO, was.serves),
                Presence::Unsure => return None,
                Presence::Gone => (),
            }
        }
        for (vip, wanted) in &self.wanted {
            let was = in_kernel.get(vip);
            if was == Some(wanted) {
                continue;
            }
            add.hold(*vip, wanted.until - now);
            if was.is_none_or(|was| was.guarded_until != wanted.guarded_until) {
                add.guard(*vip, wanted.guarded_until - now, wanted.serves);
            }
        }
        Some(FenceChange::Edit { remove, add })
    }
}

impl Elements {
    /// Less than a tick is nothing: the kernel would make a tick of it, beyond the lease.
    fn hold(&mut self, vip: Ipv4Addr, rest: Duration) {
        if rest >= TICKS / 2 {
            self.held.push((vip, rest));
        }
    }

    fn guard(&mut self, vip: Ipv4Addr, rest: Duration, serves: bool) {
        self.silenced.push((vip, rest));
        if !serves {
            self.closed.push((vip, rest));
        }
    }
}

fn all(openings: &BTreeMap<Ipv4Addr, Opening>, now: BootInstant) -> Elements {
    let mut elements = Elements::default();
    for (vip, opening) in openings.iter().filter(|(_, opening)| opening.guarded_until > now) {
        elements.hold(*vip, opening.until - now);
        elements.guard(*vip, opening.guarded_until - now, opening.serves);
    }
    elements
}

/// The kernel rounds a timeout down to ticks, and its count of ticks may be one behind.
fn presence(until: BootInstant, now: BootInstant) -> Presence {
    if now + TICKS < until {
        Presence::There
    } else if now < until + TICKS {
        Presence::Unsure
    } else {
        Presence::Gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(millis))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The VIP is held until 300 and guarded until 3000; the kernel knows.
    fn held(serves: bool) -> Openings {
        let mut openings = Openings::default();
        openings.open(VIP, at(300), Some(at(3000)), serves);
        openings.done();
        openings
    }

    #[test]
    fn at_first_and_when_it_was_lost_it_is_made_anew() {
        let mut openings = Openings::default();
        assert_eq!(openings.change(at(0)), Some(FenceChange::Anew(Elements::default())));
        openings.done();
        assert_eq!(openings.change(at(0)), None);
        let mut openings = held(false);
        assert_eq!(openings.change(at(5)), None);
        openings.lost();
        let (held, guarded) = (vec![(VIP, ms(295))], vec![(VIP, ms(2995))]);
        let anew = Elements { held, silenced: guarded.clone(), closed: guarded };
        assert_eq!(openings.change(at(5)), Some(FenceChange::Anew(anew)));
    }

    #[test]
    fn a_renewal_replaces_the_element_and_leaves_the_guard() {
        let mut openings = held(false);
        openings.open(VIP, at(375), None, false);
        let remove = Elements { held: vec![(VIP, ms(0))], ..Elements::default() };
        let add = Elements { held: vec![(VIP, ms(295))], ..Elements::default() };
        assert_eq!(openings.change(at(80)), Some(FenceChange::Edit { remove, add }));
    }

    #[test]
    fn a_new_lifetime_of_the_address_replaces_the_guard_too() {
        let mut openings = held(false);
        openings.open(VIP, at(375), Some(at(3075)), false);
        let elements = |held, guarded| Elements {
            held: vec![(VIP, ms(held))],
            silenced: vec![(VIP, ms(guarded))],
            closed: vec![(VIP, ms(guarded))],
        };
        assert_eq!(openings.change(at(75)), Some(FenceChange::Edit { remove: elements(0, 0), add: elements(300, 3000) }));
    }

    #[test]
    fn packets_for_a_vip_that_this_node_serves_are_never_stopped() {
        let mut openings = held(true);
        openings.lost();
        let anew = Elements { held: vec![(VIP, ms(300))], silenced: vec![(VIP, ms(3000))], closed: vec![] };
        assert_eq!(openings.change(at(0)), Some(FenceChange::Anew(anew)));
        let mut openings = held(true);
        openings.open(VIP, at(375), None, false);
        let guarded = vec![(VIP, ms(2925))];
        let anew = Elements { held: vec![(VIP, ms(300))], silenced: guarded.clone(), closed: guarded };
        assert_eq!(openings.change(at(75)), Some(FenceChange::Anew(anew)), "it serves no more");
    }

    #[test]
    fn what_may_have_run_out_or_not_is_not_taken_out() {
        for (now, expected) in [(279, true), (280, false), (300, false), (319, false)] {
            let mut openings = held(false);
            openings.open(VIP, at(900), None, false);
            assert_eq!(matches!(openings.change(at(now)), Some(FenceChange::Edit { .. })), expected, "{now}");
        }
        let mut openings = held(false);
        openings.open(VIP, at(900), None, false);
        let add = Elements { held: vec![(VIP, ms(580))], ..Elements::default() };
        assert_eq!(openings.change(at(320)), Some(FenceChange::Edit { remove: Elements::default(), add }));
    }

    #[test]
    fn what_is_taken_off_is_forgotten_and_a_lease_that_ran_out_stays_guarded() {
        let mut openings = held(false);
        openings.open(OTHER, at(400), Some(at(2000)), false);
        openings.done();
        assert_eq!(openings.change(at(350)), None, "it ran out, and its address is still there");
        openings.lost();
        let guarded = vec![(VIP, ms(2650)), (OTHER, ms(1650))];
        let anew = Elements { held: vec![(OTHER, ms(50))], silenced: guarded.clone(), closed: guarded };
        assert_eq!(openings.change(at(350)), Some(FenceChange::Anew(anew)));
        openings.done();
        openings.forget(VIP);
        let guarded = vec![(VIP, ms(0))];
        let remove = Elements { held: vec![], silenced: guarded.clone(), closed: guarded };
        assert_eq!(openings.change(at(350)), Some(FenceChange::Edit { remove, add: Elements::default() }));
        openings.done();
        assert_eq!(openings.change(at(3000)), None);
    }

    #[test]
    fn the_last_moment_of_a_lease_is_not_worth_a_tick() {
        let mut openings = Openings::default();
        openings.open(VIP, at(9), Some(at(2000)), false);
        let guarded = vec![(VIP, ms(2000))];
        let anew = Elements { held: vec![], silenced: guarded.clone(), closed: guarded };
        assert_eq!(openings.change(at(0)), Some(FenceChange::Anew(anew)));
    }
}
