//! Every command against a server in memory, with its exit code.

use super::*;
use crate::{
    api::{
        self, AdminListener, SecurityAdmin, TokenRequest,
        fake::{Fake, SocketDir},
    },
    link::io::files,
    model::{Role, Roles},
    rules::Warning,
};
use clap::{CommandFactory, Parser};
use std::{io::IsTerminal, os::unix::fs::PermissionsExt, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const WEB: &str = "[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n";

/// Runs a command line (without the program's name) against the agent at `place`.
async fn exit(place: &SocketDir, line: &str) -> Exit {
    let words = ["lvs-agent", "--socket"].map(str::to_owned).into_iter().chain([place.socket().display().to_string()]);
    let args = Args::try_parse_from(words.chain(line.split(' ').map(str::to_owned))).unwrap();
    dispatch(&args).await.unwrap_or_else(|failure| failure.exit)
}

#[tokio::test]
async fn commands_end_as_documented() {
    let (place, fake) = (SocketDir::new("commands"), Arc::new(Fake::default()));
    assert_eq!(exit(&place, "status").await, Exit::NotReachable);
    assert_eq!(exit(&place, "version --json").await, Exit::Ok, "which program this is can be said without an agent");
    let listener = AdminListener::bind(&place.socket()).unwrap();
    tokio::spawn(api::serve(listener, fake.clone(), CancellationToken::new()));

    let file = |name: &str, text: &str| {
        let path = place.socket().with_file_name(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (good, bad) = (file("good.toml", WEB), file("bad.toml", "colour = 1\n"));
    assert_eq!(exit(&place, &format!("plan --exit-code {good}")).await, Exit::Changes);
    assert_eq!(exit(&place, &format!("plan {good}")).await, Exit::Ok);
    assert_eq!(exit(&place, &format!("plan {bad}")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("plan --offline {bad}")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("apply {bad}")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("apply {good}.missing")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("apply --if-revision 9 {good}")).await, Exit::Refused);
    assert_eq!(fake.rules.lock().unwrap().0, 0, "nothing of that was applied");
    assert_eq!(exit(&place, &format!("apply --if-revision 0 {good}")).await, Exit::Ok);
    assert_eq!(fake.rules.lock().unwrap().0, 1);
    let exported = file("exported.toml", "");
    assert_eq!(exit(&place, &format!("export --output {exported}")).await, Exit::Ok);
    assert_eq!(exit(&place, &format!("plan --exit-code --json {exported}")).await, Exit::Ok, "an export applies to nothing");
    assert_eq!(exit(&place, "init").await, Exit::Refused);
    assert_eq!(exit(&place, "join").await, Exit::NoQuorum);
    assert_eq!(exit(&place, "leave").await, Exit::NoQuorum);
    assert_eq!(exit(&place, "leave --force").await, Exit::Ok, "nobody is asked");
    assert_eq!(exit(&place, "leave --force --json").await, Exit::Ok);
    assert_eq!(exit(&place, "withdraw").await, Exit::Ok);
    assert_eq!(exit(&place, "withdraw --json").await, Exit::Ok);
    fake.gate.notify_one();
    assert_eq!(exit(&place, "join 10.0.0.11").await, Exit::Ok);
    assert_eq!(*fake.joined_with.lock().unwrap(), None);
    assert_eq!(exit(&place, "status --json").await, Exit::Ok);
    assert_eq!(exit(&place, "status").await, Exit::Ok);
}

#[tokio::test]
async fn warnings_refuse_where_that_is_asked_for_and_only_there() {
    let (place, fake) = (SocketDir::new("warnings"), Arc::new(Fake::default()));
    serve(&place, &fake);
    let file = place.socket().with_file_name("web.toml");
    std::fs::write(&file, WEB).unwrap();
    let file = file.display();
    assert_eq!(exit(&place, &format!("plan --strict {file}")).await, Exit::Ok, "there is nothing to be warned of");
    let (vip, address) = ("web".parse().unwrap(), "10.0.0.100".parse().unwrap());
    fake.warnings.lock().unwrap().push(Warning::VipIsAHostsAddress { vip, address, node: "r1".parse().unwrap() });
    for (line, end) in [
        ("plan", Exit::Ok),
        ("plan --exit-code", Exit::Changes),
        ("plan --strict", Exit::Refused),
        ("plan --strict --exit-code --json", Exit::Refused),
        ("apply --strict", Exit::Refused),
        ("apply --strict --json", Exit::Refused),
    ] {
        assert_eq!(exit(&place, &format!("{line} {file}")).await, end, "{line}");
    }
    assert_eq!(fake.rules.lock().unwrap().0, 0, "nothing of that was applied");
    assert_eq!(exit(&place, &format!("apply {file}")).await, Exit::Ok);
    assert_eq!(fake.rules.lock().unwrap().0, 1);
}

fn serve(place: &SocketDir, fake: &Arc<Fake>) {
    let listener = AdminListener::bind(&place.socket()).unwrap();
    tokio::spawn(api::serve(listener, fake.clone(), CancellationToken::new()));
}

#[tokio::test]
async fn a_token_reaches_the_agent_whichever_way_it_is_given() {
    let (place, fake) = (SocketDir::new("token"), Arc::new(Fake::default()));
    serve(&place, &fake);
    let request = TokenRequest { ttl_s: 60, uses: 1, roles: Roles::new([Role::RealServer]).unwrap() };
    let secret = fake.make_token(request).await.unwrap().token;
    let token = secret.as_str();
    let file = place.socket().with_file_name("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    for how in [format!("--token {token}"), format!("--token-file {}", file.display())] {
        fake.gate.notify_one();
        assert_eq!(exit(&place, &format!("join 10.0.0.11 {how} --json")).await, Exit::Ok);
        assert_eq!(fake.joined_with.lock().unwrap().take().as_ref(), Some(&secret));
    }
    std::fs::write(&file, &token[..token.len() - 1]).unwrap();
    for wrong in [format!("--token {token}x"), format!("--token-file {}", file.display()), "--token secret".to_owned()] {
        assert_eq!(exit(&place, &format!("join 10.0.0.11 {wrong}")).await, Exit::Invalid, "{wrong}");
    }
    assert_eq!(exit(&place, "join 10.0.0.11 --token-file /nowhere").await, Exit::Invalid);
    assert_eq!(*fake.joined_with.lock().unwrap(), None, "nobody was asked with a damaged token");
}

#[tokio::test]
async fn commands_about_who_may_get_in_end_as_documented() {
    let (place, fake) = (SocketDir::new("security"), Arc::new(Fake::default()));
    serve(&place, &fake);
    assert_eq!(exit(&place, "token create --uses 3 --ttl 2d --roles director,real-server").await, Exit::Ok);
    assert_eq!(exit(&place, "token list").await, Exit::Ok);
    let id = fake.tokens().await.unwrap()[0].id;
    assert_eq!(exit(&place, &format!("token revoke {id}")).await, Exit::Ok);
    assert_eq!(exit(&place, &format!("token revoke {id}")).await, Exit::Refused);
    assert_eq!(exit(&place, "node list").await, Exit::Ok);
    assert_eq!(exit(&place, "node rename-roles r3 --roles witness").await, Exit::Ok);
    assert_eq!(exit(&place, "node remove r3 --yes").await, Exit::Ok);
    assert_eq!(exit(&place, "node remove r3 --yes --json").await, Exit::Refused);
    assert_eq!(exit(&place, "node list").await, Exit::Ok);
    assert_eq!(exit(&place, "node allow r3 --json").await, Exit::Ok);
    assert_eq!(exit(&place, "node allow r3").await, Exit::Refused, "it may come back already");
    assert_eq!(exit(&place, "keys rotate --json").await, Exit::Ok);
    assert_eq!(exit(&place, "ca rotate --no-wait").await, Exit::Ok);
    assert_eq!(exit(&place, "ca rotate").await, Exit::Refused, "one is under way");
    assert_eq!(exit(&place, "init").await, Exit::Refused);
    let (place, fake) = (SocketDir::new("founder"), Arc::new(Fake { outside: true, ..Fake::default() }));
    serve(&place, &fake);
    assert_eq!(exit(&place, "init --json").await, Exit::Ok);
}

/// What a command fails with.
async fn failure(place: &SocketDir, line: &str) -> CommandFailure {
    let words = ["lvs-agent", "--socket"].map(str::to_owned).into_iter().chain([place.socket().display().to_string()]);
    let args = Args::try_parse_from(words.chain(line.split(' ').map(str::to_owned))).unwrap();
    dispatch(&args).await.unwrap_err()
}

/// Every command there is, as it may be typed; a new one belongs here.
fn every_command(file: &str, output: &str) -> Vec<String> {
    let lines = "init;join 10.0.0.11;leave;leave --force;leave --yes --json;withdraw;withdraw --json;restart;restart --force --json;status;status --json;plan FILE;plan --exit-code --json FILE;\
                 apply FILE;apply --json FILE;apply --prune FILE;export;export --output OUTPUT;node list;node list --json;\
                 node remove r3 --yes;node remove r3 --yes --json;node allow r3;node rename-roles r3 --roles witness;token create;\
                 token create --json;token list;token list --json;token revoke 5f0c2a9e11d3b7a4;identity create ann --output OUTPUT;\
                 identity create ann --output -;identity list;identity list --json;identity revoke ann;keys rotate;keys rotate --no-wait;\
                 ca rotate;ca rotate --no-wait --json;version;version --json";
    lines.split(';').map(|line| line.replace("FILE", file).replace("OUTPUT", output)).collect()
}

#[tokio::test]
async fn outside_of_a_cluster_every_command_that_is_about_one_says_the_same() {
    let (place, fake) = (SocketDir::new("outside"), Arc::new(Fake { outside: true, ..Fake::default() }));
    serve(&place, &fake);
    let file = place.socket().with_file_name("web.toml");
    std::fs::write(&file, WEB).unwrap();
    let output = place.socket().with_file_name("output");
    let lines = every_command(&file.display().to_string(), &output.display().to_string());
    let has_line = |name: &str| lines.iter().any(|line| *line == name || line.starts_with(&format!("{name} ")));
    let asks_an_agent = |command: &&clap::Command| !command.is_hide_set() && !["run", "configure"].contains(&command.get_name());
    for command in Args::command().get_subcommands().filter(asks_an_agent) {
        let inner: Vec<String> =
            command.get_subcommands().map(|inner| format!("{} {}", command.get_name(), inner.get_name())).collect();
        let names = if inner.is_empty() { vec![command.get_name().to_owned()] } else { inner };
        names.iter().for_each(|name| assert!(has_line(name), "{name} is not tried"));
    }
    // What a node can be told or asked before it is in a cluster.
    for line in lines
        .iter()
        .filter(|line| !["init", "join", "withdraw", "restart", "status", "version"].contains(&line.split(' ').next().unwrap()))
    {
        let failed = failure(&place, line).await;
        let said = ["not in a cluster: run `lvs-agent init`, or `lvs-agent join SEED --token TOKEN`"];
        assert_eq!((failed.exit, &failed.lines[..]), (Exit::Refused, &said.map(str::to_owned)[..]), "{line}");
    }
    assert!(!output.exists(), "no file is left of what was not made");
    assert_eq!(exit(&place, "status").await, Exit::Ok, "that is how one sees it");
    assert_eq!(exit(&place, "withdraw").await, Exit::Ok, "there is nothing to withdraw");
}

#[tokio::test]
async fn an_empty_file_deletes_nothing_unless_that_is_said() {
    let (place, fake) = (SocketDir::new("empty"), Arc::new(Fake::default()));
    serve(&place, &fake);
    let file = |name: &str, text: &str| {
        let path = place.socket().with_file_name(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (empty, good) = (file("empty.toml", "# nothing\n"), file("good.toml", WEB));
    for rules in 0..2 {
        // Without rules and with some: the file is wrong either way.
        for line in
            ["plan", "plan --json", "plan --exit-code", "plan --offline", "apply", "apply --json", "apply --if-revision 0"]
        {
            let failed = failure(&place, &format!("{line} {empty}")).await;
            assert_eq!((failed.exit, failed.lines.len()), (Exit::Invalid, 2), "{line}");
            assert!(failed.lines[1].starts_with(&format!("{empty}:1:1: the file has no [[vip]]")), "{line}: {:?}", failed.lines);
            assert!(failed.lines[1].contains("--prune"), "{line}: {:?}", failed.lines);
        }
        assert_eq!(fake.rules.lock().unwrap().0, rules);
        assert_eq!(exit(&place, &format!("apply {good}")).await, Exit::Ok);
    }
    assert_eq!(exit(&place, &format!("plan --prune --exit-code {empty}")).await, Exit::Changes);
    assert_eq!(exit(&place, &format!("plan --prune --offline {empty}")).await, Exit::Ok);
    assert_eq!(exit(&place, &format!("apply --prune {empty}")).await, Exit::Ok);
    assert!(fake.rules.lock().unwrap().1.vips.is_empty(), "all went");
    let exported = file("exported.toml", "");
    assert_eq!(exit(&place, &format!("export --output {exported}")).await, Exit::Ok);
    assert!(std::fs::read_to_string(&exported).unwrap().contains("--prune"), "an export of nothing says how it is applied");
}

#[tokio::test]
async fn the_only_node_leaves_when_that_is_said() {
    let (place, fake) = (SocketDir::new("only"), Arc::new(Fake::default()));
    fake.status.lock().unwrap().nodes.truncate(1);
    serve(&place, &fake);
    for line in ["leave", "leave --json"] {
        // `cargo test` in a terminal would be asked.
        if io::stdin().is_terminal() {
            break;
        }
        let failed = failure(&place, line).await;
        assert_eq!(failed.exit, Exit::Invalid);
        let said = failed.lines.join(" ");
        assert!(
            said.contains("this is the only node; say --yes if ") && said.contains("there is no terminal to ask on"),
            "{said}"
        );
    }
    assert_eq!(exit(&place, "leave --yes").await, Exit::Ok);
    assert_eq!(exit(&place, "leave --force").await, Exit::Ok, "nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_takes_too_long_goes_on_without_its_watcher() {
    let (place, fake) = (SocketDir::new("rotation"), Arc::new(Fake::default()));
    serve(&place, &fake);
    assert_eq!(exit(&place, "ca rotate --timeout 30").await, Exit::NoQuorum);
}

#[tokio::test]
async fn an_identity_is_all_that_a_remote_administrator_needs() {
    let (place, fake) = (SocketDir::new("remote"), Arc::new(Fake::default()));
    serve(&place, &fake);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(api::serve_remote(listener, fake.credentials(), fake.clone(), fake.clone(), CancellationToken::new()));
    let file = |name: &str| place.socket().with_file_name(name).display().to_string();
    let (ann, eve) = (file("ann.pem"), file("eve.pem"));
    assert_eq!(exit(&place, &format!("identity create ann --admin --output {ann}")).await, Exit::Ok);
    assert_eq!(std::fs::metadata(&ann).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(exit(&place, &format!("identity create ann --output {ann}")).await, Exit::Invalid, "nothing is overwritten");
    let remote = |line: &str| format!("--server {server} --cert {ann} {line}");
    assert_eq!(exit(&place, &remote("status")).await, Exit::Ok);
    assert_eq!(exit(&place, &remote(&format!("identity create eve --read-only --json --output {eve}"))).await, Exit::Ok);
    assert_eq!(exit(&place, &remote("token create")).await, Exit::Ok);
    assert_eq!(exit(&place, &remote("leave")).await, Exit::Invalid, "that is the node's own business");
    assert_eq!(exit(&place, &remote("withdraw")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("--server {server} status")).await, Exit::Invalid, "no certificate");
    assert_eq!(exit(&place, &format!("--server {server} --cert {ann} --ca {ann}.none status")).await, Exit::Invalid);
    assert_eq!(exit(&place, &format!("--server {server} --cert {eve} export")).await, Exit::Ok);
    assert_eq!(exit(&place, &format!("--server {server} --cert {eve} keys rotate")).await, Exit::Refused);
    assert_eq!(exit(&place, &format!("--server localhost:{} --cert {eve} status", server.port())).await, Exit::Ok);
    assert_eq!(exit(&place, "identity revoke eve").await, Exit::Ok);
    assert_eq!(exit(&place, &format!("--server {server} --cert {eve} status")).await, Exit::Refused);
    let other = Fake::default();
    let ca = file("other.pem");
    std::fs::write(&ca, files::bundle(&[], other.authority.certificate(), &[])).unwrap();
    assert_eq!(exit(&place, &format!("--server {server} --cert {ann} --ca {ca} status")).await, Exit::Refused, "wrong ca");
    assert_eq!(exit(&place, &format!("--server 127.0.0.1:1 --cert {ann} status")).await, Exit::NotReachable);
}

#[tokio::test]
async fn an_identity_that_is_not_made_leaves_no_file() {
    let place = SocketDir::new("unmade");
    let file = place.socket().parent().unwrap().with_file_name("nobody.pem");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(exit(&place, &format!("identity create nobody --output {}", file.display())).await, Exit::NotReachable);
    assert!(!file.exists());
}
