use std::{any::type_name, borrow::Cow, fmt, marker::PhantomData};

/// Whether what an [`Operation`](super::Operation) ran has failed.
///
/// A [`Result`] has, when it is an [`Err`]; nothing else has, also not an `Ok(Err(_))`, which is what a time limit or a
/// spawned task makes of an error. So put the limit around the operation (`timeout(limit, operation.run_async(…))`), and
/// flatten the result of a task inside. Implement it for a type of your own that says so in
/// another way, a response with a status for instance.
///
/// # Examples
///
/// ```
/// use ctxhop::messaging::{Failure, Outcome};
///
/// enum Verdict { Ack, Poison(String) }
///
/// impl Outcome for Verdict {
///     fn failure(&self) -> Option<Failure> {
///         match self {
///             Verdict::Ack => None,
///             Verdict::Poison(why) => Some(Failure::new("poison", why.clone())),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "whether a `{Self}` is a failure is not known",
    note = "have the work return a `Result`, an `Option` or `()`, or implement `Outcome`"
)]
pub trait Outcome {
    /// The failure, if it is one.
    fn failure(&self) -> Option<Failure>;
}

/// The `error.type` is the name of the error's type, the description what it displays.
impl<T, E: fmt::Display> Outcome for Result<T, E> {
    fn failure(&self) -> Option<Failure> {
        self.as_ref().err().map(|error| Failure::new(type_name::<E>(), error.to_string()))
    }
}

/// What returns is no failure.
impl Outcome for () {
    fn failure(&self) -> Option<Failure> {
        None
    }
}

/// To find nothing is no failure.
impl<T> Outcome for Option<T> {
    fn failure(&self) -> Option<Failure> {
        None
    }
}

/// How an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(super) error_type: Cow<'static, str>,
    pub(super) description: Cow<'static, str>,
}

impl Failure {
    /// A failure with its `error.type`, of which there should be few in all, as it is an attribute of metrics, and its
    /// description, which is the status of the span.
    #[must_use]
    pub fn new(error_type: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Self {
        Self { error_type: error_type.into(), description: description.into() }
    }
}

/// Tells failure from success: [`ByType`] or [`ByError`].
pub trait Classify<R> {
    /// The failure, if it is one.
    fn classify(self, outcome: &R) -> Option<Failure>;
}

/// As [`Outcome`] says. This is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByType;

impl<R: Outcome> Classify<R> for ByType {
    fn classify(self, outcome: &R) -> Option<Failure> {
        outcome.failure()
    }
}

/// A [`Result`], with an `error.type` of the caller's choice. Made by
/// [`Operation::error_type`](super::Operation::error_type).
pub struct ByError<F, E, S> {
    error_type: F,
    signature: PhantomData<fn(&E) -> S>,
}

impl<F, E, S> ByError<F, E, S> {
    pub(super) const fn new(error_type: F) -> Self {
        Self { error_type, signature: PhantomData }
    }
}

impl<T, E, F, S> Classify<Result<T, E>> for ByError<F, E, S>
where
    E: fmt::Display,
    F: FnOnce(&E) -> S,
    S: Into<Cow<'static, str>>,
{
    fn classify(self, outcome: &Result<T, E>) -> Option<Failure> {
        let error = outcome.as_ref().err()?;
        Some(Failure::new((self.error_type)(error), error.to_string()))
    }
}

impl<F, E, S> fmt::Debug for ByError<F, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByError").finish_non_exhaustive()
    }
}
