/* SPDX-License-Identifier: Apache-2.0 */
#include "roundlog.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "file.h"
#include "json.h"
#include "log.h"

void roundlog_usage(double *cpu_s, uint64_t *peak_rss_bytes)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    *cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    *peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

void roundlog_file_name(const char *address, char *out, size_t size)
{
    snprintf(out, size, "%s", address);
    char *port = strrchr(out, ':');
    if (port != NULL && strcmp(port, ":5000") == 0) {
        *port = '\0';
    }
    for (char *c = out; *c != '\0'; c++) {
        const bool plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                           (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '.';
        if (!plain) {
            *c = '_';
        }
    }
}

int roundlog_init(struct roundlog *log, const struct role_host *host, const char *address,
                  const char *role, const char *experiment)
{
    *log = (struct roundlog){.host = host, .entries = json_array()};
    if (log->entries == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&log->lock, NULL);
    snprintf(log->address, sizeof log->address, "%s", address);
    snprintf(log->role, sizeof log->role, "%s", role);
    snprintf(log->experiment, sizeof log->experiment, "%s", experiment);
    host->traffic(host->ctx, &log->received_start, &log->sent_start);
    log->received_before = log->received_start;
    log->sent_before = log->sent_start;

    char folder[FED_PATH_SIZE + FED_NAME_SIZE], name[FED_ADDRESS_SIZE];
    snprintf(folder, sizeof folder, "%s/%s", host->log_dir, experiment);
    roundlog_file_name(address, name, sizeof name);
    snprintf(log->path, sizeof log->path, "%s/%s.json", folder, name);
    struct cairn_problem why = {0};
    if (file_make_folders(folder, &why) != 0) {
        log_line(LOG_WARNING, "%s; the log stays in memory", why.what);
        log->warned = true;
    }
    return 0;
}

void roundlog_set_fingerprint(struct roundlog *log, const char *fingerprint)
{
    if (fingerprint != NULL) {
        (void)snprintf(log->fingerprint, sizeof log->fingerprint, "%s", fingerprint);
    }
}

void roundlog_release(struct roundlog *log)
{
    if (log->entries != NULL) {
        json_decref(log->entries);
        pthread_mutex_destroy(&log->lock);
    }
    *log = (struct roundlog){0};
}

static json_t *document(const struct roundlog *log)
{
    double cpu_s;
    uint64_t rss;
    roundlog_usage(&cpu_s, &rss);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:f, s:I, s:O}", "address", log->address, "role", log->role,
        "experiment", log->experiment, "finished", (int)log->finished, "byte_received",
        (json_int_t)(log->received_before - log->received_start), "byte_send",
        (json_int_t)(log->sent_before - log->sent_start), "cpu_s", cpu_s, "peak_rss_bytes",
        (json_int_t)rss, "iteration", log->entries);
    if (doc != NULL && log->fingerprint[0] != '\0') {
        json_object_set_new(doc, "samples_fingerprint", json_string(log->fingerprint));
    }
    return doc;
}

static void write_file(struct roundlog *log)
{
    if (log->warned) {
        return;
    }
    struct buf text = {0};
    struct cairn_problem why = {0};
    json_t *doc = document(log);
    int err = doc == NULL ? CAIRN_ERR_NO_MEMORY : json_append(&text, doc, 2);
    if (err == 0) {
        err = file_rewrite(log->path, text.data, text.size, 0644, &why);
    }
    if (err != 0) {
        log_line(LOG_WARNING, "%s; the log stays in memory", why.what);
        log->warned = true;
    }
    json_decref(doc);
    buf_release(&text);
}

/* Bytes moved since the last call. */
static void take_traffic(struct roundlog *log, uint64_t *received, uint64_t *sent)
{
    uint64_t in, out;
    log->host->traffic(log->host->ctx, &in, &out);
    *received = in - log->received_before;
    *sent = out - log->sent_before;
    log->received_before = in;
    log->sent_before = out;
}

const char *const roundlog_durations[ROUNDLOG_DURATIONS] = {
    "wall_s", "fetch_s",   "train_s",   "encrypt_s", "fold_s",
    "send_s", "journal_s", "decrypt_s", "commit_s",  "wait_s"};

static int add_durations(json_t *object, const struct roundlog_entry *e)
{
    const double wall = 1e-6 * (double)(e->end_us - e->start_us);
    double seconds[ROUNDLOG_DURATIONS] = {wall,      e->fetch_s,   e->train_s,   e->encrypt_s, e->fold_s,
                                          e->send_s, e->journal_s, e->decrypt_s, e->commit_s,  wall};
    double *const wait = &seconds[ROUNDLOG_DURATIONS - 1];
    int failed = 0;
    for (size_t i = 1; i + 1 < ROUNDLOG_DURATIONS; i++) {
        *wait -= seconds[i];
    }
    *wait = *wait > 0 ? *wait : 0; /* adding goes on beside sending and opening */
    for (size_t i = 0; i < ROUNDLOG_DURATIONS; i++) {
        failed |= json_object_set_new(object, roundlog_durations[i], json_real(seconds[i]));
    }
    return failed;
}

void roundlog_add(struct roundlog *log, const struct roundlog_entry *entry)
{
    char start[CLOCK_TEXT_SIZE], end[CLOCK_TEXT_SIZE];
    clock_format(entry->start_us, start);
    clock_format(entry->end_us, end);
    double cpu_s;
    uint64_t rss, received, sent;
    roundlog_usage(&cpu_s, &rss);

    pthread_mutex_lock(&log->lock);
    take_traffic(log, &received, &sent);
    json_t *e = json_pack(
        "{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "round", (json_int_t)entry->round,
        "start_time", start, "end_time", end, "byte_received", (json_int_t)received, "byte_send",
        (json_int_t)sent, "peak_rss_bytes", (json_int_t)rss, "frames", (json_int_t)entry->frames,
        "contributors", (json_int_t)entry->contributors, "saturated",
        (json_int_t)entry->saturated);
    if (entry->trouble[0] != '\0') {
        (void)json_object_set_new(e, "trouble", json_string(entry->trouble));
    }
    if (e == NULL || add_durations(e, entry) != 0 || json_array_append_new(log->entries, e) != 0) {
        log_line(LOG_ERROR, "no memory for the log of round %u", (unsigned)entry->round);
    }
    write_file(log);
    pthread_mutex_unlock(&log->lock);
}

static void add_to_member(json_t *object, const char *key, uint64_t more)
{
    const json_int_t value = (json_int_t)json_get_int(object, key, 0) + (json_int_t)more;
    json_object_set_new(object, key, json_integer(value));
}

void roundlog_finish(struct roundlog *log)
{
    pthread_mutex_lock(&log->lock);
    if (!log->finished) {
        uint64_t received, sent;
        take_traffic(log, &received, &sent);
        json_t *last = json_array_get(log->entries, json_array_size(log->entries) - 1);
        if (last != NULL) {
            add_to_member(last, "byte_received", received);
            add_to_member(last, "byte_send", sent);
        }
        log->finished = true;
        write_file(log);
    }
    pthread_mutex_unlock(&log->lock);
}

json_t *roundlog_document(struct roundlog *log)
{
    pthread_mutex_lock(&log->lock);
    json_t *copy = json_deep_copy(log->entries);
    json_t *doc = document(log);
    if (doc != NULL && copy != NULL) {
        json_object_set_new(doc, "iteration", copy);
    } else {
        json_decref(copy);
    }
    pthread_mutex_unlock(&log->lock);
    return doc;
}
