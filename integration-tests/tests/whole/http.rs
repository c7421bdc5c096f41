//! Requests of plugins: what a granted host answers, what is refused, and the
//! process that asks.

use std::io::Write;
use std::time::{Duration, Instant};

use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::records::{number, text};
use gm_integration_tests::server::Server;
use gm_integration_tests::skip::{below_l4, lacks};
use gm_integration_tests::{Ended, Home, Package, peer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const ID: &str = "com.test.fetcher";

/// A home whose operator grants any host, and these addresses beside public ones.
fn home(allowed: &[&Server], more: &str) -> Home {
    let home = Home::new();
    configure(&home, allowed, more);
    home
}

fn configure(home: &Home, allowed: &[&Server], more: &str) {
    let allowed: Vec<String> = allowed.iter().map(|server| server.authority()).collect();
    home.configure(&format!(
        "[grants]\nnetwork = true\n[http]\nallow_private = {allowed:?}\n{more}\n"
    ));
}

/// The plugin that sends each event on as a request.
fn fetcher(network: &str) -> Package {
    Package::of("fetcher").permission("network", network)
}

fn hosts(servers: &[&Server]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| server.authority()).collect();
    format!("{{ hosts = {hosts:?} }}")
}

/// An event that is a request of this form.
fn event(request: &Value) -> String {
    json!({"hook": "on_commit_analyzed", "data": request}).to_string() + "\n"
}

fn get(url: &str) -> String {
    event(&json!({ "url": url }))
}

/// What each event was answered: the response, or the error's text.
fn answers(run: &Ended) -> Vec<Value> {
    let replies = run.replies(ID, "on_commit_analyzed");
    let answer = |reply: &&Value| match reply["status"].as_str() {
        Some("ok") => reply["reply"].clone(),
        _ => reply["error"].clone(),
    };
    replies.iter().map(answer).collect()
}

fn error(answer: &Value) -> &str {
    answer
        .as_str()
        .unwrap_or_else(|| panic!("{answer} is no error"))
}

#[test]
fn a_granted_host_is_asked_where_the_operator_allows_its_address() {
    let server = Server::saying("hello");
    let home = home(&[&server], "");
    home.load(&fetcher(&hosts(&[&server])));
    let run = home.run_events(&get(&server.url("/a?b")), &[]);
    run.expect_exit(0);
    let [answer] = answers(&run).try_into().unwrap();
    assert_eq!(
        (&answer["status"], &answer["body"]),
        (&json!(200), &json!("hello"))
    );
    assert!(
        server.seen()[0].starts_with("GET /a?b HTTP/1.1\r\n"),
        "{:?}",
        server.seen()
    );
    let started = run.one(ID, "started");
    let granted = format!("network {}", server.authority());
    assert_eq!(started["granted"], json!([granted]));
    assert_eq!(run.one(ID, "ended")["http"]["requests"], 1);
}

#[test]
fn by_default_nothing_but_public_addresses_is_asked() {
    let server = Server::saying("secret");
    let port = server.port();
    let home = home(&[], "");
    home.load(&fetcher("true"));
    let urls: Vec<String> = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://172.16.0.1/".to_owned(),
        "http://192.168.0.1/".to_owned(),
        "http://[fd00::1]/".to_owned(),
        "http://[fe80::1]/".to_owned(),
    ]
    .into();
    let events: String = urls.iter().map(|url| get(url)).collect();
    let run = home.run_events(&events, &[]);
    let answers = answers(&run);
    assert_eq!(answers.len(), urls.len());
    for (url, answer) in urls.iter().zip(&answers) {
        assert!(error(answer).starts_with("8 address: "), "{url}: {answer}");
    }
    assert!(server.seen().is_empty());
    run.expect_ending(ID, "finished");
}

