//! Arguments of the commands about who may get in: nodes, tokens, identities, keys, CA.

use super::help::{
    CA_ROTATE_HELP, IDENTITY_CREATE_HELP, IDENTITY_LIST_HELP, IDENTITY_REVOKE_HELP, KEYS_ROTATE_HELP, NODE_ALLOW_HELP,
    NODE_LIST_HELP, NODE_REMOVE_HELP, NODE_ROLES_HELP, TOKEN_CREATE_HELP, TOKEN_LIST_HELP, TOKEN_REVOKE_HELP,
};
use crate::{
    api::{IDENTITY_TTL_S, TOKEN_TTL_S, TOKEN_USES},
    model::{Access, DurationText, IdentityName, NodeName, Role, Roles, TokenId},
};
use clap::{Args as ClapArgs, Subcommand};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);

/// `node …`
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum NodeCommand {
    /// List the members.
    #[command(after_help = NODE_LIST_HELP)]
    List(JsonArgs),
    /// Take another node out of the cluster for good.
    #[command(after_help = NODE_REMOVE_HELP)]
    Remove(NodeRemoveArgs),
    /// Let a removed node in again that has a certificate of your own CA.
    #[command(after_help = NODE_ALLOW_HELP)]
    Allow(NodeAllowArgs),
    /// Give a node other roles.
    #[command(after_help = NODE_ROLES_HELP)]
    RenameRoles(NodeRolesArgs),
}

/// `token …`
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a join token, and print the line to run on new nodes.
    #[command(after_help = TOKEN_CREATE_HELP)]
    Create(TokenCreateArgs),
    /// List the join tokens that are still worth something.
    #[command(after_help = TOKEN_LIST_HELP)]
    List(JsonArgs),
    /// Make a join token worthless.
    #[command(after_help = TOKEN_REVOKE_HELP)]
    Revoke(TokenRevokeArgs),
}

/// `identity …`
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum IdentityCommand {
    /// Make a certificate for the remote API.
    #[command(after_help = IDENTITY_CREATE_HELP)]
    Create(IdentityCreateArgs),
    /// List who may use the remote API.
    #[command(after_help = IDENTITY_LIST_HELP)]
    List(JsonArgs),
    /// Make an identity's certificate worthless.
    #[command(after_help = IDENTITY_REVOKE_HELP)]
    Revoke(IdentityRevokeArgs),
}

/// `keys …`
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum KeysCommand {
    /// Replace the key that seals gossip and leases, without a gap.
    #[command(after_help = KEYS_ROTATE_HELP)]
    Rotate(RotateArgs),
}

/// `ca …`
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum CaCommand {
    /// Replace the cluster's CA and all nodes' certificates, without a gap.
    #[command(after_help = CA_ROTATE_HELP)]
    Rotate(RotateArgs),
}

/// Arguments of commands that list something.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct JsonArgs {
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `node remove`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct NodeRemoveArgs {
    /// The node.
    #[arg(value_name = "NAME")]
    pub name: NodeName,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// One JSON object: the node.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `node allow`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct NodeAllowArgs {
    /// The node.
    #[arg(value_name = "NAME")]
    pub name: NodeName,
    /// One JSON object: the node.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `node rename-roles`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct NodeRolesArgs {
    /// The node.
    #[arg(value_name = "NAME")]
    pub name: NodeName,
    /// All that it is to do: director, real-server, witness, with commas between.
    #[arg(long, value_name = "ROLES", value_parser = roles)]
    pub roles: Roles,
    /// One JSON object: the node and its roles.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `token create`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct TokenCreateArgs {
    /// How long it is worth something: 30m, 12h, 7d; 1m to 30d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl(TOKEN_TTL_S))]
    pub ttl: Duration,
    /// How many nodes may join with it: 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(i64::from(*TOKEN_USES.start())..=i64::from(*TOKEN_USES.end())))]
    pub uses: u32,
    /// What they may be: director, real-server, witness, with commas between.
    #[arg(long, value_name = "ROLES", default_value = "real-server", value_parser = roles)]
    pub roles: Roles,
    /// One JSON object: the token, its name, what it is good for.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `token revoke`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct TokenRevokeArgs {
    /// The token's name, as `token list` shows it; not the token.
    #[arg(value_name = "ID")]
    pub id: TokenId,
    /// One JSON object: the token's name.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keys rotate` and `ca rotate`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct RotateArgs {
    /// Begin, and do not watch.
    #[arg(long)]
    pub no_wait: bool,
    /// Stop watching after so many seconds; the rotation goes on by itself.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
    /// One JSON object at the end: keys and CAs, as in `status`.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `identity create`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct IdentityCreateArgs {
    /// Its name: 1 to 63 of a-z, 0-9, `-`, `_` and `.`.
    #[arg(value_name = "NAME")]
    pub name: IdentityName,
    /// It may look: status, node list, plan, export, version. This is the default.
    #[arg(long, conflicts_with = "admin")]
    pub read_only: bool,
    /// It may do all that can be done from afar.
    #[arg(long)]
    pub admin: bool,
    /// How long its certificate lasts: 12h, 30d; 1m to 365d.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = ttl(IDENTITY_TTL_S))]
    pub ttl: Duration,
    /// Where to write it; `-` for stdout [default: NAME.pem].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// One JSON object: name, access, certificate, end, file.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `identity revoke`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct IdentityRevokeArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: IdentityName,
    /// One JSON object: the name.
    #[arg(long)]
    pub json: bool,
}

impl IdentityCreateArgs {
    /// What it may do.
    pub fn access(&self) -> Access {
        if self.admin { Access::Admin } else { Access::ReadOnly }
    }
}

pub(super) fn roles(text: &str) -> Result<Roles, String> {
    let listed: Result<Vec<Role>, String> = text.split(',').map(|word| word.trim().parse()).collect();
    Roles::new(listed?).ok_or_else(|| "name at least one role".to_owned())
}

/// Reads how long something lasts: as in configuration files, and in days.
fn ttl(range_s: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()).map(|days| DAY * days);
        let ttl = match days {
            Some(ttl) => ttl,
            None => {
                let bad = |_| "write a whole number and its unit (m, h or d), for example 30m, 12h or 7d".to_owned();
                text.parse::<DurationText>().map_err(bad)?.0
            }
        };
        if range_s.contains(&ttl.as_secs()) {
            return Ok(ttl);
        }
        Err(format!("use {} to {}d", DurationText(Duration::from_secs(*range_s.start())), range_s.end() / DAY.as_secs()))
    }
}
