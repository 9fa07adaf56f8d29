//! Type numbers: after a logical copy, user-defined types have other numbers on the other side,
//! and drivers remember the ones they saw.
//!
//! A session that has moved keeps speaking in the numbers it knows. Only those are translated: a
//! type the client meets for the first time is shown with the present server's number, because
//! the driver then looks that number up in the present server's catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend;
use changeover_types::Side;

use super::config::PostgresGateConfig;
use super::server::{Server, ServerFault};
use super::tracker::{FIRST_USER_TYPE, row_type_offsets};

/// A type's name: schema and name.
pub(crate) type TypeName = Arc<(String, String)>;

/// One side's user-defined types.
#[derive(Debug, Default)]
pub(crate) struct Types {
    by_oid: BTreeMap<u32, TypeName>,
    by_name: BTreeMap<TypeName, Entry>,
    /// Custom settings that functions and row security policies ask for.
    settings: BTreeSet<String>,
    read_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    oid: u32,
    /// Its binary values carry numbers of user types: arrays of such, and rows with such columns.
    carries: bool,
}

const QUERY: &str = "select t.oid::text, n.nspname::text, t.typname::text, \
    (case when t.typelem >= 16384 and t.typlen = -1 then true \
     when t.typtype = 'c' then exists (select from pg_catalog.pg_attribute a \
        where a.attrelid = t.typrelid and a.attnum > 0 and a.atttypid >= 16384) \
     else false end)::text \
    from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace \
    where t.oid >= 16384 and n.nspname !~ '^pg_(toast|temp)' \
    union all select distinct '0', 'setting', m[1], '' from ( \
        select prosrc from pg_catalog.pg_proc where oid >= 16384 \
        union all select pg_catalog.pg_get_expr(polqual, polrelid) from pg_catalog.pg_policy \
        union all select pg_catalog.pg_get_expr(polwithcheck, polrelid) from pg_catalog.pg_policy \
    ) as code(text), pg_catalog.regexp_matches(text, \
        '(?:current_setting|set_config)\\s*\\(\\s*''([A-Za-z_]\\w*(?:\\.\\w+)+)''', 'g') m";

/// A catalogue read longer ago than this is read again.
const FRESH: Duration = Duration::from_secs(60);

impl Types {
    fn add(&mut self, oid: u32, name: TypeName, carries: bool) {
        self.by_oid.insert(oid, Arc::clone(&name));
        self.by_name.insert(name, Entry { oid, carries });
    }

    /// The name of a number.
    pub(crate) fn name(&self, oid: u32) -> Option<&TypeName> {
        self.by_oid.get(&oid)
    }

    /// Custom settings that the side's functions and policies ask for: worth asking every session
    /// for, since the server lists such settings nowhere.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &String> {
        self.settings.iter()
    }

    /// Whether it was read a short time ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn entry(&self, name: &TypeName) -> Option<Entry> {
        self.by_name.get(name).copied()
    }

    /// Reads a side's types as the gate's own role.
    async fn read(config: &PostgresGateConfig, side: Side) -> Result<Types, ServerFault> {
        let server = config.server(side);
        let parameters = [
            ("user".to_owned(), server.user.clone()),
            ("application_name".to_owned(), "changeover gate".to_owned()),
            ("client_encoding".to_owned(), "UTF8".to_owned()),
            ("search_path".to_owned(), String::new()),
        ];
        let mut server =
            Server::connect(config, side, &parameters, server.password.as_ref(), None).await?;
        let mut request = BytesMut::new();
        frontend::query(&mut request, QUERY);
        let answers = server.ask(&request, 1, &mut BytesMut::new()).await?;
        server.say_farewell();
        let mut types = Types { read_at: Some(Instant::now()), ..Types::default() };
        for answer in answers {
            match answer {
                BackendMessage::ErrorResponse(error) => {
                    return Err(ServerFault::Said(Box::new(error)));
                }
                BackendMessage::DataRow(row) => {
                    let text = |i| row.get(i).and_then(|cell| std::str::from_utf8(cell).ok());
                    if let (Some(oid), Some(schema), Some(name)) =
                        (text(0).and_then(|oid| oid.parse().ok()), text(1), text(2))
                    {
                        if oid == 0 {
                            types.settings.insert(name.to_owned());
                            continue;
                        }
                        let name = Arc::new((schema.to_owned(), name.to_owned()));
                        types.add(oid, name, text(3) == Some("true"));
                    }
                }
                _ => {}
            }
        }
        Ok(types)
    }

    /// A side's types, read again if `knows` is not content with what was read before.
    pub(crate) async fn of(
        config: &PostgresGateConfig,
        side: Side,
        knows: impl Fn(&Types) -> bool,
    ) -> Result<Arc<Types>, ServerFault> {
        if let Some(types) = config.registry.types(side).filter(|types| knows(types)) {
            return Ok(types);
        }
        let types = Arc::new(Types::read(config, side).await?);
        config.registry.set_types(side, Arc::clone(&types));
        Ok(types)
    }
}

/// What a client knows: its numbers, and which types they stand for. The flag says that values may
/// have travelled in binary form.
pub(crate) type Known = BTreeMap<u32, (TypeName, bool)>;

