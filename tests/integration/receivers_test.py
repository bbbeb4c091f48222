#!/usr/bin/env python3
"""Each receiver of the alertmanager against a server that looks at what it is sent and answers well, badly, late or not."""
import base64
import collections
import datetime
import hashlib
import hmac
import http.server
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

from orrery_test import TENANT, Single, Skip, check, free_port, http_call, main, wait_for

Request = collections.namedtuple("Request", "at method path headers body")


class Receiver:
    """Keeps every request. answer(request, n-th of its path) gives (status, content type, body), or "hang" or "reset"."""

    def __init__(self, t, answer=lambda request, n: (200, "text/plain", b"ok"), tls=None):
        self.requests, self.lock, self.answer = collections.defaultdict(list), threading.Lock(), answer
        self.ended = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(time.monotonic(), self.command, self.path, self.headers, body)
                with outer.lock:
                    outer.requests[self.path].append(request)
                    n = len(outer.requests[self.path])
                answer = outer.answer(request, n)
                if answer == "hang":
                    outer.ended.wait(60)
                if answer == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if isinstance(answer, str):
                    self.close_connection = True
                    self.connection.close()
                    return
                status, kind, body = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if status == 302:
                    self.send_header("Location", f"{outer.url}/landed")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET = handle_any

            def finish(self):
                try:
                    super().finish()
                except (OSError, ValueError):
                    pass

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):  # connections that were reset on purpose
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        t.add(self)

    def stop(self):
        self.ended.set()
        self.server.shutdown()

    def tail(self):
        return ""

    def of(self, part):
        with self.lock:
            return sorted((r for path, rs in self.requests.items() if part in path for r in rs),
                          key=lambda r: r.at)


def post_alerts(addr, labels_list):
    now = datetime.datetime.now(datetime.timezone.utc)
    r = http_call(addr, "POST", "/api/v2/alerts", json.dumps([
        {"labels": {"alertname": "Down", **labels}, "annotations": {"summary": "it is <down> & \"out\""},
         "startsAt": now.isoformat(), "endsAt": (now + datetime.timedelta(hours=1)).isoformat(),
         "generatorURL": "http://prom.test/graph?g0.expr=up"} for labels in labels_list]),
        {"X-Scope-OrgID": TENANT, "Content-Type": "application/json"})
    check(r.status == 200, f"alerts posted: {r.status} {r.text}")


def start(t, config):
    with open(f"{t.dir}/alertmanager.yml", "w") as f:
        f.write(config)
    return Single(t, args=[f"--alertmanager.config-file={t.dir}/alertmanager.yml"]).wait_ready()


# ---- every kind: what it is sent -----------------------------------------------------------------

# URL is the server's with a path of the case's own
KINDS = {
    "webhook": "webhook_configs: [{url: 'URL', http_config: {basic_auth: {username: u, password: p}}}]",
    "slack": "slack_configs: [{api_url: 'URL', channel: '#c'}]",
    "pagerduty": "pagerduty_configs: [{url: 'URL', routing_key: k}]",
    "opsgenie": "opsgenie_configs: [{api_url: 'URL/', api_key: k}]",
    "victorops": "victorops_configs: [{api_url: 'URL/', api_key: k, routing_key: r}]",
    "discord": "discord_configs: [{webhook_url: 'URL'}]",
    "msteams": "msteams_configs: [{webhook_url: 'URL'}]",
    "msteamsv2": "msteamsv2_configs: [{webhook_url: 'URL'}]",
    "webex": "webex_configs: [{api_url: 'URL', room_id: r, http_config: {authorization: {credentials: t}}}]",
    "telegram": "telegram_configs: [{api_url: 'URL', bot_token: b, chat_id: 7}]",
    "sns": "sns_configs: [{api_url: 'URL', topic_arn: 'arn:aws:sns:eu-west-1:1:t', "
           "sigv4: {region: eu-west-1, access_key: AK, secret_key: SK}}]",
    "wechat": "wechat_configs: [{api_url: 'URL/', corp_id: c, api_secret: s, agent_id: '1', to_user: '@all'}]",
    "jira": "jira_configs: [{api_url: 'URL/rest/api/2', project: P, issue_type: Bug}]",
    "rocketchat": "rocketchat_configs: [{api_url: 'URL', channel: '#c', token: t, token_id: i}]",
    "mattermost": "mattermost_configs: [{webhook_url: 'URL', channel: c}]",
    "incidentio": "incidentio_configs: [{url: 'URL', alert_source_token: t}]",
}
# Pushover's address, of https, is fixed: see test_pushover
FIRST = {"wechat": "/gettoken", "jira": "/search"}  # what is asked before the message


