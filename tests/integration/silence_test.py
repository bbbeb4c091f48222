#!/usr/bin/env python3
"""Silences and tenants' configurations among three alertmanagers."""
import html
import json
import os
import re
import time
import urllib.parse

from alert_test import wait_for_peers
from amtool_test import call, post_alerts, set_silence, silence_of
from orrery_test import TENANT, Cluster, Single, Webhook, check, http_call, main, wait_for

CONFIG = """
route: {receiver: hook, group_by: [alertname], group_wait: 2s, group_interval: 5s, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: 'URL', send_resolved: false}]
"""
ARGS = ["--ingesters", "1", "--queriers", "1", "--compactors", "1", "--rulers", "1", "--alertmanagers", "3"]


def cluster(t, hook, *options):
    with open(f"{t.dir}/alertmanager.yml", "w", encoding="utf-8") as f:
        f.write(CONFIG.replace("URL", hook.url))
    with open(f"{t.dir}/orrery.yml", "w", encoding="utf-8") as f:
        f.write(f"alertmanager: {{config-file: {t.dir}/alertmanager.yml, peer-timeout: 2s, tenants-poll: 1h}}\n")
    c = Cluster(t, args=["--config", f"{t.dir}/orrery.yml", *ARGS, *options])
    wait_for_peers(c)
    return c


def has(addr, sid, state="active"):
    r = call(addr, "GET", f"/api/v2/silence/{sid}")
    return r.status == 200 and r.json["status"]["state"] == state


def test_a_silence_holds_on_all_at_once_and_survives_what_dies(t):
    hook = Webhook(t)
    c = cluster(t, hook)
    addrs = c.addrs("alertmanager")
    slowest = 0
    for i in range(9):  # each of them in turn
        sid = set_silence(addrs[i % 3], value=f"S{i}")
        began = time.monotonic()
        wait_for("it to hold on all", lambda: all(has(a, sid) for a in addrs), 10, 0.01)
        slowest = max(slowest, time.monotonic() - began)
        r = call(addrs[(i + 1) % 3], "DELETE", f"/api/v2/silence/{sid}")  # ended by another
        check(r.status == 200, f"{r.status} {r.text}")
        wait_for("its end to hold on all", lambda: all(has(a, sid, "expired") for a in addrs), 10, 0.01)
    print(f"   the slowest of 9 silences held on all {slowest * 1000:.0f} ms after its answer", flush=True)
    quiet = set_silence(addrs[0], value="Quiet")
    post_alerts(addrs[1], {"alertname": "Quiet"}, {"alertname": "Loud"})
    wait_for("the loud one", lambda: hook.count(alertname="Loud"), 30)
    time.sleep(8)  # the turns of all three, and a flush more
    check(hook.count(alertname="Quiet") == 0, f"told of what is silenced: {hook.received}")
    # one dies as soon as it has answered: the others have it, and it has it when it comes back
    name = c.names("alertmanager")[2]
    last = set_silence(addrs[2], value="Last")
    c.run("kill", name)
    check(all(has(a, last) for a in addrs[:2]), "those that live have no silence")
    ended = set_silence(addrs[0], value="Meanwhile")
    call(addrs[0], "DELETE", f"/api/v2/silence/{quiet}")
    c.run("restart", name)
    wait_for("it to be back, and to know", lambda: has(addrs[2], last) and has(addrs[2], ended) and
             has(addrs[2], quiet, "expired"), 60)
    wait_for("what is silenced no more", lambda: hook.count(alertname="Quiet"), 30)
    # all die
    for n in c.names("alertmanager"):
        c.run("kill", n)
    for n in c.names("alertmanager"):
        c.run("restart", n)
    wait_for("all to be back", lambda: all(has(a, last) and has(a, quiet, "expired") for a in addrs), 60)


def own_config(url, receiver="own", template="own"):
    return json.dumps({  # a document of JSON is one of YAML
        "template_files": {"own.tmpl": '{{ define "own" }}told by {{ .Receiver }}{{ end }}', "unused.tmpl": "{{ bad"},
        "alertmanager_config":
            f"templates: [own.tmpl]\nroute: {{receiver: {receiver}, group_wait: 1s}}\nreceivers:\n- name: {receiver}\n"
            f"  webhook_configs: [{{url: '{url}'}}]\n"})


