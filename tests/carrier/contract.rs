//! A row for each carrier, the shapes of messages elsewhere, and that the contract notices what is wrong.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    str::from_utf8,
    thread,
};

use ctxhop::{
    carrier::{Carrier, Environment, Headers, Limited, NOT_TEXT, Prefixed, ReadOnly, View},
    messaging::Destination,
    queue::{self, Message},
    testing::{CarrierContract, carrier_contract},
};
use serde_json::{Map, json};

// The contract, a row for each carrier.

#[test]
fn headers() {
    CarrierContract::new(Headers::new).repeats(|headers, key, value| headers.append(key.to_owned(), value)).check();
}

#[test]
fn hash_map() {
    CarrierContract::new(HashMap::<String, String>::new)
        .unordered()
        .repeats(|map, key, value| _ = map.insert(other_case(key, |name| map.contains_key(name)), value.to_owned()))
        .check();
}

#[test]
fn b_tree_map() {
    carrier_contract(BTreeMap::new);
    CarrierContract::new(BTreeMap::<String, String>::new)
        .unordered()
        .repeats(|map, key, value| _ = map.insert(other_case(key, |name| map.contains_key(name)), value.to_owned()))
        .check();
}

/// A key of this name in a case that is not taken.
fn other_case(key: &str, taken: impl Fn(&str) -> bool) -> String {
    let names = (0..key.len()).map(|end| key[..end].to_lowercase() + &key[end..].to_uppercase());
    [key.to_owned()].into_iter().chain(names).find(|name| !taken(name)).expect("a case is free")
}

#[test]
fn json() {
    let other_than_text = [json!(null), json!(true), json!(7), json!(["00"]), json!({"traceparent": "00"})];
    let mut contract = CarrierContract::new(Map::new).unordered().repeats(|map, key, value| {
        map.insert(other_case(key, |name| map.contains_key(name)), value.into());
    });
    for value in other_than_text {
        contract = contract
            .not_text(move |map, key| _ = map.insert(other_case(key, |name| map.contains_key(name)), value.clone()));
    }
    contract.check();
}

#[test]
fn option() {
    CarrierContract::new(|| Some(Headers::new()))
        .repeats(|headers, key, value| headers.as_mut().unwrap().append(key.to_owned(), value))
        .check();
}

#[test]
fn view() {
    // What a view reads lives as long as the test.
    let leak = |headers: &[(&str, &str)]| -> &'static [(String, String)] {
        headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>().leak()
    };
    CarrierContract::reading(|headers| {
        let headers = leak(headers);
        View::new(move || headers.iter().map(|(key, value)| (key, value)))
    })
    .check();
    CarrierContract::reading(|headers| {
        let headers = leak(headers);
        View::new(move || headers.iter().map(|(key, value)| (key.as_bytes(), Some(value.as_bytes()))))
    })
    .check();
    CarrierContract::reading(|headers| {
        let headers = HashMap::from_iter(leak(headers).iter().cloned());
        let headers: &'static HashMap<String, String> = Box::leak(Box::new(headers));
        View::new(move || headers)
    })
    .unordered()
    .check();
}

#[test]
fn read_only() {
    CarrierContract::reading(|headers| {
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), *value));
        ReadOnly(Box::leak(Box::new(Headers::from_iter(headers))))
    })
    .check();
}

#[test]
fn limited() {
    let append = |limited: &mut Limited<Headers>, key: &str, value: &str| {
        let mut headers = mem::replace(limited, Limited::new(Headers::new())).into_inner();
        headers.append(key.to_owned(), value);
        *limited = Limited::new(headers);
    };
    CarrierContract::new(|| Limited::new(Headers::new())).repeats(append).check();
    carrier_contract(|| Limited::new(Headers::new()).value_bytes(64));
    carrier_contract(|| Limited::new(Headers::new()).total_bytes(512));
    carrier_contract(|| Limited::new(http::HeaderMap::new()).value_bytes(100).total_bytes(512));
    carrier_contract(|| Limited::new(Limited::new(Headers::new()).value_bytes(64)).total_bytes(512));
    carrier_contract(|| Prefixed::new("googclient_", Limited::new(Headers::new()).value_bytes(64)));
    carrier_contract(|| Limited::new(Prefixed::new("MY-", Environment::default())).value_bytes(64));
    carrier_contract(|| Limited::new(Some(Headers::new())).value_bytes(64));
}

#[test]
fn pairs() {
    CarrierContract::new(Vec::<(String, String)>::new)
        .repeats(|pairs, key, value| pairs.push((key.to_owned(), value.to_owned())))
        .check();
}

