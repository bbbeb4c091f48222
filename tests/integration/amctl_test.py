#!/usr/bin/env python3
"""orreryctl alertmanager: configurations and routes beside Debian's amtool, silences and alerts at Debian's Alertmanager, loading at a
server that keeps what it is sent."""
import datetime
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

from orrery_test import BIN, ROOT, Process, Single, Skip, check, free_port, http_call, main, wait_for

CONFIG = r"""
route:
  receiver: default
  group_by: [alertname]
  routes:
    - matchers: ['team="web"', 'severity=~"page|critical"']
      receiver: web-pages
      continue: true
    - matchers: ['team="web"']
      receiver: web
      routes:
        - {matchers: ['env!="prod"'], receiver: nobody}
receivers:
  - name: default
  - {name: web-pages, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
  - name: web
  - name: nobody
"""


def ctl(*args, status=0):
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "alertmanager", *args], capture_output=True, text=True, timeout=120)
    check(r.returncode == status, f"{args}: {r.returncode}, not {status}: {r.stdout} {r.stderr}")
    return r.stdout + r.stderr


def amtool(*args):
    r = subprocess.run(["amtool", *args], capture_output=True, text=True, timeout=120)
    return r.returncode == 0, r.stdout


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def test_configurations_are_verified(t):
    path = write(f"{t.dir}/am.yml", CONFIG)
    check(ctl("verify", path) == f"{path}: 4 receivers, 4 routes, 0 inhibition rules, 0 time intervals\n", ctl("verify", path))
    for old, new, why in (("receiver: nobody}", "receiver: nobdy}", "nobdy"), ("group_by:", "groups_by:", "groups_by"),
                          ('env!="prod"', 'env!~"("', "12: matcher"), ("route:", "roote:", "roote")):
        bad = write(f"{t.dir}/bad.yml", CONFIG.replace(old, new, 1))
        said = ctl("verify", bad, status=1)
        check(bad in said and why in said, f"{old} -> {new}: {said}")
        check(not amtool("check-config", bad)[0], f"{old} -> {new}: amtool takes it")
    good = write(f"{t.dir}/good.tmpl", '{{ define "x" }}{{ .CommonLabels.job | toUpper }}{{ end }}')
    ctl("verify", path, good)
    said = ctl("verify", path, good, write(f"{t.dir}/bad.tmpl", '{{ define "y" }}{{ .X | noSuch }}{{ end }}'), status=1)
    check("bad.tmpl" in said and "noSuch" in said, said)


def test_routes_are_amtools(t):
    path = write(f"{t.dir}/am.yml", CONFIG)
    shown = ctl("routes", "show", path)
    check(shown.splitlines() == ["default route  receiver: default",
                                 '  {severity=~"page|critical",team="web"}  receiver: web-pages  continue: true',
                                 '  {team="web"}  receiver: web', '    {env!="prod"}  receiver: nobody'], shown)
    for labels, want in ((["team=web", "severity=page", "env=prod"], "web-pages,web"), (["team=web"], "nobody"),
                         (["team=web", "env=prod"], "web"), (["team=x"], "default"), ([], "default")):
        said = ctl("routes", "test", path, *labels)
        check(said == want + "\n", f"{labels}: {said}")
        ok, theirs = amtool("config", "routes", "test", f"--config.file={path}", *labels)
        check(ok and theirs.strip() == want, f"{labels}: amtool: {theirs}")
    ctl("routes", "test", path, "team=x", "--verify-receivers=default")
    check("not for web" in ctl("routes", "test", path, "team=x", "--verify-receivers=web", status=1), "verify-receivers")
    check("NAME=VALUE" in ctl("routes", "test", path, "team", status=2), "usage")


CASES = os.path.join(ROOT, "../shared/conformance/alertmanager/routing_cases.jsonl")


