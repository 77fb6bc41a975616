/* SPDX-License-Identifier: ISC */
/* asset.c: Functions of one call each, without state. */
#include "daemon/asset/asset.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

enum { NAMES_SHOWN = 4 };

int asset_output(struct trash *trash, const char *dir, const char *name, char **ret_path,
	int *ret_fd, struct bg_err **err)
{
	_free_ char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	trash_unlink(trash, path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make %s", path);
	*ret_path = TAKE_PTR(path);
	*ret_fd = fd;
	return 0;
}

void asset_drop_empty(char **path)
{
	struct stat st;

	if (!*path || (stat(*path, &st) == 0 && st.st_size > 0))
		return;
	(void)bg_unlink_small(AT_FDCWD, *path);
	free(TAKE_PTR(*path));
}

uint64_t asset_real_bytes(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

void asset_vms_using(
	const struct engine *engine, const char *image, const char *kernel, json_t *out)
{
	if (engine->asset_users)
		engine->asset_users->names(engine, image, kernel, out);
}

char *asset_name_list(const json_t *names)
{
	size_t n = json_array_size(names), len = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
		fprintf(f, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
	if (n > NAMES_SHOWN)
		fprintf(f, " and %zu more", n - NAMES_SHOWN);
	return fclose(f) == 0 ? text : NULL;
}

int asset_open_source(const char *path, enum bg_err_code code, int *ret, struct bg_err **err)
{
	_close_ int fd = -1;
	struct stat st;

	if (path[0] != '/')
		return bg_err_set(
			err, BG_ERR_BAD_REQUEST, EINVAL, "\"%s\" is not an absolute path", path);
	/* O_NONBLOCK: a fifo must not hold the loop */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return bg_err_sys(err, code, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return bg_err_sys(err, code, errno, "look at %s", path);
	if (!S_ISREG(st.st_mode))
		return bg_err_set(err, code, EINVAL, "%s is not a regular file", path);
	*ret = TAKE_FD(fd);
	return 0;
}

void asset_show_progress(struct op *op, const json_t *progress)
{
	const char *unit = NULL, *text = NULL;
	int64_t done = 0, total = 0;

	if (bg_json_get_str(progress, "text", &text) >= 0)
		op_set_text(op, text);
	(void)bg_json_get_str(progress, "unit", &unit);
	(void)bg_json_get_int(progress, "total", 0, INT64_MAX, &total);
	if (bg_json_get_int(progress, "done", 0, INT64_MAX, &done) >= 0)
		op_set_progress(op, (uint64_t)done, (uint64_t)total,
			bg_streq(unit, "entries") ? "entries" : "bytes");
}
