/* SPDX-License-Identifier: ISC */
/* Any bytes as a WebSocket client's: the same pieces come out of them whole and one by one. */
#include "daemon/http/websocket.h"
#include "tests/fuzz/fuzz.h"

struct result {
	uint64_t sum;
	size_t bytes;
	unsigned control;
	int end;
};

static void add(struct result *r, const struct ws_piece *piece)
{
	if (piece->opcode != WS_BINARY && piece->len > WS_CONTROL_MAX)
		abort();
	r->control += piece->opcode != WS_BINARY;
	r->bytes += piece->len;
	for (size_t i = 0; i < piece->len; i++)
		r->sum = r->sum * 31 + piece->bytes[i];
}

static struct result read_all(const uint8_t *data, size_t size, size_t step)
{
	struct result result = {.end = 0};
	struct ws_reader reader = {.head_len = 0};
	struct ws_piece piece;
	uint8_t *copy = malloc(size + 1);

	memcpy(copy, data, size);
	for (size_t at = 0; at < size && result.end >= 0; at += step) {
		uint8_t *p = copy + at;
		size_t n = BG_MIN(step, size - at);

		while ((result.end = ws_next(&reader, &p, &n, &piece)) > 0)
			add(&result, &piece);
		if (result.end == 0 && n > 0)
			abort();
	}
	free(copy);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = read_all(data, size, size + 1), single = read_all(data, size, 1);

	if (whole.sum != single.sum || whole.bytes != single.bytes ||
		whole.control != single.control || whole.end != single.end)
		abort();
	return 0;
}
