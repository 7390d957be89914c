//! What is noted of a hop: nothing, unless feature `strict` is on.

#[cfg(feature = "strict")]
pub(crate) use crate::strict::hop::{Hop, attaching, captured, explicit, full, received};

#[cfg(not(feature = "strict"))]
pub(crate) use off::{Hop, attaching, captured, explicit, full, received};

#[cfg(all(feature = "strict", any(feature = "rayon", all(feature = "tokio-hooks", tokio_unstable))))]
pub(crate) use crate::strict::hop::Border;
#[cfg(all(not(feature = "strict"), any(feature = "rayon", all(feature = "tokio-hooks", tokio_unstable))))]
pub(crate) use off::Border;

#[cfg(not(feature = "strict"))]
mod off {
    use opentelemetry::Context;

    #[derive(Clone, Debug)]
    pub(crate) struct Hop;

    impl Hop {
        #[inline(always)]
        pub(crate) fn new<'a>(_name: &'static str, _context: impl FnOnce() -> Option<&'a Context>) -> Self {
            Self
        }

        #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
        #[inline(always)]
        pub(crate) fn at<'a>(
            _name: &'static str,
            _at: &'static std::panic::Location<'static>,
            _context: impl FnOnce() -> Option<&'a Context>,
        ) -> Self {
            Self
        }

        #[cfg(feature = "rayon")]
        #[inline(always)]
        pub(crate) const fn around() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) const fn enter(&self) -> Border {
            Border
        }

        #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
        #[inline(always)]
        pub(crate) const fn enter_in_hook(&self) -> Border {
            Border
        }
    }

    pub(crate) struct Border;

    #[inline(always)]
    pub(crate) const fn captured(_cx: &Context) {}

    #[inline(always)]
    pub(crate) const fn attaching() {}

    #[inline(always)]
    pub(crate) const fn explicit() {}

    #[inline(always)]
    pub(crate) const fn full() {}

    #[inline(always)]
    pub(crate) const fn received(_call: &'static str) {}
}
