//! Stands where `gm-run-wasm` should stand. It honestly answers each call with
//! `{"honest":true}`, unless the package's first file is named `act.NAME`: then
//! it does NAME, once, against the broker. In the place of `gm-compile-wasm` it
//! does what the module's bytes name, and never compiles; in that of `gm-http`,
//! what the first granted host names: `act-NAME.example`.
//!
//! It puts up no wall of its own but filters that allow everything, so that it
//! can do what no engine could.

mod acts;
mod peer;

use std::process::ExitCode;

use gm_protocol::message::ToRunner;
use gm_protocol::plan::{Reach, Role};

use peer::Peer;

fn main() -> ExitCode {
    match live() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

fn act_of(reach: &Reach) -> Option<String> {
    let Reach::Hosts(hosts) = reach else {
        return None;
    };
    let name = hosts.first()?.name.strip_suffix(".example")?;
    Some(name.replacen("act-", "act.", 1))
}

/// A runner's life, with an act in it; none = the link is over.
fn live() -> Option<()> {
    let mut peer = Peer::inherit();
    let ToRunner::Setup(setup) = peer.recv()? else {
        return None;
    };
    let named = match setup.role {
        Role::Plugin(task) => task.assets.first().map(|file| file.path.clone()),
        Role::Compile(_) => peer::module(),
        Role::Http(task) => act_of(&task.reach),
    };
    let act = named.as_deref().and_then(|name| name.strip_prefix("act."));
    let act = act.unwrap_or("none");
    acts::before_report(act, &mut peer)?;
    acts::report(act, &mut peer)?;
    let ToRunner::Go = peer.recv()? else {
        return None;
    };
    acts::load(act, &mut peer)?;
    loop {
        match peer.recv()? {
            ToRunner::Call { call, more, .. } => {
                acts::at_call(act, &mut peer, call, more)?;
                peer.skip_parts(more)?;
                peer.done(call, b"{\"honest\":true}")?;
            }
            ToRunner::Fetch { id, more, .. } => {
                peer.skip_parts(more)?;
                acts::at_fetch(act, &mut peer, id)?;
            }
            ToRunner::Stop => return Some(()),
            _ => return None,
        }
    }
}
