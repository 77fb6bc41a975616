/* SPDX-License-Identifier: ISC */
/*
 * nft_rules.h: the tables of nft_rules.def as messages of a batch. Called by nft.c, which owns the
 * transaction. Must never name what does not follow from the user's index and slots.
 */
#ifndef BG_PRIVHELPER_NFT_RULES_H
#define BG_PRIVHELPER_NFT_RULES_H

#include <net/if.h>

#include "privhelper/nft.h"

enum nft_table { PLAIN = 1, FENCE = 2, NAMES = 4 };

struct nft_names {
	char table[NFT_NAME_MAXLEN]; /* PLAIN */
	char taps[IFNAMSIZ];	     /* what the name of every tap of the user begins with */
	uint8_t mark[40];	     /* user data of our rules in chains of others */
	size_t mark_len;
	uint8_t gateway[4]; /* its first three bytes: the user's /24 */
};

struct nft_builder {
	struct nft *n;
	const struct nft_user *user;
	const struct nft_names *names;
	enum nft_table table; /* under way */
};

void nft_names_make(const struct nft_user *u, struct nft_names *ret);
void nft_table_name(const struct nft_user *u, enum nft_table table, char ret[NFT_NAME_MAXLEN]);

/* Takes the table away, whether it is there or not. flags: those it was made with. */
void nft_put_no_table(struct nft_builder *b, enum nft_table table, uint32_t flags);
/* And makes it anew. */
void nft_put_table(struct nft_builder *b, enum nft_table table, uint32_t flags);
/* Accepts, in a chain of somebody else's, what goes from (out) or to this user's taps. */
void nft_put_accept(
	struct nft_builder *b, uint8_t family, const char *table, const char *chain, bool out);

#endif
