/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORY_STORY_FOLDER_H
#define STORY_STORY_FOLDER_H

/** The folder of a story, or of a group of them: cmocka's setup makes a new one, its teardown removes it with all that is
 * in it. */
extern char story_folder[32];

int story_folder_make(void **state);
int story_folder_remove(void **state);

#endif
