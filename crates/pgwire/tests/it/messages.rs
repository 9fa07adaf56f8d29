//! What one side builds, the other reads.

use bytes::{Bytes, BytesMut};
use changeover_pgwire::backend::{
    Authentication, BackendMessage, FieldDescription, TransactionStatus,
};
use changeover_pgwire::frame::{Phase, take_frame, take_startup_body};
use changeover_pgwire::frontend::{self, Target};
use changeover_pgwire::replication::{ReplicationMessage, status_update};
use changeover_pgwire::request::{self, Bind, FirstPacket, Parse, Request};
use changeover_pgwire::{Frame, ServerError, reply};
use changeover_types::Lsn;
use proptest::prelude::*;

fn one(write: impl FnOnce(&mut BytesMut), phase: Phase) -> Frame {
    let mut wire = BytesMut::new();
    write(&mut wire);
    let frame = take_frame(&mut wire, phase).unwrap().unwrap();
    assert!(wire.is_empty());
    frame
}

fn asked(write: impl FnOnce(&mut BytesMut)) -> Request {
    Request::decode(&one(write, Phase::ClientReady)).unwrap()
}

fn told(write: impl FnOnce(&mut BytesMut)) -> BackendMessage {
    BackendMessage::decode(&one(write, Phase::ServerReady)).unwrap()
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

proptest! {
    #[test]
    fn requests(
        name in "[^\0]{0,20}",
        sql in "[^\0]{0,80}",
        types in prop::collection::vec(any::<u32>(), 0..5),
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..30)), 0..6),
        max_rows in any::<i32>(),
    ) {
        prop_assert_eq!(asked(|out| frontend::query(out, &sql)), Request::Query(text(&sql)));
        prop_assert_eq!(
            asked(|out| frontend::parse(out, &name, &sql, &types)),
            Request::Parse(Parse { name: text(&name), sql: text(&sql), types })
        );
        let slices: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        prop_assert_eq!(
            asked(|out| frontend::bind(out, "portal", &name, &slices)),
            Request::Bind(Bind {
                portal: text("portal"),
                statement: text(&name),
                formats: vec![],
                values: values.iter().map(|v| v.clone().map(Bytes::from)).collect(),
                result_formats: vec![],
            })
        );
        for target in [Target::Statement, Target::Portal] {
            prop_assert_eq!(
                asked(|out| frontend::describe(out, target, &name)),
                Request::Describe(target, text(&name))
            );
            prop_assert_eq!(
                asked(|out| frontend::close(out, target, &name)),
                Request::Close(target, text(&name))
            );
        }
        prop_assert_eq!(
            asked(|out| frontend::execute(out, &name, max_rows)),
            Request::Execute { portal: text(&name), max_rows }
        );
        prop_assert_eq!(asked(|out| frontend::copy_fail(out, &name)), Request::CopyFail(text(&name)));
        let password = one(|out| frontend::password(out, &name), Phase::ClientLogin);
        prop_assert_eq!(request::password(password.body()), Ok(name.clone()));
        let first = one(|out| frontend::sasl_initial(out, "M", sql.as_bytes()), Phase::ClientLogin);
        prop_assert_eq!(request::sasl_initial(first.body()), Ok(("M".to_owned(), text(&sql))));
    }

    #[test]
    fn replies(
        words in prop::collection::vec("[^\0]{0,20}", 3),
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..30)), 0..6),
        key in prop::collection::vec(any::<u8>(), 4..=256),
        pid in any::<u32>(),
        detail in prop::option::of("[^\0]{0,20}"),
        position in prop::option::of(any::<u32>()),
    ) {
        let slices: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let BackendMessage::DataRow(row) = told(|out| reply::data_row(out, &slices)) else {
            panic!("no row")
        };
        prop_assert_eq!(row.iter().collect::<Vec<_>>(), slices);
        prop_assert_eq!(
            told(|out| reply::backend_key_data(out, pid, &key)),
            BackendMessage::BackendKeyData { pid, key: Bytes::from(key.clone()) }
        );
        prop_assert_eq!(
            told(|out| reply::parameter_status(out, &words[0], &words[1])),
            BackendMessage::ParameterStatus { name: words[0].clone(), value: words[1].clone() }
        );
        let error = ServerError {
            detail,
            position,
            hint: Some(words[2].clone()),
            ..ServerError::new("FATAL", "57P01", words[0].clone())
        };
        prop_assert_eq!(
            told(|out| reply::error_response(out, &error)),
            BackendMessage::ErrorResponse(error.clone())
        );
        prop_assert_eq!(
            told(|out| reply::notice_response(out, &error)),
            BackendMessage::NoticeResponse(error)
        );
        let column = FieldDescription {
            name: text(&words[0]),
            table_oid: pid,
            column: 3,
            type_oid: pid,
            type_size: -1,
            type_modifier: -1,
            format: 0,
        };
        prop_assert_eq!(
            told(|out| reply::row_description(out, std::slice::from_ref(&column))),
            BackendMessage::RowDescription(vec![column])
        );
        prop_assert_eq!(
            told(|out| reply::negotiate_protocol_version(out, 0x0003_0000, &[&format!("x{}", words[0])])),
            BackendMessage::NegotiateProtocolVersion {
                newest: 0x0003_0000,
                unknown_options: vec![format!("x{}", words[0])],
            }
        );
    }
}

