//! The Linux data plane on a real kernel with IPVS (see `tests/lab.rs`).

use super::{
    Linux,
    address::{AddressError, Addresses, ForLease},
    capabilities,
    contract::{dest, done, holds, look, options, service, vip, weight},
    fence::{Fence, remove_left},
};
use crate::{
    clock::{BootClock, Clock as _},
    kernel::{DataPlane as _, DestKey, IpvsStep, IpvsUse, KernelState, LoStep, ServiceKey, Step, SysctlStep, fence::Packets},
    model::{Protocol, Scheduler},
};
use lab::{ipvs_sysctls, lab, run, say, sysctls};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::Duration,
};

mod changes;
pub mod lab;

#[tokio::test]
async fn linux_keeps_the_contract() {
    let Some(dir) = lab("contract") else { return };
    let before = sysctls();
    holds(&mut Linux::open(&dir).unwrap()).await;
    assert_eq!(sysctls(), before);
    assert_eq!(run("ipvsadm -Sn"), "");
    // The size of the table of connections is fixed up to Linux 7.0, and follows their number from 7.1 on: ipvsadm says it too.
    let header = run("ipvsadm -Ln");
    let said = header.lines().next().and_then(|line| line.strip_prefix("IP Virtual Server version ")).unwrap();
    let (version, size) = said.strip_suffix(')').and_then(|said| said.split_once(" (size=")).unwrap();
    assert_eq!(capabilities().await, [format!("ip_vs {version} {size}")]);
}

#[tokio::test]
async fn ipvsadm_and_the_agent_see_the_same() {
    let Some(dir) = lab("ipvsadm") else { return };
    let mut linux = Linux::open(&dir).unwrap();
    let udp = ServiceKey { protocol: Protocol::Udp, ..service(53) };
    let steps = [
        Step::Ipvs(IpvsStep::AddService(service(80), options(Scheduler::Wlc))),
        Step::Ipvs(IpvsStep::AddDest(service(80), dest(21), weight(7))),
        Step::Ipvs(IpvsStep::AddDest(service(80), dest(22), weight(0))),
        Step::Ipvs(IpvsStep::AddService(udp, options(Scheduler::Sh))),
    ];
    done(&mut linux, &steps).await;
    let mut saved: Vec<String> = run("ipvsadm -Sn").lines().map(|line| line.trim_end().to_owned()).collect();
    saved.sort();
    let expected = [
        "-A -t 192.0.2.100:80 -s wlc",
        "-A -u 192.0.2.100:53 -s sh",
        "-a -t 192.0.2.100:80 -r 192.0.2.21:80 -g -w 7",
        "-a -t 192.0.2.100:80 -r 192.0.2.22:80 -g -w 0",
    ];
    assert_eq!(saved, expected);

    // The same made by ipvsadm is the same to us, so that a node with such rules is taken over without a step.
    let ours = look(&mut linux).await;
    run("ipvsadm -C");
    assert_eq!(look(&mut linux).await, KernelState::default());
    for line in expected {
        run(&format!("ipvsadm {line}"));
    }
    assert_eq!(look(&mut linux).await, ours);

    // Services of kinds that we never make are read without harm.
    run("ipvsadm -A -f 77 -s rr");
    run("ipvsadm -A -t 192.0.2.200:443 -s mh -b mh-port -p 600 -M 255.255.0.0");
    run("ipvsadm -a -t 192.0.2.200:443 -r 192.0.2.31:443 -m");
    run("ipvsadm -a -t 192.0.2.200:443 -r 192.0.2.32:443 -i --tun-type gue --tun-port 6080");
    let all = look(&mut linux).await;
    assert_eq!((all.services.len(), all.fwmark_services.into_iter().collect::<Vec<_>>()), (3, vec![77]));
    let strange = &all.services[&ServiceKey { address: [192, 0, 2, 200].into(), ..service(443) }];
    assert_eq!(strange.options.to_string(), "scheduler mh, flags 0x11, persistent 600 s, netmask 0xffff0000");
    let dests: Vec<String> = strange.dests.values().map(ToString::to_string).collect();
    assert_eq!(dests, ["nat weight 1", "tun weight 1"]);
}

