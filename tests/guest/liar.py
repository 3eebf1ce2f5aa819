# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay in front of the real witness that lies in one way.

usage: liar.py LISTEN_PORT WITNESS_PORT LIE
"""

import socket
import struct
import sys
import threading
import time

REQUEST = struct.Struct("<IHHQIIQII")  # struct wit_request
REPLY = struct.Struct("<IHHQ16sQQQII")  # struct wit_reply
HELLO, WRITE, VERIFY, STATE, BEAT = 1, 2, 3, 4, 5
EARLY = 1
AT = 40  # the request that is lied about


def read(link, count):
    data = b""
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def requests(client, server, lie):
    """Client to witness."""
    try:
        while True:
            head = read(client, REQUEST.size)
            fields = list(REQUEST.unpack(head))
            payload = read(client, fields[2])
            if fields[1] == WRITE and fields[6] == AT:
                if lie == "twice":
                    server.sendall(head + payload)
                elif lie == "forget":
                    continue
            server.sendall(head + payload)
    except OSError:
        server.close()


class Replies:
    """Witness to client."""

    def __init__(self, client, server, lie):
        self.client = client
        self.server = server
        self.lie = lie

    def run(self):
        try:
            while self.one():
                pass
        except OSError:
            pass
        self.client.close()
        self.server.close()

    def one(self):
        head = list(REPLY.unpack(read(self.server, REPLY.size)))
        payload = bytearray(read(self.server, head[8]))
        at_request = head[1] == WRITE and head[3] == AT
        late = head[1] == WRITE and head[3] > AT
        lie = self.lie
        if lie == "reset" and at_request:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
            self.client.shutdown(socket.SHUT_RD)  # ends the other thread's
            time.sleep(0.05)                      # recv, which holds it open
            return False
        if lie == "silence" and late:
            return True
        if lie == "reboot" and (late or head[1] > WRITE):
            head[4] = bytes(16)
        if lie == "clock" and at_request:
            head[5] -= 2 * 10 ** 9
        if lie == "wall-clock" and at_request:
            head[6] -= 2 * 10 ** 9
        if lie == "early" and at_request:
            head[2] |= EARLY
        if lie == "lost-disk" and head[1] == VERIFY:
            payload[0:4] = bytes(4)
        if lie == "lost-memory" and head[1] == VERIFY:
            payload[4:8] = bytes(4)
        if lie == "wrong-value" and head[1] == VERIFY:
            payload[0] ^= 4
        if lie == "guest-lost" and head[1] == STATE:
            payload[0] = 1
        if lie == "guest-memory" and head[1] == STATE:
            payload[5 * 8] = 1
        message = REPLY.pack(*head) + payload
        self.client.sendall(message)
        if lie == "reply-twice" and at_request:
            self.client.sendall(message)
        return True


def main():
    port, witness, lie = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    listener = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", witness))
        for link in (client, server):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=requests, args=(client, server, lie),
                         daemon=True).start()
        threading.Thread(target=Replies(client, server, lie).run,
                         daemon=True).start()


main()