#[test]
fn message_and_delivery_of_the_queue() {
    CarrierContract::new(Message::<u32>::default)
        .repeats(|message, key, value| message.headers.append(key.to_owned(), value))
        .check();
    let deliver = || {
        let (publisher, consumer) = queue::unbounded(Destination::in_memory("orders"));
        publisher.try_publish(7).unwrap();
        consumer.try_recv().unwrap()
    };
    CarrierContract::new(deliver)
        .repeats(|delivery, key, value| delivery.headers.append(key.to_owned(), value))
        .check();
}

#[test]
fn by_reference() {
    // What is borrowed lives as long as the test.
    fn leak<C>(carrier: C) -> &'static mut C {
        Box::leak(Box::new(carrier))
    }
    carrier_contract(|| leak(Headers::new()));
    carrier_contract(|| leak(Environment::default()));
    carrier_contract(|| leak(Limited::new(Headers::new()).value_bytes(64)));
}

#[test]
fn environment() {
    carrier_contract(Environment::default);
}

#[test]
fn command() {
    let contract = CarrierContract::new(|| Command::new("true"));
    #[cfg(unix)]
    let contract = contract.not_text(|command, key| {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        command.env(key.to_uppercase(), OsStr::from_bytes(b"\xff"));
    });
    contract.check();
}

#[test]
fn header_map() {
    use http::{HeaderMap, HeaderName, HeaderValue};
    CarrierContract::new(HeaderMap::new)
        .repeats(|map, key, value| {
            map.append(HeaderName::try_from(key).unwrap(), HeaderValue::try_from(value).unwrap());
        })
        .not_text(|map, key| {
            map.append(HeaderName::try_from(key).unwrap(), HeaderValue::from_bytes(b"\xff").unwrap());
        })
        .check();
}

#[test]
fn prefixed() {
    let foreign = || Headers::from_iter([("traceparent", "not ours"), ("x", "1"), ("googclient", "2"), ("é", "3")]);
    CarrierContract::new(|| Prefixed::new("googclient_", foreign()))
        .repeats(|prefixed, key, value| prefixed.inner_mut().append(format!("GoogClient_{key}"), value))
        .check();
    carrier_contract(|| Prefixed::new("", Headers::new()));
    carrier_contract(|| Prefixed::new("a_", Prefixed::new("b_", foreign())));
    // Where keys are not kept as they are, nor is the prefix.
    for prefix in ["", "MY_APP_", "my-app.", "9-", "é."] {
        carrier_contract(|| Prefixed::new(prefix, Environment::default()));
        carrier_contract(|| Prefixed::new(prefix, Prefixed::new("x-", Environment::default())));
        carrier_contract(|| Prefixed::new("x-", Prefixed::new(prefix, Environment::default())));
        carrier_contract(|| Prefixed::new(prefix, Command::new("true")));
    }
    carrier_contract(|| Prefixed::new("X-", http::HeaderMap::new()));
}

// Shapes of messages elsewhere.

/// AMQP: a table of typed values.
#[derive(Default)]
struct FieldTable(BTreeMap<String, Field>);

enum Field {
    LongString(Vec<u8>),
    LongInt(#[expect(dead_code, reason = "passed over")] i64),
    Void,
}

impl Carrier for FieldTable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key));
        fields.filter_map(|(_, field)| match field {
            Field::LongString(bytes) => from_utf8(bytes).ok(),
            Field::LongInt(_) | Field::Void => None,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.remove(key);
        self.0.insert(key.to_owned(), Field::LongString(value.into_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|name, _| !name.eq_ignore_ascii_case(key));
    }
}

#[test]
fn field_table() {
    CarrierContract::new(FieldTable::default)
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::LongInt(7))))
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::Void)))
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::LongString(vec![0xff]))))
        .check();
}

/// Kafka: repeated keys, values that are bytes or null, and a builder that can only be added to, by value.
#[derive(Default)]
struct Record(Vec<(String, Option<Vec<u8>>)>);

impl Record {
    fn insert(mut self, key: &str, value: Option<&[u8]>) -> Self {
        self.0.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }
}

impl Carrier for Record {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.and_then(|value| from_utf8(value).ok()).unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.remove(key);
        *self = mem::take(self).insert(key, Some(value.as_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        let old = mem::take(self);
        let others = old.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(key));
        *self = others.fold(Record::default(), |new, (key, value)| new.insert(key, value));
    }
}

#[test]
fn record() {
    CarrierContract::new(Record::default)
        .repeats(|record, key, value| *record = mem::take(record).insert(key, Some(value.as_bytes())))
        .not_text(|record, key| *record = mem::take(record).insert(key, None))
        .not_text(|record, key| *record = mem::take(record).insert(key, Some(b"\xc3\x28")))
        .check();
}

