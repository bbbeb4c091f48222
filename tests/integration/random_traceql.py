"""Random traces and random TraceQL from a seed, and an evaluator that looks at every span by itself and at every pair of spans: what it
says is plain to see, and slow. Used by random_traceql_test.py.

A value is (type, v); an expression over a span gives the values it has: none, one, or several. A query is its text and what it gives.
"""
import math
import random
import re

MS = 10**6
S = 10**9
NUMERIC = ("int", "float", "duration")
TYPES = ("nil", "any", "int", "float", "string", "bool", "duration", "status", "kind")  # the order that values of several types have
STATUSES = ("unset", "ok", "error")
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
SERVICES = ("front", "shop", "db")
NAMES = ("GET /", "SELECT", "publish")
TEXTS = ("a", "b", "ab", "x y")
SCOPES = ("span", "resource", "event", "link", "instrumentation")  # the order in which .x is looked for
KEYS = ("x", "y", "z", "odd key")


# ---- the spans ----

class Span:
    def __init__(self):
        self.trace = self.parent = None  # Trace; Span, if it is there
        self.children = []

    def is_connected(self):
        s = self
        while s.parent:
            s = s.parent
        return s.parent_id == ""


class Trace:
    def __init__(self, trace_id):
        self.id, self.spans, self.root = trace_id, [], None

    def link(self):
        by_id = {s.id: s for s in self.spans}
        for s in self.spans:
            s.trace, s.parent = self, by_id.get(s.parent_id)
            if s.parent:
                s.parent.children.append(s)
        roots = [s for s in self.spans if s.parent_id == ""]
        self.root = roots[0] if roots else None
        self.start, self.end = min(s.start for s in self.spans), max(s.end for s in self.spans)


def random_value(r, may_be_array=True):
    kind = r.randrange(7 if may_be_array else 6)
    if kind == 6:
        return [random_value(r, False) for _ in range(1 + r.randrange(2))]
    return (("int", r.randrange(-1, 4)), ("int", r.randrange(-1, 4)), ("float", r.randrange(8) / 2), ("bool", r.random() < .5),
            ("string", r.choice(TEXTS)), ("string", r.choice(TEXTS)))[kind]


def random_attributes(r):
    return {k: random_value(r) for k in KEYS if r.random() < .4}


def random_traces(seed, start_ns, n):
    """Spans within twelve minutes from start_ns on, some traces at the very bounds of two minutes. Some have a parent that is not there; no trace has two roots."""
    r = random.Random(seed)
    resources = [{"service.name": ("string", r.choice(SERVICES)), **random_attributes(r)} for _ in range(6)]
    resources.append(random_attributes(r))  # of no service
    scopes = [("lib", "1", random_attributes(r)), ("", "", {})]
    traces = []
    for t in range(n):
        trace = Trace(f"{r.getrandbits(128) | 1:032x}")
        is_at_bound = r.random() < .3
        at = start_ns + (r.randrange(7) * 120 * S if is_at_bound else r.randrange(600 * S))
        for i in range(1 + r.randrange(12)):
            s = Span()
            s.id = f"{t * 100 + i + 1:016x}"
            s.parent_id = "" if i == 0 and r.random() < .9 else f"{t * 100 + 1 + r.randrange(max(i, 1)):016x}"
            if i == 0 and s.parent_id or r.random() < .05 and i:
                s.parent_id = "00000000deadbeef"
            s.name, s.message = r.choice(NAMES), r.choice(("", "", "no row"))
            s.kind, s.status = r.randrange(6), r.randrange(3)
            s.start = at if is_at_bound else at + r.randrange(S)
            s.end = s.start + r.choice((0, 1, 500, 20 * MS, 50 * MS, 80 * MS + 1, 2 * S))
            s.resource, s.scope, s.attributes = r.choice(resources), r.choice(scopes), random_attributes(r)
            s.events = [(r.choice(("retry", "exception")), s.start + r.randrange(3) * MS, random_attributes(r)) for _ in range(r.choice((0, 0, 1, 2)))]
            s.links = [(f"{r.getrandbits(128) | 1:032x}", f"{r.getrandbits(64) | 1:016x}", random_attributes(r)) for _ in range(r.choice((0, 0, 0, 1)))]
            trace.spans.append(s)
        trace.link()
        traces.append(trace)
    return traces


