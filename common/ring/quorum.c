#include "common/ring/quorum.h"

#include "common/base/mem.h"

bool quorum_is_client_error(enum err_code code)
{
    int http = err_code_http(code);

    return http >= 400 && http < 499;
}

/* ---- writes ---- */

/* Settles a group once its answers decide it. */
static void judge_group(struct quorum *q, struct quorum_group *g)
{
    unsigned pending = (unsigned)(g->n - g->ok - g->client - g->ours);

    if (g->verdict != QUORUM_PENDING)
        return;
    if (g->ok >= g->need) {
        g->verdict = QUORUM_OK;
        q->n_ok++;
    } else if (g->client >= g->need ||
               (g->ok + pending < g->need && g->client + pending < g->need)) {
        g->verdict = QUORUM_FAILED;
    } else {
        return;
    }
    q->n_decided++;
}

/* The batch: ours beats the client's, because the client should send it again. */
static void judge(struct quorum *q, const struct quorum_group *g)
{
    if (q->verdict != QUORUM_PENDING)
        return;
    if (g && g->verdict == QUORUM_FAILED) {
        if (g->client < g->need) {
            q->code = ERR_UNAVAILABLE;
            q->verdict = QUORUM_FAILED;
            return;
        }
        q->code = g->client_code;
    }
    if (q->n_decided == q->n_groups)
        q->verdict = q->n_ok == q->n_groups ? QUORUM_OK : QUORUM_FAILED;
}

void quorum_init(struct quorum *q, const struct ring_set *sets, size_t n_sets, size_t n_instances,
                 unsigned need)
{
    size_t total = 0;
    uint32_t *at;

    *q = (struct quorum){.n_groups = n_sets, .n_instances = n_instances};
    q->groups = mem_new_array(struct quorum_group, n_sets + 1);
    q->first = mem_new_array(uint32_t, n_instances + 2);
    q->has_answered = mem_new_array(bool, n_instances + 1);
    for (size_t g = 0; g < n_sets; g++) {
        q->groups[g] = (struct quorum_group){.n = (uint16_t)sets[g].n, .need = (uint16_t)need};
        total += sets[g].n;
        for (unsigned k = 0; k < sets[g].n; k++) {
            ORR_ASSERT(sets[g].instances[k] < n_instances);
            q->first[sets[g].instances[k] + 1]++;
        }
    }
    for (size_t i = 0; i < n_instances; i++)
        q->first[i + 1] += q->first[i];
    q->of_instance = mem_new_array(uint32_t, total + 1);
    at = mem_new_array(uint32_t, n_instances + 1);
    memcpy(at, q->first, n_instances * sizeof(*at));
    for (size_t g = 0; g < n_sets; g++)
        for (unsigned k = 0; k < sets[g].n; k++)
            q->of_instance[at[sets[g].instances[k]]++] = (uint32_t)g;
    mem_free(at);
    judge(q, NULL);
    for (size_t g = 0; g < n_sets; g++) {
        judge_group(q, &q->groups[g]);
        judge(q, &q->groups[g]);
    }
}

void quorum_done(struct quorum *q)
{
    mem_free(q->groups);
    mem_free(q->first);
    mem_free(q->of_instance);
    mem_free(q->has_answered);
    *q = (struct quorum){0};
}

static bool takes_answer(struct quorum *q, unsigned instance)
{
    if (instance >= q->n_instances || q->has_answered[instance])
        return false;
    q->has_answered[instance] = true;
    return true;
}

enum quorum_verdict quorum_ack(struct quorum *q, unsigned instance)
{
    if (!takes_answer(q, instance))
        return q->verdict;
    for (uint32_t k = q->first[instance]; k < q->first[instance + 1]; k++) {
        struct quorum_group *g = &q->groups[q->of_instance[k]];

        g->ok++;
        judge_group(q, g);
        judge(q, g);
    }
    return q->verdict;
}

enum quorum_verdict quorum_fail(struct quorum *q, unsigned instance, enum err_code code)
{
    bool is_client = quorum_is_client_error(code);

    if (!takes_answer(q, instance))
        return q->verdict;
    for (uint32_t k = q->first[instance]; k < q->first[instance + 1]; k++) {
        struct quorum_group *g = &q->groups[q->of_instance[k]];

        if (is_client && g->client++ == 0)
            g->client_code = code;
        g->ours = (uint16_t)(g->ours + !is_client);
        judge_group(q, g);
        judge(q, g);
    }
    return q->verdict;
}

size_t quorum_outstanding(const struct quorum *q)
{
    size_t n = 0;

    for (size_t i = 0; i < q->n_instances; i++)
        n += !q->has_answered[i] && q->first[i + 1] > q->first[i];
    return n;
}

/* ---- reads ---- */

static struct quorum_unit *unit_of(struct quorum_read *q, unsigned position)
{
    return &q->units[q->set->by_zone ? q->set->zones[position] : position];
}

void quorum_read_init(struct quorum_read *q, const struct ring_read_set *set)
{
    unsigned n_units = set->n;

    *q = (struct quorum_read){.set = set};
    for (unsigned i = 0; i < set->n && set->by_zone; i++)
        n_units = ORR_MAX(n_units, set->zones[i] + 1u);
    q->answer = mem_new_array(uint8_t, set->n + 1);
    q->units = mem_new_array(struct quorum_unit, n_units + 1);
    for (unsigned i = 0; i < set->n; i++)
        unit_of(q, i)->n++;
    q->n_units = set->by_zone ? set->n_zones : set->n;
    if (set->n == 0 && set->min_ok <= 1) {
        q->verdict = QUORUM_OK;
    } else if (q->n_units < set->min_ok) {
        q->verdict = QUORUM_FAILED;
        q->code = ERR_UNAVAILABLE;
    }
}

void quorum_read_done(struct quorum_read *q)
{
    mem_free(q->answer);
    mem_free(q->units);
    *q = (struct quorum_read){0};
}

enum quorum_verdict quorum_read_ok(struct quorum_read *q, unsigned position)
{
    struct quorum_unit *u;

    if (position >= q->set->n || q->answer[position])
        return q->verdict;
    q->answer[position] = 1;
    q->n_ok++;
    u = unit_of(q, position);
    if (++u->ok == u->n)
        q->complete++;
    if (q->verdict == QUORUM_PENDING && q->complete >= q->set->min_ok &&
        q->complete + q->set->max_fail >= q->n_units)
        q->verdict = QUORUM_OK;
    return q->verdict;
}

enum quorum_verdict quorum_read_fail(struct quorum_read *q, unsigned position, enum err_code code)
{
    struct quorum_unit *u;

    if (position >= q->set->n || q->answer[position])
        return q->verdict;
    q->answer[position] = 2;
    q->n_failed++;
    u = unit_of(q, position);
    if (u->failed++ == 0)
        q->failed++;
    if (q->verdict != QUORUM_PENDING)
        return q->verdict;
    if (q->failed > q->set->max_fail || q->n_units - q->failed < q->set->min_ok) {
        q->verdict = QUORUM_FAILED;
        q->code = code;
    }
    return q->verdict;
}

bool quorum_read_is_whole(const struct quorum_read *q)
{
    return q->n_ok == q->set->n;
}
