//! Clocks of several rates that talk over a network with jitter; everything follows from a seed.

use super::*;

const ME: NodeId = NodeId(1);
/// Renewals of the profile `lan`.
const EVERY_NS: u64 = 75_000_000;
const SECOND: u64 = 1_000_000_000;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }
}

/// A clock that showed `local` at the real time `real`, and runs at so many millionths of the real rate.
#[derive(Clone, Copy)]
struct Clock {
    real: u64,
    local: u64,
    rate: u64,
}

impl Clock {
    fn at(&self, real: u64) -> u64 {
        self.local + u64::try_from(u128::from(real - self.real) * u128::from(self.rate) / 1_000_000).unwrap()
    }

    fn runs(&mut self, real: u64, rate: u64) {
        *self = Clock { real, local: self.at(real), rate };
    }
}

struct Other {
    clock: Clock,
    session: u64,
    silent: bool,
    /// What it has heard of this node's clock, and when.
    heard: (u64, u64),
}

/// This node asks and the others answer, or they ask and this node answers.
struct World {
    asks: bool,
    dice: Dice,
    now: u64,
    slowest_ns: u64,
    mine: Clock,
    others: Vec<Other>,
    rates: ClockRates,
}

impl World {
    /// `rates`: of the others' clocks. A datagram takes up to `slowest_ns`.
    fn new(seed: u64, slowest_ns: u64, rates: &[u64]) -> Self {
        let mut dice = Dice(seed);
        let mut clock = |rate| Clock { real: 0, local: SECOND * (1 + dice.below(1 << 20)), rate };
        let mine = clock(1_000_000);
        let others = rates.iter().map(|rate| Other { clock: clock(*rate), session: 1, silent: false, heard: (0, 0) }).collect();
        let mut known = ClockRates::new(ME);
        known.set_voters((1..=rates.len() as u64 + 1).map(NodeId).collect());
        Self { asks: seed.is_multiple_of(2), dice, now: 0, slowest_ns, mine, others, rates: known }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            self.now += EVERY_NS;
            for (other, id) in self.others.iter_mut().zip(2..) {
                let [there, back] = [0; 2].map(|_| 50_000 + self.dice.below(self.slowest_ns));
                if other.silent || self.dice.below(10) == 0 {
                    continue;
                }
                // What it says of this node's clock it heard just now, or with the answer to its last ask.
                let answer = (self.mine.at(self.now), other.clock.at(self.now + there));
                if self.asks {
                    other.heard = answer;
                }
                let (heard_ns, heard_at_ns) = other.heard;
                let stamp = ClockStamp { read_ns: other.clock.at(self.now + there), heard_ns, heard_at_ns };
                let heard_at = self.mine.at(self.now + there + back);
                self.rates.heard(NodeId(id), other.session, stamp, BootInstant::from_boot(Duration::from_nanos(heard_at)));
                if !self.asks {
                    other.heard = (heard_at, other.clock.at(self.now + there + 2 * back));
                }
            }
        }
    }

    fn rate(&self, other: usize) -> Rate {
        self.rates.rates().find(|(node, _)| node.0 == other as u64 + 2).map_or(Rate::Unknown, |(_, rate)| rate)
    }
}

#[test]
fn clocks_that_differ_by_less_than_a_percent_are_within_whatever_the_network_does() {
    for seed in 0..40 {
        for slowest_ns in [100_000, 2_000_000, 20_000_000, 200_000_000] {
            let mut world = World::new(seed, slowest_ns, &[990_500, 1_000_000, 1_009_500]);
            for _ in 0..90 {
                world.run(1);
                let all = [0, 1, 2].map(|other| world.rate(other));
                assert!(all.iter().all(|rate| matches!(rate, Rate::Within | Rate::Unknown)), "{seed} {slowest_ns} {all:?}");
                assert_eq!(world.rates.own(), OwnClock::Good);
            }
            // Near the limit a rate must be known well to be surely within.
            let known = slowest_ns <= 2_000_000;
            assert!(!known || (0..3).all(|other| world.rate(other) == Rate::Within), "{seed} {slowest_ns}");
        }
    }
}

#[test]
fn a_clock_that_runs_a_percent_and_a_half_off_is_found_within_fifteen_seconds_and_so_is_its_return() {
    for seed in 0..40 {
        let mut world = World::new(seed, 2_000_000, &[1_000_000, 1_015_000, 985_000]);
        world.run(15);
        let Rate::Fast { ppm: fast } = world.rate(1) else { panic!("{seed}: {:?}", world.rate(1)) };
        let Rate::Slow { ppm: slow } = world.rate(2) else { panic!("{seed}: {:?}", world.rate(2)) };
        assert!(fast.abs_diff(15_000) < 1_500 && slow.abs_diff(15_000) < 1_500, "{seed}: {fast} {slow}");
        assert_eq!(world.rates.own(), OwnClock::Good, "they differ in opposite directions");
        let now = world.now;
        world.others.iter_mut().for_each(|other| other.clock.runs(now, 1_000_000));
        world.run(15);
        assert!((0..3).all(|other| world.rate(other) == Rate::Within), "{seed}");
    }
}

