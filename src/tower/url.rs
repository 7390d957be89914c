use std::{borrow::Cow, fmt::Write};

use http::{HeaderMap, Uri, header::HOST, uri::Authority};

const REDACTED: &str = "REDACTED";

/// The conventions' list of what a signed URL gives away, case-sensitive.
const SENSITIVE: [&str; 5] = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature"];

/// The query, with the values of sensitive keys replaced.
pub(super) fn redacted_query(query: &str) -> Cow<'_, str> {
    let key_of = |pair: &str| SENSITIVE.iter().find(|key| pair.split('=').next() == Some(key)).copied();
    if !query.split('&').any(|pair| key_of(pair).is_some()) {
        return query.into();
    }
    let mut redacted = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            redacted.push('&');
        }
        match key_of(pair) {
            Some(key) => redacted.extend([key, "=", REDACTED]),
            None => redacted.push_str(pair),
        }
    }
    redacted.into()
}

/// The whole URL, without what is secret in it. `None` if the request does not say where it goes.
pub(super) fn full_url(uri: &Uri, scheme: &str, authority: Option<&Authority>) -> Option<String> {
    let authority = authority?.as_str();
    let mut url = String::with_capacity(scheme.len() + authority.len() + 64);
    url.extend([scheme, "://"]);
    match authority.rsplit_once('@') {
        Some((_credentials, host)) => write!(url, "{REDACTED}:{REDACTED}@{host}").ok()?,
        None => url.push_str(authority),
    }
    url.push_str(uri.path());
    if let Some(query) = uri.query() {
        url.extend(["?", &redacted_query(query)]);
    }
    Some(url)
}

/// Whom the request is meant for: `:authority`, or the header that stands for it.
pub(super) fn authority<'a>(uri: &'a Uri, headers: &HeaderMap) -> Option<Cow<'a, Authority>> {
    match uri.authority() {
        Some(authority) => Some(Cow::Borrowed(authority)),
        None => Authority::try_from(headers.get(HOST)?.as_bytes()).ok().map(Cow::Owned),
    }
}

/// As the conventions write it: an IPv6 address without its brackets.
pub(super) fn host(authority: &Authority) -> String {
    authority.host().trim_start_matches('[').trim_end_matches(']').to_owned()
}

pub(super) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
