/* SPDX-License-Identifier: ISC */
/*
 * workspace_memory.c: One file per VM and folder in the cache, named by a digest, replaced whole
 * or appended to; one that was not used for long is removed.
 */
#include "cli/workspace_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fd.h"
#include "common/paths.h"

#define RECORD_MAX (256 * MIB)

enum { FORGET_AFTER_S = 90 * 24 * 3600 };

/* Of a VM that was made anew under an old name the token tells: it has another record, or none. */
static int open_folder(const struct guest *g)
{
	_free_ char *path = NULL;

	if (bg_paths_private_dir(g->cli->paths.cache_dir, NULL) < 0 ||
		asprintf(&path, "%s/copies", g->cli->paths.cache_dir) < 0 ||
		(mkdir(path, 0700) < 0 && errno != EEXIST))
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void name_of(const struct guest *g, const char *guest_path, char out[BG_SHA256_HEX])
{
	struct bg_sha256 hash;

	bg_sha256_init(&hash);
	bg_sha256_add(&hash, g->name, strlen(g->name) + 1);
	bg_sha256_add(&hash, guest_path, strlen(guest_path));
	bg_sha256_end(&hash, out);
}

void ws_memory_read(const struct guest *g, const char *guest_path, struct ws_manifest *ret)
{
	_close_ int folder = open_folder(g);
	_free_ char *text = NULL;
	char name[BG_SHA256_HEX];
	size_t len = 0;

	*ret = (struct ws_manifest){.there = false};
	name_of(g, guest_path, name);
	if (folder < 0 || bg_read_file_at(folder, name, RECORD_MAX, &text, &len) < 0)
		return;
	if (ws_manifest_parse(text, len, ret) >= 0 && !ret->torn)
		return;
	ws_manifest_done(ret);
	*ret = (struct ws_manifest){.there = false};
}

/* VMs are deleted without a word to us. */
static void forget_old(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	time_t now = time(NULL);
	const struct dirent *e;
	struct stat st;

	if (!dir) {
		bg_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode) && now - st.st_mtime > FORGET_AFTER_S)
			(void)unlinkat(folder, e->d_name, 0);
	closedir(dir);
}

static int append(int folder, const char *name, const char *text, size_t len)
{
	_close_ int fd = openat(folder, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : bg_write_all(fd, text, len);
}

/* Without waiting for the disk: one that is torn is not read. */
static int replace(int folder, const char *name, const char *text, size_t len)
{
	char temporary[BG_SHA256_HEX + 8];
	_close_ int fd = -1;
	int r;

	snprintf(temporary, sizeof(temporary), "%s.new", name);
	fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : bg_write_all(fd, text, len);
	if (r >= 0 && renameat(folder, temporary, folder, name) < 0)
		r = -errno;
	return r;
}

void ws_memory_keep(
	const struct guest *g, const char *guest_path, const char *text, size_t len, bool more)
{
	_close_ int folder = open_folder(g);
	char name[BG_SHA256_HEX];
	int r;

	if (folder < 0)
		return;
	name_of(g, guest_path, name);
	if (!more)
		forget_old(folder);
	r = more ? append(folder, name, text, len) : replace(folder, name, text, len);
	if (r < 0)
		(void)unlinkat(folder, name, 0);
}
