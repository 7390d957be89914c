/// What becomes of a message that was received. The span of [`settle`](super::Destination::settle) is named after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settlement {
    /// `ack`: the message is done.
    Ack,
    /// `retry`: the message is not done, and the broker delivers it again.
    Retry,
    /// `reject`: the message is not done and never will be. The broker drops it or puts it aside.
    Reject,
    /// What the messaging system has a name of its own for: `nack`, `complete`, `abandon`, `commit`.
    Other(&'static str),
}

impl Settlement {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Other(name) => name,
        }
    }
}
