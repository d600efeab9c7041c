/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer: its seed inputs, the files of a folder, and
 * mutations of all of those. Mutation k depends on the seed and on k alone, so the
 * one that fails can be run again by itself. The runs are in a child process; the parent knows
 * from shared memory which input it was at when it died.
 */
#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "fuzz.h"
#include "replay.h"

enum {
    INPUT_SIZE = 1 << 16,
    INPUTS = 4096,
    /* a second or two per target under the sanitizers */
    DEFAULT_RUNS = 200000,
};

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[INPUTS];
static size_t input_count;
static uint8_t scratch[INPUT_SIZE];

struct options {
    const char *folder;    /* files to run too, or NULL */
    const char *write_to;  /* write the seed inputs there and end, or NULL */
    uint64_t seed;
    uint32_t runs;
    int64_t only; /* this mutation and nothing else, or -1 */
};

static void add_input(const uint8_t *data, size_t size)
{
    if (input_count == INPUTS) {
        return;
    }
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (!copy) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    inputs[input_count++] = (struct input){copy, size};
}

static void add_folder(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d) {
        (void)fprintf(stderr, "%s: cannot be opened\n", folder);
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(d));) {
        struct buf path = {0}, content = {0};
        const char *name = NULL;
        if (buf_printf(&path, "%s/%s", folder, entry->d_name) == 0 && (name = buf_text(&path)) &&
            entry->d_name[0] != '.' && file_read(name, INPUT_SIZE, &content, NULL) == 0) {
            add_input(content.data, content.size);
        }
        buf_release(&path);
        buf_release(&content);
    }
    (void)closedir(d);
}

static size_t below(struct replay_rng *r, size_t bound)
{
    return replay_below(r, (uint32_t)bound);
}

/* Numbers at which lengths and counts go wrong. */
static uint64_t edge(struct replay_rng *r)
{
    static const uint64_t edges[] = {0,          1,          0x7f,       0x80,
                                     0xff,       0x7fff,     0xffff,     0x7fffffff,
                                     0x80000000, 0xffffffff, UINT64_MAX, (uint64_t)1 << 63};
    uint64_t e = edges[below(r, sizeof edges / sizeof edges[0])];
    return e + below(r, 5) - 2;
}

static void set_bytes(struct replay_rng *r, uint8_t *data, size_t size)
{
    size_t width = (size_t)1 << below(r, 4);
    if (width > size) {
        return;
    }
    size_t at = below(r, size - width + 1);
    uint64_t value = below(r, 2) ? edge(r) : below(r, size + 1);
    for (size_t i = 0; i < width; i++) { /* little-endian, as everything is here */
        data[at + i] = (uint8_t)(value >> (8 * i));
    }
}

/* Copy a run of another input, or of this one, over a place in this one. */
static size_t splice(struct replay_rng *r, uint8_t *data, size_t size)
{
    const struct input *other = &inputs[below(r, input_count)];
    if (other->size == 0) {
        return size;
    }
    size_t from = below(r, other->size), n = below(r, other->size - from + 1);
    size_t at = below(r, size + 1);
    n = n < INPUT_SIZE - at ? n : INPUT_SIZE - at;
    memcpy(data + at, other->data + from, n);
    return at + n > size ? at + n : size;
}

static size_t mutate(struct replay_rng *r, uint8_t *data, size_t size)
{
    switch (below(r, 7)) {
    case 0: /* cut */
        return below(r, size + 1);
    case 1: { /* lengthen */
        size_t n = below(r, 64);
        n = n < INPUT_SIZE - size ? n : INPUT_SIZE - size;
        memset(data + size, (int)below(r, 2) * 0xff, n);
        return size + n;
    }
    case 2:
        return splice(r, data, size);
    case 3: /* the mode byte */
        if (size > 0) {
            data[0] = (uint8_t)below(r, 256);
        }
        return size;
    case 4:
        if (size > 0) {
            data[below(r, size)] ^= (uint8_t)(1u << below(r, 8));
        }
        return size;
    default:
        set_bytes(r, data, size);
        return size;
    }
}

