//! The way in: our client against our server's part, and against servers that cheat.

use bytes::BytesMut;
use changeover_pgwire::backend::{BackendMessage, TransactionStatus};
use changeover_pgwire::frame::{Phase, take_frame, take_startup_body};
use changeover_pgwire::login::{Credential, LoggedIn, Login, LoginError, Progress};
use changeover_pgwire::request::{self, FirstPacket};
use changeover_pgwire::scram::{
    ClientFirst, Keys, MECHANISM, ScramError, Secret, ServerFirst, Verifier,
};
use changeover_pgwire::{ServerError, reply};
use proptest::prelude::*;

/// A client that has sent its startup packet.
fn client(credential: Credential) -> Login {
    let mut out = BytesMut::new();
    let login = Login::start([("user", "bob")], credential, "clientnonce", &mut out);
    let packet = FirstPacket::decode(take_startup_body(&mut out).unwrap().unwrap()).unwrap();
    assert!(matches!(packet, FirstPacket::Startup(startup) if startup.user() == Some("bob")));
    login
}

/// Hands the client everything `write` writes; gives its reply's body, if any.
fn feed(
    mut login: Login,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(Progress, Option<bytes::Bytes>), LoginError> {
    let mut wire = BytesMut::new();
    write(&mut wire);
    let mut out = BytesMut::new();
    while let Some(frame) = take_frame(&mut wire, Phase::ServerLogin)? {
        match login.handle(BackendMessage::decode(&frame)?, &mut out)? {
            Progress::Continue(next) => login = next,
            done @ Progress::Done(_) => return Ok((done, None)),
        }
    }
    let sent = take_frame(&mut out, Phase::ClientLogin)?.map(|frame| frame.body());
    Ok((Progress::Continue(login), sent))
}

fn go_on(result: Result<(Progress, Option<bytes::Bytes>), LoginError>) -> (Login, bytes::Bytes) {
    match result.unwrap() {
        (Progress::Continue(login), Some(sent)) => (login, sent),
        other => panic!("no reply: {other:?}"),
    }
}

fn welcome(out: &mut BytesMut) {
    reply::authentication_ok(out);
    reply::parameter_status(out, "server_version", "15.20");
    reply::backend_key_data(out, 7, b"0123");
    reply::ready_for_query(out, TransactionStatus::Idle);
}

/// The whole exchange, as a gate's server part does it.
fn scram(credential: Credential, verifier: Verifier) -> Result<(LoggedIn, Keys), LoginError> {
    let (login, sent) =
        go_on(feed(client(credential), |out| reply::authentication_sasl(out, &[MECHANISM])));
    let (mechanism, first) = request::sasl_initial(sent)?;
    assert_eq!(mechanism, MECHANISM);
    let (server, challenge) = ServerFirst::new(verifier, "servernonce")?.handle(&first)?;
    let (login, sent) =
        go_on(feed(login, |out| reply::authentication_sasl_continue(out, &challenge)));
    let (keys, last) = server.handle(&sent)?;
    let (progress, _) = feed(login, |out| {
        reply::authentication_sasl_final(out, &last);
        welcome(out);
    })?;
    match progress {
        Progress::Done(told) => Ok((told, keys)),
        Progress::Continue(_) => panic!("not in"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn client_and_server_agree_on_every_password(
        password in ".{1,40}",
        other in ".{1,40}",
        salt in prop::collection::vec(any::<u8>(), 1..30),
        iterations in 1_u32..5,
    ) {
        let verifier = Verifier::from_password(&password, &salt, iterations);
        let verifier = Verifier::parse(&verifier.to_secret_text()).unwrap();
        let (told, keys) =
            scram(Credential::Password(password.clone()), verifier.clone()).unwrap();
        prop_assert_eq!(told.pid, 7);
        prop_assert_eq!(told.parameters.get("server_version").map(String::as_str), Some("15.20"));
        // The keys learnt open every server with the identical verifier, without the password.
        scram(Credential::Keys(keys), verifier.clone()).unwrap();
        if Verifier::from_password(&other, &salt, iterations) != verifier {
            let refused = scram(Credential::Password(other), verifier).unwrap_err();
            prop_assert_eq!(refused, LoginError::Scram(ScramError::WrongProof));
        }
        let decoy = Verifier::decoy(&[7; 32], "nobody", iterations);
        let refused = scram(Credential::Password(password), decoy).unwrap_err();
        prop_assert_eq!(refused, LoginError::Scram(ScramError::WrongProof));
    }

    #[test]
    fn no_scram_message_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let verifier = Verifier::from_password("x", b"salt", 1);
        ServerFirst::new(verifier.clone(), "n").unwrap().handle(&bytes).ok();
        let (server, _) = ServerFirst::new(verifier, "n").unwrap().handle(b"n,,n=,r=x").unwrap();
        server.handle(&bytes).ok();
        let secret = || Secret::Password("x".to_owned());
        ClientFirst::new(secret(), "n").unwrap().0.handle(&bytes).ok();
        let (client, _) = ClientFirst::new(secret(), "n").unwrap();
        client.handle(b"r=nx,s=AAAA,i=1").unwrap().0.handle(&bytes).ok();
    }
}

#[test]
fn a_trusting_server_and_a_cleartext_one_let_us_in() {
    let (progress, _) = feed(client(Credential::None), welcome).unwrap();
    assert!(matches!(progress, Progress::Done(told) if told.key.as_ref() == b"0123"));
    let login = client(Credential::Password("pw".to_owned()));
    let (login, sent) = go_on(feed(login, reply::authentication_cleartext));
    assert_eq!(request::password(sent), Ok("pw".to_owned()));
    assert!(matches!(feed(login, welcome), Ok((Progress::Done(_), None))));
}

#[test]
fn a_server_that_skips_its_own_proof_is_refused() {
    let password = || Credential::Password("pw".to_owned());
    let (login, _) =
        go_on(feed(client(password()), |out| reply::authentication_sasl(out, &[MECHANISM])));
    assert_eq!(feed(login, welcome).unwrap_err(), LoginError::Unproven);
    let (login, _) =
        go_on(feed(client(password()), |out| reply::authentication_sasl(out, &[MECHANISM])));
    let (login, _) = go_on(feed(login, |out| {
        reply::authentication_sasl_continue(out, b"r=clientnoncex,s=AAAA,i=1");
    }));
    assert_eq!(feed(login, welcome).unwrap_err(), LoginError::Unproven);
}

#[test]
fn what_has_no_place_is_refused() {
    let no_password = feed(client(Credential::None), reply::authentication_cleartext);
    assert_eq!(no_password.unwrap_err(), LoginError::NoPassword);
    let keys = Credential::Keys(Keys::derive("x", b"s", 1));
    let cleartext = feed(client(keys), reply::authentication_cleartext);
    assert_eq!(cleartext.unwrap_err(), LoginError::NoPassword);
    let plus = feed(client(Credential::Password("x".to_owned())), |out| {
        reply::authentication_sasl(out, &["SCRAM-SHA-256-PLUS", "ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜ"]);
    });
    assert!(matches!(plus.unwrap_err(), LoginError::Method(_)));
    let early = feed(client(Credential::None), |out| {
        reply::ready_for_query(out, TransactionStatus::Idle);
    });
    assert_eq!(early.unwrap_err(), LoginError::Unexpected("ReadyForQuery".to_owned()));
    let twice = feed(client(Credential::None), |out| {
        reply::authentication_ok(out);
        reply::authentication_ok(out);
    });
    assert!(matches!(twice.unwrap_err(), LoginError::Unexpected(_)));
    let error = ServerError::new("FATAL", "28P01", "no");
    let refused = feed(client(Credential::None), |out| reply::error_response(out, &error));
    assert_eq!(refused.unwrap_err(), LoginError::Server(Box::new(error)));
    let chatty = feed(client(Credential::None), |out| {
        for n in 0..5000 {
            reply::parameter_status(out, &n.to_string(), "x");
        }
    });
    assert!(chatty.is_err());
}
