#!/usr/bin/env python3
"""Log lines over sockets: syslog over TCP, TLS and UDP, GELF over TCP and UDP; by hand, and by rsyslog,
syslog-ng and logger."""
import gzip
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import zlib

import debs
from grpc_test import certificate
from logs_test import counter, held, lines_of
from orrery_test import Failure, Process, Single, Skip, check, free_port, http_call, main, wait_for

RSYSLOG = ("rsyslog", "rsyslog-openssl", "libestr0", "libfastjson4", "liblognorm5")
SYSLOG_NG = ("syslog-ng-core", "libivykis0", "libnet1", "libwrap0", "libpcre3")


class Sockets(Single):
    """An orrery with all of these sockets, for tenant `net`."""

    def __init__(self, t, args=(), name="orrery", **kw):
        self.cert, self.key = certificate(t.dir)
        self.syslog, self.tls, self.gelf, self.other = (free_port() for _ in range(4))
        super().__init__(t, name=name, args=[
            f"--ingester.syslog-address=127.0.0.1:{self.syslog},127.0.0.1:{self.other}=other",
            "--ingester.syslog-tenant=net", "--ingester.syslog-tls-tenant=net", "--ingester.gelf-tenant=net",
            f"--ingester.syslog-tls-address=127.0.0.1:{self.tls}", f"--ingester.gelf-address=127.0.0.1:{self.gelf}",
            f"--ingester.syslog-tls-cert={self.cert}", f"--ingester.syslog-tls-key={self.key}", *args], **kw)


def tcp(port, *pieces):
    with socket.create_connection(("127.0.0.1", port)) as s:
        for p in pieces:
            s.sendall(p)


