//! Changing real bytes a little: what a parser takes for its own until it looks closely. The same seed gives the same changes.

use crate::sim::dice::Dice;

/// The longest payload of a UDP datagram over IPv4.
pub const MAX_BYTES: usize = 65_507;

/// Where lengths and counts go wrong.
const NUMBERS: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX as u64, u64::MAX];

/// Random bytes.
pub fn noise(dice: &mut Dice, length: usize) -> Vec<u8> {
    (0..length).map(|_| dice.below(256) as u8).collect()
}

/// `original` with one to four changes; never the same as before. `others` are what it may be mixed with.
pub fn mutate(dice: &mut Dice, original: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..dice.between(1, 4) {
        change(dice, &mut bytes, others);
    }
    bytes.truncate(MAX_BYTES);
    if bytes == original {
        flip(dice, &mut bytes);
    }
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    match dice.below(8) {
        0 | 1 => flip(dice, bytes),
        2 => {
            let at = place(dice, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = dice.below(256) as u8;
            }
        }
        3 => bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize),
        4 => {
            let length = dice.between(1, 300) as usize;
            bytes.extend(noise(dice, length));
        }
        5 => overwrite(dice, bytes),
        6 => splice(dice, bytes, others),
        _ => repeat(dice, bytes),
    }
}

/// Somewhere; most often among the first bytes, where headers are.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    let length = bytes.len() as u64;
    let below = if dice.chance(600) { length.min(64) } else { length };
    dice.below(below) as usize
}

fn flip(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = place(dice, bytes);
    match bytes.get_mut(at) {
        Some(byte) => *byte ^= 1 << dice.below(8),
        None => bytes.push(0),
    }
}

/// A number of one to eight bytes becomes one that lengths and counts stumble over.
fn overwrite(dice: &mut Dice, bytes: &mut [u8]) {
    let width = dice.pick(&[1usize, 2, 4, 8]).unwrap_or(1);
    let number = dice.pick(&NUMBERS).unwrap_or(0).to_be_bytes();
    let at = place(dice, bytes);
    if let Some(field) = bytes.get_mut(at..at + width) {
        field.copy_from_slice(&number[8 - width..]);
    }
}

/// The beginning of this one and the end of another.
fn splice(dice: &mut Dice, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    let Some(other) = others.get(dice.below(others.len() as u64) as usize) else { return };
    bytes.truncate(place(dice, bytes));
    bytes.extend_from_slice(&other[place(dice, other)..]);
}

/// A part of it twice.
fn repeat(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let from = place(dice, bytes);
    let to = from + dice.below(256).min((bytes.len() - from) as u64) as usize;
    let part = bytes[from..to].to_vec();
    bytes.splice(to..to, part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Vec<u8>> {
        let mut dice = Dice::new(seed);
        (0..20).map(|n| noise(&mut dice, n * 13)).collect()
    }

    #[test]
    fn a_mutation_is_never_the_original_and_never_too_long() {
        let mut dice = Dice::new(1);
        let mut originals = some(2);
        originals.push(vec![7; MAX_BYTES]);
        for round in 0..20_000 {
            let original = &originals[round % originals.len()];
            let mutated = mutate(&mut dice, original, &originals);
            assert_ne!(&mutated, original, "round {round}");
            assert!(mutated.len() <= MAX_BYTES);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_mutations_and_another_others() {
        let originals = some(3);
        let all = |seed| -> Vec<Vec<u8>> {
            let mut dice = Dice::new(seed);
            (0..200).map(|n| mutate(&mut dice, &originals[n % 20], &originals)).collect()
        };
        assert_eq!(all(4), all(4));
        assert_ne!(all(4), all(5));
    }

    #[test]
    fn most_mutations_leave_the_first_bytes_as_they_were() {
        let original = noise(&mut Dice::new(1), 200);
        let mut dice = Dice::new(6);
        let kept = (0..1000).filter(|_| mutate(&mut dice, &original, &[]).starts_with(&original[..6])).count();
        assert!(kept > 500, "{kept}");
    }
}
