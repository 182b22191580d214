//! The keys of `[service.check]` that are for checks of type "script".

use crate::{
    config::{
        document::{At, Decoded, List, Table, clip, parsed, text},
        problem::ProblemCollector,
    },
    model::{
        CheckKind, ScriptName,
        check::{MAX_ARG_BYTES, MAX_ARGS, is_script_arg},
    },
};

/// What is written there.
pub(super) struct ScriptKeys {
    script: Option<At<ScriptName>>,
    args: Option<List<String>>,
    /// `script` is there, if only as something that it may not be.
    named: bool,
}

impl ScriptKeys {
    pub(super) fn read(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Self {
        let named = table.has("script");
        let script = table.optional("script", parsed::<ScriptName>, findings);
        Self { script, args: table.list("args", text(arg), findings), named }
    }

    /// The keys that are there, and where.
    pub(super) fn given(&self) -> Vec<(&'static str, usize)> {
        let script = self.script.as_ref().map(|script| ("script", script.at));
        let args = self.args.as_ref().map(|args| ("args", args.at));
        [script, args].into_iter().flatten().collect()
    }

    /// `at`: where the table is.
    pub(super) fn kind(self, at: usize, findings: &mut ProblemCollector<'_>) -> Option<CheckKind> {
        if !self.named {
            findings.add(at, "[service.check] of type \"script\" needs `script`");
        }
        let args = args_of(self.args, findings);
        Some(CheckKind::Script { script: self.script?.value, args })
    }
}

fn args_of(listed: Option<List<String>>, findings: &mut ProblemCollector<'_>) -> Vec<String> {
    let Some(listed) = listed else { return Vec::new() };
    if listed.items.len() > MAX_ARGS {
        findings.add(listed.at, format!("`args`: at most {MAX_ARGS}"));
    }
    listed.items.into_iter().map(|arg| arg.value).collect()
}

fn arg(text: &str) -> Decoded<String> {
    if is_script_arg(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not an argument: at most {MAX_ARG_BYTES} bytes, no control characters",
        clip(&text.escape_debug().to_string())
    ))
}
