/* SPDX-License-Identifier: ISC */
/*
 * image_from.h: image build --from-image. A VM is made of the base image, packages and scripts run
 * in it through the agent, and its disks become the new image. The VM is gone afterwards, whatever
 * happened; what the steps printed stays in a log.
 */
#ifndef BG_CLI_IMAGE_FROM_H
#define BG_CLI_IMAGE_FROM_H

#include <jansson.h>

#include "cli/jobs.h"
#include "common/err.h"

struct image_from {
	const char *name;
	const char *base;
	const char *kernel;	/* NULL: that of the base */
	const char *script;	/* path of a local file, or NULL */
	const json_t *packages; /* array of strings, or NULL */
	bool docker;
	uint64_t size_mib; /* of the root file system; 0: as a VM's */
};

/* The exit status, or -errno. report prints the image that was made. */
int image_build_from(struct cli *cli, const struct image_from *from, struct bg_err **err);

/* cmd_image.c: tells of an image that was made. */
void image_report_made(struct cli *cli, const struct job *job);

#endif
