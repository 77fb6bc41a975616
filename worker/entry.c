/* SPDX-License-Identifier: ISC */
/* See entry.h. */
#include "worker/entry.h"

#include <endian.h>
#include <limits.h>
#include <sys/stat.h>

#define ACL_MAX 512 /* entries of one list: what fits into a block */

int entry_err(int r, enum bg_err_code code, const char *path, struct bg_err **err)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return bg_err_sys(err, BG_ERR_NO_SPACE, ENOSPC, "write /%s", path);
	case -EFBIG:
		bg_err_set(
			err, code, EFBIG, "the content does not fit: /%s is where it ended", path);
		bg_err_hint(err, "give a larger size");
		return -EFBIG;
	case -ENOMEM:
	case -EIO:
		return bg_err_sys(err, BG_ERR_WORKER, -r, "write /%s", path);
	case -E2BIG:
		return bg_err_set(
			err, code, E2BIG, "the extended attributes of /%s are too large", path);
	case -ENOTDIR:
		return bg_err_set(err, code, ENOTDIR,
			"/%s lies below something that is not a directory", path);
	case -ENOTEMPTY:
		return bg_err_set(
			err, code, ENOTEMPTY, "/%s replaces a directory that has files", path);
	case -ELOOP:
		return bg_err_set(
			err, code, ELOOP, "/%s lies behind symbolic links that lead nowhere", path);
	default:
		return bg_err_sys(err, code, -r, "/%s", path);
	}
}

static bool has_dotdot(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += len + (path[len] == '/');
	}
	return false;
}

static const char *strip(const char *path)
{
	for (;;) {
		if (path[0] == '/')
			path++;
		else if (path[0] == '.' && (path[1] == '/' || path[1] == '\0'))
			path++;
		else
			return path;
	}
}

static int clean(const char *path, const char **ret, struct bg_err **err)
{
	if (bg_isempty(path))
		return bg_err_set(
			err, BG_ERR_IMAGE_INVALID, EBADMSG, "an entry has no usable name");
	if (strlen(path) > PATH_MAX)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, ENAMETOOLONG,
			"an entry's name is over %d bytes", PATH_MAX);
	if (has_dotdot(path))
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG,
			"the entry \"%.200s\" has \"..\" in its name", path);
	*ret = strip(path);
	return 0;
}

int entry_path(struct source *s, struct archive_entry *entry, const char **ret, struct bg_err **err)
{
	const char *path = archive_entry_pathname(entry);

	return clean(path ? path : archive_entry_pathname_utf8(entry), ret, err);
}

int entry_link_path(
	struct source *s, struct archive_entry *entry, const char **ret, struct bg_err **err)
{
	const char *path = archive_entry_hardlink(entry);

	*ret = NULL;
	if (!path)
		path = archive_entry_hardlink_utf8(entry);
	return path ? clean(path, ret, err) : 0;
}

/* A list's mask stands in the group bits of the mode; libarchive puts the group's own there. */
static uint32_t mode_of(struct archive_entry *entry)
{
	uint32_t mode = archive_entry_perm(entry);
	int type, perms, tag, id;
	const char *name;

	if (archive_entry_acl_reset(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS) == 0)
		return mode;
	while (archive_entry_acl_next(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &type, &perms, &tag,
		       &id, &name) == ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~070u) | ((uint32_t)perms & 7) << 3;
	return mode;
}

void entry_attr(struct archive_entry *entry, struct ext4_attr *ret)
{
	*ret = (struct ext4_attr){
		.mode = mode_of(entry),
		.uid = (uint32_t)archive_entry_uid(entry),
		.gid = (uint32_t)archive_entry_gid(entry),
		.mtime = archive_entry_mtime(entry),
		.mtime_nsec = (uint32_t)archive_entry_mtime_nsec(entry) % 1000000000u,
		.major = (uint32_t)archive_entry_rdevmajor(entry),
		.minor = (uint32_t)archive_entry_rdevminor(entry),
	};
	/* libarchive reads "-1.25" of a pax header as -1 and 250 ms. */
	if (ret->mtime < 0 && ret->mtime_nsec > 0) {
		ret->mtime--;
		ret->mtime_nsec = 1000000000u - ret->mtime_nsec;
	}
}

/* The value of a system.posix_acl_* attribute: version 2, then {tag, perm, id}. */
struct acl_value {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[ACL_MAX];
};

/* What an inode has no room for is refused: cut off, an owner could become root. */
static int check_numbers(struct archive_entry *entry, const char *path, struct bg_err **err)
{
	enum { MAJOR_MAX = 0xfff, MINOR_MAX = 0xfffff };
	const int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
	const mode_t type = archive_entry_filetype(entry);

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EOVERFLOW,
			"/%s belongs to %lld:%lld, which no file system of Linux can hold", path,
			(long long)uid, (long long)gid);
	if ((type == AE_IFCHR || type == AE_IFBLK) &&
		(archive_entry_rdevmajor(entry) > MAJOR_MAX ||
			archive_entry_rdevminor(entry) > MINOR_MAX))
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EOVERFLOW,
			"/%s is a device whose numbers Linux does not have", path);
	return 0;
}

