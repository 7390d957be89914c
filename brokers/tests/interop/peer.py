"""One message, sent or received with Python's own instrumentation. Prints what Python knows of it as JSON.

Usage: peer.py CLIENT send|receive ADDRESS DESTINATION
"""

import asyncio
import json
import signal
import sys
import threading

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

BODY = b"two apples"


class Spans(SpanExporter):
    def __init__(self):
        self.spans = []

    def export(self, spans):
        for span in spans:
            parent = span.parent
            self.spans.append({
                "name": span.name,
                "kind": span.kind.name,
                "trace_id": f"{span.context.trace_id:032x}",
                "span_id": f"{span.context.span_id:016x}",
                "parent_id": f"{parent.span_id:016x}" if parent else None,
                "links": [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links],
            })
        return SpanExportResult.SUCCESS


SPANS = Spans()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(SPANS))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("peer")
said = {"received": None}


def received(carrier_context=None):
    """What is current in the handler; or what a message has, of a client that makes nothing current."""
    span = trace.get_current_span(carrier_context).get_span_context()
    said["received"] = {
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "flags": f"{span.trace_flags:02x}",
        "baggage": dict(baggage.get_all(carrier_context)),
    }


def extracted(headers):
    return propagate.extract({key: value.decode() for key, value in headers or []})


def pika_client(role, address, queue):
    import pika
    from opentelemetry.instrumentation.pika import PikaInstrumentor

    PikaInstrumentor().instrument()
    connection = pika.BlockingConnection(pika.URLParameters(address))
    channel = connection.channel()
    if role == "send":
        channel.basic_publish("", queue, BODY)
    else:
        def handle(channel, method, properties, body):
            received()
            channel.basic_ack(method.delivery_tag)
            channel.stop_consuming()

        channel.basic_consume(queue, handle)
        channel.start_consuming()
    connection.close()


def aio_pika_client(role, address, queue):
    import aio_pika
    from opentelemetry.instrumentation.aio_pika import AioPikaInstrumentor

    AioPikaInstrumentor().instrument()

    async def main():
        connection = await aio_pika.connect(address)
        async with connection:
            channel = await connection.channel()
            if role == "send":
                await channel.default_exchange.publish(aio_pika.Message(BODY), queue)
            else:
                done = asyncio.Event()

                async def handle(message):
                    received()
                    await message.ack()
                    done.set()

                await (await channel.get_queue(queue)).consume(handle)
                await done.wait()

    asyncio.run(main())


