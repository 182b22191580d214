//! How many things each source has at a time: each source has a share, so that none keeps the others out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts by source. Clones share them; a source that has nothing takes no memory.
#[derive(Clone, Debug)]
pub struct PerSource<K> {
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
    most: usize,
}

/// One thing of one source; given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Ord> {
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
    source: K,
}

impl<K: Ord + Copy> PerSource<K> {
    /// At most `most` for each source.
    pub fn new(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// One more for this source, unless it has its share.
    pub fn take(&self, source: K) -> Option<Share<K>> {
        let mut counts = lock(&self.counts);
        let count = counts.get(&source).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        counts.insert(source, count + 1);
        Some(Share { counts: self.counts.clone(), source })
    }

    /// Sources that have something.
    #[cfg(test)]
    pub fn sources(&self) -> usize {
        lock(&self.counts).len()
    }
}

impl<K: Ord> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        match counts.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.source)),
        }
    }
}

fn lock<K>(counts: &Mutex<BTreeMap<K, usize>>) -> MutexGuard<'_, BTreeMap<K, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share_and_gives_it_back() {
        let per_source = PerSource::new(2);
        let first = per_source.take(1);
        let second = per_source.take(1);
        assert!(first.is_some() && second.is_some() && per_source.take(1).is_none());
        let other = per_source.take(2);
        assert!(other.is_some());
        drop(first);
        assert!(per_source.take(1).is_some());
        drop((second, other));
        assert_eq!(per_source.sources(), 0);
    }
}
