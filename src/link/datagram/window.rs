//! Which datagrams of one session have been seen, so that none is taken twice (RFC 4303 §3.4.3).

/// How far a datagram may fall behind later ones: a network that reorders does so by a few.
const WIDTH: u64 = 128;

/// The sequence numbers seen of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    /// The least number beyond all that were seen.
    next: u64,
    /// Bit `i` is number `next - 1 - i`.
    seen: u128,
}

impl Window {
    /// Whether `sequence` was neither seen nor is too far behind to tell.
    pub fn is_new(&self, sequence: u64) -> bool {
        // The last number of all has no next one, so it is nobody's.
        sequence < u64::MAX
            && match self.next.checked_sub(sequence) {
                None | Some(0) => true,
                Some(behind) => behind <= WIDTH && self.seen & (1 << (behind - 1)) == 0,
            }
    }

    /// Whether `sequence` is beyond all that were seen.
    pub fn is_latest(&self, sequence: u64) -> bool {
        sequence >= self.next
    }

    /// Takes note of a number that is new.
    pub fn mark(&mut self, sequence: u64) {
        if self.is_latest(sequence) {
            let by = (sequence - self.next).saturating_add(1);
            self.seen = u32::try_from(by).ok().and_then(|by| self.seen.checked_shl(by)).unwrap_or(0) | 1;
            self.next = sequence.saturating_add(1);
        } else if let behind @ 1..=WIDTH = self.next - sequence {
            self.seen |= 1 << (behind - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// The twin remembers every number.
        #[test]
        fn the_window_never_takes_a_number_twice_and_refuses_only_what_is_seen_or_far_behind(
            steps in prop::collection::vec((0_u64..400, prop::bool::weighted(0.05)), 1..300), base in prop_oneof![Just(0), any::<u64>()]
        ) {
            let (mut window, mut twin) = (Window::default(), BTreeSet::new());
            let base = base.min(u64::MAX - 1_000_000);
            for (step, leap) in steps {
                let sequence = base + if leap { step * 1000 } else { step };
                let highest = twin.last().copied();
                let behind = highest.is_some_and(|highest: u64| highest.saturating_sub(sequence) >= WIDTH);
                prop_assert_eq!(window.is_new(sequence), !behind && !twin.contains(&sequence));
                prop_assert_eq!(window.is_latest(sequence), highest.is_none_or(|highest| sequence > highest));
                if window.is_new(sequence) {
                    window.mark(sequence);
                    twin.insert(sequence);
                }
            }
        }
    }

    #[test]
    fn the_greatest_number_is_no_overflow() {
        let mut window = Window::default();
        window.mark(u64::MAX - 1);
        assert!(!window.is_new(u64::MAX - 1) && !window.is_new(u64::MAX) && !window.is_new(0));
        window.mark(u64::MAX);
        assert!(!window.is_new(u64::MAX));
    }
}
