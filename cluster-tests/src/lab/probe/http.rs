//! `probe http`: an open loop of requests, each on a new connection started when it is due, thousands in flight if need be.

use super::Plan;
use super::early;
use super::outage::{Gap, Outage};
use super::target::HttpTarget;
use super::waker::Waker;
use crate::lab::ticks;
use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Longest answer that is looked at.
const ANSWER_MAX: usize = 64 * 1024;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Answered(String),
    Failed(&'static str),
}

struct Request {
    start: Duration,
    socket: Option<OwnedFd>,
    asked: bool,
    heard: Vec<u8>,
    /// Once known: when, and what.
    fate: Option<(Duration, Fate)>,
}

/// What the probe saw.
#[derive(Debug)]
pub struct Seen {
    sent: usize,
    answered: usize,
    gap: Gap,
    servers: BTreeMap<String, usize>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        write!(
            f,
            "sent={} ok={} failed={} outage_ms={} outage_at_ms={} servers={}",
            self.sent,
            self.answered,
            self.sent - self.answered,
            ticks::ms(self.gap.length),
            ticks::ms(self.gap.at),
            if servers.is_empty() { "-".to_owned() } else { servers.join(",") },
        )
    }
}

/// Sends requests as planned and waits for the last answer or its timeout.
pub fn run(target: &HttpTarget, plan: &Plan) -> Result<Seen> {
    let mut waker = Waker::new()?;
    let mut requests: Vec<Request> = Vec::new();
    let mut open: VecDeque<usize> = VecDeque::new();
    let mut outage = Outage::default();
    let start = ticks::now();
    let (mut count, mut span) = (usize::try_from(plan.count())?, plan.span);
    early::listen()?;
    loop {
        let now = ticks::now();
        if early::asked() && count > requests.len() {
            (count, span) = (requests.len(), now - start);
        }
        while requests.len() < count && start + plan.every * u32::try_from(requests.len())? <= now {
            let key = requests.len();
            requests.push(begin(target, now, key, &waker)?);
            open.push_back(key);
        }
        // Requests time out in the order they were started, so only the front of the queue has to be looked at.
        while let Some(&key) = open.front() {
            let request = &mut requests[key];
            let late = now >= request.start + plan.timeout;
            if late {
                request.decide(now, Fate::Failed("timeout"));
                request.socket = None;
            }
            if !late && request.socket.is_some() {
                break;
            }
            open.pop_front();
        }
        let next_start = (requests.len() < count).then(|| start + plan.every * u32::try_from(requests.len()).unwrap_or(u32::MAX));
        let next_timeout = open.front().map(|&key| requests[key].start + plan.timeout);
        let undecided = open.iter().any(|&key| requests[key].fate.is_none());
        let due = match (next_start, next_timeout) {
            (None, _) if !undecided => break,
            (None, None) => break,
            (Some(one), Some(other)) => one.min(other),
            (Some(one), None) | (None, Some(one)) => one,
        };
        for key in waker.sleep_until(due)? {
            let request = &mut requests[usize::try_from(key)?];
            let undecided = request.fate.is_none();
            request.stir(target, key, &waker)?;
            if undecided && let Some((at, Fate::Answered(_))) = &request.fate {
                outage.answered(at.saturating_sub(start));
            }
        }
    }
    if let Some(path) = &plan.log {
        write_log(path, start, &requests).with_context(|| format!("write {}", path.display()))?;
    }
    let mut servers = BTreeMap::new();
    for request in &requests {
        if let Some((_, Fate::Answered(name))) = &request.fate {
            *servers.entry(name.clone()).or_insert(0) += 1;
        }
    }
    let answered = servers.values().sum();
    Ok(Seen { sent: requests.len(), answered, gap: outage.end(span), servers })
}

fn begin(target: &HttpTarget, now: Duration, key: usize, waker: &Waker) -> Result<Request> {
    let family = if target.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
        .context("create a socket (too many in flight? lower --timeout or raise --every)")?;
    let mut request = Request { start: now, socket: None, asked: false, heard: Vec::new(), fate: None };
    match rustix::net::connect(&socket, &target.address) {
        Ok(()) | Err(Errno::INPROGRESS) => {
            waker.add(&socket, u64::try_from(key)?, EventFlags::OUT)?;
            request.socket = Some(socket);
        }
        Err(error) => request.decide(now, Fate::Failed(cause(error))),
    }
    Ok(request)
}

