//! Where in a cluster file tables belong, and which ports there are.

/// A port that something can listen on.
pub(super) const PORTS: std::ops::RangeInclusive<i64> = 1..=65535;

/// Where tables belong that stand elsewhere.
pub(super) const HOMES: [(&str, &str); 4] = [
    ("check", "did you mean [service.check], below the [[service]] that it is for?"),
    ("server", "did you mean [[service.server]], below the [[service]] that it is for?"),
    ("service", "did you mean [[service]], a table of its own?"),
    ("vip", "did you mean [[vip]], a table of its own?"),
];
