"""What the integration tests share: free ports, processes, a remote-write client, queries, a webhook
receiver. Python's standard library only.

The programs under test are those of build/, or of the build folder that TEST_BUILD names; with
build-asan or build-tsan a test fails, too, if a sanitizer said anything in a process's log.

A test is a file *_test.py that defines functions test_<name>(t) and ends with main(). Each prints
"ok NAME", "FAIL NAME: why" or "skip NAME: why"; tests/run counts those lines. Temporary directories
are removed when a file passes, and kept (and named) when it fails.
"""
import contextlib
import http.client
import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TEST_BUILD", "build")
BIN = os.path.join(ROOT, BUILD, "bin")
# "s3", "rgw": every orrery and cluster keeps its blocks on Swift or radosgw, in a bucket of its own, not in a directory
TEST_BUCKET = os.environ.get("TEST_BUCKET", "")
SANITIZED = BUILD.endswith(("asan", "tsan"))
TENANT = "test"
FINDING = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                     r"AddressSanitizer:DEADLYSIGNAL|assertion failed:")

if SANITIZED:
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    # going on after a race finds the next one too, and lets the test say what it came to say
    os.environ.setdefault("TSAN_OPTIONS", f"halt_on_error=0:suppressions='{ROOT}/tests/tsan.supp'")
    os.environ.setdefault("CLUSTER_WAIT_S", "300")


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def in_a_directory(why):
    """For tests that are about a bucket in a directory: with TEST_BUCKET they are skipped, for this reason."""
    if TEST_BUCKET:
        raise Skip(f"in a directory only: {why}")


def check(cond, what):
    if not cond:
        raise Failure(what() if callable(what) else what)


def wait_for(what, cond, timeout=60, every=0.1):
    """Calls cond() until it returns something true; exceptions of the network count as false."""
    timeout *= 4 if TEST_BUCKET else 1  # a server written in Python, for each file and each look
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            value = cond()
            if value:
                return value
        except (OSError, http.client.HTTPException, Failure) as e:
            last = e
        time.sleep(every)
    raise Failure(f"waited {timeout} s for {what}" + (f" (last: {last})" if last else ""))


_given_ports = set()


def free_port():
    """None of those that the system gives to connections: one could have it while a process that is killed is started again."""
    while True:
        port = random.randrange(10000, 32768)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


# ---- HTTP -------------------------------------------------------------------------------------


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)


def http_call(addr, method, path, body=None, headers=None, timeout=30):
    host, port = addr.rsplit(":", 1)
    conn = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        conn.request(method, path, body=body, headers=headers or {})
        r = conn.getresponse()
        return Reply(r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read())
    finally:
        conn.close()


# ---- remote write 1.0 ---------------------------------------------------------------------------


def _varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number, wire, payload):
    key = _varint(number << 3 | wire)
    return key + (_varint(len(payload)) if wire == 2 else b"") + payload


def _bytes(s):
    return s if isinstance(s, bytes) else s.encode()


def label_bytes(name, value):
    return _field(1, 2, _field(1, 2, _bytes(name)) + _field(2, 2, _bytes(value)))


def series_bytes(labels, samples, sort=True, exemplars=()):
    pairs = sorted(labels.items()) if isinstance(labels, dict) else list(labels)
    if sort:
        pairs = sorted(pairs)
    out = b"".join(label_bytes(k, v) for k, v in pairs)
    for t, v in samples:
        value = struct.pack("<d", v) if isinstance(v, float) or isinstance(v, int) else v
        out += _field(2, 2, _field(1, 1, value) + _field(2, 0, _varint(t)))
    for exemplar_labels, t, v in exemplars:
        out += _field(3, 2, b"".join(label_bytes(k, w) for k, w in sorted(exemplar_labels.items()))
                      + _field(2, 1, struct.pack("<d", v)) + _field(3, 0, _varint(t)))
    return _field(1, 2, out)


