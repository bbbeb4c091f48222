"""A proxy between Orrery and an S3 server that misbehaves as it is told: each test's own, started on a free port.

    proxy = S3Proxy(t, server.endpoint)      # proxy.endpoint is what Orrery is given
    proxy.fault = Errors(503, share=0.3)     # from now on; None: an honest proxy
    proxy.counts["GET"], proxy.hits          # requests seen, requests that were tampered with
    proxy.log                                # [(method, key, query)] of what passed, in order

A request is read whole, given to the fault, sent on over a connection of its own, and its answer handed back. The client's
signature covers its Host header, which is passed on as it came. One thread runs the loop of all connections."""
import asyncio
import collections
import random
import socket
import struct
import threading
import urllib.parse

HEAD_BYTES = 65536
PIECE_BYTES = 65536


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        line, _, self.headers = head.partition(b"\r\n")
        self.method, self.target, _ = line.decode("latin-1").split(" ", 2)
        path, _, query = self.target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        _, self.bucket, self.key = (urllib.parse.unquote(path) + "/").split("/", 2)
        self.key = self.key.rstrip("/")

    def is_listing(self):
        return self.method == "GET" and "list-type" in self.query


class Fault:
    """What may go wrong with a request; each method is a step, and True or an exception ends it there."""
    hits = 0

    def chooses(self, request):
        """Whether this request is tampered with."""
        return True

    async def before(self, request, out):
        """Before it goes to the server. True: it does not go there."""
        return False

    async def answer(self, request, reply, out):
        """reply: bytes of the whole answer. True: it was sent, or is not to be."""
        return False


class Dropped(Exception):
    """The client's connection is to be reset."""


def error_answer(status, code):
    body = (f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>injected</Message>'
            "<RequestId>proxy</RequestId></Error>").encode()
    return (f"HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n").encode() + body


