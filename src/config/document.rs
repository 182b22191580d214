//! Reads TOML tables key by key with positions, and collects what is wrong instead of stopping at it.
//!
//! serde's derive would stop at the first wrong type or unknown key; an operator wants all of them in one go.

use super::problem::ProblemCollector;
use std::{collections::BTreeMap, ops::RangeInclusive};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and the byte offset at which it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// The items of a list that could be read, each where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct List<T> {
    pub(super) items: Vec<At<T>>,
    pub(super) at: usize,
    /// The user wrote no item at all (rather than only wrong ones).
    pub(super) is_empty: bool,
}

/// Turns a TOML value into a domain value, or says why it cannot.
pub(super) type Decoded<T> = Result<T, String>;

/// Parses `text`; every syntax error becomes a finding, and then there is no document.
pub(super) fn parse<'s>(text: &'s str, findings: &mut ProblemCollector<'_>) -> Option<Spanned<DeTable<'s>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        findings.add(error.span().map_or(0, |span| span.start), error.message());
    }
    errors.is_empty().then_some(document)
}

/// One table while it is read. It remembers which keys were asked for, so that [`Table::finish`] can name the others.
pub(super) struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Where the table begins, for what is missing in it.
    pub(super) at: usize,
    /// How messages call it: `[[service]]`.
    title: &'static str,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn root(document: &'t Spanned<DeTable<'t>>, title: &'static str) -> Self {
        Self { entries: document.get_ref(), at: 0, title, known: Vec::new() }
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.entries.get(key)
    }

    /// The value of `key`, if it is there and right.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<At<T>> {
        self.value(key).and_then(|value| decode_at(key, value, &decode, findings))
    }

    /// The value of `key`; a finding if it is not there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<At<T>> {
        self.require(key, findings);
        self.optional(key, decode, findings)
    }

    /// The value of `key`, or `default` if it is not there; `None` if it is there and wrong.
    pub(super) fn with_default<T>(
        &mut self,
        key: &'static str,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        default: T,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<T> {
        if self.has(key) {
            return self.optional(key, decode, findings).map(|found| found.value);
        }
        self.known.push(key);
        Some(default)
    }

    /// The items of the array `key`, each one decoded by itself. `None` if it is not there or no array.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<List<T>> {
        let value = self.value(key)?;
        let at = value.span().start;
        let DeValue::Array(items) = value.get_ref() else {
            findings.add(at, format!("`{key}`: {}", expected("a list like [ …, … ]", value.get_ref())));
            return None;
        };
        let read = items.iter().filter_map(|item| decode_at(key, item, &decode, findings)).collect();
        Some(List { items: read, at, is_empty: items.is_empty() })
    }

    /// Like [`Table::list`]; a finding if it is not there.
    pub(super) fn required_list<T>(
        &mut self,
        key: &'static str,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<List<T>> {
        self.require(key, findings);
        self.list(key, decode, findings)
    }

    /// The table `[… key]`, if it is there.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        title: &'static str,
        findings: &mut ProblemCollector<'_>,
    ) -> Option<Table<'t>> {
        let value = self.value(key)?;
        if is_tables(value.get_ref()) {
            findings.add(value.span().start, format!("write {title} with single brackets: there is only one"));
            return None;
        }
        as_table(value, title, findings)
    }

    /// Every key with its value, for a table whose keys are the user's own names.
    pub(super) fn each<K: Ord, T>(
        self,
        read_key: impl Fn(&str) -> Decoded<K>,
        decode: impl Fn(&DeValue<'_>) -> Decoded<T>,
        findings: &mut ProblemCollector<'_>,
    ) -> BTreeMap<K, T> {
        let mut read = BTreeMap::new();
        for (key, value) in self.entries.iter() {
            let named = read_key(key.get_ref()).map_err(|why| findings.add(key.span().start, format!("{}: {why}", self.title)));
            let found = decode_at(key.get_ref(), value, &decode, findings);
            if let (Ok(named), Some(found)) = (named, found) {
                read.insert(named, found.value);
            }
        }
        read
    }

    /// The tables `[[… key]]`, none if there are none.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        title: &'static str,
        findings: &mut ProblemCollector<'_>,
    ) -> Vec<Table<'t>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| as_table(item, title, findings)).collect(),
            DeValue::Table(entries) => {
                for (at, message) in single_brackets(key, title, value.span().start, entries) {
                    findings.add(at, message);
                }
                Vec::new()
            }
            other => {
                findings.add(value.span().start, expected(&format!("tables headed {title}"), other));
                Vec::new()
            }
        }
    }

    /// Whether `key` is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Every key that was not read becomes a finding.
    pub(super) fn finish(self, findings: &mut ProblemCollector<'_>) {
        self.finish_knowing(&[], findings);
    }

    /// As [`Table::finish`]. `homes`: tables that belong elsewhere, and what to say to whoever writes them here.
    pub(super) fn finish_knowing(self, homes: &[(&str, &str)], findings: &mut ProblemCollector<'_>) {
        for (key, value) in self.entries.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let is_table = value.get_ref().is_table() || is_tables(value.get_ref());
                let homes = if is_table { homes } else { &[] };
                let home = |name: &str| homes.iter().find(|(key, _)| *key == name).map(|(_, hint)| (*hint).to_owned());
                let near = || closest(name, self.known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let near_home = || closest(name, homes.iter().map(|(key, _)| *key)).and_then(home);
                let all = || format!("it may have {}", self.known.join(", "));
                let hint = home(name).or_else(near).or_else(near_home).unwrap_or_else(all);
                findings.add(key.span().start, format!("{} has no key `{}`: {hint}", self.title, clip(name)));
            }
        }
    }

    fn require(&self, key: &'static str, findings: &mut ProblemCollector<'_>) {
        if !self.has(key) {
            findings.add(self.at, format!("{} needs `{key}`", self.title));
        }
    }
}

