//! A gRPC service and its client, written by hand: no `protoc`, and messages of plain bytes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{self, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::uri::PathAndQuery;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client::GrpcService,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService},
};
use tower::{Service, service_fn};

use crate::probe::{Chunks, Last, Probe};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The service: each method ends in its own way.
#[derive(Clone)]
pub struct Echo(pub Probe);

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

fn answer(probe: &Probe, count: u32) -> Messages {
    let chunks = Chunks::new(probe, count, Last::Nothing, || Bytes::from_static(b"apple"));
    chunks.map(|item| item.map_err(|error| Status::internal(error.to_string()))).boxed()
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let probe = self.0.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Plain);
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let noted = probe.clone();
            let unary = move |answer: Result<(), Status>| {
                let probe = noted.clone();
                service_fn(move |request: Request<Bytes>| {
                    let (probe, answer) = (probe.clone(), answer.clone());
                    async move {
                        probe.note("handler");
                        answer.map(|()| Response::new(request.into_inner()))
                    }
                })
            };
            let noted = probe.clone();
            let streams = move |mut answer: Option<Messages>, reads: bool| {
                let probe = noted.clone();
                service_fn(move |request: Request<Streaming<Bytes>>| {
                    let (probe, answer) = (probe.clone(), answer.take());
                    async move {
                        probe.note("handler");
                        let mut messages = request.into_inner();
                        while reads && messages.message().await?.is_some() {
                            probe.note("message");
                        }
                        Ok(Response::new(answer.unwrap()))
                    }
                })
            };
            Ok(match &*method {
                "Unary" => grpc.unary(unary(Ok(())), request).await,
                "Invalid" => grpc.unary(unary(Err(Status::invalid_argument("no such apple"))), request).await,
                "Internal" => grpc.unary(unary(Err(Status::internal("the cellar is flooded"))), request).await,
                "Hangs" => {
                    let _drop = probe.on_drop("drop of handler");
                    probe.note("handler");
                    std::future::pending().await
                }
                "Panics" => panic!("on purpose, in a handler"),
                "Stream" => grpc.streaming(streams(Some(answer(&probe, 3)), true), request).await,
                "Bidi" => grpc.streaming(streams(Some(answer(&probe, 3)), false), request).await,
                "Late" => {
                    let late = stream::iter([Err(Status::data_loss("the apples rot"))]);
                    grpc.streaming(streams(Some(answer(&probe, 2).chain(late).boxed()), true), request).await
                }
                "Endless" => {
                    let endless = Chunks::new(&probe, 0, Last::Chunk, || Bytes::from_static(b"apple"));
                    let endless = endless.map(|item| item.map_err(|error| Status::internal(error.to_string())));
                    grpc.streaming(streams(Some(endless.boxed()), false), request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// The client of any such method: sends a stream, and gets one.
pub async fn call<T>(
    client: T,
    method: &str,
    messages: impl tonic::IntoStreamingRequest<Message = Bytes>,
) -> Result<Response<Streaming<Bytes>>, Status>
where
    T: GrpcService<Body>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut client = tonic::client::Grpc::new(client);
    client.ready().await.map_err(|error| Status::unknown(error.into().to_string()))?;
    let path = PathAndQuery::try_from(format!("/test.Echo/{method}")).unwrap();
    client.streaming(messages.into_streaming_request(), path, Plain).await
}

/// Reads all messages, and gives their number or the status.
pub async fn read(response: Result<Response<Streaming<Bytes>>, Status>) -> Result<usize, Status> {
    let mut messages = response?.into_inner();
    let mut count = 0;
    while messages.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}
