/* SPDX-License-Identifier: ISC */
/*
 * The decoders of the helper border on any bytes: the first byte is the number of
 * descriptors, the rest the datagram. Whatever is accepted must encode to itself.
 */
#include "common/priv_proto.h"
#include "tests/fuzz/fuzz.h"

static void same(const struct priv_msg *a, const struct priv_msg *b)
{
	if (a->len != b->len || a->nfds != b->nfds || memcmp(a->buf, b->buf, a->len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct priv_msg msg = {.fds = {-1, -1, -1, -1}}, again;
	struct priv_req req;
	struct priv_rep rep;

	if (size < 1 || size - 1 > sizeof(msg.buf))
		return 0;
	msg.nfds = data[0] % (BG_PRIV_FDS_MAX + 1);
	msg.len = size - 1;
	memcpy(msg.buf, data + 1, msg.len);
	if (priv_req_decode(&msg, &req) >= 0) {
		if (priv_req_encode(&req, &again) < 0)
			abort();
		same(&msg, &again);
	}
	if (priv_rep_decode(&msg, &rep) >= 0) {
		if (priv_rep_encode(&rep, &again) < 0)
			abort();
		same(&msg, &again);
	}
	return 0;
}
