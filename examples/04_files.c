/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same on files, for models that are larger than memory and transports that are one's own:
 * what `cairn keygen`, `encrypt`, `add` and `decrypt` do.
 *
 *     cc 04_files.c $(pkg-config --cflags --libs cairn)
 *     ./a.out FOLDER
 */
#include <cairn/files.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3, N = 5000, PATH_SIZE = 400 };

static void check(int error, const struct cairn_problem *why)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n  %s\n", cairn_error_name(error), why->what, why->hint);
        exit(cairn_error_exit(error));
    }
}

/* A model of N times one value, as numpy.save writes it. */
static void write_npy(const char *path, float value)
{
    char header[128];
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        exit(10);
    }
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    int n = snprintf(header + 10, 100, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }",
                     N);
    header[10 + n] = ' ';
    header[127] = '\n';
    fwrite(header, 1, sizeof header, file);
    for (int i = 0; i < N; i++) {
        fwrite(&value, sizeof value, 1, file);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    char paths[CLIENTS][PATH_SIZE];
    char model[PATH_SIZE];
    char public_path[PATH_SIZE];
    char secret_path[PATH_SIZE];
    char sum[PATH_SIZE];
    char mean[PATH_SIZE];
    struct cairn_files_report report;
    struct cairn_problem why;
    const char *folder = argc > 1 ? argv[1] : ".";
    snprintf(model, sizeof model, "%s/model.npy", folder);
    snprintf(public_path, sizeof public_path, "%s/example.public", folder);
    snprintf(secret_path, sizeof secret_path, "%s/example.secret", folder);
    snprintf(sum, sizeof sum, "%s/sum.cairn", folder);
    snprintf(mean, sizeof mean, "%s/mean.npy", folder);

    struct cairn_keygen_options keygen;
    cairn_keygen_options_init(&keygen);
    keygen.contributors = CLIENTS;
    keygen.force = true; /* the example may be run twice */
    check(cairn_files_keygen(&keygen, public_path, secret_path, &report, &why), &why);

    const char *updates[CLIENTS];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct cairn_encrypt_options encrypt;
        cairn_encrypt_options_init(&encrypt);
        snprintf(paths[i], sizeof paths[i], "%s/update-%u.cairn", folder, (unsigned)i);
        write_npy(model, 0.25f * (float)i);
        encrypt.public_path = public_path;
        encrypt.in = model;
        encrypt.out = paths[i];
        encrypt.index = i;
        check(cairn_files_encrypt(&encrypt, &report, &why), &why);
        updates[i] = paths[i];
    }
    check(cairn_files_add(updates, CLIENTS, sum, &report, &why), &why);

    struct cairn_decrypt_options decrypt;
    cairn_decrypt_options_init(&decrypt);
    decrypt.secret_path = secret_path;
    decrypt.in = sum;
    decrypt.out = mean;
    check(cairn_files_decrypt(&decrypt, &report, &why), &why);
    printf("%s: the mean of %u models of %llu values, %s\n", mean, (unsigned)report.contributors,
           (unsigned long long)report.params, report.parameters);

    float value = 0;
    FILE *file = fopen(mean, "rb");
    if (file == NULL || fseek(file, 128, SEEK_SET) != 0 ||
        fread(&value, sizeof value, 1, file) != 1) {
        return 8;
    }
    fclose(file);
    return value > 0.2499f && value < 0.2501f ? 0 : 1;
}
