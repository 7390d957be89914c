//! Servers for tests, each started on free ports of the loopback interface, in a folder of its own.
//!
//! A server that is not installed fails the test, and the message says how to install it.

mod process;

pub mod kafka;
pub mod load;
pub mod mosquitto;
pub mod nats;
#[cfg(feature = "google-cloud-pubsub-1")]
pub mod pubsub;
pub mod rabbitmq;
pub mod redis;
pub mod rig;

pub use process::free_port;

#[doc = include_str!("../../src/clients/async_nats_0_51.md")]
#[cfg(doctest)]
pub mod async_nats_0_51 {}

#[doc = include_str!("../../src/clients/google_cloud_pubsub_1.md")]
#[cfg(doctest)]
pub mod google_cloud_pubsub_1 {}

#[doc = include_str!("../../src/clients/lapin_4.md")]
#[cfg(doctest)]
pub mod lapin_4 {}

#[doc = include_str!("../../src/clients/rdkafka_0_39.md")]
#[cfg(doctest)]
pub mod rdkafka_0_39 {}

#[doc = include_str!("../../src/clients/redis_1.md")]
#[cfg(doctest)]
pub mod redis_1 {}

#[doc = include_str!("../../src/clients/rumqttc_0_25.md")]
#[cfg(doctest)]
pub mod rumqttc_0_25 {}
