//! The IPVS tables as one number, from the text that the kernel makes of them: a tenth of what a dump over netlink costs.

use std::{
    fs::File,
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
    path::Path,
};

/// The text is read in pieces of so many bytes; other tasks have their turn between two.
const PIECE: usize = 64 << 10;
/// Fields of a destination's line before those that count connections: `->`, address and port, method, weight.
const LASTING_FIELDS: usize = 4;

/// What `/proc/net/ip_vs` says of services and destinations, without the numbers of connections. Of thresholds and of the rarer options of services it
/// says nothing, so that an equal summary is no proof of equal tables. `None`: IPVS is not loaded.
pub async fn summary(file: &Path) -> io::Result<Option<u64>> {
    let mut file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut text, mut filled, mut summary) = (vec![0; PIECE], 0, DefaultHasher::new());
    loop {
        // The kernel gives whole lines, a page at a time.
        let read = file.read(&mut text[filled..])?;
        filled += read;
        let whole =
            if read == 0 { filled } else { text[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1) };
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            summary.write(lasting(line));
            summary.write_u8(b'\n');
        }
        text.copy_within(whole..filled, 0);
        filled -= whole;
        if read == 0 {
            return Ok(Some(summary.finish()));
        }
        if filled == text.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
        }
        tokio::task::yield_now().await;
    }
}

/// The part of a line that connections do not change.
fn lasting(line: &[u8]) -> &[u8] {
    if !line.starts_with(b"  ->") {
        return line;
    }
    let mut fields = 0;
    let mut before = b' ';
    for (at, byte) in line.iter().enumerate() {
        if *byte != b' ' && before == b' ' {
            fields += 1;
            if fields > LASTING_FIELDS {
                return &line[..at];
            }
        }
        before = *byte;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";

    async fn of(test: &str, text: &str) -> u64 {
        let file = std::env::temp_dir().join(format!("lvs-agent-summary-{test}-{}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let summary = summary(&file).await.unwrap().unwrap();
        std::fs::remove_file(&file).unwrap();
        summary
    }

    #[tokio::test]
    async fn connections_change_nothing_and_everything_else_does() {
        let table = |service: &str, dest: &str| format!("{HEAD}{service}\n{dest}\n");
        let (service, dest) = ("TCP  0A000064:0050 wlc ", "  -> 0A000015:0050      Route   1      0          0         ");
        let first = of("first", &table(service, dest)).await;
        for busy in [
            "  -> 0A000015:0050      Route   1      17         0         ",
            "  -> 0A000015:0050      Route   1      1234567890 99999     ",
        ] {
            assert_eq!(of("busy", &table(service, busy)).await, first);
        }
        for other in [
            table("TCP  0A000064:0051 wlc ", dest),
            table("TCP  0A000064:0050 rr ", dest),
            table("TCP  0A000064:0050 wlc persistent 300 FFFFFFFF", dest),
            table(service, "  -> 0A000016:0050      Route   1      0          0         "),
            table(service, "  -> 0A000015:0050      Masq    1      0          0         "),
            table(service, "  -> 0A000015:0050      Route   2      0          0         "),
            format!("{HEAD}{service}\n"),
            table(service, &format!("{dest}\n{dest}")),
        ] {
            assert_ne!(of("other", &other).await, first, "{other}");
        }
    }

    #[tokio::test]
    async fn a_long_table_is_read_to_its_end() {
        let lines = |last: u32| {
            (0..5000)
                .map(|n| format!("  -> 0A000015:{n:04X}      Route   {}      0          0\n", if n == 4999 { last } else { 1 }))
                .collect::<String>()
        };
        assert_ne!(of("long", &lines(1)).await, of("longer", &lines(2)).await);
    }

    #[tokio::test]
    async fn no_table_is_none_and_no_error() {
        assert_eq!(summary(Path::new("/proc/net/there-is-no-such-file")).await.unwrap(), None);
    }
}
