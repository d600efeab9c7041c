/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn push: send nodes their config without running anything, to see that all of them can be
 * reached, have their data or a program to train with, and agree. A run makes a session and a key of its own and
 * pushes again.
 */
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "answer.h"
#include "cli.h"
#include "estimate.h"
#include "json.h"
#include "model_file.h"
#include "random.h"
#include "serve.h"

struct push {
    const struct fed_config *config;
    struct fed_session session;
    struct buf public_key;
    struct safetensors_file first; /* of train.type command: the model to begin with */
    bool *wanted;                  /* by node number */
    struct http_exchange *list;    /* one for each wanted node */
    struct buf *bodies;            /* theirs */
    const struct fed_node **nodes; /* theirs */
    size_t n;
};

/* The nodes take a config only with a usable public key. The secret one goes at once: nobody is to
 * open anything. */
static int make_key(struct push *p, struct cairn_problem *why)
{
    const struct fed_settings *s = &p->config->settings;
    struct he_params he;
    struct secret_rng *rng = NULL;
    struct he_secret_key *secret = NULL;
    struct he_public_key *key = NULL;
    int error = he_params_choose(s->profile, s->value_bits, p->config->tree.n_clients, &he, why);
    if (!error && s->profile != HE_NONE) {
        error = secret_rng_new(&rng);
        if (!error) {
            error = he_keygen(&he, rng, &secret, &key);
        }
        he_secret_key_free(secret);
        if (!error) {
            error = he_public_key_write(key, &p->public_key);
        }
        if (error) {
            (void)problem_set(why, error, NULL, "no key: %s", cairn_error_sentence(error));
        }
    }
    he_public_key_free(key);
    secret_rng_free(rng);
    p->session.public_key = buf_span(&p->public_key);
    return error;
}

/* Nodes are told what a program's model looks like, as by a run, if a file says it. */
static int tell_model(struct push *p, struct cairn_problem *why)
{
    const struct fed_settings *s = &p->config->settings;
    struct model_share share;
    if (s->model_file[0] == '\0') {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "name a file with the first model in model.file, or start the run with "
                           "`cairn agg`, which has the program make it",
                           "train.type command: only the program knows what its model looks like, and "
                           "push runs nothing");
    }
    int error = model_file_open(&p->first, s->model_file, NULL, why);
    if (!error) {
        error = fed_check_metadata(p->first.metadata, why);
    }
    if (!error) {
        error = estimate_share(s, &p->first.found, &share, why);
    }
    if (!error) {
        p->session.shape = &p->first.found;
        p->session.metadata = p->first.metadata;
        p->session.n_words = (uint32_t)share.n_words;
        model_share_release(&share);
    }
    return error;
}

static int make_session(struct push *p, struct cairn_problem *why)
{
    struct model_shape shape = {0};
    struct estimate facts = {0};
    const char *source = NULL;
    const bool command = strcmp(p->config->settings.train_type, "command") == 0;
    int error = command ? tell_model(p, why) : 0;
    if (!error) {
        error = estimate_shape(&p->config->settings, p->config->settings.data_dir, &shape, &source,
                               &facts, why);
    }
    if (error) {
        return error;
    }
    fprintf(stderr, "the model has %zu parameters (%s)\n", shape.n_params, source);
    p->session.n_params = shape.n_params;
    p->session.n_tensors = (uint32_t)shape.n_tensors;
    p->session.n_plain = facts.n_plain;
    model_shape_release(&shape);
    if (random_from_system(p->session.id, sizeof p->session.id) != 0 ||
        random_from_system(p->session.nonce, sizeof p->session.nonce) != 0) {
        return problem_set(why, CAIRN_ERR_NO_ENTROPY, NULL, "the system gave no randomness");
    }
    return make_key(p, why);
}

/* Which nodes: those that are named, or all. */
static int choose_nodes(struct push *p, int n, char **names, struct cairn_problem *why)
{
    const struct fed_tree *tree = &p->config->tree;
    for (uint32_t i = 1; i < tree->n_nodes; i++) {
        p->wanted[i] = n == 0;
    }
    for (int k = 0; k < n; k++) {
        struct fed_address address;
        const char *fault = "is not a node of this config";
        bool found = false;
        if (fed_address_parse(names[k], &address, &fault) == 0) {
            for (uint32_t i = 1; i < tree->n_nodes; i++) {
                if (strcmp(tree->nodes[i].address, address.text) == 0) {
                    p->wanted[i] = found = true;
                }
            }
        }
        if (!found) {
            return problem_set(why, CAIRN_ERR_USAGE, "`cairn check` shows the nodes", "%s %s",
                               names[k], fault);
        }
    }
    return 0;
}