#[tokio::test]
async fn ipvs_is_tuned_in_the_kernel_and_gets_the_operators_values_back() {
    let Some(dir) = lab("tuned") else { return };
    let mut linux = Linux::open(&dir).unwrap();
    look(&mut linux).await; // loads the module
    fs::write("/proc/sys/net/ipv4/vs/conn_reuse_mode", "0").unwrap();
    done(&mut linux, &[Step::Sysctl(SysctlStep::TuneIpvs)]).await;
    assert_eq!(ipvs_sysctls(), ["1", "3"]);
    assert!(look(&mut Linux::open(&dir).unwrap()).await.ipvs.former_kept);
    done(&mut linux, &[Step::Sysctl(SysctlStep::RestoreIpvs)]).await;
    assert_eq!(ipvs_sysctls(), ["0", "0"]);
}

#[tokio::test]
async fn a_thousand_services_go_down_the_pipeline() {
    let Some(dir) = lab("thousand") else { return };
    let mut linux = Linux::open(&dir).unwrap();
    let keys: Vec<ServiceKey> = (0..1000).map(|index| service(10_000 + index)).collect();
    let dests: Vec<DestKey> = (1..=10).map(dest).collect();
    let add = keys.iter().map(|key| Step::Ipvs(IpvsStep::AddService(*key, options(Scheduler::Wlc))));
    let fill = keys.iter().flat_map(|key| dests.iter().map(|dest| Step::Ipvs(IpvsStep::AddDest(*key, *dest, weight(1)))));
    let steps: Vec<Step> = add.chain(fill).collect();
    let begun = BootClock.now();
    done(&mut linux, &steps).await;
    let added = BootClock.now() - begun;
    let begun = BootClock.now();
    let seen = look(&mut linux).await;
    let read = BootClock.now() - begun;
    assert_eq!(seen.services.len(), 1000);
    assert!(seen.services.values().all(|service| service.dests.len() == 10));
    assert_eq!(run("ipvsadm -Sn").lines().count(), 11_000);
    let begun = BootClock.now();
    done(&mut linux, &keys.iter().map(|key| Step::Ipvs(IpvsStep::RemoveService(*key))).collect::<Vec<_>>()).await;
    let removed = BootClock.now() - begun;
    assert_eq!(look(&mut linux).await, KernelState::default());
    say(&format!(
        "1000 services x 10 destinations: {} steps in {added:?}, read in {read:?}, removed in {removed:?}",
        steps.len()
    ));
}

#[tokio::test]
async fn a_vip_that_is_on_lo_by_hand_is_seen_and_can_be_removed() {
    let Some(dir) = lab("by-hand") else { return };
    run("ip address add 192.0.2.100/32 dev lo label lo:0");
    run("ip address add 192.0.2.77/24 dev lo");
    fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
    let mut linux = Linux::open(&dir).unwrap();
    let seen = linux.observe(IpvsUse::IfLoaded).await.unwrap();
    assert_eq!(seen.lo_addresses, [vip()].into());
    assert!(!seen.arp.in_force);
    done(&mut linux, &[Step::Sysctl(SysctlStep::SilenceArp), Step::Lo(LoStep::Add(vip()))]).await;
    assert_eq!(sysctls(), ["1", "1", "2", "2"]);
    assert_eq!(run("ip -o address show dev lo to 192.0.2.100/32").lines().count(), 1);
    done(&mut linux, &[Step::Lo(LoStep::Remove(vip())), Step::Sysctl(SysctlStep::RestoreArp)]).await;
    assert_eq!(sysctls(), ["1", "0", "0", "0"], "the operator's own value is among the former ones");
    let left: Vec<IpAddr> = linux.observe(IpvsUse::IfLoaded).await.unwrap().lo_addresses.into_iter().collect();
    assert!(left.is_empty() && run("ip -o address show dev lo").contains("192.0.2.77/24"));
}

