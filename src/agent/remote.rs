//! What a remote administrator meets: the same orders as on the socket, and who lets them in.

use crate::api;
use std::sync::Arc;

/// What a remote administrator meets: the same orders as on the socket, and who lets them in.
pub struct Remote {
    /// The same as on the socket.
    pub admin: Arc<dyn api::Admin>,
    /// Who may.
    pub gate: Arc<dyn api::Gate>,
}
