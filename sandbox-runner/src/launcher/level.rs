//! Which level this machine gives, judged from what was tried, never from a
//! version number or a setting.

use gm_protocol::orders::{Fault, FaultKind};
use gm_protocol::plan::{Control, Level};

use super::fault::breach;

/// What was found out by trying.
#[derive(Debug)]
pub(crate) struct Tried {
    /// A child with every namespace, id map and mount, up to where exec would be.
    pub(crate) child: Result<(), Fault>,
    /// Children share a uid (and keep its supplementary groups).
    pub(crate) shared: bool,
    /// Memory, processes and cpu could all be limited.
    pub(crate) groups: bool,
    /// Why a group could not.
    pub(crate) group_gaps: Vec<String>,
}

/// The level, and why it isn't a higher one.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) level: Level,
    /// One sentence for each thing that is missing.
    pub(crate) gaps: Vec<String>,
    /// The first wall that a higher level would need.
    lacking: Option<Control>,
}

impl Given {
    /// Judges what was tried.
    pub(crate) fn of(tried: Tried) -> Self {
        let mut gaps = Vec::new();
        let mut lacking = None;
        if !tried.groups {
            gaps.extend(tried.group_gaps.into_iter().map(|gap| format!("L4: {gap}")));
            lacking = Some(Control::CgroupMemory);
        }
        if tried.shared {
            gaps.push("L4: started by an ordinary user, so plugins share its uid and keep its supplementary groups".into());
            lacking = Some(Control::Uid);
        }
        if let Err(fault) = &tried.child {
            gaps.push(format!("L3: a walled child can't be made here: {fault}"));
            lacking = Some(match fault.kind {
                FaultKind::Wall(control) => control,
                _ => Control::UserNs,
            });
        }
        let level = match (&tried.child, lacking) {
            (Err(_), _) => Level::L2,
            (Ok(()), Some(_)) => Level::L3,
            (Ok(()), None) => Level::L4,
        };
        Self {
            level,
            gaps,
            lacking,
        }
    }

    /// Refuses where less is given than asked for. Below L3 nothing is started
    /// at all: without a mount namespace the code has no place to lie.
    pub(crate) fn enough(&self, min: Level) -> Result<(), Fault> {
        let needed = min.max(Level::L3);
        if self.level >= needed {
            return Ok(());
        }
        let why = self.gaps.join("; ");
        let detail = format!(
            "this machine gives {}, {needed} is needed: {why}",
            self.level
        );
        Err(breach(
            self.lacking.unwrap_or(Control::UserNs),
            "level",
            detail,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried() -> Tried {
        Tried {
            child: Ok(()),
            shared: false,
            groups: true,
            group_gaps: Vec::new(),
        }
    }

    #[test]
    fn everything_tried_with_success_is_l4() {
        let given = Given::of(tried());
        assert_eq!((given.level, given.gaps.len()), (Level::L4, 0));
        assert!(given.enough(Level::L4).is_ok());
    }

    #[test]
    fn a_shared_uid_or_a_missing_group_is_l3_at_most() {
        let shared = Given::of(Tried {
            shared: true,
            ..tried()
        });
        assert_eq!(shared.level, Level::L3);
        let gap = vec!["cgroup memory: EACCES".into()];
        let groups = Given::of(Tried {
            groups: false,
            group_gaps: gap,
            ..tried()
        });
        assert_eq!(groups.level, Level::L3);
        let fault = groups.enough(Level::L4).unwrap_err();
        assert!(fault.detail.contains("cgroup memory: EACCES"), "{fault}");
        assert!(groups.enough(Level::L3).is_ok());
    }

    #[test]
    fn nothing_starts_without_namespaces_whatever_the_minimum() {
        for control in [Control::UserNs, Control::Uid] {
            let given = Given::of(Tried {
                child: Err(breach(control, "clone3", "EPERM")),
                ..tried()
            });
            assert_eq!(given.level, Level::L2);
            let fault = given.enough(Level::L2).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Wall(control));
        }
    }
}
