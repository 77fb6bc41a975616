/* SPDX-License-Identifier: ISC */
/*
 * storage_cow.c: a root disk as a file that keeps only what differs from the image, which the VMM has too, read-only,
 * and which the guest joins with it (common/disk_layout.h). Nothing of the image is copied, on any file system and without
 * a helper: the file begins as a copy of the image's seed, a few hundred KiB.
 */
#include <sys/stat.h>

#include "common/disk_layout.h"
#include "daemon/driver/storage_impl.h"

bool storage_cow_fits(const char *source)
{
	struct stat st;

	return stat(source, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= BG_COW_CHUNK &&
	       (uint64_t)st.st_size <= BG_DISK_BASE_MAX;
}

const struct storage_driver storage_cow = {.name = "guest-cow", .clone = storage_copy_clone};
