//! Makes the requests of one plugin, behind walls of its own, and nothing else.
//!
//! It is in the host's network namespace, so it holds nothing: no file, no code of
//! a plugin, no descriptor but the link. What it says of a server is the server's
//! word, and it may have been subverted by one: the host takes its answers for what
//! they are, bytes for the plugin that asked.

mod address;
mod dns;
mod exchange;
mod fault;
mod fetch;
mod request;
mod socket;
mod target;
#[cfg(test)]
#[cfg(feature = "http-tests")]
mod tests;
mod tls;

use std::time::Duration;

use gm_protocol::link::LinkError;
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::{HttpSetup, Role};
use gm_protocol::runner_end::RunnerEnd;

use crate::walls::{self, Arena, Narrowed, WallError, Walled, begin, last, sys};
use fetch::Client;
use socket::Deadline;
use tls::Tls;

/// The whole life of the process.
pub fn live(arena: &Arena) -> ! {
    // 1. Before the walls: all that makes system calls which no filter allows.
    let tls = prepare(arena).unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let Role::Http(task) = &setup.role else {
        sys::exit_now(last::BROKEN_LINK)
    };
    // 3. to 5. Landlock, filters, report, the host's look, the last filter.
    let narrowed = walls::put_up(&setup, &mut link).and_then(Walled::narrow);
    let narrowed = narrowed.unwrap_or_else(|error| begin::unwalled(&error));
    // 6. Requests, until the host says stop or is gone.
    serve(&narrowed, link, HttpSetup::clone(task), tls)
}

fn prepare(arena: &Arena) -> Result<Tls, WallError> {
    walls::prepare(c"gm-http")?;
    sys::signals::leave_faults()?;
    walls::open_arena(arena, 0)?;
    let tls = Tls::public().map_err(std::io::Error::other)?;
    // The first random number looks for a source, and the first map seeds itself.
    let drawn = tls.random().fill(&mut [0; 1]);
    drawn.map_err(|_| std::io::Error::other("no random numbers"))?;
    let _ = std::collections::HashMap::<(), ()>::new();
    Ok(tls)
}

fn serve(_: &Narrowed, mut link: RunnerEnd, task: HttpSetup, tls: Tls) -> ! {
    let client = Client::new(task, tls);
    let ready = FromRunner::Loaded {
        init: false,
        shutdown: false,
    };
    let mut done = link.send(&ready);
    loop {
        done = match done.and_then(|()| link.recv()) {
            Ok(ToRunner::Fetch {
                id,
                time_ms,
                more,
                bytes,
            }) => {
                let deadline = Deadline::after(Duration::from_millis(time_ms.into()));
                let document = link.recv_parts(bytes, more, client.most_document());
                document.and_then(|document| {
                    let (status, answer) = client.fetch(&document, deadline);
                    fetched(&mut link, id, status, &answer)
                })
            }
            Ok(ToRunner::Stop) | Err(LinkError::Closed) => sys::exit_now(0),
            Ok(_) | Err(_) => sys::exit_now(last::BROKEN_LINK),
        };
    }
}

fn fetched(link: &mut RunnerEnd, id: u32, status: i64, answer: &[u8]) -> Result<(), LinkError> {
    let (bytes, more) = head(answer);
    let first = FromRunner::Fetched {
        id,
        status,
        more,
        bytes,
    };
    link.send_document(&first, answer)
}
