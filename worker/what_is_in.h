/* SPDX-License-Identifier: ISC */
/* what_is_in.h: which files of an image tell what it is. For the jobs that make one and that read
 * one. */
#ifndef BG_WORKER_WHAT_IS_IN_H
#define BG_WORKER_WHAT_IS_IN_H

#include <jansson.h>

#define OS_RELEASE_MAX (16 * 1024) /* bytes; a larger file is not read */

/* Each ends with NULL; the first that is a regular file counts. */
extern const char *const os_release_paths[];
extern const char *const sshd_paths[];
extern const char *const init_paths[];

/* The object that the unpack job gives as "os_release"; text is changed, NULL for none. */
json_t *os_release_parse(char *text);

#endif
