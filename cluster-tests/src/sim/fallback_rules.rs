//! Which rules of the fallback the simulation holds, and what it must not find while it holds all of them.

/// Which rules hold: with one of them off, a violation is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who is answered while it probes stays out.
    pub probe: bool,
    /// A fallback holder yields when it sees by ARP that another machine has the VIP.
    pub conflict: bool,
    /// It yields to a lease holder that it hears.
    pub lease: bool,
    /// It yields to a better fallback holder that it hears.
    pub better: bool,
    /// Of those that probe at the same time the better one goes first.
    pub rank: bool,
    /// The lease is left to the fallback holder.
    pub deference: bool,
}

impl Rules {
    /// All of them.
    pub const ON: Self = Self { probe: true, conflict: true, lease: true, better: true, rank: true, deference: true };
}

/// What must not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Two have the VIP on one network, though that has not changed lately.
    TwoTook,
    /// Two had it there for longer than [`super::fallback::BOUND`].
    TwoForLong,
    /// After a long time without a change a director without a majority neither holds the VIP nor sees anybody who does.
    Unserved,
    /// After such a time a fallback holder hears a lease holder, or another fallback holder.
    NotYielded,
    /// The lease went to another director than the fallback holder, which could have had it.
    Moved,
}
