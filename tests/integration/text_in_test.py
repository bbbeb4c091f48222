#!/usr/bin/env python3
"""The text ways in of one orrery process: import, Influx as telegraf writes it, Graphite, StatsD; each
queried back."""
import gzip
import json
import socket
import struct
import subprocess
import time

from orrery_test import (BIN, TENANT, Single, _field, _varint, api, check, free_port, http_call, label_bytes,
                         main, query, samples_of, wait_for)


def now_ms():
    return int(time.time() * 1000)


def post(o, path, body, content_type=None, tenant=TENANT, **headers):
    h = {"X-Scope-OrgID": tenant, **{k.replace("_", "-"): v for k, v in headers.items()}}
    if content_type:
        h["Content-Type"] = content_type
    return http_call(o.addr, "POST", path, body if isinstance(body, bytes) else body.encode(), h)


def post_ok(o, *args, **kw):
    r = post(o, *args, **kw)
    check(r.status == 204, lambda: f"{args[0]}: {r.status} {r.text[:300]}")


def value(o, expr, tenant=TENANT):
    """Of the one series it must be; None when there is none (yet)."""
    result = query(o.addr, expr, tenant=tenant)["result"]
    check(len(result) <= 1, lambda: f"{expr}: {result}")
    return float(result[0]["value"][1]) if result else None


def wait_value(o, expr, want, tenant=TENANT):
    wait_for(f"{expr} to be {want}", lambda: value(o, expr, tenant) == want, 20)


def test_import_of_text(t):
    o = Single(t).wait_ready()
    at = now_ms() - 60_000
    post_ok(o, "/api/v1/import/prometheus?extra_label=job=batch",
            f'# HELP done Rows done.\n# TYPE done counter\ndone{{kind="a"}} 7 {at}\n'
            f'done{{kind="b",job="own"}} 8\n{{"with.dots",x="y"}} 9\n', "text/plain; version=0.0.4")
    check(samples_of(o.addr, 'done{kind="a"}', at - 1000, now_ms()) ==
          {(("__name__", "done"), ("job", "batch"), ("kind", "a")): {at: "7"}}, "done of kind a")
    check(value(o, 'done{kind="b",job="batch"}') == 8, "a sample without a time")
    check(value(o, '{"with.dots",x="y"}') == 9, "a name with dots")
    post_ok(o, "/api/v1/import/prometheus/metrics/job/nightly/instance/i", "last_success 1\n")
    check(value(o, 'last_success{job="nightly",instance="i"}') == 1, "labels of the path")
    post_ok(o, "/api/v1/import/prometheus", gzip.compress(b"packed 3\n"), Content_Encoding="gzip")
    check(value(o, "packed") == 3, "gzip")
    r = post(o, "/api/v1/import/prometheus", "good 1\nbad{ 1\n")
    check(r.status == 400 and "line 2" in r.text, f"{r.status} {r.text}")
    check(value(o, "good") is None, "a part of a text that cannot be read")
    check(post(o, "/api/v1/import/prometheus", "{}", "application/json").status == 415, "JSON")


def test_import_of_openmetrics(t):
    o = Single(t).wait_ready()
    at = now_ms() / 1000 - 10
    post_ok(o, "/api/v1/import/prometheus",
            "# TYPE lag_seconds histogram\n# UNIT lag_seconds seconds\n"
            f'lag_seconds_bucket{{le="1"}} 3 {at:.3f} # {{trace_id="abc"}} 0.5 {at:.3f}\n'
            f'lag_seconds_bucket{{le="+Inf"}} 4 {at:.3f}\n# EOF\n',
            "application/openmetrics-text; version=1.0.0; charset=utf-8")
    check(value(o, 'lag_seconds_bucket{le="1.0"}') == 3, "le is not written as OpenMetrics does")
    r = post(o, "/api/v1/import/prometheus", "a 1\n", "application/openmetrics-text")
    check(r.status == 400 and "EOF" in r.text, f"{r.status} {r.text}")


