#!/usr/bin/env python3
"""Mail of the alertmanager against SMTP servers: STARTTLS and TLS, who it says it is, what it sends, what refusals mean."""
import base64
import email
import email.policy
import hashlib
import hmac
import socket
import threading
import time

from orrery_test import check, main, wait_for
from receivers_test import authority, certificate, post_alerts, start, tls_server


class MailServer:
    """SMTP enough for a test: .mails is a list of (from, [to], bytes, how it was authenticated, whether over TLS)."""

    def __init__(self, t, context=None, mechanisms="PLAIN LOGIN CRAM-MD5", refuses=lambda n, command: None, implicit=False):
        self.mails, self.hellos, self.commands = [], [], []
        self.context, self.mechanisms, self.refuses, self.implicit = context, mechanisms, refuses, implicit
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections = self.socket.getsockname()[1], 0
        threading.Thread(target=self.accept, daemon=True).start()
        t.add(self)

    def stop(self):
        self.socket.close()

    def tail(self):
        return f"   SMTP: {self.commands[-20:]}\n"

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(s, self.connections), daemon=True).start()

    def serve(self, s, n):
        try:
            s.settimeout(30)
            if self.implicit:
                s = self.context.wrap_socket(s, server_side=True)
            self.talk(s, n)
        except (OSError, ValueError):
            pass
        finally:
            s.close()

    def talk(self, s, n):
        f, who, sender, to, is_tls = s.makefile("rb"), None, None, [], self.implicit

        def say(text):
            s.sendall(text.encode() + b"\r\n")

        def ask(text):
            say("334 " + base64.b64encode(text).decode())
            return base64.b64decode(f.readline().strip())

        say("220 mail.test")
        while line := f.readline():
            words = line.decode().strip()
            command = words.split(" ")[0].split(":")[0].upper()
            self.commands.append(words)
            refusal = self.refuses(n, command)
            if refusal:
                say(refusal)
            elif command == "EHLO":
                self.hellos.append(words.split(" ")[1])
                offers = [f"AUTH {self.mechanisms}"] if self.mechanisms else []
                if self.context and not is_tls:
                    offers = ["STARTTLS"]  # who we are is asked behind it
                lines = ["mail.test", *offers]
                for i, offer in enumerate(lines):
                    say(f"250{' ' if i + 1 == len(lines) else '-'}{offer}")
            elif command == "STARTTLS":
                say("220 go")
                s = self.context.wrap_socket(s, server_side=True)
                f, is_tls = s.makefile("rb"), True
            elif command == "AUTH":
                who = self.authenticate(words.split(" ")[1:], ask)
                say("235 welcome" if who else "535 who?")
            elif command == "MAIL":
                sender = words.split("<")[1].split(">")[0]
                say("250 ok")
            elif command == "RCPT":
                to.append(words.split("<")[1].split(">")[0])
                say("250 ok")
            elif command == "DATA":
                say("354 go")
                data = b""
                while (line := f.readline()) != b".\r\n":
                    data += line[1:] if line.startswith(b".") else line
                self.mails.append((sender, to, data, who, is_tls))
                say("250 taken")
            elif command == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    def authenticate(self, words, ask):
        mechanism = words[0]
        if mechanism == "PLAIN":
            text = base64.b64decode(words[1]) if len(words) > 1 else ask(b"")
            identity, user, password = text.split(b"\0")
            return (mechanism, identity.decode()) if (user, password) == (b"user", b"password") else None
        if mechanism == "LOGIN":
            user = base64.b64decode(words[1]) if len(words) > 1 else ask(b"Username:")
            return (mechanism, "") if (user, ask(b"Password:")) == (b"user", b"password") else None
        user, digest = ask(b"<1@mail.test>").split(b" ")
        want = hmac.new(b"secret", b"<1@mail.test>", hashlib.md5).hexdigest().encode()
        return (mechanism, "") if (user, digest) == (b"user", want) else None


def mail_config(settings):
    routes = "".join(f"  - {{receiver: {n}, matchers: ['to=\"{n}\"'], group_by: [to], group_wait: 0s, group_interval: 5m}}\n"
                     for n in settings)
    receivers = "".join(f"- name: {n}\n  email_configs: [{{to: 'Ops <ops@a.test>, \"B, C\" <b@a.test>', from: 'am@a.test', "
                        f"smarthost: '127.0.0.1:{port}', {more}}}]\n" for n, (port, more) in settings.items())
    return f"route:\n  receiver: none\n  routes:\n{routes}receivers:\n- name: none\n{receivers}"


