/* SPDX-License-Identifier: ISC */
/*
 * apt_count.h: how far apt and dpkg are, by what they print while an image is built. Fed with the
 * log as it grows; a piece may end anywhere. Knows nothing of files.
 */
#ifndef BG_DAEMON_ASSET_APT_COUNT_H
#define BG_DAEMON_ASSET_APT_COUNT_H

#include "common/base.h"

enum { APT_COUNT_LINE = 512 }; /* of what is longer, the beginning counts */

struct apt_count {
	uint64_t bytes, bytes_total; /* of archives; apt's own, decimal units */
	uint64_t packages_total;
	uint64_t unpacked, set_up;
	bool installs; /* the archives are there */
	char line[APT_COUNT_LINE];
	size_t len;
};

void apt_count_feed(struct apt_count *count, const char *text, size_t len);
/* Packages that are installed, one that is unpacked as half a one. */
uint64_t apt_count_packages(const struct apt_count *count);

#endif
