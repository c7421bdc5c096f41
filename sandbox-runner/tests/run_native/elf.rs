//! Files that are not loaded, each with its reason.

use crate::peer::{Form, Peer, compiled, executable, shared, writable};

fn refused(form: Form, code: &[u8]) -> String {
    let peer = Peer::start(form, code).go(form.filters());
    crate::refused::refused(peer.plugin)
}

#[test]
fn shared_objects_that_are_not_self_contained_are_refused_by_name() {
    for (words, why) in [
        (&["-Wl,-rpath,/tmp"][..], "DT_RPATH, DT_RUNPATH"),
        (
            &["-Wl,--disable-new-dtags,-rpath,/tmp"],
            "DT_RPATH, DT_RUNPATH",
        ),
        (
            &["-Wl,--no-as-needed", "-lresolv"],
            "needs the library libresolv.so.2",
        ),
        (&["-Wl,-z,execstack"], "executable stack"),
        (&["-Wl,--audit=x.so"], "DT_AUDIT"),
        (&["-Wl,--depaudit=x.so"], "DT_DEPAUDIT"),
        (&["-Wl,-f,x.so"], "DT_AUXILIARY"),
        (&["-Wl,-F,x.so"], "DT_FILTER"),
        (
            &["-Wl,-z,notext", "-fno-pic", "-mcmodel=large"],
            "DT_TEXTREL",
        ),
    ] {
        let text = refused(Form::Native, &shared(words));
        assert!(text.contains(why), "{words:?}: {text}");
    }
}

#[test]
fn libraries_of_the_c_family_are_there() {
    let code = shared(&["-Wl,--no-as-needed", "-lm", "-shared-libgcc"]);
    let mut plugin = Peer::of(Form::Native, &code);
    assert_eq!(plugin.call("reply").status, 0);
}

#[test]
fn another_version_of_the_table_is_refused_with_both_versions() {
    for (words, why) in [
        (
            &["-DSYMBOL=gm_plugin_v1"][..],
            "speaks version 1 (gm_plugin_v1), this host version 2 (gm_plugin_v2)",
        ),
        (
            &["-DSYMBOL=gm_plugin_v3"],
            "speaks version 3 (gm_plugin_v3), this host version 2 (gm_plugin_v2)",
        ),
        (&["-DVERSION=1"], "of version 1, this host speaks version 2"),
        (&["-DVERSION=3"], "of version 3, this host speaks version 2"),
        (&["-DSIZE=47"], "has 47 bytes, in version 2 it has 48"),
        (&["-DSYMBOL=other"], "does not define gm_plugin_v2"),
        (&["-fvisibility=hidden"], "does not define gm_plugin_v2"),
    ] {
        let text = refused(Form::Native, &shared(words));
        assert!(text.contains(why), "{words:?}: {text}");
    }
}

#[test]
fn a_table_that_has_grown_is_taken() {
    let mut plugin = Peer::of(Form::Native, &shared(&["-DSIZE=64"]));
    assert_eq!(plugin.call("reply").status, 0);
}

#[test]
fn what_is_no_code_of_its_form_is_refused() {
    for (form, code, why) in [
        (Form::Native, b"\0asm\x01\0\0\0".to_vec(), "no ELF file"),
        (Form::Native, Vec::new(), "no ELF file"),
        (Form::Native, executable(&[]), "no shared object"),
        (
            Form::Native,
            compiled("program.c", &["-pie", "-fPIE"]),
            "a program, not a shared object",
        ),
        (Form::Program, b"#!/bin/sh\n".to_vec(), "no ELF file"),
        (
            Form::Program,
            compiled("program.c", &[]),
            "linked dynamically",
        ),
        (Form::Program, shared(&[]), "needs the library libc.so.6"),
        (
            Form::Program,
            executable(&["-Wl,-z,execstack"]),
            "executable stack",
        ),
        (
            Form::Native,
            writable(shared(&[])),
            "writable and executable",
        ),
        (
            Form::Program,
            writable(executable(&[])),
            "writable and executable",
        ),
    ] {
        let text = refused(form, &code);
        assert!(text.contains(why), "{form:?} {why}: {text}");
    }
}
