# SPDX-License-Identifier: GPL-2.0-or-later
"""A VNC client (RFB 3.8) that looks at the screen once."""

import socket
import struct

SECONDS = 10
RAW = 0
NONE = 1  # security


class Screen:
    """A connection, and what the screen shows: 4 bytes a pixel."""

    def __init__(self, path):
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(SECONDS)
        self._link.connect(path)
        self._read(12)
        self._link.sendall(b"RFB 003.008\n")
        self._read(self._read(1)[0])
        self._link.sendall(bytes([NONE]))
        if struct.unpack(">I", self._read(4))[0] != 0:
            raise OSError("VNC: refused")
        self._link.sendall(b"\1")  # there may be others
        self.width, self.height = struct.unpack(">HH", self._read(4))
        self._read(16)
        self._read(struct.unpack(">I", self._read(4))[0])
        self._link.sendall(
            # 32 bits a pixel, 24 of them used, little endian, true colour
            struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255,
                        16, 8, 0) +
            struct.pack(">BxHi", 2, 1, RAW) +
            struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        self.pixels = bytearray(self.width * self.height * 4)
        self._update()

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self._link.recv(size - len(data))
            if not more:
                raise OSError("VNC: closed")
            data += more
        return data

    def _update(self):
        """Rectangles, until they have covered as much as the screen."""
        left = self.width * self.height
        while left > 0:
            kind = self._read(1)[0]
            if kind != 0:  # a bell has nothing behind it
                continue
            for _ in range(struct.unpack(">xH", self._read(3))[0]):
                x, y, width, height, encoding = struct.unpack(
                    ">HHHHi", self._read(12))
                if encoding != RAW:
                    raise OSError(f"VNC: encoding {encoding}")
                data = self._read(width * height * 4)
                for row in range(height):
                    at = ((y + row) * self.width + x) * 4
                    self.pixels[at:at + width * 4] = \
                        data[row * width * 4:(row + 1) * width * 4]
                left -= width * height

    def is_closed(self):
        """Whether the other end is gone by now."""
        try:
            while self._link.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def _words(self):
        """Without the byte that has no colour."""
        return [word & 0xffffff for word, in
                struct.iter_unpack("<I", bytes(self.pixels))]

    def lit(self):
        """Pixels that are not black."""
        return sum(word != 0 for word in self._words())

    def differing(self, other):
        """Pixels, of two screens of one size."""
        if (self.width, self.height) != (other.width, other.height):
            return self.width * self.height
        return sum(one != two for one, two in
                   zip(self._words(), other._words()))