def test_routes_of_the_conformance_cases(t):
    if not os.path.exists(CASES):
        raise Skip("no ../shared/conformance")
    n = 0
    with open(CASES) as f:
        cases = [json.loads(line) for line in f]
    # labels of routes are of a later Alertmanager
    for case in [c for c in cases if "labels:" not in c["config"]][:12]:
        path = write(f"{t.dir}/case.yml", case["config"])
        for c in case["checks"][:4]:
            want = ",".join(r["receiver"] for r in c["routes"])
            said = ctl("routes", "test", path, *(f"{k}={v}" for k, v in c["labels"].items()))
            check(said == want + "\n", f"{case['id']} {c['labels']}: {said}, not {want}")
            n += 1
    check(n > 20, f"{n} checks")


class Alertmanager(Process):
    """Debian's."""

    def __init__(self, t):
        if not shutil.which("prometheus-alertmanager"):
            raise Skip("prometheus-alertmanager is not installed")
        self.addr = f"127.0.0.1:{free_port()}"
        config = write(f"{t.dir}/am.yml", CONFIG)
        super().__init__("alertmanager", ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={t.dir}/am",
                                          f"--web.listen-address={self.addr}", "--cluster.listen-address="],
                         f"{t.dir}/am.log")
        t.add(self)

    def wait_ready(self):
        wait_for("Alertmanager", lambda: http_call(self.addr, "GET", "/-/ready").status == 200, 60)
        return self


def post_alerts(addr, *alerts):
    now = datetime.datetime.now(datetime.timezone.utc)
    r = http_call(addr, "POST", "/api/v2/alerts", json.dumps(
        [{"labels": ls, "annotations": {"summary": f"{ls['alertname']} it is"}, "startsAt": now.isoformat(),
          "endsAt": (now + datetime.timedelta(hours=1)).isoformat()} for ls in alerts]), {"Content-Type": "application/json"})
    check(r.status == 200, f"{r.status} {r.text}")


def drive_silences(addr):
    """Silences and alerts, wherever API v2 is; amtool sees what orreryctl does, and the other way round."""
    remote, theirs = f"--address={addr}", f"--alertmanager.url=http://{addr}"
    post_alerts(addr, {"alertname": "Down", "job": "a b"}, {"alertname": "Down", "job": "c"}, {"alertname": "Slow", "job": "c"})
    said = ctl("alert", "query", remote)
    check([x.split()[0] for x in said.splitlines()[1:]].count("Down") == 2 and 'job="a b"' in said and "Slow it is" in said, said)
    said = ctl("alert", "query", "Down", "job=~c|d", remote)
    check(len(said.splitlines()) == 2 and 'job="c"' in said, said)
    check("--comment" in ctl("silence", "add", "Down", remote, status=2), "a silence without a reason")
    check("missing )" in ctl("silence", "add", 'job=~"("', "--comment=x", remote, status=2), "a bad pattern")
    id_ = ctl("silence", "add", "Down", "job=~a.*", "env!=prod", "--comment=they know", "--author=me", "--duration=2h", remote).strip()
    check(re.fullmatch(r"[0-9a-f-]{36}", id_), id_)
    said = ctl("silence", "query", remote)
    check(id_ in said and "active" in said and 'alertname="Down"' in said and 'job=~"a.*"' in said and 'env!="prod"' in said
          and "they know" in said and "me" in said, said)
    ok, said = amtool("silence", "query", theirs, "-q")
    check(ok and said.strip() == id_, said)
    wait_for("one alert to be silenced", lambda: "suppressed" in ctl("alert", "query", "Down", "job=a b", remote), 20)
    check("suppressed" not in ctl("alert", "query", "job=c", remote), "another one is silenced")
    silence = json.loads(ctl("silence", "query", "job=~a.*", "--json", remote))[0]
    start, end = (datetime.datetime.fromisoformat(silence[k].replace("Z", "+00:00")) for k in ("startsAt", "endsAt"))
    check(abs((end - start).total_seconds() - 7200) < 1, f"{silence}")
    ctl("silence", "expire", id_, remote)
    check(id_ not in ctl("silence", "query", remote) and "expired" in ctl("silence", "query", "--expired", remote), "it goes on")
    ok, said = amtool("silence", "add", theirs, "-a", "me", "-c", "why", "Slow")
    check(ok and said.strip() in ctl("silence", "query", "Slow", remote), said)
    check("00000000" in ctl("silence", "expire", "00000000-0000-0000-0000-000000000000", remote, status=1), "no such silence")


