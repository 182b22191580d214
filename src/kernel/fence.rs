//! What the kernel's fence lets through, and how it is brought up to date. Pure.
//!
//! The fence is two nftables tables with two sets each. `guarded` has the VIPs that this node may have on an interface, `held` those that it holds, each with a
//! timeout: the end of the lease. What is guarded and not held, the kernel neither answers for nor takes packets for, whatever has become of the guard.

use crate::clock::BootInstant;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

/// An element whose timeout is as near as that is in the kernel or is not: two ticks of the slowest kernel (`CONFIG_HZ=100`), which counts timeouts in ticks.
const TICKS: Duration = Duration::from_millis(20);

/// How long packets may be forwarded after the lease: the successor's lease begins 4% of a lease later, and then it announces itself. Twice what that takes
/// in `wan`.
const LINGER: Duration = Duration::from_millis(200);

/// An address and the rest of its timeout.
pub type Element = (Ipv4Addr, Duration);

/// What becomes of packets for a VIP when its lease is over, as long as its address is still there. ARP for it is not answered in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Packets {
    /// They are stopped: this machine itself would take them.
    Stop,
    /// They are let through for 200 ms: IPVS forwards them to the same servers as the successor's will, and whoever sends them has not heard of it yet.
    Linger,
    /// They are taken: this node is a real server of the VIP, to which the holder sends them.
    Take,
}

/// What is known of one VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Local end of the lease.
    pub until: BootInstant,
    /// By then the kernel has taken the address off by itself, and there is nothing to guard.
    pub guarded_until: BootInstant,
    /// What becomes of packets afterwards.
    pub packets: Packets,
}

/// Elements of the sets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Elements {
    /// Of the set `held` of the table that stops ARP.
    pub held: Vec<Element>,
    /// Of the set `held` of the table that stops packets.
    pub admitted: Vec<Element>,
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
    /// Where the two may differ: there may be a thousand VIPs, of which one is renewed.
    touched: BTreeSet<Ipv4Addr>,
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
    pub fn open(&mut self, vip: Ipv4Addr, until: BootInstant, guarded_until: Option<BootInstant>, packets: Packets) {
        let guarded = guarded_until.or_else(|| Some(self.wanted.get(&vip)?.guarded_until)).unwrap_or(until);
        // A guard is never shorter than the lease that it guards.
        self.touched.insert(vip);
        self.wanted.insert(vip, Opening { until, guarded_until: guarded.max(until + LINGER), packets });
    }

    /// The VIP is on no interface any more.
    pub fn forget(&mut self, vip: Ipv4Addr) {
        self.touched.insert(vip);
        self.wanted.remove(&vip);
    }

    /// What brings the kernel up to date; `None` where it is.
    pub fn change(&self, now: BootInstant) -> Option<FenceChange> {
        let Some(in_kernel) = &self.in_kernel else { return Some(FenceChange::Anew(all(&self.wanted, now))) };
        if self.touched.iter().all(|vip| in_kernel.get(vip) == self.wanted.get(vip)) {
            return None;
        }
        Some(self.edit(in_kernel, now).unwrap_or_else(|| FenceChange::Anew(all(&self.wanted, now))))
    }

    /// The change was made.
    pub fn done(&mut self) {
        match &mut self.in_kernel {
            None => self.in_kernel = Some(self.wanted.clone()),
            Some(in_kernel) => {
                for vip in &self.touched {
                    match self.wanted.get(vip) {
                        Some(wanted) => drop(in_kernel.insert(*vip, *wanted)),
                        None => drop(in_kernel.remove(vip)),
                    }
                }
            }
        }
        self.touched.clear();
    }

    /// The kernel has something else than was thought.
    pub fn lost(&mut self) {
        self.in_kernel = None;
    }

    /// `None` where it is not sure which elements are there: to take one out that is not fails.
    fn edit(&self, in_kernel: &BTreeMap<Ipv4Addr, Opening>, now: BootInstant) -> Option<FenceChange> {
        let (mut remove, mut add) = (Elements::default(), Elements::default());
        let differing = self.touched.iter().filter(|vip| in_kernel.get(vip) != self.wanted.get(vip));
        for vip in differing {
            let (was, wanted) = (in_kernel.get(vip), self.wanted.get(vip));
            if let Some(was) = was {
                take_out(*vip, was, wanted, now, &mut remove)?;
            }
            if let Some(wanted) = wanted {
                add.hold(*vip, wanted, now);
                if was.is_none_or(|was| was.guarded_until != wanted.guarded_until) {
                    add.guard(*vip, wanted.guarded_until - now, wanted.packets);
                }
            }
        }
        Some(FenceChange::Edit { remove, add })
    }
}