def is_text(v):
    return isinstance(v, str) and v != ""


SEVERITIES = ("critical", "error", "warning", "info")
# what the providers' public descriptions of their APIs ask for
SCHEMAS = {
    "webhook": lambda r, j: r.headers["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode() and
    j["version"] == "4" and j["status"] == "firing" and is_text(j["groupKey"]) and
    j["alerts"][0]["annotations"]["summary"] == "it is <down> & \"out\"",
    "slack": lambda r, j: j["channel"] == "#c" and is_text(j["attachments"][0]["fallback"]) and
    j["attachments"][0]["title"].startswith("[FIRING:1]") and isinstance(j["attachments"][0]["mrkdwn_in"], list),
    "pagerduty": lambda r, j: j["routing_key"] == "k" and j["event_action"] == "trigger" and
    len(j["dedup_key"]) <= 255 and 0 < len(j["payload"]["summary"]) <= 1024 and is_text(j["payload"]["source"]) and
    j["payload"]["severity"] in SEVERITIES,
    "opsgenie": lambda r, j: r.path.endswith("/v2/alerts") and r.headers["Authorization"] == "GenieKey k" and
    0 < len(j["message"]) <= 130 and len(j["alias"]) <= 512 and isinstance(j["details"], dict),
    "victorops": lambda r, j: r.path.endswith("/k/r") and j["message_type"] == "CRITICAL" and is_text(j["entity_id"]),
    "discord": lambda r, j: isinstance(j["content"], str) and 0 < len(j["embeds"][0]["title"]) <= 256 and
    len(j["embeds"][0]["description"]) <= 4096 and isinstance(j["embeds"][0]["color"], int),
    "msteams": lambda r, j: j["@context"] == "http://schema.org/extensions" and j["type"] == "MessageCard" and
    is_text(j["summary"]) and is_text(j["text"]) and int(j["themeColor"], 16) > 0,
    "msteamsv2": lambda r, j: j["type"] == "message" and
    j["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive" and
    all(b["type"] == "TextBlock" and is_text(b["text"]) for b in j["attachments"][0]["content"]["body"]),
    "webex": lambda r, j: r.headers["Authorization"] == "Bearer t" and j["roomId"] == "r" and
    0 < len(j["markdown"].encode()) <= 7439,
    "telegram": lambda r, j: r.path.endswith("/botb/sendMessage") and j["chat_id"] == "7" and j["parse_mode"] == "HTML" and
    "&lt;down&gt;" in j["text"],
    "wechat": lambda r, j: r.path.endswith("/message/send?access_token=T") and j["touser"] == "@all" and
    j["msgtype"] == "text" and is_text(j["text"]["content"]),
    "jira": lambda r, j: r.path.endswith("/rest/api/2/issue") and j["fields"]["project"] == {"key": "P"} and
    j["fields"]["issuetype"] == {"name": "Bug"} and 0 < len(j["fields"]["summary"]) <= 255 and
    j["fields"]["labels"][0].startswith("ALERT{"),
    "rocketchat": lambda r, j: r.path.endswith("/api/v1/chat.postMessage") and r.headers["X-Auth-Token"] == "t" and
    r.headers["X-User-Id"] == "i" and j["channel"] == "#c" and is_text(j["attachments"][0]["title"]),
    "mattermost": lambda r, j: j["channel"] == "c" and 0 < len(j["text"]) <= 16383,
    "incidentio": lambda r, j: r.headers["Authorization"] == "Bearer t" and j["version"] == "1" and j["status"] == "firing",
}


def is_signed(r):
    """Signature Version 4, worked out again."""
    form = dict(urllib.parse.parse_qsl(r.body.decode(), strict_parsing=True))
    date, names = r.headers["X-Amz-Date"], "content-type;host;x-amz-date"
    scope = f"{date[:8]}/eu-west-1/sns/aws4_request"
    canonical = "\n".join(["POST", r.path, "", *(f"{n}:{r.headers[n]}" for n in names.split(";")), "", names,
                           hashlib.sha256(r.body).hexdigest()])
    key = b"AWS4SK"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return (form["Action"] == "Publish" and form["TopicArn"] == "arn:aws:sns:eu-west-1:1:t" and len(form["Subject"]) <= 100 and
            r.headers["Authorization"] == f"AWS4-HMAC-SHA256 Credential=AK/{scope}, SignedHeaders={names}, "
                                          f"Signature={signature}")
GOOD = {"telegram": b'{"ok":true,"result":{"message_id":1}}', "jira": b'{"issues":[]}', "rocketchat": b'{"success":true}',
        "wechat": b'{"errcode":0,"errmsg":"ok","access_token":"T","expires_in":7200}'}
CASES = ("200", "400", "429", "500", "timeout", "reset")


def told(server, kind, case):
    """The requests that tell, without those that come before."""
    return [r for r in server.of(f"/{kind}/{case}") if not (kind in FIRST and FIRST[kind] in r.path)]


def good_answer(kind):
    return (200, "application/json", GOOD[kind]) if kind in GOOD else (200, "text/plain", b"ok")


def answer_by_path(request, n):
    kind, case = request.path.split("?")[0].split("/")[1:3]
    if kind in FIRST and FIRST[kind] in request.path:
        return good_answer(kind)
    if case == "400" or (n == 1 and case in ("429", "500")):
        return int(case), "text/plain", b"no"
    if n == 1 and case in ("timeout", "reset"):
        return "hang" if case == "timeout" else "reset"
    return good_answer(kind)


def config_of_all(url):
    receivers, routes = [], []
    for kind, text in KINDS.items():
        for case in CASES:
            receivers.append(f"- name: {kind}-{case}\n  {text.replace('URL', f'{url}/{kind}/{case}')}\n")
            # a notification is given up after its group_interval, 10 s at least
            every = "1s" if case == "timeout" else "5m"
            routes.append(f"  - {{receiver: {kind}-{case}, matchers: ['kind=\"{kind}\"', 'case=\"{case}\"'],"
                          f" group_by: [kind, case], group_wait: 0s, group_interval: {every}, repeat_interval: 1h}}\n")
    return ("route:\n  receiver: none\n  routes:\n" + "".join(routes) + "receivers:\n- name: none\n" +
            "".join(receivers))


def test_every_kind_is_told_retried_or_dropped(t):
    server = Receiver(t, answer_by_path)
    o = start(t, config_of_all(server.url))
    post_alerts(o.addr, [{"kind": k, "case": c} for k in KINDS for c in CASES])
    for kind in KINDS:
        for case in CASES:
            want = 1 if case in ("200", "400") else 2
            wait_for(f"{want} requests of {kind} {case}", lambda: len(told(server, kind, case)) >= want, 60)
    time.sleep(3)  # anything that comes too often
    for kind in KINDS:
        for case in CASES:
            requests = told(server, kind, case)
            want = 1 if case in ("200", "400") else 2
            check(len(requests) == want, f"{kind} {case}: {len(requests)} requests, not {want}")
            check(len({r.body for r in requests}) == 1 or kind in ("webhook", "incidentio"),
                  f"{kind} {case}: a retry says something else")
        first = told(server, kind, "200")[0]
        form = "application/x-www-form-urlencoded"
        check(first.method == "POST" and first.headers["Content-Type"] == (form if kind == "sns" else "application/json"),
              f"{kind}: {first.method} {first.headers}")
        check(is_signed(first) if kind == "sns" else SCHEMAS[kind](first, json.loads(first.body)),
              f"{kind}: {first.path} {first.headers} {first.body}")
        print(f"   {kind}: " + ", ".join(f"{c} {len(told(server, kind, c))}" for c in CASES), flush=True)
    with open(f"{o.dir}/log") as f:
        check("it is <down>" not in f.read(), "an annotation is in the log")


class Connect:
    """A proxy of CONNECT that leads everywhere to one port."""

    def __init__(self, t, port):
        self.asked, self.target, self.socket = [], port, socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        t.add(self)

    def stop(self):
        self.socket.close()

    def tail(self):
        return f"   CONNECT: {self.asked}\n"

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.lead, args=(s,), daemon=True).start()

    def lead(self, s):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += s.recv(1)
        self.asked.append(head.decode())
        s.sendall(b"HTTP/1.1 200 go\r\n\r\n")
        there = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=self.copy, args=(there, s), daemon=True).start()
        self.copy(s, there)

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_pushover(t):
    authority(t)
    certificate(t, "push", "DNS:api.pushover.net")
    statuses = {"400": [400], "429": [429], "500": [500, 200], "200": [200]}

    def answer(request, n):
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        return statuses[form["user"]].pop(0), "application/json", b"{}"

    server = Receiver(t, answer, tls=tls_server(t, "push"))
    proxy = Connect(t, server.port)
    routes = "".join(f"  - {{receiver: p{c}, matchers: ['case=\"{c}\"'], group_by: [case], group_wait: 0s, group_interval: 5m}}\n"
                     for c in statuses)
    receivers = "".join(
        f"- name: p{c}\n  pushover_configs: [{{user_key: '{c}', token: t, http_config: {{proxy_url: '{proxy.url}', "
        f"proxy_connect_header: {{X-From: [orrery]}}, tls_config: {{ca_file: {t.dir}/ca.pem}}}}}}]\n" for c in statuses)
    o = start(t, f"route:\n  receiver: none\n  routes:\n{routes}receivers:\n- name: none\n{receivers}")
    post_alerts(o.addr, [{"case": c} for c in statuses])
    wait_for("all requests", lambda: len(server.of("/1/messages.json")) == 5, 60)
    time.sleep(2)
    requests = server.of("/1/messages.json")
    check(len(requests) == 5, f"{len(requests)} requests")
    check(all(a.startswith("CONNECT api.pushover.net:443 ") and "X-From: orrery" in a for a in proxy.asked), proxy.asked)
    form = dict(urllib.parse.parse_qsl(requests[0].body.decode(), strict_parsing=True, keep_blank_values=True))
    check(form["token"] == "t" and 0 < len(form["title"]) <= 250 and 0 < len(form["message"]) <= 1024 and
          len(form["url"]) <= 512 and form["priority"] == "2" and int(form["retry"]) >= 30 and int(form["expire"]) <= 10800, form)