def config_call(addr, method, body=None, tenant=TENANT, path="/api/v1/alerts"):
    return http_call(addr, method, path, body, {"X-Scope-OrgID": tenant, "Content-Type": "application/yaml"})


def receivers(addr, tenant=TENANT):
    return [r["name"] for r in call(addr, "GET", "/api/v2/receivers", tenant=tenant).json]


def test_a_tenant_brings_his_own_configuration(t):
    hook, own = Webhook(t), Webhook(t)
    c = cluster(t, hook)
    addrs = c.addrs("alertmanager")
    r = config_call(addrs[0], "GET")
    check(r.status == 404, f"{r.status} {r.text}")
    r = config_call(addrs[0], "POST", own_config(own.url))
    check(r.status == 201, f"{r.status} {r.text}")
    for a in addrs:  # polls are hours away: those who did not get it were told
        wait_for("the configuration to hold", lambda: receivers(a) == ["own"], 5, 0.05)
        check(receivers(a, "other") == ["hook"], "another tenant has it")
        got = config_call(a, "GET")
        check(got.status == 200 and "alertmanager_config:" in got.text and "own.tmpl" in got.text, got.text)
    post_alerts(addrs[1], {"alertname": "Mine"})
    wait_for("his receiver", lambda: own.count(alertname="Mine"), 30)
    check(hook.count() == 0, f"{hook.received}")
    # a bad one changes nothing, and says why
    for body, status, why in ((own_config(own.url).replace("receiver: own", "receiver: nobody"), 400, "nobody"),
                              ("alertmanager_config: 'route: ['", 400, "alertmanager_config:2"),
                              (own_config(own.url).replace("unused.tmpl", "../x"), 400, "no file name"),
                              (own_config(own.url).replace("own.tmpl]", "unused.tmpl]"), 400, "unused.tmpl"),
                              ("alertmanager_config: |\n  global: {smtp_auth_password_file: /etc/passwd}\n"
                               "  route: {receiver: a}\n  receivers: [{name: a}]\n", 400, "not for tenants"),
                              ("alertmanager_config: " + "x" * 1100000, 422, "alertmanager_max_config_size_bytes")):
        r = config_call(addrs[0], "POST", body)
        check(r.status == status and why in r.text, f"{body[:200]}: {r.status} {r.text[:300]}")
    check(all(receivers(a) == ["own"] for a in addrs), "a bad configuration holds")
    # it survives all dying
    for n in c.names("alertmanager"):
        c.run("kill", n)
    for n in c.names("alertmanager"):
        c.run("restart", n)
    for a in addrs:
        wait_for("it to hold again", lambda: receivers(a) == ["own"], 60)
    r = config_call(addrs[2], "DELETE")
    check(r.status == 200, f"{r.status} {r.text}")
    for a in addrs:
        wait_for("the fallback to hold", lambda: receivers(a) == ["hook"], 5, 0.05)
    check(config_call(addrs[1], "GET").status == 404, "it is still there")


def test_configurations_come_from_the_bucket_or_the_disk(t):
    """Put there by Mimir, as it were; and what is known of them when the bucket is not there."""
    o = Single(t, args=["--alertmanager.tenants-poll=1s"]).wait_ready()
    bucket = f"{o.dir}/data/bucket/alerts"
    config = b"route: {receiver: b}\nreceivers: [{name: b}]\n"

    def put(tenant, text):
        os.makedirs(bucket, exist_ok=True)
        with open(f"{bucket}/{tenant}.tmp", "wb") as f:
            f.write(b"\x0a" + bytes([len(tenant)]) + tenant.encode() + b"\x12" + bytes([len(text)]) + text)
        os.rename(f"{bucket}/{tenant}.tmp", f"{bucket}/{tenant}")

    put(TENANT, config)
    wait_for("it to be read", lambda: receivers(o.addr) == ["b"], 20)
    r = config_call(o.addr, "GET", path="/alertmanager/api/v1/alerts")
    check(r.status == 200 and "receiver: b" in r.text, f"{r.status} {r.text}")
    put(TENANT, config.replace(b"b}", b"c}").replace(b"b}", b"c}"))  # as long, perhaps as old
    wait_for("the change", lambda: receivers(o.addr) == ["c"], 20)
    put(TENANT, b"route: {receiver: nobody}\n")
    wait_for("the refusal", lambda: "configuration of a tenant refused" in o.tail(200), 20)
    check(receivers(o.addr) == ["c"], "what held before does not")
    put(TENANT, config)
    wait_for("it to be read", lambda: receivers(o.addr) == ["b"], 20)
    o.stop()
    os.rename(bucket, bucket + ".away")
    os.symlink("alerts", bucket)  # leads to itself: it cannot be listed
    o.start()
    o.wait_ready()
    check(receivers(o.addr) == ["b"], "without the bucket the disk's does not hold")


