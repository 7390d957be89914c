//! What delivers a notification, simulated: it takes a little time, sends nothing, and always answers the same.

use std::fmt::Write as _;

use crate::input::{Channel, Notification};

/// What a lock screen, or the line of an inbox, shows.
const SUMMARY_LENGTH: usize = 110;

/// A few words of the body: the text of a push, the subject of an email.
pub(crate) fn summary(notification: &Notification) -> String {
    let body = &notification.body;
    match body.char_indices().nth(SUMMARY_LENGTH) {
        Some((end, _)) => format!("{}…", &body[..end]),
        None => body.clone(),
    }
}

/// The body as a page: what an email shows, or a push when it is opened.
pub(crate) fn page(notification: &Notification) -> String {
    let mut page = String::from("<!doctype html>\n");
    for paragraph in notification.body.split("\n\n") {
        let text = paragraph.replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>");
        let _ = writeln!(page, "<p>{text}</p>");
    }
    page
}

/// Accepts a message for delivery, or says why not.
pub(crate) async fn notify(channel: Channel, to: &str, summary: &str, _page: &str) -> Result<(), String> {
    // The way there, and back. A task that yields may go on on another thread: the context must follow it there.
    tokio::task::yield_now().await;
    let answer = match channel {
        _ if summary.trim().is_empty() => Err("nothing to say"),
        Channel::Email => accept_email(to),
        Channel::Push => accept_token(to),
    };
    tokio::task::yield_now().await;
    answer.map_err(str::to_owned)
}

fn accept_email(address: &str) -> Result<(), &'static str> {
    let is_mailbox = |mailbox: &str| {
        !mailbox.is_empty() && !mailbox.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain = |domain: &str| domain.contains('.') && domain.split('.').all(is_label);
    match address.rsplit_once('@') {
        Some((mailbox, domain)) if is_mailbox(mailbox) && is_domain(domain) => Ok(()),
        _ => Err("invalid address"),
    }
}

fn accept_token(token: &str) -> Result<(), &'static str> {
    let is_token = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    if is_token { Ok(()) } else { Err("invalid token") }
}
