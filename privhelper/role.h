/* SPDX-License-Identifier: ISC */
/*
 * role.h: what makes the one main two helpers: role_net.c in banger-privhelper, role_disk.c in
 * banger-privhelper-disk. Constant; read by main and dispatch.
 */
#ifndef BG_PRIVHELPER_ROLE_H
#define BG_PRIVHELPER_ROLE_H

#include "privhelper/session.h"

typedef enum priv_code answer_fn(
	struct session *s, const struct priv_req *req, struct priv_rep *rep);

struct role {
	const char *ledger_path;
	uint64_t caps;	  /* all that it ever has */
	bool keeps_group; /* of its ledger; the role says why */
	/* The open stage: ledger and kernel interfaces. */
	enum priv_code (*open)(struct session *s);
	enum priv_code (*seal)(const struct session *s);
	/* What a slot's row speaks of: whether it is there as it was made; removed (-EBUSY: in use). */
	bool (*live)(struct session *s, unsigned slot, const struct ledger_row *row);
	int (*remove)(struct session *s, unsigned slot, const struct ledger_row *row);
	/* Brings a slot to FREE; ret_existed: it was LIVE. */
	enum priv_code (*detach)(struct session *s, unsigned slot, bool *ret_existed);
	/* NULL: nothing. A descriptor that tells when somebody changes what is ours, and what puts it right (whether it had to). */
	int (*watched)(const struct session *s);
	bool (*mend)(struct session *s);
	answer_fn *answers[PRIV_VERB_END_]; /* NULL: not its verb */
};

extern const struct role role;

#endif
