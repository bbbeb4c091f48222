/* Mail: its words, and what is asked of its server. */
#include "tests/unit/alertmanager/notify_bench.h"

#define MAIL                                                                                       \
    "email_configs: [{to: 'A <a@x>, \"B, C\" <b@x>', from: am@x, smarthost: 'mail:25', html: "     \
    "'<p>{{ .CommonAnnotations.summary }}</p>', text: '{{ .CommonAnnotations.summary }}'"

static struct notify_bench *mail(const char *more, const char *annotation)
{
    char *text = mem_printf(MAIL "%s}]", more);
    struct notify_bench *t = notify_bench_told(notify_bench_conf(text), true, annotation);

    mem_free(text);
    return t;
}

static struct slice message(struct notify_bench *t)
{
    CHECK_OK(notify_bench_error(t));
    return t->request->mail->message;
}

static void has(struct notify_bench *t, const char *text)
{
    struct slice s = t->request->mail->message;

    if (slice_find(s, slice_cstr(text), 0) < 0)
        test_fail(__FILE__, __LINE__, "no %s in %.*s", text, SLICE_ARG(s));
}

TEST(notify_mail_has_both_parts_and_all_receivers)
{
    struct notify_bench *t =
        mail(", headers: {subject: 's', X-Y: '{{ .Status }}'}", "1 < 2 = caf\xc3\xa9");
    const struct mail_req *m;

    (void)message(t);
    m = t->request->mail;
    CHECK_STR(m->host, "mail");
    CHECK_INT(m->port, 25);
    CHECK_STR(m->hello, "localhost");
    CHECK(m->requires_tls && !m->is_implicit_tls && !m->user && !m->tls);
    CHECK_STR(m->from, "am@x");
    CHECK_INT(m->n_to, 2);
    CHECK_STR(m->to[0], "a@x");
    CHECK_STR(m->to[1], "b@x");
    has(t,
        "From: am@x\r\nTo: A <a@x>, \"B, C\" <b@x>\r\nSubject: s\r\nX-Y: firing\r\nMessage-Id: <");
    has(t, "Date: Thu, 01 Jan 1970 00:16:40 +0000\r\nContent-Type: multipart/alternative; "
           "boundary=\"=_");
    has(t, "Content-Type: text/plain; charset=UTF-8\r\n\r\n1 < 2 =3D caf=C3=A9\r\n--=_");
    has(t, "Content-Type: text/html; charset=UTF-8\r\n\r\n<p>1 &lt; 2 =3D caf=C3=A9</p>\r\n--=_");
    CHECK_OK(notify_bench_answer(t, 250, "", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
}

TEST(notify_mail_headers_cannot_be_broken_out_of)
{
    struct notify_bench *t =
        mail(", headers: {Subject: '{{ .CommonAnnotations.summary }}'}", "a\r\nBcc: x@y \xc3\xbc_");

    (void)message(t);
    has(t, "Subject: =?utf-8?q?a=0D=0ABcc:_x@y_=C3=BC=5F?=\r\n");
    notify_bench_free(t);
    t = mail(", headers: {'X: y': z}", "s");
    CHECK_ERR(notify_bench_error(t), ERR_INVALID, "no name of a header");
    notify_bench_free(t);
}

TEST(notify_mail_folds_what_is_long)
{
    char *text = notify_bench_runes("\xc3\xbc", 400);
    struct notify_bench *t = mail(", headers: {Subject: '{{ .CommonAnnotations.summary }}'}", text);
    struct slice rest = message(t), line;
    size_t words = 0;

    while (slice_split(&rest, '\n', &line)) {
        CHECK(line.len <= 77 || slice_has_prefix(line, SLICE("Subject: ")));
        CHECK(line.len < 90);
        words += slice_find(line, SLICE("=?utf-8?q?"), 0) >= 0;
    }
    CHECK(words > 30);
    notify_bench_free(t);
    mem_free(text);
}

TEST(notify_mail_refuses_what_is_no_address)
{
    static const char *const bad[] = {"", "x", "@x", "a@", "a b@x", "<a@x", "a@x, b", "\"a@x\""};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct notify_bench *t = mail("", bad[i]);
        char *text =
            mem_printf("email_configs: [{to: '{{ .CommonAnnotations.summary }}', from: am@x, "
                       "smarthost: 'mail:25'}]");
        struct notify_bench *u = notify_bench_told(notify_bench_conf(text), true, bad[i]);
        struct err *e = notify_bench_error(u);

        if (!e)
            test_fail(__FILE__, __LINE__, "%s was taken", bad[i]);
        CHECK_ERR(e, ERR_INVALID, "to: ");
        notify_bench_free(t);
        notify_bench_free(u);
        mem_free(text);
    }
}

TEST(notify_mail_takes_what_global_says)
{
    struct amconf *c;
    struct notify_bench *t;
    const struct mail_req *m;

    CHECK_OK(amconf_parse(
        "am.yml",
        SLICE("global: {smtp_smarthost: 'h:465', smtp_from: 'F <f@x>', smtp_hello: us, "
              "smtp_require_tls: false, smtp_auth_username: u, smtp_auth_password: p, "
              "smtp_auth_secret: s, smtp_auth_identity: i, smtp_tls_config: {insecure_skip_verify: "
              "true}}\nreceivers:\n- name: r\n  email_configs: [{to: a@x, threading: {enabled: "
              "true}}]\n"),
        AMCONF_NO_ROUTE, &c));
    CHECK(!c->receivers[0].integrations[0].send_resolved);
    t = notify_bench_of(c);
    (void)message(t);
    m = t->request->mail;
    CHECK(m->is_implicit_tls && !m->requires_tls && m->tls->is_insecure);
    CHECK_STR(m->from, "f@x");
    CHECK_STR(m->hello, "us");
    CHECK_STR(m->user, "u");
    CHECK_STR(m->password, "p");
    CHECK_STR(m->identity, "i");
    CHECK_STR(m->mechanisms, "AUTH=PLAIN;AUTH=LOGIN");
    has(t, "From: F <f@x>\r\nTo: a@x\r\nSubject: [FIRING:2] x \r\n");
    has(t, "In-Reply-To: <alert-cd0aa9856147b6c5-1970-01-01@alertmanager>\r\n");
    has(t, "<!DOCTYPE html>");
    notify_bench_free(t);
}

TEST(notify_mail_says_who_it_is_as_is_safe)
{
    static const char *const cases[][2] = {
        {", auth_username: u, auth_password: p", "AUTH=PLAIN;AUTH=LOGIN"},
        {", auth_username: u, auth_secret: s", "AUTH=CRAM-MD5"},
        {", auth_username: u, auth_password: p, require_tls: false", "AUTH=LOGIN"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct notify_bench *t = mail(cases[i][0], "s");

        (void)message(t);
        CHECK_STR(t->request->mail->mechanisms, cases[i][1]);
        notify_bench_free(t);
    }
}

TEST(notify_mail_judges_by_smtp)
{
    static const struct {
        int status;
        bool may_retry;
    } cases[] = {{421, true}, {451, true}, {535, false}, {550, false}, {554, false}};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct notify_bench *t = mail("", "s");

        (void)message(t);
        CHECK_ERR(notify_bench_answer(t, cases[i].status, "", "RCPT failed"), ERR_NET,
                  "RCPT failed");
        CHECK(t->may_retry == cases[i].may_retry);
        notify_bench_free(t);
    }
}
