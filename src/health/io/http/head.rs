//! Reads the head of a response as leniently as other clients do, and rewrites it for hyper, which is stricter. Pure.
//!
//! The rewritten head has the status and the headers that say where the body ends; a check needs no more. Interim responses (100, 103) are left out.

/// Longest head, with all interim responses before it.
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// Most bytes shown of something that is no head.
const MAX_SHOWN_BYTES: usize = 40;
/// What a status line begins with, in any case.
const HTTP: &[u8] = b"HTTP/";
/// The versions that curl accepts. A server that answers with 2 on such a connection means 1.1.
const VERSIONS: [&[u8]; 4] = [b"1.1", b"1.0", b"2", b"2.0"];
/// The headers that say where a body ends.
const FRAMING: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Why a response is refused before its head is whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadFault {
    /// The head is too long.
    #[error("the answer's head is longer than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    /// The server speaks another protocol.
    #[error("no HTTP response: the answer begins with {0:?}")]
    NotHttp(String),
}

/// The heads of one response, as they arrive.
#[derive(Debug, Default)]
pub struct Heads {
    /// The present head as far as it has arrived, and what follows it.
    buffer: Vec<u8>,
    /// The head does not end before this position.
    looked: usize,
    /// How many bytes came before it.
    passed: usize,
}

impl Heads {
    /// Takes bytes that have arrived. When the final head is whole, returns the rewritten head and all bytes that followed it.
    ///
    /// # Errors
    /// [`HeadFault`]; do not call it again then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, HeadFault> {
        self.buffer.extend_from_slice(bytes);
        loop {
            let blank = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.drop_first(blank);
            let status = status(&self.buffer)?;
            let end = end_of_head(&self.buffer, self.looked);
            if self.passed + end.unwrap_or(self.buffer.len()) > MAX_HEAD_BYTES {
                return Err(HeadFault::TooLong);
            }
            let (Some(status), Some(end)) = (status, end) else {
                self.looked = self.buffer.len().saturating_sub(2);
                return Ok(None);
            };
            // After 101 another protocol follows, so 101 counts as final.
            if status == 101 || !(100..200).contains(&status) {
                let mut strict = strict(status, &self.buffer[..end]);
                strict.extend_from_slice(&self.buffer[end..]);
                return Ok(Some(strict));
            }
            self.drop_first(end);
        }
    }

    fn drop_first(&mut self, bytes: usize) {
        if bytes > 0 {
            self.buffer.drain(..bytes);
            (self.looked, self.passed) = (0, self.passed + bytes);
        }
    }
}

/// The status, once the first line is whole.
fn status(head: &[u8]) -> Result<Option<u16>, HeadFault> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default().trim_ascii_end();
    let not_http = || HeadFault::NotHttp(String::from_utf8_lossy(&line[..line.len().min(MAX_SHOWN_BYTES)]).into_owned());
    let begins = &head[..head.len().min(HTTP.len())];
    if !begins.eq_ignore_ascii_case(&HTTP[..begins.len()]) {
        return Err(not_http());
    }
    if lines.next().is_none() {
        return Ok(None);
    }
    let mut words = line.get(HTTP.len()..).unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let (version, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_ascii_start());
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let code = digits.clone().fold(0, |code: u16, digit| code.saturating_mul(10).saturating_add(u16::from(digit - b'0')));
    let is_http = VERSIONS.contains(&version) && digits.count() == 3 && code >= 100;
    if is_http { Ok(Some(code)) } else { Err(not_http()) }
}

/// Where the empty line ends that ends the head. Lines end with LF; a CR before it is no part of them.
fn end_of_head(head: &[u8], from: usize) -> Option<usize> {
    let mut ends = (from..head.len()).filter(|at| head[*at] == b'\n');
    ends.find_map(|at| match &head[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn strict(status: u16, head: &[u8]) -> Vec<u8> {
    let mut strict = format!("HTTP/1.1 {status}").into_bytes();
    let mut kept = false;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // A folded line: it continues the header before it.
            if kept {
                strict.push(b' ');
                strict.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default().trim_ascii_end(), parts.next().unwrap_or_default());
        let framing = FRAMING.iter().find(|framing| name.eq_ignore_ascii_case(framing.as_bytes()));
        kept = framing.is_some();
        if let Some(framing) = framing {
            strict.extend_from_slice(format!("\r\n{framing}: ").as_bytes());
            strict.extend_from_slice(value.trim_ascii());
        }
    }
    strict.extend_from_slice(b"\r\n\r\n");
    strict
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Result<Option<Vec<u8>>, HeadFault> {
        Heads::default().take(bytes)
    }

    #[test]
    fn status_and_framing_are_left_of_a_head() {
        let head = b"http/1.0  200\x01\nServer : a\n b\nContent-Length :\n 2\r\ntransfer-ENCODING: chunked \n\nbody\n\n";
        let strict = "HTTP/1.1 200\r\nContent-Length:  2\r\nTransfer-Encoding: chunked\r\n\r\nbody\n\n";
        assert_eq!(whole(head).unwrap().map(|strict| String::from_utf8(strict).unwrap()), Some(strict.to_owned()));
    }

    #[test]
    fn the_bound_is_for_all_heads_together_and_exact() {
        let head = |length: usize| format!("HTTP/1.1 200\r\nX: {}\r\n\r\n", "y".repeat(length - 21)).into_bytes();
        let interim: &[u8] = b"HTTP/1.1 103\r\n\r\n";
        assert!(whole(&[&head(MAX_HEAD_BYTES)[..], b"body"].concat()).unwrap().is_some());
        assert_eq!(whole(&head(MAX_HEAD_BYTES + 1)), Err(HeadFault::TooLong));
        assert!(whole(&[interim, &head(MAX_HEAD_BYTES - interim.len())].concat()).unwrap().is_some());
        assert_eq!(whole(&[interim, &head(MAX_HEAD_BYTES)].concat()), Err(HeadFault::TooLong));
        assert_eq!(whole(&[b'\n'; MAX_HEAD_BYTES]), Ok(None));
        assert_eq!(whole(&[b'\n'; MAX_HEAD_BYTES + 1]), Err(HeadFault::TooLong));
    }

    #[test]
    fn what_is_no_head_is_refused_as_soon_as_it_shows() {
        assert_eq!(whole(b"220 mail"), Err(HeadFault::NotHttp("220 mail".to_owned())));
        assert_eq!(whole(b"HTT"), Ok(None));
        assert_eq!(whole(b"HTTP/1.1 20"), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_head_is_the_same_in_pieces(
            lines in prop::collection::vec("HTTP/1.1 (103|200) OK|Content-Length( |): ?2|[ \t]?[a-z:]{0,5}|", 0..8),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r\n")], 8),
            cuts in prop::collection::vec(1..9_usize, 1..100),
        ) {
            let text: String = lines.iter().zip(ends).flat_map(|(line, end)| [line.as_str(), end]).collect();
            let bytes = [b"HTTP/1.1 200 OK\r\n", text.as_bytes()].concat();
            let (mut heads, mut rest, mut cuts) = (Heads::default(), &bytes[..], cuts.into_iter().cycle());
            let mut in_pieces = Ok(None);
            while !rest.is_empty() && in_pieces == Ok(None) {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                (in_pieces, rest) = (heads.take(piece), after);
            }
            let in_pieces = in_pieces.map(|strict| strict.map(|strict| [&strict, rest].concat()));
            prop_assert_eq!(in_pieces.is_ok(), whole(&bytes).is_ok());
            if in_pieces.is_ok() {
                prop_assert_eq!(in_pieces, whole(&bytes));
            }
        }
    }
}
