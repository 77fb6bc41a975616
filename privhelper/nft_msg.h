/* SPDX-License-Identifier: ISC */
/*
 * nft_msg.h: nf_tables over raw netlink: one batch of changes, put together piece by piece and
 * committed whole or not at all, and the dumps that verify it. Called by nft.c. Owns two sockets
 * and a buffer each way. Must never take a name from the caller of the helper.
 *
 * Raw netlink rather than libnftnl: a transaction of some forty messages out of a dozen fixed
 * expressions needs two pages of code, while the library brings parsers, allocation and text for
 * all of nf_tables into the one process that has a right.
 */
#ifndef BG_PRIVHELPER_NFT_MSG_H
#define BG_PRIVHELPER_NFT_MSG_H

#include <linux/netfilter/nf_tables.h>

#include "common/base.h"

struct nlattr;

struct nft {
	int fd;	    /* requests */
	int events; /* announcements of every change of a rule set in this network namespace */
	uint32_t port; /* of fd: the sender in the announcements of our own changes */
	uint32_t seq, last;
	struct nlmsghdr *msg; /* the message under way; NULL before a batch */
	size_t len;
	uint8_t out[32768] __attribute__((aligned(8)));
	uint8_t in[32768] __attribute__((aligned(8)));
};

/* Opens both sockets with the rights of this moment. 0 or -errno; -ENOSYS without nf_tables. */
int nft_open(struct nft *n);

/* ---- a batch ---- */
void nft_begin(struct nft *n);
/* Begins a message of the batch: family is NFPROTO_*, flags beside NLM_F_REQUEST. */
void nft_msg(struct nft *n, unsigned type, uint8_t family, uint16_t flags);
/* Commits. 0, or -errno of the first message that was refused: then nothing has changed. */
int nft_commit(struct nft *n);

/* ---- attributes of the message under way; too little room is our bug ---- */
struct nlattr *nft_put(struct nft *n, uint16_t type, const void *data, size_t len);
void nft_put_str(struct nft *n, uint16_t type, const char *text);
void nft_put_u32(struct nft *n, uint16_t type, uint32_t v); /* travels in network order */
struct nlattr *nft_nest(struct nft *n, uint16_t type);
void nft_nest_end(struct nft *n, struct nlattr *nest);

/* ---- expressions, inside a rule's list: registers are NFT_REG_* or NFT_REG32_* ---- */
void nft_meta(struct nft *n, enum nft_meta_keys key, uint32_t reg);
void nft_payload(struct nft *n, enum nft_payload_bases base, uint32_t at, uint32_t len, uint32_t reg);
void nft_cmp(struct nft *n, uint32_t reg, enum nft_cmp_ops op, const void *data, size_t len);
/* reg & mask, in place; len bytes. */
void nft_mask(struct nft *n, uint32_t reg, const void *mask, size_t len);
/* Passes when the registers from reg on are in the set, or are not. */
void nft_lookup(struct nft *n, const char *set, uint32_t reg, bool in);
void nft_ct_state(struct nft *n, uint32_t reg);
/* The type (RTN_*) of the destination address. */
void nft_fib_daddr_type(struct nft *n, uint32_t reg);
void nft_counter(struct nft *n);
void nft_masquerade(struct nft *n);
/* verdict is NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_JUMP; chain for the last. */
void nft_verdict(struct nft *n, int verdict, const char *chain);

/* ---- dumps ---- */
/* attr[1..max] of one object that a dump gave; NULL where it is missing. */
typedef int (*nft_each_fn)(uint8_t family, const struct nlattr *const *attr, void *userdata);
/*
 * Each object of a dump; family NFPROTO_UNSPEC for all. table and chain restrict a dump of rules.
 * fn may not talk to the kernel; its -errno ends the dump's result.
 */
int nft_dump(struct nft *n, unsigned type, uint8_t family, const char *table, const char *chain,
	nft_each_fn fn, void *userdata);
/* Attributes of a nest or message, checked for length: into ret[0..max]. */
void nft_parse(const void *data, size_t len, const struct nlattr **ret, unsigned max);
const void *nft_data(const struct nlattr *a);
size_t nft_data_len(const struct nlattr *a);
uint32_t nft_u32(const struct nlattr *a); /* 0 when too short or NULL */
bool nft_is(const struct nlattr *a, const char *text);
/* A text of the kernel's, at most size - 1 bytes; false when it is missing or longer. */
bool nft_text(const struct nlattr *a, char *ret, size_t size);

/* Reads what was announced; whether somebody else than us changed a rule set. */
bool nft_changed(struct nft *n);

#endif
