//! Frames on a byte stream: four bytes of length (big-endian), then one value in the project's codec.

use crate::link::codec::{self, CodecError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Memory for a frame before its bytes arrive. Frames with a private key in them are far shorter.
const AT_ONCE: usize = 16 << 10;

/// Why a frame could not be read or written. The stream is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed, or ended inside a frame.
    #[error("stream failed")]
    Stream(#[source] std::io::Error),
    /// The other side announces more than is allowed.
    #[error("frame of {bytes} bytes is longer than the limit of {limit}")]
    TooLong {
        /// How long it says it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The frame holds no such value, or the value makes too long a frame.
    #[error("frame is not understood")]
    Codec(#[source] CodecError),
}

/// Reads one value. `None`: the stream ended between two frames.
///
/// Not cancel-safe: bytes read by a call that is dropped are lost. Give a reader a task of its own. Waits as long as the other side does;
/// where that matters, the caller sets the deadline.
pub async fn read_frame<T: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<T>, FrameError> {
    let Some(bytes) = read_length(reader).await? else { return Ok(None) };
    if bytes > limit {
        return Err(FrameError::TooLong { bytes, limit });
    }
    // Grows with what arrives, so that a length alone takes no memory; but not while it may hold a key: a buffer that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(bytes.min(AT_ONCE) + 1));
    reader.take(bytes as u64).read_to_end(&mut body).await.map_err(FrameError::Stream)?;
    if body.len() < bytes {
        return Err(ended_inside_a_frame());
    }
    codec::decode(&body, limit).map(Some).map_err(FrameError::Codec)
}

/// Writes one value and flushes. Not cancel-safe: a call that is dropped may have written half a frame.
pub async fn write_frame<T: Serialize>(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &T,
    limit: usize,
) -> Result<(), FrameError> {
    let body = Zeroizing::new(codec::encode(value, limit.min(u32::MAX as usize)).map_err(FrameError::Codec)?);
    let length = u32::try_from(body.len()).expect("encode was told this limit");
    // One buffer, one write: a frame is not split into two packets for its length.
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + body.len()));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    writer.write_all(&frame).await.map_err(FrameError::Stream)?;
    writer.flush().await.map_err(FrameError::Stream)
}

async fn read_length(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<usize>, FrameError> {
    let mut length = [0_u8; 4];
    let mut filled = 0;
    while filled < length.len() {
        match reader.read(&mut length[filled..]).await.map_err(FrameError::Stream)? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(ended_inside_a_frame()),
            count => filled += count,
        }
    }
    Ok(Some(u32::from_be_bytes(length) as usize))
}

fn ended_inside_a_frame() -> FrameError {
    FrameError::Stream(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "stream ended inside a frame"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &text, 1000).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_and_then_the_end() {
        let bytes = [written("one").await, written("").await].concat();
        let mut reader = &bytes[..];
        assert_eq!(read_frame::<String>(&mut reader, 1000).await.unwrap().as_deref(), Some("one"));
        assert_eq!(read_frame::<String>(&mut reader, 1000).await.unwrap().as_deref(), Some(""));
        assert_eq!(read_frame::<String>(&mut reader, 1000).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stream_that_ends_inside_a_frame_is_an_error_wherever_it_ends() {
        let bytes = written("hello").await;
        for end in 1..bytes.len() {
            let mut reader = &bytes[..end];
            assert!(matches!(read_frame::<String>(&mut reader, 1000).await, Err(FrameError::Stream(_))), "{end} bytes");
        }
    }

    #[tokio::test]
    async fn an_announced_length_above_the_limit_is_refused_unread() {
        let bytes = 1001_u32.to_be_bytes();
        let mut reader = &bytes[..];
        assert!(matches!(read_frame::<String>(&mut reader, 1000).await, Err(FrameError::TooLong { bytes: 1001, limit: 1000 })));
    }

    #[tokio::test]
    async fn a_value_above_the_limit_is_not_written() {
        let mut bytes = Vec::new();
        assert!(matches!(write_frame(&mut bytes, &"hello", 3).await, Err(FrameError::Codec(CodecError::TooLong { .. }))));
        assert!(bytes.is_empty());
    }
}
