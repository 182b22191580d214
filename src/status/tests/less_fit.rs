//! What a status says of directors that are less fit for a group.

use super::*;
use crate::model::{Fitness, LessFit};

#[test]
fn a_director_that_is_less_fit_is_named_with_its_reasons_while_it_is_heard() {
    let mut world = World::well();
    assert_eq!(world.vip().less_fit, []);
    let less = |why: &str| LessFit { fitness: Fitness(333), why: why.to_owned() };
    world.node("d1").less_fit =
        [(name("front"), less("reaches 1 of 3 servers of http")), (name("gone"), less("of no group"))].into();
    // A node that is no director has no say.
    world.node("r1").less_fit = [(name("front"), less("no director"))].into();
    let told: Vec<_> = world.vip().less_fit.into_iter().map(|less| (less.node.to_string(), less.fitness, less.why)).collect();
    assert_eq!(told, [("d1".to_owned(), 333, "reaches 1 of 3 servers of http".to_owned())]);
    assert_eq!(world.problems(), ["d1 is less fit to hold VIP group front (333 of 1000): reaches 1 of 3 servers of http"]);
    world.node("d1").live = false;
    assert_eq!(world.vip().less_fit, []);
}
