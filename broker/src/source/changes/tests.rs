use super::super::Range;
use super::super::fixture::Fixture;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn brief(file: &Value) -> (&str, &str, Option<u64>, Option<u64>) {
    let text = |name: &str| file[name].as_str().unwrap();
    (
        text("path"),
        text("status"),
        file["added"].as_u64(),
        file["deleted"].as_u64(),
    )
}

#[test]
fn files_come_sorted_by_the_bytes_of_their_paths() {
    let repository = Fixture::new();
    // In a tree the directory `a` sorts as `a/`: behind `a-` and `a.`.
    for path in ["a/z", "a-", "a.", "a0", "B", "ä"] {
        repository.write(path, "1\n");
    }
    repository.commit(1);
    let paths: Vec<_> = repository
        .files()
        .iter()
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["B", "a-", "a.", "a/z", "a0", "ä"]);
}

#[test]
fn each_kind_of_change_has_its_status_modes_and_counts() {
    let repository = Fixture::new();
    for path in ["gone", "kept", "mode", "turned", "edited"] {
        repository.write(path, "1\n2\n3\n");
    }
    repository.commit(1);
    for path in ["gone", "turned"] {
        std::fs::remove_file(repository.path().join(path)).unwrap();
    }
    symlink("kept", repository.path().join("turned")).unwrap();
    std::fs::set_permissions(
        repository.path().join("mode"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    repository.write("edited", "1\nx\n3\n4");
    repository.write("new/file", "1\n2");
    repository.commit(2);
    let files = repository.files();
    let expected = [
        ("edited", "M", Some(2), Some(1)),
        ("gone", "D", Some(0), Some(3)),
        ("mode", "M", Some(0), Some(0)),
        ("new/file", "A", Some(2), Some(0)),
        ("turned", "T", Some(1), Some(3)),
    ];
    assert_eq!(files.iter().map(brief).collect::<Vec<_>>(), expected);
    let modes: Vec<_> = files
        .iter()
        .map(|file| (file["old_mode"].clone(), file["mode"].clone()))
        .collect();
    let (plain, program, link) = (json!("100644"), json!("100755"), json!("120000"));
    assert_eq!(modes[1], (plain.clone(), json!(null)));
    assert_eq!(modes[2], (plain.clone(), program));
    assert_eq!(modes[3], (json!(null), plain.clone()));
    assert_eq!(modes[4], (plain, link));
    assert_eq!(
        (&files[0]["bytes"], &files[1]["bytes"], &files[4]["bytes"]),
        (&json!(7), &json!(null), &json!(4))
    );
}

#[test]
fn a_file_that_becomes_a_directory_goes_and_its_files_come() {
    let repository = Fixture::new();
    repository.write("a", "1\n");
    repository.commit(1);
    std::fs::remove_file(repository.path().join("a")).unwrap();
    repository.write("a/b/c", "1\n");
    repository.commit(2);
    let files = repository.files();
    assert_eq!(
        files.iter().map(brief).collect::<Vec<_>>(),
        [
            ("a", "D", Some(0), Some(1)),
            ("a/b/c", "A", Some(1), Some(0))
        ]
    );
}

#[test]
fn binary_and_huge_files_have_no_counts() {
    let repository = Fixture::new();
    repository.write("a-nul-late", [vec![b'x'; 8000], vec![0]].concat());
    repository.write("b-nul", b"x\0");
    repository.write("c-huge", vec![b'\n'; (8 << 20) + 1]);
    repository.write("d-large", vec![b'\n'; 8 << 20]);
    repository.commit(1);
    let seen: Vec<_> = repository
        .files()
        .iter()
        .map(|file| (file["binary"] == true, file["added"].as_u64()))
        .collect();
    assert_eq!(
        seen,
        [
            (false, Some(1)),
            (true, None),
            (true, None),
            (false, Some(8 << 20))
        ]
    );
    assert_eq!(repository.files()[2]["bytes"], (8 << 20) + 1);
}

#[test]
fn a_submodule_has_no_counts_and_is_not_missing() {
    let repository = Fixture::new();
    let id = "1".repeat(40);
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{id},module"),
    ]);
    repository.git_at(1, &["commit", "-q", "-m", "m"], b"");
    let file = &repository.files()[0];
    assert_eq!(brief(file), ("module", "A", None, None));
    assert_eq!(
        (&file["mode"], &file["missing"], &file["bytes"]),
        (&json!("160000"), &json!(false), &json!(null))
    );
    assert_eq!(repository.skipped(&Range::All), []);
}

#[test]
fn a_path_that_is_not_utf8_comes_with_its_bytes() {
    let repository = Fixture::new();
    let blob = repository.object("blob", b"x\n");
    let tree = repository.git_at(
        0,
        &["mktree", "-z"],
        &[format!("100644 blob {blob}\t").as_bytes(), b"\xe9\0"].concat(),
    );
    let commit = repository.commit_tree(1, &tree, &[]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    let file = &repository.files()[0];
    assert_eq!(
        (&file["path"], &file["path_base64"]),
        (&json!("\u{fffd}"), &json!("6Q=="))
    );
}

#[test]
fn an_empty_tree_that_was_never_written_is_known() {
    let repository = Fixture::new();
    repository.write("a", "1\n");
    repository.commit(1);
    std::fs::remove_file(repository.path().join("a")).unwrap();
    let commit = repository.commit(2);
    let tree = repository.git(&["rev-parse", &format!("{commit}^{{tree}}")]);
    if repository.object_file(&tree).exists() {
        repository.remove_object(&tree);
    }
    assert_eq!(
        repository.files().iter().map(brief).collect::<Vec<_>>(),
        [("a", "D", Some(0), Some(1))]
    );
}

#[test]
fn a_directory_within_hundreds_of_others_is_reached_without_recursion() {
    let repository = Fixture::new();
    let mut tree = format!("100644 blob {}", repository.object("blob", b"x\n"));
    for _ in 0..300 {
        let entry = format!("{tree}\td\n");
        tree = format!(
            "040000 tree {}",
            repository.git_at(0, &["mktree"], entry.as_bytes())
        );
    }
    let commit = repository.commit_tree(1, tree.trim_start_matches("040000 tree "), &[]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    assert_eq!(repository.files()[0]["path"].as_str().unwrap().len(), 599);
}
