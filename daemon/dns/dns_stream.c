/* SPDX-License-Identifier: ISC */
/* See dns_stream.h. */
#include "daemon/dns/dns_stream.h"

#include <sys/socket.h>

enum { HEAD = 2, MESSAGE_MAX = UINT16_MAX, MESSAGES_PER_TURN = 16 };

struct dns_stream {
	int sock;
	struct loop_source *io;
	dns_stream_fn message;
	dns_stream_end_fn end;
	void *userdata;
	bool *gone; /* set when it is freed in its own callback */
	size_t in_len, out_len, out_size;
	uint8_t *out;
	uint8_t in[HEAD + MESSAGE_MAX];
};

static size_t wanted(const struct dns_stream *s)
{
	return s->in_len < HEAD ? HEAD : HEAD + (size_t)(s->in[0] << 8 | s->in[1]);
}

static int watch(const struct dns_stream *s)
{
	return loop_source_set_events(s->io, s->out_len > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static int flush(struct dns_stream *s)
{
	while (s->out_len > 0) {
		ssize_t n = send(s->sock, s->out, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			break;
		if (n < 0)
			return -errno;
		s->out_len -= (size_t)n;
		memmove(s->out, s->out + n, s->out_len);
	}
	return watch(s);
}

/* One read towards the message under way: 1: it is whole, 0: not yet, -errno: there will be none. */
static int fill(struct dns_stream *s)
{
	ssize_t n = recv(s->sock, s->in + s->in_len, wanted(s) - s->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -EPIPE;
	s->in_len += (size_t)n;
	return s->in_len >= HEAD && s->in_len == wanted(s);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct dns_stream *s = userdata;
	bool gone = false;
	int r = events & LOOP_WRITE ? flush(s) : 0;

	(void)fd;
	for (unsigned i = 0; i < 2 * MESSAGES_PER_TURN && (events & LOOP_READ) && r >= 0; i++) {
		r = fill(s);
		if (r != 1)
			continue;
		s->in_len = 0;
		s->gone = &gone;
		s->message(s->in + HEAD, (size_t)(s->in[0] << 8 | s->in[1]), s->userdata);
		if (gone)
			return;
		s->gone = NULL;
	}
	if (r < 0 && r != -EAGAIN)
		s->end(s->userdata);
}

int dns_stream_new(struct loop *loop, int sock, dns_stream_fn message, dns_stream_end_fn end,
	void *userdata, struct dns_stream **ret)
{
	struct dns_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		bg_close(sock);
		return -ENOMEM;
	}
	s->sock = sock;
	s->message = message;
	s->end = end;
	s->userdata = userdata;
	r = loop_add_fd(loop, "dns stream", sock, LOOP_READ, on_io, s, &s->io);
	if (r < 0)
		dns_stream_free(s);
	else
		*ret = s;
	return r;
}

int dns_stream_send(struct dns_stream *s, const void *packet, size_t len)
{
	size_t size = s->out_len + HEAD + len;
	uint8_t *out;

	if (len > MESSAGE_MAX || size > DNS_STREAM_OUT_MAX)
		return -ENOBUFS;
	if (size > s->out_size) {
		out = realloc(s->out, size);
		if (!out)
			return -ENOMEM;
		s->out = out;
		s->out_size = size;
	}
	s->out[s->out_len] = (uint8_t)(len >> 8);
	s->out[s->out_len + 1] = (uint8_t)len;
	memcpy(s->out + s->out_len + HEAD, packet, len);
	s->out_len = size;
	return flush(s);
}

void dns_stream_free(struct dns_stream *s)
{
	if (!s)
		return;
	if (s->gone)
		*s->gone = true;
	loop_source_free(s->io);
	bg_close(s->sock);
	free(s->out);
	free(s);
}
