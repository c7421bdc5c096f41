use super::super::Range;
use super::super::fixture::Fixture;
use super::*;
use serde_json::json;

/// An empty tree; commits of it differ in time and parents alone.
fn empty(repository: &Fixture) -> String {
    repository.git_at(0, &["mktree"], b"")
}

fn commit_of(item: &SourceItem) -> &CommitEvent {
    match item {
        SourceItem::Commit(event) => event,
        SourceItem::Skipped { .. } => panic!("{item:?}"),
    }
}

#[test]
fn parents_come_first_then_the_earliest_then_the_smallest_id() {
    let repository = Fixture::new();
    let tree = empty(&repository);
    let root = repository.commit_tree(100, &tree, &[]);
    // A child with a clock that runs late, and two of the same time.
    let early = repository.commit_tree(5, &tree, &[&root]);
    let mut twins = [
        repository.commit_tree(50, &tree, &[&root]),
        repository.commit_tree(50, &tree, &[&early]),
    ];
    let merge = repository.commit_tree(1, &tree, &[&twins[0], &twins[1]]);
    repository.git(&["reset", "-q", &merge]);
    twins.sort();
    let [one, two] = twins;
    assert_eq!(repository.ids(&Range::All), [root, early, one, two, merge]);
}

#[test]
fn the_last_commits_are_those_of_rev_list_oldest_first() {
    let repository = Fixture::new();
    let tree = empty(&repository);
    let root = repository.commit_tree(1, &tree, &[]);
    let (left, right) = (
        repository.commit_tree(3, &tree, &[&root]),
        repository.commit_tree(9, &tree, &[&root]),
    );
    let merge = repository.commit_tree(10, &tree, &[&left, &right]);
    repository.git(&["reset", "-q", &merge]);
    for count in 0..6 {
        let listed = repository.git(&[
            "rev-list",
            "--reverse",
            &format!("--max-count={count}"),
            "HEAD",
        ]);
        let listed: Vec<_> = listed.lines().collect();
        assert_eq!(repository.ids(&Range::Last(count)), listed, "{count}");
    }
}