fn cause(error: Errno) -> &'static str {
    match error {
        Errno::CONNREFUSED => "refused",
        Errno::CONNRESET | Errno::PIPE => "reset",
        Errno::HOSTUNREACH | Errno::NETUNREACH => "unreachable",
        Errno::TIMEDOUT => "timeout",
        _ => "error",
    }
}

impl Request {
    fn decide(&mut self, now: Duration, fate: Fate) {
        self.fate.get_or_insert((now, fate));
    }

    fn fail(&mut self, error: Errno) {
        self.decide(ticks::now(), Fate::Failed(cause(error)));
        self.socket = None;
    }

    /// The socket stirred: ask if we have not asked, else listen. An answered request keeps its socket until the server
    /// has closed, so that the client collects no TIME_WAIT and IPVS sees an orderly end.
    fn stir(&mut self, target: &HttpTarget, key: u64, waker: &Waker) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        if !self.asked {
            if let Err(error) = rustix::net::sockopt::socket_error(socket)? {
                self.fail(error);
                return Ok(());
            }
            match rustix::net::send(socket, &target.request, rustix::net::SendFlags::NOSIGNAL) {
                Ok(_) => waker.change(socket, key, EventFlags::IN)?,
                Err(error) => self.fail(error),
            }
            self.asked = true;
            return Ok(());
        }
        let mut buffer = [0u8; 4096];
        let ended = match rustix::io::read(socket, &mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                self.heard.extend_from_slice(&buffer[..count]);
                self.heard.len() > ANSWER_MAX
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(error) => {
                self.fail(error);
                return Ok(());
            }
        };
        if let Some(fate) = read_answer(&self.heard, ended) {
            self.decide(ticks::now(), fate);
        }
        if ended {
            self.socket = None;
        }
        Ok(())
    }
}

/// The fate that an answer means, once enough of it has come.
fn read_answer(heard: &[u8], ended: bool) -> Option<Fate> {
    let cut = heard.windows(4).position(|end| end == b"\r\n\r\n");
    let Some(cut) = cut else {
        return ended.then_some(Fate::Failed("closed"));
    };
    let head = String::from_utf8_lossy(&heard[..cut]);
    let body = &heard[cut + 4..];
    let length = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if !ended && length.is_none_or(|length| body.len() < length) {
        return None;
    }
    if length.is_some_and(|length| body.len() < length) {
        return Some(Fate::Failed("closed"));
    }
    if head.split_whitespace().nth(1) != Some("200") {
        return Some(Fate::Failed("status"));
    }
    let first = String::from_utf8_lossy(body).lines().next().unwrap_or("").trim().chars().take(32).collect::<String>();
    let name: String =
        first.chars().map(|letter| if letter.is_whitespace() || letter == ',' || letter == ':' { '_' } else { letter }).collect();
    Some(Fate::Answered(if name.is_empty() { "?".to_owned() } else { name }))
}

fn write_log(path: &std::path::Path, start: Duration, requests: &[Request]) -> Result<()> {
    let mut log = BufWriter::new(std::fs::File::create(path)?);
    for request in requests {
        let at = (request.start.saturating_sub(start)).as_secs_f64() * 1e3;
        let Some((end, fate)) = &request.fate else {
            continue;
        };
        let took = end.saturating_sub(request.start).as_secs_f64() * 1e3;
        match fate {
            Fate::Answered(server) => writeln!(log, "{at:.1} {took:.1} ok {server}")?,
            Fate::Failed(why) => writeln!(log, "{at:.1} {took:.1} {why} -")?,
        }
    }
    Ok(log.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_its_body_is_complete() {
        let whole = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nr1\n";
        assert_eq!(read_answer(whole, false), Some(Fate::Answered("r1".into())));
        assert_eq!(read_answer(&whole[..whole.len() - 1], false), None);
        assert_eq!(read_answer(&whole[..whole.len() - 1], true), Some(Fate::Failed("closed")));
        assert_eq!(read_answer(b"HTTP/1.0 200 OK\r\n\r\nr1", false), None);
        assert_eq!(read_answer(b"HTTP/1.0 200 OK\r\n\r\nr1", true), Some(Fate::Answered("r1".into())));
    }

    #[test]
    fn another_status_than_200_is_a_failure() {
        assert_eq!(read_answer(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false), Some(Fate::Failed("status")));
        assert_eq!(read_answer(b"", true), Some(Fate::Failed("closed")));
    }
}
