//! Limits the connections of a listener: their number in all, and their number from one address.

use crate::base::{
    host::host,
    per_source::{PerSource, Share},
};
use std::{net::IpAddr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connection limit of a listener.
pub(super) struct ConnectionLimit {
    free: Arc<Semaphore>,
    by_source: PerSource<IpAddr>,
}

/// One connection's share of the limit; free again when it is dropped.
pub(super) struct ConnectionShare {
    _seat: OwnedSemaphorePermit,
    _share: Share<IpAddr>,
}

impl ConnectionLimit {
    pub(super) fn new(all: usize, most_of_one: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), by_source: PerSource::new(most_of_one) }
    }

    /// Waits until there is room for another connection, from any address. Cancel-safe.
    pub(super) async fn wait(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    /// A share for a connection from this address; `None`: the address has its maximum.
    pub(super) fn take(&self, seat: OwnedSemaphorePermit, source: IpAddr) -> Option<ConnectionShare> {
        Some(ConnectionShare { _share: self.by_source.take(host(source))?, _seat: seat })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_has_its_share_and_the_others_theirs() {
        let limit = ConnectionLimit::new(3, 2);
        let (greedy, modest) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = limit.take(limit.wait().await, greedy);
        let second = limit.take(limit.wait().await, greedy);
        assert!(first.is_some() && second.is_some());
        assert!(limit.take(limit.wait().await, greedy).is_none());
        let other = limit.take(limit.wait().await, modest);
        assert!(other.is_some());
        assert_eq!(limit.free.available_permits(), 0);
        drop(first);
        assert!(limit.take(limit.wait().await, greedy).is_some());
        drop((second, other));
        assert!(limit.by_source.sources() == 0);
        assert_eq!(limit.free.available_permits(), 3);
    }
}
