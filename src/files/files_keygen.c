/* SPDX-License-Identifier: Apache-2.0 */
/* Step 0: a key pair, and with it everything that clients have to agree on. */
#include <stdio.h>
#include <unistd.h>

#include "cipher_keys.h"
#include "files_common.h"
#include "problem.h"
#include "random.h"
#include "secret_file.h"

static const char function[] = "cairn_files_keygen";

void cairn_keygen_options_init(struct cairn_keygen_options *options)
{
    if (options != NULL) {
        *options = (struct cairn_keygen_options){.size = sizeof *options,
                                                 .profile = "capsule",
                                                 .value_bits = 16,
                                                 .range = 1.0,
                                                 .largest_samples = 1};
    }
}

static int check_options(const struct cairn_keygen_options *o, const char *public_path,
                         struct cairn_problem *why)
{
    if (o == NULL || o->size != sizeof *o) {
        return files_missing(function, "cairn_keygen_options_init", why);
    }
    if (public_path == NULL) {
        return files_missing(function, "the path of the public file", why);
    }
    if (o->contributors == 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "say how many clients there may be, once for all",
                           "the number of contributors is missing");
    }
    if (!session_range_is_good(o->range)) {
        return problem_set(why, CAIRN_ERR_USAGE, "take the largest magnitude of any value",
                           "a range of %g; 1e-20 to 1e20 are possible", o->range);
    }
    if (o->largest_samples < 1 || o->largest_samples > SESSION_MOST_SAMPLES) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL,
                           "the largest number of samples is %llu; 1 to 2^40 are possible",
                           (unsigned long long)o->largest_samples);
    }
    return 0;
}

static int make_keys(struct session *session, struct he_secret_key **secret,
                     struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    int error = secret_rng_new(&rng);
    if (!error) {
        error = secret_rng_fill(rng, session->nonce, sizeof session->nonce);
    }
    if (!error && session->params.profile != HE_NONE) {
        error = he_keygen(&session->params, rng, secret, &session->key);
        if (!error) {
            error = he_public_key_id(session->key, session->key_id);
        }
    }
    secret_rng_free(rng);
    if (error) {
        problem_set(why, error, NULL, "cannot make a key pair: %s", cairn_error_sentence(error));
    }
    return error;
}

/* The secret key first: a public file without it would be an invitation to encrypt for nobody. */
static int write_files(const struct session *session, const struct he_secret_key *secret,
                       const char *public_path, const char *secret_path, bool force,
                       uint64_t *bytes, struct cairn_problem *why)
{
    struct buf content = {0};
    int error = secret_file_absent(public_path, force, why);
    if (!error && session_write(session, &content) != 0) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a public file");
    }
    if (!error && secret != NULL) {
        error = secret_file_write(secret_path, secret, session->key_id, force, why);
    }
    if (!error) {
        error = file_replace(public_path, content.data, content.size, 0644, why);
        if (error && secret != NULL && !force) {
            (void)unlink(secret_path); /* ours, and of no use alone */
        }
    }
    *bytes = content.size;
    buf_release(&content);
    return error;
}

/* A pair of cairn's own. */
static int make_own(struct session *session, const struct cairn_keygen_options *options,
                    const char *public_path, const char *secret_path, uint64_t *bytes,
                    struct cairn_problem *why)
{
    struct he_secret_key *secret = NULL;
    int error = make_keys(session, &secret, why);
    if (!error) {
        error = write_files(session, secret, public_path, secret_path, options->force, bytes, why);
    }
    he_secret_key_free(secret);
    return error;
}

/* A pair of another program's. */
static int make_foreign(struct session *session, enum files_format format,
                        enum seal_version version, const struct cairn_keygen_options *options,
                        const char *public_path, const char *secret_path, uint64_t *bytes,
                        struct cairn_problem *why)
{
    int error = random_from_system(session->nonce, sizeof session->nonce);
    if (error) {
        return problem_set(why, error, NULL, "cannot make a key pair: %s",
                           cairn_error_sentence(error));
    }
    return cipher_keys_make(session, format, version, public_path, secret_path, options->force,
                            bytes, why);
}

int cairn_files_keygen(const struct cairn_keygen_options *options, const char *public_path,
                       const char *secret_path, struct cairn_files_report *report,
                       struct cairn_problem *why)
{
    struct session session = {.frame_params = SESSION_FRAME_PARAMS};
    enum he_profile profile;
    enum files_format format;
    enum seal_version version;
    uint64_t bytes = 0;
    int error = check_options(options, public_path, why);
    if (!error) {
        error = files_profile(options->profile, HE_CAPSULE, &profile, why);
    }
    if (!error) {
        error = files_format_read(options->format, &format, why);
    }
    if (!error) {
        error = files_format_takes(format, profile, why);
    }
    if (!error) {
        error = files_seal_version(format, options->seal_version, &version, why);
    }
    if (error) {
        return error;
    }
    if (profile != HE_NONE && secret_path == NULL) {
        return files_missing(function, "the path of the secret key", why);
    }
    session.range = options->range;
    session.largest_samples = options->largest_samples;
    error = he_params_choose(profile, options->value_bits, options->contributors, &session.params,
                             why);
    if (!error && format == FILES_CAIRN) {
        error = make_own(&session, options, public_path, secret_path, &bytes, why);
    } else if (!error) {
        error = make_foreign(&session, format, version, options, public_path, secret_path, &bytes,
                             why);
    }
    if (!error && report != NULL) {
        *report = (struct cairn_files_report){.encrypted = profile != HE_NONE, .bytes = bytes};
        (void)snprintf(report->parameters, sizeof report->parameters, "%s", session.params.id);
    }
    session_release(&session);
    return error;
}
