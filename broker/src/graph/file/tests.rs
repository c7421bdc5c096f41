use super::super::Graph;
use super::*;
use crate::database::number;
use rusqlite::Connection;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

fn refusal(path: &Path) -> Option<String> {
    let refusal = Graph::open(path).err()?;
    assert_eq!(refusal.code, Code::SourceGraph);
    Some(refusal.detail)
}

fn sql(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

/// A directory with a graph in it.
fn made() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    drop(Graph::open(&path).unwrap());
    (dir, path)
}

#[test]
fn a_new_graph_is_private_and_says_what_it_is() {
    let (dir, path) = made();
    let graph = Graph::open(&path).unwrap();
    graph.begin("w", 4096).commit().unwrap();
    let mut call = graph.begin("w", 4096);
    call.node_put(r#"{"id":"a","kind":"k"}"#).unwrap();
    call.commit().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
    }
    let connection = Connection::open(&path).unwrap();
    let text = |pragma: &str| -> String {
        connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .unwrap()
    };
    assert_eq!(text("journal_mode"), "wal");
    assert_eq!(number(&connection, "application_id").unwrap(), 0x474D_4752);
    assert_eq!(number(&connection, "user_version").unwrap(), 1);
}

#[test]
fn an_empty_file_becomes_a_graph_and_a_graph_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty");
    std::fs::write(&path, "").unwrap();
    assert_eq!(refusal(&path), None);
    assert_eq!(refusal(&path), None);
    assert!(Graph::open_read_only(&path).is_ok());
}

#[test]
fn a_link_is_refused_and_a_directory_reached_through_one_is_not() {
    let (dir, path) = made();
    let (link, way) = (dir.path().join("link.db"), dir.path().join("way"));
    symlink(&path, &link).unwrap();
    symlink(dir.path(), &way).unwrap();
    assert!(refusal(&link).unwrap().ends_with("is a link"));
    assert!(
        Graph::open_read_only(&link)
            .err()
            .unwrap()
            .detail
            .ends_with("is a link")
    );
    assert_eq!(refusal(&way.join("graph.db")), None);
}

#[test]
fn a_dangling_link_makes_no_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (link, victim) = (dir.path().join("link.db"), dir.path().join("victim"));
    symlink(&victim, &link).unwrap();
    assert!(refusal(&link).unwrap().ends_with("is a link"));
    assert!(!victim.exists());
}

#[test]
fn files_of_others_are_refused_and_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (text, other) = (dir.path().join("text"), dir.path().join("other.db"));
    std::fs::write(&text, "something else that is long enough to look at").unwrap();
    sql(&other, "CREATE TABLE t (a)");
    for path in [&text, &other] {
        let before = std::fs::read(path).unwrap();
        assert!(refusal(path).is_some(), "{}", path.display());
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
    assert!(refusal(dir.path()).unwrap().ends_with("is not a file"));
    assert!(refusal(&dir.path().join("no/graph.db")).is_some());
}

#[test]
fn a_newer_schema_is_refused_as_newer() {
    let (_dir, path) = made();
    sql(&path, "PRAGMA user_version = 2");
    assert!(
        refusal(&path)
            .unwrap()
            .ends_with("has schema 2, newer than 1")
    );
}

#[test]
fn a_graph_with_other_tables_triggers_or_views_is_refused() {
    for change in [
        "DROP TABLE edge",
        "CREATE TABLE more (a)",
        "DROP TABLE node; CREATE VIEW node AS SELECT 1 AS id",
        "CREATE TRIGGER t AFTER INSERT ON node BEGIN DELETE FROM edge; END",
        "CREATE INDEX i ON edge (dst)",
    ] {
        let (_dir, path) = made();
        sql(&path, change);
        assert!(
            refusal(&path).unwrap().contains("its tables differ"),
            "{change}"
        );
    }
}

#[test]
fn a_graph_that_is_not_there_is_not_made_for_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    let refusal = Graph::open_read_only(&path).err().unwrap();
    assert_eq!((refusal.code, path.exists()), (Code::SourceGraph, false));
}

#[test]
fn a_graph_that_can_only_be_read_is_refused_for_writing() {
    let (dir, path) = made();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    // Who may write everything is not stopped by a mode.
    if std::fs::OpenOptions::new().write(true).open(&path).is_err() {
        assert!(refusal(&path).is_some());
    }
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn two_that_make_a_graph_at_once_both_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    let opened = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Graph::open(&path).map(drop)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(opened, [Ok(()), Ok(()), Ok(()), Ok(())]);
}
