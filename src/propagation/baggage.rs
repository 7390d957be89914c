use std::{borrow::Cow, sync::LazyLock};

use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt, BaggageMetadata},
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
};

use super::{BAGGAGE, percent};

/// The most members that have to be passed on.
pub(crate) const MAX_MEMBERS: usize = 64;

/// The most bytes that have to be passed on, over all headers.
pub(crate) const MAX_BYTES: usize = 8192;

static FIELDS: LazyLock<[String; 1]> = LazyLock::new(|| [BAGGAGE.to_owned()]);

/// Writes and reads `baggage`, as [W3C Baggage](https://www.w3.org/TR/baggage/) has it.
///
/// Use it in place of the SDK's propagator of the same name, beside
/// [`TraceContextPropagator`](super::TraceContextPropagator). The SDK's propagator decodes properties when it reads, and
/// writes them as they are: a sender can smuggle members and line breaks past a policy. With this one, no byte of a
/// value or a property becomes a member, a property or a line.
///
/// # Rules
///
/// Reading is strict, and costs at most the member that is wrong. The sections are those of W3C Baggage.
///
/// | | rule | source |
/// |---|---|---|
/// | headers | Several `baggage` headers are read as one list. | "Baggage HTTP Header Format" |
/// | limits | 64 members and 8,192 bytes, over all headers. Leading members that fit are kept, each one whole. | "Limits" |
/// | empty members | They count as bytes, and not as members. | RFC 9110, section 5.6.1.2 |
/// | keys | A key is a `token`, and `%` in it is a character like others. A member with another key is dropped. | "key" |
/// | values | Of `baggage-octet` only; a member with another value (a space, a quote, bytes beyond ASCII) is dropped. | "Definition" |
/// | `=` | The first one ends the key. All others belong to the value. | "value" |
/// | `+` | It is a plus, and no space. | RFC 3986, section 2.1 |
/// | `%` | A code is decoded; a `%` that begins no code stays. Decoded bytes that are not UTF-8 become U+FFFD. | "value" |
/// | whitespace | Around keys, values, members and properties it is dropped. An encoded space is part of the value. | "value" |
/// | duplicate keys | The last one wins, with its properties. | OpenTelemetry's Baggage API, "Conflict Resolution" |
/// | properties | A malformed property is dropped, and its member stays. A `%` that begins no code counts as `%25`. | "property" |
///
/// Writing is safe:
///
/// - In values all is encoded that is not `baggage-octet`, and `%`, and `=`, because some receivers end a value there.
/// - In properties all is encoded that could be taken for anything else.
/// - Whole members are written until one does not fit into 8,192 bytes. [`carrier::inject`](crate::carrier::inject) tells
///   if some did not.
///
/// If nothing valid is read, the context keeps the baggage that it has (OpenTelemetry's Propagators API).
///
/// # Properties
///
/// OpenTelemetry's API has one string for all properties of a member, its
/// [`BaggageMetadata`], in which `;` separates them. A decoded `;` would separate properties, too. So this string holds
/// the properties as they are sent, encoded, and [`properties`] decodes them. For metadata of your own write
/// `key=value;other`, and encode values that contain `;` or `%`; all others may be plain text.
///
/// # Examples
///
/// ```
/// use ctxhop::propagation::{BaggagePropagator, properties};
/// use opentelemetry::{Context, baggage::BaggageExt, propagation::TextMapPropagator};
/// use std::collections::HashMap;
///
/// let list = "tenant=acme%20inc;p=1%2Cadmin%3Dtrue";
/// let received = HashMap::from([("baggage".to_owned(), list.to_owned())]);
///
/// let propagator = BaggagePropagator::new();
/// let cx = propagator.extract_with_context(&Context::new(), &received);
/// let (value, metadata) = cx.baggage().get_with_metadata("tenant").expect("it is valid");
/// assert_eq!(value.as_str(), "acme inc");
/// assert!(properties(metadata).eq([("p", Some("1,admin=true".into()))]));
///
/// let mut sent = HashMap::new();
/// propagator.inject_context(&cx, &mut sent);
/// assert_eq!(sent, received);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BaggagePropagator {
    _private: (),
}

