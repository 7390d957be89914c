use std::{any::type_name, borrow::Cow, fmt};

/// Whether the result of the work in an [`Operation`](super::Operation) is a failure.
///
/// A [`Result`] is one when it is an [`Err`]. Nothing else is, not even an `Ok(Err(_))`, which a time limit or a spawned
/// task makes of an error. So put the limit around the operation (`timeout(limit, operation.run_async(…))`), and flatten
/// the result of a task inside. Where an `Ok` may be a failure too, use [`Operation::on_ok`](super::Operation::on_ok).
/// Implement this trait for a type of your own that says so in another way, for instance a response with a status.
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
    message = "nothing says whether a `{Self}` is a failure",
    note = "let the work return a `Result`, an `Option` or `()`, or implement `Outcome`"
)]
pub trait Outcome {
    /// The failure, if this is one.
    fn failure(&self) -> Option<Failure>;
}

/// The `error.type` is the name of the error's type. The description is what the error displays.
impl<T, E: fmt::Display> Outcome for Result<T, E> {
    fn failure(&self) -> Option<Failure> {
        self.as_ref().err().map(|error| Failure::new(type_name::<E>(), error.to_string()))
    }
}

/// Work that returns has not failed.
impl Outcome for () {
    fn failure(&self) -> Option<Failure> {
        None
    }
}

/// Finding nothing is no failure.
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
    /// A failure with its `error.type` and its description.
    ///
    /// The type is an attribute of spans and metrics: keep to few values in all. The description is the status of the span.
    #[must_use]
    pub fn new(error_type: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Self {
        Self { error_type: error_type.into(), description: description.into() }
    }

    /// The `error.type`.
    #[must_use]
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// What the span's status says.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}
