/* SPDX-License-Identifier: ISC */
/*
 * Pages: what a row wants is asked of the API, one after the other; view.c makes it readable, template.c puts it into the page. Answers may
 * come after the browser has left: the call takes them all the same.
 */
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "common/json.h"
#include "daemon/engine.h"
#include "daemon/web/template.h"
#include "daemon/web/view.h"
#include "daemon/web/web_impl.h"

static const char html_type[] = "text/html; charset=utf-8";

static void put(json_t *view, const char *key, json_t *value)
{
	json_object_set_new(view, key, value);
}

/* What the frame around every page needs. */
static void add_frame(const struct visit *visit, json_t *view)
{
	char host[64] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	put(view, "css", json_string(asset_url("style.css")));
	put(view, "icon", json_string(asset_url("icon.svg")));
	put(view, "js", json_string(asset_url("app.js")));
	put(view, "term_js", json_string(asset_url("term.js")));
	put(view, "hostname", bg_json_str(host));
	put(view, "signed_in", json_boolean(visit->session != NULL));
	if (visit->route && visit->route->nav) {
		char key[32];

		snprintf(key, sizeof(key), "nav_%s", visit->route->nav);
		put(view, key, json_true());
	}
}

void page_reply(struct visit *visit, int status, const char *template, json_t *view)
{
	struct http_call *call = TAKE_PTR(visit->call);
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	add_frame(visit, view);
	if (out) {
		(void)template_render(asset_template(template), view, asset_template, out);
		if (fclose(out) != 0)
			len = 0;
	}
	json_decref(view);
	http_call_add_header(call, "Cache-Control", "no-store");
	http_reply_bytes(call, len > 0 ? status : 500, html_type, text, len);
	visit_free(visit);
}

bool visit_of_script(const struct visit *visit)
{
	const char *accept;

	return http_call_header(visit->call, "Accept", &accept) == 1 &&
	       strcasecmp(accept, "application/json") == 0;
}

void page_reply_api_error(struct visit *visit, int status, const json_t *body)
{
	json_t *error = json_object_get(body, "error");

	if (visit_of_script(visit)) {
		http_call_add_header(visit->call, "Cache-Control", "no-store");
		http_reply(visit->call, status, json_pack("{s:O?}", "error", error));
		visit_free(visit);
	} else {
		page_reply(visit, status, "error", json_pack("{s:O?}", "error", error));
	}
}

void page_reply_error(struct visit *visit, int status, struct bg_err *err)
{
	_json_ json_t *body = json_pack("{s:o}", "error", http_error_json(err));

	bg_err_free(err);
	page_reply_api_error(visit, status, body);
}

void page_go(struct visit *visit, const char *path)
{
	struct http_call *call = TAKE_PTR(visit->call);
	_free_ struct visit *end = visit;

	http_call_add_header(call, "Cache-Control", "no-store");
	end->call = call;
	if (visit_of_script(visit)) {
		http_reply(call, 200, json_pack("{s:s}", "to", path));
	} else {
		http_call_add_header(call, "Location", path);
		http_reply_bytes(call, 303, NULL, NULL, 0);
	}
	json_decref(visit->raw);
	bg_err_free(visit->err);
}

/* The row of a VM shows how far its operation is. */
static void join_op(json_t *vm, const json_t *ops)
{
	const char *id = json_string_value(json_object_get(vm, "operation"));
	const json_t *op;
	size_t i;

	json_array_foreach (ops, i, op) {
		if (!bg_streq(json_string_value(json_object_get(op, "id")), id))
			continue;
		json_object_set(vm, "stage", json_object_get(op, "text"));
		json_object_set(vm, "percent", json_object_get(op, "percent"));
		json_object_set(vm, "measured", json_object_get(op, "measured"));
		json_object_set(vm, "op", json_object_get(op, "id"));
	}
}

static bool flag_of(const json_t *view, const char *key)
{
	return json_is_true(json_object_get(view, key));
}

static void add_ops(const json_t *raw, json_t *view)
{
	const json_t *list = json_object_get(json_object_get(raw, "ops"), "operations");
	json_t *all = json_array(), *now = json_array();
	const json_t *record;
	size_t i;

	json_array_foreach (list, i, record) { /* the newest is the first */
		json_t *op = view_op(record);

		json_array_append(all, op);
		if (flag_of(op, "running"))
			json_array_append(now, op);
		json_decref(op);
	}
	put(view, "under_way", json_boolean(json_array_size(now) > 0));
	put(view, "ops_now", now);
	put(view, "ops", all);
}

static bool has_text(const json_t *vm, const char *key, const char *what)
{
	const char *text = json_string_value(json_object_get(vm, key));

	return text && strcasestr(text, what);
}

static bool is_wanted(const json_t *vm, const char *text, const char *state)
{
	if (!bg_isempty(text) && !has_text(vm, "name", text) && !has_text(vm, "image", text) &&
		!has_text(vm, "labels", text))
		return false;
	return bg_isempty(state) || flag_of(vm, state);
}

/* The chips above the list: X(flag of a VM's view, key of the number, of "is chosen"). */
static const char *const chips[] = {"runs", "sleeps", "rests", "bad", "busy"};

static void add_chips(json_t *view, const unsigned *counts, const char *state)
{
	char key[32];

	for (size_t i = 0; i < ARRAY_SIZE(chips); i++) {
		snprintf(key, sizeof(key), "n_%s", chips[i]);
		put(view, key, json_integer(counts[i]));
		snprintf(key, sizeof(key), "only_%s", chips[i]);
		put(view, key, json_boolean(bg_streq(state, chips[i])));
	}
	put(view, "only_all", json_boolean(bg_isempty(state)));
}

