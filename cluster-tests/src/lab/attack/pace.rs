//! How fast an attack goes: in small bursts with pauses, so that what is sent arrives at the parsers instead of filling queues.

use std::time::Duration;

/// A socket's receive queue holds some hundred small datagrams, or 200 kB (net.core.rmem_default).
const BURST: u32 = 32;
const BURST_BYTES: usize = 32 * 1024;
/// In virtual time nothing passes before everyone has worked through the burst.
const PAUSE: Duration = Duration::from_millis(1);

/// Counts a burst and sleeps after it.
#[derive(Debug, Default)]
pub struct Pace {
    sent: u32,
    bytes: usize,
}

impl Pace {
    /// Call it after each thing that is sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.bytes += bytes;
        if self.sent >= BURST || self.bytes >= BURST_BYTES {
            *self = Self::default();
            std::thread::sleep(PAUSE);
        }
    }
}
