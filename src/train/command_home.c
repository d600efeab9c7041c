/* SPDX-License-Identifier: Apache-2.0 */
/* What stays with a trainer's program is copied from file to file, tensor by tensor. */
#include "command_home.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "input.h"
#include "secret.h"
#include "sizes.h"

enum { BLOCK = 1 << 16, PATH_SIZE = 640 };

/* A place in a file. */
struct at {
    int fd;
    uint64_t byte;
    const char *path; /* for messages */
};

static int check_block(const struct model_tensor *tensor, size_t first, const uint8_t *bytes,
                       size_t n, struct cairn_problem *why)
{
    const size_t bad = model_dtype_first_bad(tensor->dtype, bytes, n);
    return bad == n ? 0
                    : problem_set(why, CAIRN_ERR_TRAINER,
                                  "look at what the trainer leaves in tensors that model.exclude names",
                                  "tensor \"%s\", element %zu is %s", tensor->name, first + bad,
                                  tensor->dtype == MODEL_BOOL ? "neither 0 nor 1" : "not finite");
}

static int copy_tensor(const struct model_tensor *tensor, struct at from, struct at to,
                       struct cairn_problem *why)
{
    const struct input in = {.path = from.path, .fd = from.fd, .size = UINT64_MAX};
    const size_t size = model_dtype_size(tensor->dtype);
    uint8_t block[BLOCK];
    int err = 0;
    for (size_t done = 0, n; err == 0 && done < tensor->count; done += n) {
        const uint64_t offset = size * (uint64_t)done;
        n = tensor->count - done < BLOCK / size ? tensor->count - done : BLOCK / size;
        err = input_read(&in, from.byte + offset, block, n * size, why);
        if (err == 0) {
            err = check_block(tensor, done, block, n, why);
        }
        if (err == 0) {
            err = file_write_at(to.fd, to.path, to.byte + offset, block, n * size, why);
        }
    }
    secret_wipe(block, sizeof block);
    return err;
}

/* ---- keeping ---- */

/* As the program has left them; what is shared comes as float32. */
static int find_types(struct command_home *home, const struct model_share *share,
                      const struct safetensors_file *trained, struct cairn_problem *why)
{
    const struct model_shape *whole = trained->shape;
    home->types = size_alloc_array(whole->n_tensors + whole->n_carried + 1, sizeof *home->types);
    if (home->types == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of tensors");
    }
    for (size_t t = 0; t < whole->n_tensors; t++) {
        const struct model_tensor *tensor = &whole->tensors[t];
        home->types[tensor->place] = model_share_has(share, tensor)
                                         ? MODEL_F32
                                         : trained->found.tensors[trained->at[t]].dtype;
    }
    for (size_t t = 0; t < whole->n_carried; t++) {
        home->types[whole->carried[t].place] = whole->carried[t].dtype;
    }
    return 0;
}

static int open_nameless(const char *folder, int *fd, struct cairn_problem *why)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/home-XXXXXX", folder);
    *fd = mkostemp(path, O_CLOEXEC);
    return *fd >= 0 && unlink(path) == 0 ? 0 : file_failed(why, path, "make it");
}

static int keep_list(const struct model_tensor *list, size_t n, const struct model_share *share,
                     const struct safetensors_file *trained, struct at home,
                     struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; err == 0 && t < n; t++) {
        if (model_share_has(share, &list[t])) {
            continue;
        }
        const uint64_t byte = model_shape_named(&trained->found, list[t].name)->byte;
        const struct at from = {trained->in.fd, trained->data_at + byte, trained->in.path};
        err = copy_tensor(&list[t], from, (struct at){home.fd, list[t].byte, home.path}, why);
    }
    return err;
}

int command_home_keep(struct command_home *home, const char *folder,
                      const struct model_share *share, const struct safetensors_file *trained,
                      struct cairn_problem *why)
{
    struct command_home next = {.fd = -1};
    struct model_shape typed = {0};
    int err = find_types(&next, share, trained, why);
    if (err == 0) {
        err = model_shape_typed(trained->shape, next.types, &typed, why);
    }
    if (err == 0) {
        err = open_nameless(folder, &next.fd, why);
    }
    const struct at to = {.fd = next.fd, .path = folder};
    if (err == 0) {
        err = keep_list(typed.tensors, typed.n_tensors, share, trained, to, why);
    }
    if (err == 0) {
        err = keep_list(typed.carried, typed.n_carried, share, trained, to, why);
    }
    model_shape_release(&typed);
    if (err == 0) {
        const struct command_home before = *home;
        *home = next;
        next = before;
    }
    command_home_release(&next);
    return err;
}

/* ---- giving ---- */

static int give_list(const struct model_tensor *list, size_t n, const struct model_share *share,
                     struct at home, struct at model, struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; err == 0 && t < n; t++) {
        if (!model_share_has(share, &list[t])) {
            err = copy_tensor(&list[t], (struct at){home.fd, list[t].byte, home.path},
                              (struct at){model.fd, model.byte + list[t].byte, model.path}, why);
        }
    }
    return err;
}

int command_home_give(const struct command_home *home, const struct model_share *share,
                      const struct model_shape *shape, int to, uint64_t at, const char *path,
                      struct cairn_problem *why)
{
    const struct at from = {.fd = home->fd, .path = "what stays at home"};
    const struct at model = {to, at, path};
    const int err = give_list(shape->tensors, shape->n_tensors, share, from, model, why);
    return err != 0 ? err : give_list(shape->carried, shape->n_carried, share, from, model, why);
}

void command_home_release(struct command_home *home)
{
    if (home->types != NULL && home->fd >= 0) {
        (void)close(home->fd);
    }
    free(home->types);
    *home = (struct command_home){0};
}