#[test]
fn this_nodes_own_clock_is_wrong_when_most_differ_from_it_in_the_same_direction() {
    for (rate, seed) in [(1_050_000, 1), (950_000, 2)] {
        let mut world = World::new(seed, 1_000_000, &[1_000_000; 4]);
        world.run(15);
        assert_eq!(world.rates.own(), OwnClock::Good);
        world.mine.runs(world.now, rate);
        world.run(15);
        let own = world.rates.own();
        let (is_right, ppm) = match own {
            OwnClock::Fast { ppm } => (rate > 1_000_000, ppm),
            OwnClock::Slow { ppm } => (rate < 1_000_000, ppm),
            OwnClock::Good | OwnClock::SlowerOfTwo { .. } => (false, 0),
        };
        assert!(is_right && ppm.abs_diff(50_000) < 5_000, "{own:?}");
        assert_eq!((own.may_hold(), own.may_grant()), (false, rate < 1_000_000));
        world.mine.runs(world.now, 1_000_000);
        world.run(15);
        assert_eq!(world.rates.own(), OwnClock::Good);
    }
}

#[test]
fn a_clock_that_jumps_runs_at_the_same_rate() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1_000_000, &[1_000_000, 1_000_000]);
        world.run(15 + seed % 7);
        // One machine was suspended, another one paused with its clock.
        let now = world.now;
        world.others[0].clock.local += 100 * SECOND;
        world.mine.local += SECOND / 2;
        for _ in 0..30 {
            world.run(1);
            let all = [0, 1].map(|other| world.rate(other));
            assert_eq!((all, world.rates.own()), ([Rate::Within; 2], OwnClock::Good), "{seed} {} s", (world.now - now) / SECOND);
        }
    }
}

#[test]
fn a_machine_that_has_booted_again_is_compared_anew() {
    let mut world = World::new(7, 1_000_000, &[1_000_000, 1_030_000]);
    world.run(15);
    assert!(matches!(world.rate(1), Rate::Fast { .. }));
    let now = world.now;
    world.others[1] =
        Other { clock: Clock { real: now, local: SECOND, rate: 1_000_000 }, session: 2, silent: false, heard: (0, 0) };
    world.run(2);
    assert_eq!(world.rate(1), Rate::Unknown);
    world.run(13);
    assert_eq!(world.rate(1), Rate::Within);
}

#[test]
fn a_peer_that_was_silent_is_not_known_any_more_and_is_compared_anew() {
    let mut world = World::new(8, 1_000_000, &[1_050_000, 1_050_000, 1_050_000]);
    world.run(15);
    assert!(matches!(world.rates.own(), OwnClock::Slow { .. }));
    world.others[1].silent = true;
    world.others[2].silent = true;
    world.run(18);
    assert_eq!((world.rate(1), world.rates.own()), (Rate::Unknown, OwnClock::Good), "one alone does not bar this node");
    let now = world.now;
    for other in &mut world.others {
        other.silent = false;
        other.clock.runs(now, 1_000_000);
    }
    for _ in 0..20 {
        world.run(1);
        assert!(matches!(world.rate(1), Rate::Unknown | Rate::Within), "what it was before does not count");
    }
    assert_eq!(world.rate(1), Rate::Within);
}

#[test]
fn lies_are_of_the_liar_alone() {
    let mut world = World::new(9, 1_000_000, &[1_000_000, 1_000_000]);
    for second in 0..40 {
        world.run(1);
        let now = BootInstant::from_boot(Duration::from_nanos(world.mine.at(world.now + SECOND / 2)));
        let lie = |read_ns, heard_ns| ClockStamp { read_ns, heard_ns, heard_at_ns: read_ns / 2 };
        for stamp in [lie(u64::MAX, 1), lie(second, u64::MAX), lie(0, 0), lie(u64::MAX / 2, 7)] {
            world.rates.heard(NodeId(2), 1, stamp, now);
            world.rates.heard(NodeId(2), second, stamp, now);
            world.rates.heard(ME, 1, stamp, now);
        }
    }
    assert_eq!((world.rate(1), world.rates.own()), (Rate::Within, OwnClock::Good));
    for stranger in 100..300 {
        world.rates.heard(
            NodeId(stranger),
            1,
            ClockStamp { read_ns: 1, heard_ns: 1, heard_at_ns: 1 },
            BootInstant::from_boot(Duration::from_secs(1)),
        );
    }
    assert_eq!(world.rates.rates().count(), MOST_PEERS);
}

#[test]
fn a_majority_of_the_clocks_decides_and_of_two_the_slower_one_does_not_hold() {
    let (fast, slow, within, unknown) = (Rate::Fast { ppm: 30_000 }, Rate::Slow { ppm: 30_000 }, Rate::Within, Rate::Unknown);
    let (own_slow, own_fast) = (OwnClock::Slow { ppm: 30_000 }, OwnClock::Fast { ppm: 30_000 });
    for (others, expected) in [
        (&[fast, fast][..], own_slow),
        (&[slow, slow], own_fast),
        (&[fast, slow], OwnClock::Good),
        (&[fast, within], OwnClock::Good),
        (&[fast, unknown], OwnClock::Good),
        (&[fast, fast, within], OwnClock::Good),
        (&[fast, fast, fast, within], own_slow),
        (&[slow, slow, unknown, unknown], own_fast),
        (&[fast, fast, within, within], OwnClock::Good),
        (&[fast], OwnClock::SlowerOfTwo { ppm: 30_000 }),
        (&[slow], OwnClock::Good),
        (&[], OwnClock::Good),
    ] {
        assert_eq!(OwnClock::among(others), expected, "{others:?}");
    }
    assert_eq!(own_slow.trouble().unwrap(), "its clock runs 3.0% slower than those of most voters");
}
