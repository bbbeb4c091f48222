"""Random metrics queries of TraceQL and what they come to, span by span. Used by random_traceql_test.py, with random_traceql.py.

A query is its text and a function from the traces to its series: [(labels, points)], in the order that topk() tells equal ones apart by.
A label is (name, value), a point is a number or None.
"""
import math

from random_traceql import NUMERIC, TYPES, Queries, first, shown

BY = (".x", "span.y", "resource.service.name", "name", "status", "kind", "rootServiceName", "resource.x", ".z")
COMPARED = ("name", "status", "statusMessage", "kind", "rootName", "rootServiceName", "instrumentation:name", "instrumentation:version")
NO_NAME = {"instrumentation:name", "instrumentation:version"}  # of which the empty one is none


def rank(v):
    return (TYPES.index(v[0]), "" if v[0] == "nil" else v[1].encode() if v[0] == "string" else v[1])


def bucket(v):
    """The exponent of its bucket; None: it is in none."""
    return math.ceil(math.log2(math.trunc(v))) if v >= 2 else None


def quantile(counts, q, unit):
    """counts: {exponent: spans} of one point. Within a bucket values lie evenly on the scale of powers, from the bound of the bucket below
    that has any."""
    total = sum(counts.values())
    if not total:
        return 0
    wanted, seen, below = max(1, math.ceil(q * total)), 0, None
    for exponent in sorted(counts):
        n = counts[exponent]
        if seen + n >= wanted:
            if seen + n == wanted:
                return 2.0 ** exponent / unit
            low = exponent - 1 if below is None else below
            return 2.0 ** (low + (exponent - low) * (wanted - seen) / n) / unit
        seen, below = seen + n, exponent
    return 0