def otlp_value(v):
    if isinstance(v, list):
        return {"arrayValue": {"values": [otlp_value(x) for x in v]}}
    kind, x = v
    return {"int": lambda: {"intValue": str(x)}, "float": lambda: {"doubleValue": x}, "bool": lambda: {"boolValue": x},
            "string": lambda: {"stringValue": x}}[kind]()


def otlp_attributes(attributes):
    return [{"key": k, "value": otlp_value(v)} for k, v in attributes.items()]


def otlp_request(spans):
    """Each span in a resource and scope of its own, as far as it has one."""
    return {"resourceSpans": [{
        "resource": {"attributes": otlp_attributes(s.resource)},
        "scopeSpans": [{"scope": {"name": s.scope[0], "version": s.scope[1], "attributes": otlp_attributes(s.scope[2])}, "spans": [{
            "traceId": s.trace.id, "spanId": s.id, "parentSpanId": s.parent_id, "name": s.name, "kind": s.kind,
            "startTimeUnixNano": str(s.start), "endTimeUnixNano": str(s.end), "status": {"code": s.status, "message": s.message},
            "attributes": otlp_attributes(s.attributes),
            "events": [{"name": n, "timeUnixNano": str(t), "attributes": otlp_attributes(a)} for n, t, a in s.events],
            "links": [{"traceId": t, "spanId": i, "attributes": otlp_attributes(a)} for t, i, a in s.links]}]}]} for s in spans]}


# ---- expressions over a span ----

def flat(attributes, key):
    v = attributes.get(key)
    return [] if v is None else v if isinstance(v, list) else [v]


def scoped(s, scope, key):
    return {"span": lambda: flat(s.attributes, key), "resource": lambda: flat(s.resource, key),
            "event": lambda: [v for e in s.events for v in flat(e[2], key)], "link": lambda: [v for l in s.links for v in flat(l[2], key)],
            "instrumentation": lambda: flat(s.scope[2], key)}[scope]()


def unscoped(s, key):
    for scope in SCOPES:
        if found := scoped(s, scope, key):
            return found
    return []


def root_text(s, what):
    root = s.trace.root
    return [("string", what(root) if root else "")]


def service(s):
    v = s.resource.get("service.name")
    return v[1] if v else ""


INTRINSICS = {
    "name": lambda s: [("string", s.name)], "statusMessage": lambda s: [("string", s.message)], "status": lambda s: [("status", s.status)],
    "kind": lambda s: [("kind", s.kind)], "duration": lambda s: [("duration", s.end - s.start)],
    "traceDuration": lambda s: [("duration", s.trace.end - s.trace.start)], "rootName": lambda s: root_text(s, lambda x: x.name),
    "rootServiceName": lambda s: root_text(s, service), "event:name": lambda s: [("string", e[0]) for e in s.events],
    "event:timeSinceStart": lambda s: [("duration", e[1] - s.start) for e in s.events], "link:spanID": lambda s: [("string", l[1]) for l in s.links],
    "link:traceID": lambda s: [("string", l[0]) for l in s.links], "span:id": lambda s: [("string", s.id)],
    "span:parentID": lambda s: [("string", s.parent_id)], "trace:id": lambda s: [("string", s.trace.id)],
    "span:childCount": lambda s: [("int", len(s.children))], "instrumentation:name": lambda s: [("string", s.scope[0])],
    "instrumentation:version": lambda s: [("string", s.scope[1])]}


def attribute(text):
    """What TraceQL's text means: a function from a span to its values."""
    if text in INTRINSICS:
        return INTRINSICS[text]
    scope, key = text.split(".", 1)
    key = key.strip('"')
    return (lambda s: scoped(s, scope, key)) if scope else (lambda s: unscoped(s, key))


