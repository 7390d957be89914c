//! Kafka, as rdkafka's mock cluster in this process.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer},
};

const BROKERS: i32 = 3;

/// Three brokers, and topics of one partition.
pub struct Kafka(MockCluster<'static, DefaultProducerContext>);

impl Kafka {
    /// Starts them.
    ///
    /// # Panics
    ///
    /// If they do not start.
    #[expect(clippy::new_without_default, reason = "it starts servers")]
    pub fn new() -> Self {
        Self(MockCluster::new(BROKERS).expect("a mock cluster"))
    }

    /// What clients connect to.
    pub fn bootstrap_servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Creates a topic of one partition, on all brokers. One that nobody creates has four.
    pub fn create_topic(&self, topic: &str) {
        self.0.create_topic(topic, 1, BROKERS).expect("a topic");
    }

    /// A producer that waits for all replicas, and its topic.
    pub fn producer(&self, topic: &str) -> FutureProducer {
        self.create_topic(topic);
        self.config().create().expect("a producer")
    }

    /// A consumer of a topic from its beginning, in a group of its own, which stores no offsets by itself.
    ///
    /// It is assigned the partition, because to subscribe takes three seconds.
    pub fn consumer(&self, topic: &str) -> StreamConsumer {
        let mut config = self.config();
        config.set("group.id", topic).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        // The mock brokers wait as long as they may, also when there is something to fetch.
        config.set("fetch.wait.max.ms", "5");
        let consumer: StreamConsumer = config.create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&partitions).expect("a partition");
        consumer
    }

    /// Takes all brokers down.
    pub fn down(&self) {
        for broker in 1..=BROKERS {
            self.0.broker_down(broker).expect("a broker");
        }
    }

    /// Brings all brokers up again.
    pub fn up(&self) {
        for broker in 1..=BROKERS {
            self.0.broker_up(broker).expect("a broker");
        }
    }

    /// To make a client of.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers());
        config
    }
}
