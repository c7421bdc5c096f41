//! Hands events to plugins: per plugin in order, one at a time, none twice.
//!
//! The walk of the repository waits while a plugin is far behind or many derived
//! events wait, and plugins may cause no more once too many do: so memory stays
//! bounded. When the source is done, every queue is empty and nobody is
//! in a call (a call may cause derived events), plugins are told to shut down:
//! first those that hear nothing of others, then the others in turn.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gm_protocol::plan::Hook;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::ending::EndingKind;

/// How many source events may wait for one plugin.
const AHEAD: usize = 32;
/// So few are left when a source that waits goes on: woken at every single
/// place it would spend its time on waking up.
const ROOM: usize = AHEAD / 2;
/// So many bytes of derived events may wait before the source does.
const DERIVED_AHEAD: usize = 32 << 20;
/// So many may wait before plugins may cause no more.
const MOST_DERIVED_BYTES: usize = 128 << 20;
/// What an event takes beside its document.
const EVENT_BYTES: usize = 256;
/// Of so many source events the derived ones are counted: many times more than
/// can be under way at once.
const COUNTED: usize = 4096;
/// Hooks that hear of what other plugins do.
const DERIVED: [Hook; 4] = [
    Hook::OnEdgeCreated,
    Hook::OnNodeUpdated,
    Hook::OnNodeAccessed,
    Hook::OnGraphQuery,
];
/// The deepest chain of derived events.
pub const MAX_DEPTH: u8 = 4;

/// One event for plugins.
#[derive(Debug)]
pub struct Event {
    /// Which hook it calls.
    pub hook: Hook,
    /// Number of the source event that it is or that caused it, from 1.
    pub seq: u64,
    /// What it is about, such as a commit id; for records.
    pub subject: Option<String>,
    /// 0 for a source event, else one more than that of its cause.
    pub depth: u8,
    /// The document, JSON text.
    pub document: Vec<u8>,
}

impl Event {
    /// What it counts among the derived events that wait.
    fn derived_bytes(&self) -> usize {
        match self.depth {
            0 => 0,
            _ => self.document.len().saturating_add(EVENT_BYTES),
        }
    }
}

/// What a plugin's thread does next.
#[derive(Debug)]
pub enum Next {
    /// Call the hook; then ask again.
    Event(Arc<Event>),
    /// Call `shutdown`, then stop.
    Shutdown {
        /// The run was interrupted.
        interrupted: bool,
    },
    /// End the process now, with this ending.
    Kill(EndingKind),
    /// The process is dead already.
    Died,
}

#[derive(Debug)]
struct Queue {
    hooks: Vec<Hook>,
    events: VecDeque<Arc<Event>>,
    busy: bool,
    alive: bool,
    stop: Option<EndingKind>,
}

#[derive(Debug, Default)]
struct State {
    queues: Vec<Queue>,
    source_done: bool,
    interrupted: bool,
    /// How many derived events a source event has caused so far, by its number.
    derived: BTreeMap<u64, u64>,
    /// Bytes of the derived events in all queues.
    derived_bytes: usize,
}

/// The queues of all plugins of a run. A plugin is known by its index.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    changed: Condvar,
    most_derived: u64,
    /// One per plugin, readable once it is to be ended at once: ends a wait
    /// on the link, where the condition variable does not reach.
    wakes: Vec<OwnedFd>,
    /// One per plugin, readable once there may be something new for it: its
    /// thread waits for that and for the death of its process.
    bells: Vec<OwnedFd>,
    /// Readable once no event is wanted any more: ends a wait on the source.
    enough: OwnedFd,
}

impl Hub {
    /// A hub for plugins with these hooks. `most_derived` = most events that
    /// one source event may cause in all.
    pub fn new(hooks: Vec<Vec<Hook>>, most_derived: u64) -> std::io::Result<Self> {
        let signal = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let (mut wakes, mut bells, mut queues) = (Vec::new(), Vec::new(), Vec::new());
        for hooks in hooks {
            wakes.push(signal()?);
            bells.push(signal()?);
            queues.push(Queue {
                hooks,
                events: VecDeque::new(),
                busy: true,
                alive: true,
                stop: None,
            });
        }
        Ok(Self {
            state: Mutex::new(State {
                queues,
                ..State::default()
            }),
            changed: Condvar::new(),
            most_derived,
            wakes,
            bells,
            enough: signal()?,
        })
    }

