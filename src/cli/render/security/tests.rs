//! What the commands about tokens, members and identities show, as snapshots, and that it fits 100 columns.

use super::*;
use crate::{
    api::{JoinAnswer, status::sample},
    cli::render::text::columns,
    model::{Fingerprint, TokenId},
};

const PLAIN: Palette = Palette { colours: false };

fn made(uses: u32, roles: &[Role]) -> TokenMade {
    let status = TokenStatus {
        id: TokenId([0x5f, 0x0c, 0x2a, 0x9e, 0x11, 0xd3, 0xb7, 0xa4]),
        roles: Roles::new(roles.iter().copied()).unwrap(),
        uses_left: uses,
        expires_unix_s: 1_795_000_000,
        made_by: "d1".parse().unwrap(),
    };
    TokenMade { token: "lvs1_secret".to_owned().into(), status }
}

fn fits(text: &str) {
    for line in text.lines() {
        assert!(columns(line) <= WIDTH, "{} columns: {line}", columns(line));
    }
}

#[test]
fn a_founder_is_told_the_line_for_the_others() {
    let membership = JoinAnswer { cluster_id: "7f3a9c51e2b04d18".to_owned(), node: "d1".parse().unwrap() };
    let mut founded = InitAnswer { membership, seed: "10.0.0.11:7400".parse().unwrap(), token: Some(made(100, &Role::ALL)) };
    insta::assert_snapshot!(super::founded(&founded));
    founded.token = None;
    assert!(super::founded(&founded).ends_with("agent.toml:\n  lvs-agent join 10.0.0.11\n"));
}

#[test]
fn a_token_comes_with_its_line_and_what_it_is_good_for() {
    let members = ["10.0.0.11:7400", "10.0.0.12:7500"].map(|member| member.parse().unwrap());
    let text = token(&made(1, &[Role::Director, Role::RealServer]), &members);
    fits(&text);
    insta::assert_snapshot!(text);
    assert!(token(&made(2, &[Role::Witness]), &[]).contains("lvs-agent join SEED --token"));
}

#[test]
fn lists_are_tables_that_fit() {
    let identities = [("ann", Access::Admin), ("grafana", Access::ReadOnly)].map(|(name, access)| IdentityStatus {
        name: name.parse().unwrap(),
        access,
        certificate: Fingerprint([0xab; 32]),
        expires_unix_s: 1_795_000_000,
    });
    let tokens = [made(1, &[Role::RealServer]).status, made(30, &Role::ALL).status];
    let text = [
        super::tokens(&tokens, PLAIN),
        super::identities(&identities, PLAIN),
        identity(&identities[0], "ann.pem"),
        identity(&identities[1], "grafana.pem"),
    ]
    .join("\n");
    fits(&text);
    insta::assert_snapshot!(text);
    assert_eq!(super::tokens(&[], PLAIN), "");
}

#[test]
fn members_are_listed_with_why_they_vote() {
    let mut status = sample::status();
    status.nodes[0].roles = Roles::new(Role::ALL).unwrap();
    status.nodes[4].voter = false;
    status.nodes[4].voter_why = "does not vote: five others do".to_owned();
    let text = nodes(&status, PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
    fits(&nodes(&sample::status_with_long_names(), PLAIN));
}

#[test]
fn who_is_kept_out_is_named_with_what_lets_it_in() {
    let mut status = sample::status();
    assert_eq!(barred(&status), "");
    let names = (0..30).map(|n| format!("web{n}").parse().unwrap());
    status.cluster.as_mut().unwrap().security.barred = names.collect();
    let text = barred(&status);
    fits(&text);
    assert!(text.starts_with("removed, and kept out until `lvs-agent node allow NAME`: web0, web1"), "{text}");
    assert!(text.contains("web29"), "{text}");
}
