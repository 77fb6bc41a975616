/* SPDX-License-Identifier: ISC */
/*
 * session.h: who is signed in to the web page. A link's token is good once and for a minute; what it gives is a cookie with another secret.
 * Only hashes of either are kept, in memory: they end with the daemon. Times are seconds of a clock that only goes forward.
 */
#ifndef BG_DAEMON_WEB_SESSION_H
#define BG_DAEMON_WEB_SESSION_H

#include <jansson.h>

#include "common/base.h"

enum {
	WEB_SECRET_TEXT = 44, /* 32 bytes as base64url, with its NUL */
	WEB_TOKEN_S = 60,
	WEB_TOKENS_MAX = 8,
	WEB_SESSIONS_MAX = 16,
	WEB_IDLE_S = 12 * 3600,
	WEB_AGE_S = 7 * 24 * 3600,
	/* wrong tokens within WEB_TOKEN_S, after which the door is shut for as long */
	WEB_WRONG_MAX = 5,
};

struct sessions;
struct session;

/* place: what tells this daemon's cookies from another's, such as its state folder. */
int sessions_new(const char *place, struct sessions **ret);
/* fn is told of each session that ends, whatever ends it, while it is still there. NULL: nobody. */
typedef void (*sessions_end_fn)(uint64_t id, void *userdata);
void sessions_on_end(struct sessions *sessions, sessions_end_fn fn, void *userdata);
void sessions_free(struct sessions *sessions);
BG_DEFINE_UNREF(sessions, struct sessions *, sessions_free)

/* Another token; the oldest of too many goes. */
void sessions_token(struct sessions *sessions, uint64_t now, char ret[WEB_SECRET_TEXT]);
/* Uses the token up and makes a session. -EACCES: no such token (any more); -EBUSY: too many wrong ones lately. */
int sessions_redeem(
	struct sessions *sessions, const char *token, uint64_t now, char cookie[WEB_SECRET_TEXT]);
/* The session of a Cookie header, or NULL; it counts as used now. */
struct session *sessions_find(struct sessions *sessions, const char *header, uint64_t now);
void sessions_end(struct sessions *sessions, struct session *session);
/* How many there were. */
unsigned sessions_end_all(struct sessions *sessions);
unsigned sessions_count(const struct sessions *sessions);
/* Is the session of this id still there? */
bool sessions_alive(const struct sessions *sessions, uint64_t id);
/* It is in use now; nothing when it is not there. */
void sessions_touch(struct sessions *sessions, uint64_t id, uint64_t now);
/* A number that no other session of this daemon has. */
uint64_t session_id(const struct session *session);
const char *sessions_cookie_name(const struct sessions *sessions);

#endif
