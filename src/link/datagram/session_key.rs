//! The X25519 key (RFC 7748) of one start of a process, from which it has a secret with each start of another's.

use super::size::PUBLIC_BYTES;
use ring::rand::{SecureRandom, SystemRandom};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// Made at the start, on no disk; wiped when dropped.
pub(super) struct SessionKey {
    secret: StaticSecret,
    public: PublicKey,
}

/// What two sessions, and nobody else, can compute. Wiped when dropped.
pub(super) struct Shared(SharedSecret);

impl SessionKey {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *bytes).expect("the kernel gives randomness");
        Self::from_bytes(&bytes)
    }

    /// That of these random bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*bytes);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    /// What others are told.
    pub fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.public.to_bytes()
    }

    /// The secret with the holder of that key; `None` if the key is one of those with which everybody's secret is zero (RFC 7748 §6.1).
    pub fn agree(&self, public: [u8; PUBLIC_BYTES]) -> Option<Shared> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(public));
        shared.was_contributory().then_some(Shared(shared))
    }
}

impl Shared {
    /// The bytes, for the one who derives keys from them.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> [u8; 32] {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    /// RFC 7748 §6.1.
    #[test]
    fn two_keys_have_the_secret_that_the_standard_says() {
        let alice = SessionKey::from_bytes(&bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob = SessionKey::from_bytes(&bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        let secret = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(alice.agree(bob.public()).unwrap().expose(), &secret);
        assert_eq!(bob.agree(alice.public()).unwrap().expose(), &secret);
        assert!(SessionKey::generate().agree(bob.public()).unwrap().expose() != &secret);
    }

    /// All points of low order, as far as 32 bytes can name them.
    #[test]
    fn keys_whose_secret_everybody_knows_are_no_keys() {
        let key = SessionKey::generate();
        for low in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(key.agree(bytes(low)).is_none(), "{low}");
        }
    }
}
