//! `wait-pool`: when directors begin, or cease, to send to a server, as their kernels have it.

use super::{hosts::Host, ipvs, report, ticks};
use anyhow::Result;
use std::time::Duration;

/// From one look to the next. Reading a table starts no process, so that looking costs little.
const EVERY: Duration = Duration::from_millis(5);

/// Waits for every director, and prints how long each took from now. The exit status.
pub fn wait(server: Host, directors: Vec<Host>, out: bool, within: Duration) -> Result<i32> {
    let begun = ticks::now();
    let mut left = directors;
    let mut failure = None;
    ticks::poll(within, EVERY, || {
        left.retain(|&director| match sends_to(director, server) {
            Ok(sends) if sends != out => {
                report::line(format!("{director} waited_ms={}", ticks::ms(ticks::now() - begun)));
                false
            }
            Ok(_) => true,
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        left.is_empty() || failure.is_some()
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(i32::from(!left.is_empty())),
    }
}

/// Some service of the director has the server with a weight above 0.
fn sends_to(director: Host, server: Host) -> Result<bool> {
    let table = ipvs::table(director)?;
    let mut servers = table.iter().flat_map(|service| &service.servers);
    Ok(servers.any(|(address, weight)| *address.ip() == server.address() && *weight > 0))
}
