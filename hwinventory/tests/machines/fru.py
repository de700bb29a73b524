#!/usr/bin/env python3
"""A FRU inventory (Platform Management FRU Information Storage Definition 1.0) on standard output: chassis, board, product."""
import sys


def text(value):
    return bytes([0xC0 | len(value)]) + value.encode()


def area(head, fields):
    body = bytes([1, 0]) + head + b"".join(text(field) for field in fields) + b"\xc1"
    body += bytes(-(len(body) + 1) % 8)
    body = bytes([1, (len(body) + 1) // 8]) + body[2:]
    return body + bytes([-sum(body) & 0xFF])


areas = [
    area(bytes([0x17]), ["CH-PART-17", "CH-SERIAL-17"]),
    # English, and minutes since 1996.
    area(bytes([0x19, 0x40, 0xE2, 0xD4]), ["Burin Boards", "Rack Board", "BD-SERIAL-17", "BD-PART-17", "FRU-17"]),
    area(bytes([0x19]), ["Burin", "Rack", "PN-17", "1.7", "PR-SERIAL-17", "ASSET-17", "FRU-17"]),
]
offsets, at = [], 1
for one in areas:
    offsets.append(at)
    at += len(one) // 8
header = bytes([1, 0, *offsets, 0, 0])
sys.stdout.buffer.write(header + bytes([-sum(header) & 0xFF]) + b"".join(areas))
