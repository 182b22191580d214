//! Running other programs: `ip` and `tc` in batches, because starting a process is dear in a guest.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `program args…` with `lines` as its standard input and fails with what it wrote to standard error.
pub fn batch(program: &str, args: &[&str], lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut child = Command::new(program)
        .args(args)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let text = lines.join("\n") + "\n";
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).with_context(|| format!("write to {program}"))?;
    }
    let done = child.wait_with_output().with_context(|| format!("wait for {program}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {} failed: {}\nwhile told:\n{text}", args.join(" "), said.trim());
    }
    Ok(())
}

/// Runs a program to its end, quietly; its standard error becomes the error.
pub fn quiet(program: &str, args: &[&str]) -> Result<()> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().with_context(|| format!("start {program}"))?;
    if !done.status.success() {
        bail!("{program} {} failed: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
