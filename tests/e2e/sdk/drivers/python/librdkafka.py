"""librdkafka, as confluent-kafka ships it, with sasl.oauthbearer.metadata.authentication.type=azure_imds."""

import os
import queue
import time

from confluent_kafka import KafkaError, Producer

import lines
from expiry import expiry
from kafka_broker import Broker

broker = Broker()
# What the documentation of mode environment names.
endpoint = os.environ.get("KAFKA_TOKEN_ENDPOINT")


def managed(resource, client_id):
    broker.token = None
    broker.logged_in.clear()
    identity = f"&client_id={client_id}" if client_id else ""
    settings = {
        "bootstrap.servers": f"127.0.0.1:{broker.port}",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.metadata.authentication.type": "azure_imds",
        "sasl.oauthbearer.config": f"query=api-version=2018-02-01&resource={resource}{identity}",
    }
    if endpoint:
        settings["sasl.oauthbearer.token.endpoint.url"] = endpoint
    errors = queue.Queue()
    producer = Producer(settings, error_cb=errors.put)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not broker.logged_in.is_set():
        producer.poll(0.2)
        while not errors.empty():
            error = errors.get()
            if error.code() == KafkaError._AUTHENTICATION and not broker.logged_in.is_set():
                raise ConnectionError(error.str())
    if broker.token is None:
        raise TimeoutError("librdkafka has neither logged in nor reported an error")
    return broker.token, expiry(broker.token)


lines.serve(managed)
