use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{self, Poll, Waker},
    time::Instant,
};

use super::{
    line::Line,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Where messages wait to be received, and publishers to have room: a list and three lines of waiting tasks behind one lock.
///
/// No waker is cloned, no waker and no message is dropped, and no task is woken, while it is locked: each may run code that
/// comes back here. So who has to wait looks once more, with a clone of its waker.
pub(super) struct Store<M> {
    capacity: Option<usize>,
    state: Mutex<State<M>>,
}

/// A message in the queue or in hand.
pub(super) struct Envelope<M> {
    pub(super) message: M,
    /// How often it was delivered. Until the first time it takes room.
    pub(super) deliveries: u64,
    /// When it was put here, or back.
    pub(super) since: Instant,
}

/// Why a message was not published.
pub(super) enum Refused<M> {
    Full(M),
    Closed(M),
}

struct State<M> {
    messages: VecDeque<Envelope<M>>,
    /// For how many messages there is room. While a publisher waits it is 0: room that becomes free is given to the one who
    /// has waited longest, and nobody else can take it.
    room: usize,
    /// Messages in the queue and in hand.
    unsettled: usize,
    open: bool,
    /// No consumer is left.
    abandoned: bool,
    publishers: Line,
    consumers: Line,
    /// Apart from other consumers, and all are called for each message: a stream keeps its place while nobody polls it, and
    /// to call that one alone would leave the message to a task that does not look.
    streams: Line,
}

/// Whom to wake, once the lock is released.
#[derive(Default)]
#[must_use]
struct Calls {
    one: Option<Waker>,
    more: Vec<Waker>,
}

impl Calls {
    #[inline]
    fn wake(self) {
        self.one.into_iter().for_each(Waker::wake);
        // To go through an empty list takes longer.
        if !self.more.is_empty() {
            self.more.into_iter().for_each(Waker::wake);
        }
    }
}

impl<M> State<M> {
    fn has_ended(&self) -> bool {
        !self.open && self.unsettled == 0
    }

    fn take_room(&mut self) -> bool {
        let free = self.room > 0;
        self.room -= usize::from(free);
        free
    }

    /// Gives room to the publisher that has waited longest.
    #[must_use]
    fn free_room(&mut self) -> Option<Waker> {
        let next = self.publishers.call_first();
        self.room += usize::from(next.is_none());
        next
    }

    fn add(&mut self, message: M, since: Instant) -> Calls {
        self.unsettled += 1;
        self.put(Envelope { message, deliveries: 0, since })
    }

    fn put(&mut self, envelope: Envelope<M>) -> Calls {
        self.messages.push_back(envelope);
        let mut calls = Calls { one: self.consumers.call_first(), more: Vec::new() };
        self.streams.call_all(&mut calls.more);
        calls
    }

    /// Pending if there is no message now, `None` if there never will be one again. With a message comes the publisher to
    /// wake.
    fn take(&mut self) -> Poll<Option<(Envelope<M>, Option<Waker>)>> {
        let Some(mut envelope) = self.messages.pop_front() else {
            return if self.has_ended() { Poll::Ready(None) } else { Poll::Pending };
        };
        self.shrink();
        let publisher = if envelope.deliveries == 0 { self.free_room() } else { None };
        envelope.deliveries += 1;
        Poll::Ready(Some((envelope, publisher)))
    }

    /// Else the memory of the longest backlog would stay for good. The list has to empty by half before this happens again,
    /// so it costs little for each message.
    fn shrink(&mut self) {
        const SMALL: usize = 1_024;
        let capacity = self.messages.capacity();
        if capacity > SMALL && self.messages.len() < capacity / 4 {
            self.messages.shrink_to(capacity / 2);
        }
    }

    fn close(&mut self) -> Calls {
        self.open = false;
        let mut calls = self.end();
        self.publishers.call_all(&mut calls.more);
        calls
    }

    /// Calls all who wait for a message, if there will be none.
    fn end(&mut self) -> Calls {
        let mut calls = Calls::default();
        if self.has_ended() {
            self.consumers.call_all(&mut calls.more);
            self.streams.call_all(&mut calls.more);
        }
        calls
    }
}

impl<M> Store<M> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        let state = State {
            messages: VecDeque::new(),
            room: capacity.unwrap_or(usize::MAX),
            unsettled: 0,
            open: true,
            abandoned: false,
            publishers: Line::default(),
            consumers: Line::default(),
            streams: Line::default(),
        };
        Self { capacity, state: Mutex::new(state) }
    }

    /// Nothing panics while it is locked, so a lock that is poisoned by a thread's death is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_publish(&self, message: M, now: Instant) -> Result<(), Refused<M>> {
        let mut state = self.lock();
        if !state.open {
            return Err(Refused::Closed(message));
        }
        if !state.take_room() {
            return Err(Refused::Full(message));
        }
        let calls = state.add(message, now);
        drop(state);
        calls.wake();
        Ok(())
    }

    /// Waits for room, behind those who wait already.
    pub(super) fn publish(&self, message: M) -> Publishing<'_, M> {
        Publishing { store: self, message: Some(message), place: None }
    }

    /// Pending if there is no message now, `None` if there never will be one again.
    pub(super) fn try_recv(&self) -> Poll<Option<Envelope<M>>> {
        let mut state = self.lock();
        let taken = state.take();
        drop(state);
        taken.map(|taken| taken.map(deliver))
    }

    /// Waits for a message.
    pub(super) fn recv(&self) -> Receiving<'_, M> {
        Receiving { store: self, place: None }
    }

    /// As [`recv`](Self::recv), for a stream that keeps its place from one message to the next.
    pub(super) fn poll_next(&self, place: &mut Option<u64>, task: &mut task::Context<'_>) -> Poll<Option<Envelope<M>>> {
        self.poll_recv(|state| &mut state.streams, place, task)
    }

    fn poll_recv(
        &self,
        line: fn(&mut State<M>) -> &mut Line,
        place: &mut Option<u64>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Envelope<M>>> {
        let mut clone = None;
        loop {
            let mut state = self.lock();
            let taken = state.take();
            let line = line(&mut state);
            let waker = match &taken {
                Poll::Ready(_) => place.take().and_then(|place| line.leave(place)),
                Poll::Pending if line.waits_with(*place, task.waker()) => None,
                Poll::Pending => match clone.take() {
                    Some(clone) => line.wait(place, clone),
                    None => {
                        drop(state);
                        clone = Some(task.waker().clone());
                        continue;
                    }
                },
            };
            drop(state);
            drop(waker);
            return taken.map(|taken| taken.map(deliver));
        }
    }

    /// A stream is gone.
    pub(super) fn leave(&self, place: u64) {
        let waker = self.lock().streams.leave(place);
        drop(waker);
    }

    /// The message comes back if no consumer is left.
    pub(super) fn put_back(&self, mut envelope: Envelope<M>) -> Result<(), Envelope<M>> {
        envelope.since = Instant::now();
        let mut state = self.lock();
        if state.abandoned {
            return Err(envelope);
        }
        let calls = state.put(envelope);
        drop(state);
        calls.wake();
        Ok(())
    }

    /// A message is out of the queue for good.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.unsettled -= 1;
        let calls = state.end();
        drop(state);
        calls.wake();
    }

    /// Returns whether it was open.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        let was_open = state.open;
        let calls = state.close();
        drop(state);
        calls.wake();
        was_open
    }

    /// The last consumer is gone: closes, and returns what nobody will receive.
    pub(super) fn abandon(&self) -> VecDeque<Envelope<M>> {
        let mut state = self.lock();
        state.abandoned = true;
        let messages = mem::take(&mut state.messages);
        let calls = state.close();
        drop(state);
        calls.wake();
        messages
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.lock().open
    }

    pub(super) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity
    }
}

