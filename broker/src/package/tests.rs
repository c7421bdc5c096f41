//! Packages on a real disk, each broken in one way.

use super::*;
use std::os::unix::fs::symlink;

const MANIFEST: &str = "[identity]
plugin_id = \"com.example.hello\"
public_key = \"\"

[plugin]
name = \"Hello\"
version = \"1.0.0\"
api_version = \"2.0\"
kind = \"wasm\"
entrypoint = \"plugin.wasm\"
files = [\"lib/words.txt\"]
";

fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(MANIFEST_FILE), MANIFEST).unwrap();
    std::fs::write(dir.path().join("plugin.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::create_dir(dir.path().join("lib")).unwrap();
    std::fs::write(dir.path().join("lib/words.txt"), "alpha\nbeta\n").unwrap();
    dir
}

fn refused(path: &Path) -> &'static str {
    read(path).unwrap_err().code.as_str()
}

#[test]
fn a_package_is_read_by_its_directory_its_manifest_or_a_file_that_it_names() {
    let dir = package();
    for path in [
        dir.path().to_owned(),
        dir.path().join(MANIFEST_FILE),
        dir.path().join("plugin.wasm"),
        dir.path().join("lib/words.txt"),
    ] {
        let signed = read(&path).unwrap();
        assert_eq!(signed.artifacts()[0].bytes().unwrap(), b"\0asm\x01\0\0\0");
        assert_eq!(signed.artifacts()[1].bytes().unwrap(), b"alpha\nbeta\n");
    }
}

#[test]
fn a_file_that_the_manifest_does_not_name_is_not_a_way_to_the_package() {
    let dir = package();
    std::fs::write(dir.path().join("other.wasm"), "").unwrap();
    assert_eq!(refused(&dir.path().join("other.wasm")), "usage/arguments");
}

#[test]
fn no_manifest_is_told_from_a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(refused(dir.path()), "manifest/no-manifest");
    assert_eq!(refused(&dir.path().join("nothing")), "manifest/no-manifest");
    let dir = package();
    std::fs::remove_file(dir.path().join("plugin.wasm")).unwrap();
    let refusal = read(dir.path()).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.plugin.as_deref()),
        (Code::ArtifactMissing, Some("com.example.hello"))
    );
}

#[test]
fn whatever_is_not_named_is_extra() {
    for name in [
        "extra.txt",
        "plugin.wasm.sig",
        ".hidden",
        "lib/more.txt",
        "Plugin.wasm",
        "statement",
    ] {
        let dir = package();
        std::fs::write(dir.path().join(name), "").unwrap();
        assert_eq!(refused(dir.path()), "artifact/extra-file", "{name}");
    }
    let dir = package();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    assert_eq!(refused(dir.path()), "artifact/extra-file");
    symlink("plugin.wasm", dir.path().join("alias")).unwrap();
    assert_eq!(refused(dir.path()), "artifact/extra-file");
}

#[test]
fn links_are_never_followed() {
    let dir = package();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(
        dir.path().join("plugin.wasm"),
        elsewhere.path().join("plugin.wasm"),
    )
    .unwrap();
    symlink(
        elsewhere.path().join("plugin.wasm"),
        dir.path().join("plugin.wasm"),
    )
    .unwrap();
    assert_eq!(refused(dir.path()), "artifact/unsafe-path");
    let dir = package();
    std::fs::rename(dir.path().join("lib"), elsewhere.path().join("lib")).unwrap();
    symlink(elsewhere.path().join("lib"), dir.path().join("lib")).unwrap();
    assert_eq!(refused(dir.path()), "artifact/unsafe-path");
    let dir = package();
    std::fs::rename(dir.path().join(MANIFEST_FILE), elsewhere.path().join("m")).unwrap();
    symlink(elsewhere.path().join("m"), dir.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(refused(dir.path()), "artifact/unsafe-path");
}

#[test]
fn only_plain_files_with_one_link_are_read() {
    let dir = package();
    std::fs::hard_link(
        dir.path().join("plugin.wasm"),
        dir.path().join("../gm-second-link"),
    )
    .unwrap();
    let code = refused(dir.path());
    std::fs::remove_file(dir.path().join("../gm-second-link")).unwrap();
    assert_eq!(code, "artifact/not-regular");

    let dir = package();
    std::fs::remove_file(dir.path().join("plugin.wasm")).unwrap();
    std::fs::create_dir(dir.path().join("plugin.wasm")).unwrap();
    assert_eq!(refused(dir.path()), "artifact/not-regular");

    let dir = package();
    std::fs::remove_file(dir.path().join("plugin.wasm")).unwrap();
    let fifo = FileType::Fifo;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("plugin.wasm"),
        fifo,
        Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(refused(dir.path()), "artifact/not-regular");

    let dir = package();
    std::fs::remove_file(dir.path().join("plugin.wasm")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("plugin.wasm")).unwrap();
    assert_eq!(refused(dir.path()), "artifact/not-regular");
}

#[test]
fn giants_and_crowds_are_refused_unread() {
    let dir = package();
    File::create(dir.path().join("plugin.wasm"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert_eq!(refused(dir.path()), "artifact/too-big");
    let dir = package();
    File::create(dir.path().join("plugin.wasm"))
        .unwrap()
        .set_len(MAX_BYTES - 10)
        .unwrap();
    assert_eq!(refused(dir.path()), "artifact/too-big");
    let dir = package();
    std::fs::write(dir.path().join(MANIFEST_FILE), "#".repeat(70_000)).unwrap();
    assert_eq!(refused(dir.path()), "manifest/too-big");
    let dir = package();
    let names: Vec<_> = (0..254).map(|n| format!("{n}/f")).collect();
    let list = names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(",");
    std::fs::write(
        dir.path().join(MANIFEST_FILE),
        MANIFEST.replace("\"lib/words.txt\"", &list),
    )
    .unwrap();
    std::fs::remove_dir_all(dir.path().join("lib")).unwrap();
    for name in &names {
        std::fs::create_dir(dir.path().join(name.trim_end_matches("/f"))).unwrap();
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(refused(dir.path()), "artifact/too-big");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_what_was_hashed_or_refused() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = package();
    let target = dir.path().join("plugin.wasm");
    std::fs::write(&target, vec![b'a'; 300_000]).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&target).unwrap();
            let mut letter = b'a';
            while !stop.load(Ordering::Relaxed) {
                letter = if letter == b'a' { b'b' } else { b'a' };
                std::os::unix::fs::FileExt::write_all_at(&file, &vec![letter; 300_000], 0).unwrap();
            }
        });
        for _ in 0..1000 {
            match read(dir.path()) {
                Ok(signed) => {
                    let artifact = &signed.artifacts()[0];
                    assert_eq!(
                        gm_manifest::Digest::of(&artifact.bytes().unwrap()),
                        artifact.digest().sha256
                    );
                }
                Err(refusal) => assert_eq!(refusal.code, Code::ArtifactChangedDuringRead),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_manifest_is_replaced_whole_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = package();
    let manifest = dir.path().join(MANIFEST_FILE);
    std::fs::set_permissions(&manifest, PermissionsExt::from_mode(0o640)).unwrap();
    replace_manifest(
        &dir.path().join("plugin.wasm"),
        MANIFEST.replace("1.0.0", "1.0.1").as_bytes(),
    )
    .unwrap();
    assert_eq!(
        read(dir.path()).unwrap().manifest().version().to_string(),
        "1.0.1"
    );
    assert_eq!(
        std::fs::metadata(&manifest).unwrap().permissions().mode() & 0o777,
        0o640
    );
}