class Errors(Fault):
    """Answers with an error; the server does not hear of it, or (acts) does what was asked all the same."""

    def __init__(self, status, share=1.0, acts=False, seed=1):
        self.status, self.share, self.acts = status, share, acts
        self.code = {503: "SlowDown", 500: "InternalError"}[status]
        self.rng = random.Random(seed)

    def chooses(self, request):
        return self.rng.random() < self.share

    def send(self, request, out):
        out.write(error_answer(self.status, self.code) if request.method != "HEAD" else
                  f"HTTP/1.1 {self.status} Injected\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    async def before(self, request, out):
        return not self.acts and self.send(request, out)

    async def answer(self, request, reply, out):
        return self.send(request, out)


class Latency(Fault):
    def __init__(self, seconds):
        self.seconds = seconds

    async def before(self, request, out):
        await asyncio.sleep(self.seconds)
        return False


class BlackHole(Fault):
    """Takes requests and says nothing, for as long as it is the proxy's fault."""

    async def before(self, request, out):
        while not out.is_closing():
            await asyncio.sleep(0.05)
        raise Dropped


class Truncate(Fault):
    """Answers of GETs end early, with the length of the whole in their head."""

    def __init__(self, share=1.0, seed=2):
        self.share, self.rng = share, random.Random(seed)

    def chooses(self, request):
        return request.method == "GET" and self.rng.random() < self.share

    async def answer(self, request, reply, out):
        head, _, body = reply.partition(b"\r\n\r\n")
        if not body:
            return False
        out.write(head + b"\r\n\r\n" + body[:len(body) // 2])
        await out.drain()
        raise Dropped


class CutPuts(Fault):
    """Writes (PUT, POST, DELETE) are cut midway: by turns before the server has all of them, and after it has acted."""

    def __init__(self, share=0.5, seed=3):
        self.share, self.rng, self.turn = share, random.Random(seed), 0

    def chooses(self, request):
        return request.method in ("PUT", "POST", "DELETE") and self.rng.random() < self.share

    async def before(self, request, out):
        self.turn += 1
        if self.turn % 2:
            raise Dropped
        return False

    async def answer(self, request, reply, out):
        raise Dropped


class StaleLists(Fault):
    """A listing is answered as it was when it was first asked for after the start, or last before it."""

    def __init__(self, proxy):
        self.old = dict(proxy.listings)

    def chooses(self, request):
        return request.is_listing()

    async def before(self, request, out):
        if request.target not in self.old:
            return False
        out.write(self.old[request.target])
        return True

    async def answer(self, request, reply, out):
        self.old.setdefault(request.target, reply)
        return False


class Drip(Fault):
    """Answers come a few bytes at a time."""

    def __init__(self, piece=512, every=0.1):
        self.piece, self.every = piece, every

    async def answer(self, request, reply, out):
        for i in range(0, len(reply), self.piece):
            out.write(reply[i:i + self.piece])
            await out.drain()
            await asyncio.sleep(self.every)
        return True


class Steps(Fault):
    """Calls back before and after each request that writes, with its number from 0: for walks through all steps."""

    def __init__(self, callback):
        self.callback, self.n = callback, 0

    def chooses(self, request):
        return request.method in ("PUT", "POST", "DELETE")

    async def before(self, request, out):
        request.step, self.n = self.n, self.n + 1
        if await asyncio.get_running_loop().run_in_executor(None, self.callback, request, "before"):
            raise Dropped
        return False

    async def answer(self, request, reply, out):
        if await asyncio.get_running_loop().run_in_executor(None, self.callback, request, "after"):
            raise Dropped
        return False


def uploads_of(log, prefix):
    """{key: how often it was uploaded} of what passed a proxy, for files of blocks below the prefix, "metrics/tenant/"."""
    out = collections.Counter()
    for method, key, query in log:
        parts = key.removeprefix(prefix).split("/", 1)
        is_whole = (method == "PUT" and "partNumber" not in query) or (method == "POST" and "uploads" in query)
        if key.startswith(prefix) and len(parts) == 2 and len(parts[0]) == 26 and is_whole:
            out[key] += 1
    return out


class S3Proxy:
    def __init__(self, t, endpoint):
        self.upstream = endpoint.split("//")[1]
        self.fault, self.hits = None, 0
        self.counts, self.listings, self.log = collections.Counter(), {}, []
        self.server, self.connections = None, set()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port = 0
        self.listen()
        self.addr = f"127.0.0.1:{self.port}"
        self.endpoint = f"http://{self.addr}"
        t.add(self)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def listen(self):
        """Also after refuse(): on the same port."""
        async def begin():
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=HEAD_BYTES)
            self.port = self.server.sockets[0].getsockname()[1]
        self.call(begin())

    def refuse(self):
        """No connection from now on; those that are there are reset."""
        async def end():
            self.server.close()
            for out in list(self.connections):
                self.reset(out)
        self.call(end())

    def stop(self):
        if not self.loop.is_running():
            return
        self.refuse()

        async def end():
            rest = [x for x in asyncio.all_tasks() if x is not asyncio.current_task()]
            for x in rest:
                x.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        self.call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)

    def tail(self, lines=10):
        return f"--- proxy: {dict(self.counts)}, {self.hits} tampered with\n"

    @staticmethod
    def reset(out):
        sock = out.get_extra_info("socket")
        if sock and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        out.close()

    @staticmethod
    async def read_request(rd, out):
        head = await rd.readuntil(b"\r\n\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in
                   (line.partition(b":") for line in head.split(b"\r\n")[1:])}
        if headers.get(b"expect", b"").lower() == b"100-continue":
            out.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await rd.readexactly(int(headers.get(b"content-length", 0)))
        return Request(head, body)

    async def forward(self, request):
        """The whole answer, with a length and a connection that stays."""
        host, port = self.upstream.rsplit(":", 1)
        rd, out = await asyncio.open_connection(host, int(port), limit=HEAD_BYTES)
        try:
            lines = [x for x in request.head[:-4].split(b"\r\n")
                     if not x.lower().startswith((b"connection:", b"expect:"))]
            out.write(b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + request.body)
            await out.drain()
            reply = await rd.read(-1)
        finally:
            out.close()
        head, _, body = reply.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1."):
            raise Dropped
        lines = [x for x in head.split(b"\r\n")
                 if not x.lower().startswith((b"connection:", b"transfer-encoding:"))]
        if b"transfer-encoding: chunked" in head.lower():
            body = unchunk(body)
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    async def handle(self, request, out):
        self.counts[request.method] += 1
        fault = self.fault
        if fault and not fault.chooses(request):
            fault = None
        if fault:
            self.hits += 1
            if await fault.before(request, out):
                return
        reply = await self.forward(request)
        if request.is_listing() and not isinstance(self.fault, StaleLists):
            self.listings[request.target] = reply
        self.log.append((request.method, request.key, request.query))
        if not (fault and await fault.answer(request, reply, out)):
            out.write(reply)

    async def serve(self, rd, out):
        self.connections.add(out)
        try:
            while True:
                await self.handle(await self.read_request(rd, out), out)
                await out.drain()
        except (Dropped, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(out)
            self.reset(out)


def unchunk(body):
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size.split(b";")[0], 16)
        if n == 0:
            return out
        out, body = out + body[:n], body[n + 2:]
    raise Dropped
