//! Changes inputs without knowing what they are (pure).

use crate::sim::dice::Dice;

/// Numbers at which lengths and counts go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0xfb,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];
/// Texts at which parsers of text go wrong.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\\u0000",
    b"\xff\xfe",
    b"-",
    b"1e999",
    b"\n",
    b"=",
    b"\0",
    b"99999999999999999999",
    b"\xe2\x80\xae",
];

/// `input` after a few changes; `other` is what it may be crossed with. At most `max_bytes` long.
pub fn mutate(input: &[u8], other: &[u8], max_bytes: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    // Mostly one change, so that most of the input stays good and what lies behind it is reached.
    for _ in 0..=dice.below(4).saturating_mul(dice.below(3)) {
        change(&mut bytes, other, dice);
    }
    bytes.truncate(max_bytes);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = place(bytes.len() + 1, dice);
    match dice.below(11) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        2 if at < bytes.len() => bytes[at] = byte(dice),
        3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(if dice.chance(500) { 1 } else { 255 }),
        4 => bytes.truncate(at),
        5 => {
            let end = at + place(bytes.len() - at + 1, dice);
            bytes.drain(at..end);
        }
        6 => {
            let piece: Vec<u8> = (0..=dice.below(8)).map(|_| byte(dice)).collect();
            bytes.splice(at..at, piece);
        }
        7 => number(bytes, at, dice),
        8 => {
            let word = dice.pick(&WORDS).unwrap_or_default();
            bytes.splice(at..at, word.iter().copied());
        }
        9 => {
            // A part of itself again, sometimes very often.
            let end = (at + 1 + place(64, dice)).min(bytes.len());
            let times = if dice.chance(50) { 1000 } else { 1 + dice.below(4) as usize };
            let piece = bytes[at.min(end)..end].repeat(times);
            bytes.splice(end..end, piece);
        }
        // The beginning of one and the end of another.
        10 => {
            let from = place(other.len() + 1, dice);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => bytes.push(byte(dice)),
    }
}

fn place(below: usize, dice: &mut Dice) -> usize {
    dice.below(below as u64) as usize
}

fn byte(dice: &mut Dice) -> u8 {
    dice.below(256) as u8
}

/// Puts a number that is at an edge, in any width and either order, over what is there, or before it as bincode writes it.
fn number(bytes: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let edge = dice.pick(&EDGES).unwrap_or_default().wrapping_add(dice.below(3)).wrapping_sub(1);
    let width = 1 << dice.below(4);
    let little = edge.to_le_bytes();
    let mut piece = little[..width].to_vec();
    match dice.below(3) {
        0 => piece.reverse(),
        1 => {}
        // bincode's varint: 251, 252, 253 announce two, four, eight bytes.
        _ if width > 1 => piece.insert(0, 250 + width.trailing_zeros() as u8),
        _ => {}
    }
    let end = (at + piece.len()).min(bytes.len());
    bytes.splice(at..end, piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_seed_others() {
        let made = |seed| {
            let mut dice = Dice::new(seed);
            (0..1000).map(|_| mutate(b"hello world", b"another", 100, &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn nothing_is_ever_longer_than_allowed_and_nothing_too_short_to_be_changed() {
        let mut dice = Dice::new(7);
        for round in 0..100_000 {
            let input: &[u8] = if round % 3 == 0 { b"" } else { b"0123456789" };
            assert!(mutate(input, b"", 12, &mut dice).len() <= 12);
        }
    }
}
