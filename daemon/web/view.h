/* SPDX-License-Identifier: ISC */
/*
 * view.h: records of the API as the pages show them: every value a text, a number or a flag that a template (and the page's script, which
 * gets the same by /live) puts in its place as it is. Pure. What is missing in a record is an empty text.
 */
#ifndef BG_DAEMON_WEB_VIEW_H
#define BG_DAEMON_WEB_VIEW_H

#include <jansson.h>

#include "common/base.h"

enum { VIEW_DURATION = 24 };

/* now: seconds since the epoch. Each gives a new reference, NULL when out of memory. */
json_t *view_vm(const json_t *vm, int64_t now);
json_t *view_op(const json_t *op);
json_t *view_image(const json_t *image);
json_t *view_kernel(const json_t *kernel);
json_t *view_file(const json_t *entry);
json_t *view_host(const json_t *daemon, int64_t now);
json_t *view_usage(const json_t *usage);
/* The same of each in a list; make is one of the above. */
json_t *view_list(const json_t *list, json_t *(*make)(const json_t *record));
/* "4.1 s", "18 min", "6d 4h". Returns out. */
char *view_duration(int64_t seconds, char out[VIEW_DURATION]);

#endif
