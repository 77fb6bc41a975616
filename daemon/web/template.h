/* SPDX-License-Identifier: ISC */
/*
 * template.h: pages out of text and a JSON view. Every value is escaped, there is no way around it:
 *   {{name}}            a string or number, looked up from the innermost section outwards; "." is a list's own item
 *   {{#name}}...{{/name}}   once when it is true, not empty, an object (which is then innermost); for each item of a list
 *   {{^name}}...{{/name}}   when it is not
 *   {{>part}}           another template
 */
#ifndef BG_DAEMON_WEB_TEMPLATE_H
#define BG_DAEMON_WEB_TEMPLATE_H

#include <jansson.h>
#include <stdio.h>

#include "common/base.h"

/* The text of a part, or NULL. */
typedef const char *(*template_part_fn)(const char *name);

/* -EINVAL: the template is malformed, which is our mistake: what came before it is written. */
int template_render(const char *text, const json_t *view, template_part_fn part, FILE *out);
/* Control and direction-changing characters in a form that can be seen: "^[", "\\u202e". */
void template_clean(const char *text, FILE *out);
/* For text and attributes: the five characters, and control and direction-changing characters in a form that can be seen. */
void template_escape(const char *text, FILE *out);

#endif
