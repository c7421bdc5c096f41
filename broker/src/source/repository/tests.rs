use super::super::fixture::Fixture;
use super::*;
use std::os::unix::fs::{chown, symlink};

fn code(start: &Path, trust: &[PathBuf]) -> Option<Code> {
    Repository::discover(Some(start), trust)
        .err()
        .map(|refusal| refusal.code)
}

#[test]
fn an_empty_repository_has_no_head_and_no_events() {
    let repository = Fixture::new();
    let facts = Facts {
        object_format: "sha1",
        bare: false,
        shallow: false,
        head: None,
    };
    assert_eq!(repository.facts(), facts);
    assert_eq!(repository.items(&Range::All), []);
    assert_eq!(repository.items(&Range::Last(3)), []);
}

#[test]
fn sha256_and_bare_repositories_are_read() {
    let repository = Fixture::with(&[
        "init",
        "-q",
        "--bare",
        "--object-format=sha256",
        "-b",
        "main",
    ]);
    let tree = repository.git_at(0, &["mktree"], b"");
    let commit = repository.commit_tree(7, &tree, &[]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    let facts = Facts {
        object_format: "sha256",
        bare: true,
        shallow: false,
        head: Some(commit.clone()),
    };
    assert_eq!(repository.facts(), facts);
    assert_eq!(repository.ids(&Range::All), [commit]);
    assert_eq!(repository.open().work_tree(), None);
}

#[test]
fn work_trees_of_a_repository_share_its_graph() {
    let repository = Fixture::new();
    repository.commit(1);
    let other = tempfile::tempdir().unwrap();
    let other = other.path().canonicalize().unwrap().join("other");
    repository.git(&["worktree", "add", "-q", other.to_str().unwrap()]);
    let linked = Repository::discover(Some(&other), &[]).unwrap();
    assert_eq!(linked.work_tree(), Some(&*other));
    assert_ne!(linked.git_dir(), repository.open().git_dir());
    assert_eq!(linked.common_dir(), repository.open().common_dir());
    assert_eq!(
        linked.graph_file_name(),
        repository.open().graph_file_name()
    );
    assert_eq!(linked.graph_file_name().len(), 64 + 3);
}

#[test]
fn a_directory_that_is_no_repository_is_refused_even_inside_one() {
    let repository = Fixture::new();
    repository.write("inside/file", "");
    assert_eq!(
        code(&repository.path().join("inside"), &[]),
        Some(Code::SourceNotARepository)
    );
    assert_eq!(
        code(Path::new("/nowhere"), &[]),
        Some(Code::SourceNotARepository)
    );
}

#[test]
fn without_a_name_the_nearest_repository_upwards_is_taken() {
    let (outer, inside) = (Fixture::new(), PathBuf::from("inside/deeper"));
    outer.write("inside/deeper/file", "");
    let root = outer.path().canonicalize().unwrap();
    assert_eq!(surrounding(&root.join(&inside)), Ok(root.join(".git")));
    outer.git(&["init", "-q", "inside"]);
    let nearest = root.join("inside/.git");
    assert_eq!(surrounding(&root.join(&inside)), Ok(nearest.clone()));
    assert_eq!(surrounding(&nearest.join("refs")), Ok(nearest));
    let nowhere = surrounding(Path::new("/proc/self"));
    assert_eq!(nowhere.unwrap_err().code, Code::SourceNotARepository);
}

#[test]
fn unknown_formats_are_refused_on_opening() {
    let repository = Fixture::new();
    repository.git(&["config", "core.repositoryFormatVersion", "1"]);
    repository.git(&["config", "extensions.objectFormat", "sha512"]);
    assert_eq!(code(repository.path(), &[]), Some(Code::SourceObjectFormat));
}

/// The test needs the right to give a file away; elsewhere nothing is shown.
fn gave_away(path: &Path) -> bool {
    chown(path, Some(54321), None).is_ok()
}

#[test]
fn another_owner_of_any_part_is_refused_unless_the_operator_names_the_place() {
    for part in ["", ".git"] {
        let repository = Fixture::new();
        if !gave_away(&repository.path().join(part)) {
            return;
        }
        let place = repository.path().canonicalize().unwrap();
        assert_eq!(code(&place, &[]), Some(Code::SourceUnsafeOwner), "{part:?}");
        assert_eq!(
            code(&place, &[PathBuf::from("/elsewhere")]),
            Some(Code::SourceUnsafeOwner)
        );
        assert_eq!(code(&place, std::slice::from_ref(&place)), None);
    }
}

#[test]
fn a_trusted_place_may_be_named_through_a_link() {
    let repository = Fixture::new();
    if !gave_away(repository.path()) {
        return;
    }
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    symlink(repository.path(), &link).unwrap();
    assert_eq!(code(repository.path(), &[link]), None);
}

#[test]
fn trust_in_a_place_does_not_cover_what_lies_below_it() {
    let repository = Fixture::new();
    if !gave_away(repository.path()) {
        return;
    }
    let above = repository
        .path()
        .canonicalize()
        .unwrap()
        .parent()
        .unwrap()
        .to_path_buf();
    assert_eq!(
        code(repository.path(), &[above]),
        Some(Code::SourceUnsafeOwner)
    );
}

#[test]
fn a_hostile_configuration_starts_nothing_and_moves_nothing() {
    let repository = Fixture::new();
    let first = repository.commit(1);
    let witness = repository.path().join("witness");
    let program = format!("touch {}", witness.display());
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "filter.x.smudge",
        "filter.x.process",
        "diff.external",
    ] {
        repository.git(&["config", key, &program]);
    }
    repository.git(&["config", "core.worktree", "/"]);
    repository.git(&["config", "include.path", "/dev/zero"]);
    std::fs::write(
        repository.path().join(".gitattributes"),
        "* filter=x diff=x binary\n",
    )
    .unwrap();
    assert_eq!(
        repository.open().work_tree(),
        Some(&*repository.path().canonicalize().unwrap())
    );
    assert_eq!(repository.ids(&Range::All), [first]);
    assert!(!witness.exists());
}

#[test]
fn replace_references_and_grafts_change_nothing() {
    let repository = Fixture::new();
    let (first, second) = (repository.commit(1), repository.commit(2));
    let other = repository.commit_tree(9, &format!("{second}^{{tree}}"), &[]);
    repository.git(&["replace", &second, &other]);
    std::fs::write(
        repository.path().join(".git/info/grafts"),
        format!("{second}\n"),
    )
    .unwrap();
    let documents = repository.documents(&Range::All);
    assert_eq!(repository.ids(&Range::All), [first.clone(), second]);
    assert_eq!(documents[1]["parents"], serde_json::json!([first]));
    assert_eq!(documents[1]["committer"]["time"], 2);
}

#[test]
fn ranges_name_commits_and_what_is_none_is_refused() {
    let repository = Fixture::new();
    let (first, second) = (repository.commit(1), repository.commit(2));
    repository.git(&["tag", "-a", "-m", "one", "v1", &first]);
    for range in ["v1..HEAD", "HEAD~1..", &format!("{first}..main")] {
        assert_eq!(
            repository.ids(&Range::parse(range).unwrap()),
            vec![second.clone()],
            "{range}"
        );
    }
    for range in [
        "v1..nowhere",
        "nowhere..",
        "HEAD^{tree}..HEAD",
        "HEAD:..HEAD",
    ] {
        let refusal = repository
            .open()
            .walk(&Range::parse(range).unwrap(), 1 << 20)
            .err()
            .unwrap();
        assert_eq!(refusal.code, Code::SourceBadRange, "{range}");
    }
}
