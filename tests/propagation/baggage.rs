//! [`BaggagePropagator`]: a table of what it reads and writes, and what holds for any bytes.

use std::collections::{BTreeMap, HashMap};

use ctxhop::propagation::{BaggagePropagator, properties};
use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt, BaggageMetadata},
    propagation::{Extractor, TextMapPropagator},
};
use opentelemetry_sdk::propagation::BaggagePropagator as SdkPropagator;
use proptest::{collection::vec, prelude::*};

/// Names, values and metadata.
type Members = BTreeMap<String, (String, String)>;

/// Reads headers, each of which is one `baggage`.
fn read(headers: &[&str]) -> Members {
    members(BaggagePropagator::new().extract_with_context(&Context::new(), &Several(headers)).baggage())
}

fn members(baggage: &Baggage) -> Members {
    let member = |(name, (value, metadata)): (&opentelemetry::Key, &(_, BaggageMetadata))| {
        let value: &opentelemetry::StringValue = value;
        (name.to_string(), (value.to_string(), metadata.to_string()))
    };
    baggage.iter().map(member).collect()
}

fn write(baggage: Baggage) -> Option<String> {
    write_with(&BaggagePropagator::new(), baggage)
}

fn write_with(propagator: &dyn TextMapPropagator, baggage: Baggage) -> Option<String> {
    let mut sent = HashMap::new();
    propagator.inject_context(&Context::new().with_baggage(baggage), &mut sent);
    sent.remove("baggage")
}

fn of(members: &[(&str, &str, &str)]) -> Baggage {
    let mut baggage = Baggage::new();
    for &(name, value, metadata) in members {
        baggage.insert_with_metadata(name.to_owned(), value.to_owned(), metadata);
    }
    baggage
}

struct Several<'a>(&'a [&'a str]);

impl Extractor for Several<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key)?.first().copied()
    }

    fn keys(&self) -> Vec<&str> {
        vec!["baggage"; self.0.len()]
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        (key == "baggage" && !self.0.is_empty()).then(|| self.0.to_vec())
    }
}

#[test]
fn what_is_read() {
    for (headers, expected) in [
        (&["a=1"][..], &[("a", "1", "")][..]),
        (&["a=1,b=2", "c=3"], &[("a", "1", ""), ("b", "2", ""), ("c", "3", "")]),
        // Whitespace, and what is empty.
        (&[" a\t= \t1 ;\tp = x ; q\t,\tb =2"], &[("a", "1", "p=x;q"), ("b", "2", "")]),
        (&[",, a=1, ,\t,b=2,", "", ","], &[("a", "1", ""), ("b", "2", "")]),
        (&["a=,b=;p,c=;"], &[("a", "", ""), ("b", "", "p"), ("c", "", "")]),
        // `=`, `+` and other marks in values.
        (&["token=YWJjZA==,b==,c=x=y=z"], &[("token", "YWJjZA==", ""), ("b", "=", ""), ("c", "x=y=z", "")]),
        (&["a=1+1,b=!#$&'()*-./:<>?@[]^_`{|}~"], &[("a", "1+1", ""), ("b", "!#$&'()*-./:<>?@[]^_`{|}~", "")]),
        // Percent-encoding.
        (
            &["a=%20x%20,b=%C3%BC,c=100%2520,d=%41%6a%6A"],
            &[("a", " x ", ""), ("b", "ü", ""), ("c", "100%20", ""), ("d", "Ajj", "")],
        ),
        (&["a=%0D%0A%00%2C%3B%3D%22%5C"], &[("a", "\r\n\0,;=\"\\", "")]),
        (
            &["a=100%,b=%4,c=%zz,d=%%41,e=%+1"],
            &[("a", "100%", ""), ("b", "%4", ""), ("c", "%zz", ""), ("d", "%A", ""), ("e", "%+1", "")],
        ),
        (
            &["a=x%FFy,b=%C3,c=%ED%A0%80"],
            &[("a", "x\u{fffd}y", ""), ("b", "\u{fffd}", ""), ("c", "\u{fffd}\u{fffd}\u{fffd}", "")],
        ),
        // Keys are not decoded, and heed the case.
        (
            &["%61=1,A=2,a=3,x!#$%&'*+-.^_`|~9=4"],
            &[("%61", "1", ""), ("A", "2", ""), ("a", "3", ""), ("x!#$%&'*+-.^_`|~9", "4", "")],
        ),
        // What is wrong costs its member.
        (&["a,b=2,=3,;p,c d=4,e=5"], &[("b", "2", ""), ("e", "5", "")]),
        (&["a=x y,b=\"2\",c=\\,d=ü,e=\u{fffd},f=\u{7f},g=\r\n,h=8"], &[("h", "8", "")]),
        (&["ü=1,a(b)=2,a/b=3,a:b=4,\"a\"=5,h=8"], &[("h", "8", "")]),
        (&["\u{fffd}", "a=1"], &[("a", "1", "")]),
        // Properties are kept as they are sent, the wrong ones apart.
        (&["a=1;p=1%2Cadmin=true"], &[("a", "1", "p=1%2Cadmin=true")]),
        (&["a=1;p=%0D%0A;q=100%2520;r=%3B;s==;t"], &[("a", "1", "p=%0D%0A;q=100%2520;r=%3B;s==;t")]),
        (&["a=1;;p;=x;q r;s=x y;ü;t=ü;u=100%;v="], &[("a", "1", "p;u=100%25;v=")]),
        // Of two of a key, the last.
        (&["a=1;p,b=2,a=3", "a=4;q"], &[("a", "4", "q"), ("b", "2", "")]),
        (&["a=1,a=x y"], &[("a", "1", "")]),
    ] {
        let expected: Members = members(&of(expected));
        assert_eq!(read(headers), expected, "{headers:?}");
    }
}

