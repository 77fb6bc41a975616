/* SPDX-License-Identifier: ISC */
/* cmd_search.h: what the catalogs of config.toml offer. The rows of the commands are with those of their noun. */
#ifndef BG_CLI_CMD_SEARCH_H
#define BG_CLI_CMD_SEARCH_H

#include "cli/client.h"

int search_images(struct cli *cli, const struct args *args, struct bg_err **err);
int search_kernels(struct cli *cli, const struct args *args, struct bg_err **err);
/* Does a catalog have an image of this name? One that cannot be read has none, and is told on stderr. */
bool search_has_image(struct cli *cli, const char *name);

#endif
