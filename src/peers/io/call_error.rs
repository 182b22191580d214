//! Why a question got no answer.

use crate::{
    link::{codec::CodecError, frame::FrameError},
    peers::hello::HelloRefusal,
};
use std::{error::Error, fmt, io, net::SocketAddr, time::Duration};

/// See the variants. It is read in lists of what was tried, so it tells its causes itself, and `source()` has none of them again. Where the list has
/// said already who was asked, [`CallError::why`] is all that is left to say.
#[derive(Debug)]
pub enum CallError {
    /// Nobody listens there.
    Connect {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// One does not believe the other.
    Tls {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another node has that address now.
    SomebodyElse {
        /// Where.
        addr: SocketAddr,
        /// Who.
        found: String,
    },
    /// The other side does not talk to us.
    Refused {
        /// Who.
        addr: SocketAddr,
        /// Why.
        refusal: HelloRefusal,
    },
    /// The connection broke.
    Broken {
        /// Who.
        addr: SocketAddr,
        /// Why.
        source: FrameError,
    },
    /// The other side closed the connection instead of answering.
    Closed {
        /// Who.
        addr: SocketAddr,
    },
    /// No answer in time.
    Late {
        /// Who.
        addr: SocketAddr,
        /// The deadline.
        within: Duration,
    },
    /// The other side has heard the question and could not answer it.
    Failed {
        /// Who.
        addr: SocketAddr,
        /// Its words.
        why: String,
    },
    /// The answer is none to this question.
    Answer {
        /// Who.
        addr: SocketAddr,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The question is too long to be sent.
    TooLong {
        /// To whom.
        addr: SocketAddr,
        /// How long it is.
        source: CodecError,
    },
    /// Enough connections are being made already.
    Connecting {
        /// Where.
        addr: SocketAddr,
    },
}

impl CallError {
    /// What went wrong, without the address.
    pub fn why(&self) -> String {
        match self {
            CallError::Connect { source, .. } => format!("cannot connect: {source}"),
            CallError::Tls { source, .. } => format!("no safe connection: {source}"),
            CallError::SomebodyElse { found, .. } => format!("another node answers there: {found}"),
            CallError::Refused { refusal, .. } => format!("it refuses to talk: {refusal}"),
            CallError::Broken { source, .. } => format!("the connection failed: {source}{}", deeper(source)),
            CallError::Closed { .. } => "it closed the connection".to_owned(),
            CallError::Late { within, .. } => format!("it did not answer within {within:?}"),
            CallError::Failed { why, .. } => why.clone(),
            CallError::Answer { source, .. } => format!("its answer is not understood: {source}"),
            CallError::TooLong { source, .. } => format!("the question cannot be sent: {source}"),
            CallError::Connecting { .. } => "it has not answered yet".to_owned(),
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            CallError::Connect { addr, .. }
            | CallError::Tls { addr, .. }
            | CallError::SomebodyElse { addr, .. }
            | CallError::Refused { addr, .. }
            | CallError::Broken { addr, .. }
            | CallError::Closed { addr }
            | CallError::Late { addr, .. }
            | CallError::Failed { addr, .. }
            | CallError::Answer { addr, .. }
            | CallError::TooLong { addr, .. }
            | CallError::Connecting { addr } => *addr,
        }
    }

    /// The question has certainly not been heard.
    pub fn is_unheard(&self) -> bool {
        match self {
            CallError::Connect { .. }
            | CallError::Tls { .. }
            | CallError::SomebodyElse { .. }
            | CallError::Refused { .. }
            | CallError::TooLong { .. }
            | CallError::Connecting { .. } => true,
            CallError::Broken { .. }
            | CallError::Closed { .. }
            | CallError::Late { .. }
            | CallError::Failed { .. }
            | CallError::Answer { .. } => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.addr(), self.why())
    }
}

impl Error for CallError {}

fn deeper(error: &FrameError) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;

    #[test]
    fn the_address_and_every_cause_are_said_once_with_all_that_caused_it() {
        let addr = SocketAddr::from(([10, 0, 0, 11], 7400));
        let cause = || io::Error::other("the cause");
        let within = Duration::from_secs(1);
        let errors = [
            CallError::Connect { addr, source: cause() },
            CallError::Tls { addr, source: cause() },
            CallError::SomebodyElse { addr, found: "the cause".to_owned() },
            CallError::Refused { addr, refusal: HelloRefusal::SomebodyElse { theirs: NodeId(7) } },
            CallError::Broken { addr, source: FrameError::Stream(cause()) },
            CallError::Closed { addr },
            CallError::Late { addr, within },
            CallError::Failed { addr, why: "the cause".to_owned() },
            CallError::Answer { addr, source: CodecError::LeftOver(3) },
            CallError::TooLong { addr, source: CodecError::TooLong { bytes: 3, limit: 2 } },
            CallError::Connecting { addr },
        ];
        for error in errors {
            let (mut said, mut cause) = (error.to_string(), error.source());
            while let Some(deeper) = cause {
                said = format!("{said}: {deeper}");
                cause = deeper.source();
            }
            assert!(said.starts_with("10.0.0.11:7400: ") && said.matches("10.0.0.11").count() == 1, "{said}");
            assert!(said.matches("the cause").count() <= 1, "{said}");
            assert_eq!(said, format!("10.0.0.11:7400: {}", error.why()));
        }
    }
}
