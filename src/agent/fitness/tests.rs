//! When a fitness falls, and when it rises again.

use super::*;
use crate::rules::fixture::{cluster, name};

const START: Duration = Duration::from_secs(100);

/// A director of the profile `lan`, whose news take 200 ms and an alarm's 100 to come back.
struct World {
    fitness: OwnFitness,
    state: ClusterState,
    lost: BTreeMap<ServiceName, LostPool>,
    against: Vec<(VipName, Fitness, String)>,
}

fn at_ms(ms: u64) -> BootInstant {
    BootInstant::from_boot(START + Duration::from_millis(ms))
}

impl World {
    fn new() -> Self {
        let fitness = OwnFitness::new(TimingProfile::Lan, at_ms(0));
        Self { fitness, state: cluster(), lost: BTreeMap::new(), against: Vec::new() }
    }

    /// From now on so many of three servers of `http` are reached.
    fn reaches(&mut self, reached: usize) {
        self.lost = if reached < 2 { [(name("http"), LostPool { reached, servers: 3 })].into() } else { BTreeMap::new() };
    }

    /// What is told of the group at that time.
    fn told(&mut self, ms: u64) -> Option<(u16, String)> {
        let evidence = Evidence { state: &self.state, lost: &self.lost, against: &self.against };
        self.fitness.step(&evidence, at_ms(ms));
        let told = self.fitness.less_fit().unwrap_or_default();
        told.get(&name::<VipName>("front")).map(|less| (less.fitness.0, less.why.clone()))
    }

    fn keeps(&self) -> usize {
        self.fitness.lost().count()
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.fitness.deadline().map(|at| u64::try_from((at - at_ms(0)).as_millis()).unwrap())
    }
}

fn less(fitness: u16, why: &str) -> Option<(u16, String)> {
    Some((fitness, why.to_owned()))
}

#[test]
fn a_lost_pool_is_kept_at_once_and_lowers_the_fitness_when_others_had_the_time_to_find_it_down_too() {
    let mut world = World::new();
    assert_eq!((world.told(0), world.keeps(), world.deadline_ms()), (None, 0, Some(5000)));
    world.reaches(1);
    assert_eq!((world.told(1000), world.keeps(), world.deadline_ms()), (None, 1, Some(1300)));
    assert_eq!(world.told(1299), None);
    assert_eq!((world.told(1300), world.keeps(), world.deadline_ms()), (less(333, "reaches 1 of 3 servers of http"), 1, None));
    world.reaches(0);
    assert_eq!(world.told(1301), less(1, "reaches 0 of 3 servers of http"), "it falls at once from then on");
}

#[test]
fn servers_that_the_others_miss_a_moment_later_are_no_reason() {
    let mut world = World::new();
    world.reaches(0);
    assert_eq!((world.told(1000), world.keeps()), (None, 1), "they are down, or this director is blind");
    world.reaches(3);
    assert_eq!((world.told(1200), world.keeps(), world.deadline_ms()), (None, 0, Some(5000)));
    world.reaches(0);
    assert_eq!((world.told(1400), world.deadline_ms()), (None, Some(1700)));
}

#[test]
fn it_rises_after_a_steady_time_to_the_worst_in_it() {
    let mut world = World::new();
    world.reaches(0);
    world.told(0);
    assert_eq!(world.told(300), less(1, "reaches 0 of 3 servers of http"));
    world.reaches(3);
    assert_eq!((world.told(1000), world.deadline_ms()), (less(1, "reaches 0 of 3 servers of http"), Some(6000)));
    world.reaches(1);
    world.told(3000);
    world.reaches(3);
    world.told(3100);
    assert_eq!(world.told(6000), less(333, "reaches 1 of 3 servers of http"));
    assert_eq!(
        (world.told(10_999), world.keeps(), world.deadline_ms()),
        (less(333, "reaches 1 of 3 servers of http"), 0, Some(11_000))
    );
    assert_eq!((world.told(11_000), world.deadline_ms()), (None, None));
}

#[test]
fn a_fault_that_comes_and_goes_does_not_let_it_rise() {
    let mut world = World::new();
    world.reaches(0);
    world.told(0);
    world.told(300);
    for second in 1..60 {
        world.reaches(if second % 4 == 0 { 0 } else { 3 });
        assert_eq!(world.told(second * 1000), less(1, "reaches 0 of 3 servers of http"), "{second} s");
        assert_eq!(world.keeps(), 1);
    }
}

#[test]
fn the_worst_reason_counts_and_all_are_told() {
    let mut world = World::new();
    world.against = vec![
        (name("front"), Fitness(500), "half".to_owned()),
        (name("front"), Fitness::LAST_RESORT, "disk".to_owned()),
        (name("front"), Fitness::WELL, "nothing".to_owned()),
        (name("front"), Fitness(700), "more".to_owned()),
    ];
    assert_eq!(world.told(0), less(1, "disk; half; more"));
    world.against.remove(1);
    assert_eq!(world.told(1000), less(1, "disk; half; more"));
    assert_eq!(world.told(6000), less(500, "half; more"));
    // A group that is gone from the rules is not told of.
    world.against.clear();
    world.state.rules.vips.clear();
    assert_eq!((world.told(6001), world.deadline_ms()), (None, None));
}

#[test]
fn a_worker_that_has_just_started_says_nothing_good_before_it_can_know() {
    let mut world = World::new();
    let told = |world: &mut World, ms| {
        world.told(ms);
        world.fitness.less_fit().map(|told| told.len())
    };
    assert_eq!((told(&mut world, 0), world.deadline_ms()), (None, Some(5000)));
    assert_eq!((told(&mut world, 4999), told(&mut world, 5000), world.deadline_ms()), (None, Some(0), None));
    let mut blind = World::new();
    blind.reaches(0);
    assert_eq!((told(&mut blind, 1000), told(&mut blind, 1300)), (None, Some(1)));
}
