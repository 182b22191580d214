//! `skew-clock`: makes the boot-time clock of one guard run fast or slow. All hosts of the lab share one kernel, and so one clock; the guard alone is traced
//! (ptrace(2)), and what the kernel tells it of `CLOCK_BOOTTIME` is changed on the way, as is what it waits for.

use super::daemons::AgentPids;
use super::hosts::Host;
use super::probe::early;
use super::report;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What a clock shows that begins with the kernel's, runs at another rate for a while, and then at the kernel's again, without a jump.
#[derive(Clone, Copy, Debug)]
struct Skew {
    begun_ns: i128,
    ended_ns: i128,
    /// How much faster, in thousandths.
    permille: i128,
}

impl Skew {
    fn shown(&self, real_ns: i128) -> i128 {
        real_ns + (real_ns.clamp(self.begun_ns, self.ended_ns) - self.begun_ns) * self.permille / 1000
    }

    /// When it shows this, rounded up: who waits for it must not wake before.
    fn real(&self, shown_ns: i128) -> i128 {
        if shown_ns >= self.shown(self.ended_ns) {
            return shown_ns - (self.shown(self.ended_ns) - self.ended_ns);
        }
        if shown_ns <= self.begun_ns {
            return shown_ns;
        }
        let (passed, rate) = ((shown_ns - self.begun_ns) * 1000, 1000 + self.permille);
        self.begun_ns + (passed + rate - 1) / rate + 1
    }
}

/// Skews the clock of the guard on `host` for `span`, and then leaves it as far off as it is: until SIGTERM, or the guard's end.
///
/// # Errors
/// There is no guard, or the kernel does not let it be traced.
pub fn run(host: Host, permille: i32, span: Duration) -> Result<()> {
    let guards = AgentPids::of(host)?.guards;
    let [pid] = guards[..] else { bail!("{host} runs {} guards, not one", guards.len()) };
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).context("open the guard's memory")?;
    let begun_ns = boot_ns();
    let span_ns = i128::try_from(span.as_nanos()).context("count the span")?;
    let skew = Skew { begun_ns, ended_ns: begun_ns + span_ns, permille: permille.into() };
    early::listen()?;
    trace(libc::PTRACE_SEIZE, pid, libc::PTRACE_O_TRACESYSGOOD as usize).context("trace the guard")?;
    trace(libc::PTRACE_INTERRUPT, pid, 0).context("stop the guard")?;
    report::line(format!("clock of {host} is skewed"));
    while let Some(signal) = stopped(pid, &memory, &skew)? {
        if early::asked() {
            break;
        }
        trace(libc::PTRACE_SYSCALL, pid, signal).context("let the guard go on")?;
    }
    Ok(())
}

/// Waits for the guard's next stop and does what is to be done there. Returns the signal that it is to get; `None`: it has ended, or this process is to end.
fn stopped(pid: i32, memory: &File, skew: &Skew) -> Result<Option<usize>> {
    let mut status = 0;
    // SAFETY: a plain system call with a place for its answer.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } < 0 {
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted if early::asked() => return Ok(None),
            io::ErrorKind::Interrupted => (),
            _ => return Err(error).context("wait for the guard"),
        }
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(None);
    }
    match libc::WSTOPSIG(status) {
        signal if signal == libc::SIGTRAP | 0x80 => at_system_call(pid, memory, skew).map(|()| Some(0)),
        // A stop of the tracer's, not a signal.
        _ if status >> 16 != 0 => Ok(Some(0)),
        signal => Ok(Some(usize::try_from(signal).context("a signal")?)),
    }
}

fn at_system_call(pid: i32, memory: &File, skew: &Skew) -> Result<()> {
    // SAFETY: plain data for which zeroes are valid.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    trace(libc::PTRACE_GETREGS, pid, (&raw mut registers).addr()).context("read the guard's registers")?;
    // The kernel sets this before a system call; neither of the two below returns it.
    let begins = registers.rax.cast_signed() == -i64::from(libc::ENOSYS);
    match registers.orig_rax.cast_signed() {
        libc::SYS_clock_gettime if !begins && registers.rax == 0 && registers.rdi == libc::CLOCK_BOOTTIME as u64 => {
            change(memory, registers.rsi, |real_ns| skew.shown(real_ns))
        }
        libc::SYS_timerfd_settime if begins && registers.rsi & libc::TFD_TIMER_ABSTIME as u64 != 0 => {
            // After the interval.
            change(memory, registers.rdx + 16, |shown_ns| skew.real(shown_ns))
        }
        _ => Ok(()),
    }
}

/// Changes a `timespec` of the guard. All zeroes mean something else than a time.
fn change(memory: &File, at: u64, to: impl FnOnce(i128) -> i128) -> Result<()> {
    let mut bytes = [0; 16];
    memory.read_exact_at(&mut bytes, at).context("read the guard's memory")?;
    let (seconds, nanos) = bytes.split_at(8);
    let number = |half: &[u8]| i64::from_ne_bytes(half.try_into().expect("it is half of 16 bytes"));
    let ns = i128::from(number(seconds)) * 1_000_000_000 + i128::from(number(nanos));
    if ns > 0 {
        let to = to(ns);
        let part = |number: i128| i64::try_from(number).context("a time that is too late");
        let halves = [part(to / 1_000_000_000)?.to_ne_bytes(), part(to % 1_000_000_000)?.to_ne_bytes()];
        memory.write_all_at(&halves.concat(), at).context("write the guard's memory")?;
    }
    Ok(())
}

fn trace(request: libc::c_uint, pid: i32, data: usize) -> io::Result<()> {
    // SAFETY: the requests used here take a number, or the address of a structure that lives during the call.
    let done = unsafe { libc::ptrace(request, pid, 0_usize, data) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn boot_ns() -> i128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_clock_never_jumps_and_a_wait_ends_when_it_shows_its_end() {
        for permille in [-100, -31, 0, 31, 100] {
            let skew = Skew { begun_ns: 1_000_000, ended_ns: 9_000_000, permille };
            let mut last = 0;
            for real_ns in (0..20_000_000).step_by(997) {
                let shown = skew.shown(real_ns);
                assert!(shown >= last && shown - last <= 1100, "{permille} {real_ns}");
                let end = skew.real(shown);
                assert!(skew.shown(end) >= shown && (end - real_ns).abs() <= 3, "{permille} {real_ns}: {end}");
                last = shown;
            }
            assert_eq!(skew.shown(20_000_000), 20_000_000 + 8_000 * permille);
        }
    }
}
