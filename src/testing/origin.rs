use std::{fmt, sync::Arc};

use opentelemetry::Key;
use opentelemetry_sdk::{Resource, trace::SpanData};

/// The name that the SDK gives to a service that does not tell its own.
const UNKNOWN: &str = "unknown_service";

/// Who made a span: the resource of its provider.
#[derive(Clone)]
pub(super) struct Origin(Arc<Inner>);

struct Inner {
    resource: Option<Resource>,
    service: String,
}

impl Origin {
    pub(super) fn new(resource: &Resource) -> Self {
        let name = resource.get(&Key::from_static_str("service.name"));
        let name = name.map(|name| name.as_str().into_owned()).filter(|name| !name.is_empty());
        let service = name.unwrap_or_else(|| UNKNOWN.to_owned());
        Self(Arc::new(Inner { resource: Some(resource.clone()), service }))
    }

    pub(super) fn service(&self) -> &str {
        &self.0.service
    }

    pub(super) fn resource(&self) -> Option<&Resource> {
        self.0.resource.as_ref()
    }

    /// Whether both are clones of one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The origin of spans that come without a resource.
impl Default for Origin {
    fn default() -> Self {
        Self(Arc::new(Inner { resource: None, service: UNKNOWN.to_owned() }))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service().fmt(f)
    }
}

/// A span, and who made it.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) span: SpanData,
    pub(super) origin: Origin,
}
