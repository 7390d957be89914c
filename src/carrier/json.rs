//! The context among the members of a JSON object, for whoever cannot change how messages are framed.

use serde_json::{Map, Value};

use super::{Carrier, NOT_TEXT, is_line, same_key};

/// The members of a JSON object that are strings. Members inside of members are not looked at.
///
/// Use it where bodies are JSON objects and there are no headers, and receivers ignore members that they do not know. W3C's draft for
/// MQTT 3 recommends it: `traceparent` and `tracestate` beside the body's own members.
///
/// A body may have a member of its own that is called `baggage`, and [`inject`](super::inject) would take its place. Put a
/// [`Prefixed`](super::Prefixed) around the map then, on both sides.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier;
/// use serde::{Deserialize, Serialize};
/// use serde_json::{Map, Value};
///
/// # opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new());
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     item: String,
///     #[serde(flatten)]
///     others: Map<String, Value>,
/// }
///
/// let cx = opentelemetry::Context::current();
/// let mut order = Order { item: "apples".to_owned(), others: Map::new() };
/// carrier::inject(&cx, &mut order.others);
/// let body = serde_json::to_vec(&order)?;
/// // … the message travels …
/// let received: Order = serde_json::from_slice(&body)?;
/// let cx = carrier::extract(&received.others);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "serde_json")))]
impl Carrier for Map<String, Value> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = self.iter().filter(move |(name, _)| same_key(name, key));
        named.map(|(_, value)| value.as_str().unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        if !is_line(key) || !is_line(&value) {
            return false;
        }
        Carrier::remove(self, key);
        self.insert(key.to_owned(), Value::String(value));
        true
    }

    fn remove(&mut self, key: &str) {
        self.retain(|name, _| !same_key(name, key));
    }
}
