//! A case as its author writes it: events, settings, and what is to come of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use gm_manifest::Refusal;
use gm_protocol::plan::Hook;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Spanned;

use crate::args::usage;
use crate::plain_file;

/// The most bytes of one case.
const MAX_CASE: u64 = 1 << 20;
/// The most cases of a package.
const MAX_CASES: usize = 1000;

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    /// The file's name.
    pub(super) file: String,
    /// What `config_get` sees.
    pub(super) config: BTreeMap<String, Value>,
    /// Nodes that another plugin has put before.
    pub(super) given_nodes: Vec<Value>,
    /// Edges that another plugin has put before.
    pub(super) given_edges: Vec<Value>,
    /// What the plugin has kept before.
    pub(super) given_storage: BTreeMap<String, String>,
    /// In order.
    pub(super) events: Vec<Event>,
    /// At the end.
    pub(super) expect: Expect,
    /// Where `[expect]` stands.
    pub(super) expect_line: Option<usize>,
}

/// One event, and what is to be answered.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) line: usize,
    pub(super) hook: Hook,
    pub(super) data: Value,
    pub(super) wanted: Wanted,
}

/// What a hook is to answer.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// Anything but an error.
    Ok,
    /// This reply; none if there is none.
    Reply(Option<Value>),
    /// An error that holds this text.
    Error(String),
}

/// What is to be there when the plugin has ended. What is absent is not looked at,
/// but for ending and denials.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How it ended; `finished` if absent.
    pub(super) ending: Option<String>,
    /// A part of what its ending says.
    pub(super) detail: Option<String>,
    /// A part of its report.
    pub(super) report: Option<String>,
    /// All its nodes.
    pub(super) nodes: Option<Vec<Value>>,
    /// All its edges.
    pub(super) edges: Option<Vec<Value>>,
    /// All that it keeps.
    pub(super) storage: Option<BTreeMap<String, Value>>,
    /// All that it emitted, in order.
    pub(super) emitted: Option<Vec<Value>>,
    /// Parts of lines that it logs, in this order; others may stand between them.
    pub(super) log: Option<Vec<String>>,
    /// Calls that are denied, `call` or `call what`. Any other denial fails.
    #[serde(default)]
    pub(super) denied: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    config: BTreeMap<String, Value>,
    #[serde(default)]
    given: Given,
    #[serde(default)]
    event: Vec<Spanned<EventText>>,
    expect: Option<Spanned<Expect>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    nodes: Vec<Value>,
    #[serde(default)]
    edges: Vec<Value>,
    #[serde(default)]
    storage: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText {
    hook: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    data: Option<Map<String, Value>>,
    json: Option<String>,
    commit: Option<Map<String, Value>>,
    reply: Option<Value>,
    error: Option<String>,
}

impl Case {
    /// The events as a run takes them.
    pub(super) fn given_events(&self) -> Vec<(Hook, Option<String>, Vec<u8>)> {
        let events = self.events.iter();
        let given = events.map(|event| {
            let document = event.data.to_string().into_bytes();
            (event.hook, event.command().map(str::to_owned), document)
        });
        given.collect()
    }

    fn parse(file: String, text: &str) -> Result<Self, Refusal> {
        let wrong = |line: Option<usize>, what: &str| {
            let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
            usage(format!("{file}{line}: {what}"))
        };
        let parsed: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            wrong(line, error.message())
        })?;
        if let Some((key, _)) = parsed.config.iter().find(|(_, value)| !is_a_setting(value)) {
            let what = format!("config: {key} is no text, integer, true, false or list of texts");
            return Err(wrong(None, &what));
        }
        if parsed.event.is_empty() && parsed.expect.is_none() {
            return Err(wrong(
                None,
                "it tries nothing: an [[event]] or [expect] is missing",
            ));
        }
        let mut events = Vec::new();
        for (index, event) in parsed.event.into_iter().enumerate() {
            let line = line_of(text, event.span().start);
            let event = event.into_inner().event(line, index);
            events.push(event.map_err(|what| wrong(Some(line), &what))?);
        }
        let expect_line = parsed
            .expect
            .as_ref()
            .map(|expect| line_of(text, expect.span().start));
        Ok(Self {
            config: parsed.config,
            given_nodes: parsed.given.nodes,
            given_edges: parsed.given.edges,
            given_storage: parsed.given.storage,
            events,
            expect: parsed.expect.map(Spanned::into_inner).unwrap_or_default(),
            expect_line,
            file,
        })
    }
}

