//! Questions to the kernel, and its answers: in a child that has installed a
//! filter of ours below the ones under test.

use std::sync::atomic::Ordering::SeqCst;

use gm_protocol::plan::SockFilter;

use crate::sys::{self, Door, Shared};

/// A call to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) door: Door,
    pub(crate) nr: u32,
    pub(crate) args: [u64; 6],
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It would make it.
    Allow,
    /// It answers this error number.
    Errno(i64),
    /// It sends SIGSYS to the handler.
    Trap,
    /// It ends the process by SIGSYS.
    Kill,
    /// It made the call, past every filter.
    Made,
}

/// Why a question was not answered.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The child could not install its filter of this number, 0 being ours;
    /// -1: it could not get that far.
    Install(i32),
    /// It died of another signal than SIGSYS.
    Signal(i32),
}

/// Our own filter's answer for "nothing above stops it"; no kernel call
/// returns this number, and every layer's errno wins over it, being newer.
const REACHED: u16 = 4095;

/// As many questions as one child is asked.
const BATCH: usize = 4096;

/// The child's exit code where it could not install filter number N.
const NOT_INSTALLED: i32 = 100;

/// Filters as the kernel takes them, ours first.
pub(crate) struct Filters(Vec<Vec<libc::sock_filter>>);

impl Filters {
    /// Puts our own filter below `layers`.
    pub(crate) fn new<'a>(layers: impl IntoIterator<Item = &'a [SockFilter]>) -> Self {
        let as_kernel = |layer: &[SockFilter]| {
            let ops = layer.iter().map(|op| libc::sock_filter {
                code: op.code,
                jt: op.jt,
                jf: op.jf,
                k: op.k,
            });
            ops.collect()
        };
        let below = [at_our_sites()];
        Self(
            below
                .into_iter()
                .chain(layers.into_iter().map(as_kernel))
                .collect(),
        )
    }
}

/// "Asked from one of our two sites: errno 4095; else allow."
fn at_our_sites() -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let [syscall, int80] = sys::sites().map(|site| {
        let half = |site: u64| u32::try_from(site & 0xffff_ffff).unwrap();
        (half(site), half(site >> 32))
    });
    assert_eq!(syscall.1, int80.1, "the probe's code lies across 4 GiB");
    vec![
        op(LOAD, 0, 0, 12),
        op(JUMP_IF_EQUAL, 0, 3, syscall.1),
        op(LOAD, 0, 0, 8),
        op(JUMP_IF_EQUAL, 2, 0, syscall.0),
        op(JUMP_IF_EQUAL, 1, 0, int80.0),
        op(RETURN, 0, 0, 0x7fff_0000),
        op(RETURN, 0, 0, 0x0005_0000 | u32::from(REACHED)),
    ]
}

/// Asks children, one after the other: each that is killed is followed by one
/// that goes on with the next question.
pub(crate) struct Asker(&'static Shared<BATCH>);

impl Asker {
    pub(crate) fn new() -> Self {
        Self(sys::share().unwrap())
    }

    /// Every answer, in the order of the questions.
    pub(crate) fn ask(
        &self,
        filters: &Filters,
        questions: &[Question],
    ) -> Result<Vec<Answer>, Failed> {
        let mut answers = Vec::new();
        for batch in questions.chunks(BATCH) {
            answers.extend(self.batch(filters, batch)?);
        }
        Ok(answers)
    }

    fn batch(&self, filters: &Filters, batch: &[Question]) -> Result<Vec<Answer>, Failed> {
        let mut answers = Vec::new();
        while answers.len() < batch.len() {
            let first = answers.len();
            let status = sys::in_a_child(|| self.child(filters, batch, first)).unwrap();
            let asked = self.0.at.load(SeqCst);
            for answer in &self.0.answers[first..asked] {
                answers.push(read(answer.load(SeqCst)));
            }
            match (libc::WIFSIGNALED(status), libc::WTERMSIG(status)) {
                (true, libc::SIGSYS) => answers.push(Answer::Kill),
                // How `uretprobe` ends where no probe is.
                (true, libc::SIGILL) => answers.push(Answer::Made),
                (true, signal) => return Err(Failed::Signal(signal)),
                (false, _) if libc::WEXITSTATUS(status) == 0 => {}
                (false, _) => {
                    return Err(Failed::Install(libc::WEXITSTATUS(status) - NOT_INSTALLED));
                }
            }
        }
        Ok(answers)
    }

    /// The child's part: no heap, no lock, and from the first filter on no
    /// call but those that are asked and the last one, `exit_group`, which
    /// every profile allows.
    fn child(&self, filters: &Filters, batch: &[Question], first: usize) -> i32 {
        self.0.at.store(first, SeqCst);
        if sys::prepare().is_err() {
            return NOT_INSTALLED - 1;
        }
        for (filter, number) in filters.0.iter().zip(NOT_INSTALLED..) {
            if sys::install(filter).is_err() {
                return number;
            }
        }
        for (at, question) in batch.iter().enumerate().skip(first) {
            self.0.at.store(at, SeqCst);
            let answer = sys::ask(question.door, question.nr, &question.args);
            self.0.answers[at].store(answer, SeqCst);
        }
        self.0.at.store(batch.len(), SeqCst);
        0
    }
}

fn read(came_back: i64) -> Answer {
    match came_back {
        sys::TRAPPED => Answer::Trap,
        value if value == -i64::from(REACHED) => Answer::Allow,
        value if (-4094..0).contains(&value) => Answer::Errno(-value),
        _ => Answer::Made,
    }
}
