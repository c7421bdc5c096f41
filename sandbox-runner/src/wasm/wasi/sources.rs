//! Where time and random bytes come from. Neither needs a system call once the
//! walls are up.
//!
//! The clock is the kernel's coarse one: it is read from memory that the kernel
//! keeps up to date, with no fall-back to a call whatever the machine's clock
//! source is. Its steps of some milliseconds are also too long to time what
//! other processes leave in a cache.

use std::io;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use super::Errno;
use crate::walls::sys;

/// The clocks of WASI by number; those of processor time are not given.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

/// The clock and the random bytes of one process.
#[derive(Debug)]
pub(in crate::wasm) struct Sources {
    /// `None` where the kernel shares no clock: each question is a call then.
    begun: Option<u64>,
    step: u64,
    random: ChaCha20Rng,
}

impl Sources {
    /// Before the walls: here the kernel is asked for the seed.
    pub(in crate::wasm) fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        let len = getrandom(&mut seed, GetRandomFlags::empty())?;
        if len != seed.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let begun = sys::kernel_shares_its_clock();
        Ok(Self {
            begun: begun.then(|| nanos(clock_gettime(ClockId::MonotonicCoarse))),
            step: nanos(clock_getres(ClockId::RealtimeCoarse)),
            random: ChaCha20Rng::from_seed(seed),
        })
    }

    /// Nanoseconds of a clock: since 1970, or since this process was made ready.
    pub(super) fn now(&self, clock: u32) -> Result<u64, Errno> {
        let begun = self.begun.ok_or(Errno::NotSupported)?;
        match clock {
            REALTIME => Ok(nanos(clock_gettime(ClockId::RealtimeCoarse))),
            MONOTONIC => {
                let now = nanos(clock_gettime(ClockId::MonotonicCoarse));
                Ok(now.saturating_sub(begun))
            }
            _ => Err(Errno::NotSupported),
        }
    }

    /// The length of one step of a clock, in nanoseconds.
    pub(super) fn resolution(&self, clock: u32) -> Result<u64, Errno> {
        match (clock, self.begun) {
            (REALTIME | MONOTONIC, Some(_)) => Ok(self.step),
            _ => Err(Errno::NotSupported),
        }
    }

    /// Fills all of the bytes.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.random.fill_bytes(bytes);
    }
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_random_bytes_differ() {
        let mut one = Sources::new().unwrap();
        let mut other = Sources::new().unwrap();
        let year_2020 = 1_577_836_800 * 1_000_000_000;
        assert!(one.now(REALTIME).unwrap() > year_2020);
        let before = one.now(MONOTONIC).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let after = one.now(MONOTONIC).unwrap();
        assert!(after > before && after < 10_000_000_000, "{after}");
        assert!((1..=20_000_000).contains(&one.resolution(REALTIME).unwrap()));
        for clock in [2, 3, 4, u32::MAX] {
            assert_eq!(one.now(clock), Err(Errno::NotSupported));
            assert_eq!(one.resolution(clock), Err(Errno::NotSupported));
        }
        let (mut a, mut b, mut c) = ([0; 32], [0; 32], [0; 32]);
        one.fill(&mut a);
        one.fill(&mut b);
        other.fill(&mut c);
        assert!(a != b && a != c && b != c);
    }
}
