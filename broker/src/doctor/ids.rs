//! Whose uid plugins have, and which groups they keep.

use super::check::Seen;
use super::facts::{Facts, read};

/// A uid for each plugin.
pub(super) fn uids(facts: &Facts) -> Seen {
    match &facts.host {
        Ok(host) if !host.uid_shared => {
            let (first, count) = host.uids;
            let found = format!("{count} from {first} on, no account among them");
            if count < 2 {
                return Seen::ok(format!("{found}: one plugin at a time (isolation.uids)"));
            }
            Seen::ok(found)
        }
        Ok(_) => shared(facts),
        Err(_) if !facts.is_root() => shared(facts),
        Err(refusal) if refusal.detail.starts_with("isolation.uids") => {
            let fix = "uids = [1900000000, 4096] in [isolation] of broker.toml";
            Seen::gap(&*refusal.detail, fix)
        }
        Err(_) => Seen::info("not asked: the launcher could not begin"),
    }
}

fn shared(facts: &Facts) -> Seen {
    let uid = facts.uid;
    let names = [uid.to_string(), account(uid).unwrap_or_default()];
    let subordinate = read("/etc/subuid").map_or(0, |text| subordinate(&text, &names));
    let ids = match subordinate {
        0 => "it has no subordinate uids".to_owned(),
        count => format!("its {count} subordinate uids are not used by this version"),
    };
    let found = format!("started by an ordinary user: all plugins share uid {uid}; {ids}");
    let name = account(uid).unwrap_or_else(|| uid.to_string());
    let fix = format!(
        "sudo gm-broker --home {} run # with run_as = \"{name}\" in its broker.toml, and binaries \
         of root's",
        facts.home_text()
    );
    Seen::gap(found, fix)
}

/// Groups that can't be given up without privilege.
pub(super) fn groups(facts: &Facts) -> Seen {
    if facts.is_root() {
        return Seen::ok("every child gives up all of them");
    }
    let own = rustix::process::getegid();
    let kept: Vec<String> = rustix::process::getgroups()
        .unwrap_or_default()
        .into_iter()
        .filter(|gid| *gid != own)
        .map(|gid| gid.as_raw().to_string())
        .collect();
    if kept.is_empty() {
        return Seen::ok("none but the user's own");
    }
    let fix = format!(
        "sudo setpriv --reuid {} --regid {} --clear-groups gm-broker …",
        facts.uid,
        own.as_raw()
    );
    Seen::gap(
        format!(
            "a gid map without privilege keeps them: {}",
            kept.join(", ")
        ),
        fix,
    )
}

fn account(uid: u32) -> Option<String> {
    let account = nix::unistd::User::from_uid(uid.into()).ok()??;
    Some(account.name)
}

/// How many ids subuid(5) gives any of these names.
fn subordinate(text: &str, names: &[String]) -> u64 {
    let counts = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let named = names.iter().any(|one| !one.is_empty() && one == name);
        fields.nth(1).filter(|_| named)?.trim().parse::<u64>().ok()
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_counted_by_name_and_by_number() {
        let text = "anna:100000:65536\n1001:200000:10\nbert:300000:5\nodd\n";
        let names = |number: &str, name: &str| [number.to_owned(), name.to_owned()];
        assert_eq!(subordinate(text, &names("1001", "anna")), 65_546);
        assert_eq!(subordinate(text, &names("7", "")), 0);
    }
}
