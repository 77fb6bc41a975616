/* SPDX-License-Identifier: ISC */
/* web_impl.h: what the files of web/ share: the request under way, pages and actions as rows, the files in the binary. */
#ifndef BG_DAEMON_WEB_WEB_IMPL_H
#define BG_DAEMON_WEB_WEB_IMPL_H

#include "daemon/http/http.h"
#include "daemon/web/gate.h"
#include "daemon/web/session.h"
#include "daemon/web/web.h"

enum { WEB_ARG_MAX = 64, WEB_PATH_MAX = 256 };

struct live;

struct web {
	struct engine *engine;
	struct http *http; /* NULL: the port is another's, see err; or stopped */
	struct sessions *sessions;
	struct live *live;
	struct bg_err *err;
	char address[32]; /* "127.0.0.1:7777" */
	unsigned port;
};

/* One request. It ends with its answer, by visit_free. */
struct visit {
	struct web *web;
	struct http_call *call;
	struct session *session; /* valid until control is back in the loop */
	const struct web_route *route;
	/* what {name} of the path stood for: letters, digits, ".", "_" and "-" */
	char arg[WEB_ARG_MAX + 1];
	json_t *raw;	  /* answers of the API by key, as they come */
	const char *more; /* what is still to be asked */
	unsigned next;	  /* of several, which one is asked about */
	struct bg_err *err;
};

/* A path of ours. wants, nav and template: a page's (pages.def); the rest an action's (actions.def). */
struct web_route {
	const char *path;
	enum gate_kind kind;
	void (*run)(struct visit *visit); /* the visit is its to end */
	const char *template, *wants, *nav;
	enum http_method method;
	const char *api, *fields, *back;
};

void visit_free(struct visit *visit);
/* Ends the visit. view is taken: the frame's values are added. */
void page_reply(struct visit *visit, int status, const char *template, json_t *view);
/* Ends the visit with {"error"} or a page of it, by what the client accepts. err is taken. */
void page_reply_error(struct visit *visit, int status, struct bg_err *err);
void page_reply_api_error(struct visit *visit, int status, const json_t *body);
/* Ends the visit by leading on to a path of ours: 303, or {"to"} for the page's script. */
void page_go(struct visit *visit, const char *path);
/* Does the client ask for JSON: is it the page's script? */
bool visit_of_script(const struct visit *visit);

/* The handlers of rows. */
void page_show(struct visit *visit);
void page_open(struct visit *visit);
void pick_show(struct visit *visit);
void action_run(struct visit *visit);
void action_many(struct visit *visit);
void action_sign_out(struct visit *visit);
void live_follow(struct visit *visit);
void asset_send(struct visit *visit);
void asset_send_icon(struct visit *visit);

/* What a form had before its file was chosen. */
void pick_fill(const struct visit *visit, json_t *view);

const struct web_route *web_route_find(const char *path, char arg[WEB_ARG_MAX + 1]);
/* template's "{name}" replaced by arg. */
void web_path(const char *template, const char *arg, char out[WEB_PATH_MAX]);

/* Files that the build puts in. */
struct asset {
	const char *name; /* "style.css", or a template's name */
	const char *type; /* NULL: a template */
	const char *url;  /* "/a/HASH-style.css" */
	const char *bytes;
	size_t len;
};
extern const struct asset web_assets[];
extern const size_t web_n_assets;
const char *asset_template(const char *name);
const char *asset_url(const char *name);

int live_new(struct web *web, struct live **ret);
void live_free(struct live *live);
/* Ends the streams of this session; 0: all. */
void live_end(struct live *live, uint64_t session);

#endif
