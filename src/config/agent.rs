//! The node's own file, `agent.toml`: its name, its roles, its addresses, and where it finds the others.

mod track;

use super::{
    document::{self, At, Decoded, Table, clip, integer, parsed, text},
    problem::{ProblemCollector, Problems},
    value,
};
use crate::model::{NodeName, Role, Roles, TimingProfile, Track, ZoneName};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use toml::de::DeValue;

/// Where the file is looked for.
pub const DEFAULT_FILE: &str = "/etc/lvs-agent/agent.toml";
/// Where state is kept where `data_dir` is not given.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/lvs-agent";
/// Where the agent listens for its CLI where `socket` is not given.
pub const DEFAULT_SOCKET: &str = "/run/lvs-agent/agent.sock";
/// Where check scripts lie where `[scripts] directory` is not given.
pub const DEFAULT_SCRIPTS: &str = "/etc/lvs-agent/checks";
/// What is logged where `log` is not given.
pub const DEFAULT_LOG: &str = "info";

/// Longest path of a unix socket (`sun_path` less its final NUL, `unix(7)`).
const SOCKET_PATH_BYTES: usize = 107;
/// Seeds beyond a handful add nothing: one that answers is enough.
const MAX_SEEDS: usize = 64;
/// Longest name of a user (`LOGIN_NAME_MAX` less its final NUL, `limits.h`).
const MAX_USER_BYTES: usize = 255;

/// What `agent.toml` says, complete and valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentConfig {
    /// `node`: this node's name; default: the host name's first label, in lower case.
    pub node: NodeName,
    /// `roles`: what this node does. Required.
    pub roles: Roles,
    /// `address`: where the other nodes reach this one (gossip on UDP, Raft on TCP; the guard on UDP at the next port). Required; the port
    /// is [`value::DEFAULT_PORT`] where none is given.
    pub address: SocketAddr,
    /// `interface`: the interface that this node puts VIPs on where it differs from the one that the cluster file names, and that names one only.
    pub interface: Option<String>,
    /// `[interfaces]`: what interfaces that the cluster file names are called on this node, where they differ.
    pub interfaces: BTreeMap<String, String>,
    /// `seeds`: members to ask when joining; this node's own address may be among them.
    pub seeds: Vec<SocketAddr>,
    /// `data_dir`: Raft log, snapshots, sysctl values to put back. Default [`DEFAULT_DATA_DIR`].
    pub data_dir: PathBuf,
    /// `socket`: the admin API. Default [`DEFAULT_SOCKET`].
    pub socket: PathBuf,
    /// `timing`: the profile of a cluster that is made by `init` on this node; joining nodes take the cluster's. Default `lan`.
    pub timing: TimingProfile,
    /// `zone`: what fails together with this node: a rack, a room, a power feed. Voters are spread over zones.
    pub zone: Option<ZoneName>,
    /// `[tls]`: certificates of an external CA instead of the cluster's own.
    pub tls: Option<TlsConfig>,
    /// `[scripts]`: how script checks are run here; `None`: they are not.
    pub scripts: Option<ScriptsConfig>,
    /// `[[track]]`: what this node watches on itself, and how much less fit to hold VIPs it is while that fails.
    pub tracks: Vec<Track>,
    /// `[api] listen`: where the remote API is served (TCP, mTLS); default: nowhere.
    pub api_listen: Option<SocketAddr>,
    /// `log`: a level, or `level,target=level,…` as tracing-subscriber's `EnvFilter` takes it. Default [`DEFAULT_LOG`].
    pub log: String,
}

/// `[tls]`: files of an external CA; they are read again every minute, and at SIGHUP (`systemctl reload lvs-agent`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsConfig {
    /// `certificate`: this node's, PEM, intermediate ones after it.
    pub certificate: PathBuf,
    /// `key`: its private key, PEM.
    pub key: PathBuf,
    /// `ca`: the CAs to trust, PEM.
    pub ca: PathBuf,
}

/// `[scripts]`: this node's own decision which files script checks may run, and with whose rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptsConfig {
    /// `user`: the user that scripts run as. Required, and not root.
    pub user: ScriptUser,
    /// `directory`: where the scripts are that checks name. Default [`DEFAULT_SCRIPTS`].
    pub directory: PathBuf,
}

/// An account of this machine, not looked up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScriptUser {
    /// By its name.
    Name(String),
    /// By its number.
    Id(u32),
}

impl fmt::Display for ScriptUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptUser::Name(name) => f.write_str(name),
            ScriptUser::Id(id) => write!(f, "{id}"),
        }
    }
}

impl AgentConfig {
    /// Reads the file's text. `file` is its name in messages, `hostname` what the node is called where the file does not say.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str, hostname: &str) -> Result<Self, Problems> {
        let mut findings = ProblemCollector::new(file, text);
        let config = document::parse(text, &mut findings)
            .and_then(|document| read(Table::root(&document, "agent.toml"), hostname, &mut findings));
        match (findings.into_problems(), config) {
            (Some(problems), _) => Err(problems),
            (None, config) => Ok(config.expect("a field is only missing when a finding says so")),
        }
    }
}

