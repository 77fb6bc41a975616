/* SPDX-License-Identifier: ISC */
/* The catalog job; see catalog.h. All of a catalog may come from a stranger. */
#include "worker/catalog.h"

#include <stdio.h>

#include "common/fd.h"
#include "common/name.h"
#include "common/sha256.h"

enum { CATALOG_FORMAT = 1, ENTRIES_MAX = 10000, URL_MAX = 2000, DESCRIPTION_MAX = 400 };

struct entry {
	const char *kind, *name, *arch, *url, *sha256, *description;
	int64_t size;
};

_printf_(2, 3) static int bad(struct bg_err **err, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return bg_err_set(err, BG_ERR_CATALOG_INVALID, EBADMSG, "the catalog %s", what);
}

static bool printable(const char *s, bool spaces)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || (*s == ' ' && !spaces))
			return false;
	return true;
}

/* http, https and file; or relative to the catalog, without a scheme and without a way up. */
static bool url_ok(const char *url)
{
	if (!*url || strlen(url) > URL_MAX || !printable(url, false))
		return false;
	if (strstr(url, "://"))
		return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 ||
		       strncmp(url, "file:///", 8) == 0;
	return url[0] != '/' && !strstr(url, "..") && !strchr(url, ':');
}

static int read_entry(const json_t *value, size_t i, struct entry *e, struct bg_err **err)
{
	*e = (struct entry){.description = ""};
	if (!json_is_object(value))
		return bad(err, "has an entry that is not an object: number %zu", i);
	if (bg_json_get_str(value, "name", &e->name) < 0 || !bg_name_valid(e->name))
		return bad(err, "has an entry without a valid name: number %zu", i);
	if (bg_json_get_str(value, "kind", &e->kind) < 0 ||
		(!bg_streq(e->kind, "kernel") && !bg_streq(e->kind, "image")))
		return bad(err, "does not say whether \"%s\" is a kernel or an image", e->name);
	if (bg_json_get_str(value, "arch", &e->arch) < 0)
		return bad(err, "does not say what \"%s\" runs on", e->name);
	if (bg_json_get_str(value, "url", &e->url) < 0 || !url_ok(e->url))
		return bad(err, "gives no usable url of \"%s\"", e->name);
	if (bg_json_get_str(value, "sha256", &e->sha256) < 0 || !bg_sha256_valid(e->sha256))
		return bad(err, "gives no sha256 of \"%s\"", e->name);
	if (bg_json_get_int(value, "size", 1, (int64_t)BG_IMAGE_MAX, &e->size) < 0)
		return bad(err, "gives no possible size of \"%s\"", e->name);
	if (json_object_get(value, "description") &&
		(bg_json_get_str(value, "description", &e->description) < 0 ||
			strlen(e->description) > DESCRIPTION_MAX ||
			!printable(e->description, true)))
		return bad(err, "has an odd description of \"%s\"", e->name);
	return 0;
}

/* A relative url replaces what is behind the base's last '/'. */
static json_t *entry_json(const struct entry *e, const char *base)
{
	const char *slash = strrchr(base, '/');
	_free_ char *url = NULL;

	if (strstr(e->url, "://") || !slash)
		url = strdup(e->url);
	else if (asprintf(&url, "%.*s/%s", (int)(slash - base), base, e->url) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:I, s:s}", "url", url, "sha256", e->sha256, "size",
		(json_int_t)e->size, "description", e->description);
}

static int find(const json_t *list, const char *kind, const char *name, const char *base,
	json_t **ret, struct bg_err **err)
{
	struct entry e;
	int r = 0;

	for (size_t i = 0; i < json_array_size(list) && r >= 0; i++) {
		r = read_entry(json_array_get(list, i), i + 1, &e, err);
		if (r < 0 || !bg_streq(e.name, name) || !bg_streq(e.kind, kind) ||
			!bg_streq(e.arch, "x86_64"))
			continue;
		if (*ret)
			r = bad(err, "has \"%s\" twice", name);
		else if (!(*ret = entry_json(&e, base)))
			r = bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read the catalog");
	}
	return r;
}

