/* SPDX-License-Identifier: ISC */
/* See initrd.h. */
#include "daemon/vm/initrd.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "common/cpio.h"
#include "common/guest_conf.h"

enum { INITRD_SMALL = 8 * 1024 * 1024 };

static int put_value(FILE *f, const char *key, const char *value, struct bg_err **err)
{
	if (!value)
		return 0;
	if (!*value || strchr(value, '\n'))
		return bg_err_set(err, BG_ERR_INTERNAL, EINVAL,
			"guest setting \"%s\" cannot be \"%s\"", key, value);
	(void)fprintf(f, "%s %s\n", key, value);
	return 0;
}

static int put_values(FILE *f, const struct guest_conf *c, struct bg_err **err)
{
	const struct {
		const char *key, *value;
	} rows[] = {
		{"id", c->id},
		{"hostname", c->hostname},
		{"root", c->root},
		{"base", c->base},
		{"own", c->own},
		{"work", c->work},
		{"modules", c->modules},
		{"addr", c->addr},
		{"gateway", c->gateway},
		{"mac", c->mac},
		{"dns", c->dns},
		{"agent", c->agent},
		{"poweroff", c->poweroff},
		{"setup", c->setup},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = put_value(f, rows[i].key, rows[i].value, err);

		if (r < 0)
			return r;
	}
	if (c->store > 0)
		(void)fprintf(f, "store %" PRIu64 "\n", c->store);
	if (c->chunk > 0)
		(void)fprintf(f, "chunk %u\n", c->chunk);
	if (c->time > 0)
		(void)fprintf(f, "time %" PRId64 "\n", c->time);
	return 0;
}

int initrd_conf_text(const struct guest_conf *conf, char **ret, struct bg_err **err)
{
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return bg_err_sys(err, BG_ERR_IO, errno, "guest settings");
	r = put_values(f, conf, err);
	if (fclose(f) != 0 && r == 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "guest settings");
	if (r == 0 && len > BG_GUEST_CONF_MAX)
		r = bg_err_set(err, BG_ERR_INTERNAL, EFBIG, "guest settings are too long");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}

/* Archive paths have no leading '/'. */
static const char *rel(const char *path)
{
	return path + 1;
}

static int put_text(struct bg_cpio *c, const char *path, const char *text)
{
	return text ? bg_cpio_file(c, rel(path), 0600, text, strlen(text)) : 0;
}

static int put_settings(struct bg_cpio *c, const struct guest_conf *conf, const char *text)
{
	int r = bg_cpio_dir(c, rel(BG_GUEST_DIR), 0755);

	if (r == 0)
		r = put_text(c, BG_GUEST_CONF, text);
	if (r == 0)
		r = put_text(c, BG_GUEST_HOST_KEY, conf->host_key);
	if (r == 0)
		r = put_text(c, BG_GUEST_AUTH_KEYS, conf->authorized_keys);
	return r == 0 ? bg_cpio_end(c) : r;
}

int initrd_settings(const struct guest_conf *conf, int *ret, struct bg_err **err)
{
	_free_ char *text = NULL;
	_close_ int fd = memfd_create("banger-settings", MFD_CLOEXEC);
	struct bg_cpio c;
	int r;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "initramfs: settings");
	r = initrd_conf_text(conf, &text, err);
	if (r < 0)
		return r;
	bg_cpio_init(&c, fd);
	r = put_settings(&c, conf, text);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "initramfs: settings");
	*ret = TAKE_FD(fd);
	return 0;
}

/* Whether all of it can be read without waiting for the disk. */
static bool is_cached(int fd, off_t *total)
{
	static char scratch[64 * 1024];
	struct iovec iov = {scratch, sizeof(scratch)};
	off_t at = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return true;
	if (fstat(fd, &st) < 0 || *total + st.st_size > INITRD_SMALL)
		return false;
	*total += st.st_size;
	while (at < st.st_size) {
		n = preadv2(fd, &iov, 1, at, RWF_NOWAIT);
		if (n <= 0)
			return false;
		at += n;
	}
	return true;
}

bool initrd_is_quick(const struct bg_initrd *from)
{
	off_t total = 0;

	return is_cached(from->first, &total) && is_cached(from->init, &total) &&
	       is_cached(from->modules, &total);
}

int initrd_write(int out_fd, int first_fd, int init_fd, int modules_cpio_fd,
	const struct guest_conf *conf, struct bg_err **err)
{
	struct bg_initrd from = {first_fd, init_fd, modules_cpio_fd, -1};
	_close_ int settings = -1;
	const char *part;
	int r = initrd_settings(conf, &settings, err);

	if (r < 0)
		return r;
	from.settings = settings;
	r = bg_initrd_join(out_fd, &from, &part);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "initramfs: %s", part) : 0;
}
