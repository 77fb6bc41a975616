/* SPDX-License-Identifier: ISC */
/* See registry.h. Tokens: "Token Authentication Specification" of the distribution project. */
#include "worker/registry.h"

#include <ctype.h>
#include <stdio.h>

#define TOKEN_MAX	(64 * 1024)
#define TOKEN_REPLY_MAX (256 * 1024)
#define DEFAULT_STALL_S 60

int registry_open(struct registry *reg, struct job *job, struct bg_err **err)
{
	const json_t *p = job->params;
	int r;

	*reg = (struct registry){.job = job, .stall_s = DEFAULT_STALL_S};
	r = bg_json_need_str(p, "host", BG_ERR_WORKER, &reg->host, err);
	if (r >= 0)
		r = bg_json_need_str(p, "repository", BG_ERR_WORKER, &reg->repository, err);
	if (r >= 0)
		r = bg_json_or_bool(p, "plain", BG_ERR_WORKER, &reg->plain, err);
	if (r >= 0)
		r = bg_json_or_str(p, "user", BG_ERR_WORKER, &reg->user, err);
	if (r >= 0)
		r = bg_json_or_str(p, "password", BG_ERR_WORKER, &reg->password, err);
	if (r >= 0)
		r = bg_json_or_str(p, "identity", BG_ERR_WORKER, &reg->identity, err);
	if (r >= 0)
		r = bg_json_or_str(p, "hint", BG_ERR_WORKER, &reg->hint, err);
	if (r >= 0)
		r = bg_json_or_int(p, "stall_s", BG_ERR_WORKER, 1, 3600, &reg->stall_s, err);
	return r < 0 ? r : net_new(job, (unsigned)reg->stall_s, &reg->net, err);
}

void registry_close(struct registry *reg)
{
	net_free(TAKE_PTR(reg->net));
	free(TAKE_PTR(reg->auth));
}

char *registry_url(const struct registry *reg, const char *what, const char *reference)
{
	char *url = NULL;

	return asprintf(&url, "%s://%s/v2/%s/%s/%s", reg->plain ? "http" : "https", reg->host,
		       reg->repository, what, reference) < 0
		       ? NULL
		       : url;
}

/* At the parameter's value, behind its quote when it has one; NULL when s is not at NAME=. */
static const char *value_at(const char *s, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(s, name, n) != 0 || s[n] != '=')
		return NULL;
	return s + n + 1;
}

/* Behind a value, quoted or not; what it is goes to out (NULL: nowhere), without escapes. */
static const char *skip_value(const char *s, char *out)
{
	bool quoted = *s == '"';

	s += quoted;
	while (*s && (quoted ? *s != '"' : !strchr(", \t", *s))) {
		if (quoted && *s == '\\' && s[1])
			s++;
		if (out)
			*out++ = *s;
		s++;
	}
	if (out)
		*out = '\0';
	return s + (quoted && *s == '"');
}

static const char *skip_blank(const char *s)
{
	return s + strspn(s, ", \t");
}

/* 'Bearer realm="x",scope="y", Basic realm="z"': a word without '=' behind it starts another
 * scheme. */
char *challenge_param(const char *challenge, const char *scheme, const char *param)
{
	const char *s = skip_blank(challenge);
	bool in = false, seen = false;

	while (*s) {
		size_t n = strcspn(s, "=, \t");
		const char *v;

		if (s[n] != '=') {
			if (seen && in)
				return NULL;
			in = n == strlen(scheme) && strncasecmp(s, scheme, n) == 0;
			seen = seen || in;
			if (in && !param)
				return strdup("");
			s = skip_blank(s + n);
			continue;
		}
		v = in && param ? value_at(s, param) : NULL;
		if (v) {
			char *out = malloc(strlen(v) + 1);

			if (out)
				(void)skip_value(v, out);
			return out;
		}
		s = skip_blank(skip_value(s + n + 1, NULL));
	}
	return NULL;
}

static int out_of_memory(struct bg_err **err)
{
	return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "ask for a token");
}

static int unauthorized(const struct registry *reg, const char *why, struct bg_err **err)
{
	bg_err_set(err, BG_ERR_REGISTRY_AUTH, EACCES, "%s/%s: %s%s", reg->host, reg->repository,
		why, reg->user || reg->identity ? " (with your credentials)" : "");
	if (reg->hint)
		bg_err_hint(err, "%s", reg->hint);
	return -EACCES;
}

static char *escape(const char *s)
{
	char *out = malloc(3 * strlen(s) + 1), *p = out;

	for (; out && *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
			*p++ = *s;
		else
			p += sprintf(p, "%%%02X", (unsigned char)*s);
	}
	if (out)
		*p = '\0';
	return out;
}

/* Whether t asks a server that may see the credentials. */
static bool realm_fits(const struct registry *reg, const char *realm)
{
	return strncasecmp(realm, "https://", 8) == 0 ||
	       (reg->plain && strncasecmp(realm, "http://", 7) == 0);
}

