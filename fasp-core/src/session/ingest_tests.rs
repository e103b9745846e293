use super::*;
use crate::testing::keys;
use crate::wire::header::{MIN_DATAGRAM, put_header};
use crate::{SessionConfig, SessionId};

/// Nobody lives to see the last number; whoever claims to have come that far ends the session.
#[test]
fn w14_the_session_ends_where_the_numbers_end() {
    let now = Instant::now();
    let config = SessionConfig::new(Side::Server, Role::Receiver, keys(SessionId(7)), 1);
    let mut session = Session::new(now, config);
    let from = SocketAddr::from(([10, 0, 0, 1], 1));
    let send = |session: &mut Session, number| {
        let mut datagram = Vec::new();
        put_header(&mut datagram, SessionId(7), number);
        datagram.resize(MIN_DATAGRAM, 0);
        session.handle_datagram(now, from, false, &mut datagram, &mut Vec::new())
    };
    session.replay.mark(MAX_NUMBER - 2);
    assert_eq!(send(&mut session, MAX_NUMBER - 1), Ingest::Dropped);
    assert!(!matches!(session.state, State::Closed) && session.poll_event().is_none());
    assert_eq!(send(&mut session, MAX_NUMBER), Ingest::Dropped);
    let closed = session.poll_event();
    assert!(matches!(closed, Some(Event::Closed(_))), "{closed:?}");
}
