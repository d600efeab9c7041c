/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_ERR_H
#define CAIRN_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Error codes of cairn: one list, from which names, sentences, HTTP status
 * codes and exit codes are all taken.
 *
 * A function returns 0 or one of these (all negative) and leaves its outputs
 * untouched, or zeroised where they could hold a secret, when it fails.
 * `struct cairn_problem` carries the sentence for people.
 */

/*  X(name, value, HTTP status, exit code, sentence)                         */
#define CAIRN_ERRORS(X)                                                                            \
    /* the peer's fault */                                                                         \
    X(MALFORMED, -1, 400, 5, "the bytes are not what this interface expects")                      \
    X(IDENTITY, -2, 403, 6, "the sender is not who this request needs")                            \
    X(UNKNOWN, -3, 404, 5, "no such route, experiment or node")                                    \
    X(WRONG_INDEX, -4, 409, 5, "the frame is not the next one expected")                           \
    X(CLOSED, -5, 410, 5, "that round is not open")                                                \
    X(NO_LENGTH, -6, 411, 5, "the request does not say how long its body is")                      \
    X(TOO_LONG, -7, 413, 5, "the body is longer than this route allows")                           \
    X(REFUSED, -8, 422, 9, "well-formed but refused")                                              \
    X(NOT_CONFIGURED, -9, 425, 5, "this node has no role yet")                                     \
    X(BUSY, -10, 503, 5, "busy, try again shortly")                                                \
    X(INTEGRITY, -11, 422, 9, "the digest does not match the bytes")                               \
    /* the operator's to mend */                                                                   \
    X(USAGE, -20, 400, 2, "the command line is wrong")                                             \
    X(CONFIG, -21, 422, 3, "the configuration is wrong")                                           \
    X(ENVIRONMENT, -22, 503, 4, "this machine lacks something that is needed")                     \
    X(NETWORK, -23, 503, 5, "another machine cannot be reached")                                   \
    X(QUORUM, -24, 503, 7, "too few contributors")                                                 \
    X(DATA, -25, 422, 8, "the data set cannot be used")                                            \
    X(TRAINER, -26, 422, 8, "training failed")                                                     \
    X(STORAGE, -27, 507, 10, "the disk refused")                                                   \
    /* the world */                                                                                \
    X(NO_MEMORY, -40, 503, 4, "out of memory")                                                     \
    X(NO_ENTROPY, -41, 503, 4, "the operating system gave no randomness")                          \
    X(TIMEOUT, -42, 503, 5, "the deadline passed")                                                 \
    /* ours */                                                                                     \
    X(BUG, -70, 500, 70, "a bug in cairn")

enum cairn_error {
    CAIRN_OK = 0,
#define CAIRN_X(name, value, http, exit_code, sentence) CAIRN_ERR_##name = (value),
    CAIRN_ERRORS(CAIRN_X)
#undef CAIRN_X
};

/** What libcairn.so shows; everything else in it is hidden. */
#define CAIRN_API __attribute__((visibility("default")))
#define CAIRN_MUST_CHECK __attribute__((warn_unused_result))
#define CAIRN_PRINTF(text, first) __attribute__((format(printf, text, first)))

/**
 * What went wrong, for people: what happened and where (`what`), and what to
 * do about it (`hint`, may be empty). Caller-owned, no allocation. Longer text
 * is cut at a character.
 */
struct cairn_problem {
    int code; /* enum cairn_error */
    char what[400];
    char hint[240];
};

/** Short name such as "WRONG_INDEX"; "OK" for 0; "BUG" for unknown codes. */
CAIRN_API const char *cairn_error_name(int code);
/** The sentence of the list above. */
CAIRN_API const char *cairn_error_sentence(int code);
/** HTTP status that answers with this code; 200 for 0. */
CAIRN_API int cairn_error_http(int code);
/** Process exit code; 0 for 0, 70 for unknown codes. */
CAIRN_API int cairn_error_exit(int code);

#ifdef __cplusplus
}
#endif

#endif
