/* SPDX-License-Identifier: ISC */
/*
 * name.h: names of VMs, images and kernels: one rule for all, checked by CLI
 * and daemon alike. A valid name is a DNS label and a safe file name at once.
 */
#ifndef BG_COMMON_NAME_H
#define BG_COMMON_NAME_H

#include "common/err.h"
#include "common/limits.h"

/* 1 to BG_NAME_MAX of a-z, 0-9 and '-', starting with a letter, not ending with '-'. */
bool bg_name_valid(const char *name);
/* As above, with the error NAME_INVALID; kind is "VM", "image" or "kernel". name may be NULL. */
int bg_name_check(const char *kind, const char *name, struct bg_err **err);
/*
 * A random "adjective-noun" that is valid. About 4000 of them: the caller looks
 * whether it is taken and asks again. Draws from getrandom; never fails.
 */
void bg_name_random(char out[BG_NAME_MAX + 1]);

#endif
