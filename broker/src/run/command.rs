//! `gm plugin run`: one plugin, one call, and its answer as the verb's result.
//!
//! All steps are those of a run; only the source is a command line.

use std::time::Instant;

use gm_manifest::{Code, Manifest, PluginId, Refusal};
use serde_json::{Value, json};

use super::result::Fate;
use super::walk::{self, Hosting};
use super::{Ready, recorder, started};
use crate::args::broker::RunOptions;
use crate::config::Config;
use crate::ending::EndingKind;
use crate::files::Surroundings;
use crate::home::Home;
use crate::output::Output;
use crate::output::escape::one_line;
use crate::prepare::{Preparer, named};
use crate::records::Recorder;
use crate::stream::Feed;
use crate::supervise::{Hosted, Said};

/// What somebody typed.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Whose command.
    pub id: &'a PluginId,
    /// Its name.
    pub name: &'a str,
    /// What it gets.
    pub args: &'a [String],
    /// How it is run.
    pub options: RunOptions,
}

/// The answer to a command, as the contract has it.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    status: Option<i64>,
    text: Option<String>,
    data: Option<Value>,
    error: Option<String>,
}

impl Ready<'_> {
    /// Carries out a command. Gives the exit code.
    ///
    /// # Errors
    /// What was refused before anything was started.
    pub fn command(
        &self,
        home: &Home,
        config: &Config,
        asked: &Asked<'_>,
        output: &mut Output,
    ) -> Result<u8, Refusal> {
        let options = &asked.options;
        let feed = Feed::of_command(config, options, asked.name, asked.args)?;
        let graph = feed.open_graph(home, options)?;
        let launcher = self.session.launcher();
        let preparer = Preparer::open(home, config, launcher, options.hosting.allow_native)?;
        let around = Surroundings::of(feed.repository(), home.path());
        let recorder = recorder(home, config, options, output)?;
        let plugin = match commanded(&preparer, &feed, &around, asked) {
            Ok(plugin) => plugin,
            Err(refusal) => return Ok(recorder.refused(&refusal.plugin(asked.id.as_str()))),
        };
        let ids = [asked.id.clone()];
        recorder.run(
            "run_started",
            started(home, &feed, Some((self.session, self.level)), &ids)?,
        );
        let begun = Instant::now();
        let plugins = [plugin];
        let hub = walk::hub_for(&plugins, config)?;
        let hosting = Hosting {
            session: self.session,
            signals: self.signals,
            home,
            config,
            options,
            is_command: true,
            graph: &graph,
            preparer: &preparer,
            recorder: &recorder,
            hub: &hub,
            plugins: &plugins,
        };
        let answered = |fates: &mut Vec<Fate>| {
            let answer = fates.first_mut().map(Answer::of).unwrap_or_default();
            (answer, fates.first().and_then(|fate| fate.ending))
        };
        let (exit, (answer, ending)) = hosting.to_the_end(feed, Vec::new(), begun, answered)?;
        let [plugin] = &plugins;
        answer.say(&recorder, plugin, asked, (exit, ending));
        Ok(exit)
    }
}

/// The plugin, verified; it has this command.
fn commanded(
    preparer: &Preparer<'_>,
    feed: &Feed,
    around: &Surroundings,
    asked: &Asked<'_>,
) -> Result<Hosted, Refusal> {
    let plugin = preparer.verified(asked.id)?;
    let manifest = plugin.manifest();
    check_name(manifest, asked.name).map_err(|refusal| named(refusal, manifest))?;
    preparer.make_ready(&plugin, &[], feed, around)
}

