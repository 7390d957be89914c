//! Client libraries of brokers: a module for each library and major version.
//!
//! The library's messages are [carriers](crate::carrier::Carrier) that describe themselves, and what it delivers is
//! [`Delivered`](crate::messaging::Delivered), so that one consumer loop serves all of them. No client is wrapped: you call
//! the library, and its types stay yours. Each module says what to know of its library. In the repository,
//! `brokers/examples/brokers.rs` runs one handler and one policy on whichever broker its argument names.
//!
//! | feature | broker | library | its minimum Rust |
//! |---|---|---|---|
//! | `lapin-4` | RabbitMQ and what else speaks AMQP 0.9.1 | [`lapin`](https://docs.rs/lapin/4) 4.12 | 1.88 |
//! | `rdkafka-0_39` | Kafka | [`rdkafka`](https://docs.rs/rdkafka/0.39) 0.39 | 1.74, and a C compiler |
//! | `async-nats-0_51` | NATS, with JetStream | [`async-nats`](https://docs.rs/async-nats/0.51) 0.51 | 1.89 |
//! | `redis-1` | Redis streams | [`redis`](https://docs.rs/redis/1) 1 | 1.85, from 1.3 on 1.88 |
//! | `google-cloud-pubsub-1` | Google Cloud Pub/Sub | [`google-cloud-pubsub`](https://docs.rs/google-cloud-pubsub/1) 1.7 | 1.91 |
//! | `rumqttc-0_25` | MQTT 5, and MQTT 3.1.1 by an envelope | [`rumqttc`](https://docs.rs/rumqttc/0.25) 0.25.1 | 1.64 |

#[cfg(feature = "async-nats-0_51")]
#[cfg_attr(docsrs, doc(cfg(feature = "async-nats-0_51")))]
pub mod async_nats_0_51;
#[cfg(feature = "google-cloud-pubsub-1")]
#[cfg_attr(docsrs, doc(cfg(feature = "google-cloud-pubsub-1")))]
pub mod google_cloud_pubsub_1;
#[cfg(feature = "lapin-4")]
#[cfg_attr(docsrs, doc(cfg(feature = "lapin-4")))]
pub mod lapin_4;
#[cfg(feature = "rdkafka-0_39")]
#[cfg_attr(docsrs, doc(cfg(feature = "rdkafka-0_39")))]
pub mod rdkafka_0_39;
#[cfg(feature = "redis-1")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis-1")))]
pub mod redis_1;
#[cfg(feature = "rumqttc-0_25")]
#[cfg_attr(docsrs, doc(cfg(feature = "rumqttc-0_25")))]
pub mod rumqttc_0_25;
