use super::*;
use proptest::prelude::*;

/// A name server of one answer, on a real socket.
fn server(answer: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&answer(buffer[..length].to_vec()), peer).unwrap();
    });
    at
}

/// An answer of a CNAME (300 s) and an A record (60 s), as BIND compresses it.
fn answered(question: &[u8]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[7] = 2;
    bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 4, 1, b'b', 0xc0, 12]);
    bytes.extend([1, b'b', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    bytes
}

fn ask(at: SocketAddr) -> Discovery {
    from_resolver(&["shop.example.com".to_owned()], &[at], Duration::from_secs(5), WallMs(1))
}

#[test]
fn the_least_lifetime_of_the_chain_counts() {
    let found = ask(server(|question| answered(&question)));
    assert_eq!(
        found.hints[0].what,
        HintKind::DnsTtl { name: "shop.example.com".to_owned(), seconds: 60 }
    );
}

#[test]
fn what_is_no_answer_is_unknown() {
    let missing = ask(server(|mut question| {
        question[2] |= 0x80;
        question[3] = 3;
        question
    }));
    assert!(missing.unread[0].why.contains("no such name"), "{:?}", missing.unread);
    let foreign = ask(server(|mut question| {
        question[0] ^= 1;
        question[2] |= 0x80;
        question
    }));
    assert!(foreign.unread[0].why.contains("something else"));
    let none = from_resolver(
        &["a b".to_owned()],
        &["127.0.0.1:9".parse().unwrap()],
        Duration::from_secs(1),
        WallMs(1),
    );
    assert!(none.unread[0].why.contains("not a name"));
}

proptest! {
    #[test]
    fn cut_and_spoilt_answers_are_refused_without_a_panic(
        cut in 0usize..70, at in 0usize..70, value in 0u8..=255,
    ) {
        let asked = question([1, 2], "shop.example.com").unwrap();
        let mut bytes = answered(&asked);
        let place = at % bytes.len();
        bytes[place] = value;
        bytes.truncate(cut);
        if let Ok(ttl) = least_lifetime(&asked, &bytes) {
            prop_assert!(bytes.len() >= asked.len(), "{ttl}");
        }
    }
}
