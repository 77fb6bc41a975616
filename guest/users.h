/* SPDX-License-Identifier: ISC */
/*
 * users.h: the image's users, read from /etc/passwd and /etc/group. A static program has no
 * other way, and the agent's children need no more. Pure but for users_find, which reads the two files.
 */
#ifndef BG_GUEST_USERS_H
#define BG_GUEST_USERS_H

#include <sys/types.h>

#include "common/base.h"

enum { USERS_GROUPS_MAX = 64 };

struct user {
	char name[64];
	uid_t uid;
	gid_t gid;
	char home[256];
	char shell[256];
	gid_t groups[USERS_GROUPS_MAX];
	size_t n_groups;
};

/* By name or number ("" is root). An image without the file has root; -ENOENT. */
int users_find(const char *who, struct user *ret);

/* Pure parts: the line of who in the text of a passwd file; the groups that list name. */
int users_in_passwd(const char *text, const char *who, struct user *ret);
void users_add_groups(const char *text, struct user *user);

#endif
