//! Tests of `fallback`, one director at a time; `cluster-tests/src/sim/fallback.rs` runs several against each other.

use super::*;
use std::time::Duration;

const ME: NodeId = NodeId(2);
const BETTER: NodeId = NodeId(1);
const WORSE: NodeId = NodeId(3);

fn at(millis: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
}

/// The second of three candidates in the profile `lan`, without an answer since 0 ms.
struct Director {
    fallback: Fallback,
    circumstances: Circumstances,
}

impl Director {
    fn unanswered() -> Self {
        let mut fallback = Fallback::new(ME, LeaseTiming::of(Duration::from_millis(300)));
        fallback.candidates_are(vec![BETTER, ME, WORSE]);
        let circumstances =
            Circumstances { may: Some(Fitness::WELL), lease: LeaseSide::Free, unanswered_since: Some(at(0)), was_answered: true };
        Self { fallback, circumstances }
    }

    fn step(&mut self, event: FallbackEvent, millis: u64) -> Vec<FallbackEffect> {
        self.fallback.step(event, self.circumstances, at(millis))
    }

    fn look(&mut self, millis: u64) -> Vec<FallbackEffect> {
        self.step(FallbackEvent::Look, millis)
    }

    fn says(&mut self, from: NodeId, standing: Standing, millis: u64) -> Vec<FallbackEffect> {
        self.step(FallbackEvent::Advert { from, standing, fitness: Fitness::WELL }, millis)
    }

    /// Lets its deadlines come until then; when something was done, and what.
    fn run(&mut self, until: u64) -> Vec<(u64, FallbackEffect)> {
        let mut done = Vec::new();
        while let Some(due) = self.fallback.deadline().filter(|due| *due <= at(until)) {
            let millis = u64::try_from((due - at(0)).as_micros()).unwrap().div_ceil(1000);
            done.extend(self.look(millis).into_iter().map(|effect| (millis, effect)));
        }
        done
    }

    fn holding() -> Self {
        let mut director = Self::unanswered();
        director.look(0);
        director.run(800);
        assert!(director.fallback.until().is_some());
        director
    }
}

fn to_both(standing: Standing) -> [FallbackEffect; 2] {
    [FallbackEffect::Send { to: BETTER, standing }, FallbackEffect::Send { to: WORSE, standing }]
}

#[test]
fn after_two_ttl_without_a_majority_it_looks_three_times_and_takes_the_vip() {
    let mut director = Director::unanswered();
    assert_eq!(director.look(0), []);
    let done = director.run(800);
    let (looks, takes) = (to_both(Standing::Looks), to_both(Standing::FallsBack));
    let probe = FallbackEffect::Probe { all: true };
    let take = FallbackEffect::Take { until: at(788 + 300), fresh: true };
    let effects: Vec<FallbackEffect> = done.iter().map(|(_, effect)| *effect).collect();
    assert_eq!(effects, [probe, probe, probe, looks[0], looks[1], take, takes[0], takes[1]]);
    // Half an advert later than the first candidate, then 50 ms after each probe.
    let times: Vec<u64> = done.iter().map(|(millis, _)| *millis).collect();
    assert_eq!([times[0], times[1], times[2], times[5]], [638, 688, 738, 788]);
}

#[test]
fn it_is_not_active_while_a_majority_answers_while_it_may_not_hold_or_while_its_lease_runs() {
    for change in [
        |circumstances: &mut Circumstances| circumstances.unanswered_since = None,
        |circumstances: &mut Circumstances| circumstances.may = None,
        |circumstances: &mut Circumstances| circumstances.lease = LeaseSide::Holds,
        |circumstances: &mut Circumstances| circumstances.lease = LeaseSide::Busy,
    ] {
        let mut director = Director::unanswered();
        change(&mut director.circumstances);
        director.look(0);
        assert_eq!(director.fallback.deadline(), None);
        director.look(5000);
        assert!(!director.fallback.is_active(), "{:?}", director.circumstances);
    }
}