def confluent_client(role, address, topic):
    from confluent_kafka import Consumer, Producer, TopicPartition
    from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor

    if role == "send":
        producer = ConfluentKafkaInstrumentor().instrument_producer(Producer({"bootstrap.servers": address}))
        producer.produce(topic, key="17", value=BODY, partition=0)
        producer.flush(60)
    else:
        consumer = Consumer({"bootstrap.servers": address, "group.id": "peer", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        consumer = ConfluentKafkaInstrumentor().instrument_consumer(consumer)
        message = None
        while message is None or message.error():
            message = consumer.poll(1)
        received(extracted(message.headers()))
        consumer.close()


def kafka_python_client(role, address, topic):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from opentelemetry.instrumentation.kafka import KafkaInstrumentor

    KafkaInstrumentor().instrument()
    servers = {"bootstrap_servers": address.split(","), "api_version": (2, 0, 0)}
    if role == "send":
        producer = KafkaProducer(**servers)
        producer.send(topic, key=b"17", value=BODY, partition=0).get(60)
        producer.close()
    else:
        consumer = KafkaConsumer(auto_offset_reset="earliest", **servers)
        consumer.assign([TopicPartition(topic, 0)])
        received(extracted(next(consumer).headers))
        consumer.close()


def nats_client(role, address, subject):
    import nats

    async def main():
        client = await nats.connect(address)
        if role == "send":
            headers = {}
            propagate.inject(headers)
            await client.publish(subject, BODY, headers=headers)
            await client.flush()
        else:
            subscription = await client.subscribe(subject)
            await client.flush()
            print("ready", flush=True)
            message = await subscription.next_msg(60)
            token = context.attach(propagate.extract(message.headers or {}))
            received()
            context.detach(token)
        await client.close()

    asyncio.run(main())


def redis_client(role, address, stream):
    import redis
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    # It traces commands, and puts nothing into their fields.
    RedisInstrumentor().instrument()
    connection = redis.Redis.from_url(address)
    if role == "send":
        connection.xadd(stream, {"body": BODY})
        fields = {"body": BODY}
        propagate.inject(fields)
        connection.xadd(stream, fields)
    else:
        [[_, [[_, fields]]]] = connection.xread({stream: "0"}, block=60_000)
        received(extracted((key.decode(), value) for key, value in fields.items()))
    connection.close()


def paho_client(role, address, topic, version):
    """paho-mqtt, which nobody instruments: by hand in the user properties, or in an envelope, as version 3 has no properties."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    import envelope

    host, port = address.split(":")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5 if version == 5 else mqtt.MQTTv311)
    if role == "send":
        client.connect(host, int(port))
        client.loop_start()
        headers = {}
        propagate.inject(headers)
        if version == 5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = list(headers.items())
            client.publish(topic, BODY, qos=1, properties=properties).wait_for_publish(60)
        else:
            client.publish(topic, envelope.seal(headers.items(), BODY), qos=1).wait_for_publish(60)
        client.disconnect()
        client.loop_stop()
    else:
        def handle(client, userdata, message):
            if version == 5:
                headers, body = message.properties.UserProperty, message.payload
            else:
                headers, body = envelope.open_envelope(message.payload)
            assert body == BODY, body
            token = context.attach(propagate.extract(dict(headers)))
            received()
            context.detach(token)
            client.disconnect()

        client.on_message = handle
        client.on_subscribe = lambda *_: print("ready", flush=True)
        client.connect(host, int(port))
        client.subscribe(topic, qos=1)
        client.loop_forever()


def pubsub_client(role, address, name):
    import os

    os.environ["PUBSUB_EMULATOR_HOST"] = address
    from google.cloud import pubsub_v1
    from google.cloud.pubsub_v1.types import PublisherOptions, SubscriberOptions

    if role == "send":
        options = PublisherOptions(enable_open_telemetry_tracing=True)
        publisher = pubsub_v1.PublisherClient(publisher_options=options)
        # Google's client carries the trace context, and leaves the baggage to its user.
        fields = {}
        propagate.inject(fields)
        publisher.publish(publisher.topic_path("shop", name), BODY, googclient_baggage=fields["baggage"]).result(60)
        publisher.stop()
    else:
        options = SubscriberOptions(enable_open_telemetry_tracing=True)
        subscriber = pubsub_v1.SubscriberClient(subscriber_options=options)
        done = threading.Event()

        def handle(message):
            prefix = "googclient_"
            attributes = {key[len(prefix):]: value for key, value in message.attributes.items() if key.startswith(prefix)}
            received(propagate.extract(attributes))
            message.ack()
            done.set()

        pull = subscriber.subscribe(subscriber.subscription_path("shop", name), handle)
        done.wait()
        pull.cancel()
        pull.result(60)


CLIENTS = {
    "pika": pika_client,
    "aio-pika": aio_pika_client,
    "confluent-kafka": confluent_client,
    "kafka-python": kafka_python_client,
    "nats-py": nats_client,
    "pubsub": pubsub_client,
    "redis-py": redis_client,
    "paho-mqtt": lambda *to: paho_client(*to, version=5),
    "paho-mqtt-3": lambda *to: paho_client(*to, version=3),
}

signal.alarm(120)
client, role, address, destination = sys.argv[1:]
if role == "send":
    context.attach(baggage.set_baggage("tenant", "a;b,c=ü"))
    with tracer.start_as_current_span("python"):
        CLIENTS[client](role, address, destination)
else:
    CLIENTS[client](role, address, destination)
said["spans"] = SPANS.spans
print(json.dumps(said))
