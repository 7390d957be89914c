//! The shop, run as its users run it: as one process and as several, with a queue in memory and on RabbitMQ.

mod memory;
mod process;
mod rabbitmq;