impl Opening {
    /// `None`: packets are never stopped.
    fn admitted_until(&self) -> Option<BootInstant> {
        match self.packets {
            Packets::Stop => Some(self.until),
            Packets::Linger => Some(self.until + LINGER),
            Packets::Take => None,
        }
    }
}

impl Elements {
    /// Less than a tick is nothing: the kernel would make a tick of it, beyond the lease.
    fn hold(&mut self, vip: Ipv4Addr, opening: &Opening, now: BootInstant) {
        for (set, until) in [(&mut self.held, Some(opening.until)), (&mut self.admitted, opening.admitted_until())] {
            let rest = until.map(|until| until - now).filter(|rest| *rest >= TICKS / 2);
            set.extend(rest.map(|rest| (vip, rest)));
        }
    }

    fn guard(&mut self, vip: Ipv4Addr, rest: Duration, packets: Packets) {
        self.silenced.push((vip, rest));
        if packets != Packets::Take {
            self.closed.push((vip, rest));
        }
    }
}

/// `None` where it is not sure what is there.
fn take_out(vip: Ipv4Addr, was: &Opening, wanted: Option<&Opening>, now: BootInstant, remove: &mut Elements) -> Option<()> {
    if wanted.is_some_and(|wanted| wanted.packets != was.packets) {
        return None;
    }
    for (set, until) in [(&mut remove.held, Some(was.until)), (&mut remove.admitted, was.admitted_until())] {
        match until.map(|until| presence(until, now)) {
            Some(Presence::There) => set.push((vip, Duration::ZERO)),
            Some(Presence::Unsure) => return None,
            Some(Presence::Gone) | None => (),
        }
    }
    let guard_stays = wanted.is_some_and(|wanted| wanted.guarded_until == was.guarded_until);
    match presence(was.guarded_until, now) {
        _ if guard_stays => (),
        Presence::There => remove.guard(vip, Duration::ZERO, was.packets),
        Presence::Unsure => return None,
        Presence::Gone => (),
    }
    Some(())
}

