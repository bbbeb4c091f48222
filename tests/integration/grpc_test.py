#!/usr/bin/env python3
"""HTTP/2 and gRPC with other people's clients (curl, Google's gRPC), and what abuses them."""
import os
import shutil
import socket
import struct
import subprocess
import time

import pyenv
from orrery_test import (BUILD, PUSH_HEADERS, ROOT, SANITIZED, TENANT, Failure, Process, Single, Skip, check,
                         http_call, main, samples_of, series_bytes, snappy, wait_for, write_request)

PACKAGES = ("grpcio==1.66.2", "grpcio-status==1.66.2", "grpcio-health-checking==1.66.2",
            "googleapis-common-protos==1.65.0", "protobuf==5.28.3")
MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 2, 3, 4, 6, 7
WINDOW_UPDATE, CONTINUATION = 8, 9
END_STREAM, END_HEADERS = 1, 4
ENHANCE_YOUR_CALM = 11


def now_ms():
    return int(time.time() * 1000)


# ---- curl ---------------------------------------------------------------------------------------


def curl(*args, body=None):
    if not shutil.which("curl"):
        raise Skip("curl is not installed")
    r = subprocess.run(["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code} %{http_version}",
                        *args], input=body, capture_output=True, timeout=60)
    check(r.returncode == 0, lambda: f"curl {' '.join(args)[-200:]}: {r.stderr.decode()}")
    text, _, last = r.stdout.rpartition(b"\n")
    status, version = last.decode().split()
    return int(status), version, text


def certificate(directory):
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


def write_and_read(o, url, name, *how):
    """A remote write and a query by curl, and the version of HTTP that was spoken."""
    at = now_ms()
    body = snappy(write_request([({"__name__": name}, [(at, 7.0)])]))
    headers = [x for k, v in dict(PUSH_HEADERS, **{"X-Scope-OrgID": TENANT}).items()
               for x in ("-H", f"{k}: {v}")]
    status, version, text = curl(*how, *headers, "--data-binary", "@-", f"{url}/api/v1/push",
                                 body=body)
    check(status // 100 == 2, f"push: {status} {text}")
    status, read_version, text = curl(*how, "-H", f"X-Scope-OrgID: {TENANT}", "--compressed",
                                      f"{url}/api/v1/query?query={name}")
    check(status == 200 and b'"7"' in text, f"query: {status} {text}")
    return version, read_version


def test_curl_by_prior_knowledge(t):
    o = Single(t).wait_ready()
    got = write_and_read(o, f"http://{o.addr}", "by_prior", "--http2-prior-knowledge")
    check(got == ("2", "2"), f"HTTP {got}")
    status, version, text = curl("--http2-prior-knowledge", f"http://{o.addr}/nowhere")
    check((status, version) == (404, "2"), f"{status} {version} {text}")
    status, _, text = curl("--http2-prior-knowledge", f"http://{o.addr}/metrics")
    for family in (b"orrery_http2_connections ", b"orrery_http2_streams", b"orrery_grpc_requests"):
        check(status == 200 and family.strip() in text, f"no {family} in /metrics")


def test_curl_by_upgrade(t):
    o = Single(t).wait_ready()
    # a POST is answered as HTTP/1.1: its body would have to be read before the change
    got = write_and_read(o, f"http://{o.addr}", "by_upgrade", "--http2")
    check(got == ("1.1", "2"), f"HTTP {got}")


def test_curl_by_alpn(t):
    cert, key = certificate(t.dir)
    o = Single(t, args=[f"--server.tls-cert={cert}", f"--server.tls-key={key}"])
    url = f"https://{o.addr}"
    wait_for("TLS", lambda: o.alive() and subprocess.run(
        ["curl", "-sfk", "-o", os.devnull, f"{url}/ready"]).returncode == 0)
    got = write_and_read(o, url, "by_alpn", "--cacert", cert)
    check(got == ("2", "2"), f"HTTP {got}")
    got = write_and_read(o, url, "by_http1", "--cacert", cert, "--http1.1")
    check(got == ("1.1", "1.1"), f"HTTP {got}")


# ---- Google's client ----------------------------------------------------------------------------


class Peer(Process):
    def __init__(self, t, *args):
        self.log = os.path.join(t.dir, "peer.log")
        self.wake, self.stdin = None, None
        super().__init__("grpc_peer", [os.path.join(ROOT, BUILD, "tests", "grpc_peer"), *args],
                         self.log)
        t.add(self)
        self.addr = wait_for("grpc_peer's port", self.port_line)

    def start(self):  # its standard input stays open
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=out,
                                          stderr=subprocess.STDOUT, env=self.env)

    def port_line(self):
        for line in self.tail(100).splitlines():
            if line.startswith("port "):
                return "localhost:" + line.split()[1]
        return None

    def stop(self, timeout=20):
        self.popen.stdin.close()
        self.popen.wait(timeout)


