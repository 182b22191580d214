//! `probe tcp`: one long-lived echo connection, and the longest time it was silent.

use super::Plan;
use super::outage::Outage;
use super::target::TcpTarget;
use super::waker::Waker;
use crate::lab::ticks;
use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::fmt;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

const MESSAGE: [u8; 32] = *b"lvs-lab probe: are you there? .\n";

/// How the connection stood at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that was sent came back.
    Alive,
    /// Refused, reset or closed by the other side.
    Reset,
    /// Something sent did not come back in time.
    Timeout,
}

/// What the probe saw.
#[derive(Debug)]
pub struct Seen {
    sent: u64,
    echoed: u64,
    stall: Duration,
    end: End,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            End::Alive => "alive",
            End::Reset => "reset",
            End::Timeout => "timeout",
        };
        write!(f, "sent={} echoed={} stall_ms={} end={end}", self.sent, self.echoed, ticks::ms(self.stall))
    }
}

struct Line {
    socket: OwnedFd,
    connected: bool,
    /// Bytes handed to the kernel and bytes that came back.
    out: u64,
    back: u64,
    /// Bytes that are due and that the kernel has not taken yet.
    rest: usize,
}

/// Sends a message every `plan.every`, on one connection, and waits for the last echo.
pub fn run(TcpTarget(address): TcpTarget, plan: &Plan) -> Result<Seen> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket =
        socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None).context("create a socket")?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    let mut log = plan.log.as_ref().map(std::fs::File::create).transpose().context("open the log")?;
    let mut waker = Waker::new()?;
    let mut line = Line { socket, connected: false, out: 0, back: 0, rest: 0 };
    let start = ticks::now();
    let stop = start + plan.span;
    let mut outage = Outage::default();
    let mut sent = 0u64;
    let mut due = start;
    let size = MESSAGE.len() as u64;
    let begun = match rustix::net::connect(&line.socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => waker.add(&line.socket, 0, EventFlags::OUT | EventFlags::IN).map(|()| true)?,
        Err(_) => false,
    };
    let end = loop {
        if !begun {
            break End::Reset;
        }
        let now = ticks::now();
        let overdue = !line.connected || line.out > line.back || line.rest > 0;
        if now >= stop && (!overdue || now >= stop + plan.timeout) {
            break if overdue { End::Timeout } else { End::Alive };
        }
        if !line.connected && now >= start + plan.timeout {
            break End::Timeout;
        }
        let next = match (now < stop, line.connected) {
            (true, true) => due.min(stop),
            (true, false) => start + plan.timeout,
            (false, _) => stop + plan.timeout,
        };
        let stirred = !waker.sleep_until(next)?.is_empty();
        let now = ticks::now();
        if stirred && !line.connected {
            if rustix::net::sockopt::socket_error(&line.socket)?.is_err() {
                break End::Reset;
            }
            line.connected = true;
            due = now;
            waker.change(&line.socket, 0, EventFlags::IN)?;
        }
        if !line.connected {
            continue;
        }
        let Ok(heard) = line.hear() else { break End::Reset };
        if heard > 0 {
            outage.answered(now - start);
            if let Some(log) = &mut log {
                writeln!(log, "{:.1} {}", (now - start).as_secs_f64() * 1e3, line.back / size)?;
            }
        }
        while due <= now && due < stop {
            due += plan.every;
            sent += 1;
            line.rest += MESSAGE.len();
        }
        if !line.say() {
            break End::Reset;
        }
    };
    let over = ticks::now() - start;
    let last = if end == End::Alive { over.min(plan.span) } else { over };
    Ok(Seen { sent, echoed: line.back / size, stall: outage.end(last).length, end })
}

impl Line {
    /// Sends what is due; false when the connection is broken. A full socket buffer is no error: the message counts as
    /// sent and goes out as soon as there is room.
    fn say(&mut self) -> bool {
        while self.rest > 0 {
            let part = &MESSAGE[MESSAGE.len() - ((self.rest - 1) % MESSAGE.len() + 1)..];
            match rustix::net::send(&self.socket, part, rustix::net::SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.rest -= count;
                    self.out += count as u64;
                }
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Bytes that came back just now; an error when the other side has gone.
    fn hear(&mut self) -> Result<u64, ()> {
        let mut buffer = [0u8; 4096];
        let mut total = 0;
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => return Err(()),
                Ok(count) => total += count as u64,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(()),
            }
        }
        self.back += total;
        Ok(total)
    }
}
