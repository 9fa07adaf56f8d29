//! The RFC's example, and what each part must refuse.

use super::*;

const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// The client of the RFC's example, which names its user where ours names none.
fn rfc_client() -> ClientFirst {
    ClientFirst {
        secret: Secret::Password("pencil".to_owned()),
        nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
    }
}

#[test]
fn the_client_of_rfc_7677() {
    let (client, proof) = rfc_client().handle(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(std::str::from_utf8(&proof), Ok(CLIENT_FINAL));
    assert_eq!(client.handle(SERVER_FINAL.as_bytes()), Ok(()));
}

#[test]
fn the_server_of_rfc_7677() {
    let salt = b"[m\x99h\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let verifier = Verifier::from_password("pencil", salt, 4096);
    let text = verifier.to_secret_text();
    assert_eq!(
        text,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
         WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
    assert_eq!(Verifier::parse(&text), Ok(verifier.clone()));
    let server = ServerFirst::new(verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap();
    let (server, first) = server.handle(CLIENT_FIRST.as_bytes()).unwrap();
    assert_eq!(std::str::from_utf8(&first), Ok(SERVER_FIRST));
    let (keys, last) = server.handle(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(std::str::from_utf8(&last), Ok(SERVER_FINAL));
    assert_eq!(keys, Keys::derive("pencil", salt, 4096));
}

#[test]
fn the_client_refuses_a_server_that_cheats() {
    for (message, expected) in [
        ("r=other,s=AAAA,i=4096", ScramError::Nonce),
        ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", ScramError::Nonce),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=0", ScramError::Iterations(0)),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4000000000", ScramError::Iterations(4_000_000_000)),
    ] {
        assert_eq!(rfc_client().handle(message.as_bytes()).unwrap_err(), expected, "{message}");
    }
    for message in ["", "r=", "m=x,r=y", "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=1", "\u{7f}"] {
        assert!(rfc_client().handle(message.as_bytes()).is_err(), "{message}");
    }
    let client = || rfc_client().handle(SERVER_FIRST.as_bytes()).unwrap().0;
    assert_eq!(client().handle(b"v=AAAA"), Err(ScramError::WrongServer));
    assert_eq!(client().handle(b"e=no"), Err(ScramError::Refused("no".to_owned())));
    assert!(client().handle(b"").is_err());
}

#[test]
fn the_server_refuses_what_it_does_not_speak() {
    let server = || ServerFirst::new(Verifier::from_password("x", b"salt", 1), "abc").unwrap();
    for message in [
        "",
        "n",
        "n,,",
        "n,,n=,r=",
        "n,a=root,n=,r=x",
        "p=tls-server-end-point,,n=,r=x",
        "n,,m=ext,n=,r=x",
        "n,,r=x",
        "q,,n=,r=x",
    ] {
        assert!(server().handle(message.as_bytes()).is_err(), "{message}");
    }
    let second = || server().handle(b"y,,n=,r=x").unwrap().0;
    for message in [
        "",
        "p=AAAA",
        "c=eSws,r=xabc,p=AAAA",
        "c=biws,r=xabc,p=AAAA",
        "c=eSws,r=other,p=AAAA",
        "c=eSws,r=xabc",
    ] {
        assert!(second().handle(message.as_bytes()).is_err(), "{message}");
    }
    assert!(ServerFirst::new(Verifier::from_password("x", b"s", 1), "a,b").is_err());
}

#[test]
fn other_stored_secrets_are_no_verifiers() {
    for text in [
        "",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$0:c2FsdA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
         wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ] {
        assert_eq!(Verifier::parse(text), Err(ScramError::BadVerifier), "{text}");
    }
}