#[test]
fn events_are_numbered_among_all_and_the_number_is_known_before() {
    let repository = Fixture::new();
    (1..=3).for_each(|time| drop(repository.commit(time)));
    let walk = repository.open().walk(&Range::Last(2), 1 << 20).unwrap();
    assert_eq!(walk.total(), 2);
    let items: Vec<_> = walk.collect();
    assert_eq!(
        items
            .iter()
            .map(|item| commit_of(item).index)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let documents = repository.documents(&Range::Last(2));
    assert_eq!(
        (&documents[1]["index"], &documents[1]["total"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn a_shallow_boundary_is_described_as_a_root() {
    let repository = Fixture::new();
    repository.write("a", "1\n");
    repository.commit(1);
    repository.write("a", "1\n2\n");
    let second = repository.commit(2);
    let copy = Fixture::with(&["init", "-q"]);
    copy.git(&[
        "fetch",
        "-q",
        "--depth=1",
        &format!("file://{}", repository.path().display()),
        "main",
    ]);
    copy.git(&["reset", "-q", "FETCH_HEAD"]);
    assert!(copy.facts().shallow);
    let document = &copy.documents(&Range::All)[0];
    assert_eq!(
        (&document["id"], &document["parents"]),
        (&json!(second), &json!([]))
    );
    assert_eq!(
        (&document["boundary"], &document["merge"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(document["files"][0]["added"], 2);
    assert_eq!(copy.skipped(&Range::All), []);
}

#[test]
fn a_merge_shows_what_it_changes_in_its_first_parent() {
    let repository = Fixture::new();
    repository.write("base", "");
    let base = repository.commit(1);
    repository.write("ours", "1\n");
    let ours = repository.commit(2);
    repository.git(&["checkout", "-q", &base]);
    repository.write("theirs", "1\n2\n");
    let theirs = repository.commit(3);
    repository.git(&["checkout", "-q", "main"]);
    repository.git_at(4, &["merge", "-q", "--no-ff", "-m", "both", &theirs], b"");
    let merge = &repository.documents(&Range::All)[3];
    assert_eq!(
        (&merge["merge"], &merge["parents"]),
        (&json!(true), &json!([ours, theirs]))
    );
    assert_eq!(
        (&merge["files_total"], &merge["files"][0]["path"]),
        (&json!(1), &json!("theirs"))
    );
}

#[test]
fn a_missing_commit_is_passed_over_and_its_descendants_too_where_they_need_it() {
    let repository = Fixture::new();
    let commits: Vec<_> = (1..=3).map(|time| repository.commit(time)).collect();
    repository.remove_object(&commits[1]);
    // The third can't be compared with its parent, whose tree is not known.
    assert_eq!(
        repository.skipped(&Range::All),
        [(commits[1].clone(), true), (commits[2].clone(), true)]
    );
    assert_eq!(repository.ids(&Range::All), Vec::<String>::new());
}

#[test]
fn a_missing_tree_passes_the_commit_over_and_a_missing_file_only_its_counts() {
    let repository = Fixture::new();
    repository.write("dir/a", "1\n");
    let first = repository.commit(1);
    repository.write("dir/a", "2\n");
    repository.write("b", "3\n");
    let second = repository.commit(2);
    let blob = repository.git(&["rev-parse", "HEAD:b"]);
    repository.remove_object(&blob);
    assert_eq!(repository.skipped(&Range::All), [(blob, true)]);
    let files = repository.files();
    assert_eq!(
        (&files[0]["missing"], &files[0]["added"], &files[0]["bytes"]),
        (&json!(true), &json!(null), &json!(null))
    );
    assert_eq!(
        (&files[1]["missing"], &files[1]["added"]),
        (&json!(false), &json!(1))
    );
    repository.remove_object(&repository.git(&["rev-parse", "HEAD:dir"]));
    assert_eq!(repository.skipped(&Range::All), [(second, true)]);
    assert_eq!(repository.ids(&Range::All), [first]);
}

#[test]
fn broken_objects_are_named_as_broken_and_cut_nothing_off() {
    let repository = Fixture::new();
    let root = repository.commit(1);
    let tree = empty(&repository);
    let bytes = format!("tree {tree}\nparent {root}\nauthor nobody\ncommitter nobody\n\nm\n");
    let broken = repository.object("commit", bytes.as_bytes());
    let last = repository.commit_tree(3, &tree, &[&broken]);
    repository.git(&["reset", "-q", &last]);
    assert_eq!(repository.skipped(&Range::All), [(broken, false)]);
    assert_eq!(repository.ids(&Range::All), [root, last]);
}

#[test]
fn a_tree_that_is_no_tree_passes_the_commit_over() {
    let repository = Fixture::new();
    let broken = repository.object("tree", b"100644 a\0short");
    let commit = repository.commit_tree(1, &broken, &[]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    assert_eq!(repository.skipped(&Range::All), [(commit, false)]);
}

#[test]
fn a_tree_that_stands_for_a_billion_files_is_passed_over_in_time() {
    let repository = Fixture::new();
    let blob = repository.object("blob", b"x");
    let mut below = format!("100644 blob {blob}");
    for _ in 0..9 {
        let entries: String = (0..10).map(|n| format!("{below}\t{n}\n")).collect();
        below = format!(
            "040000 tree {}",
            repository.git_at(0, &["mktree"], entries.as_bytes())
        );
    }
    let commit = repository.commit_tree(1, below.trim_start_matches("040000 tree "), &[]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    assert_eq!(repository.skipped(&Range::All), [(commit, false)]);
}

#[test]
fn a_cut_list_of_files_still_counts_them_all() {
    let repository = Fixture::new();
    (0..200).for_each(|n| repository.write(&format!("file-{n:03}"), "x\n"));
    repository.commit(1);
    let item = repository
        .open()
        .walk(&Range::All, 4096)
        .unwrap()
        .next()
        .unwrap();
    let json = &commit_of(&item).json;
    let document: serde_json::Value = serde_json::from_str(json).unwrap();
    assert!(json.len() <= 4096 && json.len() > 3800, "{}", json.len());
    assert_eq!(document["files_total"], 200);
    assert_eq!(document["files"][0]["path"], "file-000");
}

#[test]
fn a_walk_can_be_given_to_another_thread() {
    fn sent<T: Send>() {}
    sent::<Walk>();
    sent::<super::super::Repository>();
}
