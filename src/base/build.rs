//! Which build of the program this is.

/// The version of this program: what the build was told in `LVS_AGENT_VERSION`, else what `Cargo.toml` says.
pub const VERSION: &str = match option_env!("LVS_AGENT_VERSION") {
    Some(told) => told,
    None => env!("CARGO_PKG_VERSION"),
};

// It stands in tables, in gossip and in names of packages.
const _: () = assert!(!VERSION.is_empty() && VERSION.len() <= 64);
