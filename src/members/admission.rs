//! Whether a node that asks is let in, and with which change: the leader's decision, from the state as it is. Pure.

use super::request::{JoinRefusal, JoinRequest, VerifiedJoin, comma_separated};
use crate::{
    link::certificate::{Certificate, Subject},
    model::{NodeId, NodeRecord, Roles},
    peers::is_plausible,
    rules::{ClusterState, Command, CommandRefusal, Joining, SecurityRefusal, security::TokenUse},
};

/// How old a signed request may be, and how far clocks may disagree. It bounds how long a member that passed a request on could use it again.
const SIGNED_WITHIN_S: u64 = 3600;

/// What the leader knows when it decides.
pub struct AdmissionInput<'a> {
    /// The state, no older than the last commit.
    pub state: &'a ClusterState,
    /// The request.
    pub join: &'a VerifiedJoin,
    /// The asking node's certificate, where it has shown one to this node itself.
    pub certificate: Option<&'a Certificate>,
    /// Whether the member that has the name is heard.
    pub is_heard: &'a dyn Fn(&NodeRecord) -> bool,
    /// Whether the member that has a name was let in a moment ago and has not been heard yet.
    pub is_awaited: &'a dyn Fn(&NodeRecord) -> bool,
    /// Unix seconds.
    pub now_unix_s: u64,
}

/// The leader's decision to let the node in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// The node is a member already, with this number, and nothing has changed.
    Is(NodeId),
    /// The node is let in once this change is committed.
    Commit(Command),
}

/// Decides whether the node that asks is let in.
///
/// # Errors
/// The reason why the node is not let in.
pub fn decide(asked: &AdmissionInput<'_>) -> Result<Admission, JoinRefusal> {
    let request = asked.join.request();
    check_form(asked, request)?;
    if asked.state.security.is_foreign() {
        check_certificate(asked.certificate, request)?;
    }
    if asked.state.security.barred.has(&request.name) {
        return Err(JoinRefusal::Refused(CommandRefusal::Barred(request.name.clone())));
    }
    let namesake = asked.state.nodes.get(&request.name);
    let returning = match &request.known {
        Some((_, id)) => Some(returning(namesake, request, *id)?),
        None => None,
    };
    // The same address proves nothing: only the key does. Two nodes with the key at the same time are one too many.
    // A member that is heard has not lost its log: a request without a log is then from a copy of its key, or of its machine.
    let is_another = |record: &NodeRecord| record.key != request.key || record.addr != request.addr;
    let is_taken = |record: &&NodeRecord| {
        ((asked.is_heard)(record) && (is_another(record) || request.known.is_none()))
            || ((asked.is_awaited)(record) && is_another(record))
    };
    if let Some(record) = namesake.filter(is_taken) {
        return Err(JoinRefusal::NameTaken { name: record.name.clone(), addr: record.addr });
    }
    let copied = |record: &&NodeRecord| record.key == request.key && record.name != request.name;
    if let Some(NodeRecord { name, addr, .. }) = asked.state.nodes.values().find(copied) {
        return Err(JoinRefusal::KeyTaken { name: name.clone(), addr: *addr });
    }
    let (roles, token) = entitled(asked, request, namesake)?;
    if let Some(record) = returning.filter(|record| is_as_it_says(record, request, &roles)) {
        return Ok(Admission::Is(record.id));
    }
    let JoinRequest { name, addr, zone, key, .. } = request.clone();
    let joining = Joining { name, roles, addr, zone, key, keeps_id: returning.is_some(), token };
    // The entry is checked again when it is applied. A change that is known to be refused then is not written.
    asked.state.check_joining(&joining).map_err(JoinRefusal::Refused)?;
    Ok(Admission::Commit(Command::NodeJoined(joining)))
}

fn is_as_it_says(record: &NodeRecord, request: &JoinRequest, roles: &Roles) -> bool {
    record.addr == request.addr && record.zone == request.zone && record.roles == *roles
}

