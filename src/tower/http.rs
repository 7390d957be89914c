//! HTTP by its [semantic conventions](https://opentelemetry.io/docs/specs/semconv/http/), which are stable.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use opentelemetry::{KeyValue, StringValue};

use super::{
    exchange::{Ending, Failure, HeaderPrefixes, Start, Verdict},
    resend,
    settings::Settings,
    side::Side,
    url,
};
use crate::conventions::{
    CANCELLED, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_REQUEST_RESEND_COUNT, HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE, NETWORK_PROTOCOL_VERSION, OTHER, SERVER_ADDRESS, SERVER_PORT, URL_FULL, URL_PATH, URL_QUERY,
    URL_SCHEME, USER_AGENT_ORIGINAL, headers,
};

/// One request over plain HTTP.
pub(super) struct Http {
    head: bool,
    status: Option<StatusCode>,
}

static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Those of RFC 9110, with PATCH and QUERY.
const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"];

impl Http {
    pub(super) const HEADER_PREFIXES: HeaderPrefixes =
        HeaderPrefixes { request: headers::HTTP_REQUEST, response: headers::HTTP_RESPONSE };

    pub(super) fn start<B>(settings: &Settings, request: &Request<B>) -> (Self, Start) {
        let method = known_method(settings, request.method());
        let mut span = Vec::with_capacity(12);
        let mut metric = Vec::with_capacity(9);
        both(&mut span, &mut metric, KeyValue::new(HTTP_REQUEST_METHOD, method.clone()));
        if method == OTHER {
            span.push(KeyValue::new(HTTP_REQUEST_METHOD_ORIGINAL, request.method().as_str().to_owned()));
        }
        let route = match settings.side {
            Side::Server => describe_served(settings, request, &mut span, &mut metric),
            Side::Client => {
                describe_sent(settings, request, &mut span, &mut metric);
                None
            }
        };
        let method = if method == OTHER { "HTTP".into() } else { method };
        let name = match route {
            Some(route) => [&*method, " ", route.as_str()].concat().into(),
            None => method,
        };
        let http = Self { head: request.method() == Method::HEAD, status: None };
        (http, Start { name, span, metric })
    }

    pub(super) const fn respond(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Zero where no body is sent, whatever the response has.
    pub(super) fn length<B: Body>(&self, response: &Response<B>) -> Option<u64> {
        let status = response.status();
        if self.head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            return Some(0);
        }
        response
            .body()
            .size_hint()
            .exact()
            .or_else(|| url::decimal(response.headers().get(header::CONTENT_LENGTH)?.as_bytes()))
    }

    pub(super) fn verdict(self, side: Side, ending: Ending) -> Verdict {
        let failed = self.status.filter(|status| side.http_fails(*status));
        let failure = match ending {
            Ending::Failed(failure) => Some(failure),
            // The status says it all, and the conventions want no description then.
            Ending::Complete | Ending::Dropped if failed.is_some() => {
                failed.map(|status| Failure::new(status.as_str().to_owned(), ""))
            }
            Ending::Dropped if side.drop_fails() => Some(Failure::new(CANCELLED, CANCELLED)),
            Ending::Complete | Ending::Dropped => None,
        };
        let status = self.status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
        Verdict { failure, status, ..Verdict::default() }
    }
}

/// What a server says of a request. Gives its route, if that is known.
fn describe_served<B>(
    settings: &Settings,
    request: &Request<B>,
    span: &mut Vec<KeyValue>,
    metric: &mut Vec<KeyValue>,
) -> Option<StringValue> {
    let (uri, headers) = (request.uri(), request.headers());
    both(span, metric, KeyValue::new(URL_SCHEME, scheme_of_origin(uri.scheme_str(), headers)));
    span.push(KeyValue::new(URL_PATH, uri.path().to_owned()));
    span.extend(uri.query().map(|query| KeyValue::new(URL_QUERY, url::redacted_query(query).into_owned())));
    span.extend(server(settings, url::authority(uri, headers), None));
    if let Some(agent) = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        span.push(KeyValue::new(USER_AGENT_ORIGINAL, agent.to_owned()));
    }
    span.extend(protocol_version(request.version()));
    metric.extend(protocol_version(request.version()));
    let route = settings.route.as_ref()?(request.extensions())?;
    let route = StringValue::from(std::sync::Arc::<str>::from(route));
    both(span, metric, KeyValue::new(HTTP_ROUTE, route.clone()));
    Some(route)
}

fn describe_sent<B>(settings: &Settings, request: &Request<B>, span: &mut Vec<KeyValue>, metric: &mut Vec<KeyValue>) {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = url::authority(uri, request.headers());
    for attribute in server(settings, authority, url::default_port(scheme)) {
        both(span, metric, attribute);
    }
    span.extend(url::full_url(uri, scheme, authority).map(|url| KeyValue::new(URL_FULL, url)));
    let resends = resend::count(request.extensions());
    if resends > 0 {
        span.push(KeyValue::new(HTTP_REQUEST_RESEND_COUNT, i64::from(resends)));
    }
}

/// `server.address` and `server.port`, by the layer's settings or by the request.
pub(super) fn server(
    settings: &Settings,
    authority: Option<&str>,
    default_port: Option<u16>,
) -> impl Iterator<Item = KeyValue> + use<> {
    let (address, port) = match (&settings.server, authority) {
        (Some((address, port)), _) => (Some(address.clone()), *port),
        (None, Some(authority)) => {
            let (host, port) = url::host_and_port(authority);
            (Some(host.to_owned().into()), port.or(default_port))
        }
        (None, None) => (None, None),
    };
    let address = address.map(|address| KeyValue::new(SERVER_ADDRESS, address));
    address.into_iter().chain(port.map(|port| KeyValue::new(SERVER_PORT, i64::from(port))))
}

pub(super) fn both(span: &mut Vec<KeyValue>, metric: &mut Vec<KeyValue>, attribute: KeyValue) {
    metric.push(attribute.clone());
    span.push(attribute);
}

/// A proxy in front may have taken the encryption off; of several proxies, the first one in the list met the client. Only the two
/// schemes are believed: it is an attribute of metrics.
fn scheme_of_origin(of_request: Option<&str>, headers: &HeaderMap) -> &'static str {
    let known = |scheme: &str| ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    let forwarded = headers.get(&FORWARDED_PROTO).and_then(|proto| proto.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    first.and_then(known).or_else(|| of_request.and_then(known)).unwrap_or("http")
}

pub(super) fn protocol_version(version: Version) -> Option<KeyValue> {
    let version = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    };
    Some(KeyValue::new(NETWORK_PROTOCOL_VERSION, version))
}

/// Methods come from strangers, and are attributes of metrics: those that are not known have one name.
fn known_method(settings: &Settings, method: &Method) -> Cow<'static, str> {
    match &settings.http_methods {
        Some(known) if known.iter().any(|known| known == method.as_str()) => method.as_str().to_owned().into(),
        Some(_) => OTHER.into(),
        None => METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER).into(),
    }
}
