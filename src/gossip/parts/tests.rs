//! Parts that are lost, repeated, late, reordered, somebody else's.

use super::*;
use proptest::prelude::*;

fn voice(node: u64, session: u64, millis: u64) -> Voice {
    Voice { node: NodeId(node), session, now: BootInstant::from_boot(Duration::from_millis(millis)) }
}

fn parts(number: u32, message: &[u8]) -> Vec<Vec<u8>> {
    split(number, message).unwrap().collect()
}

#[test]
fn what_fits_one_datagram_or_takes_too_many_is_not_split() {
    assert!(split(0, &[0; PART_BYTES]).is_none());
    assert_eq!(parts(0, &[0; PART_BYTES + 1]).len(), 2);
    let longest = parts(0, &[0; MAX_MESSAGE_BYTES]);
    assert_eq!((longest.len(), longest[0].len()), (MAX_PARTS, MAX_BODY_BYTES));
    assert!(split(0, &[0; MAX_MESSAGE_BYTES + 1]).is_none());
}

#[test]
fn parts_that_no_honest_agent_makes_are_refused() {
    let mut assembly = Assembly::default();
    let good = parts(7, &[1; PART_BYTES * 2 + 5]);
    let refused =
        |assembly: &mut Assembly, body: &[u8]| assert_eq!(assembly.add(voice(1, 1, 0), body), Err(Refusal::Part), "{body:?}");
    let with = |at: usize, to: u8| {
        let mut bytes = good[0].clone();
        bytes[at] = to;
        bytes
    };
    for body in [
        &b"pt"[..],
        &[],
        &good[0][..MAX_BODY_BYTES - 1],
        &with(0, b'x'),
        &with(6, 3),
        &with(7, 1),
        &with(7, 9),
        &good[2][..HEAD_BYTES],
    ] {
        refused(&mut assembly, body);
    }
    assert_eq!(assembly.bytes(), 0);
    assert_eq!(assembly.add(voice(1, 1, 0), &good[0]), Ok(None));
    refused(&mut assembly, &with(7, 4));
    // Each is of its message only if it is of its sender, and of that start of it.
    for other in [voice(2, 1, 0), voice(1, 2, 0)] {
        assert_eq!(assembly.add(other, &good[1]), Ok(None));
        assert_eq!(assembly.add(other, &good[2]), Ok(None));
    }
    assert_eq!(assembly.add(voice(1, 1, 0), &good[1]), Ok(None));
    assert_eq!(assembly.add(voice(1, 1, 0), &good[2]), Ok(Some(vec![1; PART_BYTES * 2 + 5])));
}

#[test]
fn what_is_not_whole_in_time_is_forgotten() {
    let mut assembly = Assembly::default();
    let message = [2; PART_BYTES + 1];
    let both = parts(1, &message);
    assert_eq!(assembly.add(voice(1, 1, 0), &both[0]), Ok(None));
    assert_eq!(assembly.add(voice(1, 1, 1000), &both[1]), Ok(None));
    assert_eq!(assembly.bytes(), 1);
    assert_eq!(assembly.add(voice(1, 1, 1999), &both[0]), Ok(Some(message.to_vec())));
}

#[test]
fn neither_one_member_nor_all_of_them_can_have_more_kept_than_there_is_room_for() {
    let mut assembly = Assembly::default();
    let first = |number: u32| parts(number, &[3; PART_BYTES * MAX_PARTS])[0].clone();
    for number in 0..100 {
        assembly.add(voice(1, 1, u64::from(number)), &first(number)).unwrap();
    }
    assert_eq!(assembly.bytes(), PER_MEMBER * PART_BYTES);
    for member in 2..1000 {
        assembly.add(voice(member, 1, 200), &first(0)).unwrap();
    }
    assert_eq!(assembly.bytes(), TOGETHER * PART_BYTES);
}

proptest! {
    #[test]
    fn messages_come_whole_and_once_whatever_the_network_does_to_their_parts(
        lengths in prop::collection::vec((PART_BYTES + 1..MAX_MESSAGE_BYTES, 1_u64..3), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        // At most two messages of one member are on their way at a time, as they have room.
        let messages: Vec<(u64, Vec<u8>)> =
            lengths.iter().zip(0_u8..).map(|((length, member), fill)| (*member, vec![fill; *length])).collect();
        let mut pipe: Vec<(usize, usize, Vec<u8>)> = Vec::new();
        for (at, (_, message)) in messages.iter().enumerate().take(PER_MEMBER) {
            pipe.extend(parts(at as u32, message).into_iter().enumerate().map(|(index, part)| (at, index, part)));
        }
        let total = pipe.clone();
        let mut assembly = Assembly::default();
        let (mut came, mut whole) = (std::collections::BTreeSet::new(), Vec::new());
        for pick in order {
            // Some come twice, some never, in any order.
            let (at, index, part) = &total[pick.index(total.len())];
            if !came.insert((*at, *index)) && whole.contains(at) {
                // The seal's window lets none through a second time; before its message is whole it would do no harm.
                continue;
            }
            if let Some(message) = assembly.add(voice(messages[*at].0, 1, 0), part).unwrap() {
                prop_assert_eq!(&message, &messages[*at].1);
                whole.push(*at);
            }
        }
        for (at, (_, message)) in messages.iter().enumerate().take(PER_MEMBER) {
            let count = parts(0, message).len();
            let all_came = came.iter().filter(|(of, _)| *of == at).count() == count;
            prop_assert_eq!(whole.iter().filter(|of| **of == at).count(), usize::from(all_came));
        }
    }

    #[test]
    fn no_body_makes_it_panic_or_hold_more_than_its_bound(
        bodies in prop::collection::vec((1_u64..4, 0_u8..10, 0_u8..10, 0_usize..1200), 0..60)
    ) {
        let mut assembly = Assembly::default();
        for (member, index, count, length) in bodies {
            let body = [&MARK[..], &[0, 0, 0, 1, index, count], &vec![0; length]].concat();
            let _ = assembly.add(voice(member, 1, 0), &body);
            prop_assert!(assembly.bytes() <= 3 * PER_MEMBER * MAX_MESSAGE_BYTES);
        }
    }
}