static void add_vms(const struct visit *visit, json_t *view)
{
	const json_t *list = json_object_get(json_object_get(visit->raw, "vms"), "vms"), *vm;
	const char *text = http_call_field(visit->call, "q", 0),
		   *state = http_call_field(visit->call, "state", 0);
	unsigned counts[ARRAY_SIZE(chips)] = {0};
	json_t *shown = json_array();
	int64_t now = time(NULL);
	size_t i;

	json_array_foreach (list, i, vm) {
		json_t *one = view_vm(vm, now);

		for (size_t k = 0; k < ARRAY_SIZE(chips); k++)
			counts[k] += flag_of(one, chips[k]);
		join_op(one, json_object_get(view, "ops_now"));
		if (is_wanted(one, text, state))
			json_array_append(shown, one);
		json_decref(one);
	}
	add_chips(view, counts, state);
	put(view, "q", bg_json_str(text ? text : ""));
	put(view, "n_all", json_integer((json_int_t)json_array_size(list)));
	put(view, "vms", shown);
}

static const char *const tabs[] = {"terminal", "console", "log", "settings"};

/* The tab that the query chooses; the first when it says nothing of ours. */
static void add_tab(const struct visit *visit, json_t *view)
{
	const char *tab = http_call_field(visit->call, "tab", 0);
	size_t chosen = 0;
	char key[32];

	for (size_t i = 0; i < ARRAY_SIZE(tabs); i++)
		if (bg_streq(tab, tabs[i]))
			chosen = i;
	snprintf(key, sizeof(key), "tab_%s", tabs[chosen]);
	put(view, key, json_true());
}

static void add_vm(const struct visit *visit, json_t *view)
{
	json_t *vm = view_vm(json_object_get(visit->raw, "vm"), time(NULL));

	join_op(vm, json_object_get(view, "ops_now"));
	put(view, "title", json_incref(json_object_get(vm, "name")));
	put(view, "vm", vm);
	add_tab(visit, view);
}

static void add_list(
	const json_t *raw, json_t *view, const char *key, json_t *(*make)(const json_t *record))
{
	const json_t *list = json_object_get(json_object_get(raw, key), key);
	json_t *all;

	if (!json_is_array(list))
		return;
	all = view_list(list, make);
	put(view, "n", json_integer((json_int_t)json_array_size(all)));
	put(view, key, all);
}

static json_t *make_view(const struct visit *visit)
{
	const json_t *raw = visit->raw;
	json_t *view = json_object();

	if (json_object_get(raw, "daemon"))
		put(view, "host", view_host(json_object_get(raw, "daemon"), time(NULL)));
	if (json_object_get(raw, "ops"))
		add_ops(raw, view);
	if (json_object_get(raw, "vms"))
		add_vms(visit, view);
	if (json_object_get(raw, "vm"))
		add_vm(visit, view);
	if (json_object_get(raw, "image"))
		put(view, "image", view_image(json_object_get(raw, "image")));
	if (json_object_get(raw, "kernel"))
		put(view, "kernel", view_kernel(json_object_get(raw, "kernel")));
	add_list(raw, view, "kernels", view_kernel);
	add_list(raw, view, "images", view_image);
	pick_fill(visit, view);
	return view;
}

/* "KEY=PATH" of what is left: the next of it. false: all was asked. */
static bool take_want(struct visit *visit, char key[32], char path[WEB_PATH_MAX])
{
	char template[WEB_PATH_MAX];
	int n = 0;

	if (sscanf(visit->more, " %31[a-z]=%255s%n", key, template, &n) != 2)
		return false;
	visit->more += n;
	web_path(template, visit->arg, path);
	return true;
}

static void on_answer(int status, const json_t *body, void *userdata);

static void ask_next(struct visit *visit)
{
	char key[32], path[WEB_PATH_MAX];

	if (take_want(visit, key, path)) {
		/* Its place: the answer goes to the key that was made last. */
		json_object_set_new(visit->raw, "asked", json_string(key));
		http_ask(visit->web->engine, HTTP_GET, path, NULL, on_answer, visit);
	} else {
		page_reply(visit, 200, visit->route->template, make_view(visit));
	}
}

static void on_answer(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;
	const char *key = json_string_value(json_object_get(visit->raw, "asked"));

	if (status >= 400) {
		page_reply_api_error(visit, status, body);
		return;
	}
	json_object_set(visit->raw, key, (json_t *)(uintptr_t)body);
	ask_next(visit);
}

void page_show(struct visit *visit)
{
	visit->raw = json_object();
	visit->more = visit->route->wants;
	ask_next(visit);
}

static void set_cookie(struct visit *visit, const char *value)
{
	char text[256];

	snprintf(text, sizeof(text), "%s=%s; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=%d",
		sessions_cookie_name(visit->web->sessions), value, *value ? WEB_AGE_S : 0);
	http_call_add_header(visit->call, "Set-Cookie", text);
}

/* 200 and Refresh: a browser holds a Strict cookie back from a redirect's target when the link came from elsewhere. */
void page_open(struct visit *visit)
{
	char cookie[WEB_SECRET_TEXT];
	int r = sessions_redeem(
		visit->web->sessions, visit->arg, loop_now_usec() / 1000000, cookie);

	if (r < 0) {
		page_reply(visit, r == -EBUSY ? 429 : 403, "used",
			json_pack("{s:b}", "shut", r == -EBUSY));
		return;
	}
	set_cookie(visit, cookie);
	http_call_add_header(visit->call, "Refresh", "0; url=/?signed=in");
	page_reply(
		visit, 200, "moved", json_pack("{s:s, s:b}", "url", "/?signed=in", "entered", 1));
}

void action_sign_out(struct visit *visit)
{
	sessions_end(visit->web->sessions, TAKE_PTR(visit->session));
	set_cookie(visit, "");
	page_go(visit, "/");
}
