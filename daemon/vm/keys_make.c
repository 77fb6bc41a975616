/* SPDX-License-Identifier: ISC */
/*
 * The user's own ssh key, made when there is none: at the daemon's start, before the loop runs. So
 * it may wait for the disk, and does: a key that is lost opens no VM any more.
 */
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "daemon/vm/identity.h"
#include "daemon/vm/keys.h"

int keys_make(const char *private_path, const char *public_path, struct bg_err **err)
{
	_pem_ char *private = NULL;
	_free_ char *public = NULL, *line = NULL;
	int r = identity_make_key("banger", &private, &public, err);

	if (r < 0)
		return r;
	if (asprintf(&line, "%s\n", public) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_write_file_at(AT_FDCWD, private_path, private, strlen(private), 0600);
	if (r >= 0)
		r = bg_write_file_at(AT_FDCWD, public_path, line, strlen(line), 0644);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write %s", private_path) : 0;
}
