//! What holds of every plan: a manifest that asks for more never gets less,
//! one that asks for less never gets more, and lists that are empty or missing
//! grant nothing.

use std::collections::{BTreeMap, BTreeSet};

use gm_manifest::{Code, HostPermission, Manifest};
use gm_policy::Plan;
use proptest::prelude::*;
use serde_json::Value;

use crate::shown::{lines, plan};

const HEAD: &str = "[identity]\nplugin_id = \"com.example.a\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"a.wasm\"\n";

fn manifest(permissions: &str) -> String {
    format!("{HEAD}[permissions]\n{permissions}\n")
}

fn quoted(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items
        .into_iter()
        .map(|item| format!("\"{}\"", item.as_ref()))
        .collect();
    format!("[{}]", items.join(", "))
}

/// What a manifest asks for, of what can be asked for at all.
#[derive(Clone, Debug)]
struct Asked {
    host_api: Vec<HostPermission>,
    memory_mb: u64,
    time_ms: u64,
    cpu: u64,
    read: Vec<&'static str>,
    write: Vec<&'static str>,
    storage_kb: Option<u64>,
    refused: Vec<&'static str>,
}

impl Asked {
    fn manifest(&self) -> String {
        let host_api = quoted(self.host_api.iter().map(|one| one.as_str()));
        let config = if self.host_api.contains(&HostPermission::ConfigRead) {
            "config = [\"a.*\"]\n"
        } else {
            ""
        };
        let storage = self
            .storage_kb
            .map(|size| format!("storage = \"{size}kb\"\n"))
            .unwrap_or_default();
        manifest(&format!(
            "host_api = {host_api}\n{config}{storage}memory_limit = \"{}mb\"\ntime_limit = \"{}ms\"\ncpu_limit = \"{}%\"\nfilesystem = {{ read = {}, write = {} }}\n{}",
            self.memory_mb,
            self.time_ms,
            self.cpu,
            quoted(&self.read),
            quoted(&self.write),
            self.refused.join("\n"),
        ))
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let never = vec!["network = { hosts = [\"a.example.com:443\"] }"];
    (
        prop::sample::subsequence(HostPermission::ALL.to_vec(), 0..=7),
        16u64..2_000,
        10u64..60_000,
        5u64..=100,
        prop::sample::subsequence(vec!["$REPO/docs", "$REPO/a", "$DATA"], 0..=3),
        prop::sample::subsequence(vec!["$DATA"], 0..=1),
        prop::option::of(1u64..100_000),
        prop::sample::subsequence(never, 0..=1),
    )
        .prop_map(
            |(host_api, memory_mb, time_ms, cpu, read, write, storage_kb, refused)| Asked {
                host_api,
                memory_mb,
                time_ms,
                cpu,
                read,
                write,
                storage_kb,
                refused,
            },
        )
}

/// Everything that a plan lets a process do, as it is shown.
#[derive(Debug, PartialEq)]
struct Authority {
    calls: BTreeSet<String>,
    host_calls: BTreeSet<String>,
    limits: BTreeMap<String, u64>,
    rest: BTreeSet<String>,
}

fn authority(plan: &Plan) -> Authority {
    let mut all = Authority {
        calls: BTreeSet::new(),
        host_calls: BTreeSet::new(),
        limits: BTreeMap::new(),
        rest: BTreeSet::new(),
    };
    for line in lines(plan) {
        let mut line = serde_json::to_value(&line).unwrap();
        let name = line["name"].as_str().unwrap_or_default().to_owned();
        match line["kind"].as_str().unwrap() {
            "rule" => {
                let parts = ["stage", "call", "action", "errno", "when"].map(|key| &line[key]);
                all.calls.insert(serde_json::to_string(&parts).unwrap());
            }
            "host_call" => {
                all.host_calls.insert(name);
            }
            "limit" => {
                all.limits.insert(name, line["value"].as_u64().unwrap());
            }
            "landlock" | "mount" | "fd" | "env" => {
                // The reasons may stand on other lines; sizes are limits.
                line.as_object_mut().unwrap().remove("because");
                let bytes = line.as_object_mut().unwrap().remove("bytes");
                let target = line["target"].as_str().unwrap_or_default().to_owned();
                let bytes = bytes.as_ref().and_then(Value::as_u64);
                all.limits.extend(bytes.map(|bytes| (target, bytes)));
                all.rest.insert(line.to_string());
            }
            "plan" | "refused" | "proof" => {}
            kind => panic!("{kind} is not known here"),
        }
    }
    all
}

/// Whether the second may all that the first may.
fn within(less: &Authority, more: &Authority) -> bool {
    let mut limits = less.limits.iter();
    less.calls.is_subset(&more.calls)
        && less.host_calls.is_subset(&more.host_calls)
        && limits.all(|(name, value)| more.limits.get(name).is_some_and(|more| value <= more))
        && less.rest.is_subset(&more.rest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn asking_for_one_more_group_never_takes_and_asking_for_one_less_never_gives(
        asked in asked(), which in 0usize..7,
    ) {
        let group = HostPermission::ALL[which];
        let (mut with, mut without) = (asked.clone(), asked);
        without.host_api.retain(|one| *one != group);
        with.host_api = without.host_api.clone();
        with.host_api.push(group);
        let (less, more) = (plan(&without.manifest()), plan(&with.manifest()));
        prop_assert!(within(&authority(&less), &authority(&more)));
        // A group is never without effect, and never a system call.
        prop_assert!(!within(&authority(&more), &authority(&less)));
        prop_assert_eq!(authority(&less).calls, authority(&more).calls);
        prop_assert_ne!(less.profile_digest(), more.profile_digest());
    }

    #[test]
    fn asking_for_a_higher_limit_changes_that_limit_alone_and_never_lowers_it(
        asked in asked(), by in 1u64..2_000, which in 0usize..3,
    ) {
        let mut higher = asked.clone();
        let name = match which {
            0 => { higher.memory_mb += by; "memory" }
            1 => { higher.time_ms += by; "time" }
            _ => { higher.cpu = (higher.cpu + by).min(100); "cpu" }
        };
        let (mut less, mut more) = (authority(&plan(&asked.manifest())), authority(&plan(&higher.manifest())));
        prop_assert!(within(&less, &more));
        prop_assert!(less.limits.remove(name) <= more.limits.remove(name));
        // Half of the memory is what `$DATA` may hold.
        prop_assert!(less.limits.remove("/data") <= more.limits.remove("/data"));
        prop_assert_eq!(less, more);
    }

    #[test]
    fn asking_for_a_path_gives_it_and_takes_nothing(asked in asked(), which in 0usize..3) {
        let paths = ["$REPO/docs", "$REPO/a", "$DATA"];
        let mut with = asked.clone();
        with.read = paths.into_iter().filter(|path| asked.read.contains(path) || *path == paths[which]).collect();
        let names = |plan: &Plan| -> BTreeSet<String> {
            let rules = lines(plan).into_iter().filter(|line| line.kind() == "rule");
            let rules = rules.map(|line| serde_json::to_value(line).unwrap());
            rules.map(|line| format!("{} {} {}", line["stage"], line["call"], line["action"])).collect()
        };
        let (less, more) = (plan(&asked.manifest()), plan(&with.manifest()));
        prop_assert!(names(&less).is_subset(&names(&more)));
        prop_assert!(authority(&less).host_calls.is_subset(&authority(&more).host_calls));
        let same = asked.read.contains(&paths[which]) || (which == 2 && !asked.write.is_empty());
        prop_assert_eq!(less.landlock(7).len() == more.landlock(7).len(), same);
    }

    #[test]
    fn asking_for_storage_gives_its_calls_and_no_system_call(asked in asked(), more in 1u64..1000) {
        let mut without = asked.clone();
        without.storage_kb = None;
        let mut with = asked;
        with.storage_kb = Some(more);
        let (less, more) = (plan(&without.manifest()), plan(&with.manifest()));
        prop_assert_ne!(less.profile_digest(), more.profile_digest());
        let (mut less, mut more) = (authority(&less), authority(&more));
        prop_assert!(within(&less, &more));
        prop_assert_eq!(more.limits.remove("storage"), with.storage_kb.map(|size| size * 1024));
        for call in ["storage_get", "storage_list", "storage_set", "storage_delete"] {
            prop_assert!(more.host_calls.remove(call) && !less.host_calls.remove(call));
        }
        prop_assert_eq!(less, more);
    }

    #[test]
    fn asking_for_what_no_plugin_gets_changes_nothing_but_the_refusals(asked in asked()) {
        let mut modest = asked.clone();
        modest.refused.clear();
        let (asked, modest) = (plan(&asked.manifest()), plan(&modest.manifest()));
        prop_assert_eq!(authority(&asked), authority(&modest));
        prop_assert_eq!(asked.profile_digest(), modest.profile_digest());
    }

    #[test]
    fn every_line_is_one_json_object_that_reads_back_the_same(asked in asked()) {
        for line in lines(&plan(&asked.manifest())) {
            let text = serde_json::to_string(&line).unwrap();
            prop_assert!(!text.contains('\n'));
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&back["schema"], "gm.policy/1");
            prop_assert_eq!(&back["kind"], line.kind());
            prop_assert_eq!(back.to_string(), text);
        }
    }

    #[test]
    fn digest_of_a_profile_is_the_same_in_every_run_and_whatever_the_remarks_say(
        asked in asked(), remark in "[ -~]{0,40}", blank in 0usize..5,
    ) {
        let text = asked.manifest();
        let remarked = text.replace("[permissions]\n", &format!("[permissions]\n# {remark}\n{}", "\n".repeat(blank)));
        let (first, again, other) = (plan(&text), plan(&text), plan(&remarked));
        prop_assert_eq!(first.profile_digest(), again.profile_digest());
        prop_assert_eq!(first.profile_digest(), other.profile_digest());
        prop_assert_eq!(first.profile_digest().len(), 64);
    }

    #[test]
    fn order_of_a_list_does_not_matter(asked in asked()) {
        let mut turned = asked.clone();
        turned.host_api.reverse();
        prop_assert_eq!(plan(&asked.manifest()).profile_digest(), plan(&turned.manifest()).profile_digest());
    }
}

/// Each key of a manifest that holds a list, with how it is written.
const LISTS: [(&str, &str, &str); 5] = [
    ("host_api", "host_api = ", ""),
    ("config", "config = ", ""),
    ("filesystem.read", "filesystem = { read = ", " }"),
    ("filesystem.write", "filesystem = { write = ", " }"),
    ("network.hosts", "network = { hosts = ", " }"),
];

#[test]
fn list_that_is_empty_grants_what_a_missing_one_grants_which_is_nothing() {
    let missing = plan(&manifest(""));
    let free: BTreeSet<_> = ["asset_read", "fail", "reply", "result"]
        .map(str::to_owned)
        .into();
    assert_eq!(authority(&missing).host_calls, free);
    for (key, before, after) in LISTS {
        let empty = plan(&manifest(&format!("{before}[]{after}")));
        assert_eq!(authority(&empty), authority(&missing), "{key}");
        assert_eq!(empty.profile_digest(), missing.profile_digest(), "{key}");
        assert!(empty.effective().refused.is_empty(), "{key}");
    }
}

/// The two lists outside `[permissions]`: what is in the package, and what the
/// plugin wants to hear of.
#[test]
fn package_without_files_gets_no_descriptor_for_them() {
    let (missing, listed) = (
        plan(HEAD),
        plan(&format!("{HEAD}files = [\"words.txt\"]\n")),
    );
    for empty in ["files = []\n", "hooks = []\n"] {
        assert_eq!(
            authority(&plan(&format!("{HEAD}{empty}"))),
            authority(&missing),
            "{empty}"
        );
    }
    let more = authority(&listed).rest.len();
    assert_eq!(more, authority(&missing).rest.len() + 1);
    for key in ["files", "hooks"] {
        for value in ["null", "\"\"", "{}", "[\"\"]", "[1]"] {
            let text = format!("{HEAD}{key} = {value}\n");
            let refusal = Manifest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.exit(), 10, "{key} = {value}");
        }
    }
}

#[test]
fn table_without_its_lists_grants_nothing() {
    let missing = plan(&manifest(""));
    for empty in ["filesystem = {}", "filesystem = false", "network = false"] {
        assert_eq!(
            authority(&plan(&manifest(empty))),
            authority(&missing),
            "{empty}"
        );
    }
    assert_eq!(authority(&plan(HEAD)), authority(&missing));
}

#[test]
fn list_that_is_null_or_no_list_of_texts_is_refused_and_not_read_as_empty() {
    for (key, before, after) in LISTS {
        for value in [
            "null",
            "nil",
            "",
            "\"\"",
            "\"nodes:read\"",
            "0",
            "true",
            "{}",
            "[1]",
            "[[]]",
            "[\"\"]",
            "[null]",
        ] {
            let text = manifest(&format!("{before}{value}{after}"));
            let refusal = Manifest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.exit(), 10, "{key} = {value}");
            assert_ne!(refusal.code, Code::InternalProof, "{key} = {value}");
        }
    }
}

#[test]
fn network_table_without_hosts_is_refused_since_it_says_neither_all_nor_none() {
    let text = manifest("network = {}");
    let refusal = Manifest::parse(text.as_bytes()).unwrap_err();
    assert_eq!(refusal.exit(), 10);
}
