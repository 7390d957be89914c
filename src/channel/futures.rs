use futures_channel::{
    mpsc::{Sender, TrySendError, UnboundedSender},
    oneshot,
};

use super::{SendWithContext, TrySendWithContext};
use crate::{Propagate, WithContext};

/// This error cannot be rebuilt around another value, so the value comes back bound to its context:
/// `error.into_inner().into_inner()`.
impl<T> TrySendWithContext<T> for &mut Sender<WithContext<T>> {
    type Error = TrySendError<WithContext<T>>;

    fn try_send_with_current_context(self, value: T) -> Result<(), Self::Error> {
        self.try_send(value.with_current_context())
    }
}

/// This error cannot be rebuilt around another value, so the value comes back bound to its context:
/// `error.into_inner().into_inner()`.
impl<T> SendWithContext<T> for &UnboundedSender<WithContext<T>> {
    type Output = Result<(), TrySendError<WithContext<T>>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.unbounded_send(value.with_current_context())
    }
}

impl<T> SendWithContext<T> for oneshot::Sender<WithContext<T>> {
    type Output = Result<(), T>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(WithContext::into_inner)
    }
}
