//! `WithContext` is a tower service when its value is one.

use std::task::{self, Poll};

use tower_service::Service;

use crate::{Propagate, Snapshot, WithContext};

/// All of its calls, and their futures, run in this one context, whoever makes them. For a context of each request's own
/// there is [`TraceLayer`](crate::tower::TraceLayer).
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
impl<T: Service<Request>, Request, S: Snapshot> Service<Request> for WithContext<T, S> {
    type Response = T::Response;
    type Error = T::Error;
    type Future = WithContext<T::Future, S>;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), T::Error>> {
        self.run_mut(|service| service.poll_ready(task))
    }

    #[track_caller]
    fn call(&mut self, request: Request) -> Self::Future {
        let future = self.run_mut(|service| service.call(request));
        future.with_context(self.context().clone())
    }
}
