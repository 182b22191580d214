//! Capture files (pcap, Ethernet), as tcpdump and wireshark read them.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Microseconds, in the writer's byte order.
const MAGIC: u32 = 0xa1b2_c3d4;
const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 16;
const ETHERNET: u32 = 1;
/// Segmentation offload makes frames far longer than a cable takes.
pub const MAX_FRAME_BYTES: usize = 256 * 1024;

/// Writes one.
pub struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    /// Begins a file.
    pub fn create(path: &Path) -> Result<Self> {
        let mut file = BufWriter::new(File::create(path).with_context(|| format!("create {}", path.display()))?);
        file.write_all(&MAGIC.to_ne_bytes())?;
        file.write_all(&[2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat())?;
        let longest = u32::try_from(MAX_FRAME_BYTES).unwrap_or(u32::MAX);
        file.write_all(&[0, 0, longest, ETHERNET].map(u32::to_ne_bytes).concat())?;
        Ok(Self { file })
    }

    /// Adds a frame.
    pub fn add(&mut self, at: Duration, frame: &[u8]) -> Result<()> {
        let length = u32::try_from(frame.len()).context("a frame is never that long")?;
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        self.file.write_all(&[seconds, at.subsec_micros(), length, length].map(u32::to_ne_bytes).concat())?;
        Ok(self.file.write_all(frame)?)
    }

    /// Gives everything to the file, so that it is good if this process ends now.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.file.flush()?)
    }
}

/// Every frame of a file. A last one that is cut off is left out, as with a capture that was killed.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    frames(&bytes).with_context(|| format!("understand {}", path.display()))
}

fn frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let number = |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    if number(0) != Some(MAGIC) || number(20) != Some(ETHERNET) {
        bail!("this is no capture of Ethernet frames by a machine of this kind");
    }
    let (mut at, mut frames) = (HEADER_BYTES, Vec::new());
    while let Some(length) = number(at + 8) {
        let length = length as usize;
        if length > MAX_FRAME_BYTES {
            bail!("a frame of {length} bytes at byte {at}");
        }
        at += RECORD_BYTES;
        let Some(frame) = bytes.get(at..at + length) else { break };
        frames.push(frame.to_vec());
        at += length;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_and_a_torn_one_is_left_out() {
        let path = std::env::temp_dir().join(format!("lvs-lab-pcap-{}", std::process::id()));
        let mut writer = Writer::create(&path).unwrap();
        writer.add(Duration::new(7, 5000), b"first").unwrap();
        writer.add(Duration::new(8, 0), b"").unwrap();
        writer.add(Duration::new(9, 0), b"last").unwrap();
        writer.flush().unwrap();
        assert_eq!(read(&path).unwrap(), [b"first".to_vec(), Vec::new(), b"last".to_vec()]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(frames(&bytes[..bytes.len() - 1]).unwrap().len(), 2);
        assert!(frames(b"GIF89a, and so on, longer than a header").is_err());
    }
}
