/* SPDX-License-Identifier: ISC */
/*
 * The jobs that pull a container image: resolve finds out which layers it has, blobs fetches
 * those. Layers are files that the caller keeps by digest; what a former try left in one is hashed
 * and continued, so that nothing comes twice.
 */
#include <stdio.h>

#include "worker/manifest.h"
#include "worker/registry.h"

#define INDEX_DEPTH 3 /* an index may name an index; nobody nests deeper */
#define PARALLEL    4

static int get_checked(struct registry *reg, struct transfer *t, const char *what,
	const struct descriptor *want, struct bg_err **err)
{
	int r = registry_get(reg, t, what, want->digest, MANIFEST_MAX, err);

	return r < 0 ? r
		     : manifest_check_digest(t->text ? t->text : "", t->size, want, t->name, err);
}

/* The manifest that reference stands for; its own digest comes back. */
static int get_manifest(struct registry *reg, const char *name, const char *reference,
	struct descriptor *self, struct manifest **ret, struct bg_err **err)
{
	struct transfer t = {.name = name, .accept = MANIFEST_ACCEPT};
	int r;

	snprintf(self->digest, sizeof(self->digest), "%s", reference);
	if (oci_digest_valid(reference)) {
		r = get_checked(reg, &t, "manifests", self, err);
	} else {
		r = registry_get(reg, &t, "manifests", reference, MANIFEST_MAX, err);
		if (r >= 0)
			r = manifest_digest(t.text ? t.text : "", t.size, self->digest, err);
	}
	if (r >= 0)
		r = manifest_parse(t.text ? t.text : "", t.size, t.type, name, ret, err);
	transfer_clear(&t);
	return r;
}

/* From the reference through indexes to the one for this machine. */
static int find_image(struct registry *reg, const char *name, const char *reference,
	struct descriptor *self, struct manifest **ret, struct bg_err **err)
{
	_free_ struct manifest *m = NULL;
	int r = get_manifest(reg, name, reference, self, &m, err);

	for (int depth = 0; r >= 0 && m->index; depth++) {
		struct manifest *next = NULL;

		if (depth == INDEX_DEPTH)
			return bg_err_set(err, BG_ERR_REGISTRY_INVALID, ELOOP,
				"%s is an index of indexes without an end", name);
		r = get_manifest(reg, name, m->next.digest, self, &next, err);
		if (r < 0)
			return r;
		free(m);
		m = next;
	}
	if (r >= 0)
		*ret = TAKE_PTR(m);
	return r;
}

static int check_config(struct registry *reg, const char *name, const struct manifest *m,
	json_t **ret_env, struct bg_err **err)
{
	struct transfer t = {.name = name};
	int r = get_checked(reg, &t, "blobs", &m->config, err);

	if (r >= 0)
		r = manifest_check_config(t.text ? t.text : "", t.size, name, ret_env, err);
	transfer_clear(&t);
	return r;
}

static json_t *describe(const struct manifest *m, const struct descriptor *self, json_t *env)
{
	json_t *layers = json_array();

	for (size_t i = 0; i < m->n_layers; i++)
		json_array_append_new(layers, json_pack("{s:s, s:I}", "digest", m->layers[i].digest,
						      "size", (json_int_t)m->layers[i].size));
	return json_pack("{s:s, s:o, s:I, s:O*}", "digest", self->digest, "layers", layers, "size",
		(json_int_t)m->size, "env", env);
}

static int resolve(struct registry *reg, json_t **ret, struct bg_err **err)
{
	_free_ struct manifest *m = NULL;
	_json_ json_t *env = NULL;
	const char *name, *reference;
	struct descriptor self;
	int r = bg_json_need_str(reg->job->params, "name", BG_ERR_WORKER, &name, err);

	if (r >= 0)
		r = bg_json_need_str(reg->job->params, "reference", BG_ERR_WORKER, &reference, err);
	if (r >= 0)
		r = find_image(reg, name, reference, &self, &m, err);
	if (r >= 0)
		r = check_config(reg, name, m, &env, err);
	if (r >= 0)
		*ret = describe(m, &self, env);
	return r;
}

int job_resolve(struct job *job, json_t **ret, struct bg_err **err)
{
	struct registry reg;
	int r = registry_open(&reg, job, err);

	if (r >= 0)
		r = resolve(&reg, ret, err);
	registry_close(&reg);
	return r;
}

struct blob {
	struct transfer t;
	char *url, *name;
	const char *digest;
	uint64_t before; /* bytes that were there */
};

struct blobs {
	struct registry reg;
	struct blob *list;
	size_t n;
	struct transfer **todo; /* of those that lack something */
	size_t n_todo;
	uint64_t have, fetched;
};

static bool matches(const struct blob *b)
{
	char hex[BG_SHA256_HEX + 1];

	digest_hex(b->t.digest, hex);
	return bg_streq(hex, b->digest + sizeof("sha256:") - 1);
}

static int empty(struct blob *b, struct bg_err **err)
{
	if (ftruncate(b->t.fd, 0) < 0)
		return job_write_err(-errno, err, "empty %s", b->name);
	digest_reset(b->t.digest);
	b->t.size = b->before = 0;
	b->t.tries = 0;
	return 0;
}