fn decode_at<T>(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    decode: &impl Fn(&DeValue<'_>) -> Decoded<T>,
    findings: &mut ProblemCollector<'_>,
) -> Option<At<T>> {
    let at = value.span().start;
    match decode(value.get_ref()) {
        Ok(value) => Some(At { value, at }),
        Err(why) => {
            findings.add(at, format!("`{key}`: {why}"));
            None
        }
    }
}

fn as_table<'t>(value: &'t Spanned<DeValue<'t>>, title: &'static str, findings: &mut ProblemCollector<'_>) -> Option<Table<'t>> {
    match value.get_ref() {
        DeValue::Table(entries) => Some(Table { entries, at: value.span().start, title, known: Vec::new() }),
        other => {
            findings.add(value.span().start, expected(&format!("a table headed {title}"), other));
            None
        }
    }
}

/// Tables headed `[[…]]`.
fn is_tables(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Array(items) if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()))
}

/// What to say of `[key]` where `[[key]]` is meant, or of `[key.…]` that stand before any.
fn single_brackets(key: &str, title: &str, at: usize, entries: &DeTable<'_>) -> Vec<(usize, String)> {
    let early = entries.iter().map(|(inner, value)| match value.get_ref() {
        DeValue::Table(_) => Some((value.span().start, format!("[{key}.{}]", clip(inner.get_ref())))),
        tables if is_tables(tables) => Some((value.span().start, format!("[[{key}.{}]]", clip(inner.get_ref())))),
        _ => None,
    });
    match early.collect::<Option<Vec<_>>>() {
        Some(early) if !early.is_empty() => {
            let say =
                |(at, heading)| (at, format!("{heading} stands before any {title}: put it below the {title} that it is for"));
            early.into_iter().map(say).collect()
        }
        _ => vec![(at, format!("write {title} with double brackets: there may be several"))],
    }
}

/// The word that is most like `word`, if one is like it at all.
pub(super) fn closest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// At most 80 characters of what the user wrote, for a message.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn expected(what: &str, found: &DeValue<'_>) -> String {
    format!("expected {what}, found {}", a_kind(found))
}

fn a_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text in quotes",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Decodes a text by `read`.
pub(super) fn text<T>(read: impl Fn(&str) -> Decoded<T>) -> impl Fn(&DeValue<'_>) -> Decoded<T> {
    move |value| match value {
        DeValue::String(text) => read(text).map_err(|why| why.to_owned()),
        other => Err(expected("a text in quotes", other)),
    }
}

/// Decodes a text by the type's own `FromStr`.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(value: &DeValue<'_>) -> Decoded<T> {
    text(|text| text.parse().map_err(|why: T::Err| why.to_string()))(value)
}

/// Decodes `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Decoded<bool> {
    value.as_bool().ok_or_else(|| expected("true or false", value))
}

/// Decodes a whole number within `range`.
pub(super) fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&DeValue<'_>) -> Decoded<T> {
    move |value| {
        let DeValue::Integer(digits) = value else { return Err(expected("a number", value)) };
        i64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("{} is out of range: use {} to {}", clip(&digits.to_string()), range.start(), range.end()))
    }
}
