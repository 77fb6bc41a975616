/* SPDX-License-Identifier: ISC */
/* See initrd.h. */
#include "common/initrd.h"

#include "common/cpio.h"

static int put_init(struct bg_cpio *c, int fd)
{
	int r = bg_cpio_file_fd(c, "init", 0755, fd);

	return r < 0 ? r : bg_cpio_end(c);
}

int bg_initrd_join(int out_fd, const struct bg_initrd *from, const char **ret_part)
{
	struct bg_cpio c;
	int r;

	bg_cpio_init(&c, out_fd);
	*ret_part = "the kernel's own initrd";
	r = from->first < 0 ? 0 : bg_cpio_append(&c, from->first);
	if (r < 0)
		return r;
	*ret_part = "banger-init";
	r = put_init(&c, from->init);
	if (r < 0)
		return r;
	*ret_part = "kernel modules";
	r = from->modules < 0 ? 0 : bg_cpio_append(&c, from->modules);
	if (r < 0)
		return r;
	*ret_part = "settings";
	return bg_cpio_append(&c, from->settings);
}
