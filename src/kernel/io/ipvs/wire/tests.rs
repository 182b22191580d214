//! Against bytes made by others: `ipvsadm` 1.31 and Linux 6.1 on x86-64, captured with `strace -xx` (payloads behind `struct nlmsghdr`).

use super::super::frame::frames;
use super::{
    Dest, DestKey, Forward, IpvsStep, Listed, ServiceKey, ServiceOptions, Step, attribute, attributes_of, body, change,
    dump_dests, get_family, nested, read_dest, read_family, read_info, read_service,
};
use crate::{
    kernel::{DataPlaneError, io::ipvs::frame::Request},
    model::{ForwardMethod, Protocol, Scheduler, Weight},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, net::IpAddr};

/// `ipvsadm -A -t 10.9.0.100:80 -s wlc`
const ADD_SERVICE: &str = "\
    010100005400018006000100020000000600020006000000140003000a090064000000000000000000000000060004000050000008000600776c6300\
    0c00070000000000ffffffff080008000000000008000900ffffffff";
/// `ipvsadm -A -u 10.9.0.100:53 -s sh -p 360 -M 255.255.255.0`
const ADD_PERSISTENT_SERVICE: &str = "\
    010100005400018006000100020000000600020011000000140003000a09006400000000000000000000000006000400003500000700060073680000\
    0c00070001000000ffffffff080008006801000008000900ffffff00";
/// `ipvsadm -E -u 10.9.0.100:53 -s mh -b mh-port`
const EDIT_SERVICE: &str = "\
    020100005400018006000100020000000600020011000000140003000a0900640000000000000000000000000600040000350000070006006d680000\
    0c00070010000000ffffffff080008000000000008000900ffffffff";
/// `ipvsadm -D -t 10.9.0.100:80`
const REMOVE_SERVICE: &str = "\
    030100005400018006000100020000000600020006000000140003000a09006400000000000000000000000006000400005000000500060000000000\
    0c00070000000000ffffffff080008000000000008000900ffffffff";
/// `ipvsadm -a -t 10.9.0.100:80 -r 10.9.0.21:80 -g -w 7`
const ADD_DEST: &str = "\
    050100005400018006000100020000000600020006000000140003000a09006400000000000000000000000006000400005000000500060000000000\
    0c00070000000000ffffffff080008000000000008000900ffffffff6000028006000b0002000000140001000a090015000000000000000000000000\
    06000200005000000800030003000000080004000700000005000d000000000006000e000000000006000f0000000000080005000000000008000600\
    00000000";
/// `ipvsadm -e -t 10.9.0.100:80 -r 10.9.0.21:80 -g -w 0 -x 10 -y 5`
const EDIT_DEST: &str = "\
    060100005400018006000100020000000600020006000000140003000a09006400000000000000000000000006000400005000000500060000000000\
    0c00070000000000ffffffff080008000000000008000900ffffffff6000028006000b0002000000140001000a090015000000000000000000000000\
    06000200005000000800030003000000080004000000000005000d000000000006000e000000000006000f0000000000080005000a00000008000600\
    05000000";
/// `ipvsadm -d -t 10.9.0.100:80 -r 10.9.0.21:80`
const REMOVE_DEST: &str = "\
    070100005400018006000100020000000600020006000000140003000a09006400000000000000000000000006000400005000000500060000000000\
    0c00070000000000ffffffff080008000000000008000900ffffffff6000028006000b0002000000140001000a090015000000000000000000000000\
    06000200005000000800030003000000080004000100000005000d000000000006000e000000000006000f0000000000080005000000000008000600\
    00000000";