def test_created_lines_make_zeros_where_asked_for(t):
    o = Single(t, args=["--limits.created-timestamp-zero-ingestion=true"]).wait_ready()
    at = now_ms() - 20_000
    post_ok(o, "/api/v1/import/prometheus",
            f'# TYPE jobs counter\njobs_total{{q="a"}} 5 {at / 1000 + 10:.3f}\n'
            f'jobs_created{{q="a"}} {at / 1000:.3f}\n# EOF\n', "application/openmetrics-text")
    got = samples_of(o.addr, '{__name__=~"jobs.*"}', at - 1000, now_ms())
    check(got == {(("__name__", "jobs_total"), ("q", "a")): {at: "0", at + 10_000: "5"}}, f"{got}")


def bytes_field(number, payload):
    return _field(number, 2, payload)


def double(number, v):
    return _field(number, 1, struct.pack("<d", v))


def int_field(number, v):
    return _field(number, 0, _varint(v))


def zigzag(number, v):
    return int_field(number, v << 1 if v >= 0 else (-v << 1) - 1)


def family(name, kind, metric):
    m = bytes_field(1, name.encode()) + int_field(3, kind) + bytes_field(4, metric)
    return _varint(len(m)) + m


def test_import_of_protobuf(t):
    o = Single(t).wait_ready()
    # schema 0, three observations: two in (1, 2], one in (2, 4]
    native = (int_field(1, 3) + double(2, 6.5) + zigzag(5, 0) + double(6, 1e-128) +
              bytes_field(12, zigzag(1, 1) + int_field(2, 2)) + zigzag(13, 2) + zigzag(13, -1))
    classic = int_field(1, 5) + double(2, 2.5) + bytes_field(3, int_field(1, 4) + double(2, 0.5))
    body = (family("native_h", 4, label_bytes("a", "b") + bytes_field(7, native)) +
            family("classic_h", 4, bytes_field(7, classic)) +
            family("a_total", 0, bytes_field(3, double(1, 17))))
    post_ok(o, "/api/v1/import/prometheus", body,
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
            "encoding=delimited")
    check(value(o, 'histogram_count(native_h{a="b"})') == 3, "count of the native histogram")
    check(value(o, "histogram_sum(native_h)") == 6.5, "sum of the native histogram")
    median = value(o, "histogram_quantile(0.5, native_h)")
    check(median is not None and 1 < median <= 2, f"its median is {median}")
    check(value(o, 'classic_h_bucket{le="0.5"}') == 4, "a classic bucket")
    check(value(o, 'classic_h_bucket{le="+Inf"}') == 5, "the bucket that was left out")
    check(value(o, "a_total") == 17, "a counter")


TELEGRAF = """\
cpu,cpu=cpu-total,host=web-1 usage_idle=97.5,usage_system=1.25 {t}
system,host=web-1 load1=0.5,n_cpus=8i,uptime_format="1 day, 2:03" {t}
disk,device=sda1,fstype=ext4,host=web-1,mode=rw,path=/var/lib\\ x used_percent=44.5,free=12345678901i {t}
net.if,host=web-1,rack-no=r1 up=true,value=3i {t}
"""


