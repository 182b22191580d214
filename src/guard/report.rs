//! What the guard tells the service manager, and when (sd_notify(3)). Pure.

use crate::{
    clock::BootInstant,
    model::{Holding, NodeId, Ownership},
};
use std::time::Duration;

/// VIPs that are named in one line; the rest is counted.
const NAMED: usize = 8;

/// One thing to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// The node can be spoken with: its worker serves the admin API.
    Ready,
    /// One line for people.
    Status(String),
    /// All is well; said again before the service manager's patience ends.
    Alive,
}

/// What a guard knows of itself at one time.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// A worker has shown itself, ever.
    pub served: bool,
    /// The worker lives, or may yet be mended from here, see [`super::supervisor::Supervisor::is_tended`].
    pub tended: bool,
    /// A worker runs now.
    pub worker: bool,
    /// The program on disk is of another build, and no worker of it can be used.
    pub other_build: bool,
    /// An administrator has taken the node out of service.
    pub withdrawn: bool,
    /// Who this node is, in a cluster.
    pub node: Option<(NodeId, &'a str)>,
    /// Why this node cannot be a member of its cluster for now.
    pub not_started: Option<&'a str>,
    /// What it holds there.
    pub held: &'a Ownership,
}

/// What has been told so far.
#[derive(Clone, Debug)]
pub struct Report {
    every: Option<Duration>,
    next: BootInstant,
    ready: bool,
    status: String,
}

impl Report {
    /// `patience`: after how long a silence the service manager kills this process, if it does.
    pub fn new(patience: Option<Duration>, now: BootInstant) -> Self {
        Self { every: patience.map(|patience| patience / 2), next: now, ready: false, status: String::new() }
    }

    /// When [`Report::step`] wants to be called at the latest.
    pub fn deadline(&self) -> Option<BootInstant> {
        self.every.map(|_| self.next)
    }

    /// What is to be told now. Call it at every turn of the guard's loop that is more than an answer to a datagram: a loop that does not turn says nothing, and that is
    /// what the service manager waits for.
    pub fn step(&mut self, standing: Standing<'_>, now: BootInstant) -> Vec<Word> {
        let mut words = Vec::new();
        if standing.served && !self.ready {
            self.ready = true;
            words.push(Word::Ready);
        }
        let status = status(standing);
        if status != self.status {
            self.status.clone_from(&status);
            words.push(Word::Status(status));
        }
        if let Some(every) = self.every
            && now >= self.next
        {
            self.next = now + every;
            words.extend(standing.tended.then_some(Word::Alive));
        }
        words
    }
}

fn status(standing: Standing<'_>) -> String {
    let doing = match (standing.not_started, standing.node) {
        (Some(why), _) => format!("not started: {}", why.replace(char::is_control, " ")),
        (None, Some((id, cluster))) if standing.withdrawn => {
            format!(
                "{id} of cluster {cluster}, withdrawn by an administrator: systemctl restart lvs-agent puts it back in service"
            )
        }
        (None, None) => "in no cluster: waits for init or join".to_owned(),
        (None, Some((id, cluster))) => format!("{id} of cluster {cluster}, {}", holding(standing.held)),
    };
    match (standing.other_build, standing.worker) {
        (true, _) => format!(
            "{doing}; has no worker, since the program on disk is of another build than this guard: systemctl restart lvs-agent"
        ),
        (false, true) => doing,
        (false, false) => format!("{doing}; its worker is down, trying again"),
    }
}

