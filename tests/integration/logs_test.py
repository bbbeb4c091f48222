#!/usr/bin/env python3
"""Log lines with whole processes: in by every HTTP protocol, there after kill -9, limits, bad input, replicas."""
import json
import os
import time

from orrery_test import TENANT, Cluster, Single, check, http_call, main, wait_for

JSON = {"Content-Type": "application/json"}


def now_ns():
    return time.time_ns()


def push(addr, streams, tenant=TENANT):
    """streams: [(labels, [(ns, line[, metadata])])]."""
    body = {"streams": [{"stream": labels, "values": [[str(v[0]), *v[1:]] for v in values]}
                        for labels, values in streams]}
    return http_call(addr, "POST", "/loki/api/v1/push", json.dumps(body).encode(),
                     {**JSON, "X-Scope-OrgID": tenant})


def push_ok(addr, streams, **kw):
    r = push(addr, streams, **kw)
    check(r.status == 204, f"{r.status} {r.text}")


def held(addr, selector, tenant=TENANT, **params):
    """What the ingester holds: {labels as JSON: [[ns, line, metadata…]]}."""
    from urllib.parse import urlencode
    params = {"query": selector, "limit": 100000, **params}
    r = http_call(addr, "GET", "/ingester/logs?" + urlencode(params), headers={"X-Scope-OrgID": tenant})
    check(r.status == 200, f"{r.status} {r.text}")
    got = {}
    for line in r.text.splitlines():
        x = json.loads(line)
        labels = {k: v for k, v in x["stream"].items() if k != "service_name"}
        got[json.dumps(labels, sort_keys=True)] = [[int(v[0]), *v[1:]] for v in x["values"]]
    return got


def lines_of(addr, selector, **kw):
    return sorted(v[1] for values in held(addr, selector, **kw).values() for v in values)


def flush(addr, tenant=TENANT):
    r = http_call(addr, "POST", f"/ingester/flush?tenant={tenant}", timeout=180)
    check(r.status in (200, 204), f"{r.status} {r.text}")


def bucket(o):
    return f"{o.blocks.path()}/logs/{TENANT}"


def live(o):
    """Blocks that the catalogue names."""
    path = f"{bucket(o)}/catalogue"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return json.load(f)["blocks"]


def counter(addr, name):
    text = http_call(addr, "GET", "/metrics").text
    return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(name))


