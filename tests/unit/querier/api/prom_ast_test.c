#include "querier/api/prom_ast.h"
#include "tests/unit/test.h"

static void check(const char *query, const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct promql q;

    CHECK_OK(promql_parse(a, slice_cstr(query), &PROMQL_EVERYTHING, &q));
    prom_ast_json(&out, q.root);
    if (strcmp(buf_cstr(&out), want) != 0)
        test_fail(__FILE__, __LINE__, "%s: got %s", query, buf_cstr(&out));
    promql_done(&q);
    buf_done(&out);
    arena_free(a);
}

#define UP                                                                                         \
    "\"name\":\"up\",\"offset\":0,\"matchers\":[{\"name\":\"__name__\",\"value\":\"up\",\"type\":" \
    "\"=\"}],\"timestamp\":null,\"startOrEnd\":null,\"anchored\":false,\"smoothed\":false"
#define VECTOR "{\"type\":\"vectorSelector\"," UP "}"

TEST(prom_ast_draws_every_node)
{
    check("1.5", "{\"type\":\"numberLiteral\",\"val\":\"1.5\"}");
    check("\"a\\\"b\"", "{\"type\":\"stringLiteral\",\"val\":\"a\\\"b\"}");
    check("up", VECTOR);
    check("(up)", "{\"type\":\"parenExpr\",\"expr\":" VECTOR "}");
    check("-up", "{\"type\":\"unaryExpr\",\"op\":\"-\",\"expr\":" VECTOR "}");
    check("up[5m]", "{\"type\":\"matrixSelector\"," UP ",\"range\":300000}");
    check(
        "up offset -1m @ end()",
        "{\"type\":\"vectorSelector\",\"name\":\"up\",\"offset\":-60000,\"matchers\":[{\"name\":"
        "\"__name__\",\"value\":\"up\",\"type\":\"=\"}],\"timestamp\":null,\"startOrEnd\":\"end\","
        "\"anchored\":false,\"smoothed\":false}");
    check("up[1h:5m] @ 10", "{\"type\":\"subquery\",\"expr\":" VECTOR
                            ",\"range\":3600000,\"offset\":0,\"step\":300000,"
                            "\"timestamp\":10000,\"startOrEnd\":null}");
    check("topk without (a) (2, up)", "{\"type\":\"aggregation\",\"op\":\"topk\",\"expr\":" VECTOR
                                      ",\"param\":{\"type\":\"numberLiteral\",\"val\":\"2\"},"
                                      "\"grouping\":[\"a\"],\"without\":true}");
    check("round(up)",
          "{\"type\":\"call\",\"func\":{\"name\":\"round\",\"argTypes\":[\"vector\",\"scalar\"],"
          "\"variadic\":1,\"returnType\":\"vector\"},\"args\":[" VECTOR "]}");
    check("up == bool 1",
          "{\"type\":\"binaryExpr\",\"op\":\"==\",\"lhs\":" VECTOR
          ",\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"1\"},\"matching\":null,\"bool\":true}");
    check("up and on(a) up",
          "{\"type\":\"binaryExpr\",\"op\":\"and\",\"lhs\":" VECTOR ",\"rhs\":" VECTOR
          ",\"matching\":{\"card\":\"many-to-many\",\"on\":true,\"labels\":[\"a\"],\"include\":[],"
          "\"fillValues\":{\"lhs\":null,\"rhs\":null}},\"bool\":false}");
    check("up + ignoring(a) group_left(b) up",
          "{\"type\":\"binaryExpr\",\"op\":\"+\",\"lhs\":" VECTOR ",\"rhs\":" VECTOR
          ",\"matching\":{\"card\":\"many-to-one\",\"on\":false,\"labels\":[\"a\"],\"include\":["
          "\"b\"],"
          "\"fillValues\":{\"lhs\":null,\"rhs\":null}},\"bool\":false}");
    check("up[step()*2]",
          "{\"type\":\"matrixSelector\"," UP ",\"range\":0,\"rangeExpr\":\"step() * 2\"}");
}
