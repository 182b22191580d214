//! The fence as nfnetlink batches (`include/uapi/linux/netfilter/nf_tables.h`, `nfnetlink.h`): the bytes are those that nft(8) sends.
//!
//! ```text
//! table arp lvs-agent {
//!     set guarded { type ipv4_addr; flags timeout; }
//!     set held { type ipv4_addr; flags timeout; }
//!     chain fence { type filter hook output priority filter; arp saddr ip @guarded arp saddr ip != @held drop }
//! }
//! table ip lvs-agent {
//!     (the same sets)
//!     chain fence { type filter hook input priority raw; ip daddr @guarded ip daddr != @held drop }
//! }
//! ```
//! ARP of others about the VIP still comes in, so that this node learns who has it now. Packets are stopped before IPVS has them.

use crate::kernel::{
    fence::{Element, Elements, FenceChange},
    io::ipvs::frame::{Attributes, HEADER_BYTES},
};
use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use std::time::Duration;

/// The name of both tables.
pub const TABLE: &str = "lvs-agent";
const GUARDED: &str = "guarded";
const HELD: &str = "held";
const CHAIN: &str = "fence";

const SUBSYSTEM: u16 = 10; // NFNL_SUBSYS_NFTABLES
const BATCH_BEGIN: u16 = 16; // NFNL_MSG_BATCH_BEGIN
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8; // NFT_MSG_*
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;

/// So many elements of 28 bytes fit into an attribute of 64 KiB.
const ELEMENTS_IN_A_MESSAGE: usize = 1000;
const LIST_ELEM: u16 = 1; // NFTA_LIST_ELEM
const TYPE_IPV4_ADDR: u32 = 7; // nft's own number, by which it lists elements as addresses
const SET_TIMEOUT: u32 = 0x10; // NFT_SET_TIMEOUT
const REGISTER: u32 = 1; // NFT_REG_1
const ACCEPT: u32 = 1; // NF_ACCEPT

/// One of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Table {
    /// `NFPROTO_*`.
    family: u8,
    /// `NF_ARP_OUT`, `NF_INET_LOCAL_IN`.
    hook: u32,
    priority: i32,
    /// Where the address is in an ARP message or an IPv4 header.
    offset: u32,
}

/// Stops ARP replies (and requests) that name the VIP as this node's. RFC 826: the sender's protocol address.
const ARP: Table = Table { family: 3, hook: 1, priority: 0, offset: 14 };
/// Stops packets on their way to this machine. RFC 791: the destination address.
const IP: Table = Table { family: 2, hook: 1, priority: -300, offset: 16 };

/// A transaction. The kernel does all of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// As they are sent, at once.
    pub bytes: Vec<u8>,
    /// The number of its first message; the others follow.
    pub first: u32,
    /// The number of the message whose acknowledgement says that all is done.
    pub last: u32,
    next: u32,
}

/// The batch that makes a change.
pub fn change(change: &FenceChange, first: u32) -> Batch {
    let mut batch = Batch::begin(first);
    match change {
        FenceChange::Anew(elements) => {
            batch.remove_tables();
            batch.make(ARP, [1, 2]);
            batch.make(IP, [3, 4]);
            batch.elements(NEW_ELEMENTS, elements);
        }
        FenceChange::Edit { remove, add } => {
            batch.elements(DELETE_ELEMENTS, remove);
            batch.elements(NEW_ELEMENTS, add);
        }
    }
    batch.end()
}

/// The batch that takes both tables away, whether they are there or not.
pub fn remove(first: u32) -> Batch {
    let mut batch = Batch::begin(first);
    batch.remove_tables();
    batch.end()
}

impl Batch {
    fn begin(first: u32) -> Self {
        let mut batch = Self { bytes: Vec::with_capacity(2048), first, last: first, next: first };
        batch.put(BATCH_BEGIN, NLM_F_REQUEST, 0, SUBSYSTEM, &Attributes::default());
        batch
    }

    /// The last message before the end is acknowledged. An error is told of any.
    fn end(mut self) -> Self {
        let last = self.last_message();
        let flags = u16::from_ne_bytes([self.bytes[last + 6], self.bytes[last + 7]]) | NLM_F_ACK;
        self.bytes[last + 6..last + 8].copy_from_slice(&flags.to_ne_bytes());
        self.last = self.next.wrapping_sub(1);
        self.put(BATCH_END, NLM_F_REQUEST, 0, SUBSYSTEM, &Attributes::default());
        self
    }

    /// Where the message that was put last begins.
    fn last_message(&self) -> usize {
        let (mut at, mut next) = (0, 0);
        while next < self.bytes.len() {
            at = next;
            let length = self.bytes[at..at + 4].try_into().expect("the slice has four bytes");
            next += u32::from_ne_bytes(length) as usize;
        }
        at
    }

