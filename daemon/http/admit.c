/* SPDX-License-Identifier: ISC */
/* admit.c: Compares the peer's uid with ours, once per connection. */
#include "daemon/http/admit.h"

#include <event2/bufferevent.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "daemon/loop/loop.h"

struct fresh {
	SLIST_ENTRY(fresh) link;
	struct bufferevent *bev; /* a reference: its descriptor stays the connection's */
};

struct admit {
	struct loop *loop;
	bool (*fn)(int fd, void *userdata);
	void *userdata;
	SLIST_HEAD(, fresh) fresh;
	struct loop_source *turn;
};

/* evhttp sees the end of a connection that is shut down, and frees it as any other. */
static void look_at(struct admit *admit, struct fresh *fresh)
{
	int fd = bufferevent_getfd(fresh->bev);

	if (fd >= 0 && !admit->fn(fd, admit->userdata))
		(void)shutdown(fd, SHUT_RDWR);
}

static void forget(struct admit *admit, struct fresh *fresh)
{
	SLIST_REMOVE(&admit->fresh, fresh, fresh, link);
	bufferevent_decref(fresh->bev);
	free(fresh);
}

static void on_turn(void *userdata)
{
	struct admit *admit = userdata;
	struct fresh *fresh;

	loop_source_free(TAKE_PTR(admit->turn));
	while ((fresh = SLIST_FIRST(&admit->fresh))) {
		look_at(admit, fresh);
		forget(admit, fresh);
	}
}

/* The connection has no descriptor yet. NULL: evhttp makes one of its own, or fails as it would have. */
static struct bufferevent *on_connect(struct event_base *base, void *userdata)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct fresh *fresh = bev ? calloc(1, sizeof(*fresh)) : NULL;
	struct admit *admit = userdata;

	if (!fresh)
		return bev;
	bufferevent_incref(bev);
	fresh->bev = bev;
	SLIST_INSERT_HEAD(&admit->fresh, fresh, link);
	if (!admit->turn)
		(void)loop_defer(admit->loop, "http admit", on_turn, admit, &admit->turn);
	return bev;
}

int admit_new(struct loop *loop, struct evhttp *evhttp, bool (*fn)(int fd, void *userdata),
	void *userdata, struct admit **ret)
{
	struct admit *admit = calloc(1, sizeof(*admit));

	if (!admit)
		return -ENOMEM;
	SLIST_INIT(&admit->fresh);
	admit->loop = loop;
	admit->fn = fn;
	admit->userdata = userdata;
	evhttp_set_bevcb(evhttp, on_connect, admit);
	*ret = admit;
	return 0;
}

void admit_free(struct admit *admit)
{
	if (!admit)
		return;
	loop_source_free(admit->turn);
	while (!SLIST_EMPTY(&admit->fresh))
		forget(admit, SLIST_FIRST(&admit->fresh));
	free(admit);
}
