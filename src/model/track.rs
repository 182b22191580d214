//! Tracks: what else a node watches on itself, and how much less fit its director is to hold VIPs while it fails.

use super::name::{ScriptName, TrackName, VipName};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// One thing that a node watches, by its own agent.toml.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track {
    /// Its name on this node.
    pub name: TrackName,
    /// What is looked at.
    pub kind: TrackKind,
    /// From one look to the next.
    pub interval: Duration,
    /// A look that takes longer has failed.
    pub timeout: Duration,
    /// Failures in a row until it counts as failing.
    pub fall: u8,
    /// Successes in a row until it counts as passing again.
    pub rise: u8,
    /// What the fitness loses while it fails, whatever the sign; `None`: all but the last resort. A number in a file is multiplied by it.
    pub weight: Option<i16>,
    /// The VIP groups that it concerns; none: all.
    pub vips: BTreeSet<VipName>,
}

/// What a track looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackKind {
    /// A script that ends with 0, run as check scripts are.
    Script {
        /// The name of its file in the directory of `[scripts]`.
        script: ScriptName,
        /// Its arguments.
        args: Vec<String>,
    },
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it should be.
        expects: FileExpectation,
    },
    /// A network interface that has a carrier.
    Interface(String),
}

/// What a track wants of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileExpectation {
    /// It holds a whole number, 0 if nothing is wrong. One that is not there is taken for 0.
    Number,
    /// It is there.
    Present,
    /// It is not there.
    Absent,
}
