//! An administrator's changes of who may speak: tokens, members, keys, CAs, remote identities. Each is one proposal.

use super::{member::Member, refusals::wrong};
use crate::{
    api::{AdminError, IdentityMade, IdentityRequest, IdentityStatus, TokenMade, TokenRequest, TokenStatus},
    base::errors::with_sources,
    clock::{BootClock, Clock},
    config::AgentConfig,
    link::{authority::Authority, io::files, token::JoinToken},
    members::{removal_check::RemovalCheck, rotation_task},
    model::{Fingerprint, IdentityName, NodeName, Role, Roles, TokenId},
    rules::{
        ClusterState, Command, SecurityChange,
        security::{RemoteIdentity, Token},
    },
};
use std::{collections::BTreeSet, time::Duration};

/// Where what is asked for can be done.
pub fn must_be_director(state: &ClusterState, me: &NodeName) -> Result<(), AdminError> {
    let directors: Vec<&NodeName> =
        state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| &node.name).collect();
    if directors.contains(&me) {
        return Ok(());
    }
    let names: Vec<String> = directors.iter().map(ToString::to_string).collect();
    Err(AdminError::Refused(format!(
        "only directors change the cluster: run this on {}, or with --server at one of them and an admin's certificate",
        if names.is_empty() { "a director".to_owned() } else { names.join(" or ") }
    )))
}

async fn change(member: &Member, change: SecurityChange) -> Result<(), AdminError> {
    member.change(Command::Security(change)).await.map(drop)
}

fn unix_s() -> u64 {
    BootClock.unix_now().as_secs()
}

/// The CA that signs; clusters with somebody else's CA have none.
fn issuing(state: &ClusterState) -> Result<Fingerprint, AdminError> {
    let elsewhere = "this cluster's certificates come from your own ca ([tls] in agent.toml): make them there; nodes join with their certificate, without a token";
    state.security.authorities.issuing.ok_or_else(|| AdminError::Invalid(elsewhere.to_owned()))
}

/// Makes a join token; its secret is told once and kept nowhere.
pub async fn make_token(member: &Member, me: &NodeName, request: TokenRequest) -> Result<TokenMade, AdminError> {
    let authority = issuing(&member.state())?;
    let secret = JoinToken::make(authority);
    let now = unix_s();
    let token = Token {
        key: secret.public(),
        roles: request.roles,
        uses_left: request.uses,
        expires_unix_s: now.saturating_add(request.ttl_s),
        made_by: me.clone(),
        authority,
    };
    let status = token_status(secret.id(), &token);
    change(member, SecurityChange::TokenMade { id: secret.id(), token, at_unix_s: now }).await?;
    tracing::info!(token = %secret.id(), roles = %status.roles, uses = status.uses_left, "join token made");
    Ok(TokenMade { token: secret.text(), status })
}

fn token_status(id: TokenId, token: &Token) -> TokenStatus {
    let Token { roles, uses_left, expires_unix_s, made_by, .. } = token.clone();
    TokenStatus { id, roles, uses_left, expires_unix_s, made_by }
}

/// Tokens that are still worth something.
pub fn tokens(state: &ClusterState) -> Vec<TokenStatus> {
    let now = unix_s();
    let valid = state.security.tokens.iter().filter(|(_, token)| token.expires_unix_s > now);
    valid.map(|(id, token)| token_status(*id, token)).collect()
}

/// Makes a token worthless.
pub async fn revoke_token(member: &Member, id: TokenId) -> Result<(), AdminError> {
    change(member, SecurityChange::TokenRevoked(id)).await
}

/// Takes another node out for good, unless the rest could not decide without it.
pub async fn remove_node(member: &Member, me: &NodeName, name: NodeName) -> Result<(), AdminError> {
    if name == *me {
        return Err(AdminError::Invalid(format!("{name} is this node: use `lvs-agent leave`, which also cleans up here")));
    }
    let state = member.state();
    if let Some(node) = state.nodes.get(&name) {
        let (view, voters) = (member.view(), member.raft().view().borrow().voters.clone());
        let check = RemovalCheck { state: &state, view: &view, voters: &voters };
        check.is_directed_without(&name).map_err(AdminError::Refused)?;
        check.votes_suffice_without(node.id).map_err(AdminError::NoQuorum)?;
    }
    member.change(Command::NodeRemoved(name.clone())).await?;
    tracing::info!(node = %name, "node removed by an administrator");
    Ok(())
}