static int take_param(struct blobs *bs, size_t i, struct bg_err **err)
{
	const json_t *obj = json_array_get(json_object_get(bs->reg.job->params, "blobs"), i);
	struct blob *b = &bs->list[i];
	int64_t size = 0;
	int r = bg_json_need_str(obj, "digest", BG_ERR_WORKER, &b->digest, err);

	if (r >= 0)
		r = bg_json_need_int(
			obj, "size", BG_ERR_WORKER, 0, (int64_t)BG_IMAGE_MAX, &size, err);
	if (r >= 0 && !oci_digest_valid(b->digest))
		r = bg_err_set(err, BG_ERR_WORKER, EINVAL, "\"digest\" is none");
	if (r < 0)
		return r;
	b->t.max = b->t.want = (uint64_t)size;
	b->t.fd = bs->reg.job->fd[i];
	b->url = registry_url(&bs->reg, "blobs", b->digest);
	if (!b->url || asprintf(&b->name, "layer %zu of %zu (%.19s)", i + 1, bs->n, b->digest) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "fetch layers");
	b->t.url = b->url;
	b->t.name = b->name;
	registry_transfer(&bs->reg, &b->t);
	return digest_new(&b->t.digest, err);
}

/* What is there counts when it can be the start of the blob; when all is there, it must be the
 * blob. */
static int look(struct blobs *bs, struct blob *b, struct bg_err **err)
{
	int r = digest_add_file(b->t.digest, bs->reg.job, b->t.fd, &b->t.size, err);

	if (r >= 0 && (b->t.size > b->t.want || (b->t.size == b->t.want && !matches(b))))
		r = empty(b, err);
	if (r < 0)
		return r;
	b->before = b->t.size;
	if (b->t.size < b->t.want)
		bs->todo[bs->n_todo++] = &b->t;
	else
		bs->have += b->t.want;
	return 0;
}

static int run(struct blobs *bs, struct bg_err **err)
{
	return bs->n_todo ? net_run(bs->reg.net, bs->todo, bs->n_todo, PARALLEL, bs->have, err) : 0;
}

/* Those that went on from a start that was wrong, once more from nothing. */
static int again(struct blobs *bs, struct bg_err **err)
{
	bs->n_todo = 0;
	for (size_t i = 0; i < bs->n; i++) {
		struct blob *b = &bs->list[i];
		int r;

		if (b->before == 0 || matches(b))
			continue;
		r = empty(b, err);
		if (r < 0)
			return r;
		bs->todo[bs->n_todo++] = &b->t;
	}
	return run(bs, err);
}

static int check(struct blobs *bs, struct bg_err **err)
{
	for (size_t i = 0; i < bs->n; i++) {
		struct blob *b = &bs->list[i];
		char hex[BG_SHA256_HEX + 1];

		bs->fetched += b->t.fetched;
		if (!matches(b)) {
			int r;

			digest_hex(b->t.digest, hex);
			r = empty(b, err);
			return r < 0 ? r
				     : bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
					       "%s: the registry sent something of sha256:%s "
					       "instead of %s",
					       b->name, hex, b->digest);
		}
		if (fdatasync(b->t.fd) < 0)
			return job_write_err(-errno, err, "write %s", b->name);
	}
	return 0;
}

static int fetch_all(struct blobs *bs, struct bg_err **err)
{
	struct job *job = bs->reg.job;
	uint64_t total = 0;
	int r = 0;

	for (size_t i = 0; i < bs->n && r >= 0; i++) {
		r = take_param(bs, i, err);
		total += bs->list[i].t.want;
	}
	for (size_t i = 0; i < bs->n && r >= 0; i++)
		r = look(bs, &bs->list[i], err);
	job->total = total;
	if (r >= 0)
		r = run(bs, err);
	if (r >= 0)
		r = again(bs, err);
	return r < 0 ? r : check(bs, err);
}

static int open_blobs(struct blobs *bs, struct job *job, struct bg_err **err)
{
	int r = registry_open(&bs->reg, job, err);

	if (r < 0)
		return r;
	bs->n = job->n_fds;
	if (json_array_size(json_object_get(job->params, "blobs")) != bs->n)
		return bg_err_set(
			err, BG_ERR_WORKER, EINVAL, "one descriptor for each of \"blobs\"");
	bs->list = calloc(bs->n + 1, sizeof(*bs->list));
	bs->todo = calloc(bs->n + 1, sizeof(*bs->todo));
	return bs->list && bs->todo ? 0 : bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "fetch layers");
}

static void close_blobs(struct blobs *bs)
{
	for (size_t i = 0; bs->list && i < bs->n; i++) {
		transfer_clear(&bs->list[i].t);
		digest_free(bs->list[i].t.digest);
		free(bs->list[i].url);
		free(bs->list[i].name);
	}
	free(bs->list);
	free(bs->todo);
	registry_close(&bs->reg);
}

int job_blobs(struct job *job, json_t **ret, struct bg_err **err)
{
	struct blobs bs = {};
	int r = open_blobs(&bs, job, err);

	if (r >= 0)
		r = fetch_all(&bs, err);
	if (r >= 0)
		*ret = json_pack("{s:I}", "fetched", (json_int_t)bs.fetched);
	close_blobs(&bs);
	return r;
}
