#!/usr/bin/env python3
"""The web UI in Chromium: each page on the data of orreryctl demo, the way from an alert to its cause, and what every page must be: nothing asked of
anybody else, no error in the console, names for all that can be pressed, text that can be read. SHOTS=DIR keeps a picture of each."""
import functools
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser  # noqa: E402
from orrery_test import BIN, ROOT, Process, Single, api, check, http_call, main, push_ok, wait_for  # noqa: E402

SHOTS = os.environ.get("SHOTS")
CONFIG = """route: {receiver: nobody, group_by: [alertname]}
receivers: [{name: nobody}]
"""


def rig(t, live=False):
    """An orrery with the demo's last half hour in it, and a browser. live: and it goes on, with the accounts locked now."""
    config = os.path.join(t.dir, "alertmanager.yml")
    with open(config, "w") as f:
        f.write(CONFIG)
    o = Single(t, args=("--ingester.traces=true", "--auth.mode=optional", f"--alertmanager.config-file={config}", "--ruler.poll-period=1s")).wait_ready()
    demo = Process("demo", [os.path.join(BIN, "orreryctl"), "demo", f"--address={o.addr}", "--rate=5", "--cycle=10m",
                            *(["--lock-in=0s"] if live else ["--lock-in=5m", "--for=0s"])], os.path.join(t.dir, "demo.log"))
    t.add(demo)
    if live:
        wait_for("the shop to be open", lambda: "the shop is open" in demo.tail(), 120)
        wait_for("the alert", lambda: any(a["labels"]["alertname"] == "CheckoutErrors" for a in api(o.addr, "/alertmanager/api/v2/alerts", tenant=None).json), 60)
    else:
        wait_for("the shop's past", lambda: not demo.alive(), 180)
        check(demo.popen.returncode == 0, demo.tail())
    return o, Browser(t)


def shot(page, name):
    if SHOTS:
        os.makedirs(SHOTS, exist_ok=True)
        page.screenshot(os.path.join(SHOTS, f"{name}.png"))


def at(o, page, **params):
    return f"http://{o.addr}/ui/{page}?" + urllib.parse.urlencode(params, doseq=True)


# What a screen reader and a keyboard need: names, one main, headings, and contrast of 4.5 of text to its ground.
ACCESSIBLE = r"""(() => {
  const bad = [];
  const shown = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility !== "hidden"; };
  const name = (e) => e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") && document.getElementById(e.getAttribute("aria-labelledby"))?.textContent) ||
    [...(e.labels ?? [])].map((l) => l.textContent).join("") || e.textContent.trim() || e.querySelector("img[alt], title")?.textContent || e.title;
  for (const e of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=button], [role=img], canvas"))
    if (shown(e) && !name(e)) bad.push("no name: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) bad.push("no alt: " + e.outerHTML);
  if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  if (!document.documentElement.lang) bad.push("no lang");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("two of id " + id);
  const parse = (c) => { const m = /rgba?\(([^)]+)\)/.exec(c); if (!m) return null; const v = m[1].split(/[ ,\/]+/).map(Number); return { c: v.slice(0, 3), a: v[3] ?? 1 }; };
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (e) => { const over = []; for (; e; e = e.parentElement) { const b = parse(getComputedStyle(e).backgroundColor); if (b && b.a > 0) { over.push(b); if (b.a === 1) break; } }
    let c = over.length && over.at(-1).a === 1 ? over.pop().c : [255, 255, 255]; for (const o of over.reverse()) c = c.map((v, i) => v * (1 - o.a) + o.c[i] * o.a); return c; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(e) || !shown(e) || e.closest("svg, script, style, noscript, textarea, .off, .skip")) continue;
    seen.add(e);
    const c = parse(getComputedStyle(e).color);
    if (!c || c.a < 1 || getComputedStyle(e).opacity < 1) continue;
    const x = light(c.c), y = light(ground(e)), ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    if (ratio < 4.5) bad.push(`contrast ${ratio.toFixed(2)}: ${e.outerHTML.slice(0, 120)}`);
  }
  return bad;
})()"""


