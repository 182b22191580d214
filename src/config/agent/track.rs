//! Reads the tables `[[track]]`: what a node watches on itself.

use super::{absolute_path, inner};
use crate::{
    config::{
        document::{At, Decoded, Table, clip, integer, parsed, text},
        problem::ProblemCollector,
        value,
    },
    model::{
        DurationText, FileExpectation, ScriptName, Track, TrackKind, TrackName, VipName,
        check::{MAX_ARG_BYTES, MAX_ARGS, is_script_arg},
    },
};
use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, time::Duration};

/// Most tracks of a node. Each may have a script or a thread under way.
const MAX_TRACKS: usize = 32;
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const COUNTS: RangeInclusive<i64> = 1..=10;
const WEIGHTS: RangeInclusive<i64> = -999..=999;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum TrackType {
    Script,
    File,
    Interface,
}

/// The keys that belong to one type of track each.
struct KindKeys {
    script: Option<At<ScriptName>>,
    args: Vec<String>,
    path: Option<At<PathBuf>>,
    expects: Option<At<FileExpectation>>,
    interface: Option<At<String>>,
    /// Those that are there, right or wrong.
    given: Vec<(&'static str, TrackType)>,
}

/// Reads all of them. `runs_scripts`: there is a `[scripts]`.
pub(super) fn read(table: &mut Table<'_>, runs_scripts: bool, findings: &mut ProblemCollector<'_>) -> Vec<Track> {
    let (mut tracks, mut names) = (Vec::new(), BTreeSet::new());
    for (number, table) in table.tables("track", "[[track]]", findings).into_iter().enumerate() {
        let at = table.at;
        if number == MAX_TRACKS {
            findings.add(at, format!("[[track]]: at most {MAX_TRACKS}"));
        }
        let Some(track) = one(table, runs_scripts, findings) else { continue };
        if !names.insert(track.name.clone()) {
            findings.add(at, format!("[[track]] `{}` is there twice: give each a name of its own", track.name));
        }
        tracks.push(track);
    }
    tracks
}

fn one(mut table: Table<'_>, runs_scripts: bool, findings: &mut ProblemCollector<'_>) -> Option<Track> {
    let at = table.at;
    let name = table.required("name", parsed::<TrackName>, findings);
    let kind = table.required("type", text(kind), findings);
    let keys = KindKeys::read(&mut table, findings);
    let interval = table.with_default("interval", text(value::duration(INTERVALS)), DEFAULT_INTERVAL, findings);
    let timeout = table.optional("timeout", text(value::duration(TIMEOUTS)), findings);
    let fall = table.with_default("fall", integer(COUNTS), 2, findings);
    let rise = table.with_default("rise", integer(COUNTS), 2, findings);
    let weight = weight(&mut table, findings)?;
    let vips = table.list("vips", parsed::<VipName>, findings);
    table.finish(findings);
    let (interval, kind) = (interval?, keys.kind(kind?.value, at, runs_scripts, findings));
    if let Some(timeout) = timeout.filter(|timeout| timeout.value > interval) {
        let (long, interval) = (DurationText(timeout.value), DurationText(interval));
        findings.add(timeout.at, format!("`timeout`: {long} is longer than the interval of {interval}"));
    }
    Some(Track {
        name: name?.value,
        kind: kind?,
        interval,
        timeout: timeout.map_or(DEFAULT_TIMEOUT.min(interval), inner),
        fall: fall?,
        rise: rise?,
        weight,
        vips: vips.map(|vips| vips.items.into_iter().map(inner).collect()).unwrap_or_default(),
    })
}

/// `None`: it is wrong.
fn weight(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<Option<i16>> {
    let given = table.has("weight");
    let weight = table.optional("weight", integer::<i16>(WEIGHTS), findings);
    match &weight {
        Some(At { value: 0, at }) => {
            findings.add(*at, "`weight`: 0 would change nothing: leave it out for a director that is the last to hold a VIP");
            None
        }
        None if given => None,
        Some(_) | None => Some(weight.map(inner)),
    }
}

impl KindKeys {
    fn read(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Self {
        const OF: [(&str, TrackType); 5] = [
            ("script", TrackType::Script),
            ("args", TrackType::Script),
            ("path", TrackType::File),
            ("expects", TrackType::File),
            ("interface", TrackType::Interface),
        ];
        let given = OF.into_iter().filter(|(key, _)| table.has(key)).collect();
        let args = table.list("args", text(arg), findings);
        if let Some(args) = args.as_ref().filter(|args| args.items.len() > MAX_ARGS) {
            findings.add(args.at, format!("`args`: at most {MAX_ARGS}"));
        }
        Self {
            script: table.optional("script", parsed::<ScriptName>, findings),
            args: args.map(|args| args.items.into_iter().map(inner).collect()).unwrap_or_default(),
            path: table.optional("path", text(absolute_path), findings),
            expects: table.optional("expects", text(expectation), findings),
            interface: table.optional("interface", text(value::interface), findings),
            given,
        }
    }

    /// `at`: where the table is.
    fn kind(self, of: TrackType, at: usize, runs_scripts: bool, findings: &mut ProblemCollector<'_>) -> Option<TrackKind> {
        for (key, other) in self.given.iter().filter(|(_, other)| *other != of) {
            findings.add(at, format!("`{key}` is for tracks of type \"{}\"; this one is \"{}\"", other.word(), of.word()));
        }
        let needs = of.needs();
        if !self.given.iter().any(|(key, _)| *key == needs) {
            findings.add(at, format!("[[track]] of type \"{}\" needs `{needs}`", of.word()));
        }
        match of {
            TrackType::Script => {
                if !runs_scripts {
                    findings.add(at, "[[track]] of type \"script\" needs [scripts]: it says as whom scripts are run");
                }
                Some(TrackKind::Script { script: self.script?.value, args: self.args })
            }
            TrackType::File => {
                let expects = self.expects.map_or(FileExpectation::Number, inner);
                Some(TrackKind::File { path: self.path?.value, expects })
            }
            TrackType::Interface => Some(TrackKind::Interface(self.interface?.value)),
        }
    }
}

impl TrackType {
    fn word(self) -> &'static str {
        match self {
            TrackType::Script => "script",
            TrackType::File => "file",
            TrackType::Interface => "interface",
        }
    }

    /// The key that it cannot do without.
    fn needs(self) -> &'static str {
        match self {
            TrackType::Script => "script",
            TrackType::File => "path",
            TrackType::Interface => "interface",
        }
    }
}

fn kind(text: &str) -> Decoded<TrackType> {
    [TrackType::Script, TrackType::File, TrackType::Interface]
        .into_iter()
        .find(|of| of.word() == text)
        .ok_or_else(|| format!("`{}` is not a type of track: use script, file or interface", clip(text)))
}

fn expectation(text: &str) -> Decoded<FileExpectation> {
    match text {
        "number" => Ok(FileExpectation::Number),
        "present" => Ok(FileExpectation::Present),
        "absent" => Ok(FileExpectation::Absent),
        other => Err(format!("`{}` is nothing to expect of a file: use number, present or absent", clip(other))),
    }
}

fn arg(text: &str) -> Decoded<String> {
    if is_script_arg(text) {
        return Ok(text.to_owned());
    }
    let shown = text.escape_debug().to_string();
    Err(format!("`{}` is not an argument: at most {MAX_ARG_BYTES} bytes, no control characters", clip(&shown)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentConfig;

    fn read(tracks: &str) -> Result<Vec<Track>, Vec<String>> {
        let text = format!("roles = [\"director\"]\naddress = \"10.0.0.11\"\nscripts.user = 997\n{tracks}");
        AgentConfig::parse("a", &text, "d1").map(|config| config.tracks).map_err(|problems| problems.lines())
    }

    #[test]
    fn tracks_have_their_defaults_and_all_can_be_set() {
        let tracks = read(
            r#"
            [[track]]
            name = "disk-ok"
            type = "script"
            script = "check-disk"
            args = ["/srv"]
            interval = "5s"
            timeout = "2s"
            fall = 3
            rise = 1
            weight = -200
            vips = ["web"]
            [[track]]
            name = "drain"
            type = "file"
            path = "/run/drain"
            expects = "absent"
            [[track]]
            name = "uplink"
            type = "interface"
            interface = "eth1"
            interval = "200ms"
            "#,
        )
        .unwrap();
        let [disk, drain, uplink] = &tracks[..] else { panic!("{tracks:?}") };
        let script = TrackKind::Script { script: "check-disk".parse().unwrap(), args: vec!["/srv".to_owned()] };
        assert_eq!((&disk.kind, disk.weight, disk.fall, disk.rise), (&script, Some(-200), 3, 1));
        assert_eq!((disk.interval, disk.timeout), (Duration::from_secs(5), Duration::from_secs(2)));
        assert_eq!(disk.vips, ["web".parse().unwrap()].into());
        assert_eq!(drain.kind, TrackKind::File { path: "/run/drain".into(), expects: FileExpectation::Absent });
        assert_eq!((drain.weight, drain.fall, drain.rise, drain.vips.len()), (None, 2, 2, 0));
        assert_eq!((drain.interval, drain.timeout), (DEFAULT_INTERVAL, DEFAULT_TIMEOUT));
        assert_eq!((&uplink.kind, uplink.timeout), (&TrackKind::Interface("eth1".to_owned()), Duration::from_millis(200)));
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (lines, said) in [
            ("type = \"file\"\npath = \"/x\"", "a:4:1: [[track]] needs `name`"),
            ("name = \"a\"", "a:4:1: [[track]] needs `type`"),
            (
                "name = \"a\"\ntype = \"process\"",
                "a:6:8: `type`: `process` is not a type of track: use script, file or interface",
            ),
            ("name = \"a\"\ntype = \"file\"", "a:4:1: [[track]] of type \"file\" needs `path`"),
            ("name = \"a\"\ntype = \"file\"\npath = \"x\"", "a:7:8: `path`: `x` is not an absolute path: begin it with `/`"),
            (
                "name = \"a\"\ntype = \"file\"\npath = \"/x\"\nscript = \"b\"",
                "a:4:1: `script` is for tracks of type \"script\"; this one is \"file\"",
            ),
            (
                "name = \"a\"\ntype = \"file\"\npath = \"/x\"\nweight = 0",
                "a:8:10: `weight`: 0 would change nothing: leave it out for a director that is the last to hold a VIP",
            ),
            (
                "name = \"a\"\ntype = \"file\"\npath = \"/x\"\nweight = -1000",
                "a:8:10: `weight`: -1000 is out of range: use -999 to 999",
            ),
            (
                "name = \"a\"\ntype = \"file\"\npath = \"/x\"\ntimeout = \"2s\"",
                "a:8:11: `timeout`: 2s is longer than the interval of 1s",
            ),
            (
                "name = \"a\"\ntype = \"interface\"\ninterface = \"eth0\"\nfal = 1",
                "a:8:1: [[track]] has no key `fal`: did you mean `fall`?",
            ),
        ] {
            assert_eq!(read(&format!("[[track]]\n{lines}\n")), Err(vec![said.to_owned()]), "{lines}");
        }
        let twice = "[[track]]\nname = \"a\"\ntype = \"interface\"\ninterface = \"eth1\"\n".repeat(2);
        assert_eq!(read(&twice), Err(vec!["a:8:1: [[track]] `a` is there twice: give each a name of its own".to_owned()]));
        let many =
            |count| (0..count).map(|n| format!("[[track]]\nname = \"t{n}\"\ntype = \"interface\"\ninterface = \"eth1\"\n"));
        assert_eq!(read(&many(32).collect::<String>()).unwrap().len(), 32);
        assert_eq!(read(&many(33).collect::<String>()).unwrap_err(), ["a:132:1: [[track]]: at most 32"]);
        let text =
            "roles = [\"director\"]\naddress = \"10.0.0.11\"\n[[track]]\nname = \"a\"\ntype = \"script\"\nscript = \"b\"\n";
        let problems = AgentConfig::parse("a", text, "d1").unwrap_err().lines();
        assert_eq!(problems, ["a:3:1: [[track]] of type \"script\" needs [scripts]: it says as whom scripts are run"]);
    }
}
