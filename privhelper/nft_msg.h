/* SPDX-License-Identifier: ISC */
/*
 * nft_msg.h: nf_tables over raw netlink: one batch of changes, put together piece by piece and
 * committed whole or not at all, and the dumps that verify it. Called by nft.c. Owns two sockets.
 * Must never take a name from the caller of the helper.
 */
#ifndef BG_PRIVHELPER_NFT_MSG_H
#define BG_PRIVHELPER_NFT_MSG_H

#include <linux/netfilter/nf_tables.h>

#include "privhelper/nlmsg.h"

struct nft {
	struct nlmsg req; /* requests; tables with an owner are this socket's */
	/* announcements of every change of a rule set in this network namespace */
	struct nlmsg events;
};

/* Opens both sockets with the rights of this moment. 0 or -errno; -ENOSYS without nf_tables. */
int nft_open(struct nft *n);

/* ---- a batch ---- */
void nft_begin(struct nft *n);
/* Begins a message of the batch: family is NFPROTO_*, flags beside NLM_F_REQUEST. */
void nft_msg(struct nft *n, unsigned type, uint8_t family, uint16_t flags);
/* Commits. 0, or -errno of the first message that was refused: then nothing has changed. */
int nft_commit(struct nft *n);

/* A number attribute of the message under way; the others are nlmsg.h's, on req. */
void nft_put_u32(struct nft *n, uint16_t type, uint32_t v); /* travels in network order */

/* ---- expressions, inside a rule's list: registers are NFT_REG_* or NFT_REG32_* ---- */
void nft_meta(struct nft *n, enum nft_meta_keys key, uint32_t reg);
void nft_payload(
	struct nft *n, enum nft_payload_bases base, uint32_t at, uint32_t len, uint32_t reg);
void nft_immediate(struct nft *n, uint32_t reg, const void *data, size_t len);
void nft_cmp(struct nft *n, uint32_t reg, enum nft_cmp_ops op, const void *data, size_t len);
/* reg & mask, in place; len bytes. */
void nft_mask(struct nft *n, uint32_t reg, const void *mask, size_t len);
/* Passes when the registers from reg on are in the set, or are not. */
void nft_lookup(struct nft *n, const char *set, uint32_t reg, bool in);
/* Of the connection: state, direction, and with that of the original direction addresses. */
void nft_ct(struct nft *n, enum nft_ct_keys key, uint32_t reg);
/* The type (RTN_*) of the destination address. */
void nft_fib_daddr_type(struct nft *n, uint32_t reg);
/* Passes when the address in reg has more than limit connections, which the set counts. */
void nft_more_flows_than(struct nft *n, const char *set, uint32_t reg, uint32_t limit);
void nft_counter(struct nft *n);
void nft_masquerade(struct nft *n);
/* To the address and the port in these registers. */
void nft_dnat(struct nft *n, uint32_t address, uint32_t port);
/* Answered at once: a reset where tcp, else that it is forbidden. */
void nft_reject(struct nft *n, bool tcp);
/* verdict is NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_JUMP; chain for the last. */
void nft_verdict(struct nft *n, int verdict, const char *chain);

/* ---- dumps ---- */
/* attr[1..NFT_ATTRS] of one object that a dump gave; NULL where it is missing. */
enum { NFT_ATTRS = 32 };
typedef int (*nft_each_fn)(uint8_t family, const struct nlattr *const *attr, void *userdata);
/*
 * Each object of a dump; family NFPROTO_UNSPEC for all. table and chain restrict a dump of rules.
 * fn may not talk to the kernel; its -errno ends the dump's result.
 */
int nft_dump(struct nft *n, unsigned type, uint8_t family, const char *table, const char *chain,
	nft_each_fn fn, void *userdata);
/* As it travels; 0 when too short or NULL. */
uint32_t nft_u32(const struct nlattr *a);

/* Reads what was announced; whether somebody else than us changed a rule set. */
bool nft_changed(struct nft *n);

#endif