#[test]
fn a_director_that_no_majority_ever_answered_waits_ten_ttl() {
    let mut director = Director::unanswered();
    director.circumstances.was_answered = false;
    director.look(0);
    assert_eq!(director.fallback.deadline(), Some(at(3000)));
}

#[test]
fn who_is_answered_stays_out_and_looks_again() {
    let mut director = Director::unanswered();
    director.look(0);
    director.run(640);
    assert_eq!(director.step(FallbackEvent::Seen(ArpSeen::Claim), 641), []);
    assert_eq!(director.run(900), []);
    let again = director.run(990);
    assert_eq!(again.iter().map(|(_, effect)| *effect).collect::<Vec<_>>(), [FallbackEffect::Probe { all: true }]);
}

#[test]
fn who_cannot_look_takes_nothing() {
    let mut director = Director::unanswered();
    director.look(0);
    director.run(740);
    assert_eq!(director.step(FallbackEvent::CannotLook, 741), []);
    assert_eq!(director.run(1040), []);
    let again = director.run(1042);
    assert_eq!(again.iter().map(|(_, effect)| *effect).collect::<Vec<_>>(), [FallbackEffect::Probe { all: true }]);
}

#[test]
fn of_those_that_look_at_the_same_time_the_first_candidate_goes_on_and_others_stand_back() {
    let mut second = Director::unanswered();
    second.look(0);
    second.run(640);
    second.step(FallbackEvent::Seen(ArpSeen::Probe), 650);
    assert_eq!(second.fallback.deadline(), Some(at(850)), "as long as one director needs to find out");
    let mut first = Director::unanswered();
    first.fallback.candidates_are(vec![ME, BETTER, WORSE]);
    first.look(0);
    first.run(610);
    first.step(FallbackEvent::Seen(ArpSeen::Probe), 620);
    assert_eq!(first.fallback.deadline(), Some(at(650)));
    // Who is not well lets all go first, that is all three and the one before it.
    let mut unwell = Director::unanswered();
    unwell.circumstances.may = Some(Fitness(500));
    unwell.look(0);
    unwell.run(750);
    unwell.step(FallbackEvent::Seen(ArpSeen::Probe), 751);
    assert_eq!(unwell.fallback.deadline(), Some(at(751 + 4 * 200)));
}

#[test]
fn a_holder_renews_itself_and_looks_again_each_quarter_of_a_ttl() {
    let mut director = Director::holding();
    let done = director.run(865);
    assert!(matches!(done[0], (863, FallbackEffect::Take { fresh: false, .. })), "{done:?}");
    assert_eq!(
        done[1..].iter().map(|(_, effect)| *effect).collect::<Vec<_>>(),
        [to_both(Standing::FallsBack)[0], to_both(Standing::FallsBack)[1], FallbackEffect::Probe { all: false },]
    );
}

#[test]
fn a_holder_that_wakes_late_removes_before_anything_else() {
    let mut director = Director::holding();
    assert_eq!(director.look(1080), [FallbackEffect::Remove { why: "fallback was not renewed in time" }]);
    assert!(!director.fallback.is_at_rest());
    director.step(FallbackEvent::Removed, 1081);
    assert!(director.fallback.is_at_rest());
}