def test_silences_at_debians_alertmanager(t):
    drive_silences(Alertmanager(t).wait_ready().addr)


def orrery(t, method, path):
    """One whose alertmanager has that part of the API."""
    o = Single(t, args=["--auth.mode=optional", f"--alertmanager.config-file={write(f'{t.dir}/am.yml', CONFIG)}"]).wait_ready()
    r = http_call(o.addr, method, path, "{}", {"X-Scope-OrgID": "team", "Content-Type": "application/json"})
    if r.status in (405, 422, 501):
        raise Skip(f"{method} {path}: {r.status} {r.text.strip()}")
    return o


def test_silences_at_orrerys_alertmanager(t):
    drive_silences(orrery(t, "POST", "/api/v2/silences").addr)


def test_configurations_are_loaded_into_orrery(t):
    o = orrery(t, "DELETE", "/api/v1/alerts")
    remote = [f"--address={o.addr}", "--tenant=team"]
    ctl("load", f"{t.dir}/am.yml", write(f"{t.dir}/a.tmpl", '{{ define "x" }}y{{ end }}'), *remote)
    said = ctl("get", *remote)
    check("web-pages" in said and "a.tmpl" in said, said)
    ctl("load", write(f"{t.dir}/b.yml", "route: {}"), *remote, status=1)
    ctl("delete", *remote)


class Keeper:
    """Keeps a tenant's configuration as Mimir does."""

    def __init__(self, t):
        outer, self.kept, self.tenants = self, None, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, text=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self):
                outer.tenants.append(self.headers.get("X-Scope-OrgID"))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if b"bad" in body:
                    self.answer(400, b"error validating Alertmanager config: it is bad")
                    return
                outer.kept = body
                self.answer(201)

            def do_GET(self):
                self.answer(200 if outer.kept else 404, outer.kept or b"the Alertmanager is not configured")

            def do_DELETE(self):
                outer.kept = None
                self.answer(200)

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addr = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        t.add(self)

    def stop(self):
        self.server.shutdown()

    def finding(self):
        return None

    def tail(self):
        return ""


def test_configurations_are_loaded_as_mimir_takes_them(t):
    keeper = Keeper(t)
    remote = [f"--address=http://{keeper.addr}/", "--tenant=team"]
    template = write(f"{t.dir}/my 1.tmpl", '{{ define "x" }}\n"ü" \t: #{{ end }}\n')
    check("not configured" in ctl("get", *remote, status=1), "something is there")
    ctl("load", write(f"{t.dir}/am.yml", CONFIG), template, *remote)
    check(keeper.tenants == ["team"], f"{keeper.tenants}")
    kept = write(f"{t.dir}/kept.yml", ctl("get", *remote))
    # what a reader of YAML makes of it: Debian's promtool has none for such files, so by lines of JSON
    lines = open(kept, encoding="utf-8").read().splitlines()
    check(lines[0].startswith("alertmanager_config: ") and json.loads(lines[0].split(": ", 1)[1]) == CONFIG, lines[0])
    name, text = lines[2].strip().split(": ", 1)
    check(lines[1] == "template_files:" and json.loads(name) == "my 1.tmpl", f"{lines}")
    check(json.loads(text) == open(template, encoding="utf-8").read(), text)
    check("it is bad" in ctl("load", write(f"{t.dir}/b.yml", "bad"), *remote, status=1), "a refusal is no error")
    ctl("delete", *remote)
    check(keeper.kept is None, "it is still there")
    ctl("load", f"{t.dir}/nowhere.yml", *remote, status=1)


if __name__ == "__main__":
    main()
