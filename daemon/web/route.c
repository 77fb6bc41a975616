/* SPDX-License-Identifier: ISC */
/* The rows of pages.def and actions.def, the files of the page, and paths. */
#include <stdio.h>

#include "daemon/web/web_impl.h"

static const struct web_route routes[] = {
#define X(path_, kind_, run_, template_, wants_, nav_)                                             \
	{.path = path_,                                                                            \
		.kind = GATE_##kind_,                                                              \
		.run = run_,                                                                       \
		.template = template_,                                                             \
		.wants = wants_,                                                                   \
		.nav = nav_},
#include "daemon/web/pages.def"
#undef X
#define X(path_, method_, api_, fields_, back_)                                                    \
	{.path = path_,                                                                            \
		.kind = GATE_CHANGE,                                                               \
		.run = action_run,                                                                 \
		.method = HTTP_##method_,                                                          \
		.api = api_,                                                                       \
		.fields = fields_,                                                                 \
		.back = back_},
#include "daemon/web/actions.def"
#undef X
	{.path = "/many/{name}", .kind = GATE_CHANGE, .run = action_many},
	{.path = "/sign-out", .kind = GATE_CHANGE, .run = action_sign_out},
};

static bool arg_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

/* Takes one segment for {name}. Where it ends; NULL: it is not one. */
static const char *take_arg(const char *p, char arg[WEB_ARG_MAX + 1])
{
	size_t n = 0;

	while (arg_char(p[n]) && n < WEB_ARG_MAX)
		n++;
	if (n == 0 || (p[n] && p[n] != '/'))
		return NULL;
	memcpy(arg, p, n);
	arg[n] = '\0';
	return p + n;
}

static bool matches(const char *template, const char *p, char arg[WEB_ARG_MAX + 1])
{
	arg[0] = '\0';
	while (*template) {
		if (*template == '{') {
			template = strchr(template, '}') + 1;
			p = take_arg(p, arg);
			if (!p)
				return false;
		} else if (*template ++ != *p++) {
			return false;
		}
	}
	return !*p;
}

const struct web_route *web_route_find(const char *path, char arg[WEB_ARG_MAX + 1])
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (matches(routes[i].path, path, arg))
			return &routes[i];
	arg[0] = '\0';
	return NULL;
}

void web_path(const char *template, const char *arg, char out[WEB_PATH_MAX])
{
	const char *open = strchr(template, '{');

	if (open)
		snprintf(out, WEB_PATH_MAX, "%.*s%s%s", (int)(open - template), template, arg,
			strchr(open, '}') + 1);
	else
		snprintf(out, WEB_PATH_MAX, "%s", template);
}

static const struct asset *find(const char *name)
{
	for (size_t i = 0; i < web_n_assets; i++)
		if (bg_streq(web_assets[i].name, name))
			return &web_assets[i];
	return NULL;
}

const char *asset_template(const char *name)
{
	const struct asset *a = find(name);

	return a && !a->type ? a->bytes : NULL;
}

const char *asset_url(const char *name)
{
	const struct asset *a = find(name);

	return a && a->url ? a->url : "";
}

static const struct asset *sendable(const char *name)
{
	for (size_t i = 0; i < web_n_assets; i++)
		if (web_assets[i].type && bg_streq(web_assets[i].url + strlen("/a/"), name))
			return &web_assets[i];
	return NULL;
}

static void send_asset(struct visit *visit, const struct asset *a, const char *cache)
{
	struct http_call *call = TAKE_PTR(visit->call);

	http_call_add_header(call, "Cache-Control", a ? cache : "no-store");
	if (a)
		http_reply_bytes(call, 200, a->type, a->bytes, a->len);
	else
		http_reply_bytes(call, 404, "text/plain; charset=utf-8", "not found\n", 10);
	visit_free(visit);
}

void asset_send(struct visit *visit)
{
	/* The name has the content's hash in it. */
	send_asset(visit, sendable(visit->arg), "private, max-age=31536000, immutable");
}

void asset_send_icon(struct visit *visit)
{
	send_asset(visit, find("icon.svg"), "private, max-age=86400");
}
