//! HTTP bodies and tower's services: every call inside, the drops too, and nothing else of them changed.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{self, Poll},
};

use ctxhop::prelude::*;
use futures::{FutureExt as _, executor::block_on};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame};
use support::{Case, Ended, Fate, Output, Probe, SUBMITTED, Submitted, assert_stranger, stranger, tag, tagged};
use tower_service::Service;

type End = Box<dyn FnOnce() -> Output + Send>;

/// Gives one frame, and then comes to the case's end.
struct Frames {
    probe: Probe,
    given: bool,
    end: Option<End>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.probe.saw("poll");
        if !self.given {
            self.given = true;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"apple")))));
        }
        Poll::Ready(self.end.take().and_then(|end| end().err().map(Err)))
    }
}

#[test]
fn matrix() {
    let _guard = stranger().attach();
    for fate in [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway] {
        for submitted in SUBMITTED {
            let case = Case::new("body", submitted, fate);
            let frames = Frames { probe: case.probe(), given: false, end: Some(Box::new(case.end())) };
            let body = if submitted == Submitted::Twice {
                frames.with_context(case.inner_context()).boxed_unsync()
            } else {
                frames.boxed_unsync()
            };
            let mut body = case.submit(|| body.with_current_context());

            let mut next = || block_on(AssertUnwindSafe(body.frame()).catch_unwind());
            let (ended, polls) = match fate {
                Fate::Unstarted => (Ended::Gone, 0),
                _ => {
                    assert!(next().unwrap().unwrap().is_ok());
                    assert_stranger("between two polls");
                    match fate {
                        Fate::Midway => (Ended::Gone, 1),
                        _ => (Ended::from_unwind(next().map(|end| end.map_or(Ok(7), |it| it.map(|_| 0)))), 2),
                    }
                }
            };
            assert_stranger("after the body's end");
            drop(body);

            case.assert_ended(ended);
            case.assert_saw(&["poll"; 2][..polls]);
            case.assert_released();
            assert_stranger(&case.name);
        }
    }
}

#[test]
fn tells_what_the_body_tells() {
    let body = Full::new(Bytes::from_static(b"apple")).with_context(tagged("body"));
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    assert!(Full::new(Bytes::new()).with_context(tagged("body")).is_end_stream());
}

/// Tells what is current when it is asked whether it is ready, when it is called, and when its future is polled.
struct Teller {
    /// How often it was asked whether it is ready.
    asked: u32,
}

impl Service<()> for Teller {
    type Response = [Option<&'static str>; 2];
    type Error = Infallible;
    type Future = futures::future::Map<Ready<()>, fn(()) -> Result<[Option<&'static str>; 2], Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        assert_eq!(tag(), Some("service"));
        self.asked += 1;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert_eq!(tag(), Some("service"));
        ready(()).map(|()| Ok([tag(), Some("polled")]))
    }
}

#[test]
fn a_service_runs_in_its_context() {
    let _guard = stranger().attach();
    let mut service = Teller { asked: 0 }.with_context(tagged("service"));
    block_on(async {
        std::future::poll_fn(|task| service.poll_ready(task)).await.unwrap();
        assert_eq!(service.inner().asked, 1);
        assert_stranger("between two calls");
        assert_eq!(service.call(()).await, Ok([Some("service"), Some("polled")]));
        assert_stranger("after the call");
    });
}