impl BaggagePropagator {
    /// The propagator. It has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl TextMapPropagator for BaggagePropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let list = format(cx.baggage());
        if !list.is_empty() {
            injector.set(BAGGAGE, list);
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let baggage = extractor.get_all(BAGGAGE).map(|headers| parse(&headers)).unwrap_or_default();
        if baggage.is_empty() { cx.clone() } else { cx.with_baggage(baggage) }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&*FIELDS)
    }
}

/// The properties of a member of a baggage that [`BaggagePropagator`] has read: keys, and decoded values.
///
/// # Examples
///
/// ```
/// use ctxhop::propagation::properties;
///
/// let metadata = "ttl=30;note=a%20b;internal".into();
/// assert!(properties(&metadata).eq([("ttl", Some("30".into())), ("note", Some("a b".into())), ("internal", None)]));
/// ```
pub fn properties(metadata: &BaggageMetadata) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
    split_properties(metadata.as_str()).map(|(key, value)| (key, value.map(percent::decode)))
}

/// The same baggage with metadata that may be written as it is, by whatever propagator.
pub(crate) fn with_safe_metadata(baggage: &Baggage) -> Baggage {
    baggage.iter().map(|(key, (value, metadata))| (key.clone(), (value.clone(), safe_metadata(metadata)))).collect()
}

/// The same metadata, if it is safe, or else with all encoded that is not.
pub(crate) fn safe_metadata(metadata: &BaggageMetadata) -> BaggageMetadata {
    if is_safe(metadata) {
        return metadata.clone();
    }
    // The first `;` is the propagator's to write.
    complete(metadata.as_str()).strip_prefix(';').unwrap_or_default().into()
}

/// The same properties, each with a `;` before it, and with all encoded that has to be.
fn complete(metadata: &str) -> String {
    let mut properties = String::new();
    push_properties(metadata, &mut properties);
    properties
}

/// Whether nobody can take anything in it for another member or line, even if it is written as it is.
pub(crate) fn is_safe(metadata: &BaggageMetadata) -> bool {
    metadata.as_str().split(';').all(percent::is_value)
}

/// The members of a list, right or not.
pub(crate) fn members(list: &str) -> impl Iterator<Item = Member<'_>> {
    list.split(',').map(|text| Member { text: trim(text) }).filter(|member| !member.text.is_empty())
}

/// A member as it is sent.
pub(crate) struct Member<'a> {
    pub(crate) text: &'a str,
}

impl Member<'_> {
    /// Whether a propagator has written this key and value. Some propagators trim values, and some do not encode `%`.
    pub(crate) fn is(&self, key: &str, value: &str) -> bool {
        let pair = self.text.split(';').next().unwrap_or_default();
        let Some((written_key, written)) = pair.split_once('=') else { return false };
        let (written, value) = (trim(written), value.trim());
        trim(written_key) == key && (written == value || percent::decode(written).trim() == value)
    }

    /// Whether a propagator has written this metadata, encoded or not.
    pub(crate) fn has(&self, metadata: &BaggageMetadata) -> bool {
        let properties = self.text.split_once(';').map_or("", |(_, properties)| properties);
        complete(properties) == complete(metadata.as_str())
    }
}

fn format(baggage: &Baggage) -> String {
    // Enough for most members; to sum their lengths up takes longer than to grow now and then.
    let mut list = String::with_capacity((32 * baggage.len()).min(MAX_BYTES));
    for (key, (value, metadata)) in baggage {
        let end = list.len();
        if end > 0 {
            list.push(',');
        }
        list.push_str(key.as_str());
        list.push('=');
        percent::encode_value(value.as_str(), &mut list);
        push_properties(metadata.as_str(), &mut list);
        if list.len() > MAX_BYTES {
            list.truncate(end);
            break;
        }
    }
    list
}