static int make_exchanges(struct push *p, struct cairn_problem *why)
{
    const struct fed_tree *tree = &p->config->tree;
    for (uint32_t i = 1; i < tree->n_nodes; i++) {
        if (!p->wanted[i]) {
            continue;
        }
        json_t *document = fed_assignment_write(p->config, i, &p->session);
        int error = document ? json_append(&p->bodies[p->n], document, 0) : CAIRN_ERR_NO_MEMORY;
        json_decref(document);
        if (error) {
            return cli_no_memory(why);
        }
        p->nodes[p->n] = &tree->nodes[i];
        p->list[p->n] = (struct http_exchange){.address = tree->nodes[i].address,
                                               .method = "POST",
                                               .path = "/config",
                                               .content_type = "application/json",
                                               .body = buf_span(&p->bodies[p->n])};
        p->n++;
    }
    return 0;
}

/* One line and one entry a node. @return the first failure, or 0 */
static int report(struct cli *cli, struct push *p, struct cairn_problem *why)
{
    json_t *nodes = json_array();
    int error = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct cairn_problem problem = {0};
        const struct http_exchange *x = &p->list[i];
        bool good = x->error == 0 && x->status == 200;
        const char *role = fed_type_name(p->nodes[i]->type);
        if (!good) {
            int code = answer_to_problem(x, &problem);
            if (!error) {
                *why = problem;
                error = code;
            }
        }
        if (!cli->json) {
            printf("%-24s %-8s ", x->address, role);
            cli_print_clean(stdout, good ? "has its config" : problem.what);
            printf("\n");
        }
        (void)json_array_append_new(nodes, json_pack("{s:s, s:s, s:b, s:s}", "address", x->address,
                                                     "role", role, "configured", (int)good, "error",
                                                     problem.what));
    }
    if (cli->json) {
        struct cairn_problem ignored;
        int failed =
            cli_print_json(cli, json_pack("{s:o}", "nodes", nodes), error ? &ignored : why);
        return error ? error : failed;
    }
    json_decref(nodes);
    return error;
}

static int push(struct cli *cli, struct push *p, int argc, char **argv, struct cairn_problem *why)
{
    size_t n = p->config->tree.n_nodes;
    p->wanted = calloc(n, sizeof *p->wanted);
    p->list = calloc(n, sizeof *p->list);
    p->bodies = calloc(n, sizeof *p->bodies);
    p->nodes = calloc(n, sizeof *p->nodes);
    if (!p->wanted || !p->list || !p->bodies || !p->nodes) {
        return cli_no_memory(why);
    }
    int error = choose_nodes(p, argc, argv, why);
    if (!error) {
        error = make_session(p, why);
    }
    if (!error) {
        error = make_exchanges(p, why);
    }
    if (!error) {
        error = serve_exchange_once(p->list, p->n, why);
    }
    if (!error) {
        error = report(cli, p, why);
    }
    if (!error) {
        fprintf(stderr, "push only tells nodes their role; a run makes its own key and session\n");
    }
    return error;
}

static void release(struct push *p)
{
    for (size_t i = 0; i < p->n; i++) {
        http_exchange_release(&p->list[i]);
    }
    for (size_t i = 0; p->bodies && i < p->config->tree.n_nodes; i++) {
        buf_release(&p->bodies[i]);
    }
    free(p->wanted);
    free(p->list);
    free(p->bodies);
    free(p->nodes);
    buf_release(&p->public_key);
    safetensors_close(&p->first);
}

int cmd_push(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct fed_config config = {0};
    int error = cli_parse(cli, &argc, &argv, NULL, 0, 1, INT32_MAX, why);
    if (!error) {
        error = cli_read_config(cli, argv[0], NULL, &config, why);
    }
    if (error) {
        return error;
    }
    struct push p = {.config = &config};
    error = push(cli, &p, argc - 1, argv + 1, why);
    release(&p);
    fed_config_release(&config);
    return error;
}