impl Event {
    /// The command that somebody types, if it is one.
    pub(super) fn command(&self) -> Option<&str> {
        let is_command = self.hook == Hook::Command;
        self.data
            .get("name")
            .and_then(Value::as_str)
            .filter(|_| is_command)
    }
}

impl EventText {
    fn event(self, line: usize, index: usize) -> Result<Event, String> {
        let Self {
            hook,
            command,
            args,
            data,
            json,
            commit,
            reply,
            error,
        } = self;
        let hook = match (hook, &command) {
            (None, Some(_)) => Hook::Command,
            (Some(hook), None) => named_hook(&hook)?,
            _ => return Err("an event has a hook or a command".to_owned()),
        };
        let data = match (command, args, data, json, commit) {
            (Some(name), args, None, None, None) => {
                let args = args.unwrap_or_default();
                json!({"schema": "gm.command/1", "name": name, "args": args})
            }
            (None, None, Some(data), None, None) => Value::Object(data),
            (None, None, None, Some(text), None) => match serde_json::from_str(&text) {
                Ok(Value::Object(data)) => Value::Object(data),
                _ => return Err("json is not one JSON object".to_owned()),
            },
            (None, None, None, None, Some(commit)) if hook == Hook::OnCommitAnalyzed => {
                whole_commit(commit, index)?
            }
            _ => {
                let rule = "an event has one of data, json, and for on_commit_analyzed commit; a command may have args";
                return Err(rule.to_owned());
            }
        };
        let wanted = match (reply, error) {
            (None, None) => Wanted::Ok,
            (Some(Value::Bool(false)), None) => Wanted::Reply(None),
            (Some(Value::Object(reply)), None) => Wanted::Reply(Some(Value::Object(reply))),
            (None, Some(text)) => Wanted::Error(text),
            (Some(_), None) => return Err("reply is a table, or false for none".to_owned()),
            (Some(_), Some(_)) => {
                return Err("an event is answered by a reply or an error".to_owned());
            }
        };
        Ok(Event {
            line,
            hook,
            data,
            wanted,
        })
    }
}

/// One of the hooks that a manifest may list.
fn named_hook(name: &str) -> Result<Hook, String> {
    gm_manifest::Hook::parse(name).map_err(|unfit| unfit.rule().to_owned())?;
    Hook::from_name(name).ok_or_else(|| format!("{name} is never called"))
}

/// A `gm.commit/1` with what the case says of it, and plain values for the rest.
fn whole_commit(said: Map<String, Value>, index: usize) -> Result<Value, String> {
    let person = json!({"name": "Ann Author", "email": "ann@example.com", "time": 1_700_000_000, "offset": 0});
    let files = match said.get("files") {
        None => Vec::new(),
        Some(Value::Array(files)) => files.iter().map(whole_file).collect::<Result<_, _>>()?,
        Some(_) => return Err("files is a list".to_owned()),
    };
    let parents = said
        .get("parents")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let number = index + 1;
    let mut commit = json!({
        "schema": "gm.commit/1",
        "id": format!("{number:040x}"),
        "parents": [],
        "tree": format!("{number:040x}"),
        "merge": parents > 1,
        "boundary": false,
        "author": person,
        "committer": person,
        "message": "a change\n",
        "message_cut": false,
        "files": [],
        "files_total": files.len(),
        "index": number,
        "total": null,
    });
    put_over(&mut commit, said, &["message_base64"])?;
    if let Some(commit) = commit.as_object_mut() {
        commit.insert("files".to_owned(), Value::Array(files));
    }
    Ok(commit)
}