# ---- http_config ---------------------------------------------------------------------------------


def authority(t, name="ca"):
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{t.dir}/{name}.key", "-out",
                    f"{t.dir}/{name}.pem", "-days", "2", "-subj", f"/CN={name}"], check=True, capture_output=True)


def certificate(t, name, san, ca="ca"):
    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{t.dir}/{name}.key", "-out",
                    f"{t.dir}/{name}.csr", "-subj", f"/CN={name}"], check=True, capture_output=True)
    with open(f"{t.dir}/{name}.ext", "w") as f:
        f.write(f"subjectAltName={san}\n")
    subprocess.run(["openssl", "x509", "-req", "-in", f"{t.dir}/{name}.csr", "-CA", f"{t.dir}/{ca}.pem", "-CAkey",
                    f"{t.dir}/{ca}.key", "-CAcreateserial", "-out", f"{t.dir}/{name}.pem", "-days", "2", "-extfile",
                    f"{t.dir}/{name}.ext"], check=True, capture_output=True)


def tls_server(t, name, **more):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{t.dir}/{name}.pem", f"{t.dir}/{name}.key")
    for k, v in more.items():
        setattr(context, k, v)
    if more.get("verify_mode"):
        context.load_verify_locations(f"{t.dir}/ca.pem")
    return context


