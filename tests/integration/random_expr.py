"""Random PromQL: data with everything that goes wrong in practice, and expressions by a grammar, both
from a seed. Used by random_expr_test.py.

The expressions stay where Debian's Prometheus 2.42 means what Prometheus 3 and Orrery mean. Known to differ, and
therefore left out: ranges and lookbacks are closed on the left in 2.x (so no sample lies exactly on a bound here);
rate() and increase() near zero (so counters stay far
from it, and histograms are not asked); atan2; quantiles of native histograms (exponential
interpolation since 3.0); stddev() of infinities; hour() and the like of what is no time; a window of a subquery at
@ that 2.42 moves with the step (predict_linear); which of equal values topk() takes; what 2.42 does not have at all.
"""
import math
import random
import struct
import zlib

from orrery_test import _field, _varint, label_bytes

STALE = struct.pack("<Q", 0x7FF0000000000002)
STEP_MS = 15000


def _zigzag(n):
    return _varint((n << 1) ^ (n >> 63))


def native_histogram(t, rng, count):
    """An integer histogram of schema 2 whose buckets sum up to count."""
    buckets, left = [], count
    for _ in range(5):
        n = rng.randint(0, left)
        buckets.append(n)
        left -= n
    buckets.append(left)
    deltas, last = b"", 0
    for n in buckets:
        deltas += _zigzag(n - last)
        last = n
    span = _field(1, 0, _zigzag(-2)) + _field(2, 0, _varint(len(buckets)))
    return (_field(1, 0, _varint(count)) + _field(3, 1, struct.pack("<d", count * 1.7)) +
            _field(4, 0, _zigzag(2)) + _field(5, 1, struct.pack("<d", 0.001)) +
            _field(6, 0, _varint(0)) + _field(11, 2, span) + _field(12, 2, deltas) +
            _field(15, 0, _varint(t)))


class Data:
    """Series of six metrics; write_requests() gives bodies in the order of time."""

    def __init__(self, seed, start_ms, rounds):
        self.rng = random.Random(seed)
        self.start_ms, self.rounds = start_ms, rounds
        self.state = {}

    def series(self):
        for job in ("api", "db"):
            for inst in "abcd":
                yield "requests_total", {"job": job, "instance": inst, "code": "200"}
                yield "requests_total", {"job": job, "instance": inst, "code": "500"}
                yield "temperature", {"job": job, "instance": inst}
                if inst != "d":
                    yield "limit", {"job": job, "instance": inst}
                for le in ("0.1", "1", "10", "+Inf"):
                    yield "latency_bucket", {"job": job, "instance": inst, "le": le}
                yield "native", {"job": job, "instance": inst}
        yield "weight", {"job": "api"}
        yield "weight", {"job": "db"}

    def _absent(self, key):
        """Gaps: now and then a series is away for a while."""
        left = self.state.get((key, "gap"), 0)
        if left:
            self.state[(key, "gap")] = left - 1
            return True
        if self.rng.random() < 0.01:
            self.state[(key, "gap")] = self.rng.randint(1, 30)
        return False

    def _value(self, name, labels, key):
        rng = self.rng
        if name in ("requests_total", "latency_bucket", "native"):
            base = {"0.1": 1, "1": 2, "10": 3, "+Inf": 4}.get(labels.get("le"), 1)
            group = (name, labels["job"], labels["instance"], labels.get("code"))
            v = self.state.get((key, "v"), 1_000_000.0 * base)
            if name == "requests_total" and rng.random() < 0.01:
                v *= rng.uniform(0.5, 0.8)  # a reset, still far from zero
            elif name == "latency_bucket":
                # the buckets of a histogram grow together, so that they stay monotonic
                v += base * ((zlib.crc32(repr(group).encode()) + self.state["round"]) % 7)
            else:
                v += rng.randint(0, 100)
            self.state[(key, "v")] = math.floor(v)
            return math.floor(v)
        if name == "limit":
            return float(rng.choice([10, 20, 20, 20, 50]))
        if name == "weight":
            return rng.choice([0.25, 0.5, 2.0])
        p = rng.random()
        if p < 0.01:
            return rng.choice([math.nan, math.inf, -math.inf])
        return rng.gauss(20, 15)

    def write_requests(self):
        """One remote-write body (not compressed) a round."""
        for r in range(self.rounds):
            self.state["round"] = r
            t = self.start_ms + r * STEP_MS
            out = b""
            for name, labels in self.series():
                key = name + repr(sorted(labels.items()))
                was_absent = self.state.get((key, "absent"), False)
                absent = self.state[(key, "absent")] = self._absent(key)
                if absent and (was_absent or self.rng.random() < 0.5):
                    continue  # a gap with a marker, or without
                body = b"".join(label_bytes(k, v)
                                for k, v in sorted({"__name__": name, **labels}.items()))
                if name == "native":
                    if absent:
                        continue
                    count = int(self._value(name, labels, key))
                    body += _field(4, 2, native_histogram(t, self.rng, count))
                else:
                    v = STALE if absent else struct.pack("<d", self._value(name, labels, key))
                    body += _field(2, 2, _field(1, 1, v) + _field(2, 0, _varint(t)))
                out += _field(1, 2, body)
            yield out