#[test]
fn a_holder_yields_to_a_lease_to_arp_and_to_a_better_holder_and_not_to_a_worse_one() {
    let removes = |why| vec![FallbackEffect::Remove { why }];
    assert_eq!(Director::holding().says(WORSE, Standing::Leases, 800), removes("another director holds its lease"));
    assert_eq!(Director::holding().step(FallbackEvent::Seen(ArpSeen::Claim), 800), removes("another machine has the vip"));
    let better = removes("a better director holds it by fallback");
    assert_eq!(Director::holding().says(BETTER, Standing::FallsBack, 800), better);
    let answer = FallbackEffect::Send { to: WORSE, standing: Standing::FallsBack };
    assert_eq!(Director::holding().says(WORSE, Standing::FallsBack, 800), [answer]);
    assert_eq!(Director::holding().says(WORSE, Standing::Looks, 800), [answer]);
    let mut unwell = Director::holding();
    unwell.circumstances.may = Some(Fitness(500));
    assert_eq!(unwell.says(WORSE, Standing::FallsBack, 800), better);
    // Nobody listens to who is no candidate.
    assert_eq!(Director::holding().says(NodeId(9), Standing::Leases, 800), []);
}

#[test]
fn whoever_holds_it_by_fallback_keeps_it_from_those_that_hear_it() {
    let mut director = Director::unanswered();
    director.look(0);
    director.run(600);
    for millis in (610..2000).step_by(75) {
        assert_eq!(director.says(WORSE, Standing::FallsBack, millis), []);
        assert_eq!(director.run(millis + 75), []);
    }
    director.says(WORSE, Standing::LetsGo, 2000);
    assert_eq!(director.run(2038).len(), 1, "it looks at once, but for its turn");
}

#[test]
fn what_is_held_by_fallback_is_held_by_the_lease_that_is_won_without_a_removal() {
    let mut director = Director::holding();
    director.circumstances = Circumstances { lease: LeaseSide::Holds, unanswered_since: None, ..director.circumstances };
    assert_eq!(director.look(800), to_both(Standing::Leases));
    assert_eq!((director.fallback.until(), director.fallback.deadline()), (None, None));
    // From then on it says so to whoever holds by fallback.
    assert_eq!(
        director.says(BETTER, Standing::FallsBack, 900),
        [FallbackEffect::Send { to: BETTER, standing: Standing::Leases }]
    );
    assert_eq!(director.says(WORSE, Standing::Looks, 900), [FallbackEffect::Send { to: WORSE, standing: Standing::Leases }]);
}

#[test]
fn a_holder_that_may_not_hold_any_more_lets_go_and_says_so() {
    let mut director = Director::holding();
    director.circumstances.may = None;
    assert_eq!(director.look(800), [FallbackEffect::Remove { why: "this node may not hold it any more" }]);
    assert_eq!(director.step(FallbackEvent::Removed, 801), to_both(Standing::LetsGo));
}

#[test]
fn a_holder_that_a_majority_answers_and_grants_nothing_lets_go_after_four_ttl() {
    let mut director = Director::holding();
    director.circumstances.unanswered_since = None;
    director.look(800);
    assert!(director.run(1999).iter().all(|(_, effect)| !matches!(effect, FallbackEffect::Remove { .. })));
    let done = director.run(2100);
    let why = "a majority of the voters answers, and grants no lease";
    assert!(matches!(done.last(), Some((_, FallbackEffect::Remove { why: said })) if *said == why), "{done:?}");
}

#[test]
fn the_lease_is_left_to_the_fallback_holder_as_long_as_it_is_heard() {
    let mut director = Director::unanswered();
    director.look(0);
    director.run(600);
    assert!(director.fallback.asks_dry_until() > at(1_000_000));
    director.circumstances.unanswered_since = None;
    director.look(1000);
    assert_eq!(director.fallback.asks_dry_until(), at(1112) + Duration::from_micros(500));
    director.says(WORSE, Standing::FallsBack, 1050);
    assert_eq!(director.fallback.asks_dry_until(), at(1162) + Duration::from_micros(500));
    for millis in (1100..6000).step_by(75) {
        director.says(WORSE, Standing::FallsBack, millis);
    }
    assert_eq!(director.fallback.asks_dry_until(), at(4000), "and no longer than ten ttl");
    // A holder itself asks in earnest.
    assert_eq!(Director::holding().fallback.asks_dry_until(), BootInstant::default());
}