/// The checks that do not depend on the sender.
fn check_form(asked: &AdmissionInput<'_>, request: &JoinRequest) -> Result<(), JoinRefusal> {
    let AdmissionInput { state, now_unix_s, .. } = asked;
    if !is_plausible(request.addr) {
        return Err(JoinRefusal::Address(request.addr));
    }
    if let Some((theirs, _)) = request.known.as_ref().filter(|(theirs, _)| *theirs != state.cluster_id) {
        let theirs = theirs.chars().take(64).collect();
        return Err(JoinRefusal::OtherCluster { theirs, ours: state.cluster_id.clone() });
    }
    let authorities = &state.security.authorities;
    let is_ours = match &request.authority {
        Some(authority) => authorities.trusted.contains_key(authority),
        None => state.security.is_foreign(),
    };
    if !is_ours {
        return Err(JoinRefusal::OtherAuthority);
    }
    if now_unix_s.abs_diff(request.at_unix_s) > SIGNED_WITHIN_S {
        let s = i128::from(*now_unix_s) - i128::from(request.at_unix_s);
        return Err(JoinRefusal::Clock { s: i64::try_from(s).unwrap_or(i64::MIN) });
    }
    match request.timing.filter(|asked| *asked != state.timing) {
        Some(asked) => Err(JoinRefusal::Timing { cluster: state.timing, asked }),
        None => Ok(()),
    }
}

/// The member whose log the node has. The node must have that member's key as well: a log without the key is a copy.
fn returning<'a>(namesake: Option<&'a NodeRecord>, request: &JoinRequest, id: NodeId) -> Result<&'a NodeRecord, JoinRefusal> {
    let record = namesake.filter(|record| record.id == id).ok_or(JoinRefusal::Forgotten { id })?;
    if record.key == request.key { Ok(record) } else { Err(JoinRefusal::OtherKey { id }) }
}

/// What entitles the node to come in: its membership, its certificate (with an external CA), or its token. Gives the roles that it gets.
fn entitled(
    asked: &AdmissionInput<'_>,
    request: &JoinRequest,
    namesake: Option<&NodeRecord>,
) -> Result<(Roles, Option<TokenUse>), JoinRefusal> {
    if asked.state.security.is_foreign() {
        // The certificate was checked and covers the roles, whatever roles the member had before.
        return Ok((request.roles.clone(), None));
    }
    match namesake.filter(|record| record.key == request.key) {
        // A member that asks again (its disk is empty, or an answer was lost) needs no token, and gets no more roles by asking.
        Some(record) => {
            check_roles(record, request)?;
            Ok((record.roles.clone(), None))
        }
        None => Ok((request.roles.clone(), Some(check_token(asked, request)?))),
    }
}

fn check_roles(record: &NodeRecord, request: &JoinRequest) -> Result<(), JoinRefusal> {
    if request.roles.iter().all(|role| record.roles.has(role)) {
        return Ok(());
    }
    let (has, asked) = (comma_separated(&record.roles), comma_separated(&request.roles));
    Err(JoinRefusal::Roles { name: record.name.clone(), has, asked })
}

fn check_token(asked: &AdmissionInput<'_>, request: &JoinRequest) -> Result<TokenUse, JoinRefusal> {
    let refused = |refusal: SecurityRefusal| JoinRefusal::Refused(CommandRefusal::Security(refusal));
    let no_token = || JoinRefusal::NoToken { roles: comma_separated(&request.roles) };
    let id = asked.join.token().ok_or_else(no_token)?;
    let security = &asked.state.security;
    let token = security.tokens.get(&id).ok_or_else(|| refused(SecurityRefusal::NoSuchToken(id)))?;
    // Only the holder of the token may learn whether it still counts.
    if !asked.join.is_by(&token.key) {
        return Err(JoinRefusal::ForgedToken(id));
    }
    let token = TokenUse { id, at_unix_s: asked.now_unix_s };
    security.check_token(&token, &request.roles).map_err(refused)?;
    Ok(token)
}

fn check_certificate(certificate: Option<&Certificate>, request: &JoinRequest) -> Result<(), JoinRefusal> {
    let subject = certificate.map(|certificate| &certificate.subject).ok_or(JoinRefusal::NoCertificate)?;
    let (has, fits) = match subject {
        Subject::Node { name, roles, .. } => {
            let covers = request.roles.iter().all(|role| roles.has(role));
            (format!("{name}: {}", comma_separated(roles)), *name == request.name && covers)
        }
        Subject::Identity { name, access } => (format!("{name}: {access}"), false),
    };
    let asked = format!("{}: {}", request.name, comma_separated(&request.roles));
    if fits { Ok(()) } else { Err(JoinRefusal::Certificate { has, asked }) }
}

#[cfg(test)]
mod tests;
