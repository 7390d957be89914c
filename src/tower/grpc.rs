//! gRPC by its [semantic conventions](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/), a release candidate.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, Request, StatusCode, header};
use opentelemetry::KeyValue;

use super::{
    exchange::{Ending, Failure, HeaderPrefixes, Start, Verdict},
    http::{both, protocol_version, server},
    settings::Settings,
    side::Side,
    url,
};
use crate::conventions::{OTHER, RPC_METHOD, RPC_METHOD_ORIGINAL, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, headers};

/// One call over gRPC.
pub(super) struct Grpc {
    method: String,
    /// Whether there is such a method shows in the answer only, and so it is said at the end. A span's attribute cannot
    /// be replaced.
    said_at_end: bool,
    deadline: Option<Duration>,
    code: Option<Code>,
    message: Option<String>,
    /// The response had no body: nobody has begun to handle the call, or it failed at once.
    trailers_only: bool,
    http_status: Option<StatusCode>,
}

const SYSTEM: &str = "grpc";

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Grpc {
    pub(super) const HEADER_PREFIXES: HeaderPrefixes =
        HeaderPrefixes { request: headers::RPC_REQUEST, response: headers::RPC_RESPONSE };

    /// By its `content-type`. gRPC-Web has another framing, and its trailers in the body: it is plain HTTP here.
    pub(super) fn speaks(headers: &HeaderMap) -> bool {
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let rest = content_type.strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }

    pub(super) fn start<B>(settings: &Settings, request: &Request<B>) -> (Self, Start) {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let mut span = Vec::with_capacity(8);
        let mut metric = Vec::with_capacity(6);
        both(&mut span, &mut metric, KeyValue::new(RPC_SYSTEM_NAME, SYSTEM));
        let said_at_end = settings.side == Side::Server && settings.rpc_methods.is_none();
        let name = match &settings.rpc_methods {
            Some(known) if !known.contains(&method) => {
                both(&mut span, &mut metric, KeyValue::new(RPC_METHOD, OTHER));
                span.push(KeyValue::new(RPC_METHOD_ORIGINAL, method.clone()));
                SYSTEM.into()
            }
            _ => {
                if !said_at_end {
                    both(&mut span, &mut metric, KeyValue::new(RPC_METHOD, method.clone()));
                }
                Cow::Owned(method.clone())
            }
        };
        let authority = url::authority(request.uri(), request.headers());
        for attribute in server(settings, authority, None) {
            match settings.side {
                Side::Client => both(&mut span, &mut metric, attribute),
                Side::Server => span.push(attribute),
            }
        }
        span.extend(protocol_version(request.version()));
        let grpc = Self {
            method,
            said_at_end,
            deadline: request.headers().get(&TIMEOUT).and_then(|value| parse_timeout(value.as_bytes())),
            code: None,
            message: None,
            trailers_only: false,
            http_status: None,
        };
        (grpc, Start { name, span, metric })
    }

    pub(super) fn respond(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.http_status = Some(status);
        self.trailers(headers);
        self.trailers_only = self.code.is_some();
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(code) = trailers.get(&STATUS) {
            self.code = Some(Code::parse(code.as_bytes()));
            self.message = trailers.get(&MESSAGE).map(|message| percent_decoded(message.as_bytes()));
        }
    }

    pub(super) fn verdict(mut self, settings: &Settings, ending: Ending, duration: Duration) -> Verdict {
        let side = settings.side;
        let too_late = self.deadline.is_some_and(|deadline| duration >= deadline);
        let (code, failure) = match (self.code, ending) {
            (code, Ending::Failed(failure)) => (code.or(too_late.then_some(Code::DEADLINE_EXCEEDED)), Some(failure)),
            (Some(code), _) => (Some(code), self.failure(side, code)),
            (None, Ending::Complete) => {
                let code = self.http_status.map_or(Code::UNKNOWN, Code::from_http);
                (Some(code), self.failure(side, code))
            }
            (None, Ending::Dropped) if too_late => {
                let code = Code::DEADLINE_EXCEEDED;
                (Some(code), self.failure(side, code))
            }
            // By the peer, which is no fault of a server, or by the client's own user, who wants no more.
            (None, Ending::Dropped) => (Some(Code::CANCELLED), None),
        };
        let failure = match (code, failure) {
            (Some(code @ Code::DEADLINE_EXCEEDED), Some(failure)) => {
                Some(Failure { error_type: code.name().into(), ..failure })
            }
            (_, failure) => failure,
        };
        let status = code.map(|code| KeyValue::new(RPC_RESPONSE_STATUS_CODE, code.name()));
        // Whoever answered, a fallback or a middleware, does not speak gRPC.
        let no_service = self.code.is_none() && self.http_status.is_some_and(|status| status != StatusCode::OK);
        let (method, unknown) = if !self.said_at_end {
            (None, None)
        } else if no_service || self.trailers_only && code == Some(Code::UNIMPLEMENTED) {
            // Strangers can ask for any method.
            let original = KeyValue::new(RPC_METHOD_ORIGINAL, self.method);
            (Some(KeyValue::new(RPC_METHOD, OTHER)), Some((SYSTEM, original)))
        } else {
            (Some(KeyValue::new(RPC_METHOD, self.method)), None)
        };
        Verdict { failure, status, method, unknown }
    }

    fn failure(&mut self, side: Side, code: Code) -> Option<Failure> {
        side.grpc_fails(code).then(|| Failure::new(code.name(), self.message.take().unwrap_or_default()))
    }
}

