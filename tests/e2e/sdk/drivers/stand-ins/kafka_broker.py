"""A stand-in for a Kafka broker that remembers the token of the last SASL/OAUTHBEARER login, and refuses it."""

import socket
import struct
import threading

PRODUCE, METADATA, HANDSHAKE, API_VERSIONS, AUTHENTICATE = 0, 3, 17, 18, 36
REFUSED = 58  # SASL_AUTHENTICATION_FAILED


class Broker:
    """Listens on a port of 127.0.0.1 of its own."""

    def __init__(self):
        self.token = None
        self.logged_in = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def _accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        stream = connection.makefile("rb")
        while size := stream.read(4):
            request = stream.read(struct.unpack(">I", size)[0])
            kind, version, correlation, client = struct.unpack_from(">hhih", request)
            answer = self._answer(kind, version, request[10 + client :])
            if answer is None:
                break
            content = struct.pack(">i", correlation) + answer
            connection.sendall(struct.pack(">I", len(content)) + content)
        connection.close()

    def _answer(self, kind, version, body):
        if kind == API_VERSIONS:
            # In the oldest form, with the error that says so, or with what is spoken here.
            supported = ((PRODUCE, 0, 7), (METADATA, 0, 4), (HANDSHAKE, 0, 1), (API_VERSIONS, 0, 0), (AUTHENTICATE, 0, 0))
            apis = b"".join(struct.pack(">hhh", *api) for api in supported)
            return struct.pack(">hi", 35 if version else 0, len(supported)) + apis
        if kind == HANDSHAKE:
            return struct.pack(">hih", 0, 1, 11) + b"OAUTHBEARER"
        if kind == AUTHENTICATE:
            # Behind its length: n,,^Aauth=Bearer TOKEN^A^A
            self.token = body[4:].decode().split("auth=Bearer ")[1].split("\x01")[0]
            self.logged_in.set()
            return struct.pack(">hhi", REFUSED, -1, 0)
        return None
