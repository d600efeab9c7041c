/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator's journal: the reader, and the ledger's replay of what it gives. Mode byte: bit 0 repairs
 * the header's digest, bit 1 those of all records, so that what is behind them is reached.
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "file.h"
#include "fuzz.h"
#include "journal.h"
#include "le.h"
#include "ledger.h"
#include "ledger_records.h"

enum { REPAIR_HEADER = 1, REPAIR_RECORDS = 2, FRAME = 100, PARAMS = 4, LIMIT = 1 << 16 };

/* in memory: a run is a dozen flushes */
static char folder[] = "/dev/shm/fuzz_journal_XXXXXX";
static char path[sizeof folder + 16];

static void remove_folder(void)
{
    char other[sizeof path];
    (void)unlink(path);
    (void)snprintf(other, sizeof other, "%s/lock", folder);
    (void)unlink(other);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    static bool made;
    if (!made) {
        FUZZ_REQUIRE(mkdtemp(folder) != NULL);
        (void)snprintf(path, sizeof path, "%s/journal", folder);
        (void)atexit(remove_folder);
        made = true;
    }
}

static void chained(const uint8_t *chain, const uint8_t *a, size_t a_size, const uint8_t *b,
                    size_t b_size, uint8_t *out, size_t size)
{
    uint8_t digest[DIGEST_SIZE];
    struct digest_state s;
    digest_init(&s);
    digest_update(&s, chain, chain != NULL ? JOURNAL_DIGEST : 0);
    digest_update(&s, a, a_size);
    digest_update(&s, b, b_size);
    digest_final(&s, digest);
    memcpy(out, digest, size);
}

static void repair(uint8_t *bytes, size_t size, unsigned mode)
{
    if (size < JOURNAL_HEADER) {
        return;
    }
    if (mode & REPAIR_HEADER) {
        memcpy(bytes, "CRNJ\x02\0\0", 8);
        chained(NULL, bytes, 24, NULL, 0, bytes + 24, JOURNAL_DIGEST);
    }
    const uint8_t *chain = bytes + 24;
    for (size_t at = JOURNAL_HEADER; (mode & REPAIR_RECORDS) && size - at >= 32;) {
        uint8_t *head = bytes + at;
        const size_t length = le_get32(head);
        chained(chain, head, 8, NULL, 0, head + 8, JOURNAL_CHECK);
        if (length > size - at - 32) {
            return;
        }
        uint8_t *digest = head + JOURNAL_RECORD_HEADER + length;
        chained(chain, head, 8, head + JOURNAL_RECORD_HEADER, length, digest, JOURNAL_DIGEST);
        chain = digest;
        at += 32 + length;
    }
}

/* Every record lies where it was read, and the reading ends for a reason. @return how many */
static size_t read_records(const uint8_t *bytes, size_t size)
{
    struct journal_reader r;
    struct buf payload = {0};
    uint32_t type;
    size_t n = 0, at = JOURNAL_HEADER;
    int got;
    if (journal_reader_open(&r, path, LIMIT, NULL) != 0) {
        return 0;
    }
    while ((got = journal_reader_next(&r, &type, &payload, NULL)) == 1) {
        FUZZ_REQUIRE(payload.size <= LIMIT && r.good <= size);
        FUZZ_REQUIRE(payload.size == le_get32(bytes + at) && type == le_get32(bytes + at + 4));
        FUZZ_REQUIRE(payload.size == 0 || memcmp(payload.data, bytes + at + JOURNAL_RECORD_HEADER,
                                                 payload.size) == 0);
        at += JOURNAL_RECORD_HEADER + payload.size + JOURNAL_DIGEST;
        FUZZ_REQUIRE(r.good == at);
        n++;
    }
    FUZZ_REQUIRE(got == 0 && payload.size == 0 && r.good == at);
    FUZZ_REQUIRE(payload.capacity <= 2 * LIMIT);
    journal_reader_close(&r);
    buf_release(&payload);
    return n;
}

static struct model_shape *the_shape(void)
{
    static struct model_tensor tensor = {.name = "w", .n_dims = 1, .dims = {PARAMS}, .count = PARAMS};
    static struct model_shape shape = {
        .tensors = &tensor, .n_tensors = 1, .n_params = PARAMS, .n_bytes = 4 * PARAMS};
    return &shape;
}