#[test]
fn what_is_written() {
    for (member, expected) in [
        (("a", "1", ""), "a=1"),
        (("a", "", ""), "a="),
        (("a", " x ", ""), "a=%20x%20"),
        (("a", "Amélie", ""), "a=Am%C3%A9lie"),
        (("a", "100%20", ""), "a=100%2520"),
        (("a", "\r\n\0\t,;=\"\\\u{7f}", ""), "a=%0D%0A%00%09%2C%3B%3D%22%5C%7F"),
        (("a", "1+1!#$&'()*-./:<>?@[]^_`{|}~", ""), "a=1+1!#$&'()*-./:<>?@[]^_`{|}~"),
        (("a", "1", "p"), "a=1;p"),
        (("a", "1", " p = x ;; q "), "a=1;p=x;q"),
        (("a", "1", "p=1,admin=true"), "a=1;p=1%2Cadmin=true"),
        (("a", "1", "p=x\r\nEvil: 1"), "a=1;p=x%0D%0AEvil:%201"),
        (("a", "1", "p=100%;q=%2c;r=%2"), "a=1;p=100%25;q=%2c;r=%252"),
        (("a", "1", "some free text, and ü"), "a=1;some%20free%20text%2C%20and%20%C3%BC"),
        (("a", "1", "=x"), "a=1"),
    ] {
        assert_eq!(write(of(&[member])).as_deref(), Some(expected), "{member:?}");
    }
    assert_eq!(write(Baggage::new()), None);
}

#[test]
fn what_was_read_is_written_again() {
    for list in ["a=1", "a=100%2520;p=100%2520;q=%3B%2C", "token=YWJjZA%3D%3D", "a=%F0%9F%9A%80;internal"] {
        let cx = BaggagePropagator::new().extract_with_context(&Context::new(), &Several(&[list]));
        let mut sent = HashMap::new();
        BaggagePropagator::new().inject_context(&cx, &mut sent);
        assert_eq!(sent["baggage"], list);
    }
}

#[test]
fn nothing_valid_leaves_the_context_as_it_is() {
    let cx = Context::new().with_baggage(of(&[("kept", "1", "")]));
    for headers in [&[][..], &[""], &[" , "], &["broken"], &["\u{fffd}"]] {
        let extracted = BaggagePropagator::new().extract_with_context(&cx, &Several(headers));
        assert_eq!(members(extracted.baggage()), members(cx.baggage()), "{headers:?}");
    }
    let extracted = BaggagePropagator::new().extract_with_context(&cx, &Several(&["new=1"]));
    assert_eq!(members(extracted.baggage()), read(&["new=1"]));
}

#[test]
fn limits_are_over_all_headers() {
    let member = |n: usize| format!("k{n}=v");
    let all: Vec<_> = (0..65).map(member).collect();
    let refs: Vec<_> = all.iter().map(String::as_str).collect();
    assert_eq!(read(&[&all[..64].join(",")]).len(), 64);
    for headers in [vec![all.join(",")], all.clone(), vec![all[..40].join(",,"), all[40..].join(" , ")]] {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let kept = read(&headers);
        assert_eq!((kept.len(), kept.contains_key("k64")), (64, false));
    }
    assert_eq!(read(&[",".repeat(1000).as_str(), &refs.join(", ,")]).len(), 64, "what is empty does not count");

    let long = |name: &str, length: usize| format!("{name}={}", "v".repeat(length - name.len() - 1));
    assert_eq!(read(&[&long("a", 8192)]).len(), 1);
    assert_eq!(read(&[&long("a", 8193)]).len(), 0);
    assert_eq!(read(&[&long("a", 8000), &long("b", 191)]).len(), 2, "with the comma between them 8,192");
    assert_eq!(read(&[&long("a", 8000), &long("b", 192)]).len(), 1);
    assert_eq!(read(&[&long("a", 8000), &long("b", 192), "c=1"]).len(), 1, "only leading ones are kept");

    let two = |bytes: usize| of(&[("a", &"v".repeat(4000), ""), ("b", &"v".repeat(bytes), "")]);
    assert_eq!(write(two(8192 - 4005)).unwrap().len(), 8192);
    assert_eq!(write(two(8193 - 4005)).unwrap().split(',').count(), 1);

    let three = of(&[("a", &"=".repeat(1000), ""), ("b", &"=".repeat(1000), ""), ("c", &"=".repeat(1000), "")]);
    let sent = write(three).unwrap();
    assert_eq!((sent.len(), sent.split(',').count()), (2 * 3002 + 1, 2), "whole members");
}