def test_influx_lines_of_telegraf(t):
    o = Single(t).wait_ready()
    at = now_ms() - 5_000
    for base in ("/api/v1/push/influx", ""):
        r = post(o, f"{base}/query", "q=CREATE+DATABASE+%22telegraf%22",
                 "application/x-www-form-urlencoded")
        check(r.status == 200 and r.json["results"], f"{base}/query: {r.status} {r.text}")
        check(http_call(o.addr, "GET", f"{base}/ping").status == 204, f"{base}/ping")
        post_ok(o, f"{base}/write?db=telegraf", gzip.compress(TELEGRAF.format(t=at * 10**6).encode()),
                "text/plain; charset=utf-8", Content_Encoding="gzip")
    got = samples_of(o.addr, "cpu_usage_idle", at - 1000, now_ms())
    check(got == {(("__name__", "cpu_usage_idle"), ("cpu", "cpu-total"), ("host", "web-1")):
                  {at: "97.5"}}, f"{got}")
    check(value(o, "system_n_cpus") == 8, "an integer")
    check(value(o, 'disk_used_percent{path="/var/lib x"}') == 44.5, "an escaped blank")
    check(value(o, 'net_if_up{rack_no="r1"}') == 1, "a truth, and names made plain")
    check(value(o, "net_if") == 3, "the field named value")
    check(query(o.addr, '{__name__=~"system_uptime.*"}')["result"] == [], "a text became a series")
    metrics = http_call(o.addr, "GET", "/metrics").text
    check("orrery_door_influx_strings_total 2" in metrics, "texts left out are not counted")
    post_ok(o, "/api/v2/write?bucket=b&org=o&precision=s", f"v2 x=1 {at // 1000}\n")
    check(value(o, "v2_x") == 1, "version 2")
    r = post(o, "/write?precision=s", "good x=1\nbad\n")
    check(r.status == 400 and "line 2" in r.json["error"], f"{r.status} {r.text}")
    check(value(o, "good_x") == 1, "the good line beside a bad one")
    r = post(o, "/write", 'open f="not closed\nopen2 f=1\nopen3 f=2')
    check(r.status == 400 and "line 1" in r.json["error"] and "1 of 3 points" in r.json["error"], r.text)
    check((value(o, "open2_f"), value(o, "open3_f")) == (1, 2), "good lines behind an unclosed quote")
    r = post(o, "/api/v2/write", "bad\n")
    check(r.status == 400 and r.json["code"] == "invalid", f"{r.status} {r.text}")
    r = http_call(o.addr, "GET", "/query?q=SELECT+1", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 400 and "PromQL" in r.json["error"], f"{r.status} {r.text}")


def tcp(port, text):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(text.encode())


def udp(port, text):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), ("127.0.0.1", port))


def test_graphite_over_tcp_and_udp(t):
    port = free_port()
    o = Single(t, args=[f"--ingester.graphite-address=127.0.0.1:{port}",
                        "--ingester.graphite-tenant=plain"]).wait_ready()
    at = now_ms() // 1000 - 5
    tcp(port, f"servers.web1.cpu 1.5 {at}\nbad line here now\ndisk.used;host=web1;fs=/ 7 {at}\n")
    udp(port, f"from.udp 3 {at}")
    wait_value(o, '{"servers.web1.cpu"}', 1.5, "plain")
    wait_value(o, '{"disk.used",host="web1",fs="/"}', 7, "plain")
    wait_value(o, '{"from.udp"}', 3, "plain")
    check(value(o, '{"from.udp"}') is None, "another tenant sees it")
    r = post(o, "/graphite/metrics", json.dumps([{"name": "by.http", "value": 4, "time": at,
                                                  "interval": 10, "tags": ["dc=x"]}]),
             "application/json")
    check(r.status == 200 and r.json == {"published": 1, "invalid": 0}, f"{r.status} {r.text}")
    check(value(o, '{"by.http",dc="x"}') == 4, "over HTTP")
    text = http_call(o.addr, "GET", "/metrics").text
    check('orrery_door_rejected_samples_total{reason="malformed_line"} 1' in text, "the bad line")


