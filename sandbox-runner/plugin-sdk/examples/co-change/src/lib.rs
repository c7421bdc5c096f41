//! Finds files that change together: for each pair an edge `co-change` between
//! `file:a` and `file:b` that weighs as many commits as changed both.
//!
//! All that is put is an absolute value, so a run over the same history leaves
//! the same graph. Never holds more than [`pairs`] bounds.

mod pairs;
mod settings;

use std::fmt::Write;

use gm_plugin::{Commit, Edge, Error, File, Init, Node, Reply, Shutdown, Value, host, json};

use pairs::{Pairs, Strong};
use settings::Settings;

/// What waits to be put is sent when it is as many records as one put takes.
const BATCH: usize = 256;

/// The most bytes of a path: a node's id is `file:` and the path, 512 at most.
const LONGEST_PATH: usize = 507;

/// What is remembered from commit to commit.
#[derive(Default)]
struct CoChange {
    settings: Settings,
    pairs: Pairs,
    counted: u64,
    merges: u64,
    too_large: u64,
    left_out: u64,
}

gm_plugin::hooks! {
    state: CoChange,
    init: CoChange::configure,
    on_commit_analyzed: CoChange::count,
    shutdown: CoChange::report,
}

impl CoChange {
    fn configure(&mut self, _: Init) -> Result<Option<Reply>, Error> {
        self.settings = Settings::read()?;
        Ok(None)
    }

    fn count(&mut self, commit: Commit) -> Result<Option<Reply>, Error> {
        // A merge's difference is the sum of commits that were counted already;
        // at a boundary it is the whole tree.
        if commit.merge || commit.boundary {
            self.merges += 1;
            return Ok(None);
        }
        if commit.files_total.max(count_of(&commit.files)) > self.settings.max_files {
            self.too_large += 1;
            return Ok(None);
        }
        self.counted += 1;
        let (named, unnamed): (Vec<&File>, Vec<&File>) =
            commit.files.iter().partition(|file| is_an_id(file));
        let paths: Vec<&str> = named.iter().map(|file| file.path.as_str()).collect();
        let no_room = self.pairs.add(&paths);
        self.left_out += count_of(&unnamed) + u64::try_from(no_room).unwrap_or(u64::MAX);
        if self.pairs.is_full() {
            self.put()?; // first, so that the graph keeps their last weights
            self.pairs.forget_the_weakest();
        } else if self.pairs.waiting() >= BATCH {
            self.put()?;
        }
        Ok(None)
    }

    /// Puts what changed since the last time, so many records at once that they
    /// take little memory.
    fn put(&mut self) -> Result<(), Error> {
        while self.pairs.waiting() > 0 {
            let files = self.pairs.take_files(BATCH).into_iter();
            let nodes: Vec<Node> = files
                .map(|(path, commits)| Node::new(id(&path), "file").with("commits", commits))
                .collect();
            host::node_put(&nodes)?;
            let pairs = self.pairs.take_pairs(BATCH).into_iter();
            let edges: Vec<Edge> = pairs
                .filter(|(_, _, weight)| *weight >= self.settings.min_weight)
                .map(|(a, b, weight)| {
                    Edge::new(id(&a), id(&b), "co-change").weighing(weight.into())
                })
                .collect();
            host::edge_put(&edges)?;
        }
        Ok(())
    }

    fn report(&mut self, _: Shutdown) -> Result<Option<Reply>, Error> {
        self.put()?;
        let strongest = self.pairs.strongest(self.settings.top);
        let shown: Vec<Value> = strongest.iter().map(to_json).collect();
        let data = json!({
            "commits": self.counted,
            "merges": self.merges,
            "too_large": self.too_large,
            "max_files": self.settings.max_files,
            "files": self.pairs.files(),
            "pairs": self.pairs.len(),
            "forgotten": self.pairs.forgotten(),
            "left_out": self.left_out,
            "strongest": shown,
        });
        let mut text = String::new();
        self.write(&strongest, &mut text)
            .map_err(|_| "the report could not be written")?;
        Ok(Some(Reply::report(text).with("data", data)))
    }

