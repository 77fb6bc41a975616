/* SPDX-License-Identifier: ISC */
/* See users.h. passwd(5): name:password:uid:gid:gecos:home:shell; group(5):
 * name:password:gid:members. */
#include "guest/users.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"

enum { FILE_MAX = 1024 * 1024, PASSWD_FIELDS = 7, GROUP_FIELDS = 4 };

struct field {
	const char *p;
	size_t len;
};

/* Splits one line; the number of fields found, at most max. */
static size_t split(const char *line, struct field *fields, size_t max)
{
	size_t n = 0;

	while (n < max) {
		size_t len = strcspn(line, n + 1 < max ? ":\n" : "\n");

		fields[n++] = (struct field){line, len};
		line += len;
		if (*line != ':')
			break;
		line++;
	}
	return n;
}

static const char *next_line(const char *text)
{
	const char *nl = strchr(text, '\n');

	return nl ? nl + 1 : text + strlen(text);
}

static bool is(const struct field *f, const char *s)
{
	return strlen(s) == f->len && memcmp(f->p, s, f->len) == 0;
}

static bool number(const struct field *f, unsigned *ret)
{
	unsigned long n = 0;

	if (f->len == 0 || f->len > 10)
		return false;
	for (size_t i = 0; i < f->len; i++) {
		if (f->p[i] < '0' || f->p[i] > '9')
			return false;
		n = n * 10 + (unsigned long)(f->p[i] - '0');
	}
	*ret = (unsigned)n;
	return n < 0xffffffffUL;
}

static void copy(char *dst, size_t size, const struct field *f)
{
	size_t n = BG_MIN(f->len, size - 1);

	memcpy(dst, f->p, n);
	dst[n] = '\0';
}

int users_in_passwd(const char *text, const char *who, struct user *ret)
{
	struct field f[PASSWD_FIELDS];
	unsigned uid, gid;

	for (; *text; text = next_line(text)) {
		if (split(text, f, PASSWD_FIELDS) != PASSWD_FIELDS || !number(&f[2], &uid) ||
			!number(&f[3], &gid) || (!is(&f[0], who) && !is(&f[2], who)))
			continue;
		*ret = (struct user){.uid = uid, .gid = gid};
		copy(ret->name, sizeof(ret->name), &f[0]);
		copy(ret->home, sizeof(ret->home), &f[5]);
		copy(ret->shell, sizeof(ret->shell), &f[6]);
		return 0;
	}
	return -ENOENT;
}

static bool has_member(const struct field *members, const char *name)
{
	const char *p = members->p, *end = members->p + members->len;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		struct field one = {p, (size_t)((comma ? comma : end) - p)};

		if (is(&one, name))
			return true;
		p += one.len + 1;
	}
	return false;
}

void users_add_groups(const char *text, struct user *user)
{
	struct field f[GROUP_FIELDS];
	unsigned gid;

	for (; *text && user->n_groups < USERS_GROUPS_MAX; text = next_line(text))
		if (split(text, f, GROUP_FIELDS) == GROUP_FIELDS && number(&f[2], &gid) &&
			gid != user->gid && has_member(&f[3], user->name))
			user->groups[user->n_groups++] = gid;
}

int users_find(const char *who, struct user *ret)
{
	_free_ char *passwd = NULL, *group = NULL;
	struct user root = {.name = "root", .home = "/root", .shell = "/bin/sh"};
	struct field f = {who, strlen(who)};
	unsigned uid;
	int r = -ENOENT;

	if (bg_isempty(who))
		who = "root";
	if (bg_read_file_at(AT_FDCWD, "/etc/passwd", FILE_MAX, &passwd, NULL) >= 0)
		r = users_in_passwd(passwd, who, &root);
	if (r < 0 && number(&f, &uid) && uid != 0) {
		root = (struct user){.uid = uid, .gid = uid, .home = "/", .shell = "/bin/sh"};
		copy(root.name, sizeof(root.name), &f);
		r = 0;
	}
	if (r < 0 && !bg_streq(who, "root") && !bg_streq(who, "0"))
		return r;
	root.groups[root.n_groups++] = root.gid;
	if (bg_read_file_at(AT_FDCWD, "/etc/group", FILE_MAX, &group, NULL) >= 0)
		users_add_groups(group, &root);
	if (!*root.home)
		strcpy(root.home, "/");
	if (!*root.shell)
		strcpy(root.shell, "/bin/sh");
	*ret = root;
	return 0;
}