def is_sound(o, page, where):
    """Of a page that has loaded."""
    check(not page.errors, f"{where}: the console says {page.errors}")
    foreign = [u for u in page.requests if not u.startswith((f"http://{o.addr}/", "data:", "about:"))]
    check(not foreign, f"{where}: asked elsewhere: {foreign}")
    bad = page.eval(ACCESSIBLE)
    check(not bad, f"{where}: {bad[:5]}")
    wide = page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    check(wide <= 1, f"{where}: {wide} pixels wider than the window")


HTTP = "http_server_request_duration_seconds"
PAGES = {
    "home": ("", {}, "document.querySelectorAll('.card').length === 5 && !document.body.innerText.includes('…')"),
    "metrics": ("explore", {"lang": "promql", "q": f"sum by (job) (histogram_count(rate({HTTP}[1m])))"}, "document.querySelectorAll('.legend button').length === 5"),
    "heat": ("explore", {"lang": "promql", "q": f'sum(rate({HTTP}{{job="checkout"}}[1m]))'}, "document.querySelector('.panel h2 + div canvas') && document.body.innerText.includes('exemplars')"),
    "table": ("explore", {"lang": "promql", "q": "cache_requests_total", "view": "table"}, "document.querySelectorAll('tbody tr').length === 2"),
    "metrics-100": ("explore", {"lang": "promql", "q": "hundred"}, "document.querySelectorAll('.legend button').length === 100"),
    "logs": ("explore", {"lang": "logql", "q": '{service_name="payments"}'}, "document.querySelectorAll('.logline').length > 100 && document.querySelector('canvas')"),
    "log-rates": ("explore", {"lang": "logql", "q": 'sum by (service_name) (count_over_time({service_name=~".+"}[1m]))'}, "document.querySelectorAll('.legend button').length === 5"),
    "traces": ("explore", {"lang": "traceql", "q": "{ duration > 1s && status = error }"}, "document.querySelectorAll('tbody tr').length > 10"),
    "trace-rates": ("explore", {"lang": "traceql", "q": "{ } | rate() by (resource.service.name)"}, "document.querySelectorAll('.legend button').length === 5"),
    "services": ("services", {}, "document.querySelectorAll('.graph .node').length === 5"),
    "alerts": ("alerts", {}, "document.querySelector('.alert')?.innerText.includes('CheckoutErrors')"),
    "silences": ("alerts", {"tab": "silences"}, "document.querySelector('form')"),
    "routing": ("alerts", {"tab": "routing"}, "document.querySelector('pre')?.innerText.includes('nobody')"),
    "rules": ("rules", {}, "document.querySelectorAll('.rule').length === 3"),
    "usage": ("usage", {}, f"document.querySelectorAll('table').length === 3 && document.body.innerText.includes('{HTTP}')"),
    "cluster": ("cluster", {}, "document.querySelectorAll('[aria-busy]').length === 0 && document.body.innerText.includes('replication')"),
}


def push_a_hundred(o):
    """A hundred series of two thousand samples in the last half hour and a bit."""
    now = int(time.time() * 1000)
    for first in range(0, 100, 20):
        push_ok(o.addr, [({"__name__": "hundred", "item": f"{i:02}"}, [(now - (2000 - k) * 1000, float((k * (i + 3)) % 500 + i)) for k in range(2000)])
                         for i in range(first, first + 20)], tenant=None)


def test_every_page(t):
    o, browser = rig(t, live=True)
    push_a_hundred(o)
    for name, (path, params, ready) in PAGES.items():
        page = browser.page(at(o, path, **params))
        page.wait(ready)
        is_sound(o, page, name)
        shot(page, name)
        page.size(390, 800, is_dark=True, is_phone=True)
        page.open(at(o, path, **params)).wait(ready)
        is_sound(o, page, f"{name}, narrow and dark")
        shot(page, f"{name}-phone")
        page.close()
        browser.pages.remove(page)


def press_exemplar(page):
    """The pointer goes along the graph, from its right, and presses where the tip says that there is an exemplar. Returns what the tip said."""
    x, y, width, height = page.wait("(() => { const r = document.querySelector('.plot .over').getBoundingClientRect(); return r.width ? [r.x, r.y, r.width, r.height] : null; })()")
    shown = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(document.querySelector('.exemplartext') && !document.querySelector('.tip').hidden ? document.querySelector('.tip').innerText : ''))))"
    for down in (12, 40, 80, 120, 160, 200, 240):
        for along in range(int(width) - 14, 64, -9):
            page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + along, y=y + down)
            tip = page.eval(shown)
            if tip:
                page.press(x + along, y + down)
                return tip
    check(False, "no exemplar under the pointer")