static bool acl_tag(int tag, uint16_t *ret)
{
	static const struct {
		int libarchive;
		uint16_t linux_tag;
	} tags[] = {
		{ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01},
		{ARCHIVE_ENTRY_ACL_USER, 0x02},
		{ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04},
		{ARCHIVE_ENTRY_ACL_GROUP, 0x08},
		{ARCHIVE_ENTRY_ACL_MASK, 0x10},
		{ARCHIVE_ENTRY_ACL_OTHER, 0x20},
	};

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		if (tags[i].libarchive != tag)
			continue;
		*ret = tags[i].linux_tag;
		return true;
	}
	return false;
}

static int acl_order(const void *a, const void *b)
{
	const uint16_t *x = a, *y = b; /* tag is the first member */
	uint32_t idx, idy;

	if (*x != *y)
		return *x < *y ? -1 : 1;
	memcpy(&idx, x + 2, sizeof(idx));
	memcpy(&idy, y + 2, sizeof(idy));
	return idx < idy ? -1 : idx > idy;
}

static int write_acl(struct ext4 *e, const struct ext4_node *node, struct archive_entry *entry,
	int which, const char *name)
{
	_free_ struct acl_value *v = NULL;
	int type, perms, tag, id;
	const char *who;
	size_t n = 0;

	/* The three basic entries alone are the mode, not a list. */
	if (archive_entry_acl_reset(entry, which) == 0)
		return 0;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->version = htole32(2);
	while (archive_entry_acl_next(entry, which, &type, &perms, &tag, &id, &who) == ARCHIVE_OK) {
		if (n == ACL_MAX)
			return -E2BIG;
		/* A name without a number: nobody here could say who that is, so it gets nothing.
		 */
		if (!acl_tag(tag, &v->e[n].tag) ||
			(id < 0 &&
				(tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP)))
			continue;
		v->e[n].perm = (uint16_t)(perms & 7);
		v->e[n].id = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP
				     ? (uint32_t)id
				     : UINT32_MAX;
		n++;
	}
	qsort(v->e, n, sizeof(v->e[0]), acl_order);
	return ext4_set_xattr(e, node, name, v, sizeof(v->version) + n * sizeof(v->e[0]));
}

static bool xattr_known(const char *name)
{
	static const char *const prefixes[] = {
		"user.", "trusted.", "security.", "system.posix_acl_"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])) &&
			name[strlen(prefixes[i])] != '\0')
			return true;
	return false;
}

static int write_xattrs(struct ext4 *e, const struct ext4_node *node, struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t len;
	int r = 0;

	archive_entry_xattr_reset(entry);
	while (r >= 0 && archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK)
		if (name && xattr_known(name))
			r = ext4_set_xattr(e, node, name, value, len);
	if (r >= 0)
		r = write_acl(
			e, node, entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access");
	if (r >= 0)
		r = write_acl(
			e, node, entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default");
	return r;
}

static int write_data(
	struct ext4 *e, const char *path, struct source *s, uint64_t size, struct bg_err **err)
{
	const void *buf;
	int64_t offset;
	size_t len;
	int r;

	while ((r = source_block(s, &buf, &len, &offset, err)) > 0) {
		if (offset < 0 || (uint64_t)offset + len > size)
			return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG,
				"/%s has data beyond its size", path);
		r = ext4_file_write(e, buf, len, (uint64_t)offset);
		if (r < 0)
			return entry_err(r, BG_ERR_IMAGE_INVALID, path, err);
	}
	if (r < 0)
		bg_err_context(err, "/%s", path);
	return r;
}

static int write_file(struct ext4 *e, const char *path, struct source *s,
	struct archive_entry *entry, struct ext4_node **ret, struct bg_err **err)
{
	struct ext4_attr attr;
	int64_t size = archive_entry_size(entry);
	int r;

	if (size < 0)
		return bg_err_set(
			err, BG_ERR_IMAGE_INVALID, EBADMSG, "/%s has no valid size", path);
	entry_attr(entry, &attr);
	r = ext4_file_open(e, path, &attr);
	if (r < 0)
		return entry_err(r, BG_ERR_IMAGE_INVALID, path, err);
	r = write_data(e, path, s, (uint64_t)size, err);
	if (r < 0)
		return r;
	r = ext4_file_close(e, (uint64_t)size, ret);
	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, path, err) : 0;
}

static int write_other(
	struct ext4 *e, const char *path, struct archive_entry *entry, struct ext4_node **ret)
{
	mode_t type = archive_entry_filetype(entry);
	struct ext4_attr attr;

	entry_attr(entry, &attr);
	switch (type) {
	case AE_IFDIR:
		return ext4_mkdir(e, path, &attr, ret);
	case AE_IFLNK: {
		const char *target = archive_entry_symlink(entry);

		if (!target)
			target = archive_entry_symlink_utf8(entry);
		return target ? ext4_symlink(e, path, target, &attr, ret) : -EINVAL;
	}
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
	case AE_IFSOCK:
		return ext4_mknod(e, path, type, &attr, ret);
	default:
		return -EINVAL;
	}
}

int entry_write(struct ext4 *e, const char *path, struct source *s, struct archive_entry *entry,
	struct bg_err **err)
{
	struct ext4_node *node = NULL;
	int r = check_numbers(entry, path, err);

	if (r < 0)
		return r;
	if (archive_entry_filetype(entry) == AE_IFREG)
		r = write_file(e, path, s, entry, &node, err);
	else {
		r = write_other(e, path, entry, &node);
		if (r < 0)
			return entry_err(r, BG_ERR_IMAGE_INVALID, path, err);
	}
	if (r < 0)
		return r;
	r = write_xattrs(e, node, entry);
	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, path, err) : 0;
}
