#!/usr/bin/env python3
"""Alertmanager's API v2: what amtool (Debian's) does with it, and that answers are what its OpenAPI document says."""
import datetime
import json
import os
import shutil
import subprocess

import openapi
from orrery_test import ROOT, TENANT, Single, Skip, api, check, http_call, main, wait_for

OPENAPI = os.path.join(os.path.dirname(ROOT), "shared/conformance/alertmanager/openapi.yaml")
CONFIG = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 1s
  routes:
    - {receiver: pager, matchers: ['severity="page"'], continue: true, mute_time_intervals: [always]}
    - {receiver: db, matchers: ['team=~"db.*"']}
receivers:
  - {name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/secret'}]}
  - {name: pager, webhook_configs: [{url: 'http://127.0.0.1:1/secret'}]}
  - {name: db}
inhibit_rules:
  - {source_matchers: ['alertname="Parent"'], target_matchers: ['alertname="Child"']}
time_intervals:
  - {name: always, time_intervals: [{years: ['2000:3000']}]}
"""


def start(t, *args, config=CONFIG):
    with open(f"{t.dir}/alertmanager.yml", "w", encoding="utf-8") as f:
        f.write(config)
    return Single(t, args=[f"--alertmanager.config-file={t.dir}/alertmanager.yml", *args]).wait_ready()


def stamp(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def call(addr, method, path, body=None, tenant=TENANT):
    return http_call(addr, method, path, json.dumps(body) if body is not None else None,
                     {"X-Scope-OrgID": tenant, "Content-Type": "application/json"})


def post_alerts(addr, *labels):
    r = call(addr, "POST", "/api/v2/alerts", [
        {"labels": ls, "annotations": {"summary": "s"}, "endsAt": stamp(3600), "generatorURL": "http://x/y"}
        for ls in labels])
    check(r.status == 200, f"{r.status} {r.text}")


def silence_of(name="alertname", value="Foo", starts=0, ends=3600, **more):
    return {"matchers": [{"name": name, "value": value, "isRegex": False}], "startsAt": stamp(starts),
            "endsAt": stamp(ends), "createdBy": "me", "comment": "why", **more}


def set_silence(addr, **kw):
    r = call(addr, "POST", "/api/v2/silences", silence_of(**kw))
    check(r.status == 200, f"{r.status} {r.text}")
    return r.json["silenceID"]


def amtool(o, *args, ok=True):
    r = subprocess.run(["amtool", f"--alertmanager.url=http://{o.addr}", "--no-version-check", *args],
                       capture_output=True, text=True, timeout=60)
    check((r.returncode == 0) == ok, f"amtool {args}: {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout + r.stderr


def alerts_of(o, *args):
    return [a["labels"]["alertname"] for a in json.loads(amtool(o, "alert", "query", "-o", "json", *args))]


def test_amtool(t):
    if not shutil.which("amtool"):
        raise Skip("no amtool (Debian: prometheus-alertmanager)")
    o = start(t, "--auth.mode=optional")  # this amtool cannot name a tenant
    amtool(o, "alert", "add", "alertname=Foo", "severity=page", "node=a b", "--annotation=summary=x")
    amtool(o, "alert", "add", "alertname=Bar", "team=db1")
    check(sorted(alerts_of(o)) == ["Bar", "Foo"], "both")
    check(alerts_of(o, "severity=page") == ["Foo"] and alerts_of(o, "Bar") == ["Bar"], "filters")
    check(alerts_of(o, "--receiver=db") == ["Bar"], "of a receiver")

    sid = amtool(o, "silence", "add", "alertname=Foo", 'node=~"a .*"', "-c", "why", "-a", "me", "-d", "1h").strip()
    check(alerts_of(o) == ["Bar"] and alerts_of(o, "--silenced") == ["Foo"], "silenced")
    check(amtool(o, "silence", "query", "-q").split() == [sid], "query")
    check(amtool(o, "silence", "query", "-q", "alertname=Foo").split() == [sid], "query of a matcher")
    check(amtool(o, "silence", "query", "-q", "alertname=Other").split() == [], "query of another")
    got = amtool(o, "silence", "update", "-d", "3h", "-c", "longer", sid)
    check(sid in got and "longer" in got, got)
    check("must not match the empty" in amtool(o, "silence", "add", 'x=~".*"', "-c", "c", ok=False), "empty match")
    amtool(o, "silence", "expire", sid)
    check(sorted(alerts_of(o)) == ["Bar", "Foo"], "after the end")
    check(amtool(o, "silence", "query", "-q").split() == [], "none is left")
    check(amtool(o, "silence", "query", "-q", "--expired").split() == [sid], "it is kept")
    with open(f"{t.dir}/silences.json", "w", encoding="utf-8") as f:
        json.dump([silence_of(value="Imported")], f)
    amtool(o, "silence", "import", f"{t.dir}/silences.json")
    check("Imported" in amtool(o, "silence", "query"), "import")

    check("secret" not in amtool(o, "config", "show").replace("<secret>", ""), "a secret is shown")
    routes = amtool(o, "config", "routes")
    check("receiver: pager" in routes and "receiver: db" in routes, routes)
    check(amtool(o, "config", "routes", "test", "severity=page", "team=db2").strip() == "pager,db", "route")
    check(amtool(o, "config", "routes", "test", "a=b").strip() == "hook", "route")
    check("ready" in amtool(o, "cluster", "show"), "cluster")
    check("SUCCESS" in amtool(o, "check-config", f"{t.dir}/alertmanager.yml"), "check-config")


def state_of(o, name, **params):
    """state, silencedBy, inhibitedBy of an alert; None if it is not there."""
    for a in api(o.addr, "/api/v2/alerts", params).json:
        if a["labels"]["alertname"] == name:
            s = a["status"]
            return s["state"], s["silencedBy"], s["inhibitedBy"]
    return None


def test_alerts_say_what_mutes_them(t):
    o = start(t)
    post_alerts(o.addr, {"alertname": "Parent"}, {"alertname": "Child"}, {"alertname": "Foo", "severity": "page"},
                {"alertname": "Loud"})
    sid = set_silence(o.addr)
    check(state_of(o, "Loud") == ("active", [], []), f"{state_of(o, 'Loud')}")
    check(state_of(o, "Foo") == ("suppressed", [sid], []), f"{state_of(o, 'Foo')}")
    kind, _, by = state_of(o, "Child")
    check(kind == "suppressed" and len(by) == 1, f"{state_of(o, 'Child')}")
    names = lambda **p: sorted(a["labels"]["alertname"] for a in api(o.addr, "/api/v2/alerts", p).json)
    check(names(silenced="false") == ["Child", "Loud", "Parent"], f"{names(silenced='false')}")
    check(names(inhibited="false") == ["Foo", "Loud", "Parent"], f"{names(inhibited='false')}")
    check(names(active="false") == ["Child", "Foo"], f"{names(active='false')}")
    check(names(filter='alertname=~"Lo.*"') == ["Loud"], f"{names(filter='alertname=~Lo.*')}")
    check(names(receiver="pa.*") == ["Foo"], "of a receiver")
    check(names(receiver_matchers='name="pager"') == ["Foo"], "of a receiver's labels")
    groups = lambda **p: {(g["receiver"]["name"], g["labels"].get("alertname")): [
        (a["status"]["state"], a["status"]["mutedBy"]) for a in g["alerts"]]
        for g in api(o.addr, "/api/v2/alerts/groups", p).json}
    check(groups()[("pager", "Foo")] == [("suppressed", ["always"])], f"{groups()}")
    check(("pager", "Foo") not in groups(muted="false"), f"{groups(muted='false')}")
    r = api(o.addr, "/api/v2/alerts", {"silenced": "perhaps"})
    check(r.status == 400 and "true or false" in r.text, f"{r.status} {r.text}")
    # another tenant
    check(call(o.addr, "GET", f"/api/v2/silence/{sid}", tenant="other").status == 404, "a tenant sees another's")
    check(call(o.addr, "DELETE", f"/api/v2/silence/{sid}", tenant="other").status == 404, "a tenant ends another's")
    check(call(o.addr, "DELETE", f"/api/v2/silence/{sid}").status == 200, "ended")
    check(state_of(o, "Foo") == ("active", [], []), f"{state_of(o, 'Foo')}")


def test_silences_are_bounded_and_refused_with_reasons(t):
    o = start(t, "--limits.alertmanager-max-silences-count=2")
    for body, status, why in (
            ("{", 400, "body"), ([], 400, "a silence is wanted"), ({}, 400, "required"),
            (silence_of(ends=-10), 400, "before end time"),
            (silence_of(starts=-20, ends=-10), 400, "in the past"),
            ({**silence_of(), "matchers": []}, 400, "at least one matcher"),
            ({**silence_of(), "matchers": [{"name": "a", "value": "(", "isRegex": True}]}, 400, "matcher"),
            ({**silence_of(), "matchers": [{"name": "a", "value": "((((a{99}){99}){99}){99}){99}", "isRegex": True}]},
             400, "matcher"),
            ({**silence_of(), "comment": "x" * 70000}, 422, "bytes"),
            (silence_of(id="no-such"), 404, "not found")):
        r = http_call(o.addr, "POST", "/api/v2/silences", body if isinstance(body, str) else json.dumps(body),
                      {"X-Scope-OrgID": TENANT, "Content-Type": "application/json"})
        check(r.status == status and why in r.text, f"{str(body)[:200]}: {r.status} {r.text[:300]}")
    set_silence(o.addr)
    set_silence(o.addr, ends=10**11)  # for ever
    r = call(o.addr, "POST", "/api/v2/silences", silence_of())
    check(r.status == 422 and "alertmanager_max_silences_count" in r.text, f"{r.status} {r.text}")
    r = call(o.addr, "POST", "/api/v2/silences", silence_of(), tenant="other")
    check(r.status == 200, f"{r.status} {r.text}")


def test_answers_are_what_the_document_says(t):
    if not os.path.exists(OPENAPI):
        raise Skip(f"no {OPENAPI}")
    spec = openapi.Spec(OPENAPI, extra=["unsupported"])
    o = start(t)
    post_alerts(o.addr, {"alertname": "Parent"}, {"alertname": "Child"}, {"alertname": "Foo", "severity": "page"})
    seen = 0

    def ask(method, path, body=None, of=None, status=200):
        r = call(o.addr, method, f"/api/v2{path}", body)
        check(r.status == status, f"{method} {path}: {r.status} {r.text}")
        found = spec.check(of or path, method.lower(), r.status, json.loads(r.text) if r.text else None)
        check(not found, f"{method} {path}: {found}\n{r.text}")
        return json.loads(r.text) if r.text else None

    sid = ask("POST", "/silences", silence_of(annotations={"ticket": "1"}))["silenceID"]
    ask("POST", "/silences", silence_of(starts=1800))
    old = ask("POST", "/silences", silence_of(value="Old"))["silenceID"]
    ask("DELETE", f"/silence/{old}", of="/silence/{silenceID}")
    got = ask("GET", f"/silence/{sid}", of="/silence/{silenceID}")
    check(got["annotations"] == {"ticket": "1"}, f"{got}")
    states = [s["status"]["state"] for s in ask("GET", "/silences")]
    check(states == ["active", "pending", "expired"], f"{states}")
    check(len(ask("GET", "/alerts")) == 3, "alerts")
    seen += len(ask("GET", "/alerts/groups"))
    check(seen == 3, f"{seen} groups")
    check(len(ask("GET", "/receivers")) == 3, "receivers")
    ask("GET", "/status")
    ask("POST", "/alerts", [{"labels": {"alertname": "A"}}])
    ask("POST", "/alerts", [{"labels": {}}], status=400)
    ask("POST", "/silences", silence_of(ends=-1), status=400)
    ask("POST", "/silences", silence_of(id="x"), status=404)
    call(o.addr, "GET", "/api/v2/silence/x")
    call(o.addr, "DELETE", "/api/v2/silence/x")
    r = call(o.addr, "GET", "/api/v2/alerts?filter=%7B%7B")
    check(r.status == 400 and not spec.check("/alerts", "get", 400, r.json), f"{r.status} {r.text}")


def test_a_silence_that_was_answered_survives_a_kill(t):
    o = start(t)
    for i in range(3):
        sid = set_silence(o.addr, value=f"V{i}")
        o.kill()
        o.start()
        o.wait_ready()
        r = call(o.addr, "GET", f"/api/v2/silence/{sid}")
        check(r.status == 200 and r.json["status"]["state"] == "active", f"{r.status} {r.text}")
    call(o.addr, "DELETE", f"/api/v2/silence/{sid}")
    o.kill()
    o.start()
    o.wait_ready()
    states = sorted(s["status"]["state"] for s in call(o.addr, "GET", "/api/v2/silences").json)
    check(states == ["active", "active", "expired"], f"{states}")
    wait_for("the gauge", lambda: "\norrery_alertmanager_silences_active 2\n" in
             http_call(o.addr, "GET", "/metrics").text, 40)


if __name__ == "__main__":
    main()
