/* SPDX-License-Identifier: ISC */
/* See catalog.h. */
#include "daemon/asset/catalog.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/redact.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"

enum { CATALOG_BYTES_MAX = 4 * 1024 * 1024 };

struct catalog_lookup {
	struct engine *engine;
	const char *kind;
	char *name;
	char *urls, *next; /* of config.toml; what strsep has left of it */
	const char *url;   /* under way */
	int fd;
	struct job *job;
	struct loop_source
		*begin; /* the first one, from the loop: done is not called by catalog_look */
	json_t *offers; /* of a list: what was found so far; else NULL */
	struct bg_err *failed; /* of the first catalog that could not be read */
	catalog_fn done;
	void *userdata;
};

static void try_next(struct catalog_lookup *lookup);

void catalog_lookup_free(struct catalog_lookup *lookup)
{
	if (!lookup)
		return;
	loop_source_free(lookup->begin);
	job_free(lookup->job);
	bg_close(lookup->fd);
	bg_err_free(lookup->failed);
	json_decref(lookup->offers);
	free(lookup->name);
	free(lookup->urls);
	free(lookup);
}

static void end_job(struct catalog_lookup *lookup)
{
	job_free(TAKE_PTR(lookup->job));
	lookup->fd = bg_close(lookup->fd);
}

/* The next catalog may have it: this one's error counts only when none does. err is taken. */
static void pass_over(struct catalog_lookup *lookup, struct bg_err *err)
{
	end_job(lookup);
	if (err)
		bg_err_context(&err, "catalog %s", lookup->url);
	if (!lookup->failed)
		lookup->failed = TAKE_PTR(err);
	bg_err_free(err);
}

static bool is_file(const char *url)
{
	return strncmp(url, "file://", 7) == 0;
}

static void skip(struct catalog_lookup *lookup, struct bg_err *err)
{
	pass_over(lookup, err);
	try_next(lookup);
}

/* What a catalog from the network names is on the network too: the engine opens files as the user.
 */
static int check_entry(
	const struct catalog_lookup *lookup, const json_t *entry, struct bg_err **err)
{
	const char *url = NULL;
	int r = bg_json_need_str(entry, "url", BG_ERR_WORKER, &url, err);

	if (r >= 0 && is_file(url) && !is_file(lookup->url))
		r = bg_err_set(err, BG_ERR_CATALOG_INVALID, EPERM,
			"a catalog from the network names a file of this machine: %.200s", url);
	return r;
}

/* What this catalog offers, for the list; each says where it is from. */
static void take_offers(struct catalog_lookup *lookup, const json_t *result)
{
	json_t *entries = json_object_get(result, "entries"), *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		_free_ char *from = bg_redact(strdup(lookup->url));

		json_object_set_new(entry, "catalog", bg_json_str(from ? from : ""));
		json_array_append(lookup->offers, entry);
	}
}

static void on_read(const json_t *result, struct bg_err *err, void *userdata)
{
	struct catalog_lookup *lookup = userdata;
	json_t *entry = json_object_get(result, "entry");
	struct bg_err *failed = bg_err_copy(err); /* err goes with its job */

	if (lookup->offers && !failed) {
		take_offers(lookup, result);
		skip(lookup, NULL);
	} else if (entry && check_entry(lookup, entry, &failed) >= 0) {
		if (!is_file(lookup->url)) /* the worker goes no nearer than to that one */
			json_object_set_new(entry, "after", json_string(lookup->url));
		lookup->done(entry, NULL, lookup->userdata); /* may free the lookup */
	} else
		skip(lookup, failed);
}

static int read_it(struct catalog_lookup *lookup, struct bg_err **err)
{
	if (lseek(lookup->fd, 0, SEEK_SET) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "read the catalog");
	return job_start(lookup->engine->jobs, JOB_CATALOG,
		json_pack("{s:s, s:s*, s:s}", "kind", lookup->kind, "name", lookup->name, "base",
			lookup->url),
		&lookup->fd, 1, NULL, on_read, lookup, &lookup->job, err);
}

static void on_fetched(const json_t *result, struct bg_err *err, void *userdata)
{
	struct catalog_lookup *lookup = userdata;

	(void)result;
	err = bg_err_copy(err);
	job_free(TAKE_PTR(lookup->job));
	if (!err && read_it(lookup, &err) >= 0)
		return;
	skip(lookup, err);
}

