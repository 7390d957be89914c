//! What delivers a notification, simulated: it takes a little time, sends nothing, and always answers the same.

use std::fmt::Write as _;

use crate::input::{Channel, Notification};

/// What a lock screen shows of a push notification.
const PUSH_LENGTH: usize = 110;

/// Makes of the body what the channel shows: a page for an email, a few words for a push.
pub(crate) fn render(notification: &Notification) -> String {
    match notification.channel {
        Channel::Email => {
            let mut page = String::from("<!doctype html>\n");
            for paragraph in notification.body.split("\n\n") {
                let text = paragraph.replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>");
                let _ = writeln!(page, "<p>{text}</p>");
            }
            page
        }
        Channel::Push => match notification.body.char_indices().nth(PUSH_LENGTH) {
            Some((end, _)) => format!("{}…", &notification.body[..end]),
            None => notification.body.clone(),
        },
    }
}

/// Accepts a message for delivery, or says why not.
pub(crate) async fn notify(channel: Channel, to: &str, content: &str) -> Result<(), String> {
    // The way there, and back. A task that yields may go on on another thread: the context must follow it there.
    tokio::task::yield_now().await;
    let answer = match channel {
        _ if content.trim().is_empty() => Err("nothing to say"),
        Channel::Email => accept_email(to),
        Channel::Push => accept_token(to),
    };
    tokio::task::yield_now().await;
    answer.map_err(str::to_owned)
}

fn accept_email(address: &str) -> Result<(), &'static str> {
    let (mailbox, domain) = address.rsplit_once('@').ok_or("no domain")?;
    if mailbox.is_empty() || mailbox.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return Err("invalid mailbox");
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.contains('.') && domain.split('.').all(is_label) { Ok(()) } else { Err("invalid domain") }
}

fn accept_token(token: &str) -> Result<(), &'static str> {
    let is_token = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    if is_token { Ok(()) } else { Err("invalid token") }
}