def holds(op, l, r):
    """Of two values; None: they do not go together."""
    if l[0] in NUMERIC and r[0] in NUMERIC:
        a, b = (float(l[1]), float(r[1])) if "float" in (l[0], r[0]) else (l[1], r[1])
    elif l[0] == r[0]:
        a, b = l[1], r[1]
    else:
        return None
    return {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


def matches(l, pattern):
    return re.fullmatch(pattern, l[1], re.S) is not None if l[0] == "string" else None


def some(op, verdicts):
    """Of several values: any that holds will do; of != and !~ none may be equal, and there must be one that could have been."""
    positive = [v for v in verdicts if v is not None]
    return bool(positive) and not any(positive) if op in ("!=", "!~") else any(positive)


def with_constant(op, l, r):
    """An attribute and a constant: integers are like no float, and floats like no integer."""
    if l[0] == "int" and r[0] == "float" or l[0] == "float" and r[0] == "int" and op in ("=", "!="):
        return None
    return holds(op, l, r)


def arithmetic(op, l, r):
    if len(l) != 1 or len(r) != 1 or l[0][0] not in NUMERIC or r[0][0] not in NUMERIC:
        return []
    (lt, a), (rt, b) = l[0], r[0]
    if lt == rt == "int":
        if op == "/":
            return [] if b == 0 else [("int", int(a / b))]
        return [("int", a + b if op == "+" else a - b if op == "-" else a * b)]
    a, b = float(a), float(b)
    if op == "/":
        return [("float", a / b if b else math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a))]
    return [("float", a + b if op == "+" else a - b if op == "-" else a * b)]


def constant_text(v):
    kind, x = v
    return {"string": lambda: f'"{x}"', "bool": lambda: "true" if x else "false", "duration": lambda: f"{x}ns", "status": lambda: STATUSES[x],
            "kind": lambda: KINDS[x], "float": lambda: f"{x:.1f}"}.get(kind, lambda: str(x))()


ANY = (".x", "span.x", "resource.x", "event.x", "link.y", "instrumentation.x", ".y", "span.y", ".z", "event.z", 'span."odd key"', '."odd key"',
       "resource.service.name", "resource.service.name")
TEXT = ("name", "name", "statusMessage", "rootName", "rootServiceName", "event:name", "instrumentation:name")
DURATION = ("duration", "duration", "traceDuration", "event:timeSinceStart")
NUMBER = (".x", "span.x", "span.y", "resource.z", ".z", "duration", "traceDuration", "span:childCount")
EQUALITY, ORDER = ("=", "!="), ("=", "!=", "<", "<=", ">", ">=")
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def go_duration(ns):
    if ns < 1000:
        return f"{ns}ns" if ns else "0s"
    if ns < S:
        n, unit = (ns / 1000, "µs") if ns < MS else (ns / MS, "ms")
        return f"{n:.6f}".rstrip("0").rstrip(".") + unit
    h, rest = divmod(ns, 3600 * S)
    m, rest = divmod(rest, 60 * S)
    return (f"{h}h" if h else "") + (f"{m}m" if h or m else "") + f"{rest / S:.9f}".rstrip("0").rstrip(".") + "s"


def shown(v):
    """A value as answers show it."""
    kind, x = v
    texts = {"status": lambda: STATUSES[x], "kind": lambda: KINDS[x], "nil": lambda: "nil", "duration": lambda: go_duration(x)}
    return ("string", texts[kind]()) if kind in texts else v


