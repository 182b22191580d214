//! Every command against a server in memory, with its exit code.

use super::*;
use crate::{
    api::{
        self, Admin, AdminListener, TokenRequest,
        fake::{Fake, Place},
    },
    link::io::files,
    model::{Role, Roles},
};
use clap::Parser;
use std::{os::unix::fs::PermissionsExt, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const WEB: &str = "[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n";

/// Runs a command line (without the program's name) against the agent at `place`.
async fn exit(place: &Place, line: &str) -> Exit {
    let words = ["lvs-agent", "--socket"].map(str::to_owned).into_iter().chain([place.socket().display().to_string()]);
    let args = Args::try_parse_from(words.chain(line.split(' ').map(str::to_owned))).unwrap();
    dispatch(&args).await.unwrap_or_else(|failure| failure.exit)
}

#[tokio::test]
async fn commands_end_as_documented() {
    let (place, fake) = (Place::new("commands"), Arc::new(Fake::default()));
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
    fake.gate.notify_one();
    assert_eq!(exit(&place, "join 10.0.0.11").await, Exit::Ok);
    assert_eq!(*fake.joined_with.lock().unwrap(), None);
    assert_eq!(exit(&place, "status --json").await, Exit::Ok);
    assert_eq!(exit(&place, "status").await, Exit::Ok);
}

fn serve(place: &Place, fake: &Arc<Fake>) {
    let listener = AdminListener::bind(&place.socket()).unwrap();
    tokio::spawn(api::serve(listener, fake.clone(), CancellationToken::new()));
}

#[tokio::test]
async fn a_token_reaches_the_agent_whichever_way_it_is_given() {
    let (place, fake) = (Place::new("token"), Arc::new(Fake::default()));
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
    let (place, fake) = (Place::new("security"), Arc::new(Fake::default()));
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
    let (place, fake) = (Place::new("founder"), Arc::new(Fake { outside: true, ..Fake::default() }));
    serve(&place, &fake);
    assert_eq!(exit(&place, "init --json").await, Exit::Ok);
    assert_eq!(exit(&place, "node list").await, Exit::Ok);
    assert_eq!(exit(&place, "keys rotate").await, Exit::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_takes_too_long_goes_on_without_its_watcher() {
    let (place, fake) = (Place::new("rotation"), Arc::new(Fake::default()));
    serve(&place, &fake);
    assert_eq!(exit(&place, "ca rotate --timeout 30").await, Exit::NoQuorum);
}

#[tokio::test]
async fn an_identity_is_all_that_a_remote_administrator_needs() {
    let (place, fake) = (Place::new("remote"), Arc::new(Fake::default()));
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
    let place = Place::new("unmade");
    let file = place.socket().parent().unwrap().with_file_name("nobody.pem");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(exit(&place, &format!("identity create nobody --output {}", file.display())).await, Exit::NotReachable);
    assert!(!file.exists());
}
