//! Whether a node believes that it is no member any more: one member may err or lie, two are believed. Pure.

use super::hello::HelloRefusal;
use crate::clock::BootInstant;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// So many members must say it, or the only other one.
const ENOUGH: usize = 2;
/// Who has said it is not asked anything for so long: that would only fill its log.
const QUIET: Duration = Duration::from_secs(60);

/// Which members say that this node was removed, and since when. Bounded by the members that this node knows.
#[derive(Debug, Default)]
pub struct RemovalReports {
    said: BTreeMap<SocketAddr, (BootInstant, HelloRefusal)>,
}

impl RemovalReports {
    /// The member at `addr` says, in these words, that this node was removed. Gives whether that is to be believed by now, of `others` members.
    pub fn said_by(&mut self, addr: SocketAddr, words: HelloRefusal, others: usize, now: BootInstant) -> bool {
        self.said.insert(addr, (now, words));
        self.said.len() >= ENOUGH.min(others.max(1))
    }

    /// The member at `addr` takes this node for one.
    pub fn denied_by(&mut self, addr: SocketAddr) {
        self.said.remove(&addr);
    }

    /// What the member at `addr` said, if it is to be left alone.
    pub fn quiet(&self, addr: SocketAddr, now: BootInstant) -> Option<&HelloRefusal> {
        self.said.get(&addr).filter(|(said, _)| now.saturating_since(*said) < QUIET).map(|(_, words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    fn removed() -> HelloRefusal {
        HelloRefusal::Removed { id: NodeId(3), barred: None }
    }

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 7400))
    }

    #[test]
    fn one_member_alone_is_not_believed_unless_there_is_no_other() {
        let mut reports = RemovalReports::default();
        assert!(!reports.said_by(addr(1), removed(), 4, at(1)));
        assert!(!reports.said_by(addr(1), removed(), 4, at(2)), "not by saying it again");
        assert!(reports.said_by(addr(2), removed(), 4, at(3)));
        assert!(RemovalReports::default().said_by(addr(1), removed(), 1, at(1)));
        assert!(RemovalReports::default().said_by(addr(1), removed(), 0, at(1)), "before others are known");
    }

    #[test]
    fn who_takes_this_node_for_a_member_has_changed_its_mind() {
        let mut reports = RemovalReports::default();
        reports.said_by(addr(1), removed(), 4, at(1));
        reports.denied_by(addr(1));
        assert!(!reports.said_by(addr(2), removed(), 4, at(2)));
    }

    #[test]
    fn only_who_has_said_it_is_left_alone_and_for_a_minute() {
        let mut reports = RemovalReports::default();
        reports.said_by(addr(1), removed(), 4, at(1));
        assert_eq!(reports.quiet(addr(1), at(60)), Some(&removed()));
        assert_eq!(reports.quiet(addr(1), at(61)), None);
        assert_eq!(reports.quiet(addr(2), at(1)), None);
    }
}
