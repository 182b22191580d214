//! The answer to `GET /v1/status`: stable names, also for people's scripts. Fields are added, never renamed.

use super::error::AdminError;
use crate::{
    base::build::VERSION,
    model::{
        Fingerprint, ForwardMethod, KeyId, NodeName, Protocol, Roles, Scheduler, ServerName, ServiceName, VipName, ZoneName,
    },
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Everything that one agent knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The cluster; `None` while this node is in none.
    pub cluster: Option<ClusterStatus>,
    /// The node whose agent answers.
    #[serde(rename = "self")]
    pub this: NodeName,
    /// Its agent's version.
    pub version: String,
    /// Members, by name.
    pub nodes: Vec<NodeStatus>,
    /// VIP groups, by name.
    pub vips: Vec<VipStatus>,
    /// Services, by name.
    pub services: Vec<ServiceStatus>,
    /// IPVS services in this node's kernel that are not the cluster's, one line each.
    pub foreign: Vec<String>,
    /// The problems that a person should look at, one line each.
    pub problems: Vec<String>,
    /// This node is in a cluster, but its member cannot start: why, and what to do. It is tried again by itself.
    #[serde(default)]
    pub not_started: Option<String>,
    /// The version of this node's guard, which lasts when a worker is replaced; `None` from agents that do not tell.
    #[serde(default)]
    pub guard_version: Option<String>,
    /// Why the kernel of this director stops VIPs by their addresses' lifetimes only, in whole seconds; `None` where it does at the end of the
    /// lease, and where this node holds none.
    #[serde(default)]
    pub no_fence: Option<String>,
}

impl Status {
    /// The status of an agent that is in no cluster.
    pub fn outside(this: NodeName) -> Self {
        Self::without_member(this, &AdminError::NotInCluster)
    }

    /// The status of an agent without a running member, for this reason.
    pub fn without_member(this: NodeName, why: &AdminError) -> Self {
        Self {
            cluster: None,
            this,
            version: VERSION.to_owned(),
            nodes: Vec::new(),
            vips: Vec::new(),
            services: Vec::new(),
            foreign: Vec::new(),
            problems: vec![why.to_string()],
            not_started: match why {
                AdminError::NotStarted(why) => Some(why.clone()),
                _ => None,
            },
            guard_version: None,
            no_fence: None,
        }
    }
}

/// The cluster as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its identity.
    pub id: String,
    /// Of the rules, as this node has applied them.
    pub revision: u64,
    /// Raft's leader, as far as this node knows.
    pub leader: Option<NodeName>,
    /// Raft's term.
    pub term: u64,
    /// The voters.
    pub voters: Vec<NodeName>,
    /// A leader is known that has a majority behind it: changes are possible.
    pub quorum: bool,
    /// Gossip keys, CA, what of them is being replaced.
    pub security: SecurityStatus,
}

/// Keys and CAs, without secrets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SecurityStatus {
    /// The CA that signs; `None` where certificates come from elsewhere.
    pub authority: Option<Fingerprint>,
    /// Other CAs that are trusted for now.
    pub other_authorities: Vec<Fingerprint>,
    /// The gossip key in use.
    pub key: Option<KeyId>,
    /// Other gossip keys that are accepted for now.
    pub other_keys: Vec<KeyId>,
    /// The rotation that is under way, as a text; `None` when there is none.
    pub rotating: Option<String>,
    /// Removed nodes that stay out until they are allowed back; only where certificates come from elsewhere.
    pub barred: Vec<NodeName>,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Gossip and Raft.
    pub address: SocketAddr,
    /// What it does.
    pub roles: Roles,
    /// Its agent's version; `None` before it was ever heard.
    pub version: Option<String>,
    /// Its heartbeat is heard here.
    pub reachable: bool,
    /// It is one of Raft's voters.
    pub voter: bool,
    /// Why it votes or does not, in words: `votes: …` or `does not vote: …`.
    pub voter_why: String,
    /// What fails together with it.
    pub zone: Option<ZoneName>,
    /// When its certificate ends; `None` before it was ever heard.
    pub certificate_expires_unix_s: Option<u64>,
    /// What its kernel can do for LVS.
    pub kernel: Vec<String>,
    /// The rules' revision that its kernel has.
    pub revision: u64,
    /// An administrator has taken it out of service (`lvs-agent withdraw`), until its agent is restarted.
    #[serde(default)]
    pub withdrawn: bool,
}

/// How a group's holder is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VipMode {
    /// By a lease that a majority of the voters grants.
    Lease,
    /// No majority of the voters answers its holder, which holds it without a lease, until one does again.
    Fallback,
}

