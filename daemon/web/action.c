/* SPDX-License-Identifier: ISC */
/* Actions: a form becomes the body that a row's route of the API takes; what that answers leads on, or is the error to show. */
#include <stdio.h>

#include "common/json.h"
#include "common/size.h"
#include "daemon/web/web_impl.h"

enum { FIELD_MAX = 32, MANY_MAX = 1000 };

/* One word of a list that blanks or commas separate; false: there is none left. */
static bool take_word(const char **p, const char **word, size_t *len)
{
	*p += strspn(*p, " ,\t\r\n");
	*word = *p;
	*len = strcspn(*p, " ,\t\r\n");
	*p += *len;
	return *len > 0;
}

static int wrong(const char *name, const char *value, const char *want, struct bg_err **err)
{
	return bg_err_set(
		err, BG_ERR_BAD_REQUEST, EINVAL, "%s: \"%.60s\" is not %s", name, value, want);
}

static int take_text(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	*ret = json_string(value);
	return *ret ? 0 : wrong(name, "?", "UTF-8", err);
}

static int take_number(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	char *end;
	long long n = strtoll(value, &end, 10);

	if (*end || end == value)
		return wrong(name, value, "a number", err);
	*ret = json_integer(n);
	return 0;
}

static int take_size(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	uint64_t mib = 0;
	int r = bg_size_parse_mib(name, value, 1, UINT32_MAX, &mib, err);

	*ret = r < 0 ? NULL : json_integer((json_int_t)mib);
	return r;
}

static int take_flag(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	(void)name;
	(void)err;
	*ret = json_boolean(bg_streq(value, "1"));
	return 0;
}

/* "a=" is null: the API takes that one away. */
static int take_labels(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	_json_ json_t *labels = json_object();
	const char *word;
	size_t len;

	while (take_word(&value, &word, &len)) {
		const char *eq = memchr(word, '=', len);
		char key[128];
		json_t *text;

		if (!eq || eq == word || (size_t)(eq - word) >= sizeof(key))
			return wrong(name, word, "KEY=VALUE", err);
		snprintf(key, sizeof(key), "%.*s", (int)(eq - word), word);
		text = json_stringn(eq + 1, (size_t)(word + len - eq - 1));
		json_object_set_new(labels, key,
			json_string_length(text) > 0 ? json_incref(text) : json_null());
		json_decref(text);
	}
	*ret = TAKE_PTR(labels);
	return 0;
}

static int take_ports(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	_json_ json_t *list = json_array();
	const char *word;
	size_t len;

	while (take_word(&value, &word, &len)) {
		unsigned host, guest;
		int n = 0;

		if (sscanf(word, "%5u:%5u%n", &host, &guest, &n) != 2 || (size_t)n != len)
			return wrong(name, word, "HOST:GUEST, two port numbers", err);
		json_array_append_new(
			list, json_pack("{s:i, s:i}", "host", (int)host, "guest", (int)guest));
	}
	*ret = TAKE_PTR(list);
	return 0;
}

static int take_list(
	const char *name, const char *value, bool numbers, json_t **ret, struct bg_err **err)
{
	_json_ json_t *list = json_array();
	const char *word;
	size_t len;

	while (take_word(&value, &word, &len)) {
		char text[256];
		json_t *item = NULL;
		int r;

		snprintf(text, sizeof(text), "%.*s", (int)len, word);
		r = numbers ? take_number(name, text, &item, err)
			    : take_text(name, text, &item, err);
		if (r < 0)
			return r;
		json_array_append_new(list, item);
	}
	*ret = TAKE_PTR(list);
	return 0;
}

static int take_numbers(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	return take_list(name, value, true, ret, err);
}

static int take_words(const char *name, const char *value, json_t **ret, struct bg_err **err)
{
	return take_list(name, value, false, ret, err);
}

static const struct {
	const char *word;
	int (*take)(const char *name, const char *value, json_t **ret, struct bg_err **err);
} kinds[] = {
	{"text", take_text},
	{"number", take_number},
	{"size", take_size},
	{"flag", take_flag},
	{"labels", take_labels},
	{"ports", take_ports},
	{"numbers", take_numbers},
	{"words", take_words},
};