static int take_token(struct registry *reg, const char *text, size_t len, struct bg_err **err)
{
	_json_ json_t *doc = json_loadb(text, len, 0, NULL);
	const char *token = NULL;
	char *auth = NULL;

	if (bg_json_get_str(doc, "token", &token) < 0)
		(void)bg_json_get_str(doc, "access_token", &token);
	if (bg_isempty(token) || strlen(token) > TOKEN_MAX)
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
			"the token server of %s sends no token", reg->host);
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~') /* it becomes a header line */
			return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
				"the token server of %s sends a token with strange letters",
				reg->host);
	if (asprintf(&auth, "Authorization: Bearer %s", token) < 0)
		return out_of_memory(err);
	free(reg->auth);
	reg->auth = auth;
	return 0;
}

/* A GET with basic credentials, or a POST that shows the identity token of `docker login`. */
static int fill_question(struct registry *reg, struct transfer *t, const char *realm,
	const char *service, char **url, char **form)
{
	_free_ char *scope = NULL, *s = escape(service), *who = NULL;
	_free_ char *raw = NULL;

	if (asprintf(&raw, "repository:%s:pull", reg->repository) < 0)
		return -ENOMEM;
	scope = escape(raw);
	who = escape(reg->identity ? reg->identity : "");
	if (!scope || !s || !who)
		return -ENOMEM;
	if (asprintf(url, "%s%cservice=%s&scope=%s", realm, strchr(realm, '?') ? '&' : '?', s,
		    scope) < 0)
		return -ENOMEM;
	t->url = *url;
	if (!reg->identity) {
		t->user = reg->user;
		t->password = reg->password;
		return 0;
	}
	if (asprintf(form,
		    "grant_type=refresh_token&client_id=banger&service=%s&scope=%s&refresh_token=%"
		    "s",
		    s, scope, who) < 0)
		return -ENOMEM;
	t->url = realm;
	t->post = *form;
	return 0;
}

static int ask(struct registry *reg, struct transfer *t, struct bg_err **err)
{
	_unref_(net) struct net *net = NULL;
	int r = net_new(reg->job, (unsigned)reg->stall_s, &net, err);

	if (r >= 0)
		r = net_run(net, &t, 1, 1, 0, err);
	if (r < 0)
		return r;
	if (t->status == 401 || t->status == 403)
		return unauthorized(reg, "the registry gives no right to pull this", err);
	if (t->status != 200)
		return transfer_refused(t, err);
	return take_token(reg, t->text ? t->text : "", t->size, err);
}

static int get_token(struct registry *reg, const char *challenge, struct bg_err **err)
{
	_free_ char *realm = challenge_param(challenge, "Bearer", "realm");
	_free_ char *service = challenge_param(challenge, "Bearer", "service");
	_free_ char *url = NULL, *form = NULL, *name = NULL;
	struct transfer t = {.fd = -1, .max = TOKEN_REPLY_MAX};
	int r;

	if (!realm || !realm_fits(reg, realm))
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
			"%s names no https:// server for tokens", reg->host);
	if (asprintf(&name, "token server of %s (%.100s)", reg->host, realm) < 0 ||
		fill_question(reg, &t, realm, service ? service : "", &url, &form) < 0)
		return out_of_memory(err);
	t.name = name;
	r = ask(reg, &t, err);
	transfer_clear(&t);
	return r;
}

/* The registry asked for credentials. Another transfer may have got them meanwhile: then 1 at once.
 */
static int authorize(struct transfer *t, struct bg_err **err)
{
	struct registry *reg = t->userdata;
	_free_ char *basic = NULL;
	int r;

	if (reg->auth && !bg_streq(reg->auth, t->auth_used))
		return 1;
	if (t->challenge && strcasestr(t->challenge, "bearer")) {
		if (t->authorized++ > 1)
			return unauthorized(reg, "the registry gives no right to pull this", err);
		r = get_token(reg, t->challenge, err);
		return r < 0 ? r : 1;
	}
	if (reg->basic && !t->user) {
		t->user = reg->user;
		t->password = reg->password;
		return 1;
	}
	basic = t->challenge ? challenge_param(t->challenge, "Basic", NULL) : NULL;
	if (!basic || !reg->user || reg->basic)
		return unauthorized(reg, "the registry wants credentials", err);
	reg->basic = true;
	t->user = reg->user;
	t->password = reg->password;
	return 1;
}

void registry_transfer(struct registry *reg, struct transfer *t)
{
	t->auth = &reg->auth;
	t->authorize = authorize;
	t->userdata = reg;
	if (reg->basic) {
		t->user = reg->user;
		t->password = reg->password;
	}
}

int registry_get(struct registry *reg, struct transfer *t, const char *what, const char *reference,
	uint64_t max, struct bg_err **err)
{
	_free_ char *url = registry_url(reg, what, reference);
	int r;

	if (!url)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "ask %s", reg->host);
	registry_transfer(reg, t);
	t->url = url;
	t->fd = -1;
	t->max = max;
	r = net_run(reg->net, &t, 1, 1, 0, err);
	if (r < 0)
		return r;
	t->url = NULL;
	if (t->status == 401 || t->status == 403)
		return unauthorized(reg, "the registry gives no right to pull this", err);
	if (t->status == 404)
		return bg_err_set(err, BG_ERR_REGISTRY_NOT_FOUND, ENOENT,
			"%s is not in the registry", t->name);
	return t->status == 200 ? 0 : transfer_refused(t, err);
}