fn all(openings: &BTreeMap<Ipv4Addr, Opening>, now: BootInstant) -> Elements {
    let mut elements = Elements::default();
    for (vip, opening) in openings.iter().filter(|(_, opening)| opening.guarded_until > now) {
        elements.hold(*vip, opening, now);
        elements.guard(*vip, opening.guarded_until - now, opening.packets);
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

    /// The same in both tables, as it is without [`LINGER`].
    fn elements(held: &[(Ipv4Addr, u64)], guarded: &[(Ipv4Addr, u64)]) -> Elements {
        let of = |list: &[(Ipv4Addr, u64)]| list.iter().map(|(vip, rest)| (*vip, ms(*rest))).collect::<Vec<_>>();
        Elements { held: of(held), admitted: of(held), silenced: of(guarded), closed: of(guarded) }
    }

    /// The VIP is held until 300 and guarded until 3000; the kernel knows.
    fn held(packets: Packets) -> Openings {
        let mut openings = Openings::default();
        openings.open(VIP, at(300), Some(at(3000)), packets);
        openings.done();
        openings
    }

    #[test]
    fn at_first_and_when_it_was_lost_it_is_made_anew() {
        let mut openings = Openings::default();
        assert_eq!(openings.change(at(0)), Some(FenceChange::Anew(Elements::default())));
        openings.done();
        assert_eq!(openings.change(at(0)), None);
        let mut openings = held(Packets::Stop);
        assert_eq!(openings.change(at(5)), None);
        openings.lost();
        assert_eq!(openings.change(at(5)), Some(FenceChange::Anew(elements(&[(VIP, 295)], &[(VIP, 2995)]))));
    }

    #[test]
    fn a_renewal_replaces_the_element_and_leaves_the_guard() {
        let mut openings = held(Packets::Stop);
        openings.open(VIP, at(375), None, Packets::Stop);
        let (remove, add) = (elements(&[(VIP, 0)], &[]), elements(&[(VIP, 295)], &[]));
        assert_eq!(openings.change(at(80)), Some(FenceChange::Edit { remove, add }));
        openings.done();
        assert_eq!(openings.change(at(80)), None);
    }

    #[test]
    fn a_new_lifetime_of_the_address_replaces_the_guard_too() {
        let mut openings = held(Packets::Stop);
        openings.open(VIP, at(375), Some(at(3075)), Packets::Stop);
        let (remove, add) = (elements(&[(VIP, 0)], &[(VIP, 0)]), elements(&[(VIP, 300)], &[(VIP, 3000)]));
        assert_eq!(openings.change(at(75)), Some(FenceChange::Edit { remove, add }));
    }

    #[test]
    fn packets_that_are_forwarded_linger_and_those_that_this_node_serves_are_never_stopped() {
        let anew = |packets| {
            let mut openings = held(packets);
            openings.lost();
            openings.change(at(0))
        };
        let all = elements(&[(VIP, 300)], &[(VIP, 3000)]);
        let lingering = Elements { admitted: vec![(VIP, ms(500))], ..all.clone() };
        assert_eq!(anew(Packets::Linger), Some(FenceChange::Anew(lingering)));
        let taken = Elements { admitted: vec![], closed: vec![], ..all };
        assert_eq!(anew(Packets::Take), Some(FenceChange::Anew(taken)));
        let mut openings = held(Packets::Take);
        openings.open(VIP, at(375), None, Packets::Stop);
        let anew = elements(&[(VIP, 300)], &[(VIP, 2925)]);
        assert_eq!(openings.change(at(75)), Some(FenceChange::Anew(anew)), "it serves no more");
    }

    #[test]
    fn what_may_have_run_out_or_not_is_not_taken_out() {
        for (packets, now, expected) in [
            (Packets::Stop, 279, true),
            (Packets::Stop, 280, false),
            (Packets::Stop, 319, false),
            (Packets::Stop, 320, true),
            (Packets::Linger, 320, true),
            (Packets::Linger, 480, false),
            (Packets::Linger, 520, true),
        ] {
            let mut openings = held(packets);
            openings.open(VIP, at(900), None, packets);
            assert_eq!(matches!(openings.change(at(now)), Some(FenceChange::Edit { .. })), expected, "{packets:?} {now}");
        }
        let mut openings = held(Packets::Stop);
        openings.open(VIP, at(900), None, Packets::Stop);
        let (remove, add) = (Elements::default(), elements(&[(VIP, 580)], &[]));
        assert_eq!(openings.change(at(320)), Some(FenceChange::Edit { remove, add }));
    }

    #[test]
    fn what_is_taken_off_is_forgotten_and_a_lease_that_ran_out_stays_guarded() {
        let mut openings = held(Packets::Stop);
        openings.open(OTHER, at(400), Some(at(2000)), Packets::Stop);
        openings.done();
        assert_eq!(openings.change(at(350)), None, "it ran out, and its address is still there");
        openings.lost();
        let anew = elements(&[(OTHER, 50)], &[(VIP, 2650), (OTHER, 1650)]);
        assert_eq!(openings.change(at(350)), Some(FenceChange::Anew(anew)));
        openings.done();
        openings.forget(VIP);
        let (remove, add) = (elements(&[], &[(VIP, 0)]), Elements::default());
        assert_eq!(openings.change(at(350)), Some(FenceChange::Edit { remove, add }));
        openings.done();
        assert_eq!(openings.change(at(3000)), None);
    }

    #[test]
    fn the_last_moment_of_a_lease_is_not_worth_a_tick() {
        let mut openings = Openings::default();
        openings.open(VIP, at(9), Some(at(2000)), Packets::Stop);
        assert_eq!(openings.change(at(0)), Some(FenceChange::Anew(elements(&[], &[(VIP, 2000)]))));
    }
}