class Queries:
    def __init__(self, seed, traces, start_ns):
        self.r, self.traces, self.start_ns = random.Random(seed), traces, start_ns

    def pick(self, what):
        return self.r.choice(what)

    # A condition is (text, function from a span to whether it is true).

    def constant(self):
        return self.pick((("int", self.r.randrange(-1, 4)), ("float", self.r.randrange(8) / 2), ("string", self.pick(TEXTS)),
                          ("bool", self.r.random() < .5), ("duration", 2)))

    def compared(self, text, op, value):
        op = self.pick(EQUALITY) if value[0] == "bool" else op
        of = attribute(text)
        judge = holds if text in INTRINSICS else with_constant
        fn = lambda s: some(op, [judge("=" if op == "!=" else op, v, value) for v in of(s)])
        if self.r.random() < .2:
            return f"{constant_text(value)} {MIRRORED.get(op, op)} {text}", fn
        return f"{text} {op} {constant_text(value)}", fn

    def regex(self):
        text, op, pattern = self.pick((*TEXT, ".x", "span.y", "resource.service.name")), self.pick(("=~", "!~")), self.pick(("a.*", ".*b", "[a-fG].+", "", ".*"))
        of = attribute(text)
        return f'{text} {op} "{pattern}"', lambda s: some(op, [matches(v, pattern) for v in of(s)])

    def computed(self):
        text, other, op, compare = self.pick(NUMBER), self.pick(NUMBER), self.pick("+-*/"), self.pick(ORDER)
        l, r = attribute(text), attribute(other)
        value = self.pick((("int", self.r.randrange(4)), ("float", self.r.randrange(8) / 2)))
        sides = self.r.randrange(3)
        if sides == 0:
            right, r = f"{text} {op} {other}", (lambda s, r=r: arithmetic(op, l(s), r(s)))
        elif sides == 1:
            right, r = f"{text} {op} {constant_text(value)}", lambda s: arithmetic(op, l(s), [value])
        else:
            right, r = f"-{text}", lambda s: arithmetic("*", l(s), [("int", -1)])
        limit = self.pick((("int", 1), ("float", 1.5), ("duration", 50 * MS)))
        return f"{right} {compare} {constant_text(limit)}", \
            lambda s: some(compare, [holds("=" if compare == "!=" else compare, v, limit) for v in r(s)])

    def leaf(self):
        kind = self.r.randrange(11)
        if kind < 3:
            return self.compared(self.pick(ANY), self.pick(ORDER), self.constant())
        if kind == 3:
            return self.compared(self.pick(TEXT), self.pick(ORDER), ("string", self.pick((*NAMES, *SERVICES, "retry", "lib", "no row", ""))))
        if kind == 4:
            return self.compared(self.pick(DURATION), self.pick(ORDER), self.pick((("duration", 20 * MS), ("duration", 1), ("duration", S), ("int", 500), ("duration", 0))))
        if kind == 5:
            what, values = self.pick((("status", STATUSES), ("kind", KINDS)))
            return self.compared(what, self.pick(EQUALITY), (what, self.r.randrange(len(values))))
        if kind == 6:
            return self.regex()
        if kind == 7:
            text, of = (t := self.pick(ANY[:12])), attribute(t)
            return self.pick(((f"{text} != nil", lambda s: bool(of(s))), (f"{text} = nil", lambda s: not of(s))))
        if kind == 8:
            return self.computed()
        if kind == 9:
            a, b, op = self.pick(ANY), self.pick(ANY), self.pick(ORDER)
            l, r = attribute(a), attribute(b)
            return f"{a} {op} {b}", lambda s: some(op, [holds("=" if op == "!=" else op, x, y) for x in l(s) for y in r(s)])
        s = self.pick(self.pick(self.traces).spans)
        what, value = self.pick((("span:id", s.id), ("trace:id", s.trace.id), ("span:parentID", s.parent_id), ("span:childCount", 2), ("link:spanID", s.id)))
        return self.compared(what, self.pick(EQUALITY), ("int", value) if what == "span:childCount" else ("string", value))

    def condition(self, depth=2):
        kind = self.r.randrange(8) if depth else 0
        if kind < 4:
            return self.leaf()
        text, fn = self.condition(depth - 1)
        if kind == 4:
            return f"!({text})", lambda s: not fn(s)
        other, fn2 = self.condition(depth - 1)
        if kind < 7:
            return f"({text}) && ({other})", lambda s: fn(s) and fn2(s)
        return f"({text}) || ({other})", lambda s: fn(s) or fn2(s)

    # A spanset is (text, function from a list of spans of one trace to those of them that it keeps).

    def filter(self):
        if self.r.random() < .15:
            return "{}", lambda spans: spans
        text, fn = self.condition()
        return f"{{ {text} }}", lambda spans: [s for s in spans if fn(s)]

    def spanset(self, depth=2):
        if not depth or self.r.random() < .5:
            return self.filter()
        (lt, l), (rt, r) = self.spanset(depth - 1), self.spanset(depth - 1)
        op = self.pick((*RELATIONS, *("!" + x for x in RELATIONS), *("&" + x for x in RELATIONS), "&&", "||"))
        return f"({lt} {op} {rt})", lambda spans: operate(op, l(spans), r(spans), spans)

    # A pipeline is (text, function from a trace to its sets: [(spans, {name: value})]).

    def element(self):
        kind = self.r.randrange(6)
        if kind == 0:
            text, fn = self.spanset(1)
            return text, lambda sets: [(fn(spans), values) for spans, values in sets]
        if kind == 1:
            text = self.pick((".x", "span.y", "resource.service.name", "name", "status", "kind", "duration", "event:name", "rootServiceName", "instrumentation:name"))
            return f"by({text})", lambda sets: [g for spans, values in sets for g in grouped(text, spans, values)]
        if kind == 2:
            return "coalesce()", lambda sets: [(unique([s for spans, _ in sets for s in spans]), {})]
        op = self.pick(ORDER)
        if kind == 3:
            n = ("int", self.r.randrange(4))
            return f"count() {op} {n[1]}", lambda sets: aggregated("count()", lambda spans: ("int", len(spans)), op, n, sets)
        what, text = self.pick(("avg", "min", "max", "sum")), self.pick(NUMBER)
        limit = ("duration", 50 * MS) if "uration" in text else self.pick((("int", 1), ("float", 1.5)))
        return f"{what}({text}) {op} {constant_text(limit)}", \
            lambda sets: aggregated(f"{what}({text})", lambda spans: aggregate(what, text, spans), op, limit, sets)

    def pipeline(self):
        text, fn = self.spanset()
        elements = [self.element() for _ in range(self.pick((0, 0, 1, 1, 2, 3)))]

        def run(trace):
            sets = [(fn(trace.spans), {})]
            for _, step in elements:
                sets = step([x for x in sets if x[0]])
            return [x for x in sets if x[0]]
        return " | ".join([text, *(t for t, _ in elements)]), run


