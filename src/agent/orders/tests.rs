//! Orders outside of a cluster, with a real disk.

use super::*;
use crate::raft::Scratch;

/// Configured as `10.0.0.21` with these roles and these lines; its data are in `dir`.
fn config(dir: &Scratch, roles: &str, more: &str) -> AgentConfig {
    let place = dir.path().join("data");
    let text = format!("node = \"r1\"\nroles = [{roles}]\naddress = \"10.0.0.21\"\ndata_dir = \"{}\"\n{more}", place.display());
    AgentConfig::parse("agent.toml", &text, "r1").unwrap()
}

fn addresses(list: &str) -> Vec<SocketAddr> {
    list.split_whitespace().map(|one| crate::config::value::node_address(one).unwrap()).collect()
}

/// Whom `join` asks, named and configured with spaces between; or what it says.
fn asked(named: &str, configured: &str) -> Result<Vec<String>, String> {
    let quoted: Vec<String> = configured.split_whitespace().map(|seed| format!("\"{seed}\"")).collect();
    let config = config(&Scratch::new(), "\"real-server\"", &format!("seeds = [{}]\n", quoted.join(", ")));
    let seeds = seeds_to_ask(&config, addresses(named), "; or else");
    seeds.map(|seeds| seeds.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_node_that_is_no_director_makes_no_cluster_and_leaves_nothing_behind() {
    for (roles, said) in [
        ("\"real-server\"", "`roles = [\"real-server\"]`"),
        ("\"witness\", \"real-server\"", "`roles = [\"real-server\", \"witness\"]`"),
    ] {
        let dir = Scratch::new();
        let config = config(&dir, roles, "");
        let Err(AdminError::Refused(why)) = init(&config).await else { panic!("{roles}: not refused") };
        for words in
            ["r1 is no director: agent.toml says", said, "run `lvs-agent init` on a director, or add \"director\" to `roles`"]
        {
            assert!(why.contains(words), "{words} is not in {why}");
        }
        assert!(!config.data_dir.exists(), "nothing was made");
    }
    let dir = Scratch::new();
    let both = config(&dir, "\"real-server\", \"director\"", "");
    assert!(init(&both).await.is_ok(), "a real server may direct, too");
}

#[test]
fn a_node_does_not_ask_itself() {
    assert_eq!(asked("10.0.0.11 10.0.0.21 127.0.0.1", ""), Ok(vec!["10.0.0.11:7400".to_owned()]), "it is left out silently");
    assert_eq!(asked("", "10.0.0.21 10.0.0.11"), Ok(vec!["10.0.0.11:7400".to_owned()]));
    let elsewhere = asked("10.0.0.21:7500 127.0.0.1:7500", "");
    assert_eq!(elsewhere.unwrap().len(), 2, "another agent of this machine is another node");
    for (named, configured, begins) in [
        ("10.0.0.21", "10.0.0.11", "10.0.0.21:7400 is this node itself: a seed is another machine"),
        ("127.0.0.1 10.0.0.21", "", "127.0.0.1:7400 is this node itself: a seed is another machine"),
        ("", "10.0.0.21", "`seeds` in agent.toml names only this node itself (10.0.0.21:7400): a seed is another machine"),
        ("", "", "no seed to ask: a seed is another machine"),
    ] {
        let said = asked(named, configured).unwrap_err();
        assert!(said.starts_with(begins) && said.contains("`lvs-agent join ADDRESS --token TOKEN`"), "{said}");
        assert!(said.ends_with("; or else"), "{said}");
    }
}

#[tokio::test]
async fn a_join_that_names_this_node_alone_says_so_and_what_the_first_machine_does() {
    let config = config(&Scratch::new(), "\"real-server\"", "");
    let Err(AdminError::Invalid(said)) = join(&config, addresses("10.0.0.21"), None).await else { panic!("asked itself") };
    assert!(said.contains("10.0.0.21:7400 is this node itself") && said.contains("run `lvs-agent init` instead"), "{said}");
}

#[tokio::test]
async fn of_a_seed_that_does_not_answer_the_address_and_the_reason_are_said_once() {
    let dir = Scratch::new();
    let config = config(&dir, "\"real-server\"", "");
    let free = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let token = JoinToken::make(crate::model::Fingerprint([7; 32]));
    let Err(AdminError::NoSeed(lines)) = join(&config, vec![free], Some(token)).await else { panic!("who answered?") };
    assert_eq!(lines.len(), 2, "the seed, and what to do");
    assert!(lines[0].starts_with(&format!("{free}: cannot connect: ")), "{lines:?}");
    assert_eq!(lines.concat().matches(&free.to_string()).count(), 1, "{lines:?}");
    assert_eq!(lines.concat().matches("refused").count(), 1, "{lines:?}");
}
