"""Raw requests that attackers, scanners and broken clients send; none of them is a command that is carried out."""

from tests.hostile.raw import SENT_BY_CLIENT

X = SENT_BY_CLIENT.encode()
HOST = b"Host: 127.0.0.1\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
JSON = b"Content-Type: application/json\r\n"


def get(*headers: bytes, target: bytes = b"/health", version: bytes = b"HTTP/1.1", host: bytes = HOST) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"GET " + target + b" " + version + b"\r\n" + host + lines + b"\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST /api/v1/users/ HTTP/1.1\r\n" + HOST + JSON + lines + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
MALFORMED = {
    "noise": b"\x00\x01\x02" + X + b"\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + X * 40,
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": get(version=b"HTTP/2.0"),
    "HTTP/9.9": get(version=b"HTTP/9.9"),
    "HTTP/0.9 with a head": b"GET /health\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\n\r\n",
    "another protocol": b"SSH-2.0-" + X + b"\r\n",
    "an unknown method": b"FROB /" + X + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "no Host": get(host=b""),
    "two Hosts": get(host=HOST + HOST),
    "two Hosts in HTTP/1.0": get(host=HOST + HOST, version=b"HTTP/1.0"),
    "a target without a path": get(target=b"http://127.0.0.1"),
    "a target beyond ASCII": get(target=b"/" + X + b"\xff"),
    "a NUL in the target": get(target=b"/" + X + b"\x00"),
    "a target that is not UTF-8 when decoded": get(target=b"/api/v1/users/" + X + b"%ff"),
    "an encoded NUL": get(target=b"/api/v1/users/" + X + b"%00"),
    "a header without a colon": get(X),
    "a header without a name": get(b": " + X),
    "a space before the colon": get(b"X : " + X),
    "a NUL in a header": get(b"X: \x00" + X),
    "a NUL in a header's name": get(b"X\x00: " + X),
    "a folded header": get(b"X: a", b" " + X),
    "bare line feeds": get(b"X: " + X).replace(b"\r\n", b"\n"),
    "one bare line feed": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\nX: " + X + b"\r\n\r\n",
    "a bare carriage return": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\rX: " + X + b"\r\n\r\n",
    "Content-Length and Transfer-Encoding": post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "Transfer-Encoding and Content-Length": post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two Content-Lengths": post(b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
    "the same Content-Length twice": post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "a list of Content-Lengths": post(b"Content-Length: 2, 2", body=b"{}"),
    "a negative Content-Length": post(b"Content-Length: -2", body=b"{}"),
    "a signed Content-Length": post(b"Content-Length: +2", body=b"{}"),
    "a Content-Length in hexadecimal": post(b"Content-Length: 0x2", body=b"{}"),
    "no digits in Content-Length": post(b"Content-Length: " + X, body=b"{}"),
    "a Content-Length of 4,301 digits": post(b"Content-Length: " + b"9" * 4301, body=b"{}"),
    "a Content-Length of 4,301 zeros": post(b"Content-Length: " + b"0" * 4301 + b"2", body=b"{}"),
    "a Content-Length beyond 2^64": post(b"Content-Length: 18446744073709551616", body=b"{}"),
    "a coding within chunked": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked not last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "a coding that is none": post(b"Transfer-Encoding: " + X, body=b"{}"),
    "a coding that looks like chunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked in HTTP/1.0": post(CHUNKED, body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "a chunk's size that is none": post(CHUNKED, body=X + b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size beyond 2^64": post(CHUNKED, body=b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk": post(CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than it says": post(CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n"),
    "a length among the trailers": post(CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: 7\r\n\r\n"),
}
TOO_LARGE = {
    "a target of 60 KiB": (414, get(target=b"/" + X + b"a" * 60_000)),
    "101 headers": (431, get(*[b"X: " + X] * 100)),
    "10,000 headers": (431, get(*[b"X:"] * 10_000)),
    "a header of 64 KiB": (431, get(b"X: " + X + b"y" * 65_536)),
    "a name of 64 KiB": (431, get(b"X" * 65_536 + b": " + X)),
    "a header without end": (431, get(b"X: " + X + b"y" * 3_000_000).rstrip()),
    "a target without end": (431, b"GET /" + X + b"a" * 3_000_000),
    "empty lines without end": (431, b"\r\n" * 500_000),
    "an extension without end": (400, post(CHUNKED, body=b"2;" + X + b"e" * 3_000_000)),
    "extensions without end": (400, post(CHUNKED, body=(b"1;" + b"e" * 400 + b"\r\n \r\n") * 10_000)),
    "a trailer without end": (400, post(CHUNKED, body=b"2\r\n{}\r\n0\r\nX: " + X + b"t" * 3_000_000)),
    "trailers without end": (400, post(CHUNKED, body=b"2\r\n{}\r\n0\r\n" + b"X: t\r\n" * 500_000)),
}
SERVED = {
    "a plain request": (200, HEALTH),
    "HTTP/1.0 without a Host": (200, get(version=b"HTTP/1.0", host=b"")),
    "an absolute target": (200, get(target=b"http://127.0.0.1/health")),
    "a leading empty line": (200, b"\r\n" + HEALTH),
    "100 headers": (200, get(*[b"X: y"] * 99)),
    "a header of 60 KiB": (200, get(b"X: " + b"y" * 60_000)),
    "another protocol offered": (200, get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: eA==")),
    "HTTP/2 offered": (200, get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA")),
    "an escape that is none": (404, get(target=b"/" + X + b"%zz")),
    "a method for nothing here": (405, HEALTH.replace(b"GET", b"TRACE")),
    "an asterisk": (404, HEALTH.replace(b"GET /health", b"OPTIONS *")),
}