static int fetch_it(struct catalog_lookup *lookup, struct bg_err **err)
{
	if (is_file(lookup->url)) {
		int r = asset_open_source(
			lookup->url + 7, BG_ERR_CATALOG_INVALID, &lookup->fd, err);

		return r < 0 ? r : read_it(lookup, err);
	}
	lookup->fd = memfd_create("catalog", MFD_CLOEXEC);
	if (lookup->fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make room for a catalog");
	return job_start(lookup->engine->jobs, JOB_FETCH,
		json_pack("{s:s, s:i}", "url", lookup->url, "max_size", CATALOG_BYTES_MAX),
		(int[]){lookup->fd, lookup->fd}, 2, NULL, on_fetched, lookup, &lookup->job, err);
}

/* A list with what the readable catalogs have is better than none. */
static void end_list(struct catalog_lookup *lookup)
{
	_json_ json_t *list = json_pack("{s:O, s:o?}", "entries", lookup->offers, "error",
		lookup->failed ? bg_err_to_json(lookup->failed) : NULL);

	lookup->done(list, NULL, lookup->userdata); /* may free the lookup */
}

static void not_found(struct catalog_lookup *lookup)
{
	struct bg_err *err = TAKE_PTR(lookup->failed);

	if (!err)
		bg_err_set(&err, BG_ERR_CATALOG_NOT_FOUND, ENOENT,
			"no catalog has %s %s named \"%s\"",
			bg_streq(lookup->kind, "image") ? "an" : "a", lookup->kind, lookup->name);
	lookup->done(NULL, err, lookup->userdata);
	bg_err_free(err);
}

static void try_next(struct catalog_lookup *lookup)
{
	while ((lookup->url = strsep(&lookup->next, " "))) {
		struct bg_err *err = NULL;

		if (!*lookup->url)
			continue;
		if (fetch_it(lookup, &err) >= 0)
			return;
		pass_over(lookup, err);
	}
	if (lookup->offers)
		end_list(lookup);
	else
		not_found(lookup);
}

static void on_begin(void *userdata)
{
	struct catalog_lookup *lookup = userdata;

	loop_source_free(TAKE_PTR(lookup->begin));
	try_next(lookup);
}

/* name NULL: a list is wanted. */
static int lookup_new(struct engine *engine, const char *kind, const char *name, catalog_fn done,
	void *userdata, struct catalog_lookup **ret, struct bg_err **err)
{
	_unref_(catalog_lookup) struct catalog_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	lookup->engine = engine;
	lookup->kind = kind;
	lookup->fd = -1;
	lookup->done = done;
	lookup->userdata = userdata;
	lookup->name = name ? strdup(name) : NULL;
	lookup->offers = name ? NULL : json_array();
	lookup->urls = strdup(engine->config->catalogs ? engine->config->catalogs : "");
	if ((!lookup->name && !lookup->offers) || !lookup->urls)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	lookup->next = lookup->urls;
	*ret = TAKE_PTR(lookup);
	return 0;
}

static int lookup_start(
	struct catalog_lookup *taken, struct catalog_lookup **ret, struct bg_err **err)
{
	_unref_(catalog_lookup) struct catalog_lookup *lookup = taken;
	int r = loop_defer(lookup->engine->loop, "catalogs", on_begin, lookup, &lookup->begin);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "look into the catalogs");
	*ret = TAKE_PTR(lookup);
	return 0;
}

int catalog_list(struct engine *engine, const char *kind, catalog_fn done, void *userdata,
	struct catalog_lookup **ret, struct bg_err **err)
{
	struct catalog_lookup *lookup;
	int r = lookup_new(engine, kind, NULL, done, userdata, &lookup, err);

	return r < 0 ? r : lookup_start(lookup, ret, err);
}

int catalog_look(struct engine *engine, const char *kind, const char *name, catalog_fn done,
	void *userdata, struct catalog_lookup **ret, struct bg_err **err)
{
	_unref_(catalog_lookup) struct catalog_lookup *lookup = NULL;
	int r = lookup_new(engine, kind, name, done, userdata, &lookup, err);

	if (r < 0)
		return r;
	if (!lookup->urls[strspn(lookup->urls, " ")]) {
		r = bg_err_set(err, BG_ERR_CATALOG_NOT_FOUND, ENOENT,
			"there is no catalog to look for \"%s\" in", name);
		bg_err_hint(err, "name one in %s: catalogs = \"https://…/catalog.json\"",
			engine->paths->config_file);
		return r;
	}
	return lookup_start(TAKE_PTR(lookup), ret, err);
}
