//! Every command against a server in memory, with its exit code.

use super::*;
use crate::api::{
    self, AdminListener,
    fake::{Fake, Place},
};
use clap::Parser;
use std::sync::Arc;
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
    fake.gate.notify_one();
    assert_eq!(exit(&place, "join 10.0.0.11").await, Exit::Ok);
    assert_eq!(exit(&place, "status --json").await, Exit::Ok);
    assert_eq!(exit(&place, "status").await, Exit::Ok);
}
