/* SPDX-License-Identifier: Apache-2.0 */
#include "story_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char story_folder[32];

int story_folder_make(void **state)
{
    (void)state;
    (void)snprintf(story_folder, sizeof story_folder, "/tmp/cairn-story-XXXXXX");
    return mkdtemp(story_folder) == NULL ? -1 : 0;
}

int story_folder_remove(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", story_folder);
    return system(command);
}
