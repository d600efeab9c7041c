/* SPDX-License-Identifier: Apache-2.0 */
#include "holder.h"

#include <string.h>

#include "answer.h"
#include "json.h"

/* Long for a status, which takes no lock that is held for long; and whoever posts a config waits meanwhile. */
enum { ASK_S = 3 };

static const char *session_text(const json_t *config, const char *key)
{
    return json_get_text(json_object_get(config, "session"), key, "");
}

static bool runs_session(const json_t *status, const char *id)
{
    const char *state = json_get_text(status, "state", "done");
    return strcmp(json_get_text(status, "session", ""), id) == 0 && strcmp(state, "done") != 0 &&
           strcmp(state, "failed") != 0;
}

int holder_check(const json_t *held, const json_t *wanted, const struct role_host *host,
                 struct cairn_problem *why)
{
    const char *id = session_text(held, "id"), *holder = session_text(held, "aggregator");
    if (holder[0] == '\0' || strcmp(id, session_text(wanted, "id")) == 0) {
        return 0;
    }
    struct http_exchange x = {
        .address = holder, .method = "GET", .path = "/status", .timeout_s = ASK_S};
    host->exchange(host->ctx, &x, 1);
    json_t *status = x.error == 0 && x.status == 200 ? answer_document(&x) : NULL;
    int err = 0;
    if (runs_session(status, id)) {
        err = problem_set(why, CAIRN_ERR_REFUSED,
                          "wait until that run is over, or end its aggregator",
                          "%s works for experiment \"%s\" of aggregator %s (boot %s), which is running; "
                          "it does not take the config of experiment \"%s\"",
                          host->address, json_get_text(held, "experiment", "?"), holder,
                          json_get_text(status, "boot", "?"),
                          json_get_text(wanted, "experiment", "?"));
    }
    json_decref(status);
    http_exchange_release(&x);
    return err;
}