/// A changed file: its path alone, or a table.
fn whole_file(said: &Value) -> Result<Value, String> {
    let mut file = json!({
        "path": "",
        "status": "M",
        "mode": "100644",
        "old_mode": "100644",
        "added": 1,
        "deleted": 1,
        "binary": false,
        "bytes": 100,
        "missing": false,
    });
    match said {
        Value::String(path) => put_over(
            &mut file,
            Map::from_iter([("path".to_owned(), json!(path))]),
            &[],
        )?,
        Value::Object(members) => put_over(&mut file, members.clone(), &["path_base64"])?,
        _ => return Err("a file is its path, or a table".to_owned()),
    }
    Ok(file)
}

/// Replaces members that are there, or may be.
fn put_over(document: &mut Value, said: Map<String, Value>, more: &[&str]) -> Result<(), String> {
    let Some(members) = document.as_object_mut() else {
        return Ok(());
    };
    for (key, value) in said {
        if !members.contains_key(&key) && !more.contains(&key.as_str()) {
            return Err(format!("{key} is no member of that document"));
        }
        match (members.get_mut(&key), value) {
            // A person, of whom not everything needs to be said.
            (Some(person @ Value::Object(_)), Value::Object(new)) => {
                put_over(person, new, &["name_base64", "email_base64"])?;
            }
            (_, value) => {
                members.insert(key, value);
            }
        }
    }
    Ok(())
}

fn is_a_setting(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Bool(_) => true,
        Value::Number(number) => number.is_i64(),
        Value::Array(items) => items.iter().all(Value::is_string),
        Value::Null | Value::Object(_) => false,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.bytes().filter(|byte| *byte == b'\n').count()
}