static int add_field(
	json_t *body, const char *name, const char *kind, const char *value, struct bg_err **err)
{
	bool flag = bg_streq(kind, "flag");
	json_t *item = NULL;
	int r = 0;

	if (bg_isempty(value) && !flag)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (bg_streq(kinds[i].word, kind))
			r = kinds[i].take(name, value, &item, err);
	if (item)
		json_object_set_new(body, name, item);
	return r;
}

static int make_body(const struct visit *visit, json_t **ret, struct bg_err **err)
{
	_json_ json_t *body = json_object();
	const char *p = visit->route->fields;
	char name[FIELD_MAX], kind[FIELD_MAX];
	int r = 0, n;

	for (; r >= 0 && sscanf(p, " %31[a-z0-9_]:%31[a-z]%n", name, kind, &n) == 2; p += n)
		r = add_field(body, name, kind, http_call_field(visit->call, name, 0), err);
	if (r >= 0)
		*ret = TAKE_PTR(body);
	return r;
}

/* Names of VMs and the like, as web_route_find takes them: what the API says is put into a path. */
static const char *target_of(const json_t *body)
{
	const char *target =
		json_string_value(json_object_get(json_object_get(body, "operation"), "target"));
	size_t len = target ? strlen(target) : 0;

	return len > 0 && strspn(target, "abcdefghijklmnopqrstuvwxyz0123456789-") == len ? target
											 : "";
}

static void on_done(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;
	char path[WEB_PATH_MAX];

	if (status >= 400) {
		page_reply_api_error(visit, status, body);
		return;
	}
	web_path(visit->route->back,
		strstr(visit->route->back, "{target}") ? target_of(body) : visit->arg, path);
	page_go(visit, path);
}

void action_run(struct visit *visit)
{
	struct bg_err *err = NULL;
	json_t *body = NULL;
	char path[WEB_PATH_MAX];

	if (make_body(visit, &body, &err) < 0) {
		page_reply_error(visit, 400, err);
		return;
	}
	if (json_object_size(body) == 0) {
		json_decref(body);
		body = NULL;
	}
	web_path(visit->route->api, visit->arg, path);
	http_ask(visit->web->engine, visit->route->method, path, body, on_done, visit);
}

/* What may be done with several VMs: X(word of the path, method, path of the API). */
static const struct {
	const char *word;
	enum http_method method;
	const char *api;
} verbs[] = {
	{"start", HTTP_POST, "/v1/vms/{name}/start"},
	{"stop", HTTP_POST, "/v1/vms/{name}/stop"},
	{"kill", HTTP_POST, "/v1/vms/{name}/kill"},
	{"suspend", HTTP_POST, "/v1/vms/{name}/suspend"},
	{"resume", HTTP_POST, "/v1/vms/{name}/resume"},
	{"remove", HTTP_DELETE, "/v1/vms/{name}"},
};

static void on_one(int status, const json_t *body, void *userdata);

static bool name_plain(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= WEB_ARG_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* The first that fails is the error that is shown; the others are done all the same. */
static void end_many(struct visit *visit)
{
	struct bg_err *err = TAKE_PTR(visit->err);

	if (err)
		page_reply_error(visit, 409, err);
	else
		page_go(visit, "/");
}

static void next_one(struct visit *visit)
{
	const char *name = http_call_field(visit->call, "vm", visit->next);
	char path[WEB_PATH_MAX];

	for (size_t i = 0; name && visit->next < MANY_MAX && i < ARRAY_SIZE(verbs); i++)
		if (bg_streq(verbs[i].word, visit->arg) && name_plain(name)) {
			visit->next++;
			web_path(verbs[i].api, name, path);
			http_ask(visit->web->engine, verbs[i].method, path, NULL, on_one, visit);
			return;
		}
	end_many(visit);
}

static void on_one(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;

	if (status >= 400 && !visit->err)
		(void)bg_err_from_json(json_object_get(body, "error"), &visit->err);
	next_one(visit);
}

/* Removing several asks first, on a page of its own. */
static void confirm_many(struct visit *visit)
{
	json_t *names = json_array();
	const char *name;

	for (unsigned i = 0; i < MANY_MAX && (name = http_call_field(visit->call, "vm", i)); i++)
		if (name_plain(name))
			json_array_append_new(names, json_string(name));
	page_reply(visit, 200, "delete_many",
		json_pack("{s:i, s:o}", "n", (int)json_array_size(names), "names", names));
}

void action_many(struct visit *visit)
{
	if (bg_streq(visit->arg, "delete"))
		confirm_many(visit);
	else
		next_one(visit);
}