static void run(const uint8_t *data, size_t size)
{
    /* memory of exactly this size, so that the sanitizer sees a byte too many */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (!exact) {
        abort();
    }
    memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_mutation(uint64_t seed, uint32_t k)
{
    struct replay_rng r;
    replay_init(&r, "fuzz", seed, 0, k);
    const struct input *from = &inputs[below(&r, input_count)];
    size_t size = from->size;
    if (size > 0) {
        memcpy(scratch, from->data, size);
    }
    for (size_t n = 1 + below(&r, 6); n > 0; n--) {
        size = mutate(&r, scratch, size);
    }
    run(scratch, size);
}

/* at: what runs now, as a mutation's number, or -1 - the number of a whole input */
static void run_all(const struct options *o, volatile int64_t *at)
{
    for (size_t i = 0; i < input_count && o->only < 0; i++) {
        *at = -1 - (int64_t)i;
        run(inputs[i].data, inputs[i].size);
    }
    uint32_t first = o->only < 0 ? 0 : (uint32_t)o->only;
    uint32_t end = o->only < 0 ? o->runs : first + 1;
    for (uint32_t k = first; k < end; k++) {
        *at = k;
        run_mutation(o->seed, k);
    }
}

static int write_seeds(const char *folder)
{
    struct cairn_problem why;
    int error = file_make_folders(folder, &why);
    for (size_t i = 0; i < input_count && !error; i++) {
        struct buf path = {0};
        if (buf_printf(&path, "%s/seed-%zu", folder, i) || !buf_text(&path)) {
            abort();
        }
        error = file_replace(buf_text(&path), inputs[i].data, inputs[i].size, 0644, &why);
        buf_release(&path);
    }
    if (error) {
        (void)fprintf(stderr, "%s\n", why.what);
    }
    return error ? 1 : 0;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.seed = 1, .runs = DEFAULT_RUNS, .only = -1};
    for (int c; (c = getopt(argc, argv, "n:s:k:w:")) != -1;) {
        switch (c) {
        case 'n':
            o.runs = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 0);
            break;
        case 'k':
            o.only = (int64_t)strtoul(optarg, NULL, 0);
            break;
        case 'w':
            o.write_to = optarg;
            break;
        default:
            (void)fprintf(stderr, "%s [-n runs] [-s seed] [-k only this] [-w folder] [folder]\n",
                          argv[0]);
            exit(2);
        }
    }
    o.folder = optind < argc ? argv[optind] : NULL;
    return o;
}

static int run_in_child(const struct options *o, const char *program)
{
    volatile int64_t *at =
        mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return 1;
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_all(o, at);
        exit(0);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr,
                      *at < 0 ? "failed at whole input %lld\n" : "failed at mutation %lld\n",
                      (long long)(*at < 0 ? -1 - *at : *at));
        if (*at >= 0) {
            (void)fprintf(stderr, "again: %s -s %llu -k %lld%s%s\n", program,
                          (unsigned long long)o->seed, (long long)*at, o->folder ? " " : "",
                          o->folder ? o->folder : "");
        }
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    for (unsigned i = 0;; i++) {
        size_t size = fuzz_seed_input(i, scratch, sizeof scratch);
        if (size == 0) {
            break;
        }
        add_input(scratch, size);
    }
    if (o.write_to) {
        return write_seeds(o.write_to);
    }
    if (o.folder) {
        add_folder(o.folder);
    }
    if (input_count == 0) {
        add_input(scratch, 0);
    }
    (void)printf("seed %llu: %zu inputs, %u mutations\n", (unsigned long long)o.seed, input_count,
           o.runs);
    int result = run_in_child(&o, argv[0]);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].data);
    }
    return result;
}
