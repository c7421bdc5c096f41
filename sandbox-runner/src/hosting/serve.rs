//! Serves the host's calls: one at a time, each document in and one answer out.

use std::ops::DerefMut;

use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::Hook;
use gm_protocol::runner_end::RunnerEnd;

use super::host::Host;
use super::hung_up;
use crate::walls::{last, sys};

/// The status of a hook that was not run.
pub(crate) const NOT_RUN: i32 = -1;
/// The most bytes of an event: the ceiling of the host's own setting.
const MOST_EVENT: usize = 16 << 20;
/// The most bytes of the text that says why code could not be loaded.
const MOST_TEXT: usize = 4096;

/// A plugin that can be called, whatever runs it.
pub(crate) trait Plugin {
    /// Whether it has this hook.
    fn has(&self, hook: Hook) -> bool;
    /// The state behind its calls of the host.
    fn host(&mut self) -> impl DerefMut<Target = Host>;
    /// Runs one hook: its status, and the reply (status 0) or the error's text.
    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>);
    /// Waits until the host says something, for a plugin that must be looked after
    /// meanwhile.
    fn idle(&mut self) {}
    /// Nothing more will be called: the process's exit status.
    fn stop(&mut self) -> i32 {
        0
    }
}

/// Says that the code is loaded and answers calls until the host says stop or
/// is gone. Never returns: the process ends without the calls that an orderly
/// return would make.
pub(crate) fn serve(mut plugin: impl Plugin) -> ! {
    let ready = FromRunner::Loaded {
        init: plugin.has(Hook::Init),
        shutdown: plugin.has(Hook::Shutdown),
    };
    let sent = plugin.host().link().send(&ready);
    sent.unwrap_or_else(|error| hung_up(&error));
    loop {
        plugin.idle();
        let message = plugin.host().link().recv();
        match message.unwrap_or_else(|error| hung_up(&error)) {
            ToRunner::Call {
                call,
                hook,
                more,
                bytes,
            } => answer(&mut plugin, call, hook, more, bytes),
            ToRunner::Stop => sys::exit_now(plugin.stop()),
            ToRunner::Setup(_)
            | ToRunner::Go
            | ToRunner::HostDone { .. }
            | ToRunner::Part { .. }
            | ToRunner::Fetch { .. } => sys::exit_now(last::BROKEN_LINK),
        }
    }
}

fn answer(plugin: &mut impl Plugin, call: u32, hook: Hook, more: bool, bytes: Vec<u8>) {
    let document = plugin.host().link().recv_parts(bytes, more, MOST_EVENT);
    let document = document.unwrap_or_else(|error| hung_up(&error));
    last::new_call();
    let (status, text) = plugin.call(hook, &document);
    let has = text.is_some();
    let text = text.unwrap_or_default();
    let (bytes, more) = head(&text);
    let done = FromRunner::Done {
        call,
        status,
        has,
        more,
        bytes,
    };
    let sent = plugin.host().link().send_document(&done, &text);
    sent.unwrap_or_else(|error| hung_up(&error));
}

/// Ends the process because its code could not be loaded, and says why.
pub(crate) fn not_loaded(link: &mut RunnerEnd, why: &str) -> ! {
    let mut text = why.to_owned();
    text.truncate(text.floor_char_boundary(MOST_TEXT));
    // What the host no longer hears, the exit status still says.
    let _ = link.send(&FromRunner::NotLoaded { text });
    sys::exit_now(last::NOT_LOADED)
}
