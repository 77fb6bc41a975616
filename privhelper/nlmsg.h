/* SPDX-License-Identifier: ISC */
/*
 * nlmsg.h: netlink messages: put together piece by piece, sent, and taken apart with every length
 * checked. Called by netlink.c (rtnetlink) and nft_msg.c (nf_tables). Owns a socket and a buffer each
 * way. Must never believe a message that the kernel did not send.
 *
 * Raw netlink rather than a library: this is all that the one process with a right needs of it.
 */
#ifndef BG_PRIVHELPER_NLMSG_H
#define BG_PRIVHELPER_NLMSG_H

#include <linux/netlink.h>

#include "common/base.h"

struct nlmsg {
	int fd;
	uint32_t port; /* of fd: the sender in the announcements of our own changes */
	uint32_t seq;
	struct nlmsghdr *msg; /* the message under way; NULL before one is begun */
	size_t len;
	uint8_t out[65536] __attribute__((aligned(8)));
	uint8_t in[32768] __attribute__((aligned(8)));
};

/* A socket of that protocol and of these groups, with the rights of this moment. 0 or -errno. */
int nlmsg_open(struct nlmsg *n, int protocol, uint32_t groups);

/* ---- building; too little room is our bug ---- */
/* Begins a message behind those in the buffer; n->len = 0 begins anew. The body is copied. */
struct nlmsghdr *nlmsg_begin(
	struct nlmsg *n, uint16_t type, uint16_t flags, const void *body, size_t len);
struct nlattr *nlmsg_put(struct nlmsg *n, uint16_t type, const void *data, size_t len);
void nlmsg_put_str(struct nlmsg *n, uint16_t type, const char *text);
void nlmsg_put_u32(struct nlmsg *n, uint16_t type, uint32_t v); /* as it is */
struct nlattr *nlmsg_nest(struct nlmsg *n, uint16_t type);
void nlmsg_nest_end(struct nlmsg *n, struct nlattr *nest);

/* ---- talking ---- */
int nlmsg_send(struct nlmsg *n);
/* One datagram of the kernel's into n->in: its length or -errno. flags as recv's. */
ssize_t nlmsg_receive(struct nlmsg *n, int flags);
/* -errno of an NLMSG_ERROR; 0 for an acknowledgement. */
int nlmsg_error(const struct nlmsghdr *h);
/* What a dump or a question brings, one message at a time; its -errno ends the dump's result. */
typedef int (*nlmsg_fn)(const struct nlmsghdr *h, void *userdata);
/*
 * Sends what is in the buffer and hears the answer to its last message: an acknowledgement, one
 * message, or with NLM_F_DUMP all to the end. -EINTR: what is dumped changed meanwhile.
 */
int nlmsg_talk(struct nlmsg *n, nlmsg_fn fn, void *userdata);

/* The messages of a datagram of len bytes. */
#define NLMSG_EACH(h, n, len)                                                                      \
	for (const struct nlmsghdr *h = (const void *)(n)->in; NLMSG_OK(h, (size_t)(len));         \
		(len) -= (ssize_t)BG_MIN((size_t)NLMSG_ALIGN(h->nlmsg_len), (size_t)(len)),        \
				   h = (const void *)((const uint8_t *)h +                         \
						      NLMSG_ALIGN(h->nlmsg_len)))

/* ---- taking apart ---- */
/* The attributes behind a message's fixed part into ret[0..max], NULL where missing. -EBADMSG: too short. */
int nlmsg_attrs(const struct nlmsghdr *h, size_t fixed, const struct nlattr **ret, unsigned max);
/* Those of a nest; a NULL nest has none. */
void nlmsg_nested(const struct nlattr *nest, const struct nlattr **ret, unsigned max);
const void *nlmsg_data(const struct nlattr *a);
size_t nlmsg_data_len(const struct nlattr *a);
/* 0 when it is too short or NULL. */
uint32_t nlmsg_u32(const struct nlattr *a);
uint8_t nlmsg_u8(const struct nlattr *a);
bool nlmsg_is(const struct nlattr *a, const char *text);
/* A text of the kernel's, at most size - 1 bytes; false when it is missing or longer. */
bool nlmsg_text(const struct nlattr *a, char *ret, size_t size);

#endif
