//! Remedies that differ from one distribution to the next.

use super::around::{Wanted, option};
use super::facts::{Facts, read};

/// Which family of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Debian,
    Ubuntu,
    Fedora,
    Arch,
    Suse,
    Alpine,
    Other,
}

impl System {
    /// As os-release(5) says it.
    pub(super) fn look() -> Self {
        let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        Self::of(&text.unwrap_or_default())
    }

    fn of(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let names = format!("{} {}", value("ID="), value("ID_LIKE="));
        let families = [
            ("ubuntu", Self::Ubuntu),
            ("debian", Self::Debian),
            ("fedora", Self::Fedora),
            ("rhel", Self::Fedora),
            ("arch", Self::Arch),
            ("suse", Self::Suse),
            ("opensuse", Self::Suse),
            ("alpine", Self::Alpine),
        ];
        let found = names.split_whitespace().find_map(|name| {
            let family = families.iter().find(|(known, _)| *known == name);
            family.map(|(_, system)| *system)
        });
        found.unwrap_or(Self::Other)
    }
}

/// A newer kernel; `option` is the build option that it needs.
pub(super) fn newer_kernel(facts: &Facts, option: &str) -> String {
    let command = match facts.system {
        System::Debian => "apt-get install linux-image-amd64 && reboot",
        System::Ubuntu => "apt-get install linux-generic && reboot",
        System::Fedora => "dnf upgrade kernel && reboot",
        System::Arch => "pacman -S linux && reboot",
        System::Suse => "zypper install kernel-default && reboot",
        System::Alpine => "apk add linux-lts && reboot",
        System::Other => return format!("boot a newer kernel, built with {option}"),
    };
    let place = match facts.around.container {
        Some(_) => ", on the container's host",
        None => "",
    };
    format!(
        "{} # a kernel with {option}{place}",
        with_sudo(facts, command)
    )
}

/// Each part of a command line for root.
fn with_sudo(facts: &Facts, command: &str) -> String {
    let parts = command.split(" && ").map(|part| facts.as_root(part));
    parts.collect::<Vec<_>>().join(" && ")
}

/// Another kernel command line.
pub(super) fn kernel_argument(facts: &Facts, argument: &str) -> String {
    let grub = |update: &str| {
        let edit = format!("sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{argument} /' /etc/default/grub");
        with_sudo(facts, &format!("{edit} && {update} && reboot"))
    };
    match facts.system {
        System::Debian | System::Ubuntu => grub("update-grub"),
        System::Fedora => with_sudo(
            facts,
            &format!("grubby --update-kernel=ALL --args={argument} && reboot"),
        ),
        System::Arch | System::Alpine => grub("grub-mkconfig -o /boot/grub/grub.cfg"),
        System::Suse => grub("grub2-mkconfig -o /boot/grub2/grub.cfg"),
        System::Other => format!("boot with {argument} on the kernel's command line"),
    }
}

/// A call that the kernel has, and somebody refuses.
pub(super) fn refused_call(facts: &Facts) -> String {
    match (facts.around.container, facts.around.filters) {
        (Some(kind), _) => option(kind, Wanted::Calls),
        (None, 0) => "journalctl -k --grep='apparmor|audit|lockdown' # it names who refuses".into(),
        (None, _) => {
            "start gm-broker without the seccomp filter round it (systemd: SystemCallFilter= and \
             RestrictNamespaces= of the unit, emptied)"
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_name_or_by_what_it_is_like() {
        for (text, system) in [
            ("ID=debian\n", System::Debian),
            ("NAME=\"x\"\nID=ubuntu\nID_LIKE=debian\n", System::Ubuntu),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", System::Ubuntu),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                System::Fedora,
            ),
            ("ID=arch\n", System::Arch),
            (
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                System::Suse,
            ),
            ("ID=alpine\n", System::Alpine),
            ("ID=unheard-of\n", System::Other),
            ("", System::Other),
        ] {
            assert_eq!(System::of(text), system, "{text}");
        }
    }
}
