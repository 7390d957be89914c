use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, Request, Response};
use opentelemetry::{
    Array, KeyValue, StringValue, Value,
    metrics::{Histogram, UpDownCounter},
};

use super::{grpc::Grpc, http::Http, metrics::Metrics, settings::Settings};

/// A request and its response, as the conventions of its protocol see them: everything in which HTTP and gRPC differ is in
/// the two that this chooses from.
pub(super) enum Exchange {
    Http(Http),
    Grpc(Grpc),
}

/// What is known of a request when its span starts.
pub(super) struct Start {
    pub(super) name: Cow<'static, str>,
    pub(super) span: Vec<KeyValue>,
    /// The first two are those of the requests that are active.
    pub(super) metric: Vec<KeyValue>,
}

/// How it came to an end.
pub(super) enum Ending {
    Complete,
    /// Dropped, by whoever polled it.
    Dropped,
    Failed(Failure),
}

/// What goes into the span's status and `error.type`.
pub(super) struct Failure {
    pub(super) error_type: Cow<'static, str>,
    pub(super) description: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(error_type: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Self {
        Self { error_type: error_type.into(), description: description.into() }
    }
}

/// What the exchange says at its end.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) failure: Option<Failure>,
    /// The status, on the span and the metrics.
    pub(super) status: Option<KeyValue>,
    /// The method, on the span and the metrics, if that was not known at the start.
    pub(super) method: Option<KeyValue>,
    /// There is no such method: how to name the span instead, and the method that was asked for.
    pub(super) unknown: Option<(&'static str, KeyValue)>,
}

impl Exchange {
    pub(super) fn start<B>(settings: &Settings, request: &Request<B>) -> (Self, Start) {
        if Grpc::speaks(request.headers()) {
            let (grpc, start) = Grpc::start(settings, request);
            (Self::Grpc(grpc), start)
        } else {
            let (http, start) = Http::start(settings, request);
            (Self::Http(http), start)
        }
    }

    /// The head of the response.
    pub(super) fn respond<B>(&mut self, response: &Response<B>) {
        match self {
            Self::Http(http) => http.respond(response.status()),
            Self::Grpc(grpc) => grpc.respond(response.status(), response.headers()),
        }
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        match self {
            Self::Http(_) => {}
            Self::Grpc(grpc) => grpc.trailers(trailers),
        }
    }

    /// How many bytes of the body make a whole response, if it goes by bytes.
    pub(super) fn length<B: http_body::Body>(&self, response: &Response<B>) -> Option<u64> {
        match self {
            Self::Http(http) => http.length(response),
            Self::Grpc(_) => None,
        }
    }

    pub(super) fn verdict(self, settings: &Settings, ending: Ending, duration: Duration) -> Verdict {
        match self {
            Self::Http(http) => http.verdict(settings.side, ending),
            Self::Grpc(grpc) => grpc.verdict(settings, ending, duration),
        }
    }

    pub(super) const fn duration<'a>(&self, metrics: &'a Metrics) -> &'a Histogram<f64> {
        match self {
            Self::Http(_) => &metrics.http_duration,
            Self::Grpc(_) => &metrics.rpc_duration,
        }
    }

    /// The conventions count the active ones of HTTP only.
    pub(super) const fn active<'a>(&self, metrics: &'a Metrics) -> Option<&'a UpDownCounter<i64>> {
        match self {
            Self::Http(_) => metrics.active.as_ref(),
            Self::Grpc(_) => None,
        }
    }

    /// The names of attributes for headers.
    pub(super) const fn header_prefixes(&self) -> HeaderPrefixes {
        match self {
            Self::Http(_) => Http::HEADER_PREFIXES,
            Self::Grpc(_) => Grpc::HEADER_PREFIXES,
        }
    }
}

pub(super) struct HeaderPrefixes {
    pub(super) request: &'static str,
    pub(super) response: &'static str,
}

/// The headers that the user has asked for by name.
pub(super) fn recorded(prefix: &'static str, names: &[HeaderName], headers: &HeaderMap) -> Vec<KeyValue> {
    let values = |name: &HeaderName| -> Vec<StringValue> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(|text| text.to_owned().into())
            .collect()
    };
    let attribute = |name: &HeaderName| {
        let values = values(name);
        let key = [prefix, ".", name.as_str()].concat();
        (!values.is_empty()).then(|| KeyValue::new(key, Value::Array(Array::String(values))))
    };
    names.iter().filter_map(attribute).collect()
}