def udp(port, *datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for d in datagrams:
            s.sendto(d, ("127.0.0.1", port))


def wait_lines(o, selector, want, tenant="net"):
    def there():
        got = lines_of(o.addr, selector, tenant=tenant)
        return got == sorted(want)
    try:
        wait_for(f"lines of {selector}", there, 20)
    except Failure as e:
        raise Failure(f"{e}: {str(lines_of(o.addr, selector, tenant=tenant))[:500]}, not {str(sorted(want))[:500]}") from e


def rfc5424(text, app="app", severity=6):
    return f"<{8 + severity}>1 {time.strftime('%Y-%m-%dT%H:%M:%S.123456Z', time.gmtime())} box {app} 42 ID1 " \
           f"[ex@1 user=\"7\"] {text}".encode()


def counted(message):
    return b"%d %s" % (len(message), message)


def test_syslog_over_tcp_udp_and_tls(t):
    o = Sockets(t).wait_ready()
    tcp(o.syslog, counted(rfc5424("counted\nin two lines")), counted(rfc5424("second"))[:20],
        counted(rfc5424("second"))[20:] + rfc5424("newline") + b"\n" + rfc5424("no end"))
    udp(o.syslog, rfc5424("datagram", severity=3), b"<13>old: style\n")
    context = ssl.create_default_context(cafile=o.cert)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", o.tls)), server_hostname="localhost") as s:
        s.sendall(counted(rfc5424("over TLS")) * 2000)
        s.sendall(counted(rfc5424("last over TLS")))
    tcp(o.other, rfc5424("of another tenant") + b"\n")
    wait_lines(o, '{app="app", severity="info"}',
               ["counted\nin two lines", "second", "newline", "no end", "over TLS", "last over TLS"])
    wait_lines(o, '{app="app", severity="err"}', ["datagram"])
    wait_lines(o, '{app="old"}', ["style"])
    wait_lines(o, '{app="app"}', ["of another tenant"], tenant="other")
    (labels, values), = held(o.addr, '{severity="err"}', tenant="net").items()
    check(json.loads(labels) == {"app": "app", "facility": "user", "host": "box", "job": "syslog",
                                 "severity": "err"}, labels)
    metadata = values[0][2]
    check((metadata["procid"], metadata["msgid"], metadata["ex_1_user"], metadata["detected_level"]) ==
          ("42", "ID1", "7", "error"), f"{metadata}")
    # not a TLS client
    tcp(o.tls, b"<13>plain text\n" * 100)
    wait_for("the failed handshake to be counted", lambda: counter(o.addr, "orrery_line_tls_failures_total") == 1)
    check(counter(o.addr, 'orrery_messages_total{protocol="syslog_tls"}') == 2001, "messages over TLS")


def test_tls_with_certificates_of_senders(t):
    o = Sockets(t, args=[f"--ingester.syslog-tls-client-ca={t.dir}/cert.pem"]).wait_ready()

    def send(text, has_certificate):
        context = ssl.create_default_context(cafile=o.cert)
        if has_certificate:
            context.load_cert_chain(o.cert, o.key)
        try:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", o.tls)), server_hostname="localhost") as s:
                s.sendall(counted(rfc5424(text)))
        except OSError:
            check(not has_certificate, "refused with a certificate")
    send("nobody's", False)
    wait_for("the sender without one to be refused", lambda: counter(o.addr, "orrery_line_tls_failures_total") == 1)
    send("somebody's", True)
    wait_lines(o, '{app="app"}', ["somebody's"])
    # a new certificate, without a restart
    certificate(t.dir)
    o.popen.send_signal(signal.SIGHUP)
    wait_for("the new certificate to be taken", lambda: _works(o))


def _works(o):
    context = ssl.create_default_context(cafile=o.cert)
    context.load_cert_chain(o.cert, o.key)
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", o.tls)), server_hostname="localhost"):
            return True
    except OSError:
        return False


def test_messages_that_are_too_long_and_connections_that_are_too_many(t):
    o = Sockets(t, args=["--ingester.message-max-bytes=1KiB", "--ingester.line-max-connections=2",
                         "--ingester.line-idle-timeout=2s"]).wait_ready()
    tcp(o.syslog, rfc5424("x" * 5000) + b"\n" + rfc5424("next") + b"\n", counted(rfc5424("y" * 5000)) +
        counted(rfc5424("after it")))
    udp(o.syslog, rfc5424("z" * 5000))
    wait_for("all to be there", lambda: len(lines_of(o.addr, '{app="app"}', tenant="net")) == 5)
    got = lines_of(o.addr, '{app="app"}', tenant="net")
    check([len(x) for x in got if x[0] in "xyz"] == [len(got[-1])] * 3 and 900 < len(got[-1]) < 1000, f"{got}")
    check(counter(o.addr, "orrery_line_messages_cut_total") == 3, "cut")
    tcp(o.gelf, json.dumps({"short_message": "x" * 5000}).encode() + b"\0" + b'{"short_message":"fits"}\0')
    wait_lines(o, '{job="gelf"}', ["fits"])
    check(counter(o.addr, 'orrery_line_messages_dropped_total{protocol="gelf_tcp"}') == 1, "dropped")
    cores = os.cpu_count()
    open_ = [socket.create_connection(("127.0.0.1", o.syslog)) for _ in range(20 * cores)]
    wait_for("connections to be refused",
             lambda: counter(o.addr, 'orrery_line_connections_refused_total{protocol="syslog_tcp"}') > 0)
    wait_for("silent connections to be closed",
             lambda: counter(o.addr, 'orrery_line_idle_closed_total{protocol="syslog_tcp"}') > 0, 20)
    for s in open_:
        s.close()


def test_a_slow_door_holds_tcp_back_and_costs_datagrams(t):
    """The tenant may write half a megabyte a second, and sends eight by TCP, then twenty by UDP."""
    o = Sockets(t, args=["--limits.ingestion-rate-mb=0.5", "--limits.ingestion-burst-size-mb=0.5",
                         "--limits.max-line-size=0"]).wait_ready()
    sent = [f"line {i} " + "x" * 1000 for i in range(8000)]
    began = time.monotonic()
    tcp(o.syslog, *(counted(rfc5424(x)) for x in sent))
    wait_for("all lines by TCP", lambda: counter(o.addr, "orrery_log_door_lines_total") >= len(sent), 90)
    check(time.monotonic() - began > 5, "nobody was held back")
    check(counter(o.addr, "orrery_messages_lost_total") == 0, "messages were lost")
    got = lines_of(o.addr, '{app="app"}', tenant="net")
    check(got == sorted(sent), f"{len(got)} of {len(sent)}")
    datagrams = 20000
    udp(o.syslog, *(rfc5424(f"datagram {i} " + "y" * 1000, app="udp") for i in range(datagrams)))

    def lost():
        return (counter(o.addr, 'orrery_messages_lost_total{protocol="syslog_udp"') +
                counter(o.addr, 'orrery_line_datagrams_busy_total{protocol="syslog_udp"') +
                counter(o.addr, 'orrery_line_datagrams_kernel_total{protocol="syslog_udp"'))
    # a last one that comes makes the kernel tell what it has dropped
    wait_for("every datagram to be stored or counted as lost",
             lambda: [udp(o.syslog, b""), lost() + len(lines_of(o.addr, '{app="udp"}', tenant="net")) >= datagrams][1], 60)
    check(lost() > 0, "20 MB of datagrams at once went in at half a megabyte a second")


def test_gelf_over_tcp_udp_and_http(t):
    o = Sockets(t).wait_ready()
    now = time.time()
    message = {"version": "1.1", "host": "box", "short_message": "by tcp", "timestamp": now, "level": 3,
               "_app": "shop", "_user_id": 9001}
    tcp(o.gelf, json.dumps(message).encode() + b"\0" + json.dumps({**message, "short_message": "two"}).encode())
    big = json.dumps({**message, "short_message": "chunked " + "z" * 20000}).encode()

    def chunks(body, size, mid):
        parts = [body[i:i + size] for i in range(0, len(body), size)]
        return [b"\x1e\x0f" + mid + bytes([i, len(parts)]) + p for i, p in enumerate(parts)]
    whole = chunks(big, 1400, b"12345678")
    udp(o.gelf, gzip.compress(json.dumps({**message, "short_message": "gzip"}).encode()),
        zlib.compress(json.dumps({**message, "short_message": "zlib"}).encode()),
        json.dumps({**message, "short_message": "plain"}).encode(),
        *whole[::-1], *chunks(gzip.compress(os.urandom(4000)), 1000, b"incomple")[1:], b"{nonsense")
    for body, headers in ((json.dumps({**message, "short_message": "by http"}).encode(), {}),
                          (gzip.compress(json.dumps({**message, "short_message": "by http, packed"}).encode()),
                           {"Content-Encoding": "gzip"})):
        r = http_call(o.addr, "POST", "/gelf", body, {"X-Scope-OrgID": "net", **headers})
        check(r.status == 202, f"{r.status} {r.text}")
    for body in (b"{nonsense", b"[1]", b"", b'{"short_message":' + b"[" * 1000):
        r = http_call(o.addr, "POST", "/gelf", body, {"X-Scope-OrgID": "net"})
        check(r.status == 400, f"{body[:20]}: {r.status} {r.text}")
    wait_lines(o, '{job="gelf"}', ["by tcp", "two", "gzip", "zlib", "plain", "chunked " + "z" * 20000, "by http",
                                   "by http, packed"])
    (labels, values), = held(o.addr, '{job="gelf"}', tenant="net").items()
    check(json.loads(labels) == {"app": "shop", "host": "box", "job": "gelf"}, labels)
    check(all(abs(v[0] - now * 1e9) < 1e6 and v[2]["user_id"] == "9001" and v[2]["level"] == "err"
              for v in values), f"{values}")
    wait_for("the incomplete message to be given up",
             lambda: counter(o.addr, 'orrery_messages_lost_total{protocol="gelf_udp",reason="incomplete_chunks"}') == 1, 20)
    check(counter(o.addr, 'orrery_log_door_discarded_lines_total{reason="malformed_record"}') > 0, "nonsense")


def test_what_came_is_written_at_the_end(t):
    o = Sockets(t).wait_ready()
    with socket.create_connection(("127.0.0.1", o.syslog)) as s:
        s.sendall(rfc5424("first") + b"\n")
        wait_lines(o, '{app="app"}', ["first"])
        s.sendall(rfc5424("second") + b"\n" + rfc5424("third, without a newline"))
        udp(o.syslog, rfc5424("datagram"))
        time.sleep(0.02)  # in the kernel, not yet with the door
        o.stop()
    o.start()
    o.wait_ready()
    wait_lines(o, '{app="app"}', ["first", "second", "third, without a newline", "datagram"])


def test_logger(t):
    if not shutil.which("logger"):
        raise Skip("no logger(1)")
    o = Sockets(t).wait_ready()
    base = ["logger", "--server", "127.0.0.1", "--port", str(o.syslog), "-t", "job", "-p", "local3.warning", "--id=77"]
    for how, text in ((["--udp", "--rfc3164"], "udp 3164"), (["--udp", "--rfc5424"], "udp 5424"),
                      (["--tcp", "--rfc3164"], "tcp 3164"), (["--tcp", "--rfc5424"], "tcp 5424"),
                      (["--tcp", "--octet-count"], "tcp counted")):
        subprocess.run([*base, *how, text], check=True, timeout=20)
    wait_lines(o, '{app="job", facility="local3", severity="warning"}',
               ["udp 3164", "udp 5424", "tcp 3164", "tcp 5424", "tcp counted"])
    check(all(v[2]["procid"] == "77" for vs in held(o.addr, '{app="job"}', tenant="net").values() for v in vs),
          "process ids")


def rsyslogd(t, root, conf):
    """rsyslogd in the foreground, ended with the test."""
    t.add(Process("rsyslogd", [f"{root}/usr/sbin/rsyslogd", "-n", "-f", conf, "-i", f"{t.dir}/rsyslog.pid", "-M",
                               f"{root}/usr/lib/x86_64-linux-gnu/rsyslog"], f"{t.dir}/rsyslog.out", debs.env(root)))


def write_lines(path, lines):
    with open(path, "a", encoding="utf-8") as f:
        f.writelines(x + "\n" for x in lines)


def test_rsyslog(t):
    """Files followed by imfile to omfwd: TCP with octet counting and with newlines, UDP, TLS."""
    root = debs.root(*RSYSLOG)
    o = Sockets(t).wait_ready()
    source, conf, work = f"{t.dir}/app.log", f"{t.dir}/rsyslog.conf", f"{t.dir}/rsyslog"
    os.makedirs(work)
    tls = (f'target="127.0.0.1" port="{o.tls}" protocol="tcp" TCP_Framing="octet-counted" StreamDriver="ossl" '
           f'StreamDriverMode="1" StreamDriverAuthMode="anon" StreamDriver.CAFile="{o.cert}"')
    retry = 'action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList"'
    ways = {"counted": f'target="127.0.0.1" port="{o.syslog}" protocol="tcp" TCP_Framing="octet-counted"',
            "lines": f'target="127.0.0.1" port="{o.syslog}" protocol="tcp"',
            "udp": f'target="127.0.0.1" port="{o.syslog}" protocol="udp"', "tls": tls}
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f'global(workDirectory="{work}" parser.escapeControlCharactersOnReceive="off")\n'
                f'module(load="imfile" PollingInterval="1")\n')
        for way, how in ways.items():
            f.write(f'ruleset(name="{way}") {{ action(type="omfwd" template="RSYSLOG_SyslogProtocol23Format" '
                    f'{how} {retry}) }}\n'
                    f'input(type="imfile" file="{source}.{way}" tag="{way}" severity="info" ruleset="{way}")\n')
    for way in ways:
        write_lines(f"{source}.{way}", [f"{way} line {i}" for i in range(300)])
    rsyslogd(t, root, conf)
    for way in ways:
        wait_lines(o, '{app="%s"}' % way, [f"{way} line {i}" for i in range(300)])
    got = held(o.addr, '{app="tls"}', tenant="net")
    check([json.loads(k)["severity"] for k in got] == ["info"], f"{list(got)}")


