use super::*;
use crate::graph::HostError;
use call::Unwritten;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const LIMIT: usize = 4096;

fn id() -> PluginId {
    PluginId::parse("com.example.a").unwrap()
}

fn open(dir: &Path, quota: u64) -> Storage {
    Storage::open(dir, &id(), quota).unwrap()
}

fn keep(call: Call) {
    let kept = call.commit(|| Ok::<(), Unwritten>(()));
    assert_eq!(kept, Ok(((), Ok(()))));
}

/// Sets one value in a call of its own.
fn put(storage: &Storage, key: &str, value: &str) -> Result<(), HostError> {
    let mut call = storage.begin(LIMIT);
    call.set(key.as_bytes(), value.as_bytes())?;
    keep(call);
    Ok(())
}

fn get(storage: &Storage, key: &str) -> Option<String> {
    let value = storage.begin(LIMIT).get(key.as_bytes());
    value.ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// What the file says that it holds.
fn used(storage: &Storage) -> i64 {
    let connection = storage.0.lock();
    connection
        .query_row("SELECT bytes FROM used", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn what_a_call_kept_is_there_in_the_next_run_and_what_it_dropped_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 100);
    let mut call = storage.begin(LIMIT);
    call.set(b"a", b"1").unwrap();
    call.set(b"b", b"").unwrap();
    assert_eq!(call.get(b"a").unwrap(), b"1");
    assert_eq!(get(&storage, "a"), None, "seen before it was committed");
    keep(call);
    let mut dropped = storage.begin(LIMIT);
    dropped.set(b"a", b"2").unwrap();
    assert_eq!(dropped.delete(b"b"), Ok(true));
    assert_eq!(dropped.get(b"b"), Err(HostError::NotFound));
    drop(dropped);
    drop(storage);
    let storage = open(dir.path(), 100);
    assert_eq!(get(&storage, "a").as_deref(), Some("1"));
    assert_eq!(get(&storage, "b").as_deref(), Some(""));
    assert_eq!(get(&storage, "c"), None);
    assert_eq!(used(&storage), 3);
}

#[test]
fn keys_are_listed_by_prefix_with_the_changes_of_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 1000);
    for key in ["b/2", "a", "b/1", "c", "b"] {
        put(&storage, key, "x").unwrap();
    }
    let mut call = storage.begin(LIMIT);
    assert_eq!(call.list(b"").unwrap(), r#"["a","b","b/1","b/2","c"]"#);
    assert_eq!(call.list(b"b/").unwrap(), r#"["b/1","b/2"]"#);
    assert_eq!(call.list(b"d").unwrap(), "[]");
    call.delete(b"b/1").unwrap();
    call.set("b/\"\u{e4}".as_bytes(), b"").unwrap();
    call.set(b"b/2", b"other").unwrap();
    assert_eq!(call.list(b"b/").unwrap(), "[\"b/\\\"\u{e4}\",\"b/2\"]");
    assert_eq!(call.list(&[b'k'; 257]), Err(HostError::Invalid));
}

#[test]
fn a_result_over_its_cap_is_too_big_and_a_longer_prefix_helps() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 1 << 20);
    let mut call = storage.begin(100);
    for n in 0..30 {
        call.set(format!("k{n:02}").as_bytes(), &[b'x'; 101])
            .unwrap();
    }
    assert_eq!(call.get(b"k00"), Err(HostError::TooBig));
    assert_eq!(call.list(b""), Err(HostError::TooBig));
    assert!(call.list(b"k1").is_ok());
    keep(call);
    assert_eq!(storage.begin(100).list(b"k"), Err(HostError::TooBig));
    assert!(storage.begin(100).list(b"k1").is_ok());
}

#[test]
fn keys_and_values_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 1 << 20);
    let mut call = storage.begin(1 << 20);
    for key in [&b""[..], &[b'k'; 257], b"\xff", b"a\xc3"] {
        assert_eq!(call.get(key), Err(HostError::Invalid));
        assert_eq!(call.set(key, b""), Err(HostError::Invalid));
        assert_eq!(call.delete(key), Err(HostError::Invalid));
    }
    let large = vec![0xff; 64 << 10];
    assert_eq!(call.set(&[b'k'; 256], &large), Ok(()));
    assert_eq!(call.set(b"a\0b", b"\0"), Ok(()));
    assert_eq!(call.get(&[b'k'; 256]).unwrap(), large);
    assert_eq!(
        call.set(b"k", &vec![0; (64 << 10) + 1]),
        Err(HostError::TooBig)
    );
    assert_eq!(call.get(b"k"), Err(HostError::NotFound));
    assert_eq!(call.delete(b"k"), Ok(false));
    keep(call);
    assert_eq!(storage.begin(LIMIT).list(b"a").unwrap(), r#"["a\u0000b"]"#);
}

#[test]
fn the_quota_counts_keys_and_values_and_what_is_over_it_is_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 10);
    assert_eq!(put(&storage, "key", "1234567"), Ok(()));
    assert_eq!(put(&storage, "key", "12345678"), Err(HostError::Quota));
    assert_eq!(put(&storage, "k", ""), Err(HostError::Quota));
    assert_eq!(get(&storage, "key").as_deref(), Some("1234567"));
    let mut call = storage.begin(LIMIT);
    call.delete(b"key").unwrap();
    assert_eq!(call.set(b"a", &[0; 10]), Err(HostError::Quota));
    assert_eq!(call.set(b"a", &[0; 9]), Ok(()));
    assert_eq!(call.set(b"b", b""), Err(HostError::Quota));
    keep(call);
    assert_eq!(used(&storage), 10);
}

