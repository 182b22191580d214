//! Places for connections: so many in all, so many for one address.

use crate::link::host::host;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of a listener.
pub(super) struct ConnectionLimit {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_of_one: usize,
}

/// A connection's place; free again when it is dropped.
pub(super) struct ConnectionShare {
    _seat: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl ConnectionLimit {
    pub(super) fn new(all: usize, most_of_one: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), taken: Arc::default(), most_of_one }
    }

    /// Waits until there is room for another connection, whosever it is. Cancel-safe.
    pub(super) async fn wait(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    /// A place for a connection of this address, unless it has its share.
    pub(super) fn take(&self, seat: OwnedSemaphorePermit, source: IpAddr) -> Option<ConnectionShare> {
        let source = host(source);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&source).copied().unwrap_or_default();
        if count >= self.most_of_one {
            return None;
        }
        taken.insert(source, count + 1);
        Some(ConnectionShare { _seat: seat, taken: self.taken.clone(), source })
    }
}

impl Drop for ConnectionShare {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            // The table keeps no address that has no connection.
            _ => drop(taken.remove(&self.source)),
        }
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
        assert!(limit.taken.lock().unwrap().is_empty());
        assert_eq!(limit.free.available_permits(), 3);
    }
}