def test_syslog_ng(t):
    """network() and syslog() destinations of syslog-ng, RFC 3164 and RFC 5424, over TCP, UDP and TLS."""
    root = debs.root(*SYSLOG_NG)
    o = Sockets(t).wait_ready()
    source, conf, work = f"{t.dir}/app.log", f"{t.dir}/syslog-ng.conf", f"{t.dir}/syslog-ng"
    os.makedirs(work)
    at = '"127.0.0.1" time-reopen(1) persist-name("NAME")'
    ways = {"bsd": f'network({at} port({o.syslog}) transport("tcp"))',
            "ietf": f'syslog({at} port({o.syslog}) transport("tcp"))',
            "udp": f'syslog({at} port({o.syslog}) transport("udp"))',
            "tls": f'syslog({at} port({o.tls}) transport("tls") tls(ca-file("{o.cert}") peer-verify(required-trusted)))'}
    modules = f"{root}/usr/lib/syslog-ng/3.38"
    with open(conf, "w", encoding="utf-8") as f:
        f.write('@version: 3.38\n')
        for way, how in ways.items():
            f.write(f'source s_{way} {{ file("{source}.{way}" flags(no-parse) program-override("{way}") '
                    f'follow-freq(1)); }};\ndestination d_{way} {{ {how.replace("NAME", way)}; }};\n'
                    f'log {{ source(s_{way}); destination(d_{way}); }};\n')
    for way in ways:
        write_lines(f"{source}.{way}", [f"{way} line {i}" for i in range(300)])
    t.add(Process("syslog-ng", [f"{root}/usr/sbin/syslog-ng", "-F", "--no-caps", "-f", conf, "--persist-file",
                                f"{work}/persist", "--pidfile", f"{work}/pid", "--control", f"{work}/ctl",
                                "--module-path", modules, "--stderr"],
                  f"{t.dir}/syslog-ng.out", debs.env(root, "usr/lib/syslog-ng")))
    for way in ways:
        wait_lines(o, '{app="%s"}' % way, [f"{way} line {i}" for i in range(300)])


if __name__ == "__main__":
    main()