/// Each with a `;` before it.
fn push_properties(metadata: &str, list: &mut String) {
    if metadata.is_empty() {
        return;
    }
    for (key, value) in split_properties(metadata) {
        list.push(';');
        percent::complete_key(key, list);
        if let Some(value) = value {
            list.push('=');
            percent::complete_value(value, list);
        }
    }
}

fn split_properties(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let properties = text.split(';').map(|property| match property.split_once('=') {
        Some((key, value)) => (trim(key), Some(trim(value))),
        None => (trim(property), None),
    });
    properties.filter(|(key, _)| !key.is_empty())
}

fn parse(headers: &[&str]) -> Baggage {
    let mut baggage = Baggage::new();
    let (mut bytes, mut count) = (0, 0);
    for header in headers {
        let mut rest = Some(*header);
        while let Some(list) = rest {
            let (member, others) = Parts::split(list);
            rest = others;
            bytes += member.text.len();
            count += usize::from(!trim(member.text).is_empty());
            if bytes > MAX_BYTES || count > MAX_MEMBERS {
                return baggage;
            }
            insert(&member, &mut bytes, &mut baggage);
            // The comma after it.
            bytes += 1;
        }
    }
    baggage
}

/// A member, cut at its first `=` and its first `;`.
struct Parts<'a> {
    text: &'a str,
    pair: Option<(&'a str, &'a str)>,
    /// With the `;` before it.
    properties: &'a str,
}

impl<'a> Parts<'a> {
    /// The first member of a list, and what follows its comma. It looks at each byte once, where to split three times
    /// would take several times as long.
    fn split(list: &'a str) -> (Self, Option<&'a str>) {
        let (mut equals, mut semicolon, mut comma) = (None, None, None);
        for (at, byte) in list.bytes().enumerate() {
            match byte {
                b',' => {
                    comma = Some(at);
                    break;
                }
                b'=' if equals.is_none() && semicolon.is_none() => equals = Some(at),
                b';' if semicolon.is_none() => semicolon = Some(at),
                _ => {}
            }
        }
        let end = comma.unwrap_or(list.len());
        let (text, pair_end) = (&list[..end], semicolon.unwrap_or(end));
        let pair = equals.map(|equals| (&list[..equals], &list[equals + 1..pair_end]));
        let properties = semicolon.map_or("", |semicolon| &list[semicolon..end]);
        (Self { text, pair, properties }, comma.map(|comma| &list[comma + 1..]))
    }
}

/// Inserts a member if it is right and fits with its properties. Its key is the API's to check.
fn insert(member: &Parts<'_>, bytes: &mut usize, baggage: &mut Baggage) {
    let Some((key, value)) = member.pair.map(|(key, value)| (trim(key), trim(value))) else { return };
    if !percent::is_value(value) {
        return;
    }
    let metadata = read_properties(member.properties);
    // A `%` has become `%25`. The API would refuse what is too long, and take shorter members after it.
    *bytes += metadata.as_str().len().saturating_sub(member.properties.len());
    if *bytes <= MAX_BYTES {
        baggage.insert_with_metadata(key.to_owned(), percent::decode(value).into_owned(), metadata);
    }
}

/// The properties that are right, without whitespace.
fn read_properties(properties: &str) -> BaggageMetadata {
    if properties.is_empty() {
        return BaggageMetadata::default();
    }
    let mut metadata = String::new();
    for (key, value) in split_properties(properties) {
        if percent::is_key(key) && value.is_none_or(percent::is_value) {
            if !metadata.is_empty() {
                metadata.push(';');
            }
            metadata.push_str(key);
            if let Some(value) = value {
                metadata.push('=');
                percent::complete_value(value, &mut metadata);
            }
        }
    }
    metadata.into()
}

/// Without the optional whitespace around it.
fn trim(text: &str) -> &str {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    if is_space(text.as_bytes().first()) || is_space(text.as_bytes().last()) {
        text.trim_matches([' ', '\t'])
    } else {
        text
    }
}
