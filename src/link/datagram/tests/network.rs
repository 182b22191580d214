//! Two nodes that restart, and a network between them that loses, delays, repeats and reorders.

use super::{Got, NOW, addr, deliver_at, form, node};
use crate::{
    clock::BootInstant,
    link::datagram::{Form, Seal},
};
use proptest::prelude::*;
use std::time::Duration;

/// What happens to two nodes and the pipe between them.
#[derive(Clone, Debug)]
enum Happens {
    /// Node 1 or 2 says something.
    Says(usize),
    /// A datagram arrives; it may arrive again.
    Arrives(prop::sample::Index),
    /// A datagram is lost.
    IsLost(prop::sample::Index),
    /// Node 1 or 2 is started anew.
    Restarts(usize),
}

fn happening() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..2_usize).prop_map(Happens::Says),
        6 => any::<prop::sample::Index>().prop_map(Happens::Arrives),
        2 => any::<prop::sample::Index>().prop_map(Happens::IsLost),
        1 => (0..2_usize).prop_map(Happens::Restarts),
    ]
}

/// Two nodes, every datagram that was ever on its way, and what each start has taken.
struct World {
    nodes: [Seal; 2],
    starts: [u64; 2],
    pipe: Vec<(usize, Vec<u8>)>,
    said: u32,
    now: BootInstant,
    /// Receiver, its start, body.
    taken: Vec<(usize, u64, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        Self { nodes: [node(1, 1), node(2, 1)], starts: [1, 1], pipe: Vec::new(), said: 0, now: NOW, taken: Vec::new() }
    }

    fn say(&mut self, who: usize) -> Vec<u8> {
        self.said += 1;
        let body = self.said.to_be_bytes().to_vec();
        let datagram = self.nodes[who].seal(addr(2 - who as u64), &body).unwrap();
        self.pipe.push((1 - who, datagram));
        body
    }

    /// What comes of a datagram; an answer goes into the pipe.
    fn arrive(&mut self, to: usize, datagram: &[u8]) {
        match deliver_at(self.now, &self.nodes[to], addr(2 - to as u64), datagram) {
            Ok(Got::Body(body)) => self.taken.push((to, self.starts[to], body)),
            Ok(Got::Answer(answer)) => self.pipe.push((1 - to, answer)),
            Ok(Got::Nothing) | Err(_) => {}
        }
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Says(who) => {
                self.say(who);
            }
            Happens::Arrives(which) if !self.pipe.is_empty() => {
                let (to, datagram) = self.pipe[which.index(self.pipe.len())].clone();
                self.arrive(to, &datagram);
            }
            Happens::IsLost(which) if !self.pipe.is_empty() => {
                let lost = which.index(self.pipe.len());
                self.pipe.swap_remove(lost);
            }
            Happens::Arrives(_) | Happens::IsLost(_) => {}
            Happens::Restarts(who) => {
                self.starts[who] += 1;
                self.nodes[who] = node(1 + who as u64, self.starts[who]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_was_lost_repeated_or_restarted_two_live_nodes_hear_each_other_at_the_next_word(
        history in prop::collection::vec(happening(), 0..80), first in 0..2_usize
    ) {
        let mut world = World::new();
        for what in history {
            world.happens(what);
        }
        // No start takes a word twice.
        for (i, one) in world.taken.iter().enumerate() {
            prop_assert!(!world.taken[..i].contains(one), "{:?} twice", one);
        }
        // Nothing that was recorded before a start has any effect on it.
        let recorded = std::mem::take(&mut world.pipe);
        for who in [0, 1] {
            world.happens(Happens::Restarts(who));
        }
        world.taken.clear();
        for (to, datagram) in &recorded {
            world.arrive(*to, datagram);
        }
        prop_assert_eq!(&world.taken, &vec![]);
        world.pipe.clear();
        // What was recorded may have used up the notices of a moment.
        world.now = world.now + Duration::from_millis(100);
        // From now on the network is good: each says one thing, and both are heard, in a bounded number of datagrams.
        for who in [first, 1 - first] {
            let body = world.say(who);
            let mut datagrams = 0;
            while let Some((to, datagram)) = world.pipe.pop() {
                datagrams += 1;
                prop_assert!(datagrams <= 3, "they go on talking");
                world.arrive(to, &datagram);
            }
            let expected = (1 - who, world.starts[1 - who], body);
            prop_assert_eq!(world.taken.iter().filter(|taken| **taken == expected).count(), 1);
        }
        // Then they are a pair, in both directions.
        for who in [first, 1 - first] {
            let body = world.say(who);
            let (to, datagram) = world.pipe.pop().unwrap();
            prop_assert_eq!(form(&datagram), Form::Paired);
            world.arrive(to, &datagram);
            prop_assert_eq!(world.taken.last(), Some(&(1 - who, world.starts[1 - who], body)));
            prop_assert!(world.pipe.is_empty());
        }
    }
}
