//! How long something may take: processor time of this thread, so that a busy
//! machine doesn't matter.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Does the work, and fails if it took longer.
pub(crate) fn within<T>(most: Duration, what: &str, work: impl FnOnce() -> T) -> T {
    let before = spent();
    let done = work();
    let took = spent() - before;
    assert!(took < most, "{what} took {took:?}, at most {most:?}");
    done
}