/// A message that may have been sealed already, and a protocol with room for values of 64 KiB.
#[derive(Default)]
struct Sealable {
    headers: Headers,
    sealed: bool,
}

impl Carrier for Sealable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let accepted = !self.sealed && value.len() <= 1 << 16;
        if accepted {
            self.headers.set(key, value);
        }
        accepted
    }

    fn remove(&mut self, key: &str) {
        if !self.sealed {
            self.headers.remove(key);
        }
    }
}

#[test]
fn sealable() {
    CarrierContract::new(Sealable::default).read_only(|message| message.sealed = true).check();
}

/// A list of pairs with something wrong.
struct Broken {
    pairs: Vec<(String, String)>,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    HeedsCase,
    ChangesCase,
    SetsBeside,
    SetsNothing,
    RemovesNothing,
    RemovesMore,
    HidesKeys,
    Reverses,
    ReadsOne,
    HasLessRoom,
    HasMoreRoom,
    Cuts,
    InventsParent,
    CutsWhatIsRead,
    ReadsOneMember,
    ReadsOneOfLists,
    KeepsState,
    KeepsOtherCaseOfBaggage,
    DropsRepeated,
    DropsOthers,
}

impl Carrier for Broken {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let is = |name| key.eq_ignore_ascii_case(name);
        let limit = match self.flaw {
            Flaw::ReadsOne => 1,
            Flaw::ReadsOneOfLists if is("tracestate") || is("baggage") => 1,
            _ => usize::MAX,
        };
        let named = move |name: &str| match self.flaw {
            Flaw::HeedsCase => name == key,
            _ => name.eq_ignore_ascii_case(key),
        };
        let one_member = self.flaw == Flaw::ReadsOneMember && is("tracestate");
        let read = move |value: &'a str| match self.flaw {
            Flaw::CutsWhatIsRead => value.get(..4096).unwrap_or(value),
            _ if one_member => value.split(',').next().unwrap_or(value),
            _ => value,
        };
        let invents = self.flaw == Flaw::InventsParent && self.pairs.is_empty() && is("traceparent");
        let found = self.pairs.iter().filter(move |(name, _)| named(name)).map(move |(_, value)| read(value));
        found.take(limit).chain(invents.then_some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let limit = if self.flaw == Flaw::HidesKeys { 1 } else { usize::MAX };
        Carrier::keys(&self.pairs).take(limit)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        match self.flaw {
            Flaw::SetsNothing => return true,
            Flaw::HasLessRoom if value.len() > 99 => return false,
            Flaw::Cuts if value.len() > 4096 => return false,
            Flaw::Cuts => drop(self.pairs.set(key, value.get(..99).unwrap_or(&value).to_owned())),
            Flaw::ChangesCase => drop(self.pairs.set(&key.to_lowercase(), value)),
            Flaw::SetsBeside => self.pairs.push((key.to_owned(), value)),
            Flaw::DropsRepeated => {
                self.pairs.set(key, value);
                let mut names = HashSet::new();
                self.pairs.retain(|(name, _)| names.insert(name.to_lowercase()));
            }
            Flaw::DropsOthers if key == "traceparent" => {
                self.pairs.retain(|(name, _)| !name.starts_with("user_"));
                self.pairs.set(key, value);
            }
            _ => drop(self.pairs.set(key, value)),
        }
        if self.flaw == Flaw::Reverses {
            self.pairs.reverse();
        }
        true
    }

    fn remove(&mut self, key: &str) {
        match self.flaw {
            Flaw::RemovesNothing => {}
            Flaw::RemovesMore => self.pairs.retain(|(name, _)| !name.starts_with(&key[..1])),
            Flaw::KeepsState if key == "tracestate" => {}
            Flaw::KeepsOtherCaseOfBaggage if key == "baggage" => self.pairs.retain(|(name, _)| name != key),
            _ => Carrier::remove(&mut self.pairs, key),
        }
    }

    fn room(&self, _: &str) -> usize {
        if matches!(self.flaw, Flaw::HasLessRoom | Flaw::HasMoreRoom) { 100 } else { usize::MAX }
    }
}