/// the kernel to `ipvsadm -Ln`: version
const INFO: &str = "0e01000008000100010201000800020000100000";
/// the same: a UDP service with scheduler flags
const UDP_SERVICE: &str = "\
    010100005401010006000100020000000600020011000000140003000a0900640000000000000000000000000600040000350000070006006d680000\
    0c00070012000000ffffffff080008000000000008000900ffffffff60000a000800010000000000080002000000000008000300000000000c000400\
    000000000000000004000b000c0005000000000000000000080006000000000008000700000000000800080000000000080009000000000008000a00\
    00000000a0000c000c000100000000000000000004000b000c000200000000000000000004000b000c000300000000000000000004000b000c000400\
    000000000000000004000b000c000500000000000000000004000b000c000600000000000000000004000b000c000700000000000000000004000b00\
    0c000800000000000000000004000b000c000900000000000000000004000b000c000a000000000000000000";
/// the same: a TCP service
const TCP_SERVICE: &str = "\
    010100005401010006000100020000000600020006000000140003000a090064000000000000000000000000060004000050000008000600776c6300\
    0c00070002000000ffffffff080008000000000008000900ffffffff60000a000800010000000000080002000000000008000300000000000c000400\
    000000000000000004000b000c0005000000000000000000080006000000000008000700000000000800080000000000080009000000000008000a00\
    00000000a0000c000c000100000000000000000004000b000c000200000000000000000004000b000c000300000000000000000004000b000c000400\
    000000000000000004000b000c000500000000000000000004000b000c000600000000000000000004000b000c000700000000000000000004000b00\
    0c000800000000000000000004000b000c000900000000000000000004000b000c000a000000000000000000";
/// the same: a service by firewall mark
const FWMARK_SERVICE: &str = "\
    010100003c0101000600010002000000080005004d00000007000600727200000c00070002000000ffffffff080008000000000008000900ffffffff\
    64000a0008000100000000000800020000000000080003000000000004000b000c000400000000000000000004000b000c0005000000000000000000\
    080006000000000008000700000000000800080000000000080009000000000008000a0000000000a0000c000c000100000000000000000004000b00\
    0c000200000000000000000004000b000c000300000000000000000004000b000c000400000000000000000004000b000c0005000000000000000000\
    04000b000c000600000000000000000004000b000c000700000000000000000004000b000c000800000000000000000004000b000c00090000000000\
    0000000004000b000c000a000000000000000000";
/// the same: a destination
const DEST: &str = "\
    050100007c010200140001000a09001500000000000000000000000006000200005000000800030003000000080004000000000005000d0000000000\
    06000e000000000006000f0000000000080005000a000000080006000500000008000700000000000800080000000000080009000000000006000b00\
    0200000064000a0008000100000000000800020000000000080003000000000004000b000c000400000000000000000004000b000c00050000000000\
    00000000080006000000000008000700000000000800080000000000080009000000000008000a0000000000a0000c000c0001000000000000000000\
    04000b000c000200000000000000000004000b000c000300000000000000000004000b000c000400000000000000000004000b000c00050000000000\
    0000000004000b000c000600000000000000000004000b000c000700000000000000000004000b000c000800000000000000000004000b000c000900\
    000000000000000004000b000c000a000000000000000000";
/// `ipvsadm -Ln: question for destinations`
const DUMP_DESTS: &str = "\
    080100003000018006000100020000000600020006000000140003000a0900640000000000000000000000000600040000500000";

const FAMILY: u16 = 0x16;

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A request's payload, after a look at its header.
fn payload(request: &Request, kind: u16, flags: u16) -> Vec<u8> {
    let bytes: Vec<u8> = request.numbered(77).collect();
    let frames: Vec<_> = frames(&bytes).map(Result::unwrap).collect();
    assert_eq!((frames.len(), frames[0].kind, frames[0].flags, frames[0].sequence), (1, kind, flags, 77));
    frames[0].payload.to_vec()
}

fn step(step: &Step) -> Vec<u8> {
    let [request] = &change(FAMILY, step)[..] else { panic!("{step} is not one request") };
    payload(request, FAMILY, 0x5)
}

fn tcp() -> ServiceKey {
    ServiceKey { protocol: Protocol::Tcp, address: IpAddr::from([10, 9, 0, 100]), port: 80 }
}

fn udp() -> ServiceKey {
    ServiceKey { protocol: Protocol::Udp, port: 53, ..tcp() }
}