/* A run that can be resumed can be resumed again, to the same. */
static void resume(size_t n_records)
{
    struct ledger *l = NULL;
    struct ledger_state first = {0}, second = {0};
    struct buf frame = {0};
    float model[PARAMS];
    FUZZ_REQUIRE(ledger_open(folder, "fuzz", FRAME, &l, NULL) == 0);
    int err = ledger_resume(l, the_shape(), model, &first, NULL);
    if (err != 0) {
        FUZZ_REQUIRE(err == CAIRN_ERR_INTEGRITY || err == CAIRN_ERR_DATA);
        ledger_close(l);
        return;
    }
    /* no key and no checkpoint are there, so neither is asked for */
    FUZZ_REQUIRE(first.secret == NULL && first.committed == 0 && first.frames <= n_records);
    uint32_t frames = 0;
    while (ledger_next_frame(l, &frame, NULL) == 1) {
        FUZZ_REQUIRE(le_get32(frame.data) == frames);
        frames++;
    }
    FUZZ_REQUIRE(frames == first.frames);
    FUZZ_REQUIRE(ledger_resume(l, the_shape(), model, &second, NULL) == 0);
    FUZZ_REQUIRE(second.open == first.open && second.frames == first.frames);
    FUZZ_REQUIRE(second.closing == first.closing && !second.damaged && second.dropped == 0);
    FUZZ_REQUIRE(first.closing || !first.damaged);
    ledger_state_release(&first);
    ledger_state_release(&second);
    buf_release(&frame);
    ledger_close(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    make_folder();
    const unsigned mode = data[0];
    size--;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(bytes);
    memcpy(bytes, data + 1, size);
    repair(bytes, size, mode);
    FUZZ_REQUIRE(file_rewrite(path, bytes, size, 0600, NULL) == 0);
    resume(read_records(bytes, size));
    free(bytes);
    return 0;
}

static void add(struct journal *j, uint32_t type, const void *bytes, size_t size)
{
    const struct span part = {bytes, size};
    FUZZ_REQUIRE(journal_append(j, type, &part, 1, NULL) == 0);
}

/* Of a run without encryption: the session; an open round; one with frames; a closing one. */
static void write_run(struct journal *j, unsigned kind)
{
    static const uint64_t samples[] = {0, 5};
    static const double steps[] = {0.5};
    struct ledger_session session = {.n_params = PARAMS, .n_tensors = 1, .samples = samples,
                                     .n_nodes = 2};
    const struct ledger_round round = {1, 5};
    struct buf b = {0};
    uint8_t frame[FRAME] = {0};
    memset(session.config_digest, 'a', DIGEST_HEX_SIZE - 1);
    FUZZ_REQUIRE(ledger_session_write(&b, &session) == 0);
    add(j, LEDGER_SESSION, b.data, b.size);
    buf_clear(&b);
    FUZZ_REQUIRE(ledger_round_write(&b, &round, steps, 1) == 0);
    if (kind > 0) {
        add(j, LEDGER_ROUND, b.data, b.size);
    }
    for (uint32_t i = 0; kind > 1 && i < 3; i++) {
        le_put32(frame, i);
        add(j, LEDGER_FRAME, frame, FRAME - i);
    }
    if (kind > 2) {
        le_put32(frame, 1);
        add(j, LEDGER_CLOSING, frame, 4);
    }
    buf_release(&b);
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    enum { KINDS = 4 };
    struct journal j;
    struct buf b = {0};
    if (which >= 2 * KINDS) {
        return 0;
    }
    make_folder();
    const uint8_t mode = which < KINDS ? 0 : REPAIR_HEADER | REPAIR_RECORDS;
    FUZZ_REQUIRE(journal_create(path, 0600, &j, NULL) == 0);
    write_run(&j, which % KINDS);
    FUZZ_REQUIRE(journal_publish(&j, NULL) == 0);
    journal_close(&j);
    FUZZ_REQUIRE(buf_append(&b, &mode, 1) == 0);
    FUZZ_REQUIRE(file_read(path, capacity - 1, &b, NULL) == 0);
    const size_t size = b.size;
    memcpy(out, b.data, size);
    buf_release(&b);
    return size;
}