/// It is sent on as `%25`, and the API has no room for more than can be sent.
#[test]
fn a_stray_percent_of_a_property_counts_as_encoded() {
    let list = |percents: usize| format!("a=0,b=1;p={},c=2", "%".repeat(percents));
    let names = |list: &str| read(&[list]).into_keys().collect::<String>();
    let fits = (8192 - list(0).len()) / 3;
    assert_eq!(names(&list(fits)), "abc");
    assert_eq!(names(&list(fits + 1)), "ab", "only leading ones are kept");
    assert_eq!(names(&list(4000)), "a");
    assert_eq!(read(&[&format!("{},a=3", list(4000))])["a"].0, "0");
    assert_eq!(names(&format!("d=x y;p={},{}", "%".repeat(4000), list(1))), "abc", "a member that is dropped has none");
}

#[test]
fn properties_are_decoded() {
    let metadata = "p=1%2Cadmin=true; q ;r=;;s=%3B%ff%;=x".into();
    let expected = [("p", Some("1,admin=true")), ("q", None), ("r", Some("")), ("s", Some(";\u{fffd}%"))];
    assert!(properties(&metadata).eq(expected.map(|(key, value)| (key, value.map(Into::into)))));
}

/// The grammar of the recommendation, character by character, and no member twice.
#[track_caller]
fn assert_well_formed(list: &str) {
    let octet = |it: char| matches!(it, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~');
    let mark = |it: char| "!#$%&'*+-.^_`|~".contains(it);
    let token = |text: &str| !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || mark(it));
    let mut names = Vec::new();
    for member in list.split(',') {
        let mut parts = member.split(';');
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).unwrap_or_else(|| panic!("{list}"));
        assert!(token(name) && value.chars().all(octet), "{list}");
        for property in parts {
            let (name, value) = property.split_once('=').unwrap_or((property, ""));
            assert!(token(name) && value.chars().all(octet), "{list}");
        }
        assert!(!names.contains(&name), "{list}");
        names.push(name);
    }
    assert!(list.len() <= 8192 && names.len() <= 64);
}

/// Bytes that mean something in a header, percent-encoded or not, among others.
fn bytes() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z0-9]{1,3}",
        4 => "[,;=%\"\\\\ \t\r\n\0+]",
        4 => "%(2C|2c|3B|3D|25|0D|0A|00|20|FF|C3%BC|[0-9a-f]{2})",
        1 => "\\PC",
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn baggage() -> impl Strategy<Value = Vec<(String, String, String)>> {
    vec(("[a-c%!]{1,2}", bytes(), bytes()), 0..6)
}

proptest! {
    #[test]
    fn extract_inject_extract_is_stable(headers in vec(vec(bytes(), 0..6).prop_map(|it| it.join(",")), 1..4)) {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let read_once = read(&headers);
        let baggage = read_once.iter().map(|(name, (value, metadata))| (&**name, &**value, &**metadata));
        let Some(sent) = write(of(&baggage.collect::<Vec<_>>())) else {
            prop_assert!(read_once.is_empty());
            return Ok(());
        };
        assert_well_formed(&sent);
        prop_assert_eq!(read(&[&sent]), read_once, "by way of {}", sent);
    }

    #[test]
    fn whatever_is_in_a_baggage_adds_no_member(baggage in baggage()) {
        let baggage: Vec<_> = baggage.iter().map(|(name, value, metadata)| (&**name, &**value, &**metadata)).collect();
        let baggage = of(&baggage);
        let expected = members(&baggage);
        let Some(sent) = write(baggage) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        assert_well_formed(&sent);
        let received = read(&[&sent]);
        let values = |members: &Members| members.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect::<Vec<_>>();
        prop_assert_eq!(values(&received), values(&expected), "by way of {}", sent);
    }

    #[test]
    fn what_is_written_is_read_by_the_sdk(values in vec(("[a-c]{1,2}", "[ -~ü]{0,9}"), 1..6)) {
        let values: Vec<_> = values.iter().map(|(name, value)| (&**name, value.trim(), "")).collect();
        let baggage = of(&values);
        let expected = members(&baggage);
        let sent = HashMap::from([("baggage".to_owned(), write(baggage).unwrap())]);
        prop_assert_eq!(members(SdkPropagator::new().extract_with_context(&Context::new(), &sent).baggage()), expected);
    }
}
