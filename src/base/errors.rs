//! Errors as one line of text, with all their causes.

/// An error with all its sources: `what: why: why that`.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.toml")]
    struct Unread(#[source] io::Error);

    #[test]
    fn every_cause_is_told_behind_what_it_caused() {
        let error = Unread(io::Error::other("no such disk"));
        assert_eq!(with_sources(&error), "cannot read a.toml: no such disk");
    }
}
