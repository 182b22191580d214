//! Join tokens: a token proves the cluster to a joining node, and the joining node to the cluster.
//!
//! A token is 16 random bytes, from which an Ed25519 key follows, the first 16 bytes of the fingerprint of the cluster's CA, and a checksum,
//! as `lvs1_` and base32. The cluster keeps the public key only, so no member can use a token that it has seen the use of, and a captured use is worth
//! nothing for another node.

use super::node_key::{Purpose, Signature, public_of, sign_with};
use crate::model::{Fingerprint, PublicKey, TokenId};
use data_encoding::BASE32_NOPAD;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::Ed25519KeyPair,
};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// Bytes of the CA's fingerprint in a token.
pub const PIN_BYTES: usize = 16;

const PREFIX: &str = "lvs1_";
const SEED_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;
const WHOLE_BYTES: usize = SEED_BYTES + PIN_BYTES + CHECK_BYTES;
/// 8 bits a byte, 5 bits a letter.
const LETTERS: usize = (WHOLE_BYTES * 8).div_ceil(5);
/// Stands before the seed, so that the key is for nothing else.
const KEY_OF: &[u8] = b"lvs-agent join token key 1\0";

/// A join token, wiped when dropped. [`JoinToken::text`] is the secret itself; Debug shows the id only.
#[derive(Clone)]
pub struct JoinToken {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    pin: [u8; PIN_BYTES],
}

/// Why a text is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadToken {
    /// It does not begin like one.
    #[error("this is not a join token: one begins with `lvs1_`; make one with `lvs-agent token create` on a director")]
    NotOne,
    /// Letters are missing or wrong.
    #[error("the join token is damaged: copy it again, whole")]
    Damaged,
}

impl JoinToken {
    /// A new one for the cluster whose CA has this fingerprint.
    pub fn make(authority: Fingerprint) -> Self {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        SystemRandom::new().fill(&mut *seed).expect("the kernel gives randomness");
        Self { seed, pin: pin_of(&authority) }
    }

    /// What a person copies. It is the secret: show it once, to the one who asked for it.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; WHOLE_BYTES]);
        bytes[..SEED_BYTES].copy_from_slice(&*self.seed);
        bytes[SEED_BYTES..][..PIN_BYTES].copy_from_slice(&self.pin);
        let check = check_of(&bytes);
        bytes[SEED_BYTES + PIN_BYTES..].copy_from_slice(&check);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + LETTERS));
        text.push_str(PREFIX);
        BASE32_NOPAD.encode_append(&*bytes, &mut text);
        text.make_ascii_lowercase();
        text
    }

    /// Its id.
    pub fn id(&self) -> TokenId {
        let digest = digest(&SHA256, &self.public().0);
        TokenId(digest.as_ref()[..8].try_into().expect("SHA-256 is 32 bytes"))
    }

    /// The public key, which the cluster keeps.
    pub fn public(&self) -> PublicKey {
        public_of(&self.pair())
    }

    /// Whether it was made for the cluster with this CA.
    pub fn is_for(&self, authority: &Fingerprint) -> bool {
        self.pin == pin_of(authority)
    }

    /// How the fingerprint of that CA begins ([`super::tls::Trust::Pinned`]).
    pub fn pin(&self) -> [u8; PIN_BYTES] {
        self.pin
    }

    /// Signs a request to join ([`Purpose::Token`]).
    pub fn sign(&self, message: &[u8]) -> Signature {
        sign_with(&self.pair(), Purpose::Token, message)
    }

    /// The key that follows from the seed.
    fn pair(&self) -> Ed25519KeyPair {
        let mut text = Zeroizing::new([0; KEY_OF.len() + SEED_BYTES]);
        text[..KEY_OF.len()].copy_from_slice(KEY_OF);
        text[KEY_OF.len()..].copy_from_slice(&*self.seed);
        Ed25519KeyPair::from_seed_unchecked(digest(&SHA256, &*text).as_ref()).expect("an Ed25519 seed is any 32 bytes")
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let letters = text.trim().strip_prefix(PREFIX).ok_or(BadToken::NotOne)?;
        if letters.len() != LETTERS {
            return Err(BadToken::Damaged);
        }
        let letters = Zeroizing::new(letters.to_ascii_uppercase());
        let mut bytes = Zeroizing::new([0; WHOLE_BYTES]);
        match BASE32_NOPAD.decode_mut(letters.as_bytes(), &mut *bytes) {
            Ok(WHOLE_BYTES) if bytes[SEED_BYTES + PIN_BYTES..] == check_of(&bytes) => {}
            _ => return Err(BadToken::Damaged),
        }
        let mut token = Self { seed: Zeroizing::new([0; SEED_BYTES]), pin: [0; PIN_BYTES] };
        token.seed.copy_from_slice(&bytes[..SEED_BYTES]);
        token.pin.copy_from_slice(&bytes[SEED_BYTES..][..PIN_BYTES]);
        Ok(token)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.id())
    }
}