def client(addr, case, *args):
    python = pyenv.python(*PACKAGES)
    script = os.path.join(ROOT, "tests", "integration", "grpc_client.py")
    r = subprocess.run([python, script, addr, case, *args], capture_output=True, text=True,
                       timeout=120, env=dict(os.environ, GRPC_VERBOSITY="NONE"))
    check(r.returncode == 0, f"{case}: {r.stderr[-2000:]}")


def test_grpc_calls(t):
    p = Peer(t)
    for case in ("unary", "many_at_once", "compression", "stream", "errors", "unimplemented",
                 "health"):
        client(p.addr, case)
        check(p.alive(), f"{case}: grpc_peer died: {p.tail()}")


def test_grpc_deadline_and_cancel_reach_the_handler(t):
    p = Peer(t)
    client(p.addr, "deadline_and_cancel")
    wait_for("both calls to be cancelled", lambda: p.tail(100).count("cancelled") == 2, 10)


def test_grpc_over_tls(t):
    cert, key = certificate(t.dir)
    p = Peer(t, cert, key)
    for case in ("unary", "stream", "errors"):
        client(p.addr, case, cert)


def test_grpc_health_of_orrery(t):
    o = Single(t).wait_ready()
    client(o.addr, "serving")


# ---- abuse --------------------------------------------------------------------------------------


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) \
        + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(stream, path=b"/ready", flags=END_HEADERS | END_STREAM, more=b""):
    return frame(HEADERS, flags, stream, b"\x82\x86" + literal(b":path", path) +
                 literal(b":authority", b"h") + more)


class Raw:
    """A connection that sends whatever it is told."""

    def __init__(self, addr):
        host, port = addr.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=20)
        self.send(MAGIC + frame(SETTINGS, 0, 0))

    def send(self, data):
        """False when the server has closed."""
        try:
            self.sock.sendall(data)
            return True
        except (ConnectionError, socket.timeout):
            return False

    def goaway(self, timeout=20):
        """The code of the server's GOAWAY, or None when it closed without one."""
        self.sock.settimeout(timeout)
        data = b""
        try:
            while True:
                piece = self.sock.recv(65536)
                if not piece:
                    break
                data += piece
        except ConnectionError:
            pass
        code = None
        while len(data) >= 9:
            size = int.from_bytes(data[:3], "big")
            if data[3] == GOAWAY:
                code = int.from_bytes(data[13:17], "big")
            data = data[9 + size:]
        return code


def settings_of(addr):
    """What the server's first SETTINGS say, and by how much it opens the connection's window."""
    raw = Raw(addr)
    raw.sock.settimeout(20)
    data, settings, window = b"", None, None
    while settings is None or window is None:
        data += raw.sock.recv(65536)
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            size = int.from_bytes(data[:3], "big")
            body, kind, flags = data[9:9 + size], data[3], data[4]
            data = data[9 + size:]
            if kind == SETTINGS and not flags & 1:
                settings = dict(struct.unpack(">HI", body[i:i + 6]) for i in range(0, size, 6))
            if kind == 8:
                window = 65535 + int.from_bytes(body, "big")
    raw.sock.close()
    return settings, window


def test_limits_are_what_the_configuration_says(t):
    o = Single(t).wait_ready()
    check(settings_of(o.addr) == ({3: 100, 4: 256 << 10, 6: 64 << 10}, 1 << 20),
          f"{settings_of(o.addr)}")
    small = Single(t, name="small", args=[
        "--server.http2-max-streams=7", "--server.http2-stream-window=64KiB",
        "--server.http2-connection-window=128KiB", "--server.http-max-header-bytes=8KiB",
        "--server.http2-max-connections=2", "--server.http-idle-timeout=2s"]).wait_ready()
    check(settings_of(small.addr) == ({3: 7, 4: 64 << 10, 6: 8 << 10}, 128 << 10),
          f"{settings_of(small.addr)}")
    long = "x" * 9000
    status, _, _ = curl("--http2-prior-knowledge", "-H", f"a: {long}", f"http://{small.addr}/ready")
    check(status == 431, f"a head of 9000 bytes: {status}")
    status, _, _ = curl("--http2-prior-knowledge", "-H", f"a: {long}", f"http://{o.addr}/ready")
    check(status == 200, f"a head of 9000 bytes where there is room: {status}")
    # a third connection is told to go; an idle one is closed after its time
    started = time.monotonic()
    idle = [Raw(small.addr), Raw(small.addr)]
    time.sleep(0.3)
    check(Raw(small.addr).goaway() is not None and time.monotonic() - started < 2,
          "one connection too many")
    check(idle[0].goaway() is not None and 1.5 < time.monotonic() - started < 15,
          f"idle for {time.monotonic() - started:.1f} s")


