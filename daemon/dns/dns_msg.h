/* SPDX-License-Identifier: ISC */
/*
 * dns_msg.h: one DNS question in, one answer out, for the zone "vm". Called by dns.c with packets
 * that a guest made. Owns nothing, allocates nothing. Must never read beyond what it was given, nor
 * make an answer out of an answer.
 *
 * Formats: RFC 1035 section 4, negative answers RFC 2308.
 *
 * Not libevent's DNS server: that one keeps the socket to itself and hands out no packet, so what
 * is not ours could be forwarded for three record types only.
 */
#ifndef BG_DAEMON_DNS_DNS_MSG_H
#define BG_DAEMON_DNS_DNS_MSG_H

#include "common/base.h"

enum {
	DNS_HEAD = 12,
	DNS_NAME_MAX = 256,
	DNS_REPLY_MAX = 512,
	DNS_PACKET_MAX = 4096, /* of a question */
	DNS_TTL_S = 5,	       /* VMs come and go */
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5
};
enum { DNS_TYPE_A = 1, DNS_TYPE_SOA = 6, DNS_TYPE_PTR = 12, DNS_TYPE_ANY = 255, DNS_CLASS_IN = 1 };

struct dns_question {
	uint16_t id, flags;
	char name[DNS_NAME_MAX]; /* small letters, dots between, none at the end; "" is the root */
	uint16_t type, class;
	size_t end; /* of the question in the packet */
};

/*
 * -EBADMSG: nothing that deserves an answer. -ENOTSUP: a query, but not one plain question; ret
 * has id and flags then, and end is DNS_HEAD.
 */
int dns_parse(const uint8_t *packet, size_t len, struct dns_question *ret);

/* The part of a name before ".vm"; NULL for names elsewhere, "" for the zone itself. */
const char *dns_vm_name(const struct dns_question *q, char out[DNS_NAME_MAX]);

/* Whether the name is an address backwards ("9.3.209.10.in-addr.arpa"). */
bool dns_reverse_name(const struct dns_question *q, uint32_t *ret_address);

/* An answer without records: refusals and failures. Returns its length. */
size_t dns_reply_code(const struct dns_question *q, const uint8_t *packet, enum dns_rcode rcode,
	uint8_t out[DNS_REPLY_MAX]);
/* The name of an address: vm is that of a VM (at most BG_NAME_MAX bytes), NULL for an address that is nobody's. */
size_t dns_reply_reverse(const struct dns_question *q, const uint8_t *packet, const char *vm,
	uint8_t out[DNS_REPLY_MAX]);
/*
 * The zone's answer. exists: the name does; address (a number, 0 for none) is its A record. What is
 * not there is answered with the zone's SOA, so that resolvers forget it soon.
 */
size_t dns_reply_zone(const struct dns_question *q, const uint8_t *packet, bool exists,
	uint32_t address, uint8_t out[DNS_REPLY_MAX]);

#endif