def hooks(settings):
    """A configuration with a webhook receiver for each name: its address and http_config."""
    routes = "".join(f"  - {{receiver: {n}, matchers: ['to=\"{n}\"'], group_by: [to, n], group_wait: 0s, group_interval: 5m}}\n"
                     for n in settings)
    receivers = "".join(f"- name: {n}\n  webhook_configs: [{{url: '{url}', http_config: {http}}}]\n"
                        for n, (url, http) in settings.items())
    return f"route:\n  receiver: none\n  routes:\n{routes}receivers:\n- name: none\n{receivers}"


def test_tls(t):
    authority(t)
    authority(t, "other")
    certificate(t, "here", "IP:127.0.0.1")
    certificate(t, "elsewhere", "DNS:hook.test")
    certificate(t, "client", "DNS:am.test")
    plain = Receiver(t, tls=tls_server(t, "here"))
    named = Receiver(t, tls=tls_server(t, "elsewhere"))
    mutual = Receiver(t, tls=tls_server(t, "here", verify_mode=ssl.CERT_REQUIRED))
    old = Receiver(t, tls=tls_server(t, "here", maximum_version=ssl.TLSVersion.TLSv1_2))
    inline = json.dumps(open(f"{t.dir}/ca.pem").read())
    ca, wrong = f"ca_file: {t.dir}/ca.pem", f"ca_file: {t.dir}/other.pem"
    client = f"cert_file: {t.dir}/client.pem, key_file: {t.dir}/client.key"
    good = {
        "file": (plain, f"{{{ca}}}"),
        "inline": (plain, f"{{ca: {inline}}}"),
        "insecure": (plain, "{insecure_skip_verify: true}"),
        "named": (named, f"{{{ca}, server_name: hook.test}}"),
        "mutual": (mutual, f"{{{ca}, {client}}}"),
        "old": (old, f"{{{ca}, max_version: TLS12}}"),
    }
    bad = {
        "system": (plain, "{}"),
        "wrong": (plain, f"{{{wrong}}}"),
        "misnamed": (named, f"{{{ca}}}"),
        "nobody": (mutual, f"{{{ca}}}"),
        "new": (old, f"{{{ca}, min_version: TLS13}}"),
        "gone": (plain, f"{{ca_file: {t.dir}/gone.pem}}"),
    }
    o = start(t, hooks({n: (f"{s.url}/{n}", f"{{tls_config: {c}}}") for n, (s, c) in {**good, **bad}.items()}))
    post_alerts(o.addr, [{"to": n} for n in (*good, *bad)])
    for n, (server, _) in good.items():
        wait_for(f"{n} over TLS", lambda: server.of(f"/{n}"), 60)
    wait_for("the failures", lambda: failures(o.addr) >= 2 * len(bad), 60)  # no connection: each is tried again
    for n, (server, _) in bad.items():
        check(not server.of(f"/{n}"), f"{n} was told")