#[test]
fn redirects_to_such_addresses_and_credentials_are_refused_too() {
    let victim = Server::saying("secret");
    let to = victim.url("/");
    let redirect = move |to: &str| {
        Server::answering(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let servers = [
        redirect(&to),
        redirect("http://169.254.169.254/"),
        redirect("file:///etc/passwd"),
    ];
    let home = home(&[&servers[0], &servers[1], &servers[2]], "");
    home.load(&fetcher("true"));
    let events = [
        get(&servers[0].url("/")),
        get(&servers[1].url("/")),
        get(&servers[2].url("/")),
        get(&format!("http://user:word@{}/", servers[0].authority())),
        get("ftp://example.com/"),
        event(&json!({"url": servers[0].url("/"), "headers": [["X", "a\r\nHost: evil"]]})),
        event(&json!({"url": servers[0].url("/"), "proxy": "x"})),
    ];
    let run = home.run_events(&events.concat(), &[]);
    let starts = [
        "8 address: ",
        "8 address: ",
        "8 url: ",
        "8 url: ",
        "8 url: ",
        "3 ",
        "3 ",
    ];
    let answers = answers(&run);
    assert_eq!(answers.len(), starts.len());
    for (answer, start) in answers.iter().zip(starts) {
        assert!(error(answer).starts_with(start), "{start}: {answer}");
    }
    assert!(victim.seen().is_empty());
}

#[test]
fn a_host_outside_of_the_grant_is_denied_with_the_manifests_line() {
    let (granted, other) = (Server::saying("hello"), Server::saying("secret"));
    let home = home(&[&granted, &other], "");
    let package = fetcher(&hosts(&[&granted]));
    home.load(&package);
    let run = home.run_events(
        &[get(&other.url("/")), get(&granted.url("/"))].concat(),
        &[],
    );
    let answers = answers(&run);
    assert_eq!(
        (error(&answers[0]), &answers[1]["body"]),
        ("1 ", &json!("hello"))
    );
    let denied = run.one(ID, "denied");
    assert_eq!(denied["call"], "http_request");
    assert_eq!(denied["what"], other.authority());
    assert_eq!(
        number(denied, "manifest_line"),
        package.line_of("network") as u64
    );
    assert!(other.seen().is_empty());
}

#[test]
fn without_the_operators_word_no_request_is_made_at_all() {
    let server = Server::saying("secret");
    let home = Home::new();
    home.configure(&format!(
        "[http]\nallow_private = [{:?}]\n",
        server.authority()
    ));
    let package = fetcher(&hosts(&[&server]));
    home.sign(&package);
    let refused = home.try_load(&package);
    let refused = refused.expect_refused(17, "policy/import-not-granted");
    let detail = text(refused, "detail");
    assert!(
        detail.contains("http_request") && detail.contains("network = {"),
        "{detail}"
    );
    // The same manifest without the import is loaded, and says what was dropped.
    let package = Package::of("observer").permission("network", &hosts(&[&server]));
    home.load(&package);
    let run = home.run_events("", &[]);
    let started = run.one("com.test.observer", "started");
    assert_eq!(started["refused"][0]["asked"], "network");
    assert_eq!(started["refused"][0]["by"], "operator");
    assert_eq!(started["http"], Value::Null);
}

#[test]
fn the_operators_exception_for_one_plugin_counts() {
    let server = Server::saying("hello");
    let home = Home::new();
    home.configure(&format!(
        "[plugins.\"{ID}\"]\nnetwork = {}\n[http]\nallow_private = [{:?}]\n",
        hosts(&[&server]),
        server.authority()
    ));
    // More is asked for than is allowed: cut, and said.
    home.load(&fetcher("true"));
    let run = home.run_events(
        &[get(&server.url("/")), get("http://a.example/")].concat(),
        &[],
    );
    let answers = answers(&run);
    assert_eq!(
        (&answers[0]["body"], error(&answers[1])),
        (&json!("hello"), "1 ")
    );
    let refused = &run.one(ID, "started")["refused"][0];
    assert_eq!(
        (&refused["asked"], &refused["value"]),
        (&json!("network"), &json!("true"))
    );
}

#[test]
fn scripts_make_requests_like_every_other_plugin() {
    let server = Server::saying("hello");
    let (granted, private) = (server.url("/"), "http://10.0.0.1/");
    let events = [get(&granted), get(private)].concat();
    let lua = "function on_commit_analyzed(request)
      local ok, got = pcall(gm.http_request, request)
      if ok then return {status = got.status, body = got.body} end
      return {code = got.code, message = got.message}
    end";
    let js = "export function on_commit_analyzed(request) {
      try { const {status, body} = gm.http_request(request); return {status, body} }
      catch (error) { return {code: error.code, message: error.message} }
    }";
    for (kind, script) in [("lua", lua), ("js", js)] {
        let home = home(&[&server], "");
        let package = Package::script("asker", kind, script).permission("network", "true");
        home.load(&package);
        let run = home.run_events(&events, &[]);
        let replies = run.replies(package.plugin(), "on_commit_analyzed");
        assert_eq!(
            replies[0]["reply"],
            json!({"status": 200, "body": "hello"}),
            "{kind}"
        );
        let refused = &replies[1]["reply"];
        assert_eq!(refused["code"], "net", "{kind}");
        assert!(
            text(refused, "message").contains("address: "),
            "{kind}: {refused}"
        );
    }
}

#[test]
fn an_ordinary_users_plugin_makes_requests_too() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let server = Server::saying("hello");
    let home = Home::of_stranger();
    home.write_config(&format!(
        "[isolation]\nmin = \"L3\"\n[grants]\nnetwork = true\n[http]\nallow_private = [{:?}]\n",
        server.authority()
    ));
    home.load(&fetcher(&hosts(&[&server])));
    let run = home.run_events(&get(&server.url("/")), &[]);
    assert_eq!(answers(&run)[0]["body"], "hello");
    assert_eq!(run.one(ID, "started")["level"], "L3");
}