fn deliver<M>((envelope, publisher): (Envelope<M>, Option<Waker>)) -> Envelope<M> {
    publisher.into_iter().for_each(Waker::wake);
    envelope
}

/// The future of [`Store::publish`]. The message comes back if the queue is closed.
#[must_use]
pub(super) struct Publishing<'a, M> {
    store: &'a Store<M>,
    /// `None` once it is published.
    message: Option<M>,
    place: Option<u64>,
}

impl<M> Unpin for Publishing<'_, M> {}

impl<M> Future for Publishing<'_, M> {
    type Output = Result<(), M>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), M>> {
        let this = &mut *self;
        assert!(this.message.is_some(), "a publish that is done was polled again");
        let now = Instant::now();
        let mut clone = None;
        let mut state = loop {
            let mut state = this.store.lock();
            let waits = state.open
                && match this.place {
                    Some(place) => state.publishers.is_waiting(place),
                    None => !state.take_room(),
                };
            if !waits {
                break state;
            }
            if state.publishers.waits_with(this.place, task.waker()) {
                return Poll::Pending;
            }
            if let Some(clone) = clone.take() {
                let waker = state.publishers.wait(&mut this.place, clone);
                drop(state);
                drop(waker);
                return Poll::Pending;
            }
            drop(state);
            clone = Some(task.waker().clone());
        };
        this.place = None;
        let message = this.message.take().expect("asserted above");
        if !state.open {
            return Poll::Ready(Err(message));
        }
        let calls = state.add(message, now);
        drop(state);
        calls.wake();
        Poll::Ready(Ok(()))
    }
}

impl<M> Drop for Publishing<'_, M> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.store.lock();
        let waker = state.publishers.leave(place);
        // Called, and does not use the room.
        let next = if waker.is_none() { state.free_room() } else { None };
        drop(state);
        drop(waker);
        next.into_iter().for_each(Waker::wake);
    }
}

/// The future of [`Store::recv`].
#[must_use]
pub(super) struct Receiving<'a, M> {
    store: &'a Store<M>,
    place: Option<u64>,
}

impl<M> Future for Receiving<'_, M> {
    type Output = Option<Envelope<M>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Envelope<M>>> {
        let this = &mut *self;
        this.store.poll_recv(|state| &mut state.consumers, &mut this.place, task)
    }
}

impl<M> Drop for Receiving<'_, M> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.store.lock();
        let waker = state.consumers.leave(place);
        // Called for a message, and does not take it.
        let next = if waker.is_none() && !state.messages.is_empty() { state.consumers.call_first() } else { None };
        drop(state);
        drop(waker);
        next.into_iter().for_each(Waker::wake);
    }
}
