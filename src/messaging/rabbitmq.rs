/// The name of a destination in RabbitMQ, as the conventions have it: `{exchange}:{routing key}` for those who send,
/// `{exchange}:{routing key}:{queue}` for those who receive.
///
/// Give an empty queue to send. The name leaves out empty parts, and a queue that is named like the routing key. The
/// default exchange without a routing key is `amq.default`. Use the name in [`Destination::at`](super::Destination::at),
/// because routing keys may be many.
///
/// # Examples
///
/// ```
/// use ctxhop::messaging::rabbitmq_name;
///
/// assert_eq!(rabbitmq_name("shop", "order.created", ""), "shop:order.created");
/// assert_eq!(rabbitmq_name("shop", "order.created", "billing"), "shop:order.created:billing");
/// assert_eq!(rabbitmq_name("", "billing", "billing"), "billing");
/// assert_eq!(rabbitmq_name("", "", ""), "amq.default");
/// ```
///
/// ```
/// use ctxhop::{carrier::Headers, messaging::{Destination, rabbitmq_name}};
///
/// let shop = Destination::new("rabbitmq", "shop");
/// let order = shop.at(rabbitmq_name(shop.name(), "order.created", ""));
/// order.send(&mut Headers::new()).run(|| ());
/// ```
#[must_use]
pub fn rabbitmq_name(exchange: &str, routing_key: &str, queue: &str) -> String {
    let queue = if queue == routing_key { "" } else { queue };
    let mut name = String::with_capacity(exchange.len() + routing_key.len() + queue.len() + 2);
    for part in [exchange, routing_key, queue].into_iter().filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push(':');
        }
        name.push_str(part);
    }
    if name.is_empty() {
        name.push_str("amq.default");
    }
    name
}
