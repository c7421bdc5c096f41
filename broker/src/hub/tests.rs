use super::*;

fn event(hook: Hook, seq: u64) -> Event {
    Event {
        hook,
        seq,
        subject: None,
        depth: 0,
        document: b"{}".to_vec(),
    }
}

fn seq_of(next: Next) -> u64 {
    match next {
        Next::Event(event) => event.seq,
        other => panic!("told {other:?}"),
    }
}

#[test]
fn each_plugin_gets_its_events_in_order_then_is_told_to_shut_down() {
    let hub = Hub::new(vec![vec![Hook::OnCommitAnalyzed], vec![]], 10).unwrap();
    assert!(hub.push(event(Hook::OnCommitAnalyzed, 1)));
    assert!(hub.push(event(Hook::OnCommitAnalyzed, 2)));
    hub.source_done();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(seq_of(hub.next(0, None)), 1);
            assert_eq!(seq_of(hub.next(0, None)), 2);
            assert!(matches!(
                hub.next(0, None),
                Next::Shutdown { interrupted: false }
            ));
        });
        assert!(matches!(
            hub.next(1, None),
            Next::Shutdown { interrupted: false }
        ));
    });
}

#[test]
fn nobody_is_shut_down_while_a_call_may_still_cause_events() {
    let hub = Hub::new(
        vec![vec![Hook::OnCommitAnalyzed], vec![Hook::OnEdgeCreated]],
        10,
    )
    .unwrap();
    hub.push(event(Hook::OnCommitAnalyzed, 1));
    hub.source_done();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| seq_of(hub.next(1, None)));
        assert_eq!(seq_of(hub.next(0, None)), 1);
        hub.push_derived(0, vec![event(Hook::OnEdgeCreated, 1)]);
        assert_eq!(other.join().unwrap(), 1);
    });
}

#[test]
fn who_listens_hears_what_others_write_when_they_are_shut_down() {
    let hooks = [Hook::OnNodeUpdated, Hook::OnCommitAnalyzed];
    let hooks = vec![vec![hooks[0]], vec![hooks[1]], vec![hooks[0]]];
    let hub = Hub::new(hooks, 10).unwrap();
    hub.source_done();
    std::thread::scope(|scope| {
        let listeners = [0, 2].map(|index| {
            let hub = &hub;
            scope.spawn(move || {
                let heard = seq_of(hub.next(index, None));
                let next = hub.next(index, None);
                assert!(matches!(next, Next::Shutdown { interrupted: false }));
                hub.leave(index);
                heard
            })
        });
        let next = hub.next(1, None);
        assert!(matches!(next, Next::Shutdown { interrupted: false }));
        hub.push_derived(1, vec![event(Hook::OnNodeUpdated, 0)]);
        hub.leave(1);
        for listener in listeners {
            assert_eq!(listener.join().unwrap(), 0);
        }
    });
}

#[test]
fn who_is_the_last_in_a_call_lets_the_others_be_shut_down_before_it() {
    let hooks = vec![vec![Hook::OnNodeUpdated], vec![Hook::OnCommitAnalyzed]];
    let hub = Hub::new(hooks, 10).unwrap();
    hub.push_derived(1, vec![event(Hook::OnNodeUpdated, 1)]);
    hub.source_done();
    assert_eq!(seq_of(hub.next(0, None)), 1);
    assert!(hub.due(1).is_none(), "while the first one is in a call");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let next = hub.next(1, None);
            hub.leave(1);
            next
        });
        let next = hub.next(0, None);
        assert!(matches!(next, Next::Shutdown { interrupted: false }));
        let before = other.join().unwrap();
        assert!(matches!(before, Next::Shutdown { interrupted: false }));
    });
}

#[test]
fn a_source_event_causes_no_more_than_its_share() {
    let hub = Hub::new(vec![vec![], vec![Hook::OnEdgeCreated]], 2).unwrap();
    assert_eq!((hub.room(1, 1), hub.room(1, 2), hub.room(1, 3)), (1, 0, 0));
    let three = (0..3).map(|_| event(Hook::OnEdgeCreated, 1)).collect();
    hub.push_derived(0, three);
    assert_eq!((hub.room(1, 0), hub.room(2, 0)), (0, 2));
    assert_eq!(hub.lock().queues[1].events.len(), 2);
}

#[test]
fn derived_events_that_wait_hold_up_source_and_causes_until_they_are_taken() {
    let hooks = vec![vec![Hook::OnCommitAnalyzed], vec![Hook::OnNodeUpdated]];
    let hub = Hub::new(hooks, 1000).unwrap();
    let large = |bytes: usize| Event {
        depth: 1,
        document: vec![b' '; bytes],
        ..event(Hook::OnNodeUpdated, 1)
    };
    hub.push_derived(0, vec![large(DERIVED_AHEAD), large(MOST_DERIVED_BYTES)]);
    assert_eq!(hub.room(2, 0), 0);
    let must_wait = || hub.lock().is_full(Hook::OnCommitAnalyzed);
    std::thread::scope(|scope| {
        let source = scope.spawn(|| hub.push(event(Hook::OnCommitAnalyzed, 2)));
        assert!(must_wait());
        assert!(matches!(hub.next(1, None), Next::Event(_)));
        assert!(must_wait());
        assert!(matches!(hub.next(1, None), Next::Event(_)));
        assert!(!must_wait());
        assert!(source.join().unwrap());
    });
    assert_eq!(hub.room(2, 0), 1000);
    hub.push_derived(0, vec![large(MOST_DERIVED_BYTES)]);
    hub.leave(1);
    assert_eq!(hub.lock().derived_bytes, 0);
}

#[test]
fn a_stop_reaches_a_plugin_that_waits_and_one_that_is_in_a_call() {
    let hub = Hub::new(vec![vec![]], 10).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| hub.next(0, None));
        hub.stop(0, EndingKind::Revoked);
        assert!(matches!(
            waiting.join().unwrap(),
            Next::Kill(EndingKind::Revoked)
        ));
    });
    let mut wakes = [rustix::event::PollFd::new(
        &hub.wakes[0],
        rustix::event::PollFlags::IN,
    )];
    assert_eq!(rustix::event::poll(&mut wakes, None), Ok(1));
}

#[test]
fn a_plugin_that_left_holds_nobody_up() {
    let hub = Hub::new(vec![vec![Hook::OnCommitAnalyzed]], 10).unwrap();
    hub.leave(0);
    assert!(!hub.push(event(Hook::OnCommitAnalyzed, 1)));
}
