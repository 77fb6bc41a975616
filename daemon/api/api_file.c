/* SPDX-License-Identifier: ISC */
/*
 * GET /v1/files: what is in a folder of this machine, for who chooses a file in a page. Only folders of config.toml's web_folders and what is
 * below them; the worker reads them, since a folder may be of a file system that does not answer.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/engine.h"

struct listing {
	struct http_call *call;
	struct job *job;
	char *path, *parent; /* parent: NULL when it is not for listing */
};

static void listing_free(struct listing *listing)
{
	if (!listing)
		return;
	job_free(listing->job);
	free(listing->path);
	free(listing->parent);
	free(listing);
}
BG_DEFINE_UNREF(listing, struct listing *, listing_free)

static void on_listed(const json_t *result, struct bg_err *err, void *userdata)
{
	_unref_(listing) struct listing *listing = userdata;

	if (err) {
		err = bg_err_copy(err);
		bg_err_context(&err, "list %s", listing->path);
		http_reply_error(listing->call, err);
		return;
	}
	http_reply(listing->call, 200,
		json_pack("{s:s, s:s?, s:O, s:O, s:O}", "path", listing->path, "parent",
			listing->parent, "entries", json_object_get(result, "entries"), "left_out",
			json_object_get(result, "left_out"), "more",
			json_object_get(result, "more")));
}

/* The next of "A:B"; false: there is none. */
static bool next_folder(const char **list, char out[PATH_MAX])
{
	size_t len;

	*list += strspn(*list, ":");
	len = strcspn(*list, ":");
	snprintf(out, PATH_MAX, "%.*s", (int)BG_MIN(len, (size_t)PATH_MAX - 1), *list);
	*list += len;
	return len > 0;
}

/* What of path comes below the folder, "" for itself; NULL: it is elsewhere. By whole names, not by letters. */
static const char *below(const char *folder, const char *path)
{
	size_t len = strlen(folder);

	if (strncmp(path, folder, len) != 0)
		return NULL;
	path += len;
	if (len > 0 && folder[len - 1] == '/')
		return path;
	return *path == '/' ? path + 1 : !*path ? path : NULL;
}

/* A path as in the answer: without a slash at its end. */
static char *bare(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

/* rest is path's, below the folder that may be listed. */
static char *parent_of(const char *path, const char *rest)
{
	const char *slash = strrchr(path, '/');

	if (!*rest || !slash)
		return NULL;
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int refuse(const char *path, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_FOLDER, EPERM,
		"%.200s is in none of the folders that may be listed", path);

	bg_err_hint(err, "web_folders of config.toml names them; then `banger daemon restart`");
	return r;
}

/* *ret_rest is of path. */
static int open_folder(const struct config *config, const char *path, int *ret,
	const char **ret_rest, struct bg_err **err)
{
	const char *list = config->web_folders;
	char folder[PATH_MAX];

	while (next_folder(&list, folder)) {
		*ret_rest = below(folder, path);
		if (!*ret_rest)
			continue;
		*ret = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return *ret < 0 ? bg_err_sys(err, BG_ERR_FOLDER, errno, "open %s", folder) : 0;
	}
	return refuse(path, err);
}

static int start(
	struct http_call *call, struct engine *engine, const char *path, struct bg_err **err)
{
	_unref_(listing) struct listing *listing = calloc(1, sizeof(*listing));
	_close_ int fd = -1;
	const char *rest;
	int r;

	if (strlen(path) >= PATH_MAX)
		return bg_err_sys(err, BG_ERR_FOLDER, ENAMETOOLONG, "list %.100s...", path);
	if (!listing || !(listing->path = bare(path)))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = open_folder(engine->config, listing->path, &fd, &rest, err);
	if (r >= 0)
		listing->parent = parent_of(listing->path, rest);
	if (r >= 0)
		r = job_start(engine->jobs, JOB_LIST, json_pack("{s:s}", "path", rest), &fd, 1,
			NULL, on_listed, listing, &listing->job, err);
	if (r < 0)
		return r;
	listing->call = call;
	listing = NULL;
	return 0;
}

static void reply_folders(struct http_call *call, const struct config *config)
{
	const char *list = config->web_folders;
	json_t *entries = json_array();
	char folder[PATH_MAX];

	while (next_folder(&list, folder))
		json_array_append_new(
			entries, json_pack("{s:o, s:s, s:i}", "name", bg_json_str(folder), "kind",
					 "folder", "size", 0));
	http_reply(call, 200,
		json_pack("{s:n, s:n, s:o, s:i, s:b}", "path", "parent", "entries", entries,
			"left_out", 0, "more", 0));
}

void api_file_list(struct http_call *call, struct engine *engine)
{
	const char *path = http_call_query(call, "path");
	struct bg_err *err = NULL;

	if (bg_isempty(path))
		reply_folders(call, engine->config);
	else if (start(call, engine, path, &err) < 0)
		http_reply_error(call, err);
}
