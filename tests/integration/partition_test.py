#!/usr/bin/env python3
"""Alertmanagers on both sides of a cut network, each a host of its own in a network namespace."""
import datetime
import json
import os
import subprocess
import sys
import time

from orrery_test import BIN, Failure, Process, Skip, check, main, wait_for

AM = """
route: {receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 3s, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: 'http://127.0.0.1:8080/'}]
"""

# A receiver inside a namespace: appends what it gets to a file.
RECEIVER = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        with open(sys.argv[1], 'ab') as f: f.write(body + b'\\n')
        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', 8080), H).serve_forever()
"""


def sh(*args):
    r = subprocess.run(args, capture_output=True, text=True)
    if r.returncode:
        raise Failure(f"{' '.join(args)}: {r.stderr}")
    return r.stdout


class Hosts:
    """n namespaces on one bridge, which is in a namespace too."""

    def __init__(self, t, n):
        self.prefix = f"orr{os.getpid()}"
        self.names = [f"{self.prefix}h{i}" for i in range(n)]
        self.bridge = f"{self.prefix}br"
        t.add(self)
        try:
            self.make()
        except (Failure, OSError) as e: # not root, or in a chroot
            raise Skip(f"no network namespaces here: {e}")

    def make(self):
        sh("ip", "netns", "add", self.bridge)
        sh("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{i}",
               "netns", self.bridge)
            sh("ip", "-n", self.bridge, "link", "set", f"p{i}", "master", "br0")
            sh("ip", "-n", self.bridge, "link", "set", f"p{i}", "up")
            sh("ip", "-n", name, "addr", "add", f"10.99.0.{i + 1}/24", "dev", "eth0")
            sh("ip", "-n", name, "link", "set", "eth0", "up")
            sh("ip", "-n", name, "link", "set", "lo", "up")

    def cut(self, i):
        sh("ip", "-n", self.bridge, "link", "set", f"p{i}", "down")

    def join(self, i):
        sh("ip", "-n", self.bridge, "link", "set", f"p{i}", "up")

    def stop(self):
        for name in [*self.names, self.bridge]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def tail(self):
        return ""


class Peer:
    def __init__(self, t, hosts, i):
        self.ns, self.i, self.file = hosts.names[i], i, f"{t.dir}/got-{i}"
        run = ["ip", "netns", "exec", self.ns]
        t.add(Process(f"hook-{i}", [*run, sys.executable, "-c", RECEIVER, self.file],
                      f"{t.dir}/hook-{i}.log"))
        self.process = Process(f"am-{i}", [
            *run, f"{BIN}/orrery-alertmanager", f"--server.instance=am-{i}",
            f"--server.zone={'abc'[i]}", f"--server.data-dir={t.dir}/am-{i}",
            f"--server.rpc-address=10.99.0.{i + 1}:7946", "--server.http-address=0.0.0.0:9093",
            "--ring.seeds=10.99.0.1:7946,10.99.0.2:7946,10.99.0.3:7946",
            f"--alertmanager.config-file={t.dir}/am.yml", "--alertmanager.peer-timeout=2s",
            "--ring.unhealthy-after=3s"], f"{t.dir}/am-{i}.log")
        t.add(self.process)

    def curl(self, *args):
        r = subprocess.run(["ip", "netns", "exec", self.ns, "curl", "-s", "-m", "5",
                            "-H", "X-Scope-OrgID: test", *args], capture_output=True, text=True)
        return r.stdout

    def post(self, name):
        now = datetime.datetime.now(datetime.timezone.utc)
        alert = [{"labels": {"alertname": name}, "annotations": {},
                  "startsAt": now.isoformat(), "endsAt": (now + datetime.timedelta(hours=1)).isoformat()}]
        return self.curl("-o", "/dev/null", "-w", "%{http_code}", "-H",
                         "Content-Type: application/json", "-d", json.dumps(alert),
                         "http://127.0.0.1:9093/api/v2/alerts")

    def count(self, name):
        if not os.path.exists(self.file):
            return 0
        with open(self.file) as f:
            return sum(1 for line in f if line.strip() and json.loads(line)["groupLabels"] == {"alertname": name})


def test_each_side_of_a_partition_notifies_and_none_repeats(t):
    with open(f"{t.dir}/am.yml", "w") as f:
        f.write(AM)
    hosts = Hosts(t, 3)
    peers = [Peer(t, hosts, i) for i in range(3)]
    for p in peers:
        wait_for("ready", lambda p=p: p.curl("http://127.0.0.1:9093/ready").startswith("ready"), 60)
    wait_for("all to see all", lambda: all(
        p.curl("-H", "Accept: application/json", "http://127.0.0.1:9093/memberlist")
        .count('"state":"ACTIVE"') == 3 for p in peers), 30)

    for p in peers:
        check(p.post("whole") == "200", "POST alerts")
    time.sleep(10)
    got = [p.count("whole") for p in peers]
    check(sum(got) == 1, f"notifications while whole: {got}")

    hosts.cut(2)
    time.sleep(6)
    for p in peers:
        p.post("cut")
    wait_for("the majority's notification", lambda: peers[0].count("cut") + peers[1].count("cut"), 40)
    wait_for("the minority's notification", lambda: peers[2].count("cut"), 40)
    got = [p.count("cut") for p in peers]
    check(got[2] == 1 and got[0] + got[1] >= 1, f"notifications while cut: {got}")

    hosts.join(2)
    time.sleep(15)
    after = [p.count("cut") for p in peers]
    check(after == got, f"notifications after it healed: {after}, before: {got}")
    check(sum(p.count("whole") for p in peers) == 1, "the first alert was repeated")


if __name__ == "__main__":
    main()
