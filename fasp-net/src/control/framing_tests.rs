use super::*;
use crate::control::message::{Closed, Hello, Pause};
use fasp_core::SessionId;

fn pause(id: u64) -> Message {
    Pause {
        session_id: SessionId(id),
        paused: true,
    }
    .into()
}

#[tokio::test]
async fn messages_arrive_in_order_and_the_end_is_seen() {
    let (a, b) = tokio::io::duplex(100);
    let (near, mut far) = (Control::new(a), Control::new(b));
    let sent = tokio::spawn(async move {
        for id in 0..200 {
            near.sender.send(pause(id)).await.unwrap();
        }
        near.sender.flush().await.unwrap();
    });
    for id in 0..200 {
        assert_eq!(far.receiver.receive().await.unwrap(), Some(pause(id)));
    }
    sent.await.unwrap();
    assert_eq!(far.receiver.receive().await.unwrap(), None);
}

#[tokio::test]
async fn a_dropped_receive_loses_nothing() {
    let (mut a, b) = tokio::io::duplex(1000);
    let mut far = Control::new(b);
    for byte in pause(7).to_frame().unwrap() {
        let nothing_yet = tokio::time::timeout(std::time::Duration::ZERO, far.receiver.receive());
        assert!(nothing_yet.await.is_err());
        a.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(far.receiver.receive().await.unwrap(), Some(pause(7)));
}

#[tokio::test]
async fn f68_announced_lengths_are_refused_before_anything_is_read_or_reserved() {
    for (length, kind) in [
        (0u32, 1u8),
        (65_537, 1),
        (1_048_577, 2),
        (u32::MAX, 3),
        (65_537, 200),
    ] {
        let (mut a, b) = tokio::io::duplex(100);
        let mut far = Control::new(b);
        a.write_all(&length.to_be_bytes()).await.unwrap();
        a.write_all(&[kind]).await.unwrap();
        let error = far.receiver.receive().await.unwrap_err();
        assert!(matches!(error, Error::Violation(_)), "{length} {kind}");
        assert!(far.receiver.buffer.capacity() <= 2 * READ_SIZE);
    }
}

#[tokio::test]
async fn unknown_kinds_are_passed_over() {
    let (mut a, b) = tokio::io::duplex(100);
    let mut far = Control::new(b);
    a.write_all(&[0, 0, 0, 3, 99, 1, 2]).await.unwrap();
    a.write_all(&pause(1).to_frame().unwrap()).await.unwrap();
    assert_eq!(far.receiver.receive().await.unwrap(), Some(pause(1)));
}

#[tokio::test]
async fn a_stream_cut_inside_a_message_is_a_lost_connection() {
    let (mut a, b) = tokio::io::duplex(100);
    let mut far = Control::new(b);
    a.write_all(&[0, 0, 0, 3, 1]).await.unwrap();
    drop(a);
    let error = far.receiver.receive().await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost(Some(_))));
}

#[tokio::test]
async fn a_slow_reader_blocks_the_sender_and_a_gone_one_ends_it() {
    let (a, b) = tokio::io::duplex(16);
    let near = Control::new(a);
    let closed = Closed {
        session_id: SessionId(1),
        files_done: 0,
        files_skipped: 0,
        files_failed: 0,
        bytes: 0,
    };
    let fill = async {
        for _ in 0..1000 {
            near.sender.send(closed.clone()).await.unwrap();
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), fill).await;
    assert!(waited.is_err(), "64 messages are queued, not 1000");
    drop(b);
    let hello = Hello {
        versions: vec![1],
        software: String::new(),
    };
    while near.sender.send(hello.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
