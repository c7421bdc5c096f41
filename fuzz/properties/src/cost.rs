//! How long something may take: processor time of this thread, so that a busy
//! machine matters less.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a hypervisor takes from its guest counts as the thread's own time, so that once
/// in some hundred thousand inputs anything is slow. What is slow by itself is so again.
const TRIES: usize = 5;

fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Does the work, and fails if it took longer each time that it was done.
pub(crate) fn within<T>(most: Duration, what: &str, mut work: impl FnMut() -> T) -> T {
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let before = spent();
        let done = work();
        least = least.min(spent() - before);
        if least < most {
            return done;
        }
    }
    panic!("{what} took {least:?}, at most {most:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when so much of the thread's time is gone.
    fn burn(time: Duration) {
        let end = spent() + time;
        while spent() < end {}
    }

    const MOST: Duration = Duration::from_millis(20);

    #[test]
    fn what_is_slow_once_is_done_again() {
        let mut times = 0;
        let slow_once = || {
            times += 1;
            burn(if times == 1 { MOST } else { Duration::ZERO });
        };
        within(MOST, "work", slow_once);
        assert!(times > 1);
    }

    #[test]
    #[should_panic(expected = "work took")]
    fn what_is_always_slow_fails() {
        within(MOST, "work", || burn(MOST));
    }
}
