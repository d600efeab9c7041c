/* SPDX-License-Identifier: Apache-2.0 */
/* Read a safetensors file and write it again: safetensors_tool FROM TO. */
#include <stdio.h>
#include <stdlib.h>

#include "safetensors.h"

int main(int argc, char **argv)
{
    struct safetensors_file file = {0};
    struct cairn_problem why = {0};
    if (argc != 3) {
        (void)fprintf(stderr, "usage: %s FROM TO\n", argv[0]);
        return 2;
    }
    int err = safetensors_open(&file, argv[1], NULL, 0, &why);
    float *model = calloc(file.found.n_params + 1, sizeof *model);
    uint64_t *words = calloc(file.found.n_words + 1, sizeof *words);
    if (model == NULL || words == NULL) {
        err = CAIRN_ERR_NO_MEMORY;
    }
    if (err == 0) {
        err = safetensors_read_run(&file, 0, file.found.n_params, model, &why);
    }
    if (err == 0) {
        err = safetensors_read_words(&file, words, &why);
    }
    if (err == 0) {
        err = safetensors_write_all(argv[2], &file.found, model, words, file.metadata, &why);
    }
    if (err != 0) {
        (void)fprintf(stderr, "%s\n", why.what);
    }
    safetensors_close(&file);
    free(model);
    free(words);
    return err == 0 ? 0 : 1;
}
