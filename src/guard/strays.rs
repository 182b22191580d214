//! VIPs that somebody else has put on an interface of this node: when each is taken off, and what is said of it. Pure.

use crate::{clock::BootInstant, model::VipName};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// So often one is taken off at once.
const AT_ONCE: u32 = 5;
/// Then the pauses begin with this one and double,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// One that stays away for so long is a new one when it comes again.
const OVER_AFTER: Duration = Duration::from_secs(60);
/// `status` tells of one for so long after it was last seen.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// So many are taken off in one go: the loop has deadlines.
const MOST_DUE: usize = 16;
/// The others come after this.
const TURN: Duration = Duration::from_millis(1);
/// So many are remembered; all others are taken off as well, and told in the log.
const MOST: usize = 64;

/// Where somebody has put which VIP.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stray {
    /// The group that the address is of.
    pub group: VipName,
    /// The address.
    pub address: IpAddr,
    /// The interface.
    pub interface: String,
}

#[derive(Clone, Debug)]
struct History {
    /// Attempts to take it off since it was last away for long.
    attempts: u32,
    /// Not to be taken off before then.
    next: BootInstant,
    /// When it was last seen.
    seen: BootInstant,
    here: bool,
    /// What the kernel said when it would not let it be taken off.
    refused: Option<String>,
}

/// All of them.
#[derive(Clone, Default, Debug)]
pub struct Strays(BTreeMap<Stray, History>);

impl Strays {
    /// These are there now. Which are to be taken off now; answer with [`Strays::taken_off`].
    pub fn are(&mut self, found: &[Stray], now: BootInstant) -> Vec<Stray> {
        for (stray, history) in &mut self.0 {
            let is_here = found.contains(stray);
            if is_here && !history.here && now >= history.seen + OVER_AFTER {
                (history.attempts, history.next) = (0, now);
            }
            if is_here || history.here {
                history.seen = now;
            }
            history.here = is_here;
        }
        self.0.retain(|_, history| history.here || now < history.seen + TOLD_FOR);
        let mut due = Vec::new();
        for stray in found {
            self.make_room(stray);
            let new = History { attempts: 0, next: now, seen: now, here: true, refused: None };
            let history = self.0.entry(stray.clone()).or_insert(new);
            if now >= history.next && due.len() < MOST_DUE {
                due.push(stray.clone());
            } else if now >= history.next {
                history.next = now + TURN;
            }
        }
        due
    }

    /// One was taken off, or the kernel has refused. Returns how often that was tried by now.
    pub fn taken_off(&mut self, stray: &Stray, result: Result<(), String>, now: BootInstant) -> u32 {
        let Some(history) = self.0.get_mut(stray) else { return 1 };
        history.attempts = history.attempts.saturating_add(1);
        let doublings = history.attempts.saturating_sub(AT_ONCE);
        let pause = match doublings {
            0 => Duration::ZERO,
            more => FIRST_PAUSE.saturating_mul(1 << (more - 1).min(16)).min(LONGEST_PAUSE),
        };
        history.refused = result.err();
        history.here = history.refused.is_some();
        history.next = now + if history.here { pause.max(FIRST_PAUSE) } else { pause };
        history.attempts
    }

    /// Whether this many attempts are so many that somebody must be putting it there again and again.
    pub fn is_contest(attempts: u32) -> bool {
        attempts >= AT_ONCE
    }

    /// When one that is there is to be taken off, or one is not to be told of any more.
    pub fn deadline(&self) -> Option<BootInstant> {
        self.0.values().map(|history| if history.here { history.next } else { history.seen + TOLD_FOR }).min()
    }

    /// One line each, for `status`.
    pub fn problems(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(Stray { group, address, interface }, history)| {
            let what = format!("{address} of VIP group {group}");
            match &history.refused {
                Some(why) => format!("somebody else has put {what} on {interface} of this node, which does not hold it, and it cannot be taken off: {why}"),
                None if Self::is_contest(history.attempts) => format!(
                    "something else on this machine puts {what} on {interface} again and again, though this node does not hold it (taken off {} times, from now on at times only): stop what does it, for example keepalived",
                    history.attempts
                ),
                None => format!(
                    "somebody else has put {what} on {interface} of this node, which does not hold it: taken off; look for keepalived, or for the address in the configuration of {interface}"
                ),
            }
        })
    }

    /// Forgets the one that was not seen for longest.
    fn make_room(&mut self, for_one: &Stray) {
        if self.0.len() >= MOST && !self.0.contains_key(for_one) {
            let oldest = self.0.iter().min_by_key(|(_, history)| history.seen).map(|(stray, _)| stray.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    fn stray() -> Stray {
        Stray { group: "web".parse().unwrap(), address: "192.0.2.10".parse().unwrap(), interface: "eth0".to_owned() }
    }

    #[test]
    fn who_puts_it_there_again_at_once_is_answered_five_times_and_then_ever_more_slowly() {
        let mut strays = Strays::default();
        let mut taken_off = Vec::new();
        let mut millis = 0;
        while millis < 400_000 {
            for due in strays.are(&[stray()], at(millis)) {
                strays.taken_off(&due, Ok(()), at(millis));
                taken_off.push(millis);
            }
            millis += 10;
        }
        let seconds: Vec<u64> = taken_off.iter().map(|millis| millis / 1000).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 0, 0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
        assert!(strays.problems().next().unwrap().contains("again and again"), "{:?}", strays.problems().next());
    }

    #[test]
    fn one_that_stays_away_for_a_minute_is_a_new_one_and_is_told_for_ten() {
        let mut strays = Strays::default();
        for millis in 0..7 {
            for due in strays.are(&[stray()], at(millis)) {
                strays.taken_off(&due, Ok(()), at(millis));
            }
        }
        assert_eq!(strays.are(&[stray()], at(10)), []);
        assert_eq!(strays.deadline(), Some(at(1005)), "{strays:?}");
        strays.are(&[], at(20));
        assert_eq!(strays.are(&[stray()], at(70_000)), [stray()]);
        assert_eq!(strays.taken_off(&stray(), Ok(()), at(70_000)), 1);
        strays.are(&[], at(70_010));
        assert_eq!((strays.problems().count(), strays.deadline()), (1, Some(at(670_000))));
        strays.are(&[], at(670_000));
        assert_eq!((strays.problems().count(), strays.deadline()), (0, None));
    }

    #[test]
    fn a_refusal_of_the_kernel_is_said_and_tried_again_after_a_second() {
        let mut strays = Strays::default();
        assert_eq!(strays.are(&[stray()], at(0)), [stray()]);
        strays.taken_off(&stray(), Err("not permitted".to_owned()), at(0));
        assert!(strays.problems().next().unwrap().ends_with("cannot be taken off: not permitted"));
        assert_eq!(strays.deadline(), Some(at(1000)));
        assert_eq!(strays.are(&[stray()], at(999)), []);
        assert_eq!(strays.are(&[stray()], at(1000)), [stray()]);
    }

    #[test]
    fn so_many_are_remembered_and_all_are_taken_off() {
        let mut strays = Strays::default();
        let many: Vec<Stray> = (0..100).map(|n| Stray { interface: format!("eth{n}"), ..stray() }).collect();
        let mut left: Vec<Stray> = many;
        for turn in 0..10 {
            for due in strays.are(&left, at(turn)) {
                strays.taken_off(&due, Ok(()), at(turn));
                left.retain(|stray| *stray != due);
            }
            assert!(strays.problems().count() <= MOST);
        }
        assert_eq!(left, []);
    }
}