/// Between the numbers a client knows and a server's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Translation {
    to_server: BTreeMap<u32, u32>,
    to_client: BTreeMap<u32, u32>,
}

/// A number the server means otherwise than the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clash(pub(crate) u32);

impl Translation {
    /// From what the client knows to a server's numbers; `Err` says in words what is in the way.
    pub(crate) fn between(known: &Known, server: &Types) -> Result<Translation, String> {
        let mut translation = Translation::default();
        let mut differs = false;
        for (oid, (name, binary)) in known {
            let there = server.entry(name);
            let (schema, local) = (&name.0, &name.1);
            let Some(there) = there else {
                return Err(format!("type {schema}.{local} is missing on the other side"));
            };
            differs |= there.oid != *oid;
            if *binary && there.carries && there.oid != *oid {
                return Err(format!("binary values of {schema}.{local} carry type numbers"));
            }
            translation.to_server.insert(*oid, there.oid);
            // Several client numbers may mean one type after several moves; any of them will do.
            translation.to_client.insert(there.oid, *oid);
        }
        Ok(if differs { translation } else { Translation::default() })
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.to_server.is_empty()
    }

    fn patch_to_server(&self, place: &mut [u8; 4]) {
        if let Some(oid) = self.to_server.get(&u32::from_be_bytes(*place)) {
            *place = oid.to_be_bytes();
        }
    }

    fn patch_to_client(&self, place: &mut [u8; 4]) -> Result<(), Clash> {
        let oid = u32::from_be_bytes(*place);
        if oid < FIRST_USER_TYPE {
            return Ok(());
        }
        if let Some(known) = self.to_client.get(&oid) {
            *place = known.to_be_bytes();
        } else if self.to_server.contains_key(&oid) {
            return Err(Clash(oid));
        }
        Ok(())
    }

    /// The parameter types at the end of a Parse message's body.
    pub(crate) fn parse(&self, body: &mut [u8], types_at: usize) {
        if let Some(types) = body.get_mut(types_at..) {
            types.as_chunks_mut::<4>().0.iter_mut().for_each(|place| self.patch_to_server(place));
        }
    }

    /// A ParameterDescription's body.
    pub(crate) fn parameters(&self, body: &mut [u8]) -> Result<(), Clash> {
        let Some(types) = body.get_mut(2..) else { return Ok(()) };
        types.as_chunks_mut::<4>().0.iter_mut().try_for_each(|place| self.patch_to_client(place))
    }

    /// A RowDescription's body.
    pub(crate) fn row(&self, body: &mut [u8]) -> Result<(), Clash> {
        for offset in row_type_offsets(body).unwrap_or_default() {
            if let Some(place) = body.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>) {
                self.patch_to_client(place)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_pgwire::backend::FieldDescription;
    use changeover_pgwire::reply;

    fn types(list: &[(u32, &str, bool)]) -> Types {
        let mut types = Types::default();
        for (oid, name, carries) in list {
            types.add(*oid, Arc::new(("public".to_owned(), (*name).to_owned())), *carries);
        }
        types
    }

    fn known(of: &Types, binary: bool) -> Known {
        of.by_oid.iter().map(|(oid, name)| (*oid, (Arc::clone(name), binary))).collect()
    }

    #[test]
    fn numbers_are_translated_both_ways() {
        let (source, target) = (types(&[(16500, "mood", false)]), types(&[(17000, "mood", false)]));
        let translation = Translation::between(&known(&source, true), &target).unwrap();
        let mut message = BytesMut::new();
        let column = |type_oid| FieldDescription {
            name: bytes::Bytes::from_static(b"m"),
            table_oid: 1,
            column: 1,
            type_oid,
            type_size: 4,
            type_modifier: -1,
            format: 0,
        };
        reply::row_description(&mut message, &[column(23), column(17000)]);
        translation.row(&mut message[5..]).unwrap();
        let mut expected = BytesMut::new();
        reply::row_description(&mut expected, &[column(23), column(16500)]);
        assert_eq!(message, expected);

        let mut body = b"\0select $1\0\0\x01\0\0\x40\x74".to_vec();
        translation.parse(&mut body, 13);
        assert_eq!(body[13..], 17000_u32.to_be_bytes());

        let mut clash = BytesMut::new();
        reply::parameter_description(&mut clash, &[16500]);
        assert_eq!(translation.parameters(&mut clash[5..]), Err(Clash(16500)));
    }

    #[test]
    fn what_cannot_be_translated_is_named() {
        let source = types(&[(16500, "mood", false), (16501, "_mood", true)]);
        let missing = types(&[(16500, "mood", false)]);
        let text = Translation::between(&known(&source, true), &missing).unwrap_err();
        assert!(text.contains("public._mood"), "{text}");
        let other = types(&[(17000, "mood", false), (17001, "_mood", true)]);
        assert!(Translation::between(&known(&source, true), &other).is_err());
        assert!(Translation::between(&known(&source, false), &other).is_ok());
        let same = Translation::between(&known(&source, true), &source).unwrap();
        assert!(same.is_empty());
    }
}