def failures(addr):
    for line in http_call(addr, "GET", "/metrics").text.splitlines():
        if line.startswith("orrery_alertmanager_notifications_failed_total"):
            return int(float(line.split()[-1]))
    return 0


def test_tokens_proxies_headers_and_redirects(t):
    def answer(request, n):
        if request.path == "/token":
            return (200, "application/json", json.dumps({"access_token": f"T{n}", "token_type": "bearer",
                                                         "expires_in": 3600}).encode())
        if request.path in ("/moved", "/follows"):
            return 302, "text/plain", b""
        if request.path == "/large":
            return 200, "text/html", b"x" * 3_000_000
        if request.path == "/refused" and n == 1:
            return 401, "text/plain", b""
        return 200, "text/plain", b"ok"

    server, proxy = Receiver(t, answer), Receiver(t)
    oauth = (f"{{oauth2: {{client_id: id, client_secret: secret, token_url: '{server.url}/token', scopes: [a, b], "
             "endpoint_params: {audience: x}}}")
    with open(f"{t.dir}/header", "w") as f:
        f.write("from a file\n")
    o = start(t, hooks({
        "oauth": (f"{server.url}/oauth", oauth),
        "refused": (f"{server.url}/refused", oauth),
        "proxy": ("http://hook.test/far", f"{{proxy_url: '{proxy.url}'}}"),
        "near": (f"{server.url}/near", f"{{proxy_url: '{proxy.url}', no_proxy: '127.0.0.1'}}"),
        "headers": (f"{server.url}/headers", f"{{http_headers: {{X-A: {{values: [one]}}, X-F: {{files: ['{t.dir}/header']}}}}}}"),
        "moved": (f"{server.url}/moved", "{follow_redirects: false}"),
        "follows": (f"{server.url}/follows", "{}"),
        "large": (f"{server.url}/large", "{}"),
        "down": (f"http://user:SECRET1@127.0.0.1:{free_port()}/SECRET2?SECRET3", "{}"),
    }))
    post_alerts(o.addr, [{"to": n} for n in ("oauth", "proxy", "near", "headers", "moved", "follows", "large", "down")])
    first = wait_for("the hook behind OAuth", lambda: server.of("/oauth"), 60)[0]
    check(first.headers["Authorization"] == "Bearer T1", first.headers)
    token = server.of("/token")[0]
    check(token.headers["Authorization"] == "Basic " + base64.b64encode(b"id:secret").decode(), token.headers)
    check(token.headers["Content-Type"] == "application/x-www-form-urlencoded" and
          token.body == b"grant_type=client_credentials&scope=a+b&audience=x", token.body)
    post_alerts(o.addr, [{"to": "oauth", "n": "2"}])
    wait_for("another", lambda: len(server.of("/oauth")) == 2, 60)
    check(len(server.of("/token")) == 1, "the token was not kept")
    post_alerts(o.addr, [{"to": "refused"}])
    wait_for("the one whose token is refused", lambda: len(server.of("/refused")) == 2, 60)
    check(server.of("/refused")[1].headers["Authorization"] == "Bearer T2", "with the same token")
    far = wait_for("the proxy", lambda: proxy.of("/far"), 60)[0]
    check(far.path == "http://hook.test/far", far.path)
    wait_for("the one that needs no proxy", lambda: server.of("/near"), 60)
    headers = wait_for("the headers", lambda: server.of("/headers"), 60)[0].headers
    check(headers["X-A"] == "one" and headers["X-F"] == "from a file", headers)
    wait_for("the redirect", lambda: server.of("/moved"), 60)
    landed = wait_for("where it leads", lambda: server.of("/landed"), 60)[0]
    check(landed.method == "POST" and json.loads(landed.body)["version"] == "4", f"{landed.method} {landed.body}")
    wait_for("the one that is down", lambda: failures(o.addr) >= 3, 60)
    check(len(server.of("/landed")) == 1 and len(server.of("/large")) == 1, "told again")
    with open(f"{o.dir}/log") as f:
        log = f.read()
    check("receiver=down" in log and "SECRET" not in log, "a secret is in the log")