fn read(mut table: Table<'_>, hostname: &str, findings: &mut ProblemCollector<'_>) -> Option<AgentConfig> {
    let node = node_name(&mut table, hostname, findings);
    let roles = roles(&mut table, findings);
    let address = table.required("address", text(value::node_address), findings);
    let interface = table.optional("interface", text(value::interface), findings);
    let seeds = seeds(&mut table, findings);
    let data_dir = table.optional("data_dir", text(absolute_path), findings);
    let socket = table.optional("socket", text(socket_path), findings);
    let timing = table.optional("timing", parsed::<TimingProfile>, findings);
    let log = table.optional("log", text(log_filter), findings);
    let zone = table.optional("zone", parsed::<ZoneName>, findings);
    let tls = tls(&mut table, findings);
    let scripts = scripts(&mut table, findings);
    let api_listen = api_listen(&mut table, findings);
    let runs_scripts = table.has("scripts");
    let tracks = track::read(&mut table, runs_scripts, findings);
    let interfaces = interfaces(&mut table, findings);
    table.finish(findings);
    Some(AgentConfig {
        node: node?,
        roles: roles?,
        address: address?.value,
        interface: interface.map(inner),
        interfaces,
        seeds,
        data_dir: data_dir.map_or_else(|| DEFAULT_DATA_DIR.into(), inner),
        socket: socket.map_or_else(|| DEFAULT_SOCKET.into(), inner),
        timing: timing.map_or_else(TimingProfile::default, inner),
        zone: zone.map(inner),
        tls,
        scripts,
        tracks,
        api_listen,
        log: log.map_or_else(|| DEFAULT_LOG.to_owned(), inner),
    })
}

fn inner<T>(at: At<T>) -> T {
    at.value
}

fn node_name(table: &mut Table<'_>, hostname: &str, findings: &mut ProblemCollector<'_>) -> Option<NodeName> {
    let before = findings.count();
    if let Some(named) = table.optional("node", parsed::<NodeName>, findings) {
        return Some(named.value);
    }
    if findings.count() > before {
        return None;
    }
    let label = hostname.split('.').next().unwrap_or_default().to_ascii_lowercase();
    match label.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            findings.add(table.at, format!("agent.toml needs `node`, because this machine's host name will not do: {why}"));
            None
        }
    }
}

fn roles(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<Roles> {
    let listed = table.required_list("roles", parsed::<Role>, findings)?;
    let roles = Roles::new(listed.items.iter().map(|role| role.value));
    if listed.is_empty {
        findings.add(listed.at, "`roles`: a node without a role does nothing: use director, real-server or witness");
    }
    roles
}

fn seeds(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Vec<SocketAddr> {
    let Some(seeds) = table.list("seeds", text(value::node_address), findings) else { return Vec::new() };
    if seeds.items.len() > MAX_SEEDS {
        findings.add(seeds.at, format!("`seeds`: at most {MAX_SEEDS}; one that answers is enough"));
    }
    seeds.items.into_iter().map(inner).collect()
}

fn tls(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<TlsConfig> {
    let mut table = table.table("tls", "[tls]", findings)?;
    let certificate = table.required("certificate", text(absolute_path), findings);
    let key = table.required("key", text(absolute_path), findings);
    let ca = table.required("ca", text(absolute_path), findings);
    table.finish(findings);
    Some(TlsConfig { certificate: certificate?.value, key: key?.value, ca: ca?.value })
}

fn scripts(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<ScriptsConfig> {
    let mut table = table.table("scripts", "[scripts]", findings)?;
    let user = table.required("user", script_user, findings);
    let directory = table.with_default("directory", text(absolute_path), DEFAULT_SCRIPTS.into(), findings);
    table.finish(findings);
    Some(ScriptsConfig { user: user?.value, directory: directory? })
}

/// A name or a number. Whether there is such a user is seen when the agent starts.
fn script_user(value: &DeValue<'_>) -> Decoded<ScriptUser> {
    const ROOT: &str = "scripts are not run as root: give them a user of their own (useradd --system lvs-check)";
    if let DeValue::Integer(_) = value {
        return match integer(0..=i64::from(u32::MAX - 1))(value)? {
            0 => Err(ROOT.to_owned()),
            id => Ok(ScriptUser::Id(id)),
        };
    }
    text(|name| match name {
        "root" | "0" => Err(ROOT.to_owned()),
        name if name.is_empty()
            || name.len() > MAX_USER_BYTES
            || !name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ':' | '/')) =>
        {
            Err(format!("`{}` is not the name of a user", clip(name)))
        }
        name => Ok(ScriptUser::Name(name.to_owned())),
    })(value)
}

fn api_listen(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<SocketAddr> {
    let mut table = table.table("api", "[api]", findings)?;
    let listen = table.required("listen", text(value::socket_address), findings);
    table.finish(findings);
    listen.map(inner)
}

fn interfaces(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> BTreeMap<String, String> {
    let table = table.table("interfaces", "[interfaces]", findings);
    table.map(|table| table.each(value::interface, text(value::interface), findings)).unwrap_or_default()
}

fn absolute_path(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_absolute() && !text.contains('\0') {
        return Ok(text.into());
    }
    Err(format!("`{}` is not an absolute path: begin it with `/`", clip(text)))
}

fn socket_path(text: &str) -> Result<PathBuf, String> {
    if text.len() > SOCKET_PATH_BYTES {
        return Err(format!("a socket's path has at most {SOCKET_PATH_BYTES} bytes, this one has {}", text.len()));
    }
    absolute_path(text)
}

/// Checks a log filter more strictly than `EnvFilter` does, which takes a misspelt level for the name of a module and then logs nothing.
///
/// # Errors
/// Says what is wrong with it.
pub fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit('=').next().unwrap_or_default();
        if !is_level(level) {
            return Err(format!(
                "`{}` is not a log filter: use a level ({}), or module=level, separated by commas",
                clip(directive),
                LEVELS.join(", ")
            ));
        }
    }
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests;
