//! Readers and writers, by the traits of tokio and of futures: each call inside, and the drop too.

mod support;

use std::{
    io::{self, IoSlice, IoSliceMut, SeekFrom},
    pin::{Pin, pin},
    task::{Context as Task, Poll, Waker},
};

use ctxhop::prelude::*;
use support::{Case, Fate, Probe, Submitted, assert_stranger, stranger};

/// Notes each call, and is ready at once.
struct Notes(Probe);

impl Notes {
    fn saw<T>(&self, call: &'static str, result: T) -> Poll<io::Result<T>> {
        self.0.saw(call);
        Poll::Ready(Ok(result))
    }
}

/// Calls everything on bound [`Notes`], in a stranger's context.
fn check(calls: &[&'static str], call: impl FnOnce(Pin<&mut ctxhop::WithContext<Notes>>, &mut Task<'_>)) {
    let case = Case::new("io", Submitted::Set, Fate::Completes);
    let bound = case.submit(|| Notes(case.probe()).with_current_context());
    let _guard = stranger().attach();
    {
        let mut bound = pin!(bound);
        call(bound.as_mut(), &mut Task::from_waker(Waker::noop()));
        assert_stranger("after the calls");
    }
    case.assert_saw(calls);
    case.assert_released();
}

mod of_tokio {
    use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

    use super::*;

    impl AsyncRead for Notes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Task<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buf.put_slice(b"r");
            self.saw("read", ())
        }
    }

    impl AsyncBufRead for Notes {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<&[u8]>> {
            self.saw("fill_buf", b"f")
        }

        fn consume(self: Pin<&mut Self>, bytes: usize) {
            assert_eq!(bytes, 1);
            self.0.saw("consume");
        }
    }

    impl AsyncSeek for Notes {
        fn start_seek(self: Pin<&mut Self>, _: SeekFrom) -> io::Result<()> {
            self.0.saw("start_seek");
            Ok(())
        }

        fn poll_complete(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<u64>> {
            self.saw("complete", 7)
        }
    }

    impl AsyncWrite for Notes {
        fn poll_write(self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.saw("write", bytes.len())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
            self.saw("flush", ())
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
            self.saw("shutdown", ())
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Task<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.saw("write_vectored", slices.len())
        }

        fn is_write_vectored(&self) -> bool {
            true
        }
    }

    #[test]
    fn reads_and_seeks() {
        check(&["read", "fill_buf", "consume", "start_seek", "complete"], |mut io, task| {
            let mut bytes = [0];
            let mut buf = ReadBuf::new(&mut bytes);
            assert!(io.as_mut().poll_read(task, &mut buf).is_ready());
            assert_eq!(buf.filled(), b"r");
            assert!(matches!(io.as_mut().poll_fill_buf(task), Poll::Ready(Ok(b"f"))));
            io.as_mut().consume(1);
            assert!(io.as_mut().start_seek(SeekFrom::Start(7)).is_ok());
            assert!(matches!(io.poll_complete(task), Poll::Ready(Ok(7))));
        });
    }

    #[test]
    fn writes() {
        check(&["write", "write_vectored", "flush", "shutdown"], |mut io, task| {
            assert!(io.is_write_vectored());
            assert!(matches!(io.as_mut().poll_write(task, b"12"), Poll::Ready(Ok(2))));
            assert!(matches!(io.as_mut().poll_write_vectored(task, &[IoSlice::new(b"12")]), Poll::Ready(Ok(1))));
            assert!(io.as_mut().poll_flush(task).is_ready());
            assert!(io.poll_shutdown(task).is_ready());
        });
    }
}

mod of_futures {
    use futures::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};

    use super::*;

    impl AsyncRead for Notes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Task<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            self.saw("read", buf.len())
        }

        fn poll_read_vectored(
            self: Pin<&mut Self>,
            _: &mut Task<'_>,
            slices: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            self.saw("read_vectored", slices.len())
        }
    }

    impl AsyncBufRead for Notes {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<&[u8]>> {
            self.saw("fill_buf", b"f")
        }

        fn consume(self: Pin<&mut Self>, bytes: usize) {
            assert_eq!(bytes, 1);
            self.0.saw("consume");
        }
    }

    impl AsyncSeek for Notes {
        fn poll_seek(self: Pin<&mut Self>, _: &mut Task<'_>, _: SeekFrom) -> Poll<io::Result<u64>> {
            self.saw("seek", 7)
        }
    }

    impl AsyncWrite for Notes {
        fn poll_write(self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.saw("write", bytes.len())
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Task<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.saw("write_vectored", slices.len())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
            self.saw("flush", ())
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
            self.saw("close", ())
        }
    }

    #[test]
    fn reads_and_seeks() {
        check(&["read", "read_vectored", "fill_buf", "consume", "seek"], |mut io, task| {
            assert!(matches!(io.as_mut().poll_read(task, &mut [0; 2]), Poll::Ready(Ok(2))));
            let mut bytes = [0; 2];
            let read = io.as_mut().poll_read_vectored(task, &mut [IoSliceMut::new(&mut bytes)]);
            assert!(matches!(read, Poll::Ready(Ok(1))));
            assert!(matches!(io.as_mut().poll_fill_buf(task), Poll::Ready(Ok(b"f"))));
            io.as_mut().consume(1);
            assert!(matches!(io.poll_seek(task, SeekFrom::Start(7)), Poll::Ready(Ok(7))));
        });
    }

    #[test]
    fn writes() {
        check(&["write", "write_vectored", "flush", "close"], |mut io, task| {
            assert!(matches!(io.as_mut().poll_write(task, b"12"), Poll::Ready(Ok(2))));
            assert!(matches!(io.as_mut().poll_write_vectored(task, &[IoSlice::new(b"12")]), Poll::Ready(Ok(1))));
            assert!(io.as_mut().poll_flush(task).is_ready());
            assert!(io.poll_close(task).is_ready());
        });
    }
}
