//! Tries inputs on one parser until the time is over, or a promise is broken.

use super::{meter, mutate::mutate};
use crate::sim::dice::Dice;
use lvs_agent::fuzzing::{Outcome, Target};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// An input that the parser is to be done with: this processor time, and so much for each KiB.
const TIME: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1));
/// Inputs that are kept because they were answered in a new way.
const MAX_KEPT: usize = 500;
/// Longer ones are seldom better, and slower.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// How far a hunt went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    /// Inputs tried.
    pub tried: u64,
    /// Of them taken for a value.
    pub taken: u64,
    /// Different answers.
    pub answers: usize,
    /// Most memory that one took, in bytes.
    pub peak_bytes: usize,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Find {
    /// What happened.
    pub what: String,
    /// With what.
    pub input: Vec<u8>,
}

/// Hands one input to the parser and checks what it does with it.
pub fn try_one(target: &Target, input: &[u8], trail: &mut Trail) -> Result<Outcome, Find> {
    let found = |what: String| Find { what, input: input.to_vec() };
    let begun = processor_time();
    let (outcome, peak) = meter::peak_of(|| catch_unwind(AssertUnwindSafe(|| (target.parse)(input))));
    let took = processor_time().saturating_sub(begun);
    trail.tried += 1;
    trail.peak_bytes = trail.peak_bytes.max(peak);
    let outcome = outcome.map_err(|panic| found(format!("panic: {}", words(&*panic))))?;
    let allowed = target.memory.0 * input.len() + target.memory.1;
    if peak > allowed {
        return Err(found(format!("{peak} bytes of memory for an input of {}; {allowed} are allowed", input.len())));
    }
    let patience = TIME.0 + TIME.1 * u32::try_from(input.len() >> 10).unwrap_or(u32::MAX);
    if took > patience {
        return Err(found(format!("{took:?} for an input of {} bytes; {patience:?} are allowed", input.len())));
    }
    trail.taken += u64::from(outcome == Outcome::Taken);
    Ok(outcome)
}

/// Hunts until `over`. `before` is told every input before it is tried, so that one that kills the process is known.
pub fn hunt(target: &Target, seed: u64, over: impl Fn(u64) -> bool, before: impl Fn(&[u8])) -> Result<Trail, Find> {
    let (mut dice, mut trail) = (Dice::new(seed), Trail::default());
    let (mut kept, mut answers) = (target.seeds.clone(), BTreeSet::new());
    for seed in &target.seeds {
        before(seed);
        try_one(target, seed, &mut trail)?;
    }
    while !over(trail.tried) {
        // Seeds as often as all others: what was kept is mostly refused early.
        let among = |dice: &mut Dice| if dice.chance(500) { target.seeds.len() } else { kept.len() };
        let pick = |dice: &mut Dice| {
            let among = among(dice) as u64;
            dice.below(among) as usize
        };
        let (one, other) = (pick(&mut dice), pick(&mut dice));
        let input = mutate(&kept[one], &kept[other], target.max_bytes, &mut dice);
        before(&input);
        let outcome = try_one(target, &input, &mut trail)?;
        if answers.insert(answer(&outcome, input.len())) && kept.len() < MAX_KEPT && input.len() <= MAX_KEPT_BYTES {
            kept.push(input);
        }
    }
    trail.answers = answers.len();
    Ok(trail)
}

/// Two inputs that are answered alike are alike: the words without what is quoted from the input; for a value, roughly how long it was.
fn answer(outcome: &Outcome, length: usize) -> String {
    match outcome {
        Outcome::Taken => format!("taken {}", length.checked_ilog2().unwrap_or(0)),
        Outcome::Refused(why) => {
            let unquoted = why.split(['`', '"']).step_by(2).flat_map(str::chars);
            unquoted.filter(|c| c.is_ascii_alphabetic() || *c == ' ').take(200).collect()
        }
    }
}

/// Of this thread: other programs on the machine do not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(parse: impl Fn(&[u8]) -> Outcome + 'static) -> Target {
        Target { name: "test", seeds: vec![b"hello".to_vec()], parse: Box::new(parse), max_bytes: 100, memory: (10, 1000) }
    }

    #[test]
    fn a_panic_that_one_byte_in_a_certain_place_brings_about_is_found_and_found_again() {
        let careless = || {
            target(|bytes| match bytes {
                [b'h', b'e', 7, ..] => panic!("seven"),
                _ => Outcome::Refused("no".to_owned()),
            })
        };
        let find = hunt(&careless(), 1, |tried| tried > 1_000_000, |_| ()).unwrap_err();
        assert_eq!((find.what.as_str(), find.input.first_chunk()), ("panic: seven", Some(b"he\x07")));
        assert_eq!(hunt(&careless(), 1, |tried| tried > 1_000_000, |_| ()).unwrap_err(), find);
    }

    #[test]
    fn a_slow_parser_is_found() {
        let slow = target(|_| {
            let begun = processor_time();
            while processor_time() - begun < 2 * TIME.0 {}
            Outcome::Taken
        });
        assert!(try_one(&slow, b"x", &mut Trail::default()).unwrap_err().what.contains("allowed"));
    }
}