fn holding(ownership: &Ownership) -> String {
    let held = ownership.iter().filter(|(_, holding)| matches!(holding, Holding::Held { .. } | Holding::Fallback { .. }));
    let names: Vec<&str> = held.map(|(vip, _)| vip.as_str()).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    match names.len() {
        0 => "holds no vip".to_owned(),
        count => format!("holds {count} of {} vips: {}{more}", ownership.len(), names[..count.min(NAMED)].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    fn standing(ownership: &Ownership) -> Standing<'_> {
        Standing {
            served: true,
            tended: true,
            worker: true,
            other_build: false,
            withdrawn: false,
            node: Some((NodeId(3), "blue")),
            not_started: None,
            held: ownership,
        }
    }

    #[test]
    fn it_is_ready_once_and_only_when_the_worker_has_shown_itself() {
        let (none, mut report) = (Ownership::new(), Report::new(None, at(0)));
        let waits = Standing { served: false, node: None, ..standing(&none) };
        assert_eq!(report.step(waits, at(0)), [Word::Status("in no cluster: waits for init or join".to_owned())]);
        assert_eq!(report.step(Standing { served: true, ..waits }, at(1)), [Word::Ready]);
        assert_eq!(report.step(Standing { served: true, ..waits }, at(2)), []);
        assert_eq!(report.deadline(), None);
    }

    #[test]
    fn a_change_is_told_once() {
        let held = Holding::Held { epoch: 1, since_unix_ms: 0 };
        let ownership = Ownership::from([("web".parse().unwrap(), held), ("db".parse().unwrap(), Holding::NotHeld)]);
        let mut report = Report::new(None, at(0));
        let told = Word::Status("n3 of cluster blue, holds 1 of 2 vips: web".to_owned());
        assert_eq!(report.step(standing(&ownership), at(0)), [Word::Ready, told]);
        assert_eq!(report.step(standing(&ownership), at(1)), []);
        let told = Word::Status("n3 of cluster blue, holds 1 of 2 vips: web; its worker is down, trying again".to_owned());
        assert_eq!(report.step(Standing { worker: false, ..standing(&ownership) }, at(2)), [told]);
    }

    #[test]
    fn what_keeps_a_node_from_starting_is_said_in_one_line_and_the_node_is_ready_all_the_same() {
        let (none, mut report) = (Ownership::new(), Report::new(None, at(0)));
        let waits = Standing { node: None, not_started: Some("waiting for address 10.0.0.11\nREADY=0"), ..standing(&none) };
        let told = Word::Status("not started: waiting for address 10.0.0.11 READY=0".to_owned());
        assert_eq!(report.step(waits, at(0)), [Word::Ready, told]);
        let told = Word::Status("n3 of cluster blue, holds no vip".to_owned());
        assert_eq!(report.step(standing(&none), at(1)), [told]);
    }

    #[test]
    fn a_program_of_another_build_is_named_whether_its_worker_has_just_been_started_or_has_ended() {
        let none = Ownership::new();
        let other = Standing { other_build: true, ..standing(&none) };
        let mut report = Report::new(None, at(0));
        let told = "n3 of cluster blue, holds no vip; has no worker, since the program on disk is of another build than this guard: systemctl restart lvs-agent";
        assert_eq!(report.step(other, at(0)), [Word::Ready, Word::Status(told.to_owned())]);
        assert_eq!(report.step(Standing { worker: false, ..other }, at(1)), []);
        assert_eq!(report.step(standing(&none), at(2)), [Word::Status("n3 of cluster blue, holds no vip".to_owned())]);
    }

    #[test]
    fn a_node_that_was_withdrawn_says_so_and_how_it_comes_back() {
        let none = Ownership::new();
        let told = "n3 of cluster blue, withdrawn by an administrator: systemctl restart lvs-agent puts it back in service";
        assert_eq!(status(Standing { withdrawn: true, ..standing(&none) }), told);
    }

    #[test]
    fn a_long_list_is_cut() {
        let held = Holding::Held { epoch: 1, since_unix_ms: 0 };
        let ownership: Ownership = (0..20).map(|n| (format!("vip{n:02}").parse().unwrap(), held)).collect();
        assert_eq!(holding(&ownership), "holds 20 of 20 vips: vip00, vip01, vip02, vip03, vip04, vip05, vip06, vip07, …");
    }

    #[test]
    fn it_is_alive_at_half_of_the_patience_as_long_as_the_worker_is_tended() {
        let none = Ownership::new();
        let mut report = Report::new(Some(Duration::from_secs(10)), at(0));
        let alive = |report: &mut Report, tended, now| {
            report.step(Standing { tended, ..standing(&none) }, at(now)).contains(&Word::Alive)
        };
        assert!(alive(&mut report, true, 0));
        assert_eq!(report.deadline(), Some(at(5)));
        assert!(!alive(&mut report, true, 4));
        assert!(alive(&mut report, true, 5));
        assert!(!alive(&mut report, false, 10));
        // Silence is no spinning: it looks again at the next beat.
        assert_eq!(report.deadline(), Some(at(15)));
        assert!(alive(&mut report, true, 15));
    }
}
