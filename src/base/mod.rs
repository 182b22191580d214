//! What several rooms need and no room owns.
//!
//! # Layout
//! `build` says which build of the program this is; `errors` tells an error with its causes; `host` says which machine an address stands for; `per_source` and `rate_limit` bound what one machine may
//! have, and how often it may fail. In `io`: `durable` files, file descriptors that a process is given at its start (`inherit`), its `memory`, and the rights that a
//! process gives up (`privilege`).

pub mod build;
pub mod errors;
pub mod host;
pub mod io;
pub mod per_source;
pub mod rate_limit;
