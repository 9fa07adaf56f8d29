//! Commands that are proposed are whole: they name the plan, and can be copied. The cores and the
//! daemon know no paths, so that it is done here, with everything that a verb says.

use std::fs;
use std::path::Path;

use changeover_types::MigrationName;
use serde_json::Value;

use crate::cli::{Global, Verb};

/// Verbs that want a plan.
const VERBS: [&str; 14] = [
    "abort", "apply", "approve", "finish", "gate", "pause", "plan", "rehearse", "resume",
    "rollback", "skip", "status", "stop", "verify",
];

/// What stands for the plan in texts that cannot know it.
const PLACEHOLDERS: [&str; 2] = ["PLAN", "PROGRAM"];

/// What to put behind a verb: the plan as it was given, and where its state is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming(Option<String>);

impl Naming {
    /// Of the migration, or the program, that a verb is about; of others there is nothing to name.
    pub(crate) fn of(verb: &Verb, global: &Global) -> Naming {
        let given = match verb {
            Verb::Apply(args) => &args.plan,
            Verb::Status(args) => &args.which.migration,
            Verb::Pause(args) => &args.which.migration,
            Verb::Skip(args) => &args.which.migration,
            Verb::Approve(args) => &args.which.migration,
            Verb::Rollback(args) => &args.which.migration,
            Verb::Abort(args) => &args.which.migration,
            Verb::Verify(args) | Verb::Resume(args) | Verb::Finish(args) | Verb::Stop(args) => {
                &args.migration
            }
            _ => return Naming(None),
        };
        let mut words = quoted(&plan_of(given, global).unwrap_or(given.display().to_string()));
        if let Some(parent) = &global.state_dir {
            words += &format!(" --state-dir {}", quoted(&parent.display().to_string()));
        }
        Naming(Some(words))
    }

    /// The text with a plan in each of its commands.
    pub(crate) fn text(&self, text: &str) -> String {
        let Some(subject) = self.0.as_deref().filter(|_| text.contains(COMMAND)) else {
            return text.to_owned();
        };
        let mut pieces = text.split(COMMAND);
        let mut named = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            named += COMMAND;
            let end = piece.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(piece.len());
            let (verb, rest) = piece.split_at(end);
            let placeholder = rest
                .strip_prefix(' ')
                .and_then(|rest| PLACEHOLDERS.iter().find_map(|it| rest.strip_prefix(it)));
            let bare = !rest.starts_with(|c: char| c.is_alphanumeric() || "_-.".contains(c))
                && (!rest.starts_with(' ') || rest.starts_with(" --"));
            named += verb;
            match placeholder {
                Some(rest) if VERBS.contains(&verb) => named += &format!(" {subject}{rest}"),
                None if VERBS.contains(&verb) && bare => named += &format!(" {subject}{rest}"),
                _ => named += rest,
            }
        }
        named
    }

    /// The same in every text of a value.
    pub(crate) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.contains(COMMAND) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(field)),
            _ => {}
        }
    }
}

const COMMAND: &str = "changeover ";

/// The plan's file of a migration that was given by its name, as its daemon wrote it down.
fn plan_of(given: &Path, global: &Global) -> Option<String> {
    if given.exists() {
        return None;
    }
    let name = MigrationName::new(given.to_str()?).ok()?;
    let folder = changeover_engine::state_dir(global.state_dir.as_deref(), &name).ok()?;
    fs::read_to_string(folder.join(changeover_engine::PLAN_PATH_FILE)).ok()
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-+=:@%,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming() -> Naming {
        Naming(Some("plan.yaml --state-dir work".to_owned()))
    }

    #[test]
    fn each_command_gets_its_plan_once() {
        let named = |text: &str| naming().text(text);
        let plan = "plan.yaml --state-dir work";
        assert_eq!(named("changeover apply"), format!("changeover apply {plan}"));
        assert_eq!(
            named("stay with `changeover rollback --give-up`, then `changeover finish`."),
            format!(
                "stay with `changeover rollback {plan} --give-up`, then `changeover finish {plan}`."
            )
        );
        assert_eq!(named("changeover stop PLAN"), format!("changeover stop {plan}"));
        for whole in [
            "changeover apply other.yaml",
            "application_name changeover shop",
            "schema changeover is there",
            "changeover applies it",
            "nothing",
        ] {
            assert_eq!(named(whole), whole);
        }
        assert_eq!(Naming::default().text("changeover apply"), "changeover apply");
    }

    #[test]
    fn whatever_a_value_holds_is_named() {
        let mut value = serde_json::json!({"a": ["changeover resume", 1], "b": {"c": "x"}});
        naming().value(&mut value);
        assert_eq!(value["a"][0], "changeover resume plan.yaml --state-dir work");
        assert_eq!(quoted("a plan's.yaml"), r"'a plan'\''s.yaml'");
    }
}
