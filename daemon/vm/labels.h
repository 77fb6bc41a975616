/* SPDX-License-Identifier: ISC */
/*
 * labels.h: the labels of a VM, "key=value" for its user to sort by; nothing in banger acts on them. In the
 * row they are the text of a JSON object of strings, NULL when there are none. No I/O.
 */
#ifndef BG_DAEMON_VM_LABELS_H
#define BG_DAEMON_VM_LABELS_H

#include <jansson.h>

#include "common/err.h"

/*
 * change: {key: string, or null to take it away}. *ret (the caller's, NULL when none is left) is old with
 * the change. BAD_REQUEST names the label that cannot be, or the one that is not there.
 */
int labels_apply(const char *old, const json_t *change, char **ret, struct bg_err **err);
/* An object, empty for NULL. */
json_t *labels_to_json(const char *text);

#endif