def test_from_an_alert_to_its_cause(t):
    """Three presses: the alert's graph, the exemplar of its spike, and that is the trace whose slowest span, chosen already, has the line that
    names the lock (the third opens the line). The batch job's mark stands at its start."""
    o, browser = rig(t, live=True)
    page = browser.page(at(o, "alerts"))
    page.click(".alert a.button", "Its graph")
    page.wait("location.pathname === '/ui/explore' && document.querySelector('main .panel details summary')?.innerText.includes('exemplars')")
    check(f"rate({HTTP}" in page.eval("document.querySelector('textarea').value"), "the alert's expression is not in the editor")
    is_sound(o, page, "the alert's graph")
    tip = press_exemplar(page)
    check("trace_id=" in tip and "batch: reconciliation: nightly reconciliation" in tip, tip)
    page.wait("location.pathname === '/ui/trace' && document.querySelector('.spandetails .logline')")
    check("UPDATE accounts" in page.text(".spandetails h2"), f"the slowest span is not chosen: {page.text('.spandetails')[:200]}")
    check("could not obtain lock" in page.text(".spandetails .logline"), page.text(".spandetails"))
    page.click(".spandetails .logline .logtext")
    page.wait("document.querySelector('.spandetails .linedetails')")
    check("nightly reconciliation" in page.text("main"), "the batch job is not told of beside its trace")
    is_sound(o, page, "trace")
    shot(page, "way-trace")
    now = int(time.time() * 1000)
    locks = page.eval(f"import('/ui/events.js').then((m) => m.events({{from: {now - 3000000}, to: {now}}})).then((l) => l.filter((e) => e.kind === 'batch').map((e) => [e.t, e.end]))")
    trace = page.eval("location.search")
    began = int(page.eval("Number(new URLSearchParams(location.search).get('at'))"))
    check(any(start <= began <= end + 10000 for start, end in locks), f"the batch job's marks {locks} are not where the trace {trace} is")


def test_silencing_an_alert(t):
    """From the alert: its labels are there; what it would silence is told; then it is silenced, and not any more."""
    o, browser = rig(t, live=True)
    page = browser.page(at(o, "alerts"))
    page.click(".alert button", "Silence")
    page.wait("document.querySelector('form textarea')?.value.includes('alertname=\"CheckoutErrors\"')")
    page.type("form label:nth-of-type(2) input", "ann")
    page.type("form label:nth-of-type(3) input", "we know")
    page.click("form button", "What would it silence?")
    page.wait("document.querySelector('form').innerText.includes('1 alerts would be silenced')")
    page.click("form button.main")
    page.wait("document.querySelector('tbody .state.active')")
    is_sound(o, page, "silences")
    shot(page, "silenced")
    page.open(at(o, "alerts")).wait("document.querySelector('.alert .state.silenced')")
    page.open(at(o, "alerts", tab="silences"))
    page.click("tbody button", "End it")
    page.wait("document.querySelector('tbody .state.expired')")
    page.open(at(o, "alerts")).wait("document.querySelector('.alert .state.active')")


def test_writing_a_query(t):
    """Proposals, colours, errors where they are, history, and a link that gives the same page."""
    o, browser = rig(t)
    page = browser.page(at(o, "explore", lang="promql"))
    page.type("textarea", "cache_req")
    page.wait("[...document.querySelectorAll('.proposals li')].some((l) => l.textContent.startsWith('cache_requests_total'))")
    page.key("Escape", 27)
    page.wait("document.querySelector('.proposals').hidden")
    page.type("textarea", "uests_total{res")
    page.wait("[...document.querySelectorAll('.proposals li')].some((l) => l.textContent.startsWith('result'))")
    page.key("Tab", 9)
    page.type("textarea", '="hi')
    page.wait("[...document.querySelectorAll('.proposals li')].some((l) => l.textContent.startsWith('hit'))")
    shot(page, "proposals")
    page.key("Tab", 9)
    page.type("textarea", '"}')
    check(page.eval("document.querySelector('textarea').value") == 'cache_requests_total{result="hit"}', page.eval("document.querySelector('textarea').value"))
    page.key("Enter", 13)
    page.wait("document.querySelectorAll('.legend button').length === 1")
    link = page.eval("location.href")
    page.eval("document.querySelector('textarea').select()")
    page.type("textarea", "sum(rate(x[5m])")
    page.key("Escape", 27)
    page.key("Enter", 13)
    page.wait("document.querySelector('.editor .trouble') && !document.querySelector('.editor .trouble').hidden && document.querySelector('.wrong')")
    shot(page, "error")
    page.errors.clear()  # the console tells of the answer 400, as it must
    page.open(link).wait("document.querySelectorAll('.legend button').length === 1")
    page.click("details.history summary")
    check('cache_requests_total{result="hit"}' in page.text("details.history"), page.text("details.history"))


