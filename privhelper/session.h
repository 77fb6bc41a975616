/* SPDX-License-Identifier: ISC */
/*
 * session.h: all that one helper process has: one user, one socket, one ledger
 * block. Made by main, handed to every answer. The answers below mirror the
 * unprivileged stubs of daemon/priv/priv_client.c, in the order of the table.
 */
#ifndef BG_PRIVHELPER_SESSION_H
#define BG_PRIVHELPER_SESSION_H

#include "common/priv_proto.h"
#include "privhelper/blk.h"
#include "privhelper/ledger.h"
#include "privhelper/netlink.h"
#include "privhelper/policy.h"
#include "privhelper/tap.h"

/* Where bangerd's end of the socketpair is found. */
#define SESSION_SOCK 3

struct session {
	uid_t uid;
	struct policy policy;
	struct ledger ledger;
	struct netlink nl;     /* network helper */
	struct tap_dirs dirs;  /* network helper */
	struct blk_host blk;   /* disk helper */
	bool greeted; /* HELLO was answered: the ledger is bound and repaired */
};

/*
 * answer_<verb>: req is valid. Fills the reply's fields and returns PRIV_CODE_OK, or
 * returns the refusal. Blocks no longer than the kernel takes. Each helper has those that the table
 * gives it: HELLO, LIST and CLEANUP are in verb_net.c and in verb_disk.c.
 */
#define PRIV_VERB(NAME, name, ...)                                                                 \
	enum priv_code answer_##name(                                                              \
		struct session *s, const struct priv_req *req, struct priv_rep *rep);
#include "common/priv_verbs.def"
#undef PRIV_VERB

/*
 * Answers until the peer is gone (true) or breaks the protocol (false). After a refused
 * HELLO it ends too.
 */
bool dispatch_run(struct session *s);

#endif
