//! Tells who changed what, and when: authors, months, the most changed files,
//! and how much of the knowledge lies with few people.
//!
//! Puts absolute values into nodes `stats:…`, so a run over the same history
//! leaves the same graph. Merges count as commits, but their files don't: their
//! difference is the sum of commits that were counted already.

mod calendar;
mod history;
mod ownership;
mod report;

use gm_plugin::{Commit, Error, Node, Reply, Shutdown, Value, host};

use history::{Author, History, Month};
use ownership::{Area, HotFile};

/// Authors and months are put each time so many commits were counted.
const COMMITS_A_PUT: u64 = 512;

/// How many files the graph's list of hot files holds.
const HOT_FILES: usize = 20;

/// How many areas the graph's list of ownership holds.
const AREAS: usize = 40;

/// Bytes of JSON that a list may have: a node's data has 16 KiB.
const LIST_BYTES: usize = 15 << 10;

/// What is remembered from commit to commit.
#[derive(Default)]
struct Stats(History);

gm_plugin::hooks! {
    state: Stats,
    on_commit_analyzed: Stats::count,
    shutdown: Stats::report,
}

impl Stats {
    fn count(&mut self, commit: Commit) -> Result<Option<Reply>, Error> {
        self.0.add(&commit);
        if self.0.total.commits.is_multiple_of(COMMITS_A_PUT) {
            host::node_put(&self.changed())?;
        }
        Ok(None)
    }

    fn report(&mut self, _: Shutdown) -> Result<Option<Reply>, Error> {
        let hot = ownership::hot_files(&self.0, HOT_FILES);
        let areas = ownership::areas(&self.0, AREAS);
        let mut nodes = self.changed();
        if self.0.total.commits > 0 {
            nodes.push(repository_node(&self.0));
            nodes.push(hot_files_node(&hot));
            nodes.push(ownership_node(&areas));
        }
        host::node_put(&nodes)?;
        let text = report::text(&self.0, &hot, &areas)?;
        let data = report::data(&self.0, &hot, &areas);
        Ok(Some(Reply::report(text).with("data", data)))
    }

    /// Nodes of the authors and months that changed since the last time.
    fn changed(&mut self) -> Vec<Node> {
        let authors = self.0.authors.iter_mut();
        let authors = authors
            .filter_map(|author| std::mem::take(&mut author.waiting).then(|| author_node(author)));
        let mut nodes: Vec<Node> = authors.collect();
        for (name, month) in &mut self.0.months {
            if std::mem::take(&mut month.waiting) {
                nodes.push(month_node(name, month));
            }
        }
        nodes
    }
}

fn author_node(author: &Author) -> Node {
    Node::new(format!("stats:author:{}", author.key), "stats.author")
        .with("name", author.name.as_str())
        .with("commits", author.total.commits)
        .with("merges", author.total.merges)
        .with("added", author.total.added)
        .with("deleted", author.total.deleted)
        .with("first", author.first)
        .with("last", author.last)
}

fn month_node(name: &str, month: &Month) -> Node {
    Node::new(format!("stats:month:{name}"), "stats.month")
        .with("commits", month.total.commits)
        .with("merges", month.total.merges)
        .with("authors", month.authors.len())
        .with("added", month.total.added)
        .with("deleted", month.total.deleted)
}

fn repository_node(history: &History) -> Node {
    Node::new("stats:repository", "stats.repository")
        .with("commits", history.total.commits)
        .with("merges", history.total.merges)
        .with("authors", history.authors.len())
        .with("files", history.files.len())
        .with("added", history.total.added)
        .with("deleted", history.total.deleted)
        .with("first", history.first)
        .with("last", history.last)
}

fn hot_files_node(hot: &[HotFile]) -> Node {
    let files = fitting(hot.iter().map(HotFile::to_json));
    Node::new("stats:hot-files", "stats.hot-files").with("files", files)
}

fn ownership_node(areas: &[Area]) -> Node {
    let areas = fitting(areas.iter().map(Area::to_json));
    Node::new("stats:ownership", "stats.ownership").with("areas", areas)
}

/// As many of the items, from the first on, as a node can hold.
fn fitting(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut bytes = 0;
    let fitting = items.take_while(|item| {
        bytes += item.to_string().len() + 1;
        bytes <= LIST_BYTES
    });
    fitting.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn author_and_month_are_put_once_for_each_change() {
        let mut stats = Stats::default();
        let mut commit = Commit::default();
        commit.author.email = "A@B".to_owned();
        commit.author.name = "A".to_owned();
        commit.author.time = 1_700_000_000;
        stats.0.add(&commit);
        let nodes = stats.changed();
        let ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["stats:author:a@b", "stats:month:2023-11"]);
        assert!(stats.changed().is_empty());
        stats.0.add(&commit);
        assert_eq!(stats.changed()[0].data["commits"], 2);
    }

    #[test]
    fn lists_fit_into_a_node_even_with_the_longest_names() {
        let mut history = History::default();
        for number in 0..60 {
            let mut commit = Commit::default();
            commit.author.name = "\u{1f600}".repeat(4000);
            commit.author.email = format!("{number}@{}", "\u{1f600}".repeat(4000));
            let mut file = gm_plugin::File::default();
            file.path = format!("{number}{}/{}", "ä".repeat(2000), "\"".repeat(2000));
            commit.files = vec![file];
            history.add(&commit);
        }
        let hot = hot_files_node(&ownership::hot_files(&history, HOT_FILES));
        let areas = ownership_node(&ownership::areas(&history, AREAS));
        assert!(hot.data["files"].as_array().unwrap().len() >= 3);
        for node in [hot, areas, author_node(&history.authors[0])] {
            assert!(
                gm_plugin::json!(node.data).to_string().len() <= 16 << 10,
                "{}",
                node.id
            );
            assert!(node.id.len() <= 512, "{}", node.id);
        }
    }
}
