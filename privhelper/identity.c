/* SPDX-License-Identifier: ISC */
/* identity.c: Asks for the ids and groups of this process, and who made its socket. */
#include "privhelper/identity.h"

#include <grp.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "privhelper/ledger.h"
#include "privhelper/trusted.h"

/* The socketpair remembers who made it: a socket that another uid handed over is refused. */
static bool peer_is(int sock, uid_t uid)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && len == sizeof(cred) &&
	       cred.uid == uid;
}

/* By the real and the supplementary groups: the effective one is the ledger's. */
static bool in_group(gid_t gid)
{
	static gid_t groups[NGROUPS_MAX];
	int n = getgroups(NGROUPS_MAX, groups);

	if (getgid() == gid)
		return true;
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* What stands for ids that cannot be told, and what is none, in 16 bits too. */
static bool is_overflow(uid_t uid)
{
	return uid == 65534 || uid == 65535 || uid == (uid_t)-1;
}

enum priv_code identity_check(int sock, unsigned min_uid, uid_t *ret)
{
	_close_ int dir = -1;
	uid_t real, effective, saved;
	struct stat st;

	if (getresuid(&real, &effective, &saved) < 0 || real != effective || real != saved ||
		real < min_uid || is_overflow(real) || !peer_is(sock, real))
		return PRIV_CODE_IDENTITY;
	dir = trusted_open(LEDGER_DIR, TRUSTED_DIR);
	if (dir < 0 || fstat(dir, &st) < 0 || st.st_gid == 0)
		return PRIV_CODE_LEDGER;
	if (!in_group(st.st_gid))
		return PRIV_CODE_NOT_MEMBER;
	*ret = real;
	return PRIV_CODE_OK;
}