RANGES = ["40s", "1m", "2m", "5m", "13m"]
FLOATS = ["temperature", "limit", "requests_total", "weight", "latency_bucket"]


class Exprs:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.in_subquery = False

    def pick(self, *xs):
        return self.rng.choice(xs)

    def matchers(self, name):
        r = self.rng
        parts = []
        if r.random() < 0.4:
            parts.append(self.pick('job="api"', 'job!="db"', 'job=~"a.*|db"', 'job!~"d.+"', 'job=~"api|x"'))
        if name != "weight" and r.random() < 0.3:
            parts.append(self.pick('instance=~"[ab]"', 'instance!="c"', 'instance="a"', 'instance!~"c|d"'))
        if name == "requests_total" and r.random() < 0.5:
            parts.append(self.pick('code="200"', 'code=~"5.."', 'code!="500"'))
        if name == "latency_bucket" and r.random() < 0.3:
            parts.append(self.pick('le="+Inf"', 'le=~"1|10"'))
        return "{" + ",".join(parts) + "}" if parts else ""

    def modifier(self):
        r = self.rng.random()
        if r < 0.12:
            return self.pick(" offset 1m", " offset 7m", " offset -30s")
        if r < 0.16:
            return self.pick(" @ end()", " @ start()")
        return ""

    def selector(self, names):
        name = self.rng.choice(names)
        return name + self.matchers(name)

    def matrix(self, names):
        # not one subquery in another: their steps are aligned, and samples would lie on bounds
        if self.rng.random() < 0.2 and not self.in_subquery:
            self.in_subquery = True
            inner = self.vector(1)
            self.in_subquery = False
            return f"({inner})[{self.pick('2m', '6m', '11m')}:{self.pick('20s', '35s', '1m')}]{self.modifier()}"
        return f"{self.selector(names)}[{self.pick(*RANGES)}]{self.modifier()}"

    def range_call(self):
        r = self.rng.random()
        if r < 0.3:  # not over subqueries of something else: those may come near zero
            m = f"{self.selector(['requests_total', 'latency_bucket'])}[{self.pick(*RANGES)}]{self.modifier()}"
            return f"{self.pick('rate', 'increase')}({m})"
        m = self.matrix(FLOATS)
        if r < 0.4:
            return f"quantile_over_time({self.pick('0.5', '0.9', '-1', '1.2', '0')}, {m})"
        if r < 0.45:
            m = f"{self.selector(FLOATS)}[{self.pick(*RANGES)}]"
            return f"predict_linear({m}, {self.pick('60', '3600', '-10')})"
        return self.pick("irate", "delta", "idelta", "deriv", "changes", "resets", "avg_over_time",
                         "min_over_time", "max_over_time", "sum_over_time", "count_over_time",
                         "stddev_over_time", "stdvar_over_time", "last_over_time",
                         "present_over_time", "absent_over_time") + f"({m})"

    def call(self, depth):
        v = self.vector(depth - 1)
        r = self.rng.random()
        if r < 0.15:
            return self.pick(f"clamp({v}, 5, 30)", f"clamp_min({v}, 10)", f"clamp_max({v}, 22.5)",
                             f"round({v}, 5)", f"round({v})")
        if r < 0.22:
            return f'label_replace({v}, "to", "x-$1", "instance", "(.*)")'
        if r < 0.27:
            return f'label_join({v}, "both", "/", "job", "instance")'
        if r < 0.32:
            return self.pick(f"absent({v})", f"vector(scalar({v}))", f"timestamp({v})", "vector(time())", self.pick("hour", "minute", "day_of_week", "day_of_month",
                                              "days_in_month", "month", "year") + f"(timestamp({v}))")
        if r < 0.38:
            q = self.pick("0.5", "0.9", "0.99", "0", "1", "-0.5", "1.5")
            return f"histogram_quantile({q}, sum by (le, job) (rate(latency_bucket{self.matchers('latency_bucket')}[{self.pick('2m', '5m')}])))"
        if r < 0.41:  # of plain values: elsewhere the last bit of an argument decides all
            return f"{self.pick('sin', 'cos', 'tan', 'sgn')}({self.selector(['temperature', 'limit'])})"
        if r < 0.46:
            h = self.pick("native", "sum by (job) (native)", "native + native offset 1m")
            return f"{self.pick('histogram_count', 'histogram_sum')}({h})"
        return self.pick("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "atan",
                         "sinh", "tanh", "deg", "rad") + f"({v})"

    def grouping(self):
        return self.pick("", " by (job)", " by (job, instance)", " without (instance)", " by (code)",
                         " without (job, le)", " by (nothing)")

    def aggregation(self, depth):
        v, g = self.vector(depth - 1), self.grouping()
        r = self.rng.random()
        if r < 0.12:
            names = ["temperature", "requests_total"]
            return f"{self.pick('topk', 'bottomk')}{g} ({self.pick('1', '2', '3', '0')}, {self.selector(names)})"
        if r < 0.2:
            return f"quantile{g} ({self.pick('0.5', '0.1', '2', '-1')}, {v})"
        if r < 0.25:
            return f'count_values{g} ("value", round({v}, 10))'
        if r < 0.32:
            return f"{self.pick('stddev', 'stdvar')}{g} ({self.selector(['limit', 'requests_total', 'weight'])})"
        return f"{self.pick('sum', 'avg', 'min', 'max', 'count', 'group')}{g} ({v})"

    def binary(self, depth):
        r = self.rng.random()
        op = self.pick("+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=")
        is_comparison = op in ("==", "!=", ">", "<", ">=", "<=")
        boolean = " bool" if is_comparison and self.rng.random() < 0.4 else ""
        if r < 0.35:
            a, b = self.vector(depth - 1), self.pick("2", "0", "20", "-1.5", "1e3", "Inf", "NaN")
            return f"({a} {op}{boolean} {b})" if self.rng.random() < 0.7 else f"({b} {op}{boolean} {a})"
        if r < 0.55:
            return f"({self.vector(depth - 1)} {self.pick('and', 'or', 'unless')}" \
                   f"{self.pick('', ' on (job)', ' on (job, instance)', ' ignoring (code, le)')} {self.vector(depth - 1)})"
        if r < 0.8:
            many = self.selector(["temperature", "limit", "requests_total"])
            one = self.pick("weight", "weight", f"sum by (job) ({self.vector(depth - 1)})")
            return f"({many} {op}{boolean} on (job) group_left {one})"
        if is_comparison:
            boolean = " bool"  # 2.42 looks for pairs of more than two only among what a filter keeps
        match = self.pick("", " ignoring (code)", " on (job, instance)", " on (instance, job, code)")
        return f"({self.vector(depth - 1)} {op}{boolean}{match} {self.vector(depth - 1)})"

    def vector(self, depth):
        r = self.rng.random()
        if depth <= 0 or r < 0.15:
            return self.selector(FLOATS) + self.modifier()
        if r < 0.4:
            return self.range_call()
        if r < 0.55:
            return self.call(depth)
        if r < 0.78:
            return self.aggregation(depth)
        if r < 0.95:
            return self.binary(depth)
        return f"-{self.selector(FLOATS)}"

    def __iter__(self):
        while True:
            yield self.vector(self.rng.randint(1, 4))
