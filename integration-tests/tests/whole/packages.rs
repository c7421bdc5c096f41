//! Packages that are refused by what their files are.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package};

fn load_signed(home: &Home, package: &Package, spoil: impl FnOnce(&Package)) -> Ended {
    home.sign(package);
    spoil(package);
    home.try_load(package)
}

#[test]
fn a_package_is_refused_by_what_its_files_are() {
    let home = Home::new();
    let package = || Package::of("observer").asset("words.txt", b"a few words");
    let words = |package: &Package| package.file("words.txt");
    let missing = load_signed(&home, &package(), |it| {
        std::fs::remove_file(words(it)).unwrap();
    });
    let linked = load_signed(&home, &package(), |it| {
        std::fs::hard_link(words(it), home.beside("second-name")).unwrap();
    });
    let symlink = load_signed(&home, &package(), |it| {
        std::fs::rename(words(it), home.beside("words")).unwrap();
        std::os::unix::fs::symlink(home.beside("words"), words(it)).unwrap();
    });
    let sparse = load_signed(&home, &package(), |it| {
        let file = std::fs::File::options()
            .write(true)
            .open(words(it))
            .unwrap();
        file.set_len(65 << 20).unwrap();
    });
    let crowded = load_signed(&home, &package(), |it| {
        for number in 0..300 {
            std::fs::write(it.file(&format!("{number}")), "").unwrap();
        }
    });

    for (load, code) in [
        (missing, "artifact/missing"),
        (linked, "artifact/not-regular"),
        (symlink, "artifact/unsafe-path"),
        (sparse, "artifact/too-big"),
    ] {
        let refused = load.expect_refused(14, code);
        let detail = text(refused, "detail");
        assert!(detail.contains("words.txt"), "{detail}");
    }
    // Which of them is seen first is the directory's order.
    crowded.expect_refused(14, "artifact/extra-file");
}

#[test]
fn a_file_that_is_written_to_while_it_is_read_is_refused() {
    let home = Home::new();
    let big = vec![b'x'; 30 << 20];
    let package = Package::of("observer").asset("words.txt", &big);
    home.sign(&package);
    let over = AtomicBool::new(false);
    let load = std::thread::scope(|scope| {
        let file = std::fs::File::options()
            .write(true)
            .open(package.file("words.txt"))
            .unwrap();
        let over = &over;
        scope.spawn(move || {
            // The same byte again: only the times tell.
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(b"x", 0).unwrap();
            }
        });
        let load = home.try_load(&package);
        over.store(true, Ordering::Relaxed);
        load
    });
    let refused = load.expect_refused(14, "artifact/changed-during-read");
    assert!(text(refused, "detail").contains("words.txt"), "{refused:#}");
    home.try_load(&package).expect_exit(0);
}

#[test]
fn a_module_with_more_than_the_compiler_takes_is_too_complex() {
    let home = Home::new();
    let globals = "(global i32 (i32.const 0))".repeat(20_001);
    let source = format!("(module (memory (export \"memory\") 1) {globals})");
    let package = Package::with_code("com.test.crowded", &Package::assemble(&source));
    let load = load_signed(&home, &package, |_| ());
    let refused = load.expect_refused(14, "artifact/too-complex");
    assert!(text(refused, "detail").contains("globals"), "{refused:#}");
}
