//! The web server of a real server: one epoll loop that answers `GET` with its name and echoes everything else.
//!
//! The first bytes of a connection decide: `GET ` makes it HTTP/1.0, anything else an echo for as long as the client likes.
//! It writes no log, forks nothing, and sleeps whenever there is nothing to do.

use anyhow::{Context, Result};
use rustix::event::epoll;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

/// Requests longer than this are cut off unanswered.
const REQUEST_MAX: usize = 16 * 1024;

enum Talk {
    /// Not enough seen yet, or a request whose headers are not complete.
    Listening(Vec<u8>),
    Echo,
    /// Answered; waiting for the client to close.
    Answered,
}

struct Client {
    stream: TcpStream,
    talk: Talk,
}

/// What to do with a connection after reading from it.
#[derive(PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

/// Serves for ever.
pub fn serve(name: &str, ports: &[u16]) -> Result<()> {
    let body = format!("{name}\n");
    let answer = format!(
        "HTTP/1.0 200 OK\r\nServer: lvs-lab\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("create an epoll")?;
    let mut listeners = Vec::new();
    for &port in ports {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = TcpListener::bind(address).with_context(|| format!("listen on port {port}"))?;
        // std listens with a backlog of 128; a burst of the prober is larger.
        rustix::net::listen(&listener, 4096).context("enlarge the backlog")?;
        listener.set_nonblocking(true)?;
        let key = u64::try_from(listeners.len())?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
        listeners.push(listener);
    }
    let first_client = u64::try_from(listeners.len())?;
    let mut clients: HashMap<u64, Client> = HashMap::new();
    let mut next_key = first_client;
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for clients"),
        }
        for event in &events {
            let key = event.data.u64();
            if key < first_client {
                let listener = &listeners[usize::try_from(key)?];
                accept_all(listener, &poll, &mut clients, &mut next_key);
            } else if let Some(client) = clients.get_mut(&key)
                && client.hear(answer.as_bytes()) == Next::Close
            {
                clients.remove(&key);
            }
        }
    }
}

fn accept_all(listener: &TcpListener, poll: &OwnedFd, clients: &mut HashMap<u64, Client>, next_key: &mut u64) {
    while let Ok((stream, _)) = listener.accept() {
        let ready = stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok();
        let data = epoll::EventData::new_u64(*next_key);
        if ready && epoll::add(poll.as_fd(), &stream, data, epoll::EventFlags::IN).is_ok() {
            clients.insert(*next_key, Client { stream, talk: Talk::Listening(Vec::new()) });
            *next_key += 1;
        }
    }
}

impl Client {
    fn hear(&mut self, answer: &[u8]) -> Next {
        let mut buffer = [0u8; 16 * 1024];
        let heard = match self.stream.read(&mut buffer) {
            Ok(0) => return Next::Close,
            Ok(count) => &buffer[..count],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Next::Keep;
            }
            Err(_) => return Next::Close,
        };
        match &mut self.talk {
            Talk::Echo => self.say(heard),
            Talk::Answered => Next::Keep,
            Talk::Listening(so_far) => {
                so_far.extend_from_slice(heard);
                if !so_far.starts_with(&b"GET "[..so_far.len().min(4)]) {
                    let said = std::mem::take(so_far);
                    self.talk = Talk::Echo;
                    return self.say(&said);
                }
                if so_far.windows(4).any(|end| end == b"\r\n\r\n") {
                    self.talk = Talk::Answered;
                    let next = self.say(answer);
                    return if self.stream.shutdown(Shutdown::Write).is_ok() { next } else { Next::Close };
                }
                if so_far.len() > REQUEST_MAX { Next::Close } else { Next::Keep }
            }
        }
    }

    /// A client that does not read its answers fast enough for the socket's buffer is let go: no queue to bound.
    fn say(&mut self, bytes: &[u8]) -> Next {
        match self.stream.write_all(bytes) {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }
}