def test_log_lines_open_narrow_and_tail(t):
    o, browser = rig(t)
    page = browser.page(at(o, "explore", lang="logql", q='{service_name="payments"} |= "lock"'))
    page.click(".logline .logtext")
    page.wait("document.querySelector('.linedetails a.button')")
    check("could not obtain lock" in page.text(".logline"), page.text(".logline"))
    shot(page, "line")
    page.click(".fields summary", "Fields")
    page.click(".fields details summary", "relation")
    page.wait("[...document.querySelectorAll('.fields button')].some((b) => b.textContent === 'accounts')")
    page.click(".linedetails button", "Lines around it")
    page.wait("document.querySelectorAll('dialog .logline').length > 10 && document.querySelector('dialog .here')")
    page.click("dialog button", "Close")
    page.eval("""[...document.querySelectorAll('.linedetails button')].find((b) => b.getAttribute('aria-label')?.startsWith('Only lines whose relation')).click()""")
    page.wait("new URLSearchParams(location.search).get('q').includes('| json | relation=')")
    page.wait("document.querySelectorAll('.logline').length >= 1")
    page.open(at(o, "explore", lang="logql", q='{service_name="late"}', view="tail"))
    page.wait("document.querySelector('[role=status].dim')")
    time.sleep(1)
    body = {"streams": [{"stream": {"service_name": "late"}, "values": [[str(time.time_ns()), "here I am"]]}]}
    r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps(body), {"Content-Type": "application/json"})
    check(r.status == 204, r.text)
    page.wait("document.querySelector('.logline')?.innerText.includes('here I am')")
    is_sound(o, page, "tail")


def test_zoom_by_mouse_and_back(t):
    o, browser = rig(t)
    page = browser.page(at(o, "explore", lang="promql", q="shop_stock"))
    page.wait("document.querySelectorAll('.legend button').length === 24")
    box = page.eval("(() => { const r = document.querySelector('.plot .over').getBoundingClientRect(); return [r.x, r.y, r.width]; })()")
    page.drag(box[0] + box[2] * 0.4, box[1] + 100, box[0] + box[2] * 0.6, box[1] + 100)
    page.wait("/^\\d+$/.test(new URLSearchParams(location.search).get('from'))")
    check(page.eval("(() => { const p = new URLSearchParams(location.search); return p.get('to') - p.get('from'); })()") < 1200000, "zoomed too little")
    page.eval("history.back()")
    page.wait("!new URLSearchParams(location.search).has('from') || new URLSearchParams(location.search).get('from').startsWith('now')")


class Files(http.server.SimpleHTTPRequestHandler):
    """The modules alone, as /ui/ has them."""

    def translate_path(self, path):
        return super().translate_path(path.removeprefix("/ui"))

    def log_message(self, *args):
        pass


