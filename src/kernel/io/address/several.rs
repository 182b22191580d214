//! Several addresses at once: with the kernel's answers to all of them on the way, many take little longer than one.

use super::{AddressError, Addresses, ForLease};
use futures_util::StreamExt as _;
use std::net::IpAddr;

/// The kernel's answers to so many requests fit the socket's receive buffer (212,992 bytes, net.core.rmem_default) many times.
const REQUESTS_AT_A_TIME: usize = 32;
impl Addresses {
    /// Refreshes all of `kept` for a lease, and puts on all of `new`, several at a time. Tries all, whatever becomes of one; returns which of `kept` were not
    /// there, and an error, if there was any.
    pub async fn put_all_for<'a>(
        &self,
        kept: impl IntoIterator<Item = (&'a str, IpAddr)>,
        new: impl IntoIterator<Item = (&'a str, IpAddr)>,
        lease: ForLease,
    ) -> (Vec<(&'a str, IpAddr)>, Result<(), AddressError>) {
        let all = kept.into_iter().map(|place| (place, true)).chain(new.into_iter().map(|place| (place, false)));
        let puts = all.map(|((interface, address), is_kept)| async move {
            match is_kept {
                true => self.refresh_for(interface, address, lease).await.map(|there| (!there).then_some((interface, address))),
                false => self.install_for(interface, address, lease).await.map(|()| None),
            }
        });
        let results: Vec<_> = futures_util::stream::iter(puts).buffer_unordered(REQUESTS_AT_A_TIME).collect().await;
        let (mut missing, mut failed) = (Vec::new(), Ok(()));
        for result in results {
            match result {
                Ok(place) => missing.extend(place),
                Err(error) => failed = Err(error),
            }
        }
        (missing, failed)
    }

    /// Removes all of them, several at a time so that many take little longer than one. Tries all, whatever becomes of one; an error, if there was any.
    pub async fn remove_all(&self, places: impl IntoIterator<Item = (&str, IpAddr)>) -> Result<(), AddressError> {
        let removals = places.into_iter().map(|(interface, address)| self.remove(interface, address));
        let results: Vec<_> = futures_util::stream::iter(removals).buffer_unordered(REQUESTS_AT_A_TIME).collect().await;
        results.into_iter().collect()
    }
}