class Metrics:
    def __init__(self, seed, traces, start_ns, step_ns, n_points):
        self.queries = Queries(seed, traces, start_ns)
        self.r, self.start, self.step, self.n = self.queries.r, start_ns, step_ns, n_points

    def point(self, s):
        """None: it is not in the range."""
        i = -(-(s.start - self.start) // self.step) - 1
        return i if 0 <= i < self.n else None

    def spans(self, fn, traces):
        return [(s, self.point(s)) for t in traces for s in fn(t.spans) if self.point(s) is not None]

    def groups(self, spans, by):
        """[(values of by, [(span, point)])], sorted."""
        out = {}
        for s, i in spans:
            out.setdefault(tuple(first(b, s) for b in by), []).append((s, i))
        return sorted(out.items(), key=lambda g: [rank(v) for v in g[0]])

    def labels(self, name, by, values, more=()):
        out = [(b, shown(v)) for b, v in zip(by, values) if v[0] != "nil"] + list(more)
        return out or [(by[0], ("string", "nil"))] if by else out or [("__name__", ("string", name))]

    def plain(self, name, what, spans, by):
        out = []
        for values, members in self.groups(spans, by):
            points = [[] for _ in range(self.n)]
            for s, i in members:
                if not what:
                    points[i].append(1)
                elif (v := first(what, s))[0] in NUMERIC:
                    points[i].append(v[1] / 1e9 if v[0] == "duration" else float(v[1]))
            if not any(points):
                continue
            fold = {"rate": lambda p: len(p) / (self.step / 1e9), "count_over_time": len, "min_over_time": lambda p: min(p) if p else None,
                    "max_over_time": lambda p: max(p) if p else None, "sum_over_time": lambda p: sum(p) if p else None,
                    "avg_over_time": lambda p: sum(p) / len(p) if p else None}[name]
            out.append((self.labels(name, by, values), [fold(p) for p in points]))
        if not out and not what and not by:
            out.append((self.labels(name, by, ()), [0] * self.n))
        return out

    def histograms(self, what, spans, by):
        """[(values of by, {exponent: counts of points})]"""
        for values, members in self.groups(spans, by):
            buckets = {}
            for s, i in members:
                v = first(what, s)
                if v[0] in NUMERIC and (b := bucket(v[1])) is not None:
                    buckets.setdefault(b, [0] * self.n)[i] += 1
            if buckets:
                yield values, buckets

    def leaf(self, by=None):
        text, fn = self.queries.spanset(1)
        by = self.r.sample(BY, self.r.choice((0, 1, 1, 2))) if by is None else by
        tail = f" by({', '.join(by)})" if by else ""
        name = self.r.choice(("rate", "count_over_time", "rate", "count_over_time", "min_over_time", "max_over_time", "sum_over_time",
                              "avg_over_time", "quantile_over_time", "histogram_over_time"))
        if name in ("rate", "count_over_time"):
            return f"{text} | {name}(){tail}", lambda traces: self.plain(name, None, self.spans(fn, traces), by)
        what = self.r.choice(("duration", "duration", "span.x", ".y", "span:childCount", "traceDuration"))
        unit = 1e9 if "uration" in what else 1
        if name == "histogram_over_time":
            return f"{text} | {name}({what}){tail}", lambda traces: [
                (self.labels(name, by, values, [("__bucket", ("float", 2.0 ** b / unit))]), points)
                for values, buckets in self.histograms(what, self.spans(fn, traces), by) for b, points in sorted(buckets.items())]
        if name == "quantile_over_time":
            qs = self.r.sample((0.1, 0.5, 0.9, 1.0), 2)
            return f"{text} | {name}({what}, {qs[0]}, {qs[1]}){tail}", lambda traces: [
                (self.labels(name, by, values, [("p", ("float", q))]),
                 [quantile({b: p[i] for b, p in buckets.items() if p[i]}, q, unit) for i in range(self.n)])
                for values, buckets in self.histograms(what, self.spans(fn, traces), by) for q in qs]
        return f"{text} | {name}({what}){tail}", lambda traces: self.plain(name, what, self.spans(fn, traces), by)

    def staged(self, text, fn):
        kind = self.r.randrange(6)
        if kind < 3:
            return text, fn
        if kind == 3:
            op, limit = self.r.choice((">", ">=", "<", "<=", "=", "!=")), self.r.choice((0, 0.05, 1, 2))
            return f"{text} {op} {limit}", lambda traces: compared_points(op, limit, fn(traces))
        what, k = self.r.choice(("topk", "bottomk")), self.r.choice((1, 2, 3))
        return f"{text} | {what}({k})", lambda traces: ranked(what, k, fn(traces), self.n)

    def arithmetic(self):
        op = self.r.choice("+-*/")
        if self.r.random() < .4:
            (text, fn), c, is_left = self.leaf(), self.r.choice((2, 0.5, 100)), self.r.random() < .3
            if is_left:
                return f"{c} {op} ({text})", lambda traces: [(l, [compute(op, c, v) for v in p]) for l, p in fn(traces)]
            return f"({text}) {op} {c}", lambda traces: [(l, [compute(op, v, c) for v in p]) for l, p in fn(traces)]
        by = self.r.sample(BY, 1)
        (lt, l), (rt, r) = self.leaf(by), self.leaf(self.r.choice(([], by)))
        return f"({lt}) {op} ({rt})", lambda traces: joined(op, l(traces), r(traces))

    def compare(self):
        (text, fn), (condition, is_selected) = self.queries.spanset(1), self.queries.condition(1)
        n, tail, window = 10, "", None
        if self.r.random() < .6:
            n = self.r.choice((1, 2, 3))
            tail = f", {n}"
            if self.r.random() < .5:
                window = (self.start + self.step, self.start + 3 * self.step)
                tail += f", {window[0]}, {window[1]}"

        def run(traces):
            sides = ({}, {})
            for s, i in self.spans(fn, traces):
                side = sides[is_selected(s) and (not window or window[0] <= s.start < window[1])]
                for name, v in self.attributes(s):
                    side.setdefault(name, {}).setdefault(v, [0] * self.n)[i] += 1
            return self.sides(sides, n)
        return f"{text} | compare({{ {condition} }}{tail})", run

    def attributes(self, s):
        for name in COMPARED:
            v = first(name, s)
            if name not in NO_NAME or v[1]:
                yield name, v
        for scope, attributes in (("span", s.attributes), ("resource", s.resource), ("instrumentation", s.scope[2])):
            for key in attributes:
                yield f'{scope}."{key}"' if " " in key else f"{scope}.{key}", first(f"{scope}.{key}", s)

    def sides(self, sides, n):
        out, too_many = [], set()
        for side, name in zip(sides, ("baseline", "selection")):
            for a, values in side.items():
                best = sorted(values, key=lambda v: (-sum(values[v]), rank(v)))
                out += [([("__meta_type", ("string", name)), (a, shown(v))], values[v]) for v in best[:n]]
                out.append(([("__meta_type", ("string", name + "_total")), (a, ("string", "nil"))], [sum(p) for p in zip(*values.values())]))
                if len(best) > n:
                    too_many.add(a)
        return out + [([("__meta_error", ("string", "__too_many_values__")), (a, ("string", "nil"))], []) for a in too_many]

    def query(self):
        kind = self.r.randrange(8)
        if kind == 0:
            return self.compare()
        return self.staged(*(self.arithmetic() if kind < 3 else self.leaf()))


def compared_points(op, limit, series):
    keep = {">": lambda v: v > limit, ">=": lambda v: v >= limit, "<": lambda v: v < limit, "<=": lambda v: v <= limit,
            "=": lambda v: v == limit, "!=": lambda v: v != limit}[op]
    return [(l, [v if v is not None and keep(v) else None for v in p]) for l, p in series]


def ranked(what, k, series, n):
    out = [(l, [None] * n) for l, _ in series]
    for i in range(n):
        there = [(p[i] if what == "bottomk" else -p[i], at) for at, (_, p) in enumerate(series) if p[i] is not None]
        for _, at in sorted(there)[:k]:
            out[at][1][i] = series[at][1][i]
    return out


def compute(op, l, r):
    """What is not there counts as 0, and nothing comes of a division by 0."""
    l, r = l or 0, r or 0
    if op == "/":
        return l / r if r else None
    return l + r if op == "+" else l - r if op == "-" else l * r


def is_plain(labels):
    return len(labels) == 1 and labels[0][0] == "__name__"


def joined(op, left, right):
    """The right side's series with those of the left that have the same labels, or else with the one that has none; or the other way round."""
    def partner(series, labels):
        for l, p in series:
            if l == labels or is_plain(l) and is_plain(labels):
                return p
        return next((p for l, p in series if is_plain(l)), None)
    by_left = len(right) == 1 and is_plain(right[0][0])
    out = []
    for labels, _ in left if by_left else right:
        l, r = partner(left, labels), partner(right, labels)
        if l is not None and r is not None:
            out.append((labels, [compute(op, x, y) for x, y in zip(l, r)]))
    return out
