//! Every file of the corpus against its property, on the ordinary toolchain.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::{Path, PathBuf};

    /// What a committed input may have, in bytes.
    const MOST: usize = 4096;

    /// Targets of other builds: each replays those that it has.
    const ALL: [&str; 16] = [
        "blacklist",
        "broker_toml",
        "event_json",
        "foreign_bpf",
        "host_path",
        "keyring",
        "launcher_order",
        "link_state",
        "log_line",
        "manifest_text",
        "package_listing",
        "profile_toml",
        "query_text",
        "runner_frame",
        "signature_packet",
        "spec_vs_program",
    ];

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    }

    #[test]
    fn every_input_of_the_corpus_keeps_its_property() {
        let mut broken = Vec::new();
        for (target, property) in gm_fuzz::TARGETS {
            let corpus = fuzz().join("corpus").join(target);
            let inputs = names(&corpus);
            assert!(!inputs.is_empty(), "{target} has no corpus");
            let mut taken = 0;
            for name in inputs {
                let data = std::fs::read(corpus.join(&name)).unwrap();
                match catch_unwind(AssertUnwindSafe(|| property(&data))) {
                    Ok(took) => taken += usize::from(took),
                    Err(_) => broken.push(format!("{target}/{name}")),
                }
            }
            if taken == 0 {
                broken.push(format!("{target} takes nothing of its corpus"));
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn prefixes_of_an_input_keep_the_property_too() {
        for (target, property) in gm_fuzz::TARGETS {
            property(&[]);
            let corpus = fuzz().join("corpus").join(target);
            for name in names(&corpus).into_iter().take(3) {
                let data = std::fs::read(corpus.join(name)).unwrap();
                for end in (0..data.len()).step_by(1 + data.len() / 40) {
                    property(&data[..end]);
                }
            }
        }
    }

    #[test]
    fn each_target_has_a_corpus_of_small_files_and_each_corpus_a_target() {
        let all: BTreeSet<String> = ALL.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(&fuzz().join("corpus")), all);
        let targets = names(&fuzz().join("fuzz_targets"));
        let named: BTreeSet<String> = all.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(targets, named);
        for (target, _) in gm_fuzz::TARGETS {
            assert!(all.contains(*target));
        }
        for target in all {
            let corpus = fuzz().join("corpus").join(&target);
            for name in names(&corpus) {
                let len = std::fs::metadata(corpus.join(&name)).unwrap().len();
                assert!(len <= MOST as u64, "{target}/{name} has {len} bytes");
            }
        }
    }
}
