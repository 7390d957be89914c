//! What a notification looks like where it arrives.

use std::fmt::Write as _;

use crate::input::Notification;

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
