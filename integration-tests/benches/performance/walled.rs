//! A process of the benchmark in the broker's place: the broker's own library
//! from the session to the walled plugin. It gives up its privileges as the
//! broker does, and can do so only once.

use std::os::fd::AsFd;
use std::path::Path;

use gm_broker::args::broker::RunOptions;
use gm_broker::config::Config;
use gm_broker::ending::Cause;
use gm_broker::files::Surroundings;
use gm_broker::home::{self, Home};
use gm_broker::host_api::HostApi;
use gm_broker::hub::Event;
use gm_broker::instance::Guest;
use gm_broker::prepare::Preparer;
use gm_broker::process::{Order, Process};
use gm_broker::session::Session;
use gm_broker::stream::Feed;
use gm_broker::supervise::Hosted;
use gm_manifest::PluginId;
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::orders::{FdKind, Stage};
use gm_protocol::plan::{Engine, Hook, Level};

use crate::link::{BUDGET, soon};

/// A home with a live session.
pub(crate) struct Host {
    home: Home,
    config: Config,
    session: Session,
}

impl Host {
    /// Call it once, from the main thread.
    pub(crate) fn begin(path: &Path) -> Self {
        let (home, config) = home::open(path).unwrap();
        let session = Session::begin(&home, &config).unwrap();
        let level = session.level(&config, Some(Level::L4)).unwrap();
        assert_eq!(level, Level::L4, "all walls or no figure");
        Self {
            home,
            config,
            session,
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn preparer(&self) -> Preparer<'_> {
        Preparer::open(&self.home, &self.config, self.session.launcher(), false).unwrap()
    }

    pub(crate) fn end(self) {
        self.session.end();
    }

    /// Order, walls and code: all that the product does until it can call.
    /// `checked` = with the last look at trust in between.
    pub(crate) fn start<'a>(
        &'a self,
        hosted: &'a Hosted,
        checked: Option<&Preparer<'_>>,
    ) -> Process<'a> {
        let order = Order {
            engine: Engine::Wasm,
            limits: hosted.walls.limits.clone(),
            fds: vec![(FdKind::Code, hosted.code.as_fd())],
            mounted: hosted.walls.mounted,
            assets: &[],
            budget: BUDGET,
            wake: None,
        };
        let launcher = self.session.launcher();
        let mut process = Process::start(launcher, order).unwrap();
        if let Some(preparer) = checked {
            let started = &process.child.started;
            let groups = launcher.groups_of(started);
            let guest = Guest::new(&hosted.identity, started.pid, groups);
            self.session.instance().started(guest).unwrap();
            preparer.still_allows(hosted).unwrap();
        }
        process.wall_in(hosted.walls.setup.clone()).unwrap();
        let loaded = process.recv(soon()).unwrap();
        assert!(matches!(loaded, FromRunner::Loaded { .. }), "{loaded:?}");
        let _ = process.look(Stage::Loaded).unwrap();
        process
    }
}

/// A plugin that is ready to be started.
pub(crate) fn prepared(host: &Host, preparer: &Preparer<'_>, id: &str) -> Hosted {
    let id = PluginId::parse(id).unwrap();
    // No event comes from here: each is put together by its measurement.
    let nothing = RunOptions {
        events: Some("/dev/null".into()),
        ..RunOptions::default()
    };
    let feed = Feed::open(&host.config, &nothing).unwrap();
    let around = Surroundings::of(feed.repository(), host.home.path());
    preparer.prepare(&id, &[], &feed, &around).unwrap()
}

/// Ends it as a run does.
pub(crate) fn stop(mut process: Process<'_>) {
    process.send(&ToRunner::Stop, &[], soon()).unwrap();
    let _ = process.end(Cause::Stopped);
}

/// Calls its hook with a document, as `Life::exchange` does; the answer's length.
pub(crate) fn call(
    process: &mut Process<'_>,
    number: u32,
    event: &Event,
    api: Option<&mut HostApi<'_>>,
) -> usize {
    let wait = process.until(std::time::Duration::from_secs(20));
    let (bytes, more) = head(&event.document);
    let call = ToRunner::Call {
        call: number,
        hook: event.hook,
        more,
        bytes,
    };
    process.send(&call, &event.document, wait).unwrap();
    let mut message = process.recv(wait).unwrap();
    if let Some(api) = api {
        message = asked(process, message, event, api);
    }
    match message {
        FromRunner::Done {
            call,
            status: 0,
            bytes,
            ..
        } if call == number => bytes.len(),
        other => panic!("not an answer: {other:?}"),
    }
}

/// Answers one host call; gives what came next.
fn asked(
    process: &mut Process<'_>,
    message: FromRunner,
    event: &Event,
    api: &mut HostApi<'_>,
) -> FromRunner {
    let FromRunner::Host {
        id,
        op,
        level,
        first,
        bytes,
        ..
    } = message
    else {
        panic!("not a host call: {message:?}")
    };
    let mut open = api.open(event, Some(event.seq));
    open.expect_id(id).unwrap();
    let (a, b) = bytes.split_at(usize::try_from(first).unwrap());
    let (status, result) = api.answer(&mut open, op, level, a, b).unwrap();
    assert!(status > 0, "the host call was refused: {status}");
    let (bytes, more) = head(&result);
    let done = ToRunner::HostDone {
        id,
        status,
        more,
        bytes,
    };
    process.send(&done, &result, soon()).unwrap();
    let next = process.recv(soon()).unwrap();
    api.close(&open);
    api.commit(open).unwrap();
    next
}

/// An event of exactly 64 bytes.
pub(crate) fn event() -> Event {
    let document = format!("{{\"text\":\"{}\"}}", "x".repeat(53));
    assert_eq!(document.len(), 64);
    Event {
        hook: Hook::OnCommitAnalyzed,
        seq: 1,
        subject: None,
        depth: 0,
        document: document.into_bytes(),
    }
}
