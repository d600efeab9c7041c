/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FILES_CLI_H
#define CLI_FILES_CLI_H

#include <cairn/files.h>

#include "cli.h"

/** What the commands on files print, the same way for all. */

/** What every report has. New reference, or NULL. */
json_t *files_cli_report(const struct cairn_files_report *report, const char *out);
/** The document under --json, else one line a member that says something, with `title` above. Takes
 * the reference. @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int files_cli_print(struct cli *cli, const char *title, json_t *document,
                                     struct cairn_problem *why);
/** @retval CAIRN_ERR_USAGE  "--key is missing" */
CAIRN_MUST_CHECK int files_cli_need(const char *option, const char *value, const char *hint,
                                    struct cairn_problem *why);
/** For people, on stderr, where nothing is encrypted. */
void files_cli_warn_plain(const struct cairn_files_report *report, const char *path);

#endif
