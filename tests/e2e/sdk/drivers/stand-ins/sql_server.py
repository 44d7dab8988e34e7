"""A stand-in for SQL Server that lets everybody log in with a token of Entra's, and remembers the token.

It speaks as much of TDS 7.4 as a login by federated authentication needs: PRELOGIN, TLS within TDS packets, LOGIN7,
FEDAUTHINFO, the token, LOGINACK. Every later request gets an empty result.
"""

import os
import socket
import ssl
import struct
import threading

TABULAR_RESULT, LOGIN, PRELOGIN, FEDAUTH_TOKEN = 0x04, 0x10, 0x12, 0x08
DONE = b"\xfd" + bytes(12)
# TDS 7.4, and a version of SQL Server: 16.0.
LOGINACK = (
    b"\x01\x74\x00\x00\x04"
    + b"\x05"
    + "Azure".encode("utf-16-le")
    + b"\x10\x00\x00\x00"
)
# Federated authentication is accepted, without data.
FEATUREEXTACK = b"\xae\x02\x00\x00\x00\x00\xff"


class SqlServer:
    """Listens on a port of 127.0.0.1 of its own."""

    def __init__(self):
        self.spn = None
        self.token = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(os.path.dirname(__file__), "server.pem"))
        # 1.3 has messages behind the handshake, which TDS packets would have to carry.
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def _accept(self, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                self._log_in(Wire(connection))
        except (OSError, EOFError):
            pass  # The driver has closed the connection.

    def _log_in(self, wire):
        wire.receive()
        wire.send(TABULAR_RESULT, prelogin())
        wire.encrypt(self.context)
        while True:
            kind, message = wire.receive()
            if kind == LOGIN:
                wire.send(TABULAR_RESULT, fedauthinfo(self.spn))
            elif kind == FEDAUTH_TOKEN:
                length = struct.unpack_from("<I", message, 4)[0]
                # The ODBC driver sends a NUL at its end.
                self.token = message[8 : 8 + length].decode("utf-16-le").rstrip("\0")
                loginack = b"\xad" + struct.pack("<H", len(LOGINACK)) + LOGINACK
                wire.send(TABULAR_RESULT, loginack + FEATUREEXTACK + DONE)
            else:
                wire.send(TABULAR_RESULT, DONE)


def prelogin():
    """Version, encryption on, default instance, no MARS, federated authentication required."""
    values = {0: b"\x10\x00\x00\x00\x00\x00", 1: b"\x01", 2: b"\x00", 3: b"", 4: b"\x00", 6: b"\x01"}
    offset = 5 * len(values) + 1
    table = data = b""
    for option, value in values.items():
        table += struct.pack(">BHH", option, offset + len(data), len(value))
        data += value
    return table + b"\xff" + data


def fedauthinfo(spn):
    """Where to get a token, and for which resource."""
    values = {1: "https://login.microsoftonline.com/common", 2: spn}
    offset = 4 + 9 * len(values)
    table = data = b""
    for option, value in values.items():
        value = value.encode("utf-16-le")
        table += struct.pack("<BII", option, len(value), offset + len(data))
        data += value
    body = struct.pack("<I", len(values)) + table + data
    return b"\xee" + struct.pack("<I", len(body)) + body


class Wire:
    """A connection in TDS packets, first without TLS, then with it."""

    def __init__(self, connection):
        self.connection = connection

    def receive(self):
        """The kind and content of the next message."""
        message = b""
        while True:
            kind, status, length = struct.unpack(">BBH", self._read(8)[:4])
            message += self._read(length - 8)
            if status & 1:
                return kind, message

    def send(self, kind, message):
        header = struct.pack(">BBHHBB", kind, 1, len(message) + 8, 0, 1, 0)
        self.connection.sendall(header + message)

    def encrypt(self, context):
        """The TLS handshake, whose records are the content of PRELOGIN messages."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    self.send(PRELOGIN, outgoing.read())
                incoming.write(self.receive()[1])
        if outgoing.pending:
            self.send(PRELOGIN, outgoing.read())
        self.connection = Tls(self.connection, tls, incoming, outgoing)

    def _read(self, size):
        content = b""
        while len(content) < size:
            part = self.connection.recv(size - len(content))
            if not part:
                raise EOFError
            content += part
        return content


class Tls:
    """What a socket does, through TLS."""

    def __init__(self, connection, tls, incoming, outgoing):
        self.connection, self.tls = connection, tls
        self.incoming, self.outgoing = incoming, outgoing

    def recv(self, size):
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                part = self.connection.recv(65536)
                if not part:
                    return b""
                self.incoming.write(part)

    def sendall(self, content):
        self.tls.write(content)
        self.connection.sendall(self.outgoing.read())
