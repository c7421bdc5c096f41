//! What plugins leave in the graph: whole hook calls or nothing, each record its
//! writer's own, and the same from the same history.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::number;
use gm_integration_tests::{Home, Package, Repository};

fn event(data: &str) -> String {
    format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{data}}}\n")
}

#[test]
fn a_hook_that_fails_leaves_nothing_in_the_graph() {
    let home = Home::new();
    let package = Package::of("writer").permission("host_api", "[\"nodes:write\"]");
    home.load(&package);
    let graph = home.beside("graph.db");
    let long = event(&format!("{{\"long\":\"{}\"}}", "x".repeat(5000)));
    let words = ["--graph", path_text(&graph)];

    let failed = home.run_events(&long, &words);
    let after_it = home.broker(&["graph", "dump", "--graph", path_text(&graph)]);
    let done = home.run_events(&event("{}"), &words);
    let after_both = home.broker(&["graph", "dump", "--graph", path_text(&graph)]);

    failed.expect_exit(1);
    assert!(!after_it.stdout.contains("test:shared"), "{after_it:#?}");
    done.expect_exit(0);
    let nodes: Vec<_> = after_both
        .records
        .iter()
        .filter(|line| line["node"].is_object())
        .collect();
    assert_eq!(nodes.len(), 1, "{after_both:#?}");
    assert_eq!(nodes[0]["node"]["id"], "test:shared");
    assert_eq!(nodes[0]["node"]["writer"], package.plugin());
}

#[test]
fn a_node_belongs_to_the_plugin_that_put_it_first() {
    let home = Home::new();
    let permission = |package: Package| package.permission("host_api", "[\"nodes:write\"]");
    let first = permission(Package::of("writer"));
    let second = permission(Package::of("writer").id("com.test.zweiter"));
    home.load(&first);
    home.load(&second);
    let graph = home.beside("graph.db");
    let words = ["--graph", path_text(&graph)];

    let run = |id: &str| home.run_events(&event("{}"), &[&words[..], &[id]].concat());
    run(first.plugin()).expect_exit(0);
    let other = run(second.plugin());

    other.expect_exit(1);
    let denied = other.one(second.plugin(), "denied");
    assert_eq!(denied["call"], "node_put");
    let replies = other.replies(second.plugin(), "on_commit_analyzed");
    assert_eq!(replies[0]["status"], "error");
}

#[test]
fn two_runs_of_the_examples_leave_equal_graphs() {
    let home = Home::new();
    let examples = [
        "com.example.co-change",
        "com.example.commit-lint",
        "com.example.commit-stats",
    ];
    for id in examples {
        home.load(&Package::example(id));
    }
    let repository = Repository::of(12);
    let dump = || home.broker(&["graph", "dump", "--repo", repository.text()]);

    let first = home.run(&repository, &[]);
    let one = dump();
    let second = home.run(&repository, &[]);
    let two = dump();

    for run in [&first, &second] {
        run.expect_exit(0);
        for id in examples {
            run.expect_ending(id, "finished");
        }
    }
    assert!(one.stdout.contains("co-change"), "{one:#?}");
    assert_eq!(one.stdout, two.stdout);
    let stats = first.replies("com.example.commit-stats", "shutdown");
    assert_eq!(stats[0]["reply"]["data"]["commits"], 12);
    // log.txt changed with each of the three other files in four commits.
    let edges: Vec<_> = one
        .records
        .iter()
        .filter(|line| line["edge"].is_object())
        .collect();
    let mut weights: Vec<_> = edges
        .iter()
        .map(|line| number(&line["edge"], "weight"))
        .collect();
    weights.sort_unstable();
    assert_eq!(weights, [4, 4, 4], "{edges:#?}");
}

#[test]
fn a_graph_file_that_is_not_ours_is_refused_and_left_alone() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let file = home.beside("notes.txt");
    std::fs::write(&file, "my notes\n").unwrap();
    let link = home.beside("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();

    for graph in [&file, &link] {
        let run = home.run_events(&event("{}"), &["--graph", path_text(graph)]);
        run.expect_refused(2, "source/graph");
        run.expect_nothing_started();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "my notes\n");
}
