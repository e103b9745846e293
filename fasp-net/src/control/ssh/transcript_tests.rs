use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (5 + payload.len() + 4) % 8) % 8;
    let mut packet = ((1 + payload.len() + padding) as u32)
        .to_be_bytes()
        .to_vec();
    packet.push(padding as u8);
    packet.extend(payload);
    packet.extend(vec![0; padding]);
    packet
}

fn kexinit(names: &str) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend([7; 16]);
    payload.extend((names.len() as u32).to_be_bytes());
    payload.extend(names.as_bytes());
    packet(&payload)
}

fn clear(mark: &str) -> Vec<u8> {
    let mut bytes = b"SSH-2.0-x\r\n".to_vec();
    bytes.extend(kexinit(&format!("curve25519-sha256,{mark}")));
    bytes.extend(packet(&[30, 1, 2, 3]));
    bytes.extend(packet(&[NEWKEYS]));
    bytes
}

const CLIENT: &str = "kex-strict-c-v00@openssh.com";
const SERVER: &str = "kex-strict-s-v00@openssh.com";

fn deadlines(identification: u64, authentication: u64) -> Deadlines {
    Deadlines {
        identification: Duration::from_secs(identification),
        authentication: Duration::from_secs(authentication),
    }
}

fn server(stream: DuplexStream, transcript: &Arc<Transcript>) -> Recorded<DuplexStream> {
    Recorded::server(stream, transcript, deadlines(10, 30), Instant::now())
}

#[tokio::test]
async fn both_ends_hash_the_same_bytes_however_they_are_cut() {
    for size in [1, 7, 1000] {
        let (near, far) = tokio::io::duplex(size);
        let (near_transcript, far_transcript) = (Arc::default(), Arc::default());
        let mut near = Recorded::client(near, &near_transcript);
        let mut far = server(far, &far_transcript);
        let (from_client, from_server) = (clear(CLIENT), clear(SERVER));
        let secret = [0xaa; 50];
        let client = async {
            near.write_all(&[&from_client[..], &secret].concat())
                .await
                .unwrap();
            near.read_exact(&mut vec![0; from_server.len()])
                .await
                .unwrap();
        };
        let server = async {
            far.read_exact(&mut vec![0; from_client.len() + 50])
                .await
                .unwrap();
            far.write_all(&from_server).await.unwrap();
        };
        tokio::join!(client, server);
        let all = [from_client, from_server].concat();
        let expected = digest::digest(&digest::SHA256, &all);
        assert_eq!(near_transcript.binding().unwrap(), expected.as_ref());
        assert_eq!(far_transcript.binding().unwrap(), expected.as_ref());
    }
}

fn refusal(sender: Side, bytes: &[u8]) -> Option<String> {
    let mut recorder = Recorder::new(sender);
    recorder.record(bytes).err().map(|e| e.to_string())
}

#[test]
fn w38_strict_key_exchange_is_demanded_of_both() {
    assert_eq!(refusal(Side::Client, &clear(CLIENT)), None);
    assert_eq!(refusal(Side::Server, &clear(SERVER)), None);
    let expected = Some("no strict key exchange offered".to_owned());
    assert_eq!(refusal(Side::Client, &clear(SERVER)), expected);
    assert_eq!(refusal(Side::Server, &clear("none")), expected);
    let mut lying = kexinit(CLIENT);
    lying[22..26].copy_from_slice(&u32::MAX.to_be_bytes());
    let bytes = [&b"SSH-2.0-x\r\n"[..], &lying].concat();
    assert_eq!(refusal(Side::Client, &bytes), expected);
}

#[test]
fn f72_oversize_lines_packets_and_handshakes_are_refused() {
    let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
    assert_eq!(refusal(Side::Server, &line(255)), None);
    assert!(refusal(Side::Server, &line(256)).is_some());
    assert!(refusal(Side::Server, &[b'x'; 256]).is_some());
    let lines = |count: usize| line(128).repeat(count);
    assert_eq!(refusal(Side::Server, &lines(8)), None);
    assert!(refusal(Side::Server, &lines(9)).is_some());
    for length in [0u32, 5, 35_001, u32::MAX] {
        let bytes = [b"SSH-2.0-x\r\n", &length.to_be_bytes()[..]].concat();
        assert!(refusal(Side::Client, &bytes).is_some(), "{length}");
    }
    let flood = [&b"SSH-2.0-x\r\n"[..], &packet(&[2; 1000]).repeat(65)].concat();
    assert!(refusal(Side::Client, &flood).is_some());
}

#[tokio::test(start_paused = true)]
async fn w37_one_deadline_however_the_bytes_trickle() {
    let (mut near, far) = tokio::io::duplex(100);
    let transcript = Arc::default();
    let mut far = server(far, &transcript);
    let trickle = tokio::spawn(async move {
        near.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        while near.write_all(&packet(&[2, 0])).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let started = Instant::now();
    let mut bytes = [0; 100];
    let error = loop {
        if let Err(e) = far.read(&mut bytes).await {
            break e;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 30);
    transcript.set_authenticated();
    assert!(far.read(&mut bytes).await.is_ok());
    drop(far);
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn w37_silence_before_the_identification_ends_after_ten_seconds() {
    let (_near, far) = tokio::io::duplex(100);
    let mut far = server(far, &Arc::default());
    let started = Instant::now();
    let error = far.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn unauthenticated_peers_send_256_kib_at_most() {
    for authenticated in [false, true] {
        let (mut near, far) = tokio::io::duplex(10_000);
        let transcript = Arc::default();
        let mut far = server(far, &transcript);
        tokio::spawn(async move {
            near.write_all(&clear(CLIENT)).await.unwrap();
            while near.write_all(&[0; 1000]).await.is_ok() {}
        });
        if authenticated {
            transcript.set_authenticated();
        }
        let mut bytes = vec![0; 400 * 1024];
        let read = far.read_exact(&mut bytes).await;
        assert_eq!(read.is_ok(), authenticated);
    }
}
