//! Finds files of one room that import each other in a circle (pure).
//!
//! An import is any path that begins with `crate`, `super`, `self` or a module that the file declares. A name that a module passes on (`pub use`) counts as an
//! import of the file that has it, and passing it on is none. What stands in tests is not looked at.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path from the crate's root.
type Path = Vec<String>;

/// What one file says of others.
#[derive(Default)]
struct File {
    place: String,
    /// The modules that it declares.
    children: BTreeSet<String>,
    /// Names that it passes on, and where they come from.
    passed_on: BTreeMap<String, Path>,
    /// Whole modules of which it passes everything on.
    all_of: Vec<Path>,
    /// Every other path in it.
    imports: Vec<Path>,
}

/// Every circle of files that lie in one room: each file, and which of the others it imports. `files`: path from the root, and text.
pub fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let mut modules: BTreeMap<Path, File> = BTreeMap::new();
    for (place, text) in files {
        if let Some(path) = module(place) {
            modules.insert(path.clone(), read(place, &path, text));
        }
    }
    let edges: BTreeMap<&Path, BTreeSet<&Path>> = modules
        .iter()
        .map(|(path, file)| {
            let targets = file.imports.iter().filter_map(|import| target(&modules, import, 0));
            (path, targets.filter(|target| *target != path && target.first() == path.first()).collect())
        })
        .collect();
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = edges.keys().map(|path| (*path, reachable(&edges, path))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (path, reached) in &reach {
        if reached.contains(path) {
            let circle: BTreeSet<&Path> = reached.iter().copied().filter(|other| reach[*other].contains(*path)).collect();
            let places = |targets: &BTreeSet<&Path>| {
                let inside = targets.intersection(&circle).map(|target| modules[*target].place.clone());
                inside.collect::<Vec<_>>().join(", ")
            };
            found.insert(circle.iter().map(|path| format!("{} -> {}", modules[*path].place, places(&edges[*path]))).collect());
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, from: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = edges[from].iter().copied().collect();
    while let Some(path) = next.pop() {
        if reached.insert(path) {
            next.extend(edges[path].iter().copied());
        }
    }
    reached
}

/// The module that a file is; none for what is no module of the agent, or a test.
fn module(place: &str) -> Option<Path> {
    let inside = place.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut path: Path = inside.split('/').map(str::to_owned).collect();
    if path.iter().any(|part| part.ends_with("tests")) || ["lib", "main"].contains(&inside) {
        return None;
    }
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    Some(path)
}

/// The module whose file a path leads to.
fn target<'a>(modules: &'a BTreeMap<Path, File>, import: &Path, depth: usize) -> Option<&'a Path> {
    let length = (1..=import.len()).rev().find(|length| modules.contains_key(&import[..*length]))?;
    let (path, file) = modules.get_key_value(&import[..length])?;
    let passed_on = import.get(length).and_then(|name| file.passed_on.get(name)).filter(|_| depth < 8);
    match passed_on {
        Some(source) => target(modules, source, depth + 1).or(Some(path)),
        None => Some(path),
    }
}

fn read(place: &str, path: &Path, text: &str) -> File {
    let code = without_tests(text);
    let mut file = File { place: place.to_owned(), ..File::default() };
    file.children = code
        .split(';')
        .filter_map(|statement| statement.trim_end().rsplit_once("mod ").map(|(_, name)| name.trim().to_owned()))
        .filter(|name| !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_'))
        .collect();
    let mut rest = code.as_str();
    let mut body = String::new();
    while let Some(at) = find_use(rest) {
        let (before, from) = rest.split_at(at);
        let end = from.find(';').unwrap_or(from.len());
        body.push_str(before);
        let is_public = before.lines().next_back().is_some_and(|line| line.trim_start().starts_with("pub"));
        for (tree, name) in branches(&from["use ".len()..end]) {
            let Some(absolute) = absolute(path, &file.children, &tree) else { continue };
            match (is_public, name) {
                (true, Some(name)) => drop(file.passed_on.insert(name, absolute)),
                (true, None) => file.all_of.push(absolute),
                (false, _) => file.imports.push(absolute),
            }
        }
        rest = &from[end..];
    }
    body.push_str(rest);
    file.imports.extend(inline(&body).iter().filter_map(|tree| absolute(path, &file.children, tree)));
    file
}

/// Where the next `use` statement begins.
fn find_use(text: &str) -> Option<usize> {
    text.match_indices("use ").map(|(at, _)| at).find(|at| {
        let line = text[..*at].rsplit('\n').next().unwrap_or("").trim();
        line.is_empty()
            || (line.starts_with("pub") && !line.contains(';') && !line.contains(' '))
            || (line.starts_with("pub(in") && line.ends_with(')'))
    })
}

/// Comments and everything from the first test on cut off.
fn without_tests(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim() == "#[cfg(test)]" && !lines.is_empty() {
            // A declaration or one item; what is for tests alone stands at the end.
            lines.push("#[cfg(test)]");
            continue;
        }
        lines.push(line.split_once("//").map_or(line, |(code, _)| code));
    }
    let end = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
    lines.truncate(end.unwrap_or(lines.len()));
    lines.join("\n")
}