def write_request(series, metadata=()):
    """series: (labels, [(t_ms, value)]) pairs; metadata: (type number, family, help, unit)."""
    out = b"".join(series_bytes(*s) for s in series)
    for kind, family, text, unit in metadata:
        out += _field(3, 2, _field(1, 0, _varint(kind)) + _field(2, 2, _bytes(family)) +
                      _field(4, 2, _bytes(text)) + _field(5, 2, _bytes(unit)))
    return out


def snappy(data):
    """The block format, as literals only: valid, if not small."""
    out = bytearray(_varint(len(data)))
    for i in range(0, len(data), 65536):
        piece = data[i:i + 65536]
        n = len(piece) - 1
        if n < 60:
            out.append(n << 2)
        else:
            out.append(61 << 2)
            out += struct.pack("<H", n)
        out += piece
    return bytes(out)


PUSH_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def push(addr, series, tenant=TENANT, path="/api/v1/push", timeout=30, metadata=()):
    headers = dict(PUSH_HEADERS)
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    return http_call(addr, "POST", path, snappy(write_request(series, metadata)), headers, timeout)


def push_ok(addr, series, **kw):
    r = push(addr, series, **kw)
    check(r.status // 100 == 2, f"push to {addr}: {r.status} {r.text[:300]}")


# ---- queries ------------------------------------------------------------------------------------


def api(addr, path, params=(), tenant=TENANT, method="GET", timeout=60):
    query = urllib.parse.urlencode(list(params.items()) if isinstance(params, dict) else params)
    headers = {"X-Scope-OrgID": tenant} if tenant else {}
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return http_call(addr, "POST", path, query, headers, timeout)
    return http_call(addr, "GET", path + ("?" + query if query else ""), None, headers, timeout)


def query(addr, expr, at=None, tenant=TENANT, timeout=60):
    """data of an instant query."""
    params = {"query": expr}
    if at is not None:
        params["time"] = f"{at / 1000:.3f}"
    r = api(addr, "/api/v1/query", params, tenant, timeout=timeout)
    check(r.status == 200, lambda: f"query {expr!r} on {addr}: {r.status} {r.text[:300]}")
    return r.json["data"]


def query_range(addr, expr, start, end, step_s, tenant=TENANT, timeout=120):
    r = api(addr, "/api/v1/query_range", {"query": expr, "start": f"{start / 1000:.3f}",
                                          "end": f"{end / 1000:.3f}", "step": step_s}, tenant,
            timeout=timeout)
    check(r.status == 200, lambda: f"query {expr!r} on {addr}: {r.status} {r.text[:300]}")
    return r.json["data"]


def key_of(metric):
    return tuple(sorted(metric.items()))


def samples_of(addr, selector, start, end, tenant=TENANT):
    """{labels: {t_ms: value text}} of the raw samples in (start, end]."""
    span = max((end - start) // 1000, 1)
    data = query(addr, f"{selector}[{span}s]", end, tenant)
    return {key_of(s["metric"]): {round(t * 1000): v for t, v in s["values"]}
            for s in data["result"]}


# ---- processes ----------------------------------------------------------------------------------


def findings_in(log, lines=60):
    """What a sanitizer wrote into a log: the first finding with its stacks, or None."""
    try:
        with open(log, errors="replace") as f:
            text = f.readlines()
    except OSError:
        return None
    at = next((i for i, line in enumerate(text) if FINDING.search(line)), None)
    return None if at is None else f"{log}:{at + 1}:\n" + "".join(text[at:at + lines])


class Process:
    """A program with its output in a file."""

    def __init__(self, name, args, log, env=None):
        self.name, self.args, self.log = name, args, log
        self.env = dict(os.environ, **(env or {}))
        self.popen = None
        self.start()

    def start(self):
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, env=self.env,
                                          start_new_session=True)

    def alive(self):
        return self.popen.poll() is None

    def kill(self):
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout=60):
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"{self.name} did not stop within {timeout} s of SIGTERM")
        return self.popen.returncode

    def signal(self, number):
        self.popen.send_signal(number)

    def finding(self):
        """Once it has ended: what is wrong about how it ended."""
        if SANITIZED and self.popen.poll() not in (None, 0, -signal.SIGKILL, -signal.SIGTERM):
            return findings_in(self.log) or f"{self.name}: exit status {self.popen.returncode}"
        return findings_in(self.log)

    def tail(self, lines=15):
        try:
            with open(self.log, "r", errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""


class Blocks:
    """Where an orrery or a cluster keeps its blocks: a directory, unless TEST_BUCKET says otherwise."""

    def __init__(self, directory, is_named):
        self.dir, self.remote = directory, None
        if TEST_BUCKET and not is_named:
            import s3_server
            self.remote = s3_server.Bucket()

    def path(self):
        """A directory with what is there: that itself, or a copy of the bucket of now."""
        return self.remote.mirror(self.dir) if self.remote else self.dir

    def save_all(self):
        """Files below path() were changed or removed by the test."""
        if self.remote:
            self.remote.save_all(self.dir)

    def save(self, path):
        """A file below path() was changed by the test."""
        if self.remote:
            self.remote.save(self.dir, path)


class Single(Process):
    """orrery, all roles in one process."""

    def __init__(self, t, name="orrery", args=(), env=None, program=os.path.join(BIN, "orrery")):
        self.dir = os.path.join(t.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.addr = f"127.0.0.1:{self.port}"
        self.otlp_http = f"127.0.0.1:{free_port()}"
        self.otlp_grpc = f"127.0.0.1:{free_port()}"
        self.blocks = Blocks(f"{self.dir}/data/bucket", any(a.startswith("--storage.") for a in args))
        if self.blocks.remote:
            args, env = [*self.blocks.remote.options(), *args], {**self.blocks.remote.keys, **(env or {})}
        super().__init__(name, [program,
                                f"--server.http-address={self.addr}",
                                f"--ingester.otlp-http-address={self.otlp_http}",
                                f"--ingester.otlp-grpc-address={self.otlp_grpc}",
                                *([] if any(a.startswith("--server.instance=") for a in args)
                                  else [f"--server.instance={name}"]),
                                f"--server.data-dir={self.dir}/data", *args],
                         os.path.join(self.dir, "log"), env)
        t.add(self)

    def wait_ready(self, timeout=60):
        def ready():
            if not self.alive():
                raise SystemExit(f"{self.name} ended:\n{self.tail()}")
            return http_call(self.addr, "GET", "/ready").status == 200
        wait_for(f"{self.name} to be ready", ready, timeout)
        return self


class Cluster:
    """deploy/local/cluster."""

    def __init__(self, t, name="cluster", args=()):
        self.dir = os.path.join(t.dir, name)
        self.blocks = Blocks(f"{self.dir}/bucket", "--s3" in args)
        if self.blocks.remote:
            args = [*args, "--s3", self.blocks.remote.url()]
        t.add(self)
        self.run("up", *args)

    def run(self, command, *args, check_status=True):
        r = subprocess.run([os.path.join(ROOT, "deploy/local/cluster"), command, *args,
                            "--dir", self.dir], capture_output=True, text=True, timeout=300,
                           env={**os.environ, **(self.blocks.remote.keys if self.blocks.remote else {})})
        if check_status and r.returncode:
            raise Failure(f"cluster {command} {' '.join(args)}: {r.stderr[-3000:]}")
        return r.stdout

    def status(self):
        """{name: (role, zone, pid or None, address)}"""
        out = {}
        for line in self.run("status").splitlines():
            name, role, zone, pid, addr = line.split()
            out[name] = (role, zone, None if pid == "-" else int(pid), addr)
        return out

    def addrs(self, role):
        return [v[3] for v in self.status().values() if v[0] == role]

    def names(self, role=None, zone=None):
        return [k for k, v in self.status().items()
                if (role is None or v[0] == role) and (zone is None or v[1] == zone)]

    def stop(self):
        self.run("down", check_status=False)

    def finding(self):
        logs = [os.path.join(self.dir, name, "log") for name in sorted(os.listdir(self.dir))]
        return next((f for f in map(findings_in, logs) if f), None)

    def tail(self, lines=10):
        out = ""
        for name in sorted(os.listdir(self.dir)) if os.path.isdir(self.dir) else []:
            log = os.path.join(self.dir, name, "log")
            if os.path.exists(log):
                with open(log, errors="replace") as f:
                    out += f"--- {name}\n" + "".join(f.readlines()[-lines:])
        return out


class Prometheus(Process):
    """Debian's prometheus."""

    def __init__(self, t, config, name="prometheus", args=(), data=None):
        if not shutil.which("prometheus"):
            raise Skip("prometheus is not installed")
        self.dir = os.path.join(t.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.addr = f"127.0.0.1:{self.port}"
        path = os.path.join(self.dir, "prometheus.yml")
        with open(path, "w") as f:
            f.write(config.replace("SELF", self.addr))
        super().__init__(name, ["prometheus", f"--config.file={path}",
                                f"--storage.tsdb.path={data or self.dir + '/data'}",
                                f"--web.listen-address={self.addr}", *args],
                         os.path.join(self.dir, "log"))
        t.add(self)

    def wait_ready(self):
        wait_for("prometheus", lambda: http_call(self.addr, "GET", "/-/ready").status == 200, 60)
        return self


class Webhook:
    """A receiver that keeps what it is sent: .received is a list of (time, JSON). takes(JSON), if set,
    is called first, and may wait; when it returns False the connection is dropped and nothing kept."""

    def __init__(self, t, status=200):
        self.received, self.lock, self.status, self.takes = [], threading.Lock(), status, None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.takes and not outer.takes(json.loads(body)):
                    self.close_connection = True
                    return
                with outer.lock:
                    if outer.status == 200:
                        outer.received.append((time.time(), json.loads(body)))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addr = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.addr}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        t.add(self)

    def stop(self):
        self.server.shutdown()

    def finding(self):
        return None

    def tail(self):
        return ""

    def count(self, status="firing", **labels):
        with self.lock:
            return sum(1 for _, m in self.received if m["status"] == status and
                       all(m["commonLabels"].get(k) == v for k, v in labels.items()))


# ---- running ------------------------------------------------------------------------------------


class Test:
    def __init__(self, directory):
        self.dir, self.things = directory, []

    def add(self, thing):
        self.things.append(thing)

    def stop(self):
        for thing in reversed(self.things):
            try:
                thing.stop()
            except (Failure, OSError, subprocess.SubprocessError) as e:
                print(f"   while stopping: {e}", flush=True)

    def check_findings(self):
        for thing in self.things:
            finding = getattr(thing, "finding", lambda: None)()
            check(not finding, finding)


def main():
    module = sys.modules["__main__"]
    only = sys.argv[1:]
    tests = [(k[5:], v) for k, v in vars(module).items() if k.startswith("test_") and callable(v)]
    only = [o.replace("test_", "", 1) if o.lstrip("=").startswith("test_") else o for o in only]
    failed = ran = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # out of time: stop what was started
    for name, fn in tests:
        # an argument is a part of a name, or =NAME
        if only and not any(o == "=" + name or (o[0] != "=" and o in name) for o in only):
            continue
        ran += 1
        directory = tempfile.mkdtemp(prefix=f"orrery-{name}-")
        t, started = Test(directory), time.monotonic()
        try:
            fn(t)
            t.stop()
            t.check_findings()
            print(f"ok {name} ({time.monotonic() - started:.1f} s)", flush=True)
            shutil.rmtree(directory, ignore_errors=True)
        except Skip as e:
            t.stop()
            print(f"skip {name}: {e}", flush=True)
            shutil.rmtree(directory, ignore_errors=True)
        except BaseException as e:  # SystemExit of a helper too
            failed += 1
            text = str(e) if isinstance(e, (Failure, SystemExit)) else traceback.format_exc()
            tails = "".join(x.tail() for x in t.things)
            t.stop()
            print(f"FAIL {name}: {text}\n   kept: {directory}\n{tails}", flush=True)
            if isinstance(e, KeyboardInterrupt):
                raise
    if not ran:
        sys.exit(f"no test is called {' or '.join(only)}; there are: {', '.join(n for n, _ in tests)}")
    sys.exit(1 if failed else 0)
