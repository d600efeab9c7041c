/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_COMMAND_TRAINER_H
#define TRAIN_COMMAND_TRAINER_H

#include "trainer.h"

/**
 * A trainer that is a program of the user's: started with an argument vector, never by a shell, in
 * a session, a private folder and a clean environment of its own, with limits and a deadline. It
 * finds and leaves files (command_files.h). docs/trainers.md is the contract as the program sees
 * it.
 *
 * A client's program is given the task "train". An evaluator's is given "initial" when no file
 * holds the initial model, and "evaluate".
 */
struct train_command_options {
    const char *command;     /* JSON, a list of texts: the program and its arguments */
    const char *environment; /* JSON, an object of texts, on top of the clean one; "" = nothing */
    const char *settings;    /* JSON, an object that is passed through; "" = {} */
    const char *data_dir;    /* told to the program */
    const char *guard;       /* program that calls command_guard_main; NULL = this one */
    const struct model_shape *shape; /* of a client's model; copied */
    const char *model_file; /* evaluator: file with the initial model; "" = the program makes it */
    const json_t *metadata; /* of a client's model; NULL: none */
    bool keep;              /* start the program once and speak to it, instead of once a round */
    bool evaluate;          /* evaluator: the program can do that */
    double timeout_s;       /* longest task */
    uint64_t memory_bytes;  /* 0 = no limit */
    uint64_t samples;       /* most that a client's program may say it has trained on */
    uint64_t seed;
    double proximal_mu;     /* FedProx, told to the program; 0 = none */
    uint32_t client_number; /* 0 = evaluator */
    uint32_t client_index;
};

/**
 * @retval CAIRN_ERR_CONFIG   no command, or one that is no list of texts
 * @retval CAIRN_ERR_TRAINER  the program made no initial model
 * @retval CAIRN_ERR_DATA     model_file cannot be used
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int train_command_new(const struct train_command_options *options,
                                       struct trainer **out, struct cairn_problem *why);

#endif
