/* SPDX-License-Identifier: ISC */
/*
 * nft.h: what the firewall says about one user's guests: the tables of nft_rules.def, always
 * replaced as a whole in one transaction, and two rules in each chain of somebody else's that would drop
 * what is forwarded. docs/privilege.md explains the rules. Called by verb_nat.c and keeper.c. Must never
 * touch another user's table, nor a rule of another that does not carry this user's mark.
 */
#ifndef BG_PRIVHELPER_NFT_H
#define BG_PRIVHELPER_NFT_H

#include <sys/types.h>

#include "privhelper/nft_msg.h"
#include "privhelper/policy.h"

/* All that the rules are made of. */
struct nft_user {
	const struct policy *policy;
	unsigned index;
	uid_t uid;
	uint64_t nat;	/* slots whose guest may go beyond this host */
	uint64_t peers; /* slots whose guests reach each other */
	/* bangerd's UDP and TCP port for the gateway's port 53; 0: it has none */
	unsigned names[2];
	bool fence; /* the FENCE is this process's to hold */
};

/* Makes PLAIN, NAMES and its FENCE so, whatever there is. ret_seal is for nft_intact. 0, or -errno and no change. */
int nft_apply(struct nft *n, const struct nft_user *user, uint32_t *ret_seal);
/*
 * The rules in chains of others, after that. -EPERM when a chain that drops belongs to a process:
 * then there are none.
 */
int nft_let_through(struct nft *n, const struct nft_user *user);
/* Takes all of it away. */
int nft_remove(struct nft *n, const struct nft_user *user);
/* Whether PLAIN and the rules elsewhere are still as they were left; what has an owner is. */
bool nft_intact(struct nft *n, const struct nft_user *user, uint32_t seal);

/* The keeper's: makes, or takes away, this user's FENCE alone. */
int nft_fence(struct nft *n, const struct nft_user *user, bool on);
/* The keeper's: PLAIN and the rules elsewhere, where they are missing. */
int nft_restore(struct nft *n, const struct nft_user *user);
/* Whether somebody holds this user's FENCE. */
bool nft_has_fence(struct nft *n, const struct nft_user *user);

#endif
