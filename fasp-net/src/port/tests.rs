use super::*;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Polls for something that another thread does.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn w16_the_table_has_an_end_and_is_looked_into_before_anything_else_happens() {
    let port = Port::bind(loopback()).unwrap();
    let (id, registration) = port.register().unwrap();
    {
        let mut sessions = port.shared.sessions.write().unwrap();
        let inbox = Arc::clone(&sessions.open[&id.0]);
        let mut other = 0;
        while sessions.open.len() < MAX_SESSIONS {
            sessions.open.insert(other, Arc::clone(&inbox));
            other += 1;
        }
    }
    assert!(matches!(port.register(), Err(Error::Busy)));
    // W-15, W-17: by its id alone; what has none that is known reaches nobody who has keys, and has no answer.
    let peer = UdpSocket::bind(loopback()).unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let send = |id: u64| {
        let datagram = [&id.to_be_bytes()[..], &[0; 40]].concat();
        peer.send_to(&datagram, port.local_address()).unwrap();
    };
    send(u64::MAX ^ id.0);
    until(|| port.counters().unknown == 1);
    assert!(registration.try_receive().is_none());
    assert!(peer.recv(&mut [0; 100]).is_err());
    let datagram_size = 48;
    send(id.0);
    until(|| {
        let received = registration.try_receive();
        received.is_some_and(|inbound| inbound.length == datagram_size)
    });
}

#[test]
fn w18_the_id_of_a_session_rests_for_a_minute() {
    let port = Port::bind(loopback()).unwrap();
    let rests = |id: SessionId| {
        port.shared
            .sessions
            .read()
            .unwrap()
            .closed
            .contains_key(&id.0)
    };
    let (id, registration) = port.register().unwrap();
    drop(registration);
    // Those who have gone are looked through whenever somebody comes.
    let other = port.register().unwrap();
    assert!(rests(id) && other.0 != id);
    let almost = QUARANTINE.checked_sub(Duration::from_secs(5)).unwrap();
    let closed_at = |ago| {
        let then = Instant::now().checked_sub(ago).unwrap();
        port.shared
            .sessions
            .write()
            .unwrap()
            .closed
            .insert(id.0, then);
        drop(port.register().unwrap());
    };
    closed_at(almost);
    assert!(rests(id));
    closed_at(QUARANTINE);
    assert!(!rests(id));
}

/// "Nobody listens there" is noted for the words of a later error; what comes afterwards goes its way.
#[test]
fn w23_what_the_network_says_about_a_path_is_a_hint_and_ends_nothing() {
    let listener = UdpSocket::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let port = Port::connect(address).unwrap();
    let (id, registration) = port.register().unwrap();
    until(|| {
        // Either call may be the one that hears of it.
        port.shared.socket.send(b"x").ok();
        port.is_refused()
    });
    let listener = UdpSocket::bind(address).unwrap();
    listener
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let heard = |_| {
        port.shared.socket.send(b"later").ok();
        listener.recv_from(&mut [0; 10]).ok()
    };
    let (_, from) = (0..100).find_map(heard).unwrap();
    let datagram = [&id.0.to_be_bytes()[..], &[0; 40]].concat();
    listener.send_to(&datagram, from).unwrap();
    until(|| registration.try_receive().is_some());
}
