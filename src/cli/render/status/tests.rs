//! What `status` shows, as snapshots, and that it fits 100 columns.

use super::*;
use crate::api::status::sample;

const PLAIN: Palette = Palette { colours: false };

#[test]
fn a_cluster_with_troubles() {
    insta::assert_snapshot!(status(&sample::status(), PLAIN));
}

#[test]
fn a_cluster_with_long_names_fits_the_terminal() {
    let text = status(&sample::status_with_long_names(), PLAIN);
    for line in text.lines() {
        assert!(columns(line) <= WIDTH, "{} columns: {line}", columns(line));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn zones_and_a_rotation_are_shown_where_there_are_any() {
    let mut sample = sample::status();
    for (node, zone) in sample.nodes.iter_mut().zip(["rack-a", "rack-b", "rack-a"]) {
        node.zone = Some(zone.parse().unwrap());
    }
    let security = &mut sample.cluster.as_mut().unwrap().security;
    security.other_keys = vec![crate::model::KeyId(2)];
    security.other_authorities = vec![crate::model::Fingerprint([0xb2; 32])];
    security.rotating = Some("gossip key k2 is being distributed".to_owned());
    sample.services.clear();
    sample.vips.clear();
    insta::assert_snapshot!(status(&sample, PLAIN));
    sample.cluster.as_mut().unwrap().security.authority = None;
    assert!(status(&sample, PLAIN).contains("certificates from your own ca"));
}

#[test]
fn colours_change_no_text() {
    for sample in [sample::status(), sample::status_with_long_names()] {
        let coloured = status(&sample, Palette { colours: true });
        assert!(coloured.contains("\x1b[31mout\x1b[0m"));
        let mut bare = coloured;
        for code in ["0", "1", "2", "31", "32", "33"] {
            bare = bare.replace(&format!("\x1b[{code}m"), "");
        }
        let strip_ends = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(strip_ends(&bare), strip_ends(&status(&sample, PLAIN)));
    }
}

#[test]
fn a_node_outside_a_cluster_is_told_what_to_do() {
    let text = status(&Status::outside("d9".parse().unwrap()), PLAIN);
    let expected = format!(
        "no cluster, as d9 knows it, lvs-agent {}\n\nPROBLEMS\n  not in a cluster: run `lvs-agent init`, or `lvs-agent join SEED --token TOKEN`\n",
        crate::base::build::VERSION
    );
    assert_eq!(text, expected);
}

#[test]
fn a_node_whose_member_cannot_start_is_not_taken_for_one_without_a_cluster() {
    let why = crate::api::AdminError::NotStarted("set `node = \"d1\"` in agent.toml".to_owned());
    let text = status(&Status::without_member("d9".parse().unwrap(), &why), PLAIN);
    let expected = format!(
        "NOT STARTED, as d9 knows it, lvs-agent {}\n\nPROBLEMS\n  this node has not started: set `node = \"d1\"` in agent.toml\n",
        crate::base::build::VERSION
    );
    assert_eq!(text, expected);
}

#[test]
fn a_lost_quorum_and_a_vip_without_or_with_two_holders_stand_out() {
    let mut sample = sample::status();
    let cluster = sample.cluster.as_mut().unwrap();
    (cluster.quorum, cluster.leader) = (false, None);
    let vip = &mut sample.vips[0];
    (vip.holder, vip.epoch, vip.held_ms) = (None, None, None);
    vip.holders = ["d1", "d2"].map(|name| name.parse().unwrap()).to_vec();
    vip.why_unheld = Some("d1: no interface eth9; d2: not heard".to_owned());
    let text = status(&sample, PLAIN);
    for part in [
        "NO QUORUM",
        "leader none",
        "web  nobody",
        "nobody: d1: no interface eth9; d2: not heard",
        "several nodes say that they hold it: d1, d2",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_probe_result_cannot_move_the_cursor() {
    let mut sample = sample::status();
    sample.services[0].servers[1].why = "\x1b[2J\nall is well".to_owned();
    let text = status(&sample, PLAIN);
    assert!(!text.contains('\x1b') && text.contains("out: ?[2J?all is well"), "{text}");
}
