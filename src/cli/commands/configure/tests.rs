//! What `configure` does to a file on disk, without a service.

use super::*;
use crate::{
    api::fake::SocketDir,
    cli::CliCommand,
    config::{agent_file::TEMPLATE, load_agent},
    link::io::files,
    model::{NodeId, TimingProfile},
};
use clap::Parser;
use std::{fs, os::unix::fs::PermissionsExt};

/// A folder of its own, removed at the end.
struct Place(SocketDir);

impl Place {
    fn new(name: &str) -> Self {
        let place = Self(SocketDir::new(&format!("configure-{name}")));
        fs::create_dir_all(place.file().parent().unwrap()).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.0.socket().with_file_name("agent.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn put(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// The names of former files.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.file().parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains(".bak-")).collect()
    }

    async fn configure(&self, options: &str) -> Result<Exit, CommandFailure> {
        let line = format!("lvs-agent --config {} configure --no-service --node d1 {options}", self.file().display());
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let CliCommand::Configure(how) = &args.command else { panic!("{args:?}") };
        run(&args, how).await
    }
}

#[tokio::test]
async fn a_file_is_written_once_and_kept_when_it_changes() {
    let place = Place::new("written");
    place.put(TEMPLATE);
    assert_eq!(place.configure("--roles director --address 192.0.2.11 --dry-run").await, Ok(Exit::Ok));
    assert_eq!(place.text(), TEMPLATE, "nothing is changed to show what would be");
    assert_eq!(place.configure("--roles director --address 192.0.2.11 --interface eth7").await, Ok(Exit::Ok));
    let first = place.text();
    let config = load_agent(&place.file()).unwrap();
    assert_eq!((config.address.to_string().as_str(), config.interface.as_deref()), ("192.0.2.11:7400", Some("eth7")));
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(place.configure("--roles director --address 192.0.2.11").await, Ok(Exit::Ok));
    assert_eq!((place.text(), place.kept().len()), (first.clone(), 0), "it says all of that; of the template nothing is kept");
    assert_eq!(place.configure("--roles real-server --address 192.0.2.11 --interface eth7").await, Ok(Exit::Ok));
    assert_eq!(load_agent(&place.file()).unwrap().interface, None, "it means nothing on a real server");
    assert_eq!(place.kept().iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn a_file_that_was_edited_is_replaced_only_by_force() {
    let place = Place::new("edited");
    let mine = "node = \"d1\"\nroles = [\"director\"]\naddress = \"192.0.2.11\"\nlog = \"debug\"\n";
    place.put(mine);
    let refused = place.configure("--roles director --address 192.0.2.11 --zone z1").await.unwrap_err();
    assert_eq!(refused.exit, Exit::Refused);
    assert!(
        refused.lines.iter().any(|line| line == "  zone = \"z1\"") && refused.lines.last().unwrap().contains("--force"),
        "{refused:?}"
    );
    assert_eq!(place.configure("--roles director --address 192.0.2.11").await, Ok(Exit::Ok), "it says so already");
    assert_eq!((place.text().as_str(), place.kept().len()), (mine, 0));
    assert_eq!(place.configure("--roles director --address 192.0.2.11 --zone z1 --force").await, Ok(Exit::Ok));
    assert!(place.text().contains("\nzone = \"z1\"\n") && !place.text().contains("debug"));
    assert_eq!(fs::read_to_string(&place.kept()[0]).unwrap(), mine);
}

#[tokio::test]
async fn a_link_is_followed_and_a_missing_folder_made() {
    let place = Place::new("link");
    let far = place.file().with_file_name("folder").join("real.toml");
    fs::create_dir(far.parent().unwrap()).unwrap();
    fs::write(&far, TEMPLATE).unwrap();
    std::os::unix::fs::symlink(&far, place.file()).unwrap();
    assert_eq!(place.configure("--roles witness --address 192.0.2.11").await, Ok(Exit::Ok));
    assert!(
        fs::symlink_metadata(place.file()).unwrap().is_symlink() && fs::read_to_string(&far).unwrap().contains("\"witness\"")
    );
    let deep = place.file().with_file_name("a").join("b").join("agent.toml");
    let line = format!("lvs-agent --config {} configure --no-service --roles witness --address 192.0.2.11", deep.display());
    let args = Args::try_parse_from(line.split(' ')).unwrap();
    let CliCommand::Configure(how) = &args.command else { panic!("{args:?}") };
    assert_eq!(run(&args, how).await, Ok(Exit::Ok));
    assert!(load_agent(&deep).is_ok());
}

#[tokio::test]
async fn a_member_keeps_its_name_and_hears_what_a_change_means() {
    let place = Place::new("member");
    let data = place.file().with_file_name("data");
    fs::create_dir(&data).unwrap();
    let identity = NodeIdentity {
        cluster_id: "0123456789abcdef".to_owned(),
        node_id: NodeId(1),
        name: "d9".parse().unwrap(),
        timing: TimingProfile::Lan,
        bootstrap_peers: Vec::new(),
    };
    identity.save(&data).unwrap();
    assert!(data.join(files::IDENTITY).exists());
    place.put(&format!("node = \"d1\"\nroles = [\"director\"]\naddress = \"192.0.2.11\"\ndata_dir = \"{}\"\n", data.display()));
    let refused = place.configure("--roles director --address 192.0.2.11").await.unwrap_err();
    assert_eq!(refused.exit, Exit::Refused);
    assert!(refused.lines[0].contains("say --node d9"), "{refused:?}");

    NodeIdentity { name: "d1".parse().unwrap(), ..identity }.save(&data).unwrap();
    let former = FormerFile::read(&place.file()).unwrap().config.unwrap();
    let moved = AgentConfig { address: "192.0.2.12:7400".parse().unwrap(), ..former.clone() };
    let line = "lvs-agent configure --roles director";
    let args = Args::try_parse_from(line.split(' ')).unwrap();
    let CliCommand::Configure(how) = &args.command else { panic!("{args:?}") };
    let mut warnings = Vec::new();
    assert_eq!(member(how, &moved, Some(&former), &mut warnings), Ok(Some("0123456789abcdef".to_owned())));
    assert_eq!(warnings, ["d1 tells its cluster 0123456789abcdef at its start that it has moved from 192.0.2.11 to 192.0.2.12"]);
    let other = AgentConfig {
        roles: "witness".parse::<Role>().map(|role| crate::model::Roles::new([role]).unwrap()).unwrap(),
        ..former.clone()
    };
    warnings.clear();
    member(how, &other, Some(&former), &mut warnings).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("`lvs-agent node rename-roles d1 --roles witness`"), "{warnings:?}");
}