    fn write(&self, strongest: &[Strong], text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} pairs of {} files that change together, from {} commits",
            self.pairs.len(),
            self.pairs.files(),
            self.counted
        )?;
        writeln!(
            text,
            "passed over: {} merges and boundaries, {} commits of more than {} files",
            self.merges, self.too_large, self.settings.max_files
        )?;
        if !strongest.is_empty() {
            writeln!(
                text,
                "\n  commits  of a's  of b's  a + b (commits that changed both)"
            )?;
        }
        for pair in strongest {
            writeln!(
                text,
                "  {:>7}  {:>5}%  {:>5}%  {} + {}",
                pair.weight,
                percent(pair.weight, pair.commits_a),
                percent(pair.weight, pair.commits_b),
                pair.a,
                pair.b
            )?;
        }
        if self.pairs.forgotten() > 0 {
            writeln!(
                text,
                "\n{} of the weakest pairs were forgotten to save memory; their weights may be too low",
                self.pairs.forgotten()
            )?;
        }
        if self.left_out > 0 {
            writeln!(
                text,
                "\n{} changes of files were left out: their paths can't be a node's id, or there are too many",
                self.left_out
            )?;
        }
        Ok(())
    }
}

fn to_json(pair: &Strong) -> Value {
    json!({
        "a": pair.a,
        "b": pair.b,
        "weight": pair.weight,
        "commits_a": pair.commits_a,
        "commits_b": pair.commits_b,
    })
}

/// The node of a file.
fn id(path: &str) -> String {
    format!("file:{path}")
}

/// A path that isn't exact, too long, or holds control characters names no node.
fn is_an_id(file: &File) -> bool {
    file.path_base64.is_none()
        && file.path.len() <= LONGEST_PATH
        && !file.path.chars().any(char::is_control)
}

fn count_of<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// `part` of `whole`, rounded down.
fn percent(part: u32, whole: u32) -> u64 {
    u64::from(part) * 100 / u64::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(paths: &[&str]) -> Commit {
        let mut commit = Commit::default();
        commit.files = paths
            .iter()
            .map(|path| {
                let mut file = File::default();
                (*path).clone_into(&mut file.path);
                file
            })
            .collect();
        commit.files_total = count_of(&commit.files);
        commit
    }

    #[test]
    fn merges_boundaries_and_large_commits_are_passed_over() {
        let mut plugin = CoChange::default();
        plugin.settings.max_files = 2;
        let mut merge = commit(&["a", "b"]);
        merge.merge = true;
        let mut boundary = commit(&["a", "b"]);
        boundary.boundary = true;
        let mut cut = commit(&["a", "b"]);
        cut.files_total = 9000;
        for commit in [merge, boundary, cut, commit(&["a", "b", "c"])] {
            plugin.count(commit).unwrap();
        }
        plugin.count(commit(&["a", "b"])).unwrap();
        assert_eq!((plugin.merges, plugin.too_large), (2, 2));
        assert_eq!((plugin.counted, plugin.pairs.len()), (1, 1));
    }

    #[test]
    fn paths_that_can_not_be_an_id_are_left_out() {
        let mut plugin = CoChange::default();
        let mut odd = commit(&["a", "b", "line\nfeed", &"x".repeat(508)]);
        odd.files[1].path_base64 = Some("/w==".to_owned());
        plugin.count(odd).unwrap();
        assert_eq!((plugin.left_out, plugin.pairs.files()), (3, 1));
        assert!(is_an_id(&commit(&[&"x".repeat(507)]).files[0]));
    }

    #[test]
    fn report_shows_the_pair_and_its_share() {
        let mut plugin = CoChange::default();
        plugin.count(commit(&["a", "b"])).unwrap();
        plugin.count(commit(&["a"])).unwrap();
        let strongest = plugin.pairs.strongest(5);
        let mut text = String::new();
        plugin.write(&strongest, &mut text).unwrap();
        assert!(
            text.contains("        1     50%    100%  a + b\n"),
            "{text}"
        );
    }
}