def modules(t):
    """A page that can import the modules, without an orrery."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=os.path.join(ROOT, "querier", "ui", "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Browser(t).page(f"http://127.0.0.1:{server.server_port}/ui/icon.svg")


def is_so(page, module, js, want):
    got = page.eval(f"import('/ui/{module}.js').then((m) => JSON.stringify({js}))")
    check(json.loads(got) == want, f"{module}: {js}: {got}, not {json.dumps(want)}")


def test_hostile_data_do_not_stop_the_page(t):
    """Numbers a rounding apart, a trace of a loop, words of hundreds of kilobytes: each took minutes or all memory, or has a bound now."""
    page = modules(t)
    for low, high in (("0.3", "0.1 + 0.2"), ("1.7e18", "1.7e18 + 256"), ("-1e300", "-1e300"), ("0", "0"), ("0", "5e-324"), ("1e17", "1e17 + 64")):
        is_so(page, "number", f"m.niceTicks({low}, {high}, 6).length < 20", True)
    is_so(page, "number", "m.niceTicks(0, 10, 5)", [0, 2, 4, 6, 8, 10])
    loop = "((s) => { const began = performance.now(); return m.criticalPath(s).get(s).length === 100000 && performance.now() - began < 10000; })"
    is_so(page, "tracetree", f"{loop}({{start: 0, end: 200000, children: Array.from({{length: 100000}}, (_, i) => ({{start: 2 * i, end: 2 * i + 1, children: []}}))}})", True)
    is_so(page, "lang", "m.tokens('logql', '1' + 'a'.repeat(200) + '_').map((k) => k.text).join('').length", 202)
    is_so(page, "logview", "Object.keys(m.fieldsOf('a'.repeat(300000)).fields)", [])


def test_a_trace_is_a_tree(t):
    """Also where a client and a server have one id, as in Zipkin, and where parents make a cycle."""
    page = modules(t)
    rows = ("((spans) => m.rowsOf(m.treeOf({resourceSpans: [{scopeSpans: [{spans: spans.map(([id, parent, kind], i) => "
            "({spanId: id, parentSpanId: parent, kind, startTimeUnixNano: String(i), endTimeUnixNano: '9'}))}]}]}).roots).map((s) => `${s.depth} ${s.id.at(-1)} ${s.kind}`))(%s)")
    a, b, c = (i * 16 for i in "abc")
    is_so(page, "tracetree", rows % json.dumps([[a, "", 2], [b, a, 3], [b, a, 2], [c, b, 1]]), ["0 a server", "1 b client", "2 b server", "3 c internal"])
    is_so(page, "tracetree", rows % json.dumps([[a, b, 1], [b, a, 1], [c, c, 1]]), ["0 c internal", "0 a internal", "1 b internal"])


def test_a_waterfall_says_where_one_is(t):
    """To screen readers: the span that arrow keys are at, and its place among its siblings."""
    page = modules(t)
    page.open(page.eval("location.origin") + "/ui/index.html")
    said = page.eval("""Promise.all([import('/ui/waterfall.js'), import('/ui/tracetree.js')]).then(([w, m]) => {
      const span = (id, parent) => ({spanId: String(id).padStart(16, '0'), parentSpanId: parent, startTimeUnixNano: String(id), endTimeUnixNano: '9000'});
      const tree = m.treeOf({resourceSpans: [{scopeSpans: [{spans: [span(1, ''), ...Array.from({length: 500}, (_, i) => span(2 + i, '0000000000000001'))]}]}]});
      const box = document.body.appendChild(document.createElement('div'));
      const chart = w.waterfall(box, {tree, rows: m.rowsOf, path: new Map(), onSelect() {}});
      const at = () => { const e = document.getElementById(box.querySelector('[role=tree]').getAttribute('aria-activedescendant')); return [e.getAttribute('aria-selected'), e.ariaPosInSet, e.ariaSetSize, e.ariaLevel].join(' '); };
      return [tree.spans[0], tree.spans[3], tree.spans[500]].map((s) => { chart.select(s); return at(); });
    })""")
    check(said == ["true 1 1 1", "true 3 500 2", "true 500 500 2"], said)


def test_queries_are_written_as_the_languages_have_them(t):
    page = modules(t)
    is_so(page, "logview", r"""m.fieldsOf('{"http.method":"GET","a":{"b-c":1},"2x":true}').fields""", {"http_method": "GET", "a_b_c": "1", "_2x": "true"})
    is_so(page, "logview", r"""m.fieldsOf('user-id=5 took="1 s" http.status=200').fields""", {"user_id": "5", "took": "1 s", "http_status": "200"})
    is_so(page, "logview", r"""m.narrowed('{app="a}b"} |= "x"', 'label', 'pod', 'p"q', '=')""", r'{app="a}b", pod="p\"q"} |= "x"')
    is_so(page, "logview", r"""m.narrowed('{}', 'label', 'pod', 'p', '!=')""", '{pod!="p"}')
    is_so(page, "logview", r"""m.narrowed('{a="b"}', 'field', 'x', '1', '=', 'json')""", '{a="b"} | json | x="1"')
    is_so(page, "lang", r"""m.seriesSelector({__name__: 'up', job: 'a"b'})""", r'up{job="a\"b"}')
    is_so(page, "lang", r"""m.seriesSelector({__name__: 'http.requests', 'http.method': 'GET', job: 'a'})""", '{"http.requests", "http.method"="GET", job="a"}')
    is_so(page, "lang", "['up', 'job:up', 'http.requests'].map(m.metricName)", ["up", "job:up", '{"http.requests"}'])
    is_so(page, "lang", "['span.a.b', 'span.a b', '.x'].map(m.attributeName)", ["span.a.b", 'span."a b"', ".x"])
    is_so(page, "rules", "[{file: 'catalogs'}, {file: 'x', language: 'logql'}].map(m.languageOf)", ["promql", "logql"])
    is_so(page, "alerts", r"""m.parseMatcher('"a=b" = "c"')""", {"name": "a=b", "value": "c", "isRegex": False, "isEqual": True})


def test_days_begin_at_midnight_when_clocks_are_put_back(t):
    page = modules(t)
    page.call("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
    ticks = "((k) => k.ticks.map((x) => m.showTick(x, k.step)))(m.timeTicks(Date.parse('%s'), Date.parse('%s'), 12))"
    days = [f"10-{d}" for d in range(20, 31)]
    is_so(page, "time", ticks % ("2026-10-20T00:00:00+02:00", "2026-10-30T00:00:00+01:00"), days)
    is_so(page, "timepicker", "m.toParam('2026-07-01') === String(Date.parse('2026-06-30T22:00:00Z')) && m.toParam('2026-07-01 12:00:00') === String(Date.parse('2026-07-01T10:00:00Z'))", True)
    is_so(page, "time", "[119600, 3599700, 90000, 86399000, 1e9].map(m.showDuration)", ["2 min 0 s", "60 min 0 s", "1 min 30 s", "24 h 0 min", "11 d 14 h"])
    is_so(page, "time", "m.resolve({from: '0', to: '9'.repeat(400)}, 7200000)", {"from": 3600000, "to": 7200000})
    is_so(page, "time", ticks % ("2026-03-25T00:00:00+01:00", "2026-04-03T00:00:00+02:00"), [*(f"03-{d}" for d in range(25, 32)), "04-01", "04-02", "04-03"])


FRAMES = """(async () => {
  const over = document.querySelector('.plot .over'), r = over.getBoundingClientRect(), times = [];
  for (let i = 0; i < 60; i++) {
    const began = performance.now();
    over.dispatchEvent(new PointerEvent('pointermove', { clientX: r.x + 80 + i * 10, clientY: r.y + 100 }));
    await new Promise((done) => requestAnimationFrame(done));
    times.push(performance.now() - began);
  }
  const box = document.querySelector('.plot'), draws = [];
  for (let i = 0; i < 10; i++) {
    const began = performance.now();
    box.style.setProperty('width', `${900 + i}px`);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    draws.push(performance.now() - began);
  }
  const middle = (l) => l.sort((a, b) => a - b)[l.length >> 1];
  return [middle(times), middle(draws)];
})()"""


def test_a_large_graph_follows_the_pointer(t):
    o, browser = rig(t)
    push_a_hundred(o)
    page = browser.page(at(o, "explore", lang="promql", q="hundred"))
    page.wait("document.querySelectorAll('.legend button').length === 100")
    moved, drawn = page.eval(FRAMES)
    print(f"# 100 series of 2,000 points: {moved:.0f} ms a frame while the pointer moves, {drawn:.0f} ms to draw it anew (two frames)")
    check(page.eval("!document.querySelector('.tip').hidden && document.querySelector('.tip').innerText.includes('and 88 more')"), "the tip does not tell of a hundred series")


def test_first_paint(t):
    o, browser = rig(t)
    page = browser.page(at(o, ""))
    page.wait("document.querySelectorAll('.card').length === 5")
    ms = page.eval("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    size = page.eval("performance.getEntriesByType('resource').filter((e) => e.name.includes('/ui/')).reduce((n, e) => n + e.transferSize, 0)")
    print(f"# first paint after {ms:.0f} ms; {size / 1024:.0f} KiB of files")
    check(size < 150 << 10, f"{size} bytes")


if __name__ == "__main__":
    main()