#[test]
fn what_is_over_a_lowered_quota_stays_and_can_only_shrink() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path(), 100), "key", &"x".repeat(50)).unwrap();
    let storage = open(dir.path(), 10);
    assert_eq!(put(&storage, "a", ""), Err(HostError::Quota));
    assert_eq!(put(&storage, "key", &"y".repeat(51)), Err(HostError::Quota));
    assert_eq!(put(&storage, "key", &"y".repeat(20)), Ok(()));
    assert_eq!(get(&storage, "key"), Some("y".repeat(20)));
}

#[test]
fn one_call_holds_no_more_than_its_share_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 1 << 40);
    let mut call = storage.begin(LIMIT);
    let value = vec![0; 64 << 10];
    let mut set = 0;
    let refused = loop {
        match call.set(format!("{set}").as_bytes(), &value) {
            Ok(()) => set += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, HostError::Limit);
    assert!((500..512).contains(&set), "{set} values");
    assert_eq!(call.set(b"0", b"small"), Ok(()), "takes less than before");
    assert_eq!(call.set(b"more", &value[..1024]), Ok(()));
}

#[test]
fn what_is_done_meanwhile_decides_whether_the_changes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), 100);
    let mut call = storage.begin(LIMIT);
    call.set(b"a", b"1").unwrap();
    let failed = call.commit(|| Err::<(), _>(Unwritten(HostError::Denied)));
    assert_eq!(failed, Err(Unwritten(HostError::Denied)));
    assert_eq!(get(&storage, "a"), None);
    let mut call = storage.begin(LIMIT);
    call.set(b"a", b"1").unwrap();
    assert_eq!(call.commit(|| Ok::<_, Unwritten>(7)), Ok((7, Ok(()))));
    assert_eq!(get(&storage, "a").as_deref(), Some("1"));
}

#[test]
fn two_runs_share_one_storage_and_its_quota() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path(), 10), open(dir.path(), 10));
    let mut late = other.begin(LIMIT);
    late.set(b"late", b"12345").unwrap();
    put(&one, "first", "12").unwrap();
    assert_eq!(get(&other, "first").as_deref(), Some("12"));
    let mut done = false;
    let refused = late.commit(|| {
        done = true;
        Ok::<(), Unwritten>(())
    });
    assert_eq!(refused, Err(Unwritten(HostError::Quota)));
    assert!(!done, "nothing else was written for a call that is refused");
    assert_eq!(get(&one, "late"), None);
    assert_eq!(used(&one), 7);
}

#[test]
fn each_id_has_a_private_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path(), 100), "a", "1").unwrap();
    let other = PluginId::parse("com.example.b").unwrap();
    let other = Storage::open(dir.path(), &other, 100).unwrap();
    assert_eq!(get(&other, "a"), None);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(names.contains(&"com.example.a.db".to_owned()), "{names:?}");
    assert!(names.contains(&"com.example.b.db".to_owned()), "{names:?}");
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("com.example.a.db");
    let refusal = || Storage::open(dir.path(), &id(), 100).unwrap_err();
    std::fs::write(&path, "my notes\n").unwrap();
    assert_eq!(refusal().code, Code::StoreCorrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\n");
    std::fs::remove_file(&path).unwrap();
    let target = dir.path().join("elsewhere");
    symlink(&target, &path).unwrap();
    assert!(refusal().detail.ends_with("is a link"));
    assert!(!target.exists());
    std::fs::remove_file(&path).unwrap();
    // Not even the graph of the same home.
    drop(crate::graph::Graph::open(&path).unwrap());
    assert!(refusal().detail.ends_with("is not a storage of gm-broker"));
}

/// What a model of the storage is asked to do.
#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize),
    Delete(u8),
    Keep,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6, 0usize..40).prop_map(|(key, len)| Step::Set(key, len)),
        2 => (0u8..6).prop_map(Step::Delete),
        1 => Just(Step::Keep),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn storage_is_a_map_with_a_quota_whose_changes_are_kept_or_dropped_whole(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        const QUOTA: usize = 100;
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path(), QUOTA as u64);
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        let mut seen = kept.clone();
        let mut call = storage.begin(LIMIT);
        let name = |key: u8| "k".repeat(usize::from(key) + 1);
        for step in steps {
            match step {
                Step::Set(key, len) => {
                    let mut next = seen.clone();
                    next.insert(name(key), len);
                    let sum: usize = next.iter().map(|(key, len)| key.len() + len).sum();
                    let grows = seen.get(&name(key)).is_none_or(|old| *old < len);
                    let answer = call.set(name(key).as_bytes(), &vec![b'v'; len]);
                    if grows && sum > QUOTA {
                        prop_assert_eq!(answer, Err(HostError::Quota));
                    } else {
                        prop_assert_eq!(answer, Ok(()));
                        seen = next;
                    }
                }
                Step::Delete(key) => {
                    let was = seen.remove(&name(key)).is_some();
                    prop_assert_eq!(call.delete(name(key).as_bytes()), Ok(was));
                }
                Step::Keep => {
                    keep(std::mem::replace(&mut call, storage.begin(LIMIT)));
                    kept = seen.clone();
                    let sum: usize = kept.iter().map(|(key, len)| key.len() + len).sum();
                    prop_assert_eq!(used(&storage), i64::try_from(sum).unwrap());
                }
                Step::Drop => {
                    call = storage.begin(LIMIT);
                    seen = kept.clone();
                }
            }
            let keys: Vec<_> = seen.keys().collect();
            prop_assert_eq!(call.list(b"").unwrap(), serde_json::to_string(&keys).unwrap());
            for (key, len) in &seen {
                prop_assert_eq!(call.get(key.as_bytes()).unwrap().len(), *len);
            }
        }
    }
}
