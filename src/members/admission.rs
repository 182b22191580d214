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
pub struct Asked<'a> {
    /// The state, no older than the last commit.
    pub state: &'a ClusterState,
    /// The request.
    pub join: &'a VerifiedJoin,
    /// The asking node's certificate, where it has shown one to this node itself.
    pub certificate: Option<&'a Certificate>,
    /// Whether the member that has a name is heard.
    pub is_heard: &'a dyn Fn(&NodeRecord) -> bool,
    /// Whether it was let in a moment ago, and is awaited.
    pub is_awaited: &'a dyn Fn(&NodeRecord) -> bool,
    /// Unix seconds.
    pub now_unix_s: u64,
}

/// It may come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is a member as it says.
    Is(NodeId),
    /// Once this is committed.
    Commit(Command),
}

/// Decides.
///
/// # Errors
/// Why not.
pub fn decide(asked: &Asked<'_>) -> Result<Admission, JoinRefusal> {
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
    // That it says it is at the same address proves nothing: only the key does. And with the key, two at once are one too many.
    // One that is heard and has lost its log is none of itself: the request is a copy, or the machine is.
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
    // It is looked at again when the entry is applied; what is known to be refused then is not written.
    asked.state.check_joining(&joining).map_err(JoinRefusal::Refused)?;
    Ok(Admission::Commit(Command::NodeJoined(joining)))
}

fn is_as_it_says(record: &NodeRecord, request: &JoinRequest, roles: &Roles) -> bool {
    record.addr == request.addr && record.zone == request.zone && record.roles == *roles
}

/// What is wrong with the request whoever asks.
fn check_form(asked: &Asked<'_>, request: &JoinRequest) -> Result<(), JoinRefusal> {
    let Asked { state, now_unix_s, .. } = asked;
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

/// The member that the node has the log of. It must have its key as well: a log without it is somebody's copy.
fn returning<'a>(namesake: Option<&'a NodeRecord>, request: &JoinRequest, id: NodeId) -> Result<&'a NodeRecord, JoinRefusal> {
    let record = namesake.filter(|record| record.id == id).ok_or(JoinRefusal::Forgotten { id })?;
    if record.key == request.key { Ok(record) } else { Err(JoinRefusal::OtherKey { id }) }
}

/// What lets the node in: that it is a member, its certificate where certificates come from elsewhere, or its token. And the roles that it gets.
fn entitled(
    asked: &Asked<'_>,
    request: &JoinRequest,
    namesake: Option<&NodeRecord>,
) -> Result<(Roles, Option<TokenUse>), JoinRefusal> {
    if asked.state.security.is_foreign() {
        // The certificate has been looked at, and covers them, whatever they were.
        return Ok((request.roles.clone(), None));
    }
    match namesake.filter(|record| record.key == request.key) {
        // A member that asks again, with an empty disk or because an answer was lost, needs no token; nor may it become more by asking.
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

fn check_token(asked: &Asked<'_>, request: &JoinRequest) -> Result<TokenUse, JoinRefusal> {
    let refused = |refusal: SecurityRefusal| JoinRefusal::Refused(CommandRefusal::Security(refusal));
    let no_token = || JoinRefusal::NoToken { roles: comma_separated(&request.roles) };
    let id = asked.join.token().ok_or_else(no_token)?;
    let security = &asked.state.security;
    let token = security.tokens.get(&id).ok_or_else(|| refused(SecurityRefusal::NoSuchToken(id)))?;
    // What it is worth is only for its holder to know.
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
