//! Repositories of somebody else's, and lists that are empty.

use super::super::judge::Shown;
use super::places::make_pipe;
use super::trust::{at_load_by, write};
use super::{Attack, all, for_root, held, plain, refused};
use crate::home::text;
use crate::process::{command, run as run_to_end};
use crate::{Home, Package, Repository};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "tr-repo" => plain(&[
            configured_programs,
            || for_root("only root can give a repository away", foreign_owner),
            pipes_in_git,
        ]),
        "lc-empty-lists" => plain(&[empty_grants, empty_import_list]),
        _ => Vec::new(),
    }
}

/// A repository whose configuration names programs: none is run.
fn configured_programs() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let repository = Repository::of(2);
    let trace = home.beside("was-run");
    let program = format!("touch {}", text(&trace));
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "filter.x.process",
        "filter.x.smudge",
        "diff.x.textconv",
        "diff.external",
        "core.pager",
        "core.alternateRefsCommand",
        "gc.recentObjectsHook",
    ] {
        let _ = repository.git(&["config", key, &program]);
    }
    write(
        &repository.path().join(".gitattributes"),
        "* filter=x diff=x\n",
    );
    let run = home.run(&repository, &[]);
    let mut harm: Vec<String> = trace
        .exists()
        .then(|| "the repository's program was run".to_owned())
        .into_iter()
        .collect();
    if run.exit != 0 {
        harm.push(format!("an honest history was refused: {}", run.stdout));
    }
    // Git itself, asked for no more than what has changed, runs one, whatever it makes of it.
    let mut git = command("git", repository.path());
    let _ = run_to_end(git.arg("status"), b"");
    if harm.is_empty() && !trace.exists() {
        return Shown::Unproved("no program of it is run by git either".to_owned());
    }
    held("broker", "no program of it was run", &harm)
}

fn foreign_owner() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let repository = Repository::of(1);
    let given = std::os::unix::fs::chown(repository.path(), Some(12_345), Some(12_345));
    assert!(given.is_ok(), "{given:?}");
    refused(
        "broker",
        &home.run(&repository, &[]),
        &["source/unsafe-owner"],
    )
}

/// A named pipe where a file of the Git directory should be holds nobody up.
fn pipes_in_git() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let tried = ["HEAD", "packed-refs", "objects/info/alternates"].map(|name| {
        let repository = Repository::of(1);
        let pipe = repository.path().join(".git").join(name);
        let _ = std::fs::remove_file(&pipe);
        make_pipe(&pipe);
        refused(
            "broker",
            &home.run(&repository, &[]),
            &["source/not-a-repository"],
        )
    });
    all(tried)
}

/// An empty list of the operator's is deny-all.
fn empty_grants() -> Shown {
    let home = Home::new();
    home.configure("[grants]\nfilesystem = { read = [], write = [] }\nhost_api = []\n");
    let package = Package::of("writer").permission("host_api", "[\"nodes:write\"]");
    home.sign(&package);
    at_load_by("broker", &home, &package, &["policy/import-not-granted"])
}

/// And so is one of the manifest's.
fn empty_import_list() -> Shown {
    let home = Home::new();
    let package = Package::of("writer").permission("host_api", "[]");
    home.sign(&package);
    at_load_by("broker", &home, &package, &["policy/import-not-granted"])
}
