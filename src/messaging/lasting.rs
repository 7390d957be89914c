//! Names that live as long as the program. A span takes such a name as it is; of any other it needs a copy, in a block of its
//! own, for each message.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// All names together, in bytes. A program has few destinations. If it makes them without end, it must not run out of memory.
const MAX_BYTES: usize = 64 * 1024;

struct Names {
    kept: HashSet<&'static str>,
    bytes: usize,
}

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

/// The same text forever, if there is room.
pub(super) fn keep(text: &str) -> Option<&'static str> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.get_or_insert_with(|| Names { kept: HashSet::new(), bytes: 0 }).keep(text, MAX_BYTES)
}

impl Names {
    fn keep(&mut self, text: &str, max_bytes: usize) -> Option<&'static str> {
        if let Some(kept) = self.kept.get(text) {
            return Some(kept);
        }
        if text.len() > max_bytes - self.bytes {
            return None;
        }
        self.bytes += text.len();
        let kept: &'static str = text.to_owned().leak();
        self.kept.insert(kept);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_kept_once_as_long_as_there_is_room() {
        let mut names = Names { kept: HashSet::new(), bytes: 0 };
        let first = names.keep("send orders", 20).unwrap();
        assert_eq!(first, "send orders");
        assert!(std::ptr::eq(names.keep("send orders", 20).unwrap(), first));
        assert_eq!(names.keep("ack orders", 20), None, "there is room for nine bytes more");
        assert_eq!(names.keep("in_memory", 20), Some("in_memory"));
        assert_eq!(names.keep("x", 20), None);
        assert_eq!(names.keep("send orders", 20), Some("send orders"), "what is kept needs no room");
    }
}
