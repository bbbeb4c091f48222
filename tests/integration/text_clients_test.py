#!/usr/bin/env python3
"""The text ways in, driven by the clients that people use: prometheus_client (text, OpenMetrics, the
Pushgateway's protocol, Graphite), influxdb and influxdb-client, statsd and datadog."""
import subprocess

import pyenv
from orrery_test import TENANT, Single, check, free_port, main, query, wait_for

PROMETHEUS = "prometheus_client==0.26.0"

EXPOSE = r"""
import sys, urllib.request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest, push_to_gateway
from prometheus_client.bridge.graphite import GraphiteBridge
from prometheus_client.openmetrics import exposition as om
url, graphite = sys.argv[1], int(sys.argv[2])
reg = CollectorRegistry()
Counter("requests", 'With "quotes", a \\ and\na newline.', ["path"], registry=reg).labels('/a"b\\c\nd').inc(
    3, exemplar={"trace_id": "abc"})
Gauge("temperature", "t", registry=reg).set(-2.5)
Histogram("latency_seconds", "l", registry=reg).observe(.3)
Summary("size", "s", registry=reg).observe(4)
for job, kind, body in (("text", "text/plain; version=0.0.4", generate_latest(reg)),
                        ("openmetrics", om.CONTENT_TYPE_LATEST, om.generate_latest(reg))):
    request = urllib.request.Request(f"{url}?extra_label=job={job}", body, {"Content-Type": kind})
    assert urllib.request.urlopen(request).status == 204
push_to_gateway(url, job="a/b", grouping_key={"x": "y"}, registry=reg)
GraphiteBridge(("127.0.0.1", graphite), registry=reg).push(prefix="bridge")
"""

INFLUX = r"""
import sys
import influxdb
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
host, port = sys.argv[1].split(":")
one = influxdb.InfluxDBClient(host, int(port), database="db", gzip=True)
assert one.ping()
one.create_database("db")
assert one.get_list_database() == [{"name": "db"}]
assert one.write_points([{"measurement": "one cpu", "tags": {"host": "a,b=c d"}, "fields": {
    "v": 1.5, "n": 3, "ok": True, "s": 'text, "q"\nx'}}], time_precision="ms")
try:
    one.query("select 1")
    assert False
except influxdb.exceptions.InfluxDBClientError as e:
    assert "PromQL" in str(e), e
two = InfluxDBClient(url=f"http://{host}:{port}", token="x", org="o", enable_gzip=True)
assert two.ping()
write = two.write_api(write_options=SYNCHRONOUS)
write.write(bucket="b", record=[Point("two").tag("t", "x y").field("f", 2).field("g", 1.25), "line,t=u f=3i"])
try:
    write.write(bucket="b", record="bad line with no field")
    assert False
except ApiException as e:
    assert e.status == 400 and "unable to parse line 1" in e.message, e
"""

STATSD = r"""
import sys
import statsd
from datadog.dogstatsd import DogStatsd
port = int(sys.argv[1])
udp = statsd.StatsClient("127.0.0.1", port, prefix="app")
udp.incr("hits", 4)
with udp.pipeline() as p:
    p.incr("hits")
    p.decr("nothing", 0)
udp.gauge("queue", 5)
udp.gauge("queue", -2, delta=True)
udp.timing("took", 320)
tcp = statsd.TCPStatsClient("127.0.0.1", port)
tcp.incr("tcp.hits")
tcp.close()
dog = DogStatsd("127.0.0.1", port, constant_tags=["env:prod"])
dog.increment("dog.hits", tags=["a:b"])
dog.histogram("dog.size", 1.5)
dog.distribution("dog.spread", 2.5)
dog.event("title", "text")
dog.service_check("check", 0)
dog.flush()
"""


def run(script, packages, *args):
    python = pyenv.python(*packages)
    r = subprocess.run([python, "-c", script, *map(str, args)], capture_output=True, text=True,
                       timeout=120)
    check(r.returncode == 0, lambda: r.stderr[-2000:])


def values(o, expr):
    """{value of the only label that differs, or the name: value}"""
    return {tuple(sorted(s["metric"].items())): float(s["value"][1])
            for s in query(o.addr, expr)["result"]}


def one_value(o, expr):
    got = list(values(o, expr).values())
    check(len(got) == 1, lambda: f"{expr}: {got}")
    return got[0]


def start(t, *args):
    return Single(t, args=["--auth.mode=optional", f"--auth.default-tenant={TENANT}",
                           *args]).wait_ready()


def test_prometheus_client(t):
    pyenv.python(PROMETHEUS)
    port = free_port()
    o = start(t, f"--ingester.graphite-address=127.0.0.1:{port}",
              f"--ingester.graphite-tenant={TENANT}")
    run(EXPOSE, [PROMETHEUS], f"http://{o.addr}/api/v1/import/prometheus", port)
    for job in ("text", "openmetrics", "a/b"):
        got = values(o, f'requests_total{{job="{job}"}}')
        check([v for k, v in got.items() if ("path", '/a"b\\c\nd') in k] == [3], f"{job}: {got}")
        check(one_value(o, f'latency_seconds_bucket{{job="{job}",le="0.5"}}') == 1, job)
        check(one_value(o, f'size_sum{{job="{job}"}}') == 4, job)
    check(one_value(o, 'temperature{job="a/b",x="y"}') == -2.5, "the Pushgateway's protocol")
    wait_for("Graphite's bridge", lambda: one_value(o, '{"bridge.temperature"}') == -2.5, 20)


def test_influxdb_clients(t):
    packages = ["influxdb==5.3.2", "influxdb-client==1.50.0"]
    pyenv.python(*packages)
    o = start(t)
    run(INFLUX, packages, o.addr)
    check(one_value(o, 'one_cpu_v{host="a,b=c d"}') == 1.5, "a float")
    check(one_value(o, "one_cpu_n") == 3 and one_value(o, "one_cpu_ok") == 1, "the other fields")
    check(one_value(o, 'two_f{t="x y"}') == 2 and one_value(o, "two_g") == 1.25, "version 2")
    check(one_value(o, 'line_f{t="u"}') == 3, "a line of version 2")


def test_statsd_clients(t):
    packages = ["statsd==4.0.1", "datadog==0.56.0"]
    pyenv.python(*packages)
    port = free_port()
    o = start(t, f"--ingester.statsd-address=127.0.0.1:{port}",
              f"--ingester.statsd-tenant={TENANT}", "--ingester.statsd-flush-period=200ms")
    run(STATSD, packages, port)
    wait_for("the counters", lambda: one_value(o, "app_hits") == 5, 20)
    wait_for("TCP", lambda: one_value(o, "tcp_hits") == 1, 20)
    check(one_value(o, "app_queue") == 3, "a gauge that was changed")
    check(one_value(o, "app_took_sum") == 0.32, "a timer, in seconds")
    wait_for("DogStatsD's tags", lambda: one_value(o, 'dog_hits{a="b",env="prod"}') == 1, 20)
    check(one_value(o, 'dog_size_sum{env="prod"}') == 1.5, "a histogram")
    check(one_value(o, 'dog_spread_count{env="prod"}') == 1, "a distribution")


if __name__ == "__main__":
    main()