def test_every_http_protocol_is_kept(t):
    o = Single(t).wait_ready()
    ts = now_ns()
    push_ok(o.addr, [({"app": "loki"}, [(ts, "one", {"id": "7"}), (ts, "two"), (ts, "one", {"id": "7"})])])
    otlp = {"resourceLogs": [{"resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "otlp"}}]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": str(ts), "body": {"stringValue": "three"}}]}]}]}
    for addr in (o.addr, o.otlp_http):
        path = "/v1/logs" if addr == o.otlp_http else "/otlp/v1/logs"
        r = http_call(addr, "POST", path, json.dumps(otlp).encode(), {**JSON, "X-Scope-OrgID": TENANT})
        check(r.status == 200, f"{r.status} {r.text}")
    bulk = '{"create":{"_index":"idx"}}\n{"@timestamp":%d,"message":"four"}\n' % (ts // 1000000)
    r = http_call(o.addr, "POST", "/_bulk", bulk.encode(),
                  {"Content-Type": "application/x-ndjson", "X-Scope-OrgID": TENANT})
    check(r.status == 200 and not r.json["errors"], f"{r.status} {r.text}")
    r = http_call(o.addr, "POST", "/insert/jsonline?_stream_fields=app",
                  b'{"app":"lines","_msg":"five"}\n', {**JSON, "X-Scope-OrgID": TENANT})
    check(r.status == 204, f"{r.status} {r.text}")
    got = held(o.addr, '{service_name=~".+"}')
    all_lines = [v[1] for values in got.values() for v in values]
    for part in ("one", "two", "three", "four", "five"):
        check(sum(part in x for x in all_lines) == 1, f"{part} in {got}")
    values = held(o.addr, '{app="loki"}')['{"app": "loki"}']
    check([v[1] for v in values] == ["one", "two"], f"{values}")
    check(values[0][2]["id"] == "7", f"{values}")


def test_nothing_acknowledged_is_lost_when_killed(t):
    o = Single(t, args=["--ingester.logs-seal-bytes=64KiB", "--ingester.wal-segment-bytes=1MiB"])
    o.wait_ready()
    ts, sent = now_ns(), []
    for round_ in range(2):
        for i in range(40):
            lines = [f"round {round_} push {i} line {k} " + "x" * 200 for k in range(25)]
            push_ok(o.addr, [({"app": f"a{i % 7}"}, [(ts + len(sent) + k, x) for k, x in enumerate(lines)])])
            sent += lines
        o.kill()
        o.start()
        o.wait_ready()
        check(lines_of(o.addr, '{app=~"a.+"}') == sorted(sent), f"after {round_ + 1} kills")
    check(counter(o.addr, "orrery_loghead_frames{") > 0, "nothing was sealed")
    # the same again is there once
    push_ok(o.addr, [({"app": "a0"}, [(ts, sent[0])])])
    check(lines_of(o.addr, '{app=~"a.+"}') == sorted(sent), "sent twice")
    newest = held(o.addr, '{app="a1"}', direction="backward", limit=3)['{"app": "a1"}']
    check([v[0] for v in newest] == sorted((v[0] for v in newest), reverse=True), f"{newest}")
    o.stop()
    o.start()
    o.wait_ready()
    check(lines_of(o.addr, '{app=~"a.+"}') == sorted(sent), "after a stop")


def test_limits_and_bad_input(t):
    o = Single(t, args=["--limits.max-global-streams-per-user=5"])
    o.wait_ready()
    ts = now_ns()
    for i in range(5):
        push_ok(o.addr, [({"app": f"a{i}"}, [(ts, "x")])])
    r = push(o.addr, [({"app": "one-more"}, [(ts, "x")]), ({"app": "a0"}, [(ts, "stored")])])
    check(r.status == 429, f"{r.status} {r.text}")
    check("max_global_streams_per_user" in r.text and "one-more" in r.text, r.text)
    check(lines_of(o.addr, '{app="a0"}') == ["stored", "x"], "what keeps to the limit is stored")
    push_ok(o.addr, [({"app": "b"}, [(ts, "x")])], tenant="other")  # others notice nothing
    check(lines_of(o.addr, '{app="b"}') == [], "a tenant sees another's lines")
    for body, headers in ((b"\xff\x00garbage", {"Content-Type": "application/x-protobuf"}),
                          (b'{"streams":[{"stream":', JSON), (b"[" * 10000, JSON)):
        r = http_call(o.addr, "POST", "/loki/api/v1/push", body, {**headers, "X-Scope-OrgID": TENANT})
        check(r.status == 400, f"{r.status} {r.text}")
    r = http_call(o.addr, "GET", "/ingester/logs?query=%7Bapp%3D", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 400, f"{r.status} {r.text}")
    odd = "nul \0 and \u2603 and \\ \" \n"
    push_ok(o.addr, [({"app": "a1"}, [(ts + 1, odd)])])
    check(odd in lines_of(o.addr, '{app="a1"}'), "odd characters")


def test_rules_drop_sample_scrub_and_relabel(t):
    overrides = os.path.join(t.dir, "overrides.yaml")

    def write(rules):
        with open(overrides + ".new", "w", encoding="utf-8") as f:
            json.dump({"overrides": {TENANT: rules}}, f)  # JSON is YAML
        os.replace(overrides + ".new", overrides)
    write({"log_rules": [
        {"name": "no-debug", "action": "drop", "selector": '{app="shop"}', "regex": "level=debug"},
        {"name": "secrets", "action": "scrub", "classes": ["card", "email", "ip", "bearer"], "replacement": "***"},
        {"name": "passwords", "action": "scrub", "pattern": "password=\\S+", "replacement": "password=?"},
        {"name": "tenth", "action": "sample", "selector": '{app="access"}', "share": 0.1}],
        "log_relabel_configs": [{"action": "labeldrop", "regex": "pod_.*"},
                                {"action": "drop", "source_labels": ["app"], "regex": "noise"}]})
    o = Single(t, args=[f"--limits.overrides-file={overrides}", "--limits.overrides-period=1s"])
    o.wait_ready()
    ts = now_ns()
    for _ in range(2):  # sent again: the same lines
        push_ok(o.addr, [
            ({"app": "shop", "pod_uid": "1"}, [
                (ts, "level=debug x"), (ts, "level=info card 4111-1111-1111-1111 of a@b.example password=hunter2",
                                        {"client": "10.1.2.3"}),
                (ts, "Authorization: Bearer abcdefgh1234")]),
            ({"app": "shop", "pod_uid": "2"}, [(ts, "level=info plain")]),
            ({"app": "noise"}, [(ts, "x")]),
            ({"app": "access"}, [(ts + i, f"GET /{i}") for i in range(2000)])])
    got = held(o.addr, '{app="shop"}')
    check(list(got) == ['{"app": "shop"}'], f"{list(got)}")
    values = {v[1]: v[2] for v in list(got.values())[0]}
    check(set(values) == {"level=info card *** of *** password=?", "Authorization: Bearer ***", "level=info plain"},
          f"{values}")
    check(values["level=info card *** of *** password=?"]["client"] == "***", f"{values}")
    check(lines_of(o.addr, '{app="noise"}') == [], "a dropped stream")
    kept = len(lines_of(o.addr, '{app="access"}'))
    check(120 < kept < 280, f"{kept} of 2000 kept")
    for rule, n in (("no-debug", 2), ("secrets", 4), ("passwords", 2), ("tenth", 2 * (2000 - kept)),
                    ("log_relabel_configs", 2)):
        text = f'orrery_log_rule_lines_total{{tenant="{TENANT}",rule="{rule}"'
        check(counter(o.addr, text) == n, f"{rule}: {counter(o.addr, text)}, not {n}")
    push_ok(o.addr, [({"app": "shop"}, [(ts, "level=debug of another tenant")])], tenant="other")
    check(lines_of(o.addr, '{app="shop"}', tenant="other") == ["level=debug of another tenant"], "another tenant's")
    write({})  # from now on
    wait_for("rules to be gone", lambda: (push_ok(o.addr, [({"app": "noise"}, [(ts, "x")])]),
                                          lines_of(o.addr, '{app="noise"}') == ["x"])[1])


def test_full_memory_and_full_disk_are_errors_not_losses(t):
    o = Single(t, args=["--ingester.logs-open-bytes=1MiB", "--ingester.logs-seal-bytes=64KiB"],
               env={"ORRERY_FAULT": "logfile.create=ENOSPC"})
    o.wait_ready()
    ts, sent, refused = now_ns(), [], 0
    for i in range(40):
        line = f"{i} " + "y" * 50000
        r = push(o.addr, [({"app": "big"}, [(ts + i, line)])])
        if r.status == 204:
            sent.append(line)
        else:
            check(r.status == 503, f"{r.status} {r.text}")
            refused += 1
    check(refused > 0 and sent, f"{refused} of 40 refused")
    check(lines_of(o.addr, '{app="big"}') == sorted(sent), "lines that cannot be sealed")
    o.kill()
    del o.env["ORRERY_FAULT"]
    o.start()
    o.wait_ready()
    wait_for("frames", lambda: counter(o.addr, "orrery_loghead_sealed_frames_total") > 0)
    check(lines_of(o.addr, '{app="big"}') == sorted(sent), "after the disk has room again")


def frames_on_disk(o):
    """Bytes that files of frames take, holes left out, and how many files there are."""
    files = [os.path.join(d, f) for d, _, names in os.walk(f"{o.dir}/data/logs/head") for f in names if f != "meta"]
    return sum(os.stat(f).st_blocks * 512 for f in files), len(files)


def lines_in_blocks(o):
    return sum(b["samples"] for b in live(o))


def test_the_disk_is_given_back_when_a_block_has_the_lines(t):
    """By a compactor, or, where none takes segments of log lines, by the ingester itself."""
    o = Single(t, args=["--ingester.flush-wait=0s", "--ingester.maintain-period=200ms", "--ingester.self-upload-after=1s",
                        "--ingester.visible-after=1s", "--ingester.wal-segment-bytes=1MiB"]).wait_ready()
    ts = now_ns()
    for round_ in range(2):
        for i in range(24):
            noise = os.urandom(100000).hex()
            push_ok(o.addr, [({"app": f"a{i % 5}"}, [(ts + i, f"round {round_} push {i} {noise}")])])
        r = http_call(o.addr, "POST", "/ingester/flush")
        check(r.status in (200, 204), f"{r.status} {r.text}")
        if r.status == 200:
            rows = http_call(o.addr, "GET", "/ingester/status").json["logSegments"]
            check(all(x["tenant"] == TENANT and x["maxTime"] - x["minTime"] == 7200000 for x in rows), f"{rows}")
        wait_for("the segment to be dropped", lambda: counter(o.addr, "orrery_ingester_logs_segments ") == 0
                 and counter(o.addr, "orrery_ingester_logs_segments_dropped_total") > 0, 60)
        check(lines_of(o.addr, '{app=~"a.+"}') == [], "lines of a dropped segment")
        # by whoever is the last to let go of a frame, maybe a moment after the segment is gone
        wait_for("the disk to be given back", lambda: frames_on_disk(o)[0] < 200000, 30)
        o.kill()
        o.start()
        o.wait_ready()
        check(lines_of(o.addr, '{app=~"a.+"}') == [], "dropped lines came back by the log")
    push_ok(o.addr, [({"app": "late"}, [(ts, "x")])])
    flush(o.addr)
    wait_for("files that nothing needs to go", lambda: frames_on_disk(o)[1] <= 2, 60)
    check(lines_in_blocks(o) >= 48, f"{lines_in_blocks(o)} lines in blocks")


def test_leaving_waits_until_blocks_have_the_lines(t):
    o = Single(t, args=["--ingester.maintain-period=200ms", "--ingester.self-upload-after=1s", "--ingester.visible-after=1s",
                        "--ingester.leave-grace=100ms"]).wait_ready()
    ts = now_ns()
    for i in range(20):
        push_ok(o.addr, [({"app": f"a{i % 3}"}, [(ts + i, f"line {i}")])])
    check(http_call(o.addr, "POST", "/ingester/leave").status == 202, "leave")
    wait_for("the process to end", lambda: not o.alive(), 60)
    check(lines_in_blocks(o) == 20, f"{lines_in_blocks(o)} lines in blocks")


def wait_until_told(addrs, app):
    """From here on every push through any of them is brought to all. Leaves a line of each, of that app."""
    ts = now_ns()

    def is_told():
        for i, addr in enumerate(addrs):
            push_ok(addr, [({"app": app}, [(ts, f"probe {i}")])])
        return all(len(lines_of(a, '{app="%s"}' % app)) == len(addrs) for a in addrs)
    wait_for("all to be told", is_told)


def test_replicas_hold_what_a_majority_acknowledged(t):
    c = Cluster(t)
    addrs = c.addrs("ingester")
    ts, sent = now_ns(), {}
    wait_until_told(addrs, "probe")
    for i in range(60):
        key = f"s{i % 12}"
        push_ok(addrs[i % len(addrs)], [({"app": key}, [(ts + i, f"line {i}")])])
        sent.setdefault(key, []).append(f"line {i}")
    names = c.names("ingester")
    c.run("kill", names[0])
    for i in range(60, 90):
        key = f"s{i % 12}"
        push_ok(addrs[1 + i % 2], [({"app": key}, [(ts + i, f"line {i}")])])
        sent[key].append(f"line {i}")
    for key, want in sent.items():
        copies = [lines_of(a, '{app="%s"}' % key) for a in addrs[1:]]
        check(set(want) == set(copies[0]) | set(copies[1]), f"{key}: {copies}")
        # a majority is what is waited for: the third may be told a moment later
        wait_for(f"both to hold {key}",
                 lambda: all(lines_of(a, '{app="%s"}' % key) == sorted(want) for a in addrs[1:]))
    c.run("restart", names[0])
    wait_for("the killed one to hold its lines again",
             lambda: len(lines_of(addrs[0], '{app=~"s.+"}')) > 0)


if __name__ == "__main__":
    main()
