"""Chromium without a window, driven over its debugging protocol: what the browser tests need of it, with Python's standard library only.

    with Browser(t) as b:
        page = b.page(f"http://{addr}/ui/")
        page.wait("document.querySelector('h1')")          # until it is true; its value
        page.click("button.main")                           # as a mouse does, at its middle
        page.type("textarea", "up")                         # key by key
        page.screenshot("/tmp/x.png")
        page.errors                                          # what the console complained of
        page.requests                                        # every URL that was asked for
"""
import base64
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from orrery_test import Failure, Skip  # noqa: E402

START_S = 60
WAIT_S = 40


class _Socket:
    """A websocket's client: text frames, no extensions."""

    def __init__(self, url):
        host, port, path = re.match(r"ws://([^:/]+):(\d+)(/.*)", url).groups()
        self.sock = socket.create_connection((host, int(port)), timeout=WAIT_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failure(f"chromium refused the websocket: {head[:200]}")

    def _more(self):
        got = self.sock.recv(1 << 16)
        if not got:
            raise Failure("chromium closed its socket")
        self.buffer += got

    def _take(self, n):
        while len(self.buffer) < n:
            self._more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        n = len(data)
        head = bytes([0x81]) + (bytes([0x80 | n]) if n < 126 else bytes([0xFE]) + struct.pack(">H", n) if n < 65536 else
                                bytes([0xFF]) + struct.pack(">Q", n))
        whole = (mask * (n // 4 + 1))[:n]
        self.sock.sendall(head + mask + (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(n, "big"))

    def receive(self, timeout):
        """A message, or None if none comes in time."""
        self.sock.settimeout(timeout)
        message = b""
        try:
            while True:
                first, second = self._take(2)
                n = second & 0x7F
                if n >= 126:
                    n = struct.unpack(">H", self._take(2))[0] if n == 126 else struct.unpack(">Q", self._take(8))[0]
                payload = self._take(n)
                if first & 0xF == 8:
                    raise Failure("chromium closed its websocket")
                if first & 0xF in (0, 1):
                    message += payload
                    if first & 0x80:
                        return message.decode()
        except TimeoutError:
            return None

    def close(self):
        self.sock.close()


class Page:
    def __init__(self, url):
        self.socket, self.last = _Socket(url), 0
        self.errors, self.requests = [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(1400, 1000)

    def _event(self, message):
        method, p = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.errors.append(f"{d.get('text')} {d.get('exception', {}).get('description', '')}")
        elif method == "Log.entryAdded" and p["entry"]["level"] == "error":
            self.errors.append(f"{p['entry']['text']} {p['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(p["request"]["url"])

    def call(self, method, **params):
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params}))
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            text = self.socket.receive(deadline - time.monotonic())
            if text is None:
                break
            message = json.loads(text)
            if message.get("id") == self.last:
                if "error" in message:
                    raise Failure(f"{method}: {message['error']}")
                return message["result"]
            self._event(message)
        raise Failure(f"{method}: no answer in {WAIT_S} s")

    def size(self, width, height, is_dark=False, is_phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href !== 'about:blank'")
        return self

    def eval(self, js):
        r = self.call("Runtime.evaluate", expression=js, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise Failure(f"{js}: {r['exceptionDetails'].get('exception', {}).get('description', r['exceptionDetails']['text'])}")
        return r["result"].get("value")

    def wait(self, js, timeout=WAIT_S):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                value = self.eval(f"((v) => (v instanceof Node ? true : v))({js})")
                if value:
                    return value
            except Failure as e:
                if "Cannot find context" not in str(e) and "TypeError" not in str(e):
                    raise
            time.sleep(0.05)
        raise Failure(f"waited {timeout} s for {js}; the page says: {self.text()[:600]}; errors: {self.errors}")

    def text(self, selector="body"):
        return self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def middle(self, selector, text=None):
        """The middle of the first that matches and, if text is given, has it in its text."""
        found = self.wait(f"""(() => {{ const e = [...document.querySelectorAll({json.dumps(selector)})].find((x) => !{json.dumps(text)} || x.textContent.includes({json.dumps(text)}));
            if (!e) return null; e.scrollIntoView({{block: "center"}}); const r = e.getBoundingClientRect(); return r.width ? [r.x + r.width / 2, r.y + r.height / 2] : null; }})()""")
        return found

    def press(self, x, y, clicks=1):
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left", clickCount=clicks)

    def click(self, selector, text=None):
        self.press(*self.middle(selector, text))

    def drag(self, x1, y1, x2, y2):
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x1, y=y1, button="left", clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x2, y=y2, button="left")
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x2, y=y2, button="left", clickCount=1)

    def type(self, selector, text):
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.eval(f"document.querySelector({json.dumps(selector)}).focus()")
        for c in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=c, unmodifiedText=c, key=c)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=c)

    def key(self, key, code=0, **more):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def close(self):
        self.socket.close()


class Browser:
    def __init__(self, t):
        program = shutil.which("chromium")
        if not program:
            raise Skip("no chromium: deploy/install test brings it")
        self.dir = tempfile.mkdtemp(prefix="chromium-", dir=t.dir)
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.left = tempfile.mkdtemp(prefix="orrery-c-")  # of what it leaves behind; a short path, as sockets are in it
        env = {**os.environ, "TMPDIR": self.left}
        # --no-sandbox: the tests may run as root, and see pages of this tree alone
        self.process = subprocess.Popen([program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={self.dir}/profile", "--no-sandbox",
                                         "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                                         "--disable-component-update", "--disable-sync", "--disable-extensions", "--mute-audio", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                                         "about:blank"], stdout=self.log, stderr=self.log, env=env)
        self.pages = []
        t.add(self)
        self.port = self._port()

    def _port(self):
        path, deadline = os.path.join(self.dir, "profile", "DevToolsActivePort"), time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if os.path.exists(path) and open(path).read().strip():
                return int(open(path).read().split()[0])
            time.sleep(0.05)
        raise Failure(f"chromium did not start: {open(os.path.join(self.dir, 'log')).read()[-1500:]}")

    def page(self, url):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=WAIT_S) as r:
            page = Page(json.load(r)["webSocketDebuggerUrl"])
        self.pages.append(page)
        return page.open(url)

    def stop(self):
        for p in self.pages:
            p.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.left, ignore_errors=True)
        self.log.close()

    def tail(self):
        return ""
