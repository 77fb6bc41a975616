/* SPDX-License-Identifier: ISC */
/* The routes under /v1/web: links into the web page. Only the unix socket's clients reach them: the page itself cannot make another. */
#include "daemon/api/api.h"
#include "daemon/engine.h"
#include "daemon/web/web.h"

void api_web_token(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	json_t *link = NULL;

	if (web_link(engine->web, &link, &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, link);
}

void api_web_sign_out(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, json_pack("{s:i}", "sessions", (int)web_sign_out_all(engine->web)));
}
