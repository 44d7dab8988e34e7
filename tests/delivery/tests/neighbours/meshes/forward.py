"""Stands for a service mesh's proxy: forwards the connections that the mesh's rules catch to where they were going.

forward.py PORT: prints the destination of each.
"""

import socket
import struct
import sys
import threading

SO_ORIGINAL_DST = 80
port = int(sys.argv[1])


def copy(source, target):
    """One direction of a connection, until its end."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def forward(client):
    """Both directions of a connection."""
    original = client.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    destination_port, address = struct.unpack("!2xH4s8x", original)
    destination = (socket.inet_ntoa(address), destination_port)
    # Those of probes were not caught.
    if destination_port == port:
        client.close()
        return
    print("forwards to {}:{}".format(*destination), flush=True)
    try:
        server = socket.create_connection(destination)
    except OSError as error:
        print(error, flush=True)
        client.close()
        return
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)


listener = socket.create_server(("0.0.0.0", port))
while True:
    threading.Thread(target=forward, args=(listener.accept()[0],), daemon=True).start()
