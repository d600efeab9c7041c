/* SPDX-License-Identifier: Apache-2.0 */
/* recompute CONFIG ROUNDS.JSONL [--data DIR]: prints the digest of the model that this run must have come to. */
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "recompute.h"
#include "synthetic.h"

struct from {
    const struct fed_settings *settings;
    const char *data_dir; /* NULL: the config's */
};

static int make_synthetic(const struct fed_settings *s, uint32_t client_number, uint32_t index,
                          struct trainer **out, struct cairn_problem *why)
{
    const struct train_synthetic_options options = {/* step_s = 0: nobody waits for it here */
                                                    .n_params = (size_t)s->params,
                                                    .client_number = client_number,
                                                    .client_index = index};
    return train_synthetic_new(&options, out, why);
}

static int make_builtin(const struct from *from, uint32_t client_number, uint32_t index,
                        struct trainer **out, struct cairn_problem *why)
{
    const struct fed_settings *s = from->settings;
    const struct train_builtin_options options = fed_train_options(
        s, from->data_dir != NULL ? from->data_dir : s->data_dir, client_number, index);
    return train_builtin_new(&options, out, why);
}

static int make_trainer(void *ctx, uint32_t client_number, uint32_t index, struct trainer **out)
{
    const struct from *from = ctx;
    struct cairn_problem why = {0};
    const int err = strcmp(from->settings->train_type, "synthetic") == 0
                        ? make_synthetic(from->settings, client_number, index, out, &why)
                        : make_builtin(from, client_number, index, out, &why);
    if (err != 0) {
        fprintf(stderr, "recompute: %s\n", why.what);
    }
    return err;
}

static int read_config(const char *path, struct fed_config *config)
{
    enum { LIMIT = 1 << 26 };
    struct cairn_problem why = {0};
    struct fed_faults faults = {0};
    struct buf text = {0};
    int err = file_read(path, LIMIT, &text, &why);
    if (err != 0) {
        fprintf(stderr, "recompute: %s\n", why.what);
    } else {
        err = fed_config_read(path, buf_span(&text), config, &faults);
    }
    for (size_t i = 0; err != 0 && i < faults.n; i++) {
        fprintf(stderr, "recompute: %s: %s\n", path, faults.list[i].text);
    }
    fed_faults_release(&faults);
    buf_release(&text);
    return err;
}

int main(int argc, char **argv)
{
    const bool data = argc == 5 && strcmp(argv[3], "--data") == 0;
    if (argc != 3 && !data) {
        fprintf(stderr, "recompute CONFIG ROUNDS.JSONL [--data DIR]\n");
        return 2;
    }
    struct fed_config config = {0};
    if (read_config(argv[1], &config) != 0) {
        return 1;
    }
    struct from from = {&config.settings, data ? argv[4] : NULL};
    const struct recompute_source source = {&config, make_trainer, &from};
    char hex[DIGEST_HEX_SIZE];
    const int rounds = recompute_run(&source, argv[2], hex);
    if (rounds >= 0) {
        printf("%s\n", hex);
    }
    fed_config_release(&config);
    return rounds >= 0 ? 0 : 1;
}
