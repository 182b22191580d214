//! The Ethernet addresses of this machine's interfaces.

use crate::guard::arp::Mac;
use std::{collections::BTreeSet, io, ptr};

/// All that there are now.
pub fn own_macs() -> io::Result<BTreeSet<Mac>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a live local that the call sets; it is read only if the call succeeds.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut macs = BTreeSet::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: getifaddrs(3) has made a list that ends with a null pointer, and it is freed only below.
        let entry = unsafe { &*next };
        if !entry.ifa_addr.is_null() {
            // SAFETY: an address that is not null begins with its family; one of AF_PACKET is a `sockaddr_ll`, which may lie at any place.
            let link = unsafe {
                let family = i32::from(ptr::read_unaligned(&raw const (*entry.ifa_addr).sa_family));
                (family == libc::AF_PACKET).then(|| ptr::read_unaligned(entry.ifa_addr.cast::<libc::sockaddr_ll>()))
            };
            macs.extend(link.filter(|link| link.sll_halen == 6).and_then(|link| link.sll_addr.first_chunk::<6>().copied()));
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list is of getifaddrs(3), and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(macs)
}
