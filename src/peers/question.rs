//! What nodes ask each other over TCP, as a connection sees it: a topic, the bytes of a question, and an answer of limited length. What the bytes
//! mean is known to the room that asks and answers.

use super::hello::HelloRefusal;
use crate::link::codec::{self, CodecError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// Longest question of a node that is no member yet: a signed request to join, or one for a certificate.
pub const MAX_STRANGERS_QUESTION_BYTES: usize = 4 << 10;
/// Longest question of a member: a snapshot of the cluster's state.
pub const MAX_QUESTION_BYTES: usize = (32 << 20) + (128 << 10);
/// Longest frame after the hello, either way.
pub const MAX_FRAME_BYTES: usize = MAX_QUESTION_BYTES + (1 << 10);
/// Longest answer to a request to join: a thousand members and some CAs.
const MAX_JOINED_BYTES: usize = 1 << 20;
/// Longest answer to anything else: how it went, a certificate chain, why not.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What a question is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Topic {
    /// A message of the Raft protocol.
    Raft,
    /// To the leader: commit this.
    Propose,
    /// To any member, from one that hears no leader: who votes?
    Voters,
    /// To any member: let me in. It is passed on to the leader as it is.
    Join,
    /// To a director: sign this request for a certificate.
    Certify,
    /// From a director to another: the private key of a CA.
    AuthorityKey,
    /// From a member to another: gossip that is too long for datagrams, see `link::parcel`.
    Parcel,
}

impl Topic {
    /// A node that is no member may ask this.
    pub fn is_for_strangers(self) -> bool {
        matches!(self, Topic::Join | Topic::Certify)
    }

    /// Longest answer, in bytes.
    pub fn answer_limit(self) -> usize {
        if self == Topic::Join { MAX_JOINED_BYTES } else { MAX_ANSWER_BYTES }
    }
}

/// A question with a known answer.
pub trait Ask: Serialize + DeserializeOwned + Sync {
    /// What it is about. One type a topic.
    const TOPIC: Topic;
    /// What comes back.
    type Answer: Serialize + DeserializeOwned;
}

/// The frame of a question.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// What it is about.
    pub topic: Topic,
    /// The [`Ask`] of that topic, encoded.
    pub body: Vec<u8>,
}

impl Question {
    /// The frame of `asked`.
    ///
    /// # Errors
    /// A question that is too long.
    pub fn of<Q: Ask>(asked: &Q) -> Result<Self, CodecError> {
        Ok(Self { topic: Q::TOPIC, body: codec::encode(asked, MAX_QUESTION_BYTES)? })
    }

    /// What is asked. `Q` must be of this question's topic.
    ///
    /// # Errors
    /// The reply to bytes that are no such question.
    pub fn read<Q: Ask>(&self) -> Result<Q, Reply> {
        debug_assert_eq!(self.topic, Q::TOPIC);
        codec::decode(&self.body, MAX_QUESTION_BYTES)
            .map_err(|error| Reply::Failed(format!("the question is not understood: {error}")))
    }
}

/// The frame of an answer.
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// The [`Ask::Answer`], encoded. It may hold a private key.
    Answer(Zeroizing<Vec<u8>>),
    /// This connection is of no use any more. It is closed.
    Refused(HelloRefusal),
    /// It could not be done here and now.
    Failed(String),
}

impl Reply {
    /// The answer to a question of the type `Q`.
    pub fn to<Q: Ask>(answer: &Q::Answer) -> Self {
        match codec::encode(answer, Q::TOPIC.answer_limit()) {
            Ok(bytes) => Reply::Answer(Zeroizing::new(bytes)),
            Err(error) => Reply::Failed(format!("the answer cannot be sent: {error}")),
        }
    }

    /// What `answered` gives, or why it could not be done.
    pub fn of<Q: Ask>(answered: Result<Q::Answer, String>) -> Self {
        answered.map_or_else(Reply::Failed, |answer| Self::to::<Q>(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Double(u32);

    impl Ask for Double {
        const TOPIC: Topic = Topic::Voters;
        type Answer = Vec<u8>;
    }

    #[test]
    fn a_question_is_read_as_it_was_asked_and_rubbish_is_answered() {
        let question = Question::of(&Double(7)).unwrap();
        assert_eq!(question.read::<Double>().ok(), Some(Double(7)));
        let rubbish = Question { topic: Topic::Voters, body: vec![255; 9] };
        assert!(matches!(rubbish.read::<Double>(), Err(Reply::Failed(why)) if why.starts_with("the question is not understood")));
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_failure() {
        assert!(matches!(Reply::to::<Double>(&vec![1; 9]), Reply::Answer(_)));
        assert!(matches!(Reply::to::<Double>(&vec![1; MAX_ANSWER_BYTES + 1]), Reply::Failed(_)));
        assert!(Topic::Join.answer_limit() > Topic::Certify.answer_limit());
    }
}