    fn put(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &Attributes) {
        let length = HEADER_BYTES + 4 + attributes.bytes().len();
        self.bytes.extend(u32::try_from(length).expect("a message has 64 KiB at most").to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.next.to_ne_bytes());
        self.bytes.extend([0; 4]); // the port is the socket's business
        self.bytes.extend([family, 0]); // struct nfgenmsg, version 0
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes.bytes());
        self.next = self.next.wrapping_add(1);
    }

    fn message(&mut self, kind: u16, flags: u16, table: Table, attributes: &Attributes) {
        self.put(kind, NLM_F_REQUEST | flags, table.family, 0, attributes);
    }

    /// A table that is not there cannot be deleted, so it is made first.
    fn remove_tables(&mut self) {
        for table in [ARP, IP] {
            self.message(NEW_TABLE, 0, table, &named().put(2, &[0; 4]));
            self.message(DELETE_TABLE, 0, table, &named());
        }
    }

    /// `sets`: their numbers in this batch, by which the rule names them.
    fn make(&mut self, table: Table, sets: [u32; 2]) {
        self.message(NEW_TABLE, 0, table, &named().put(2, &[0; 4]));
        self.message(NEW_CHAIN, NLM_F_CREATE, table, &new_chain(table));
        for (id, set) in sets.into_iter().zip([GUARDED, HELD]) {
            self.message(NEW_SET, NLM_F_CREATE, table, &new_set(set, id));
        }
        self.message(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, table, &new_rule(table, sets));
    }

    fn elements(&mut self, kind: u16, elements: &Elements) {
        let Elements { held, admitted, silenced, closed } = elements;
        for (table, set, elements) in [(ARP, HELD, held), (ARP, GUARDED, silenced), (IP, HELD, admitted), (IP, GUARDED, closed)] {
            for some in elements.chunks(ELEMENTS_IN_A_MESSAGE) {
                // One that is there already would keep its timeout (before Linux 6.12), so that is an error.
                let flags = if kind == NEW_ELEMENTS { NLM_F_CREATE | NLM_F_EXCL } else { 0 };
                let list = some.iter().fold(Attributes::default(), |list, element| list.nest(LIST_ELEM, &one(kind, element)));
                self.message(kind, flags, table, &named().put_text(2, set).nest(3, &list));
            }
        }
    }
}

/// `NFTA_*_TABLE`, which is 1 everywhere.
fn named() -> Attributes {
    Attributes::default().put_text(1, TABLE)
}

/// A number in network byte order, as everything in nf_tables.
fn number(attributes: Attributes, kind: u16, value: u32) -> Attributes {
    attributes.put(kind, &value.to_be_bytes())
}

/// `NFTA_SET_*`: name, flags, type and length of the key, number in the batch; nft's own note that keys are in network byte order.
fn new_set(name: &str, id: u32) -> Attributes {
    let attributes = number(named().put_text(2, name), 3, SET_TIMEOUT);
    number(number(number(attributes, 4, TYPE_IPV4_ADDR), 5, 4), 10, id).put(13, &[0, 4, 2, 0, 0, 0])
}

/// `NFTA_CHAIN_*`: name, type, policy, hook with its number and priority.
fn new_chain(table: Table) -> Attributes {
    let hook = number(Attributes::default(), 1, table.hook).put(2, &table.priority.to_be_bytes());
    number(named().put_text(3, CHAIN).put_text(7, "filter"), 5, ACCEPT).nest(4, &hook)
}

/// `NFTA_RULE_*`: chain, expressions.
fn new_rule(table: Table, [guarded, held]: [u32; 2]) -> Attributes {
    let expressions =
        [load(table.offset), lookup(GUARDED, guarded, false), load(table.offset), lookup(HELD, held, true), drop_it()];
    let list = expressions.iter().fold(Attributes::default(), |list, expression| list.nest(LIST_ELEM, expression));
    named().put_text(2, CHAIN).nest(4, &list)
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::default().put_text(1, name).nest(2, data)
}

/// `NFTA_PAYLOAD_*`: an address of the network header to the register.
fn load(offset: u32) -> Attributes {
    let data = number(number(Attributes::default(), 1, REGISTER), 2, 1);
    expression("payload", &number(number(data, 3, offset), 4, 4))
}

/// `NFTA_LOOKUP_*`: goes on where the register is in the set, or is not.
fn lookup(set: &str, id: u32, inverted: bool) -> Attributes {
    let data = number(Attributes::default(), 2, REGISTER).put_text(1, set);
    let data = number(data, 4, id);
    expression("lookup", &if inverted { number(data, 5, 1) } else { data })
}

/// `NFTA_IMMEDIATE_*`: the verdict `NF_DROP`, which is 0.
fn drop_it() -> Attributes {
    let verdict = number(Attributes::default(), 1, 0);
    let data = Attributes::default().nest(2, &verdict);
    expression("immediate", &number(Attributes::default(), 1, 0).nest(2, &data))
}

/// `NFTA_SET_ELEM_*`: timeout in milliseconds, key.
fn one(kind: u16, (vip, rest): &Element) -> Attributes {
    let key = Attributes::default().put(1, &vip.octets());
    let attributes = Attributes::default();
    let attributes = if kind == NEW_ELEMENTS { attributes.put(4, &millis(*rest).to_be_bytes()) } else { attributes };
    attributes.nest(1, &key)
}

/// Rounded down: never beyond the lease. 0 would be without end.
fn millis(rest: Duration) -> u64 {
    u64::try_from(rest.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
