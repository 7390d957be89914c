use std::{borrow::Cow, fmt::Write, str::FromStr};

use http::{HeaderMap, Uri, header::HOST};

const REDACTED: &str = "REDACTED";

/// The conventions' list of what a signed URL gives away, case-sensitive.
const SENSITIVE: [&str; 5] = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature"];

/// The query, with the values of sensitive keys replaced.
pub(super) fn redacted_query(query: &str) -> Cow<'_, str> {
    let key_of = |pair: &str| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        SENSITIVE.into_iter().find(|sensitive| *sensitive == key)
    };
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
pub(super) fn full_url(uri: &Uri, scheme: &str, authority: Option<&str>) -> Option<String> {
    let authority = authority?;
    let mut url = String::with_capacity(scheme.len() + authority.len() + 64);
    url.extend([scheme, "://"]);
    match authority.rsplit_once('@') {
        Some((_credentials, host)) => write!(url, "{REDACTED}:{REDACTED}@{host}").ok()?,
        None => url.push_str(authority),
    }
    // `OPTIONS *` asks for the server as a whole, whose URL has no path.
    if uri.path() != "*" {
        url.push_str(uri.path());
    }
    if let Some(query) = uri.query() {
        url.extend(["?", &redacted_query(query)]);
    }
    Some(url)
}

/// Whom the request is meant for: `:authority`, or the header that stands for it.
pub(super) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// The host, as the conventions write it, and the port: an IPv6 address is without its brackets. Parsing an `Authority` would copy
/// it.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    let host_port = authority.rsplit_once('@').map_or(authority, |(_credentials, host_port)| host_port);
    if let Some((host, rest)) = host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| decimal(port.as_bytes())));
    }
    match host_port.rsplit_once(':') {
        Some((host, port)) => (host, decimal(port.as_bytes())),
        None => (host_port, None),
    }
}

/// A number of digits alone, as headers and URLs have it. The standard library's parser takes a sign.
pub(super) fn decimal<T: FromStr>(digits: &[u8]) -> Option<T> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
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
    use http::{HeaderMap, Uri};

    use super::{authority, decimal, full_url, host_and_port, redacted_query};

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
        let url = full_url(&uri, "https", authority(&uri, &HeaderMap::new()));
        assert_eq!(url.as_deref(), Some("https://REDACTED:REDACTED@[::1]:8080/a"));
        assert_eq!(full_url(&uri, "https", None), None);
    }

    /// RFC 9112, section 3.3.
    #[test]
    fn a_request_for_the_whole_server_has_no_path() {
        let url = full_url(&Uri::from_static("*"), "http", Some("shop.example"));
        assert_eq!(url.as_deref(), Some("http://shop.example"));
    }

    #[test]
    fn a_host_is_without_its_port() {
        for (authority, host, port) in [
            ("shop.example", "shop.example", None),
            ("shop.example:80", "shop.example", Some(80)),
            ("me:secret@shop.example:80", "shop.example", Some(80)),
            ("me:secret@[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("shop.example:99999", "shop.example", None),
            ("shop.example:+80", "shop.example", None),
            (":", "", None),
            ("", "", None),
        ] {
            assert_eq!(host_and_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn numbers_are_digits_alone() {
        for (text, number) in [("0", Some(0)), ("012", Some(12)), ("65535", Some(u16::MAX)), ("65536", None)] {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
        for text in ["", "+1", "-1", "1 ", "1.0", "\u{661}"] {
            assert_eq!(decimal::<u64>(text.as_bytes()), None, "{text}");
        }
    }
}
