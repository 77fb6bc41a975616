/* SPDX-License-Identifier: ISC */
/* vm_image.h: a VM cannot be made because no image exists yet: offers to build the default one. */
#ifndef BG_CLI_VM_IMAGE_H
#define BG_CLI_VM_IMAGE_H

#include "cli/cli.h"

/*
 * why: the error of `vm create` without --image. Asks on a terminal, and builds. BG_EXIT_OK: it is there now, try again;
 * another exit status: the build failed, and said so; -errno: nothing was asked, or the answer was no.
 */
int vm_image_offer(struct cli *cli, const struct bg_err *why);

#endif