fn server() -> DestKey {
    DestKey { address: IpAddr::from([10, 9, 0, 21]), port: 80 }
}

fn plain(scheduler: Scheduler) -> ServiceOptions {
    ServiceOptions::plain(scheduler, tcp().address)
}

/// The attributes within an attribute.
fn inner(payload: &[u8], kind: u16) -> BTreeMap<u16, Vec<u8>> {
    attributes_of(nested(payload, kind).unwrap()).map(Result::unwrap).map(|(kind, value)| (kind, value.to_vec())).collect()
}

/// ipvsadm repeats the whole service and adds tunnel options, which the kernel does not need: ours must be a part of it, under the same command.
fn assert_part_of(ours: &[u8], theirs: &[u8], nests: &[u16]) {
    assert_eq!(ours[..4], theirs[..4]);
    for kind in nests {
        let theirs = inner(theirs, *kind);
        for (name, value) in inner(ours, *kind) {
            assert_eq!(theirs.get(&name), Some(&value), "attribute {name} in {kind}");
        }
    }
}

#[test]
fn services_are_written_as_ipvsadm_writes_them() {
    let persistent =
        ServiceOptions { flags: 1, timeout_s: 360, netmask: u32::from_ne_bytes([255, 255, 255, 0]), ..plain(Scheduler::Sh) };
    let flagged = ServiceOptions { flags: 0x10, ..plain(Scheduler::Mh) };
    assert_eq!(step(&Step::Ipvs(IpvsStep::AddService(tcp(), plain(Scheduler::Wlc)))), bytes(ADD_SERVICE));
    assert_eq!(step(&Step::Ipvs(IpvsStep::AddService(udp(), persistent))), bytes(ADD_PERSISTENT_SERVICE));
    assert_eq!(step(&Step::Ipvs(IpvsStep::EditService(udp(), flagged))), bytes(EDIT_SERVICE));
    assert_part_of(&step(&Step::Ipvs(IpvsStep::RemoveService(tcp()))), &bytes(REMOVE_SERVICE), &[attribute::SERVICE]);
}

#[test]
fn destinations_are_written_as_ipvsadm_writes_them() {
    let both = [attribute::SERVICE, attribute::DEST];
    let limited = Dest { weight: 0, forward: Forward::Direct, upper_threshold: 10, lower_threshold: 5 };
    let seven = Dest::plain(Weight(7), ForwardMethod::Dr);
    assert_part_of(&step(&Step::Ipvs(IpvsStep::AddDest(tcp(), server(), seven))), &bytes(ADD_DEST), &both);
    assert_part_of(&step(&Step::Ipvs(IpvsStep::EditDest(tcp(), server(), limited))), &bytes(EDIT_DEST), &both);
}

#[test]
fn a_destination_is_quiesced_as_it_is_before_it_is_removed() {
    let both = [attribute::SERVICE, attribute::DEST];
    let limited = Dest { weight: 7, forward: Forward::Direct, upper_threshold: 10, lower_threshold: 5 };
    let [edit, remove] = &change(FAMILY, &Step::Ipvs(IpvsStep::RemoveDest(tcp(), server(), limited)))[..] else {
        panic!("not two requests")
    };
    assert_part_of(&payload(edit, FAMILY, 0x5), &bytes(EDIT_DEST), &both);
    assert_part_of(&payload(remove, FAMILY, 0x5), &bytes(REMOVE_DEST), &both);
}

#[test]
fn questions_are_written_as_ipvsadm_writes_them() {
    assert_eq!(payload(&dump_dests(FAMILY, &tcp()), FAMILY, 0x301), bytes(DUMP_DESTS));
    // libnl says version 0 of the controller and pads the name differently; the attribute is the same.
    let ours = payload(&get_family(), 0x10, 0x5);
    assert_eq!(attributes_of(body(&ours).unwrap()).map(Result::unwrap).collect::<Vec<_>>(), [(2, &b"IPVS\0"[..])]);
}