/* All of a kind, as many as one answer has room for. */
static int list_all(const json_t *list, const char *kind, json_t *out, struct bg_err **err)
{
	struct entry e;
	int r = 0;

	for (size_t i = 0; i < json_array_size(list) && r >= 0; i++) {
		r = read_entry(json_array_get(list, i), i + 1, &e, err);
		if (r < 0 || !bg_streq(e.kind, kind) || !bg_streq(e.arch, "x86_64") ||
			json_array_size(out) == CATALOG_SHOWN_MAX)
			continue;
		if (json_array_append_new(
			    out, json_pack("{s:s, s:I, s:s}", "name", e.name, "size",
					 (json_int_t)e.size, "description", e.description)) < 0)
			r = bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read the catalog");
	}
	return r;
}

/* *ret: the whole document, which *ret_list is borrowed from. */
static int load(
	const char *text, size_t len, json_t **ret, const json_t **ret_list, struct bg_err **err)
{
	_json_ json_t *catalog = NULL;
	json_error_t why;
	int64_t format = 0;

	catalog = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!catalog)
		return bad(err, "is not JSON: line %d: %s", why.line, why.text);
	if (bg_json_get_int(catalog, "format", 1, INT64_MAX, &format) < 0)
		return bad(err, "has no \"format\"");
	if (format != CATALOG_FORMAT)
		return bad(err, "is of format %lld, this banger reads %d", (long long)format,
			CATALOG_FORMAT);
	if (bg_json_get_array(catalog, "entries", ret_list) < 0)
		return bad(err, "has no list of \"entries\"");
	if (json_array_size(*ret_list) > ENTRIES_MAX)
		return bad(err, "has over %d entries", ENTRIES_MAX);
	*ret = TAKE_PTR(catalog);
	return 0;
}

int catalog_list(const char *text, size_t len, const char *kind, json_t **ret, struct bg_err **err)
{
	_json_ json_t *catalog = NULL, *out = json_array();
	const json_t *list = NULL;
	int r = load(text, len, &catalog, &list, err);

	if (r >= 0)
		r = list_all(list, kind, out, err);
	if (r >= 0)
		*ret = TAKE_PTR(out);
	return r;
}

int catalog_find(const char *text, size_t len, const char *kind, const char *name, const char *base,
	json_t **ret, struct bg_err **err)
{
	_json_ json_t *catalog = NULL, *entry = NULL;
	const json_t *list = NULL;
	int r = load(text, len, &catalog, &list, err);

	if (r >= 0)
		r = find(list, kind, name, base, &entry, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(entry);
	return 0;
}

int job_catalog(struct job *job, json_t **ret, struct bg_err **err)
{
	const char *kind = NULL, *name = NULL, *base = NULL;
	_json_ json_t *entry = NULL, *entries = NULL;
	_free_ char *text = NULL;
	size_t len;
	int r = bg_json_need_str(job->params, "kind", BG_ERR_WORKER, &kind, err);

	if (r >= 0)
		r = bg_json_or_str(job->params, "name", BG_ERR_WORKER, &name, err);
	if (r >= 0)
		r = bg_json_need_str(job->params, "base", BG_ERR_WORKER, &base, err);
	if (r < 0)
		return r;
	r = bg_read_fd(job->fd[0], CATALOG_MAX, &text, &len);
	if (r < 0)
		return r == -EFBIG || r == -E2BIG
			       ? bad(err, "is over %d MiB", CATALOG_MAX >> 20)
			       : bg_err_sys(err, BG_ERR_WORKER, -r, "read the catalog");
	r = name ? catalog_find(text, len, kind, name, base, &entry, err)
		 : catalog_list(text, len, kind, &entries, err);
	if (r < 0)
		return r;
	*ret = entries ? json_pack("{s:O}", "entries", entries)
	       : entry ? json_pack("{s:O}", "entry", entry)
		       : json_object();
	return 0;
}
