/* SPDX-License-Identifier: ISC */
/* session.c: A short table, searched whole; secrets are compared as hashes, in constant time. */
#include "daemon/web/session.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/queue.h>

enum { SECRET = 32, HASH = crypto_hash_sha256_BYTES };

struct token {
	uint8_t hash[HASH];
	uint64_t until; /* 0: free */
};

struct session {
	TAILQ_ENTRY(session) link;
	uint8_t hash[HASH];
	uint64_t id, made, used;
};

struct sessions {
	char cookie_name[32];
	uint64_t last_id;
	struct token tokens[WEB_TOKENS_MAX];
	TAILQ_HEAD(session_list, session) list; /* the oldest first */
	unsigned n, wrong;
	uint64_t wrong_since;
	sessions_end_fn on_end;
	void *userdata;
};

int sessions_new(const char *place, struct sessions **ret)
{
	struct sessions *s = calloc(1, sizeof(*s));
	uint8_t hash[HASH];

	if (!s)
		return -ENOMEM;
	TAILQ_INIT(&s->list);
	crypto_hash_sha256(hash, (const uint8_t *)place, strlen(place));
	snprintf(s->cookie_name, sizeof(s->cookie_name), "__Host-banger-%02x%02x%02x%02x", hash[0],
		hash[1], hash[2], hash[3]);
	*ret = s;
	return 0;
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	(void)sessions_end_all(s);
	sodium_memzero(s, sizeof(*s));
	free(s);
}

/* What is compared is a hash, so that the time it takes says nothing about the secret. */
static void hash_text(const char *text, uint8_t ret[HASH])
{
	crypto_hash_sha256(ret, (const uint8_t *)text, strlen(text));
}

static void make_secret(char text[WEB_SECRET_TEXT], uint8_t hash[HASH])
{
	uint8_t raw[SECRET];

	randombytes_buf(raw, sizeof(raw));
	sodium_bin2base64(
		text, WEB_SECRET_TEXT, raw, sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	hash_text(text, hash);
	sodium_memzero(raw, sizeof(raw));
}

void sessions_token(struct sessions *s, uint64_t now, char ret[WEB_SECRET_TEXT])
{
	struct token *oldest = &s->tokens[0];

	for (unsigned i = 1; i < WEB_TOKENS_MAX; i++)
		if (s->tokens[i].until < oldest->until)
			oldest = &s->tokens[i];
	make_secret(ret, oldest->hash);
	oldest->until = now + WEB_TOKEN_S;
}

static bool use_token(struct sessions *s, const char *text, uint64_t now)
{
	uint8_t hash[HASH];

	hash_text(text, hash);
	for (unsigned i = 0; i < WEB_TOKENS_MAX; i++) {
		struct token *t = &s->tokens[i];

		if (t->until > now && sodium_memcmp(t->hash, hash, HASH) == 0) {
			*t = (struct token){.until = 0};
			return true;
		}
	}
	return false;
}

static bool is_shut(struct sessions *s, uint64_t now)
{
	if (now >= s->wrong_since + WEB_TOKEN_S)
		s->wrong = 0;
	return s->wrong >= WEB_WRONG_MAX;
}

static void count_wrong(struct sessions *s, uint64_t now)
{
	if (s->wrong++ == 0 || s->wrong == WEB_WRONG_MAX)
		s->wrong_since = now;
}

void sessions_on_end(struct sessions *s, sessions_end_fn fn, void *userdata)
{
	s->on_end = fn;
	s->userdata = userdata;
}

void sessions_end(struct sessions *s, struct session *session)
{
	if (s->on_end)
		s->on_end(session->id, s->userdata);
	TAILQ_REMOVE(&s->list, session, link);
	s->n--;
	sodium_memzero(session, sizeof(*session));
	free(session);
}

int sessions_redeem(
	struct sessions *s, const char *token, uint64_t now, char cookie[WEB_SECRET_TEXT])
{
	struct session *session;

	if (is_shut(s, now))
		return -EBUSY;
	if (!use_token(s, token, now)) {
		count_wrong(s, now);
		return -EACCES;
	}
	session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	make_secret(cookie, session->hash);
	session->id = ++s->last_id;
	session->made = session->used = now;
	TAILQ_INSERT_TAIL(&s->list, session, link);
	if (++s->n > WEB_SESSIONS_MAX)
		sessions_end(s, TAILQ_FIRST(&s->list));
	return 0;
}

/* Where the value of our cookie begins, and how long it is. */
static const char *own_value(const struct sessions *s, const char *header, size_t *len)
{
	size_t n = strlen(s->cookie_name);

	while (header && *header) {
		header += strspn(header, "; \t");
		*len = strcspn(header, ";");
		if (*len > n && strncmp(header, s->cookie_name, n) == 0 && header[n] == '=') {
			*len -= n + 1;
			return header + n + 1;
		}
		header += *len;
	}
	return NULL;
}

struct session *sessions_find(struct sessions *s, const char *header, uint64_t now)
{
	struct session *session, *next;
	char text[WEB_SECRET_TEXT];
	uint8_t hash[HASH];
	size_t len = 0;
	const char *value = own_value(s, header, &len);

	if (!value || len != WEB_SECRET_TEXT - 1)
		return NULL;
	memcpy(text, value, len);
	text[len] = '\0';
	hash_text(text, hash);
	for (session = TAILQ_FIRST(&s->list); session; session = next) {
		next = TAILQ_NEXT(session, link);
		if (now >= session->used + WEB_IDLE_S || now >= session->made + WEB_AGE_S) {
			sessions_end(s, session);
		} else if (sodium_memcmp(session->hash, hash, HASH) == 0) {
			session->used = now;
			return session;
		}
	}
	return NULL;
}

unsigned sessions_end_all(struct sessions *s)
{
	unsigned n = s->n;

	while (!TAILQ_EMPTY(&s->list))
		sessions_end(s, TAILQ_FIRST(&s->list));
	return n;
}

unsigned sessions_count(const struct sessions *s)
{
	return s->n;
}

static struct session *by_id(const struct sessions *s, uint64_t id)
{
	struct session *session;

	TAILQ_FOREACH (session, &s->list, link)
		if (session->id == id)
			return session;
	return NULL;
}

bool sessions_alive(const struct sessions *s, uint64_t id)
{
	return by_id(s, id);
}

void sessions_touch(struct sessions *s, uint64_t id, uint64_t now)
{
	struct session *session = by_id(s, id);

	if (session)
		session->used = now;
}

uint64_t session_id(const struct session *session)
{
	return session->id;
}

const char *sessions_cookie_name(const struct sessions *s)
{
	return s->cookie_name;
}
