/* SPDX-License-Identifier: ISC */
/* Any bytes as a question of a guest: what is answered fits and repeats the question. */
#include "daemon/dns/dns_msg.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[DNS_REPLY_MAX];
	char name[DNS_NAME_MAX];
	struct dns_question q;
	int r = dns_parse(data, size, &q);
	uint32_t address;
	size_t n;

	if (r == -EBADMSG)
		return 0;
	if (q.end > size || (r < 0 && q.end != DNS_HEAD))
		abort();
	n = r >= 0 && dns_reverse_name(&q, &address)
		    ? dns_reply_reverse(&q, data, address & 1 ? "a" : NULL, out)
	    : r < 0 || !dns_vm_name(&q, name)
		    ? dns_reply_code(&q, data, DNS_REFUSED, out)
		    : dns_reply_zone(&q, data, name[0] == 'a', data[0], out);
	if (n < q.end || n > sizeof(out) || memcmp(out, data, 2) != 0 ||
		memcmp(out + DNS_HEAD, data + DNS_HEAD, q.end - DNS_HEAD) != 0)
		abort();
	return 0;
}
