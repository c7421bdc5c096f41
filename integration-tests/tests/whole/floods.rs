//! A plugin that makes us write: its records are bounded and their number is told, and
//! neither the run's own records nor a neighbour's give way to them.

use std::path::Path;

use gm_integration_tests::records::number;
use gm_integration_tests::{Home, Package, process};
use serde_json::{Value, json};

const FLOOD: &str = "com.test.flood";
const TELLER: &str = "com.test.teller";
const QUIET: &str = "com.test.quiet";

/// The least that turns four times while a flood of that size is written down.
const LOG_FILE: u64 = 1 << 20;

/// Is refused ten thousand times at each event. Has no permission at all.
fn flood() -> Package {
    let text = "
function on_commit_analyzed(commit)
  for i = 1, 10000 do pcall(gm.node_get, 'n') end
end
";
    Package::script("flood", "lua", text).permission("time_limit", "\"50s\"")
}

/// Emits three thousand records at each event, and answers with a big reply.
fn teller() -> Package {
    let text = "
function on_commit_analyzed(commit)
  for i = 1, 3000 do gm.event_emit('test.told', { text = 'told' }) end
  return { big = string.rep('x', 500000) }
end
";
    Package::script("teller", "lua", text)
        .permission("host_api", "[\"events:emit\"]")
        .permission("time_limit", "\"50s\"")
}

/// Is refused once at each event.
fn quiet() -> Package {
    let text = "
function on_commit_analyzed(commit)
  pcall(gm.edge_get, { src = 'a', dst = 'b', kind = 'c' })
  return { quiet = true }
end
";
    Package::script("quiet", "lua", text)
}

fn home(packages: &[Package]) -> Home {
    let home = Home::new();
    home.configure(&format!("[limits]\nlog_file = \"{}kb\"\n", LOG_FILE >> 10));
    for package in packages {
        home.load(package);
    }
    home
}

fn events(times: usize) -> String {
    "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n".repeat(times)
}

/// All records that the journal still has, and how many bytes they are.
fn journal(home: &Path) -> (Vec<Value>, u64) {
    let names = ["", ".1", ".2", ".3", ".4"];
    let texts = names.iter().filter_map(|number| {
        std::fs::read_to_string(home.join(format!("logs/broker.jsonl{number}"))).ok()
    });
    let text: String = texts.collect();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (records.collect(), u64::try_from(text.len()).unwrap())
}

fn of<'a>(records: &'a [Value], id: &str, event: &str) -> Vec<&'a Value> {
    let all = records.iter();
    all.filter(|record| record["plugin"] == id && record["event"] == event)
        .collect()
}

/// The last sum for these records.
fn sum<'a>(records: &'a [Value], id: &str, what: &str) -> &'a Value {
    let mut sums = of(records, id, "omitted").into_iter();
    sums.rfind(|sum| sum["of"] == what).unwrap()
}

#[test]
fn a_flood_of_refusals_is_summed_and_takes_no_record_of_the_run_or_its_neighbour() {
    let home = home(&[flood(), teller(), quiet()]);

    let run = home.run_events(&events(10), &[]);

    run.expect_exit(0);
    let (kept, bytes) = journal(&home.path());
    assert!(bytes < 5 * LOG_FILE, "{bytes}");
    for records in [&run.records, &kept] {
        // The first ones in full, then the true number of all.
        assert_eq!(of(records, FLOOD, "denied").len(), 100);
        let sums = of(records, FLOOD, "omitted");
        let totals: Vec<u64> = sums.iter().map(|sum| number(sum, "total")).collect();
        assert_eq!(totals, [101, 110, 200, 1_100, 10_100, 100_000]);
        let last = sum(records, FLOOD, "denied");
        assert_eq!(last["call"], "node_get");
        assert_eq!(
            (&last["written"], &last["in_journal"]),
            (&json!(100), &json!(100))
        );
        let last = sum(records, TELLER, "emitted");
        assert_eq!(
            (&last["total"], &last["written"]),
            (&json!(30_000), &json!(11_000))
        );
        // The neighbour's, one by one.
        assert_eq!(of(records, QUIET, "denied").len(), 10);
        assert_eq!(of(records, QUIET, "reply").len(), 10);
        assert_eq!(of(records, QUIET, "omitted"), Vec::<&Value>::new());
        // The run's own.
        for id in [FLOOD, TELLER, QUIET] {
            assert_eq!(of(records, id, "started").len(), 1, "{id}");
            assert_eq!(of(records, id, "ended").len(), 1, "{id}");
        }
        for event in ["run_started", "run_ended"] {
            let all = records.iter().filter(|record| record["event"] == event);
            assert_eq!(all.count(), 1, "{event}");
        }
    }
    assert_eq!(of(&run.records, TELLER, "emitted").len(), 11_000);
    // Each event has its answer where the caller reads it; the journal has what fits
    // into the plugin's share, and says what it lacks.
    assert_eq!(of(&run.records, TELLER, "reply").len(), 10);
    let last = sum(&kept, TELLER, "reply");
    let replies = u64::try_from(of(&kept, TELLER, "reply").len()).unwrap();
    assert_eq!((&last["total"], &last["written"]), (&json!(10), &json!(10)));
    assert_eq!(number(last, "in_journal"), replies);
    assert!(replies < 10, "{replies}");
}

#[test]
fn people_get_no_flood_of_lines_and_read_how_many_there_were() {
    let home = home(&[teller()]);
    let mut command = home.plain("gm-broker");
    command.args(["run", "--events", "-"]);

    let run = process::run(&mut command, events(4).as_bytes());

    run.expect_exit(0);
    assert_eq!(run.stdout.lines().count(), 10_400);
    let told = format!("{TELLER} │ 12000 emitted records; 10400 of them were recorded");
    assert!(run.stderr.contains(&told), "{}", run.stderr);
}
