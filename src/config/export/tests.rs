//! Export and parse are inverses.

use super::*;
use crate::{
    config::cluster,
    model::{OnQuorumLoss, Scheduler, ServerName, ServiceName, StatusRange, VipName, Weight},
};
use proptest::{collection, option, prelude::*, sample::select};
use std::{collections::BTreeMap, net::IpAddr, net::Ipv4Addr, time::Duration};

fn ip(high: u8, low: u16) -> IpAddr {
    let [third, fourth] = low.to_be_bytes();
    Ipv4Addr::new(10, high, third, fourth).into()
}

fn duration(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn check() -> impl Strategy<Value = Check> {
    let status = (100u16..=599, 100u16..=599).prop_map(|(a, b)| StatusRange { first: a.min(b), last: a.max(b) });
    let http = ("/[!-\"$-~]{0,30}", option::of("[a-z0-9.-]{1,20}"), collection::vec(status, 1..5))
        .prop_map(|(path, host, status)| CheckKind::Http { path, host, status });
    let default_http = Just(CheckKind::Http { path: "/".to_owned(), host: None, status: DEFAULT_STATUS.to_vec() });
    let script = ("[a-z0-9][a-z0-9._-]{0,20}", collection::vec("[ -~é]{0,20}", 0..4))
        .prop_map(|(script, args)| CheckKind::Script { script: script.parse().unwrap(), args });
    let kind = prop_oneof![Just(CheckKind::Tcp), http, default_http, script];
    let rhythm = duration(100..=3_600_000).prop_flat_map(|interval| {
        let ms = interval.as_millis().try_into().unwrap();
        (Just(interval), prop_oneof![duration(10..=ms), Just(default_timeout(interval))])
    });
    (kind, option::of(1u16..), rhythm, 1u8..=10, 1u8..=10).prop_map(|(kind, port, (interval, timeout), fall, rise)| Check {
        kind,
        port,
        interval,
        timeout,
        fall,
        rise,
    })
}

fn rules() -> impl Strategy<Value = RuleSet> {
    // No interface is called `lo`: that one is refused.
    let vips = collection::btree_map(
        "[a-z0-9][a-z0-9._-]{0,12}",
        ("[a-km-z][a-z]{0,6}[0-9.@\\\\\"]{0,8}", 1usize..4, any::<bool>()),
        1..5,
    )
    .prop_map(|groups| {
        let mut next = 0u16;
        let group = |(name, (interface, count, release)): (String, (String, usize, bool))| {
            let name: VipName = name.parse().unwrap();
            let addresses = (0..count).map(|_| {
                next += 1;
                ip(1, next)
            });
            let on_quorum_loss = if release { OnQuorumLoss::Release } else { OnQuorumLoss::Fallback };
            (name.clone(), VipGroup { name, addresses: addresses.collect(), interface, on_quorum_loss })
        };
        groups.into_iter().map(group).collect::<BTreeMap<_, _>>()
    });
    let server = ("[a-z][a-z0-9]{0,8}", any::<u16>(), any::<bool>());
    let schedulers = select(Scheduler::ALL.to_vec());
    let protocols = select(vec![Protocol::Tcp, Protocol::Udp]);
    let service = (
        "[a-z][a-z0-9-]{0,20}",
        any::<prop::sample::Index>(),
        protocols,
        schedulers,
        option::of(check()),
        collection::vec(server, 0..5),
    );
    (vips, collection::vec(service, 0..6)).prop_map(|(vips, services)| {
        let mut made = BTreeMap::new();
        for (port, (name, vip, protocol, scheduler, check, servers)) in (1u16..).zip(services) {
            let name: ServiceName = name.parse().unwrap();
            let vip = vips.keys().nth(vip.index(vips.len())).unwrap().clone();
            let servers = (1u16..).zip(servers).map(|(number, (name, weight, agentless))| {
                let name: ServerName = name.parse().unwrap();
                (name.clone(), RealServer { name, address: ip(2, number), port, weight: Weight(weight), agentless })
            });
            let service = Service {
                name: name.clone(),
                vip,
                protocol,
                port,
                scheduler,
                forward: ForwardMethod::Dr,
                check,
                servers: servers.collect(),
            };
            made.insert(name, service);
        }
        RuleSet { vips, services: made }
    })
}

proptest! {
    #[test]
    fn an_exported_rule_set_reads_back_as_itself(rules in rules()) {
        let text = to_toml(&rules);
        let read = cluster::parse("export", &text);
        prop_assert_eq!(read.as_ref(), Ok(&rules), "from:\n{}", text);
    }
}

#[test]
fn an_export_is_pleasant_to_read() {
    let text = r#"
vip = [{ name = "web", interface = "eth0", addresses = ["10.0.0.100"] }]
service = [{ name = "http", vip = "web", port = 80, check = { type = "http", status = ["200"], timeout = "250ms", fall = 3 }, server = [
  { name = "r2", address = "10.0.0.22", port = 80, weight = 3, agentless = true },
  { name = "r1", address = "10.0.0.21", port = 80 },
] }]
"#;
    insta::assert_snapshot!(to_toml(&cluster::parse("c.toml", text).unwrap()));
}

#[test]
fn nothing_is_exported_as_nothing() {
    assert_eq!(to_toml(&RuleSet::default()), "");
}
