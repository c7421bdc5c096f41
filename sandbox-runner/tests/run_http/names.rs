//! Names: who is asked for their addresses, and that the address that was judged is
//! the one that is connected to.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use gm_protocol::plan::HttpSetup;
use serde_json::json;

use crate::broker::{Peer, known, only, task};
use crate::server::{Nameserver, Says, Server, ok};

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// With this nameserver, and a server's own address allowed.
fn asking(nameserver: &Nameserver, server: &Server) -> HttpSetup {
    HttpSetup {
        nameservers: vec![nameserver.address],
        ..task(&[server.address])
    }
}

fn url(server: &Server) -> String {
    format!("http://a.example:{}/", server.address.port())
}

#[test]
fn a_name_is_asked_for_once_and_its_address_is_the_one_that_is_used() {
    let server = Server::saying(ok("hi"));
    let nameserver = Nameserver::start(|_, _, _| Says::These(vec![ONE]));
    let mut peer = Peer::ready(asking(&nameserver, &server));
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
    assert_eq!(nameserver.asked(), ["A a.example"]);
}

#[test]
fn an_answer_that_changes_after_it_was_judged_changes_nothing() {
    // The same port on both: what differs is the address alone.
    let server = Server::on("127.0.0.2:0", |_, _, stream| {
        std::io::Write::write_all(stream, ok("public").as_bytes())
    });
    let victim = Server::on(
        &format!("127.0.0.1:{}", server.address.port()),
        |_, _, _| Ok(()),
    );
    let nameserver =
        Nameserver::start(|_, _, before| Says::These(vec![if before == 0 { TWO } else { ONE }]));
    let mut peer = Peer::ready(asking(&nameserver, &server));
    assert_eq!(peer.get(&url(&server)).response()["body"], "public");
    assert_eq!(nameserver.asked(), ["A a.example"]);
    // Now the name leads to the victim, and is judged anew.
    peer.get(&url(&server)).net("address");
    assert!(victim.seen().is_empty());
}

#[test]
fn of_several_addresses_only_those_that_pass_are_tried() {
    let server = Server::on("127.0.0.2:0", |_, _, stream| {
        std::io::Write::write_all(stream, ok("hi").as_bytes())
    });
    let victim = Server::on(
        &format!("127.0.0.1:{}", server.address.port()),
        |_, _, _| Ok(()),
    );
    let both = Nameserver::start(|_, _, _| Says::These(vec![ONE, TWO, "::1".parse().unwrap()]));
    let mut peer = Peer::ready(asking(&both, &server));
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
    let bad = Nameserver::start(|_, _, _| {
        Says::These(vec![
            ONE,
            "10.0.0.1".parse().unwrap(),
            "fd00::1".parse().unwrap(),
        ])
    });
    let mut peer = Peer::ready(asking(&bad, &server));
    peer.get(&url(&server)).net("address");
    assert!(victim.seen().is_empty());
}

#[test]
fn a_forged_answer_is_passed_over() {
    let server = Server::on("127.0.0.2:0", |_, _, stream| {
        std::io::Write::write_all(stream, ok("hi").as_bytes())
    });
    let nameserver = Nameserver::start(|_, _, _| Says::AfterForgery(ONE, TWO));
    let mut peer = Peer::ready(asking(&nameserver, &server));
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
}

#[test]
fn an_answer_too_long_for_a_datagram_is_fetched_over_tcp() {
    let server = Server::saying(ok("hi"));
    let nameserver = Nameserver::start(|_, _, _| Says::Long(vec![ONE]));
    let port = server.address.port();
    // With the Landlock rules of a list: the nameserver's port is among them.
    let mut task = only(&[("a.example", port)], &[server.address]);
    task.nameservers = vec![nameserver.address];
    let mut peer = Peer::ready(task);
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
    assert_eq!(nameserver.asked(), ["A a.example", "TCP A a.example"]);
}

#[test]
fn ipv6_is_asked_for_where_ipv4_leads_nowhere() {
    let server = Server::on("[::1]:0", |_, _, stream| {
        std::io::Write::write_all(stream, ok("six").as_bytes())
    });
    let nameserver = Nameserver::start(|_, _, _| Says::These(vec!["::1".parse().unwrap()]));
    let mut peer = Peer::ready(asking(&nameserver, &server));
    assert_eq!(peer.get(&url(&server)).response()["body"], "six");
    assert_eq!(nameserver.asked(), ["A a.example", "AAAA a.example"]);
}

#[test]
fn a_name_without_an_address_is_told_so() {
    let server = Server::saying(ok("hi"));
    let nameserver = Nameserver::start(|_, _, _| Says::NoSuchName);
    let mut peer = Peer::ready(asking(&nameserver, &server));
    let why = peer.get(&url(&server)).net("dns");
    assert_eq!(why, "dns: a.example has no address");
    let mut peer = Peer::ready(task(&[]));
    let why = peer.get("http://a.example/").net("dns");
    assert_eq!(why, "dns: the host names no nameserver");
}

#[test]
fn a_silent_nameserver_holds_nothing_up_and_the_next_one_is_asked() {
    let server = Server::saying(ok("hi"));
    let silent = Nameserver::start(|_, _, _| Says::Nothing);
    let good = Nameserver::start(|_, _, _| Says::These(vec![ONE]));
    let mut both = asking(&silent, &server);
    both.nameservers.push(good.address);
    let mut peer = Peer::ready(both);
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
    let mut peer = Peer::ready(asking(&silent, &server));
    let begun = Instant::now();
    let request = json!({"url": url(&server)});
    peer.ask(&request, Duration::from_millis(500)).net("time");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_name_outside_of_the_grant_is_never_asked_for() {
    let server = Server::saying(ok("hi"));
    let nameserver = Nameserver::start(|_, _, _| Says::These(vec![ONE]));
    let mut task = only(&[("b.example", 80)], &[server.address]);
    task.nameservers = vec![nameserver.address];
    let mut peer = Peer::ready(task);
    for name in [
        "secret.b.example",
        "secret.a.example",
        "b.example.a.example",
    ] {
        assert_eq!(
            peer.get(&format!("http://{name}/")).denied(),
            format!("{name}:80")
        );
    }
    assert!(nameserver.asked().is_empty());
}

#[test]
fn what_the_host_knows_by_itself_is_not_asked_for_but_judged_all_the_same() {
    let server = Server::saying(ok("hi"));
    let nameserver = Nameserver::start(|_, _, _| Says::These(vec![TWO]));
    let mut task = asking(&nameserver, &server);
    task.known = vec![
        known("a.example", server.address),
        known("b.example", SocketAddr::new(TWO, 0)),
    ];
    let mut peer = Peer::ready(task);
    assert_eq!(peer.get(&url(&server)).response()["body"], "hi");
    let other = format!("http://b.example:{}/", server.address.port());
    peer.get(&other).net("address");
    assert!(nameserver.asked().is_empty());
}
