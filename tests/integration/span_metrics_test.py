#!/usr/bin/env python3
"""Span metrics and the service graph equal what a plain script makes of the same spans, however they come to three ingesters."""
import bisect
import collections
import json
import random
import threading
import time

from orrery_test import TENANT, Cluster, Single, api, check, http_call, main, query, wait_for

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
CODES = ["UNSET", "OK", "ERROR"]
SPAN_BUCKETS = [0.002 * 2 ** i for i in range(14)]
GRAPH_BUCKETS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
GENERATOR = {"processors": ["span-metrics", "service-graphs"], "collection_interval": "5s", "generate_native_histograms": "both",
             "processor": {"span_metrics": {"dimensions": ["http.method", "service", "region"],
                                            "filter_policies": [{"exclude": {"match_type": "strict", "attributes": [
                                                {"key": "span.probe", "value": "true"}]}}]},
                           "service_graphs": {"wait": "6s", "enable_messaging_system_latency_histogram": True}}}


# ---- spans: dicts as the script sees them ----

class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.spans = []
        self.start = (int(time.time()) - 60) * 10 ** 9

    def span(self, trace, parent, kind, service, name, start, ms, status=0, **attributes):
        s = {"trace": trace, "id": "%016x" % self.rng.getrandbits(63), "parent": parent, "kind": kind, "service": service, "name": name,
             "start": start, "end": start + int(ms * 10 ** 6), "status": status, "attributes": attributes}
        self.spans.append(s)
        return s

    def call(self, trace, caller, service, name, start, ms):
        """A client's span and the server's below it."""
        r = self.rng
        status = 2 if r.random() < 0.1 else 0
        c = self.span(trace, caller["id"], CLIENT, caller["service"], "call " + name, start, ms, status, http__method=r.choice(["GET", "POST"]))
        return self.span(trace, c["id"], SERVER, service, name, start + 10 ** 6, ms * r.random(), status)

    def trace(self):
        r = self.rng
        t, at = "%032x" % r.getrandbits(128), self.start + r.randrange(10 ** 9)
        ms = 2 ** r.uniform(0, 14)
        root = self.span(t, "", SERVER, "front", r.choice(["/cart", "/buy"]), at, ms, r.choice([0, 1, 2]), http__method="GET", probe=r.random() < 0.1)
        self.span(t, root["id"], INTERNAL, "front", "render", at, ms / 3, _service="shadow")
        for _ in range(r.randrange(3)):
            shop = self.call(t, root, "shop", "order", at, ms / 2)
            self.span(t, shop["id"], CLIENT, "shop", "SELECT", at, ms / 4, r.choice([0, 0, 2]), db__system="postgresql", db__name="orders")
            self.span(t, shop["id"], CLIENT, "shop", "charge", at, ms / 4, peer__service="bank")
        if r.random() < 0.3:
            p = self.span(t, root["id"], PRODUCER, "front", "send mail", at, 3)
            self.span(t, p["id"], CONSUMER, "mailer", "mail", p["end"] + 5 * 10 ** 8, 30)
        if r.random() < 0.2:
            self.span(t, root["id"], CLIENT, "front", "nobody answers", at, 7)
        if r.random() < 0.2:
            self.span(t, "00000000000000aa", SERVER, "lost", "/", at, 7)


def attributes(s):
    """By their names: a__b stands for a.b, _a for a."""
    return {k.replace("__", ".").lstrip("_"): v for k, v in s["attributes"].items()}


def resource(s):
    return {"service.name": s["service"], "region": "eu" if s["service"] == "shop" else "us"}


# ---- as OTLP's JSON ----

def otlp(spans):
    def values(d):
        return [{"key": k, "value": {"boolValue": v} if isinstance(v, bool) else {"stringValue": v}} for k, v in d.items()]
    groups = collections.defaultdict(list)
    for s in spans:
        groups[s["service"]].append(s)
    return {"resourceSpans": [
        {"resource": {"attributes": values(resource(g[0]))},
         "scopeSpans": [{"spans": [{"traceId": s["trace"], "spanId": s["id"], "parentSpanId": s["parent"], "name": s["name"], "kind": s["kind"],
                                    "startTimeUnixNano": str(s["start"]), "endTimeUnixNano": str(s["end"]), "status": {"code": s["status"]},
                                    "attributes": values(attributes(s))} for s in g]}]} for g in groups.values()]}


