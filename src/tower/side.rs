use http::{HeaderMap, StatusCode};
use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    trace::{Link, SpanKind},
};

use super::{grpc::Code, settings::Settings};
use crate::{ContextExt, Snapshot, Trust, carrier::Rejected};

/// Everything in which serving a request differs from sending one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

/// Where a request comes from.
pub(super) struct Origin {
    /// The context that the span starts in.
    pub(super) base: Context,
    pub(super) link: Option<Link>,
    pub(super) rejected: Option<Rejected>,
}

impl Side {
    pub(super) const fn kind(self) -> SpanKind {
        match self {
            Self::Server => SpanKind::Server,
            Self::Client => SpanKind::Client,
        }
    }

    /// A server goes by the headers alone: what is current belongs to the connection, or to another request. A client
    /// goes by what is current.
    pub(super) fn origin(self, settings: &Settings, headers: &HeaderMap) -> Origin {
        match self {
            Self::Client => Origin { base: Context::capture(), link: None, rejected: None },
            Self::Server => {
                let mut origin = origin_of(settings, headers);
                if Context::is_current_telemetry_suppressed() {
                    origin.base = origin.base.with_telemetry_suppressed();
                }
                origin
            }
        }
    }

    /// The conventions: a client's mistake is no failure of the server.
    pub(super) fn http_fails(self, status: StatusCode) -> bool {
        status.is_server_error() || (self == Self::Client && status.is_client_error())
    }

    pub(super) const fn grpc_fails(self, code: Code) -> bool {
        match self {
            Self::Server => code.is_fault_of_server(),
            Self::Client => !code.is_ok(),
        }
    }

    /// Who drops a response that is not complete: at a server the connection, because the peer has gone; at a client
    /// its user, because they want no more.
    pub(super) const fn drop_fails(self) -> bool {
        matches!(self, Self::Server)
    }
}

fn origin_of(settings: &Settings, headers: &HeaderMap) -> Origin {
    let (said, rejected) = match settings.trust {
        Trust::Ignore => (Context::new(), None),
        _ => match settings.extract(headers) {
            Ok(said) => (said, None),
            Err(rejected) => (rejected.clone().into_context(), Some(rejected)),
        },
    };
    let said = settings.baggage.apply(said);
    match settings.trust {
        Trust::LinkOnly => Origin { base: baggage_of(&said), link: said.to_link(), rejected },
        _ => Origin { base: said, link: None, rejected },
    }
}

/// Only the baggage: neither the span nor what a propagator keeps beside it.
fn baggage_of(said: &Context) -> Context {
    if said.baggage().is_empty() {
        return Context::new();
    }
    let mut baggage = Baggage::new();
    for (name, (value, metadata)) in said.baggage() {
        baggage.insert_with_metadata(name.clone(), value.clone(), metadata.as_str());
    }
    Context::new().with_baggage(baggage)
}