def page(o, path, form=None, **headers):
    body = urllib.parse.urlencode(form) if form is not None else None
    return http_call(o.addr, "POST" if form is not None else "GET", f"/alertmanager{path}", body,
                     {"X-Scope-OrgID": TENANT, "Content-Type": "application/x-www-form-urlencoded", **headers})


def test_pages_for_people(t):
    o = Single(t).wait_ready()
    evil = "<script>alert(1)</script>\"'"
    post_alerts(o.addr, {"alertname": "Foo", "team": evil}, {"alertname": "Bar"})
    r = page(o, "")
    check(r.status == 302 and r.headers["location"] == "alertmanager/alerts", f"{r.status} {r.headers}")
    r = page(o, "/alerts")
    check(r.status == 200 and "Foo" in r.text and "Bar" in r.text, r.text)
    check("<script" not in r.text and "&lt;script&gt;" in r.text, r.text)
    check("default-src 'none'" in r.headers["content-security-policy"], f"{r.headers}")
    link = re.search(r'href="(silences[?]new=[^"]*Foo[^"]*)"', r.text).group(1)
    r = page(o, "/alerts?matchers=" + urllib.parse.quote('alertname=~"B.*"'))
    check("Foo" not in r.text and "Bar" in r.text, r.text)
    # the form comes with the matchers of the alert, and does what it says
    form = page(o, "/" + link).text
    matchers = html.unescape(re.search(r'name="matchers"[^>]* value="([^"]*)"', form).group(1))
    r = page(o, "/silences", {"matchers": matchers, "duration": "1h", "createdBy": evil, "comment": "c"})
    check(r.status == 303 and r.headers["location"] == "silences", f"{r.status} {r.text}")
    r = page(o, "/silences")
    check("<script" not in r.text and ">active<" in r.text, r.text)
    sid = re.search(r'name="id" value="([^"]*)"', r.text).group(1)
    got = call(o.addr, "GET", f"/api/v2/silence/{sid}").json
    check({m["name"]: m["value"] for m in got["matchers"]} == {"alertname": "Foo", "team": evil}, f"{got}")
    check("silences#" + sid in page(o, "/alerts").text, "the alert does not say what silences it")
    for form, status, why in (({"matchers": "", "duration": "1h"}, 400, "at least one matcher"),
                              ({"matchers": "a=b", "duration": "long"}, 400, "duration"),
                              ({"matchers": "{{", "duration": "1h"}, 400, "")):
        r = page(o, "/silences", {"createdBy": "x", "comment": "x", **form})
        check(r.status == status and why in r.text, f"{form}: {r.status} {r.text}")
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere"}):
        r = page(o, "/silences/expire", {"id": sid}, **header)
        check(r.status == 403, f"{header}: {r.status} {r.text}")
    r = page(o, "/silences/expire", {"id": sid}, Origin=f"http://{o.addr}")
    check(r.status == 303 and r.headers["location"] == "../silences", f"{r.status} {r.text}")
    check(">expired<" in page(o, "/silences").text, "it has not expired")
    r = page(o, "/status")
    check(r.status == 200 and "Configuration" in r.text, r.text)
    for path in ("/alerts", "/silences", "/status"):
        check(not re.search(r'(src|href|action)="?(https?:)?//', page(o, path).text), f"{path} asks others")


if __name__ == "__main__":
    main()
