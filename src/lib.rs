#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod conventions;
mod hop;
mod snapshot;
mod trail;
#[cfg(any(feature = "messaging", feature = "tower"))]
mod trust;

pub mod carrier;
pub mod channel;
#[cfg(any(
    feature = "async-nats-0_51",
    feature = "google-cloud-pubsub-1",
    feature = "lapin-4",
    feature = "rdkafka-0_39",
    feature = "redis-1",
    feature = "rumqttc-0_25"
))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(
        feature = "async-nats-0_51",
        feature = "google-cloud-pubsub-1",
        feature = "lapin-4",
        feature = "rdkafka-0_39",
        feature = "redis-1",
        feature = "rumqttc-0_25"
    )))
)]
pub mod clients;
#[cfg(feature = "doctor")]
#[cfg_attr(docsrs, doc(cfg(feature = "doctor")))]
pub mod doctor;
#[cfg(any(feature = "futures", feature = "hyper"))]
pub mod executor;
pub mod manual;
#[cfg(feature = "messaging")]
#[cfg_attr(docsrs, doc(cfg(feature = "messaging")))]
pub mod messaging;
pub mod propagation;
#[cfg(feature = "queue")]
#[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
pub mod queue;
#[cfg(feature = "rayon")]
pub mod rayon;
#[cfg(feature = "strict")]
#[cfg_attr(docsrs, doc(cfg(feature = "strict")))]
pub mod strict;
#[cfg(feature = "testing")]
pub mod testing;
pub mod thread;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub mod tracing;

pub use bound::{Propagate, WithContext};
/// The version of OpenTelemetry's API that this crate carries.
///
/// Use it where a library or an application must not have a second version beside it: types of another version compile, and
/// their contexts are others.
#[doc(no_inline)]
pub use opentelemetry;
pub use snapshot::{ContextExt, ContextGuard, RunAsync, Snapshot, wrap};
#[cfg(any(feature = "messaging", feature = "tower"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "messaging", feature = "tower"))))]
pub use trust::{AllowedNames, BaggagePolicy, Trust};

/// All of the crate's traits: `use ctxhop::prelude::*;`.
///
/// The extension traits come without their names, which many crates share (`SenderExt`, `ScopeExt`); import them from
/// their modules to name them.
pub mod prelude {
    pub use crate::{
        channel::{
            AsyncSendWithContext as _, AsyncSendWithCurrentContext as _, SendWithContext as _, TrySendWithContext as _,
        },
        thread::{BuilderExt as _, ScopeExt as _},
        {ContextExt, Propagate, Snapshot},
    };

    #[cfg(feature = "crossbeam-channel")]
    #[doc(no_inline)]
    pub use crate::channel::crossbeam::SenderExt as _;
    #[cfg(feature = "rayon")]
    #[doc(no_inline)]
    pub use crate::rayon::{ParallelIteratorExt as _, ScopeExt as _, ScopeFifoExt as _, ThreadPoolExt as _};
    #[cfg(feature = "tokio-util")]
    #[doc(no_inline)]
    pub use crate::tokio::TaskTrackerExt as _;
    #[cfg(feature = "tokio")]
    #[doc(no_inline)]
    pub use crate::{
        channel::tokio::{CurrentSenderExt as _, SenderExt as _, WatchSenderExt as _},
        tokio::{HandleExt as _, JoinSetExt as _, LocalSetExt as _, RuntimeExt as _},
    };
}
