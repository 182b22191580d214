//! `lvs-fuzz`: hunts on many parsers, one after the other, each in a process of its own; tells what it found and how to see it again.

use super::hunt::{Find, Trail, hunt, try_one};
use anyhow::{Context, Result, bail};
use clap::Parser;
use lvs_agent::{
    clock::{BootClock, Clock},
    fuzzing::{Target, targets},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    cell::RefCell,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

/// Memory of a hunt's process: what asks for more dies, and is found that way.
const MEMORY_BYTES: u64 = 4 << 30;
/// A hunt that is so far beyond its time hangs.
const GRACE_S: u64 = 20;
/// How much longer a hunt takes when every input is noted first.
const TRACED: u64 = 20;

/// Throws changed inputs at the parsers of lvs-agent.
#[derive(Parser, Debug)]
#[command(name = "lvs-fuzz")]
struct Args {
    /// Which parsers; all, if none is named.
    targets: Vec<String>,
    /// Seconds for all of them together.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where chance begins; the same seed tries the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder with a folder of inputs for each parser, all tried first.
    #[arg(long)]
    regressions: Option<PathBuf>,
    /// Where inputs are put that break a promise.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Lists the parsers.
    #[arg(long)]
    list: bool,
    /// Tries this input on the one parser that is named.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// One hunt, in this process.
    #[arg(long, hide = true)]
    one: bool,
    /// Notes every input in this file before it is tried.
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
}

/// Parses the arguments and does what they ask.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("lvs-fuzz: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    crate::lab::report::line(text);
}

/// Whether every promise was kept.
fn run(args: &Args) -> Result<bool> {
    let mut wanted = targets();
    if let Some(unknown) = args.targets.iter().find(|name| !wanted.iter().any(|target| target.name == **name)) {
        bail!("no target {unknown} (--list names them)");
    }
    wanted.retain(|target| args.targets.is_empty() || args.targets.iter().any(|name| name == target.name));
    match (&args.replay, &wanted[..]) {
        _ if args.list => wanted.iter().for_each(|target| say(target.name)),
        (Some(file), [target]) => return replay(target, file),
        (Some(_), _) => bail!("--replay wants one target"),
        (None, [target]) if args.one => return one(args, target),
        (None, _) => return all(args, &wanted),
    }
    Ok(true)
}

fn replay(target: &Target, file: &Path) -> Result<bool> {
    let input = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut trail = Trail::default();
    Ok(match try_one(target, &input, &mut trail) {
        Ok(outcome) => {
            say(&format!("{}: {outcome:?}, {} bytes of memory", target.name, trail.peak_bytes));
            true
        }
        Err(find) => {
            say(&format!("{}: {}", target.name, find.what));
            false
        }
    })
}

/// One hunt. What it finds it writes down.
fn one(args: &Args, target: &Target) -> Result<bool> {
    let seconds = args.seconds.saturating_mul(if args.trace.is_some() { TRACED } else { 1 });
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds + GRACE_S), maximum: None })?;
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY_BYTES), maximum: None })?;
    // A panic is told with its input; its words alone would come once for every one.
    std::panic::set_hook(Box::new(|_| ()));
    let trace = RefCell::new(args.trace.as_ref().map(File::create).transpose()?);
    let note = |input: &[u8]| {
        if let Some(file) = &*trace.borrow() {
            let noted = file.set_len(input.len() as u64).and_then(|()| file.write_all_at(input, 0));
            noted.expect("the trace can be written");
        }
    };
    let mut trail = Trail::default();
    for input in regressions(args, target)? {
        note(&input);
        if let Err(find) = try_one(target, &input, &mut trail) {
            return told(args, target, &find);
        }
    }
    // The clock decides when to end, never what is tried. Looked at seldom: it costs as much as a small input.
    let begun = BootClock.now();
    let limit = Duration::from_secs(seconds);
    match hunt(target, seed_of(args.seed, target.name), |tried| tried % 64 == 0 && BootClock.now() - begun >= limit, note) {
        Ok(Trail { tried, taken, answers, peak_bytes }) => {
            say(&format!(
                "ok   {:26} {tried:>9} inputs, {taken:>8} taken, {answers:>4} answers, peak {peak_bytes} bytes",
                target.name
            ));
            Ok(true)
        }
        Err(find) => told(args, target, &find),
    }
}

/// Each parser has luck of its own, whichever others are asked for.
fn seed_of(seed: u64, name: &str) -> u64 {
    name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte))
}

fn regressions(args: &Args, target: &Target) -> Result<Vec<Vec<u8>>> {
    let Some(folder) = args.regressions.as_ref().map(|folder| folder.join(target.name)).filter(|folder| folder.is_dir()) else {
        return Ok(Vec::new());
    };
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    entries.map(|entry| Ok(fs::read(entry?.path())?)).collect()
}

fn told(args: &Args, target: &Target, find: &Find) -> Result<bool> {
    let file = args.out.join(format!("{}-{}", target.name, seed_of(args.seed, &find.what)));
    fs::create_dir_all(&args.out).and_then(|()| fs::write(&file, &find.input)).context("write the input down")?;
    say(&format!("FIND {}: {}", target.name, find.what));
    say(&format!("     again: scripts/fuzz {} --replay {}", target.name, file.display()));
    Ok(false)
}

/// All hunts, one after the other.
fn all(args: &Args, wanted: &[Target]) -> Result<bool> {
    let share = args.seconds / wanted.len().max(1) as u64;
    let mut kept = true;
    for target in wanted {
        let status = child(args, target, share.max(1), None).status().context("start a hunt")?;
        kept &= status.success();
        // 0, 1 and 2 are its own words; anything else is its death.
        if !matches!(status.code(), Some(0..=2)) {
            fs::create_dir_all(&args.out)?;
            let file = args.out.join(format!("{}-fatal-{}", target.name, args.seed));
            say(&format!("FIND {}: the process ended with {status}; trying again with every input noted", target.name));
            let again = child(args, target, share.max(1), Some(&file)).status().context("start a hunt")?;
            say(&format!("     ended with {again}; again: scripts/fuzz {} --replay {}", target.name, file.display()));
        }
    }
    Ok(kept)
}

fn child(args: &Args, target: &Target, seconds: u64, trace: Option<&Path>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program is running"));
    command.arg("--one").arg(target.name).arg("--out").arg(&args.out);
    command.args(["--seconds", &seconds.to_string(), "--seed", &args.seed.to_string()]);
    for (name, value) in [("--regressions", args.regressions.as_deref()), ("--trace", trace)] {
        command.args(value.map(|value| [Path::new(name), value]).into_iter().flatten());
    }
    command
}