/// One VIP group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VipStatus {
    /// Its name.
    pub name: VipName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The directors' interface.
    pub interface: String,
    /// How its holder is found.
    pub mode: VipMode,
    /// The holder.
    pub holder: Option<NodeName>,
    /// The nodes that say they hold it: normally one, two for a moment while the news of a change travels.
    pub holders: Vec<NodeName>,
    /// How often it has changed hands.
    pub epoch: Option<u64>,
    /// For how long the holder has held it.
    pub held_ms: Option<u64>,
    /// Why no node holds it, with every director by name; `None` while a node does.
    #[serde(default)]
    pub why_unheld: Option<String>,
    /// The directors that could take it now: heard, in service, and nothing is in their way. Without the holder. `None` from agents that do not tell.
    #[serde(default)]
    pub could_hold: Option<Vec<NodeName>>,
    /// The directors that are less fit to hold it than a director that nothing speaks against.
    #[serde(default)]
    pub less_fit: Vec<LessFitDirector>,
    /// Real servers that have it on `lo`, with ARP silenced.
    pub in_place: Vec<NodeName>,
    /// Real servers that should have it there, and do not.
    pub missing: Vec<MissingVip>,
}

/// A director that is less fit to hold a VIP group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LessFitDirector {
    /// Which.
    pub node: NodeName,
    /// How fit it is, of 1000; 1: only where no other is fitter, 0: never.
    pub fitness: u16,
    /// The reasons, in one line.
    pub why: String,
}

/// A real server without a VIP that it should have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissingVip {
    /// Which.
    pub node: NodeName,
    /// The reason.
    pub why: String,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// The VIP group it is served on.
    pub vip: VipName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port on the VIP.
    pub port: u16,
    /// How connections are spread.
    pub scheduler: Scheduler,
    /// How packets reach the servers.
    pub forward: ForwardMethod,
    /// The check in one line; `None`: every server is taken as healthy.
    pub check: Option<String>,
    /// Its servers, by name.
    pub servers: Vec<ServerStatus>,
}

/// Whether a server gets new connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// It does, by its weight.
    In,
    /// It does not.
    Out,
}

/// The verdict on a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictStatus {
    /// Committed: up.
    Up,
    /// Committed: down.
    Down,
    /// No verdict so far.
    Undecided,
    /// The service has no check.
    Unchecked,
}

/// What one observer has found of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservationStatus {
    /// It answers.
    Up,
    /// It answered, but its last probe failed.
    Suspect,
    /// It does not answer.
    Down,
    /// The observer has not finished a first round of probes.
    Unknown,
    /// The observer cannot probe until a person changes something on its node.
    Unable,
}

/// One server of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name within the service.
    pub name: ServerName,
    /// Where it answers.
    pub address: SocketAddr,
    /// As configured.
    pub weight: u16,
    /// Whether it gets new connections.
    pub state: Pool,
    /// What the cluster says.
    pub verdict: VerdictStatus,
    /// Why `state` and `verdict` are what they are, in one line.
    pub why: String,
    /// Its agent says that it has the VIP on `lo`.
    pub in_place: bool,
    /// No agent is expected on it.
    pub agentless: bool,
    /// The answering node's own observation, where it forwards to the server.
    pub local: Option<LocalView>,
    /// The vote of each observer.
    pub votes: Vec<VoteStatus>,
}

/// A director's own observation of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LocalView {
    /// What it sees.
    pub state: ObservationStatus,
    /// Its last probe's result.
    pub reason: String,
}

/// One observer's vote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoteStatus {
    /// The observer.
    pub observer: NodeName,
    /// Its observation.
    pub state: ObservationStatus,
    /// Its last probe's result.
    pub reason: String,
    /// For how long it has had this observation; `None` before its first one.
    pub age_ms: Option<u64>,
    /// It is alive, so its vote counts.
    pub fresh: bool,
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    #[test]
    fn the_field_names_are_the_documented_ones() {
        let json = serde_json::to_value(super::sample::status()).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&json), "cluster foreign guard_version no_fence nodes not_started problems self services version vips");
        assert_eq!(keys(&json["cluster"]), "id leader quorum revision security term voters");
        assert_eq!(keys(&json["cluster"]["security"]), "authority barred key other_authorities other_keys rotating");
        assert_eq!(
            keys(&json["nodes"][0]),
            "address certificate_expires_unix_s kernel name reachable revision roles version voter voter_why withdrawn zone"
        );
        assert_eq!(
            keys(&json["vips"][0]),
            "addresses could_hold epoch held_ms holder holders in_place interface less_fit missing mode name why_unheld"
        );
        assert_eq!(keys(&json["services"][0]), "check forward name port protocol scheduler servers vip");
        let server = &json["services"][0]["servers"][1];
        assert_eq!(keys(server), "address agentless in_place local name state verdict votes weight why");
        assert_eq!(keys(&server["votes"][0]), "age_ms fresh observer reason state");
        assert_eq!(server["state"], "out");
        assert_eq!(json["services"][0]["servers"][0]["address"], "10.0.0.21:80");
        assert_eq!(json["nodes"][2]["roles"][0], "real-server");
    }
}
