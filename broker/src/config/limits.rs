//! `[limits]`, `[restart]` and `[isolation]`: what the host itself keeps to.

use gm_manifest::{Bytes, Millis, Refusal};
use gm_policy::Told;
use gm_protocol::plan::Level;

use super::reader::{Item, Section};

/// `[isolation]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// The lowest level that may start anything.
    pub min: Level,
    /// The first host uid for plugins, and how many there are.
    pub uids: (u32, u32),
    /// The control group below which plugins get theirs; `None` is the
    /// broker's own.
    pub cgroup_parent: Option<String>,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            min: Level::L4,
            uids: (1_900_000_000, 4096),
            cgroup_parent: None,
        }
    }
}

impl Isolation {
    pub(super) fn read(section: &mut Section<'_>, to: &mut Self) -> Result<(), Refusal> {
        section.read("min", &mut to.min, |item| {
            Level::from_name(item.text()?).ok_or_else(|| item.refuse("it must be L4, L3 or L2"))
        })?;
        section.read("uids", &mut to.uids, uids)?;
        section.read("cgroup_parent", &mut to.cgroup_parent, cgroup)
    }
}

/// `[first, count]` inside what the kernel takes as a user id.
fn uids(item: Item<'_>) -> Result<(u32, u32), Refusal> {
    const RULE: &str = "it must be [first, count]: first at least 100000, below 2^32 - 1 in all";
    let refused = item.refuse(RULE);
    let items = item.items()?;
    let [first, count] = items.as_slice() else {
        return Err(refused);
    };
    let first = first.number(100_000, u32::MAX - 1)?;
    let count = count.number(1, u32::MAX)?;
    // 2^32 - 1 means "no user" to the kernel.
    match first.checked_add(count) {
        Some(_) => Ok((first, count)),
        None => Err(refused),
    }
}

fn cgroup(item: Item<'_>) -> Result<Option<String>, Refusal> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..") && !segment.contains(|c: char| c.is_control())
    };
    match text.strip_prefix('/') {
        Some(rest) if rest.split('/').all(plain) => Ok(Some(text.to_owned())),
        _ => Err(item.refuse("it must be \"\" or the absolute path of a control group")),
    }
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Plugins running at once.
    pub plugins: u32,
    /// Memory of the parent group that plugins don't get.
    pub reserve: Bytes,
    /// JSON of one event.
    pub event: Bytes,
    /// JSON of one reply or host-call result.
    pub reply: Bytes,
    /// Lines that one plugin may log in a second.
    pub log_lines: u32,
    /// Lines dropped in one run after which a plugin is ended.
    pub log_flood: u32,
    /// Size at which a log is rotated.
    pub log_file: Bytes,
    /// Size of the cache of compiled code.
    pub cache: Bytes,
    /// Wall clock of one compile.
    pub compile_time: Told<Millis>,
    /// Memory of one compile.
    pub compile_memory: Told<Bytes>,
    /// Frames that one plugin may send in a second.
    pub frames: u32,
    /// Bytes that one plugin may send in a second.
    pub bytes: Bytes,
    /// Derived events that one source event may cause.
    pub derived: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plugins: 64,
            reserve: Bytes::mb(256),
            event: Bytes::mb(1),
            reply: Bytes::mb(1),
            log_lines: 200,
            log_flood: 20_000,
            log_file: Bytes::mb(10),
            cache: Bytes::mb(1024),
            compile_time: Told::default(Millis::new(60_000)),
            compile_memory: Told::default(Bytes::mb(512)),
            frames: 20_000,
            bytes: Bytes::mb(64),
            derived: 10_000,
        }
    }
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>, to: &mut Self) -> Result<(), Refusal> {
        let count = |item: Item<'_>| item.number(1, u32::MAX);
        let size = |item: Item<'_>| item.fit(Bytes::parse);
        section.read("plugins", &mut to.plugins, count)?;
        section.read("reserve", &mut to.reserve, size)?;
        section.read("event", &mut to.event, document)?;
        section.read("reply", &mut to.reply, document)?;
        section.read("log_lines", &mut to.log_lines, count)?;
        section.read("log_flood", &mut to.log_flood, count)?;
        section.read("log_file", &mut to.log_file, log_file)?;
        section.read("cache", &mut to.cache, size)?;
        section.read("compile_time", &mut to.compile_time, |item| {
            item.fit_told(Millis::parse)
        })?;
        section.read("compile_memory", &mut to.compile_memory, |item| {
            item.fit_told(Bytes::parse)
        })?;
        section.read("frames", &mut to.frames, count)?;
        section.read("bytes", &mut to.bytes, size)?;
        section.read("derived", &mut to.derived, count)
    }
}

/// A document crosses the link whole, so its size has an end.
fn document(item: Item<'_>) -> Result<Bytes, Refusal> {
    match item.fit(Bytes::parse)? {
        size if size <= Bytes::mb(16) => Ok(size),
        _ => Err(item.refuse("it is at most 16mb")),
    }
}

/// Less than this, and what plugins cause leaves no room for the run's own records.
fn log_file(item: Item<'_>) -> Result<Bytes, Refusal> {
    match item.fit(Bytes::parse)? {
        size if size >= Bytes::mb(1) => Ok(size),
        _ => Err(item.refuse("it is at least 1mb")),
    }
}

/// `[restart]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Restarts of one plugin in one run.
    pub max: u32,
    /// Wait before the first; four times as long before each next one.
    pub backoff: Millis,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            max: 3,
            backoff: Millis::new(100),
        }
    }
}

impl Restart {
    pub(super) fn read(section: &mut Section<'_>, to: &mut Self) -> Result<(), Refusal> {
        section.read("max", &mut to.max, |item| item.number(0, 1000))?;
        section.read("backoff", &mut to.backoff, |item| item.fit(Millis::parse))
    }
}
