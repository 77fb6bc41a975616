/* SPDX-License-Identifier: ISC */
/* cmd_image_build.h: `image build`, a row of cmd_image.c. */
#ifndef BG_CLI_CMD_IMAGE_BUILD_H
#define BG_CLI_CMD_IMAGE_BUILD_H

#include "cli/args.h"

extern const struct flag image_build_flags[];
int image_build(struct cli *cli, const struct args *args, struct bg_err **err);
/* The value of --name, which must be there and be a name. */
int image_need_name(const struct args *args, const char **ret, struct bg_err **err);

#endif
