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
#include "privhelper/forward.h"
#include "privhelper/ledger.h"
#include "privhelper/legacy.h"
#include "privhelper/netlink.h"
#include "privhelper/nft.h"
#include "privhelper/policy.h"
#include "privhelper/tap.h"

/* Where bangerd's end of the socketpair is found. */
#define SESSION_SOCK 3

struct session {
	uid_t uid;
	struct policy policy;
	struct ledger ledger;
	/* network helper */
	struct nlmsg nl;
	struct nft nft;
	struct tap_dirs dirs;
	struct forward forward;
	struct legacy legacy;
	struct {
		/* slots that are not free in the ledger, and those of them that may more */
		uint64_t used, nat, peers;
	} rows;
	struct {
		int fds[2]; /* bangerd's sockets, UDP and TCP; -1 */
		unsigned ports[2];
	} dns;
	struct {
		bool valid, any; /* the rest is known; there are any */
		uint64_t nat, peers;
		uint32_t seal;
		int blocked; /* -errno: another firewall stands in the way of NAT */
	} rules;	     /* as they were last made */
	/* disk helper */
	struct blk_host blk;
	unsigned mounts; /* made by this process */
	int log;	 /* syslog's socket; -1 */
	unsigned haste;	 /* messages since it last was idle */
	bool greeted;	 /* HELLO was answered: the ledger is bound and repaired */
};

/* ---- verb_common.c ---- */

/* The head of HELLO: the same build, this uid's ledger, and the fields of the reply that both have. */
enum priv_code session_begin(struct session *s, const struct priv_req *req, struct priv_rep *rep);
void session_pause(unsigned ms);
/* Opens the role's ledger: PRIV_CODE_OK, BUSY or LEDGER. */
enum priv_code session_ledger(struct session *s, const char *path, uint64_t netns);

/* ledger_put, and session->rows with it. */
int session_put_row(struct session *s, unsigned slot, const struct ledger_row *row, bool sync);
/* Brings a slot to FREE from any state. -EBUSY: something has its device open. */
int session_release(struct session *s, unsigned slot, struct ledger_row row);
/* After an earlier helper of this uid, however it ended. Whole slots stay, and what is broken but in use. */
int session_repair(struct session *s);
/* All slots; the first refusal of any. */
enum priv_code session_cleanup(struct session *s, struct priv_rep *rep);

/* ---- verb_net.c, for verb_nat.c and role_net.c; the last two are struct role's ---- */

/* Whether the slot's tap is there, as it was made; ret_tap is filled in any case. */
bool session_live(
	struct session *s, unsigned slot, const struct ledger_row *row, struct tap *ret_tap);
bool net_live(struct session *s, unsigned slot, const struct ledger_row *row);
int net_remove(struct session *s, unsigned slot, const struct ledger_row *row);
enum priv_code net_detach(struct session *s, unsigned slot, bool *ret_existed);

/* ---- verb_disk.c, for role_disk.c: the same ---- */

bool disk_live(struct session *s, unsigned slot, const struct ledger_row *row);
int disk_remove(struct session *s, unsigned slot, const struct ledger_row *row);
enum priv_code disk_detach(struct session *s, unsigned slot, bool *ret_existed);

/* ---- verb_nat.c ---- */

/*
 * Brings the rules to what session->rows says, where they are not known to be that. 0 or -errno; NAT
 * that does not get past another firewall is not a failure of the rest.
 */
int session_rules(struct session *s);
enum priv_code session_rules_code(int r);
/* The first address of this user's /24. */
uint32_t session_net(const struct session *s);
/* After an announcement on nft.events: puts back what others took away. Whether it had to. */
bool session_mend_rules(struct session *s);

/*
 * answer_<verb>: req is valid. Fills the reply's fields and returns PRIV_CODE_OK, or
 * returns the refusal. Blocks no longer than the kernel takes. Each helper has those that the table
 * gives it: HELLO and CLEANUP are in verb_net.c and in verb_disk.c.
 */
#define PRIV_VERB(NAME, name, ...)                                                                 \
	enum priv_code answer_##name(                                                              \
		struct session *s, const struct priv_req *req, struct priv_rep *rep);
#include "common/priv_verbs.def"
#undef PRIV_VERB

/* syslog's socket, or -1: the lines are then nobody's. */
int session_log_open(void);
/* Sends it, and closes what descriptors it has. A reply that the table does not allow is our bug. */
int session_reply(const struct priv_rep *rep);

/*
 * Answers until the peer is gone (true) or breaks the protocol (false). After a refused
 * HELLO it ends too.
 */
bool dispatch_run(struct session *s);

#endif