#[test]
fn services_of_the_kernel_are_read() {
    let flagged = ServiceOptions { flags: 0x10, ..plain(Scheduler::Mh) };
    assert_eq!(read_service(&bytes(TCP_SERVICE)).unwrap(), Listed::Service(tcp(), plain(Scheduler::Wlc)));
    assert_eq!(read_service(&bytes(UDP_SERVICE)).unwrap(), Listed::Service(udp(), flagged));
    assert_eq!(read_service(&bytes(FWMARK_SERVICE)).unwrap(), Listed::Fwmark(77));
}

#[test]
fn destinations_and_information_are_read() {
    let limited = Dest { weight: 0, forward: Forward::Direct, upper_threshold: 10, lower_threshold: 5 };
    assert_eq!(read_dest(&bytes(DEST), &tcp()).unwrap(), (server(), limited));
    assert_eq!(read_info(&bytes(INFO)).unwrap(), (0x010201, 4096));
    let family = "01020000090002004950565300000000060001001600000008000300010000000800040000000000";
    assert_eq!(read_family(&bytes(family)).unwrap(), 0x16);
}

#[test]
fn a_message_that_ends_anywhere_is_an_error_or_incomplete_but_never_a_wrong_entry() {
    for (whole, keys) in [(bytes(TCP_SERVICE), 0), (bytes(DEST), 1)] {
        for end in 0..whole.len() {
            let cut = &whole[..end];
            let is_error = if keys == 0 { read_service(cut).is_err() } else { read_dest(cut, &tcp()).is_err() };
            assert!(is_error, "{end} of {} bytes were taken for an entry", whole.len());
        }
    }
}

#[test]
fn a_refusal_is_read_with_the_kernels_words_whether_capped_or_not() {
    // NLMSG_ERROR(-3), capped: the request's header alone is given back, then NLMSGERR_ATTR_MSG.
    let capped = bytes("30000000020000034d000000aabbccddfdffffff68000000160005004d000000aabbccdd09000100676f6e6500000000");
    let frame = frames(&capped).next().unwrap().unwrap();
    let refusal = frame.acknowledgement().unwrap().unwrap().unwrap_err();
    assert_eq!((refusal.errno, refusal.text.as_deref()), (3, Some("gone")));
    // Whole: the request's 20 bytes, then the text.
    let whole = bytes("34000000020000024d000000aabbccddfdffffff14000000160005004d000000aabbccdd0301000009000100676f6e6500000000");
    let frame = frames(&whole).next().unwrap().unwrap();
    assert_eq!(frame.acknowledgement().unwrap().unwrap().unwrap_err().text.as_deref(), Some("gone"));
    // Without the flag nothing behind the request is looked at.
    let silent = bytes("24000000020000014d000000aabbccddfdffffff68000000160005004d000000aabbccdd");
    assert_eq!(frames(&silent).next().unwrap().unwrap().acknowledgement().unwrap().unwrap().unwrap_err().text, None);
}

#[test]
fn a_datagram_is_read_up_to_its_first_broken_frame() {
    let good: Vec<u8> = get_family().numbered(1).collect();
    let mut two = [good.clone(), good.clone()].concat();
    assert_eq!(frames(&two).filter(Result::is_ok).count(), 2);
    two.truncate(two.len() - 3);
    let seen: Vec<bool> = frames(&two).map(|frame| frame.is_ok()).collect();
    assert_eq!(seen, [true, false]);
    let shorter_than_a_header = [&[8, 0, 0, 0][..], &good[4..]].concat();
    assert!(matches!(frames(&shorter_than_a_header).next(), Some(Err(DataPlaneError::Malformed(_)))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
        for frame in frames(&noise).flatten() {
            let _ = frame.acknowledgement();
        }
        let mut service = bytes(TCP_SERVICE);
        let mut dest = bytes(DEST);
        for (index, byte) in noise.iter().take(4).enumerate() {
            let place = (at + index) % service.len();
            service[place] = *byte;
            dest[place] = *byte;
        }
        for payload in [&noise, &service, &dest] {
            let _ = (read_service(payload), read_dest(payload, &tcp()), read_info(payload), read_family(payload));
        }
    }
}
