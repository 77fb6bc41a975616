/* SPDX-License-Identifier: ISC */
/*
 * vm_record.h: what the CLI, the terminal UI and the web page read alike out of a VM's record (docs/json.md) and out
 * of what its agent says of the guest. Pure, never logs.
 */
#ifndef BG_COMMON_VM_RECORD_H
#define BG_COMMON_VM_RECORD_H

#include <jansson.h>

/*
 * The record's error, borrowed, where it makes the VM one that failed; NULL where there is no error, or one that only
 * tells why a clean shutdown came.
 */
const json_t *bg_vm_failure(const json_t *vm);

/* The agent's lines "name value" as an object of numbers, the caller's; other lines are passed over. text is cut up. */
json_t *bg_guest_stats(char *text);

#endif