#[test]
fn the_contract_notices_what_is_wrong() {
    use Flaw::*;
    let check = |flaw| {
        let contract = CarrierContract::new(move || Broken { pairs: Vec::new(), flaw })
            .repeats(|message, key, value| message.pairs.push((key.to_owned(), value.to_owned())));
        catch_unwind(AssertUnwindSafe(|| contract.check()))
    };
    assert!(check(None).is_ok());
    for (flaw, notice) in [
        (HeedsCase, "looked up as"),
        (ChangesCase, "is kept as it came"),
        (SetsBeside, "what is set is the only value"),
        (SetsNothing, "what is set is the only value"),
        (RemovesNothing, "what is removed is gone"),
        (RemovesMore, "removed as TRACEparent"),
        (HidesKeys, "what is set shows in the keys"),
        (Reverses, "the user's keys are as they were"),
        (ReadsOne, "both values are there, in order"),
        (HasLessRoom, "less room than it tells"),
        (HasMoreRoom, "more room than it tells"),
        (Cuts, "of a long tracestate, whole members are kept"),
        (InventsParent, "a new carrier has no traceparent"),
        (CutsWhatIsRead, "a long tracestate is rejected"),
        (ReadsOneMember, "the trace comes back"),
        (ReadsOneOfLists, "several tracestate are joined"),
        (KeepsState, "no stale tracestate stays"),
        (KeepsOtherCaseOfBaggage, "one traceparent is left"),
        (DropsRepeated, "both values are there, in order"),
        (DropsOthers, "the user's keys are as they were"),
    ] {
        assert_notices(check(flaw), flaw, notice);
    }
}

#[track_caller]
fn assert_notices(checked: thread::Result<()>, flaw: Flaw, notice: &str) {
    let Err(panic) = checked else { panic!("{flaw:?} is not noticed") };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    assert!(text.is_some_and(|text| text.contains(notice)), "{flaw:?}: {text:?}");
}

#[test]
fn the_contract_notices_what_is_wrong_with_a_carrier_that_is_only_read() {
    use Flaw::*;
    let check = |flaw| {
        let contract = CarrierContract::reading(move |headers| {
            let pairs = headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Reading { broken: Broken { pairs, flaw }, writes: flaw == SetsBeside }
        });
        catch_unwind(AssertUnwindSafe(|| contract.check()))
    };
    assert!(check(None).is_ok());
    for (flaw, notice) in [
        (HeedsCase, "is found, in whatever case"),
        (HidesKeys, "the keys are those of the message"),
        (SetsBeside, "nothing is set"),
        (InventsParent, "a new carrier has no traceparent"),
        (ReadsOneMember, "the trace is extracted"),
        (CutsWhatIsRead, "TooLong"),
    ] {
        assert_notices(check(flaw), flaw, notice);
    }
}

struct Reading {
    broken: Broken,
    writes: bool,
}

impl Carrier for Reading {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.broken.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.broken.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.writes && self.broken.set(key, value)
    }
}

#[test]
fn the_contract_notices_what_does_not_count() {
    /// Passes over what is not text, or says this instead.
    struct Texts(Record, Option<&'static str>);

    impl Carrier for Texts {
        fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
            self.0.get_all(key).filter_map(|value| if value == NOT_TEXT { self.1 } else { Some(value) })
        }

        fn keys(&self) -> impl Iterator<Item = &str> {
            self.0.keys()
        }

        fn set(&mut self, key: &str, value: String) -> bool {
            self.0.set(key, value)
        }

        fn remove(&mut self, key: &str) {
            self.0.remove(key);
        }
    }

    let append =
        |texts: &mut Texts, key: &str, value: &[u8]| texts.0 = mem::take(&mut texts.0).insert(key, Some(value));
    let repeats = CarrierContract::new(|| Texts(Record::default(), None))
        .repeats(move |texts, key, value| append(texts, key, value.as_bytes()));
    repeats.check();
    let not_text = |says| {
        let contract = CarrierContract::new(move || Texts(Record::default(), says));
        let contract = contract.not_text(move |texts, key| append(texts, key, b"\xff"));
        catch_unwind(AssertUnwindSafe(|| contract.check()))
    };
    assert!(not_text(None).is_ok());
    // As a conversion that loses what it cannot read.
    assert_notices(not_text(Some("?")), Flaw::None, "that is not text is none");
    let both = repeats.not_text(move |texts, key| append(texts, key, b"\xff"));
    assert!(catch_unwind(AssertUnwindSafe(|| both.check())).is_err());
}

#[test]
fn the_short_form_checks_the_contract() {
    let check = |flaw| catch_unwind(|| carrier_contract(|| Broken { pairs: Vec::new(), flaw }));
    assert!(check(Flaw::None).is_ok());
    assert_notices(check(Flaw::HeedsCase), Flaw::HeedsCase, "looked up as");
}

#[test]
fn the_contract_notices_a_message_that_only_says_it_is_read_only() {
    let contract = CarrierContract::new(Sealable::default).read_only(|_| ());
    assert!(catch_unwind(AssertUnwindSafe(|| contract.check())).is_err());
}
