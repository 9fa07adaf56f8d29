//! Framing: partial input, hostile lengths, any bytes at all.

use bytes::{Bytes, BytesMut};
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frame::{
    HEADER_LEN, MAX_STARTUP, Phase, peek_header, take_frame, take_run, take_startup_body,
};
use changeover_pgwire::replication::ReplicationMessage;
use changeover_pgwire::request::{self, FirstPacket, Request};
use changeover_pgwire::{WireError, frontend, pgoutput};
use proptest::prelude::*;

const PHASES: [Phase; 4] =
    [Phase::ServerLogin, Phase::ServerReady, Phase::ClientLogin, Phase::ClientReady];

proptest! {
    #[test]
    fn messages_survive_any_cutting(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        cut in 1_usize..64,
    ) {
        let mut wire = BytesMut::new();
        bodies.iter().for_each(|body| frontend::copy_data(&mut wire, body));
        let mut buffer = BytesMut::new();
        let mut got = Vec::new();
        for piece in wire.chunks(cut) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = take_frame(&mut buffer, Phase::ServerReady).unwrap() {
                prop_assert_eq!(frame.tag(), b'd');
                prop_assert_eq!(frame.raw().len(), frame.body().len() + HEADER_LEN);
                got.push(frame.body().to_vec());
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(got, bodies);
    }

    #[test]
    fn a_run_is_exactly_the_whole_messages(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut wire = BytesMut::new();
        let mut ends = vec![0];
        for body in &bodies {
            frontend::copy_data(&mut wire, body);
            ends.push(wire.len());
        }
        wire.truncate(keep.index(wire.len() + 1));
        let before = wire.clone();
        let (run, count) = take_run(&mut wire, b'd', Phase::ServerReady).unwrap();
        prop_assert_eq!(run.len(), ends[count]);
        prop_assert!(ends.get(count + 1).is_none_or(|end| *end > before.len()));
        prop_assert_eq!([&run[..], &wire[..]].concat(), before.to_vec());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in any::<u8>()) {
        for phase in PHASES {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take_frame(&mut buffer, phase) {}
        }
        take_startup_body(&mut BytesMut::from(&bytes[..])).ok();
        let body = Bytes::from(bytes);
        FirstPacket::decode(body.clone()).ok();
        request::password(body.clone()).ok();
        request::sasl_initial(body.clone()).ok();
        ReplicationMessage::decode(body.clone()).ok();
        pgoutput::decode(body.clone()).ok();
        // The same bytes as the body of a message of every type.
        let mut wire = BytesMut::new();
        frontend::copy_data(&mut wire, &body);
        for tag in b"RK23CdcGHWDIEVvnNAtS1sZTQPBDECSHFdcfpX".iter().copied().chain([tag]) {
            let mut one = wire.clone();
            one[0] = tag;
            if let Ok(Some(frame)) = take_frame(&mut one, Phase::ServerReady) {
                BackendMessage::decode(&frame).ok();
                Request::decode(&frame).ok();
            }
        }
    }
}

#[test]
fn hostile_lengths_are_refused_before_they_are_believed() {
    for length in [-1, 0, 3, i32::MIN] {
        let mut wire = vec![b'D'];
        wire.extend_from_slice(&i32::to_be_bytes(length));
        for phase in PHASES {
            assert!(matches!(peek_header(&wire, phase), Err(WireError::BadLength { .. })));
        }
    }
    for (tag, length, phase) in [
        (b'D', i32::MAX, Phase::ServerReady),
        (b'Q', i32::MAX, Phase::ClientReady),
        (b'p', 70_000, Phase::ClientLogin),
        (b'E', 40_000, Phase::ServerLogin),
        (b'Z', 40_000, Phase::ServerReady),
        (b'S', 40_000, Phase::ClientReady),
    ] {
        let mut wire = vec![tag];
        wire.extend_from_slice(&i32::to_be_bytes(length));
        let fault = peek_header(&wire, phase);
        assert!(matches!(fault, Err(WireError::TooLong { .. })), "{fault:?}");
    }
    assert_eq!(peek_header(b"Q\0\0\0", Phase::ClientReady), Ok(None));
}

#[test]
fn a_first_packet_is_bounded() {
    for length in [-1, 0, 4, 7, i32::try_from(MAX_STARTUP).unwrap() + 1, i32::MAX] {
        let mut wire = BytesMut::from(&length.to_be_bytes()[..]);
        assert!(take_startup_body(&mut wire).is_err(), "{length}");
        assert_eq!(wire.len(), 4);
    }
    let mut whole = BytesMut::new();
    frontend::startup(&mut whole, [("user", "bob"), ("database", "shop")]);
    for end in 0..whole.len() {
        let mut part = BytesMut::from(&whole[..end]);
        assert_eq!(take_startup_body(&mut part), Ok(None));
        assert_eq!(part.len(), end);
    }
}
