/* SPDX-License-Identifier: ISC */
/* See record.h. */
#include "daemon/store/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/store/rows.h"

#define CRC_LINE "crc32 %08x\n"

enum { CRC_LINE_LEN = 15 };

bool record_key_valid(const char *key)
{
	return !bg_isempty(key) && key[0] != '.' && !strchr(key, '/') && strlen(key) <= NAME_MAX;
}

static int open_folder(int state_dirfd, enum table_id table, const char *key, bool make)
{
	const struct table *t = store_table(table);
	char path[NAME_MAX * 2];
	int fd;

	if (!record_key_valid(key))
		return -EINVAL;
	snprintf(path, sizeof(path), "%s/%s", t->folder, key);
	if (make && mkdirat(state_dirfd, t->folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (make && mkdirat(state_dirfd, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(state_dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int record_sync_folder(int state_dirfd, const char *folder)
{
	_close_ int fd = openat(state_dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/* One line, and its checksum. */
static char *print_record(enum table_id table, const void *row, uint64_t rev)
{
	_json_ json_t *json = table_to_json(table, row, true);
	_free_ char *line = NULL, *with_end = NULL;
	char *text = NULL;

	if (!json || json_object_set_new(json, "v", json_integer(RECORD_VERSION)) < 0 ||
		json_object_set_new(json, "kind", json_string(store_table(table)->name)) < 0 ||
		json_object_set_new(json, "rev", json_integer((json_int_t)rev)) < 0)
		return NULL;
	line = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	if (!line || asprintf(&with_end, "%s\n", line) < 0)
		return NULL;
	if (asprintf(&text, "%s" CRC_LINE, with_end, store_crc(0, with_end, strlen(with_end))) < 0)
		return NULL;
	return text;
}

int record_write(int state_dirfd, enum table_id table, const void *row, uint64_t rev)
{
	const struct table *t = store_table(table);
	_free_ char *text = print_record(table, row, rev);
	_close_ int fd =
		text ? open_folder(state_dirfd, table, table_key(table, row), table != TABLE_VM)
		     : -ENOMEM;
	int r = fd < 0 ? fd : bg_write_file_at(fd, t->record, text, strlen(text), 0600);

	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? r : record_sync_folder(state_dirfd, t->folder);
}

static int sync_file(int dirfd, const char *name)
{
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	return S_ISREG(st.st_mode) && fdatasync(fd) < 0 ? -errno : 0;
}

int record_sync_files(int state_dirfd, enum table_id table, const char *key)
{
	int fd = open_folder(state_dirfd, table, key, false), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!dir) {
		r = fd < 0 ? fd : -errno;
		bg_close(fd);
		return r == -ENOENT ? 0 : r;
	}
	while (r >= 0 && (e = readdir(dir)))
		r = e->d_name[0] == '.' ? 0 : sync_file(dirfd(dir), e->d_name);
	closedir(dir);
	return r;
}

/* The line, when it is whole. */
static int check_crc(const char *text, size_t len, size_t *ret)
{
	const char *end = memchr(text, '\n', len);
	char wanted[CRC_LINE_LEN + 1];
	size_t line = end ? (size_t)(end - text) + 1 : 0;

	if (!line || len - line != CRC_LINE_LEN)
		return -EBADMSG;
	snprintf(wanted, sizeof(wanted), CRC_LINE, store_crc(0, text, line));
	if (memcmp(wanted, text + line, CRC_LINE_LEN) != 0)
		return -EBADMSG;
	*ret = line;
	return 0;
}

int record_parse(enum table_id table, const char *text, size_t len, void **ret, uint64_t *ret_rev)
{
	_json_ json_t *json = NULL;
	int64_t version = 0, rev = 0;
	size_t line;
	int r = check_crc(text, len, &line);

	if (r < 0)
		return r;
	json = json_loadb(text, line, JSON_REJECT_DUPLICATES, NULL);
	if (bg_json_get_int(json, "v", 1, INT64_MAX, &version) < 0 ||
		bg_json_get_int(json, "rev", 1, INT64_MAX, &rev) < 0 ||
		!bg_streq(
			json_string_value(json_object_get(json, "kind")), store_table(table)->name))
		return -EBADMSG;
	if (version > RECORD_VERSION)
		return -EPROTONOSUPPORT;
	r = table_from_json(table, json, ret);
	if (r >= 0)
		*ret_rev = (uint64_t)rev;
	return r;
}

int record_read(
	int state_dirfd, enum table_id table, const char *key, void **ret, uint64_t *ret_rev)
{
	_close_ int fd = open_folder(state_dirfd, table, key, false);
	_free_ char *text = NULL;
	size_t len = 0;
	void *row;
	int r = fd < 0 ? fd
		       : bg_read_file_at(fd, store_table(table)->record, RECORD_MAX, &text, &len);

	if (r < 0)
		return r;
	r = record_parse(table, text, len, &row, ret_rev);
	if (r < 0)
		return r;
	if (!bg_streq(table_key(table, row), key)) {
		table_row_free(table, row);
		return -EBADMSG;
	}
	*ret = row;
	return 0;
}

int record_mark_doomed(int state_dirfd, enum table_id table, const char *key)
{
	_close_ int fd = open_folder(state_dirfd, table, key, false);

	if (fd < 0)
		return fd;
	return fchmod(fd, 01700) < 0 || fsync(fd) < 0 ? -errno : 0;
}

bool record_empty_doomed(int state_dirfd, const char *vm)
{
	_close_ int fd = open_folder(state_dirfd, TABLE_VM, vm, false);
	static const char *const files[] = {
		"serial.log", "vmm.log", "initrd", "work.img", "root.img"};
	bool any = false;

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(files); i++)
		any |= unlinkat(fd, files[i], 0) >= 0;
	if (any)
		(void)syncfs(fd); /* btrfs has its room back with the transaction */
	return any;
}

bool record_is_doomed(int state_dirfd, enum table_id table, const char *key)
{
	char path[NAME_MAX * 2];
	struct stat st;

	if (!record_key_valid(key))
		return false;
	snprintf(path, sizeof(path), "%s/%s", store_table(table)->folder, key);
	return fstatat(state_dirfd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISDIR(st.st_mode) &&
	       (st.st_mode & S_ISVTX);
}
