/* SPDX-License-Identifier: ISC */
/*
 * The listening socket and what each request goes through, in this order: headers of every answer, the peer's uid, the gate, the row.
 */
#include "daemon/web/web.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/json.h"
#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/exec_relay.h"
#include "daemon/web/peer.h"
#include "daemon/web/web_impl.h"

enum { BACKLOG = 64 };

#define API_LOGS     "/logs"
#define API_TERMINAL "/terminal"
#define API_VMS	     "/v1/vms/"

/* docs/web.md says what each is for. No inline script or style anywhere; scripts write text, never markup. */
static const struct {
	const char *name, *value;
} headers[] = {
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
				    "img-src 'self'; connect-src 'self'; form-action 'self'; "
				    "base-uri 'none'; frame-ancestors 'none'; "
				    "require-trusted-types-for 'script'; trusted-types 'none'"},
	{"X-Frame-Options", "DENY"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), microphone=(), geolocation=(), usb=(), serial=(), "
			       "clipboard-read=(self), "
			       "clipboard-write=(self), fullscreen=(self)"},
};

void visit_free(struct visit *visit)
{
	if (!visit)
		return;
	json_decref(visit->raw);
	bg_err_free(visit->err);
	free(visit);
}

static void refuse(struct http_call *call, int status, const char *text)
{
	http_call_add_header(call, "Cache-Control", "no-store");
	http_reply_bytes(call, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* Root may do all anyway, and relays of other systems' loopback (WSL) run as it. */
static bool peer_is_ours(int fd)
{
	uid_t uid = 0;

	return peer_uid(fd, &uid) >= 0 && (uid == geteuid() || uid == 0);
}

/* Who is not of ours holds no descriptor, and need not send anything to be refused. */
static bool on_connection(int fd, void *userdata)
{
	(void)userdata;
	return peer_is_ours(fd);
}

static struct gate_header header_of(const struct http_call *call, const char *name)
{
	struct gate_header h;

	h.count = http_call_header(call, name, &h.value);
	return h;
}

static bool is_form(const struct http_call *call)
{
	const char *type;
	unsigned n = http_call_header(call, "Content-Type", &type);

	return n == 0 ||
	       (n == 1 && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0);
}

static struct session *session_of(const struct web *web, const struct http_call *call)
{
	const char *cookie;

	/* A browser sends one header; two would let one hide behind the other. */
	return http_call_header(call, "Cookie", &cookie) == 1
		       ? sessions_find(web->sessions, cookie, loop_now_usec() / 1000000)
		       : NULL;
}

static bool ends_with(const char *path, const char *tail)
{
	size_t n = strlen(path), m = strlen(tail);

	return n > m && strcmp(path + n - m, tail) == 0;
}

/* The two routes of the API that a browser reads itself. */
static bool is_api(const char *path, enum gate_kind *kind)
{
	if (strncmp(path, API_VMS, strlen(API_VMS)) != 0)
		return false;
	*kind = ends_with(path, API_TERMINAL) ? GATE_SOCKET : GATE_DATA;
	return ends_with(path, API_LOGS) || ends_with(path, API_TERMINAL);
}

static enum gate_answer ask_gate(const struct visit *visit, enum gate_kind kind)
{
	const struct http_call *call = visit->call;
	const struct gate_request q = {
		.method = http_call_method(call),
		.kind = kind,
		.host = header_of(call, "Host"),
		.origin = header_of(call, "Origin"),
		.site = header_of(call, "Sec-Fetch-Site"),
		.mode = header_of(call, "Sec-Fetch-Mode"),
		.dest = header_of(call, "Sec-Fetch-Dest"),
		.purpose = header_of(call, "Sec-Purpose"),
		.signed_in = visit->session,
		.bounced = http_call_field(call, "r", 0),
		.form = is_form(call),
	};

	return gate_check(&q);
}

/* Where the browser is led: the same path if it is one of ours, under our own name and the port that it uses (ssh -L may have changed it). */
static void lead(struct visit *visit, const char *template, const char *base, const char *query)
{
	char url[2 * WEB_PATH_MAX], refresh[2 * WEB_PATH_MAX + 16];

	snprintf(url, sizeof(url), "%s%.200s%s", base,
		visit->route ? http_call_path(visit->call) : "/", query);
	snprintf(refresh, sizeof(refresh), "0; url=%s", url);
	http_call_add_header(visit->call, "Refresh", refresh);
	page_reply(visit, 200, template, json_pack("{s:s}", "url", url));
}

static void move(struct visit *visit)
{
	char base[64];
	const char *host, *port;

	(void)http_call_header(visit->call, "Host", &host);
	port = strchr(host, ':');
	snprintf(base, sizeof(base), "http://%s%.8s", WEB_HOST, port ? port : "");
	lead(visit, "moved", base, "");
}

static void answer_gate(struct visit *visit, enum gate_answer answer)
{
	switch (answer) {
	case GATE_WRONG_HOST:
		refuse(TAKE_PTR(visit->call), 421, "refused\n");
		break;
	case GATE_WRONG_METHOD:
		refuse(TAKE_PTR(visit->call), 405, "refused\n");
		break;
	case GATE_REFUSED:
		refuse(TAKE_PTR(visit->call), 403, "refused\n");
		break;
	case GATE_MOVE:
		move(visit);
		return;
	case GATE_BOUNCE:
		lead(visit, "moved", "", "?r=1");
		return;
	case GATE_SIGN_IN:
		page_reply(visit, 403, "sign_in", json_object());
		return;
	case GATE_PASS:
		break;
	}
	visit_free(visit);
}

static void run_route(struct visit *visit)
{
	struct bg_err *err = NULL;

	if (visit->route) {
		visit->route->run(visit);
		return;
	}
	bg_err_set(&err, BG_ERR_NO_ROUTE, ENOENT, "there is no page %.200s",
		http_call_path(visit->call));
	bg_err_hint(&err, "the list of VMs leads to all there is");
	page_reply_error(visit, 404, err);
}

static void add_headers(struct http_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		http_call_add_header(call, headers[i].name, headers[i].value);
}

static bool on_request(struct http_call *call, void *userdata)
{
	struct visit *visit = calloc(1, sizeof(*visit));
	enum gate_kind kind = GATE_PAGE;
	enum gate_answer answer;
	bool api;

	add_headers(call);
	if (!visit || http_call_read_fields(call) < 0 || !peer_is_ours(http_call_fd(call))) {
		free(visit);
		refuse(call, 403, "refused\n");
		return true;
	}
	*visit = (struct visit){
		.web = userdata, .call = call, .session = session_of(userdata, call)};
	api = is_api(http_call_path(call), &kind);
	visit->route = api ? NULL : web_route_find(http_call_path(call), visit->arg);
	answer = ask_gate(visit, visit->route ? visit->route->kind : kind);
	if (answer == GATE_PASS && api) {
		http_call_set_owner(call, session_id(visit->session));
		visit_free(visit);
		http_call_add_header(call, "Cache-Control", "no-store");
		return false;
	}
	if (answer == GATE_PASS)
		run_route(visit);
	else
		answer_gate(visit, answer);
	return true;
}

static int listen_at(const char *address, unsigned *ret_port, struct bg_err **err)
{
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);
	const char *colon = strchr(address, ':');
	char host[INET_ADDRSTRLEN];
	int on = 1;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (fd < 0 || inet_pton(AF_INET, host, &sin.sin_addr) != 1 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
		bg_err_sys(err, BG_ERR_PORT_TAKEN, errno, "the web page on %s", address);
		bg_err_hint(
			err, "set web = \"127.0.0.1:PORT\" in config.toml, or \"\" for no page");
		return -EADDRINUSE;
	}
	*ret_port = ntohs(sin.sin_port);
	return TAKE_FD(fd);
}

/* The daemon goes on without a page. */
static int serve(struct web *web, struct bg_err **err)
{
	const struct http_front front = {
		.admit = on_connection, .request = on_request, .userdata = web};
	int fd = listen_at(web->address, &web->port, &web->err);

	if (fd < 0) {
		log_err(LOG_WARN, "web", "there is no web page", web->err);
		return 0;
	}
	return http_new_front(web->engine->loop, web->engine, fd, &front, &web->http, err);
}

/* What a session has open ends with it: pages that follow, logs, terminals. */
static void on_session_end(uint64_t id, void *userdata)
{
	struct web *web = userdata;

	live_end(web->live, id);
	http_end_owner(web->http, id);
	exec_relay_end(web->engine, id);
}

int web_new(struct engine *engine, struct web **ret, struct bg_err **err)
{
	_unref_(web) struct web *web = NULL;

	*ret = NULL;
	if (bg_isempty(engine->config->web))
		return 0;
	web = calloc(1, sizeof(*web));
	if (!web || sessions_new(engine->paths->state_dir, &web->sessions) < 0 ||
		live_new(web, &web->live) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	web->engine = engine;
	snprintf(web->address, sizeof(web->address), "%s", engine->config->web);
	if (serve(web, err) < 0)
		return -EIO;
	if (web->http)
		sessions_on_end(web->sessions, on_session_end, web);
	*ret = TAKE_PTR(web);
	return 0;
}

void web_stop(struct web *web)
{
	if (!web)
		return;
	sessions_on_end(web->sessions, NULL, NULL);
	live_end(web->live, 0);
	http_free(TAKE_PTR(web->http));
}

void web_free(struct web *web)
{
	if (!web)
		return;
	web_stop(web);
	live_free(web->live);
	sessions_free(web->sessions);
	bg_err_free(web->err);
	free(web);
}

unsigned web_busy(const struct web *web)
{
	return web && web->http ? http_busy(web->http) : 0;
}

json_t *web_to_json(const struct web *web)
{
	if (!web)
		return json_pack("{s:n, s:n, s:n, s:i}", "address", "url", "error", "sessions", 0);
	if (!web->http)
		return json_pack("{s:s, s:n, s:o, s:i}", "address", web->address, "url", "error",
			web->err ? http_error_json(web->err) : json_null(), "sessions", 0);
	return json_pack("{s:s, s:o, s:n, s:i}", "address", web->address, "url",
		json_sprintf("http://%s:%u/", WEB_HOST, web->port), "error", "sessions",
		(int)sessions_count(web->sessions));
}

int web_link(struct web *web, json_t **ret, struct bg_err **err)
{
	char token[WEB_SECRET_TEXT];
	int r;

	if (!web) {
		r = bg_err_set(err, BG_ERR_CONFIG, ENOENT, "the web page is turned off");
		bg_err_hint(err, "set web = \"127.0.0.1:7777\" in config.toml, then `banger daemon "
				 "restart`");
		return r;
	}
	if (!web->http)
		return bg_err_set(err, BG_ERR_PORT_TAKEN, EADDRINUSE, "there is no web page: %s",
			web->err ? web->err->message : "the daemon ends");
	sessions_token(web->sessions, loop_now_usec() / 1000000, token);
	*ret = json_pack("{s:o, s:i, s:i}", "url",
		json_sprintf("http://%s:%u/open/%s", WEB_HOST, web->port, token), "port",
		(int)web->port, "expires_s", WEB_TOKEN_S);
	return 0;
}

unsigned web_sign_out_all(struct web *web)
{
	if (!web)
		return 0;
	return sessions_end_all(web->sessions);
}
