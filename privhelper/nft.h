/* SPDX-License-Identifier: ISC */
/*
 * nft.h: what the firewall says about one user's guests: a table of its own for each user
 * ("banger-<index>", family ip), always replaced as a whole in one transaction, and two rules in
 * each chain of somebody else's that would drop what is forwarded. docs/privilege.md explains the
 * rules. Called by verb_nat.c. Must never touch another user's table, nor a rule of another that
 * does not carry this user's mark.
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
	uint64_t nat; /* slots whose guest may go beyond this host */
};

/* Makes the table so, whatever there is. ret_seal is for nft_intact. 0, or -errno and no change. */
int nft_apply(struct nft *n, const struct nft_user *user, uint32_t *ret_seal);
/*
 * The rules in chains of others, after that. -EPERM when a chain that drops belongs to a process:
 * then there are none.
 */
int nft_let_through(struct nft *n, const struct nft_user *user);
/* Takes all of it away. */
int nft_remove(struct nft *n, const struct nft_user *user);
/* Whether it is still as nft_apply left it. */
bool nft_intact(struct nft *n, const struct nft_user *user, uint32_t seal);

#endif
