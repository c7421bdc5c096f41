//! What a home, its configuration and the source of a run are refused for.

use std::time::{Duration, Instant};

use gm_integration_tests::records::text;
use gm_integration_tests::{Home, Package, Repository};

#[test]
fn a_store_that_another_process_holds_is_waited_for_and_then_refused() {
    let home = Home::new();
    let lock = home.path().join("trust/.lock");
    let held = std::fs::File::options().write(true).open(lock).unwrap();
    held.lock().unwrap();
    let package = Package::of("observer");
    home.sign(&package);

    let begun = Instant::now();
    let load = home.try_load(&package);
    let took = begun.elapsed();
    held.unlock().unwrap();

    load.expect_refused(18, "store/locked");
    assert!(took >= Duration::from_secs(4), "{took:?}");
    home.try_load(&package).expect_exit(0);
}

#[test]
fn more_plugins_than_the_operator_allows_are_not_admitted() {
    let home = Home::new();
    home.configure("[limits]\nplugins = 1\n");
    home.load(&Package::of("observer"));
    home.load(&Package::of("observer").id("com.test.other"));

    let run = home.run(&Repository::of(1), &[]);

    let refused = run.expect_refused(17, "policy/admission");
    assert_eq!(refused["plugin"], "com.test.other");
    run.expect_ending("com.test.observer", "finished");
}

#[test]
fn memory_that_is_not_there_is_not_given_away() {
    let home = Home::new();
    home.configure("[limits]\nreserve = \"64gb\"\n");
    home.load(&Package::of("observer"));
    let run = home.run(&Repository::of(1), &[]);
    let refused = run.expect_refused(17, "policy/admission");
    assert!(text(refused, "detail").contains("memory"), "{refused:#}");
    run.expect_nothing_started();
}

#[test]
fn objects_of_an_unknown_format_are_refused() {
    let home = Home::new();
    let repository = Repository::of(1);
    for (key, value) in [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.objectFormat", "sha512"),
    ] {
        let _ = repository.git(&["config", key, value]);
    }
    let run = home.run(&repository, &[]);
    run.expect_refused(2, "source/object-format");
}
