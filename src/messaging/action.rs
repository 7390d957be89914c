use opentelemetry::trace::SpanKind;

use super::Settlement;

/// What an operation does, as the conventions call it.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Create,
    Send,
    Receive,
    Process,
    Settle(Settlement),
}

impl Action {
    /// How many actions have an [`index`](Self::index).
    pub(super) const COUNT: usize = 7;

    /// What the operation is called, unless the destination has another name for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Settle(settlement) => settlement.name(),
            _ => self.operation_type(),
        }
    }

    pub(super) const fn operation_type(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle(_) => "settle",
        }
    }

    /// `creates`: the span's context is a creation context.
    pub(super) const fn kind(self, creates: bool) -> SpanKind {
        match self {
            Self::Create | Self::Send if creates => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            _ => SpanKind::Client,
        }
    }

    /// Whether consumers do it, who may be in groups.
    pub(super) const fn consumes(self) -> bool {
        matches!(self, Self::Receive | Self::Process | Self::Settle(_))
    }

    /// A place for what is made once for each action. Settlements with names of their own have none.
    pub(super) const fn index(self) -> Option<usize> {
        match self {
            Self::Create => Some(0),
            Self::Send => Some(1),
            Self::Receive => Some(2),
            Self::Process => Some(3),
            Self::Settle(Settlement::Ack) => Some(4),
            Self::Settle(Settlement::Retry) => Some(5),
            Self::Settle(Settlement::Reject) => Some(6),
            Self::Settle(Settlement::Other(_)) => None,
        }
    }
}
