//! `WithContext` is a reader and a writer when its value is one, by the traits of tokio and of futures.

#[cfg(feature = "tokio")]
mod tokio {
    use std::{
        io::{IoSlice, Result, SeekFrom},
        pin::Pin,
        task::{self, Poll},
    };

    use ::tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

    use crate::{Snapshot, WithContext};

    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    impl<T: AsyncRead, S: Snapshot> AsyncRead for WithContext<T, S> {
        #[inline]
        fn poll_read(self: Pin<&mut Self>, task: &mut task::Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
            self.run_pin_mut(|io| io.poll_read(task, buf))
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    impl<T: AsyncBufRead, S: Snapshot> AsyncBufRead for WithContext<T, S> {
        fn poll_fill_buf(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<&[u8]>> {
            self.run_pin_mut(|io| io.poll_fill_buf(task))
        }

        fn consume(self: Pin<&mut Self>, bytes: usize) {
            self.run_pin_mut(|io| io.consume(bytes));
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    impl<T: AsyncSeek, S: Snapshot> AsyncSeek for WithContext<T, S> {
        fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> Result<()> {
            self.run_pin_mut(|io| io.start_seek(position))
        }

        fn poll_complete(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<u64>> {
            self.run_pin_mut(|io| io.poll_complete(task))
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    impl<T: AsyncWrite, S: Snapshot> AsyncWrite for WithContext<T, S> {
        #[inline]
        fn poll_write(self: Pin<&mut Self>, task: &mut task::Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_write(task, bytes))
        }

        fn poll_flush(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<()>> {
            self.run_pin_mut(|io| io.poll_flush(task))
        }

        fn poll_shutdown(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<()>> {
            self.run_pin_mut(|io| io.poll_shutdown(task))
        }

        #[inline]
        fn poll_write_vectored(
            self: Pin<&mut Self>,
            task: &mut task::Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_write_vectored(task, slices))
        }

        fn is_write_vectored(&self) -> bool {
            self.inner().is_write_vectored()
        }
    }
}

#[cfg(feature = "futures")]
mod futures {
    use std::{
        io::{IoSlice, IoSliceMut, Result, SeekFrom},
        pin::Pin,
        task::{self, Poll},
    };

    use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};

    use crate::{Snapshot, WithContext};

    #[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
    impl<T: AsyncRead, S: Snapshot> AsyncRead for WithContext<T, S> {
        #[inline]
        fn poll_read(self: Pin<&mut Self>, task: &mut task::Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_read(task, buf))
        }

        #[inline]
        fn poll_read_vectored(
            self: Pin<&mut Self>,
            task: &mut task::Context<'_>,
            slices: &mut [IoSliceMut<'_>],
        ) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_read_vectored(task, slices))
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
    impl<T: AsyncBufRead, S: Snapshot> AsyncBufRead for WithContext<T, S> {
        fn poll_fill_buf(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<&[u8]>> {
            self.run_pin_mut(|io| io.poll_fill_buf(task))
        }

        fn consume(self: Pin<&mut Self>, bytes: usize) {
            self.run_pin_mut(|io| io.consume(bytes));
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
    impl<T: AsyncSeek, S: Snapshot> AsyncSeek for WithContext<T, S> {
        fn poll_seek(self: Pin<&mut Self>, task: &mut task::Context<'_>, position: SeekFrom) -> Poll<Result<u64>> {
            self.run_pin_mut(|io| io.poll_seek(task, position))
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
    impl<T: AsyncWrite, S: Snapshot> AsyncWrite for WithContext<T, S> {
        #[inline]
        fn poll_write(self: Pin<&mut Self>, task: &mut task::Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_write(task, bytes))
        }

        #[inline]
        fn poll_write_vectored(
            self: Pin<&mut Self>,
            task: &mut task::Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            self.run_pin_mut(|io| io.poll_write_vectored(task, slices))
        }

        fn poll_flush(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<()>> {
            self.run_pin_mut(|io| io.poll_flush(task))
        }

        fn poll_close(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<()>> {
            self.run_pin_mut(|io| io.poll_close(task))
        }
    }
}
