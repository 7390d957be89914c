//! [`Headers`].

use std::borrow::Cow;

use ctxhop::carrier::{Carrier, Headers};
use proptest::{collection::vec, prelude::*};

#[test]
fn headers_are_an_ordered_list() {
    let mut headers = Headers::from_iter([("A", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5")]);
    assert_eq!(headers.get("a"), Some("1"));
    assert_eq!(headers.get_all("a").collect::<Vec<_>>(), ["1", "3", "5"]);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["A", "b", "a", "c", "a"]);
    assert_eq!((headers.len(), headers.iter().len(), headers.is_empty()), (5, 5, false));
    assert_eq!(headers.iter().next_back(), Some(("a", "5")));
    assert_eq!(format!("{headers:?}"), r#"{"A": "1", "b": "2", "a": "3", "c": "4", "a": "5"}"#);

    headers.insert("C", "0");
    headers.insert("a", "6");
    assert_eq!(headers, Headers::from_iter([("a", "6"), ("b", "2"), ("C", "0")]));
    assert_ne!(headers, Headers::from_iter([("a", "6"), ("b", "2"), ("c", "0")]));

    headers.extend([("A", "7")]);
    assert_eq!(headers.remove("A"), Some("6".to_owned()));
    assert_eq!(headers.remove("A"), None);
    assert_eq!(headers.clone().into_iter().len(), 2);
    let rest: Vec<_> = headers.clone().into_iter().collect();
    assert_eq!(rest, [("b".into(), "2".to_owned()), ("C".into(), "0".to_owned())]);
}

#[test]
fn w3c_keys_are_not_copied() {
    let mut headers = Headers::new();
    for key in ["traceparent", "tracestate", "baggage"] {
        headers.set(key, String::new());
    }
    assert!(headers.into_iter().all(|(name, _)| matches!(name, Cow::Borrowed(_))));
}

#[derive(Clone, Debug)]
enum Change {
    Append(String, String),
    Insert(String, String),
    Remove(String),
}

fn change() -> impl Strategy<Value = Change> {
    let (key, value) = ("[aAbB]{1,2}", "[x-z]");
    prop_oneof![
        (key, value).prop_map(|(key, value)| Change::Append(key, value)),
        (key, value).prop_map(|(key, value)| Change::Insert(key, value)),
        key.prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn headers_are_like_a_plain_list(changes in vec(change(), 0..20)) {
        let mut headers = Headers::new();
        let mut list: Vec<(String, String)> = Vec::new();
        for change in changes {
            match change {
                Change::Append(key, value) => {
                    headers.append(key.clone(), value.clone());
                    list.push((key, value));
                }
                Change::Insert(key, value) => {
                    headers.insert(key.clone(), value.clone());
                    let at = list.iter().position(|(other, _)| other.eq_ignore_ascii_case(&key)).unwrap_or(list.len());
                    list.retain(|(other, _)| !other.eq_ignore_ascii_case(&key));
                    list.insert(at, (key, value));
                }
                Change::Remove(key) => {
                    let first = list.iter().find(|(other, _)| other.eq_ignore_ascii_case(&key));
                    prop_assert_eq!(headers.remove(&key), first.map(|(_, value)| value.clone()));
                    list.retain(|(other, _)| !other.eq_ignore_ascii_case(&key));
                }
            }
            prop_assert_eq!(&headers, &Headers::from_iter(list.clone()));
        }
    }
}