def test_templates_of_files_and_failures(t):
    server = Receiver(t)
    with open(f"{t.dir}/mine.tmpl", "w") as f:
        f.write('{{ define "mine" }}{{ range .Alerts }}<{{ .Labels.n }}>{{ end }}{{ end }}\n'
                '{{ define "loop" }}{{ template "loop" . }}{{ end }}')
    o = start(t, f"""
templates: ['*.tmpl']
route:
  receiver: none
  group_wait: 0s
  routes:
  - {{receiver: good, matchers: ['to="good"'], group_by: [to]}}
  - {{receiver: bad, matchers: ['to="bad"'], group_by: [to]}}
  - {{receiver: endless, matchers: ['to="endless"'], group_by: [to]}}
receivers:
- name: none
- name: good
  webhook_configs: [{{url: '{server.url}/{{{{ .GroupLabels.to }}}}', payload: {{text: '{{{{ template "mine" . }}}}', count: '{{{{ len .Alerts }}}}'}}}}]
- name: bad
  slack_configs: [{{api_url: '{server.url}/bad', title: '{{{{ template "nowhere" }}}}'}}]
- name: endless
  slack_configs: [{{api_url: '{server.url}/endless', title: '{{{{ template "loop" . }}}}'}}]
""")
    post_alerts(o.addr, [{"to": n, "n": "1"} for n in ("good", "bad", "endless")])
    body = json.loads(wait_for("the payload", lambda: server.of("/good"), 60)[0].body)
    check(body == {"text": "<1>", "count": 1}, body)
    wait_for("the failures", lambda: failures(o.addr) == 2, 60)
    check(not server.of("/bad") and not server.of("/endless"), "told without a text")
    with open(f"{o.dir}/log") as f:
        log = f.read()
    check('template \\"nowhere\\" not defined' in log, "the log does not say where")


if __name__ == "__main__":
    main()
