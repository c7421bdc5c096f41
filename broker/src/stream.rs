//! The events of a run, from a repository, a file or a command line, and the
//! graph that goes with them.

use std::os::fd::BorrowedFd;

use gm_manifest::{Code, Hook as ManifestHook, Refusal};
use gm_protocol::plan::Hook;
use serde_json::{Value, json};

use crate::args::broker::RunOptions;
use crate::args::usage;
use crate::config::Config;
use crate::graph::Graph;
use crate::home::Home;
use crate::hub::Event;
use crate::source::{Events, Range, Repository, SourceItem, Walk};

/// The code of every object that can't be read, whatever keeps it from that: to
/// the plugins it is missing.
const MISSING_OBJECT: &str = "source/missing-object";

/// What the source gives next.
#[derive(Debug)]
pub enum Item {
    /// For the hub.
    Event(Event),
    /// An object that can't be read; the fields of a `skipped` record.
    Skipped(Value),
}

/// An open source of events.
pub struct Feed {
    repository: Option<Repository>,
    items: Items,
    seq: u64,
}

enum Items {
    Walk(Box<Walk>),
    Events(Events),
    Given(std::vec::IntoIter<Event>),
}

impl Feed {
    /// Opens what the options name: a file of events, else a repository.
    ///
    /// # Errors
    /// Class `source`.
    pub fn open(config: &Config, options: &RunOptions) -> Result<Self, Refusal> {
        let limit = usize::try_from(config.limits.event.get()).unwrap_or(usize::MAX);
        if let Some(path) = &options.events {
            let repository = named_repository(config, options)?;
            let items = Items::Events(Events::open(path, limit)?);
            return Ok(Self {
                repository,
                items,
                seq: 0,
            });
        }
        let repository = Repository::discover(options.repo.as_deref(), &config.trusted_sources)?;
        let walk = repository.walk(&range(options)?, limit)?;
        Ok(Self {
            repository: Some(repository),
            items: Items::Walk(Box::new(walk)),
            seq: 0,
        })
    }

    /// One command and no other event; on a repository only if the options name
    /// one.
    ///
    /// # Errors
    /// Class `source`; `usage/arguments` if its arguments are too long.
    pub fn of_command(
        config: &Config,
        options: &RunOptions,
        name: &str,
        args: &[String],
    ) -> Result<Self, Refusal> {
        let document = json!({"schema": "gm.command/1", "name": name, "args": args});
        let document = document.to_string().into_bytes();
        let limit = config.limits.event;
        if u64::try_from(document.len()).map_or(true, |len| len > limit.get()) {
            let detail = format!("the arguments are longer than {limit} in all");
            return Err(usage(detail).rule("limits.event"));
        }
        let event = (Hook::Command, Some(name.to_owned()), document);
        Self::given(config, options, vec![event])
    }

    /// These events, each a hook, what it is about, and its document; on a repository
    /// only if the options name one.
    ///
    /// # Errors
    /// Class `source`.
    pub fn given(
        config: &Config,
        options: &RunOptions,
        events: Vec<(Hook, Option<String>, Vec<u8>)>,
    ) -> Result<Self, Refusal> {
        let numbered = (1..).zip(events);
        let events: Vec<Event> = numbered
            .map(|(seq, (hook, subject, document))| Event {
                hook,
                seq,
                subject,
                depth: 0,
                document,
            })
            .collect();
        Ok(Self {
            repository: named_repository(config, options)?,
            items: Items::Given(events.into_iter()),
            seq: 0,
        })
    }

    /// The graph that plugins of this run share.
    ///
    /// # Errors
    /// `source/graph`.
    pub fn open_graph(&self, home: &Home, options: &RunOptions) -> Result<Graph, Refusal> {
        match (&options.graph, &self.repository) {
            (Some(file), _) => Graph::open(file),
            (None, Some(repository)) => {
                Graph::open(&home.graph()?.path().join(repository.graph_file_name()))
            }
            (None, None) => Graph::in_memory(),
        }
    }

    /// The repository, if there is one.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// How many commits there will be; unknown for a file of events, and for given ones.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match &self.items {
            Items::Walk(walk) => Some(walk.total()),
            Items::Events(_) | Items::Given(_) => None,
        }
    }

    /// The repository as `init` tells it; null without one.
    #[must_use]
    pub fn facts(&self) -> Value {
        let Some(repository) = &self.repository else {
            return Value::Null;
        };
        let facts = repository.facts();
        json!({
            "object_format": facts.object_format,
            "bare": facts.bare,
            "shallow": facts.shallow,
            "head": facts.head,
        })
    }

    /// Ends the events once `enough` is readable.
    ///
    /// # Errors
    /// `internal/panic`: no descriptor is left.
    pub fn until(&mut self, enough: BorrowedFd<'_>) -> Result<(), Refusal> {
        if let Items::Events(events) = &mut self.items {
            let enough = enough.try_clone_to_owned();
            events.until(
                enough.map_err(|error| Refusal::new(Code::InternalPanic, error.to_string()))?,
            );
        }
        Ok(())
    }

    /// The next item.
    ///
    /// # Errors
    /// `source/bad-event`; nothing more comes then.
    pub fn next_item(&mut self) -> Option<Result<Item, Refusal>> {
        let event = match &mut self.items {
            Items::Given(events) => return events.next().map(|event| Ok(Item::Event(event))),
            Items::Walk(walk) => match walk.next()? {
                SourceItem::Skipped { object, detail } => {
                    let fields =
                        json!({"subject": object, "code": MISSING_OBJECT, "detail": detail});
                    return Some(Ok(Item::Skipped(fields)));
                }
                SourceItem::Commit(commit) => {
                    (Hook::OnCommitAnalyzed, Some(commit.id), commit.json)
                }
            },
            Items::Events(events) => match events.next()? {
                Err(refusal) => return Some(Err(refusal)),
                Ok(event) => match hook_of(event.hook) {
                    Ok(hook) => (hook, None, event.data),
                    Err(refusal) => return Some(Err(refusal)),
                },
            },
        };
        let (hook, subject, document) = event;
        self.seq += 1;
        let document = document.into_bytes();
        Some(Ok(Item::Event(Event {
            hook,
            seq: self.seq,
            subject,
            depth: 0,
            document,
        })))
    }
}

/// The repository that the options name, if they name one.
fn named_repository(config: &Config, options: &RunOptions) -> Result<Option<Repository>, Refusal> {
    let repo = options.repo.as_deref();
    repo.map(|repo| Repository::discover(Some(repo), &config.trusted_sources))
        .transpose()
}

fn range(options: &RunOptions) -> Result<Range, Refusal> {
    match (&options.range, options.last) {
        (Some(range), _) => Range::parse(range),
        (None, Some(last)) => Ok(Range::Last(last)),
        (None, None) => Ok(Range::All),
    }
}

/// A manifest's hook as the link has it.
///
/// # Errors
/// `usage/arguments` for a hook that this version doesn't call.
pub fn hook_of(hook: ManifestHook) -> Result<Hook, Refusal> {
    let name = hook.as_str();
    Hook::from_name(name).ok_or_else(|| usage(format!("this version does not call {name}")))
}