def push(addr, spans):
    r = http_call(addr, "POST", "/v1/traces", json.dumps(otlp(spans)).encode(),
                  {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
    check(r.status == 200, f"{r.status} {r.text}")


def proto_bytes(s):
    """Of the span in protobuf; nothing here is longer than 127 bytes."""
    def text(b):
        return 2 + len(b)
    n = text(bytes(16)) + text(bytes(8)) + text(s["name"].encode()) + 2 + 9 + 9
    n += text(bytes(8)) if s["parent"] else 0
    n += 4 if s["status"] else 0
    for k, v in attributes(s).items():
        value = 2 if isinstance(v, bool) and v else 2 if isinstance(v, bool) else text(v.encode())
        n += 2 + text(k.encode()) + 2 + value
    return n


# ---- the plain script ----

class Histogram:
    def __init__(self, buckets):
        self.buckets, self.counts, self.sum, self.count = buckets, [0] * (len(buckets) + 1), 0.0, 0

    def add(self, v):
        self.counts[bisect.bisect_left(self.buckets, v)] += 1
        self.sum += v
        self.count += 1


def expect_spans(spans):
    calls, size, latency = collections.Counter(), collections.Counter(), {}
    for s in spans:
        if s["attributes"].get("probe"):
            continue
        labels = {"service": s["service"], "span_name": s["name"], "span_kind": "SPAN_KIND_" + KINDS[s["kind"]],
                  "status_code": "STATUS_CODE_" + CODES[s["status"]], "region": resource(s)["region"]}
        if "http__method" in s["attributes"]:
            labels["http_method"] = s["attributes"]["http__method"]
        if "_service" in s["attributes"]:
            labels["__service"] = s["attributes"]["_service"]
        key = tuple(sorted(labels.items()))
        calls[key] += 1
        size[key] += proto_bytes(s)
        latency.setdefault(key, Histogram(SPAN_BUCKETS)).add((s["end"] - s["start"]) / 1e9)
    return calls, size, latency


def expect_graph(spans):
    """{(client, server, type): [requests, failed, server's seconds, client's, of the messaging system]}, {(client, server): unpaired}"""
    edges, unpaired = {}, collections.Counter()
    callers = {(s["trace"], s["id"]): s for s in spans if s["kind"] in (CLIENT, PRODUCER)}

    def seconds(s):
        return (s["end"] - s["start"]) / 1e9

    def edge(client, server, kind, a, b):
        e = edges.setdefault((client, server, kind), [0, 0] + [Histogram(GRAPH_BUCKETS) for _ in range(3)])
        e[0] += 1
        e[1] += any(s["status"] == 2 for s in (a, b) if s)
        e[2].add(seconds(b or a))
        e[3].add(seconds(a or b))
        if kind == "messaging_system":
            e[4].add((b["start"] - a["end"]) / 1e9)

    for s in spans:
        if s["kind"] not in (SERVER, CONSUMER):
            continue
        a = callers.pop((s["trace"], s["parent"]), None)
        if a:
            edge(a["service"], s["service"], "messaging_system" if a["kind"] == PRODUCER else "", a, s)
        elif not s["parent"]:
            edge("user", s["service"], "virtual_node", None, s)
        else:
            unpaired[("", s["service"])] += 1
    for s in callers.values():
        at = s["attributes"]
        if "db__name" in at:
            edge(s["service"], at["db__name"], "database", s, None)
        elif "peer__service" in at:
            edge(s["service"], at["peer__service"], "virtual_node", s, None)
        else:
            unpaired[(s["service"], "")] += 1
    return edges, unpaired


# ---- what is found ----

def found(addr, name, func="sum"):
    """{labels: value} over all writers."""
    out = {}
    for s in query(addr, f"{func} without (__metrics_gen_instance) ({name})")["result"]:
        labels = {k: v for k, v in s["metric"].items() if k != "__name__"}
        out[tuple(sorted(labels.items()))] = float(s["value"][1])
    return out


def same(what, got, want):
    for k in sorted(set(got) | set(want)):
        g, w = got.get(k), want.get(k)
        check(g is not None and w is not None and abs(g - w) <= 1e-9 * max(abs(w), 1), f"{what} {dict(k)}: {g}, the script says {w}")


def with_le(key, le):
    return tuple(sorted([*key, ("le", le)]))


def text_of(x):
    return repr(x) if x != int(x) else str(int(x))


def same_histograms(addr, name, want):
    """want: {labels: Histogram}"""
    buckets, native = {}, {}
    for key, h in want.items():
        total = 0
        for bound, n in zip([*map(text_of, h.buckets), "+Inf"], h.counts):
            total += n
            buckets[with_le(key, bound)] = total
        native[key] = h.count
    same(name + "_bucket", found(addr, name + "_bucket"), buckets)
    same(name + "_count", found(addr, name + "_count"), native)
    same(name + "_sum", found(addr, name + "_sum"), {k: h.sum for k, h in want.items()})
    native_got = {tuple(sorted((k, v) for k, v in s["metric"].items())): float(s["value"][1])
                  for s in query(addr, f"histogram_count(sum without (__metrics_gen_instance) ({name}))")["result"]}
    same("native " + name, native_got, native)


def check_all(addr, spans):
    calls, size, latency = expect_spans(spans)
    same("calls", found(addr, "traces_spanmetrics_calls_total"), calls)
    same("size", found(addr, "traces_spanmetrics_size_total"), size)
    same_histograms(addr, "traces_spanmetrics_latency", latency)
    edges, unpaired = expect_graph(spans)

    def by(i, keep=lambda e: True):
        return {tuple(sorted((k, v) for k, v in zip(("client", "server", "connection_type"), key) if v)): e[i]
                for key, e in edges.items() if keep(e)}
    graph = "traces_service_graph_"
    same("requests", found(addr, graph + "request_total"), by(0))
    same("failed", found(addr, graph + "request_failed_total"), by(1, lambda e: e[1]))
    same_histograms(addr, graph + "request_server_seconds", by(2))
    same_histograms(addr, graph + "request_client_seconds", by(3))
    same_histograms(addr, graph + "request_messaging_system_seconds", by(4, lambda e: e[4].count))
    same("unpaired", found(addr, graph + "unpaired_spans_total"),
         {tuple(sorted((k, v) for k, v in zip(("client", "server"), key) if v)): n for key, n in unpaired.items()})


def total(addr, name):
    return sum(found(addr, name).values())


def config(t):
    path = f"{t.dir}/overrides.yaml"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"metrics_generator": GENERATOR}}}, f)
    return {"ingester": {"traces": True}, "limits": {"overrides-file": path, "overrides-period": "200ms"}}


