//! What the tidy test checks in documents (pure): that what they point to is there.

/// What documents may point to.
pub struct Tree<'a> {
    /// Every Markdown file: place and text.
    pub documents: &'a [(String, String)],
    /// Whether there is a file or folder at a place.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// All Rust code and scripts.
    pub code: &'a str,
}

/// Links and paths that lead nowhere, and, in decisions and the description of the lease, tests, fields and scenarios that are not there.
pub fn judge(tree: &Tree<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (place, text) in tree.documents {
        let text = without_blocks(text);
        let wrong = links(&text).into_iter().filter(|link| !leads_somewhere(tree, place, link));
        found.extend(wrong.map(|link| format!("{place}: the link to {link} leads nowhere")));
        // From the root of the tree, from the document, or from the lab's.
        let bases = ["", place, "cluster-tests/README.md"];
        let is_there = |path: &str| bases.iter().any(|base| (tree.exists)(&resolved(base, path)));
        let wrong = spans(&text).into_iter().filter(|span| is_path(span) && !is_there(span));
        found.extend(wrong.map(|path| format!("{place}: there is no {path}")));
        if place.starts_with("docs/decisions/") || place == "docs/lease.md" {
            let unknown = spans(&text).into_iter().filter(|span| is_name(span) && !tree.code.contains(span));
            found.extend(unknown.map(|name| format!("{place}: there is no {name} in the code")));
            let missing =
                scenarios(&text).into_iter().filter(|name| !(tree.exists)(&format!("cluster-tests/scenarios/{name}.sh")));
            found.extend(missing.map(|name| format!("{place}: there is no scenario {name}")));
        }
    }
    found
}

/// The text without blocks of code.
fn without_blocks(text: &str) -> String {
    let mut inside = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://")).collect()
}

fn leads_somewhere(tree: &Tree<'_>, from: &str, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let place = if path.is_empty() { from.to_owned() } else { resolved(from, path) };
    let Some(anchor) = anchor else { return (tree.exists)(&place) };
    tree.documents.iter().any(|(known, text)| *known == place && headings(text).any(|heading| heading == anchor))
}

/// `path`, as the document at `from` says it, as a place in the tree.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// The anchors that a document's headings make.
fn headings(text: &str) -> impl Iterator<Item = String> + '_ {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    titles.map(|title| title.chars().filter(|c| c.is_alphanumeric() || "_- ".contains(*c)).collect::<String>().replace(' ', "-"))
}

fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A file or folder of the tree, without a placeholder.
fn is_path(span: &str) -> bool {
    let folders = ["src/", "docs/", "examples/", "scripts/", "cluster-tests/"];
    folders.iter().any(|folder| span.starts_with(folder)) && !span.contains([' ', '*', '…']) && !span.contains(char::is_uppercase)
}

/// A test, a field, a setting: three words or more with `_` between.
fn is_name(span: &str) -> bool {
    span.matches('_').count() >= 2 && span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn scenarios(text: &str) -> Vec<&str> {
    ["scenario `", "scenario\n`"]
        .iter()
        .flat_map(|word| text.split(word).skip(1))
        .filter_map(|rest| rest.split('`').next())
        .collect()
}

#[test]
fn what_is_not_there_is_found() {
    let judged = |text: &str| {
        let documents =
            [("docs/decisions/01-a.md".to_owned(), text.to_owned()), ("README.md".to_owned(), "# Try it: two\n".to_owned())];
        let exists = |place: &str| ["README.md", "cluster-tests/scenarios/leave.sh"].contains(&place);
        judge(&Tree { documents: &documents, exists: &exists, code: "fn it_is_so() {}" })
    };
    assert_eq!(
        judged("see [a](../../README.md), [b](../../README.md#try-it-two), [c](https://example.org/x)"),
        Vec::<String>::new()
    );
    assert_eq!(judged("[a](../README.md)").len(), 1);
    assert_eq!(judged("[a](../../README.md#try-it)").len(), 1);
    assert_eq!(judged("# Here\n[a](#here) [b](#there)").len(), 1);
    assert_eq!(judged("the test `it_is_so`; the scenario\n`leave`"), Vec::<String>::new());
    assert_eq!(judged("the tests `it_is_so` and `it_was_so`").len(), 1);
    assert_eq!(judged("the scenario `arrive`").len(), 1);
    assert_eq!(
        judged("`cluster-tests/scenarios/leave.sh`, `src/NAME.rs`, `scripts/fuzz x`, `elsewhere/x`"),
        Vec::<String>::new()
    );
    assert_eq!(judged("in `src/gone.rs`").len(), 1);
    assert_eq!(judged("```\n[a](nowhere)\n```"), Vec::<String>::new());
}
