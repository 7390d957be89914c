use std::{borrow::Cow, fmt, marker::PhantomData};

use super::{Failure, Outcome, Report};

/// Tells an operation's failure from its success: [`ByType`], [`ByError`] or [`OnOk`].
///
/// It is sealed: implement [`Outcome`] for a result of your own.
pub trait Classify<R>: sealed::Sealed {
    #[doc(hidden)]
    fn classify(self, outcome: &R, report: &mut Report<'_>) -> Option<Failure>;
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements `Classify`")]
    pub trait Sealed {}

    impl Sealed for super::ByType {}
    impl<F, E, S> Sealed for super::ByError<F, E, S> {}
    impl<C, F, T> Sealed for super::OnOk<C, F, T> {}
}

/// What [`Outcome`] says. This is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByType;

impl<R: Outcome> Classify<R> for ByType {
    fn classify(self, outcome: &R, _: &mut Report<'_>) -> Option<Failure> {
        outcome.failure()
    }
}

/// A [`Result`], with an `error.type` that the caller chooses. Made by
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
    fn classify(self, outcome: &Result<T, E>, _: &mut Report<'_>) -> Option<Failure> {
        let error = outcome.as_ref().err()?;
        Some(Failure::new((self.error_type)(error), error.to_string()))
    }
}

impl<F, E, S> fmt::Debug for ByError<F, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByError").finish_non_exhaustive()
    }
}

/// A [`Result`] whose `Ok` has something to say, too. Made by [`Operation::on_ok`](super::Operation::on_ok).
pub struct OnOk<C, F, T> {
    otherwise: C,
    on_ok: F,
    signature: PhantomData<fn(&T)>,
}

impl<C, F, T> OnOk<C, F, T> {
    pub(super) const fn new(otherwise: C, on_ok: F) -> Self {
        Self { otherwise, on_ok, signature: PhantomData }
    }
}

impl<T, E, C, F> Classify<Result<T, E>> for OnOk<C, F, T>
where
    C: Classify<Result<T, E>>,
    F: FnOnce(&T, &mut Report<'_>),
{
    fn classify(self, outcome: &Result<T, E>, report: &mut Report<'_>) -> Option<Failure> {
        if let Ok(value) = outcome {
            (self.on_ok)(value, report);
        }
        self.otherwise.classify(outcome, report)
    }
}

impl<C, F, T> fmt::Debug for OnOk<C, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnOk").finish_non_exhaustive()
    }
}
