/* SPDX-License-Identifier: ISC */
/*
 * pulse.c: The question is an ordinary GET of the version, on a connection of its own, polled
 * beside the stream.
 */
#include "cli/pulse.h"

#include <poll.h>

#include "common/clock.h"

enum { AGAIN_MS = 1000 }; /* a question that could not be sent, or that an engine took to its end */

static uint64_t limit_ms(void)
{
	return (uint64_t)bg_http_timeout_s() * 1000;
}

void pulse_init(struct pulse *p, struct cli *cli)
{
	*p = (struct pulse){.cli = cli, .heard_ms = bg_now_ms()};
}

void pulse_done(struct pulse *p)
{
	bg_http_free(TAKE_PTR(p->ask));
}

void pulse_heard(struct pulse *p)
{
	bg_http_free(TAKE_PTR(p->ask));
	p->asked_ms = 0;
	p->heard_ms = bg_now_ms();
}

int pulse_fd(const struct pulse *p)
{
	return p->ask ? bg_http_fd(p->ask) : -1;
}

/* When it is asked, or given up; without a question on its way also when it is asked again. */
static uint64_t next_ms(const struct pulse *p)
{
	if (!p->asked_ms)
		return p->heard_ms + limit_ms();
	return p->ask ? p->asked_ms + limit_ms()
		      : BG_MIN(bg_now_ms() + AGAIN_MS, p->asked_ms + limit_ms());
}

int pulse_wait_ms(const struct pulse *p)
{
	uint64_t now = bg_now_ms(), at = next_ms(p);

	return at > now ? (int)BG_MIN(at - now, (uint64_t)INT32_MAX) : 0;
}

static void ask(struct pulse *p)
{
	struct bg_http *h = NULL;

	if (bg_http_connect_now(p->cli->paths.socket, &h, NULL) < 0)
		return;
	if (bg_http_send(h, "GET", "/v1/version", NULL, NULL) < 0)
		bg_http_free(h);
	else
		p->ask = h;
}

/* An answer of any kind is one; a connection that broke is asked for anew. */
static void take_answer(struct pulse *p)
{
	struct pollfd pfd = {.fd = pulse_fd(p), .events = POLLIN};

	if (poll(&pfd, 1, 0) <= 0)
		return;
	if (bg_http_pump(p->ask, NULL) < 0)
		bg_http_free(TAKE_PTR(p->ask));
	else if (bg_http_status(p->ask))
		pulse_heard(p);
}

int pulse_turn(struct pulse *p, struct bg_err **err)
{
	uint64_t now = bg_now_ms();

	if (p->ask)
		take_answer(p);
	if (!p->asked_ms && now < p->heard_ms + limit_ms())
		return 0;
	if (!p->asked_ms)
		p->asked_ms = now;
	if (now >= p->asked_ms + limit_ms())
		return bg_http_no_answer(err);
	if (!p->ask)
		ask(p);
	return 0;
}

int pulse_wait(struct pulse *p, int fd, int wait_ms, struct bg_err **err)
{
	uint64_t until = wait_ms < 0 ? UINT64_MAX : bg_now_ms() + (uint64_t)wait_ms;

	for (;;) {
		struct pollfd pfds[] = {
			{.fd = fd, .events = POLLIN}, {.fd = pulse_fd(p), .events = POLLIN}};
		uint64_t now = bg_now_ms(), left = until > now ? until - now : 0;
		int n = poll(pfds, ARRAY_SIZE(pfds), (int)BG_MIN((uint64_t)pulse_wait_ms(p), left)),
		    r;

		if (n > 0 && pfds[0].revents) {
			pulse_heard(p);
			return 1;
		}
		r = pulse_turn(p, err);
		if (r < 0 || bg_now_ms() >= until)
			return r;
	}
}

int pulse_next_raw(
	struct pulse *p, struct bg_http *h, const char **data, size_t *len, struct bg_err **err)
{
	int r = 0;

	bg_http_take_raw(h, data, len);
	while (r >= 0 && *len == 0 && !bg_http_ended(h)) {
		r = pulse_wait(p, bg_http_fd(h), -1, err);
		if (r > 0)
			r = bg_http_pump(h, err);
		bg_http_take_raw(h, data, len);
	}
	return BG_MIN(r, 0);
}
