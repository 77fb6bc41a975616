/* SPDX-License-Identifier: ISC */
/*
 * dns_msg.c: Packets are read and written by index with a bound; a compressed name in a question
 * is refused.
 */
#include "daemon/dns/dns_msg.h"

#include <arpa/inet.h>
#include <assert.h>

enum {
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	LABEL_MAX = 63,
	QUESTION_AT = 0xc000 | DNS_HEAD, /* a pointer to the question's name */
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Labels to text; a dot inside a label would make two names look alike, so it is refused. */
static int parse_name(const uint8_t *packet, size_t len, size_t *at, char out[DNS_NAME_MAX])
{
	size_t n = 0;

	while (*at < len && packet[*at] != 0) {
		size_t label = packet[*at];

		if (label > LABEL_MAX || label >= len - *at || n + label + 2 > DNS_NAME_MAX)
			return -EBADMSG;
		if (n > 0)
			out[n++] = '.';
		for (size_t i = 1; i <= label; i++) {
			uint8_t c = packet[*at + i];

			if (c == 0 || c == '.')
				return -EBADMSG;
			out[n++] = lower(c);
		}
		*at += label + 1;
	}
	if (*at >= len)
		return -EBADMSG;
	(*at)++;
	out[n] = '\0';
	return 0;
}

int dns_parse(const uint8_t *packet, size_t len, struct dns_question *ret)
{
	size_t at = DNS_HEAD;
	int r;

	if (len < DNS_HEAD)
		return -EBADMSG;
	*ret = (struct dns_question){
		.id = get16(packet), .flags = get16(packet + 2), .end = DNS_HEAD};
	if (ret->flags & FLAG_QR)
		return -EBADMSG;
	if ((ret->flags & FLAG_OPCODE) || get16(packet + 4) != 1)
		return -ENOTSUP;
	r = parse_name(packet, len, &at, ret->name);
	if (r < 0 || len - at < 4)
		return -EBADMSG;
	ret->type = get16(packet + at);
	ret->class = get16(packet + at + 2);
	ret->end = at + 4;
	return 0;
}

const char *dns_vm_name(const struct dns_question *q, char out[DNS_NAME_MAX])
{
	size_t n = strlen(q->name);

	if (bg_streq(q->name, "vm")) {
		out[0] = '\0';
		return out;
	}
	if (n < 4 || !bg_streq(q->name + n - 3, ".vm"))
		return NULL;
	memcpy(out, q->name, n - 3);
	out[n - 3] = '\0';
	return out;
}

bool dns_reverse_name(const struct dns_question *q, uint32_t *ret_address)
{
	static const char zone[] = ".in-addr.arpa";
	size_t n = strlen(q->name), tail = sizeof(zone) - 1;
	char text[sizeof("255.255.255.255")];
	struct in_addr backwards;

	if (n <= tail || n - tail >= sizeof(text) || !bg_streq(q->name + n - tail, zone))
		return false;
	memcpy(text, q->name, n - tail);
	text[n - tail] = '\0';
	if (inet_pton(AF_INET, text, &backwards) != 1)
		return false;
	*ret_address = __builtin_bswap32(ntohl(backwards.s_addr));
	return true;
}

/* ---- answers ---- */

struct writer {
	uint8_t *p;
	size_t n;
};

static void put(struct writer *w, const void *data, size_t len)
{
	assert(w->n + len <= DNS_REPLY_MAX);
	memcpy(w->p + w->n, data, len);
	w->n += len;
}

static void put16(struct writer *w, unsigned v)
{
	const uint8_t b[] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(w, b, sizeof(b));
}

static void put32(struct writer *w, uint32_t v)
{
	put16(w, v >> 16);
	put16(w, v & 0xffff);
}

/* Head and question; the question is at most DNS_NAME_MAX + 4 bytes, so that all of it fits. */
static struct writer begin(const struct dns_question *q, const uint8_t *packet, unsigned flags,
	enum dns_rcode rcode, unsigned answers, unsigned authority, uint8_t *out)
{
	struct writer w = {.p = out};

	put16(&w, q->id);
	put16(&w, FLAG_QR | (q->flags & (FLAG_OPCODE | FLAG_RD)) | FLAG_RA | flags | rcode);
	put16(&w, q->end > DNS_HEAD);
	put16(&w, answers);
	put16(&w, authority);
	put16(&w, 0);
	put(&w, packet + DNS_HEAD, q->end - DNS_HEAD);
	return w;
}

size_t dns_reply_code(const struct dns_question *q, const uint8_t *packet, enum dns_rcode rcode,
	uint8_t out[DNS_REPLY_MAX])
{
	return begin(q, packet, 0, rcode, 0, 0, out).n;
}

static void put_a(struct writer *w, uint32_t address)
{
	put16(w, QUESTION_AT);
	put16(w, DNS_TYPE_A);
	put16(w, DNS_CLASS_IN);
	put32(w, DNS_TTL_S);
	put16(w, 4);
	put32(w, address);
}

/* Of "vm": its server is "ns.vm", its keeper "root.vm"; the last number is how long a "no" holds.
 */
static void put_soa(struct writer *w)
{
	static const uint8_t zone[] = "\2vm", data[] = "\2ns\2vm\0\4root\2vm";
	static const uint32_t numbers[] = {1, 3600, 600, 86400, DNS_TTL_S};

	put(w, zone, sizeof(zone));
	put16(w, DNS_TYPE_SOA);
	put16(w, DNS_CLASS_IN);
	put32(w, DNS_TTL_S);
	put16(w, sizeof(data) + sizeof(numbers));
	put(w, data, sizeof(data));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		put32(w, numbers[i]);
}

size_t dns_reply_reverse(const struct dns_question *q, const uint8_t *packet, const char *vm,
	uint8_t out[DNS_REPLY_MAX])
{
	bool found = vm && (q->type == DNS_TYPE_PTR || q->type == DNS_TYPE_ANY);
	struct writer w = begin(q, packet, FLAG_AA, vm ? DNS_NOERROR : DNS_NXDOMAIN, found, 0, out);
	uint8_t label;

	if (!found)
		return w.n;
	label = (uint8_t)strlen(vm);
	put16(&w, QUESTION_AT);
	put16(&w, DNS_TYPE_PTR);
	put16(&w, DNS_CLASS_IN);
	put32(&w, DNS_TTL_S);
	put16(&w, label + 1U + sizeof("\2vm"));
	put(&w, &label, 1);
	put(&w, vm, label);
	put(&w, "\2vm", sizeof("\2vm"));
	return w.n;
}

size_t dns_reply_zone(const struct dns_question *q, const uint8_t *packet, bool exists,
	uint32_t address, uint8_t out[DNS_REPLY_MAX])
{
	bool is_zone = bg_streq(q->name, "vm"), any = q->type == DNS_TYPE_ANY;
	bool has_a = address && (q->type == DNS_TYPE_A || any);
	bool has_soa = is_zone && (q->type == DNS_TYPE_SOA || any);
	bool found = has_a || has_soa;
	struct writer w = begin(q, packet, FLAG_AA, exists || is_zone ? DNS_NOERROR : DNS_NXDOMAIN,
		found, !found, out);

	if (has_a)
		put_a(&w, address);
	else
		put_soa(&w);
	return w.n;
}
