//! Namespaces one by one, what forbids them here, and the trial of all at once.

use gm_protocol::plan::Level;
use gm_protocol::trials::{Miss, Trial};

use super::around::{Wanted, option};
use super::check::Seen;
use super::facts::{Facts, quoted, read};
use super::mend::newer_kernel;
use super::walls::mend;

const USER: &str = "user";

pub(super) fn user(facts: &Facts) -> Seen {
    one(facts, Trial::UserNs, USER, "CONFIG_USER_NS")
}

pub(super) fn mount(facts: &Facts) -> Seen {
    one(facts, Trial::MountNs, "mnt", "CONFIG_NAMESPACES")
}

pub(super) fn pid(facts: &Facts) -> Seen {
    one(facts, Trial::PidNs, "pid", "CONFIG_PID_NS")
}

pub(super) fn net(facts: &Facts) -> Seen {
    one(facts, Trial::NetNs, "net", "CONFIG_NET_NS")
}

pub(super) fn ipc(facts: &Facts) -> Seen {
    one(facts, Trial::IpcNs, "ipc", "CONFIG_IPC_NS")
}

pub(super) fn uts(facts: &Facts) -> Seen {
    one(facts, Trial::UtsNs, "uts", "CONFIG_UTS_NS")
}

fn one(facts: &Facts, what: Trial, kind: &str, option: &str) -> Seen {
    match facts.outcome(what) {
        Ok(found) => Seen::ok(found),
        Err(miss) => {
            let (cause, fix) = cause(facts, kind, &miss, option);
            Seen::gap(format!("{}{cause}", miss.why), fix)
        }
    }
}

/// A tree of one's own, which an initramfs as root or a security module may refuse.
pub(super) fn tree(facts: &Facts) -> Seen {
    let miss = match facts.outcome(Trial::Tree) {
        Ok(found) => return Seen::ok(found),
        Err(miss) => miss,
    };
    if miss.why.starts_with("pivot_root") && root_is_initial(&facts.mounts) {
        let why = format!(
            "{}: / is the initramfs, which nothing can be put over",
            miss.why
        );
        let fix = "mkdir -p /newroot && mount -t tmpfs none /newroot && cp -ax / /newroot && \
                   exec switch_root /newroot /sbin/init";
        return Seen::gap(why, fix);
    }
    let (cause, fix) = cause(facts, "mnt", &miss, "CONFIG_TMPFS");
    Seen::gap(format!("{}{cause}", miss.why), fix)
}

fn root_is_initial(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let at_root = line.split(' ').nth(4) == Some("/");
        at_root && line.contains(" - rootfs ")
    })
}

/// Who forbids it, and what lets it be made.
fn cause(facts: &Facts, kind: &str, miss: &Miss, needs: &str) -> (String, String) {
    let kinds: &[&str] = match kind {
        USER => &[USER],
        _ => &[kind, USER],
    };
    for kind in kinds {
        let name = format!("user.max_{kind}_namespaces");
        if sysctl(&name).as_deref() == Some("0") {
            let fix = facts.as_root(&format!("sysctl -w {name}=15000"));
            return (format!(" ({name} = 0)"), fix);
        }
    }
    let debians = "kernel.unprivileged_userns_clone";
    if !facts.is_root() && sysctl(debians).as_deref() == Some("0") {
        let fix = facts.as_root(&format!("sysctl -w {debians}=1"));
        return (format!(" ({debians} = 0)"), fix);
    }
    let apparmor = "kernel.apparmor_restrict_unprivileged_userns";
    if !facts.is_root() && sysctl(apparmor).as_deref() == Some("1") {
        return (format!(" ({apparmor} = 1)"), profile(facts));
    }
    if let Some(kind) = facts.around.container {
        return (format!(" (in {kind})"), option(kind, Wanted::Calls));
    }
    if miss.errno == libc::EINVAL && facts.around.filters == 0 {
        return (String::new(), newer_kernel(facts, needs));
    }
    (String::new(), mend(facts, miss, needs))
}

fn sysctl(name: &str) -> Option<String> {
    read(format!("/proc/sys/{}", name.replace('.', "/")))
}

/// A profile for the one binary that needs namespaces, rather than none for anybody.
fn profile(facts: &Facts) -> String {
    let launcher = facts.binaries.join("gm-launcher");
    let path = quoted(&launcher);
    let path = path.trim_matches('\'');
    format!(
        "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile gm-launcher \"{path}\" \
         flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/gm-launcher && \
         sudo apparmor_parser -r /etc/apparmor.d/gm-launcher"
    )
}

/// The trial that decides: one child with everything, as a run makes it.
pub(super) fn child(facts: &Facts) -> Seen {
    match &facts.host {
        Ok(host) if host.level >= Level::L3 => {
            Seen::ok("a child with every namespace, id map, mount and limit was made")
        }
        Ok(host) => {
            let why: Vec<&str> = host
                .gaps
                .iter()
                .filter_map(|gap| gap.strip_prefix("L3: "))
                .collect();
            let why = why.join("; ");
            let fix = child_fix(facts, &why);
            Seen::gap(why, fix)
        }
        Err(refusal) if refusal.code.class() == "wall" => {
            Seen::gap(&*refusal.detail, child_fix(facts, &refusal.detail))
        }
        Err(refusal) => Seen::gap(&*refusal.detail, refusal.remedy()),
    }
}

/// What the lines above can't tell.
fn child_fix(facts: &Facts, why: &str) -> String {
    let maps = why.contains("uid_map") || why.contains("gid_map");
    match (maps, facts.around.container) {
        (true, Some("kubernetes")) => {
            "in the pod: securityContext: {capabilities: {add: [SETUID, SETGID]}}".into()
        }
        (true, Some(kind)) => format!("{kind} run --cap-add SETUID --cap-add SETGID …"),
        (true, None) => "start gm-broker with CAP_SETUID and CAP_SETGID (systemd: both in \
                         CapabilityBoundingSet= of its unit)"
            .into(),
        (false, _) => "mend the gaps above, and ask again".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initramfs_is_known_by_its_file_system() {
        assert!(root_is_initial("1 1 0:2 / / rw - rootfs rootfs rw\n"));
        assert!(!root_is_initial(
            "1 1 0:2 / / rw - ext4 /dev/vda rw\n2 1 0:3 / /x rw - rootfs rootfs rw\n"
        ));
    }
}
