//! `lvs-agent identity`

use super::{palette, print_json, print_table};
use crate::{
    api::{Client, IdentityMade, IdentityRequest},
    cli::{
        CommandFailure, Exit,
        args::{IdentityCommand, IdentityCreateArgs},
        render, terminal,
    },
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

pub(super) async fn run(client: &Client, command: &IdentityCommand) -> Result<Exit, CommandFailure> {
    match command {
        IdentityCommand::Create(args) => create(client, args).await?,
        IdentityCommand::List(args) => {
            let identities = client.identities().await?;
            if args.json {
                print_json(&identities)?;
            } else {
                print_table(
                    &render::identities(&identities, palette()),
                    "nobody may use the remote api with a certificate of this cluster",
                )?;
            }
        }
        IdentityCommand::Revoke(args) => {
            let name = &args.name;
            client.revoke_identity(name).await?;
            if args.json {
                print_json(&serde_json::json!({ "revoked": name }))?;
            } else {
                terminal::print(&format!("{name} is revoked: its certificate is worth nothing from now on\n"))?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn create(client: &Client, args: &IdentityCreateArgs) -> Result<(), CommandFailure> {
    if args.json && args.output.as_deref() == Some(Path::new("-")) {
        let line = "--json and --output - both want stdout: name a file for the certificate with --output FILE";
        return Err(CommandFailure::new(Exit::Invalid, line.to_owned()));
    }
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.pem", args.name)));
    // The file comes first: a certificate that cannot be written is lost.
    let file = if path == Path::new("-") { None } else { Some(Unfinished::create(&path)?) };
    let request = IdentityRequest { name: args.name.clone(), access: args.access(), ttl_s: args.ttl.as_secs() };
    let IdentityMade { bundle, status } = client.make_identity(&request).await?;
    let bundle = Zeroizing::new(bundle);
    let Some(file) = file else { return terminal::print(&bundle) };
    file.finish(&bundle)?;
    if args.json {
        let file = path.display().to_string();
        let (name, access) = (&status.name, status.access);
        let (certificate, end) = (status.certificate, status.expires_unix_s);
        return print_json(&serde_json::json!({
            "name": name, "access": access, "certificate": certificate, "expires_unix_s": end, "file": file
        }));
    }
    terminal::print(&render::identity(&status, &path.display().to_string()))
}

/// A new file that only its owner can read; removed again unless it is finished.
struct Unfinished<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> Unfinished<'a> {
    fn create(path: &'a Path) -> Result<Self, CommandFailure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let line = format!("{} is there already: move it away, or name another file with --output", path.display());
                CommandFailure::new(Exit::Invalid, line)
            }
            _ => unwritable(path, &error),
        })?;
        Ok(Self { path, file: Some(file) })
    }

    fn finish(mut self, text: &str) -> Result<(), CommandFailure> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| unwritable(self.path, &error))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // An empty file that is left behind does no harm.
            let _ = std::fs::remove_file(self.path);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CommandFailure {
    CommandFailure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
}