def others_are_served(o):
    started = time.monotonic()
    check(http_call(o.addr, "GET", "/ready", timeout=5).status == 200, "HTTP/1 is not served")
    status, _, _ = curl("--http2-prior-knowledge", f"http://{o.addr}/ready")
    check(status == 200, "HTTP/2 is not served")
    took = time.monotonic() - started
    check(took < (10 if SANITIZED else 3), f"others waited {took:.1f} s")
    check(o.alive(), f"orrery died: {o.tail()}")


def rejected(o, reason):
    """The counter of refusals of the main server."""
    for line in http_call(o.addr, "GET", "/metrics").text.splitlines():
        if line.startswith("orrery_http_rejected_total{") and f'reason="{reason}"' in line \
                and 'server="http"' in line:
            return float(line.split()[-1])
    raise Failure(f"no rejected_total of {reason}")


def cut_off(t, what, flood):
    """flood(raw) sends until the server closes; it must say why and serve others meanwhile."""
    o = Single(t).wait_ready()
    before = rejected(o, "flood")
    raw = Raw(o.addr)
    flood(raw, o)
    others_are_served(o)
    code = raw.goaway()
    check(code in (ENHANCE_YOUR_CALM, None), f"{what}: GOAWAY {code}")
    check(rejected(o, "flood") == before + 1, f"{what}: it is not counted")


def test_rapid_reset(t):
    def flood(raw, o):
        for i in range(200):
            burst = b""
            for k in range(100):
                stream = 1 + 2 * (100 * i + k)
                burst += request(stream, b"/api/v1/query?query=up") + \
                    frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            if not raw.send(burst):
                return
            if i % 10 == 0:
                others_are_served(o)
    cut_off(t, "rapid reset", flood)


def test_resets_that_the_server_is_made_to_send(t):
    def flood(raw, o):
        for i in range(100):
            burst = b""
            for k in range(100):  # a window that grows too large is an error of the stream
                stream = 1 + 2 * (100 * i + k)
                burst += request(stream, flags=END_HEADERS) + \
                    frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF))
            if not raw.send(burst):
                return
    cut_off(t, "made to reset", flood)


def test_settings_flood(t):
    def flood(raw, o):
        for _ in range(200):
            if not raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000):
                return
    cut_off(t, "settings", flood)


def test_ping_flood(t):
    def flood(raw, o):
        for _ in range(200):
            if not raw.send(frame(PING, 0, 0, b"12345678") * 1000):
                return
    cut_off(t, "pings", flood)


def test_headers_without_end(t):
    def flood(raw, o):
        raw.send(frame(HEADERS, 0, 1, b"\x82\x86"))
        for _ in range(10000):
            if not raw.send(frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100))):
                return
    cut_off(t, "continuation", flood)


def test_header_list_that_unpacks(t):
    def flood(raw, o):  # 4,000 bytes once, then by their index: 64 MB of 16 KB
        entry = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000
        raw.send(request(1, more=entry + b"\xbe" * 12000))
    cut_off(t, "header bomb", flood)


def test_large_header_list_is_one_answer(t):
    o = Single(t).wait_ready()
    status, version, _ = curl("--http2-prior-knowledge",
                              *[x for i in range(130) for x in ("-H", f"x-{i}: v")],
                              f"http://{o.addr}/ready")
    check((status, version) == (431, "2"), f"{status} {version}")
    others_are_served(o)


def test_slow_drip(t):
    o = Single(t, args=["--server.http-header-timeout=2s"]).wait_ready()
    before = rejected(o, "slow")
    drips = [Raw(o.addr) for _ in range(50)]
    for raw in drips:  # headers, and the frame that goes on with them a byte at a time
        raw.send(frame(HEADERS, 0, 1, b"\x82\x86") + struct.pack(">I", 9000)[1:] +
                 bytes([CONTINUATION, 0]) + struct.pack(">I", 1))
    started, sent = time.monotonic(), 0
    while time.monotonic() - started < 5:
        for raw in drips:
            raw.send(literal(b"a", b"b")[sent % 5:][:1])
        sent += 1
        others_are_served(o)
        time.sleep(0.2)
    wait_for("the slow ones to be cut off", lambda: rejected(o, "slow") >= before + len(drips), 30)
    for raw in drips:
        raw.goaway()


def test_replies_that_nobody_reads(t):
    o = Single(t).wait_ready()
    raws = [Raw(o.addr) for _ in range(20)]
    for raw in raws:  # /metrics is some hundred KB; the window of a stream is 64 KB
        raw.send(b"".join(request(1 + 2 * i, b"/metrics") for i in range(100)))
    for _ in range(10):
        others_are_served(o)
    for raw in raws:
        raw.sock.close()
    wait_for("their streams to be gone", lambda: "orrery_http2_streams{server=\"http\"} 0" in
             http_call(o.addr, "GET", "/metrics").text, 20)


if __name__ == "__main__":
    main()
