//! A list of `key "=" value`, which may be spread over several headers.

use opentelemetry::trace::TraceState;

/// The most members that a list may have.
pub(crate) const MAX_MEMBERS: usize = 32;

/// The longest list: that many members with a key and a value of the greatest length.
pub(crate) const MAX_BYTES: usize = MAX_MEMBERS * (MAX_LENGTH + 1 + MAX_LENGTH) + MAX_MEMBERS - 1;

/// The greatest length of a key and of a value.
const MAX_LENGTH: usize = 256;

/// A tracestate of which the API's [`TraceState`] cannot hold all members.
#[derive(Debug)]
pub(super) struct Extended {
    /// All members, without the optional whitespace.
    all: String,
    /// Those among them that the API holds.
    held: TraceState,
}

/// Reads the list, over all headers: the members that the API can hold, and the whole list if there are others. `None` if
/// the list breaks the grammar.
pub(super) fn parse(headers: &[&str]) -> Option<(TraceState, Option<Extended>)> {
    let mut members = Vec::new();
    let mut count = 0;
    for text in headers.iter().flat_map(|header| header.split(',')) {
        let text = text.trim_matches(OPTIONAL_WHITESPACE);
        // Empty members are allowed and mean nothing, so they do not count.
        if text.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_MEMBERS {
            return None;
        }
        let member = member(text)?;
        if !members.iter().any(|(key, _)| *key == member.0) {
            members.push(member);
        }
    }
    Some(hold(&members))
}

/// The list to send: the span's own, and around it the members that only `extended` has. `None` if it is empty.
pub(super) fn format(own: &TraceState, extended: Option<&Extended>) -> Option<String> {
    match extended {
        Some(extended) if *own == extended.held => Some(extended.all.clone()),
        // It was cleared. If its last member were deleted, it would be a list without members.
        _ if *own == TraceState::NONE => None,
        Some(extended) => merge(own, extended),
        None => join(own.into_iter()),
    }
}

fn merge(own: &TraceState, extended: &Extended) -> Option<String> {
    // A member that is set goes to the front, and the others keep their order: the longest end that was in this order
    // before was not set.
    let own: Vec<_> = own.into_iter().collect();
    let held: Vec<_> = extended.held.into_iter().collect();
    let mut before = held.iter().rev();
    let kept = own.iter().rev().take_while(|member| before.any(|held| held == *member)).count();
    let (set, kept) = own.split_at(own.len() - kept);
    let old = extended.all.split(',').filter_map(member);
    join(set.iter().copied().chain(old.filter(|member| kept.contains(member) || !held.contains(member))))
}

const OPTIONAL_WHITESPACE: [char; 2] = [' ', '\t'];

/// A member without the whitespace around it.
fn member(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(key, value)| is_key(key) && is_value(value))
}

fn is_key(key: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = key.as_bytes();
    bytes.len() <= MAX_LENGTH
        && bytes.first().is_some_and(letter)
        && bytes.iter().all(|byte| letter(byte) || b"_-*/@".contains(byte))
}

fn is_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= MAX_LENGTH
        && bytes.last().is_some_and(|&byte| byte != b' ')
        && bytes.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
}

/// The API takes all members or refuses all, without a reason. So this tries all, and then one by one.
fn hold(members: &[(&str, &str)]) -> (TraceState, Option<Extended>) {
    let try_hold = |members: &[(&str, &str)]| TraceState::from_key_value(members.iter().copied());
    if let Ok(all) = try_hold(members) {
        return (all, None);
    }
    let some: Vec<_> = members.iter().copied().filter(|&member| try_hold(&[member]).is_ok()).collect();
    let held = try_hold(&some).unwrap_or_default();
    let all = join(members.iter().copied()).unwrap_or_default();
    (held.clone(), Some(Extended { all, held }))
}

/// Leaves out members for which receivers would drop the whole list: the API accepts values that the recommendation does
/// not, and two members of one key.
fn join<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let mut list = String::new();
    for (key, value) in members.filter(|(key, value)| is_key(key) && is_value(value)).take(MAX_MEMBERS) {
        if list.split(',').filter_map(member).any(|(written, _)| written == key) {
            continue;
        }
        if list.is_empty() {
            // Two or three members of the usual length, without growing.
            list.reserve(64);
        } else {
            list.push(',');
        }
        list.push_str(key);
        list.push('=');
        list.push_str(value);
    }
    (!list.is_empty()).then_some(list)
}