/// The status of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u8);

impl Code {
    const NAMES: [&'static str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    const CANCELLED: Self = Self(1);
    const UNKNOWN: Self = Self(2);
    const DEADLINE_EXCEEDED: Self = Self(4);
    const PERMISSION_DENIED: Self = Self(7);
    const UNIMPLEMENTED: Self = Self(12);
    const INTERNAL: Self = Self(13);
    const UNAVAILABLE: Self = Self(14);
    const DATA_LOSS: Self = Self(15);
    const UNAUTHENTICATED: Self = Self(16);

    fn parse(value: &[u8]) -> Self {
        url::decimal(value).filter(|code| usize::from(*code) < Self::NAMES.len()).map_or(Self::UNKNOWN, Self)
    }

    /// gRPC's mapping for a response that has no status of its own: a proxy's, mostly.
    fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }

    pub(super) const fn is_ok(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn is_fault_of_server(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN
                | Self::DEADLINE_EXCEEDED
                | Self::UNIMPLEMENTED
                | Self::INTERNAL
                | Self::UNAVAILABLE
                | Self::DATA_LOSS
        )
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let count: u64 = url::decimal(digits).filter(|_| digits.len() <= 8)?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// `grpc-message`: UTF-8, with what is not printable as `%XX`. A broken `%XX` stays unchanged.
fn percent_decoded(value: &[u8]) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => decoded.push(*byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Code, Side, parse_timeout, percent_decoded};

    /// What the conventions say of each status.
    #[test]
    fn a_server_fails_by_its_own_faults_and_a_client_unless_all_is_well() {
        let faults = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
        for code in (0..17).map(Code) {
            assert_eq!(Side::Server.grpc_fails(code), faults.contains(&code.name()), "{code:?}");
            assert_eq!(Side::Client.grpc_fails(code), code.name() != "OK", "{code:?}");
        }
    }

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        let units = [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4), ("99999999H", 359_999_996_400_000)];
        for (value, millis) in units {
            assert_eq!(parse_timeout(value.as_bytes()), Some(Duration::from_millis(millis)), "{value}");
        }
        assert_eq!(parse_timeout(b"5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse_timeout(b"6n"), Some(Duration::from_nanos(6)));
        for value in ["", "S", "5", "-5S", "+5S", "5 S", "123456789S", "5s", "\u{ff}S"] {
            assert_eq!(parse_timeout(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_status_is_unknown() {
        assert_eq!(Code::parse(b"13").name(), "INTERNAL");
        for value in ["", "17", "-1", "+1", "OK", "999", "\u{ff}"] {
            assert_eq!(Code::parse(value.as_bytes()), Code::UNKNOWN, "{value}");
        }
    }

    #[test]
    fn messages_are_decoded_or_left() {
        for (message, decoded) in
            [("caf%C3%A9", "café"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%FF", "\u{fffd}"), ("", "")]
        {
            assert_eq!(percent_decoded(message.as_bytes()), decoded);
        }
    }
}
