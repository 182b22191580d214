//! What a status says of nodes that an administrator has taken out of service.

use super::*;

#[test]
fn a_node_that_was_withdrawn_is_one_problem_on_the_others() {
    let mut world = World::well();
    world.places("r1", Err("withdrawn by an administrator".to_owned()));
    assert_eq!(world.problems().len(), 1, "{:?}", world.problems());
    world.node("r1").facts.as_mut().unwrap().withdrawn = true;
    let said = "node r1 is withdrawn: `systemctl restart lvs-agent` there (or a reboot) puts it back in service";
    assert_eq!(world.problems(), [said]);
    assert!(world.status().nodes.iter().any(|node| node.withdrawn && node.name == name("r1")));
    // A director says it of itself in words of its own.
    world.node("r1").facts.as_mut().unwrap().withdrawn = false;
    world.places("r1", Ok(()));
    world.node("d1").facts.as_mut().unwrap().withdrawn = true;
    assert_eq!(world.problems(), [""; 0]);
}
