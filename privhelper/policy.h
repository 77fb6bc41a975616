/* SPDX-License-Identifier: ISC */
/*
 * policy.h: what an administrator lets a uid have, and the names, addresses and
 * MACs that follow from (user index, slot). Called by main at start and by the
 * verbs. Reads one root-owned file, once. Must never take a name or an address
 * from the caller.
 */
#ifndef BG_PRIVHELPER_POLICY_H
#define BG_PRIVHELPER_POLICY_H

#include "common/priv_proto.h"

#define POLICY_DIR	"/etc/banger"
#define POLICY_PATH	POLICY_DIR "/privhelper.conf"
#define POLICY_FILE_MAX 4096

struct policy {
	uint32_t pool;		  /* first address of a /16, as a number */
	unsigned slots_per_user;  /* 1 to BG_SLOTS_MAX */
	bool mount;		  /* the disk helper mounts images */
	bool keeper;		  /* banger-keeper holds the FENCE; without it no tap is made */
	unsigned flows_per_guest; /* connections of one guest in the host's table, at a time */
	unsigned min_uid;	  /* below are the system's own users */
	unsigned max_users; /* 1 to BG_PRIV_USERS_MAX; bounds new users, takes nothing from old ones
			     */
};

/* Reads POLICY_PATH; a missing file means the defaults. PRIV_CODE_OK or PRIV_CODE_CONFIG. */
enum priv_code policy_load(struct policy *ret);
/* The same for a text; 0 or -EINVAL. Strict: an unknown, doubled or malformed line fails. */
int policy_parse(const char *text, size_t len, struct policy *ret);

uint32_t policy_gateway(const struct policy *p, unsigned index);
uint32_t policy_guest(const struct policy *p, unsigned index, unsigned slot);
void policy_mac(unsigned index, unsigned slot, uint8_t ret[6]);
void policy_tap_name(unsigned index, unsigned slot, char ret[PRIV_NAME]);

#endif
