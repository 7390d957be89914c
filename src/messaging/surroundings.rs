//! What is current beside the OpenTelemetry context where an operation starts: for those who use it, tracing's span.

#[cfg(not(feature = "tracing"))]
pub(super) type Surroundings = ();
#[cfg(feature = "tracing")]
pub(super) type Surroundings = ::tracing::Span;

#[cfg(not(feature = "tracing"))]
pub(super) const NONE: Surroundings = ();
#[cfg(feature = "tracing")]
pub(super) const NONE: Surroundings = ::tracing::Span::none();