    /// Ends plugin `index` at once, whatever it does.
    pub fn stop(&self, index: usize, ending: EndingKind) {
        let mut state = self.lock();
        if let Some(queue) = state.queues.get_mut(index) {
            queue.stop.get_or_insert(ending);
        }
        if let Some(wake) = self.wakes.get(index) {
            raise(wake);
        }
        self.tell_all();
    }

    /// Ends every plugin at once.
    pub fn stop_all(&self, ending: EndingKind) {
        for index in 0..self.wakes.len() {
            self.stop(index, ending);
        }
    }

    /// How plugin `index` is to be ended, if it is.
    #[must_use]
    pub fn stop_of(&self, index: usize) -> Option<EndingKind> {
        self.lock().queues.get(index).and_then(|queue| queue.stop)
    }

    /// Readable once plugin `index` is to be ended at once.
    #[must_use]
    pub fn wake(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.wakes.get(index).map(AsFd::as_fd)
    }

    /// Readable once no event is wanted any more: nobody is left, or the run is
    /// interrupted.
    #[must_use]
    pub fn enough(&self) -> BorrowedFd<'_> {
        self.enough.as_fd()
    }

    /// Gives a source event to every plugin that hooks it; waits while one of
    /// them is too far behind, or too much that others caused still waits. False =
    /// nobody is left, or the run is interrupted: stop the source.
    pub fn push(&self, event: Event) -> bool {
        let event = Arc::new(event);
        let mut state = self.lock();
        loop {
            if state.interrupted || !state.queues.iter().any(|queue| queue.alive) {
                return false;
            }
            if !state.is_full(event.hook) {
                break;
            }
            state = self.wait(state);
        }
        for (queue, bell) in state.queues.iter_mut().zip(&self.bells) {
            if queue.wants(event.hook) {
                queue.add(&event, bell);
            }
        }
        true
    }

    /// Gives derived events to every other plugin that hooks them. Who asked
    /// [`Hub::room`] before loses none, but for a race with another plugin
    /// that does the same for the same source event: what is over is dropped.
    pub fn push_derived(&self, by: usize, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.lock();
        let State {
            queues,
            derived,
            derived_bytes,
            ..
        } = &mut *state;
        for event in events {
            let caused = derived.entry(event.seq).or_default();
            if *caused >= self.most_derived {
                continue;
            }
            let event = Arc::new(event);
            let mut wanted = false;
            for (index, (queue, bell)) in queues.iter_mut().zip(&self.bells).enumerate() {
                if index != by && queue.wants(event.hook) {
                    *derived_bytes += event.derived_bytes();
                    queue.add(&event, bell);
                    wanted = true;
                }
            }
            *caused += u64::from(wanted);
        }
        while derived.len() > COUNTED {
            derived.pop_first();
        }
    }

    /// How many more events source event `seq` may cause after the `open` ones that
    /// a call will cause when it is committed.
    #[must_use]
    pub fn room(&self, seq: u64, open: u64) -> u64 {
        let state = self.lock();
        if state.derived_bytes > MOST_DERIVED_BYTES {
            return 0;
        }
        let caused = state.derived.get(&seq).copied().unwrap_or(0);
        self.most_derived
            .saturating_sub(caused.saturating_add(open))
    }

    /// Whether another plugin that lives hooks `hook`: else a derived event
    /// need not be made at all.
    #[must_use]
    pub fn wanted(&self, by: usize, hook: Hook) -> bool {
        let state = self.lock();
        let mut others = state
            .queues
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != by);
        others.any(|(_, queue)| queue.wants(hook))
    }

    /// Waits for what plugin `index` does next. `death` is readable once its
    /// process is dead.
    #[must_use]
    pub fn next(&self, index: usize, death: Option<BorrowedFd<'_>>) -> Next {
        loop {
            if let Some(next) = self.due(index) {
                if matches!(next, Next::Shutdown { .. }) {
                    // The others may have waited for this one to be in no call.
                    self.tell_all();
                }
                return next;
            }
            if self.dies_before_a_bell(index, death) {
                return Next::Died;
            }
        }
    }

    /// What plugin `index`, which is in no call, does now, if it need not wait.
    fn due(&self, index: usize) -> Option<Next> {
        let mut state = self.lock();
        let was_busy = match state.queues.get_mut(index) {
            Some(queue) => std::mem::replace(&mut queue.busy, false),
            None => false,
        };
        let (interrupted, quiet) = (state.interrupted, state.is_quiet());
        let queue = state.queues.get_mut(index)?;
        if let Some(ending) = queue.stop {
            return Some(Next::Kill(ending));
        }
        if interrupted {
            return Some(Next::Shutdown { interrupted: true });
        }
        if let Some(event) = queue.events.pop_front() {
            queue.busy = true;
            let room = queue.events.len() == ROOM;
            let before = state.derived_bytes;
            state.derived_bytes = before.saturating_sub(event.derived_bytes());
            if room || (before > DERIVED_AHEAD && state.derived_bytes <= DERIVED_AHEAD) {
                // The source may be waiting for it.
                self.changed.notify_all();
            }
            return Some(Next::Event(event));
        }
        let last = quiet && state.may_shut_down(index);
        if quiet && was_busy && !last {
            // All that the others waited for was that this one is in no call.
            self.tell_all();
        }
        last.then_some(Next::Shutdown { interrupted: false })
    }

    /// Waits until the bell of plugin `index` rings or its process is dead. A
    /// bell that rang since it was last heard ends the wait at once, so that
    /// nothing is missed in between.
    fn dies_before_a_bell(&self, index: usize, death: Option<BorrowedFd<'_>>) -> bool {
        let Some(bell) = self.bells.get(index) else {
            return true;
        };
        let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
        fds.extend(death.map(|death| PollFd::from_borrowed_fd(death, PollFlags::IN)));
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, None);
        let died = fds.get(1).is_some_and(|death| !death.revents().is_empty());
        // Not readable = nothing to take.
        let _ = rustix::io::read(bell, &mut [0; 8]);
        died
    }

    /// Waits before plugin `index` is started anew; false = it must not be.
    #[must_use]
    pub fn pause(&self, index: usize, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.lock();
        loop {
            let stopped = state
                .queues
                .get(index)
                .is_none_or(|queue| queue.stop.is_some());
            if stopped || state.interrupted {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Plugin `index` takes no more events.
    pub fn leave(&self, index: usize) {
        let mut state = self.lock();
        if let Some(queue) = state.queues.get_mut(index) {
            queue.alive = false;
            queue.busy = false;
            let left = std::mem::take(&mut queue.events);
            let bytes: usize = left.iter().map(|event| event.derived_bytes()).sum();
            state.derived_bytes = state.derived_bytes.saturating_sub(bytes);
        }
        if !state.queues.iter().any(|queue| queue.alive) {
            raise(&self.enough);
        }
        self.tell_all();
    }

    /// The source has no more events.
    pub fn source_done(&self) {
        self.lock().source_done = true;
        self.tell_all();
    }

    /// No new event for anybody; plugins are shut down.
    pub fn interrupt(&self) {
        self.lock().interrupted = true;
        raise(&self.enough);
        self.tell_all();
    }

    /// Whether [`Hub::interrupt`] was called.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Something changed: who waits looks again.
    fn tell_all(&self) {
        self.bells.iter().for_each(raise);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(signal: &OwnedFd) {
    // Only a counter at its maximum refuses, and then it is readable.
    let _ = rustix::io::write(signal, &1_u64.to_ne_bytes());
}

impl Queue {
    /// Adds an event, and rings the bell only for who waits: one that is in a
    /// call looks here when it is done.
    fn add(&mut self, event: &Arc<Event>, bell: &OwnedFd) {
        let waits = !self.busy && self.events.is_empty();
        self.events.push_back(Arc::clone(event));
        if waits {
            raise(bell);
        }
    }

    fn wants(&self, hook: Hook) -> bool {
        self.alive && self.hooks.contains(&hook)
    }

    /// Whether it hears of what other plugins do.
    fn listens(&self) -> bool {
        DERIVED.iter().any(|hook| self.hooks.contains(hook))
    }
}

impl State {
    /// Whether a source event for this hook has to wait.
    fn is_full(&self, hook: Hook) -> bool {
        let behind = |queue: &Queue| queue.wants(hook) && queue.events.len() >= AHEAD;
        self.derived_bytes > DERIVED_AHEAD || self.queues.iter().any(behind)
    }

    fn is_quiet(&self) -> bool {
        self.source_done
            && self
                .queues
                .iter()
                .all(|queue| !queue.busy && queue.events.is_empty())
    }

    /// Whether it is the turn of plugin `index` once all is quiet: who listens to
    /// others is shut down after them, one after the other, since `shutdown` may
    /// write to the graph too.
    fn may_shut_down(&self, index: usize) -> bool {
        let mut others = self.queues.iter().enumerate();
        let listens = self.queues.get(index).is_some_and(Queue::listens);
        let before = |(other, queue): (usize, &Queue)| {
            other != index && queue.alive && (!queue.listens() || other < index)
        };
        !listens || !others.any(before)
    }
}

#[cfg(test)]
mod tests;