def test_metrics_equal_a_plain_scripts(t):
    with open(f"{t.dir}/orrery.yaml", "w", encoding="utf-8") as f:
        json.dump(config(t), f)
    c = Cluster(t, args=["--queriers", "1", "--compactors", "0", "--rulers", "0", "--alertmanagers", "0",
                         "--config", f"{t.dir}/orrery.yaml"])
    doors, querier = c.addrs("ingester"), c.addrs("querier")[0]
    m = Maker(3)
    for _ in range(150):
        m.trace()
    order = m.spans[:]
    m.rng.shuffle(order)
    began = time.time()
    for i in range(0, len(order), 100):
        push(m.rng.choice(doors), order[i:i + 100])
    check(time.time() - began < 5, "the spans came too slowly for edges to wait")
    edges, unpaired = expect_graph(m.spans)
    wait_for("all edges", lambda: total(querier, "traces_service_graph_request_total") == sum(e[0] for e in edges.values()) and
             total(querier, "traces_service_graph_unpaired_spans_total") == sum(unpaired.values()), 60, 0.5)
    check_all(querier, m.spans)
    check(len({s["metric"]["__metrics_gen_instance"] for s in query(querier, "traces_service_graph_request_total")["result"]}) == 3,
          "not every ingester owns edges")
    growth = query(querier, "sum(increase(traces_spanmetrics_calls_total[5m]))")["result"]
    check(growth and float(growth[0]["value"][1]) > 0, f"counters begin with what they are: {growth}")

    # From a bucket to a trace.
    r = api(querier, "/api/v1/query_exemplars", {"query": "traces_spanmetrics_latency_bucket", "start": began - 60, "end": time.time() + 60})
    ids = {e["labels"]["trace_id"] for s in r.json["data"] for e in s["exemplars"]}
    check(ids and ids <= {s["trace"] for s in m.spans}, f"exemplars: {r.text[:300]}")


