//! What all hops share.

use crate::Snapshot;
pub(crate) use crate::bound::bind;

/// The supertrait of this crate's extension traits. No other crate can name it, so none can implement them, and a method
/// that is added to one of them breaks nobody.
///
/// ```compile_fail,E0277
/// use opentelemetry::trace::Link;
///
/// struct Other;
///
/// impl ctxhop::ContextExt for Other {
///     fn parent_only(&self) -> Self {
///         Other
///     }
///
///     fn to_link(&self) -> Option<Link> {
///         None
///     }
/// }
/// ```
#[expect(unnameable_types, reason = "that is its point")]
pub trait Sealed {}

/// Runs `f` in `context`. This is [`Snapshot::wrap`], except that the compiler knows for every `S` whether the closure is
/// [`Send`]: an implementation may override the method, and so hides its closure's type.
#[track_caller]
pub(crate) fn job<S: Snapshot, F: FnOnce() -> R, R>(hop: &'static str, context: S, f: F) -> impl FnOnce() -> R {
    let f = bind(hop, f, context);
    move || f.run(|f| f())
}
