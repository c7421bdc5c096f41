//! The resource limits of a child (`setrlimit(2)`): the one table of them.
//!
//! A limit is only ever lowered here: even root may lack `CAP_SYS_RESOURCE`.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kernel stack guard and engines both count on the usual 8 MiB.
const STACK: u64 = 8 << 20;
/// What a child may map beyond twice its memory limit: the engine's own
/// stacks, its image, its warm-up. The cgroup is the wall; this one catches a
/// runaway where no cgroup is.
const DATA_SLACK: u64 = 64 << 20;

/// What of a child's limits depends on the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Largest file it may write, bytes; 0 = none.
    pub(crate) file_bytes: u64,
    /// Its memory limit, bytes.
    pub(crate) memory_bytes: u64,
    /// Processes; `None` where the uid is shared, since the kernel counts by
    /// uid and would count the operator's own.
    pub(crate) processes: Option<u64>,
    /// Processor time in seconds; only for one-shot processes.
    pub(crate) cpu_seconds: Option<u64>,
}

impl Bounds {
    /// Every limit that is set, with its name in `/proc/PID/limits`.
    pub(crate) fn table(&self) -> Vec<(Resource, &'static str, u64)> {
        let data = self
            .memory_bytes
            .saturating_mul(2)
            .saturating_add(DATA_SLACK);
        let mut table = vec![
            (Resource::Nofile, "Max open files", 64),
            // 0 wouldn't stop a handler that core_pattern pipes to; 1 does (core(5)).
            (Resource::Core, "Max core file size", 1),
            (Resource::Fsize, "Max file size", self.file_bytes),
            (Resource::Stack, "Max stack size", STACK),
            (Resource::Data, "Max data size", data),
            (Resource::Memlock, "Max locked memory", 0),
            (Resource::Msgqueue, "Max msgqueue size", 0),
            (Resource::Sigpending, "Max pending signals", 64),
            (Resource::Rtprio, "Max realtime priority", 0),
            (Resource::Nice, "Max nice priority", 0),
        ];
        table.extend(
            self.processes
                .map(|n| (Resource::Nproc, "Max processes", n)),
        );
        table.extend(self.cpu_seconds.map(|s| (Resource::Cpu, "Max cpu time", s)));
        table
    }

    /// Sets them all on the calling process, soft and hard alike. A hard limit
    /// that is lower already stays.
    pub(crate) fn set(&self) -> Result<(), Errno> {
        Self::set_all(&self.table())
    }

    /// Sets the limits of such a table.
    pub(super) fn set_all(table: &[(Resource, &'static str, u64)]) -> Result<(), Errno> {
        for (resource, _, value) in table {
            let (resource, value) = (*resource, *value);
            let value = match getrlimit(resource).maximum {
                Some(now) => now.min(value),
                None => value,
            };
            setrlimit(
                resource,
                Rlimit {
                    current: Some(value),
                    maximum: Some(value),
                },
            )?;
        }
        Ok(())
    }

    /// The first limit of `limits` (the text of `/proc/PID/limits`) that is
    /// above this table, or isn't there.
    pub(crate) fn breach(&self, limits: &str) -> Option<&'static str> {
        self.table().into_iter().find_map(|(_, name, most)| {
            let held = parse(limits, name).is_some_and(|(soft, hard)| {
                soft.is_some_and(|s| s <= most) && hard.is_some_and(|h| h <= most)
            });
            (!held).then_some(name)
        })
    }
}

/// Soft and hard value of the row `name`; an inner `None` = unlimited.
pub(crate) fn parse(limits: &str, name: &str) -> Option<(Option<u64>, Option<u64>)> {
    let row = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = row.split_whitespace();
    let soft = amount(words.next()?)?;
    let hard = amount(words.next()?)?;
    Some((soft, hard))
}

/// `unlimited` = `Some(None)`; no number at all = `None`.
fn amount(word: &str) -> Option<Option<u64>> {
    match word {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        file_bytes: 0,
        memory_bytes: 32 << 20,
        processes: Some(1),
        cpu_seconds: None,
    };

    fn text(change: impl Fn(&str, u64) -> String) -> String {
        BOUNDS
            .table()
            .iter()
            .map(|(_, name, value)| change(name, *value))
            .collect()
    }

    #[test]
    fn limits_as_set_are_no_breach() {
        let text = text(|name, value| format!("{name:<26}{value:<21}{value:<21}bytes\n"));
        assert_eq!(BOUNDS.breach(&text), None);
    }

    #[test]
    fn a_missing_raised_or_unlimited_row_is_a_breach() {
        assert_eq!(BOUNDS.breach(""), Some("Max open files"));
        let raised = text(|name, value| {
            let hard = if name == "Max core file size" {
                value + 1
            } else {
                value
            };
            format!("{name:<26}{value:<21}{hard:<21}bytes\n")
        });
        assert_eq!(BOUNDS.breach(&raised), Some("Max core file size"));
        let open = text(|name, value| match name {
            "Max data size" => {
                format!("{name:<26}unlimited            unlimited            bytes\n")
            }
            _ => format!("{name:<26}{value:<21}{value:<21}bytes\n"),
        });
        assert_eq!(BOUNDS.breach(&open), Some("Max data size"));
    }

    #[test]
    fn processes_are_not_counted_by_a_shared_uid() {
        let shared = Bounds {
            processes: None,
            ..BOUNDS
        };
        assert!(shared.table().iter().all(|(r, _, _)| *r != Resource::Nproc));
    }
}