#[test]
fn the_short_ones() {
    assert_eq!(asked(frontend::sync), Request::Sync);
    assert_eq!(asked(frontend::flush), Request::Flush);
    assert_eq!(asked(frontend::terminate), Request::Terminate);
    assert_eq!(asked(frontend::copy_done), Request::CopyDone);
    assert_eq!(asked(|out| frontend::copy_data(out, b"x")), Request::CopyData(text("x")));
    for status in [TransactionStatus::Idle, TransactionStatus::Open, TransactionStatus::Failed] {
        assert_eq!(
            told(|out| reply::ready_for_query(out, status)),
            BackendMessage::ReadyForQuery(status)
        );
    }
    assert_eq!(
        told(|out| reply::authentication_sasl(out, &["A", "B"])),
        BackendMessage::Authentication(Authentication::Sasl(vec!["A".to_owned(), "B".to_owned()]))
    );
    assert_eq!(
        told(|out| reply::parameter_description(out, &[1, 2])),
        BackendMessage::ParameterDescription(vec![1, 2])
    );
    assert_eq!(
        told(|out| reply::command_complete(out, "BEGIN")),
        BackendMessage::CommandComplete(text("BEGIN"))
    );
}

#[test]
fn first_packets() {
    let read = |write: &dyn Fn(&mut BytesMut)| {
        let mut wire = BytesMut::new();
        write(&mut wire);
        FirstPacket::decode(take_startup_body(&mut wire).unwrap().unwrap())
    };
    assert_eq!(read(&frontend::ssl_request), Ok(FirstPacket::SslRequest));
    assert_eq!(
        read(&|out| frontend::cancel_request(out, 7, b"longer key")),
        Ok(FirstPacket::Cancel { pid: 7, key: text("longer key") })
    );
    let gss = Bytes::from_static(&[0x04, 0xd2, 0x16, 0x30]);
    assert_eq!(FirstPacket::decode(gss), Ok(FirstPacket::GssEncRequest));
    assert!(FirstPacket::decode(Bytes::from_static(&[0, 2, 0, 0, 0])).is_err());
    let Ok(FirstPacket::Startup(startup)) = read(&|out| {
        frontend::startup(out, [("user", "bob"), ("search_path", ""), ("user", "eve")]);
    }) else {
        panic!("no startup packet")
    };
    assert_eq!((startup.user(), startup.database()), (Some("eve"), Some("eve")));
    assert_eq!(startup.get("search_path"), Some(""));
    assert!(!startup.is_replication());
    for (value, replication) in [("true", true), ("database", true), ("1", true), ("off", false)] {
        let Ok(FirstPacket::Startup(startup)) =
            read(&|out| frontend::startup(out, [("user", "b"), ("replication", value)]))
        else {
            panic!("no startup packet")
        };
        assert_eq!(startup.is_replication(), replication, "{value}");
    }
}

#[test]
fn an_error_without_a_sqlstate_is_read() {
    let frame = one(
        |out| {
            frontend::copy_data(out, b"SWARN\0Mhello\0\0");
            out[0] = b'E';
        },
        Phase::ServerReady,
    );
    let BackendMessage::ErrorResponse(error) = BackendMessage::decode(&frame).unwrap() else {
        panic!("no error")
    };
    assert_eq!((error.sqlstate.as_str(), error.severity.as_str()), ("", "WARN"));
}

#[test]
fn a_status_update_says_one_position_three_times() {
    let frame = one(|out| status_update(out, Lsn(0x1_0000_0002), 5, true), Phase::ClientReady);
    let body = frame.body();
    assert_eq!(body.len(), 34);
    for at in [1, 9, 17] {
        assert_eq!(body[at..at + 8], 0x1_0000_0002_u64.to_be_bytes());
    }
    assert_eq!(body[33], 1);
    assert!(ReplicationMessage::decode(body).is_err());
}