def test_graphite_lines_survive_the_end_of_the_process(t):
    port = free_port()
    o = Single(t, args=[f"--ingester.graphite-address=127.0.0.1:{port}"]).wait_ready()
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"".join(b"kept;n=%d 1 %d\n" % (i, now_ms() // 1000) for i in range(1000)))
        s.shutdown(socket.SHUT_WR)
        check(s.recv(1) == b"", "the other end")
    check(o.stop() == 0, "it did not end well")
    o.start()
    o.wait_ready()
    check(value(o, "count(kept)", "anonymous") == 1000, "lines were lost")


def test_statsd_is_flushed_as_series(t):
    port = free_port()
    o = Single(t, args=[f"--ingester.statsd-address=127.0.0.1:{port}",
                        f"--ingester.statsd-tenant={TENANT}",
                        "--ingester.statsd-flush-period=200ms"]).wait_ready()
    for _ in range(10):
        udp(port, "api.hits:1|c|#env:prod\napi.hits:1|c|@0.5|#env:prod\n")
    udp(port, "queue:10|g\nqueue:-3|g\nusers:a|s\nusers:b|s\nusers:a|s\n")
    for i in range(1, 11):
        udp(port, f"req:{i * 100}|ms")
    wait_value(o, 'api_hits{env="prod",instance="orrery"}', 30)
    wait_value(o, "queue", 7)
    wait_value(o, "req_count", 10)
    wait_value(o, "req_sum", 5.5)
    wait_for("the set to be counted", lambda: value(o, "max_over_time(users[1m])") == 2, 20)
    top = value(o, 'max_over_time(req{quantile="0.99"}[1m])')
    check(top == 1, f"the slowest took {top} s")
    udp(port, "lat:900|ms|@0.01\nlat:10|ms\nlat:10|ms\nlat:10|ms\n")
    wait_value(o, "lat_count", 103)
    median = value(o, 'max_over_time(lat{quantile="0.5"}[1m])')
    check(median == 0.9, f"a hundred requests of 0.9 s and three of 0.01 s have a median of {median} s")
    tcp(port, "api.hits:5|c|#env:prod")
    wait_value(o, "api_hits", 35)
    check(value(o, "resets(api_hits[1m])") == 0, "a counter went down")
    kind = api(o.addr, "/api/v1/metadata", {"metric": "api_hits"})
    check(kind.status != 200 or kind.json["data"]["api_hits"][0]["type"] == "counter", kind.text)


def test_statsd_timers_as_native_histograms(t):
    port = free_port()
    o = Single(t, args=[f"--ingester.statsd-address=127.0.0.1:{port}",
                        f"--ingester.statsd-tenant={TENANT}", "--ingester.statsd-timers=histogram",
                        "--ingester.statsd-flush-period=200ms"]).wait_ready()
    for i in range(1, 101):
        udp(port, f"req:{i * 10}|ms")
    wait_value(o, "histogram_count(req)", 100)
    check(abs(value(o, "histogram_sum(req)") - 50.5) < 1e-9, "the sum")
    median = value(o, "histogram_quantile(0.5, req)")
    check(0.45 < median < 0.55, f"the median is {median}")


def test_statsd_in_a_flood_stays_bounded(t):
    port = free_port()
    o = Single(t, args=[f"--ingester.statsd-address=127.0.0.1:{port}",
                        f"--ingester.statsd-tenant={TENANT}", "--ingester.statsd-max-series=100",
                        "--ingester.statsd-flush-period=200ms"]).wait_ready()
    tcp(port, "".join(f"flood.n{i}:1|c\n" for i in range(5000)))
    wait_for("the flood to be cut",
             lambda: "orrery_statsd_series_limit_total 4900" in http_call(o.addr, "GET",
                                                                          "/metrics").text, 20)
    wait_value(o, 'count({__name__=~"flood_n.*"})', 100)
    check(value(o, "flood_n0") == 1, "the first of the flood")


def test_an_address_in_use_is_said(t):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        r = subprocess.run([f"{BIN}/orrery", f"--server.http-address=127.0.0.1:{free_port()}",
                            f"--server.data-dir={t.dir}/data", "--ingester.otlp-http-address=",
                            "--ingester.otlp-grpc-address=",
                            f"--ingester.graphite-address=127.0.0.1:{s.getsockname()[1]}"],
                           capture_output=True, text=True, timeout=60)
    check(r.returncode == 1 and "ingester.graphite-address" in r.stdout + r.stderr, r.stderr)


if __name__ == "__main__":
    main()
