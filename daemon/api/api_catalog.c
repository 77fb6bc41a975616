/* SPDX-License-Identifier: ISC */
/* GET /v1/catalogs/{kind}: what the catalogs of config.toml offer. The answer waits for them. */
#include "daemon/api/api.h"
#include "daemon/asset/catalog.h"
#include "daemon/engine.h"

struct search {
	struct http_call *call;
	struct catalog_lookup *lookup;
};

static void on_listed(const json_t *list, struct bg_err *err, void *userdata)
{
	struct search *search = userdata;

	(void)err; /* a list has none: what failed is said in it */
	http_reply(search->call, 200, json_incref((json_t *)(uintptr_t)list));
	catalog_lookup_free(search->lookup);
	free(search);
}

void api_catalog_list(struct http_call *call, struct engine *engine)
{
	const char *kind = http_call_arg(call);
	struct search *search = calloc(1, sizeof(*search));
	struct bg_err *err = NULL;
	int r;

	if (!search)
		r = bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	else if (!bg_streq(kind, "image") && !bg_streq(kind, "kernel"))
		r = bg_err_set(&err, BG_ERR_CATALOG_NOT_FOUND, ENOENT,
			"catalogs have \"image\" and \"kernel\", not \"%s\"", kind);
	else
		r = catalog_list(engine, bg_streq(kind, "image") ? "image" : "kernel", on_listed,
			search, &search->lookup, &err);
	if (r >= 0) {
		search->call = call;
		return;
	}
	free(search);
	http_reply_error(call, err);
}
