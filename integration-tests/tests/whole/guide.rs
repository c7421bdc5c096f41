//! What the author's guide shows works as it stands there.

use gm_integration_tests::{Home, Package, Repository, project};
use serde_json::json;

/// The block of the guide in this language that holds `word`.
fn block(language: &str, word: &str) -> String {
    let path = project().join("sandbox-runner/plugin-sdk/README.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let blocks = guide.split(&fence).skip(1);
    let mut texts = blocks.filter_map(|rest| rest.split_once("```\n").map(|(text, _)| text));
    texts.find(|text| text.contains(word)).unwrap().to_owned()
}

#[test]
fn the_smallest_plugin_of_the_guide_answers_every_commit() {
    let home = Home::new();
    let code = Package::assemble(&block("wat", "hello"));
    let package = Package::with_code("com.test.smallest", &code);
    home.load(&package);

    let run = home.run(&Repository::of(3), &[]);

    run.expect_exit(0);
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    assert_eq!(replies.len(), 3);
    assert!(
        replies
            .iter()
            .all(|reply| reply["reply"] == json!({"hello": true})),
        "{run:#?}"
    );
}

#[test]
fn an_author_tries_a_package_with_the_manifest_of_the_guide() {
    let home = Home::without_key();
    let package = Package::of("observer").id("com.example.fixes");
    let manifest = block("toml", "[permissions]");
    std::fs::write(package.file("plugin.manifest.toml"), &manifest).unwrap();
    let repository = Repository::of(3);

    let tried = home.gm(&["plugin", "try", package.text(), "--repo", repository.text()]);

    tried.expect_exit(0);
    tried.expect_ending(package.plugin(), "finished");
    assert_eq!(
        tried.replies(package.plugin(), "on_commit_analyzed").len(),
        3
    );
    // The author's package is as it was, and nothing stays loaded.
    assert_eq!(package.manifest(), manifest);
    let listed = home.gm(&["plugin", "list"]);
    assert!(!listed.stdout.contains(package.plugin()), "{listed:#?}");
}
