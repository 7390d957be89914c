//! W3C Baggage.

/// The most members that have to be passed on.
pub(crate) const MAX_MEMBERS: usize = 64;

/// The most bytes that have to be passed on, over all headers.
pub(crate) const MAX_BYTES: usize = 8192;
