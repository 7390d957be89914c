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

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::{full_url, host, redacted_query};

    #[test]
    fn secrets_are_replaced_by_key() {
        let query = "a=1&sig=x=y&Sig=2&X-Amz-Signature=&sig&X-Goog-Signature=z";
        let redacted = "a=1&sig=REDACTED&Sig=2&X-Amz-Signature=REDACTED&sig=REDACTED&X-Goog-Signature=REDACTED";
        assert_eq!(redacted_query(query), redacted);
        assert_eq!(redacted_query("a=1&b=sig"), "a=1&b=sig");
    }

    #[test]
    fn a_url_has_no_password() {
        let uri = Uri::from_static("https://me:secret@[::1]:8080/a");
        let authority = uri.authority().unwrap();
        let url = full_url(&uri, "https", Some(authority));
        assert_eq!(url.as_deref(), Some("https://REDACTED:REDACTED@[::1]:8080/a"));
        assert_eq!(host(authority), "::1");
        assert_eq!(full_url(&uri, "https", None), None);
    }
}