#[tokio::test]
async fn an_address_that_somebody_removed_is_told_from_one_that_is_refreshed() {
    if lab("refreshed").is_none() {
        return;
    }
    let addresses = Addresses::open().unwrap();
    let lifetime = Duration::from_secs(60);
    let lease = ForLease { valid_lft: lifetime, until: BootClock.now() + lifetime };
    addresses.install("lo", vip(), Some(lifetime)).await.unwrap();
    assert!(addresses.refresh_for("lo", vip(), lease).await.unwrap());
    run("ip address del 192.0.2.100/32 dev lo");
    assert!(!addresses.refresh_for("lo", vip(), lease).await.unwrap());
    let longer = ForLease { valid_lft: 2 * lifetime, ..lease };
    assert!(addresses.refresh_for("lo", vip(), longer).await.unwrap());
    let listed = run("ip -o address show dev lo to 192.0.2.100/32");
    assert!(listed.contains("valid_lft 120sec"), "{listed}");
    let other: IpAddr = "192.0.2.101".parse().unwrap();
    let (missing, put) = addresses.put_all_for([("lo", vip()), ("lo", other)], [], lease).await;
    assert!(put.is_ok() && missing == [("lo", other)], "{missing:?} {put:?}");
    let (missing, put) = addresses.put_all_for([("lo", vip())], [("lo", other), ("no-such-if", other)], lease).await;
    assert!(matches!(put, Err(AddressError::NoInterface { .. })) && missing.is_empty(), "{missing:?} {put:?}");
    assert_ne!(run("ip -o address show dev lo to 192.0.2.101/32"), "");
    addresses.remove("lo", other).await.unwrap();
    addresses.remove("lo", vip()).await.unwrap();
    let over = ForLease { until: BootClock.now(), ..lease };
    assert!(addresses.install_for("lo", vip(), over).await.is_err());
    assert_eq!(run("ip -o address show dev lo to 192.0.2.100/32"), "", "nothing is put on when the lease is over");
}

/// Packets to an address of `lo` stand for those to a VIP: what comes in over `lo` passes the same hooks.
#[tokio::test]
async fn the_fence_stops_packets_at_the_end_of_the_lease_and_no_others() {
    let Some(_) = lab("fence") else { return };
    let [held, served, other] = ["192.0.2.10", "192.0.2.11", "192.0.2.12"].map(|text| text.parse::<IpAddr>().unwrap());
    for address in [held, served, other] {
        run(&format!("ip address add {address}/32 dev lo"));
    }
    let arrives = |to: IpAddr| {
        let receiver = UdpSocket::bind((to, 0)).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
        receiver.recv(&mut [0; 8]).is_ok()
    };
    let sleep = |millis| std::thread::sleep(Duration::from_millis(millis));
    let mut fence = Fence::default();
    let renew = |fence: &mut Fence, millis| {
        let until = BootClock.now() + Duration::from_millis(millis);
        fence.open(held, until, None, Packets::Stop);
        fence.open(served, until, Some(until + Duration::from_secs(2)), Packets::Take);
        fence.settle();
        assert_eq!(fence.trouble(), None);
    };
    let now = BootClock.now();
    fence.open(held, now + Duration::from_millis(300), Some(now + Duration::from_secs(60)), Packets::Stop);
    fence.settle();
    for _ in 0..20 {
        renew(&mut fence, 300);
        assert!(arrives(held), "it is renewed");
        sleep(50);
    }
    renew(&mut fence, 100);
    sleep(50);
    assert_eq!([held, served, other].map(arrives), [true; 3], "the lease runs");
    sleep(50);
    assert_eq!([held, served, other].map(arrives), [false, true, true], "its end has come");
    renew(&mut fence, 300);
    assert!(arrives(held), "it was out");
    remove_left();
    assert!(arrives(held), "somebody took it away");
    renew(&mut fence, 100);
    sleep(100);
    assert!(!arrives(held), "it was made anew");
    fence.forget(held);
    fence.settle();
    assert!(arrives(held), "it is the agent's no more");
    fence.end();
    let mut micros: Vec<u128> = (0..1000)
        .map(|_| {
            let begun = BootClock.now();
            renew(&mut fence, 300);
            (BootClock.now() - begun).as_micros()
        })
        .collect();
    micros.sort_unstable();
    say(&format!("fence_renewal_us median {} p99 {} max {}", micros[500], micros[990], micros[999]));
    let many: Vec<IpAddr> = (0..1024).map(|number| Ipv4Addr::from_bits(0xc633_0000 + number).into()).collect();
    let open = |fence: &mut Fence, name| {
        let begun = BootClock.now();
        let until = begun + Duration::from_secs(2);
        many.iter().for_each(|vip| fence.open(*vip, until, None, Packets::Linger));
        fence.settle();
        say(&format!("fence_of_1024_vips_{name}_us {}", (BootClock.now() - begun).as_micros()));
        assert_eq!(fence.trouble(), None);
    };
    open(&mut fence, "put_in");
    open(&mut fence, "renewed");
    fence.end();
    assert!(arrives(held));
}
