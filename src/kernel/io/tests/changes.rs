//! What a real kernel tells of interfaces and addresses (see `lab.rs`).

use super::lab::{lab, run};
use crate::kernel::io::{
    address::{Addresses, interface_index},
    changes::{Change, Changes, LinkState, Taken},
    secondaries::Secondaries,
};
use std::{fs, net::IpAddr, time::Duration};

fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 100])
}

fn taken(changes: &mut Changes) -> Vec<Change> {
    match changes.take() {
        Taken::All(all) => all,
        other => panic!("{other:?}"),
    }
}

/// The state of an interface, once it is that.
async fn becomes(changes: &mut Changes, interface: u32, wanted: LinkState) {
    let is_told =
        |change: &Change| matches!(change, Change::Link { index, state, .. } if *index == interface && *state == wanted);
    loop {
        tokio::time::timeout(Duration::from_secs(3), changes.readable()).await.expect("the kernel tells of it").unwrap();
        if taken(changes).iter().rfind(|change| matches!(change, Change::Link { .. })).is_some_and(is_told) {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_done_to_addresses_and_links_is_told_and_the_former_before_it_is_acknowledged() {
    if lab("changes").is_none() {
        return;
    }
    run("ip link add one type veth peer name two");
    run("ip link property add dev one altname uplink");
    let (mut changes, addresses) = (Changes::open().unwrap(), Addresses::open().unwrap());
    let index = interface_index("one").unwrap();
    let told = |gone| [Change::Address { index, address: vip(), prefix: 32, gone }];
    addresses.install("one", vip(), None).await.unwrap();
    assert_eq!(taken(&mut changes), told(false));
    addresses.remove("uplink", vip()).await.unwrap();
    assert_eq!(taken(&mut changes), told(true));

    run("ip link set one up");
    becomes(&mut changes, index, LinkState::NoCarrier).await;
    run("ip link set two up");
    becomes(&mut changes, index, LinkState::Up).await;
    let listed = changes.list().unwrap();
    let names = ["uplink".to_owned()].into();
    assert!(
        listed.contains(&Change::Link { index, name: "one".to_owned(), other_names: names, state: LinkState::Up }),
        "{listed:?}"
    );
    run("ip link set two down");
    becomes(&mut changes, index, LinkState::NoCarrier).await;
    run("ip link set one down");
    becomes(&mut changes, index, LinkState::SetDown).await;
    run("ip link del one");
    assert!(taken(&mut changes).contains(&Change::LinkGone { index }));
}

#[tokio::test]
async fn more_than_fits_is_told_to_be_lost() {
    if lab("changes-lost").is_none() {
        return;
    }
    run("ip link add many type veth peer name many-peer");
    let mut changes = Changes::open().unwrap();
    let lines: String = (0..20_000).map(|n| format!("addr add 10.9.{}.{}/32 dev many\n", n / 250, n % 250 + 1)).collect();
    let file = std::env::temp_dir().join(format!("lvs-agent-many-{}", std::process::id()));
    fs::write(&file, lines).unwrap();
    run(&format!("ip -batch {}", file.display()));
    fs::remove_file(file).unwrap();
    assert_eq!(changes.take(), Taken::Lost);
    let listed = changes.list().unwrap();
    assert!(listed.iter().filter(|change| matches!(change, Change::Address { prefix: 32, .. })).count() >= 20_000);
    run("ip link del many");
}

#[tokio::test]
async fn a_machines_own_address_stays_when_a_vip_is_taken_off_in_whose_subnet_it_came_second() {
    if lab("secondaries").is_none() {
        return;
    }
    run("ip link add three type veth peer name three-peer");
    let (addresses, sysctl) = (Addresses::open().unwrap(), "/proc/sys/net/ipv4/conf/three/promote_secondaries");
    fs::write(sysctl, "0").unwrap();
    run("ip addr add 192.0.2.100/24 dev three");
    run("ip addr add 192.0.2.21/24 dev three");
    {
        let _kept = Secondaries::keep("three").unwrap();
        addresses.remove("three", vip()).await.unwrap();
    }
    let listed = addresses.list().await.unwrap();
    let left: Vec<IpAddr> = listed.into_iter().filter(|found| found.interface == "three").map(|found| found.address).collect();
    assert_eq!(left, [IpAddr::from([192, 0, 2, 21])]);
    assert_eq!(fs::read_to_string(sysctl).unwrap().trim(), "0");
    run("ip link del three");
}
