#!/usr/bin/env python3
"""orrery-prestop, which Kubernetes runs before it stops an ingester, between an API server and an ingester that are played here."""
import http.server
import json
import os
import re
import subprocess
import threading
import time

from orrery_test import ROOT, check, main

HOOK = os.path.join(ROOT, "deploy", "docker", "orrery-prestop")
SCALE = "GET /apis/apps/v1/namespaces/orrery/statefulsets/orrery-ingester/scale"


class Peers:
    """Both of them at one address: an API server that knows of so many replicas, an ingester that lives for so many looks."""

    def __init__(self, t, scale, looks=2, status=200, slow=0):
        self.seen, self.scale, self.looks, self.status, self.slow, peers = [], scale, looks, status, slow, self
        self.dir = t.dir
        for name, text in (("token", "secret"), ("namespace", "orrery"), ("ca.crt", "")):
            with open(os.path.join(t.dir, name), "w", encoding="utf-8") as f:
                f.write(text)

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def reply(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                peers.seen.append(f"GET {self.path}")
                if self.path != "/healthy":
                    peers.token = self.headers["Authorization"]
                    self.reply(peers.status, json.dumps(peers.scale, indent=2).encode())
                    return
                peers.looks -= 1
                if peers.slow:  # too busy to answer in time
                    peers.slow -= 1
                    self.close_connection = True
                    time.sleep(2)
                    return
                if peers.looks < 0:
                    self.close_connection = True  # the process has ended: no answer
                else:
                    self.reply(200, b"healthy\n")

            def do_POST(self):
                peers.seen.append(f"POST {self.path}")
                self.reply(202)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self, pod):
        """What the hook says; it never fails, since that would not keep the pod."""
        url, log = f"http://127.0.0.1:{self.server.server_port}", os.path.join(self.dir, "log")
        r = subprocess.run([HOOK], capture_output=True, text=True, timeout=120,
                           env={**os.environ, "HOSTNAME": pod, "PRESTOP_ACCOUNT_DIR": self.dir, "PRESTOP_KUBERNETES_URL": url,
                                "PRESTOP_URL": url, "PRESTOP_LOG": log, "PRESTOP_SLEEP": "0",
                                "PRESTOP_PATIENCE": "1"})
        self.server.shutdown()
        check(r.returncode == 0, lambda: f"{r.returncode}: {r.stderr}")
        with open(log, encoding="utf-8") as f:
            return f.read()


def scale_of(n):
    return {"kind": "Scale", "spec": {"replicas": n} if n else {}, "status": {"replicas": 9}}


def test_restarted(t):
    p = Peers(t, scale_of(3))
    said = p.stop("orrery-ingester-2")
    check(p.seen == [SCALE] and p.token == "Bearer secret", f"{p.seen}")
    check("stops to come back" in said, said)


def test_scaled_in(t):
    """It leaves, and the pod is kept until it is gone."""
    p = Peers(t, scale_of(3))
    said = p.stop("orrery-ingester-3")
    check(p.seen == [SCALE, "POST /ingester/leave", *["GET /healthy"] * 3], f"{p.seen}")
    check("orrery-ingester-3 has left" in said, said)


def test_busy(t):
    """An ingester that is too busy to answer in time is still there, and is waited for."""
    p = Peers(t, scale_of(3), slow=1)
    said = p.stop("orrery-ingester-3")
    check(p.seen == [SCALE, "POST /ingester/leave", *["GET /healthy"] * 3], f"{p.seen}")
    check("orrery-ingester-3 has left" in said, said)


def test_variables(t):
    """The container's environment is Orrery's, too, which does not start with an ORRERY_… that it does not know."""
    with open(HOOK, encoding="utf-8") as f:
        names = set(re.findall(r"\$\{([A-Z_]+):-", f.read()))
    check(names >= {"PRESTOP_URL"} and not [n for n in names if n.startswith("ORRERY_")], f"{names}")


def test_scaled_to_none(t):
    """The API leaves a number of 0 out; that of the status counts for nothing."""
    p = Peers(t, scale_of(0))
    p.stop("orrery-ingester-0")
    check("POST /ingester/leave" in p.seen, f"{p.seen}")


def test_nobody_knows(t):
    """An API that refuses, or answers something else, is no reason to leave: the pod may be coming back."""
    for scale, status in ((scale_of(1), 403), ({"kind": "Status"}, 200)):
        p = Peers(t, scale, status=status)
        said = p.stop("orrery-ingester-5")
        check(set(p.seen) == {SCALE} and "without leaving the ring" in said, f"{p.seen} {said}")


if __name__ == "__main__":
    main()
