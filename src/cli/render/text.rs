//! Pieces of shown text: colours, clipping, wrapping, ages, dates.

use time::OffsetDateTime;

/// The tone of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Not as it should be.
    Bad,
    /// Less important than the rest.
    Faint,
}

/// Whether tones are shown as colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Palette {
    /// They are.
    pub(in crate::cli) colours: bool,
}

impl Palette {
    /// The text in its tone's colour (ECMA-48 SGR).
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        if self.colours && !text.trim().is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Text from other machines, made safe for a terminal: it must not move the cursor, and every character is one column wide.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// How many columns a text takes; all text here is [`clean`] or our own.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// At most `width` columns of the text, with `…` for what is left off.
pub(super) fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// The words of the text in lines of at most `width` columns; a longer word is clipped.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = clip(word, width);
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A time span as people say it, with its two largest units.
pub(super) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment to the minute, for people: Unix seconds in UTC.
pub(super) fn date(unix_s: u64) -> String {
    match utc(unix_s) {
        Some(at) => format!("{} {:02}:{:02} UTC", day(unix_s), at.hour(), at.minute()),
        None => day(unix_s),
    }
}

/// A moment to the day.
pub(super) fn day(unix_s: u64) -> String {
    match utc(unix_s) {
        Some(at) => format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
        None => "never".to_owned(),
    }
}

/// `None` after the year 9999.
fn utc(unix_s: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(unix_s).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ages_have_two_units() {
        let shown: Vec<String> = [0, 999, 59_999, 60_000, 133_000, 3_600_000, 90_000_000].into_iter().map(age).collect();
        assert_eq!(shown, ["0ms", "999ms", "59s", "1m 0s", "2m 13s", "1h 0m", "1d 1h"]);
    }

    #[test]
    fn dates_are_in_utc_to_the_minute() {
        assert_eq!(date(1_795_000_000), "2026-11-18 11:06 UTC");
        assert_eq!((date(0).as_str(), date(u64::MAX).as_str()), ("1970-01-01 00:00 UTC", "never"));
    }

    #[test]
    fn what_a_server_answered_cannot_move_the_cursor() {
        assert_eq!(clean("a\x1b[2Jb\nc\u{202e}é"), "a?[2Jb?c??");
    }

    proptest! {
        #[test]
        fn wrapped_lines_fit_and_keep_every_short_word(words in proptest::collection::vec("[a-z]{1,30}", 0..40), width in 8usize..60) {
            let lines = wrap(&words.join(" "), width);
            prop_assert!(lines.iter().all(|line| columns(line) <= width));
            let shown: Vec<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
            let clipped: Vec<String> = words.iter().map(|word| clip(word, width)).collect();
            prop_assert_eq!(shown, clipped);
        }
    }
}
