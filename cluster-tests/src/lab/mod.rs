//! The lab: hosts on one LAN inside one kernel, and the verbs with which a script breaks them.
//!
//! # Layout
//! Outside the guest: [`supervise`] starts the guest kernel on a processor of its own ([`processor`]; or, where the host itself has IPVS, a set of private
//! namespaces), holds the wall-clock limit and returns the script's exit status. What it wants is handed over in a [`job`].
//!
//! Inside: [`init`] is process 1. It mounts ([`mounts`]) what the script may write to, cables the hosts ([`lan`], [`hosts`]),
//! forms the cluster ([`cluster`]) and runs the script, or several in one boot ([`each`]); [`marks`] say how long that took. The script calls verbs ([`args`], [`cli`]), all of them this same binary:
//! [`namespaces`] and [`disk`] are a host, [`power`] switches it, [`faults`] spoils its cable, [`skew`] its guard's clock, [`daemons`] and [`web`] are what
//! runs on it, [`probe`], [`holders`], [`watch`], [`pool`] and [`arp`] look at it, [`stillness`] at the machine below, [`attack`] is who does not belong there.
//!
//! Nothing here spins: in virtual time the guest's clock advances only while every process sleeps.

pub mod args;
pub mod arp;
pub mod attack;
pub mod cli;
pub mod cluster;
pub mod daemons;
pub mod disk;
pub mod each;
pub mod faults;
pub mod holders;
pub mod hosts;
pub mod init;
pub mod ipvs;
pub mod job;
pub mod lan;
pub mod marks;
pub mod mounts;
pub mod namespaces;
pub mod paths;
pub mod pool;
pub mod power;
pub mod probe;
pub mod processor;
pub mod procs;
pub mod report;
pub mod run;
pub mod skew;
pub mod stillness;
pub mod supervise;
pub mod ticks;
pub mod wall_clock;
pub mod watch;
pub mod web;
