/* SPDX-License-Identifier: ISC */
/*
 * image_disk.h: container images on disk as sources of `image pull`: oci:DIR[:TAG], an OCI layout,
 * and docker-archive:FILE[:NAME:TAG], what `docker save` writes. Called by image_pull.c only.
 */
#ifndef BG_DAEMON_ASSET_IMAGE_DISK_H
#define BG_DAEMON_ASSET_IMAGE_DISK_H

#include "daemon/asset/image.h"

/* Whether this is a source on disk, by its prefix. */
bool image_disk_is(const char *ref);
/* As image_pull. */
int image_disk_pull(struct engine *engine, const struct image_pull_request *request,
	struct op **ret, struct bg_err **err);

#endif