fn check_name(manifest: &Manifest, name: &str) -> Result<(), Refusal> {
    let names = manifest.commands().iter();
    let names: Vec<_> = names.map(|command| command.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let known = match names.is_empty() {
        true => "its manifest names none".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    let detail = format!("{} has no command {name:?}; {known}", manifest.id());
    Err(Refusal::new(Code::UsageArguments, detail))
}

impl Answer {
    /// Takes what the plugin said; what it asks of the exit code is added to its fate.
    fn of(fate: &mut Fate) -> Self {
        let answer = fate.command.take().map(Self::read).unwrap_or_default();
        fate.exits.push(u8::from(answer.status != Some(0)));
        answer
    }

    fn read(said: Said) -> Self {
        let wrong = |error: &str| Self {
            error: Some(error.to_owned()),
            ..Self::default()
        };
        let mut reply = match said {
            Err(error) => return wrong(&error),
            Ok(Some(Value::Object(reply))) => reply,
            Ok(_) => return wrong("the command gave no reply"),
        };
        let status = reply.get("status").and_then(Value::as_i64);
        let Some(status) = status else {
            return wrong("the command's reply has no status");
        };
        let text = match reply.remove("text") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return wrong("the text of the command's reply is none"),
        };
        Self {
            status: Some(status),
            text,
            data: reply.remove("data"),
            error: None,
        }
    }

    /// The verb's result: for people what the command has to say, for programs all.
    fn say(
        self,
        recorder: &Recorder<'_>,
        plugin: &Hosted,
        asked: &Asked<'_>,
        (exit, ending): (u8, Option<EndingKind>),
    ) {
        let id = &plugin.source.id;
        recorder.say(|output| {
            if let Some(text) = &self.text {
                output.line(text.trim_end());
            } else if let Some(data) = &self.data {
                output.line(&format!("{data:#}"));
            }
            if let Some(error) = &self.error {
                output.warn(&format!("{id} │ {}: {}", asked.name, one_line(error)));
            } else if let Some(status) = self.status.filter(|status| *status != 0) {
                output.note(&format!("{id} │ {}: status {status}", asked.name));
            }
            let done = self.status.is_some() && ending == Some(EndingKind::Finished);
            let result = if done { "ok" } else { "error" };
            let fields = [
                ("plugin", json!(id)),
                ("version", json!(plugin.source.version)),
                ("command", json!(asked.name)),
                ("status", json!(self.status)),
                ("text", json!(self.text)),
                ("data", json!(self.data)),
                ("error", json!(self.error)),
                ("ending", json!(ending.map(|ending| ending.as_str()))),
            ];
            output.ended("plugin run", result, exit, fields);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_without_a_status_is_an_error_and_not_a_success() {
        for reply in [
            None,
            Some(json!({})),
            Some(json!({"text": "done"})),
            Some(json!({"status": "0"})),
            Some(json!({"status": 0.5})),
            Some(json!({"status": 0, "text": 7})),
        ] {
            let answer = Answer::read(Ok(reply.clone()));
            assert_eq!(answer.status, None, "{reply:?}");
            assert!(answer.error.is_some(), "{reply:?}");
        }
        let failed = Answer::read(Err("no".into()));
        assert_eq!((failed.status, failed.error.as_deref()), (None, Some("no")));
    }

    #[test]
    fn a_status_that_is_not_zero_asks_for_exit_1() {
        for (reply, exit) in [
            (json!({"status": 0, "text": "a"}), 0),
            (json!({"status": 3, "data": {"a": 1}}), 1),
            (json!({"status": -1}), 1),
            (json!({}), 1),
        ] {
            let mut fate = Fate {
                command: Some(Ok(Some(reply.clone()))),
                ..Fate::default()
            };
            Answer::of(&mut fate);
            assert_eq!(fate.exits, [exit], "{reply}");
        }
        let mut never = Fate::default();
        Answer::of(&mut never);
        assert_eq!(never.exits, [1], "it was not carried out");
    }

    #[test]
    fn an_unknown_command_is_told_those_that_exist() {
        let manifest = |commands: &str| {
            let text = format!(
                "[identity]\nplugin_id = \"com.x.y\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\n\
                 version = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"a.wasm\"\n{commands}"
            );
            Manifest::parse(text.as_bytes()).unwrap()
        };
        let two = manifest(
            "[[plugin.command]]\nname = \"suggest\"\n[[plugin.command]]\nname = \"list\"\n",
        );
        assert!(check_name(&two, "list").is_ok());
        let refusal = check_name(&two, "lst").unwrap_err();
        assert_eq!(refusal.code, Code::UsageArguments);
        assert!(refusal.detail.ends_with("suggest, list"), "{refusal}");
        let refusal = check_name(&manifest(""), "list").unwrap_err();
        assert!(refusal.detail.ends_with("names none"), "{refusal}");
    }
}
