//! Several scripts in one boot: each finds the lab as the first one would have found it, with output, logs and status of its own.
//!
//! The disks are kept as they are once the cluster serves and all hosts have lost their power. Before each script all that runs is killed,
//! the hosts get those disks back, and the cluster comes up from them, in less time than it takes to boot and to form it.

use super::cluster::{self, Wanted};
use super::hosts::Host;
use super::job::{self, Job};
use super::marks::{self, Mark};
use super::{init, namespaces, paths, power, report, run};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a script writes, in its own folder.
const OUTPUT: &str = "output";

/// Where the disks are kept.
fn saved() -> PathBuf {
    Path::new(paths::ROOT).join("saved")
}

/// Runs every script of the order; 0 if all of them ended so. What each one says, and its status, is in `$LVS_LAB_OUT/NAME/`.
pub fn run(mut order: Job, job_folder: &Path) -> Result<i32> {
    let Some(out) = order.env.get("LVS_LAB_OUT").map(PathBuf::from) else {
        bail!("$LVS_LAB_OUT must name a folder for the scripts' output")
    };
    let mut worst = 0;
    for (at, script) in order.script.clone().iter().enumerate() {
        let name = script.file_stem().and_then(|name| name.to_str()).context("a script has a name")?;
        let folder = out.join(name);
        marks::set(&Mark::Begin(name.to_owned()));
        order.env.insert("LVS_LAB_OUT".into(), folder.to_string_lossy().into_owned());
        let ready = if at == 0 {
            first(&order, job_folder)
        } else {
            init::adopt_environment(&order);
            again(&order, job_folder)
        };
        if let Err(error) = &ready {
            report::note(format!("lab: {name}: the lab could not be set up: {error:#}"));
        }
        // Now that the caller's folder is mounted, where the guest has to.
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let output = File::options().create(true).append(true).open(folder.join(OUTPUT)).context("open the script's output")?;
        let status = match ready {
            Ok(()) => init::run_script(&order, std::slice::from_ref(script), Some(output))?,
            Err(_) => init::SETUP_FAILED,
        };
        std::fs::write(folder.join(job::STATUS), status.to_string()).context("write the script's status")?;
        worst = worst.max(status);
        if status == init::SETUP_FAILED {
            // Whatever is in the way is in the way of the next one too.
            break;
        }
    }
    Ok(worst)
}

/// Before the first script: the lab, and its disks set aside for those that follow. The first one starts from them too.
fn first(order: &Job, job_folder: &Path) -> Result<()> {
    init::set_up(order, job_folder)?;
    if order.script.len() == 1 {
        return Ok(());
    }
    power_off_all()?;
    run::quiet("cp", &["-a", &disks().to_string_lossy(), &saved().to_string_lossy()])?;
    power_on_all(order, job_folder)
}

/// Before each other script.
fn again(order: &Job, job_folder: &Path) -> Result<()> {
    kill_all()?;
    power_off_all()?;
    match std::fs::remove_file(paths::FAULTS) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("forget the faults"),
        _ => {}
    }
    for host in Host::all() {
        empty(&paths::disk(host))?;
    }
    run::quiet("cp", &["-a", &format!("{}/.", saved().display()), &disks().to_string_lossy()])?;
    power_on_all(order, job_folder)
}

fn disks() -> PathBuf {
    Path::new(paths::ROOT).join("disk")
}

/// Kills what the last script has left running, daemons and all. Process 1 is spared, and it alone may do this.
fn kill_all() -> Result<()> {
    if std::process::id() != 1 {
        bail!("only process 1 of a lab may end all that runs in it");
    }
    // SAFETY: a plain system call; of process 1 it reaches what is in its own process namespace, without process 1.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    init::reap_all()
}

fn power_off_all() -> Result<()> {
    Host::all().filter(|&host| namespaces::is_up(host)).try_for_each(power::off)
}

fn power_on_all(order: &Job, job_folder: &Path) -> Result<()> {
    power::on(&Host::all().collect::<Vec<_>>())?;
    marks::set(&Mark::Booted);
    let Some(file) = init::cluster_file(job_folder)? else {
        return Ok(());
    };
    marks::set(&Mark::Form);
    let members: Vec<Host> = Host::nodes().collect();
    cluster::comes_back(&Wanted::read(&file)?, &members, order.default_cluster)
        .context("the cluster does not come back from its disks")?;
    marks::set(&Mark::Formed);
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}
