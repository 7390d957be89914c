//! JetStream: what is delivered until it is acknowledged.