fn pin_of(authority: &Fingerprint) -> [u8; PIN_BYTES] {
    authority.0[..PIN_BYTES].try_into().expect("a fingerprint is 32 bytes")
}

fn check_of(bytes: &[u8; WHOLE_BYTES]) -> [u8; CHECK_BYTES] {
    let digest = digest(&SHA256, &bytes[..SEED_BYTES + PIN_BYTES]);
    digest.as_ref()[..CHECK_BYTES].try_into().expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::node_key;
    use proptest::prelude::*;

    #[test]
    fn the_form_of_a_token_is_fixed() {
        // Seed 0, 1, …; pin 0xaa. The checksum is `sha256sum`'s, the letters are `base32`'s.
        let token = JoinToken { seed: Zeroizing::new(std::array::from_fn(|at| at as u8)), pin: [0xaa; 16] };
        assert_eq!(*token.text(), FIXED);
        assert_eq!(FIXED.parse::<JoinToken>().unwrap().public(), token.public());
        assert_eq!(format!("{token:?}"), format!("token {}", token.id()));
    }

    const FIXED: &str = "lvs1_aaaqeayeaudaocajbifqydiob6vkvkvkvkvkvkvkvkvkvkvkvkvdnxytn4";

    #[test]
    fn a_token_is_for_the_cluster_it_was_made_for_and_signs_with_the_key_that_the_cluster_keeps() {
        let token = JoinToken::make(Fingerprint([7; 32]));
        assert!(token.is_for(&Fingerprint([7; 32])));
        assert!(!token.is_for(&Fingerprint([8; 32])));
        let read: JoinToken = format!(" \n{}\t\n", *token.text()).parse().unwrap();
        assert_eq!((read.id(), read.pin()), (token.id(), [7; 16]));
        assert!(node_key::verify(&token.public(), Purpose::Token, b"me", &read.sign(b"me")));
        assert!(!node_key::verify(&JoinToken::make(Fingerprint([7; 32])).public(), Purpose::Token, b"me", &read.sign(b"me")));
    }

    #[test]
    fn what_a_person_may_get_wrong_is_told_apart() {
        let text = JoinToken::make(Fingerprint([7; 32])).text();
        assert_eq!("".parse::<JoinToken>().unwrap_err(), BadToken::NotOne);
        assert_eq!("s3cret".parse::<JoinToken>().unwrap_err(), BadToken::NotOne);
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>().unwrap_err(), BadToken::Damaged);
        assert_eq!(format!("{}a", *text).parse::<JoinToken>().unwrap_err(), BadToken::Damaged);
        assert!(text.to_uppercase().replace("LVS1_", "lvs1_").parse::<JoinToken>().is_ok());
    }

    proptest! {
        #[test]
        fn one_wrong_letter_is_noticed(at in 0..LETTERS, letter in "[a-z2-7]") {
            let text = JoinToken::make(Fingerprint([7; 32])).text();
            let mut wrong = text.clone();
            wrong.replace_range(PREFIX.len() + at..=PREFIX.len() + at, &letter);
            prop_assert_eq!(wrong.parse::<JoinToken>().is_ok(), wrong == text);
        }

        #[test]
        fn no_text_is_a_panic(text: String, letters in "\\PC{58}") {
            let _ = text.parse::<JoinToken>();
            let _ = format!("{PREFIX}{text}").parse::<JoinToken>();
            let _ = format!("{PREFIX}{letters}").parse::<JoinToken>();
        }
    }
}
