//! What the kernel says about processes and groups, read from outside, where no
//! plugin can forge it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A process, told from a later one with the same id by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    began: u64,
}

impl Process {
    /// The process with this id, if there is one that isn't dead.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let (state, _, began) = stat(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, began })
    }

    /// Whether it still lives; a zombie doesn't.
    #[must_use]
    pub fn lives(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Its children, their children and so on, as they are now.
    ///
    /// # Panics
    /// If /proc can't be read.
    #[must_use]
    pub fn descendants(self) -> Vec<Self> {
        let listed = std::fs::read_dir("/proc").unwrap();
        let pids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let parents: BTreeMap<u32, u32> =
            pids.filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
        let below = |pid: u32| {
            let mut line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
            line.any(|pid| pid == self.pid)
        };
        let found = parents
            .keys()
            .copied()
            .filter(|pid| *pid != self.pid && below(*pid));
        found.filter_map(Self::find).collect()
    }

    /// The value of a line of /proc/PID/status.
    ///
    /// # Panics
    /// If the process is gone or the line isn't there.
    #[must_use]
    #[track_caller]
    pub fn status(self, name: &str) -> String {
        let text = self.file("status");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .trim()
            .to_owned()
    }

    /// A file of /proc/PID.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    #[track_caller]
    pub fn file(self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Where a link of /proc/PID points.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    #[track_caller]
    pub fn link(self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        let target = std::fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        target.to_string_lossy().into_owned()
    }

    /// The number of a namespace, such as `net`.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    #[track_caller]
    pub fn namespace(self, name: &str) -> u64 {
        let link = self.link(&format!("ns/{name}"));
        let digits: String = link.chars().filter(char::is_ascii_digit).collect();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{link} has no number"))
    }

    /// Its descriptors: number and what it is.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    #[track_caller]
    pub fn descriptors(self) -> BTreeMap<u32, String> {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // One that was closed since it was listed is none.
        let seen = names.filter_map(|name| {
            let target = std::fs::read_link(format!("/proc/{}/fd/{name}", self.pid)).ok()?;
            Some((name.parse().unwrap(), target.to_string_lossy().into_owned()))
        });
        seen.collect()
    }

    /// Its mounts: where, file system type, and flags of mount and super block.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    #[track_caller]
    pub fn mounts(self) -> Vec<Mount> {
        self.file("mountinfo").lines().map(Mount::read).collect()
    }

    /// Its group in the hierarchy of a controller, as /proc/PID/cgroup writes it.
    ///
    /// # Panics
    /// If the process is gone or there is no such hierarchy.
    #[must_use]
    #[track_caller]
    pub fn group(self, controller: &str) -> String {
        let text = self.file("cgroup");
        group_in(&text, controller).unwrap_or_else(|| panic!("no {controller} in\n{text}"))
    }
}

/// A line of mountinfo.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where it is, as the process sees it.
    pub target: String,
    /// Its file system's type.
    pub kind: String,
    /// Flags of the mount.
    pub flags: Vec<String>,
    /// What of the file system is mounted.
    root: String,
    /// Options of the file system.
    options: Vec<String>,
}

impl Mount {
    /// Reads a line as proc_pid_mountinfo(5) has it.
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let dash = words.iter().position(|word| *word == "-").unwrap();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Self {
            root: words[3].to_owned(),
            target: words[4].to_owned(),
            flags: list(words[5]),
            kind: words[dash + 1].to_owned(),
            options: list(words[dash + 3]),
        }
    }

    /// Whether the mount has this flag.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }
}

/// The directory of a group that /proc/PID/cgroup names `path`.
///
/// # Panics
/// If the controller's hierarchy is mounted nowhere.
#[must_use]
#[track_caller]
pub fn group_directory(controller: &str, path: &str) -> PathBuf {
    let own = Process::find(std::process::id()).unwrap();
    let mounts = own.mounts();
    let v1 = |mount: &&Mount| {
        mount.kind == "cgroup" && mount.options.iter().any(|name| name == controller)
    };
    let v2 = |mount: &&Mount| mount.kind == "cgroup2";
    let mount = mounts.iter().find(v1).or(mounts.iter().find(v2));
    let mount = mount.unwrap_or_else(|| panic!("{controller} is mounted nowhere"));
    let below = Path::new(path)
        .strip_prefix(&mount.root)
        .unwrap_or(Path::new(path));
    Path::new(&mount.target).join(below.strip_prefix("/").unwrap_or(below))
}

/// The first of these files of a group that is there, as text.
///
/// # Panics
/// If none is.
#[must_use]
#[track_caller]
pub fn group_file(directory: &Path, names: &[&str]) -> String {
    let mut texts = names
        .iter()
        .filter_map(|n| std::fs::read_to_string(directory.join(n)).ok());
    let text = texts
        .next()
        .unwrap_or_else(|| panic!("no {names:?} in {}", directory.display()));
    text.trim().to_owned()
}

/// Waits until `holds`, at most `time`; returns whether it does.
pub fn within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + time;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The path of a controller's line: v1 by name, else v2's only line.
fn group_in(text: &str, controller: &str) -> Option<String> {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.splitn(3, ':').collect())
        .collect();
    let named = lines
        .iter()
        .find(|line| line[1].split(',').any(|name| name == controller));
    let unified = lines.iter().find(|line| line[0] == "0");
    named.or(unified).map(|line| line[2].to_owned())
}

/// State, parent and start time of a process, from /proc/PID/stat.
fn stat(pid: u32) -> Option<(char, u32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so count from its end.
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let state = words.first()?.chars().next()?;
    Some((
        state,
        words.get(1)?.parse().ok()?,
        words.get(19)?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_lives_and_is_its_own_only_self() {
        let own = Process::find(std::process::id()).unwrap();
        assert!(own.lives());
        assert!(
            !Process {
                began: own.began + 1,
                ..own
            }
            .lives()
        );
        assert!(own.descriptors().contains_key(&0));
        assert!(own.mounts().iter().any(|mount| mount.target == "/proc"));
    }

    #[test]
    fn group_of_a_controller_is_its_own_line_or_the_unified_one() {
        let hybrid = "4:memory:/a\n1:cpu,cpuacct:/b\n0::/c\n";
        assert_eq!(group_in(hybrid, "memory").unwrap(), "/a");
        assert_eq!(group_in(hybrid, "cpu").unwrap(), "/b");
        assert_eq!(group_in(hybrid, "pids").unwrap(), "/c");
        assert_eq!(group_in("4:memory:/a\n", "pids"), None);
    }
}