/// Gives a node other roles.
pub async fn set_roles(member: &Member, name: NodeName, roles: Roles) -> Result<(), AdminError> {
    let state = member.state();
    if !roles.has(Role::Director) {
        // Who directs no more wipes the CA's key.
        let (view, voters) = (member.view(), BTreeSet::new());
        let check = RemovalCheck { state: &state, view: &view, voters: &voters };
        check.is_directed_without(&name).map_err(AdminError::Refused)?;
        if !state.nodes.values().any(|node| node.name != name && node.roles.has(Role::Director)) {
            return Err(AdminError::Refused(format!("{name} is the only director: make another node one first")));
        }
    }
    member.change(Command::NodeRoles { name: name.clone(), roles: roles.clone() }).await?;
    tracing::info!(node = %name, %roles, "node has other roles");
    Ok(())
}

/// Adds a gossip key; `members::rotation_task` does the rest once every member has it.
pub async fn rotate_keys(member: &Member) -> Result<(), AdminError> {
    let key = rotation_task::new_key().ok_or_else(|| AdminError::Internal("the system has no randomness".to_owned()))?;
    // Whether a node that has left still hears of it is not known here.
    change(member, SecurityChange::KeyAdded { key, departures: None }).await
}

/// Makes another CA and has it trusted; `members::rotation_task` and every node's certificate renewal do the rest.
pub async fn rotate_authority(member: &Member, config: &AgentConfig) -> Result<(), AdminError> {
    issuing(&member.state())?;
    let _turn = member.key_files().lock().await;
    give_up_lost(member, config).await?;
    let state = member.state();
    let authority = Authority::make(&state.cluster_id, BootClock.unix_now());
    files::save_authority(&config.data_dir, &authority).map_err(|error| AdminError::Internal(with_sources(&error)))?;
    let (fingerprint, der) = (authority.fingerprint(), authority.certificate().to_vec());
    // It returns when this node knows of it: before that, its keeper, which waits for this turn to end, would take the key for a leftover.
    change(member, SecurityChange::AuthorityAdded { fingerprint, der }).await?;
    tracing::info!(ca = %fingerprint, "another ca was made and goes round");
    Ok(())
}

/// A rotation whose CA nobody has the key of makes room for another.
async fn give_up_lost(member: &Member, config: &AgentConfig) -> Result<(), AdminError> {
    let (state, view, voters) = (member.state(), member.view(), BTreeSet::new());
    let check = RemovalCheck { state: &state, view: &view, voters: &voters };
    let me_has = |certificate: &[u8]| matches!(files::authority(&config.data_dir, certificate), Ok(Some(_)));
    let Some(lost) = check.lost_upcoming(me_has) else { return Ok(()) };
    change(member, SecurityChange::AuthorityDropped(lost)).await?;
    tracing::warn!(ca = %lost, "no director has the key of the ca that was to be the next: another one takes its place");
    Ok(())
}

/// Makes a certificate for the remote API.
pub async fn make_identity(member: &Member, config: &AgentConfig, request: IdentityRequest) -> Result<IdentityMade, AdminError> {
    let state = member.state();
    let authorities = &state.security.authorities;
    let certificate = authorities.trusted.get(&issuing(&state)?).expect("the issuing ca is trusted");
    let authority =
        files::authority(&config.data_dir, certificate).map_err(|error| AdminError::Internal(with_sources(&error)))?;
    let authority = authority.ok_or_else(|| {
        AdminError::Refused(
            "this director does not have the ca's key yet: try again in a moment, or on another director".to_owned(),
        )
    })?;
    let IdentityRequest { name, access, ttl_s } = request;
    let lifetime = Duration::from_secs(ttl_s);
    let made = authority.make_identity(&state.cluster_id, &name, access, lifetime, BootClock.unix_now());
    let (leaf, key) = made.map_err(|error| wrong(&error))?;
    let status =
        IdentityStatus { name: name.clone(), access, certificate: leaf.fingerprint, expires_unix_s: leaf.not_after_unix_s };
    let (certificate, expires_unix_s) = (leaf.fingerprint, leaf.not_after_unix_s);
    let identity = RemoteIdentity { access, certificate, expires_unix_s, authority: authority.fingerprint() };
    change(member, SecurityChange::IdentityAdded { name: name.clone(), identity }).await?;
    tracing::info!(%name, %access, "remote identity made");
    let trusted: Vec<Vec<u8>> = authorities.trusted.values().cloned().collect();
    Ok(IdentityMade { bundle: files::bundle(&key, &leaf.der, &trusted), status })
}

/// Who may use the remote API.
pub fn identities(state: &ClusterState) -> Vec<IdentityStatus> {
    let known = state.security.identities.iter();
    known
        .map(|(name, identity)| IdentityStatus {
            name: name.clone(),
            access: identity.access,
            certificate: identity.certificate,
            expires_unix_s: identity.expires_unix_s,
        })
        .collect()
}

/// Makes a remote identity's certificate worthless.
pub async fn revoke_identity(member: &Member, name: IdentityName) -> Result<(), AdminError> {
    change(member, SecurityChange::IdentityRevoked(name)).await
}