/// A server that drips for ever.
fn dripping() -> Server {
    Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_slow_server_is_an_error_at_its_own_timeout_and_the_plugins_end_at_its_deadline() {
    let server = dripping();
    let begun = Instant::now();
    let first = home(&[&server], "timeout = \"300ms\"");
    first.load(&fetcher("true").permission("time_limit", "\"20s\""));
    let run = first.run_events(&get(&server.url("/")), &[]);
    assert!(error(&answers(&run)[0]).starts_with("8 time: "));
    run.expect_ending(ID, "finished");
    let second = home(&[&server], "timeout = \"60s\"");
    second.load(&fetcher("true").permission("time_limit", "\"300ms\""));
    let run = second.run_events(&get(&server.url("/")), &[]);
    run.expect_ending(ID, "timed_out");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn bodies_and_redirects_have_their_number() {
    let large = Server::saying(&"x".repeat(3 << 20));
    let round = Server::answering(
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
    );
    let small = Server::saying(&"y".repeat(900 << 10));
    let home = home(&[&large, &round, &small], "body = \"2mb\"\nredirects = 5");
    home.load(&fetcher("true").permission("time_limit", "\"20s\""));
    let events = [
        get(&large.url("/")),
        get(&round.url("/")),
        get(&small.url("/")),
    ];
    let run = home.run_events(&events.concat(), &[]);
    let answers = answers(&run);
    assert_eq!(
        error(&answers[0]),
        "8 body: the body is longer than 2097152 bytes"
    );
    assert_eq!(error(&answers[1]), "8 redirect: more than 5 of them");
    assert_eq!(round.seen().len(), 6);
    assert_eq!(answers[2]["body"].as_str().map(str::len), Some(900 << 10));
}

#[test]
fn the_process_that_asks_has_every_wall_but_the_network() {
    let server = Server::saying("hello");
    let home = home(&[&server], "");
    home.load(&fetcher(&hosts(&[&server])));
    let mut live = home.start_events(&[]);
    let started = live.wait_for("its start", |record| record["event"] == "started");
    let http = &started["http"];
    let asks = Process::find(u32::try_from(number(http, "pid")).unwrap()).unwrap();
    let plugin = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();
    let own = Process::find(std::process::id()).unwrap();
    for name in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let shared = asks.namespace(name) == own.namespace(name);
        assert_eq!(shared, name == "net", "{name}");
        assert_ne!(asks.namespace(name), plugin.namespace(name), "{name}");
    }
    assert_eq!(
        asks.status("Seccomp_filters"),
        plugin.status("Seccomp_filters")
    );
    for (name, value) in [
        ("NoNewPrivs", "1"),
        ("CapEff", "0000000000000000"),
        ("Threads", "1"),
    ] {
        assert_eq!(asks.status(name), value, "{name}");
    }
    let open: Vec<u32> = asks.descriptors().into_keys().collect();
    assert_eq!(open, [0, 1, 2, 3]);
    let mounts = asks.mounts();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert!(mounts[0].has("ro") && mounts[0].has("noexec"));
    let port = u64::from(server.port());
    assert!(
        http["landlock"]["ports"]
            .as_array()
            .unwrap()
            .contains(&json!(port))
    );
    assert_eq!(http["seccomp"]["filters"], 4);
    if !below_l4() {
        assert_ne!(http["uid"], started["uid"]);
        assert_ne!(http["cgroup"]["memory"], started["cgroup"]["memory"]);
    }
    let run = live.finish();
    run.expect_exit(0);
    assert!(within(Duration::from_secs(2), || !asks.lives()));
}

#[test]
fn a_process_that_was_killed_is_the_error_of_one_call() {
    let server = Server::saying("hello");
    let home = home(&[&server], "");
    home.load(&fetcher(&hosts(&[&server])));
    let mut live = home.start_events(&[]);
    let started = live.wait_for("its start", |record| record["event"] == "started");
    let pid = i32::try_from(number(&started["http"], "pid")).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    for number in 1..=2 {
        live.write_line(get(&server.url("/")).trim());
        live.wait_for("an answer", |record| {
            record["event"] == "reply" && record["seq"] == number
        });
    }
    let run = live.finish();
    let answers = answers(&run);
    assert!(error(&answers[0]).starts_with("8 http: "), "{}", answers[0]);
    assert_eq!(answers[1]["body"], "hello");
    let http = &run.expect_ending(ID, "finished")["http"];
    assert_eq!(
        http["ended_before"].as_array().map(Vec::len),
        Some(1),
        "{http}"
    );
}

#[test]
fn policy_show_names_the_hosts_and_the_process_that_asks_them() {
    let home = Home::new();
    home.configure("[grants]\nnetwork = { hosts = [\"*.example.com:443\"] }\n");
    let package = fetcher("{ hosts = [\"api.example.com:443\", \"b.example:80\"] }");
    let manifest = package.file("plugin.manifest.toml");
    let shown = home.policy("show", gm_integration_tests::home::text(&manifest));
    let of =
        |kind: &str| -> Vec<&Value> { shown.iter().filter(|line| line["kind"] == kind).collect() };
    let calls = of("host_call");
    let call = calls
        .iter()
        .find(|line| line["name"] == "http_request")
        .unwrap();
    assert_eq!(call["scope"], json!(["api.example.com:443"]));
    assert_eq!(call["because"][0]["line"], package.line_of("network"));
    assert_eq!(of("refused")[0]["value"], "b.example:80");
    assert_eq!(of("plan").len(), 1);
    let http = of("http_plan");
    assert_eq!(
        (&http[0]["network"], &http[0]["engine"]),
        (&json!("host"), &json!("http"))
    );
    assert!(number(http[0], "running_calls") <= number(http[0], "ceiling"));
    let ports: Vec<&Value> = of("http_landlock")
        .iter()
        .map(|line| &line["port"])
        .collect();
    assert_eq!(ports, [&json!(443), &json!(53), &Value::Null]);
    // The plugin's own process gets nothing by it.
    let sockets = of("rule")
        .into_iter()
        .filter(|line| line["call"] == "socket");
    assert_eq!(sockets.count(), 0);
    assert!(of("http_rule").iter().any(|line| line["call"] == "socket"));
}

/// A run with a hostile process in the place of the one that asks.
fn hostile(act: &str) -> Ended {
    let home = Home::new().with_binaries(peer::as_requester());
    home.configure("[grants]\nnetwork = true\n[http]\ntimeout = \"300ms\"\n[restart]\nmax = 0\n");
    let host = format!("{{ hosts = [\"act-{act}.example:80\"] }}");
    home.load(&fetcher(&host).permission("time_limit", "\"20s\""));
    home.run_events(&get("http://a.example/").repeat(2), &[])
}

#[test]
fn what_a_subverted_process_says_is_an_error_of_the_call_and_no_more() {
    let honest = hostile("none");
    assert_eq!(answers(&honest)[0]["body"], "honest");
    for act in [
        "says-nothing",
        "ends",
        "sends-garbage",
        "answers-another",
        "claims-a-length",
        "answers-no-json",
        "says-not-found",
        "answers-as-a-plugin",
        "never-ends",
    ] {
        let run = hostile(act);
        run.expect_ending(ID, "finished");
        let answers = answers(&run);
        assert_eq!(answers.len(), 2, "{act}");
        for answer in &answers {
            let text = error(answer);
            assert!(
                text.starts_with("8 http: ") || text.starts_with("8 time: "),
                "{act}: {text}"
            );
        }
    }
    let painted = hostile("paints-a-denial");
    let denied = painted.of(ID, "denied");
    assert_eq!(denied.len(), 2);
    let what = text(denied[0], "what");
    assert!(!what.contains(|c: char| c.is_control()), "{what:?}");
}

#[test]
fn a_plugin_does_not_run_beside_a_process_that_lies_about_its_walls() {
    for (act, layer) in [
        ("no-filter", "seccomp"),
        ("says-root", "uid"),
        ("says-unwalled", "landlock"),
        ("more-descriptors", "descriptors"),
        ("no-last-filter", "seccomp"),
        ("answer-before-go", "operator"),
    ] {
        let run = hostile(act);
        let ending = if layer == "operator" {
            "crashed"
        } else {
            "wall_missing"
        };
        let ended = run.expect_ending(ID, ending);
        assert_eq!(ended["layer"], layer, "{act}");
        assert!(text(ended, "detail").contains("gm-http"), "{act}: {ended}");
        assert!(
            run.of(ID, "started").is_empty() && answers(&run).is_empty(),
            "{act}"
        );
    }
}
