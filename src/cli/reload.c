/* SPDX-License-Identifier: Apache-2.0 */
/* A config that was edited while its run goes on: looked at when SIGHUP comes, and otherwise never. */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "log.h"

/* Room for the path of a member, such as others.127.0.0.2:5000.receive[3]; a longer one is cut. */
enum { MEMBER_SIZE = 256 };

static char *value_text(const json_t *value)
{
    return value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void tell(const char *member, const json_t *before, const json_t *now)
{
    char *old = value_text(before), *new = value_text(now);
    log_line(LOG_WARNING, "%s: %.200s in this run, %.200s in the file", member,
             old == NULL ? "absent" : old, new == NULL ? "absent" : new);
    free(old);
    free(new);
}

static size_t compare(const char *member, const json_t *before, const json_t *now);

/* Members of `from` that are objects' own or differ; those that only `now` has come with before = NULL. */
static size_t compare_objects(const char *member, const json_t *before, const json_t *now)
{
    char below[MEMBER_SIZE];
    const char *key;
    json_t *value;
    size_t n = 0;
    const char *dot = member[0] == '\0' ? "" : ".";
    json_object_foreach((json_t *)(uintptr_t)before, key, value) {
        (void)snprintf(below, sizeof below, "%.150s%s%.100s", member, dot, key);
        n += compare(below, value, json_object_get(now, key));
    }
    json_object_foreach((json_t *)(uintptr_t)now, key, value) {
        if (json_object_get(before, key) == NULL) {
            (void)snprintf(below, sizeof below, "%.150s%s%.100s", member, dot, key);
            n += compare(below, NULL, value);
        }
    }
    return n;
}

/* @return members that differ, each of which is told */
static size_t compare(const char *member, const json_t *before, const json_t *now)
{
    if (json_is_object(before) && json_is_object(now)) {
        return compare_objects(member, before, now);
    }
    if (before != NULL && now != NULL && json_equal(before, now)) {
        return 0;
    }
    tell(member, before, now);
    return 1;
}

static void tell_differences(const struct reload *run, struct span text)
{
    struct cairn_problem why = {0};
    json_t *before = cli_config_document(run->text, run->path, &why);
    json_t *now = before == NULL ? NULL : cli_config_document(text, run->path, &why);
    if (now == NULL) {
        log_line(LOG_WARNING, "%s", why.what);
    } else {
        const size_t n = compare("", before, now);
        if (n == 0) {
            log_line(LOG_WARNING, "%s is what this run goes by", run->path);
        } else {
            log_line(LOG_WARNING,
                     "%s is valid; its %zu change%s would make it another run, so this one goes on as it began: "
                     "start the aggregator again to run the new config",
                     run->path, n, n == 1 ? "" : "s");
        }
    }
    json_decref(before);
    json_decref(now);
}

void reload_check(void *reload)
{
    const struct reload *run = reload;
    struct cli quiet = {.quiet = true}; /* of its own: nothing of this is the command's result */
    struct cairn_problem why = {0};
    struct fed_config config = {0};
    struct buf text = {0};
    if (cli_read_config(&quiet, run->path, &text, &config, &why) == 0) {
        tell_differences(run, buf_span(&text));
    } else {
        log_line(LOG_WARNING, "%s; this run goes on as it began", why.what);
    }
    fed_config_release(&config);
    buf_release(&text);
    json_decref(quiet.details);
}
