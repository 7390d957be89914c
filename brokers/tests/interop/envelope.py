"""A reader of envelopes, as docs/envelope.md of the repository describes them, and nothing else.

Run with the file of test vectors, it checks itself: envelope.py VECTORS
"""

import json
import sys

MARK = b"\xf5ctxhop"


class Flaw(ValueError):
    """The message begins like an envelope and goes on in another way."""


def take(data, flaw):
    """The bytes whose length comes first, and the rest."""
    length = int.from_bytes(data[:2], "big")
    if len(data) < 2 + length:
        raise Flaw(flaw)
    return data[2:2 + length], data[2 + length:]


def open_envelope(message):
    """The headers, as a list of pairs, and the payload."""
    if not message.startswith(MARK):
        return [], message
    if message[7:8] != b"\x01":
        raise Flaw("version" if len(message) > 7 else "truncated")
    front, payload = take(message[8:], "truncated")
    headers = []
    while front:
        name, front = take(front, "malformed")
        value, front = take(front, "malformed")
        try:
            headers.append((name.decode(), value.decode()))
        except UnicodeDecodeError:
            raise Flaw("malformed") from None
    return headers, payload


def seal(headers, payload):
    texts = [text.encode() for pair in headers for text in pair]
    front = b"".join(len(text).to_bytes(2, "big") + text for text in texts)
    return MARK + b"\x01" + len(front).to_bytes(2, "big") + front + payload


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    for vector in vectors:
        message = bytes.fromhex(vector["message"])
        try:
            headers, payload = open_envelope(message)
            said = {"headers": [list(pair) for pair in headers], "payload": payload.hex()}
            assert not message.startswith(MARK) or seal(headers, payload) == message, vector
        except Flaw as flaw:
            said = {"flaw": str(flaw)}
        assert {"name": vector["name"], "message": vector["message"], **said} == vector, (said, vector)
    print(len(vectors))
