/* SPDX-License-Identifier: ISC */
/*
 * image_env.h: the environment that a container image wants for its commands, a JSON list of
 * "NAME=value". The worker takes it from an image's config or a bundle's manifest, the daemon from
 * the worker; both may be hostile. Pure.
 */
#ifndef BG_COMMON_IMAGE_ENV_H
#define BG_COMMON_IMAGE_ENV_H

#include <jansson.h>

/*
 * *ret is a new list, NULL when there is nothing in it. Left out: what is not a NAME=value, and HOME,
 * USER, LOGNAME and SHELL, which are the user's. list may be NULL or null. -EINVAL when it is no
 * list of strings, -E2BIG over BG_IMAGE_ENV_MAX.
 */
int image_env_take(const json_t *list, json_t **ret);

#endif
