//! Places for connections: so many in all, so many for one address.

use crate::base::{
    host::host,
    per_source::{PerSource, Share},
};
use std::{net::IpAddr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of a listener.
pub(super) struct Places {
    free: Arc<Semaphore>,
    by_source: PerSource<IpAddr>,
}

/// A connection's place; free again when it is dropped.
pub(super) struct Place {
    _seat: OwnedSemaphorePermit,
    _share: Share<IpAddr>,
}

impl Places {
    pub(super) fn new(all: usize, most_of_one: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), by_source: PerSource::new(most_of_one) }
    }

    /// Waits until there is room for another connection, whosever it is. Cancel-safe.
    pub(super) async fn wait(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    /// A place for a connection of this address, unless it has its share.
    pub(super) fn take(&self, seat: OwnedSemaphorePermit, source: IpAddr) -> Option<Place> {
        Some(Place { _share: self.by_source.take(host(source))?, _seat: seat })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_has_its_share_and_the_others_theirs() {
        let places = Places::new(3, 2);
        let (greedy, modest) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = places.take(places.wait().await, greedy);
        let second = places.take(places.wait().await, greedy);
        assert!(first.is_some() && second.is_some());
        assert!(places.take(places.wait().await, greedy).is_none());
        let other = places.take(places.wait().await, modest);
        assert!(other.is_some());
        assert_eq!(places.free.available_permits(), 0);
        drop(first);
        assert!(places.take(places.wait().await, greedy).is_some());
        drop((second, other));
        assert!(places.by_source.sources() == 0);
        assert_eq!(places.free.available_permits(), 3);
    }
}
