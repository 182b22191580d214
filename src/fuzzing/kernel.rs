//! The kernel's answers about IPVS.

use super::{Outcome, Target, refused};
use crate::{
    kernel::{
        Dest, DestKey, IpvsStep, ServiceKey, ServiceOptions, Step,
        io::ipvs::{
            frame::{Attributes, frames},
            wire,
        },
    },
    model::{ForwardMethod, Protocol, Scheduler, Weight},
};
use std::net::IpAddr;

/// A dump comes in pieces of at most so many bytes (`netlink_dump`).
const MAX_BYTES: usize = 64 << 10;

pub fn targets() -> Vec<Target> {
    vec![
        Target::new("kernel-frames", frame_seeds(), MAX_BYTES, every_frame),
        Target::new("kernel-service", payloads(&added_services()), MAX_BYTES, |bytes| wire::read_service(bytes).into()),
        Target::new("kernel-destination", payloads(&added_dests()), MAX_BYTES, |bytes| wire::read_dest(bytes, &key(4)).into()),
        Target::new("kernel-family", vec![family()], MAX_BYTES, |bytes| wire::read_family(bytes).into()),
        Target::new("kernel-info", vec![info()], MAX_BYTES, |bytes| wire::read_info(bytes).into()),
    ]
}

/// Goes through a datagram as the socket does.
fn every_frame(bytes: &[u8]) -> Outcome {
    for frame in frames(bytes) {
        match frame.map(|frame| frame.acknowledgement()) {
            Ok(None | Some(Ok(_))) => {}
            Ok(Some(Err(error))) | Err(error) => return refused(&error.to_string()),
        }
    }
    Outcome::Taken
}

fn key(version: u8) -> ServiceKey {
    let address: IpAddr = if version == 4 { [10, 0, 0, 100].into() } else { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() };
    ServiceKey { protocol: Protocol::Tcp, address, port: 80 }
}

/// A request to add has the attributes in which a dump lists.
fn added_services() -> Vec<Vec<u8>> {
    let options = |version| ServiceOptions::plain(Scheduler::Wlc, key(version).address);
    [4, 6].map(|version| bytes(&Step::Ipvs(IpvsStep::AddService(key(version), options(version))))).to_vec()
}

fn added_dests() -> Vec<Vec<u8>> {
    let dest = Dest::plain(Weight(1), ForwardMethod::Dr);
    let server = DestKey { address: [10, 0, 0, 21].into(), port: 80 };
    vec![bytes(&Step::Ipvs(IpvsStep::AddDest(key(4), server, dest)))]
}

fn bytes(step: &Step) -> Vec<u8> {
    wire::change(30, step).into_iter().flat_map(|request| request.numbered(1).collect::<Vec<u8>>()).collect()
}

fn payloads(datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let whole = datagrams.iter().flat_map(|bytes| frames(bytes));
    whole.map(|frame| frame.expect("it was made whole").payload.to_vec()).collect()
}

fn family() -> Vec<u8> {
    answer(&Attributes::default().put_text(2, "IPVS").put_u16(1, 30))
}

fn info() -> Vec<u8> {
    answer(&Attributes::default().put_u32(1, 0x0001_0201).put_u32(2, 4096))
}

/// Behind a generic netlink header.
fn answer(attributes: &Attributes) -> Vec<u8> {
    let request = crate::kernel::io::ipvs::frame::Request::new(30, 1, attributes);
    request.numbered(1).skip(crate::kernel::io::ipvs::frame::HEADER_BYTES).collect()
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let mut seeds = added_services();
    seeds.push([added_dests().concat(), added_services().concat()].concat());
    // NLMSG_ERROR, capped, with the kernel's words.
    let mut refusal = vec![0; 4];
    refusal.extend(2_u16.to_ne_bytes());
    refusal.extend(0x300_u16.to_ne_bytes());
    refusal.extend([1_u32, 0].into_iter().flat_map(u32::to_ne_bytes));
    refusal.extend((-17_i32).to_ne_bytes());
    refusal.extend([0; 16]);
    refusal.extend(text_attribute("Service already exists"));
    let length = u32::try_from(refusal.len()).expect("a short frame");
    refusal[..4].copy_from_slice(&length.to_ne_bytes());
    seeds.push(refusal);
    seeds
}

/// `NLMSGERR_ATTR_MSG`.
fn text_attribute(text: &str) -> Vec<u8> {
    let length = u16::try_from(4 + text.len() + 1).expect("a short text");
    let mut bytes = [&length.to_ne_bytes()[..], &1_u16.to_ne_bytes(), text.as_bytes(), &[0]].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
