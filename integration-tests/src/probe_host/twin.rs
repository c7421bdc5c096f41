//! The twin: the shipped engine with honest code of ours, behind the same walls. Walls
//! that stop it, too, stop everything.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::time::Instant;

use gm_protocol::link::{self, LinkError};
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::orders::WaitStatus;
use gm_protocol::plan::{FD_CODE, FD_LINK, FD_OUTPUT, Hook, Reach, ReachHost, Role};
use gm_sandbox_runner::apart::Without;
use gm_sandbox_runner::launcher::apart::{Apart, Order, landlock_abi};

use super::command::{Filters, Request};
use super::start::{Failed, Started, WALL, instance, memfd};
use super::walls::{Paths, Profile, Walls};
use crate::probes;

/// Sorts, grows and answers: what honest code does.
const LUA: &str = "function on_commit_analyzed(event)
local list = {}
for i = 1, 20000 do list[i] = (i * 7919) % 10007 end
table.sort(list)
end";
const JS: &str = "export function on_commit_analyzed(event) {
const list = [];
for (let i = 0; i < 20000; i++) list.push((i * 7919) % 10007);
list.sort((a, b) => a - b);
Math.random(); new Date();
}";
const WASM: &str = r#"(module
(memory (export "memory") 1)
(func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
(func (export "on_commit_analyzed") (param i32 i32) (result i32)
  (if (result i32) (i32.lt_s (memory.grow (i32.const 16)) (i32.const 0))
    (then (i32.const 1)) (else (i32.const 0)))))"#;
const EVENT: &[u8] = b"{\"args\":[]}";
/// How long a request may wait for a server that never answers, in milliseconds.
const PATIENCE: u32 = 300;

/// Runs it; what became of it, in words that are the same each time.
pub(super) fn run(request: &Request, walls: &Walls, abi: u32) -> Result<String, Failed> {
    let deadline = Instant::now() + request.limit;
    let hook = match request.profile {
        Profile::Native => Hook::Command,
        _ => Hook::OnCommitAnalyzed,
    };
    let code = code(request.profile, deadline)?;
    let bytes = code.metadata().map_err(Failed::broken)?.len();
    let output = memfd(b"", false)?;
    let (ours, theirs) = link::pair().map_err(Failed::broken)?;
    let mut fds = vec![(FD_LINK, theirs.as_fd())];
    match request.profile {
        Profile::Lua | Profile::Js => fds.push((FD_CODE, code.as_fd())),
        Profile::Compile => fds.extend([(FD_CODE, code.as_fd()), (FD_OUTPUT, output.as_fd())]),
        _ => {}
    }
    let mut apart = Apart::open(&instance()?)?;
    let living = apart.start(Order {
        engine: request.profile.engine(),
        limits: &walls.limits,
        own: None,
        fds,
        code: Some((code.as_fd(), bytes)),
        granted: None,
        without: request.without,
        changes: &request.changes,
    })?;
    drop(theirs);
    let mut started = Started::new(ours, living, deadline);
    // It takes connections, and nobody reads from them.
    let server = TcpListener::bind("127.0.0.1:0").map_err(Failed::broken)?;
    let port = server.local_addr().map_err(Failed::broken)?.port();
    let walls = with_server(with_hook(walls, hook), port);
    let talked = match started.wall_in(request, &walls, abi) {
        Ok(()) => talk(&mut started, request.profile, hook, port),
        // Which of a mutant's filters the engine's own start fails at is no matter.
        Err(failed) if request.filters != Filters::Own && failed.exit == WALL => {
            format!("not walled in ({})", failed.why)
        }
        Err(failed) => return Err(failed),
    };
    let status = finish(started, deadline)?;
    Ok(format!("{talked} {status}"))
}

/// The code that is run: of WASM its artifact, which the compiler's twin makes.
fn code(profile: Profile, deadline: Instant) -> Result<File, Failed> {
    match profile {
        Profile::Lua => memfd(LUA.as_bytes(), true),
        Profile::Js => memfd(JS.as_bytes(), true),
        Profile::Native => memfd(probes::SHARED, true),
        // This binary, as a program: see `program`.
        Profile::Program => memfd(
            &std::fs::read("/proc/self/exe").map_err(Failed::broken)?,
            true,
        ),
        Profile::Compile => memfd(&module()?, true),
        Profile::Http => memfd(b"", true),
        Profile::Wasm => compiled(deadline),
    }
}

fn module() -> Result<Vec<u8>, Failed> {
    wat::parse_str(WASM).map_err(Failed::broken)
}