/// Every `*.toml` of a directory, sorted by name.
pub(super) fn read_all(directory: &Path) -> Result<Vec<Case>, Refusal> {
    let unreadable = |at: &Path, error: std::io::Error| {
        let what = format!("no case could be read from {}: {error}", at.display());
        usage(what).rule("cases are tests/*.toml beside the package's directory, or --cases DIR")
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let entry = entry.map_err(|error| unreadable(directory, error))?;
        if entry.path().extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let name = entry.file_name().into_string();
        names.push(name.map_err(|_| {
            let error = std::io::Error::other("the name of a case is UTF-8");
            unreadable(&entry.path(), error)
        })?);
    }
    if names.is_empty() || names.len() > MAX_CASES {
        let what = format!("{} holds {} cases", directory.display(), names.len());
        return Err(usage(what).rule(format!("1 to {MAX_CASES} files that end in .toml")));
    }
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| {
            let path = directory.join(&name);
            let text = read(&path).map_err(|error| unreadable(&path, error))?;
            Case::parse(name, &text)
        })
        .collect()
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = plain_file::read(path, MAX_CASE + 1)?;
    if bytes.len() as u64 > MAX_CASE {
        return Err(std::io::Error::other("a case has at most 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("a case is UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Case {
        Case::parse("a.toml".to_owned(), text).unwrap()
    }

    #[test]
    fn a_case_reads_as_it_is_written() {
        let case = case(
            "[config]\n\"a.b\" = 7\n\n[given]\nnodes = [{ id = \"n\", kind = \"k\" }]\n\n\
             [[event]]\nhook = \"on_commit_analyzed\"\ncommit = { message = \"m\", files = [\"a\", { path = \"b\", status = \"A\" }], author = { time = 5 } }\nreply = { x = 1 }\n\n\
             [[event]]\nhook = \"on_node_updated\"\njson = '{\"old\":null}'\nerror = \"no\"\n\n\
             [expect]\nending = \"finished\"\nlog = [\"l\"]\n",
        );
        assert_eq!(case.config["a.b"], 7);
        assert_eq!(case.given_nodes, [json!({"id": "n", "kind": "k"})]);
        let first = &case.events[0];
        assert_eq!((first.line, first.hook), (7, Hook::OnCommitAnalyzed));
        assert_eq!(first.data["message"], "m");
        assert_eq!(first.data["files"][0]["path"], "a");
        assert_eq!(first.data["files"][1]["status"], "A");
        assert_eq!(first.data["files_total"], 2);
        assert_eq!(first.data["author"]["time"], 5);
        assert_eq!(first.data["author"]["name"], "Ann Author");
        assert_eq!(first.wanted, Wanted::Reply(Some(json!({"x": 1}))));
        assert_eq!(case.events[1].data, json!({"old": null}));
        assert_eq!(case.events[1].wanted, Wanted::Error("no".to_owned()));
        assert_eq!(case.expect_line, Some(17));
        let given = case.given_events();
        assert_eq!(
            given[1],
            (Hook::OnNodeUpdated, None, b"{\"old\":null}".to_vec())
        );
    }

    #[test]
    fn a_command_is_an_event_too() {
        let text = "[given.storage]\nkey = \"text\"\n[[event]]\ncommand = \"suggest\"\nargs = [\"a\"]\n\
            [[event]]\ncommand = \"all\"\n[expect.storage]\nkey = \"text\"";
        let case = case(text);
        assert_eq!(case.given_storage["key"], "text");
        assert_eq!(case.events[0].command(), Some("suggest"));
        assert_eq!(
            case.events[1].data,
            json!({"schema": "gm.command/1", "name": "all", "args": []})
        );
        assert_eq!(case.expect.storage.unwrap()["key"], "text");
    }

    #[test]
    fn what_is_no_case_is_refused_with_its_line() {
        for (text, line) in [
            ("[expect]\nendings = 1", "line 2"),
            ("x = 1", "line 1"),
            ("[given]\nnode = []", "line 2"),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\ndata = {}\nrepley = {}",
                "line 4",
            ),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\ncommit = { author = { mail = \"x\" } }",
                "line 1",
            ),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\ncommit = { files = [{ paht = \"x\" }] }",
                "line 1",
            ),
            ("[[event]]\nhook = \"on_commit\"\ndata = {}", "line 1"),
            ("[[event]]\nhook = \"on_commit_analyzed\"", "line 1"),
            (
                "\n[[event]]\nhook = \"on_commit_analyzed\"\ndata = {}\njson = '{}'",
                "line 2",
            ),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\njson = '[]'",
                "line 1",
            ),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\ncommit = { mesage = \"x\" }",
                "line 1",
            ),
            (
                "[[event]]\nhook = \"on_node_updated\"\ncommit = {}",
                "line 1",
            ),
            (
                "[[event]]\nhook = \"on_commit_analyzed\"\ndata = {}\nreply = true",
                "line 1",
            ),
            (
                "[[event]]\ncommand = \"x\"\nhook = \"on_node_updated\"\ndata = {}",
                "line 1",
            ),
            ("[[event]]\ncommand = \"x\"\ndata = {}", "line 1"),
            (
                "[[event]]\nhook = \"on_node_updated\"\ndata = {}\nargs = []",
                "line 1",
            ),
            ("[config]\na = { b = 1 }", "config"),
            ("[config]\na = 1.5", "config"),
        ] {
            let refusal = Case::parse("a.toml".to_owned(), text).unwrap_err();
            assert!(refusal.detail.contains(line), "{text}: {refusal}");
            assert_eq!(refusal.exit(), 2);
        }
    }

    #[test]
    fn a_pipe_or_a_flood_in_a_case_s_place_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        );
        made.unwrap();
        let refusal = read_all(dir.path()).unwrap_err();
        assert!(refusal.detail.contains("a.toml"), "{refusal}");
        std::fs::remove_file(&path).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 30).unwrap();
        let refusal = read_all(dir.path()).unwrap_err();
        assert!(refusal.detail.contains("at most 1 MiB"), "{refusal}");
    }
}