def test_mail(t):
    authority(t)
    certificate(t, "here", "IP:127.0.0.1")
    context, trust = tls_server(t, "here"), f"tls_config: {{ca_file: {t.dir}/ca.pem}}"
    password, secret = "auth_username: user, auth_password: password", "auth_username: user, auth_secret: secret"
    plain, login, cram = (MailServer(t, context, m) for m in ("PLAIN", "LOGIN", "LOGIN CRAM-MD5"))
    implicit, bare = MailServer(t, context, implicit=True), MailServer(t, mechanisms="")
    later = MailServer(t, context, refuses=lambda n, c: "451 later" if n == 1 and c == "RCPT" else None)
    never = MailServer(t, context, refuses=lambda n, c: "550 no such user" if c == "RCPT" else None)
    unknown = MailServer(t, context)
    untrusted = MailServer(t, context)
    o = start(t, mail_config({
        "plain": (plain.port, f"{trust}, {password}, auth_identity: other, hello: am.test, send_resolved: true, "
                  "text: \"{{ .CommonAnnotations.summary }}\\n.\\n\", headers: {subject: 'Über {{ .Status }}', x-a: b}"),
        "login": (login.port, f"{trust}, {password}"),
        "cram": (cram.port, f"{trust}, {secret}"),
        "implicit": (implicit.port, f"{trust}, {password}, force_implicit_tls: true"),
        "bare": (bare.port, f"require_tls: false, {password}"),
        "required": (bare.port, "hello: required"),
        "later": (later.port, f"{trust}, {password}"),
        "never": (never.port, f"{trust}, {password}"),
        "unknown": (unknown.port, f"{trust}, auth_username: user, auth_password: wrong"),
        "untrusted": (untrusted.port, password),
    }))
    names = ("plain", "login", "cram", "implicit", "bare", "required", "later", "never", "unknown", "untrusted")
    post_alerts(o.addr, [{"to": n} for n in names])
    told = {"plain": plain, "login": login, "cram": cram, "implicit": implicit, "bare": bare, "later": later}
    for n, server in told.items():
        wait_for(f"the mail of {n}", lambda: server.mails, 60)
    sender, to, data, who, is_tls = plain.mails[0]
    check((sender, to, who, is_tls) == ("am@a.test", ["ops@a.test", "b@a.test"], ("PLAIN", "other"), True), plain.mails[0])
    check(plain.hellos == ["am.test", "am.test"], plain.hellos)
    mail = email.message_from_bytes(data, policy=email.policy.default)
    check(not mail.defects and mail["Subject"] == "Über firing" and mail["X-A"] == "b", mail.items())
    check(mail["From"] == "am@a.test" and len(mail["To"].addresses) == 2 and mail["Message-Id"] and mail["Date"], mail.items())
    parts = list(mail.iter_parts())
    check([p.get_content_type() for p in parts] == ["text/plain", "text/html"], data)
    check(parts[0].get_content().replace("\r\n", "\n") == "it is <down> & \"out\"\n.\n", parts[0].get_content())
    check("it is &lt;down&gt; &amp; &#34;out&#34;" in parts[1].get_content(), parts[1].get_content())
    check(all(len(line) <= 998 for line in data.split(b"\r\n")) and b"\n" not in data.replace(b"\r\n", b""), "lines")
    check(login.mails[0][3] == ("LOGIN", "") and cram.mails[0][3] == ("CRAM-MD5", "") and implicit.mails[0][4], "who")
    check(bare.mails[0][3:] == (None, False), bare.mails[0])
    wait_for("what needs TLS tries again", lambda: bare.hellos.count("required") >= 2, 60)
    wait_for("who is not trusted is tried again", lambda: untrusted.connections >= 2, 60)
    time.sleep(2)
    check(len(bare.mails) == 1 and not untrusted.mails, "a mail went without TLS")
    check(later.connections == 2 and len(later.mails) == 1, f"later: {later.connections}")
    check(never.connections == 1 and not never.mails, f"never: {never.connections} attempts")
    check(unknown.connections == 1 and not unknown.mails, f"unknown: {unknown.connections} attempts")


if __name__ == "__main__":
    main()
