//! Names of files: those of a package, and those of the host that a plugin may be
//! granted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use gm_broker::files::Surroundings;
use gm_broker::package;
use gm_manifest::{GrantPath, GrantRoot};

use crate::trust::place;

const MANIFEST: &str = "[identity]
plugin_id = \"com.example.hello\"
public_key = \"\"

[plugin]
name = \"Hello\"
version = \"1.0.0\"
api_version = \"2.0\"
kind = \"wasm\"
";

/// A path that this test itself may make: below the directory, and short.
fn may_be_made(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    (1..200).contains(&path.len())
        && !path.contains('\0')
        && Path::new(path).components().all(plain)
}

/// A directory and its manifest, a line for each entry: what is read is exactly
/// what is named, plain and below the directory, whatever lies there.
pub fn package_listing(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let outer = place();
    let root = outer.path().join("package");
    fs::create_dir(&root).unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    let (mut named, mut made) = (Vec::new(), 0);
    for line in text.split('\n').take(24) {
        let (how, path) = line.split_at_checked(1).unwrap_or(("", ""));
        if matches!(how, "b" | "n") {
            named.push(path);
        }
        if may_be_made(path) {
            made += usize::from(make(&root, how, path));
        }
    }
    let list = |paths: &[&str]| serde_json::to_string(paths).unwrap();
    let entry = serde_json::to_string(named.first().unwrap_or(&"a")).unwrap();
    let files = list(named.get(1..).unwrap_or_default());
    // A JSON string is one of TOML too, but for one escape and the DEL.
    let manifest = format!("{MANIFEST}entrypoint = {entry}\nfiles = {files}\n");
    // Its own name may be taken by then.
    let _ = fs::write(root.join(gm_manifest::MANIFEST_FILE), manifest);
    match package::read(&root) {
        Ok(plugin) => {
            assert!(made > 0);
            let read = plugin
                .artifacts()
                .iter()
                .map(|file| file.digest().path.as_str());
            same_files(&root, &read.collect());
            true
        }
        Err(refusal) => {
            let class = refusal.code.class();
            assert!(["manifest", "artifact"].contains(&class), "{refusal}");
            assert!(!refusal.to_string().chars().any(crate::acts), "{refusal:?}");
            false
        }
    }
}

fn make(root: &Path, how: &str, path: &str) -> bool {
    let path = root.join(path);
    let _ = path.parent().map(fs::create_dir_all);
    let made = match how {
        "b" | "m" => fs::write(&path, "x"),
        "d" => fs::create_dir(&path),
        "s" => symlink("../secret", &path),
        "l" => fs::hard_link(root.join("../secret"), &path),
        _ => return false,
    };
    made.is_ok()
}

/// What was read are all files that there are, plain, and no two the same on a disk
/// that knows no case.
fn same_files(root: &Path, read: &BTreeSet<&str>) {
    let mut open = vec![root.to_owned()];
    let mut found = BTreeSet::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            assert!(kind.is_dir() || kind.is_file(), "{entry:?}");
            match kind.is_dir() {
                true => open.push(entry.path()),
                false => drop(found.insert(entry.path())),
            }
        }
    }
    let mut expected: BTreeSet<PathBuf> = read.iter().map(|path| root.join(path)).collect();
    expected.insert(root.join(gm_manifest::MANIFEST_FILE));
    assert_eq!(found, expected);
    let folded: BTreeSet<String> = read.iter().map(|path| path.to_lowercase()).collect();
    assert_eq!(folded.len(), read.len(), "{read:?}");
}

/// A granted path: what it leads to lies below its root, and is neither of the home
/// nor of a `.git`. `$HERE` stands for the directory of this test.
pub fn host_path(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let outer = place();
    let here = outer.path().canonicalize().unwrap();
    let repo = here.join("repo");
    for directory in [
        "repo/docs/deep",
        "repo/.git",
        "repo/sub/.GIT",
        "home/keys",
        "else",
    ] {
        fs::create_dir_all(here.join(directory)).unwrap();
    }
    for file in [
        "repo/docs/a",
        "repo/.git/config",
        "home/keys/secret",
        "else/b",
    ] {
        fs::write(here.join(file), "x").unwrap();
    }
    let up = "../else";
    let links = [
        ("docs", "in"),
        (up, "out"),
        (".git", "git"),
        ("/", "all"),
        ("in/deep", "two"),
    ];
    for (to, name) in links {
        symlink(to, repo.join(name)).unwrap();
    }
    symlink("../home", here.join("else/home")).unwrap();
    let around = Surroundings::new(Some(repo.clone()), vec![here.join("home")]);
    let mut granted = 0;
    for line in text.split('\n').take(16) {
        let line = line.replace("$HERE", here.to_str().unwrap());
        let Ok(path) = GrantPath::parse(&line) else {
            continue;
        };
        let Ok((_, led, directory)) = around.reach(&path) else {
            continue;
        };
        assert_eq!(led, led.canonicalize().unwrap());
        assert_eq!(directory, led.is_dir());
        let git = |part: &std::ffi::OsStr| part.eq_ignore_ascii_case(".git");
        assert!(
            !led.iter().any(git) && !led.starts_with(here.join("home")),
            "{led:?}"
        );
        match path.root() {
            GrantRoot::Repo => assert!(led.starts_with(&repo), "{led:?}"),
            GrantRoot::Host => assert_eq!(led, Path::new(&line), "a link was followed"),
            GrantRoot::Data | GrantRoot::Assets => panic!("{path:?} is no path of the host"),
        }
        granted += 1;
    }
    granted > 0
}
