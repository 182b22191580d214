//! The text output of commands: pure functions, at most [`WIDTH`] columns.

mod configure;
mod grid;
mod plan;
mod security;
mod status;
mod text;

pub(super) use configure::{Configured, ServiceOutcome, configuration_taken, configured, warned};
pub(super) use plan::{applied, plan, warnings};
pub(super) use security::{barred, founded, identities, identity, nodes, token, tokens};
pub(super) use status::status;
pub(super) use text::Palette;

/// Columns of a terminal that every table fits in.
const WIDTH: usize = 100;