/// The paths of a `use` statement, and the name that each one gives; none for `*`.
fn branches(tree: &str) -> Vec<(Vec<String>, Option<String>)> {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let (path, renamed) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
        let mut parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
        let last = parts.last().cloned().unwrap_or_default();
        let name = renamed.map(str::to_owned).or_else(|| Some(last.clone())).filter(|_| last != "*");
        if last == "*" || last == "self" {
            parts.pop();
        }
        return vec![(parts, name)];
    };
    let head: Vec<String> = head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let mut found = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = group[begin..at].trim();
                begin = at + 1;
                for (path, name) in branches(branch).into_iter().filter(|_| !branch.is_empty()) {
                    found.push((head.iter().cloned().chain(path).collect(), name));
                }
            }
            _ => {}
        }
    }
    found
}

/// Paths in code that begin with `crate::`, `super::` or `self::`.
fn inline(code: &str) -> Vec<Vec<String>> {
    let begins =
        |at: usize| code[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && !"_:$".contains(before));
    let starts = ["crate::", "super::", "self::"];
    let found = starts.iter().flat_map(|start| code.match_indices(start)).filter(|(at, _)| begins(*at));
    found
        .map(|(at, _)| {
            let path = code[at..].split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':').next();
            path.unwrap_or("").split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
        })
        .collect()
}

/// A path from the crate's root; none for other crates.
fn absolute(module: &Path, children: &BTreeSet<String>, path: &[String]) -> Option<Path> {
    let first = path.first()?;
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    if first != "super" && first != "self" {
        return children.contains(first).then(|| module.iter().chain(path).cloned().collect());
    }
    let ups = path.iter().take_while(|part| *part == "super").count();
    let rest = path.iter().skip(ups).filter(|part| *part != "self");
    Some(module[..module.len().checked_sub(ups)?].iter().chain(rest).cloned().collect())
}

#[test]
fn a_circle_is_found_through_groups_names_passed_on_and_paths_in_code() {
    let file = |place: &str, text: &str| (place.to_owned(), text.to_owned());
    let straight = [
        file("src/a/mod.rs", "//! a\nmod b;\nmod c;\npub use c::Name;\n"),
        file("src/a/b.rs", "use super::{\n    Name,\n    x::Y,\n};\nfn f() {}\n"),
        file("src/a/c.rs", "use crate::model::Node;\n// see super::b\n#[cfg(test)]\nmod tests { use super::super::b::B; }\n"),
    ];
    assert_eq!(circles(&straight), Vec::<Vec<String>>::new());
    let mut round = straight.clone();
    round[2].1 = "fn f() { super::b::g() }\n".to_owned();
    assert_eq!(circles(&round), [["src/a/b.rs -> src/a/c.rs", "src/a/c.rs -> src/a/b.rs"]]);
    let with_parent = [
        file("src/a/t.rs", "mod u;\nuse u::V;\nstruct T;\n"),
        file("src/a/t/u.rs", "use super::T;\n"),
        file("src/b/x.rs", "use crate::a::t::T;\n"),
    ];
    assert_eq!(circles(&with_parent), [["src/a/t.rs -> src/a/t/u.rs", "src/a/t/u.rs -> src/a/t.rs"]]);
}