RELATIONS = {
    ">": lambda l, r: r.parent is l, "<": lambda l, r: l.parent is r, ">>": lambda l, r: l in ancestors(r), "<<": lambda l, r: r in ancestors(l),
    "~": lambda l, r: l is not r and l.parent is not None and l.parent is r.parent}


def ancestors(s):
    out = []
    while s.parent:
        s = s.parent
        out.append(s)
    return out


def unique(spans):
    return list({s.id: s for s in spans}.values())


def operate(op, l, r, spans):
    if op == "&&":
        return unique(l + r) if l and r else []
    if op == "||":
        return unique(l + r)
    is_so = RELATIONS[op.lstrip("!&")]
    related = [(a, b) for a in l for b in r if a.is_connected() and b.is_connected() and is_so(a, b)]
    right = {b.id for _, b in related}
    if op[0] == "!":
        return [b for b in r if b.id not in right]
    return unique([b for b in r if b.id in right] + ([a for a, _ in related] if op[0] == "&" else []))


def first(text, s):
    values = attribute(text)(s)
    return values[0] if values else ("nil", None)


def grouped(text, spans, values):
    groups = {}
    for s in spans:
        groups.setdefault(first(text, s), []).append(s)
    return [(g, {**values, f"by({text})": v}) for v, g in groups.items()]


def aggregate(what, text, spans):
    values = [v for v in (first(text, s) for s in spans) if v[0] in NUMERIC]
    if not values:
        return ("nil", None)
    kind = values[0][0] if len({v[0] for v in values}) == 1 else "float"
    numbers = [v[1] for v in values]
    if what == "avg":
        return ("duration", sum(numbers) // len(numbers)) if kind == "duration" else ("float", sum(numbers) / len(numbers))
    return (kind, {"min": min, "max": max, "sum": sum}[what](numbers))


def aggregated(name, of, op, limit, sets):
    out = []
    for spans, values in sets:
        if spans and holds(op, v := of(spans), limit):
            out.append((spans, {**values, name: v}))
    return out