fn compiled(deadline: Instant) -> Result<File, Failed> {
    let abi = landlock_abi().min(gm_protocol::plan::LANDLOCK_NEWEST);
    let walls = Walls::of(Profile::Compile, Paths::default(), abi).map_err(Failed::broken)?;
    let walls = with_hook(&walls, Hook::OnCommitAnalyzed);
    let request = Request {
        profile: Profile::Compile,
        without: Without::NOTHING,
        changes: Vec::new(),
        filters: Filters::Own,
        limit: std::time::Duration::from_secs(60),
        words: Vec::new(),
    };
    let module = memfd(&module()?, true)?;
    let mut output = memfd(b"", false)?;
    let (ours, theirs) = link::pair().map_err(Failed::broken)?;
    let mut apart = Apart::open(&instance()?)?;
    let living = apart.start(Order {
        engine: request.profile.engine(),
        limits: &walls.limits,
        own: None,
        fds: vec![
            (FD_LINK, theirs.as_fd()),
            (FD_CODE, module.as_fd()),
            (FD_OUTPUT, output.as_fd()),
        ],
        code: None,
        granted: None,
        without: Without::NOTHING,
        changes: &[],
    })?;
    drop(theirs);
    let mut started = Started::new(ours, living, deadline);
    started.wall_in(&request, &walls, abi)?;
    let said = talk(&mut started, Profile::Compile, Hook::OnCommitAnalyzed, 0);
    if said != "compiled" {
        return Err(Failed::broken(format!("the twin's module: {said}")));
    }
    finish(started, deadline)?;
    let mut artifact = Vec::new();
    output.rewind().map_err(Failed::broken)?;
    output.read_to_end(&mut artifact).map_err(Failed::broken)?;
    memfd(&artifact, true)
}

/// The walls, where the task names the hook that the twin has.
fn with_hook(walls: &Walls, hook: Hook) -> Walls {
    let mut role = walls.role.clone();
    match &mut role {
        Role::Plugin(task) => {
            // The engine's own part of the limit is not the plugin's.
            task.memory_bytes /= 2;
            task.hooks = vec![hook];
        }
        Role::Compile(task) => {
            task.hooks = vec![hook];
            task.output_bytes = 64 << 20;
        }
        Role::Http(_) => {}
    }
    Walls {
        filters: walls.filters.clone(),
        landlock: walls.landlock.clone(),
        limits: walls.limits.clone(),
        role,
        running: walls.running,
    }
}

/// The same walls, where a server of ours may be asked.
fn with_server(mut walls: Walls, port: u16) -> Walls {
    if let Role::Http(task) = &mut walls.role {
        let name = "127.0.0.1".to_owned();
        task.reach = Reach::Hosts(vec![ReachHost { name, port }]);
        task.allow_private = vec![([127, 0, 0, 1], port).into()];
    }
    walls
}

fn talk(started: &mut Started, profile: Profile, hook: Hook, port: u16) -> String {
    let said = match profile {
        Profile::Compile => compile(started),
        Profile::Http => fetch(started, port),
        _ => loaded(started).and_then(|()| call(started, hook)),
    };
    said.unwrap_or_else(|other| other)
}

type Said = Result<String, String>;

fn recv(started: &mut Started) -> Result<FromRunner, String> {
    let wait = started.wait();
    started.link.recv(wait).map_err(|error| match error {
        LinkError::Closed => "ended".to_owned(),
        other => format!("broken link: {other}"),
    })
}

fn send(started: &mut Started, message: &ToRunner) -> Result<(), String> {
    let wait = started.wait();
    let sent = started.link.send(message, wait);
    sent.map_err(|_| "ended".to_owned())
}

fn loaded(started: &mut Started) -> Result<(), String> {
    match recv(started)? {
        FromRunner::Loaded { .. } => Ok(()),
        FromRunner::NotLoaded { text } => Err(format!("not loaded: {text}")),
        other => Err(brief(&other)),
    }
}

fn call(started: &mut Started, hook: Hook) -> Said {
    let (bytes, more) = head(EVENT);
    send(
        started,
        &ToRunner::Call {
            call: 1,
            hook,
            more,
            bytes,
        },
    )?;
    let status = match recv(started)? {
        FromRunner::Done { status, .. } => status,
        other => return Err(brief(&other)),
    };
    send(started, &ToRunner::Stop)?;
    Ok(format!("done:{status}"))
}

fn compile(started: &mut Started) -> Said {
    match recv(started)? {
        FromRunner::Compiled { .. } => Ok("compiled".to_owned()),
        FromRunner::Refused(fault) => Err(format!("refused: {:?} {}", fault.kind, fault.detail)),
        other => Err(brief(&other)),
    }
}

fn fetch(started: &mut Started, port: u16) -> Said {
    loaded(started)?;
    let request = format!("{{\"url\":\"http://127.0.0.1:{port}/\"}}");
    let (bytes, more) = head(request.as_bytes());
    send(
        started,
        &ToRunner::Fetch {
            id: 1,
            time_ms: PATIENCE,
            more,
            bytes,
        },
    )?;
    let status = match recv(started)? {
        FromRunner::Fetched { status, .. } => status,
        other => return Err(brief(&other)),
    };
    send(started, &ToRunner::Stop)?;
    Ok(format!("fetched:{status}"))
}

fn brief(message: &FromRunner) -> String {
    match message {
        FromRunner::Last(last) => {
            let text = format!("{last:?}");
            // Arguments hold addresses, which differ each time.
            text.split(", args").next().unwrap_or_default().to_owned()
        }
        other => format!("{other:?}"),
    }
}

/// Its end by itself, or that it had none.
fn finish(started: Started, deadline: Instant) -> Result<String, Failed> {
    let Started {
        link, mut living, ..
    } = started;
    drop(link);
    let died = living.wait(deadline);
    let (status, _) = living.end()?;
    Ok(match (died, status) {
        (false, _) => "timed_out".to_owned(),
        (true, WaitStatus::Exited(status)) => format!("exited:{status}"),
        (true, WaitStatus::Signaled(signal)) => format!("signal:{signal}"),
    })
}