def test_limits_and_a_stop(t):
    conf = config(t)
    with open(conf["limits"]["overrides-file"], "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"metrics_generator": {"processors": ["span-metrics"], "max_active_series": 19, "collection_interval": "5m"}}}}, f)
    args = [f"--{s}.{k}={str(v).lower() if v is True else v}" for s, keys in conf.items() for k, v in keys.items()]
    o = Single(t, args=args).wait_ready()
    m = Maker(1)
    for name in ("one", "two"):
        m.span("%032x" % 1, "", INTERNAL, "a", name, m.start, 1)
        push(o.addr, m.spans[-1:])
    page = {"X-Scope-OrgID": TENANT}
    wait_for("the second series to be refused", lambda: http_call(o.addr, "GET", "/ingester/generator", headers=page).json["refused"] > 0)
    got = http_call(o.addr, "GET", "/ingester/generator", headers=page).json
    check(got["series"] == 19, f"{got}")
    o.stop()  # writes what was counted
    o.start()
    o.wait_ready()
    found_now = found(o.addr, "traces_spanmetrics_calls_total")
    check(list(found_now.values()) == [1] and dict(list(found_now)[0])["span_name"] == "one", f"{found_now}")


def send_until_refused(addr, seed, acked, unsure):
    """One span after the other; a write that got no answer may or may not count."""
    m = Maker(seed)
    while True:
        m.span("%032x" % (seed << 32 | len(m.spans) + 1), "", INTERNAL, "a", "n", m.start, 1)
        body = json.dumps(otlp(m.spans[-1:])).encode()
        try:
            r = http_call(addr, "POST", "/v1/traces", body, {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
        except OSError:
            unsure.append(1)
            return
        if r.status == 200:
            acked.append(1)
        elif r.status == 503:
            return
        else:
            check(False, f"{r.status} {r.text}")


def test_what_is_acknowledged_while_it_stops_is_counted(t):
    conf = config(t)
    with open(conf["limits"]["overrides-file"], "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"metrics_generator": {"processors": ["span-metrics"], "collection_interval": "5m"}}}}, f)
    args = [f"--{s}.{k}={str(v).lower() if v is True else v}" for s, keys in conf.items() for k, v in keys.items()]
    o = Single(t, args=args).wait_ready()
    acked, unsure = [], []
    threads = [threading.Thread(target=send_until_refused, args=(o.addr, i + 1, acked, unsure)) for i in range(4)]
    for th in threads:
        th.start()
    wait_for("some to be taken", lambda: len(acked) > 200)
    o.stop()
    for th in threads:
        th.join()
    o.start()
    o.wait_ready()
    n = sum(found(o.addr, "traces_spanmetrics_calls_total").values())
    check(len(acked) <= n <= len(acked) + len(unsure), f"{n} were counted of {len(acked)}, and {len(unsure)} without answer")
    print(f"{len(acked)} acknowledged, {len(unsure)} without answer, {n:.0f} counted")


if __name__ == "__main__":
    main()
